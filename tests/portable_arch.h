/*
 * portable_arch.h - an architecture with nothing in it: lets the portable part of the library compile for a processor
 * that has no layer yet. Names every function a layer owes (see include/ktlb/arch/x86_64.h).
 */
#ifndef TESTS_PORTABLE_ARCH_H
#define TESTS_PORTABLE_ARCH_H

#include "ktlb/ktlb.h"

struct ktlb_arch {
    bool unused;
};

void ktlb_arch_init(void);
bool ktlb_arch_can_tag(unsigned asids);
void ktlb_arch_flush_space(void);
void ktlb_arch_flush_machine(void);
void ktlb_arch_flush_range(struct ktlb_op op);
unsigned ktlb_arch_pte_obliges(uint64_t old_pte, uint64_t new_pte, unsigned shift);
void ktlb_arch_sync_code(void);
#define KTLB_ARCH_EVERY_ASID UINT64_C(0x10000)
bool ktlb_arch_broadcasts(void);
bool ktlb_arch_broadcast_interrupts(void);
void ktlb_arch_broadcast(const struct ktlb_cpuset *targets, const struct ktlb_op *op, unsigned count, uint64_t asid);
void ktlb_arch_broadcast_wait(unsigned flags);
void ktlb_arch_flush_asid(struct ktlb_op op, uint64_t asid);
void ktlb_arch_fence_walks(uint64_t asid);
void ktlb_arch_relax(void);
uint64_t ktlb_arch_cycles(void);

#endif
