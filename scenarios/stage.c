/*
 * stage.c - arenas, edits, readers; see stage.h.
 *
 * Invariant: a frame goes to machine_frame_free() only after the batch it was deferred to is synced. In a control,
 * where frames are given away early on purpose, they go from page to page inside the scenario instead and back to the
 * machine only when everything is flushed: a late store may then spoil a page, never a page table.
 */
#include "stage.h"

/* A CPU's own things. */
struct stage_cpu {
    KTLB_ALIGNED(KTLB_CACHE_LINE) uint64_t random;
    struct ktlb_u64 edits;      /* dispatched here; only this CPU writes it */
    struct ktlb_node *recycled; /* in a control: frames free to be used again */
};
static struct stage_cpu cpus[KTLB_CPUS_MAX];

/* ---- small things ---- */

void stage_lock(struct stage_lock *lock)
{
    uint32_t ticket = ktlb_rmw_add_relaxed_u32(&lock->next, 1);

    /* Ended by the holder, who waits for nobody while it holds the lock. */
    while (ktlb_load_acquire_u32(&lock->serving) != ticket) {
        ktlb_poll();
        machine_relax();
    }
}

void stage_unlock(struct stage_lock *lock)
{
    ktlb_store_release_u32(&lock->serving, ktlb_load_relaxed_u32(&lock->serving) + 1);
}

unsigned stage_size(unsigned full, unsigned tiny)
{
    return machine.scale ? full : tiny;
}

static uint64_t random_word(struct stage_cpu *self)
{
    uint64_t word = self->random;

    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    return self->random = word;
}

unsigned stage_random(unsigned bound)
{
    return (unsigned)(((random_word(&cpus[machine_cpu()]) >> 32) * bound) >> 32);
}

uint64_t stage_edits(void)
{
    uint64_t edits = 0;

    for (unsigned i = 0; i < machine.cpus; i++)
        edits += ktlb_load_relaxed(&cpus[i].edits);
    return edits;
}

void stage_through(struct scenario_run *run)
{
    ktlb_rmw_add_relaxed(&run->through, 1);
}

static bool all_through(struct scenario_run *run)
{
    return ktlb_load_relaxed(&run->through) >= run->initiators;
}

bool stage_round(const struct scenario_run *run, uint64_t round)
{
    return run->until ? machine_clock() < run->until : round < run->rounds;
}

bool stage_going_on(struct scenario_run *run, unsigned *turn)
{
    return (*turn)++ == 0 || (machine.scale && !all_through(run));
}

void stage_await_edit(struct scenario_run *run, unsigned turns)
{
    uint64_t before = stage_edits();

    while (turns-- && stage_edits() == before && !all_through(run))
        machine_relax();
}

void stage_await(struct ktlb_u64 *signal, uint64_t value)
{
    while (ktlb_load_relaxed(signal) < value)
        machine_relax();
}

/* ---- frames ---- */

static bool recycles(const struct scenario_run *run)
{
    return run->leave_out != LEAVE_NOTHING && run->leave_out != LEAVE_SPACE;
}

struct machine_frame *stage_frame_take(struct scenario_run *run)
{
    struct stage_cpu *self = &cpus[machine_cpu()];
    struct machine_frame *frame = (struct machine_frame *)(void *)self->recycled;

    if (recycles(run) && frame)
        self->recycled = frame->node.next;
    else
        frame = machine_frame_alloc();
    if (frame)
        oracle_check_poison(frame);
    return frame;
}

static void recycle(struct ktlb_node *list)
{
    struct stage_cpu *self = &cpus[machine_cpu()];

    while (list) {
        struct ktlb_node *next = list->next;

        oracle_poison((struct machine_frame *)(void *)list);
        list->next = self->recycled;
        self->recycled = list;
        list = next;
    }
}

void stage_frames_give(struct scenario_run *run, struct ktlb_node *list, const struct machine_frame *table)
{
    for (struct ktlb_node *node = list; node; node = node->next) {
        const struct machine_frame *frame = (const struct machine_frame *)(const void *)node;

        if (frame != table)
            oracle_check_canaries(machine_frame_words(frame), 0);
    }
    if (recycles(run))
        recycle(list);
    else
        machine_frame_free(list);
}

void stage_frames_end(void)
{
    for (unsigned i = 0; i < KTLB_CPUS_MAX; i++) {
        machine_frame_free(cpus[i].recycled);
        cpus[i].recycled = NULL;
    }
}

/* ---- edits ---- */

void edit_open(struct edit *edit, struct scenario_run *run, struct arena *arena)
{
    edit->run = run;
    edit->arena = arena;
    edit->kept = NULL;
    edit->kept_end = &edit->kept;
    edit->table = NULL;
    edit->extra = arena->flags;
    edit->skip = run->leave_out == LEAVE_FLUSH || (run->leave_out == LEAVE_OWN && machine_cpu() == 1);
    edit->count = 0;
    ktlb_batch_init(&edit->batch, machine_space_tlb(arena->space));
    stage_lock(&arena->lock);
}

void edit_defer(struct edit *edit, struct machine_frame *frame)
{
    if (!edit->skip && edit->run->leave_out != LEAVE_WAIT) {
        ktlb_batch_defer(&edit->batch, &frame->node);
        return;
    }
    frame->node.next = NULL;
    *edit->kept_end = &frame->node;
    edit->kept_end = &frame->node.next;
}

struct edit_change *edit_take(struct edit *edit, struct oracle_page *page)
{
    struct edit_change *change = &edit->change[edit->count];

    if (edit->count == EDIT_PAGES || !oracle_change(page))
        return NULL;
    edit->count++;
    *change = (struct edit_change){.page = page};
    return change;
}

void edit_invalidate(struct edit *edit, uint64_t va, uint64_t size, unsigned shift)
{
    unsigned flags = edit->run->leave_out == LEAVE_TABLES ? edit->extra & ~(unsigned)KTLB_TABLES : edit->extra;

    ktlb_batch_add(&edit->batch, ktlb_op_range(va, size, shift, flags));
}

/* There was an entry: whatever it allowed may be cached. */
static void invalidate_page(struct edit *edit, uint64_t va)
{
    edit_invalidate(edit, va, STAGE_PAGE, KTLB_PAGE_SHIFT);
}

bool edit_map(struct edit *edit, struct oracle_page *page, unsigned rights)
{
    struct edit_change *change = edit_take(edit, page);
    struct machine_frame *old = page->frame;

    if (!change)
        return false;
    page->frame = stage_frame_take(edit->run);
    if (page->frame) {
        change->stamp = oracle_stamp(page, machine_frame_words(page->frame));
        change->rights = rights;
        change->broken = old && machine_map_breaks(edit->arena->space, page->va, page->frame, rights);
    }
    machine_map(edit->arena->space, page->va, change->broken ? NULL : page->frame, rights);
    if (old) {
        invalidate_page(edit, page->va);
        edit_defer(edit, old);
    }
    return true;
}

bool edit_unmap(struct edit *edit, struct oracle_page *page)
{
    struct edit_change *change = edit_take(edit, page);

    if (!change)
        return false;
    if (page->frame) {
        machine_map(edit->arena->space, page->va, NULL, 0);
        invalidate_page(edit, page->va);
        edit_defer(edit, page->frame);
        page->frame = NULL;
    }
    return true;
}

bool edit_protect(struct edit *edit, struct oracle_page *page, unsigned rights)
{
    struct edit_change *change = edit_take(edit, page);

    if (!change)
        return false;
    if (machine_protect(edit->arena->space, page->va, rights)) {
        change->stamp = ktlb_load_relaxed(&page->stamp);
        change->rights = rights;
        invalidate_page(edit, page->va);
    }
    return true;
}

void edit_dispatch(struct edit *edit)
{
    struct stage_cpu *self = &cpus[machine_cpu()];

    if (!edit->skip)
        ktlb_batch_dispatch(&edit->batch);
    stage_unlock(&edit->arena->lock);
    ktlb_store_relaxed(&self->edits, ktlb_load_relaxed(&self->edits) + 1);
}

bool edit_done(struct edit *edit)
{
    return edit->skip || ktlb_batch_done(&edit->batch);
}

void edit_wait(struct edit *edit)
{
    if (!edit->skip && edit->run->leave_out != LEAVE_WAIT)
        edit->kept = ktlb_batch_sync(&edit->batch);
}

/* Without the lock: the pages are in change, so neither they nor their table are in anybody else's hands. */
static void edit_make(struct edit *edit)
{
    for (unsigned i = 0; i < edit->count; i++) {
        const struct edit_change *change = &edit->change[i];

        if (change->broken)
            machine_map(edit->arena->space, change->page->va, change->page->frame, change->rights);
    }
}

void edit_settle(struct edit *edit)
{
    for (unsigned i = 0; i < edit->count; i++)
        oracle_settle(edit->change[i].page, edit->change[i].stamp, edit->change[i].rights);
    stage_frames_give(edit->run, edit->kept, edit->table);
    if (edit->run->leave_out == LEAVE_WAIT)
        ktlb_batch_sync(&edit->batch);
}

void edit_finish(struct edit *edit)
{
    edit_wait(edit);
    edit_make(edit);
    edit_settle(edit);
}

/* ---- the usual edits ---- */

static struct oracle_page *any_page(struct arena *arena)
{
    return &arena->page[stage_random(arena->pages)];
}

static unsigned any_rights(void)
{
    return stage_random(4) ? MACHINE_READ | MACHINE_WRITE : MACHINE_READ;
}

/* Most of the time back again at once: faults cost an emulator many times an access. */
void stage_flip(struct scenario_run *run, struct arena *arena)
{
    struct oracle_page *page = any_page(arena);
    struct edit edit;
    bool was_mapped;

    edit_open(&edit, run, arena);
    was_mapped = page->frame != NULL;
    if (was_mapped)
        edit_unmap(&edit, page);
    else
        edit_map(&edit, page, any_rights());
    edit_dispatch(&edit);
    edit_finish(&edit);
    if (!was_mapped || stage_random(4) == 0)
        return;
    edit_open(&edit, run, arena);
    edit_map(&edit, page, any_rights());
    edit_dispatch(&edit);
    edit_finish(&edit);
}

void stage_protect(struct scenario_run *run, struct arena *arena)
{
    struct oracle_page *page = any_page(arena);
    struct edit edit;

    edit_open(&edit, run, arena);
    /* Strengthening is flushed too: the oracle wants it to be seen at once, which a host need not. */
    edit_protect(&edit, page,
                 ktlb_load_relaxed(&page->version) >> 1 & MACHINE_WRITE ? MACHINE_READ : MACHINE_READ | MACHINE_WRITE);
    edit_dispatch(&edit);
    edit_finish(&edit);
}

void stage_remap(struct scenario_run *run, struct arena *arena)
{
    struct oracle_page *page = any_page(arena);
    struct edit edit;

    edit_open(&edit, run, arena);
    edit_map(&edit, page, any_rights());
    edit_dispatch(&edit);
    edit_finish(&edit);
}

void stage_mix(struct scenario_run *run, struct arena *arena, unsigned count, unsigned stride)
{
    unsigned first = stage_random(arena->pages);
    struct edit edit;

    edit_open(&edit, run, arena);
    for (unsigned i = 0; i < count && i < arena->pages; i++) {
        struct oracle_page *page = &arena->page[(first + i * stride) % arena->pages];

        if (!page->frame || stage_random(3) == 0)
            edit_map(&edit, page, any_rights());
        else if (stage_random(2))
            edit_protect(&edit, page, any_rights());
        else
            edit_unmap(&edit, page);
    }
    edit_dispatch(&edit);
    edit_finish(&edit);
}

/* ---- readers ---- */

void stage_touch(struct arena *arena, unsigned count)
{
    unsigned cpu = machine_cpu();
    struct stage_cpu *self = &cpus[cpu];

    for (unsigned i = 0; i < count; i++) {
        uint64_t word = random_word(self);

        oracle_touch(&arena->page[((word >> 32) * arena->pages) >> 32], cpu, (unsigned)(word >> 8) & 0xffff);
    }
}

void stage_burst(struct arena *arena)
{
    stage_touch(arena, stage_size(64, 1));
    machine_relax();
}

void stage_storm(struct scenario_run *run, void (*edit)(struct scenario_run *run, struct arena *arena))
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    machine_switch(run->scenario->kernel ? NULL : arena->space, true);
    if (machine_cpu() < run->initiators) {
        for (uint64_t round = 0; stage_round(run, round); round++) {
            edit(run, arena);
            stage_burst(arena);
        }
        stage_through(run);
    } else {
        while (stage_going_on(run, &turn))
            stage_burst(arena);
    }
    machine_switch(NULL, true);
}

/* ---- opening and closing ---- */

static void arena_open(struct scenario_run *run, unsigned number)
{
    const struct scenario *scenario = run->scenario;
    struct arena *arena = &run->arena[number];
    uint64_t base;

    arena->lock = (struct stage_lock){{0}, {0}};
    arena->kernel = scenario->kernel && number == 0;
    arena->space = arena->kernel ? machine_kernel() : machine_space_create();
    arena->flags = arena->kernel ? KTLB_GLOBAL : 0;
    arena->pages = stage_size(ARENA_PAGES, 2);
    arena->per_table = scenario->tables || scenario->huge ? stage_size(8, 2) : arena->pages;
    base = arena->kernel ? machine.kernel_base : machine.user_base;
    for (unsigned i = 0; i < arena->pages; i++)
        oracle_page_init(&arena->page[i], number << 16 | i,
                         base + i / arena->per_table * machine.huge_size + i % arena->per_table * STAGE_PAGE);
}

/* All pages mapped, as an initiator would. */
static void arena_fill(struct scenario_run *run, struct arena *arena)
{
    struct edit edit;

    for (unsigned i = 0; i < arena->pages;) {
        edit_open(&edit, run, arena);
        for (; i < arena->pages && edit_map(&edit, &arena->page[i], MACHINE_READ | MACHINE_WRITE); i++)
            ;
        edit_dispatch(&edit);
        edit_finish(&edit);
    }
}

/* Take out what is left, and make sure no CPU remembers any of it, controls included. */
static void arena_close(struct arena *arena)
{
    struct ktlb_node *frames = NULL;

    for (unsigned i = 0; i < arena->pages; i++) {
        struct machine_frame *frame = arena->page[i].frame;

        if (!frame)
            continue;
        machine_map(arena->space, arena->page[i].va, NULL, 0);
        frame->node.next = frames;
        frames = &frame->node;
    }
    ktlb_flush(machine_space_tlb(arena->space), ktlb_op_all(arena->flags | KTLB_TABLES));
    machine_frame_free(frames);
    if (!arena->kernel)
        machine_space_destroy(arena->space);
}

void stage_cpu_begin(void)
{
    struct stage_cpu *self = &cpus[machine_cpu()];

    self->random = machine_random() | 1;
    ktlb_store_relaxed(&self->edits, 0);
}

static void body(void *argument)
{
    struct scenario_run *run = argument;

    stage_cpu_begin();
    /* All at once, or some are through before others have woken up. On an explorer they are never late. */
    ktlb_rmw_add_relaxed(&run->started, 1);
    if (machine.scale)
        stage_await(&run->started, run->cpus);
    run->scenario->body(run);
}

void stage_run(struct scenario_run *run)
{
    run->arenas = run->scenario->arenas ? run->scenario->arenas : 1;
    if (run->scenario->own)
        run->arenas += run->initiators;
    ktlb_store_relaxed(&run->started, 0);
    ktlb_store_relaxed(&run->through, 0);
    for (unsigned i = 0; i < SIGNALS; i++)
        ktlb_store_relaxed(&run->signal[i], 0);
    stage_cpu_begin();
    for (unsigned i = 0; i < run->arenas; i++) {
        arena_open(run, i);
        if (!run->scenario->huge)
            arena_fill(run, &run->arena[i]);
    }
    if (run->scenario->open)
        run->scenario->open(run);
    machine_run(run->cpus, body, run);
    if (run->scenario->close)
        run->scenario->close(run);
    for (unsigned i = 0; i < run->arenas; i++)
        arena_close(&run->arena[i]);
    stage_frames_end();
}
