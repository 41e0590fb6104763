/*
 * x86.h - instructions, registers and what the files of this folder know of each other.
 */
#ifndef X86_64_X86_H
#define X86_64_X86_H

#include "layout.h"
#include "testkernel/common/kernel.h"

enum x86_vector {
    VECTOR_NMI = 2,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_GENERAL_PROTECTION = 13,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_MACHINE_CHECK = 18,
    VECTOR_PIC = 0x20, /* to 0x2f: masked, but a PIC may still raise a spurious one */
    VECTOR_WAKE = 0xd0,
    VECTOR_KTLB = KTLB_VECTOR,
    VECTOR_TIMER = 0xf0, /* of the highest class, so that all others can be held back: see arch_nap() */
    VECTOR_SPURIOUS = 0xff,
};

#define MSR_APIC_BASE 0x1b
#define MSR_GS_BASE 0xc0000101

#define CR4_PGE (UINT64_C(1) << 7)
#define CR4_PCIDE (UINT64_C(1) << 17)
#define CR3_KEEP (UINT64_C(1) << 63)

struct x86_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* What this machine has, found once. */
struct x86 {
    bool qemu, bochs;
    bool pcid, invpcid, x2apic;  /* the CPU has it */
    bool use_pcid, use_x2apic;   /* and it is in use */
    int want_pcid;               /* option: 0, 1, or -1: not given */
    int apic_mode;               /* option, then what is in use: enum ktlb_apic_mode, or -1: not given */
    bool shorthand;              /* option: one interrupt to all others may be one */
    uint64_t apic_base;          /* physical */
    uint64_t clock_per_ms, timer_per_ms;
};
extern struct x86 x86;

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
    return (uint64_t)high << 32 | low;
}

static inline struct x86_cpuid cpuid(uint32_t leaf)
{
    struct x86_cpuid id;

    __asm__ volatile("cpuid" : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx) : "a"(leaf), "c"(0));
    return id;
}

static inline uint64_t read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value) : : "memory");
    return value;
}

static inline void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

static inline void write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

/* acpi.c: call @each for every usable CPU's APIC number; false: no tables. Sets x86.apic_base and x86.bochs. */
bool acpi_cpus(void (*each)(uint32_t apic));

/* apic.c */
void apic_enable(void); /* on every CPU, after send_find() */
void apic_calibrate(void);
void apic_eoi(void);
/* Where ktlb's interrupt goes on, one of the two; and the register that the first of them writes, as apic_eoi(). */
extern const char *x86_ktlb_entry, x86_ktlb_entry_xapic[], x86_ktlb_entry_x2apic[];
extern volatile uint32_t *x86_apic_end;

/* send.c */
void send_find(unsigned found, unsigned used); /* once: choose the mode; @used of the CPUs found are in cpus[] */
void send_join(void);                          /* on every CPU, after apic_enable(): it can be sent to */

/* traps.c */
void traps_load(unsigned cpu); /* this CPU's GDT, TSS and IDT */

/* paging.c */
void paging_enable(void);

#endif
