/*
 * races.c - interleavings that went wrong in other systems, each by name, provoked rather than waited for.
 *
 * The handshakes between CPUs here are relaxed: they choose the interleaving and must not order anything, or they
 * would stand in for what the library has to do itself.
 */
#include "storms.h"

/* An ordinary reader. */
static void read_only(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    machine_switch(arena->space, true);
    while (stage_going_on(run, &turn))
        stage_burst(arena);
    machine_switch(NULL, true);
}

/* ---- strat9: an acknowledgement that was another initiator's ---- */

/*
 * CPUs 0 and 1 are the initiators I and J. The others take no interrupts, serve what is there when one of the two has
 * dispatched, and look again: what the second one posted meanwhile is not served yet, and must not count as served.
 * In the control J relies on the service of I's request and makes none of its own.
 */
void race_shared_ack(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    if (machine_cpu() < run->initiators) {
        stage_storm(run, stage_remap);
        return;
    }
    if (machine_cpu() >= STAGE_DEAF_MAX) {
        read_only(run);
        return;
    }
    machine_switch(arena->space, true);
    while (stage_going_on(run, &turn)) {
        ktlb_irq irq = ktlb_port_irq_save();

        stage_burst(arena);
        stage_await_edit(run, stage_size(100, 1));
        ktlb_poll();
        stage_burst(arena);
        ktlb_port_irq_restore(irq);
        stage_burst(arena);
    }
    machine_switch(NULL, true);
}

/* ---- Theseus: an interrupt that was nobody's request ---- */

static void interrupt_somebody(struct scenario_run *run)
{
    unsigned victim = stage_random(run->cpus);

    if (victim == machine_cpu())
        return;
    if (stage_random(2))
        machine_nmi(victim);
    else
        machine_spurious(victim);
}

static void interrupt_and_remap(struct scenario_run *run, struct arena *arena)
{
    interrupt_somebody(run);
    stage_remap(run, arena);
    interrupt_somebody(run);
}

void race_foreign_interrupt(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned turn = 0;

    if (machine_cpu() < run->initiators) {
        stage_storm(run, interrupt_and_remap);
        return;
    }
    machine_switch(arena->space, true);
    while (stage_going_on(run, &turn)) {
        interrupt_somebody(run);
        stage_burst(arena);
    }
    machine_switch(NULL, true);
}

/* ---- strat9, Asterinas, sv6: initiators that cannot be interrupted ---- */

/* From before the lock until after the sync. Whoever waits, for the lock or for an answer, has to serve the others. */
static void masked_edit(struct scenario_run *run, struct arena *arena)
{
    ktlb_irq irq = ktlb_port_irq_save();

    if (stage_random(2))
        stage_remap(run, arena);
    else
        stage_mix(run, arena, stage_size(4, 2), 3);
    ktlb_port_irq_restore(irq);
}

void race_masked_initiators(struct scenario_run *run)
{
    stage_storm(run, masked_edit);
}

/* ---- more requests than a mailbox holds ---- */

#define SENDERS 2u
#define LETTERS (ARENA_PAGES / SENDERS)
static struct edit letters[SENDERS][LETTERS];

enum { DEAF, SENT, ANSWERED };

/* Enough to overflow every target's mailbox, each about a page of the sender's own, before waiting for any answer. */
static void send_too_many(struct scenario_run *run, unsigned sender, unsigned count)
{
    struct arena *arena = &run->arena[0];

    for (unsigned i = 0; i < count; i++) {
        struct edit *edit = &letters[sender][i];

        edit_open(edit, run, arena);
        edit_map(edit, &arena->page[i * run->initiators + sender], MACHINE_READ | MACHINE_WRITE);
        edit_dispatch(edit);
    }
    ktlb_rmw_add_relaxed(&run->signal[SENT], 1);
    stage_burst(arena);
    for (unsigned i = 0; i < count; i++)
        edit_finish(&letters[sender][i]);
    ktlb_rmw_add_relaxed(&run->signal[ANSWERED], 1);
}

/* Online, with the space loaded, and deaf: interrupts masked, polling nothing. */
static void be_deaf(struct scenario_run *run, uint64_t round)
{
    struct arena *arena = &run->arena[0];
    ktlb_irq irq = ktlb_port_irq_save();

    stage_burst(arena);
    ktlb_rmw_add_relaxed(&run->signal[DEAF], 1);
    stage_await(&run->signal[SENT], run->initiators * round);
    stage_burst(arena);
    ktlb_port_irq_restore(irq);
    stage_burst(arena);
    /* Not deaf again before the answers are in: the senders' next round waits for ours. */
    stage_await(&run->signal[ANSWERED], run->initiators * round);
}

void race_overflow(struct scenario_run *run)
{
    struct arena *arena = &run->arena[0];
    unsigned cpu = machine_cpu(), own = arena->pages / run->initiators;
    unsigned targets = (run->cpus < STAGE_DEAF_MAX ? run->cpus : STAGE_DEAF_MAX) - run->initiators;
    unsigned count = own < 2 * KTLB_MAILBOX_SLOTS + 1 ? own : 2 * KTLB_MAILBOX_SLOTS + 1;

    if (cpu >= STAGE_DEAF_MAX) {
        read_only(run);
        return;
    }
    machine_switch(arena->space, true);
    for (uint64_t round = 1; round <= run->rounds; round++) {
        if (cpu < run->initiators) {
            stage_await(&run->signal[DEAF], targets * round);
            send_too_many(run, cpu, count);
        } else {
            be_deaf(run, round);
        }
    }
    if (cpu < run->initiators)
        stage_through(run);
    machine_switch(NULL, true);
}
