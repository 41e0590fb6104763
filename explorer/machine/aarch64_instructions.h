/*
 * aarch64_instructions.h - the aarch64 instructions as the explorer's hardware executes them: declared here for the
 * library, defined in aarch64.c.
 */
#ifndef EXPLORER_MACHINE_AARCH64_INSTRUCTIONS_H
#define EXPLORER_MACHINE_AARCH64_INSTRUCTIONS_H

#include <stdint.h>

/* TLBI by address or range: the name, whether it is by range, under every ASID, of the last level only, for everyone. */
#define AARCH64_TLBI_EACH(X)                                                                       \
    X(vae1, 0, 0, 0, 0)                                                                            \
    X(vaae1, 0, 1, 0, 0)                                                                           \
    X(vale1, 0, 0, 1, 0)                                                                           \
    X(vaale1, 0, 1, 1, 0)                                                                          \
    X(vae1is, 0, 0, 0, 1)                                                                          \
    X(vaae1is, 0, 1, 0, 1)                                                                         \
    X(vale1is, 0, 0, 1, 1)                                                                         \
    X(vaale1is, 0, 1, 1, 1)                                                                        \
    X(rvae1, 1, 0, 0, 0)                                                                           \
    X(rvaae1, 1, 1, 0, 0)                                                                          \
    X(rvale1, 1, 0, 1, 0)                                                                          \
    X(rvaale1, 1, 1, 1, 0)                                                                         \
    X(rvae1is, 1, 0, 0, 1)                                                                         \
    X(rvaae1is, 1, 1, 0, 1)                                                                        \
    X(rvale1is, 1, 0, 1, 1)                                                                        \
    X(rvaale1is, 1, 1, 1, 1)

#define X(name, range, every, last, shared) void ktlb_aarch64_tlbi_##name(uint64_t operand);
AARCH64_TLBI_EACH(X)
#undef X
void ktlb_aarch64_tlbi_aside1(uint64_t operand);
void ktlb_aarch64_tlbi_aside1is(uint64_t operand);
void ktlb_aarch64_tlbi_vmalle1(void);
void ktlb_aarch64_tlbi_vmalle1is(void);
void ktlb_aarch64_dsb_nsh(void);
void ktlb_aarch64_dsb_ishst(void);
void ktlb_aarch64_dsb_ish(void);
void ktlb_aarch64_isb(void);
void ktlb_aarch64_ic_ialluis(void);
void ktlb_aarch64_yield(void);
uint64_t ktlb_aarch64_read_ttbr0(void);
uint64_t ktlb_aarch64_read_tcr(void);
uint64_t ktlb_aarch64_read_isar0(void);
uint64_t ktlb_aarch64_read_ctr(void);
uint64_t ktlb_aarch64_read_cntvct(void);
void ktlb_aarch64_write_ttbr0(uint64_t value);

#endif
