/*
 * gic.c - the interrupt controller, a GICv3 by its registers, and time by each CPU's virtual timer.
 *
 * What is never masked: where this kernel may use both groups of interrupts (no secure world keeps one of them), those
 * of group 0 arrive as FIQ, and nothing here masks FIQ. One such interrupt plays the NMI.
 * (Arm IHI 0069; the timer: DDI 0487, "The Generic Timer".)
 */
#include "arm.h"

enum interrupt { INTERRUPT_KTLB, INTERRUPT_WAKE, INTERRUPT_NMI, INTERRUPT_NONE = 1020 };
/* Lower goes first. Between the two, so that ktlb's can be held back: see arch_nap(). */
enum priority { PRIORITY_NMI = 0x00, PRIORITY_TIMER = 0x40, PRIORITY_HOLD = 0x60, PRIORITY_REST = 0x80 };

#define GICD_CTLR 0x0000u
#define GICD_CTLR_GROUPS 0x3u    /* 0 and 1 */
#define GICD_CTLR_ROUTING 0x10u  /* by affinity */
#define GICD_CTLR_ONE_WORLD 0x40u
#define GICD_CTLR_BUSY (1u << 31)
#define GICR_TYPER 0x0008u
#define GICR_TYPER_VIRTUAL 0x02u /* two more frames */
#define GICR_TYPER_LAST 0x10u
#define GICR_WAKER 0x0014u
#define GICR_WAKER_SLEEP 0x2u
#define GICR_WAKER_ASLEEP 0x4u
#define GICR_FRAME 0x10000u
#define GICR_GROUP (GICR_FRAME + 0x0080u)
#define GICR_ENABLE (GICR_FRAME + 0x0100u)
#define GICR_DISABLE (GICR_FRAME + 0x0180u)
#define GICR_PRIORITY (GICR_FRAME + 0x0400u)

#define ICC_PMR S3_0_C4_C6_0
#define ICC_IAR0 S3_0_C12_C8_0
#define ICC_EOIR0 S3_0_C12_C8_1
#define ICC_SGI1R S3_0_C12_C11_5
#define ICC_SGI0R S3_0_C12_C11_7
#define ICC_IAR1 S3_0_C12_C12_0
#define ICC_EOIR1 S3_0_C12_C12_1
#define ICC_CTLR S3_0_C12_C12_4
#define ICC_SRE S3_0_C12_C12_5
#define ICC_IGRPEN0 S3_0_C12_C12_6
#define ICC_IGRPEN1 S3_0_C12_C12_7
/* So that the macro's argument is expanded first. */
#define ICC_READ(name) READ_REGISTER(name)
#define ICC_WRITE(name, value) WRITE_REGISTER(name, value)
#define TIMER_WRITE(name, value) WRITE_REGISTER(name, value)

/* At EL1 the virtual timer; at EL2 its own, which has the name of the physical one there. */
#ifdef KERNEL_EL2
#define TIMER_WORD 9
#define TIMER_CONTROL cntp_ctl_el0
#define TIMER_COMPARE cntp_cval_el0
#else
#define TIMER_WORD 6
#define TIMER_CONTROL cntv_ctl_el0
#define TIMER_COMPARE cntv_cval_el0
#endif

static struct devicetree_node node; /* of the controller */
static uint64_t distributor;

static uint32_t mmio_read(uint64_t address)
{
    return *(volatile uint32_t *)direct(address);
}

static void mmio_write(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)direct(address) = value;
}

/* ---- set-up ---- */

static void timer_find(void)
{
    struct devicetree_node timer = {0};
    uint32_t kind, number;

    /* Its interrupts: secure, EL1's, virtual, EL2's; each a kind (1: a CPU's own, counted from 16), number, flags. */
    if (!devicetree_find(&arm.tree, &timer, "arm,armv8-timer") ||
        !devicetree_word(&arm.tree, &timer, "interrupts", TIMER_WORD, &kind) ||
        !devicetree_word(&arm.tree, &timer, "interrupts", TIMER_WORD + 1, &number) || kind != 1 || number > 15)
        kernel_refuse("the device tree names no timer for us, or an odd one");
    arm.timer = 16 + number;
}

void gic_find(void)
{
    uint64_t start, size;
    unsigned i;

    if (!devicetree_find(&arm.tree, &node, "arm,gic-v3"))
        kernel_refuse("the device tree names no GICv3 (QEMU: -machine virt,gic-version=3)");
    for (i = 0; devicetree_reg(&arm.tree, &node, i, &start, &size); i++) {
        direct_map(start, start + size, ENTRY_DEVICE);
        if (i == 0)
            distributor = start;
    }
    if (i < 2)
        kernel_refuse("the device tree does not say where the GICv3 is");
    timer_find();
    arm.fiq = mmio_read(distributor + GICD_CTLR) & GICD_CTLR_ONE_WORLD;
    mmio_write(distributor + GICD_CTLR, GICD_CTLR_ROUTING | (arm.fiq ? GICD_CTLR_GROUPS : 2));
    while (mmio_read(distributor + GICD_CTLR) & GICD_CTLR_BUSY) /* ended by the controller */
        arch_pause();
}

/* The registers of this CPU's own: as many frames as the tree names ranges of, each ended by a mark. */
static uint64_t redistributor_find(void)
{
    uint64_t affinity = READ_REGISTER(mpidr_el1) & MPIDR_AFFINITY, at, size, regions = 1, kind;

    devicetree_number(&arm.tree, &node, "#redistributor-regions", &regions);
    affinity = (affinity >> 32) << 24 | (affinity & 0xffffff);
    for (unsigned i = 1; i <= regions && devicetree_reg(&arm.tree, &node, i, &at, &size); i++) {
        for (uint64_t end = at + size; at < end; at += kind & GICR_TYPER_VIRTUAL ? 4 * GICR_FRAME : 2 * GICR_FRAME) {
            kind = *(volatile uint64_t *)direct(at + GICR_TYPER);
            if (kind >> 32 == affinity)
                return at;
            if (kind & GICR_TYPER_LAST)
                break;
        }
    }
    kernel_panic("CPU %u has no part of the GICv3", arch_cpu_number());
}

void gic_enable(void)
{
    uint64_t own = redistributor_find();
    uint32_t fast = arm.fiq ? 1u << INTERRUPT_NMI : 0;

    mmio_write(own + GICR_WAKER, mmio_read(own + GICR_WAKER) & ~GICR_WAKER_SLEEP);
    while (mmio_read(own + GICR_WAKER) & GICR_WAKER_ASLEEP) /* ended by the controller */
        arch_pause();
    mmio_write(own + GICR_DISABLE, UINT32_MAX);
    mmio_write(own + GICR_GROUP, ~fast);
    for (unsigned i = 0; i < 32; i++)
        ((volatile uint8_t *)direct(own + GICR_PRIORITY))[i] =
            i == INTERRUPT_NMI ? PRIORITY_NMI : i == arm.timer ? PRIORITY_TIMER : PRIORITY_REST;
    mmio_write(own + GICR_ENABLE, 1u << INTERRUPT_KTLB | 1u << INTERRUPT_WAKE | fast | 1u << arm.timer);

    ICC_WRITE(ICC_SRE, ICC_READ(ICC_SRE) | 1);
    isb();
    if (!(ICC_READ(ICC_SRE) & 1))
        kernel_panic("the GICv3 cannot be used by its system registers");
    ICC_WRITE(ICC_CTLR, 0); /* an end of an interrupt is its whole end */
    gic_hold(false);
    if (arm.fiq)
        ICC_WRITE(ICC_IGRPEN0, 1);
    ICC_WRITE(ICC_IGRPEN1, 1);
    isb();
}

/* ---- sending ---- */

/* A write to the register reaches any of 16 CPUs whose affinities are alike in all else. */
struct group {
    uint64_t key, members;
};

static struct group group_of(unsigned cpu)
{
    uint64_t affinity = cpus[cpu].hardware;

    /* Affinity 3 to bit 48, 2 to 32, 1 to 16, and of 0 which sixteen of them to bit 44. */
    return (struct group){(affinity >> 32 & 0xff) << 48 | (affinity >> 16 & 0xff) << 32 | (affinity >> 8 & 0xff) << 16 |
                              (affinity >> 4 & 0xf) << 44,
                          UINT64_C(1) << (affinity & 0xf)};
}

/* What each CPU has sent for ktlb; written by it alone. */
static struct {
    KTLB_ALIGNED(KTLB_CACHE_LINE) uint64_t writes, targets;
} sent[KTLB_CPUS_MAX];

static void write_group(struct group group, unsigned interrupt)
{
    uint64_t value = group.key | group.members | (uint64_t)interrupt << 24;

    if (interrupt == INTERRUPT_NMI)
        ICC_WRITE(ICC_SGI0R, value);
    else
        ICC_WRITE(ICC_SGI1R, value);
    if (interrupt != INTERRUPT_WAKE) {
        sent[arch_cpu_number()].writes++;
        sent[arch_cpu_number()].targets += ktlb_count_bits(group.members);
    }
}

static void send(const struct ktlb_cpuset *targets, unsigned interrupt)
{
    struct group group = {0, 0};

    ktlb_aarch64_fence_sgi();
    KTLB_CPUSET_EACH(cpu, targets) { /* those of one group follow each other, as trees list them */
        struct group next = group_of(cpu);

        if (group.members && next.key != group.key) {
            write_group(group, interrupt);
            group.members = 0;
        }
        group = (struct group){next.key, group.members | next.members};
    }
    if (group.members)
        write_group(group, interrupt);
    isb();
}

void arch_ipi(const struct ktlb_cpuset *targets)
{
    send(targets, INTERRUPT_KTLB);
}

void arch_wake(const struct ktlb_cpuset *targets)
{
    send(targets, INTERRUPT_WAKE);
}

bool arch_nmi(const struct ktlb_cpuset *targets)
{
    if (!arm.fiq)
        return false;
    send(targets, INTERRUPT_NMI);
    return true;
}

uint64_t arch_interrupted(void)
{
    uint64_t writes = 0, targets = 0;

    for (unsigned i = 0; i < cpus_count; i++) {
        writes += sent[i].writes;
        targets += sent[i].targets;
    }
    console_print("sends: %lu CPUs interrupted by %lu writes\n", targets, writes);
    return targets;
}

/* ---- receiving ---- */

void gic_hold(bool hold)
{
    ICC_WRITE(ICC_PMR, hold ? PRIORITY_HOLD : 0xff);
    dsb();
}

void gic_silence(void)
{
    ICC_WRITE(ICC_PMR, 0);
    dsb();
}

void gic_interrupt(const struct context *context)
{
    uint64_t number = ICC_READ(ICC_IAR1);

    dsb(); /* what was stored before the interrupt was sent is seen after this */
    if (number >= INTERRUPT_NONE)
        return;
    if (number == arm.timer)
        TIMER_WRITE(TIMER_CONTROL, 0); /* it would ask again at once */
    ICC_WRITE(ICC_EOIR1, number);
    isb();
    if (number == INTERRUPT_KTLB)
        ktlb_ipi();
    else if (number == arm.timer)
        kernel_tick(context);
}

void gic_fast_interrupt(const struct context *context)
{
    uint64_t number = ICC_READ(ICC_IAR0);

    dsb();
    if (number >= INTERRUPT_NONE)
        return;
    ICC_WRITE(ICC_EOIR0, number);
    isb();
    kernel_nmi(context);
}

/* ---- time ---- */

uint64_t arch_clock(void)
{
    isb(); /* or it is read ahead of time */
    return READ_REGISTER(cntvct_el0);
}

uint64_t arch_clock_per_ms(void)
{
    return READ_REGISTER(cntfrq_el0) / 1000;
}

void arch_timer_arm(uint64_t nanoseconds)
{
    TIMER_WRITE(TIMER_COMPARE, arch_clock() + nanoseconds * arch_clock_per_ms() / 1000000);
    TIMER_WRITE(TIMER_CONTROL, 1);
    isb();
}
