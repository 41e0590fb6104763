/* large.h - CPU sets of several words, the last one partly used; long queues and batches. */
#define KTLB_CPUS_MAX 1000
#define KTLB_BATCH_OPS 32
#define KTLB_FLUSH_MAX 4096
#define KTLB_ASIDS_MAX 64
#define KTLB_MAILBOX_SLOTS 64
#define KTLB_SCOREBOARD_LINES 64
#define KTLB_SPACE_RING 64
#define KTLB_EVENTS 1024
