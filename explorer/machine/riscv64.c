/*
 * riscv64.c - the riscv64 instructions, and the firmware's remote fences, on the explorer's hardware.
 *
 * A hart walks as it likes, and what it reads is ordered by SFENCE.VMA alone: no fence of memory reaches a walk, and a
 * root written to satp is walked with no more than the last SFENCE.VMA that spoke of its ASID had ordered. The forms drop
 * what the specification says they speak of and not an entry beyond: with an address leaf entries only, and what leads to
 * them stays; with an ASID nothing global, of either kind. What is not valid may be remembered as well, and goes on
 * faulting until it is dropped. Under Svinval (SVINVAL=1 in the environment) an invalidation knows what the last
 * SFENCE.W.INVAL had ordered and does nothing before the SFENCE.INVAL.IR. FENCE.I is not modelled: there are no fetches.
 */
#include <stdlib.h>
#include <string.h>

#include "hardware.h"
#include "ktlb/arch/riscv64.h"

#define PENDING_MAX 16
#define SV39 8u
#define ASID_MAX ((uint64_t)(TAGS - 1)) /* satp holds no more bits of an ASID than this has */
_Static_assert((TAGS & (TAGS - 1)) == 0, "ASIDs are bits of satp");

static struct {
    uint64_t satp;
    const struct ex_view *ordered[TAGS]; /* by the last SFENCE.VMA without an address that spoke of the tag */
    const struct ex_view *before;        /* by the last SFENCE.W.INVAL */
    const struct ex_view *sent;          /* what the last FENCE W,OW let go before anything for a device or the firmware */
    struct hardware_drop pending[PENDING_MAX]; /* SINVAL.VMAs that no SFENCE.INVAL.IR has followed */
    unsigned count;
} registers[EX_CPUS_MAX];

/* Not dense, and 0 is nobody's. */
static uint64_t hart_of[EX_CPUS_MAX];

void hardware_arch_reset(void)
{
    memset(registers, 0, sizeof(registers));
    for (unsigned i = 0; i < EX_CPUS_MAX; i++) {
        registers[i].satp = (uint64_t)SV39 << 60;
        hart_of[i] = 3 * i + 1;
    }
    ktlb_arch.svinval = getenv("SVINVAL") != NULL;
    ktlb_arch.fault_drops = true;
    ktlb_arch.hart_of = hart_of;
    hardware_keeps_faults = true;
}

void hardware_arch_load(unsigned root, struct ktlb_load load)
{
    ktlb_riscv64_load_root(SV39, (uint64_t)root << 12, load);
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

void hardware_arch_fault(uint64_t va)
{
    (void)va;
    ktlb_riscv64_drop_here();
}

const struct ex_view *hardware_arch_fence_ipi(void)
{
    ktlb_riscv64_fence_ipi();
    return registers[hardware_cpu()].sent;
}

/* ---- fences ---- */

static unsigned tag_of(uint64_t asid)
{
    ex_check(asid <= ASID_MAX, "an ASID that no satp holds: %llx", (unsigned long long)asid);
    return (unsigned)asid;
}

static struct hardware_drop whole(unsigned tag)
{
    bool every = tag == HARDWARE_EVERY_TAG;

    return (struct hardware_drop){.tag = tag, .all = true, .globals = every,
                                  .walks = every ? HARDWARE_WALKS : HARDWARE_WALKS_OF_USER};
}

static struct hardware_drop leaf(uint64_t va, unsigned tag)
{
    return (struct hardware_drop){.tag = tag, .va = va, .globals = tag == HARDWARE_EVERY_TAG,
                                  .walks = HARDWARE_WALKS_KEPT};
}

static void order(unsigned cpu, unsigned tag, const struct ex_view *view)
{
    for (unsigned i = 0; i < TAGS; i++)
        if (i == tag || tag == HARDWARE_EVERY_TAG)
            registers[cpu].ordered[i] = ex_view_join(registers[cpu].ordered[i], view);
}

static void fence_whole(unsigned tag)
{
    struct hardware_drop drop = whole(tag);

    hardware_drop(&drop);
    order(hardware_cpu(), tag, ex_view_current());
}

static void fence_leaf(uint64_t va, unsigned tag)
{
    struct hardware_drop drop = leaf(va, tag);

    if (!hardware_quirks.address_ignored)
        hardware_drop(&drop);
}

void ktlb_riscv64_sfence_vma_all(void)
{
    fence_whole(HARDWARE_EVERY_TAG);
}

void ktlb_riscv64_sfence_vma_asid(uint64_t asid)
{
    fence_whole(tag_of(asid));
}

void ktlb_riscv64_sfence_vma_va(uint64_t va)
{
    fence_leaf(va, HARDWARE_EVERY_TAG);
}

void ktlb_riscv64_sfence_vma_va_asid(uint64_t va, uint64_t asid)
{
    fence_leaf(va, tag_of(asid));
}

/* ---- Svinval ---- */

static void invalidate(struct hardware_drop drop)
{
    unsigned cpu = hardware_cpu();

    ex_check(ktlb_arch.svinval, "SINVAL.VMA on a hart without Svinval");
    ex_check(registers[cpu].count < PENDING_MAX, "explorer: more SINVAL.VMAs in flight than this machine counts");
    drop.dated = true;
    drop.at = registers[cpu].before;
    registers[cpu].pending[registers[cpu].count++] = drop;
}

void ktlb_riscv64_sfence_w_inval(void)
{
    registers[hardware_cpu()].before = ex_view_current();
}

void ktlb_riscv64_sinval_vma_va(uint64_t va)
{
    invalidate(leaf(va, HARDWARE_EVERY_TAG));
}

void ktlb_riscv64_sinval_vma_va_asid(uint64_t va, uint64_t asid)
{
    invalidate(leaf(va, tag_of(asid)));
}

void ktlb_riscv64_sfence_inval_ir(void)
{
    unsigned cpu = hardware_cpu();

    for (unsigned i = 0; i < registers[cpu].count; i++)
        hardware_drop(&registers[cpu].pending[i]);
    registers[cpu].count = 0;
}

/* ---- the firmware: interrupts no supervisor can mask, and waits until all have fenced ---- */

static bool cpus_of(uint64_t mask, uint64_t base, uint64_t *cpus)
{
    *cpus = 0;
    if (base == UINT64_MAX) {
        *cpus = UINT64_MAX;
        return true;
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t hart = base + bit;

        if (!(mask >> bit & 1))
            continue;
        if (hart % 3 != 1 || hart / 3 >= hardware_cpus())
            return false;
        *cpus |= UINT64_C(1) << hart / 3;
    }
    return true;
}

/* The fences there order what this hart had let go before the call, and what those have seen. */
static void fence_remotely(uint64_t cpus, struct hardware_drop drop)
{
    drop.dated = true;
    drop.at = registers[hardware_cpu()].sent;
    hardware_drop_everywhere(&drop, cpus);
    for (unsigned cpu = 0; drop.all && cpu < hardware_cpus(); cpu++)
        if (cpus >> cpu & 1)
            order(cpu, drop.tag, drop.at);
}

int64_t ktlb_riscv64_ecall(uint64_t extension, uint64_t function, uint64_t mask, uint64_t base, uint64_t start,
                           uint64_t size, uint64_t asid)
{
    uint64_t cpus;
    unsigned tag;

    if (extension != KTLB_RISCV64_SBI_RFENCE || function > 2)
        return -2; /* not supported */
    if (!cpus_of(mask, base, &cpus))
        return -3; /* invalid parameter */
    if (function == 0)
        return 0;
    tag = function == 1 ? HARDWARE_EVERY_TAG : tag_of(asid);
    if (size == UINT64_MAX || (start == 0 && size == 0)) {
        fence_remotely(cpus, whole(tag));
        return 0;
    }
    for (uint64_t va = start; va - start < size; va += UINT64_C(1) << KTLB_PAGE_SHIFT)
        if (hardware_has_page(va))
            fence_remotely(cpus, leaf(va, tag));
    return 0;
}

/* ---- the rest ---- */

void ktlb_riscv64_fence_i(void)
{
}

/* A release, as far as other harts are concerned; and the one fence of ours that comes before what leaves for a device. */
void ktlb_riscv64_fence_w_ow(void)
{
    ex_fence(__ATOMIC_RELEASE);
    registers[hardware_cpu()].sent = ex_view_current();
}

uint64_t ktlb_riscv64_read_satp(void)
{
    return registers[hardware_cpu()].satp;
}

void ktlb_riscv64_write_satp(uint64_t value)
{
    unsigned cpu = hardware_cpu();
    uint64_t asid = (value & KTLB_RISCV64_SATP_ASID) >> KTLB_RISCV64_SATP_ASID_SHIFT & (hardware_tags ? ASID_MAX : 0);

    registers[cpu].satp = (value & ~KTLB_RISCV64_SATP_ASID) | asid << KTLB_RISCV64_SATP_ASID_SHIFT;
    hardware_load_root((unsigned)(value & 0xfff), (unsigned)asid, false, registers[cpu].ordered[asid]);
}

void ktlb_riscv64_pause(void)
{
    ex_relax();
}

uint64_t ktlb_riscv64_read_time(void)
{
    return 0;
}
