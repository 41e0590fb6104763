/*
 * The command line around the search: which cases, how, and what came of it.
 *
 * Invariant: a summary claims no more than was done. "exhaustive" is said only of a search that came to its own
 * end, and every bound that took a choice away is counted next to it.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct wish {
    struct ex_options options;
    const char *only;
    bool list, check_reduction;
};

static void help(const char *program)
{
    printf("usage: %s [OPTION]...\n\n"
           "Explore the cases below, or some of them; the status is 1 if a promise was broken.\n\n"
           "  --case=NAME          only this case (or those whose names begin with NAME*)\n"
           "  --list               name the cases and stop\n"
           "  --mode=MODE          exhaustive (the default), random, pct (priorities), fair (liveness)\n"
           "  --seed=N             first seed; execution i has seed N+i            (1)\n"
           "  --executions=N       stop after so many                              (no bound; 10000 by seed)\n"
           "  --seconds=N          stop after so long                              (no bound)\n"
           "  --steps=N            visible steps per execution                     (20000)\n"
           "  --preemptions=N      exhaustive: at most N preemptions; no reduction (no bound)\n"
           "  --deviations=N       at most N data choices other than the dullest   (no bound)\n"
           "  --depth=N            pct: priority change points                     (3)\n"
           "  --append             stores only at the end of modification order\n"
           "  --no-reduction       exhaustive: every interleaving\n"
           "  --check-reduction    exhaustive with and without; the outcomes must be the same\n"
           "  --keep-going         count violations instead of stopping at the first\n"
           "  --replay=LIST        the one execution a failure printed (with --case)\n",
           program);
}

static uint64_t number(const char *text, const char *option)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 0);
    if (end == text || *end) {
        fprintf(stderr, "explorer: %s wants a number, not '%s'\n", option, text);
        exit(2);
    }
    return value;
}

static enum ex_mode mode(const char *text)
{
    static const char *const names[] = {"exhaustive", "random", "pct", "fair"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum ex_mode)i;
    fprintf(stderr, "explorer: no mode '%s'\n", text);
    exit(2);
}

static const char *value_of(const char *argument, const char *option)
{
    size_t length = strlen(option);
    return strncmp(argument, option, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static bool flag(const char *a, struct wish *w)
{
    bool *which = strcmp(a, "--list") == 0               ? &w->list
                  : strcmp(a, "--append") == 0           ? &w->options.no_insertion
                  : strcmp(a, "--no-reduction") == 0     ? &w->options.no_reduction
                  : strcmp(a, "--check-reduction") == 0  ? &w->check_reduction
                  : strcmp(a, "--keep-going") == 0       ? &w->options.keep_going
                                                         : NULL;
    if (which)
        *which = true;
    return which != NULL;
}

static bool valued(const char *a, struct wish *w)
{
    const char *v;
    if ((v = value_of(a, "--case")))
        w->only = v;
    else if ((v = value_of(a, "--mode")))
        w->options.mode = mode(v);
    else if ((v = value_of(a, "--replay")))
        w->options.replay = v;
    else if ((v = value_of(a, "--seed")))
        w->options.seed = number(v, "--seed");
    else if ((v = value_of(a, "--executions")))
        w->options.executions = number(v, "--executions");
    else if ((v = value_of(a, "--seconds")))
        w->options.seconds = number(v, "--seconds");
    else if ((v = value_of(a, "--steps")))
        w->options.steps = (unsigned)number(v, "--steps");
    else if ((v = value_of(a, "--preemptions")))
        w->options.preemptions = (unsigned)number(v, "--preemptions");
    else if ((v = value_of(a, "--deviations")))
        w->options.deviations = (unsigned)number(v, "--deviations");
    else if ((v = value_of(a, "--depth")))
        w->options.pct_depth = (unsigned)number(v, "--depth");
    else
        return false;
    return true;
}

static void parse(int argc, char **argv, struct wish *w)
{
    ex_options_default(&w->options);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            help(argv[0]);
            exit(0);
        }
        if (!flag(argv[i], w) && !valued(argv[i], w)) {
            fprintf(stderr, "explorer: what is '%s'? (--help)\n", argv[i]);
            exit(2);
        }
    }
    if (w->options.mode != EX_EXHAUSTIVE && !w->options.executions && !w->options.seconds)
        w->options.executions = 10000;
    if (w->options.replay && !w->only) {
        fprintf(stderr, "explorer: --replay needs --case\n");
        exit(2);
    }
}

static bool wanted(const struct ex_case *c, const char *only)
{
    if (!only)
        return true;
    size_t length = strlen(only);
    if (length > 0 && only[length - 1] == '*')
        return strncmp(c->name, only, length - 1) == 0;
    return strcmp(c->name, only) == 0;
}

static void summary(const struct ex_case *c, const struct ex_result *r, double seconds)
{
    printf("%-28s %s: %llu executions (%llu complete", c->name,
           r->violations ? "BROKEN" : r->exhausted ? (r->bounded || r->cut ? "ok within bounds" : "ok, exhaustive")
                                                   : "ok so far",
           (unsigned long long)r->executions, (unsigned long long)r->complete);
    const struct { const char *text; uint64_t count; } parts[] = {
        {"redundant", r->redundant}, {"stuttering", r->stutters}, {"discarded", r->discarded},
        {"cut by the step bound", r->cut}, {"broken", r->violations}, {"of those races", r->races},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].count)
            printf(", %llu %s", (unsigned long long)parts[i].count, parts[i].text);
    printf(")");
    if (r->bounded)
        printf(", bounds took a choice away %llu times", (unsigned long long)r->bounded);
    if (r->sc_accesses)
        printf(", with seq_cst accesses (stricter than RC11: README)");
    printf(", %.1f steps each, %u outcomes, %.2f s\n",
           r->executions ? (double)r->steps / (double)r->executions : 0.0, r->outcome_count, seconds);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool has_outcome(const struct ex_result *r, const char *text)
{
    for (unsigned i = 0; i < r->outcome_count; i++)
        if (strcmp(r->outcomes[i], text) == 0)
            return true;
    return false;
}

static bool includes(const struct ex_result *a, const struct ex_result *b, const char *where)
{
    bool all = true;
    for (unsigned i = 0; i < b->outcome_count; i++) {
        if (!has_outcome(a, b->outcomes[i])) {
            printf("    outcome found only %s: %s\n", where, b->outcomes[i]);
            all = false;
        }
    }
    return all;
}

static bool check_reduction(const struct ex_case *c, struct ex_options options)
{
    static struct ex_result with, without;
    options.keep_going = options.quiet = true;
    options.no_reduction = false;
    ex_search(c, &options, &with);
    options.no_reduction = true;
    ex_search(c, &options, &without);
    bool same = includes(&with, &without, "without reduction");
    same = includes(&without, &with, "with reduction") && same;
    same = same && (with.violations != 0) == (without.violations != 0) && with.exhausted && without.exhausted;
    printf("%-28s %s: %u outcomes; %llu executions with reduction (%llu complete), %llu without\n", c->name,
           same ? "same" : "DIFFERENT", without.outcome_count, (unsigned long long)with.executions,
           (unsigned long long)with.complete, (unsigned long long)without.executions);
    return same;
}

int ex_main(int argc, char **argv, const struct ex_case *cases, size_t count)
{
    static struct ex_result result;
    struct wish wish = {.only = NULL};
    unsigned bad = 0, ran = 0;
    parse(argc, argv, &wish);
    for (size_t i = 0; i < count; i++) {
        if (!wanted(&cases[i], wish.only))
            continue;
        ran++;
        if (wish.list) {
            printf("%-28s %s\n", cases[i].name, cases[i].about ? cases[i].about : "");
        } else if (wish.check_reduction) {
            bad += !check_reduction(&cases[i], wish.options);
        } else {
            double start = now();
            ex_search(&cases[i], &wish.options, &result);
            summary(&cases[i], &result, now() - start);
            bad += result.violations != 0;
        }
        fflush(stdout);
    }
    if (ran == 0)
        fprintf(stderr, "explorer: no such case\n");
    return ran == 0 ? 2 : bad != 0;
}
