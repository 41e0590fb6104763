/*
 * inline.h - what is shorter than a call: see common/port.h.
 */
#ifndef X86_64_INLINE_H
#define X86_64_INLINE_H

#define RFLAGS_IF (UINT64_C(1) << 9)

/* Not volatile: nothing that runs moves to another CPU. */
static inline struct cpu *arch_cpu(void)
{
    struct cpu *cpu;

    __asm__("mov %%gs:%c1, %0" : "=r"(cpu) : "i"(offsetof(struct cpu_head, self)));
    return cpu;
}

static inline unsigned arch_cpu_number(void)
{
    unsigned number;

    __asm__("mov %%gs:%c1, %0" : "=r"(number) : "i"(offsetof(struct cpu_head, number)));
    return number;
}

static inline unsigned long arch_irq_save(void)
{
    unsigned long flags;

    __asm__ volatile("pushfq\n\tpop %0\n\tcli" : "=r"(flags) : : "memory");
    return flags & RFLAGS_IF;
}

static inline void arch_irq_restore(unsigned long state)
{
    if (state)
        __asm__ volatile("sti" : : : "memory");
}

#endif
