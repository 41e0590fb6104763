/*
 * apic.c - the local interrupt controller in its two modes, and time by it.
 *
 * Invariant: every write that sends is made with interrupts masked, since the memory-mapped mode needs two of them
 * in a row. Time is measured once, on the first CPU, against the one clock whose rate is known, the PIT.
 */
#include "ktlb/arch/x86_64.h"
#include "x86.h"

enum apic_register { /* offsets of the memory-mapped mode; shifted right by 4 they are MSRs from 0x800 */
    APIC_ID = 0x20,
    APIC_TASK_PRIORITY = 0x80,
    APIC_END = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_COMMAND = 0x300,
    APIC_COMMAND_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_MASKED (1u << 16)
#define APIC_SENDING (1u << 12)
#define APIC_ASSERT (1u << 14)
#define COMMAND_NMI (APIC_ASSERT | 4u << 8)
#define COMMAND_INIT (APIC_ASSERT | 5u << 8)
#define COMMAND_START (APIC_ASSERT | 6u << 8 | TRAMPOLINE >> 12)

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

/* The caller has made its stores visible. */
static void apic_send(unsigned cpu, uint32_t command)
{
    if (x86.use_x2apic) {
        wrmsr(0x800 + (APIC_COMMAND >> 4), cpus[cpu].hardware << 32 | command);
        return;
    }
    while (apic_read(APIC_COMMAND) & APIC_SENDING) /* ended by the controller, in bus time */
        arch_pause();
    apic_write(APIC_COMMAND_HIGH, (uint32_t)cpus[cpu].hardware << 24);
    apic_write(APIC_COMMAND, command);
}

static void apic_fence(void)
{
    if (x86.use_x2apic)
        ktlb_x86_fence_x2apic();
    else
        ktlb_x86_fence_xapic();
}

void apic_find(void)
{
    x86.use_x2apic = x86.want_apic == 2 || (x86.want_apic < 0 && x86.x2apic);
    if (x86.use_x2apic && !x86.x2apic)
        kernel_refuse("apic=x2, but this CPU has no x2APIC; leave the option out or say apic=x");
}

void apic_enable(void)
{
    /* Firmware may hand over x2APIC mode, which only leads on to off. */
    uint64_t base = x86.apic_base | (rdmsr(MSR_APIC_BASE) & 0x100);

    if (!x86.use_x2apic && rdmsr(MSR_APIC_BASE) & 1u << 10)
        wrmsr(MSR_APIC_BASE, base);
    wrmsr(MSR_APIC_BASE, base | 1u << 11);
    if (x86.use_x2apic)
        wrmsr(MSR_APIC_BASE, base | 3u << 10);
    apic_write(APIC_SPURIOUS, 1u << 8 | VECTOR_SPURIOUS); /* enabled: before that every other vector stays masked */
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LVT_LINT0, APIC_MASKED);
    apic_write(APIC_LVT_LINT1, 4u << 8); /* the board's NMI */
    apic_write(APIC_LVT_ERROR, APIC_MASKED);
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

uint32_t apic_number(void)
{
    return x86.use_x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
    apic_write(APIC_END, 0);
}

void arch_ipi(const struct ktlb_cpuset *targets, enum arch_ipi kind)
{
    apic_fence();
    KTLB_CPUSET_EACH(cpu, targets)
        apic_send(cpu, APIC_ASSERT | (kind == ARCH_IPI_KTLB ? VECTOR_KTLB : VECTOR_WAKE));
}

bool arch_nmi(unsigned cpu)
{
    apic_fence();
    apic_send(cpu, COMMAND_NMI);
    return true;
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

/* ---- starting a CPU ---- */

void *x86_start_stack;
struct cpu *x86_start_cpu;
extern const char x86_trampoline[], x86_trampoline_end[];

void arch_cpu_start(unsigned number, void *stack_end, bool again)
{
    uint64_t began;

    x86_start_stack = stack_end;
    x86_start_cpu = &cpus[number];
    memcpy(direct(TRAMPOLINE), (const void *)(DIRECT_BASE + (uintptr_t)x86_trampoline),
           (size_t)(x86_trampoline_end - x86_trampoline));
    apic_fence();
    if (!again) {
        apic_send(number, COMMAND_INIT);
        /* The manuals say 10 ms; no processor of the last twenty years needs more than this, and emulators nothing. */
        for (began = arch_clock(); arch_clock() - began < x86.clock_per_ms / 5;)
            arch_pause();
    }
    apic_send(number, COMMAND_START); /* ignored by a CPU that runs */
}
