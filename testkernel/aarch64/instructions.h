/*
 * instructions.h - the library's aarch64 instructions, but for one: where it yields, the test kernel's own wait comes.
 *
 * On a host with fewer cores than the machine has CPUs, a waiting CPU keeps those from running that it waits for.
 * machine_relax() halts for a moment now and then; everything else is as shipped.
 */
#ifndef AARCH64_INSTRUCTIONS_H
#define AARCH64_INSTRUCTIONS_H

#define ktlb_aarch64_yield arm_yield
#include "ktlb/arch/aarch64_instructions.h"
#undef ktlb_aarch64_yield

void machine_relax(void);

KTLB_INLINE void ktlb_aarch64_yield(void)
{
    machine_relax();
}

#endif
