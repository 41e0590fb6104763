/*
 * arm.h - registers, and what the files of this folder know of each other.
 */
#ifndef AARCH64_ARM_H
#define AARCH64_ARM_H

#include "ktlb/arch/aarch64.h"
#include "layout.h"
#include "testkernel/common/devicetree.h"
#include "testkernel/common/kernel.h"

#define TCR_AS (UINT64_C(1) << 36) /* ASIDs have 16 bits */
#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

/* What this machine has, found once. */
struct arm {
    struct devicetree tree;
    uint64_t image; /* physical: where the kernel begins */
    uint64_t uart;  /* physical */
    bool qemu;      /* its own processor model, emulated */
    bool fiq;       /* interrupts of group 0 are ours, and come as FIQ: the NMI of this machine */
    bool use_asids;
    bool psci_smc;  /* firmware is called by SMC, not HVC */
    unsigned timer; /* interrupt number of this CPU's virtual timer */
};
extern struct arm arm;

#define READ_REGISTER(name)                                                                                            \
    ({                                                                                                                 \
        uint64_t value_;                                                                                               \
        __asm__ volatile("mrs %0, " #name : "=r"(value_) : : "memory");                                                \
        value_;                                                                                                        \
    })
#define WRITE_REGISTER(name, value) __asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(value)) : "memory")

static inline void isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

static inline void dsb(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

/* gic.c */
void gic_find(void);     /* on the first CPU */
void gic_enable(void);   /* on every CPU, its number attached */
void gic_interrupt(const struct context *context);
void gic_fast_interrupt(const struct context *context);
void gic_hold(bool hold); /* let nothing but the timer, and what plays the NMI, through */
void gic_silence(void);   /* let nothing through */

/* psci.c */
void psci_find(void);
void psci_off(void);

/* paging.c: make [@start, @end) part of the direct map, as @entry says, where it is not yet. */
void direct_map(uint64_t start, uint64_t end, uint64_t entry);

/* From here on what is never masked may come to this CPU: SError and FIQ. */
static inline void traps_begin(void)
{
    __asm__ volatile("msr daifclr, #5" : : : "memory");
}

#endif
