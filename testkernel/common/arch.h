/*
 * arch.h - the seam: all that the test kernel's common code asks of an architecture, and what it offers to one.
 *
 * Everything is found by the linker, or, where that is shorter, in the folder's inline.h (see port.h), so a new
 * architecture is a new folder beside x86_64/ and no change here. The common code never looks at a page-table entry, an
 * interrupt number or a register by itself.
 *
 * Shared assumptions, in which the three architectures agree: pages of 4 KiB, tables of 512 entries of 64 bits, huge
 * pages of 2 MiB, all memory in use readable and writable in a direct map, one stack per CPU.
 */
#ifndef TESTKERNEL_ARCH_H
#define TESTKERNEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ktlb/port.h"

struct cpu;
struct machine;

/* ---- boot: the architecture's entry fills a struct boot and calls kernel_main() ---- */

#define BOOT_COMMAND_LINE_SIZE 512

struct boot {
    char command_line[BOOT_COMMAND_LINE_SIZE]; /* options only, without the kernel's own name */
    uint64_t memory_start, memory_end;         /* physical: free for the kernel, one piece */
    const char *module;                        /* a file handed over beside the kernel; NULL: none */
    size_t module_size;
};

/* [@from, @to) is in use: leave the larger piece of the free memory without it. */
void boot_memory_cut(struct boot *boot, uint64_t from, uint64_t to);
/* => On the boot CPU, on a stack of its own, interrupts masked, translation on, arch_cpu_attach(&cpus[0]) done. */
_Noreturn void kernel_main(const struct boot *boot);
/* => On any other CPU, in the same state, its arch_cpu_attach() done. */
_Noreturn void kernel_cpu_main(void);

/* What a CPU was doing when something interrupted it. */
struct context {
    uint64_t pc, sp, frame; /* frame: the frame pointer; 0: none */
    bool masked;            /* interrupts were masked */
};
/* From where a frame pointer points to the two words {caller's frame pointer, return address}, in bytes. */
extern const int64_t arch_frame_words;

/* Called by the architecture's interrupt code, interrupts masked. */
void kernel_tick(const struct context *context);         /* the timer armed by arch_timer_arm() */
void kernel_nmi(const struct context *context);          /* an arch_nmi(), or the nearest thing there is */
/* An exception that nobody expected. The registers were printed by the architecture, with console_write(). */
_Noreturn void kernel_exception(const struct context *context, const char *what);

/* ---- the machine as found ---- */

/* An option of the kernel's command line that the common code does not know. false: nor does the architecture.
 * Called before arch_cpus_find(). The names known, for an error message, with a trailing space. */
bool arch_option(const char *name, const char *value);
extern const char arch_option_names[];

/* Find the CPUs: fill cpus[0 .. @limit-1].hardware with what names them to the machine, the calling CPU first. Return
 * how many there are, which may be more than @limit. After this arch_ipi() works. */
unsigned arch_cpus_find(unsigned limit);
/* Set name, the blind_* fields, and asids, to how many tags there are beside 0, for all CPUs alike; check options against
 * the machine. => After arch_cpus_find(). */
void arch_describe(struct machine *machine);

/* Make @cpu this CPU's own record: from here on arch_cpu() returns it. */
void arch_cpu_attach(struct cpu *cpu);
/* Start cpus[@number] on @stack_end; it calls kernel_cpu_main(). One at a time: the caller waits for it to show up, and
 * after a while calls with @again, for machines on which a request to start may be lost. */
void arch_cpu_start(unsigned number, void *stack_end, bool again);
/* All CPUs have started: drop what was only there for that, and what this CPU's TLB holds of it. */
void arch_boot_mappings_drop(void);

/* ---- console and exit ---- */

void arch_console_write(const char *text, size_t size);
/* A character that the host sent; -1: none. */
int arch_console_read(void);
/* End the machine with a status that the host sees. */
_Noreturn void arch_exit(bool success);

/* ---- interrupts and time ---- */

/* An interrupt that ends in ktlb_ipi(). => Interrupts masked, @targets not empty. Stores made before are visible to the
 * targets before the interrupt arrives. */
void arch_ipi(const struct ktlb_cpuset *targets);
/* The same, only to end a wait. */
void arch_wake(const struct ktlb_cpuset *targets);
/* The same as arch_ipi() by what cannot be masked; false: this machine has nothing of the kind. */
bool arch_nmi(const struct ktlb_cpuset *targets);
/* How many CPUs these have interrupted since boot, but for waking: counted where it is told to the interrupt controller,
 * and how is printed. Zero with KTLB_STATS 0. */
uint64_t arch_interrupted(void);

bool arch_irq_enabled(void);
/* => Interrupts masked. Wait for an interrupt, take it, return with interrupts masked. No wake-up between the caller's
 * last look and the wait is lost. */
void arch_wait(void);
/* => Interrupts masked. Wait for @nanoseconds, for an NMI, or less, and take no interrupt but perhaps the timer's. */
void arch_nap(uint64_t nanoseconds);
void arch_pause(void);
_Noreturn void arch_stop(void);

/* Have kernel_tick() called once on this CPU, in @nanoseconds from now; replaces what was armed before. */
void arch_timer_arm(uint64_t nanoseconds);
/* A counter of this CPU that never runs backwards, and how fast it runs. */
uint64_t arch_clock(void);
uint64_t arch_clock_per_ms(void);

/* ---- memory ---- */

extern const uint64_t arch_direct_base; /* virtual address of physical 0 in the direct map */
extern const unsigned arch_levels;      /* of a page table, the last one counted */
extern const uint64_t arch_user_base, arch_kernel_base, arch_region_size; /* see struct machine */

/* Physical address of the table that arch_kernel_base is looked up in. Its entries on the way down to kernel_base
 * are shared by all roots, made once. */
uint64_t arch_kernel_root(void);
/* @root is an empty table: make the kernel's half visible in it. */
void arch_root_init(uint64_t *root);
/* Load @root (0: the kernel's own) with @asid; @flush: drop what this CPU holds under that tag. */
void arch_root_load(uint64_t root, unsigned asid, bool flush);

/* Entries. Level 0 maps pages, level 1 huge pages. @rights: enum machine_rights; 0 makes an entry that is not 0, keeps
 * its address, and faults on every use. */
uint64_t arch_pte_leaf(uint64_t address, unsigned rights, unsigned level, bool kernel);
uint64_t arch_pte_table(uint64_t address);
bool arch_pte_is_table(uint64_t pte, unsigned level);
uint64_t arch_pte_address(uint64_t pte);
unsigned arch_pte_rights(uint64_t pte);
/* An entry was stored that was 0 before: what this machine needs so that its own walks see it. */
void arch_pte_published(void);

/* One load or store of 64 bits in one instruction; false: it faulted. */
bool arch_load(uint64_t va, uint64_t *value);
bool arch_store(uint64_t va, uint64_t value);

#endif
