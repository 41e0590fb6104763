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
    X(dispatches_empty, "batches dispatched that had nothing: no entry that hardware can have cached got weaker") \
    X(no_target, "of the former, batches that no other CPU had to hear of")                        \
    X(tables, "batches that freed page-table pages")                                               \
    X(targets, "requests posted to other CPUs")                                                    \
    X(targets_left, "of these, CPUs that went offline instead of answering")                       \
    X(lazy_skipped, "lazy CPUs left alone")                                                        \
    X(lazy_told, "lazy CPUs told all the same: page-table pages died")                             \
    X(interrupts, "interrupts sent")                                                               \
    X(interrupts_saved, "requests posted to a CPU that had an interrupt under way, or was about to look") \
    X(interrupts_again, "interrupts sent once more after a stall")                                 \
    X(asked_all, "batches that were for the whole space as the host asked")                        \
    X(widened_limit, "batches that became the whole space: too many strides")                      \
    X(widened_far, "batches that became the whole space: too many ops, too far apart to be joined") \
    X(squeezed, "batches with too many ops, some of which were joined over what lies between")     \
    X(overflows, "requests that found no room and widened to the space")                           \
    X(served, "requests served for other CPUs")                                                    \
    X(already_clean, "requests and local flushes skipped: an earlier flush had covered them")      \
    X(not_loaded, "requests for a space that had left this CPU meanwhile")                         \
    X(in_switch, "requests and local flushes that met this CPU between two spaces: everything was dropped") \
    X(tags_forgotten, "times the spaces under all other tags were given up, for a change of the kernel's half") \
    X(caught_up, "times a space was dropped because of what was missed while away, lazy or full")  \
    X(caught_up_gone, "of these, the space no longer remembered what was missed, or not yet")      \
    X(caught_up_large, "of these, it was too much to drop piece by piece")                         \
    X(caught_up_tables, "of these, page-table pages had died, and the root was not loaded yet")    \
    X(caught_up_exact, "times only the ranges that were missed were dropped instead")              \
    X(strides, "single invalidations executed")                                                    \
    X(space_flushes, "whole spaces dropped")                                                       \
    X(machine_flushes, "everything dropped, global entries and all tags")                          \
    X(switches, "spaces loaded")                                                                   \
    X(switch_clean, "of these, spaces whose entries were kept")                                    \
    X(switch_new, "of these, spaces that had no tag here: never loaded, or their tag was given away") \
    X(lazy_periods, "times this CPU went lazy")                                                    \
    X(lazy_clean, "of these, times it had missed nothing when it came back")                       \
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
