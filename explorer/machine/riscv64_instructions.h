/*
 * riscv64_instructions.h - the riscv64 instructions as the explorer's hardware executes them: declared here for the
 * library, defined in riscv64.c.
 */
#ifndef EXPLORER_MACHINE_RISCV64_INSTRUCTIONS_H
#define EXPLORER_MACHINE_RISCV64_INSTRUCTIONS_H

#include <stdint.h>

void ktlb_riscv64_sfence_vma_all(void);
void ktlb_riscv64_sfence_vma_asid(uint64_t asid);
void ktlb_riscv64_sfence_vma_va(uint64_t va);
void ktlb_riscv64_sfence_vma_va_asid(uint64_t va, uint64_t asid);
void ktlb_riscv64_sfence_w_inval(void);
void ktlb_riscv64_sfence_inval_ir(void);
void ktlb_riscv64_sinval_vma_va(uint64_t va);
void ktlb_riscv64_sinval_vma_va_asid(uint64_t va, uint64_t asid);
void ktlb_riscv64_fence_i(void);
void ktlb_riscv64_fence_w_ow(void);
uint64_t ktlb_riscv64_read_satp(void);
void ktlb_riscv64_write_satp(uint64_t value);
int64_t ktlb_riscv64_ecall(uint64_t extension, uint64_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                           uint64_t e);
void ktlb_riscv64_pause(void);
uint64_t ktlb_riscv64_read_time(void);

#endif
