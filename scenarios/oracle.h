/*
 * oracle.h - what an access must see, and whether it did.
 *
 * Every page has a version word: odd while its initiator changes the page, even when the change is synced and done.
 * A reader takes the version, makes the access, and takes the version again. Twice the same even number: the access
 * must match the truth exactly. Anything else: the page was changing, and the old translation, the new one or a fault
 * are all right, but never a frame that belongs to someone else, for that one was freed early.
 *
 * Every frame says whose it is: word 0 is the stamp of the page and its generation, the words after it hold canaries
 * of the same page, written by whoever stores through the mapping. A free frame holds poison in all of them.
 *
 * The invariant: the oracle adds no ordering between an initiator and a target but the version word, which the
 * initiator releases after its sync returned; a fence missing in the library is not made good here.
 */
#ifndef SCENARIOS_ORACLE_H
#define SCENARIOS_ORACLE_H

#include "machine.h"

struct oracle_page {
    struct ktlb_u64 version; /* changes so far << 3 | rights << 1 | changing now */
    struct ktlb_u64 stamp;   /* word 0 of the frame that is mapped here, 0 if none */
    uint64_t va;
    uint32_t id;         /* space << 16 | page; unlike every other page's */
    uint32_t generation; /* of the last stamp; belongs to whoever has the page in change, as does the frame */
    struct machine_frame *frame;
};

enum oracle_fault {
    ORACLE_STALE,      /* P1 or P4: a translation was used that sync had promised gone */
    ORACLE_LOST,       /* P1: an access faulted that a settled translation allows */
    ORACLE_EARLY,      /* P3: a frame was given away while a translation still reached it */
    ORACLE_LATE_STORE, /* P1: a store reached a frame that was no longer its page's */
    ORACLE_DISTURBED,  /* P6: a CPU was interrupted for nothing */
    ORACLE_FAULTS
};

/* What one CPU saw. Written by that CPU alone; read when it has finished. */
struct oracle_counts {
    KTLB_ALIGNED(KTLB_CACHE_LINE) uint64_t checked; /* accesses to settled pages that matched the truth */
    uint64_t in_change; /* accesses to pages in change that saw nothing foreign */
    uint64_t stores;    /* of both: stores */
    uint64_t faulted;   /* of both: accesses that faulted */
    uint64_t frames;    /* frames examined when they came back, and when they were handed out */
    uint64_t wrong[ORACLE_FAULTS];
};

/* A new run: all counts zero, no fault recorded, stamps unlike those of the run before. */
void oracle_begin(void);
/* The sum over all CPUs; wrong accesses of all kinds. => No CPU is at work. */
void oracle_sum(struct oracle_counts *sum);
uint64_t oracle_wrong(const struct oracle_counts *counts);
/* What this CPU has found wrong so far. */
uint64_t oracle_wrong_here(void);
/* The first few faults of the run, a line each. @stale: the promise that a stale access breaks ("P1"). */
void oracle_print_faults(const char *stale);

/* ---- pages ---- */

/* An unmapped page at @va. */
void oracle_page_init(struct oracle_page *page, uint32_t id, uint64_t va);
/* Take the page for a change; false: somebody else has it. */
bool oracle_change(struct oracle_page *page);
/* The change is synced: from here on the page has exactly @rights (0: unmapped) and, if any, the frame of @stamp. */
void oracle_settle(struct oracle_page *page, uint64_t stamp, unsigned rights);

/* ---- frames ---- */

/* Words of a frame that carry a stamp or a canary. */
unsigned oracle_words(void);
/* Make @words the next generation of @page: the caller has the page in change. Returns the stamp. */
uint64_t oracle_stamp(struct oracle_page *page, struct ktlb_u64 *words);
/* A frame fresh from an allocator holds poison, or a store came late. */
void oracle_check_poison(const struct machine_frame *frame);
/* A frame that sync gave back holds its page's canaries and no one else's. */
void oracle_check_canaries(const struct ktlb_u64 *words, uint64_t va);
void oracle_poison(const struct machine_frame *frame);

/* ---- accesses, on the CPU that runs this, through its TLB ---- */

/* @pick chooses what kind of access: a load of the stamp mostly, a load of a canary, a store of one. */
void oracle_touch(struct oracle_page *page, unsigned cpu, unsigned pick);

/* Somebody was interrupted for nothing, @times. */
void oracle_disturbed(unsigned cpu, uint64_t times);

#endif
