/*
 * x86_64_invlpgb.h - broadcast invalidation on AMD: INVLPGB's operands, and the sequence with TLBSYNC.
 *
 * From AMD's manual, volume 3, "INVLPGB", "TLBSYNC", and volume 2 on the paging-structure caches:
 * - INVLPGB drops matching entries on all processors, some time; those that match the address, the PCID and the ASID,
 *   as far as each is said to count. Several may be under way at once.
 * - TLBSYNC waits for those that were begun on the same processor, so a sequence runs with interrupts masked.
 * - A stride of 2 MiB drops the entries at each step, not smaller ones in between (FreeBSD-EN-26:10): an op that names
 *   the smallest entries it may meet asks for the right one.
 * - INVLPGB is not ordered after earlier stores: a full fence is before the sequence (in a dispatch, [F1]).
 */
#ifndef KTLB_ARCH_X86_64_INVLPGB_H
#define KTLB_ARCH_X86_64_INVLPGB_H

#include "x86_64.h"

/* In RAX, below the address: what has to match, and what goes with it. */
enum ktlb_x86_invlpgb_flag {
    KTLB_X86_INVLPGB_VA = 1,
    KTLB_X86_INVLPGB_PCID = 2,
    KTLB_X86_INVLPGB_GLOBAL = 8, /* global entries too */
    KTLB_X86_INVLPGB_LAST = 16,  /* not the caches of upper levels */
};
#define KTLB_X86_INVLPGB_LARGE (UINT32_C(1) << 31) /* in ECX: steps of 2 MiB */
#define KTLB_X86_EVERY_PCID 0x1000u

/* The registers of one INVLPGB. */
struct ktlb_x86_invlpgb {
    uint64_t rax;
    uint32_t ecx, edx;
};

/* How many pages one INVLPGB can name; 0: there is none. Of the processor it runs on. */
KTLB_INLINE uint32_t ktlb_x86_invlpgb_pages(void)
{
    if (!(ktlb_x86_cpuid_ebx(0x80000008) >> 3 & 1))
        return 0;
    return (ktlb_x86_cpuid_edx(0x80000008) & 0xffff) + 1;
}

/* Everything of @pcid but global entries; for KTLB_X86_EVERY_PCID everything. */
KTLB_INLINE struct ktlb_x86_invlpgb ktlb_x86_invlpgb_whole(unsigned pcid)
{
    struct ktlb_x86_invlpgb regs = {KTLB_X86_INVLPGB_PCID, 0, (uint32_t)pcid << 16};

    if (pcid == KTLB_X86_EVERY_PCID) {
        regs.rax = KTLB_X86_INVLPGB_GLOBAL;
        regs.edx = 0;
    }
    return regs;
}

/* @count steps, not 0, from @va on: of 2 MiB if @large, else of 4 KiB. @flags: enum ktlb_op_flag. */
KTLB_INLINE struct ktlb_x86_invlpgb ktlb_x86_invlpgb_run(uint64_t va, uint32_t count, bool large, unsigned pcid,
                                                         unsigned flags)
{
    struct ktlb_x86_invlpgb regs = {(va & ~UINT64_C(0xfff)) | KTLB_X86_INVLPGB_VA, count - 1, 0};

    if (large)
        regs.ecx |= KTLB_X86_INVLPGB_LARGE;
    if (!(flags & KTLB_TABLES))
        regs.rax |= KTLB_X86_INVLPGB_LAST;
    if ((flags & KTLB_GLOBAL) || pcid == KTLB_X86_EVERY_PCID) {
        regs.rax |= KTLB_X86_INVLPGB_GLOBAL;
    } else {
        regs.rax |= KTLB_X86_INVLPGB_PCID;
        regs.edx = (uint32_t)pcid << 16;
    }
    return regs;
}

KTLB_INLINE void ktlb_x86_invlpgb_begin(struct ktlb_x86_invlpgb regs)
{
    ktlb_x86_invlpgb(regs.rax, regs.ecx, regs.edx);
}

/* Begin to drop @op, which is not whole; one INVLPGB names up to @pages steps. Those of 1 GiB go one by one. */
KTLB_INLINE void ktlb_x86_invlpgb_issue(struct ktlb_op op, unsigned pcid, uint32_t pages)
{
    bool large = op.shift == 21;
    uint32_t most = large || op.shift == 12 ? pages : 1;

    while (op.count) { /* each turn takes one step or more */
        uint32_t count = op.count < most ? op.count : most;

        ktlb_x86_invlpgb_begin(ktlb_x86_invlpgb_run(op.va, count, large, pcid, op.flags));
        op.va += (uint64_t)count << op.shift;
        op.count -= count;
    }
}

/*
 * Drop the @count ops at @op on all processors, under @pcid or KTLB_X86_EVERY_PCID, and wait until it is done. @pages:
 * what ktlb_x86_invlpgb_pages() said, not 0. A run of more than KTLB_FLUSH_MAX times @pages steps drops the whole
 * instead. A PCID means the same on all processors, which those that ktlb_switch_begin() hands out do not.
 * => Interrupts masked; a full fence since the page-table changes.
 */
KTLB_INLINE void ktlb_x86_broadcast(const struct ktlb_op *op, unsigned count, unsigned pcid, uint32_t pages)
{
    for (unsigned i = 0; i < count; i++) {
        if (op[i].count != KTLB_ALL && op[i].count <= (uint64_t)pages * KTLB_FLUSH_MAX)
            ktlb_x86_invlpgb_issue(op[i], pcid, pages);
        else
            ktlb_x86_invlpgb_begin(ktlb_x86_invlpgb_whole(op[i].flags & KTLB_GLOBAL ? KTLB_X86_EVERY_PCID : pcid));
    }
    ktlb_x86_tlbsync();
}

#endif
