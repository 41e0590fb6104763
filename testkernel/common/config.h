/*
 * config.h - the library's options as the test kernel sets them (KTLB_CONFIG_HEADER).
 */
#ifndef TESTKERNEL_CONFIG_H
#define TESTKERNEL_CONFIG_H

_Noreturn void kernel_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define KTLB_PANIC(rule) kernel_panic("%s", rule)

/* A turn may halt for a while here (machine_relax): this is some seconds of the host at most. */
#ifndef KTLB_STALL_SPINS
#define KTLB_STALL_SPINS (1u << 19)
#endif

#endif
