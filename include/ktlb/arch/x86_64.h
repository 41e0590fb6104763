/*
 * x86_64.h - local invalidation on x86_64: which instructions, in which order, for which op.
 *
 * Why the sequences are what they are (Intel SDM volume 3, "Operations that invalidate TLBs and paging-structure
 * caches"):
 * - INVLPG reaches the current PCID and global entries of one address, whatever the size of the entry, and every
 *   walk-cache entry of the current PCID (on AMD with EFER.TCE set, those that lead to the address). So a range op
 *   under every dying table also serves KTLB_TABLES for the loaded space.
 * - A CR3 load reaches the loaded PCID, not global entries. Other PCIDs keep theirs: the core remembers, per
 *   slot, how far each is clean, and asks for a flushing load.
 * - Everything at once is INVPCID type 2 or, without INVPCID, changing CR4.PGE there and back.
 * Instruction fetches follow data stores on this architecture, so KTLB_EXEC asks for nothing.
 *
 * This file is also a help for hosts: ktlb_x86_cr3() and the fences before an interrupt-controller write (for the
 * writes themselves there is x86_64_apic.h).
 */
#ifndef KTLB_ARCH_X86_64_H
#define KTLB_ARCH_X86_64_H

#include "../ktlb.h"

#ifdef KTLB_X86_64_INSTRUCTIONS_HEADER
#include KTLB_X86_64_INSTRUCTIONS_HEADER
#else
#include "x86_64_instructions.h"
#endif
#include "x86_64_pte.h"

#define KTLB_X86_CR3_KEEP (UINT64_C(1) << 63) /* keep what the PCID holds; only with CR4.PCIDE */
#define KTLB_X86_CR3_PCID UINT64_C(0xfff)
#define KTLB_X86_CR4_PGE (UINT64_C(1) << 7)
#define KTLB_X86_CR4_PCIDE (UINT64_C(1) << 17)
enum { KTLB_X86_INVPCID_ADDRESS, KTLB_X86_INVPCID_PCID, KTLB_X86_INVPCID_ALL };

/* What the sequences need to know of the machine; filled in once by ktlb_init(). */
struct ktlb_arch {
    bool invpcid;
    uint32_t invlpgb_pages; /* how many one INVLPGB names; 0: there is none */
};
extern struct ktlb_arch ktlb_arch;

/* ---- for hosts ---- */

/* The value for CR3: the root table at physical @root (4 KiB-aligned), loaded as ktlb_switch_begin() said. */
KTLB_INLINE uint64_t ktlb_x86_cr3(uint64_t root, struct ktlb_load load)
{
    return root | load.asid | (load.flush ? 0 : KTLB_X86_CR3_KEEP);
}

/* Before a store to an xAPIC's command register. That store is uncached and this processor keeps stores in
 * order, so only the compiler has to be told. */
KTLB_INLINE void ktlb_x86_fence_xapic(void)
{
    ktlb_x86_compiler_barrier();
}

/* Before a WRMSR to an x2APIC's command register. That WRMSR is not serialising and may pass earlier stores: the
 * interrupt would overtake the request (SDM volume 3, "x2APIC register access semantics"). MFENCE drains them, LFENCE
 * holds the WRMSR back. */
KTLB_INLINE void ktlb_x86_fence_x2apic(void)
{
    ktlb_x86_mfence();
    ktlb_x86_lfence();
}

/* ---- for the library: what every architecture provides ---- */

/* Learn the machine, once. */
KTLB_INLINE void ktlb_arch_init(void)
{
    ktlb_arch.invpcid = ktlb_x86_cpuid_ebx(7) >> 10 & 1;
    ktlb_arch.invlpgb_pages = 0;
    if (ktlb_arch.invpcid && (ktlb_x86_cpuid_ebx(0x80000008) >> 3 & 1))
        ktlb_arch.invlpgb_pages = (ktlb_x86_cpuid_edx(0x80000008) & 0xffff) + 1;
}

/* Whether this CPU can tag entries with one of @asids tags: the host has set CR4.PCIDE, or wants none. */
KTLB_INLINE bool ktlb_arch_can_tag(unsigned asids)
{
    return asids == 0 || (ktlb_x86_read_cr4() & KTLB_X86_CR4_PCIDE);
}

/* Drop the loaded tag's entries, not global ones. => Interrupts masked: an interrupt between the read and the write
 * could change the root. Bit 63 reads as zero, so the write flushes. */
KTLB_INLINE void ktlb_arch_flush_space(void)
{
    ktlb_x86_write_cr3(ktlb_x86_read_cr3());
}

/* Drop everything: all tags, global entries, walk caches. => Interrupts masked. An NMI between the two writes may
 * fill entries as not global; the second write drops those as well. */
KTLB_INLINE void ktlb_arch_flush_machine(void)
{
    uint64_t cr4;

    if (ktlb_arch.invpcid) {
        ktlb_x86_invpcid(KTLB_X86_INVPCID_ALL, 0, 0);
        return;
    }
    cr4 = ktlb_x86_read_cr4();
    ktlb_x86_write_cr4(cr4 ^ KTLB_X86_CR4_PGE);
    ktlb_x86_write_cr4(cr4);
}

/* Drop one range for the loaded tag and global entries. @op.count is neither 0 nor KTLB_ALL. */
KTLB_INLINE void ktlb_arch_flush_range(struct ktlb_op op)
{
    uint64_t va = op.va, stride = UINT64_C(1) << op.shift;
    uint32_t left = op.count;

    do {
        ktlb_x86_invlpg(va);
        va += stride;
    } while (--left);
}

/* Part of a dispatch with KTLB_EXEC: nothing, see above. */
KTLB_INLINE void ktlb_arch_sync_code(void)
{
}

KTLB_INLINE void ktlb_arch_relax(void)
{
    ktlb_x86_pause();
}

/* A counter that runs at a constant rate on this CPU. */
KTLB_INLINE uint64_t ktlb_arch_cycles(void)
{
    return ktlb_x86_rdtsc();
}

#include "x86_64_invlpgb.h"

#endif
