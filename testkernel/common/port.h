/*
 * port.h - those of ktlb's port functions that are a few instructions here, inline (KTLB_PORT_HEADER).
 *
 * They are the architecture's, as is what the kernel itself asks as often: KERNEL_INLINE_HEADER, which is inline.h of
 * its folder, defines what is declared here.
 */
#ifndef TESTKERNEL_PORT_H
#define TESTKERNEL_PORT_H

/* How struct cpu begins. Interrupts and the library ask for the number most. */
struct cpu_head {
    struct cpu *self; /* some machines find it through a register that points here */
    unsigned number;
};

/* This CPU's own record, as arch_cpu_attach() was told, and the number in it. */
static inline struct cpu *arch_cpu(void);
static inline unsigned arch_cpu_number(void);

/* Mask interrupts and return whether they were enabled; enable them if @state is not 0. => They are masked before. */
static inline unsigned long arch_irq_save(void);
static inline void arch_irq_restore(unsigned long state);

#include KERNEL_INLINE_HEADER

static inline unsigned ktlb_port_cpu(void)
{
    return arch_cpu_number();
}

/* How ktlb's interrupts are sent: chosen once, so that a machine where nothing is out of the ordinary asks nothing. */
extern void (*port_interrupt)(const struct ktlb_cpuset *targets);

static inline void ktlb_port_ipi(const struct ktlb_cpuset *targets)
{
    port_interrupt(targets);
}

static inline ktlb_irq ktlb_port_irq_save(void)
{
    return arch_irq_save();
}

static inline void ktlb_port_irq_restore(ktlb_irq state)
{
    arch_irq_restore(state);
}

#endif
