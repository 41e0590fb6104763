/*
 * stats.c - reading the counters of a CPU. Each is one relaxed load: a count, not a synchronisation.
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
