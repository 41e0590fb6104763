/*
 * The litmus table, checked: what the explorer finds must be what the table says and what the axioms say, and
 * it must find the same without the reduction.
 *
 * Then a sweep: shapes with every order in every place, the explorer against the axioms. Invariant: a line
 * passes only if sets are equal; being included is not enough.
 */
#include "litmus.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned passed, failed;

static void complain(const char *what, const struct lit_set *set)
{
    char text[512];
    lit_set_print(set, text, sizeof(text));
    printf("    %-24s %s\n", what, text);
}

static bool same(const struct lit_set *a, const struct lit_set *b)
{
    return lit_set_equal(a, b);
}

/* ---- the table ---- */

static bool check_line(const struct lit_test *test, bool verbose)
{
    static struct lit_set wanted, found, plain, axioms, rc11;
    struct lit_program program;
    struct lit_run run, run_plain;
    char text[512];
    if (!lit_parse(test->program, &program))
        return false;
    lit_set_parse(&wanted, test->outcomes);
    lit_explore(&program, true, &found, &run);
    lit_explore(&program, false, &plain, &run_plain);
    lit_axioms(&program, LIT_OURS, &axioms);
    lit_axioms(&program, LIT_RC11, &rc11);
    bool good = same(&wanted, &found) && same(&found, &plain) && same(&found, &axioms) && run.exhausted &&
                run_plain.exhausted;
    lit_set_print(&found, text, sizeof(text));
    if (verbose || !good)
        printf("%-4s %-42s %5llu of %6llu  %s%s\n", good ? "ok" : "FAIL", test->name, run.executions,
               run_plain.executions, text, same(&axioms, &rc11) ? "" : "  (RC11 allows more)");
    if (!good) {
        printf("    %s\n", test->program);
        complain("the table says", &wanted);
        complain("the explorer finds", &found);
        complain("without reduction", &plain);
        complain("the axioms allow", &axioms);
    }
    return good;
}

static void count(bool good)
{
    passed += good;
    failed += !good;
}

/* ---- the sweep ---- */

static const char *const store_orders[] = {".rlx", ".rel", ".sc"};
static const char *const load_orders[] = {".rlx", ".acq", ".sc"};
static const char *const update_orders[] = {".rlx", ".acq", ".rel", ".ar", ".sc"};
static const char *const fence_orders[] = {"", ".acq", ".rel", ".ar", ".sc"};

struct slot {
    const char *const *orders;
    unsigned count;
};

static struct slot slot_at(const char *star, const char *text)
{
    char after = star[1];
    if (star - text >= 2 && star[-2] == 'F')
        return (struct slot){fence_orders, 5};
    if (after == '=')
        return (struct slot){store_orders, 3};
    if (after == '+' || after == '^' || after == '?')
        return (struct slot){update_orders, 5};
    return (struct slot){load_orders, 3};
}

static uint64_t instances(const char *shape)
{
    uint64_t n = 1;
    for (const char *at = strchr(shape, '*'); at; at = strchr(at + 1, '*'))
        n *= slot_at(at, shape).count;
    return n;
}

/* Fill the stars by the digits of a number. A fence of no order is left out together with its ';'. */
static void instance(const char *shape, uint64_t number, char *out)
{
    for (const char *at = shape; *at; at++) {
        if (at[0] == '.' && at[1] == '*') {
            struct slot slot = slot_at(at + 1, shape);
            const char *order = slot.orders[number % slot.count];
            number /= slot.count;
            if (*order == 0) { /* "F" is out already */
                out--;
                at += at[2] == ';' ? 2 : 1;
                continue;
            }
            out += sprintf(out, "%s", order);
            at++;
        } else {
            *out++ = *at;
        }
    }
    *out = 0;
}

static bool check_instance(const char *text, bool also_plain, unsigned *more_in_rc11)
{
    static struct lit_set found, plain, axioms, rc11;
    struct lit_program program;
    struct lit_run run;
    if (!lit_parse(text, &program))
        return false;
    lit_explore(&program, true, &found, &run);
    lit_axioms(&program, LIT_OURS, &axioms);
    lit_axioms(&program, LIT_RC11, &rc11);
    *more_in_rc11 += !same(&axioms, &rc11);
    bool good = run.exhausted && same(&found, &axioms);
    if (also_plain) {
        lit_explore(&program, false, &plain, &run);
        good = good && same(&found, &plain);
    }
    if (good)
        return true;
    printf("FAIL %s\n", text);
    complain("the explorer finds", &found);
    complain("the axioms allow", &axioms);
    if (also_plain)
        complain("without reduction", &plain);
    return false;
}

/* Up to `limit` instances, spread evenly (or all, in order). One in eight is also explored without reduction. */
static void sweep(const struct lit_test *shape, uint64_t limit)
{
    uint64_t all = instances(shape->program), tried = 0, bad = 0;
    unsigned more = 0;
    char text[256];
    uint64_t stride = all <= limit ? 1 : all / limit;
    while (stride > 1 && (stride % 3 == 0 || stride % 5 == 0))
        stride++; /* or some slots would never change */
    for (uint64_t i = 0; i < all && bad < 3; i += stride, tried++) {
        instance(shape->program, i, text);
        bad += !check_instance(text, tried % 8 == 0, &more);
    }
    printf("%-4s %-30s %6llu of %8llu placements exact", bad ? "FAIL" : "ok", shape->name,
           (unsigned long long)(tried - bad), (unsigned long long)all);
    if (more)
        printf(", in %u RC11 allows more", more);
    printf("\n");
    fflush(stdout);
    count(bad == 0);
}

/* ---- programs nobody thought of ---- */

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % n);
}

static int random_statement(char *out, unsigned threads)
{
    static const char *const plain[] = {"a=1", "a"};
    char where = "xyz"[random_below(threads > 2 ? 2 : 3)];
    unsigned kind = random_below(12), value = random_below(2); /* drawn in a fixed order, whatever the compiler */
    switch (kind) {
    case 0: case 1: case 2: case 3: return sprintf(out, "%c%s=%u", where, store_orders[random_below(3)], 1 + value);
    case 4: case 5: case 6: case 7: return sprintf(out, "%c%s", where, load_orders[random_below(3)]);
    case 8: return sprintf(out, "%c%s+1", where, update_orders[random_below(5)]);
    case 9: return sprintf(out, "%c%s?%u:3", where, update_orders[random_below(5)], value);
    case 10: return sprintf(out, "F%s", fence_orders[1 + random_below(4)]);
    default: return random_below(6) ? sprintf(out, "F.sc") : sprintf(out, "%s", plain[value]);
    }
}

static void random_program(char *out)
{
    unsigned threads = 2 + random_below(3), most = threads == 2 ? 4 : threads == 3 ? 3 : 2;
    for (unsigned t = 0; t < threads; t++) {
        unsigned count = 1 + random_below(most);
        for (unsigned i = 0; i < count; i++) {
            out += random_statement(out, threads);
            *out++ = i + 1 < count ? ';' : '|';
        }
    }
    sprintf(out - 1, "@xy");
}

static void fuzz(uint64_t programs, uint64_t seed)
{
    uint64_t bad = 0, done = 0;
    unsigned more = 0;
    char text[256];
    for (; done < programs && bad < 3; done++) {
        random_state = (seed + done) * UINT64_C(0x9e3779b97f4a7c15);
        random_program(text);
        bad += !check_instance(text, done % 8 == 0, &more);
    }
    printf("%-4s %-30s %6llu of %8llu exact, in %u RC11 allows more (seed %llu)\n", bad ? "FAIL" : "ok",
           "programs at random", (unsigned long long)(done - bad), (unsigned long long)programs, more,
           (unsigned long long)seed);
    count(bad == 0);
}

static void usage(const char *program)
{
    printf("usage: %s [--quiet] [--sweep=N] [--fuzz=N] [--seed=N] [--program=TEXT] [--list]\n\n"
           "  --sweep=N       at most N placements of orders per shape (300); 0: no sweep; all: every one\n"
           "  --fuzz=N        so many programs at random (300); --seed=N: other ones\n"
           "  --program=TEXT  outcomes of one program, in the notation of litmus.h\n"
           "  --list          name and program of every line, separated by a tab\n"
           "  --quiet         print only what fails\n",
           program);
}

static int one(const char *text)
{
    static struct lit_set found, axioms, rc11;
    struct lit_program program;
    struct lit_run run;
    if (!lit_parse(text, &program))
        return 2;
    lit_explore(&program, true, &found, &run);
    lit_axioms(&program, LIT_OURS, &axioms);
    lit_axioms(&program, LIT_RC11, &rc11);
    printf("%s: %llu executions\n", text, run.executions);
    complain("the explorer finds", &found);
    complain("the axioms allow", &axioms);
    complain("RC11 allows", &rc11);
    return !same(&found, &axioms);
}

int main(int argc, char **argv)
{
    uint64_t limit = 300, programs = 300, seed = 1;
    bool verbose = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quiet") == 0) {
            verbose = false;
        } else if (strncmp(argv[i], "--sweep=", 8) == 0) {
            limit = strcmp(argv[i] + 8, "all") == 0 ? UINT64_MAX : strtoull(argv[i] + 8, NULL, 10);
        } else if (strncmp(argv[i], "--fuzz=", 7) == 0) {
            programs = strtoull(argv[i] + 7, NULL, 10);
        } else if (strncmp(argv[i], "--seed=", 7) == 0) {
            seed = strtoull(argv[i] + 7, NULL, 10);
        } else if (strncmp(argv[i], "--program=", 10) == 0) {
            return one(argv[i] + 10);
        } else if (strcmp(argv[i], "--list") == 0) {
            for (size_t j = 0; j < lit_table_count; j++)
                printf("%s\t%s\t%s\n", lit_table[j].name, lit_table[j].program, lit_table[j].outcomes);
            return 0;
        } else {
            usage(argv[0]);
            return strcmp(argv[i], "--help") != 0;
        }
    }
    if (verbose)
        printf("     %-42s executions       outcomes: all of these, and no others\n", "shape");
    for (size_t i = 0; i < lit_table_count; i++)
        count(check_line(&lit_table[i], verbose));
    for (size_t i = 0; i < lit_shapes_count && limit > 0; i++)
        sweep(&lit_shapes[i], limit);
    if (programs > 0)
        fuzz(programs, seed);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
