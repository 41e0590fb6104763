/*
 * Litmus programs from text, sets of outcomes, and running a program on the explorer.
 *
 * Invariant: a set of outcomes is sorted and without doubles before it is compared.
 */
#include "litmus.h"

#include "../runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char lit_locations[] = "xyzwab";

/* ---- text to program ---- */

static bool location(const char **text, unsigned *out)
{
    const char *found = **text ? strchr(lit_locations, **text) : NULL;
    if (!found)
        return false;
    *out = (unsigned)(found - lit_locations);
    ++*text;
    return true;
}

static bool order(const char **text, enum lit_order *out)
{
    static const struct { const char *name; enum lit_order order; } orders[] = {
        {"rlx", LIT_RLX}, {"acq", LIT_ACQ}, {"rel", LIT_REL}, {"ar", LIT_AR}, {"sc", LIT_SC}};
    *out = LIT_PLAIN;
    if (**text != '.')
        return true;
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        size_t length = strlen(orders[i].name);
        if (strncmp(*text + 1, orders[i].name, length) == 0) {
            *text += 1 + length;
            *out = orders[i].order;
            return true;
        }
    }
    return false;
}

static int digit(const char **text)
{
    return **text >= '0' && **text <= '9' ? *(*text)++ - '0' : 0;
}

static bool statement(const char **text, struct lit_statement *s)
{
    memset(s, 0, sizeof(*s));
    if (strncmp(*text, "if", 2) == 0) {
        *text += 2;
        s->op = LIT_IF;
        s->value = digit(text);
        return true;
    }
    if (**text == 'F') {
        ++*text;
        s->op = LIT_FENCE;
        return order(text, &s->order);
    }
    if (!location(text, &s->location) || !order(text, &s->order))
        return false;
    char operation = **text;
    s->op = operation == '=' ? LIT_STORE : operation == '+' ? LIT_ADD : operation == '^' ? LIT_EXCHANGE
            : operation == '?' ? LIT_CAS : LIT_LOAD;
    if (s->op == LIT_LOAD)
        return true;
    ++*text;
    s->value = digit(text);
    if (s->op == LIT_CAS) {
        s->expected = s->value;
        *text += **text == ':';
        s->value = digit(text);
    }
    return true;
}

bool lit_parse(const char *text, struct lit_program *p)
{
    const char *at = text;
    memset(p, 0, sizeof(*p));
    p->threads = 1;
    while (*at && *at != '@') {
        unsigned t = p->threads - 1;
        if (*at == ' ' || *at == ';') {
            at++;
        } else if (*at == '|') {
            at++;
            p->threads++;
        } else if (p->threads > LIT_THREADS || p->count[t] == LIT_STATEMENTS ||
                   !statement(&at, &p->statement[t][p->count[t]++])) {
            fprintf(stderr, "litmus: cannot read '%s' at '%s'\n", text, at);
            return false;
        }
    }
    unsigned total = 0;
    for (unsigned t = 0; t < p->threads; t++)
        total += p->count[t];
    if (total > LIT_STATEMENTS_ALL) {
        fprintf(stderr, "litmus: too long: %s\n", text);
        return false;
    }
    at += *at == '@';
    while (*at && location(&at, &p->final[p->finals]))
        p->finals++;
    return *at == 0;
}

bool lit_reads(const struct lit_statement *s)
{
    return s->op == LIT_LOAD || s->op == LIT_ADD || s->op == LIT_EXCHANGE || s->op == LIT_CAS;
}

/* ---- sets of outcomes ---- */

void lit_set_add(struct lit_set *set, const char *outcome)
{
    for (unsigned i = 0; i < set->count; i++)
        if (strcmp(set->text[i], outcome) == 0)
            return;
    if (set->count == LIT_OUTCOMES) {
        fprintf(stderr, "litmus: more than %u outcomes\n", LIT_OUTCOMES);
        exit(2);
    }
    snprintf(set->text[set->count++], LIT_OUTCOME_SIZE, "%s", outcome);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

void lit_set_sort(struct lit_set *set)
{
    qsort(set->text, set->count, sizeof(set->text[0]), compare);
}

bool lit_set_equal(const struct lit_set *a, const struct lit_set *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (strcmp(a->text[i], b->text[i]) != 0)
            return false;
    return true;
}

void lit_set_parse(struct lit_set *set, const char *text)
{
    char outcome[LIT_OUTCOME_SIZE];
    int used;
    set->count = 0;
    for (; sscanf(text, " %23s%n", outcome, &used) == 1; text += used)
        lit_set_add(set, outcome);
    lit_set_sort(set);
}

void lit_set_print(const struct lit_set *set, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; i < set->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "", set->text[i]);
}

/* ---- on the explorer ---- */

static const struct lit_program *present;

static void setup(void)
{
    memset(lit_memory, 0, sizeof(lit_memory));
    memset(lit_register, '-', sizeof(lit_register));
}

static void body(unsigned cpu)
{
    lit_body(present->statement[cpu], present->count[cpu], lit_register[cpu]);
}

static void final(void)
{
    char outcome[LIT_OUTCOME_SIZE], *at = outcome;
    for (unsigned t = 0; t < present->threads; t++) {
        unsigned reads = 0;
        for (unsigned i = 0; i < present->count[t]; i++)
            reads += lit_reads(&present->statement[t][i]);
        memcpy(at, lit_register[t], reads);
        at += reads;
    }
    if (present->finals)
        *at++ = '/';
    for (unsigned i = 0; i < present->finals; i++)
        *at++ = (char)('0' + lit_memory[present->final[i] * 16]);
    *at = 0;
    ex_outcome(outcome);
}

void lit_explore(const struct lit_program *program, bool reduction, struct lit_set *set, struct lit_run *run)
{
    static struct ex_result result;
    struct ex_case a_case = {.name = "litmus", .cpus = program->threads, .setup = setup, .body = body, .final = final};
    struct ex_options options;
    ex_options_default(&options);
    options.keep_going = options.quiet = true;
    options.no_reduction = !reduction;
    present = program;
    ex_search(&a_case, &options, &result);
    set->count = 0;
    if (result.violations)
        lit_set_add(set, result.races == result.violations ? "race" : "broken");
    for (unsigned i = 0; i < result.outcome_count && !result.violations; i++)
        lit_set_add(set, result.outcomes[i]);
    lit_set_sort(set);
    run->executions = result.executions;
    run->exhausted = result.exhausted && !result.bounded && !result.cut;
}
