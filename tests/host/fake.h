/*
 * fake.h - a machine of many CPUs in one thread, for tests of the library on the host.
 *
 * The test says which CPU it is now (fake_cpu); interrupts stay pending until it takes them (fake_take_interrupt);
 * every invalidation the library executes is logged with the CPU it ran on. So a test walks through an interleaving
 * step by step and then asks who flushed what. Invariant: nothing happens on a CPU unless the test steps onto it,
 * except inside a wait, where fake_wait_hook runs once per turn.
 */
#ifndef TESTS_HOST_FAKE_H
#define TESTS_HOST_FAKE_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "internal.h"
#include "ktlb/arch/x86_64.h"

enum fake_kind { FAKE_INVLPG, FAKE_INVPCID, FAKE_CR3, FAKE_CR4, FAKE_MFENCE, FAKE_LFENCE, FAKE_INVLPGB, FAKE_TLBSYNC, FAKE_BARRIER };

struct fake_event {
    unsigned cpu;
    enum fake_kind kind;
    uint64_t value; /* the address, the INVPCID type, or what was written */
};

extern unsigned fake_cpu;               /* which CPU runs now */
extern bool fake_has_invpcid;           /* what CPUID says */
extern bool fake_has_invlpgb;
extern uint64_t fake_cr4;
extern uint64_t fake_cr3[KTLB_CPUS_MAX];
extern bool fake_interrupt[KTLB_CPUS_MAX]; /* pending */
extern unsigned fake_interrupts;        /* sent, in all */
extern unsigned fake_masked;            /* how deep interrupts are masked */
extern unsigned fake_stalls;
extern struct ktlb_cpuset fake_stalled_for; /* at the last stall, as is what follows */
extern struct ktlb_wait fake_stalled;
extern unsigned fake_stalled_on;        /* which CPU said so */
extern void (*fake_wait_hook)(void);
extern void (*fake_invlpg_hook)(void);  /* runs in the middle of each INVLPG */
extern struct fake_event fake_log[4096];
extern unsigned fake_logged;

/* A fresh machine, with all its CPUs online and an empty log. */
void fake_start(unsigned cpus, unsigned asids);
/* The same with no CPU online yet. */
void fake_boot(unsigned cpus, unsigned asids);
/* All CPUs of the machine as it is leave; the library is set up again, so, over what it left behind; they are back. */
void fake_set_up_again(const char *protocol, bool everyone);
/* Step onto @cpu; take its pending interrupt there, if any; step back. */
void fake_take_interrupt(unsigned cpu);
void fake_take_interrupts(void);
void fake_log_clear(void);
/* Load @space's root on @cpu the way a kernel does; what ktlb_switch_begin() said. */
struct ktlb_load fake_switch(unsigned cpu, struct ktlb_space *space);
/* How often @cpu executed @kind; with that value. */
unsigned fake_count(unsigned cpu, enum fake_kind kind);
bool fake_did(unsigned cpu, enum fake_kind kind, uint64_t value);
uint64_t fake_stat(unsigned cpu, size_t offset);
/* The first event of that kind that @cpu recorded from its event *@from on, which becomes the one after it; there has
 * to be one. */
struct ktlb_event fake_event(unsigned cpu, uint64_t *from, enum ktlb_event_what what);
#define STAT(cpu, name) fake_stat(cpu, offsetof(struct ktlb_stats, name))

/* The protocol in use, and a group of tests under each in turn. */
extern const char *fake_protocol;
#define FAKE_RUN(tests)                                                                      \
    do {                                                                                           \
        static const char *const protocols[] = {KTLB_PROTOCOLS_SOFTWARE(FAKE_PROTOCOL_NAME)};         \
        int failed = 0;                                                                            \
                                                                                                   \
        for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {                    \
            fake_protocol = protocols[i];                                                          \
            failed += cmocka_run_group_tests_name(fake_protocol, tests, NULL, NULL);               \
        }                                                                                          \
        return failed;                                                                             \
    } while (0)
#define FAKE_PROTOCOL_NAME(name) #name,
/* The same under one of them. */
#define FAKE_RUN_WITH(name, tests)                                                                 \
    do {                                                                                           \
        fake_protocol = name;                                                                      \
        return cmocka_run_group_tests_name(name, tests, NULL, NULL);                               \
    } while (0)

/* Post @batch by hand to @target, found in the set just before it left. */
void fake_post(struct ktlb_batch *batch, unsigned target);
/* The same dispatch, to another; fake_post() has begun it. */
void fake_post_again(struct ktlb_batch *batch, unsigned target);
bool fake_acked(const struct ktlb_batch *batch, unsigned target);
/* Dispatch an op for one page from @cpu. */
void fake_dispatch(struct ktlb_batch *batch, struct ktlb_space *space, unsigned cpu, uint64_t page);

/* Run @statement, which must end in the assertion whose rule contains @text. */
extern jmp_buf fake_panic;
extern bool fake_panic_expected;
extern const char *fake_panic_rule;
void fake_recover(void);
void fake_check_rule(const char *text, const char *file, int line);
#define EXPECT_PANIC(statement, text)                                                              \
    do {                                                                                           \
        fake_panic_rule = NULL;                                                                    \
        fake_panic_expected = true;                                                                \
        if (setjmp(fake_panic) == 0)                                                               \
            statement;                                                                             \
        fake_panic_expected = false;                                                               \
        fake_recover();                                                                            \
        fake_check_rule(text, __FILE__, __LINE__);                                                 \
    } while (0)

#endif
