/*
 * stats.h - what the library counted on one CPU since ktlb_init().
 *
 * Each counter is written by its CPU alone and may be read by any at any time; a reading of several is not one
 * moment's. With KTLB_STATS 0 all stay zero.
 */
#ifndef KTLB_STATS_H
#define KTLB_STATS_H

#include <stdint.h>

/* One name per counter, and what a reader calls it. */
#define KTLB_STATS_EACH(X)                                                                         \
    X(dispatches, "batches dispatched that had anything to invalidate")                            \
    X(no_target, "of these, batches that no other CPU had to hear of")                             \
    X(targets, "requests posted to other CPUs")                                                    \
    X(lazy_skipped, "lazy CPUs left alone")                                                        \
    X(interrupts, "interrupts sent")                                                               \
    X(interrupts_saved, "requests posted to a CPU that had an interrupt under way already")        \
    X(interrupts_again, "interrupts sent once more after a stall")                                 \
    X(widened_limit, "batches that became the whole space: too many strides")                      \
    X(overflows, "requests that found no room and widened to the space")                    \
    X(served, "requests served for other CPUs")                                                    \
    X(already_clean, "requests and local flushes skipped: an earlier flush had covered them")      \
    X(not_loaded, "requests for a space that had left this CPU meanwhile")                         \
    X(caught_up, "times a space was dropped because of what was missed while away, lazy or full")   \
    X(caught_up_exact, "times only the ranges that were missed were dropped instead")              \
    X(strides, "single invalidations executed")                                                    \
    X(space_flushes, "whole spaces dropped")                                                       \
    X(machine_flushes, "everything dropped, global entries and all tags")                          \
    X(switches, "spaces loaded")                                                                   \
    X(switch_clean, "of these, spaces whose entries were kept")                                    \
    X(ipis, "calls of ktlb_ipi()")                                                                 \
    X(ipis_idle, "of these, calls that found nothing to do")                                       \
    X(ipis_deferred, "of these, NMIs that met the library at work and were served right after")    \
    X(syncs, "batches synced")                                                                     \
    X(syncs_waited, "of these, batches that had to wait")                                          \
    X(wait_cycles, "cycles of the arch's counter spent waiting in sync")                           \
    X(wait_cycles_max, "the longest single wait")                                                  \
    X(stalls, "stalls reported")

struct ktlb_stats {
#define X(name, text) uint64_t name;
    KTLB_STATS_EACH(X)
#undef X
};

#endif
