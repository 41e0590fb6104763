/* bound.h - one protocol, called directly. */
#define KTLB_PROTOCOL scoreboard
#define KTLB_SCOREBOARD_EARLY 1
