/*
 * config.h - the library's options under the explorer: everything as small as it can be without losing a case, so that
 * queues overflow, slots run out and batches widen within a few steps.
 */
#ifndef EXPLORER_MACHINE_CONFIG_H
#define EXPLORER_MACHINE_CONFIG_H

#define KTLB_CPUS_MAX 4
#define KTLB_BATCH_OPS 2
#define KTLB_FLUSH_MAX 4
#ifndef KTLB_ASIDS_MAX
#define KTLB_ASIDS_MAX 2
#endif
#ifndef KTLB_MAILBOX_SLOTS
#define KTLB_MAILBOX_SLOTS 2
#endif
#ifndef KTLB_DOORBELL_LINES
#define KTLB_DOORBELL_LINES 1
#endif
#ifndef KTLB_SCOREBOARD_EARLY /* 1: another build, in which user code is not thought to run inside the kernel's */
#define KTLB_SCOREBOARD_EARLY 0
#endif
#ifndef KTLB_SCOREBOARD_LINES
#define KTLB_SCOREBOARD_LINES 1
#endif
#ifndef KTLB_SPACE_RING
#define KTLB_SPACE_RING 2
#endif
#define KTLB_STALL_SPINS (1u << 30) /* time does not pass here: a wait that cannot end is reported as a deadlock */
#define KTLB_STATS 0

void hardware_panic(const char *rule) __attribute__((noreturn));
#define KTLB_PANIC(rule) hardware_panic(rule)

#endif
