/*
 * x86_64.c - the x86_64 instructions on the explorer's hardware.
 */
#include <string.h>

#include "hardware.h"
#include "ktlb/arch/x86_64.h"

#define PENDING_MAX 8

static struct {
    uint64_t cr3, cr4;
    bool repeated;
    struct hardware_drop pending[PENDING_MAX]; /* INVLPGBs that no TLBSYNC has waited for */
    unsigned count;
} registers[EX_CPUS_MAX];

static bool has_invpcid = true;

void hardware_arch_reset(void)
{
    memset(registers, 0, sizeof(registers));
    for (unsigned i = 0; i < EX_CPUS_MAX; i++)
        registers[i].cr4 = KTLB_X86_CR4_PGE | (hardware_tags ? KTLB_X86_CR4_PCIDE : 0);
}

void hardware_arch_load(unsigned root, struct ktlb_load load)
{
    ktlb_x86_write_cr3(ktlb_x86_cr3((uint64_t)root << 12, load));
}

/* This architecture lets any entry take any other's place. */
bool hardware_arch_needs_break(uint64_t old, uint64_t new, bool upper)
{
    (void)old;
    (void)new;
    (void)upper;
    return false;
}

void hardware_arch_trap(void)
{
}

/* The fault has dropped what it came from (manual, volume 3, "Operations that Invalidate TLBs and Paging-Structure
 * Caches"). */
void hardware_arch_fault(uint64_t va)
{
    struct hardware_drop drop = {.tag = hardware_tag(), .va = va, .globals = true, .walks = HARDWARE_WALKS_OF_PAGE};

    hardware_drop(&drop);
}

/* An xAPIC: the bus keeps the order, so the interrupt brings all that came before. On an x2APIC it is the host's fence that
 * does, which would hide what the library lacks. */
const struct ex_view *hardware_arch_fence_ipi(void)
{
    ktlb_x86_fence_xapic();
    return ex_view_current();
}

void ktlb_x86_invlpg(uint64_t va)
{
    struct hardware_drop drop = {
        .tag = hardware_tag(), .va = va, .globals = !hardware_quirks.invlpg_keeps_globals,
        .walks = hardware_quirks.walks_kept ? HARDWARE_WALKS_KEPT : HARDWARE_WALKS};
    bool *repeated = &registers[hardware_cpu()].repeated;

    if (hardware_quirks.address_ignored)
        return;
    if (hardware_quirks.first_does_nothing && (*repeated = !*repeated))
        return;
    hardware_drop(&drop);
}

void ktlb_x86_invpcid(uint64_t type, uint64_t pcid, uint64_t va)
{
    struct hardware_drop drop = {.tag = HARDWARE_EVERY_TAG, .all = true, .globals = true, .walks = HARDWARE_WALKS};

    ex_check(has_invpcid, "INVPCID on a CPU without it");
    if (type != KTLB_X86_INVPCID_ALL)
        drop = (struct hardware_drop){.tag = (unsigned)pcid, .all = type == KTLB_X86_INVPCID_PCID, .va = va,
                                      .walks = HARDWARE_WALKS_OF_PAGE};
    hardware_drop(&drop);
}

uint64_t ktlb_x86_read_cr3(void)
{
    return registers[hardware_cpu()].cr3;
}

void ktlb_x86_write_cr3(uint64_t value)
{
    uint64_t *cr3 = &registers[hardware_cpu()].cr3;

    ex_check(!(value & KTLB_X86_CR3_KEEP) || hardware_tags, "CR3 bit 63 on a CPU without PCID");
    *cr3 = value & ~KTLB_X86_CR3_KEEP;
    hardware_load_root((unsigned)(*cr3 >> 12), hardware_tags ? (unsigned)(*cr3 & KTLB_X86_CR3_PCID) : 0,
                       !(value & KTLB_X86_CR3_KEEP), ex_view_current());
}

uint64_t ktlb_x86_read_cr4(void)
{
    return registers[hardware_cpu()].cr4;
}

void ktlb_x86_write_cr4(uint64_t value)
{
    uint64_t *cr4 = &registers[hardware_cpu()].cr4;
    struct hardware_drop drop = {.tag = HARDWARE_EVERY_TAG, .all = true, .globals = true, .walks = HARDWARE_WALKS};

    if ((*cr4 ^ value) & KTLB_X86_CR4_PGE)
        hardware_drop(&drop);
    *cr4 = value;
}

void ktlb_x86_mfence(void)
{
    ex_fence(__ATOMIC_SEQ_CST);
}

void ktlb_x86_lfence(void)
{
}

void ktlb_x86_compiler_barrier(void)
{
}

void ktlb_x86_pause(void)
{
    ex_relax();
}

uint64_t ktlb_x86_rdtsc(void)
{
    return 0;
}

uint32_t ktlb_x86_cpuid_ebx(uint32_t leaf)
{
    return leaf == 7 ? (uint32_t)has_invpcid << 10 : leaf == 0x80000008 ? 1u << 3 : 0;
}

uint32_t ktlb_x86_cpuid_edx(uint32_t leaf)
{
    (void)leaf;
    return 1; /* two pages by one INVLPGB */
}

/* ---- broadcasts: nothing is dropped before the TLBSYNC of this CPU; other CPUs walk what a fence had published ---- */

void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx)
{
    unsigned cpu = hardware_cpu();

    for (uint32_t i = 0; i <= (ecx & 0xffff); i++) {
        ex_check(registers[cpu].count < PENDING_MAX, "explorer: more INVLPGBs in flight than this machine counts");
        registers[cpu].pending[registers[cpu].count++] = (struct hardware_drop){
            .tag = rax & KTLB_X86_INVLPGB_PCID ? edx >> 16 : HARDWARE_EVERY_TAG,
            .all = !(rax & KTLB_X86_INVLPGB_VA),
            .va = (rax & ~UINT64_C(0xfff)) + ((uint64_t)i << (ecx & KTLB_X86_INVLPGB_LARGE ? 21 : 12)),
            .globals = rax & KTLB_X86_INVLPGB_GLOBAL,
            .walks = rax & KTLB_X86_INVLPGB_LAST ? HARDWARE_WALKS_KEPT : HARDWARE_WALKS_OF_PAGE,
            .dated = true,
            .at = ex_view_released(),
        };
    }
}

void ktlb_x86_tlbsync(void)
{
    unsigned cpu = hardware_cpu();

    for (unsigned i = 0; i < registers[cpu].count; i++)
        hardware_drop_everywhere(&registers[cpu].pending[i], UINT64_MAX);
    registers[cpu].count = 0;
}
