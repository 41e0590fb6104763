/*
 * inline.h - what is shorter than a call: see common/port.h.
 */
#ifndef AARCH64_INLINE_H
#define AARCH64_INLINE_H

#define DAIF_IRQ (UINT64_C(1) << 7) /* as in DAIF and in SPSR */

/* Not volatile: nothing that runs moves to another CPU. */
static inline struct cpu *arch_cpu(void)
{
    struct cpu *cpu;

    __asm__("mrs %0, tpidr_el1" : "=r"(cpu));
    return cpu;
}

static inline unsigned arch_cpu_number(void)
{
    return ((const struct cpu_head *)(const void *)arch_cpu())->number;
}

static inline unsigned long arch_irq_save(void)
{
    uint64_t state;

    __asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(state) : : "memory");
    return !(state & DAIF_IRQ);
}

static inline void arch_irq_restore(unsigned long state)
{
    if (state)
        __asm__ volatile("msr daifclr, #2" : : : "memory");
}

#endif
