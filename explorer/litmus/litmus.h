/*
 * Litmus programs: a few threads of a few accesses, written as one line of text.
 *
 *   x.rel=1      store           x.acq      load into the next register     F.sc      fence
 *   x.ar+1       fetch_add       x.rlx^2    exchange                        x=1  x    plain store and load
 *   x.ar?0:1     compare-exchange of 0 to 1; its register is what was there before
 *   if1          go on only if the last register is 1
 * Statements are separated by ';', threads by '|'. Orders: rlx acq rel ar sc. Locations: x y z w a b, all 0 at
 * first. After '@': the locations whose final values belong to the outcome.
 *
 * An outcome is one character per register, in program order, '-' for one not reached; then '/' and the final
 * values. "race" stands alone: a program with a race in any execution has no other outcome.
 */
#ifndef EXPLORER_LITMUS_H
#define EXPLORER_LITMUS_H

#include <stdbool.h>
#include <stddef.h>

#define LIT_THREADS 4u
#define LIT_STATEMENTS 8u
#define LIT_LOCATIONS 6u
#define LIT_STATEMENTS_ALL 26u /* with the initial stores, a bit each in a word */
#define LIT_OUTCOMES 1024u
#define LIT_OUTCOME_SIZE 24u

enum lit_op { LIT_STORE, LIT_LOAD, LIT_ADD, LIT_EXCHANGE, LIT_CAS, LIT_FENCE, LIT_IF };
enum lit_order { LIT_PLAIN, LIT_RLX, LIT_ACQ, LIT_REL, LIT_AR, LIT_SC };

struct lit_statement {
    enum lit_op op;
    enum lit_order order;
    unsigned location;
    int value;    /* stored, added, or asked for by `if` */
    int expected; /* by a compare-exchange */
};

struct lit_program {
    unsigned threads;
    unsigned count[LIT_THREADS];
    struct lit_statement statement[LIT_THREADS][LIT_STATEMENTS];
    unsigned finals;
    unsigned final[LIT_LOCATIONS];
};

struct lit_set {
    unsigned count;
    char text[LIT_OUTCOMES][LIT_OUTCOME_SIZE];
};

extern const char lit_locations[];
bool lit_parse(const char *text, struct lit_program *program); /* false: complains on stderr */
bool lit_reads(const struct lit_statement *statement);
void lit_set_add(struct lit_set *set, const char *outcome);
void lit_set_sort(struct lit_set *set);
bool lit_set_equal(const struct lit_set *a, const struct lit_set *b);
void lit_set_parse(struct lit_set *set, const char *text); /* separated by spaces */
void lit_set_print(const struct lit_set *set, char *text, size_t size);

/* The machine's answer: run by the explorer on compiled code. */
struct lit_run {
    unsigned long long executions;
    bool exhausted;
};
void lit_explore(const struct lit_program *program, bool reduction, struct lit_set *set, struct lit_run *run);

/* The axioms' answer: every execution graph, judged. */
enum lit_model { LIT_OURS, LIT_RC11 };
void lit_axioms(const struct lit_program *program, enum lit_model model, struct lit_set *set);

/* table.c */
struct lit_test {
    const char *name;
    const char *program;
    const char *outcomes; /* all of them */
};
extern const struct lit_test lit_table[];
extern const size_t lit_table_count;

/* Shapes for the sweep: '*' stands for every order that makes sense there; F.* also for no fence at all. */
extern const struct lit_test lit_shapes[];
extern const size_t lit_shapes_count;

/* body.c, compiled with -fsanitize=thread */
extern int lit_memory[LIT_LOCATIONS * 16];
extern char lit_register[LIT_THREADS][LIT_STATEMENTS];
void lit_body(const struct lit_statement *statement, unsigned count, char *registers);

#endif
