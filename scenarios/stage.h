/*
 * stage.h - what scenarios are made of: arenas of pages, edits that change a few of them in one batch, readers.
 *
 * An edit is the unmap path of a host, whole: unhook under the page-table lock, dispatch, sync outside it, give the
 * frames away. It tells the oracle what is in change and what is settled, and it is the one place where most
 * controls leave out their step; scenarios only say which pages change and how. Where an entry may not simply take the
 * place of another (machine_map_breaks), the edit leaves the place empty, and fills it when it is synced: whoever
 * touches it in between faults, and finds it when it tries again after that.
 *
 * The invariant: outside of an edit every page of an arena is settled, and its frame belongs to the page.
 */
#ifndef SCENARIOS_STAGE_H
#define SCENARIOS_STAGE_H

#include "machine.h"
#include "oracle.h"
#include "scenarios.h"

#define STAGE_PAGE (UINT64_C(1) << KTLB_PAGE_SHIFT)
#define ARENA_PAGES 64u /* at most */
#define ARENAS 20u      /* at most */
#define EDIT_PAGES 48u  /* in one batch; above KTLB_FLUSH_MAX and KTLB_BATCH_OPS, on purpose */
#define SIGNALS 3u
/* CPUs beyond these are not made to spin with interrupts masked: many that do leave an emulator no time for others. */
#define STAGE_DEAF_MAX 8u

/* A lock that serves requests while it waits, so that it may be taken with interrupts masked. */
struct stage_lock {
    struct ktlb_u32 next, serving;
};
void stage_lock(struct stage_lock *lock);
void stage_unlock(struct stage_lock *lock);

struct arena {
    struct stage_lock lock; /* of the page table */
    struct machine_space *space;
    bool kernel;    /* in the kernel's half: arena 0 of the scenarios that say so */
    unsigned flags; /* KTLB_GLOBAL there */
    unsigned pages;
    unsigned per_table; /* pages under one last-level table; the others of it stay unused */
    struct oracle_page page[ARENA_PAGES];
};

/* One run of a scenario, honest or not. */
struct scenario_run {
    const struct scenario *scenario;
    enum leave_out leave_out;
    unsigned cpus, initiators;
    uint64_t rounds; /* of each initiator */
    uint64_t until;  /* by machine_clock(), instead of rounds; 0: it is rounds */
    unsigned arenas;
    struct arena arena[ARENAS];
    struct ktlb_u64 started;         /* CPUs that are in the body */
    struct ktlb_u64 through;         /* initiators that are done */
    struct ktlb_u64 signal[SIGNALS]; /* for handshakes: relaxed, they must order nothing */
};

/* This CPU's stream of numbers and counters start anew. => On every CPU that takes part. */
void stage_cpu_begin(void);
/* Open the arenas the scenario asks for, run its body on every CPU, close them again. */
void stage_run(struct scenario_run *run);

/* @full where there is time, @tiny on a machine of scale 0. */
unsigned stage_size(unsigned full, unsigned tiny);
/* This CPU's stream, cheap enough for every access. Below @bound. */
unsigned stage_random(unsigned bound);

/* ---- frames ---- */

/* A poisoned frame, looked at; NULL: there are none. Where a control frees early, from frames set aside. */
struct machine_frame *stage_frame_take(struct scenario_run *run);
/* Look at each of @list for canaries of others, but not at @table; then free it, or set it aside. */
void stage_frames_give(struct scenario_run *run, struct ktlb_node *list, const struct machine_frame *table);
/* What was set aside goes back to the machine. => Every TLB is clean of it. */
void stage_frames_end(void);

/* ---- edits ---- */

struct edit_change {
    struct oracle_page *page;
    uint64_t stamp; /* as it will be */
    unsigned rights;
    bool broken; /* the page's frame is still to be mapped */
};

struct edit {
    struct scenario_run *run;
    struct arena *arena;
    struct ktlb_batch batch;
    struct ktlb_node *kept, **kept_end; /* what the batch would have kept, where a control does not wait for it; synced,
                                         * what it kept */
    struct machine_frame *table;        /* which of the frames held page-table entries, NULL if none did */
    unsigned extra;                     /* flags for every op */
    bool skip;                          /* the control: nothing is dispatched */
    unsigned count;
    struct edit_change change[EDIT_PAGES];
};

/* Each of these takes the page for the edit, changes its entry, and adds what has to be invalidated; false, and
 * nothing changed: another edit has it, or the edit is full. => With the arena's lock. */
bool edit_map(struct edit *edit, struct oracle_page *page, unsigned rights); /* a new frame, instead of the old if any */
bool edit_unmap(struct edit *edit, struct oracle_page *page);
bool edit_protect(struct edit *edit, struct oracle_page *page, unsigned rights);

/* What these are made of, for edits of another kind: take a page, NULL if another edit has it or this one is full; it
 * settles as the change says. Invalidate @size bytes of entries of 1 << @shift. */
struct edit_change *edit_take(struct edit *edit, struct oracle_page *page);
void edit_invalidate(struct edit *edit, uint64_t va, uint64_t size, unsigned shift);

/* Begin; takes the arena's lock. */
void edit_open(struct edit *edit, struct scenario_run *run, struct arena *arena);
/* Owe a frame that is no page's. */
void edit_defer(struct edit *edit, struct machine_frame *frame);
/* Invalidate, and give up the lock. */
void edit_dispatch(struct edit *edit);
/* Whether edit_finish() would not wait. */
bool edit_done(struct edit *edit);
/* Wait, map what had to be broken first, settle the pages, give the frames away. */
void edit_finish(struct edit *edit);
/* The first of these steps, and the last two: for edits of another kind, which make in between what they broke. */
void edit_wait(struct edit *edit);
void edit_settle(struct edit *edit);

/* The usual edits. Of one page chosen at random: map or unmap it, change its rights, replace its frame; and of
 * @count pages, each @stride after the one before, some of everything. */
void stage_flip(struct scenario_run *run, struct arena *arena);
void stage_protect(struct scenario_run *run, struct arena *arena);
void stage_remap(struct scenario_run *run, struct arena *arena);
void stage_mix(struct scenario_run *run, struct arena *arena, unsigned count, unsigned stride);

/* ---- readers ---- */

/* @count checked accesses to pages of @arena chosen at random. */
void stage_touch(struct arena *arena, unsigned count);
/* A burst of them, and a breath. */
void stage_burst(struct arena *arena);

/* Whether this initiator has a round @round, from 0. */
bool stage_round(const struct scenario_run *run, uint64_t round);
/* Whether initiators are still at work; a reader's loop. @turn counts the reader's turns, from 0. */
bool stage_going_on(struct scenario_run *run, unsigned *turn);
/* This initiator is through. */
void stage_through(struct scenario_run *run);
/* Edits dispatched so far, by anyone. */
uint64_t stage_edits(void);
/* Relax until another edit was dispatched, or all initiators are through, or @turns turns passed. */
void stage_await_edit(struct scenario_run *run, unsigned turns);
/* Relax until @signal is @value or more; serves nobody. */
void stage_await(struct ktlb_u64 *signal, uint64_t value);

/* ---- the usual body ---- */

/* Initiators (CPUs below run->initiators) @edit arena 0 and touch it in between, the others touch it till they end. */
void stage_storm(struct scenario_run *run, void (*edit)(struct scenario_run *run, struct arena *arena));

#endif
