/*
 * riscv64_pte.h - what replacing one page-table entry by another obliges to on riscv64.
 */
#ifndef KTLB_ARCH_RISCV64_PTE_H
#define KTLB_ARCH_RISCV64_PTE_H

#include "../op.h"

#define KTLB_RISCV64_PTE_VALID (UINT64_C(1) << 0)
#define KTLB_RISCV64_PTE_LEAF (UINT64_C(7) << 1) /* R, W, X: none of them leads to a table */
#define KTLB_RISCV64_PTE_GLOBAL (UINT64_C(1) << 5)

KTLB_INLINE unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    (void)shift;
    if (old_pte == new_pte)
        return 0;
    if ((old_pte & KTLB_RISCV64_PTE_VALID) && !(old_pte & KTLB_RISCV64_PTE_LEAF))
        return KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC;
    return KTLB_PTE_RANGE | KTLB_EXEC | (old_pte & KTLB_RISCV64_PTE_GLOBAL ? KTLB_GLOBAL : 0);
}

#endif
