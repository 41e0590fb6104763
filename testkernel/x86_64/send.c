/*
 * send.c - what CPUs send each other: a host's use of x86_64_apic.h.
 *
 * There are two senders, which differ in what they count: the last wake-up of a run may be sent when the sums
 * are looked at already, so wake-ups are kept apart.
 */
#include "ktlb/arch/x86_64_apic.h"
#include "x86.h"

#define COMMAND_INIT (5u << 8)
#define COMMAND_START (6u << 8 | TRAMPOLINE >> 12)

enum apic_sender { FOR_KTLB, FOR_WAKING, APIC_SENDERS };

static struct ktlb_apic senders[APIC_SENDERS];
static struct ktlb_apic_counters counters[APIC_SENDERS][KTLB_CPUS_MAX];
static struct ktlb_cpuset_shared everyone;

static void apic_stuck(unsigned self)
{
    console_print("CPU %u: its APIC does not deliver\n", self);
}

void send_find(unsigned found, unsigned used)
{
    static struct ktlb_apic_cpu table[KTLB_CPUS_MAX];

    if (x86.apic_mode < 0)
        x86.apic_mode = x86.x2apic ? KTLB_X2APIC_CLUSTER : KTLB_XAPIC;
    for (unsigned i = 0; i < used; i++)
        table[i].id = (uint32_t)cpus[i].hardware;
    for (unsigned i = 0; i < APIC_SENDERS; i++) {
        struct ktlb_apic *sender = &senders[i];
        const char *wrong;

        *sender = (struct ktlb_apic){.mode = (enum ktlb_apic_mode)x86.apic_mode, .cpus = used, .cpu = table,
                                     .counters = counters[i], .registers = direct(x86.apic_base), .stuck = apic_stuck};
        if (x86.shorthand && found == used) /* who was never started is not to be disturbed */
            sender->everyone = &everyone;
        wrong = ktlb_apic_init(sender);
        if (wrong)
            kernel_refuse("this apic= will not do here: %s", wrong);
    }
    x86.use_x2apic = ktlb_apic_is_x2(&senders[FOR_KTLB]);
    if (x86.use_x2apic && !x86.x2apic)
        kernel_refuse("apic=x2, but this CPU has no x2APIC; leave the option out or say apic=x");
}

void send_join(void)
{
    unsigned self = arch_cpu_number();

    if (!ktlb_apic_join(&senders[FOR_KTLB], self))
        kernel_panic("the APIC of CPU %u does not answer to the cluster its number says; say apic=x2", self);
    ktlb_rmw_or_relaxed(&everyone.word[self / 64], UINT64_C(1) << (self % 64));
}

void arch_ipi(const struct ktlb_cpuset *targets)
{
    ktlb_apic_send(&senders[FOR_KTLB], arch_cpu_number(), targets, VECTOR_KTLB);
}

void arch_wake(const struct ktlb_cpuset *targets)
{
    ktlb_apic_send(&senders[FOR_WAKING], arch_cpu_number(), targets, VECTOR_WAKE);
}

bool arch_nmi(const struct ktlb_cpuset *targets)
{
    ktlb_apic_send(&senders[FOR_KTLB], arch_cpu_number(), targets, KTLB_APIC_NMI);
    return true;
}

uint64_t arch_interrupted(void)
{
    struct ktlb_apic_counters sum = {0};

    for (unsigned i = 0; i < cpus_count; i++) {
#define X(name, text) ktlb_apic_count(&sum.name, ktlb_load_relaxed(&counters[FOR_KTLB][i].name));
        KTLB_APIC_COUNTERS_EACH(X)
#undef X
    }
    console_print("sends: %lu CPUs interrupted by %lu writes: %lu shorthand, %lu multicast, %lu single; %lu NMIs\n",
                  sum.targets.value, sum.shorthand.value + sum.multicast.value + sum.single.value,
                  sum.shorthand.value, sum.multicast.value, sum.single.value, sum.nmis.value);
    return sum.targets.value;
}

/* ---- starting a CPU ---- */

void *x86_start_stack;
struct cpu *x86_start_cpu;
extern const char x86_trampoline[], x86_trampoline_end[];

void arch_cpu_start(unsigned number, void *stack_end, bool again)
{
    const struct ktlb_apic *apic = &senders[FOR_WAKING];
    unsigned self = arch_cpu_number();
    uint32_t target = apic->cpu[number].id;
    uint64_t began;

    x86_start_stack = stack_end;
    x86_start_cpu = &cpus[number];
    memcpy(direct(TRAMPOLINE), (const void *)(DIRECT_BASE + (uintptr_t)x86_trampoline),
           (size_t)(x86_trampoline_end - x86_trampoline));
    ktlb_apic_fence(apic);
    if (!again) {
        ktlb_apic_command(apic, self, target, COMMAND_INIT);
        /* The manuals say 10 ms; no processor of the last twenty years needs more than this, and emulators nothing. */
        for (began = arch_clock(); arch_clock() - began < x86.clock_per_ms / 5;)
            arch_pause();
    }
    ktlb_apic_command(apic, self, target, COMMAND_START); /* ignored by a CPU that runs */
}
