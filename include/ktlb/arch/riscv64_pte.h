/*
 * riscv64_pte.h - what replacing one page-table entry by another obliges to on riscv64, and no more.
 *
 * From the privileged specification, "Supervisor Memory-Management Fence Instruction", "Virtual Address Translation
 * Process", "Svvptc":
 * - SFENCE.VMA orders, it does not flush. Without it a hart may go on using what it read of an entry, whatever that
 *   was: an entry that was not valid, too. So what gained a right costs as much as what lost one, and so does a new
 *   mapping; unless the host's fault handler fences (ktlb_arch.fault_drops), or, for entries that become valid, Svvptc
 *   promises that harts will see it by themselves.
 * - Nobody gets access through an entry whose accessed bit is clear, nor stores through one whose dirty bit is: the
 *   access faults, or the hardware checks the entry in the table again when it sets the bit. Such an entry may be
 *   cached, but grants nothing.
 * - The global bit of an entry that leads to a table holds for all below it.
 */
#ifndef KTLB_ARCH_RISCV64_PTE_H
#define KTLB_ARCH_RISCV64_PTE_H

#include "../op.h"

#define KTLB_RISCV64_PTE_VALID (UINT64_C(1) << 0)
#define KTLB_RISCV64_PTE_READ (UINT64_C(1) << 1)
#define KTLB_RISCV64_PTE_WRITE (UINT64_C(1) << 2)
#define KTLB_RISCV64_PTE_EXECUTE (UINT64_C(1) << 3)
#define KTLB_RISCV64_PTE_RIGHTS (UINT64_C(7) << 1) /* none of them: the entry leads to a table */
#define KTLB_RISCV64_PTE_USER (UINT64_C(1) << 4)
#define KTLB_RISCV64_PTE_GLOBAL (UINT64_C(1) << 5)
#define KTLB_RISCV64_PTE_ACCESSED (UINT64_C(1) << 6)
#define KTLB_RISCV64_PTE_DIRTY (UINT64_C(1) << 7)
#define KTLB_RISCV64_PTE_SOFTWARE (UINT64_C(3) << 8)
#define KTLB_RISCV64_PTE_FRAME (((UINT64_C(1) << 44) - 1) << 10)

/* What has no order: users' or the kernel's (neither may do all that the other may), global, address, memory type,
 * NAPOT and what is reserved. Any change counts. */
#define KTLB_RISCV64_PTE_OTHER                                                                     \
    ~(KTLB_RISCV64_PTE_VALID | KTLB_RISCV64_PTE_RIGHTS | KTLB_RISCV64_PTE_ACCESSED |               \
      KTLB_RISCV64_PTE_DIRTY | KTLB_RISCV64_PTE_SOFTWARE)

KTLB_INLINE bool ktlb_riscv64_pte_is_table(uint64_t pte, unsigned shift)
{
    return shift > KTLB_PAGE_SHIFT && (pte & KTLB_RISCV64_PTE_VALID) && !(pte & KTLB_RISCV64_PTE_RIGHTS);
}

/* Whether anyone can access memory by @pte as it stands. */
KTLB_INLINE bool ktlb_riscv64_pte_grants(uint64_t pte)
{
    return (pte & KTLB_RISCV64_PTE_VALID) && (pte & KTLB_RISCV64_PTE_RIGHTS) && (pte & KTLB_RISCV64_PTE_ACCESSED);
}

KTLB_INLINE bool ktlb_riscv64_pte_executes(uint64_t pte)
{
    return (pte & KTLB_RISCV64_PTE_VALID) && (pte & KTLB_RISCV64_PTE_EXECUTE);
}

/* A write-only entry is a shadow stack (Zicfiss): to gain the right to read it is to lose that. */
KTLB_INLINE bool ktlb_riscv64_page_weakened(uint64_t old_pte, uint64_t new_pte)
{
    uint64_t lost = old_pte & ~new_pte, gained = new_pte & ~old_pte, changed = lost | gained;

    return (lost & (KTLB_RISCV64_PTE_RIGHTS | KTLB_RISCV64_PTE_ACCESSED | KTLB_RISCV64_PTE_DIRTY)) ||
           (changed & KTLB_RISCV64_PTE_OTHER) ||
           ((gained & KTLB_RISCV64_PTE_READ) && (old_pte & KTLB_RISCV64_PTE_WRITE));
}

/* Whether a hart that read @old_pte may go on faulting by it. */
KTLB_INLINE bool ktlb_riscv64_pte_lingers(uint64_t old_pte)
{
    return !ktlb_arch.fault_drops && ((old_pte & KTLB_RISCV64_PTE_VALID) || !ktlb_arch.svvptc);
}

/* Some access that used to fault, or whose marks the hardware had to check in the table first, may now be made. */
KTLB_INLINE bool ktlb_riscv64_page_strengthened(uint64_t old_pte, uint64_t new_pte)
{
    return !(old_pte & KTLB_RISCV64_PTE_VALID) ||
           (new_pte & ~old_pte & (KTLB_RISCV64_PTE_RIGHTS | KTLB_RISCV64_PTE_ACCESSED | KTLB_RISCV64_PTE_DIRTY));
}

/*
 * KTLB_PTE_RANGE and enum ktlb_op_flag, or-ed; 0: nothing. See ktlb_batch_pte() for what @old_pte must be.
 *
 * KTLB_EXEC wherever something else may be executed from now on, new mappings included: FENCE.I speaks for one hart, so
 * who wrote the code cannot have done it for all.
 */
KTLB_INLINE unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t lost = old_pte & ~new_pte, gained = new_pte & ~old_pte, changed = lost | gained;
    bool old_table = ktlb_riscv64_pte_is_table(old_pte, shift), new_table = ktlb_riscv64_pte_is_table(new_pte, shift);
    unsigned duty = KTLB_PTE_RANGE;

    if (old_table) {
        if (!new_table || (changed & KTLB_RISCV64_PTE_FRAME))
            return duty | KTLB_TABLES | KTLB_EXEC;
        return changed & ~KTLB_RISCV64_PTE_SOFTWARE ? duty | KTLB_TABLES : 0;
    }
    if (new_table) { /* a fence by address does not speak of this entry any more */
        if (ktlb_riscv64_pte_grants(old_pte))
            return duty | KTLB_TABLES | KTLB_EXEC;
        return ktlb_riscv64_pte_lingers(old_pte) ? duty | KTLB_TABLES : 0;
    }
    /* What a hart may hold of an entry that was not valid goes with the new one: the fence reaches every ASID. */
    if ((old_pte & KTLB_RISCV64_PTE_VALID ? old_pte : new_pte) & KTLB_RISCV64_PTE_GLOBAL)
        duty |= KTLB_GLOBAL;
    /* What is executed there changed: it is new, or another frame, or was not executed before, or may have been
     * written. */
    if (ktlb_riscv64_pte_executes(new_pte) &&
        (!ktlb_riscv64_pte_executes(old_pte) || (changed & KTLB_RISCV64_PTE_FRAME) || (lost & KTLB_RISCV64_PTE_WRITE)))
        return duty | KTLB_EXEC;
    if (ktlb_riscv64_pte_grants(old_pte)) {
        if (!(new_pte & KTLB_RISCV64_PTE_VALID) || !(new_pte & KTLB_RISCV64_PTE_RIGHTS))
            return duty | (ktlb_riscv64_pte_executes(old_pte) ? KTLB_EXEC : 0);
        if (ktlb_riscv64_page_weakened(old_pte, new_pte))
            return duty;
    }
    if (ktlb_riscv64_pte_grants(new_pte) && ktlb_riscv64_pte_lingers(old_pte) &&
        ktlb_riscv64_page_strengthened(old_pte, new_pte))
        return duty;
    return 0;
}

/* A live entry may be replaced by any other: until the fence a hart goes by either, whatever their sizes (privileged
 * specification, "Supervisor Memory-Management Fence Instruction"). Elsewhere it may not: see aarch64. */
KTLB_INLINE bool ktlb_arch_pte_needs_break(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    (void)old_pte;
    (void)new_pte;
    (void)shift;
    return false;
}

#endif
