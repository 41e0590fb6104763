/*
 * replay.h - one pass over a trace, for whoever reports on it: replay.c shows one, compare.c many side by side.
 */
#ifndef SCENARIOS_REPLAY_H
#define SCENARIOS_REPLAY_H

#include "oracle.h"
#include "scenarios.h"

/* What a pass did and found. */
struct replay_pass {
    struct oracle_counts counts;
    struct ktlb_stats stats; /* of all CPUs together; wait_cycles_max since the library was set up */
    uint64_t cycles, done;   /* of machine_clock(); events */
    bool good;               /* nothing stale, all of it replayed, and checked enough to mean something */
};

/* Read all of @options' trace, before anything depends on it, and say what it is; false: malformed, and where. */
bool replay_open(const struct scenarios_options *options, unsigned cpus);
/* Replay it, honestly or with @leave_out. A control ends when it has fired often enough. */
void replay_pass(struct replay_pass *pass, enum leave_out leave_out);
/* The control of a replay: the flush left out, once; false: that was not caught. Prints a line. */
bool replay_control(void);
/* Every protocol over the trace, side by side, in one table; false: anything was stale, or the control did not fire. */
bool replay_compare(const struct scenarios_options *options, unsigned cpus);

#endif
