/*
 * apic.c - the local interrupt controller in its two modes, and time by it. What it sends is in send.c.
 *
 * Time is measured once, on the first CPU, against the one clock whose rate is known, the PIT.
 */
#include "x86.h"

enum apic_register { /* offsets of the memory-mapped mode; shifted right by 4 they are MSRs from 0x800 */
    APIC_TASK_PRIORITY = 0x80,
    APIC_END = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_MASKED (1u << 16)

static uint32_t apic_read(enum apic_register offset)
{
    if (x86.use_x2apic)
        return (uint32_t)rdmsr(0x800 + (offset >> 4));
    return *(volatile uint32_t *)direct(x86.apic_base + offset);
}

static void apic_write(enum apic_register offset, uint32_t value)
{
    if (x86.use_x2apic)
        wrmsr(0x800 + (offset >> 4), value);
    else
        *(volatile uint32_t *)direct(x86.apic_base + offset) = value;
}

volatile uint32_t *x86_apic_end;
const char *x86_ktlb_entry;

void apic_enable(void)
{
    /* Firmware may hand over x2APIC mode, which only leads on to off. */
    uint64_t base = x86.apic_base | (rdmsr(MSR_APIC_BASE) & 0x100);

    if (!x86.use_x2apic && rdmsr(MSR_APIC_BASE) & 1u << 10)
        wrmsr(MSR_APIC_BASE, base);
    wrmsr(MSR_APIC_BASE, base | 1u << 11);
    if (x86.use_x2apic) {
        wrmsr(MSR_APIC_BASE, base | 3u << 10);
        wrmsr(MSR_APIC_BASE, base | 3u << 10); /* Bochs 2.7 sets its cluster only when it is in this mode already */
    }
    x86_apic_end = direct(x86.apic_base + APIC_END);
    x86_ktlb_entry = x86.use_x2apic ? x86_ktlb_entry_x2apic : x86_ktlb_entry_xapic;
    apic_write(APIC_SPURIOUS, 1u << 8 | VECTOR_SPURIOUS); /* enabled: before that every other vector stays masked */
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LVT_LINT0, APIC_MASKED);
    apic_write(APIC_LVT_LINT1, 4u << 8); /* the board's NMI */
    apic_write(APIC_LVT_ERROR, APIC_MASKED);
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void apic_eoi(void)
{
    apic_write(APIC_END, 0);
}

/* ---- time ---- */

/* Busy for @milliseconds by the PIT's channel 2, whose gate and output are at port 0x61. */
static void pit_wait(unsigned milliseconds)
{
    unsigned count = 1193182 * milliseconds / 1000;

    outb(0x61, (inb(0x61) & 0xfc) | 1); /* gate on, speaker off */
    outb(0x43, 0xb0);                   /* channel 2, both bytes, one shot */
    outb(0x42, (uint8_t)count);
    outb(0x42, (uint8_t)(count >> 8));
    while (!(inb(0x61) & 0x20)) /* ended by the PIT */
        arch_pause();
}

/* To a hundredth or so, of which the measurement is good: a run then repeats although its measurement does not. */
static uint64_t rounded(uint64_t rate)
{
    uint64_t step = 1;

    while (rate / step > 128)
        step *= 2;
    return (rate + step / 2) / step * step + (rate == 0);
}

void apic_calibrate(void)
{
    enum { MILLISECONDS = 10 };
    uint64_t clock = arch_clock();

    apic_write(APIC_LVT_TIMER, APIC_MASKED);
    apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
    pit_wait(MILLISECONDS);
    x86.timer_per_ms = rounded((UINT32_MAX - apic_read(APIC_TIMER_CURRENT)) / MILLISECONDS);
    x86.clock_per_ms = rounded((arch_clock() - clock) / MILLISECONDS);
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void arch_timer_arm(uint64_t nanoseconds)
{
    uint64_t count = nanoseconds * x86.timer_per_ms / 1000000;

    apic_write(APIC_TIMER_INITIAL, count == 0 ? 1 : count > UINT32_MAX ? UINT32_MAX : (uint32_t)count);
}
