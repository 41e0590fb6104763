/*
 * x86_64_instructions.h - the lower floor of the x86_64 layer: one instruction per function, no decisions.
 *
 * The sequences above (x86_64.h) use these and nothing else, so whoever replaces this file (the explorer's hostile
 * MMU, the unit tests' recorder, by KTLB_X86_64_INSTRUCTIONS_HEADER) runs the sequences as shipped.
 * Semantics: Intel SDM volume 3, chapter 4.10 (caching translation information) and volume 2.
 */
#ifndef KTLB_ARCH_X86_64_INSTRUCTIONS_H
#define KTLB_ARCH_X86_64_INSTRUCTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "../platform/compiler.h"

/* Drop the entries for @va: of the current PCID, and global ones; and all of the current PCID's walk caches. */
KTLB_INLINE void ktlb_x86_invlpg(uint64_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* @type 0: one address of @pcid; 1: @pcid; 2: everything; 3: everything but global entries. */
KTLB_INLINE void ktlb_x86_invpcid(uint64_t type, uint64_t pcid, uint64_t va)
{
    struct {
        uint64_t pcid, va;
    } descriptor = {pcid, va};

    __asm__ volatile("invpcid %1, %0" : : "r"(type), "m"(descriptor) : "memory");
}

KTLB_INLINE uint64_t ktlb_x86_read_cr3(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr3, %0" : "=r"(value) : : "memory");
    return value;
}

/* Drops the new PCID's non-global entries and walk caches, unless bit 63 says to keep them. */
KTLB_INLINE void ktlb_x86_write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

KTLB_INLINE uint64_t ktlb_x86_read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value) : : "memory");
    return value;
}

/* Drops everything, global entries and all PCIDs, when it changes PGE. */
KTLB_INLINE void ktlb_x86_write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Begin to drop on all processors what the operands say (see x86_64_invlpgb.h). Spelt as bytes for old assemblers. */
KTLB_INLINE void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xfe" : : "a"(rax), "c"(ecx), "d"(edx) : "memory");
}

/* Wait until what this processor's INVLPGBs have begun is done everywhere. */
KTLB_INLINE void ktlb_x86_tlbsync(void)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xff" : : : "memory");
}

KTLB_INLINE void ktlb_x86_mfence(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

KTLB_INLINE void ktlb_x86_lfence(void)
{
    __asm__ volatile("lfence" : : : "memory");
}

/* Nothing for the processor; the compiler moves no access across it. */
KTLB_INLINE void ktlb_x86_compiler_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

KTLB_INLINE void ktlb_x86_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

KTLB_INLINE uint64_t ktlb_x86_rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

KTLB_INLINE uint64_t ktlb_x86_rdmsr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
    return (uint64_t)high << 32 | low;
}

/* A write to an x2APIC's command register does not wait for earlier stores. */
KTLB_INLINE void ktlb_x86_wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* Registers of a device in memory, uncached. */
KTLB_INLINE uint32_t ktlb_x86_mmio_read(const volatile uint32_t *at)
{
    return *at;
}

KTLB_INLINE void ktlb_x86_mmio_write(volatile uint32_t *at, uint32_t value)
{
    *at = value;
}

/* EBX of CPUID @leaf, subleaf 0; 0 where the processor has no such leaf. */
KTLB_INLINE uint32_t ktlb_x86_cpuid_ebx(uint32_t leaf)
{
    uint32_t a = leaf & 0x80000000, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)); /* the last leaf of that kind */
    if (a < leaf)
        return 0;
    a = leaf;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b;
}

/* EDX of CPUID @leaf, which the processor has. */
KTLB_INLINE uint32_t ktlb_x86_cpuid_edx(uint32_t leaf)
{
    uint32_t a = leaf, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d;
}

#endif
