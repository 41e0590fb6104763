/*
 * oracle.c - stamps, canaries, and the check around every access. The rules are in oracle.h.
 *
 * Invariant: a reported fault is one. Where the order of an access and the second look at the version is not certain,
 * the version is looked at once more behind a full fence before anything is called wrong.
 */
#include "oracle.h"

#define IN_CHANGE UINT64_C(1)
#define RIGHTS(version) ((unsigned)((version) >> 1 & 3))

/*
 * Words of a frame: kind << 56 | id << 32 | generation << 8 | cpu << 1. A poison's kind is 0xde. Bit 0 is clear: a
 * control may have given a page table away too early, and what a walker then finds here must be no entry of use.
 */
#define KIND_STAMP (UINT64_C(0x5a) << 56)
#define KIND_CANARY (UINT64_C(0xca) << 56)
#define KIND_MASK (UINT64_C(0xff) << 56)
#define ID_MASK (UINT64_C(0xffffff) << 32)
#define GENERATION_MASK (UINT64_C(0xffffff) << 8)
#define CPU_MAX 0x7fu
#define OWNER CPU_MAX /* in place of a CPU: written when the frame was stamped */

/* Enough canaries that CPUs seldom share one, few enough to examine on every free. */
#define CANARIES_MAX 8u

/* The first faults of a run, in words. More would say no more. */
#define RECORDS_MAX 6u

struct record {
    enum oracle_fault fault;
    unsigned cpu;
    bool alive, store, settled;
    uint64_t va, seen, stamp, version;
};

static struct oracle_counts counts[KTLB_CPUS_MAX];
static struct record records[RECORDS_MAX];
static struct ktlb_u64 records_used;
static uint32_t run;

/* Orders the access before the second look at the version, and a version gone odd before the change it announces.
 * These two are the seqlock's own; they order nothing of one CPU with anything of another but that word. */
static inline void fence_acquire(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static inline void fence_release(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* ---- a run ---- */

void oracle_begin(void)
{
    for (unsigned cpu = 0; cpu < KTLB_CPUS_MAX; cpu++)
        counts[cpu] = (struct oracle_counts){0};
    ktlb_store_relaxed(&records_used, 0);
    run++;
}

void oracle_sum(struct oracle_counts *sum)
{
    *sum = (struct oracle_counts){0};
    for (unsigned cpu = 0; cpu < KTLB_CPUS_MAX; cpu++) {
        sum->checked += counts[cpu].checked;
        sum->in_change += counts[cpu].in_change;
        sum->stores += counts[cpu].stores;
        sum->faulted += counts[cpu].faulted;
        sum->frames += counts[cpu].frames;
        for (unsigned i = 0; i < ORACLE_FAULTS; i++)
            sum->wrong[i] += counts[cpu].wrong[i];
    }
}

uint64_t oracle_wrong(const struct oracle_counts *of)
{
    uint64_t wrong = 0;

    for (unsigned i = 0; i < ORACLE_FAULTS; i++)
        wrong += of->wrong[i];
    return wrong;
}

uint64_t oracle_wrong_here(void)
{
    return oracle_wrong(&counts[machine_cpu()]);
}

static const char *fault_text(enum oracle_fault fault)
{
    switch (fault) {
    case ORACLE_STALE:
        return "a translation was used that sync had promised gone";
    case ORACLE_LOST:
        return "a settled translation faulted";
    case ORACLE_EARLY:
        return "a frame was given away while it could still be reached";
    case ORACLE_LATE_STORE:
        return "a store came through a translation that was gone";
    case ORACLE_DISTURBED:
        return "a CPU was interrupted for nothing";
    default:
        return "?";
    }
}

static const char *promise_of(enum oracle_fault fault, const char *stale)
{
    if (fault == ORACLE_EARLY)
        return "P3";
    return fault == ORACLE_DISTURBED ? "P6" : fault == ORACLE_STALE ? stale : "P1";
}

static void print_record(const struct record *record, const char *stale)
{
    static const char *const rights[] = {"no mapping", "read only", "write only", "read and write"};

    machine_print("# %s broken: %s; seed %llu, cpu %u, va 0x%llx", promise_of(record->fault, stale),
                  fault_text(record->fault), (unsigned long long)machine.seed, record->cpu,
                  (unsigned long long)record->va);
    if (record->fault == ORACLE_DISTURBED) {
        machine_print("#     %llu times", (unsigned long long)record->seen);
        return;
    }
    machine_print("#     %s %s 0x%llx; %s: %s, stamp 0x%llx, change %llu", record->store ? "stored" : "read",
                  record->alive ? "" : "(faulted)", (unsigned long long)record->seen,
                  record->settled ? "expected exactly" : "in change around", rights[RIGHTS(record->version)],
                  (unsigned long long)record->stamp, (unsigned long long)(record->version >> 3));
}

void oracle_print_faults(const char *stale)
{
    uint64_t used = ktlb_load_relaxed(&records_used);

    for (uint64_t i = 0; i < used && i < RECORDS_MAX; i++)
        print_record(&records[i], stale);
}

static void wrong(const struct record *record)
{
    uint64_t place;

    counts[record->cpu].wrong[record->fault]++;
    if (ktlb_load_relaxed(&records_used) >= RECORDS_MAX)
        return;
    place = ktlb_rmw_add_relaxed(&records_used, 1);
    if (place < RECORDS_MAX)
        records[place] = *record;
}

void oracle_disturbed(unsigned cpu, uint64_t times)
{
    wrong(&(struct record){.fault = ORACLE_DISTURBED, .cpu = cpu, .seen = times});
}

/* ---- pages ---- */

void oracle_page_init(struct oracle_page *page, uint32_t id, uint64_t va)
{
    ktlb_store_relaxed(&page->version, 0);
    ktlb_store_relaxed(&page->stamp, 0);
    page->va = va;
    page->id = id;
    /* Stamps of different runs differ, or a translation left over from the last one would pass for today's. */
    page->generation = (run & 0xff) << 16;
    page->frame = NULL;
}

bool oracle_change(struct oracle_page *page)
{
    uint64_t version = ktlb_load_relaxed(&page->version);

    /* Acquire: the page's fields as the initiator before us left them; pairs with the release in oracle_settle. */
    if ((version & IN_CHANGE) || !ktlb_rmw_cas_acquire(&page->version, &version, version | IN_CHANGE))
        return false;
    fence_release();
    return true;
}

void oracle_settle(struct oracle_page *page, uint64_t stamp, unsigned rights)
{
    uint64_t changes = (ktlb_load_relaxed(&page->version) >> 3) + 1;

    ktlb_store_relaxed(&page->stamp, stamp);
    ktlb_store_release(&page->version, changes << 3 | (uint64_t)rights << 1);
}

/* ---- frames ---- */

unsigned oracle_words(void)
{
    return machine.frame_words < CANARIES_MAX + 1 ? machine.frame_words : CANARIES_MAX + 1;
}

static uint64_t word_of(uint64_t kind, uint32_t id, uint32_t generation, unsigned cpu)
{
    return kind | (uint64_t)id << 32 | (uint64_t)(generation & 0xffffff) << 8 | (cpu & CPU_MAX) << 1;
}

uint64_t oracle_stamp(struct oracle_page *page, struct ktlb_u64 *words)
{
    uint64_t stamp = word_of(KIND_STAMP, page->id, ++page->generation, 0);

    ktlb_store_relaxed(&words[0], stamp);
    for (unsigned i = 1; i < oracle_words(); i++)
        ktlb_store_relaxed(&words[i], word_of(KIND_CANARY, page->id, page->generation, OWNER));
    return stamp;
}

void oracle_check_poison(const struct machine_frame *frame)
{
    const struct ktlb_u64 *words = machine_frame_words(frame);
    unsigned cpu = machine_cpu();

    counts[cpu].frames++;
    for (unsigned i = 0; i < oracle_words(); i++) {
        uint64_t seen = ktlb_load_relaxed(&words[i]);

        if (KTLB_UNLIKELY(seen != (MACHINE_POISON | frame->number)))
            wrong(&(struct record){.fault = ORACLE_LATE_STORE, .cpu = cpu, .alive = true, .store = true,
                                   .seen = seen});
    }
}

/*
 * A canary of the stamp's page. It may be older than the stamp: a store takes its generation before it is made, and the
 * page may be given a new frame in between. It is never younger, or it came through an older translation.
 */
static bool canary_fits(uint64_t stamp, uint64_t canary)
{
    return (canary & KIND_MASK) == KIND_CANARY && (canary & ID_MASK) == (stamp & ID_MASK) &&
           (canary & GENERATION_MASK) <= (stamp & GENERATION_MASK);
}

void oracle_check_canaries(const struct ktlb_u64 *words, uint64_t va)
{
    uint64_t stamp = ktlb_load_relaxed(&words[0]);
    unsigned cpu = machine_cpu();

    counts[cpu].frames++;
    for (unsigned i = 1; i < oracle_words(); i++) {
        uint64_t seen = ktlb_load_relaxed(&words[i]);

        if (KTLB_UNLIKELY(!canary_fits(stamp, seen)))
            wrong(&(struct record){.fault = ORACLE_LATE_STORE, .cpu = cpu, .alive = true, .store = true, .va = va,
                                   .seen = seen, .stamp = stamp});
    }
}

void oracle_poison(const struct machine_frame *frame)
{
    struct ktlb_u64 *words = machine_frame_words(frame);

    for (unsigned i = 0; i < machine.frame_words; i++)
        ktlb_store_relaxed(&words[i], MACHINE_POISON | frame->number);
}

/* ---- accesses ---- */

struct access {
    struct oracle_page *page;
    uint64_t version, stamp; /* before the access */
    uint64_t value;          /* read, or stored */
    unsigned cpu, word;
    bool store, alive;
};

/* Whether the page, settled, allows it. */
static bool may(const struct access *access)
{
    return RIGHTS(access->version) & (access->store ? MACHINE_WRITE : MACHINE_READ);
}

static bool attempt(uint64_t va, struct access *access)
{
    return access->store ? machine_store(va, access->value) : machine_load(va, &access->value);
}

static bool as_settled(const struct access *access)
{
    if (access->alive != may(access))
        return false;
    if (access->store || !access->alive)
        return true;
    return access->word == 0 ? access->value == access->stamp : canary_fits(access->stamp, access->value);
}

/* Old, new or nothing: whatever it is, it is this page's. What a store hit is seen by the frame's next owner. */
static bool as_in_change(const struct access *access)
{
    uint64_t kind = access->word == 0 ? KIND_STAMP : KIND_CANARY;

    if (access->store || !access->alive)
        return true;
    return (access->value & (KIND_MASK | ID_MASK)) == (kind | (uint64_t)access->page->id << 32);
}

static enum oracle_fault kind_of_fault(const struct access *access, bool settled)
{
    if (settled)
        return access->alive ? ORACLE_STALE : ORACLE_LOST;
    return access->word == 0 || (access->value & KIND_MASK) != KIND_CANARY ? ORACLE_EARLY : ORACLE_LATE_STORE;
}

/* Not a plain match: the page is changing, or something is wrong. */
static void judge(const struct access *access, bool settled)
{
    /* The second look may have overtaken the access, a store's above all. Behind a full fence it cannot. */
    if (settled) {
        ktlb_fence_seq_cst();
        settled = ktlb_load_relaxed(&access->page->version) == access->version;
    }
    if (!settled && as_in_change(access)) {
        counts[access->cpu].in_change++;
        return;
    }
    wrong(&(struct record){.fault = kind_of_fault(access, settled), .cpu = access->cpu, .alive = access->alive,
                           .store = access->store, .settled = settled, .va = access->page->va, .seen = access->value,
                           .stamp = access->stamp, .version = access->version});
}

void oracle_touch(struct oracle_page *page, unsigned cpu, unsigned pick)
{
    struct access access = {.page = page, .cpu = cpu};
    uint64_t va = page->va, after;

    access.version = ktlb_load_acquire(&page->version);
    access.stamp = ktlb_load_relaxed(&page->stamp);
    if ((pick & 6) == 0 && oracle_words() > 1) {
        access.store = !(pick & 1);
        access.word = 1 + (access.store ? cpu : pick >> 3) % (oracle_words() - 1);
        va += access.word * sizeof(uint64_t);
    }
    if (access.store)
        access.value = word_of(KIND_CANARY, page->id, (uint32_t)(access.stamp >> 8), cpu);
    access.alive = attempt(va, &access);
    /* Rights may be given without a flush. An entry that knew less may then fault once; the fault removes it. */
    if (KTLB_UNLIKELY(!access.alive && may(&access)))
        access.alive = attempt(va, &access);
    fence_acquire();
    after = ktlb_load_relaxed(&page->version);
    counts[cpu].stores += access.store;
    counts[cpu].faulted += !access.alive;
    if (KTLB_LIKELY(after == access.version && !(after & IN_CHANGE) && as_settled(&access)))
        counts[cpu].checked++;
    else
        judge(&access, after == access.version && !(after & IN_CHANGE));
}
