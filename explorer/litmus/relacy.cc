/*
 * The same table, run by Relacy (Debian's relacy-dev), a checker of C++11 programs written by somebody else.
 *
 * Relacy differs from our model, knowingly: modification order is the order of execution (no store is put before
 * an earlier one), updates read the newest message, and a seq_cst access or fence is placed by execution too. So
 * it must find no outcome that we exclude; what we find and it does not must be explained below by one of these.
 * It also has C++11's release sequences, which a later store of the same thread continues.
 *
 * Invariant: an unexplained difference, in either direction, is a failure.
 */
#ifdef __clang__
#pragma clang diagnostic ignored "-Weverything"
#endif
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <cstdio>
#include <cstring>
#include <ostream>

#include <relacy/relacy.hpp>

extern "C" {
#include "litmus.h"
}

static const lit_program *program;
static lit_set *found;

static rl::memory_order order_of(lit_order order)
{
    switch (order) {
    case LIT_ACQ: return rl::mo_acquire;
    case LIT_REL: return rl::mo_release;
    case LIT_AR: return rl::mo_acq_rel;
    case LIT_SC: return rl::mo_seq_cst;
    default: return rl::mo_relaxed;
    }
}

static rl::memory_order failure_of(lit_order order)
{
    return order == LIT_REL ? rl::mo_relaxed : order == LIT_AR ? rl::mo_acquire : order_of(order);
}

template <unsigned threads>
struct test : rl::test_suite<test<threads>, threads> {
    rl::atomic<int> shared[LIT_LOCATIONS];
    rl::var<int> data[LIT_LOCATIONS];
    char registers[LIT_THREADS][LIT_STATEMENTS];

    void before()
    {
        for (unsigned i = 0; i < LIT_LOCATIONS; i++) {
            shared[i].store(0, rl::mo_relaxed, $);
            VAR(data[i]) = 0;
        }
        memset(registers, '-', sizeof(registers));
    }

    int access(const lit_statement *s)
    {
        rl::atomic<int> &at = shared[s->location];
        int old = s->expected;
        switch (s->op) {
        case LIT_ADD: return at.fetch_add(s->value, order_of(s->order), $);
        case LIT_EXCHANGE: return at.exchange(s->value, order_of(s->order), $);
        case LIT_CAS:
            at.compare_exchange_strong(old, s->value, order_of(s->order), $, failure_of(s->order), $);
            return old;
        default: return s->order == LIT_PLAIN ? (int)VAR(data[s->location]) : at.load(order_of(s->order), $);
        }
    }

    void thread(unsigned self)
    {
        char *out = registers[self];
        int last = 0;
        for (unsigned i = 0; i < program->count[self]; i++) {
            const lit_statement *s = &program->statement[self][i];
            if (s->op == LIT_IF) {
                if (last != s->value)
                    return;
            } else if (s->op == LIT_FENCE) {
                rl::atomic_thread_fence(order_of(s->order), $);
            } else if (s->op == LIT_STORE && s->order == LIT_PLAIN) {
                VAR(data[s->location]) = s->value;
            } else if (s->op == LIT_STORE) {
                shared[s->location].store(s->value, order_of(s->order), $);
            } else {
                last = access(s);
                *out++ = (char)('0' + last);
            }
        }
    }

    int final_value(unsigned location)
    {
        bool plain = lit_locations[location] == 'a' || lit_locations[location] == 'b';
        return plain ? (int)VAR(data[location]) : shared[location].load(rl::mo_seq_cst, $);
    }

    void after()
    {
        char outcome[LIT_OUTCOME_SIZE], *at = outcome;
        for (unsigned t = 0; t < program->threads; t++) {
            const char *r = registers[t];
            for (unsigned i = 0; i < program->count[t]; i++)
                if (lit_reads(&program->statement[t][i]))
                    *at++ = *r++;
        }
        if (program->finals)
            *at++ = '/';
        for (unsigned i = 0; i < program->finals; i++)
            *at++ = (char)('0' + final_value(program->final[i]));
        *at = 0;
        lit_set_add(found, outcome);
    }
};

static rl::test_result_e simulate()
{
    std::ostream silence(nullptr); /* Relacy replaces new and delete, so no stream of ours may own memory */
    rl::test_params params;
    params.search_type = rl::fair_full_search_scheduler_type;
    params.iteration_count = 10000000;
    params.output_stream = &silence;
    params.progress_stream = &silence;
    params.context_bound = 1000;
    params.collect_history = true; /* or a failure is run a second time, for its history */
    switch (program->threads) {
    case 1: rl::simulate<test<1>>(params); break;
    case 2: rl::simulate<test<2>>(params); break;
    case 3: rl::simulate<test<3>>(params); break;
    default: rl::simulate<test<4>>(params); break;
    }
    return params.test_result;
}

/* Plain accesses to an atomic's own location cannot be said in Relacy's terms. */
static bool mixes(const lit_program *p)
{
    for (unsigned t = 0; t < p->threads; t++)
        for (unsigned i = 0; i < p->count[t]; i++) {
            const lit_statement *s = &p->statement[t][i];
            if ((s->op == LIT_LOAD || s->op == LIT_STORE) && s->order == LIT_PLAIN && lit_locations[s->location] < 'c')
                continue;
            if ((s->op == LIT_LOAD || s->op == LIT_STORE) && s->order == LIT_PLAIN)
                return true;
        }
    return false;
}

static bool includes(const lit_set *a, const lit_set *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        bool in = false;
        for (unsigned j = 0; j < a->count; j++)
            in = in || strcmp(a->text[j], b->text[i]) == 0;
        if (!in)
            return false;
    }
    return true;
}

/* Lines that differ, and why. */
static const char order_of_execution[] = "Relacy's modification order is the order of execution";
static const struct {
    const char *name, *why;
} explained[] = {
    {"SB sc fence against sc accesses", "Relacy orders seq_cst fences among themselves, not with accesses"},
    {"2+2W rlx", order_of_execution},
    {"2+2W rel", order_of_execution},
    {"S rlx", order_of_execution},
    {"S rel/rlx", order_of_execution},
    {"update reads an old message", "Relacy's updates read the newest message"},
    {"release sequence, own later store", "C++11: a later store of the same thread continues a release sequence"},
};

static const char *why(const char *name)
{
    for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++)
        if (strcmp(explained[i].name, name) == 0)
            return explained[i].why;
    return nullptr;
}

int main()
{
    static lit_set theirs, ours;
    unsigned same = 0, fewer = 0, skipped = 0, failed = 0;
    for (size_t i = 0; i < lit_table_count; i++) {
        const lit_test *line = &lit_table[i];
        lit_program p;
        char text[1024];
        if (!lit_parse(line->program, &p))
            return 2;
        if (mixes(&p)) {
            printf("skip %-40s plain accesses to an atomic\n", line->name);
            skipped++;
            continue;
        }
        program = &p;
        found = &theirs;
        theirs.count = 0;
        if (simulate() == rl::test_result_data_race) {
            theirs.count = 0;
            lit_set_add(&theirs, "race");
        }
        lit_set_sort(&theirs);
        lit_set_parse(&ours, line->outcomes);
        const char *reason = why(line->name);
        bool equal = lit_set_equal(&theirs, &ours);
        if (equal) {
            same++;
            printf("same %s\n", line->name);
            continue;
        }
        lit_set_print(&theirs, text, sizeof(text));
        printf("%-4s %-40s %s: %s\n", reason ? "note" : "FAIL", line->name,
               reason ? reason : includes(&ours, &theirs) ? "fewer" : "OTHERS", text);
        fewer += reason != nullptr;
        failed += reason == nullptr;
    }
    printf("%u the same, %u differ for a reason known, %u cannot be said in Relacy\n", same, fewer, skipped);
    printf("%u passed, %u failed\n", same + fewer, failed);
    return failed != 0;
}
