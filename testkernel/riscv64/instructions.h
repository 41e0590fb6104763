/*
 * instructions.h - the library's riscv64 instructions, but for one: where it pauses, the test kernel's own wait comes in.
 *
 * On a host with fewer cores than the machine has CPUs, a waiting CPU keeps those from running that it waits for.
 * machine_relax() halts for a moment now and then; everything else is as shipped.
 */
#ifndef RISCV64_INSTRUCTIONS_H
#define RISCV64_INSTRUCTIONS_H

#define ktlb_riscv64_pause riscv64_pause
#include "ktlb/arch/riscv64_instructions.h"
#undef ktlb_riscv64_pause

void machine_relax(void);

KTLB_INLINE void ktlb_riscv64_pause(void)
{
    machine_relax();
}

#endif
