/*
 * The same question asked of the axioms: every execution graph of a litmus program, kept if it is consistent.
 *
 * Why: the explorer's memory is a machine, with views and places; this is the definition it claims to meet. The
 * two share no code and no idea, so where they agree on thousands of programs, both are right or both are wrong
 * in the same way by chance.
 *
 * A graph: events, program order, reads-from (rf), modification order (mo). From these, as RC11 has them:
 * release sequences (in C++20's form), synchronizes-with, happens-before (hb), from-reads (fr), eco, and the
 * partial order on seq_cst events (psc). Consistent: hb;eco? irreflexive, no update interrupted, po + rf acyclic,
 * psc acyclic - and in our model, psc + po + rf acyclic together.
 *
 * Invariant: relations are rows of bits, row[a] holding every b with (a, b).
 */
#include "litmus.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 32u

struct relation {
    uint32_t row[EVENTS_MAX];
};

struct event {
    const struct lit_statement *statement; /* null: the initial store of a location */
    unsigned thread, location;
    enum lit_order order;
    bool executed, known, reads, writes, fence;
    int read_value, written_value;
};

static const struct lit_program *program;
static enum lit_model model;
static struct lit_set *found;
static bool found_race;
static struct event event[EVENTS_MAX];
static unsigned events;
static unsigned source[EVENTS_MAX];              /* rf, backwards */
static unsigned mo_list[LIT_LOCATIONS][EVENTS_MAX], mo_count[LIT_LOCATIONS];

/* ---- relations ---- */

static bool has(const struct relation *r, unsigned a, unsigned b)
{
    return r->row[a] >> b & 1;
}

static void put(struct relation *r, unsigned a, unsigned b)
{
    r->row[a] |= UINT32_C(1) << b;
}

static struct relation either(struct relation a, struct relation b)
{
    for (unsigned i = 0; i < events; i++)
        a.row[i] |= b.row[i];
    return a;
}

static struct relation then(struct relation a, struct relation b)
{
    struct relation r = {{0}};
    for (unsigned i = 0; i < events; i++)
        for (unsigned j = 0; j < events; j++)
            if (has(&a, i, j))
                r.row[i] |= b.row[j];
    return r;
}

static struct relation identity(uint32_t of)
{
    struct relation r = {{0}};
    for (unsigned i = 0; i < events; i++)
        r.row[i] = of & UINT32_C(1) << i;
    return r;
}

static struct relation maybe(struct relation a)
{
    return either(a, identity(UINT32_MAX));
}

static struct relation closure(struct relation r)
{
    for (unsigned k = 0; k < events; k++)
        for (unsigned i = 0; i < events; i++)
            if (has(&r, i, k))
                r.row[i] |= r.row[k];
    return r;
}

static bool irreflexive(const struct relation *r)
{
    for (unsigned i = 0; i < events; i++)
        if (has(r, i, i))
            return false;
    return true;
}

static bool acyclic(struct relation r)
{
    r = closure(r);
    return irreflexive(&r);
}

static uint32_t all(bool (*is)(const struct event *))
{
    uint32_t set = 0;
    for (unsigned i = 0; i < events; i++)
        if (event[i].executed && is(&event[i]))
            set |= UINT32_C(1) << i;
    return set;
}

/* ---- kinds of events ---- */

static bool is_release(const struct event *e)
{
    return (e->writes || e->fence) && (e->order == LIT_REL || e->order == LIT_AR || e->order == LIT_SC);
}

static bool is_acquire(const struct event *e)
{
    return (e->reads || e->fence) && (e->order == LIT_ACQ || e->order == LIT_AR || e->order == LIT_SC);
}

static bool is_fence(const struct event *e)
{
    return e->fence;
}

static bool is_sc(const struct event *e)
{
    return e->order == LIT_SC;
}

static bool is_sc_fence(const struct event *e)
{
    return e->fence && e->order == LIT_SC;
}

static bool is_atomic_write(const struct event *e)
{
    return e->writes && e->order != LIT_PLAIN;
}

static bool is_atomic_read(const struct event *e)
{
    return e->reads && e->order != LIT_PLAIN;
}

static bool same_location(unsigned a, unsigned b)
{
    return !event[a].fence && !event[b].fence && event[a].location == event[b].location;
}

/* ---- judging one graph ---- */

struct graph {
    struct relation po, rf, rf_update, mo, fr, hb, eco;
};

static struct relation only(struct relation r, bool wanted)
{
    for (unsigned a = 0; a < events; a++)
        for (unsigned b = 0; b < events; b++)
            if (has(&r, a, b) && same_location(a, b) != wanted)
                r.row[a] &= ~(UINT32_C(1) << b);
    return r;
}

static void basics(struct graph *g)
{
    memset(g, 0, sizeof(*g));
    for (unsigned a = 0; a < events; a++)
        for (unsigned b = 0; b < events; b++)
            if (event[a].executed && event[b].executed && a < b && event[b].statement &&
                (!event[a].statement || event[a].thread == event[b].thread))
                put(&g->po, a, b);
    for (unsigned r = 0; r < events; r++) {
        if (!event[r].executed || !event[r].reads)
            continue;
        put(&g->rf, source[r], r);
        if (event[r].writes)
            put(&g->rf_update, source[r], r);
    }
    for (unsigned l = 0; l < LIT_LOCATIONS; l++)
        for (unsigned i = 0; i < mo_count[l]; i++)
            for (unsigned j = i + 1; j < mo_count[l]; j++)
                put(&g->mo, mo_list[l][i], mo_list[l][j]);
    for (unsigned r = 0; r < events; r++)
        if (event[r].executed && event[r].reads)
            g->fr.row[r] = g->mo.row[source[r]] & ~(UINT32_C(1) << r);
    g->eco = closure(either(g->rf, either(g->mo, g->fr)));
}

static void happens_before(struct graph *g)
{
    struct relation sequence = then(identity(all(is_atomic_write)), maybe(closure(g->rf_update)));
    struct relation head = either(identity(all(is_release)), then(identity(all(is_release) & all(is_fence)), g->po));
    struct relation tail = either(identity(all(is_acquire)), then(g->po, identity(all(is_acquire) & all(is_fence))));
    struct relation read = then(g->rf, identity(all(is_atomic_read)));
    struct relation sw = then(then(head, sequence), then(read, tail));
    sw = then(identity(all(is_release)), then(sw, identity(all(is_acquire))));
    g->hb = closure(either(g->po, sw));
}

static struct relation sc_order(const struct graph *g)
{
    struct relation sc = identity(all(is_sc)), fence = identity(all(is_sc_fence));
    struct relation far = only(g->po, false);
    struct relation scb = either(either(g->po, then(far, then(g->hb, far))),
                                 either(only(g->hb, true), either(g->mo, g->fr)));
    struct relation left = either(sc, then(fence, maybe(g->hb)));
    struct relation right = either(sc, then(maybe(g->hb), fence));
    struct relation base = then(left, then(scb, right));
    struct relation fences = then(fence, then(either(g->hb, then(g->hb, then(g->eco, g->hb))), fence));
    return either(base, fences);
}

/* An update stands behind what it reads, with nothing in between. */
static bool updates_whole(const struct graph *g)
{
    struct relation between = then(g->fr, g->mo);
    for (unsigned e = 0; e < events; e++)
        if (event[e].executed && event[e].reads && event[e].writes &&
            (has(&between, e, e) || !has(&g->mo, source[e], e)))
            return false;
    return true;
}

static bool consistent(struct graph *g)
{
    basics(g);
    struct relation causes = either(g->po, g->rf);
    if (!acyclic(causes) || !updates_whole(g))
        return false;
    happens_before(g);
    struct relation coherence = then(g->hb, maybe(g->eco));
    if (!irreflexive(&coherence))
        return false;
    struct relation psc = sc_order(g);
    return acyclic(model == LIT_OURS ? either(psc, causes) : psc);
}

static bool racy(const struct graph *g)
{
    for (unsigned a = 0; a < events; a++)
        for (unsigned b = a + 1; b < events; b++)
            if (event[a].executed && event[b].executed && event[a].statement && event[b].statement &&
                same_location(a, b) && event[a].thread != event[b].thread && (event[a].writes || event[b].writes) &&
                (event[a].order == LIT_PLAIN || event[b].order == LIT_PLAIN) && !has(&g->hb, a, b) &&
                !has(&g->hb, b, a))
                return true;
    return false;
}

static void record(void)
{
    char outcome[LIT_OUTCOME_SIZE], *at = outcome;
    for (unsigned e = 0; e < events; e++)
        if (event[e].statement && lit_reads(event[e].statement))
            *at++ = event[e].executed ? (char)('0' + event[e].read_value) : '-';
    if (program->finals)
        *at++ = '/';
    for (unsigned i = 0; i < program->finals; i++) {
        unsigned l = program->final[i];
        *at++ = (char)('0' + event[mo_list[l][mo_count[l] - 1]].written_value);
    }
    *at = 0;
    lit_set_add(found, outcome);
}

static void judge(void)
{
    struct graph g;
    if (!consistent(&g))
        return;
    if (racy(&g))
        found_race = true;
    record();
}

/* ---- all modification orders ---- */

static void orders_from(unsigned location)
{
    unsigned left[EVENTS_MAX], count = 0;
    if (location == LIT_LOCATIONS) {
        judge();
        return;
    }
    for (unsigned e = 0; e < events; e++) {
        bool placed = false;
        if (!event[e].executed || !event[e].writes || event[e].location != location)
            continue;
        for (unsigned i = 0; i < mo_count[location]; i++)
            placed |= mo_list[location][i] == e;
        if (!placed)
            left[count++] = e;
    }
    if (count == 0)
        orders_from(location + 1);
    for (unsigned i = 0; i < count; i++) {
        mo_list[location][mo_count[location]++] = left[i];
        orders_from(location);
        mo_count[location]--;
        if (mo_count[location] == 0)
            return; /* the initial store is first, and first among the events */
    }
}

/* ---- all ways to read ---- */

static void evaluate_one(struct event *e, bool *changed)
{
    const struct lit_statement *s = e->statement;
    if (e->reads && !e->known) {
        const struct event *from = &event[source[e - event]];
        if (!from->executed || !from->known)
            return;
        e->read_value = from->written_value;
    }
    if (e->known)
        return;
    e->known = true;
    *changed = true;
    e->writes = s->op == LIT_STORE || s->op == LIT_ADD || s->op == LIT_EXCHANGE ||
                (s->op == LIT_CAS && e->read_value == s->expected);
    e->written_value = s->op == LIT_ADD ? e->read_value + s->value : s->value;
    if (s->op == LIT_CAS && !e->writes) /* a failure has an order of its own */
        e->order = s->order == LIT_REL ? LIT_RLX : s->order == LIT_AR ? LIT_ACQ : s->order;
}

/* Go through the threads until nothing new is known: which statements run, what they read and write. */
static bool evaluate(void)
{
    bool changed = true;
    for (unsigned e = 0; e < events; e++) {
        if (!event[e].statement)
            continue;
        event[e].executed = event[e].known = event[e].writes = false;
        event[e].order = event[e].statement->order;
    }
    while (changed) {
        changed = false;
        for (unsigned t = 0; t < program->threads; t++) {
            int last = 0;
            for (unsigned e = 0; e < events; e++) {
                if (!event[e].statement || event[e].thread != t)
                    continue;
                if (event[e].statement->op == LIT_IF && last != event[e].statement->value)
                    break;
                event[e].executed = true;
                evaluate_one(&event[e], &changed);
                if (!event[e].known)
                    break;
                if (event[e].reads)
                    last = event[e].read_value;
            }
        }
    }
    for (unsigned e = 0; e < events; e++)
        if (event[e].executed && (!event[e].known || (event[e].reads && !event[source[e]].writes)))
            return false; /* read in a circle, or from a compare-exchange that failed */
    return true;
}

static void sources_from(unsigned e)
{
    while (e < events && !event[e].reads)
        e++;
    if (e == events) {
        memset(mo_count, 0, sizeof(mo_count));
        if (evaluate())
            orders_from(0);
        return;
    }
    for (unsigned w = 0; w < events; w++) {
        const struct lit_statement *s = event[w].statement;
        bool may_write = !s || s->op == LIT_STORE || (lit_reads(s) && s->op != LIT_LOAD);
        if (w == e || !may_write || event[w].location != event[e].location)
            continue;
        source[e] = w;
        sources_from(e + 1);
    }
}

static void events_make(void)
{
    events = 0;
    for (unsigned l = 0; l < LIT_LOCATIONS; l++)
        event[events++] = (struct event){.location = l, .order = LIT_PLAIN, .executed = true, .known = true,
                                         .writes = true};
    for (unsigned t = 0; t < program->threads; t++) {
        for (unsigned i = 0; i < program->count[t]; i++) {
            const struct lit_statement *s = &program->statement[t][i];
            event[events++] = (struct event){.statement = s, .thread = t, .location = s->location, .order = s->order,
                                             .reads = lit_reads(s),
                                             .fence = s->op == LIT_FENCE || s->op == LIT_IF};
        }
    }
}

void lit_axioms(const struct lit_program *p, enum lit_model m, struct lit_set *set)
{
    program = p;
    model = m;
    found = set;
    found_race = false;
    set->count = 0;
    events_make();
    sources_from(0);
    if (found_race) {
        set->count = 0;
        lit_set_add(set, "race");
    }
    lit_set_sort(set);
}
