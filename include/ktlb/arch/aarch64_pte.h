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

#include "aarch64_descriptor.h"

/* Of a page or block, what has no order: memory type, address, guard and hardware attributes, size by contiguity, and
 * whether it is global: what is cached under one tag only would later be taken for known to all. Any change counts. */
#define KTLB_AARCH64_PTE_OTHER                                                                     \
    ~(KTLB_AARCH64_PTE_VALID | KTLB_AARCH64_PTE_TABLE | KTLB_AARCH64_PTE_USER |                    \
      KTLB_AARCH64_PTE_READ_ONLY | KTLB_AARCH64_PTE_ACCESSED | KTLB_AARCH64_PTE_DBM |              \
      KTLB_AARCH64_PTE_PXN | KTLB_AARCH64_PTE_UXN | KTLB_AARCH64_PTE_SOFTWARE)

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

/* Whether the host has to break before it makes: see ktlb_aarch64_pte_needs_break(). */
KTLB_INLINE bool ktlb_arch_pte_needs_break(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    return ktlb_aarch64_pte_needs_break(old_pte, new_pte, shift, ktlb_arch.any_size);
}

#endif
