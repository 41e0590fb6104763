/*
 * places.c - scenarios about where a CPU is while others unmap: in another space, lazy, between two, away.
 *
 * What they share is the promise that arriving somewhere never revives what was removed meanwhile (P4), and that who is
 * elsewhere is left alone (P6).
 */
#include "storms.h"

/* ---- several spaces ---- */

static void visit(struct scenario_run *run, struct arena *arena)
{
    machine_switch(arena->space, run->leave_out != LEAVE_SWITCH);
    stage_burst(arena);
}

/* Leave, laziness, another space straight from there: the switch ends it. */
static void doze(struct scenario_run *run)
{
    machine_lazy_enter();
    stage_await_edit(run, stage_size(100, 1));
    if (stage_random(2))
        machine_lazy_leave(true);
}

static struct arena *any_arena(struct scenario_run *run)
{
    return &run->arena[stage_random(run->arenas)];
}

/* Everyone wanders; an initiator edits whichever space it likes, seldom the one it is in. */
void place_spaces(struct scenario_run *run)
{
    bool initiator = machine_cpu() < run->initiators;
    unsigned turn = 0;

    for (uint64_t round = 0; initiator ? stage_round(run, round) : stage_going_on(run, &turn); round++) {
        visit(run, any_arena(run));
        if (initiator)
            stage_remap(run, any_arena(run));
        else if (stage_random(4) == 0)
            doze(run);
    }
    if (initiator)
        stage_through(run);
    machine_switch(NULL, run->leave_out != LEAVE_SWITCH);
    machine_switch(NULL, true);
}

/* Readers do little else than switch, so that requests meet them in every part of it. */
void place_switches(struct scenario_run *run)
{
    bool initiator = machine_cpu() < run->initiators;
    unsigned turn = 0;

    for (uint64_t round = 0; initiator ? stage_round(run, round) : stage_going_on(run, &turn); round++) {
        struct arena *arena = &run->arena[round % run->arenas];

        machine_switch(arena->space, true);
        stage_touch(arena, 1 + stage_random(stage_size(96, 1)));
        if (initiator)
            stage_remap(run, any_arena(run));
        stage_touch(arena, 1 + stage_random(stage_size(96, 1)));
        if (round % 7 == 0)
            machine_switch(NULL, true);
    }
    if (initiator)
        stage_through(run);
    machine_switch(NULL, true);
}

/* ---- lazy ---- */

/* Warm the TLB, borrow the space until somebody has edited it, come back. The control touches before it comes back. */
void place_lazy(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    if (machine_cpu() < run->initiators) {
        stage_storm(run, stage_remap);
        return;
    }
    machine_switch(arena->space, true);
    while (stage_going_on(run, &turn)) {
        stage_burst(arena);
        machine_lazy_enter();
        stage_await_edit(run, stage_size(400, 2));
        if (run->leave_out == LEAVE_LAZY) {
            machine_lazy_leave(false);
            stage_burst(arena);
        }
        machine_lazy_leave(true);
        stage_burst(arena);
    }
    machine_switch(NULL, true);
}

/* ---- left alone ---- */

static uint64_t disturbances(void)
{
    struct ktlb_stats stats;

    ktlb_stats_read(machine_cpu(), &stats);
    return stats.ipis + stats.served;
}

/* CPU 0 unmaps in its own space; the others are in another one, and must not hear of it. */
void place_undisturbed(struct scenario_run *run)
{
    bool mine = machine_cpu() < run->initiators || run->leave_out == LEAVE_SPACE;
    struct arena *arena = &run->arena[mine ? 0 : 1];
    uint64_t before = disturbances(), after;
    unsigned turn = 0;

    machine_switch(arena->space, true);
    ktlb_rmw_add_relaxed(&run->signal[0], 1);
    if (machine_cpu() < run->initiators) {
        stage_await(&run->signal[0], run->cpus);
        for (uint64_t round = 0; stage_round(run, round); round++) {
            stage_remap(run, arena);
            stage_burst(arena);
        }
        stage_through(run);
    } else {
        while (stage_going_on(run, &turn))
            stage_burst(arena);
    }
    after = disturbances();
    if (machine_cpu() >= run->initiators && after != before)
        oracle_disturbed(machine_cpu(), after - before);
    machine_switch(NULL, true);
}

/* ---- coming and going ---- */

static void go_and_come(struct scenario_run *run)
{
    bool honest = run->leave_out != LEAVE_ONLINE;

    machine_offline();
    stage_await_edit(run, stage_size(400, 2));
    machine_online(honest);
    stage_burst(&run->arena[0]);
    if (honest)
        return;
    for (unsigned i = 0; i < stage_size(4, 1); i++) {
        stage_await_edit(run, stage_size(400, 2));
        stage_burst(&run->arena[0]);
    }
    machine_online(true); /* for the next scenario */
}

/* Kernel pages change while CPUs come and go; in between they are in a user space that changes as well. */
void place_hotplug(struct scenario_run *run)
{
    struct arena *kernel = &run->arena[0], *user = &run->arena[1];
    bool initiator = machine_cpu() < run->initiators;
    unsigned turn = 0;

    for (uint64_t round = 0; initiator ? stage_round(run, round) : stage_going_on(run, &turn); round++) {
        if (initiator) {
            stage_remap(run, round % 4 == 3 ? user : kernel);
        } else {
            stage_burst(kernel);
            if (machine_cpu() < run->initiators + STAGE_DEAF_MAX)
                go_and_come(run);
        }
        machine_switch(user->space, true);
        stage_burst(user);
        stage_burst(kernel);
        machine_switch(NULL, true);
    }
    if (initiator)
        stage_through(run);
}

/* ---- everything at once ---- */

/* The kernel's half, a space that all share, or the space of this CPU alone if it is an initiator. */
static struct arena *arena_for_me(struct scenario_run *run)
{
    unsigned shared = run->scenario->arenas, cpu = machine_cpu();
    unsigned pick = stage_random(shared + 1);

    if (pick < shared)
        return &run->arena[pick];
    return &run->arena[cpu < run->initiators ? shared + cpu : stage_random(shared)];
}

static void edit_something(struct scenario_run *run, struct arena *arena)
{
    if (!arena->kernel && stage_random(4) == 0)
        storm_table_edit(run, arena);
    else
        storm_any_edit(run, arena);
}

/* A stay in one space: long enough for what is cached to be worth something. */
static void stay(struct scenario_run *run, struct arena *arena, bool initiator)
{
    machine_switch(arena->kernel ? NULL : arena->space, true);
    for (unsigned bursts = 1 + stage_random(stage_size(8, 1)); bursts > 0; bursts--) {
        stage_burst(arena);
        if (initiator)
            edit_something(run, arena_for_me(run));
    }
    stage_burst(arena);
}

/* Everyone wanders. Initiators edit wherever they may; of the others some doze, and a few leave for a while. */
void place_everything(struct scenario_run *run)
{
    bool initiator = machine_cpu() < run->initiators;
    unsigned turn = 0;

    for (uint64_t round = 0; initiator ? stage_round(run, round) : stage_going_on(run, &turn); round++) {
        stay(run, arena_for_me(run), initiator);
        if (initiator)
            continue;
        if (stage_random(4) == 0)
            doze(run);
        else if (machine_cpu() < run->initiators + STAGE_DEAF_MAX && stage_random(2))
            go_and_come(run);
    }
    if (initiator)
        stage_through(run);
    machine_switch(NULL, true);
}
