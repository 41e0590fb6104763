/*
 * machine.h - what a scenario runs on: the test kernel, the explorer, or a host's own kernel.
 *
 * A scenario is written once against this file and ktlb.h, and never knows which machine it is on. A machine is
 * a few CPUs, frames of memory, page tables that the CPUs walk, and loads and stores that say when they faulted.
 *
 * Page-table functions change the tables and nothing else: what the TLBs still hold is the scenario's business,
 * which is the point. They take no lock; scenarios bring their own. A table edit is one atomic store (release) of
 * the entry at least; none of them frees or reuses a table page by itself except where it says so.
 */
#ifndef SCENARIOS_MACHINE_H
#define SCENARIOS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ktlb/ktlb.h"

/* A frame: one page of memory and the host's record of it. machine_frame_words() is a window on its content that
 * no scenario ever unmaps (a direct map). Words beyond machine.frame_words do not exist on small machines. */
struct machine_frame {
    struct ktlb_node node; /* first: a node that sync returns is a frame */
    uint64_t number;       /* which frame */
};

#define MACHINE_POISON UINT64_C(0xdeadf4a3e0000000) /* every word of a free frame, or-ed with the frame's number */

enum machine_rights { MACHINE_READ = 1, MACHINE_WRITE = 2 };

/* An address space of the machine: ktlb's and the root that belongs to it. */
struct machine_space;

/* What the machine is and where it is more forgiving than the architecture. Set before any scenario runs. */
struct machine {
    const char *name;      /* "qemu x86_64", "bochs x86_64", … */
    unsigned cpus;         /* CPUs online now, numbered from 0: the scenarios' own number, not all must take part */
    unsigned frame_words;  /* 64-bit words in a frame */
    unsigned asids;        /* tags in use, of each CPU, or of all together if they mean the same everywhere; 0: none */
    uint64_t user_base;    /* scenarios map from here upwards in spaces: page-size pages, huge pages on huge_size */
    uint64_t kernel_base;  /* and from here in machine_kernel() */
    uint64_t region_size;  /* bytes usable from either base */
    uint64_t huge_size;    /* bytes; 0: the machine has no second size */
    uint64_t scale;        /* 1000: as many rounds as a scenario thinks right; less: fewer, in proportion; 0: the fewest
                            * that have a meaning, nobody running on until others are through (explorers) */
    uint64_t duration;     /* in machine_clock()'s units: an honest run lasts so long, where it may end at any round, in
                            * place of so many rounds; 0: it is rounds that count */
    uint64_t seed;         /* that machine_random's streams began from: what a failure prints */
    bool faults;           /* interrupts go astray on purpose: a stall is no failure, nor that somebody was disturbed */
    bool broadcasts;       /* what the protocol hardware needs is here */
    /* What makes a control fire does not happen here: the TLB forgets these by itself, */
    bool blind_tags;        /* entries of a space that was switched away from */
    bool blind_globals;     /* global entries, on a change of root */
    bool blind_walk_caches; /* there are none */
    /* or, for the way requests travel, nobody misses them: */
    bool blind_wait;       /* requests that nobody waits for: by NMI or broadcast they are executed at once */
    bool blind_lazy;       /* a lazy CPU, by broadcast */
    bool blind_online;     /* one that is away, where a broadcast asks for no names */
    bool blind_interrupts; /* a target: by broadcast it is not interrupted */
};
extern struct machine machine;

/* ---- CPUs ---- */

unsigned machine_cpu(void);
/* Run @body(@argument) on CPUs 0 to @cpus - 1 at once, the caller being CPU 0; return when all have. Interrupts are
 * on in the body, and each CPU has the kernel's own root loaded (&ktlb_kernel) before and after. */
void machine_run(unsigned cpus, void (*body)(void *argument), void *argument);
/* A turn of a loop that waits: a pause to the hardware; on an explorer, where others get to run. Does not poll. */
void machine_relax(void);
/* The next number of this CPU's seeded stream. */
uint64_t machine_random(void);
/* Make @cpu take a non-maskable interrupt that is nobody's request; an interrupt on ktlb's vector that is none. */
void machine_nmi(unsigned cpu);
void machine_spurious(unsigned cpu);
/* A cycle or step counter, for ratios and reports. */
uint64_t machine_clock(void);

/* ---- frames ---- */

/* NULL when there are none left. The content is the poison of the frame. Callable on any CPU at once. */
struct machine_frame *machine_frame_alloc(void);
/* Poison and free a list of frames linked by node (what ktlb_batch_sync returns; NULL is fine). */
void machine_frame_free(struct ktlb_node *list);
/* The frame's content. Touch it with ktlb_load_relaxed and ktlb_store_relaxed: others may be there too. */
struct ktlb_u64 *machine_frame_words(const struct machine_frame *frame);

/* ---- spaces and page tables ---- */

/* A new empty space (ktlb_space_init included) / free it with all its table pages, but not the frames mapped. */
struct machine_space *machine_space_create(void);
void machine_space_destroy(struct machine_space *space);
/* The kernel's own half: machine.kernel_base lies in it, entries there are global. */
struct machine_space *machine_kernel(void);
struct ktlb_space *machine_space_tlb(struct machine_space *space);

/* Map, change or remove one page; huge: of huge_size, its frame standing for the whole (see machine_map_huge).
 * Each returns the frame that was mapped there, NULL if none. @frame NULL unmaps. */
struct machine_frame *machine_map(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                  unsigned rights);
/*
 * Whether machine_map() may not simply put @frame in the place of what is mapped at @va: the architecture wants it
 * unmapped first, and that synced (break before make). In between accesses fault, and whoever makes them tries again.
 * Ask before anything is changed. On such a machine nothing may be mapped where an unmap was not synced yet, either.
 */
bool machine_map_breaks(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights);
/* Change the rights of a mapped page; false if nothing is mapped there. */
bool machine_protect(struct machine_space *space, uint64_t va, unsigned rights);

/*
 * Huge pages. A huge frame is huge_size bytes, allocated and freed like a frame (machine_frame_free takes both).
 * machine_map_huge: map, or unmap with @frame NULL; returns the huge frame that was there. The place must hold no
 * table of pages. machine_split: a table of the pages of @frame with @rights where its huge entry is, or was until a
 * break, so that machine_protect works on single pages. machine_merge: the reverse, and the frame of the table that
 * came out (defer it!). Rights after a merge are @rights. machine_size_breaks: whether these may not be done at once to
 * what is mapped at @va: then first unmap it (machine_map_huge, machine_table_take) and sync.
 */
struct machine_frame *machine_huge_alloc(void);
struct machine_frame *machine_map_huge(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                       unsigned rights);
bool machine_size_breaks(struct machine_space *space, uint64_t va);
void machine_split(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights);
struct machine_frame *machine_merge(struct machine_space *space, uint64_t va, unsigned rights);

/* Unhook the last-level table page over @va (with all the mappings in it) and return its frame, NULL if there is
 * none. Defer it with KTLB_TABLES; the frames that were mapped below stay the caller's business. */
struct machine_frame *machine_table_take(struct machine_space *space, uint64_t va);

/* Load @space's root on this CPU through ktlb_switch_begin and _end; NULL: the kernel's own root. @honest false: load
 * it but keep what the CPU holds whatever ktlb said (the control of every switch scenario). */
void machine_switch(struct machine_space *space, bool honest);

/* A thread that needs no user space runs on in the loaded one (ktlb_lazy_enter) / and its owner is back. @honest false:
 * user memory is used again without ktlb_lazy_leave, the control. */
void machine_lazy_enter(void);
void machine_lazy_leave(bool honest);

/* ---- memory accesses through the TLB of this CPU ---- */

/* Load or store 64 bits at @va; false if the access faulted. Nothing else happens on a fault, but where the tables
 * allow the access by now: then what this CPU remembers of them is dropped (fault_drops in struct ktlb_arch), and the
 * next try goes by the tables. */
bool machine_load(uint64_t va, uint64_t *value);
bool machine_store(uint64_t va, uint64_t value);

/* ---- CPUs that come and go ---- */

/* Take this CPU out (kernel root, ktlb_cpu_offline) and leave it deaf: interrupts masked, polling nothing. / Bring it
 * back. @honest false: it comes back without ktlb_cpu_online, the control. CPU 0 never goes. */
void machine_offline(void);
void machine_online(bool honest);

/* ---- saying something ---- */

/* printf to the console, one whole line. %d %u %x %lu %lx %llu %llx %s %c %p, widths, zero padding and '-'. */
void machine_print(const char *format, ...) KTLB_PRINTF(1, 2);
/* The same, for a line that the next one may replace (progress). */
void machine_progress(const char *format, ...) KTLB_PRINTF(1, 2);

#endif
