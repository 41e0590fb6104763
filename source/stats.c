/*
 * stats.c - reading the counters of a CPU, or of all. Each is one relaxed load: a count, not a synchronisation.
 */
#include "internal.h"

void ktlb_stats_read(unsigned cpu, struct ktlb_stats *stats)
{
    const struct ktlb_counters *counters;

    KTLB_ASSERT(cpu < ktlb_machine.cpus, "a CPU's number is below ktlb_config.cpus");
    counters = &ktlb_machine.cpu[cpu].counters;
#define X(name, text) stats->name = ktlb_load_relaxed(&counters->name);
    KTLB_STATS_EACH(X)
#undef X
}

void ktlb_stats_sum(struct ktlb_stats *sum)
{
    struct ktlb_stats one;
    uint64_t longest = 0;

    *sum = (struct ktlb_stats){0};
    for (unsigned cpu = 0; cpu < ktlb_machine.cpus; cpu++) {
        ktlb_stats_read(cpu, &one);
#define X(name, text) sum->name += one.name;
        KTLB_STATS_EACH(X)
#undef X
        longest = one.wait_cycles_max > longest ? one.wait_cycles_max : longest;
    }
    sum->wait_cycles_max = longest;
}
