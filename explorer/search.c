/*
 * The search: which CPU takes the next step, which of several answers a choice gets, and what to try next.
 *
 * Stateless: an execution is run from the start, forced along a list of choices, and free beyond its end. The
 * list is the whole truth of an execution, so it is also what replays one. Exhaustive search goes through all
 * lists depth first; the other modes draw them by seed.
 *
 * The reduction is by sleep sets. A CPU whose next step was fully explored from some point sleeps from there on
 * until a step is taken that does not commute with its own. Views make more steps commute than plain
 * interleaving would:
 * - A load and a store to one location commute, unless the load reads that store. So a store does not wake a
 *   sleeping load for everything, but only for the messages that are newer than its sleep (its horizon), and
 *   a load never wakes a sleeping store.
 * - Two stores to one location commute: either may be put before the other in modification order.
 * - An update is a load in this respect, its store being bound to what it read.
 * - A seq_cst access does not commute with a store to its location (or, if it is one, with any access), nor a
 *   seq_cst fence with another or with a seq_cst access: what may be read depends on their order.
 * Nor is every CPU tried at every point. One is, and another only when a step taken later might have come before
 * the one taken there, with a different result (as in dynamic partial-order reduction with source sets). A load
 * that follows a store never asks for that; a store that follows a load does.
 * Invariant: what sleeps is decided by the list of choices alone, so a replayed prefix finds the same sleepers.
 */
#include "internal.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRAIL_MAX (1u << 16)
#define READS_MAX 64u
#define REGIONS_MAX 16u
#define PAST_MAX TRAIL_MAX
#define NO_NODE UINT32_MAX
#define NOBODY EX_CPUS_MAX

enum cpu_state { READY, WAITING, PARKED, DONE };
enum sleep { AWAKE, AWAKE_FOR_NEWER, ASLEEP };

struct read {
    unsigned location;
    uint32_t place;
};

struct cpu {
    struct fiber fiber;
    enum cpu_state state;
    struct step next, now;    /* the step it will take; the one it was let go for */
    unsigned points;          /* how often it reached a visible step */
    bool poked;
    enum sleep sleep;
    unsigned sleep_pokes;     /* whom that step was seen to poke */
    uint64_t sleep_horizon;   /* messages stamped lower are explored for its next step */
    uint64_t run_horizon;     /* the same, for the step it takes now */
    struct read reads[READS_MAX], reads_before[READS_MAX]; /* in this and in the last round of a waiting loop */
    unsigned read_count, read_count_before;
    bool reads_overflow;
    bool progressed;          /* wrote or was poked in this round */
    unsigned stutters;        /* rounds in a row that found nothing new */
    bool yielded;
    unsigned priority;        /* PCT: the highest goes */
    unsigned node;            /* the choice that let its present step run */
    uint32_t after[EX_CPUS_MAX]; /* of its last step */
    uint64_t last_run;        /* fair: the step it last took */
};

struct choice_made {
    uint64_t allowed, done;   /* answers to explore; answers explored */
    uint64_t possible;        /* of a CPU: those that could go and do not sleep */
    uint8_t n, chosen;
    uint8_t order[EX_CPUS_MAX]; /* of a CPU: whom the answers mean */
    uint8_t pokes[EX_CPUS_MAX]; /* of a CPU: whom their steps were seen to poke */
};

/* A step that was taken, as far as others may have to be tried before it. */
struct past {
    struct step did;
    unsigned cpu, pokes;
    unsigned node;            /* the choice that let it run, or NO_NODE */
    bool wild;
    uint32_t after[EX_CPUS_MAX]; /* per CPU, the number of its last step that cannot come after this one */
};

enum status { RUNNING, COMPLETE, VIOLATION, REDUNDANT, STUTTER, DISCARDED, CUT };

struct region {
    unsigned char *base, *saved;
    size_t size;
};

static const struct ex_case *which;
static struct ex_options options;
static struct ex_result *result;

static struct cpu cpus[EX_CPUS_MAX];
static unsigned current = NOBODY;
static struct fiber main_fiber;
static bool starting;
static enum status status;
static bool is_race;
static char broken[1024];
static struct step step_done;
static unsigned step_pokes;
static bool step_wild;       /* it changed something everybody may depend on */
static uint64_t steps;
static unsigned preemptions, deviations;

static struct choice_made trail[TRAIL_MAX];
static unsigned trail_length; /* as far as the present list goes */
static unsigned trail_position;
static unsigned forced;        /* as far as the list went when this execution began */
static bool replaying;

static struct past past[PAST_MAX]; /* from 1 */
static unsigned past_count;

static uint64_t random_state;
static unsigned stay_bits, stale_bits; /* this execution's habits: 2^-n to switch, 2^-n to read something old */
static uint64_t change_points[16];
static unsigned lowest_priority;
static uint64_t longest_seen = 64;

static struct region regions[REGIONS_MAX];
static unsigned region_count;

/* ---- randomness ---- */

static uint64_t random_next(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned random_below(unsigned n)
{
    return (unsigned)(((random_next() >> 32) * n) >> 32);
}

static bool random_chance(unsigned bits) /* one in 2^bits */
{
    return (random_next() >> 32 & ((1u << bits) - 1u)) == 0;
}

/* ---- ends of an execution ---- */

static _Noreturn void abandon(enum status why)
{
    unsigned from = current;
    status = why;
    current = NOBODY;
    fiber_switch(&cpus[from].fiber, &main_fiber);
    abort(); /* nobody switches back */
}

void ex_fail(const char *format, ...)
{
    va_list arguments;
    if (status == VIOLATION)
        return;
    va_start(arguments, format);
    vsnprintf(broken, sizeof(broken), format, arguments);
    va_end(arguments);
    if (current != NOBODY)
        abandon(VIOLATION);
    status = VIOLATION;
}

void search_is_race(void)
{
    is_race = true;
}

void ex_discard(void)
{
    if (current != NOBODY)
        abandon(DISCARDED);
    if (status != VIOLATION)
        status = DISCARDED;
}

void search_count_bounded(void)
{
    result->bounded++;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (current == NOBODY) {
        signal(number, SIG_DFL);
        return;
    }
    ex_fail("the code touched memory it does not have: address %p", info->si_addr);
}

/* ---- choices ---- */

static bool reducing(void)
{
    return options.mode == EX_EXHAUSTIVE && !options.no_reduction && !replaying;
}

static unsigned draw(unsigned n, uint64_t allowed, enum choice kind)
{
    bool dull = kind == CHOICE_MEMORY ? !random_chance(stale_bits) : random_chance(1);
    if ((allowed & 1) && dull)
        return 0;
    unsigned i;
    do
        i = random_below(n);
    while (!(allowed >> i & 1));
    return i;
}

/* One of the allowed among 0..n-1: as the list says while it lasts, then as the mode likes. */
static unsigned choose(unsigned n, uint64_t allowed, int preferred, enum choice kind)
{
    if (trail_position == TRAIL_MAX)
        abandon(CUT);
    struct choice_made *c = &trail[trail_position];
    if (trail_position == trail_length) {
        if (replaying)
            allowed = 1;
        c->n = (uint8_t)n;
        c->done = 0;
        if (preferred >= 0)
            c->chosen = (uint8_t)preferred;
        else if (options.mode == EX_EXHAUSTIVE || replaying)
            c->chosen = (uint8_t)__builtin_ctzll(allowed);
        else
            c->chosen = (uint8_t)draw(n, allowed, kind);
        trail_length++;
    } else if (c->n != n && !replaying) {
        ex_fail("the case is not a function of its choices: %u answers here, %u the last time", n, c->n);
    }
    if (!replaying)
        c->allowed = allowed;
    trail_position++;
    return c->chosen < n ? c->chosen : 0;
}

unsigned search_choose(unsigned n, uint64_t allowed, enum choice kind)
{
    if (n < CHOICES_MAX)
        allowed &= (UINT64_C(1) << n) - 1;
    if (!allowed && !replaying) { /* what it may read here was explored: it should have slept */
        if (reducing() && cpus[current].node != NO_NODE)
            trail[cpus[current].node].allowed |= trail[cpus[current].node].possible;
        abandon(REDUNDANT);
    }
    if (n <= 1)
        return 0;
    if (kind != CHOICE_CPU && deviations >= options.deviations && (allowed & 1) && allowed != 1) {
        result->bounded++;
        allowed = 1;
    }
    unsigned i = choose(n, allowed, -1, kind);
    if (kind != CHOICE_CPU && i > 0)
        deviations++;
    return i;
}

unsigned ex_choose(unsigned n, const char *what)
{
    if (current == NOBODY || n > CHOICES_MAX) {
        fprintf(stderr, "explorer: ex_choose(%u, \"%s\"): only on a CPU, and of at most %u\n", n, what, CHOICES_MAX);
        exit(2);
    }
    unsigned i = search_choose(n, ~UINT64_C(0), CHOICE_MACHINE);
    if (trace_on && i > 0)
        trace_line(current, 0, "[%s: %u]", what, i);
    return i;
}

/* ---- sleep ---- */

/* Must the sleeper look again after this step, and at what? */
static enum sleep disturbed(const struct cpu *sleeper, const struct step *did)
{
    const struct step *next = &sleeper->next;
    if (next->sc && did->sc && (next->kind == STEP_FENCE || did->kind == STEP_FENCE))
        return AWAKE;
    if (next->kind != did->kind || next->where != did->where)
        return sleeper->sleep;
    if (next->kind == STEP_EVENT)
        return next->writes || did->writes ? AWAKE : sleeper->sleep;
    if (next->kind != STEP_ACCESS)
        return sleeper->sleep;
    if ((next->sc || did->sc) && (next->writes || did->writes))
        return AWAKE;
    if (next->reads && did->writes)
        return AWAKE_FOR_NEWER;
    return sleeper->sleep;
}

static void disturb_sleepers(void)
{
    for (unsigned i = 0; i < which->cpus; i++) {
        struct cpu *c = &cpus[i];
        if (c->sleep == AWAKE)
            continue;
        bool poke = (step_pokes >> i & 1) || (current != NOBODY && (c->sleep_pokes >> current & 1));
        if (step_wild || poke)
            c->sleep = AWAKE;
        else
            c->sleep = disturbed(c, &step_done);
    }
}

/* ---- whom to try earlier ---- */

unsigned search_number(void)
{
    return past_count + 1;
}

/* Would `later`, taken before `earlier`, have made a difference? A load after a store is in no need of that: after the
   store it may read whatever it could have read before. */
static bool reversal_matters(const struct past *earlier, const struct past *later)
{
    const struct step *a = &earlier->did, *b = &later->did;
    if (earlier->wild || later->wild || (later->pokes >> earlier->cpu & 1) || (earlier->pokes >> later->cpu & 1))
        return true;
    if (a->sc && b->sc && (a->kind == STEP_FENCE || b->kind == STEP_FENCE))
        return true;
    if (a->kind != b->kind || a->where != b->where)
        return false;
    if (a->kind == STEP_EVENT || a->sc || b->sc)
        return a->writes || b->writes;
    return a->kind == STEP_ACCESS && a->reads && b->writes;
}

/* Is the order of these two, as they were, part of what happened? A load and a store that it did not read commute. */
static bool ordered(const struct past *earlier, unsigned number, const struct past *later)
{
    const struct step *a = &earlier->did, *b = &later->did;
    if (earlier->wild || later->wild || (later->pokes >> earlier->cpu & 1) || (earlier->pokes >> later->cpu & 1))
        return true;
    if (a->sc && b->sc && (a->kind == STEP_FENCE || b->kind == STEP_FENCE))
        return true;
    if (b->from == number)
        return true;
    return a->kind == b->kind && a->where == b->where && (a->kind == STEP_EVENT || a->sc || b->sc) &&
           (a->writes || b->writes);
}

/* Could this CPU have gone first, of all that was done since `first` and is not bound to come after it? */
static bool could_lead(unsigned first, unsigned cpu, const struct past *last)
{
    const struct past *lead = last;
    unsigned until = past_count;
    for (unsigned i = first + 1; i <= past_count; i++) {
        if (past[i].cpu == cpu && past[i].after[past[first].cpu] < first) {
            lead = &past[i];
            until = i - 1;
            break;
        }
    }
    if (lead->cpu != cpu)
        return false;
    for (unsigned i = first + 1; i <= until; i++)
        if (past[i].after[past[first].cpu] < first && lead->after[past[i].cpu] >= i)
            return false;
    return true;
}

/* `last` might have come before step `first`: at the choice there, see that somebody is tried who can lead to that.
   Who sleeps there was tried further up. */
static void try_before(unsigned first, const struct past *last)
{
    struct choice_made *c = &trail[past[first].node];
    int add = -1;
    for (unsigned i = 0; i < c->n; i++) {
        if (!could_lead(first, c->order[i], last))
            continue;
        if ((c->allowed >> i & 1) || !(c->possible >> i & 1))
            return;
        if (add < 0 || c->order[i] == last->cpu)
            add = (int)i;
    }
    c->allowed |= add >= 0 ? UINT64_C(1) << add : c->possible;
}

static void join_after(uint32_t *into, unsigned number)
{
    for (unsigned i = 0; i < which->cpus; i++)
        if (past[number].after[i] > into[i])
            into[i] = past[number].after[i];
}

/* For a step taken, or about to be: find the earlier ones it might have preceded, nothing in between binding them,
   and what it must come after. */
static void look_back(struct past *step, bool look)
{
    for (unsigned i = past_count; i > 0; i--) {
        const struct past *p = &past[i];
        if (p->cpu == step->cpu || step->after[p->cpu] >= i)
            continue;
        if (look && p->node != NO_NODE && reversal_matters(p, step))
            try_before(i, step);
        if (ordered(p, i, step))
            join_after(step->after, i);
    }
}

static void remember_step(void)
{
    struct cpu *c = &cpus[current];
    if (c->node != NO_NODE)
        trail[c->node].pokes[trail[c->node].chosen] |= (uint8_t)step_pokes;
    struct past new = {step_done, current, step_pokes, c->node, step_wild, {0}};
    if (past_count + 1 == PAST_MAX)
        abandon(CUT);
    memcpy(new.after, c->after, sizeof(new.after));
    if (step_done.kind == STEP_ACCESS) { /* a compare-exchange that failed might have written, taken earlier */
        new.did.writes = c->now.writes;
        new.did.sc = c->now.sc;
    }
    look_back(&new, trail_position >= forced); /* what was forced was looked at when it was not */
    new.after[current] = ++past_count;
    past[past_count] = new;
    memcpy(c->after, new.after, sizeof(new.after));
}

/* The execution ends before these could take their next steps, which count all the same. */
static void remember_pending(void)
{
    for (unsigned i = 0; i < which->cpus; i++) {
        struct past next = {cpus[i].next, i, 0, NO_NODE, false, {0}};
        if (cpus[i].state != READY)
            continue;
        memcpy(next.after, cpus[i].after, sizeof(next.after));
        look_back(&next, true);
    }
}

static void step_over(void)
{
    if (current != NOBODY && reducing()) /* also one that did nothing but take an interrupt: a poke might precede it */
        remember_step();
    disturb_sleepers();
    step_done = (struct step){.kind = STEP_NONE};
    step_pokes = 0;
    step_wild = false;
}

void search_did(const struct step *done)
{
    step_done = *done;
    if (done->sc && done->kind == STEP_ACCESS)
        result->sc_accesses = true;
}

void search_did_anything(void)
{
    step_wild = true;
}

uint64_t search_horizon(void)
{
    return cpus[current].run_horizon;
}

/* Among `order`, the answers already explored here go to sleep; the one chosen runs. */
static void sleep_after_choice(const unsigned *order, unsigned n, uint64_t done, unsigned chosen)
{
    const struct choice_made *made = n > 1 ? &trail[trail_position - 1] : NULL; /* alone, nobody goes to sleep */
    for (unsigned i = 0; i < n; i++) {
        struct cpu *c = &cpus[order[i]];
        if ((done >> i & 1) && i != chosen) {
            c->sleep = ASLEEP;
            c->sleep_pokes = made ? made->pokes[i] : 0;
            c->sleep_horizon = memory_stamp();
        }
    }
    struct cpu *c = &cpus[order[chosen]];
    c->run_horizon = c->sleep == AWAKE_FOR_NEWER ? c->sleep_horizon : 0;
    c->sleep = AWAKE;
}

/* ---- who goes next ---- */

static bool news_for(const struct cpu *c)
{
    for (unsigned i = 0; i < c->read_count_before; i++)
        if (memory_last(c->reads_before[i].location) > c->reads_before[i].place)
            return true;
    return c->reads_overflow;
}

static bool can_go(const struct cpu *c)
{
    switch (c->state) {
    case READY: return true;
    case WAITING: return c->poked || news_for(c);
    case PARKED: return c->poked;
    default: return false;
    }
}

/* The CPUs that can go, the present one first. */
static unsigned runnable(unsigned *order)
{
    unsigned n = 0;
    if (current != NOBODY && can_go(&cpus[current]))
        order[n++] = current;
    for (unsigned i = 0; i < which->cpus; i++)
        if (i != current && can_go(&cpus[i]))
            order[n++] = i;
    return n;
}

static int pick_pct(const unsigned *order, unsigned n)
{
    unsigned best = 0;
    for (unsigned i = 0; i < options.pct_depth && current != NOBODY; i++)
        if (change_points[i] == steps)
            cpus[current].priority = lowest_priority--;
    for (unsigned i = 1; i < n; i++)
        if (cpus[order[i]].priority > cpus[order[best]].priority)
            best = i;
    return (int)best;
}

static int pick_fair(const unsigned *order, unsigned n)
{
    unsigned oldest = 0;
    if (!random_chance(2))
        return (int)random_below(n);
    for (unsigned i = 1; i < n; i++)
        if (cpus[order[i]].last_run < cpus[order[oldest]].last_run)
            oldest = i;
    return (int)oldest;
}

static int pick_random(const unsigned *order, unsigned n)
{
    if (order[0] == current && !cpus[current].yielded && !random_chance(stay_bits))
        return 0;
    unsigned i = random_below(n);
    if (cpus[order[i]].yielded) /* somebody who waits: rather anybody else */
        i = random_below(n);
    cpus[order[i]].yielded = false;
    return (int)i;
}

static int preference(const unsigned *order, unsigned n)
{
    if (replaying)
        return -1;
    switch (options.mode) {
    case EX_RANDOM: return pick_random(order, n);
    case EX_PCT: return pick_pct(order, n);
    case EX_FAIR: return pick_fair(order, n);
    default: return -1;
    }
}

static uint64_t within_bounds(const unsigned *order, unsigned n)
{
    uint64_t allowed = (UINT64_C(1) << n) - 1;
    if (options.mode != EX_EXHAUSTIVE || replaying)
        return allowed;
    for (unsigned i = 0; i < n && reducing(); i++)
        if (cpus[order[i]].sleep == ASLEEP)
            allowed &= ~(UINT64_C(1) << i);
    if (preemptions >= options.preemptions && order[0] == current && cpus[current].state == READY && n > 1) {
        result->bounded++;
        allowed &= 1;
    }
    return allowed;
}

static void none_runnable(void)
{
    char text[256];
    int used = 0;
    for (unsigned i = 0; i < which->cpus; i++)
        if (cpus[i].state == WAITING)
            used += snprintf(text + used, sizeof(text) - (size_t)used, " %u", i);
    if (used > 0)
        ex_fail("deadlock: CPU%s waiting for ever:%s", used > 2 ? "s" : "", text);
    else
        status = COMPLETE;
}

static bool out_of_steps(void)
{
    if (++steps <= options.steps)
        return false;
    if (options.mode == EX_FAIR)
        ex_fail("no progress: not at an end after %u fair steps", options.steps);
    status = CUT;
    return true;
}

/* Under the reduction, one CPU is tried at first; others when a later step turns out to be worth trying here. */
static unsigned choose_cpu(const unsigned *order, unsigned n, uint64_t allowed)
{
    if (!reducing())
        return choose(n, allowed, preference(order, n), CHOICE_CPU);
    struct choice_made *c = &trail[trail_position];
    bool is_new = trail_position == trail_length;
    unsigned chosen = choose(n, is_new ? allowed & -allowed : c->allowed, -1, CHOICE_CPU);
    if (is_new) {
        c->possible = allowed;
        memset(c->pokes, 0, sizeof(c->pokes));
    }
    for (unsigned i = 0; i < n; i++)
        c->order[i] = (uint8_t)order[i];
    return chosen;
}

/* The CPU that takes the next step, or NOBODY if the execution is over. */
static unsigned pick(void)
{
    unsigned order[EX_CPUS_MAX];
    step_over();
    unsigned n = runnable(order);
    if (n == 0) {
        none_runnable();
        return NOBODY;
    }
    if (out_of_steps())
        return NOBODY;
    for (unsigned i = 0; i < n; i++) /* going on from a wait touches nothing: there is nothing to choose */
        if (cpus[order[i]].state == WAITING) {
            cpus[order[i]].node = NO_NODE;
            return order[i];
        }
    uint64_t allowed = within_bounds(order, n);
    if (!allowed) {
        status = REDUNDANT;
        return NOBODY;
    }
    unsigned chosen = 0;
    uint64_t done = 0;
    if (n > 1) {
        chosen = choose_cpu(order, n, allowed);
        done = trail[trail_position - 1].done;
    }
    cpus[order[chosen]].node = n > 1 ? trail_position - 1 : NO_NODE;
    if (chosen > 0 && order[0] == current && cpus[current].state == READY)
        preemptions++;
    if (reducing())
        sleep_after_choice(order, n, done, chosen);
    cpus[order[chosen]].last_run = steps;
    return order[chosen];
}

/* Let the search decide; return when this CPU is to go on. */
static void hand_over(void)
{
    unsigned self = current;
    unsigned next = starting ? NOBODY : pick();
    current = next;
    if (next != self)
        fiber_switch(&cpus[self].fiber, next == NOBODY ? &main_fiber : &cpus[next].fiber);
}

void search_point(const struct step *next)
{
    struct cpu *c = &cpus[current];
    unsigned points;
    do { /* a handler that took steps of its own has put this one off: it is to be scheduled anew */
        c->next = *next;
        points = ++c->points;
        hand_over();
        if (which->before_step)
            which->before_step(current);
    } while (c->points != points);
    c->now = *next;
}

void ex_event(unsigned id, bool write, const char *label)
{
    struct step step = {STEP_EVENT, !write, write, false, id, 0};
    if (current == NOBODY)
        return;
    search_point(&step);
    if (trace_on)
        trace_line(current, (uintptr_t)__builtin_return_address(0), "[%s]", label);
    search_did(&step);
}

/* ---- waiting ---- */

void search_read(unsigned location, uint32_t place)
{
    struct cpu *c = &cpus[current];
    for (unsigned i = 0; i < c->read_count; i++) {
        if (c->reads[i].location == location) {
            c->reads[i].place = place;
            return;
        }
    }
    if (c->read_count == READS_MAX)
        c->reads_overflow = true;
    else
        c->reads[c->read_count++] = (struct read){location, place};
}

void search_wrote(bool changed)
{
    cpus[current].progressed |= changed;
}

bool search_may_insert(void)
{
    return !options.no_insertion;
}

/* A loop that has looked at old messages for some rounds sees the newest: stores become visible in finite time. */
bool search_wants_newest(void)
{
    return options.mode != EX_EXHAUSTIVE && !replaying && cpus[current].stutters >= 2;
}

/* Has this round of the loop read just what the one before read, and changed nothing? */
static bool same_round(const struct cpu *c)
{
    if (c->progressed || c->reads_overflow || c->read_count != c->read_count_before)
        return false;
    return memcmp(c->reads, c->reads_before, c->read_count * sizeof(c->reads[0])) == 0;
}

static void round_over(struct cpu *c)
{
    memcpy(c->reads_before, c->reads, c->read_count * sizeof(c->reads[0]));
    c->read_count_before = c->read_count;
    c->read_count = 0;
    c->progressed = false;
}

void ex_relax(void)
{
    if (current == NOBODY)
        return;
    struct cpu *c = &cpus[current];
    if (which->idle && which->idle(current))
        c->progressed = true;
    bool again = c->progressed || c->poked, same = same_round(c);
    round_over(c);
    c->stutters = same ? c->stutters + 1 : 0;
    c->yielded = true;
    c->priority = lowest_priority--;
    if (!again && !news_for(c)) {
        c->next = (struct step){.kind = STEP_NONE};
        c->state = WAITING;
        hand_over();
        c->state = READY;
    } else if (same && options.mode == EX_EXHAUSTIVE && !replaying) {
        abandon(STUTTER); /* there was something newer to read: that choice is explored elsewhere */
    }
    c->progressed = c->poked;
    c->poked = false;
    c->reads_overflow = false;
}

bool ex_park(void)
{
    struct cpu *c = &cpus[current];
    while (which->idle && which->idle(current))
        c->poked = false;
    c->next = (struct step){.kind = STEP_NONE};
    c->state = PARKED;
    hand_over();
    c->state = READY;
    c->poked = false;
    return true;
}

void ex_poke(unsigned cpu)
{
    if (cpu >= which->cpus)
        return;
    cpus[cpu].poked = true;
    step_pokes |= 1u << cpu;
}

unsigned ex_cpu(void)
{
    return current;
}

unsigned ex_stand_in(unsigned cpu)
{
    unsigned before = current;

    current = cpu;
    return before;
}

bool ex_running(void)
{
    return current != NOBODY;
}

bool search_on_stack(uintptr_t address)
{
    for (unsigned i = 0; i < which->cpus; i++)
        if (fiber_owns(&cpus[i].fiber, address))
            return true;
    return false;
}

/* ---- one execution ---- */

void ex_region(void *base, size_t size)
{
    if (region_count == REGIONS_MAX) {
        fprintf(stderr, "explorer: more than %u regions\n", REGIONS_MAX);
        exit(2);
    }
    struct region *r = &regions[region_count++];
    *r = (struct region){.base = base, .saved = malloc(size), .size = size};
    if (!r->saved) {
        perror("explorer: a region's copy");
        exit(2);
    }
    memcpy(r->saved, base, size);
}

static void fiber_main(void)
{
    which->body(current);
    cpus[current].state = DONE;
    hand_over();
    abort(); /* a CPU that is done is never picked */
}

static void cpu_reset(struct cpu *c)
{
    struct fiber fiber = c->fiber;
    fiber_prepare(&fiber, fiber_main);
    c->fiber = fiber;
    c->state = READY;
    c->points = 0;
    c->poked = c->reads_overflow = c->progressed = c->yielded = false;
    c->sleep = AWAKE;
    c->run_horizon = 0;
    c->read_count = c->read_count_before = c->stutters = 0;
    c->last_run = 0;
    c->node = NO_NODE;
    memset(c->after, 0, sizeof(c->after));
    c->next = (struct step){.kind = STEP_NONE};
    c->priority = UINT32_MAX / 2 + random_below(1u << 20);
}

static void reset(void)
{
    for (unsigned i = 0; i < region_count; i++)
        memcpy(regions[i].base, regions[i].saved, regions[i].size);
    memory_reset(which->cpus);
    status = RUNNING;
    is_race = false;
    steps = 0;
    preemptions = deviations = 0;
    trail_position = 0;
    forced = trail_length;
    past_count = 0;
    step_done = (struct step){.kind = STEP_NONE};
    step_pokes = 0;
    step_wild = false;
    stay_bits = random_below(6);
    stale_bits = 1 + random_below(5);
    lowest_priority = UINT32_MAX / 2 - 1;
    for (unsigned i = 0; i < options.pct_depth; i++)
        change_points[i] = 1 + random_next() % longest_seen;
    for (unsigned i = 0; i < which->cpus; i++)
        cpu_reset(&cpus[i]);
}

static void switch_from_main(unsigned cpu)
{
    current = cpu;
    fiber_switch(&main_fiber, &cpus[cpu].fiber);
    current = NOBODY;
}

/* Run the CPUs up to their first visible steps, one after the other, then as the search says. */
static void execute(void)
{
    reset();
    if (which->setup)
        which->setup();
    starting = true;
    for (unsigned i = 0; i < which->cpus && status == RUNNING; i++)
        switch_from_main(i);
    starting = false;
    if (status == RUNNING) {
        unsigned first = pick();
        if (first != NOBODY)
            switch_from_main(first);
    }
    if (status != COMPLETE && reducing())
        remember_pending();
    if (steps > longest_seen && options.mode == EX_PCT)
        longest_seen = steps;
    if (status == COMPLETE && which->final)
        which->final();
}

/* ---- lists of choices as text: answers joined by dots, a run of zeros as zN, the last zeros left out ---- */

static void list_print(FILE *out)
{
    unsigned end = trail_position;
    const char *dot = "";
    while (end > 0 && trail[end - 1].chosen == 0)
        end--;
    for (unsigned i = 0; i < end; dot = ".") {
        unsigned zeros = 0;
        while (trail[i + zeros].chosen == 0)
            zeros++;
        if (zeros > 1)
            fprintf(out, "%sz%u", dot, zeros);
        else
            fprintf(out, "%s%u", dot, trail[i].chosen);
        i += zeros > 1 ? zeros : 1;
    }
    if (end == 0)
        fputs("0", out);
}

static void list_read(const char *text)
{
    trail_length = 0;
    while (*text) {
        bool run = *text == 'z';
        char *end;
        unsigned long value = strtoul(text + run, &end, 10);
        unsigned long count = run ? value : 1;
        if (end == text + run || value >= (run ? TRAIL_MAX : CHOICES_MAX) || trail_length + count > TRAIL_MAX) {
            fprintf(stderr, "explorer: not a list of choices, at: %s\n", text);
            exit(2);
        }
        while (count-- > 0)
            trail[trail_length++] = (struct choice_made){.n = 0, .chosen = (uint8_t)(run ? 0 : value)};
        text = *end == '.' ? end + 1 : end;
        if (text == end && *end)
            text = end;
    }
}

/* ---- failures ---- */

static void draw_failure(uint64_t seed)
{
    char first[sizeof(broken)];
    memcpy(first, broken, sizeof(first));
    fprintf(stdout, "\n%s: a promise is broken. Replay it with\n    --case=%s %s--replay=", which->name, which->name,
            options.no_insertion ? "--append " : "");
    list_print(stdout);
    if (options.mode != EX_EXHAUSTIVE && !options.replay)
        fprintf(stdout, "\nor with\n    --case=%s --mode=%s --seed=%llu --executions=1", which->name,
                options.mode == EX_RANDOM ? "random" : options.mode == EX_PCT ? "pct" : "fair",
                (unsigned long long)seed);
    fprintf(stdout, "\n\n");
    trail_length = trail_position;
    replaying = true;
    trace_begin(which->cpus);
    execute();
    trace_print(broken);
    replaying = false;
    bool same = is_race || strcmp(first, broken) == 0; /* a race names its places only when drawn */
    if (status != VIOLATION || !same)
        fprintf(stdout, "(the replay ended differently; the first time it was: %s)\n", first);
}

void ex_outcome(const char *text)
{
    for (unsigned i = 0; i < result->outcome_count; i++) {
        if (strcmp(result->outcomes[i], text) == 0) {
            result->outcome_hits[i]++;
            return;
        }
    }
    if (result->outcome_count == EX_OUTCOMES_MAX) {
        result->bounded++;
        return;
    }
    snprintf(result->outcomes[result->outcome_count], EX_OUTCOME_SIZE, "%s", text);
    result->outcome_hits[result->outcome_count++] = 1;
}

/* ---- the search over executions ---- */

/* Turn to the next list in depth-first order; false if there is none. */
static bool backtrack(void)
{
    trail_length = trail_position;
    while (trail_length > 0) {
        struct choice_made *c = &trail[trail_length - 1];
        c->done |= UINT64_C(1) << c->chosen;
        uint64_t rest = c->allowed & ~c->done;
        if (rest) {
            c->chosen = (uint8_t)__builtin_ctzll(rest);
            return true;
        }
        trail_length--;
    }
    return false;
}

static bool account(void)
{
    result->executions++;
    result->steps += steps;
    switch (status) {
    case COMPLETE: result->complete++; break;
    case VIOLATION:
        result->violations++;
        result->races += is_race;
        return true;
    case REDUNDANT: result->redundant++; break;
    case STUTTER: result->stutters++; break;
    case DISCARDED: result->discarded++; break;
    default: result->cut++; break;
    }
    return false;
}

static bool more(time_t end)
{
    if (options.executions && result->executions >= options.executions)
        return false;
    return !options.seconds || (result->executions & 255) != 0 || time(NULL) < end;
}

static void catch_faults(void)
{
    static unsigned char signal_stack[1 << 16];
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

void ex_options_default(struct ex_options *o)
{
    *o = (struct ex_options){.mode = EX_EXHAUSTIVE, .preemptions = UINT32_MAX, .deviations = UINT32_MAX,
                             .steps = 20000, .seed = 1, .pct_depth = 3};
}

static void search_replay(void)
{
    list_read(options.replay);
    replaying = true;
    execute();
    replaying = false;
    if (account())
        draw_failure(0);
}

/* A preemption bound counts switches, which the reduction thinks nothing of: together they would lose executions
   within the bound, so the bound turns the reduction off. */
void ex_search(const struct ex_case *a_case, const struct ex_options *given, struct ex_result *out)
{
    which = a_case;
    options = *given;
    result = out;
    memset(result, 0, sizeof(*result));
    if (options.preemptions != UINT32_MAX)
        options.no_reduction = true;
    if (options.pct_depth > 16)
        options.pct_depth = 16;
    catch_faults();
    trail_length = 0;
    if (options.replay) {
        search_replay();
        return;
    }
    time_t end = time(NULL) + (time_t)options.seconds;
    for (uint64_t seed = options.seed; more(end); seed++) {
        random_state = seed * UINT64_C(0xd1342543de82ef95);
        if (options.mode != EX_EXHAUSTIVE)
            trail_length = 0;
        execute();
        if (account() && !options.quiet && (!options.keep_going || result->violations == 1)) {
            unsigned position = trail_position;
            draw_failure(seed);
            trail_position = trail_length = position;
        }
        if (result->violations && !options.keep_going)
            return;
        if (options.mode == EX_EXHAUSTIVE && !backtrack()) {
            result->exhausted = true;
            return;
        }
    }
}
