/*
 * paging.c - page-table entries and the root register.
 *
 * Accessed and dirty are set from the start: the walker never writes an entry, so a plain store of one by us can lose
 * nothing. User pages carry the user bit, SMAP stays off, and CR0.WP makes read-only mean it for ring 0 too.
 */
#include "ktlb/arch/x86_64.h"
#include "x86.h"

#define PTE_PRESENT UINT64_C(0x001)
#define PTE_WRITE UINT64_C(0x002)
#define PTE_USER UINT64_C(0x004)
#define PTE_ACCESSED UINT64_C(0x020)
#define PTE_DIRTY UINT64_C(0x040)
#define PTE_HUGE UINT64_C(0x080)
#define PTE_GLOBAL UINT64_C(0x100)
#define PTE_MAPPED UINT64_C(0x200) /* ours: an entry without rights is still an entry */
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)

const uint64_t arch_direct_base = DIRECT_BASE;
const unsigned arch_levels = 4;
const uint64_t arch_user_base = USER_REGION, arch_kernel_base = KERNEL_REGION, arch_region_size = REGION_SIZE;

extern uint64_t x86_kernel_root[512];

uint64_t arch_kernel_root(void)
{
    return (uintptr_t)x86_kernel_root - KERNEL_BASE;
}

void arch_root_init(uint64_t *root)
{
    for (unsigned i = 256; i < 512; i++)
        root[i] = x86_kernel_root[i];
}

void arch_root_load(uint64_t root, unsigned asid, bool flush)
{
    struct ktlb_load load = {(uint16_t)asid, flush || !x86.use_pcid};

    write_cr3(ktlb_x86_cr3(root ? root : arch_kernel_root(), load));
}

void arch_boot_mappings_drop(void)
{
    x86_kernel_root[0] = 0;
    arch_root_load(0, 0, true);
}

void paging_enable(void)
{
    write_cr4(read_cr4() | CR4_PGE);
    if (x86.use_pcid)
        write_cr4(read_cr4() | CR4_PCIDE);
}

uint64_t arch_pte_leaf(uint64_t address, unsigned rights, unsigned level, bool kernel)
{
    return address | PTE_MAPPED | PTE_ACCESSED | PTE_DIRTY | (rights ? PTE_PRESENT : 0) |
           (rights & MACHINE_WRITE ? PTE_WRITE : 0) | (level ? PTE_HUGE : 0) | (kernel ? PTE_GLOBAL : PTE_USER);
}

uint64_t arch_pte_table(uint64_t address)
{
    return address | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
}

bool arch_pte_is_table(uint64_t pte, unsigned level)
{
    return level && (pte & PTE_PRESENT) && !(pte & PTE_HUGE);
}

uint64_t arch_pte_address(uint64_t pte)
{
    return pte & PTE_ADDRESS;
}

unsigned arch_pte_rights(uint64_t pte)
{
    return !(pte & PTE_PRESENT) ? 0u : pte & PTE_WRITE ? MACHINE_READ | MACHINE_WRITE : MACHINE_READ;
}

void arch_pte_published(void)
{
    /* Entries that are not present are not cached, and stores and walks of one CPU keep their order. */
}
