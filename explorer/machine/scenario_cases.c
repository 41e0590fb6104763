/*
 * scenario_cases.c - the scenarios of scenarios/, unchanged, as cases of the explorer: the same code as on the emulated
 * machines, at scale 0 on three CPUs, by seeded schedules (they are far too long to exhaust). The oracle is theirs and
 * the machine's together. Each has its control beside it, the same run with one step left out: that has to be BROKEN, and
 * on this machine none is blind for lack of walk caches or tags.
 */
#include "cases.h"
#include "machine.h"
#include "scenarios/oracle.h"
#include "scenarios/scenarios.h"

#define CPUS 3u

static const struct scenario *scenario;

static bool control;

static void prepare(unsigned number, bool leave_out)
{
    control = leave_out;
    machine_reset(CPUS);
    machine_waits_by_looking(true);
    machine.scale = 0;
    scenario = &scenarios_table[number];
}

static void play(unsigned cpu)
{
    const char *promise = scenario->stale ? scenario->stale : "P1";
    struct scenarios_result result;

    if (cpu > 0) {
        machine_serve_work();
        return;
    }
    scenarios_execute(scenario, CPUS, control, &result);
    oracle_print_faults(promise);
    ex_check(result.wrong == 0, "%s: %s", promise, scenario->goal);
    machine_end_work();
}

#define EACH(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20)

#define SETUP(N)                                                                                   \
    static void setup_##N(void)                                                                    \
    {                                                                                              \
        prepare(N, false);                                                                         \
    }                                                                                              \
    static void setup_control_##N(void)                                                            \
    {                                                                                              \
        prepare(N, true);                                                                          \
    }
EACH(SETUP)

#define AS_CASE(N)                                                                                 \
    {.name = "scenario-" #N, .about = "a scenario, as on the emulated machines", .cpus = CPUS, .setup = setup_##N, \
     .body = play, .before_step = hardware_before_step, .idle = hardware_deliver},                 \
    {.name = "control-" #N, .about = "its control, to be broken", .cpus = CPUS, .setup = setup_control_##N, \
     .body = play, .before_step = hardware_before_step, .idle = hardware_deliver},
const struct ex_case scenario_cases[] = {EACH(AS_CASE)};
const size_t scenario_case_count = sizeof(scenario_cases) / sizeof(scenario_cases[0]);
