/*
 * sbi.c - what the firmware does for a supervisor: other harts, interrupts to them, the timer, the end.
 *
 * Harts are named by the firmware's own ids, which need neither be dense nor begin at 0: hart_of[] is the way from our
 * numbers to them.
 */
#include "ktlb/arch/riscv64_sbi.h"
#include "riscv.h"

static uint64_t hart_of[KTLB_CPUS_MAX];

enum { SBI_BASE = 0x10, SBI_TIME = 0x54494d45, SBI_IPI = 0x735049, SBI_HSM = 0x48534d, SBI_RESET = 0x53525354 };

struct sbi_answer {
    int64_t error, value;
};

static struct sbi_answer sbi(uint64_t extension, uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
    register uint64_t a0 __asm__("a0") = a;
    register uint64_t a1 __asm__("a1") = b;
    register uint64_t a2 __asm__("a2") = c;
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (struct sbi_answer){(int64_t)a0, (int64_t)a1};
}

void sbi_describe(void)
{
    int64_t version = sbi(SBI_BASE, 0, 0, 0, 0).value;

    console_print("machine: %s, Sv39, %lu ASIDs%s, Svinval %s, SBI %lu.%lu\n", machine.name, riscv64.asids,
                  machine.asids ? "" : " not used", ktlb_arch.svinval ? "on" : riscv64.svinval ? "off" : "absent",
                  (uint64_t)version >> 24 & 0x7f, (uint64_t)version & 0xffffff);
}

void sbi_harts(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hart_of[i] = cpus[i].hardware;
}

int64_t sbi_start(unsigned cpu, uint64_t entry, uint64_t argument)
{
    return sbi(SBI_HSM, 0, hart_of[cpu], entry, argument).error;
}

void sbi_shutdown(void)
{
    sbi(SBI_RESET, 0, 0, 0, 0);
    arch_stop();
}

void sbi_interrupt(const struct ktlb_cpuset *targets)
{
    struct ktlb_cpuset rest = *targets;
    struct ktlb_riscv64_harts harts;
    int64_t error;

    while (!ktlb_cpuset_empty(&rest)) {
        harts = ktlb_riscv64_take_harts(&rest, hart_of);
        error = sbi(SBI_IPI, 0, harts.mask, harts.base, 0).error;
        if (error)
            kernel_panic("SBI does not interrupt harts %lx from %lu on: error %ld", harts.mask, harts.base, error);
    }
}

void arch_timer_arm(uint64_t nanoseconds)
{
    sbi(SBI_TIME, 0, arch_clock() + nanoseconds * riscv64.clock_per_ms / 1000000, 0, 0);
}
