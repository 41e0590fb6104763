/* bare.h - no assertions, no counters, a ring of one: what a release build of a host may choose. */
#define KTLB_ASSERTIONS 0
#define KTLB_STATS 0
#define KTLB_SPACE_RING 1
