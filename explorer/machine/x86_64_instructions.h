/*
 * x86_64_instructions.h - the x86_64 instructions for whoever executes them in their place: declared here for the
 * library, defined for the explorer's hardware in x86_64.c and for the host tests in tests/host/fake.c.
 */
#ifndef EXPLORER_MACHINE_X86_64_INSTRUCTIONS_H
#define EXPLORER_MACHINE_X86_64_INSTRUCTIONS_H

#include <stdint.h>

void ktlb_x86_invlpg(uint64_t va);
void ktlb_x86_invpcid(uint64_t type, uint64_t pcid, uint64_t va);
uint64_t ktlb_x86_read_cr3(void);
void ktlb_x86_write_cr3(uint64_t value);
uint64_t ktlb_x86_read_cr4(void);
void ktlb_x86_write_cr4(uint64_t value);
void ktlb_x86_mfence(void);
void ktlb_x86_lfence(void);
void ktlb_x86_compiler_barrier(void);
void ktlb_x86_pause(void);
uint64_t ktlb_x86_rdtsc(void);
uint32_t ktlb_x86_cpuid_ebx(uint32_t leaf);
uint32_t ktlb_x86_cpuid_edx(uint32_t leaf);
void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx);
void ktlb_x86_tlbsync(void);

#endif
