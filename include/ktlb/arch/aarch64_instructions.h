/*
 * aarch64_instructions.h - the lower floor of the aarch64 layer: one instruction per function, no decisions.
 *
 * The sequences above (aarch64.h) use these and nothing else, so whoever replaces this file (the unit tests' recorder,
 * a kernel that waits in its own way; by KTLB_AARCH64_INSTRUCTIONS_HEADER) runs the sequences as shipped. Semantics:
 * Arm Architecture Reference Manual (DDI 0487), "TLB maintenance", "Barriers" and the pages of each TLBI.
 */
#ifndef KTLB_ARCH_AARCH64_INSTRUCTIONS_H
#define KTLB_ARCH_AARCH64_INSTRUCTIONS_H

#include <stdint.h>

#include "../platform/compiler.h"

/*
 * TLBI by address, ktlb_aarch64_tlbi_NAME(operand). In the names: V one address, RV a range; A after it: under every
 * ASID, else under the operand's ASID and global; L the last level only, else walk caches too; IS every PE of the Inner
 * Shareable domain, else this one. Spelt as SYS, which assemblers know whatever architecture they are told to accept.
 */
#define KTLB_AARCH64_TLBI(name, crm, op2)                                                          \
    KTLB_INLINE void ktlb_aarch64_tlbi_##name(uint64_t operand)                                    \
    {                                                                                              \
        __asm__ volatile("sys #0, c8, " #crm ", #" #op2 ", %0" : : "r"(operand) : "memory");       \
    }
KTLB_AARCH64_TLBI(vae1, c7, 1)
KTLB_AARCH64_TLBI(vaae1, c7, 3)
KTLB_AARCH64_TLBI(vale1, c7, 5)
KTLB_AARCH64_TLBI(vaale1, c7, 7)
KTLB_AARCH64_TLBI(vae1is, c3, 1)
KTLB_AARCH64_TLBI(vaae1is, c3, 3)
KTLB_AARCH64_TLBI(vale1is, c3, 5)
KTLB_AARCH64_TLBI(vaale1is, c3, 7)
/* Ranges: only with FEAT_TLBIRANGE. */
KTLB_AARCH64_TLBI(rvae1, c6, 1)
KTLB_AARCH64_TLBI(rvaae1, c6, 3)
KTLB_AARCH64_TLBI(rvale1, c6, 5)
KTLB_AARCH64_TLBI(rvaale1, c6, 7)
KTLB_AARCH64_TLBI(rvae1is, c2, 1)
KTLB_AARCH64_TLBI(rvaae1is, c2, 3)
KTLB_AARCH64_TLBI(rvale1is, c2, 5)
KTLB_AARCH64_TLBI(rvaale1is, c2, 7)
/* All of the operand's ASID, but global entries; walk caches too. */
KTLB_AARCH64_TLBI(aside1, c7, 2)
KTLB_AARCH64_TLBI(aside1is, c3, 2)
#undef KTLB_AARCH64_TLBI

/* Everything: all ASIDs, global entries, walk caches. */
KTLB_INLINE void ktlb_aarch64_tlbi_vmalle1(void)
{
    __asm__ volatile("tlbi vmalle1" : : : "memory");
}

KTLB_INLINE void ktlb_aarch64_tlbi_vmalle1is(void)
{
    __asm__ volatile("tlbi vmalle1is" : : : "memory");
}

/* Wait for this PE's accesses and TLBIs, as far as this PE itself is concerned. */
KTLB_INLINE void ktlb_aarch64_dsb_nsh(void)
{
    __asm__ volatile("dsb nsh" : : : "memory");
}

/* Wait for this PE's stores to be seen by the Inner Shareable domain, its table walkers included. */
KTLB_INLINE void ktlb_aarch64_dsb_ishst(void)
{
    __asm__ volatile("dsb ishst" : : : "memory");
}

/* Wait for this PE's accesses and for its TLBIs and ICs on every PE of the Inner Shareable domain. */
KTLB_INLINE void ktlb_aarch64_dsb_ish(void)
{
    __asm__ volatile("dsb ish" : : : "memory");
}

/* What follows is fetched and translated anew: a context synchronization event. */
KTLB_INLINE void ktlb_aarch64_isb(void)
{
    __asm__ volatile("isb" : : : "memory");
}

/* Drop all instruction caches of the Inner Shareable domain to the point of unification. */
KTLB_INLINE void ktlb_aarch64_ic_ialluis(void)
{
    __asm__ volatile("ic ialluis" : : : "memory");
}

KTLB_INLINE void ktlb_aarch64_yield(void)
{
    __asm__ volatile("yield" : : : "memory");
}

#define KTLB_AARCH64_READ(name, reg)                                                               \
    KTLB_INLINE uint64_t ktlb_aarch64_read_##name(void)                                            \
    {                                                                                              \
        uint64_t value;                                                                            \
        __asm__ volatile("mrs %0, " #reg : "=r"(value) : : "memory");                              \
        return value;                                                                              \
    }
KTLB_AARCH64_READ(ttbr0, ttbr0_el1)
KTLB_AARCH64_READ(tcr, tcr_el1)
KTLB_AARCH64_READ(isar0, id_aa64isar0_el1)
KTLB_AARCH64_READ(ctr, ctr_el0)
KTLB_AARCH64_READ(cntvct, cntvct_el0)
#undef KTLB_AARCH64_READ

/* Takes effect at the next ISB. */
KTLB_INLINE void ktlb_aarch64_write_ttbr0(uint64_t value)
{
    __asm__ volatile("msr ttbr0_el1, %0" : : "r"(value) : "memory");
}

#endif
