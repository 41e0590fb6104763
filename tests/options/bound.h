/* bound.h - one protocol, called directly. */
#define KTLB_PROTOCOL scoreboard
