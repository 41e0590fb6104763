/*
 * aarch64_pte.h - what replacing one page-table entry by another obliges to on aarch64 (stage 1), and no more.
 *
 * From the Arm ARM (DDI 0487), "Translation table entries and TLB caching", "Using break-before-make":
 * - Nothing is cached from an entry whose use would be a translation, address size or access flag fault: one that is
 *   not valid, or a page or block whose access flag is clear. (Where hardware sets that flag, it does so in the table
 *   before it caches, and the exchange that replaced the entry returned it set.)
 * - Everything else may be cached at any time, and stays until it is invalidated. A permission fault drops nothing: an
 *   entry that was only read, and may be written now, can fault for as long as the old one is cached. So gaining a
 *   right costs as much as losing one, unless the host's fault handler drops the address itself
 *   (ktlb_arch.fault_drops).
 * - Bits of an entry that leads to a table restrict all below it, and may be cached with it or with what is below.
 */
#ifndef KTLB_ARCH_AARCH64_PTE_H
#define KTLB_ARCH_AARCH64_PTE_H

#include "../op.h"

#define KTLB_AARCH64_PTE_VALID (UINT64_C(1) << 0)
#define KTLB_AARCH64_PTE_TABLE (UINT64_C(1) << 1) /* above the last level; at the last: in any valid entry */
#define KTLB_AARCH64_PTE_USER (UINT64_C(1) << 6)  /* AP[1] */
#define KTLB_AARCH64_PTE_READ_ONLY (UINT64_C(1) << 7) /* AP[2] */
#define KTLB_AARCH64_PTE_SHARE (UINT64_C(3) << 8)     /* SH; with FEAT_LPA2 of the address */
#define KTLB_AARCH64_PTE_ACCESSED (UINT64_C(1) << 10)
#define KTLB_AARCH64_PTE_NOT_GLOBAL (UINT64_C(1) << 11)
#define KTLB_AARCH64_PTE_ADDRESS UINT64_C(0x0003fffffffff000)
#define KTLB_AARCH64_PTE_DBM (UINT64_C(1) << 51) /* hardware clears READ_ONLY at the first store */
#define KTLB_AARCH64_PTE_CONTIGUOUS (UINT64_C(1) << 52)
#define KTLB_AARCH64_PTE_PXN (UINT64_C(1) << 53)
#define KTLB_AARCH64_PTE_UXN (UINT64_C(1) << 54)
#define KTLB_AARCH64_PTE_SOFTWARE (UINT64_C(15) << 55)
#define KTLB_AARCH64_PTE_MEMORY (UINT64_C(7) << 2 | KTLB_AARCH64_PTE_SHARE) /* AttrIndx, SH */
#define KTLB_AARCH64_TABLE_LIMITS (UINT64_C(31) << 59) /* NSTable, APTable, UXNTable, PXNTable */

/* Of a page or block, what has no order: memory type, address, guard and hardware attributes, size by contiguity, and
 * whether it is global: what is cached under one tag only would later be taken for known to all. Any change counts. */
#define KTLB_AARCH64_PTE_OTHER                                                                     \
    ~(KTLB_AARCH64_PTE_VALID | KTLB_AARCH64_PTE_TABLE | KTLB_AARCH64_PTE_USER |                    \
      KTLB_AARCH64_PTE_READ_ONLY | KTLB_AARCH64_PTE_ACCESSED | KTLB_AARCH64_PTE_DBM |              \
      KTLB_AARCH64_PTE_PXN | KTLB_AARCH64_PTE_UXN | KTLB_AARCH64_PTE_SOFTWARE)

KTLB_INLINE bool ktlb_aarch64_pte_is_table(uint64_t pte, unsigned shift)
{
    return shift > KTLB_PAGE_SHIFT && (pte & KTLB_AARCH64_PTE_VALID) && (pte & KTLB_AARCH64_PTE_TABLE);
}

/* A page or a block, which may be accessed or not. In the last level an entry that is no table either is not valid. */
KTLB_INLINE bool ktlb_aarch64_pte_is_leaf(uint64_t pte, unsigned shift)
{
    bool table_bit = pte & KTLB_AARCH64_PTE_TABLE;

    return (pte & KTLB_AARCH64_PTE_VALID) && table_bit == (shift == KTLB_PAGE_SHIFT);
}

/* By a store, or by the hardware at the first one. */
KTLB_INLINE bool ktlb_aarch64_pte_writes(uint64_t pte)
{
    return !(pte & KTLB_AARCH64_PTE_READ_ONLY) || (pte & KTLB_AARCH64_PTE_DBM);
}

KTLB_INLINE bool ktlb_aarch64_pte_executes(uint64_t pte)
{
    return (pte & (KTLB_AARCH64_PTE_PXN | KTLB_AARCH64_PTE_UXN)) != (KTLB_AARCH64_PTE_PXN | KTLB_AARCH64_PTE_UXN);
}

/* A table died, or grants something else to all below it. Entries of any size were filled through it. */
KTLB_INLINE unsigned ktlb_aarch64_table_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t changed = old_pte ^ new_pte;

    if (!ktlb_aarch64_pte_is_table(new_pte, shift) ||
        (changed & (KTLB_AARCH64_PTE_ADDRESS | KTLB_AARCH64_PTE_SHARE)))
        return KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC;
    if ((changed & KTLB_AARCH64_TABLE_LIMITS) || (old_pte & ~new_pte & KTLB_AARCH64_PTE_ACCESSED))
        return KTLB_PTE_RANGE | KTLB_TABLES;
    return 0;
}

/* A store that used to fault may now be made. Whether the host uses DBM is not known: both readings count. */
KTLB_INLINE bool ktlb_aarch64_page_gains_write(uint64_t old_pte, uint64_t new_pte)
{
    return (old_pte & ~new_pte & KTLB_AARCH64_PTE_READ_ONLY) ||
           (!ktlb_aarch64_pte_writes(old_pte) && ktlb_aarch64_pte_writes(new_pte));
}

/*
 * Less than meets the eye is a gain:
 * - user access: with PAN the kernel may do less with such a page; what a user may write the kernel may not execute;
 * - execution by users: with EPAN the kernel may not touch what they can only execute;
 * - write, where it was executable: with SCTLR_EL1.WXN it no longer is.
 * And with DBM, to gain READ_ONLY is to become clean: left cached, the next store would leave no mark.
 */
KTLB_INLINE bool ktlb_aarch64_page_weakened(uint64_t old_pte, uint64_t new_pte)
{
    uint64_t lost = old_pte & ~new_pte, gained = new_pte & ~old_pte, changed = lost | gained;

    if (changed & (KTLB_AARCH64_PTE_OTHER | KTLB_AARCH64_PTE_USER | KTLB_AARCH64_PTE_UXN))
        return true;
    if ((lost & KTLB_AARCH64_PTE_ACCESSED) || (gained & KTLB_AARCH64_PTE_PXN))
        return true;
    if (ktlb_aarch64_page_gains_write(new_pte, old_pte))
        return true;
    return ktlb_aarch64_page_gains_write(old_pte, new_pte) && ktlb_aarch64_pte_executes(old_pte);
}

/*
 * KTLB_PTE_RANGE and enum ktlb_op_flag, or-ed; 0: nothing. See ktlb_batch_pte() for what @old_pte must be.
 *
 * An entry that was not valid obliges to nothing here, although it may lead to code: whoever writes code cleans it to
 * the point of unification and drops it from instruction caches by address (DC CVAU, IC IVAU) before anyone can run it.
 * After making an entry valid the host orders its store before its own accesses, DSB ISHST and ISB, or takes a fault
 * for nothing.
 */
KTLB_INLINE unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t frame = KTLB_AARCH64_PTE_ADDRESS | KTLB_AARCH64_PTE_SHARE;
    unsigned duty = KTLB_PTE_RANGE;

    if (ktlb_aarch64_pte_is_table(old_pte, shift))
        return ktlb_aarch64_table_obliges(old_pte, new_pte, shift);
    if (!ktlb_aarch64_pte_is_leaf(old_pte, shift) || !(old_pte & KTLB_AARCH64_PTE_ACCESSED))
        return 0;
    if (!(old_pte & KTLB_AARCH64_PTE_NOT_GLOBAL))
        duty |= KTLB_GLOBAL;
    if (!ktlb_aarch64_pte_is_leaf(new_pte, shift))
        return duty | (ktlb_aarch64_pte_executes(old_pte) ? KTLB_EXEC : 0);
    /* What is executed there changed: it is another frame, or somebody could not execute it, or it may have been
     * written. */
    if (ktlb_aarch64_pte_executes(new_pte) &&
        (((old_pte ^ new_pte) & frame) ||
         (old_pte & ~new_pte & (KTLB_AARCH64_PTE_PXN | KTLB_AARCH64_PTE_UXN | KTLB_AARCH64_PTE_USER)) ||
         ktlb_aarch64_page_gains_write(new_pte, old_pte)))
        return duty | KTLB_EXEC;
    if (ktlb_aarch64_page_weakened(old_pte, new_pte))
        return duty;
    if (!ktlb_arch.fault_drops && ktlb_aarch64_page_gains_write(old_pte, new_pte))
        return duty;
    return 0;
}

/*
 * Whether @new_pte may not simply be stored over @old_pte: the architecture wants the old entry gone and invalidated on
 * all CPUs first (break before make), or two entries that contradict each other may be cached at once: a conflict
 * abort, lost coherence, or neither's rights. Ask before the store; after it, it is too late.
 * @any_size: the CPUs can change between a block and a table of the same pages, and contiguity, without (FEAT_BBM level
 * 2). When in doubt, true: a new address of a page that nobody can write, with the same contents, would be allowed.
 */
KTLB_INLINE bool ktlb_aarch64_pte_needs_break(uint64_t old_pte, uint64_t new_pte, unsigned shift, bool any_size)
{
    uint64_t changed = old_pte ^ new_pte;
    bool old_table = ktlb_aarch64_pte_is_table(old_pte, shift), new_table = ktlb_aarch64_pte_is_table(new_pte, shift);
    bool old_leaf = ktlb_aarch64_pte_is_leaf(old_pte, shift) && (old_pte & KTLB_AARCH64_PTE_ACCESSED);

    if (!(old_table || old_leaf) || !(new_table || ktlb_aarch64_pte_is_leaf(new_pte, shift)))
        return false;
    if (old_table != new_table)
        return !any_size;
    if (old_table)
        return changed & (KTLB_AARCH64_PTE_ADDRESS | KTLB_AARCH64_PTE_SHARE);
    if ((changed & (KTLB_AARCH64_PTE_ADDRESS | KTLB_AARCH64_PTE_MEMORY)) ||
        (old_pte & ~new_pte & KTLB_AARCH64_PTE_NOT_GLOBAL)) /* the entry of one tag and the global one overlap */
        return true;
    return (changed & KTLB_AARCH64_PTE_CONTIGUOUS) && !any_size;
}

#endif
