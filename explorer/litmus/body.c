/*
 * One litmus thread, as compiled code: this is the file the compiler instruments, so the table checks the
 * compilers' calls and the hooks along with the model.
 *
 * Invariant: every order is a constant at its access, as it is in real code.
 */
#include "litmus.h"

int lit_memory[LIT_LOCATIONS * 16]; /* a cache line each: one granule must not tell of another */
char lit_register[LIT_THREADS][LIT_STATEMENTS];

static int load(int *at, enum lit_order order)
{
    switch (order) {
    case LIT_RLX: return __atomic_load_n(at, __ATOMIC_RELAXED);
    case LIT_ACQ: return __atomic_load_n(at, __ATOMIC_ACQUIRE);
    case LIT_SC: return __atomic_load_n(at, __ATOMIC_SEQ_CST);
    default: return *at;
    }
}

static void store(int *at, int value, enum lit_order order)
{
    switch (order) {
    case LIT_RLX: __atomic_store_n(at, value, __ATOMIC_RELAXED); break;
    case LIT_REL: __atomic_store_n(at, value, __ATOMIC_RELEASE); break;
    case LIT_SC: __atomic_store_n(at, value, __ATOMIC_SEQ_CST); break;
    default: *at = value; break;
    }
}

static int add(int *at, int value, enum lit_order order)
{
    switch (order) {
    case LIT_ACQ: return __atomic_fetch_add(at, value, __ATOMIC_ACQUIRE);
    case LIT_REL: return __atomic_fetch_add(at, value, __ATOMIC_RELEASE);
    case LIT_AR: return __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
    case LIT_SC: return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
    default: return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
    }
}

static int exchange(int *at, int value, enum lit_order order)
{
    switch (order) {
    case LIT_ACQ: return __atomic_exchange_n(at, value, __ATOMIC_ACQUIRE);
    case LIT_REL: return __atomic_exchange_n(at, value, __ATOMIC_RELEASE);
    case LIT_AR: return __atomic_exchange_n(at, value, __ATOMIC_ACQ_REL);
    case LIT_SC: return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
    default: return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
    }
}

#define CAS(success, failure) __atomic_compare_exchange_n(at, &old, value, 0, success, failure)

static int compare_exchange(int *at, int old, int value, enum lit_order order)
{
    switch (order) {
    case LIT_ACQ: CAS(__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE); break;
    case LIT_REL: CAS(__ATOMIC_RELEASE, __ATOMIC_RELAXED); break;
    case LIT_AR: CAS(__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); break;
    case LIT_SC: CAS(__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); break;
    default: CAS(__ATOMIC_RELAXED, __ATOMIC_RELAXED); break;
    }
    return old;
}

static void fence(enum lit_order order)
{
    switch (order) {
    case LIT_ACQ: __atomic_thread_fence(__ATOMIC_ACQUIRE); break;
    case LIT_REL: __atomic_thread_fence(__ATOMIC_RELEASE); break;
    case LIT_AR: __atomic_thread_fence(__ATOMIC_ACQ_REL); break;
    case LIT_SC: __atomic_thread_fence(__ATOMIC_SEQ_CST); break;
    default: break;
    }
}

void lit_body(const struct lit_statement *s, unsigned count, char *registers)
{
    int last = 0;
    for (const struct lit_statement *end = s + count; s < end; s++) {
        int *at = &lit_memory[s->location * 16];
        switch (s->op) {
        case LIT_STORE: store(at, s->value, s->order); continue;
        case LIT_FENCE: fence(s->order); continue;
        case LIT_LOAD: last = load(at, s->order); break;
        case LIT_ADD: last = add(at, s->value, s->order); break;
        case LIT_EXCHANGE: last = exchange(at, s->value, s->order); break;
        case LIT_CAS: last = compare_exchange(at, s->expected, s->value, s->order); break;
        case LIT_IF:
            if (last != s->value)
                return;
            continue;
        }
        *registers++ = (char)('0' + last);
    }
}
