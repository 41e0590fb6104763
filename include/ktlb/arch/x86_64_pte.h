/*
 * x86_64_pte.h - what replacing one page-table entry by another obliges to on x86_64, and no more.
 *
 * From the Intel SDM, volume 3, "Caching translation information" (AMD's manual, volume 2, agrees in what matters here):
 * - Nothing is cached from an entry that is not present, or through one whose accessed bit is clear: the processor sets
 *   that bit before it caches.
 * - A cached translation keeps the address, size, memory type, protection key and rights of the entry, and whether its
 *   dirty bit was set. An access that the cached rights forbid faults, once; the fault drops the entry.
 * So an entry must be invalidated when what may be cached lets anyone do what the new entry would not.
 */
#ifndef KTLB_ARCH_X86_64_PTE_H
#define KTLB_ARCH_X86_64_PTE_H

#include "../op.h"

#define KTLB_X86_PTE_PRESENT (UINT64_C(1) << 0)
#define KTLB_X86_PTE_WRITE (UINT64_C(1) << 1)
#define KTLB_X86_PTE_USER (UINT64_C(1) << 2)
#define KTLB_X86_PTE_CACHE (UINT64_C(3) << 3) /* PWT, PCD */
#define KTLB_X86_PTE_ACCESSED (UINT64_C(1) << 5)
#define KTLB_X86_PTE_DIRTY (UINT64_C(1) << 6)
#define KTLB_X86_PTE_LARGE (UINT64_C(1) << 7) /* of the smallest page: its PAT bit */
#define KTLB_X86_PTE_GLOBAL (UINT64_C(1) << 8)
#define KTLB_X86_PTE_ADDRESS UINT64_C(0x000ffffffffff000) /* of a large page: bit 12 is its PAT bit */
#define KTLB_X86_PTE_KEY (UINT64_C(15) << 59)
#define KTLB_X86_PTE_NX (UINT64_C(1) << 63)
#define KTLB_X86_CR4_CET (UINT64_C(1) << 23)

/* Whether @pte, which is present and spans 1 << @shift bytes, leads to a table rather than to memory. */
KTLB_INLINE bool ktlb_x86_pte_is_table(uint64_t pte, unsigned shift)
{
    return shift > 30 || (shift > 12 && !(pte & KTLB_X86_PTE_LARGE));
}

/* A table died, or grants less to all below it. Entries of any size were filled through it. */
KTLB_INLINE unsigned ktlb_x86_table_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t lost = old_pte & ~new_pte, gained = new_pte & ~old_pte, changed = lost | gained;

    if (!(new_pte & KTLB_X86_PTE_PRESENT) || !ktlb_x86_pte_is_table(new_pte, shift))
        return KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC;
    if (changed & KTLB_X86_PTE_ADDRESS)
        return KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC;
    if ((lost & (KTLB_X86_PTE_WRITE | KTLB_X86_PTE_ACCESSED)) || (gained & KTLB_X86_PTE_NX) ||
        (changed & (KTLB_X86_PTE_USER | KTLB_X86_PTE_CACHE)))
        return KTLB_PTE_RANGE | KTLB_TABLES;
    return 0;
}

/*
 * Less than meets the eye is a gain:
 * - user: with SMEP and SMAP the kernel may do less with a user's page than with its own;
 * - global: what is cached under one tag only would later be taken for known to all;
 * - write, where the old entry was dirty and not writable: that is a shadow stack, if CR4.CET says so.
 * Memory type and key have no order: any change counts.
 */
KTLB_INLINE bool ktlb_x86_page_weakened(uint64_t old_pte, uint64_t new_pte)
{
    uint64_t lost = old_pte & ~new_pte, gained = new_pte & ~old_pte, changed = lost | gained;

    if (lost & (KTLB_X86_PTE_WRITE | KTLB_X86_PTE_ACCESSED | KTLB_X86_PTE_DIRTY))
        return true;
    if (changed & (KTLB_X86_PTE_USER | KTLB_X86_PTE_CACHE | KTLB_X86_PTE_LARGE | KTLB_X86_PTE_GLOBAL |
                   KTLB_X86_PTE_ADDRESS | KTLB_X86_PTE_KEY))
        return true;
    if (gained & KTLB_X86_PTE_NX)
        return true;
    return (gained & KTLB_X86_PTE_WRITE) && (old_pte & KTLB_X86_PTE_DIRTY) &&
           (ktlb_x86_read_cr4() & KTLB_X86_CR4_CET);
}

/* KTLB_PTE_RANGE and enum ktlb_op_flag, or-ed; 0: nothing. See ktlb_batch_pte() for what @old_pte must be. */
KTLB_INLINE unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t frame = KTLB_X86_PTE_ADDRESS & ~((UINT64_C(1) << shift) - 1);
    unsigned duty = KTLB_PTE_RANGE;
    bool gone;

    if (!(old_pte & KTLB_X86_PTE_PRESENT) || !(old_pte & KTLB_X86_PTE_ACCESSED))
        return 0;
    if (ktlb_x86_pte_is_table(old_pte, shift))
        return ktlb_x86_table_obliges(old_pte, new_pte, shift);
    gone = !(new_pte & KTLB_X86_PTE_PRESENT) || ktlb_x86_pte_is_table(new_pte, shift);
    if (!gone && !ktlb_x86_page_weakened(old_pte, new_pte))
        return 0;
    if (old_pte & KTLB_X86_PTE_GLOBAL)
        duty |= KTLB_GLOBAL;
    /* What was or will be executed there is something else now. */
    if (gone ? !(old_pte & KTLB_X86_PTE_NX)
             : ((old_pte ^ new_pte) & frame) && !(old_pte & new_pte & KTLB_X86_PTE_NX))
        duty |= KTLB_EXEC;
    return duty;
}

/* A live entry may be replaced by any other: what is cached of the two is used in turn, one or the other, until the
 * invalidation (SDM, "Details of TLB use", where the two differ in size as well). Elsewhere it may not: see aarch64. */
KTLB_INLINE bool ktlb_arch_pte_needs_break(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    (void)old_pte;
    (void)new_pte;
    (void)shift;
    return false;
}

#endif
