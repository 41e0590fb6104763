/*
 * scenarios.h - the scenarios as their caller sees them: a table of workloads, each with an oracle and a control.
 *
 * A scenario counts on a machine only if its control fires there: the same run with one step left out must be caught.
 * Where a machine is too forgiving for that (machine.blind_*), the run says "blind here", and the scenario is owed to
 * a machine that is not.
 */
#ifndef SCENARIOS_SCENARIOS_H
#define SCENARIOS_SCENARIOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one step that a control leaves out. */
enum leave_out {
    LEAVE_NOTHING,
    LEAVE_FLUSH,   /* changes are made and nothing is dispatched */
    LEAVE_WAIT,    /* dispatched, but the frames are given away before the sync */
    LEAVE_TABLES,  /* dispatched without KTLB_TABLES */
    LEAVE_SWITCH,  /* the root is loaded, what the CPU held is kept */
    LEAVE_LAZY,    /* user memory is touched without ktlb_lazy_leave */
    LEAVE_ONLINE,  /* back without ktlb_cpu_online */
    LEAVE_OWN,     /* the second initiator leaves its request to the first one's */
    LEAVE_SPACE,   /* the CPUs that should be elsewhere stay in the space */
};

struct scenario_run;

struct scenario {
    const char *name;
    const char *goal;     /* one sentence */
    const char *promises; /* "P1 P3" */
    const char *stale;    /* the promise that a stale access breaks */
    enum leave_out control;
    unsigned cpus;       /* as many at least */
    unsigned share;      /* one initiator for so many CPUs, rounded up */
    unsigned initiators_max; /* 0: any number */
    unsigned rounds;     /* per initiator, on 8 CPUs at scale 1000; more on fewer, less on more */
    bool kernel;         /* its first arena is in the kernel's half */
    bool tables, huge;   /* its arenas have several page tables; and huge pages, mapped by open */
    unsigned arenas; /* 0: one */
    bool own;        /* and then one more for each initiator */
    void (*body)(struct scenario_run *run); /* on every CPU at once */
    void (*open)(struct scenario_run *run), (*close)(struct scenario_run *run); /* before and after, may be NULL */
};

extern const struct scenario scenarios_table[];
extern const unsigned scenarios_count;

struct scenarios_options {
    const char *only;     /* run these, names separated by commas; NULL: all */
    bool controls;        /* run the controls as well */
    unsigned cpus;        /* take part; 0: all there are */
    const char *trace;    /* a trace to replay instead of the scenarios; NULL: none */
    size_t trace_size;    /* bytes */
    unsigned running;     /* threads of the trace that are taken to run at once, 1 to REPLAY_RUNNING_MAX */
    /* Compare all protocols on the trace; how the library is set up anew for each, all CPUs out and back in, with every
     * CPU a target if @everyone (ktlb_config). NULL: replay the trace as the library is set up. */
    void (*set_up)(const char *protocol, bool everyone);
};

/* What a recording on two CPUs says of how many ran at once; more make it harder. */
#define REPLAY_RUNNING 2u
#define REPLAY_RUNNING_MAX 64u

/* Run what @options says and print it, a line per scenario and a summary; false if anything failed, or if there is no
 * such scenario. => On CPU 0, the others idle. */
bool scenarios_run(const struct scenarios_options *options);

struct scenarios_result {
    uint64_t rounds; /* of each initiator */
    uint64_t checked, in_change, frames, wrong;
    uint64_t stalls; /* reported meanwhile */
};

/* Run one scenario once on @cpus CPUs and print nothing: for an explorer. */
void scenarios_execute(const struct scenario *scenario, unsigned cpus, bool control, struct scenarios_result *result);

/* Replay the trace of @options on @cpus CPUs. false: malformed, stale, or the control did not fire. */
bool replay_run(const struct scenarios_options *options, unsigned cpus);

#endif
