/*
 * window.c - edits of a folded address space; see window.h.
 *
 * The way of every edit is that of a host: unhook under the page-table lock, defer the frames, dispatch, unlock, sync,
 * free. Only what had an entry and lost something is invalidated; a page that becomes present, or gains a right, is not.
 */
#include "window.h"

void window_init(struct window *window, unsigned number)
{
    for (unsigned i = 0; i < WINDOW_PAGES; i++) {
        oracle_page_init(&window->page[i].oracle, number << 16 | i, machine.user_base + i * STAGE_PAGE);
        window->page[i].rights = 0;
        window->page[i].hidden = false;
        window->page[i].broken = false;
    }
    window->space = NULL;
    window->lock = (struct stage_lock){{0}, {0}};
    window->hot_next = 0;
    for (unsigned i = 0; i < WINDOW_HOT; i++)
        ktlb_store_relaxed_u32(&window->hot[i], i);
}

void window_open(struct window *window)
{
    window->space = machine_space_create();
}

void window_close(struct window *window)
{
    machine_space_destroy(window->space);
    window->space = NULL;
}

/* ---- one page ---- */

static struct window_page *page_at(struct window *window, uint64_t first, uint64_t i)
{
    return &window->page[(first + i) % WINDOW_PAGES];
}

/* Whoever has it waits for nobody but targets, and this CPU serves. */
static void page_take(struct window_page *page)
{
    while (!oracle_change(&page->oracle)) {
        ktlb_poll();
        machine_relax();
    }
}

static void page_warm(struct window *window, const struct window_page *page)
{
    ktlb_store_relaxed_u32(&window->hot[window->hot_next++ % WINDOW_HOT], (uint32_t)(page - window->page));
}

static void page_settle(struct window_page *page)
{
    struct oracle_page *oracle = &page->oracle;
    bool mapped = oracle->frame && !page->hidden;

    oracle_settle(oracle, mapped ? ktlb_load_relaxed(&machine_frame_words(oracle->frame)[0]) : 0,
                  mapped ? page->rights : 0);
}

static void defer(struct window_edit *edit, struct machine_frame *frame)
{
    if (edit->run->leave_out != LEAVE_FLUSH) {
        ktlb_batch_defer(&edit->batch, &frame->node);
        return;
    }
    frame->node.next = edit->kept;
    edit->kept = &frame->node;
}

static void invalidate(struct window_edit *edit, const struct window_page *page)
{
    ktlb_batch_add(&edit->batch, ktlb_op_range(page->oracle.va, STAGE_PAGE, KTLB_PAGE_SHIFT, 0));
}

/* The frame, if there is one, comes out of the page table. */
static struct machine_frame *page_unhook(struct window_edit *edit, struct window_page *page)
{
    struct machine_frame *frame = page->oracle.frame;

    if (!frame)
        return NULL;
    if (!page->hidden) {
        machine_map(edit->window->space, page->oracle.va, NULL, 0);
        invalidate(edit, page);
        page_warm(edit->window, page);
    }
    page->oracle.frame = NULL;
    page->hidden = false;
    return frame;
}

/* @frame, with the page's next stamp, goes where nothing is; or, if it is @broken, will when that is synced. */
static void page_hook(struct window *window, struct window_page *page, struct machine_frame *frame, unsigned rights,
                      bool broken)
{
    oracle_stamp(&page->oracle, machine_frame_words(frame));
    page->oracle.frame = frame;
    page->rights = (uint8_t)rights;
    page->broken = broken;
    if (!broken)
        machine_map(window->space, page->oracle.va, frame, rights);
    page_warm(window, page);
}

static void page_rights(struct window_edit *edit, struct window_page *page, unsigned rights)
{
    struct oracle_page *oracle = &page->oracle;
    unsigned had = page->hidden ? 0 : page->rights;

    if (had == rights)
        return;
    if (!rights)
        machine_map(edit->window->space, oracle->va, NULL, 0);
    else if (page->hidden)
        machine_map(edit->window->space, oracle->va, oracle->frame, rights);
    else
        machine_protect(edit->window->space, oracle->va, rights);
    if (had & ~rights)
        invalidate(edit, page);
    page->hidden = rights == 0;
    page->rights = (uint8_t)rights;
    page_warm(edit->window, page);
}

/* True if the page got a frame that it did not have. */
static bool page_change(struct window_edit *edit, struct window_page *page, enum window_change change, unsigned rights,
                        bool bring)
{
    struct machine_frame *old, *fresh = NULL;
    bool broken;

    if (change == WINDOW_RIGHTS && page->oracle.frame) {
        page_rights(edit, page, rights);
        return false;
    }
    if (change != WINDOW_EMPTY && change != WINDOW_MOVED && rights && bring)
        fresh = stage_frame_take(edit->run);
    broken = fresh && page->oracle.frame && machine_map_breaks(edit->window->space, page->oracle.va, fresh, rights);
    old = page_unhook(edit, page);
    if (old && change == WINDOW_MOVED)
        edit->moved[edit->moved_count++] = old;
    else if (old)
        defer(edit, old);
    if (fresh)
        page_hook(edit->window, page, fresh, rights, broken);
    return fresh != NULL;
}

/* ---- ranges ---- */

static void edit_begin(struct window_edit *edit, struct scenario_run *run, struct window *window, uint64_t first,
                       uint64_t count)
{
    edit->run = run;
    edit->window = window;
    edit->kept = NULL;
    edit->first = first % WINDOW_PAGES;
    edit->count = count < WINDOW_PAGES ? count : WINDOW_PAGES;
    edit->moved_count = 0;
    ktlb_batch_init(&edit->batch, machine_space_tlb(window->space));
    stage_lock(&window->lock);
}

static void edit_send(struct window_edit *edit)
{
    if (edit->run->leave_out != LEAVE_FLUSH)
        ktlb_batch_dispatch(&edit->batch);
    stage_unlock(&edit->window->lock);
}

void window_change(struct window_edit *edit, struct scenario_run *run, struct window *window, uint64_t first,
                   uint64_t count, enum window_change change, unsigned rights)
{
    unsigned brought = 0;

    edit_begin(edit, run, window, first, count);
    for (uint64_t i = 0; i < edit->count; i++) {
        struct window_page *page = page_at(window, edit->first, i);

        page_take(page);
        brought += page_change(edit, page, change, rights, brought < WINDOW_TOUCHED);
    }
    edit_send(edit);
}

void window_settle(struct window_edit *edit)
{
    struct ktlb_node *frames = edit->run->leave_out == LEAVE_FLUSH ? edit->kept : ktlb_batch_sync(&edit->batch);

    for (uint64_t i = 0; i < edit->count; i++) {
        struct window_page *page = page_at(edit->window, edit->first, i);

        if (page->broken)
            machine_map(edit->window->space, page->oracle.va, page->oracle.frame, page->rights);
        page->broken = false;
        page_settle(page);
    }
    stage_frames_give(edit->run, frames, NULL);
}

void window_place(struct window_edit *edit, uint64_t first, uint64_t count, unsigned rights)
{
    struct window *window = edit->window;
    struct ktlb_node *rest = NULL;

    stage_lock(&window->lock);
    for (unsigned i = 0; i < edit->moved_count; i++) {
        struct machine_frame *frame = edit->moved[i];

        if (i < count) {
            struct window_page *page = page_at(window, first, i);

            page_take(page);
            oracle_check_canaries(machine_frame_words(frame), page->oracle.va);
            page_hook(window, page, frame, rights, false);
            page_settle(page);
        } else {
            frame->node.next = rest;
            rest = &frame->node;
        }
    }
    stage_unlock(&window->lock);
    stage_frames_give(edit->run, rest, NULL);
}

void window_clear(struct window_edit *edit, struct scenario_run *run, struct window *window)
{
    edit_begin(edit, run, window, 0, WINDOW_PAGES);
    for (uint64_t i = 0; i < WINDOW_PAGES; i++) {
        page_take(&window->page[i]);
        page_change(edit, &window->page[i], WINDOW_EMPTY, 0, false);
    }
    ktlb_batch_add(&edit->batch, ktlb_op_all(KTLB_TABLES));
    edit_send(edit);
    window_settle(edit);
}

/* ---- fork ---- */

/* All writable pages of @window lose the right to write (@marked says which) / those @marked have it back. */
static void fork_rights(struct window_edit *edit, struct scenario_run *run, struct window *window, bool *marked,
                        bool give_back)
{
    edit_begin(edit, run, window, 0, WINDOW_PAGES);
    for (unsigned i = 0; i < WINDOW_PAGES; i++) {
        struct window_page *page = &window->page[i];

        page_take(page);
        if (!give_back)
            marked[i] = page->oracle.frame && !page->hidden && (page->rights & MACHINE_WRITE);
        if (marked[i])
            page_rights(edit, page, give_back ? MACHINE_READ | MACHINE_WRITE : MACHINE_READ);
    }
    edit_send(edit);
    window_settle(edit);
}

/* Copy on write, with the copies made at once: it is the parent's loss of the right to write that costs a shootdown. */
void window_copy(struct window_edit *edit, struct scenario_run *run, struct window *parent, struct window *child)
{
    bool writable[WINDOW_PAGES];

    fork_rights(edit, run, parent, writable, false);
    for (unsigned i = 0; i < WINDOW_PAGES; i++) {
        bool mapped = parent->page[i].oracle.frame && !parent->page[i].hidden;
        struct machine_frame *frame = mapped ? stage_frame_take(run) : NULL;

        if (!frame)
            continue;
        page_take(&child->page[i]);
        page_hook(child, &child->page[i], frame, writable[i] ? MACHINE_READ | MACHINE_WRITE : MACHINE_READ, false);
        page_settle(&child->page[i]);
    }
    fork_rights(edit, run, parent, writable, true);
}

/* ---- readers ---- */

void window_touch(struct window *window, unsigned count)
{
    unsigned cpu = machine_cpu();

    for (unsigned i = 0; i < count; i++) {
        unsigned pick = stage_random(1u << 22);
        unsigned page = ktlb_load_relaxed_u32(&window->hot[pick % WINDOW_HOT]);

        oracle_touch(&window->page[page].oracle, cpu, pick / WINDOW_HOT);
    }
}
