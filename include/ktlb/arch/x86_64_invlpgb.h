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

/* ---- for the library ---- */

#define KTLB_ARCH_EVERY_ASID KTLB_X86_EVERY_PCID

/* INVPCID is what drops here alone what is not loaded; processors with the one have the other. */
KTLB_INLINE bool ktlb_arch_broadcasts(void)
{
    return ktlb_arch.invlpgb_pages != 0;
}

KTLB_INLINE bool ktlb_arch_broadcast_interrupts(void)
{
    return false;
}

/*
 * Begin to drop the @count ops at @op on all processors, @targets and this one among them, under @asid, which means the
 * same on all of them, or KTLB_ARCH_EVERY_ASID. A run of more than KTLB_FLUSH_MAX INVLPGBs drops the whole instead.
 * => Interrupts masked; a full fence since the page-table changes.
 */
KTLB_INLINE void ktlb_arch_broadcast(const struct ktlb_cpuset *targets, const struct ktlb_op *op, unsigned count,
                                     uint64_t asid)
{
    uint32_t pages = ktlb_arch.invlpgb_pages;

    (void)targets;
    for (unsigned i = 0; i < count; i++) {
        if (op[i].count != KTLB_ALL && op[i].count <= (uint64_t)pages * KTLB_FLUSH_MAX)
            ktlb_x86_invlpgb_issue(op[i], (unsigned)asid, pages);
        else
            ktlb_x86_invlpgb_begin(
                ktlb_x86_invlpgb_whole(op[i].flags & KTLB_GLOBAL ? KTLB_X86_EVERY_PCID : (unsigned)asid));
    }
}

/* It is done, on all processors. => On the processor that began. */
KTLB_INLINE void ktlb_arch_broadcast_wait(unsigned flags)
{
    (void)flags;
    ktlb_x86_tlbsync();
}

/* Drop @op here alone, under @asid, loaded or not, or KTLB_ARCH_EVERY_ASID. By address INVPCID drops what translates that
 * address; where more than that dies, the tag goes. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_asid(struct ktlb_op op, uint64_t asid)
{
    bool whole = op.count == KTLB_ALL || op.count > KTLB_FLUSH_MAX || (op.flags & KTLB_TABLES);

    if ((op.flags & KTLB_GLOBAL) && op.count != KTLB_ALL && !(op.flags & KTLB_TABLES)) {
        ktlb_arch_flush_range(op);
    } else if (asid == KTLB_X86_EVERY_PCID || (op.flags & KTLB_GLOBAL)) {
        ktlb_arch_flush_machine();
    } else if (whole) {
        ktlb_x86_invpcid(KTLB_X86_INVPCID_PCID, asid, 0);
    } else {
        for (uint32_t i = 0; i < op.count; i++)
            ktlb_x86_invpcid(KTLB_X86_INVPCID_ADDRESS, asid, op.va + ((uint64_t)i << op.shift));
    }
}

/* A full fence between processors, which orders what this one walks as well, under @asid. */
KTLB_INLINE void ktlb_arch_fence_walks(uint64_t asid)
{
    (void)asid;
    ktlb_fence_seq_cst();
}

#endif
