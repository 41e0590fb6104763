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

/* Every 32nd turn halts here for 0.1 ms or more (machine_relax), so this is three seconds at least. A host with fewer
 * cores than the machine has CPUs keeps none of them waiting for as long, and a stall is a failure. */
#ifndef KTLB_STALL_SPINS
#define KTLB_STALL_SPINS (1u << 20)
#endif

#endif
