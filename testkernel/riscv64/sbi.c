/*
 * sbi.c - what the firmware does for a supervisor: other harts, interrupts to them, the timer, the end.
 *
 * Harts are named by the firmware's own ids, which need neither be dense nor begin at 0: hart_of[] is the way from our
 * numbers to them.
 */
#include "ktlb/arch/riscv64_sbi.h"
#include "riscv.h"

static uint64_t hart_of[KTLB_CPUS_MAX];

enum { SBI_TIME = 0x54494d45, SBI_IPI = 0x735049, SBI_HSM = 0x48534d, SBI_RESET = 0x53525354 };

void sbi_describe(void)
{
    console_print("machine: %s, Sv39, %lu ASIDs%s, Svinval %s\n", machine.name, riscv64.asids,
                  machine.asids ? "" : " not used", ktlb_arch.svinval ? "on" : riscv64.svinval ? "off" : "absent");
}

void sbi_harts(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        hart_of[i] = cpus[i].hardware;
    ktlb_arch.hart_of = hart_of;
}

int64_t sbi_start(unsigned cpu, uint64_t entry)
{
    return ktlb_riscv64_ecall(SBI_HSM, 0, hart_of[cpu], entry, 0, 0, 0);
}

void sbi_shutdown(void)
{
    ktlb_riscv64_ecall(SBI_RESET, 0, 0, 0, 0, 0, 0);
    arch_stop();
}

void sbi_interrupt(const struct ktlb_cpuset *targets)
{
    struct ktlb_cpuset rest = *targets;
    struct ktlb_riscv64_harts harts;
    int64_t error;

    while (!ktlb_cpuset_empty(&rest)) {
        harts = ktlb_riscv64_take_harts(&rest, hart_of);
        error = ktlb_riscv64_ecall(SBI_IPI, 0, harts.mask, harts.base, 0, 0, 0);
        if (error)
            kernel_panic("SBI does not interrupt harts %lx from %lu on: error %ld", harts.mask, harts.base, error);
    }
}

void arch_timer_arm(uint64_t nanoseconds)
{
    ktlb_riscv64_ecall(SBI_TIME, 0, arch_clock() + nanoseconds * riscv64.clock_per_ms / 1000000, 0, 0, 0, 0);
}
