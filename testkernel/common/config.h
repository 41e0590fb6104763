/*
 * config.h - the library's options as the test kernel sets them (KTLB_CONFIG_HEADER).
 */
#ifndef TESTKERNEL_CONFIG_H
#define TESTKERNEL_CONFIG_H

_Noreturn void kernel_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define KTLB_PANIC(rule) kernel_panic("%s", rule)

/* What the library did last is told whenever a run fails; trace=N asks for it. 0 leaves it out. */
#ifndef KTLB_EVENTS
#define KTLB_EVENTS 256
#endif

/* A turn may halt for a while here (machine_relax): this is some seconds of the host at most. */
#ifndef KTLB_STALL_SPINS
#define KTLB_STALL_SPINS (1u << 19)
#endif

#endif
