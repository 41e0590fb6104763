/*
 * faults.c - what goes wrong between CPUs, on purpose: interrupts lost, late, doubled and nobody's; NMIs at any moment;
 * a CPU that stands still for a second.
 *
 * It lies between the library's port and the machine, and does not know what an interrupt is about. Each CPU draws from
 * a stream of its own, so a seeded run repeats. Things go wrong when somebody sends, and at the ticks of busy CPUs,
 * which then come often and at random; so they meet their victims anywhere.
 *
 * The invariant: nothing here repairs anything. What was lost stays lost; that a run goes on is the library's doing.
 */
#include "kernel.h"

enum kind { DROP, LATE, TWICE, SPURIOUS, NMI, FREEZE, KINDS };

/* How often: of interrupts sent; and of ticks as well, for what is nobody's. guess: often enough for some hundreds in a
 * second, seldom enough for work to get done in between. */
static const struct {
    const char *name;
    unsigned one_in;
} kinds[KINDS] = {
    [DROP] = {"drop", 16},        [LATE] = {"late", 16}, [TWICE] = {"twice", 8},
    [SPURIOUS] = {"spurious", 4}, [NMI] = {"nmi", 4},    [FREEZE] = {"freeze", 1},
};

#define FREEZE_MS 1000u
#define FREEZE_GAP_MS 400u /* between two, up to twice as much */

static bool chosen[KINDS];
static struct ktlb_u64 injected[KINDS];
static struct ktlb_u32 active;
static struct ktlb_cpuset_shared held; /* targets of interrupts that are late */

static struct ktlb_u32 frozen;    /* one more than the CPU that stands still, or is just about to; 0: none */
static struct ktlb_u32 named;     /* a stall report has named it */
static struct ktlb_u64 freeze_at; /* not before */
static struct ktlb_u64 freezes_named;

/* ---- set-up ---- */

/* Whether the first word of @list, which ends at a comma, is @name; "all" is every name. */
static bool first_is(const char *list, const char *name)
{
    while (*list && *list != ',' && *list == *name)
        list++, name++;
    return (!*list || *list == ',') && !*name;
}

bool faults_choose(const char *list)
{
    bool known = false;

    for (unsigned kind = 0; kind < KINDS; kind++) {
        bool meant = first_is(list, kinds[kind].name) || first_is(list, "all");

        chosen[kind] = chosen[kind] || meant;
        known = known || meant;
    }
    while (*list && *list++ != ',')
        ;
    options.faults = true;
    return known && (!*list || faults_choose(list));
}

void faults_begin(void)
{
    if (options.faults && cpus_count < 2)
        kernel_refuse("faults= wants two CPUs");
    ktlb_store_release_u32(&active, options.faults);
}

/* ---- drawing ---- */

static unsigned draw(struct cpu *self, unsigned below)
{
    return (unsigned)(random_next(&self->random_faults) % below);
}

static void count(enum kind kind)
{
    ktlb_rmw_add_relaxed(&injected[kind], 1);
}

/* Whether a fault of this kind happens now; then it is counted, and the caller sees to it. */
static bool happens(struct cpu *self, enum kind kind)
{
    if (!chosen[kind] || draw(self, kinds[kind].one_in))
        return false;
    count(kind);
    return true;
}

static struct ktlb_cpuset another_cpu(struct cpu *self)
{
    struct ktlb_cpuset set = {{0}};

    ktlb_cpuset_add(&set, (self->number + 1 + draw(self, cpus_count - 1)) % cpus_count);
    return set;
}

/* ---- sending ---- */

static void disturb(struct cpu *self)
{
    struct ktlb_cpuset somebody = another_cpu(self);

    if (happens(self, SPURIOUS))
        arch_ipi(&somebody);
    if (happens(self, NMI) && !arch_nmi(&somebody))
        kernel_panic("faults=nmi, but this machine has none");
}

/* Release, pairs with the acquire in send_held: what the interrupt is about is visible before whoever sends it does. */
static void hold(unsigned cpu)
{
    ktlb_rmw_or_release(&held.word[cpu / 64], UINT64_C(1) << (cpu % 64));
}

void faults_send(const struct ktlb_cpuset *targets)
{
    struct cpu *self = arch_cpu();
    struct ktlb_cpuset once = *targets, twice = {{0}};

    KTLB_CPUSET_EACH(cpu, targets) {
        if (happens(self, DROP)) {
            ktlb_cpuset_remove(&once, cpu);
        } else if (happens(self, LATE)) {
            ktlb_cpuset_remove(&once, cpu);
            hold(cpu);
        } else if (happens(self, TWICE)) {
            ktlb_cpuset_add(&twice, cpu);
        }
    }
    disturb(self);
    if (!ktlb_cpuset_empty(&once))
        cpus_interrupt(&once);
    if (!ktlb_cpuset_empty(&twice))
        cpus_interrupt(&twice);
    disturb(self);
}

/* Some of what is late, but nothing to this CPU itself: that is another's turn. Every CPU ticks, idle ones too. */
static void send_held(struct cpu *self)
{
    struct ktlb_cpuset now = {{0}};

    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        if (ktlb_load_relaxed(&held.word[i]))
            now.word[i] = ktlb_rmw_exchange_acquire(&held.word[i], 0);
    KTLB_CPUSET_EACH(cpu, &now) {
        if (cpu != self->number && draw(self, 2))
            continue;
        ktlb_cpuset_remove(&now, cpu);
        hold(cpu);
    }
    if (!ktlb_cpuset_empty(&now))
        cpus_interrupt(&now);
}

/* ---- a CPU that is gone ---- */

/* In an NMI, where the machine has one: nothing reaches this CPU then, whatever it was in the middle of. It spins, for
 * a halt would let interrupts in. */
static void freeze(struct cpu *self)
{
    void *doing = ktlb_load_relaxed_pointer(&self->doing);
    uint64_t began = arch_clock();

    ktlb_store_relaxed_u32(&named, 0);
    ktlb_store_relaxed_pointer(&self->doing, (void *)(uintptr_t) "frozen by faults=");
    while (arch_clock() - began < FREEZE_MS * arch_clock_per_ms())
        arch_pause();
    ktlb_store_relaxed_pointer(&self->doing, doing);
    count(FREEZE);
    ktlb_rmw_add_relaxed(&freezes_named, ktlb_load_relaxed_u32(&named));
    ktlb_store_release_u32(&frozen, 0);
}

static void freeze_somebody(struct cpu *self)
{
    struct ktlb_cpuset victim = another_cpu(self);
    uint64_t now = arch_clock();
    uint32_t nobody = 0;

    if (!chosen[FREEZE] || (int64_t)(now - ktlb_load_relaxed(&freeze_at)) < 0 ||
        !ktlb_rmw_cas_acq_rel_u32(&frozen, &nobody, ktlb_cpuset_next(&victim, 0) + 1))
        return;
    ktlb_store_relaxed(&freeze_at, now + (FREEZE_MS + draw(self, 2 * FREEZE_GAP_MS)) * arch_clock_per_ms());
    if (arch_nmi(&victim))
        return;
    ktlb_store_relaxed_u32(&frozen, self->number + 1);
    freeze(self);
}

void faults_nmi(void)
{
    struct cpu *self = arch_cpu();

    if (ktlb_load_acquire_u32(&frozen) == self->number + 1)
        freeze(self);
}

/* ---- now and then ---- */

void faults_tick(void)
{
    struct cpu *self = arch_cpu();

    if (!ktlb_load_acquire_u32(&active))
        return;
    send_held(self);
    if (!self->busy)
        return;
    disturb(self);
    freeze_somebody(self);
}

bool faults_stalled(const struct ktlb_batch *batch)
{
    uint32_t who = ktlb_load_relaxed_u32(&frozen);

    return who && ktlb_cpuset_has(ktlb_batch_waiting(batch), who - 1) && !ktlb_rmw_exchange_relaxed_u32(&named, 1);
}

/* ---- the report ---- */

bool faults_report(void)
{
    struct ktlb_stats sum;
    uint64_t named_count = ktlb_load_relaxed(&freezes_named);
    bool good = true;

    ktlb_store_release_u32(&active, false);
    ktlb_stats_sum(&sum);
    console_print("# faults: %lu dropped, %lu late, %lu twice, %lu spurious, %lu NMIs, %lu freezes of 1.0 s; "
                  "stalls reported: %lu; re-sent: %lu%s\n",
                  ktlb_load_relaxed(&injected[DROP]), ktlb_load_relaxed(&injected[LATE]),
                  ktlb_load_relaxed(&injected[TWICE]), ktlb_load_relaxed(&injected[SPURIOUS]),
                  ktlb_load_relaxed(&injected[NMI]), ktlb_load_relaxed(&injected[FREEZE]), sum.stalls,
                  sum.interrupts_again,
                  options.answer == ANSWER_AGAIN ? "" : ", in vain");
    console_print("# of the interrupts that arrived, %lu found nothing to do, and %lu were NMIs that met the library "
                  "at work; of the CPUs that froze, stall reports named %lu\n", sum.ipis_idle, sum.ipis_deferred,
                  named_count);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (!chosen[kind] || ktlb_load_relaxed(&injected[kind]))
            continue;
        console_print("not ok - faults=%s never happened: the run says nothing about it\n", kinds[kind].name);
        good = false;
    }
    if (ktlb_load_relaxed(&injected[FREEZE]) && !named_count) {
        console_print("not ok - no stall report named a CPU that was frozen\n");
        good = false;
    }
    return good;
}
