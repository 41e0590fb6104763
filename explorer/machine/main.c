/*
 * main.c - the program: the library's cases under the explorer's command line (--help says what it can do).
 * PROTOCOL=name in the environment chooses the protocol; NMI=1 has all requests delivered by NMI; UNTAGGED=1 is a machine
 * without ASIDs; SVINVAL=1 and BBML2=1 are CPUs with these, where there are such.
 */
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "machine.h"

/* Which table: the small cases, or the scenarios (see rules.mk). */
#ifdef EXPLORE_CASES
#define EXPLORE_CASE_COUNT scenario_case_count
#else
#define EXPLORE_CASES cases
#define EXPLORE_CASE_COUNT case_count
#endif

/* EXPLORE_HARDWARE=QUIRK: on a processor that does less than its manual says (see hardware.h). */
int main(int argc, char **argv)
{
    const char *quirk = getenv("EXPLORE_HARDWARE");

    if (quirk && !hardware_quirk(quirk)) {
        fprintf(stderr, "explore: EXPLORE_HARDWARE=%s: no such quirk (see hardware.h)\n", quirk);
        return 2;
    }
    machine_protocol = getenv("PROTOCOL");
    machine_by_nmi = getenv("NMI") != NULL;
    hardware_tags = getenv("UNTAGGED") == NULL;
    machine_regions();
    return ex_main(argc, argv, EXPLORE_CASES, EXPLORE_CASE_COUNT);
}
