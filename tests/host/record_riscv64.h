/* record_riscv64.h - the riscv64 instructions in the host tests: recorded instead of executed. */
#ifndef TESTS_HOST_RECORD_RISCV64_H
#define TESTS_HOST_RECORD_RISCV64_H

#include "ktlb/platform/compiler.h"
#include "record.h"

/* What satp holds, and which bits of it exist. */
extern uint64_t fake_satp, fake_satp_bits, fake_time;

#define PLAIN(name)                                                                                \
    KTLB_INLINE void ktlb_riscv64_##name(void)                                                     \
    {                                                                                              \
        record(#name, 0, 0, 0);                                                                    \
    }
PLAIN(sfence_vma_all)
PLAIN(sfence_w_inval)
PLAIN(sfence_inval_ir)
PLAIN(fence_i)
PLAIN(fence_w_ow)
PLAIN(pause)
#undef PLAIN

#define ONE(name)                                                                                  \
    KTLB_INLINE void ktlb_riscv64_##name(uint64_t operand)                                         \
    {                                                                                              \
        record(#name, 1, operand, 0);                                                              \
    }
ONE(sfence_vma_va)
ONE(sfence_vma_asid)
ONE(sinval_vma_va)
#undef ONE

#define TWO(name)                                                                                  \
    KTLB_INLINE void ktlb_riscv64_##name(uint64_t va, uint64_t asid)                               \
    {                                                                                              \
        record(#name, 2, va, asid);                                                                \
    }
TWO(sfence_vma_va_asid)
TWO(sinval_vma_va_asid)
#undef TWO

KTLB_INLINE uint64_t ktlb_riscv64_read_satp(void)
{
    return fake_satp;
}

KTLB_INLINE void ktlb_riscv64_write_satp(uint64_t value)
{
    fake_satp = value & fake_satp_bits;
    record("satp", 1, fake_satp, 0);
}

KTLB_INLINE int64_t ktlb_riscv64_ecall(uint64_t extension, uint64_t function, uint64_t a, uint64_t b, uint64_t c,
                                       uint64_t d, uint64_t e)
{
    (void)extension, (void)c, (void)d, (void)e;
    record(function == 0 ? "ecall_fence_i" : function == 1 ? "ecall_fence" : "ecall_fence_asid", 2, a, b);
    return 0;
}

KTLB_INLINE uint64_t ktlb_riscv64_read_time(void)
{
    return fake_time;
}

#endif
