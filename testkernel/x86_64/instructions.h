/*
 * instructions.h - the library's x86_64 instructions, but for one: where it pauses, the test kernel's own wait comes in.
 * Everything else is as shipped.
 */
#ifndef X86_64_INSTRUCTIONS_H
#define X86_64_INSTRUCTIONS_H

#define ktlb_x86_pause x86_pause
#include "ktlb/arch/x86_64_instructions.h"
#undef ktlb_x86_pause
#include "testkernel/common/relax.h"

KTLB_INLINE void ktlb_x86_pause(void)
{
    x86_pause();
    cpu_relax();
}

#endif
