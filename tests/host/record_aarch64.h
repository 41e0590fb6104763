/* record_aarch64.h - the aarch64 instructions in the host tests: recorded instead of executed. */
#ifndef TESTS_HOST_RECORD_AARCH64_H
#define TESTS_HOST_RECORD_AARCH64_H

#include "ktlb/platform/compiler.h"
#include "record.h"

/* The system registers that are read. */
extern uint64_t fake_ttbr0, fake_tcr, fake_isar0, fake_ctr, fake_cntvct;

#define PLAIN(name)                                                                                \
    KTLB_INLINE void ktlb_aarch64_##name(void)                                                     \
    {                                                                                              \
        record(#name, 0, 0, 0);                                                                    \
    }
PLAIN(tlbi_vmalle1)
PLAIN(tlbi_vmalle1is)
PLAIN(dsb_nsh)
PLAIN(dsb_ishst)
PLAIN(dsb_ish)
PLAIN(isb)
PLAIN(ic_ialluis)
PLAIN(yield)
#undef PLAIN

#define TLBI(name)                                                                                 \
    KTLB_INLINE void ktlb_aarch64_tlbi_##name(uint64_t operand)                                    \
    {                                                                                              \
        record(#name, 1, operand, 0);                                                              \
    }
#define TLBI_VA(kind, shared)                                                                      \
    TLBI(kind##ae1##shared) TLBI(kind##aae1##shared) TLBI(kind##ale1##shared) TLBI(kind##aale1##shared)
TLBI_VA(v, )
TLBI_VA(v, is)
TLBI_VA(rv, )
TLBI_VA(rv, is)
TLBI(aside1)
TLBI(aside1is)
#undef TLBI_VA
#undef TLBI

#define READ(name)                                                                                 \
    KTLB_INLINE uint64_t ktlb_aarch64_read_##name(void)                                            \
    {                                                                                              \
        return fake_##name;                                                                        \
    }
READ(ttbr0)
READ(tcr)
READ(isar0)
READ(ctr)
READ(cntvct)
#undef READ

KTLB_INLINE void ktlb_aarch64_write_ttbr0(uint64_t value)
{
    record("ttbr0", 1, value, 0);
    fake_ttbr0 = value;
}

#endif
