/*
 * storms.h - the bodies of the scenarios, for the table in run.c.
 */
#ifndef SCENARIOS_STORMS_H
#define SCENARIOS_STORMS_H

#include "stage.h"

/* storms.c: one subject each, as much of it as fits */
void storm_map(struct scenario_run *run);
void storm_protect(struct scenario_run *run);
void storm_remap(struct scenario_run *run);
void storm_reuse(struct scenario_run *run);
void storm_disjoint(struct scenario_run *run);
void storm_tables(struct scenario_run *run);
void storm_walk(struct scenario_run *run);
void storm_huge(struct scenario_run *run);
void storm_huge_open(struct scenario_run *run);
void storm_huge_close(struct scenario_run *run);
void storm_initiators(struct scenario_run *run);
void storm_kernel(struct scenario_run *run);
void storm_flights(struct scenario_run *run);
/* Some edit of one page or a few; of pages and their table, for an arena that has several. */
void storm_any_edit(struct scenario_run *run, struct arena *arena);
void storm_table_edit(struct scenario_run *run, struct arena *arena);

/* places.c: where CPUs are while others unmap: in other spaces, lazy, between spaces, away */
void place_spaces(struct scenario_run *run);
void place_switches(struct scenario_run *run);
void place_lazy(struct scenario_run *run);
void place_undisturbed(struct scenario_run *run);
void place_hotplug(struct scenario_run *run);
void place_everything(struct scenario_run *run);

/* races.c: interleavings that went wrong elsewhere */
void race_shared_ack(struct scenario_run *run);
void race_foreign_interrupt(struct scenario_run *run);
void race_masked_initiators(struct scenario_run *run);
void race_overflow(struct scenario_run *run);

#endif
