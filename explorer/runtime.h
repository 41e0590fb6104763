/*
 * The explorer's runtime, as a case and a machine see it.
 *
 * What it is: CPUs as fibers, shared memory as C11 describes it, and a search over everything that is left
 * open: who runs next, which message a load reads, where a store lands in modification order, and whatever
 * else a machine asks by ex_choose().
 * Why: an emulator shows neither weak memory nor rare interleavings. Code compiled with -fsanitize=thread
 * announces every access; this runtime answers those announcements itself and so decides every one of them.
 * Invariant: an execution is a function of its list of choices and of nothing else. A case must not look at
 * the clock, at addresses as numbers, or at anything left over from the execution before.
 *
 * A case: `setup` prepares memory, `body` runs once per CPU (as a fiber), `final` judges the end. Setup and
 * final run alone and touch memory directly. A machine adds `before_step` and `idle` (interrupts), and does
 * its own shared accesses through the functions below; it is compiled without -fsanitize=thread.
 */
#ifndef EXPLORER_RUNTIME_H
#define EXPLORER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EX_CPUS_MAX 8u

struct ex_case {
    const char *name;
    const char *about;
    unsigned cpus;
    void (*setup)(void);
    void (*body)(unsigned cpu);
    void (*final)(void); /* may be null */
    /* Before each visible step of a CPU, on that CPU's own stack. May call a handler (an interrupt): its steps
       are explored like any others. Not called again from within itself. May be null.
       => It must always be allowed to do nothing, or the reduction could lose executions. */
    void (*before_step)(unsigned cpu);
    /* The CPU is about to wait for others. Deliver here whatever is pending and deliverable; true if
       something was. A machine without this may report deadlocks that are none. May be null. */
    bool (*idle)(unsigned cpu);
};

/* Run the cases as the command line says (see --help); the exit status is 1 if a promise was broken. */
int ex_main(int argc, char **argv, const struct ex_case *cases, size_t count);

/* ---- from setup, or once before ex_main ---- */

/* This memory is put back, before every execution, to what it holds at this call. Statics of the code under
   test that `setup` does not itself rewrite must be given. => Before ex_main only. */
void ex_region(void *base, size_t size);
/* A name for the timeline. `name` must outlive the run. */
void ex_name(const void *base, size_t size, const char *name);

/* ---- from bodies and from machine callbacks ---- */

unsigned ex_cpu(void);     /* the running CPU; EX_CPUS_MAX in setup and final */
bool ex_running(void);     /* are we on a fiber? */

/* One of 0..n-1, every one of them in an exhaustive search. 0 should be the dullest answer. n <= 64. */
unsigned ex_choose(unsigned n, const char *what);

/* A promise is broken: say which. Does not return while an execution runs. */
__attribute__((format(printf, 1, 2))) void ex_fail(const char *format, ...);
#define ex_check(condition, ...) ((condition) ? (void)0 : ex_fail(__VA_ARGS__))

/* This execution is of no interest (an assumption does not hold): drop it without judging it. */
void ex_discard(void);

/* A line of the running CPU in the timeline. */
__attribute__((format(printf, 1, 2))) void ex_note(const char *format, ...);

/* What this execution amounted to; the search counts distinct ones. => From final. */
void ex_outcome(const char *text);

/* The body of a waiting loop. Returns when some location this CPU read since the last call has a message it
   has not read, or when the CPU was poked. If no CPU can ever go on, that is reported as a deadlock.
   => An iteration of the loop that writes nothing may do nothing but look. */
void ex_relax(void);

/* This CPU has nothing left to do but to serve: calls `idle` until there is nothing to deliver, then waits. Returns
   true when it was poked, so call it in a loop; when every CPU is parked or has returned, the execution ends. */
bool ex_park(void);

/* Something `cpu`'s callbacks look at has changed (an interrupt became pending, its TLB was changed from
   outside): it may go on from ex_relax or ex_park. => Also what tells the reduction. */
void ex_poke(unsigned cpu);

/* A visible step on a thing that is no memory (a bus, a lock of the machine). Steps on one id do not commute
   if either writes. Ids are the machine's own. */
void ex_event(unsigned id, bool write, const char *label);

/* Accesses by the machine itself: `order` is a __ATOMIC_ constant, size 1, 2, 4 or 8. */
uint64_t ex_load(const void *address, unsigned size, int order);
void ex_store(void *address, unsigned size, uint64_t value, int order);
bool ex_compare_exchange(void *address, unsigned size, uint64_t *expected, uint64_t value, int order);
void ex_fence(int order);

/* A read by the hardware on behalf of the running CPU (a page-table walker): any message coherence allows
   that CPU, and neither its view nor the race check is touched. */
uint64_t ex_walk(const void *address, unsigned size);

/* Views as things, for what the machine carries from one CPU to another beside memory (an interrupt, a broadcast,
   its completion). `released`: what a relaxed store would publish now, that is, what came before the last release
   or seq_cst fence. `current`: what a release store would. Null is the view of nothing. They live as long as the
   execution. `acquire` takes a view over at once; `observe` leaves it to the next acquire fence. */
struct ex_view;
const struct ex_view *ex_view_released(void);
const struct ex_view *ex_view_current(void);
const struct ex_view *ex_view_join(const struct ex_view *a, const struct ex_view *b);
void ex_view_acquire(const struct ex_view *view);
void ex_view_observe(const struct ex_view *view);

/* Every value a hardware read by a CPU whose view was `since` could still return: those of all messages not older than
   that view knew (null: all). How many; the newest first; at most `max`. A look, no step: what it depends on must
   have been announced by ex_event. */
unsigned ex_values_since(const void *address, unsigned size, const struct ex_view *since, uint64_t *values,
                         unsigned max);

/* The view that came with the newest message of that value; null: none. For ex_view_observe, where a hardware read
   orders what depends on it. */
const struct ex_view *ex_view_of(const void *address, unsigned size, uint64_t value);

/* The hardware may just have made this access for the running CPU, with whatever value: it counts for the race check and
   nothing else, as an atomic access that a plain one must be ordered after. A look, no step. */
void ex_touch(const void *address, unsigned size, bool write);

/* What the hardware does to another CPU from outside: until the same is called with what it returned, this runs in that
   CPU's place. => Looks only, no step: ex_touch, ex_values_since, views. */
unsigned ex_stand_in(unsigned cpu);

/* The memory begins a new life: histories and race records are dropped, its present bytes are its initial
   value. For frames that are freed and reused, when the machine says the hand-over is complete. */
void ex_forget(const void *base, size_t size);

/* Copies by the code under test, which the build redirects here (see rules.mk). */
void *ex_memcpy(void *to, const void *from, size_t size);
void *ex_memmove(void *to, const void *from, size_t size);
void *ex_memset(void *to, int byte, size_t size);

/* ---- for programs that run searches themselves (the litmus table) ---- */

enum ex_mode { EX_EXHAUSTIVE, EX_RANDOM, EX_PCT, EX_FAIR };

struct ex_options {
    enum ex_mode mode;
    bool no_reduction;       /* every interleaving, no sleep sets */
    bool no_insertion;       /* stores only at the end of modification order */
    bool keep_going;         /* a violation is counted, not the end of the search */
    bool quiet;
    unsigned preemptions;    /* at most so many; UINT32_MAX: no bound */
    unsigned deviations;     /* at most so many non-zero data choices; UINT32_MAX: no bound */
    unsigned steps;          /* per execution */
    uint64_t executions;     /* 0: no bound */
    uint64_t seconds;        /* 0: no bound */
    uint64_t seed;
    unsigned pct_depth;
    const char *replay;
};

#define EX_OUTCOMES_MAX 1024u
#define EX_OUTCOME_SIZE 48u

struct ex_result {
    uint64_t executions;     /* begun */
    uint64_t complete;       /* ran to the end and judged */
    uint64_t redundant;      /* given up: the reduction knows their like */
    uint64_t stutters;       /* given up: a waiting loop read the same again */
    uint64_t discarded;      /* by the case */
    uint64_t cut;            /* ended by the step bound, unjudged */
    uint64_t bounded;        /* choices a bound took away */
    uint64_t violations;
    uint64_t races;          /* of those, data races */
    uint64_t steps;
    bool sc_accesses;        /* seq_cst accesses (not fences) were made: judged more strictly than RC11 does */
    bool exhausted;          /* the search came to its end by itself */
    unsigned outcome_count;
    char outcomes[EX_OUTCOMES_MAX][EX_OUTCOME_SIZE];
    uint64_t outcome_hits[EX_OUTCOMES_MAX];
};

void ex_options_default(struct ex_options *options);
void ex_search(const struct ex_case *which, const struct ex_options *options, struct ex_result *result);

#endif
