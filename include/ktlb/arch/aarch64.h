/*
 * aarch64.h - invalidation on aarch64: which instructions, in which order, for which op.
 *
 * Two families of sequences. The local ones serve the protocols that interrupt: every target drops its own entries. The
 * broadcast one reaches the Inner Shareable domain from one CPU. Both are a barrier, the TLBIs, a barrier that waits
 * for them, an ISB. Why each barrier, and why of this kind (Arm ARM, DDI 0487, "TLB maintenance" and "Barriers"):
 * - Before, local: DSB NSH. The page-table changes are somebody else's stores, which this CPU knows by having read the
 *   request; so the barrier has to wait for loads, and DSB NSHST would not. Non-shareable is enough because the walker
 *   that has to see them is this CPU's own, and what one observer has read every later walk reads as well (stores are
 *   multi-copy atomic).
 * - Before, broadcast: DSB ISHST. The changes are this CPU's own stores, and walkers everywhere have to see them before
 *   they lose the old entries, or they fetch them again.
 * - After: DSB NSH completes the TLBIs of one PE, DSB ISH those of the domain. Only a DSB on the CPU that issued them
 *   does: both sequences run with interrupts masked and leave nothing open. What a user stored through an old entry is
 *   ordered before the acknowledgement by that being a store-release, not by this barrier.
 * - ISB: what this CPU has fetched or translated ahead is thrown away. A broadcast does not do that for other CPUs;
 *   they get it from the exception return into whatever ran through the old entries.
 * Under a hypervisor that moves a virtual CPU between PEs, HCR_EL2.FB and BSU widen the local forms; that is its
 * business.
 *
 * Last-level forms (VALE1) leave walk caches alone, so they serve only while tables stay; KTLB_TABLES takes the others.
 * The TTL hint of the operands stays 0, "any level": an op names the smallest entries it may meet, not the level they
 * are at.
 *
 * Instruction caches are dropped for everyone by the CPU that dispatches: a CPU that is not told has to find them
 * dropped.
 *
 * What the layer asks of its host: TTBR0_EL1 carries the ASID (TCR_EL1.A1 clear) and spaces are what TTBR0_EL1 maps;
 * TTBRn_EL1.CnP is clear, since tags are each CPU's own; KTLB_PAGE_SHIFT is the granule of both TTBRs.
 */
#ifndef KTLB_ARCH_AARCH64_H
#define KTLB_ARCH_AARCH64_H

#include "../ktlb.h"
#include "aarch64_operand.h"

#ifdef KTLB_AARCH64_INSTRUCTIONS_HEADER
#include KTLB_AARCH64_INSTRUCTIONS_HEADER
#else
#include "aarch64_instructions.h"
#endif

#if KTLB_PAGE_SHIFT != 12 && KTLB_PAGE_SHIFT != 14 && KTLB_PAGE_SHIFT != 16
#error "KTLB_PAGE_SHIFT: 12, 14 or 16 on aarch64"
#endif
KTLB_STATIC_ASSERT(KTLB_ASIDS_MAX < 256, "tags fit the ASIDs that every aarch64 has, 8 bits");

#define KTLB_AARCH64_TCR_A1 (UINT64_C(1) << 22) /* the ASID is TTBR1's */
#define KTLB_AARCH64_TCR_DS (UINT64_C(1) << 59) /* 52-bit addresses with small granules (FEAT_LPA2) */
#define KTLB_AARCH64_EVERY_ASID UINT64_C(0x10000)

/* Where range TLBIs exist, a run of more granules than one of them can name drops the whole instead; where they do not,
 * a run of more than KTLB_FLUSH_MAX strides. */
#define KTLB_AARCH64_RANGE_MAX (UINT64_C(1) << 21)

/* What the sequences need to know. The first three are filled in by ktlb_init() from the CPU it runs on; a host whose
 * CPUs differ corrects them after it and before the first CPU is online. The rest is for the host to say. */
struct ktlb_arch {
    bool range;      /* TLBI by range exists (ID_AA64ISAR0_EL1.TLB) */
    bool base_64k;   /* and names its base in units of 64 KiB whatever the granule (TCR_EL1.DS) */
    bool fetch_sees; /* fetches follow stores without an IC (CTR_EL0.DIC) */
    /* Where a fault finds the access allowed by now, the host's handler calls ktlb_aarch64_drop_here() before it
     * returns. */
    bool fault_drops;
    /* A block may take the place of a table of the same pages, and the reverse, in one store (ID_AA64MMFR2_EL1.BBM is 2
     * on every CPU), and the host answers a TLB conflict abort by invalidating everything and trying again. */
    bool any_size;
    /* An erratum of broadcasts: the first DSB does not wait for accesses through the dropped entries, so one more TLBI
     * and DSB follow (Cortex-A76 1286807, A55 2441007, A510 2441009, Falkor 1009, the family of 4118414). */
    bool repeat;
    /* Another: even so a DSB does not wait for all accesses of some CPUs (C1-Pro 4193714: those that use SME). Who
     * broadcasts then interrupts these, of the targets, and waits for them too. Nothing in this file reads it. */
    bool interrupt;
};
extern struct ktlb_arch ktlb_arch;

#include "aarch64_pte.h"

/* One instruction's share of a run. */
struct ktlb_aarch64_piece {
    uint64_t operand;
    uint64_t granules; /* what it covers */
    bool range;        /* TLBI by range, else by address */
};

/*
 * The first piece of the run of @granules granules at @va, which is not empty: the largest scale that does not pass its
 * end. So a run is covered exactly, with no granule beyond it (a block that it only touches goes as a whole, as by any
 * TLBI), in one piece per scale and one for an odd granule; up to 15 more where @base_shift is 16 and the run starts
 * between its multiples.
 */
KTLB_INLINE struct ktlb_aarch64_piece ktlb_aarch64_first_piece(uint64_t va, uint64_t granules, uint64_t asid,
                                                               unsigned base_shift)
{
    unsigned scale = 0;
    uint64_t units;

    if (granules == 1 || (va & ((UINT64_C(1) << base_shift) - 1)))
        return (struct ktlb_aarch64_piece){ktlb_aarch64_operand(va, asid), 1, false};
    while (scale < 3 && granules >> (5 * (scale + 1) + 1))
        scale++;
    units = granules >> (5 * scale + 1);
    if (units > 32)
        units = 32;
    return (struct ktlb_aarch64_piece){ktlb_aarch64_range_operand(va, (unsigned)units - 1, scale, asid,
                                                                  KTLB_PAGE_SHIFT, base_shift),
                                       units << (5 * scale + 1), true};
}

/* ---- the parts of a sequence ---- */

enum ktlb_aarch64_form {
    KTLB_AARCH64_LAST = 1,  /* last level only */
    KTLB_AARCH64_EVERY = 2, /* under every ASID */
    KTLB_AARCH64_RANGE = 4,
    KTLB_AARCH64_SHARED = 8, /* the Inner Shareable domain */
};

KTLB_INLINE void ktlb_aarch64_tlbi(unsigned form, uint64_t operand)
{
    switch (form) {
#define X(number, name)                                                                            \
    case number:                                                                                   \
        ktlb_aarch64_tlbi_##name(operand);                                                         \
        break;
        X(0, vae1)
        X(1, vale1)
        X(2, vaae1)
        X(3, vaale1)
        X(4, rvae1)
        X(5, rvale1)
        X(6, rvaae1)
        X(7, rvaale1)
        X(8, vae1is)
        X(9, vale1is)
        X(10, vaae1is)
        X(11, vaale1is)
        X(12, rvae1is)
        X(13, rvale1is)
        X(14, rvaae1is)
        X(15, rvaale1is)
#undef X
    }
}

/* In how many granules @op counts when it is a run for range TLBIs. One stride is one TLBI by address, whatever its
 * size. */
KTLB_INLINE uint64_t ktlb_aarch64_granules(struct ktlb_op op)
{
    return (uint64_t)op.count << (op.shift - KTLB_PAGE_SHIFT);
}

/* Whether @op is dropped with everything else rather than by itself. */
KTLB_INLINE bool ktlb_aarch64_is_whole(struct ktlb_op op)
{
    if (op.count == KTLB_ALL)
        return true;
    if (ktlb_arch.range)
        return op.count > 1 && ktlb_aarch64_granules(op) > KTLB_AARCH64_RANGE_MAX;
    return op.count > KTLB_FLUSH_MAX;
}

/* The TLBIs for @op, which is not whole. @form: KTLB_AARCH64_SHARED or 0. */
KTLB_INLINE void ktlb_aarch64_issue(struct ktlb_op op, uint64_t asid, unsigned form)
{
    unsigned base_shift = ktlb_arch.base_64k ? 16 : KTLB_PAGE_SHIFT;
    uint64_t left = ktlb_aarch64_granules(op);

    if (!(op.flags & KTLB_TABLES))
        form |= KTLB_AARCH64_LAST;
    if ((op.flags & KTLB_GLOBAL) || asid == KTLB_AARCH64_EVERY_ASID) {
        form |= KTLB_AARCH64_EVERY;
        asid = 0;
    }
    if (!ktlb_arch.range || op.count == 1) {
        for (uint32_t i = 0; i < op.count; i++)
            ktlb_aarch64_tlbi(form, ktlb_aarch64_operand(op.va + ((uint64_t)i << op.shift), asid));
        return;
    }
    while (left) { /* each piece is a granule or more */
        struct ktlb_aarch64_piece piece = ktlb_aarch64_first_piece(op.va, left, asid, base_shift);

        ktlb_aarch64_tlbi(form | (piece.range ? KTLB_AARCH64_RANGE : 0), piece.operand);
        op.va += piece.granules << KTLB_PAGE_SHIFT;
        left -= piece.granules;
    }
}

KTLB_INLINE uint64_t ktlb_aarch64_loaded_asid(void)
{
    return ktlb_aarch64_read_ttbr0() >> KTLB_AARCH64_ASID_SHIFT;
}

/* ---- for the library: what every architecture provides ---- */

/* Learn the machine, once. */
KTLB_INLINE void ktlb_arch_init(void)
{
    ktlb_arch.range = (ktlb_aarch64_read_isar0() >> 56 & 15) >= 2;
    ktlb_arch.base_64k = ktlb_aarch64_read_tcr() & KTLB_AARCH64_TCR_DS;
    ktlb_arch.fetch_sees = ktlb_aarch64_read_ctr() >> 29 & 1;
}

/* Whether this CPU can tag entries with one of @asids tags. ASIDs are always there; they have to be TTBR0's. */
KTLB_INLINE bool ktlb_arch_can_tag(unsigned asids)
{
    return asids == 0 || !(ktlb_aarch64_read_tcr() & KTLB_AARCH64_TCR_A1);
}

/* Drop the loaded tag's entries, not global ones. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_space(void)
{
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_tlbi_aside1(ktlb_aarch64_loaded_asid() << KTLB_AARCH64_ASID_SHIFT);
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_isb();
}

/* Drop everything of this CPU: all tags, global entries, walk caches. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_machine(void)
{
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_tlbi_vmalle1();
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_isb();
}

/* Drop one range for the loaded tag and global entries. @op.count is neither 0 nor KTLB_ALL. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_range(struct ktlb_op op)
{
    if (ktlb_aarch64_is_whole(op)) {
        ktlb_arch_flush_machine(); /* the range may be of the kernel's half: global entries go as well */
        return;
    }
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_issue(op, ktlb_aarch64_loaded_asid(), 0);
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_isb();
}

/*
 * From here on whatever fetches anew, on any CPU, gets what memory holds now. Part of a dispatch with KTLB_EXEC, before
 * the generation is raised: a CPU that executes the request, or catches up with it, has its ISB behind it. Before, the
 * host has cleaned what it wrote to the point of unification (DC CVAU), unless CTR_EL0.IDC says that there is no need.
 */
KTLB_INLINE void ktlb_arch_sync_code(void)
{
    ktlb_aarch64_dsb_ish();
    if (!ktlb_arch.fetch_sees) {
        ktlb_aarch64_ic_ialluis();
        ktlb_aarch64_dsb_ish();
    }
    ktlb_aarch64_isb();
}

KTLB_INLINE void ktlb_arch_relax(void)
{
    ktlb_aarch64_yield();
}

/* A counter that runs at a constant rate on this CPU. */
KTLB_INLINE uint64_t ktlb_arch_cycles(void)
{
    return ktlb_aarch64_read_cntvct();
}

/* ---- for who broadcasts ---- */

#define KTLB_ARCH_EVERY_ASID KTLB_AARCH64_EVERY_ASID

/* Whether the machine invalidates for all CPUs / and has an erratum for which they are interrupted nevertheless. */
KTLB_INLINE bool ktlb_arch_broadcasts(void)
{
    return true;
}

KTLB_INLINE bool ktlb_arch_broadcast_interrupts(void)
{
    return ktlb_arch.interrupt;
}

/*
 * Begin to drop the @count ops at @op on all CPUs of the Inner Shareable domain, @targets and this one among them, under
 * @asid, which means the same on all of them, or KTLB_ARCH_EVERY_ASID. => Interrupts masked.
 */
KTLB_INLINE void ktlb_arch_broadcast(const struct ktlb_cpuset *targets, const struct ktlb_op *op, unsigned count,
                                     uint64_t asid)
{
    (void)targets;
    ktlb_aarch64_dsb_ishst();
    for (unsigned i = 0; i < count; i++) {
        if (!ktlb_aarch64_is_whole(op[i]))
            ktlb_aarch64_issue(op[i], asid, KTLB_AARCH64_SHARED);
        else if ((op[i].flags & KTLB_GLOBAL) || asid == KTLB_AARCH64_EVERY_ASID)
            ktlb_aarch64_tlbi_vmalle1is();
        else
            ktlb_aarch64_tlbi_aside1is(asid << KTLB_AARCH64_ASID_SHIFT);
    }
}

/*
 * No access is made any more, anywhere, through what this CPU began to drop; with the errata above as far as @ktlb_arch
 * says. @flags: of the ops together. Other CPUs get no ISB by this.
 * => On the CPU that began: a DSB on another completes nothing of it.
 */
KTLB_INLINE void ktlb_arch_broadcast_wait(unsigned flags)
{
    ktlb_aarch64_dsb_ish();
    if (ktlb_arch.repeat) { /* any TLBI, once for all: the entries are gone, what goes through them is not done */
        ktlb_aarch64_tlbi_vale1is(0);
        ktlb_aarch64_dsb_ish();
    }
    if ((flags & KTLB_EXEC) && !ktlb_arch.fetch_sees) {
        ktlb_aarch64_ic_ialluis(); /* now that nobody can fetch by the old translation */
        ktlb_aarch64_dsb_ish();
    }
    ktlb_aarch64_isb();
}

/* Drop @op here alone, under @asid, loaded or not, or KTLB_ARCH_EVERY_ASID. => Interrupts masked. */
KTLB_INLINE void ktlb_arch_flush_asid(struct ktlb_op op, uint64_t asid)
{
    ktlb_aarch64_dsb_nsh();
    if (!ktlb_aarch64_is_whole(op))
        ktlb_aarch64_issue(op, asid, 0);
    else if ((op.flags & KTLB_GLOBAL) || asid == KTLB_AARCH64_EVERY_ASID)
        ktlb_aarch64_tlbi_vmalle1();
    else
        ktlb_aarch64_tlbi_aside1(asid << KTLB_AARCH64_ASID_SHIFT);
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_isb();
}

/* A full fence between CPUs that orders what this one walks as well, under @asid. */
KTLB_INLINE void ktlb_arch_fence_walks(uint64_t asid)
{
    (void)asid;
    ktlb_aarch64_dsb_ish();
}

/* ---- for hosts ---- */

/* Drop the entries for @va, of the loaded tag and global, here: for a fault that finds the access allowed by now. */
KTLB_INLINE void ktlb_aarch64_drop_here(uint64_t va)
{
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_tlbi_vale1(ktlb_aarch64_operand(va, ktlb_aarch64_loaded_asid()));
    ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_isb();
}

/* The value for TTBR0_EL1: the root table at physical @root, with the tag that ktlb_switch_begin() said. */
KTLB_INLINE uint64_t ktlb_aarch64_ttbr0(uint64_t root, struct ktlb_load load)
{
    return root | (uint64_t)load.asid << KTLB_AARCH64_ASID_SHIFT;
}

/*
 * Load TTBR0_EL1 with the root table at physical @root, as ktlb_switch_begin() said. A tag that is not loaded is flushed
 * before it is: what it holds may lead into tables that are gone, and once it is loaded a walk may follow. The loaded
 * one is flushed after: before, a walk of the old root could fill it again, and all it holds is of the old space, for
 * which this CPU still answers. In either case walks of the new root, which may begin with the load, come after what
 * ktlb_switch_begin() has seen: no fence of memory sees to that, a DSB does. => Between begin and end: no user address.
 */
KTLB_INLINE void ktlb_aarch64_load_root(uint64_t root, struct ktlb_load load)
{
    bool loaded = ktlb_aarch64_loaded_asid() == load.asid;

    if (load.flush && !loaded)
        ktlb_arch_flush_asid(ktlb_op_all(0), load.asid);
    else if (load.flush)
        ktlb_aarch64_dsb_nsh();
    ktlb_aarch64_write_ttbr0(ktlb_aarch64_ttbr0(root, load));
    ktlb_aarch64_isb();
    if (load.flush && loaded)
        ktlb_arch_flush_space();
}

/* Before the write to ICC_SGI1R_EL1 that interrupts, or the store to a GICv2 distributor: neither waits for earlier
 * stores, and the interrupt would overtake the request. */
KTLB_INLINE void ktlb_aarch64_fence_sgi(void)
{
    ktlb_aarch64_dsb_ishst();
}

#endif
