/*
 * What the runtime's own files share. Nothing here is for cases or machines.
 *
 * Three parts, one direction: hooks.c -> memory.c (what an access may do) -> search.c (who runs, which choice).
 * trace.c is asked by all of them, only while a failure is drawn.
 */
#ifndef EXPLORER_INTERNAL_H
#define EXPLORER_INTERNAL_H

#include "runtime.h"

#define CHOICES_MAX 64u

/* ---- steps: what the search knows of the operation a fiber will do next, or has just done ---- */

enum step_kind { STEP_NONE, STEP_ACCESS, STEP_FENCE, STEP_EVENT };

struct step {
    enum step_kind kind;
    bool reads, writes;
    bool sc;
    uintptr_t where; /* an address, or an event's id */
    unsigned from;   /* the number of the step that wrote what was read, from 1; 0: none of this execution */
};

/* ---- search.c ---- */

/* Publish the operation, let the search decide who goes, and return when it is our turn. */
void search_point(const struct step *next);
/* What the step turned out to do (a failed compare-exchange only reads). */
void search_did(const struct step *done);
/* The number of the step under way. */
unsigned search_number(void);
/* Everything a sleeping CPU may know has changed. */
void search_did_anything(void);
enum choice { CHOICE_CPU, CHOICE_MEMORY, CHOICE_MACHINE };
unsigned search_choose(unsigned n, uint64_t allowed, enum choice kind);
/* Messages no newer than this are already explored for the step that now runs. */
uint64_t search_horizon(void);
void search_is_race(void); /* the failure reported next is a data race */
bool search_may_insert(void);
bool search_wants_newest(void);
void search_count_bounded(void);
void search_read(unsigned location, uint32_t stamp);
void search_wrote(bool changed);
bool search_on_stack(uintptr_t address);

/* ---- memory.c ---- */

enum rmw { RMW_ADD, RMW_SUB, RMW_OR, RMW_AND, RMW_XOR, RMW_NAND, RMW_EXCHANGE };

void memory_reset(unsigned cpus);
uint64_t memory_load(uintptr_t address, unsigned size, int order, uintptr_t pc);
void memory_store(uintptr_t address, unsigned size, uint64_t value, int order, uintptr_t pc);
uint64_t memory_rmw(uintptr_t address, unsigned size, enum rmw op, uint64_t operand, int order, uintptr_t pc);
bool memory_compare_exchange(uintptr_t address, unsigned size, uint64_t *expected, uint64_t value, int order,
                             int failure_order, uintptr_t pc);
void memory_fence(int order, uintptr_t pc);
void memory_plain(uintptr_t address, size_t size, bool write, uintptr_t pc);
uint32_t memory_last(unsigned location);
uint64_t memory_stamp(void);

/* ---- fiber.c ---- */

struct fiber {
    void *stack_pointer;
    unsigned char *stack;
};
bool fiber_owns(const struct fiber *fiber, uintptr_t address);
void fiber_prepare(struct fiber *fiber, void (*entry)(void));
void fiber_switch(struct fiber *from, const struct fiber *to);

/* ---- trace.c ---- */

extern bool trace_on;
void trace_begin(unsigned cpus);
__attribute__((format(printf, 3, 4))) void trace_line(unsigned cpu, uintptr_t pc, const char *format, ...);
void trace_print(const char *broken);
const char *trace_where(uintptr_t address); /* a name for a data address; good until the next call but seven */
const char *trace_order(int order);
void trace_place(uintptr_t pc, char *text, size_t size); /* function and file:line of code */

#endif
