/* bare.h - no assertions, no counters: what a release build of a host may choose. */
#define KTLB_ASSERTIONS 0
#define KTLB_STATS 0
