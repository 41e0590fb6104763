/* small.h - one CPU set word of one bit, the least of everything: a microcontroller-sized host. */
#define KTLB_CPUS_MAX 2
#define KTLB_BATCH_OPS 1
#define KTLB_FLUSH_MAX 1
#define KTLB_ASIDS_MAX 2
#define KTLB_MAILBOX_SLOTS 1
#define KTLB_SPACE_RING 0
#define KTLB_STATS 0
#define KTLB_SCOREBOARD_LINES 1
#define KTLB_DOORBELL_LINES 1
#define KTLB_DOORBELL_TRIES 1
