/*
 * window.h - an address space of a trace, folded into a window of pages that a machine has room for.
 *
 * Page P of the trace is page P mod WINDOW_PAGES of the window: neighbours stay neighbours, which is what batches and
 * ranges live on. Trace pages that fold onto one another share a page, and the later event wins. A new mapping gets
 * frames for its first few pages only, as with first touches in a real kernel; what is never touched has none. Taking
 * away is never shortened: a range of any size empties every page of the window that it covers.
 *
 * Invariant: between two edits of a window every page is settled or in the hands of an edit that is being synced.
 */
#ifndef SCENARIOS_WINDOW_H
#define SCENARIOS_WINDOW_H

#include "stage.h"

#define WINDOW_PAGES 1024u
#define WINDOW_TOUCHED 32u /* frames that one event brings */
#define WINDOW_HOT 64u     /* pages that readers prefer: those that changed last */

struct window_page {
    struct oracle_page oracle;
    uint8_t rights; /* as they will be settled */
    bool hidden;    /* has a frame, and no rights at all */
    bool broken;    /* its frame is mapped when the old one is synced: see machine_map_breaks() */
};

struct window {
    struct stage_lock lock; /* of the page table */
    struct machine_space *space;
    struct ktlb_u32 hot[WINDOW_HOT];
    unsigned hot_next;
    struct window_page page[WINDOW_PAGES];
};

/* What an edit does to each page of its range. */
enum window_change {
    WINDOW_EMPTY,  /* no mapping, the frame is given up */
    WINDOW_FRESH,  /* another frame with these rights, the old one is given up */
    WINDOW_RIGHTS, /* these rights */
    WINDOW_MOVED,  /* no mapping, the frame is kept for window_place() */
};

/* An edit under way, on one CPU; sizeable, not for a stack. */
struct window_edit {
    struct scenario_run *run;
    struct window *window;
    struct ktlb_batch batch;
    struct ktlb_node *kept;     /* a control's frames: they are not deferred */
    uint64_t first, count;      /* the range, folded */
    unsigned moved_count;
    struct machine_frame *moved[WINDOW_PAGES];
};

/* Once for each of them, before the first run. @number tells its stamps from those of other windows. */
void window_init(struct window *window, unsigned number);
/* A new empty space / free it: no page has a frame any more, no CPU has it loaded. */
void window_open(struct window *window);
void window_close(struct window *window);

/* Change @count pages from @first on, in one batch, as far as dispatch. Edits of a window begin in turn. */
void window_change(struct window_edit *edit, struct scenario_run *run, struct window *window, uint64_t first,
                   uint64_t count, enum window_change change, unsigned rights);
/* Sync it, map what had to be broken, settle the pages, free the frames. Others may have begun edits meanwhile. */
void window_settle(struct window_edit *edit);
/* After a move is settled: map the frames it took in the @count pages from @first on, which are empty; free the rest. */
void window_place(struct window_edit *edit, uint64_t first, uint64_t count, unsigned rights);
/* Everything away, table pages included. */
void window_clear(struct window_edit *edit, struct scenario_run *run, struct window *window);
/* A fork: @parent loses its right to write and gets it back, @child gets pages like its. */
void window_copy(struct window_edit *edit, struct scenario_run *run, struct window *parent, struct window *child);

/* @count checked accesses where something changed lately. */
void window_touch(struct window *window, unsigned count);

#endif
