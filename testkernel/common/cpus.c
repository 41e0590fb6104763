/*
 * cpus.c - the CPUs: starting them, giving them something to run, ticks, locks, coming and going; and the port.
 *
 * A CPU that has nothing to do halts; one that waits pauses, and after a while halts too, until a tick soon after:
 * with more CPUs than the host has, whoever spins keeps another from running.
 */
#include "kernel.h"

#define TICK_NS 10000000u      /* between ticks: the watchdog's grain */
#define RELAX_NS 100000u       /* the halt of a CPU that waits */
#define RELAX_SPINS 128u       /* turns before it halts */
#define RELAX_AGAIN 32u        /* turns before it halts again */
#define CROWD 8u               /* CPUs that may all be busy at once; guess: a small host is not yet lost */
#define CROWD_BROADCASTS 2u    /* the same where a firmware may do the waiting: it does not halt */
#define BREATHE_ACCESSES 512u  /* checked accesses between two halts of a CPU in a crowd */
#define RELAX_GAP_US 20u       /* turns further apart than this are not of one wait. guess */
/* A seeded tick comes within this, per busy CPU: long enough to get something done in between, short enough for some
 * ticks inside every batch. guess: a batch is in the order of 2000 instructions, each of which takes 1 ns. */
#define SEEDED_TICK_NS 4000u
#define FAULT_TICK_NS 400000u /* the mean of what is between ticks of a busy CPU when things are to go wrong at them */

KTLB_STATIC_ASSERT(offsetof(struct cpu, self) == offsetof(struct cpu_head, self) &&
                       offsetof(struct cpu, number) == offsetof(struct cpu_head, number),
                   "struct cpu begins as struct cpu_head says");

const char cpu_idle_text[] = "idle";
struct cpu cpus[KTLB_CPUS_MAX];
unsigned cpus_count;

struct job {
    void (*body)(void *argument);
    void *argument;
    unsigned busy;             /* how many CPUs run it */
    struct ktlb_u32 remaining; /* of them, how many have not ended */
};

/* splitmix64: every seed, zero too, gives a good stream. */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t machine_random(void)
{
    return random_next(&arch_cpu()->random);
}

unsigned machine_cpu(void)
{
    return arch_cpu_number();
}

uint64_t machine_clock(void)
{
    return arch_clock();
}

static void doing(struct cpu *cpu, const char *what)
{
    ktlb_store_relaxed_pointer(&cpu->doing, (void *)(uintptr_t)what);
}

/* ---- ticks ---- */

static void tick_arm(struct cpu *cpu)
{
    uint64_t within = kernel_seeded ? (uint64_t)SEEDED_TICK_NS * cpus_count : 2 * FAULT_TICK_NS;

    if (cpu->busy && (kernel_seeded || options.faults))
        arch_timer_arm(within / 8 + random_next(&cpu->random_timer) % within);
    else
        arch_timer_arm(TICK_NS);
}

void kernel_tick(const struct context *context)
{
    struct context where = *context;

    where.masked = where.masked || arch_cpu()->napping;
    tick_arm(arch_cpu());
    faults_tick();
    watchdog_look(&where);
}

/* ---- waiting ---- */

/* Halt for a while, or until there is something to serve. */
static void give_way(struct cpu *cpu, uint64_t nanoseconds)
{
    unsigned long irq = arch_irq_save();

    if (irq) {
        arch_timer_arm(nanoseconds);
        arch_wait();
    } else {
        cpu->napping = true;
        arch_nap(nanoseconds);
        cpu->napping = false;
    }
    arch_irq_restore(irq);
}

void cpu_relax_unseeded(void)
{
    struct cpu *cpu = arch_cpu();
    uint64_t now = arch_clock();

    if ((now - cpu->relaxed_at) * 1000 > arch_clock_per_ms() * RELAX_GAP_US)
        cpu->relaxed = 0;
    cpu->relaxed_at = now;
    if (++cpu->relaxed < RELAX_SPINS)
        return;
    cpu->relaxed = RELAX_SPINS - RELAX_AGAIN;
    give_way(cpu, RELAX_NS);
    cpu->relaxed_at = arch_clock();
}

void machine_relax(void)
{
    arch_pause();
    cpu_relax();
}

void cpu_breathe(struct cpu *cpu)
{
    unsigned crowd = library_broadcasts() ? CROWD_BROADCASTS : CROWD;

    if (cpus_count > crowd && !kernel_seeded && ++cpu->accesses % BREATHE_ACCESSES == 0)
        give_way(cpu, (uint64_t)RELAX_NS * cpus_count / crowd);
}

void lock_take(struct lock *lock)
{
    struct cpu *cpu = arch_cpu();

    while (ktlb_rmw_exchange_acquire_u32(&lock->taken, 1)) {
        while (ktlb_load_relaxed_u32(&lock->taken)) { /* ended by the holder, who waits for nobody */
            if (cpu->online && !cpu->in_port)
                ktlb_poll();
            machine_relax();
        }
    }
}

void lock_release(struct lock *lock)
{
    ktlb_store_release_u32(&lock->taken, 0);
}

/* Wait for some interrupt. => Interrupts masked. Under a seed a CPU that waits for others only pauses: a machine all of
 * whose CPUs halt is woken by the emulator's own event loop, on the host's time. */
static void wait_interrupt(void)
{
    if (!kernel_seeded) {
        arch_wait();
        return;
    }
    arch_irq_restore(1);
    arch_pause();
    arch_irq_save();
}

/* ---- jobs ---- */

static void job_run(struct cpu *cpu, struct job *job)
{
    cpu->busy = true;
    doing(cpu, "in a body");
    tick_arm(cpu);
    arch_irq_restore(1);
    job->body(job->argument);
    arch_irq_save();
    if (cpu->space || !cpu->online)
        kernel_panic("a body ended with a space loaded or offline");
    cpu->busy = false;
    doing(cpu, cpu_idle_text);
    progress(cpu);
}

/* => Interrupts masked. */
static void wake(unsigned from, unsigned to)
{
    struct ktlb_cpuset targets = {{0}};

    for (unsigned i = from; i < to; i++)
        ktlb_cpuset_add(&targets, i);
    if (from < to)
        arch_wake(&targets);
}

void machine_run(unsigned count, void (*body)(void *argument), void *argument)
{
    struct cpu *self = arch_cpu();
    struct job job = {body, argument, count, {count}};
    unsigned long irq = arch_irq_save();

    if (self->number != 0 || self->busy || count < 1 || count > cpus_count)
        kernel_panic("machine_run(%u) on CPU %u of %u", count, self->number, cpus_count);
    for (unsigned i = 1; i < count; i++)
        ktlb_store_release_pointer(&cpus[i].job, &job);
    doing(self, "waking the others");
    wake(1, count);
    job_run(self, &job);
    ktlb_rmw_add_release_u32(&job.remaining, UINT32_MAX);
    doing(self, "waiting for the others to end their bodies");
    while (ktlb_load_acquire_u32(&job.remaining)) /* ended by the last of them; the watchdog looks on */
        wait_interrupt();
    doing(self, "between runs");
    arch_irq_restore(irq);
}

void cpu_idle(void)
{
    struct cpu *cpu = arch_cpu();
    struct job *job;

    doing(cpu, cpu_idle_text);
    tick_arm(cpu);
    for (;;) {
        job = ktlb_load_acquire_pointer(&cpu->job);
        if (!job) {
            arch_wait();
            continue;
        }
        ktlb_store_relaxed_pointer(&cpu->job, NULL);
        job_run(cpu, job);
        if (*(uint64_t *)(void *)cpu->stack != MACHINE_POISON)
            kernel_panic("CPU %u has used up its stack", cpu->number);
        ktlb_rmw_add_release_u32(&job->remaining, UINT32_MAX); /* the job is gone after this */
        wake(0, 1);
    }
}

/* ---- starting ---- */

void cpu_ticks_begin(struct cpu *cpu)
{
    tick_arm(cpu);
}

static struct ktlb_u32 all_started;

void kernel_cpu_main(void)
{
    struct cpu *cpu = arch_cpu();

    ktlb_store_release_u32(&cpu->started, 1);
    while (!ktlb_load_acquire_u32(&all_started)) /* ended by the first CPU */
        arch_wait();
    arch_boot_mappings_drop();
    ktlb_cpu_online();
    cpu->online = true;
    ktlb_store_release_u32(&cpu->started, 2);
    cpu_idle();
}

/* Wait until @number is at @stage; false: not for @milliseconds. */
static bool wait_started(unsigned number, uint32_t stage, unsigned milliseconds)
{
    uint64_t began = arch_clock();

    while (ktlb_load_acquire_u32(&cpus[number].started) < stage) {
        if (arch_clock() - began > milliseconds * arch_clock_per_ms())
            return false;
        arch_pause();
    }
    return true;
}

static void start(unsigned number)
{
    char *stack = frames_boot(STACK_SIZE, 64);

    cpus[number].stack = stack;
    *(uint64_t *)(void *)stack = MACHINE_POISON;
    arch_cpu_start(number, stack + STACK_SIZE, false);
    for (unsigned tries = 0; !wait_started(number, 1, 50); tries++) {
        if (tries == 200)
            kernel_panic("CPU %u (hardware %lx) does not start", number, cpus[number].hardware);
        arch_cpu_start(number, stack + STACK_SIZE, true);
    }
}

void cpus_start(unsigned count)
{
    if (!options.by_nmi && !options.faults && options.answer == ANSWER_AGAIN)
        port_interrupt = arch_ipi;
    ktlb_store_release_u32(&cpus[0].started, 2);
    for (unsigned i = 1; i < count; i++)
        start(i);
    arch_boot_mappings_drop();
    ktlb_cpu_online();
    cpus[0].online = true;
    ktlb_store_release_u32(&all_started, 1);
    wake(1, count);
    for (unsigned i = 1; i < count; i++)
        if (!wait_started(i, 2, 10000))
            kernel_panic("CPU %u started, but does not come online", i);
}

static struct {
    void (*set_up)(void);
    struct ktlb_u32 away, done;
} again;

/* Interrupts are masked while this CPU is away, but for the timer's, which machine_relax() lets in. */
static void set_up_body(void *argument)
{
    struct cpu *cpu = arch_cpu();
    unsigned long irq = arch_irq_save();

    (void)argument;
    ktlb_cpu_offline();
    cpu->online = false;
    ktlb_rmw_add_release_u32(&again.away, 1);
    if (cpu->number == 0) {
        while (ktlb_load_acquire_u32(&again.away) < cpus_count)
            machine_relax();
        again.set_up();
        ktlb_store_release_u32(&again.done, 1);
    }
    while (!ktlb_load_acquire_u32(&again.done))
        machine_relax();
    ktlb_cpu_online();
    cpu->online = true;
    arch_irq_restore(irq);
}

/* Interrupts that ktlb asked for since it was set up, and before that. */
static uint64_t asked_now(void)
{
    struct ktlb_stats sum;

    ktlb_stats_sum(&sum);
    return sum.interrupts + sum.interrupts_again;
}

static uint64_t asked_before;

void cpus_set_up(void (*set_up)(void))
{
    asked_before += asked_now();
    again.set_up = set_up;
    ktlb_store_relaxed_u32(&again.away, 0);
    ktlb_store_relaxed_u32(&again.done, 0);
    machine_run(cpus_count, set_up_body, NULL);
}

/* ---- going and coming ---- */

void machine_lazy_enter(void)
{
    ktlb_lazy_enter();
}

void machine_lazy_leave(bool honest)
{
    if (honest)
        ktlb_lazy_leave();
}

void machine_offline(void)
{
    struct cpu *cpu = arch_cpu();

    if (cpu->number == 0)
        kernel_panic("CPU 0 never goes offline");
    arch_irq_save();
    machine_switch(NULL, true);
    ktlb_cpu_offline();
    cpu->departures++;
    cpu->online = false;
    doing(cpu, "offline");
}

void machine_online(bool honest)
{
    struct cpu *cpu = arch_cpu();

    arch_irq_save();
    if (honest) {
        ktlb_cpu_online();
        cpu->online = true;
    }
    doing(cpu, honest ? "in a body" : "back, but not online");
    progress(cpu);
    arch_irq_restore(1);
}

/* ---- stray interrupts ---- */

void machine_nmi(unsigned cpu)
{
    struct ktlb_cpuset target = {{0}};
    unsigned long irq = arch_irq_save();

    ktlb_cpuset_add(&target, cpu);
    if (arch_nmi(&target))
        arch_cpu()->strays++;
    arch_irq_restore(irq);
}

void machine_spurious(unsigned cpu)
{
    struct ktlb_cpuset target = {{0}};
    unsigned long irq = arch_irq_save();

    ktlb_cpuset_add(&target, cpu);
    arch_ipi(&target);
    arch_cpu()->strays++;
    arch_irq_restore(irq);
}

bool cpus_sends_agree(void)
{
    uint64_t sent = arch_interrupted(), asked = asked_before + asked_now(), strays = 0;

    for (unsigned i = 0; i < cpus_count; i++)
        strays += cpus[i].strays;
    if (!KTLB_STATS || sent == asked + strays)
        return true;
    console_print("not ok: but ktlb counted %lu, and %lu were strays\n", asked, strays);
    return false;
}

/* ---- the port: what ktlb asks of its host; see also port.h and hang.c ---- */

void cpus_interrupt(const struct ktlb_cpuset *targets)
{
    if (options.by_nmi)
        arch_nmi(targets);
    else
        arch_ipi(targets);
}

/* What the options allow all of. */
static void interrupt_by_options(const struct ktlb_cpuset *targets)
{
    struct cpu *self = arch_cpu();

    if (self->answer_lost)
        self->answer_lost = false;
    else if (options.faults)
        faults_send(targets);
    else
        cpus_interrupt(targets);
}

void (*port_interrupt)(const struct ktlb_cpuset *targets) = interrupt_by_options;
