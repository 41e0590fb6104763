/*
 * machine.h - the explorer as a machine, beyond what every machine is (scenarios/machine.h).
 */
#ifndef EXPLORER_MACHINE_MACHINE_H
#define EXPLORER_MACHINE_MACHINE_H

#include "hardware.h"
#include "scenarios/machine.h"

/* Which protocol the library is set up with; NULL: its default. => Before the search. */
extern const char *machine_protocol;
/* Every case by NMI, not only those that are about NMIs. => Before the search. */
extern bool machine_by_nmi;

/* A fresh machine with all its CPUs online and nothing mapped. => From a case's setup. */
void machine_reset(unsigned cpus);
/* Tell the runtime what has to be put back before every execution. => Once, before the search. */
void machine_regions(void);

/* Plain stores, seen by the race check: what the host does with a page it takes for its own. In cases.c. */
void machine_scribble(uint64_t *words, unsigned count, uint64_t value);

/* machine_relax is a look and no more: for scenarios, which count the turns of some waits. Not for exhaustive search. */
void machine_waits_by_looking(bool looking);

/* The rest of a CPU's life: take interrupts. */
void machine_idle(void);
/* The same, doing what machine_run asks / end that. For scenarios; CPU 0 is the one that asks. */
void machine_serve_work(void);
void machine_end_work(void);

#endif
