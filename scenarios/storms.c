/*
 * storms.c - scenarios of one subject each: initiators change pages as fast as they can while the others touch them.
 *
 * Invariant: a body ends with the kernel's own root loaded and every edit it opened finished.
 */
#include "storms.h"

void storm_map(struct scenario_run *run)
{
    stage_storm(run, stage_flip);
}

void storm_protect(struct scenario_run *run)
{
    stage_storm(run, stage_protect);
}

void storm_remap(struct scenario_run *run)
{
    stage_storm(run, stage_remap);
}

/* ---- frames that go to somebody else at once ---- */

/* A reader that takes no interrupt for a whole burst: the longer the wait that an early free does not do. */
static void masked_burst(struct arena *arena)
{
    ktlb_irq irq = ktlb_port_irq_save();

    stage_touch(arena, stage_size(64, 2));
    ktlb_poll();
    ktlb_port_irq_restore(irq);
    machine_relax();
}

/* Two spaces, so that a frame freed in one is soon mapped in the other. */
void storm_reuse(struct scenario_run *run)
{
    struct arena *home = &run->arena[machine_cpu() / 2 % run->arenas];
    unsigned turn = 0;

    machine_switch(home->space, true);
    if (machine_cpu() < run->initiators) {
        for (uint64_t round = 0; stage_round(run, round); round++) {
            stage_flip(run, &run->arena[round % run->arenas]);
            stage_burst(home);
        }
        stage_through(run);
    } else {
        while (stage_going_on(run, &turn))
            masked_burst(home);
    }
    machine_switch(NULL, true);
}

/* ---- many pages ---- */

/* Up to twice as many as a batch keeps apart. */
static void disjoint(struct scenario_run *run, struct arena *arena)
{
    stage_mix(run, arena, 2 + stage_random(stage_size(2 * KTLB_BATCH_OPS, 1)), 2 + stage_random(2));
}

void storm_disjoint(struct scenario_run *run)
{
    stage_storm(run, disjoint);
}

void storm_any_edit(struct scenario_run *run, struct arena *arena)
{
    switch (stage_random(4)) {
    case 0:
        stage_flip(run, arena);
        break;
    case 1:
        stage_protect(run, arena);
        break;
    case 2:
        stage_remap(run, arena);
        break;
    default:
        disjoint(run, arena);
    }
}

void storm_initiators(struct scenario_run *run)
{
    stage_storm(run, storm_any_edit);
}

/* From one page to more than are invalidated one by one. */
static void stretch(struct scenario_run *run, struct arena *arena)
{
    stage_mix(run, arena, 1 + stage_random(stage_size(stage_random(4) ? 8 : EDIT_PAGES, 2)), 1);
}

/* The kernel's pages, touched from the kernel's own root and from a user space: global entries outlive the change. */
void storm_kernel(struct scenario_run *run)
{
    bool initiator = machine_cpu() < run->initiators;
    unsigned turn = 0;

    for (uint64_t round = 0; initiator ? stage_round(run, round) : stage_going_on(run, &turn); round++) {
        machine_switch(round & 1 ? run->arena[1].space : NULL, true);
        stage_burst(&run->arena[0]);
        if (initiator)
            stretch(run, &run->arena[0]);
        stage_burst(&run->arena[0]);
        if (round & 1)
            stage_touch(&run->arena[1], 1);
    }
    if (initiator)
        stage_through(run);
    machine_switch(NULL, true);
}

/* ---- page-table pages ---- */

/* Unmap what lies under one table, then take the table out as well, unless another edit has one of its pages. */
static void empty_table(struct edit *edit, struct arena *arena, struct oracle_page *first)
{
    unsigned taken = 0;

    edit->extra |= KTLB_TABLES;
    while (taken < arena->per_table && edit_unmap(edit, first + taken))
        taken++;
    if (taken < arena->per_table)
        return;
    edit->table = machine_table_take(arena->space, first->va);
    if (edit->table) {
        edit_invalidate(edit, first->va, STAGE_PAGE, KTLB_PAGE_SHIFT);
        edit_defer(edit, edit->table);
    }
}

void storm_table_edit(struct scenario_run *run, struct arena *arena)
{
    struct oracle_page *first = &arena->page[stage_random(arena->pages / arena->per_table) * arena->per_table];
    struct edit edit;

    edit_open(&edit, run, arena);
    empty_table(&edit, arena, first);
    edit_dispatch(&edit);
    edit_finish(&edit);
    edit_open(&edit, run, arena);
    for (unsigned i = 0; i < arena->per_table; i++)
        if (!first[i].frame)
            edit_map(&edit, &first[i], MACHINE_READ | MACHINE_WRITE);
    edit_dispatch(&edit);
    edit_finish(&edit);
}

void storm_tables(struct scenario_run *run)
{
    stage_storm(run, storm_table_edit);
}

/* The same, with readers that are lazy half of the time: their walkers are still in the tables. */
void storm_walk(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    if (machine_cpu() < run->initiators) {
        stage_storm(run, storm_table_edit);
        return;
    }
    machine_switch(arena->space, true);
    while (stage_going_on(run, &turn)) {
        stage_burst(arena);
        machine_lazy_enter();
        stage_await_edit(run, stage_size(200, 1));
        machine_lazy_leave(true);
    }
    machine_switch(NULL, true);
}

/* ---- huge pages ---- */

/*
 * A place of huge_size and what is there. Of its pages the first few are watched, each with its own stamp in the huge
 * frame. Huge frames never leave the scenario: poisoning one whole would take all the time there is.
 */
struct place {
    struct machine_frame *frame; /* NULL: nothing */
    bool split;
    bool broken; /* it is being given the other size, and holds nothing for now */
};
static struct place places[ARENA_PAGES];
static struct ktlb_node *spare;

static struct ktlb_u64 *huge_words(const struct machine_frame *frame, unsigned page)
{
    return machine_frame_words(frame) + page * machine.frame_words;
}

static void huge_poison(struct machine_frame *frame, unsigned pages)
{
    for (unsigned page = 0; page < pages; page++)
        for (unsigned i = 0; i < oracle_words(); i++)
            ktlb_store_relaxed(&huge_words(frame, page)[i], MACHINE_POISON | frame->number);
}

static void huge_map(struct edit *edit, struct place *place, struct oracle_page *first)
{
    place->frame = (struct machine_frame *)(void *)spare;
    place->split = false;
    if (place->frame)
        spare = spare->next;
    else
        place->frame = machine_huge_alloc();
    if (!place->frame)
        return;
    for (unsigned i = 0; i < edit->count; i++) {
        edit->change[i].stamp = oracle_stamp(&first[i], huge_words(place->frame, i));
        edit->change[i].rights = MACHINE_READ | MACHINE_WRITE;
    }
    machine_map_huge(edit->arena->space, first->va, place->frame, MACHINE_READ | MACHINE_WRITE);
}

/* The entries may be huge, or pages of a table that goes as well. */
static struct machine_frame *huge_unmap(struct edit *edit, struct place *place, struct oracle_page *first)
{
    struct machine_frame *frame = place->frame;

    if (place->split) {
        edit->extra |= KTLB_TABLES;
        edit->table = machine_table_take(edit->arena->space, first->va);
        edit_defer(edit, edit->table);
        edit_invalidate(edit, first->va, machine.huge_size, KTLB_PAGE_SHIFT);
    } else {
        machine_map_huge(edit->arena->space, first->va, NULL, 0);
        edit_invalidate(edit, first->va, machine.huge_size, ktlb_lowest_bit(machine.huge_size));
    }
    for (unsigned i = 0; i < edit->count; i++)
        edit->change[i] = (struct edit_change){.page = &first[i]};
    place->frame = NULL;
    return frame;
}

/* Split if it is whole, and take the right to write from one page. Where the split needs a break, it is all for now: a
 * right that goes would be another change, and need another sync. */
static void huge_protect(struct edit *edit, struct place *place, struct oracle_page *first)
{
    unsigned page = stage_random(edit->count);

    if (!place->split && machine_size_breaks(edit->arena->space, first->va)) {
        place->broken = true;
        machine_map_huge(edit->arena->space, first->va, NULL, 0);
        edit_invalidate(edit, first->va, machine.huge_size, ktlb_lowest_bit(machine.huge_size));
        return;
    }
    if (!place->split)
        machine_split(edit->arena->space, first->va, place->frame, MACHINE_READ | MACHINE_WRITE);
    place->split = true;
    machine_protect(edit->arena->space, first[page].va, MACHINE_READ);
    edit->change[page].rights = MACHINE_READ;
    edit_invalidate(edit, first[page].va, STAGE_PAGE, KTLB_PAGE_SHIFT);
}

/* The page entries die with their table, and a huge one with all rights takes their place. */
static void huge_merge(struct edit *edit, struct place *place, struct oracle_page *first)
{
    edit->extra |= KTLB_TABLES;
    place->broken = machine_size_breaks(edit->arena->space, first->va);
    edit->table = place->broken ? machine_table_take(edit->arena->space, first->va)
                                : machine_merge(edit->arena->space, first->va, MACHINE_READ | MACHINE_WRITE);
    place->split = place->broken;
    for (unsigned i = 0; i < edit->count; i++)
        edit->change[i].rights = MACHINE_READ | MACHINE_WRITE;
    edit_defer(edit, edit->table);
    edit_invalidate(edit, first->va, machine.huge_size, KTLB_PAGE_SHIFT);
}

/* What was broken is synced, and in nobody else's hands: the other size, of the same frame. */
static void huge_make(struct edit *edit, struct place *place, struct oracle_page *first)
{
    if (place->split)
        machine_map_huge(edit->arena->space, first->va, place->frame, MACHINE_READ | MACHINE_WRITE);
    else
        machine_split(edit->arena->space, first->va, place->frame, MACHINE_READ | MACHINE_WRITE);
    place->split = !place->split;
    place->broken = false;
}

/* Take all watched pages of a place, to settle as they are; false: another edit has one of them. */
static bool huge_take(struct edit *edit, struct arena *arena, struct oracle_page *first)
{
    for (unsigned i = 0; i < arena->per_table; i++) {
        struct edit_change *change = edit_take(edit, &first[i]);

        if (!change)
            return false;
        change->stamp = ktlb_load_relaxed(&first[i].stamp);
        change->rights = (unsigned)(ktlb_load_relaxed(&first[i].version) >> 1 & 3);
    }
    return true;
}

static void huge_edit(struct scenario_run *run, struct arena *arena)
{
    unsigned number = stage_random(arena->pages / arena->per_table);
    struct oracle_page *first = &arena->page[number * arena->per_table];
    struct place *place = &places[number];
    struct machine_frame *gone = NULL;
    struct edit edit;
    bool taken;

    edit_open(&edit, run, arena);
    taken = huge_take(&edit, arena, first);
    if (!taken)
        ; /* in somebody's hands */
    else if (!place->frame)
        huge_map(&edit, place, first);
    else if (stage_random(4) == 0)
        gone = huge_unmap(&edit, place, first);
    else if (place->split && stage_random(2))
        huge_merge(&edit, place, first);
    else
        huge_protect(&edit, place, first);
    edit_dispatch(&edit);
    edit_wait(&edit);
    if (taken && place->broken)
        huge_make(&edit, place, first);
    edit_settle(&edit);
    if (!gone)
        return;
    for (unsigned i = 0; i < arena->per_table; i++)
        oracle_check_canaries(huge_words(gone, i), first[i].va);
    huge_poison(gone, arena->per_table);
    stage_lock(&arena->lock);
    gone->node.next = spare;
    spare = &gone->node;
    stage_unlock(&arena->lock);
}

void storm_huge(struct scenario_run *run)
{
    stage_storm(run, huge_edit);
}

void storm_huge_open(struct scenario_run *run)
{
    for (unsigned i = 0; i < ARENA_PAGES; i++)
        places[i] = (struct place){0};
    for (unsigned i = 0; i < run->arena[0].pages / run->arena[0].per_table; i++) {
        struct oracle_page *first = &run->arena[0].page[i * run->arena[0].per_table];
        struct edit edit;

        edit_open(&edit, run, &run->arena[0]);
        huge_take(&edit, &run->arena[0], first);
        huge_map(&edit, &places[i], first);
        edit_dispatch(&edit);
        edit_finish(&edit);
    }
}

/* The tables that are left go with the space. */
void storm_huge_close(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];

    ktlb_flush(machine_space_tlb(arena->space), ktlb_op_all(KTLB_TABLES));
    for (unsigned i = 0; i < arena->pages / arena->per_table; i++) {
        if (!places[i].frame)
            continue;
        if (!places[i].split)
            machine_map_huge(arena->space, arena->page[i * arena->per_table].va, NULL, 0);
        places[i].frame->node.next = spare;
        spare = &places[i].frame->node;
    }
    machine_frame_free(spare);
    spare = NULL;
}

/* ---- many batches in flight from one CPU ---- */

#define FLIGHTS 8u
#define PILOTS 16u /* as in the table */
static struct edit flights[PILOTS][FLIGHTS];

static void take_off(struct scenario_run *run, struct arena *arena, struct edit *edit)
{
    struct oracle_page *page = &arena->page[stage_random(arena->pages)];

    edit_open(edit, run, arena);
    if (page->frame && stage_random(2))
        edit_unmap(edit, page);
    else
        edit_map(edit, page, MACHINE_READ | MACHINE_WRITE);
    edit_dispatch(edit);
}

/* Fill the air, land whatever is done without waiting for it, and only at the end wait. */
void storm_flights(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned count = stage_size(FLIGHTS, 2);
    unsigned turn = 0;
    bool flying[FLIGHTS] = {false};

    machine_switch(arena->space, true);
    if (machine_cpu() >= run->initiators) {
        while (stage_going_on(run, &turn))
            stage_burst(arena);
        machine_switch(NULL, true);
        return;
    }
    for (uint64_t round = 0; stage_round(run, round); round++) {
        struct edit *edit = &flights[machine_cpu()][round % count];

        stage_burst(arena);
        if (flying[round % count] && !edit_done(edit))
            continue;
        if (flying[round % count])
            edit_finish(edit);
        take_off(run, arena, edit);
        flying[round % count] = true;
    }
    for (unsigned i = 0; i < count; i++)
        if (flying[i])
            edit_finish(&flights[machine_cpu()][i]);
    stage_through(run);
    machine_switch(NULL, true);
}
