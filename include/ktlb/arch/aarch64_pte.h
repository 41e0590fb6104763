/*
 * aarch64_pte.h - what replacing one page-table entry by another obliges to on aarch64.
 */
#ifndef KTLB_ARCH_AARCH64_PTE_H
#define KTLB_ARCH_AARCH64_PTE_H

#include "../op.h"

#define KTLB_AARCH64_PTE_VALID (UINT64_C(1) << 0)
#define KTLB_AARCH64_PTE_TABLE (UINT64_C(1) << 1) /* above the last level: a table; at the last: a page */
#define KTLB_AARCH64_PTE_NG (UINT64_C(1) << 11)

KTLB_INLINE unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    if (!(old_pte & KTLB_AARCH64_PTE_VALID) || old_pte == new_pte)
        return 0;
    if (shift > KTLB_PAGE_SHIFT && (old_pte & KTLB_AARCH64_PTE_TABLE))
        return KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC;
    return KTLB_PTE_RANGE | KTLB_EXEC | (old_pte & KTLB_AARCH64_PTE_NG ? 0 : KTLB_GLOBAL);
}

#endif
