/*
 * instructions.h - the library's x86_64 instructions, but for one: where it pauses, the test kernel's own wait comes in.
 *
 * On a host with fewer cores than the machine has CPUs, a waiting CPU keeps those from running that it waits for.
 * machine_relax() halts for a moment now and then; everything else is as shipped.
 */
#ifndef X86_64_INSTRUCTIONS_H
#define X86_64_INSTRUCTIONS_H

#define ktlb_x86_pause x86_pause
#include "ktlb/arch/x86_64_instructions.h"
#undef ktlb_x86_pause

void machine_relax(void);

KTLB_INLINE void ktlb_x86_pause(void)
{
    machine_relax();
}

#endif
