/*
 * aarch64.c - the aarch64 instructions on the explorer's hardware.
 *
 * A TLBI does nothing by itself: it waits for a DSB of the CPU that issued it, DSB NSH for the local ones, DSB ISH for
 * all; what it drops is filled again by walks that know no more than the last DSB before it had waited for. On the
 * CPU itself even that shows only after an ISB, and so does a root that was written. So a barrier that is missing, or on the wrong CPU, or of the wrong
 * kind, leaves stale entries here.
 */
#include <stdlib.h>
#include <string.h>

#include "hardware.h"
#include "ktlb/arch/aarch64.h"

#define PENDING_MAX 16
#define EVERYONE UINT64_MAX

struct pending {
    struct hardware_drop drop;
    bool shared, done; /* done: but for the ISB of this CPU */
};

static struct {
    uint64_t ttbr0;
    bool written; /* but not in effect: that takes an ISB, or an exception */
    const struct ex_view *ordered;   /* what the last DSB waited for, as far as this CPU is concerned */
    const struct ex_view *published; /* and as far as all are */
    struct pending pending[PENDING_MAX];
    unsigned count;
} registers[EX_CPUS_MAX];

void hardware_arch_reset(void)
{
    memset(registers, 0, sizeof(registers));
    hardware_breaks = true;
    ktlb_arch.fault_drops = true;
    ktlb_arch.any_size = hardware_any_size = getenv("BBML2") != NULL;
    ktlb_arch.interrupt = getenv("INTERRUPT") != NULL;
}

/* An entry as this architecture would write it. */
static uint64_t descriptor(uint64_t entry, bool upper)
{
    bool block = entry & ENTRY_HUGE, table = upper && !block;

    return (uint64_t)ENTRY_NUMBER(entry) << (block ? REGION_BITS : PAGE_BITS) | KTLB_AARCH64_PTE_ACCESSED |
           (entry & ENTRY_PRESENT ? KTLB_AARCH64_PTE_VALID : 0) | (block ? 0 : KTLB_AARCH64_PTE_TABLE) |
           (entry & ENTRY_WRITE || table ? 0 : KTLB_AARCH64_PTE_READ_ONLY) | KTLB_AARCH64_PTE_NOT_GLOBAL;
}

bool hardware_arch_needs_break(uint64_t old, uint64_t new, bool upper)
{
    return ktlb_arch_pte_needs_break(descriptor(old, upper), descriptor(new, upper), upper ? REGION_BITS : PAGE_BITS);
}

void hardware_arch_load(unsigned root, struct ktlb_load load)
{
    ktlb_aarch64_load_root((uint64_t)root << 12, load);
}

const struct ex_view *hardware_arch_fence_ipi(void)
{
    ktlb_aarch64_fence_sgi();
    return ex_view_released();
}

/* ---- TLBI ---- */

static void issue(struct hardware_drop drop, bool shared)
{
    unsigned cpu = hardware_cpu();

    ex_check(registers[cpu].count < PENDING_MAX, "explorer: more TLBIs in flight than this machine counts");
    drop.dated = true;
    drop.at = shared ? registers[cpu].published : registers[cpu].ordered;
    registers[cpu].pending[registers[cpu].count++] = (struct pending){.drop = drop, .shared = shared};
}

static void by_address(uint64_t va, unsigned tag, bool last, bool shared)
{
    issue((struct hardware_drop){.tag = tag, .va = va, .globals = true,
                                 .walks = last ? HARDWARE_WALKS_KEPT : HARDWARE_WALKS_OF_PAGE}, shared);
}

/* The address that a field of @bits bits holds, @shift bits lower: the bits above are copies of the last one. */
static uint64_t address(uint64_t field, unsigned bits, unsigned shift)
{
    return (uint64_t)((int64_t)(field << (64 - bits)) >> (64 - bits)) << shift;
}

static void tlbi(uint64_t operand, bool range, bool every, bool last, bool shared)
{
    unsigned tag = every ? HARDWARE_EVERY_TAG : (unsigned)(operand >> 48);
    uint64_t va, pages;

    if (!range) {
        by_address(address(operand, 44, 12), tag, last, shared);
        return;
    }
    ex_check((operand >> 46 & 3) == 1, "TLBI by range: the granule is not 4 KiB");
    ex_check((operand >> 37 & 3) == 0, "TLBI by range: TTL is not clean");
    va = address(operand, 37, 12);
    pages = ((operand >> 39 & 31) + 1) << (5 * (operand >> 44 & 3) + 1);
    for (uint64_t i = 0; i < pages; i++)
        if (hardware_has_page(va + (i << 12)))
            by_address(va + (i << 12), tag, last, shared);
}

#define X(name, range, every, last, shared)                                                        \
    void ktlb_aarch64_tlbi_##name(uint64_t operand)                                                \
    {                                                                                              \
        tlbi(operand, range, every, last, shared);                                                 \
    }
AARCH64_TLBI_EACH(X)
#undef X

static void by_asid(uint64_t operand, bool shared)
{
    issue((struct hardware_drop){.tag = (unsigned)(operand >> 48), .all = true, .walks = HARDWARE_WALKS}, shared);
}

static void everything(bool shared)
{
    issue((struct hardware_drop){.tag = HARDWARE_EVERY_TAG, .all = true, .globals = true, .walks = HARDWARE_WALKS},
          shared);
}

void ktlb_aarch64_tlbi_aside1(uint64_t operand)
{
    by_asid(operand, false);
}

void ktlb_aarch64_tlbi_aside1is(uint64_t operand)
{
    by_asid(operand, true);
}

void ktlb_aarch64_tlbi_vmalle1(void)
{
    everything(false);
}

void ktlb_aarch64_tlbi_vmalle1is(void)
{
    everything(true);
}

/* ---- barriers ---- */

/* What a barrier of this reach is to wait for, and has not yet. */
static struct pending *waited_for(unsigned cpu, bool shared)
{
    for (unsigned i = 0; i < registers[cpu].count; i++)
        if (!registers[cpu].pending[i].done && registers[cpu].pending[i].shared <= shared)
            return &registers[cpu].pending[i];
    return NULL;
}

/* One instruction, and yet an NMI may come on its way, whose ISB moves what is pending. */
static void wait(bool shared)
{
    unsigned cpu = hardware_cpu();
    struct pending *pending;

    while ((pending = waited_for(cpu, shared)) != NULL) { /* each turn ends one */
        struct hardware_drop drop = pending->drop;

        pending->done = true;
        if (pending->shared)
            hardware_drop_everywhere(&drop, EVERYONE & ~(UINT64_C(1) << cpu));
    }
    registers[cpu].ordered = ex_view_current();
    if (shared)
        registers[cpu].published = registers[cpu].ordered;
}

void ktlb_aarch64_dsb_nsh(void)
{
    wait(false);
}

/* For stores; a release, as far as other CPUs are concerned. What this CPU has only read may still be on its way. */
void ktlb_aarch64_dsb_ishst(void)
{
    ex_fence(__ATOMIC_RELEASE);
    registers[hardware_cpu()].published = ex_view_current();
}

void ktlb_aarch64_dsb_ish(void)
{
    ex_fence(__ATOMIC_SEQ_CST);
    wait(true);
}

/* Of what takes effect now, the drops come first: walks of the old root go on until the end. */
void ktlb_aarch64_isb(void)
{
    unsigned cpu = hardware_cpu(), kept = 0;
    uint64_t ttbr0 = registers[cpu].ttbr0;

    for (unsigned i = 0; i < registers[cpu].count; i++) {
        struct pending *pending = &registers[cpu].pending[i];

        if (pending->done)
            hardware_drop(&pending->drop);
        else
            registers[cpu].pending[kept++] = *pending;
    }
    registers[cpu].count = kept;
    if (registers[cpu].written)
        hardware_load_root((unsigned)(ttbr0 >> 12 & 0xfff), hardware_tags ? (unsigned)(ttbr0 >> 48) : 0, false,
                           registers[cpu].ordered);
    registers[cpu].written = false;
}

void hardware_arch_trap(void)
{
    ktlb_aarch64_isb();
}

void hardware_arch_fault(uint64_t va)
{
    ktlb_aarch64_drop_here(va);
}

/* ---- the rest ---- */

void ktlb_aarch64_ic_ialluis(void)
{
}

void ktlb_aarch64_yield(void)
{
    ex_relax();
}

uint64_t ktlb_aarch64_read_ttbr0(void)
{
    return registers[hardware_cpu()].ttbr0;
}

void ktlb_aarch64_write_ttbr0(uint64_t value)
{
    registers[hardware_cpu()].ttbr0 = value;
    registers[hardware_cpu()].written = true;
}

uint64_t ktlb_aarch64_read_tcr(void)
{
    return 0;
}

uint64_t ktlb_aarch64_read_isar0(void)
{
    return UINT64_C(2) << 56; /* TLBI by range */
}

uint64_t ktlb_aarch64_read_ctr(void)
{
    return 0;
}

uint64_t ktlb_aarch64_read_cntvct(void)
{
    return 0;
}
