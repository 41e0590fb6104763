/*
 * trace.c - the bench of recorded traces: the test kernel as it is, with protocol=all, and marks around what it does.
 *
 * Linked with --wrap for the three functions below, so that scenarios/ need not know of it. A row is a pass over the
 * trace; an initiator's path is dispatch, then sync: two visits for each shootdown.
 */
#include "bench.h"
#include "internal.h"
#include "scenarios/machine.h"
#include "scenarios/replay.h"

extern const volatile char bench_marks[BENCH_MARKS];
const volatile char bench_marks[BENCH_MARKS] KTLB_ALIGNED(KTLB_CACHE_LINE);

void __real_ktlb_batch_dispatch(struct ktlb_batch *batch);
void __wrap_ktlb_batch_dispatch(struct ktlb_batch *batch);
struct ktlb_node *__real_ktlb_batch_sync(struct ktlb_batch *batch);
struct ktlb_node *__wrap_ktlb_batch_sync(struct ktlb_batch *batch);
void __real_replay_pass(struct replay_pass *pass, enum leave_out leave_out);
void __wrap_replay_pass(struct replay_pass *pass, enum leave_out leave_out);

static void mark(enum bench_mark which)
{
    (void)bench_marks[which];
}

void __wrap_ktlb_batch_dispatch(struct ktlb_batch *batch)
{
    mark(BENCH_BEGIN);
    __real_ktlb_batch_dispatch(batch);
    mark(BENCH_END);
}

struct ktlb_node *__wrap_ktlb_batch_sync(struct ktlb_batch *batch)
{
    struct ktlb_node *pages;

    mark(BENCH_BEGIN);
    pages = __real_ktlb_batch_sync(batch);
    mark(BENCH_END);
    return pages;
}

void __wrap_replay_pass(struct replay_pass *pass, enum leave_out leave_out)
{
    static unsigned number;
    const struct ktlb_stats *stats = &pass->stats;
    unsigned long long told;

    mark(BENCH_ROW_BEGIN);
    __real_replay_pass(pass, leave_out);
    mark(BENCH_ROW_END);
    told = stats->dispatches ? stats->targets * 100 / stats->dispatches : 0;
    machine_print("row %u,%u,%u,0,0,0,trace,0,%s%s,0,%llu.%02llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu",
                  number++, machine.cpus, machine.cpus, ktlb_machine.protocol->name, ktlb_machine.everyone ? "-everyone" : "",
                  told / 100, told % 100, (unsigned long long)stats->dispatches, (unsigned long long)pass->cycles,
                  (unsigned long long)stats->dispatches, (unsigned long long)stats->targets,
                  (unsigned long long)stats->interrupts,
                  (unsigned long long)(stats->space_flushes + stats->machine_flushes),
                  (unsigned long long)stats->strides, (unsigned long long)stats->overflows, (unsigned long long)stats->ipis_idle);
}
