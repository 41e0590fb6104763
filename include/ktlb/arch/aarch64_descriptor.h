/*
 * aarch64_descriptor.h - what the bits of a page-table entry of aarch64 (stage 1) say, and which entry may not simply
 * take another's place: for this architecture's layer, and for whoever edits a guest's tables from elsewhere.
 *
 * From the Arm ARM (DDI 0487), "Using break-before-make when updating translation table entries".
 */
#ifndef KTLB_ARCH_AARCH64_DESCRIPTOR_H
#define KTLB_ARCH_AARCH64_DESCRIPTOR_H

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

/*
 * Whether @new_pte may not simply be stored over @old_pte: the architecture wants the old entry gone and invalidated on
 * all CPUs first (break before make), or two entries that contradict each other may be cached at once: a conflict
 * abort, lost coherence, or neither's rights. Ask before the store, and where hardware sets the accessed flag store by
 * compare-and-exchange: after it, it is too late. An entry that is not valid asks for no break, but what was there
 * before it may be cached until the sync of the batch that was told so: until then nothing is stored there either.
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
