/*
 * The runtime's own check: cases that must hold, and twins that must break.
 *
 * It is also the shortest example of a case with a machine: interrupts that stay pending, merge and are masked,
 * and a one-entry TLB that may fill at any moment. Cases named broken-* must be reported; check.sh sees to it.
 */
#include "check.h"

#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the machine ---- */

static struct {
    bool pending, masked, handling;
    const struct ex_view *carried; /* what the pending interrupts' senders had fenced off */
    bool cached;
    uint64_t frame;
} cpus[CHECK_CPUS];

static void (*handler)(unsigned cpu);

static bool deliverable(unsigned cpu)
{
    return handler && cpus[cpu].pending && !cpus[cpu].masked && !cpus[cpu].handling;
}

static void deliver(unsigned cpu)
{
    cpus[cpu].pending = false;
    cpus[cpu].handling = true;
    ex_view_acquire(cpus[cpu].carried);
    ex_note("interrupt");
    handler(cpu);
    cpus[cpu].handling = false;
}

static void before_step(unsigned cpu)
{
    if (deliverable(cpu) && ex_choose(2, "interrupt"))
        deliver(cpu);
}

static bool idle(unsigned cpu)
{
    if (!deliverable(cpu))
        return false;
    deliver(cpu);
    return true;
}

void machine_ipi(unsigned target)
{
    ex_event(target, true, "send an interrupt");
    cpus[target].pending = true;
    cpus[target].carried = ex_view_join(cpus[target].carried, ex_view_released());
    ex_poke(target);
}

void machine_relax(void)
{
    ex_relax();
}

void machine_irq(bool enabled)
{
    cpus[ex_cpu()].masked = !enabled;
}

void machine_require(bool condition, const char *promise)
{
    ex_check(condition, "%s", promise);
}

void machine_touch(unsigned page)
{
    unsigned cpu = ex_cpu();
    (void)page;
    uint64_t over = ex_load(&check_count, 4, __ATOMIC_ACQUIRE);
    if (!cpus[cpu].cached) {
        cpus[cpu].frame = ex_walk(&check_page, 8);
        cpus[cpu].cached = true;
        ex_note("fills with frame %llu", (unsigned long long)cpus[cpu].frame);
    }
    ex_check(!over || cpus[cpu].frame == 2, "P1: CPU %u uses frame %llu after the shootdown was over", cpu,
             (unsigned long long)cpus[cpu].frame);
}

void machine_invalidate(unsigned page)
{
    (void)page;
    ex_event(100 + ex_cpu(), true, "invalidate");
    cpus[ex_cpu()].cached = false;
}

/* ---- cases ---- */

static void setup(void)
{
    memset(cpus, 0, sizeof(cpus));
    memset(check_lines, 0, sizeof(check_lines));
    check_page = 1;
    check_count = check_ticket = check_serving = 0;
    handler = NULL;
}

static void setup_shootdown(void)
{
    setup();
    handler = check_handler;
}

static void setup_early_ack(void)
{
    setup();
    handler = check_handler_early_ack;
}

static void stay(void)
{
    while (ex_park())
        continue;
}

static void shootdown_body(unsigned cpu)
{
    check_shootdown_body(cpu);
    stay();
}

static void shootdown_2_body(unsigned cpu)
{
    check_shootdown_2_body(cpu);
    stay();
}

static void hasty_body(unsigned cpu)
{
    check_shootdown_hasty_body(cpu);
    stay();
}

static void masked_body(unsigned cpu)
{
    check_shootdown_masked_body(cpu);
    stay();
}

static void counted(unsigned expected)
{
    char text[32];
    ex_check(check_count == expected, "the counter is %u, not %u", check_count, expected);
    snprintf(text, sizeof(text), "count %u", check_count);
    ex_outcome(text);
}

static void counted_two(void)
{
    counted(2);
}

static void counted_three(void)
{
    counted(3);
}

static void frames(void)
{
    char text[64];
    snprintf(text, sizeof(text), "%d%llu %d%llu", cpus[1].cached, (unsigned long long)cpus[1].frame, cpus[2].cached,
             (unsigned long long)cpus[2].frame);
    ex_outcome(text);
}

static const struct ex_case cases[] = {
    {"lock-2", "a ticket lock, 2 CPUs", 2, setup, check_lock_body, counted_two, NULL, NULL},
    {"lock-3", "a ticket lock, 3 CPUs", 3, setup, check_lock_body, counted_three, NULL, NULL},
    {"broken-lock", "unlocks by a relaxed store: a data race", 2, setup, check_lock_broken_body, NULL, NULL, NULL},
    {"peterson", "two flags and a turn", 2, setup, check_peterson_body, counted_two, NULL, NULL},
    {"broken-peterson", "by a relaxed exchange", 2, setup, check_peterson_broken_body, NULL, NULL, NULL},
    {"shootdown", "a toy shootdown, 3 CPUs", 3, setup_shootdown, shootdown_body, frames, before_step, idle},
    {"shootdown-2", "a toy shootdown, 2 CPUs", 2, setup_shootdown, shootdown_2_body, frames, before_step, idle},
    {"broken-hasty", "does not wait for the last target", 3, setup_shootdown, hasty_body, frames, before_step, idle},
    {"early-ack", "acks, then invalidates: right while a handler uses no translation", 3, setup_early_ack, shootdown_body, frames, before_step, idle},
    {"broken-masked", "the target waits for the initiator, masked: a deadlock", 2, setup_shootdown, masked_body, NULL,
     before_step, idle},
    {"storm", "4 CPUs, about 200 steps", 4, setup, check_storm_body, NULL, NULL, NULL},
};

/* ---- random programs with everything a machine does, explored with and without the reduction ---- */

#define FUZZ_STEPS 4u

static struct {
    uint64_t seed;
    uint64_t word[2];
    unsigned bus; /* machine state, touched under ex_event */
    char log[EX_CPUS_MAX][16];
    unsigned logged[EX_CPUS_MAX];
} fuzz;

static void fuzz_log(uint64_t value)
{
    unsigned cpu = ex_cpu();
    if (fuzz.logged[cpu] < sizeof(fuzz.log[0]))
        fuzz.log[cpu][fuzz.logged[cpu]++] = (char)('0' + value % 10);
}

static uint64_t fuzz_random(uint64_t n)
{
    uint64_t x = n * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

static void fuzz_step(unsigned cpu, uint64_t r)
{
    static const int load[] = {__ATOMIC_RELAXED, __ATOMIC_ACQUIRE}, store[] = {__ATOMIC_RELAXED, __ATOMIC_RELEASE};
    uint64_t *at = &fuzz.word[r >> 8 & 1], expected = r >> 9 & 1;
    switch (r % 10) {
    case 0: case 1: fuzz_log(ex_load(at, 8, load[r >> 10 & 1])); break;
    case 2: case 3: ex_store(at, 8, 1 + (r >> 11 & 1), store[r >> 10 & 1]); break;
    case 4: fuzz_log(ex_compare_exchange(at, 8, &expected, 3, __ATOMIC_ACQ_REL)); break;
    case 5: machine_ipi((unsigned)(r >> 12) % 2); break;
    case 6: ex_fence(__ATOMIC_SEQ_CST); break;
    case 7:
        ex_event(200, r >> 13 & 1, "bus");
        fuzz.bus = r >> 13 & 1 ? fuzz.bus * 3 + cpu + 1 : fuzz.bus;
        fuzz_log(fuzz.bus);
        break;
    case 8:
        while (ex_load(at, 8, __ATOMIC_RELAXED) == 0)
            ex_relax();
        break;
    default: fuzz_log(ex_walk(at, 8)); break;
    }
}

static void fuzz_handler(unsigned cpu)
{
    fuzz_step(cpu, fuzz_random(fuzz.seed * 64 + 60) / 10 * 10 + fuzz.seed % 3 * 2); /* never one that waits */
}

static void fuzz_body(unsigned cpu)
{
    unsigned count = 1 + (unsigned)(fuzz_random(fuzz.seed * 64 + 61 + cpu) % FUZZ_STEPS);
    for (unsigned i = 0; i < count; i++)
        fuzz_step(cpu, fuzz_random(fuzz.seed * 64 + cpu * 8 + i));
    stay();
}

static void fuzz_setup(void)
{
    uint64_t seed = fuzz.seed;
    setup();
    memset(&fuzz, 0, sizeof(fuzz));
    fuzz.seed = seed;
    handler = fuzz_handler;
}

static void fuzz_final(void)
{
    char text[EX_OUTCOME_SIZE];
    snprintf(text, sizeof(text), "%.10s|%.10s|%.10s/%u%u%u", fuzz.log[0], fuzz.log[1], fuzz.log[2],
             (unsigned)fuzz.word[0], (unsigned)fuzz.word[1], fuzz.bus);
    ex_outcome(text);
}

static bool fuzz_same(const struct ex_result *a, const struct ex_result *b)
{
    if (a->outcome_count != b->outcome_count || !a->violations != !b->violations)
        return false;
    for (unsigned i = 0; i < a->outcome_count; i++) {
        bool found = false;
        for (unsigned j = 0; j < b->outcome_count && !found; j++)
            found = strcmp(a->outcomes[i], b->outcomes[j]) == 0;
        if (!found)
            return false;
    }
    return true;
}

static int fuzz_run(uint64_t first, uint64_t count)
{
    static struct ex_result with, without;
    uint64_t compared = 0, large = 0, executions = 0, executions_without = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        unsigned cpu_count = 2 + (unsigned)(seed % 2);
        struct ex_case c = {"fuzz", "", cpu_count, fuzz_setup, fuzz_body, fuzz_final, before_step, idle};
        struct ex_options options;
        ex_options_default(&options);
        options.keep_going = options.quiet = true;
        options.executions = 100000;
        fuzz.seed = seed;
        ex_search(&c, &options, &with);
        options.no_reduction = true;
        ex_search(&c, &options, &without);
        if (!with.exhausted || !without.exhausted) {
            large++;
            continue;
        }
        compared++;
        executions += with.executions;
        executions_without += without.executions;
        if (!fuzz_same(&with, &without)) {
            printf("FAIL fuzz seed %llu: %u outcomes with the reduction, %u without; %llu and %llu broken\n",
                   (unsigned long long)seed, with.outcome_count, without.outcome_count,
                   (unsigned long long)with.violations, (unsigned long long)without.violations);
            for (unsigned i = 0; i < without.outcome_count; i++)
                printf("    %s\n", without.outcomes[i]);
            printf("  with the reduction\n");
            for (unsigned i = 0; i < with.outcome_count; i++)
                printf("    %s\n", with.outcomes[i]);
            return 1;
        }
    }
    printf("%llu random programs: same outcomes in %llu executions with the reduction, %llu without (%llu were too large)\n",
           (unsigned long long)compared, (unsigned long long)executions, (unsigned long long)executions_without,
           (unsigned long long)large);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strncmp(argv[1], "--fuzz=", 7) == 0)
        return fuzz_run(argc > 2 ? strtoull(argv[2], NULL, 10) : 1, strtoull(argv[1] + 7, NULL, 10));
    return ex_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
