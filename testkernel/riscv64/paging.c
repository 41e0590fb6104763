/*
 * paging.c - page-table entries and the root register, Sv39.
 *
 * Accessed and dirty are set from the start: whether this machine would set them by itself or fault to have them set, it
 * has no reason to do either, and a plain store of an entry by us can lose nothing. User pages carry the user bit, and
 * SUM lets the kernel at them.
 */
#include "ktlb/arch/riscv64.h"
#include "riscv.h"

#define PTE_VALID UINT64_C(0x001)
#define PTE_READ UINT64_C(0x002)
#define PTE_WRITE UINT64_C(0x004)
#define PTE_EXECUTE UINT64_C(0x008)
#define PTE_USER UINT64_C(0x010)
#define PTE_GLOBAL UINT64_C(0x020)
#define PTE_ACCESSED UINT64_C(0x040)
#define PTE_DIRTY UINT64_C(0x080)
#define PTE_MAPPED UINT64_C(0x100) /* ours: an entry without rights is still an entry */
#define PTE_ADDRESS UINT64_C(0x003ffffffffffc00) /* shifted right by 2 */

const uint64_t arch_direct_base = DIRECT_BASE;
const unsigned arch_levels = 3;
const uint64_t arch_user_base = USER_REGION, arch_kernel_base = KERNEL_REGION, arch_region_size = REGION_SIZE;

extern uint64_t riscv64_kernel_root[512];

uint64_t arch_kernel_root(void)
{
    return direct_address(riscv64_kernel_root);
}

void arch_root_init(uint64_t *root)
{
    for (unsigned i = 256; i < 512; i++)
        root[i] = riscv64_kernel_root[i];
}

void arch_root_load(uint64_t root, unsigned asid, bool flush)
{
    struct ktlb_load load = {(uint16_t)asid, flush};

    ktlb_riscv64_load_root(SATP_SV39, root ? root : arch_kernel_root(), load);
}

void arch_boot_mappings_drop(void)
{
    /* There are none: see boot.S. */
}

/* ---- entries ---- */

uint64_t arch_pte_leaf(uint64_t address, unsigned rights, unsigned level, bool kernel)
{
    (void)level; /* an entry with a right is a leaf at every level */
    return address >> 2 | PTE_MAPPED | PTE_ACCESSED | PTE_DIRTY | (rights ? PTE_VALID | PTE_READ : 0) |
           (rights & MACHINE_WRITE ? PTE_WRITE : 0) | (kernel ? PTE_GLOBAL : PTE_USER);
}

uint64_t arch_pte_table(uint64_t address)
{
    return address >> 2 | PTE_VALID;
}

bool arch_pte_is_table(uint64_t pte, unsigned level)
{
    return level && (pte & PTE_VALID) && !(pte & (PTE_READ | PTE_WRITE | PTE_EXECUTE));
}

uint64_t arch_pte_address(uint64_t pte)
{
    return (pte & PTE_ADDRESS) << 2;
}

unsigned arch_pte_rights(uint64_t pte)
{
    return !(pte & PTE_VALID) ? 0u : pte & PTE_WRITE ? MACHINE_READ | MACHINE_WRITE : MACHINE_READ;
}

void arch_pte_published(void)
{
    /* A hart may go on for a while to see that there was no entry. It then faults, and fault_repair() tells it. */
}

/* Whether the tables as they are now allow the access, all caches aside. In a control they may be gone already, and what
 * was a table leads anywhere: hence the load that may fault. */
static bool tables_allow(uint64_t va, bool store)
{
    uint64_t table = (ktlb_riscv64_read_satp() & SATP_ROOT) << 12, pte;

    for (unsigned level = arch_levels; level-- > 0; table = arch_pte_address(pte)) {
        if (!arch_load(DIRECT_BASE + table + (va >> (12 + 9 * level)) % 512 * sizeof(pte), &pte) || !(pte & PTE_VALID))
            return false;
        if (!arch_pte_is_table(pte, level))
            return pte & (store ? PTE_WRITE : PTE_READ);
    }
    return false;
}

/* A fault may come from what this hart remembers of an entry that was not valid, or allowed less. Then the next try, if
 * there is one, has to see the entry. */
void fault_repair(uint64_t va, bool store)
{
    if (tables_allow(va, store))
        ktlb_riscv64_drop_here();
}
