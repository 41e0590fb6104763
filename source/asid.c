/*
 * asid.c - tags that mean the same space on every CPU, for machines that invalidate by broadcast.
 *
 * A space keeps its tag for a round, and each CPU notes what it has loaded. When a round has given out all its tags, who
 * needs one begins the next round: it takes every CPU's note away, reserves what was noted, for those spaces go on under
 * the tags they have, and leaves word for every CPU to drop all it holds before it loads anything else. Nobody is
 * interrupted and nobody waits for another CPU's switch.
 *
 * Invariant: two spaces have the same tag only if the one's is of an older round, and then no CPU that may hold entries
 * of the older loads the newer without having dropped everything.
 * Origin: the rollover of Linux' arm64 and riscv (arch/arm64/mm/context.c), told in docs/PROTOCOLS.md.
 */
#include "internal.h"

#include "ktlb/arch/arch.h"

/* A tag as spaces and CPUs note it: the round in the upper bits, the number in the lower. 0: none. */
#define NUMBER_BITS 16
#define NUMBERS (1u << NUMBER_BITS)
#define FIRST_ROUND (UINT64_C(1) << NUMBER_BITS)

struct note {
    /* What the CPU has loaded or is about to load: written by it, taken away by who begins a round. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 loaded;
    /* Between switch_begin and _end: what its walker is still in. Written by it. */
    struct ktlb_u64 leaving;
    /* Under the lock: what was taken away of the two and goes on, and whether the CPU has yet to drop everything. */
    uint64_t kept[2];
    bool stale;
};

struct tags {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 round;
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 locked;
    /* Under the lock. */
    uint32_t search_from;
    uint64_t taken[NUMBERS / 64]; /* in this round, or kept from the one before */
};

static struct tags *tags;
static struct note *notes;
static unsigned cpus;

size_t ktlb_asid_memory_size(unsigned count)
{
    return sizeof(struct tags) + count * sizeof(struct note);
}

void ktlb_asid_init(void *memory, unsigned count)
{
    tags = (struct tags *)memory;
    notes = (struct note *)(tags + 1);
    cpus = count;
    *tags = (struct tags){.round = {FIRST_ROUND}, .search_from = 1, .taken = {1}}; /* number 0 is the kernel's */
    for (unsigned i = 0; i < count; i++)
        notes[i] = (struct note){0};
}

/* ---- under the lock ---- */

/* Held for one look through the tags and the CPUs, by nobody who waits for anything. Interrupts are masked. */
static void lock(void)
{
    while (ktlb_rmw_exchange_acquire_u32(&tags->locked, 1)) /* pairs with the release in unlock */
        while (ktlb_load_relaxed_u32(&tags->locked))
            ktlb_arch_relax();
}

static void unlock(void)
{
    ktlb_store_release_u32(&tags->locked, 0);
}

static bool take(uint64_t number)
{
    uint64_t bit = UINT64_C(1) << (number % 64);
    bool free = !(tags->taken[number / 64] & bit);

    tags->taken[number / 64] |= bit;
    return free;
}

static void keep(struct note *note)
{
    /* Acquire, pairs with the compare-and-swap of ktlb_asid_load: who is seen to be about to load a tag is seen to be
     * leaving another. Of that compare-and-swap and this exchange one comes first; if it is this, that fails, and the CPU
     * comes for the lock. */
    uint64_t loaded = ktlb_rmw_exchange_acquire(&note->loaded, 0);

    if (loaded) { /* else the CPU has loaded nothing since the last round began, and what was kept then goes on */
        note->kept[0] = loaded;
        note->kept[1] = ktlb_load_acquire(&note->leaving); /* pairs with the release in ktlb_asid_loaded */
    }
    take(note->kept[0] % NUMBERS);
    take(note->kept[1] % NUMBERS);
    note->stale = true;
}

static void begin_round(void)
{
    for (unsigned i = 0; i < NUMBERS / 64; i++)
        tags->taken[i] = i == 0;
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        keep(&notes[cpu]);
    tags->search_from = 1;
    ktlb_store_relaxed(&tags->round, ktlb_load_relaxed(&tags->round) + FIRST_ROUND);
}

/* The next free number, or 0. */
static uint64_t find(void)
{
    for (uint32_t number = tags->search_from; number <= ktlb_machine.asids; number++) {
        if (take(number)) {
            tags->search_from = number + 1;
            return number;
        }
    }
    return 0;
}

/* If @held goes on under its number, on some CPU, it does so on all of them, as @renewed. */
static bool goes_on(uint64_t held, uint64_t renewed)
{
    bool any = false;

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        for (unsigned i = 0; i < 2; i++) {
            if (notes[cpu].kept[i] == held) {
                notes[cpu].kept[i] = renewed;
                any = true;
            }
        }
    }
    return any;
}

static uint64_t renew(struct ktlb_space *space, uint64_t held)
{
    uint64_t round = ktlb_load_relaxed(&tags->round);
    uint64_t number = held % NUMBERS;

    if (held && (goes_on(held, round | number) || take(number)))
        return round | number;
    /* Under another number nothing of the space is held anywhere: it is loaded nowhere, or the number would go on. */
    ktlb_space_nobody(&space->active);
    number = find();
    if (!number) {
        begin_round();
        round = ktlb_load_relaxed(&tags->round);
        number = find();
        KTLB_ASSERT(number, "more tags than two for each CPU"); /* which ktlb_init() has seen to */
    }
    return round | number;
}

/* ---- loading ---- */

static bool of_this_round(uint64_t tag)
{
    return tag && tag / NUMBERS == ktlb_load_relaxed(&tags->round) / NUMBERS;
}

static uint64_t load_anew(struct ktlb_cpu *self, struct note *mine, struct ktlb_space *space)
{
    uint64_t tag, loaded;
    bool stale;

    lock();
    tag = ktlb_load_relaxed(&space->tag);
    if (!of_this_round(tag)) {
        tag = renew(space, tag);
        ktlb_store_release(&space->tag, tag); /* pairs with the acquire in ktlb_asid_load: who joins, joins after nobody was in */
    }
    loaded = ktlb_load_relaxed(&mine->loaded);
    ktlb_store_relaxed(&mine->leaving, loaded ? loaded : mine->kept[0]);
    ktlb_store_relaxed(&mine->loaded, tag);
    stale = mine->stale;
    mine->stale = false;
    unlock();
    if (stale)
        ktlb_cpu_flush_machine(self);
    return tag;
}

uint16_t ktlb_asid_load(struct ktlb_cpu *self, struct ktlb_space *space)
{
    struct note *mine = &notes[self->number];
    uint64_t tag = ktlb_load_acquire(&space->tag); /* pairs with the release in load_anew */
    uint64_t loaded = ktlb_load_relaxed(&mine->loaded);

    ktlb_store_relaxed(&mine->leaving, loaded);
    /* Release, pairs with the exchange in keep. */
    if (!loaded || !of_this_round(tag) || !ktlb_rmw_cas_release(&mine->loaded, &loaded, tag))
        tag = load_anew(self, mine, space);
    return (uint16_t)(tag % NUMBERS);
}

void ktlb_asid_loaded(struct ktlb_cpu *self)
{
    /* Release, pairs with the acquire in keep: from here on this CPU's walker is no longer in the space it left. */
    ktlb_store_release(&notes[self->number].leaving, 0);
}

uint64_t ktlb_asid_of(const struct ktlb_space *space)
{
    return ktlb_load_relaxed(&space->tag) % NUMBERS;
}
