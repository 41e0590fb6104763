/*
 * kernel.h - what the parts of the test kernel's common code know of each other.
 *
 * The kernel has no threads: a CPU idles, or runs one body that machine_run() gave it, to its end. Nothing but
 * timer ticks, ktlb's interrupt, wake-ups and NMIs comes in between, and none of them takes a lock.
 */
#ifndef TESTKERNEL_KERNEL_H
#define TESTKERNEL_KERNEL_H

#include <stdarg.h>

#include "arch.h"
#include "ktlb/ktlb.h"
#include "relax.h"
#include "scenarios/machine.h"

#define PAGE_SIZE UINT64_C(4096)
#define HUGE_PAGES 512u
#define HUGE_SIZE (PAGE_SIZE * HUGE_PAGES)
#define STACK_SIZE (16 * 1024)

/* A CPU. Its first lines are its own; what others write is on the last. */
struct cpu {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct cpu *self; /* these two as in struct cpu_head */
    unsigned number;
    uint64_t hardware;          /* the machine's own name for this CPU */
    struct machine_space *space;
    struct ktlb_pointer doing;  /* const char *: for reports */
    struct ktlb_u64 progress;   /* raised whenever this CPU got something done */
    struct ktlb_u64 nmis;
    uint64_t strays;            /* interrupts sent that ktlb knows nothing of, but for waking */
    bool busy;                  /* in a body */
    bool online;                /* for ktlb */
    uint64_t random, random_timer, random_faults;
    uint64_t relaxed_at, accesses, departures;
    bool napping;               /* waits with interrupts masked, whatever a context says */
    unsigned relaxed;
    char *stack;
    const struct ktlb_batch *stalled; /* it waited for too long when progress was stalled_at; gone if that changed */
    uint64_t stalled_at, stalled_since; /* the latter by the clock */
    bool in_port;               /* called by the library, which must not be called now */
    bool answer_lost;           /* what the library sends next is what it sends again after a stall, and goes astray */

    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_pointer job; /* struct job *: what to run next */
    struct ktlb_u32 started;
    struct ktlb_u32 caught; /* this CPU has stopped, and where is told in at */
    struct context at;
};

extern struct cpu cpus[KTLB_CPUS_MAX];
extern unsigned cpus_count;

/* ---- options of the command line, set once ---- */

/* What becomes of the library's answer to a stall, which is to interrupt again. All but the first are controls. */
enum answer {
    ANSWER_AGAIN,
    ANSWER_NONE, /* it goes astray */
    ANSWER_LIE,  /* and the wait is declared over */
};

struct options {
    uint64_t cpus, seed, scale, controls, watchdog, seconds;
    bool progress_tty;
    uint64_t running;
    uint64_t trace; /* events of each CPU to print, TRACE_UNASKED: only where a run fails */
    bool by_nmi; /* ktlb is delivered by NMI */
    bool faults; /* see faults.c */
    enum answer answer;
    char protocol[32], scenario[256];
};
extern struct options options;
#define TRACE_UNASKED UINT64_MAX
#define TRACE_FAILED 16u /* events of each CPU, then */
/* Of the library, as it is set up. */
const char *library_protocol(void);
bool library_broadcasts(void); /* the protocol is hardware */

/* ---- parts ---- */

static inline void *direct(uint64_t address)
{
    return (void *)(uintptr_t)(arch_direct_base + address);
}

static inline uint64_t direct_address(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer - arch_direct_base;
}

/* This CPU got something done: the watchdog's food. */
static inline void progress(struct cpu *cpu)
{
    ktlb_store_relaxed(&cpu->progress, ktlb_load_relaxed(&cpu->progress) + 1);
}

/* A lock for code that interrupts and NMIs never run. Whoever waits serves ktlb's requests meanwhile. */
struct lock {
    struct ktlb_u32 taken;
};
void lock_take(struct lock *lock);
void lock_release(struct lock *lock);

/* frames.c */
void frames_init(uint64_t start, uint64_t end);
void *frames_boot(size_t size, size_t align); /* zeroed memory for good; only while one CPU runs */
struct machine_frame *frame_at(uint64_t address);

/* tables.c */
void spaces_init(void);

/* cpus.c */
void cpus_start(unsigned count);
/* All CPUs leave the library, this one calls @set_up(), and they are back. => Between runs. */
void cpus_set_up(void (*set_up)(void));
extern const char cpu_idle_text[];
void cpu_idle(void) __attribute__((noreturn));
void cpu_ticks_begin(struct cpu *cpu);
/* Say what was sent; whether it is what ktlb asked for. => On the first CPU, no body running. */
bool cpus_sends_agree(void);
/* Called at every access that a scenario makes: a busy CPU in a crowd halts now and then, where an interrupt finds it at
 * once; the host would come round to it much later. */
void cpu_breathe(struct cpu *cpu);
uint64_t random_next(uint64_t *state);
/* Interrupt @targets, who are not nobody, as ktlb's delivery says. => Interrupts masked. */
void cpus_interrupt(const struct ktlb_cpuset *targets);

/* faults.c */
bool faults_choose(const char *list); /* names separated by commas; false: one is not known */
void faults_begin(void);              /* from here on; all CPUs have started */
void faults_send(const struct ktlb_cpuset *targets); /* in place of cpus_interrupt() */
void faults_tick(void);
void faults_nmi(void);
/* @batch has stalled; true: because of a frozen CPU, for the first time since it froze. */
bool faults_stalled(const struct ktlb_batch *batch);
/* No more faults; say what there was. false: a fault that was asked for never happened, or was not noticed. */
bool faults_report(void);

/* events.c */
/* The last @last of each CPU, if no other CPU is printing them. @alone: no other runs any more, whatever it was doing. */
void events_print(uint64_t last, bool alone);

/* hang.c */
/* Called now and then from anywhere: has the machine come to a stop? @context: where this CPU is. */
void watchdog_look(const struct context *context);
_Noreturn void kernel_refuse(const char *format, ...) KTLB_PRINTF(1, 2); /* what was asked for cannot be */
_Noreturn void kernel_panic(const char *format, ...) KTLB_PRINTF(1, 2);
_Noreturn void kernel_die(const struct context *context, const char *what);
_Noreturn void kernel_exit(bool success);

/* print.c */
size_t format_text(char *buffer, size_t size, const char *format, va_list arguments);
void console_print(const char *format, ...) KTLB_PRINTF(1, 2);
/* "1,2,5", as many as fit. */
void cpus_text(const struct ktlb_cpuset *set, char *text, size_t size);
/* From now on this CPU alone prints, whoever held the console. If another came first, this does not return. */
void console_seize(void);

/* string.c: what compilers call by themselves. */
void *memset(void *to, int byte, size_t size);
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *a, const void *b, size_t size);
bool text_equal(const char *a, const char *b);

#endif
