/*
 * riscv64.h - local invalidation on riscv64: which instructions, in which order, for which op.
 *
 * Why the sequences are what they are (privileged specification, "Supervisor Memory-Management Fence Instruction"):
 * - SFENCE.VMA orders the stores that this hart has made, or has seen others make, before its later walks. It needs no
 *   barrier around it, and does nothing for other harts.
 * - With an address it speaks of leaf entries only. When an entry that leads to a table changes (KTLB_TABLES), the form
 *   without an address is the one that serves.
 * - With an ASID it spares global entries. A range op is asked to drop those as well, so it names no ASID.
 * - Under Svinval the two halves of an SFENCE.VMA, ordering what came before and holding back what comes after, are
 *   paid once for a whole run.
 * - FENCE.I is a hart's own business as well. Every hart that executes a request with KTLB_EXEC fences its fetches. A
 *   hart that misses it finds its space behind, and does so when it catches up exactly, or flushes the space whole:
 *   what such a flush stands for is not known any more, so every whole flush fences fetches too. That makes a switch
 *   without ASIDs fence them each time.
 */
#ifndef KTLB_ARCH_RISCV64_H
#define KTLB_ARCH_RISCV64_H

#include "../ktlb.h"

#ifdef KTLB_RISCV64_INSTRUCTIONS_HEADER
#include KTLB_RISCV64_INSTRUCTIONS_HEADER
#else
#include "riscv64_instructions.h"
#endif

#if KTLB_PAGE_SHIFT != 12
#error "KTLB_PAGE_SHIFT: 12 on riscv64"
#endif

#define KTLB_RISCV64_SATP_MODE (UINT64_C(15) << 60)
#define KTLB_RISCV64_SATP_ASID_SHIFT 44
#define KTLB_RISCV64_SATP_ASID (UINT64_C(0xffff) << KTLB_RISCV64_SATP_ASID_SHIFT)
#define KTLB_RISCV64_EVERY_ASID UINT64_C(0x10000)

/* What the sequences need to know of the machine and cannot ask it: the host says it before ktlb_init(). */
struct ktlb_arch {
    bool svinval; /* every hart has Svinval */
    bool svvptc;  /* every hart has Svvptc: sees by itself, soon, that an entry became valid */
    bool whole;   /* an erratum: SFENCE.VMA with an address does nothing (SiFive CIP-1200) */
    /* Where a fault finds the access allowed by now, the host's handler calls ktlb_riscv64_drop_here() before it
     * returns. */
    bool fault_drops;
    /* The firmware's number of each hart, by CPU: for the protocol hardware. NULL: it is not to fence for us. */
    const uint64_t *hart_of;
};
extern struct ktlb_arch ktlb_arch;

#include "riscv64_pte.h"

KTLB_INLINE uint64_t ktlb_riscv64_loaded_asid(void)
{
    return (ktlb_riscv64_read_satp() & KTLB_RISCV64_SATP_ASID) >> KTLB_RISCV64_SATP_ASID_SHIFT;
}

/* How many ASIDs this hart has: those bits of satp that take a one. => Interrupts masked; translation is on. */
KTLB_INLINE uint64_t ktlb_riscv64_asids(void)
{
    uint64_t satp = ktlb_riscv64_read_satp(), most;

    ktlb_riscv64_write_satp(satp | KTLB_RISCV64_SATP_ASID);
    most = ktlb_riscv64_loaded_asid();
    ktlb_riscv64_write_satp(satp);
    ktlb_riscv64_sfence_vma_asid(most); /* what was fetched meanwhile, under a tag that may be given out later */
    return most + 1;
}

/* Whether @op is dropped under every ASID, and global entries with it. */
KTLB_INLINE bool ktlb_riscv64_is_every(struct ktlb_op op, uint64_t asid)
{
    return asid == KTLB_RISCV64_EVERY_ASID || (op.flags & KTLB_GLOBAL);
}

/* Whether @op is dropped by a fence without an address: one above the limit of single invalidations, or that speaks of
 * tables. */
KTLB_INLINE bool ktlb_riscv64_is_whole(struct ktlb_op op)
{
    return op.count > KTLB_FLUSH_MAX || (op.flags & KTLB_TABLES) || ktlb_arch.whole;
}
KTLB_STATIC_ASSERT(KTLB_ALL > KTLB_FLUSH_MAX, "an op of the whole space is above the limit");

KTLB_INLINE void ktlb_riscv64_fence_whole(bool every, uint64_t asid)
{
    if (every)
        ktlb_riscv64_sfence_vma_all();
    else
        ktlb_riscv64_sfence_vma_asid(asid);
}

KTLB_INLINE void ktlb_riscv64_fence_va(bool every, uint64_t va, uint64_t asid)
{
    if (every && ktlb_arch.svinval)
        ktlb_riscv64_sinval_vma_va(va);
    else if (every)
        ktlb_riscv64_sfence_vma_va(va);
    else if (ktlb_arch.svinval)
        ktlb_riscv64_sinval_vma_va_asid(va, asid);
    else
        ktlb_riscv64_sfence_vma_va_asid(va, asid);
}

/* Drop @op here, for @asid or KTLB_RISCV64_EVERY_ASID. With an ASID global entries stay, unless KTLB_GLOBAL says that
 * it is them. */
KTLB_INLINE void ktlb_riscv64_fence(struct ktlb_op op, uint64_t asid)
{
    bool every = ktlb_riscv64_is_every(op, asid);

    if (ktlb_riscv64_is_whole(op)) {
        ktlb_riscv64_fence_whole(every, asid);
    } else {
        if (ktlb_arch.svinval)
            ktlb_riscv64_sfence_w_inval();
        for (uint32_t i = 0; i < op.count; i++)
            ktlb_riscv64_fence_va(every, op.va + ((uint64_t)i << op.shift), asid);
        if (ktlb_arch.svinval)
            ktlb_riscv64_sfence_inval_ir();
    }
    if (op.flags & KTLB_EXEC)
        ktlb_riscv64_fence_i();
}

/* ---- for the library: what every architecture provides ---- */

/* Nothing to learn: see struct ktlb_arch. */
KTLB_INLINE void ktlb_arch_init(void)
{
}

/* Whether this hart can tag entries with one of @asids tags; tag 0 is the kernel's. => Interrupts masked; translation
 * on. */
KTLB_INLINE bool ktlb_arch_can_tag(unsigned asids)
{
    return asids == 0 || ((ktlb_riscv64_read_satp() & KTLB_RISCV64_SATP_MODE) && asids < ktlb_riscv64_asids());
}

/* Drop the loaded tag's entries, not global ones. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_space(void)
{
    ktlb_riscv64_fence(ktlb_op_all(KTLB_EXEC), ktlb_riscv64_loaded_asid());
}

/* Drop everything of this hart: all tags, global entries, entries that lead to tables. */
KTLB_INLINE void ktlb_arch_flush_machine(void)
{
    ktlb_riscv64_fence(ktlb_op_all(KTLB_EXEC), KTLB_RISCV64_EVERY_ASID);
}

/* Drop one range for the loaded tag and global entries. @op.count is neither 0 nor KTLB_ALL. */
KTLB_INLINE void ktlb_arch_flush_range(struct ktlb_op op)
{
    ktlb_riscv64_fence(op, KTLB_RISCV64_EVERY_ASID);
}

/* Part of a dispatch with KTLB_EXEC. Each hart fences its own fetches when it executes the request; that it then sees
 * what was written before the dispatch is the request's own order. */
KTLB_INLINE void ktlb_arch_sync_code(void)
{
}

KTLB_INLINE void ktlb_arch_relax(void)
{
    ktlb_riscv64_pause();
}

/* A counter that runs at a constant rate, the same on all harts. */
KTLB_INLINE uint64_t ktlb_arch_cycles(void)
{
    return ktlb_riscv64_read_time();
}

/* ---- for hosts ---- */

/* Drop what this hart read of any entry, for a fault that finds the access allowed by now. Not by address: what it
 * still holds may be an entry above the last level that led nowhere. */
KTLB_INLINE void ktlb_riscv64_drop_here(void)
{
    ktlb_riscv64_sfence_vma_all();
}

/* Before whatever interrupts another hart, be it a store to its controller or a call of the firmware: the request is in
 * memory before anything leaves for a device. */
KTLB_INLINE void ktlb_riscv64_fence_ipi(void)
{
    ktlb_riscv64_fence_w_ow();
}

/* The value for satp: @mode (8: Sv39, 9: Sv48, 10: Sv57), the root table at physical @root (4 KiB-aligned), the tag
 * that ktlb_switch_begin() said. */
KTLB_INLINE uint64_t ktlb_riscv64_satp(unsigned mode, uint64_t root, struct ktlb_load load)
{
    return (uint64_t)mode << 60 | (uint64_t)load.asid << KTLB_RISCV64_SATP_ASID_SHIFT | root >> 12;
}

/*
 * Load satp as ktlb_switch_begin() said. A tag is flushed before it is loaded: what it holds may lead into tables that
 * are gone, and once it is loaded a walk may follow, which has to come after what ktlb_switch_begin() has seen; only the
 * SFENCE.VMA orders that. One that was loaded before as well, on a hart without ASIDs, is flushed again after: meanwhile a
 * walk of the old root could fill it.
 * => Between begin and end: no user address.
 */
KTLB_INLINE void ktlb_riscv64_load_root(unsigned mode, uint64_t root, struct ktlb_load load)
{
    bool loaded = ktlb_riscv64_loaded_asid() == load.asid;

    if (load.flush)
        ktlb_riscv64_fence(ktlb_op_all(KTLB_EXEC), load.asid);
    ktlb_riscv64_write_satp(ktlb_riscv64_satp(mode, root, load));
    if (load.flush && loaded)
        ktlb_arch_flush_space();
}

#include "riscv64_sbi.h"

#endif
