/*
 * run.c - the table of scenarios, and running it: each one honestly, then its control, a line of TAP for both.
 *
 * Invariant: a scenario is ok only if it checked enough, found nothing, and its control was caught; or if the machine
 * cannot catch it, and then the line says "blind here".
 */
#include "storms.h"

const struct scenario scenarios_table[] = {
    {.name = "map", .body = storm_map, .promises = "P1 P3", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .goal = "a page that was unmapped faults on every CPU, one that was mapped does not", .rounds = 150},
    {.name = "protect", .body = storm_protect, .promises = "P1", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .goal = "a store faults on every CPU once the right to write is gone", .rounds = 200},
    {.name = "remap", .body = storm_remap, .promises = "P1 P3", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .goal = "a page given another frame is that frame on every CPU", .rounds = 250},
    {.name = "reuse", .body = storm_reuse, .promises = "P1 P3", .control = LEAVE_WAIT, .cpus = 2, .share = 4,
     .arenas = 2, .goal = "a frame that sync gave back is in nobody's reach, poisoned and mapped elsewhere at once",
     .rounds = 250},
    {.name = "disjoint", .body = storm_disjoint, .promises = "P1", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .goal = "scattered pages in one batch are all gone, more than a batch keeps apart too", .rounds = 100},
    {.name = "tables", .body = storm_tables, .promises = "P1 P3", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .tables = true, .goal = "pages whose table is freed with them are gone, and the next table is used",
     .rounds = 100},
    {.name = "walk-caches", .body = storm_walk, .promises = "P1 P3", .control = LEAVE_TABLES, .cpus = 2, .share = 4,
     .tables = true, .goal = "no CPU walks a freed table, lazy ones included", .rounds = 300},
    {.name = "huge", .body = storm_huge, .promises = "P1", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .huge = true, .open = storm_huge_open, .close = storm_huge_close,
     .goal = "huge pages are split, weakened, merged and unmapped, and no size of entry outlives that",
     .rounds = 200},
    {.name = "initiators", .body = storm_initiators, .promises = "P1 P5", .control = LEAVE_FLUSH, .cpus = 2,
     .share = 1, .goal = "every CPU changes the same space at once", .rounds = 200},
    {.name = "in-flight", .body = storm_flights, .promises = "P1 P3", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .initiators_max = 16, .goal = "many batches of one CPU are under way at once and finish in any order, none waited for",
     .rounds = 2000},
    {.name = "kernel", .body = storm_kernel, .promises = "P1", .control = LEAVE_FLUSH, .cpus = 1, .share = 4,
     .kernel = true, .arenas = 2, .goal = "kernel pages, global, are gone in whatever space a CPU is", .rounds = 200},
    {.name = "switch", .body = place_switches, .promises = "P1 P4", .control = LEAVE_FLUSH, .cpus = 2, .share = 4,
     .arenas = 2, .goal = "requests meet CPUs in every part of a switch", .rounds = 200},
    {.name = "spaces", .body = place_spaces, .promises = "P1 P4", .control = LEAVE_SWITCH, .cpus = 1, .share = 4,
     .arenas = 4, .stale = "P4", .goal = "coming back to a space revives nothing that was removed meanwhile",
     .rounds = 800},
    {.name = "lazy", .body = place_lazy, .promises = "P4 P6", .control = LEAVE_LAZY, .cpus = 2, .share = 4,
     .stale = "P4", .goal = "a lazy CPU is left alone and has caught up when it returns", .rounds = 600},
    {.name = "undisturbed", .body = place_undisturbed, .promises = "P6", .control = LEAVE_SPACE, .cpus = 2,
     .share = 1, .initiators_max = 1, .arenas = 2, .goal = "a CPU that cannot hold the translation gets no interrupt",
     .rounds = 600},
    {.name = "hotplug", .body = place_hotplug, .promises = "P2 P4", .control = LEAVE_ONLINE, .cpus = 2, .share = 4,
     .kernel = true, .arenas = 2, .stale = "P4",
     .goal = "CPUs go and come under fire; nobody waits for one that left, none returns with old entries",
     .rounds = 500},
    {.name = "overflow", .body = race_overflow, .promises = "P1 P2", .control = LEAVE_FLUSH, .cpus = 2, .share = 2,
     .initiators_max = 2, .goal = "a mailbox that is full loses no request, and a deaf CPU is waited for",
     .rounds = 20},
    {.name = "strat9-shared-ack", .body = race_shared_ack, .promises = "P1 P2", .control = LEAVE_OWN, .cpus = 3,
     .share = 1, .initiators_max = 2,
     .goal = "a second initiator's request is never acknowledged by the service of another's",
     .rounds = 100},
    {.name = "theseus-foreign-interrupt", .body = race_foreign_interrupt, .promises = "P1 P2 P8",
     .control = LEAVE_FLUSH, .cpus = 2, .share = 4,
     .goal = "NMIs and spurious interrupts during shootdowns acknowledge nothing and break nothing", .rounds = 300},
    {.name = "masked-initiators", .body = race_masked_initiators, .promises = "P5", .control = LEAVE_FLUSH, .cpus = 2,
     .share = 1, .initiators_max = 8,
     .goal = "initiators with interrupts masked shoot each other and all of them finish",
     .rounds = 80},
    {.name = "everything", .body = place_everything, .promises = "P1 P2 P3 P4 P5", .control = LEAVE_FLUSH, .cpus = 2,
     .share = 4, .initiators_max = 16, .kernel = true, .tables = true, .arenas = 3, .own = true,
     .goal = "initiators on shared and private spaces and the kernel's half, while others wander, doze, go and come",
     .rounds = 100},
};
const unsigned scenarios_count = sizeof(scenarios_table) / sizeof(scenarios_table[0]);

/* ---- one run ---- */

static uint64_t scaled(uint64_t count, uint64_t least)
{
    uint64_t much = count * machine.scale / 1000;

    return much < least ? least : much;
}

/* Reported since the machine began. Nobody looks where nobody counts: to an explorer each look is a step. */
static uint64_t stalls(void)
{
    struct ktlb_stats sum = {0};

    if (KTLB_STATS)
        ktlb_stats_sum(&sum);
    return sum.stalls;
}

void scenarios_execute(const struct scenario *scenario, unsigned cpus, bool control, struct scenarios_result *result)
{
    static struct scenario_run run;
    struct oracle_counts sum;
    uint64_t before;

    oracle_begin();
    run.scenario = scenario;
    run.leave_out = control ? scenario->control : LEAVE_NOTHING;
    run.cpus = cpus;
    run.initiators = (cpus + scenario->share - 1) / scenario->share;
    if (scenario->initiators_max && run.initiators > scenario->initiators_max)
        run.initiators = scenario->initiators_max;
    run.rounds = scaled((control ? scenario->rounds / 2 : scenario->rounds) * UINT64_C(8) / cpus,
                        stage_size(16, 1));
    run.until = machine.duration && !control ? machine_clock() + machine.duration : 0;
    before = stalls();
    stage_run(&run);
    oracle_sum(&sum);
    if (run.until)
        run.rounds = stage_edits() / run.initiators;
    *result = (struct scenarios_result){.rounds = run.rounds, .checked = sum.checked, .in_change = sum.in_change,
                                        .frames = sum.frames, .wrong = oracle_wrong(&sum),
                                        .stalls = stalls() - before};
}

/* ---- the report ---- */

struct totals {
    unsigned passed, failed, skipped, fired, blind;
    uint64_t checked, in_change, frames, wrong;
};

static const char *text_of(enum leave_out step)
{
    switch (step) {
    case LEAVE_FLUSH:
        return "without the flush";
    case LEAVE_WAIT:
        return "freeing without waiting";
    case LEAVE_TABLES:
        return "without KTLB_TABLES";
    case LEAVE_SWITCH:
        return "keeping what a switch should drop";
    case LEAVE_LAZY:
        return "without leaving lazy";
    case LEAVE_ONLINE:
        return "without ktlb_cpu_online";
    case LEAVE_OWN:
        return "without a request of its own";
    case LEAVE_SPACE:
        return "with all of them in the space";
    default:
        return "?";
    }
}

/* Why this machine cannot catch a control; NULL: it has to. */
static const char *blindness(enum leave_out control)
{
    if (control == LEAVE_WAIT && machine.blind_wait)
        return "by NMI or broadcast, a request is executed before its frame is used again";
    if (control == LEAVE_TABLES && machine.blind_walk_caches)
        return "this machine has no walk caches";
    if (control == LEAVE_SWITCH && machine.blind_tags)
        return "this machine forgets a space when its root is unloaded";
    if (control == LEAVE_LAZY && machine.blind_lazy)
        return "a broadcast reaches lazy CPUs like any other";
    if (control == LEAVE_ONLINE && machine.blind_online)
        return "this machine's broadcasts reach CPUs that are away";
    if (control == LEAVE_SPACE && machine.blind_interrupts)
        return "broadcasts interrupt nobody";
    if (control == LEAVE_SPACE && !KTLB_STATS)
        return "the library counts nothing (KTLB_STATS 0)";
    return NULL;
}

/* Whether the honest run checked enough to mean anything: half a burst per round, which one CPU alone does. */
static bool checked_enough(const struct scenarios_result *result)
{
    return machine.scale == 0 || result->checked >= result->rounds * 32;
}

static void print_line(bool ok, unsigned number, const struct scenario *scenario,
                       const struct scenarios_result *honest, const char *control)
{
    machine_print("%s %u - %s: %llu accesses checked, %llu stale%s", ok ? "ok" : "not ok", number, scenario->name,
                  (unsigned long long)honest->checked, (unsigned long long)honest->wrong, control);
}

static void failed(const struct scenario *scenario, const char *why)
{
    machine_print("#     %s: %s (%s)", scenario->name, scenario->goal, scenario->promises);
    machine_print("#     failed: %s; seed %llu", why, (unsigned long long)machine.seed);
}

static bool run_honest(unsigned number, const struct scenario *scenario, unsigned cpus, struct totals *totals,
                       struct scenarios_result *result)
{
    const char *why;

    scenarios_execute(scenario, cpus, false, result);
    totals->checked += result->checked;
    totals->in_change += result->in_change;
    totals->frames += result->frames;
    totals->wrong += result->wrong;
    if (result->wrong)
        why = "the oracle fired";
    else if (!checked_enough(result))
        why = "too little was checked to mean anything";
    else if (result->stalls && !machine.faults)
        why = "a shootdown stalled: an interrupt was lost, or somebody was away for too long";
    else
        return true;
    print_line(false, number, scenario, result, "");
    oracle_print_faults(scenario->stale ? scenario->stale : "P1");
    failed(scenario, why);
    return false;
}

#define CONTROL_TRIES 32

static bool run_control(unsigned number, const struct scenario *scenario, unsigned cpus, struct totals *totals,
                        const struct scenarios_result *honest)
{
    const char *blind = blindness(scenario->control);
    struct scenarios_result result;

    /* Fault and access meet by chance, and a small run may miss. Not where it is blind: there one miss is the answer. */
    for (unsigned tries = blind ? 1 : CONTROL_TRIES; tries > 0; tries--) {
        scenarios_execute(scenario, cpus, true, &result);
        if (result.wrong)
            break;
    }
    if (result.wrong) {
        totals->fired++;
        machine_print("ok %u - %s: %llu accesses checked, 0 stale; control fired %llu times (%s)", number,
                      scenario->name, (unsigned long long)honest->checked, (unsigned long long)result.wrong,
                      text_of(scenario->control));
        return true;
    }
    print_line(blind != NULL, number, scenario, honest, blind ? "; control blind here" : "; control did not fire");
    if (blind) {
        totals->blind++;
        machine_print("# blind here: %s: %s; a run %s passes", scenario->name, blind, text_of(scenario->control));
    } else {
        failed(scenario, "the control was not caught, so the honest run says nothing");
    }
    return blind != NULL;
}

/* What this machine lacks for @scenario; NULL: nothing. */
static const char *needed(const struct scenario *scenario, unsigned cpus)
{
    if (cpus < scenario->cpus)
        return scenario->cpus == 2 ? "2 CPUs" : "3 CPUs";
    if (scenario->huge && !machine.huge_size)
        return "huge pages";
    if (scenario->control == LEAVE_SPACE && machine.faults)
        return "a machine that disturbs nobody by itself";
    return NULL;
}

static void run_one(unsigned number, const struct scenario *scenario, const struct scenarios_options *options,
                    unsigned cpus, struct totals *totals)
{
    const char *needs = needed(scenario, cpus);
    struct scenarios_result honest;
    bool ok;

    if (needs) {
        machine_print("ok %u - %s # SKIP needs %s", number, scenario->name, needs);
        totals->skipped++;
        return;
    }
    machine_progress("%u %s", number, scenario->name);
    ok = run_honest(number, scenario, cpus, totals, &honest);
    if (ok && options->controls)
        ok = run_control(number, scenario, cpus, totals, &honest);
    else if (ok)
        print_line(true, number, scenario, &honest, "");
    totals->passed += ok;
    totals->failed += !ok;
}

/* ---- all of them ---- */

/* Whether @name is one of @list, which is separated by commas; NULL is the list of everything. */
static bool listed(const char *list, const char *name)
{
    while (list && *list) {
        const char *at = name;

        while (*at && *at == *list)
            at++, list++;
        if (!*at && (!*list || *list == ','))
            return true;
        while (*list && *list++ != ',')
            ;
    }
    return list == NULL;
}

static void print_totals(const struct totals *totals)
{
    machine_print("# %llu accesses checked, %llu more to pages in change, %llu frames examined: %llu stale",
                  (unsigned long long)totals->checked, (unsigned long long)totals->in_change,
                  (unsigned long long)totals->frames, (unsigned long long)totals->wrong);
    machine_print("# controls: %u fired, %u blind here", totals->fired, totals->blind);
    machine_print("%u passed, %u failed, %u skipped", totals->passed, totals->failed, totals->skipped);
}

static unsigned count_listed(const char *only)
{
    unsigned count = 0;

    for (unsigned i = 0; i < scenarios_count; i++)
        count += listed(only, scenarios_table[i].name);
    return count;
}

bool scenarios_run(const struct scenarios_options *options)
{
    unsigned cpus = options->cpus && options->cpus < machine.cpus ? options->cpus : machine.cpus;
    unsigned count = count_listed(options->only), number = 0;
    struct totals totals = {0};

    if (options->trace)
        return replay_run(options, cpus);
    if (options->set_up) {
        machine_print("protocol=all compares over a trace, and none was handed over");
        return false;
    }
    if (!count) {
        machine_print("no scenario is called %s; there are:", options->only);
        for (unsigned i = 0; i < scenarios_count; i++)
            machine_print("    %-26s %s", scenarios_table[i].name, scenarios_table[i].goal);
        return false;
    }
    machine_print("# %s, %u CPUs, %u tags, seed %llu", machine.name, cpus, machine.asids,
                  (unsigned long long)machine.seed);
    machine_print("1..%u", count);
    for (unsigned i = 0; i < scenarios_count; i++)
        if (listed(options->only, scenarios_table[i].name))
            run_one(++number, &scenarios_table[i], options, cpus, &totals);
    print_totals(&totals);
    return totals.failed == 0;
}
