/*
 * riscv64_instructions.h - the lower floor of the riscv64 layer: one instruction per function, no decisions.
 *
 * The sequences above (riscv64.h) use these and nothing else, so whoever replaces this file (the unit tests' recorder,
 * a kernel that waits in its own way; by KTLB_RISCV64_INSTRUCTIONS_HEADER) runs the sequences as shipped. Semantics:
 * RISC-V privileged specification, "Supervisor Memory-Management Fence Instruction" and "Svinval"; unprivileged
 * specification, "Zifencei". As an operand, the register x0 says "all", a register that holds 0 does not. For a
 * constant 0 a compiler may take x0: that drops more, never less.
 */
#ifndef KTLB_ARCH_RISCV64_INSTRUCTIONS_H
#define KTLB_ARCH_RISCV64_INSTRUCTIONS_H

#include <stdint.h>

#include "../platform/compiler.h"

/* Everything of this hart: all ASIDs, global entries, entries of all levels. */
KTLB_INLINE void ktlb_riscv64_sfence_vma_all(void)
{
    __asm__ volatile("sfence.vma x0, x0" : : : "memory");
}

/* All of one ASID, entries of all levels, but global ones. */
KTLB_INLINE void ktlb_riscv64_sfence_vma_asid(uint64_t asid)
{
    __asm__ volatile("sfence.vma x0, %0" : : "r"(asid) : "memory");
}

/* Leaf entries of one address, under every ASID and global. */
KTLB_INLINE void ktlb_riscv64_sfence_vma_va(uint64_t va)
{
    __asm__ volatile("sfence.vma %0, x0" : : "r"(va) : "memory");
}

/* Leaf entries of one address under one ASID, but global ones. */
KTLB_INLINE void ktlb_riscv64_sfence_vma_va_asid(uint64_t va, uint64_t asid)
{
    __asm__ volatile("sfence.vma %0, %1" : : "r"(va), "r"(asid) : "memory");
}

/* Svinval: SFENCE.VMA taken apart. The stores before [w_inval] are ordered before the invalidations [sinval] after it,
 * and those before the translations after [inval_ir]. Spelt as numbers: not every assembler knows the names. */
KTLB_INLINE void ktlb_riscv64_sfence_w_inval(void)
{
    __asm__ volatile(".4byte 0x18000073" : : : "memory");
}

KTLB_INLINE void ktlb_riscv64_sfence_inval_ir(void)
{
    __asm__ volatile(".4byte 0x18100073" : : : "memory");
}

KTLB_INLINE void ktlb_riscv64_sinval_vma_va(uint64_t va)
{
    __asm__ volatile(".insn r 0x73, 0, 0x0b, x0, %0, x0" : : "r"(va) : "memory");
}

KTLB_INLINE void ktlb_riscv64_sinval_vma_va_asid(uint64_t va, uint64_t asid)
{
    __asm__ volatile(".insn r 0x73, 0, 0x0b, x0, %0, %1" : : "r"(va), "r"(asid) : "memory");
}

/* This hart's fetches see what was stored before; other harts' do not. */
KTLB_INLINE void ktlb_riscv64_fence_i(void)
{
    __asm__ volatile("fence.i" : : : "memory");
}

/* Stores to memory before stores to memory and devices. */
KTLB_INLINE void ktlb_riscv64_fence_w_ow(void)
{
    __asm__ volatile("fence w, ow" : : : "memory");
}

KTLB_INLINE uint64_t ktlb_riscv64_read_satp(void)
{
    uint64_t value;

    __asm__ volatile("csrr %0, satp" : "=r"(value) : : "memory");
    return value;
}

/* Drops nothing. */
KTLB_INLINE void ktlb_riscv64_write_satp(uint64_t value)
{
    __asm__ volatile("csrw satp, %0" : : "r"(value) : "memory");
}

/* A call of the firmware; the error it returns, 0 for none. */
KTLB_INLINE int64_t ktlb_riscv64_ecall(uint64_t extension, uint64_t function, uint64_t a, uint64_t b, uint64_t c,
                                       uint64_t d, uint64_t e)
{
    register uint64_t a0 __asm__("a0") = a;
    register uint64_t a1 __asm__("a1") = b;
    register uint64_t a2 __asm__("a2") = c;
    register uint64_t a3 __asm__("a3") = d;
    register uint64_t a4 __asm__("a4") = e;
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;

    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return (int64_t)a0;
}

/* PAUSE of Zihintpause; on a hart without it, a fence that orders nothing. */
KTLB_INLINE void ktlb_riscv64_pause(void)
{
    __asm__ volatile(".4byte 0x0100000f" : : : "memory");
}

KTLB_INLINE uint64_t ktlb_riscv64_read_time(void)
{
    uint64_t value;

    __asm__ volatile("csrr %0, time" : "=r"(value));
    return value;
}

#endif
