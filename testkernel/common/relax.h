/*
 * relax.h - a turn of a loop that waits, the library's or our own, but for the pause itself.
 *
 * On a host with fewer cores than the machine has CPUs, a waiting CPU keeps those from running that it waits for. So it
 * halts for a moment now and then; except under a seed, where it is the pause that lets the next CPU run, and the clock
 * stands still in a halt.
 */
#ifndef TESTKERNEL_RELAX_H
#define TESTKERNEL_RELAX_H

#include <stdbool.h>

extern bool kernel_seeded; /* an option of the command line: there is a seed */

void cpu_relax_unseeded(void);

static inline void cpu_relax(void)
{
    if (!kernel_seeded)
        cpu_relax_unseeded();
}

#endif
