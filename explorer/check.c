/*
 * The runtime's own check: cases that must hold, and twins that must break.
 *
 * It is also the shortest example of a case with a machine: interrupts that stay pending, merge and are masked,
 * and a one-entry TLB that may fill at any moment. Cases named broken-* must be reported; check.sh sees to it.
 */
#include "check.h"

#include "runtime.h"

#include <stdio.h>
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
        while (deliverable(ex_cpu()))
            deliver(ex_cpu());
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

int main(int argc, char **argv)
{
    return ex_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
