/*
 * paging.c - page-table entries and the root registers.
 *
 * The accessed flag is set from the start and the walker has leave to write none (TCR_EL1.HA, HD), so a plain store of
 * an entry by us can lose nothing. User pages are EL0's too; PAN stays off, and read-only is read-only for EL1.
 */
#include "arm.h"

#define PTE_VALID UINT64_C(0x1)
#define PTE_TABLE UINT64_C(0x2) /* at the last level: a page */
#define PTE_USER UINT64_C(0x40)
#define PTE_READ_ONLY UINT64_C(0x80)
#define PTE_NORMAL UINT64_C(0x300) /* and inner shareable */
#define PTE_ACCESSED UINT64_C(0x400)
#define PTE_NOT_GLOBAL UINT64_C(0x800)
#define PTE_NO_EXECUTE UINT64_C(0x0060000000000000)
#define PTE_MAPPED UINT64_C(0x0080000000000000) /* ours: an entry without rights is still an entry */
#define PTE_ADDRESS UINT64_C(0x0000fffffffff000)

const uint64_t arch_direct_base = DIRECT_BASE;
const unsigned arch_levels = 4;
const uint64_t arch_user_base = USER_REGION, arch_kernel_base = KERNEL_REGION, arch_region_size = REGION_SIZE;

extern uint64_t arm_kernel_root[512], arm_empty_root[512], arm_direct_pointers[512];

static uint64_t image_address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - KERNEL_BASE + arm.image;
}

void direct_map(uint64_t start, uint64_t end, uint64_t entry)
{
    if (end > DIRECT_SIZE)
        kernel_refuse("there is something at %lx, which is further up than %lx", end - 1, (uint64_t)DIRECT_SIZE);
    for (uint64_t gib = start >> 30; gib <= (end - 1) >> 30; gib++)
        if (!arm_direct_pointers[gib])
            arm_direct_pointers[gib] = gib << 30 | entry;
    arch_pte_published();
}

uint64_t arch_kernel_root(void)
{
    return image_address(arm_kernel_root);
}

void arch_root_init(uint64_t *root)
{
    (void)root; /* the kernel's half has a root of its own, in TTBR1 */
}

void arch_root_load(uint64_t root, unsigned asid, bool flush)
{
    struct ktlb_load load = {(uint16_t)asid, flush};

    ktlb_aarch64_load_root(root ? root : image_address(arm_empty_root), load);
}

void arch_boot_mappings_drop(void)
{
    arch_root_load(0, 0, true);
}

uint64_t arch_pte_leaf(uint64_t address, unsigned rights, unsigned level, bool kernel)
{
    return address | PTE_MAPPED | PTE_ACCESSED | PTE_NORMAL | PTE_NO_EXECUTE | (rights ? PTE_VALID : 0) |
           (rights & MACHINE_WRITE ? 0 : PTE_READ_ONLY) | (level ? 0 : PTE_TABLE) |
           (kernel ? 0 : PTE_USER | PTE_NOT_GLOBAL);
}

uint64_t arch_pte_table(uint64_t address)
{
    return address | PTE_VALID | PTE_TABLE;
}

bool arch_pte_is_table(uint64_t pte, unsigned level)
{
    return level && (pte & PTE_VALID) && (pte & PTE_TABLE);
}

uint64_t arch_pte_address(uint64_t pte)
{
    return pte & PTE_ADDRESS;
}

unsigned arch_pte_rights(uint64_t pte)
{
    return !(pte & PTE_VALID) ? 0u : pte & PTE_READ_ONLY ? MACHINE_READ : MACHINE_READ | MACHINE_WRITE;
}

/* The store has to reach this CPU's walker before the next access looks for it there. */
void arch_pte_published(void)
{
    ktlb_aarch64_dsb_ishst();
    isb();
}
