/*
 * hardware.h - the explorer's CPUs below the kernel: registers, interrupts, and a TLB that does its worst.
 *
 * The TLB is not a set of entries but a set of floors. Whatever a walker could have read from the page table at any
 * moment since an entry was last invalidated may be cached now; and what it could have read then is every message
 * of that location not older than this CPU's view was at the invalidation. So for each CPU, tag and page the
 * hardware remembers one view, and an access may use any translation found at or above it. No fill is ever a
 * choice of its own, and yet no filling at any time is left out.
 */
#ifndef EXPLORER_MACHINE_HARDWARE_H
#define EXPLORER_MACHINE_HARDWARE_H

#include <stdbool.h>
#include <stdint.h>

#include "explorer/runtime.h"

#define ROOTS 6u        /* page-table roots: the kernel's is 0 */
#define TABLES 12u      /* last-level tables */
#ifndef TABLE_PAGES
#define TABLE_PAGES 8u  /* pages of each: the rest of a region is never mapped */
#endif
#define REGIONS 4u      /* tables a root can hold */
#ifndef TAGS
#define TAGS 10u /* the protocol hardware wants more than two for each CPU */
#endif
#define HUGE_FRAMES 2u  /* frames in a row that are a huge one; further pages of it are the same again */
#define PAGES (REGIONS * TABLE_PAGES)
#ifndef FRAMES
#define FRAMES 32u
#endif

#define USER_BASE UINT64_C(0x40000000)
#define KERNEL_BASE UINT64_C(0xffffc00000000000)
#define PAGE_BITS 12
#define REGION_BITS 21

/* Entries of both levels: a number, rights, and what it is. Table: the number of a table. */
#define ENTRY_PRESENT 1u
#define ENTRY_WRITE 2u
#define ENTRY_HUGE 4u
#define ENTRY(number, bits) ((uint64_t)(number) << 8 | (bits))
#define ENTRY_NUMBER(entry) ((unsigned)((entry) >> 8))

extern uint64_t hardware_frame[FRAMES]; /* a frame's content, one word is enough */
extern uint64_t hardware_directory[ROOTS][REGIONS];
extern uint64_t hardware_table[TABLES][TABLE_PAGES];

/* What invalidations do not do that the manual says they do. */
struct hardware_quirks {
    bool invlpg_keeps_globals; /* TRAPS 15: Alder Lake, with PCID */
    bool late_stores;          /* TRAPS 16: the entry is gone, and a store made through it still arrives */
    bool first_does_nothing;   /* TRAPS 17: every other invalidation by address does nothing */
    bool walks_kept;           /* TRAPS 19: an invalidation by address leaves the walk caches */
    bool address_ignored;      /* TRAPS 20: an invalidation by address does nothing */
};
extern struct hardware_quirks hardware_quirks;
/* Have the quirk of that name ("late-stores"); false: there is none such. */
bool hardware_quirk(const char *name);
extern bool hardware_tags;         /* does it tag entries */
extern bool hardware_keeps_faults; /* does it remember what was not there */
extern bool hardware_breaks;       /* may it not hold two entries at once that contradict each other: other frames, */
extern bool hardware_any_size;     /* or other sizes, unless this */

void hardware_reset(unsigned cpus);
/* The CPU this runs on; in a case's setup, the one it says. */
extern unsigned hardware_setup_cpu;
unsigned hardware_cpu(void);
unsigned hardware_cpus(void);

/* The index of a page within its half; is it in the kernel's half. */
bool hardware_is_kernel(uint64_t va);
unsigned hardware_page(uint64_t va);
/* Whether there is such a page on this machine; elsewhere there is nothing to drop. */
bool hardware_has_page(uint64_t va);

/* ---- for the instructions of an architecture: see the file of its name ---- */

#define HARDWARE_EVERY_TAG TAGS

/* What an invalidation drops. */
struct hardware_drop {
    unsigned tag; /* or HARDWARE_EVERY_TAG */
    bool all;     /* the whole tag, else the page of @va, with the huge page around it */
    bool globals; /* global entries as well */
    enum { HARDWARE_WALKS_KEPT, HARDWARE_WALKS_OF_PAGE, HARDWARE_WALKS_OF_USER, HARDWARE_WALKS } walks;
    uint64_t va;
    bool dated;   /* walks afterwards know at least what @at does, else all that this CPU knows now */
    const struct ex_view *at;
};

/* Drop here / on the CPUs of that mask, whatever they do, and wait until it is done. */
void hardware_drop(const struct hardware_drop *drop);
void hardware_drop_everywhere(const struct hardware_drop *drop, uint64_t cpus);
/* With a flush of the tag in the same instruction, or without. @since: what walks of that root know at least, if it was not
 * loaded under the tag before. */
void hardware_load_root(unsigned root, unsigned tag, bool flush, const struct ex_view *since);
unsigned hardware_root(void);
unsigned hardware_tag(void);
/* Whether the library says of this architecture that @new may not simply take the place of @old, both above the last level
 * if @upper. */
bool hardware_arch_needs_break(uint64_t old, uint64_t new, bool upper);
/* Of the architecture: power on / load a root as the library said / an interrupt is taken / what drops the cause of a
 * fault at @va that finds the access allowed by now, the fault itself or its handler / what its host does before it
 * interrupts, and what the interrupts then bring with them. */
struct ktlb_load;
void hardware_arch_reset(void);
void hardware_arch_load(unsigned root, struct ktlb_load load);
void hardware_arch_trap(void);
void hardware_arch_fault(uint64_t va);
const struct ex_view *hardware_arch_fence_ipi(void);

/* Every present entry through which @cpu may now translate page @va, huge ones included; how many. */
unsigned hardware_possible(unsigned cpu, uint64_t va, uint64_t *entries, unsigned max);
/* Whether a walk for @va that starts now on this CPU may find nothing. */
bool hardware_may_fault(uint64_t va);
/* Whether whoever reads the tables now on this CPU, caches aside, finds an entry of these bits for it. */
bool hardware_grants(uint64_t va, uint64_t bits);
/* This CPU has translated @va by @entry: what depends on that comes after what was published with the entry, once an
 * acquire fence says so. */
void hardware_observe(uint64_t va, uint64_t entry);
/* Whether @cpu's walker may still enter @table: in the loaded root's tag. */
bool hardware_may_walk(unsigned cpu, unsigned table);
/* Two entries that @cpu may hold at once for page @va, and must not: contradicting each other, on a machine that has to
 * break before it makes. */
bool hardware_may_conflict(unsigned cpu, uint64_t va, uint64_t pair[2]);
/* Another space's translation that @cpu may use for a page of the loaded one, if its tag was kept too long. */
bool hardware_may_confuse(unsigned cpu, unsigned root);

/* The last moment of what this CPU can reach by now: user code, if @user, and page walks may have used all of it just
 * before. Whoever reuses a frame must be ordered after that. Invalidations do this by themselves. */
void hardware_last_use(bool user);
/* Whether user code may run on this CPU: not in a switch, not lazy, not away. */
void hardware_expose(bool exposed);
bool hardware_exposed(unsigned cpu);
/* The kernel runs on this CPU until what was before is put back: in builds with early answers, user code does not. */
bool hardware_kernel_begin(void);
void hardware_kernel_end(bool before);
/* This CPU keeps its hands off everything that is ever removed. */
void hardware_away(bool away);
/* Around a load or store: no interrupt comes between its translation and itself. */
void hardware_access(bool begins);
/* The pages that are ever mapped: others are not looked at. */
void hardware_mapped(uint64_t va);
uint64_t hardware_mapped_next(unsigned *at);

/* A change of what @cpu's TLB may do / a look at it: the reduction has to know. */
void hardware_touch(unsigned cpu, bool write, const char *label);

/* ktlb's interrupts are NMIs: they come while interrupts are masked as well, but not within one another. */
extern bool hardware_by_nmi;
/* Interrupts: mask and unmask this CPU; take what is pending if unmasked, by choice or surely. */
bool hardware_mask(bool masked);
void hardware_interrupt(unsigned target, const struct ex_view *carried);
void hardware_before_step(unsigned cpu);
bool hardware_deliver(unsigned cpu);
unsigned hardware_interrupts_sent(void);
/* So many more stray interrupts (on our vector, from nobody) may arrive on @cpu, anywhere. */
void hardware_stray(unsigned cpu, unsigned count);
/* What the host's handler does at the end of such an interrupt; null: nothing. Reset clears it. */
extern void (*hardware_stray_handler)(void);

#endif
