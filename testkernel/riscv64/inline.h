/*
 * inline.h - what is shorter than a call: see common/port.h.
 */
#ifndef RISCV64_INLINE_H
#define RISCV64_INLINE_H

#define SSTATUS_SIE (UINT64_C(1) << 1)

/* Not volatile: nothing that runs moves to another CPU. */
static inline struct cpu *arch_cpu(void)
{
    struct cpu *cpu;

    __asm__("mv %0, tp" : "=r"(cpu));
    return cpu;
}

static inline unsigned arch_cpu_number(void)
{
    return ((const struct cpu_head *)(const void *)arch_cpu())->number;
}

static inline unsigned long arch_irq_save(void)
{
    unsigned long status;

    __asm__ volatile("csrrci %0, sstatus, %1" : "=r"(status) : "i"(SSTATUS_SIE) : "memory");
    return status & SSTATUS_SIE;
}

static inline void arch_irq_restore(unsigned long state)
{
    if (state)
        __asm__ volatile("csrsi sstatus, %0" : : "i"(SSTATUS_SIE) : "memory");
}

#endif
