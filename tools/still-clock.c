/*
 * still-clock.c - preloaded into QEMU in a deterministic run: gettimeofday() stands still.
 *
 * QEMU's emulated TLBs shrink when they were little used for a tenth of a second of the host's time, which evicts
 * entries at moments that differ from run to run: whether an access between a page-table change and its shootdown sees
 * the old page or the new one is then the host's choice. Nothing else in such a run looks at this clock.
 */
#include <stddef.h>

struct timeval;

int gettimeofday(struct timeval *restrict now, void *restrict zone);

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    long *seconds_and_microseconds = (long *)(void *)now;

    (void)zone;
    seconds_and_microseconds[0] = 946684800; /* the year 2000 */
    seconds_and_microseconds[1] = 0;
    return 0;
}
