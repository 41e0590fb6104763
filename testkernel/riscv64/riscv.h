/*
 * riscv.h - control registers, and what the files of this folder know of each other.
 */
#ifndef RISCV64_RISCV_H
#define RISCV64_RISCV_H

#include "layout.h"
#include "testkernel/common/kernel.h"

#define SSTATUS_SPIE (UINT64_C(1) << 5)
#define SSTATUS_SUM (UINT64_C(1) << 18) /* the kernel reads and writes pages of the user's */

#define INTERRUPT_SOFTWARE 1
#define INTERRUPT_TIMER 5
#define SIE_SOFTWARE (UINT64_C(1) << INTERRUPT_SOFTWARE)
#define SIE_TIMER (UINT64_C(1) << INTERRUPT_TIMER)

#define SATP_SV39 8 /* the mode */
#define SATP_ROOT UINT64_C(0xfffffffffff)

#define csr_read(name)                                                                                                 \
    __extension__({                                                                                                    \
        uint64_t value_;                                                                                               \
        __asm__ volatile("csrr %0, " #name : "=r"(value_) : : "memory");                                               \
        value_;                                                                                                        \
    })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" : : "r"((uint64_t)(value)) : "memory")
#define csr_set(name, bits) __asm__ volatile("csrs " #name ", %0" : : "r"((uint64_t)(bits)) : "memory")
#define csr_clear(name, bits) __asm__ volatile("csrc " #name ", %0" : : "r"((uint64_t)(bits)) : "memory")

/* What this machine has, found once. */
struct riscv64 {
    bool qemu, svinval;
    uint64_t asids;
    int want_asids, want_svinval; /* options: -1 not given; 0 or 1 */
    volatile uint8_t *uart;
    volatile uint32_t *test; /* ends the machine with a status; NULL: it has no such device */
    uint64_t clock_per_ms;
};
extern struct riscv64 riscv64;

/* sbi.c: the firmware */
void sbi_describe(void); /* say what machine this is */
void sbi_harts(unsigned count); /* cpus[].hardware is set of so many */
int64_t sbi_start(unsigned cpu, uint64_t entry); /* 0: it is on its way */
void sbi_interrupt(const struct ktlb_cpuset *targets);
_Noreturn void sbi_shutdown(void);

/* traps.c */
void traps_enable(void); /* on every hart */

/* paging.c */
/* After a page fault at @va, which may have been for nothing. */
void fault_repair(uint64_t va, bool store);

#endif
