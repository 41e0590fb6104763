/* fake_instructions.h - the x86_64 instructions in the host tests: logged instead of executed. */
#ifndef TESTS_HOST_FAKE_INSTRUCTIONS_H
#define TESTS_HOST_FAKE_INSTRUCTIONS_H

#include "../../explorer/machine/x86_64_instructions.h"

/* Only test_apic.c has these. */
uint64_t ktlb_x86_rdmsr(uint32_t index);
void ktlb_x86_wrmsr(uint32_t index, uint64_t value);
uint32_t ktlb_x86_mmio_read(const volatile uint32_t *at);
void ktlb_x86_mmio_write(volatile uint32_t *at, uint32_t value);

#endif
