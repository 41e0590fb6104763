/*
 * space.c - an address space: its generation, its name, and who may hold its translations.
 *
 * The one store-buffering pair of the design lives between this file's users:
 *   dispatch (batch.c):  raise the generation [G];  fence [F1];  read the sets
 *   arrival (cpu.c):     join the active set [J];    fence [F2];  read the generation
 * With both fences at least one side sees the other: either the initiator makes the CPU a target, or the CPU finds
 * the raised generation and flushes. (CVE-2016-2069 is this pair without one of the fences.)
 */
#include "internal.h"

struct ktlb_space ktlb_kernel = {.id = KTLB_KERNEL_ID};

/* Names given to spaces so far; the kernel's is 1. 64 bits do not wrap. */
static struct ktlb_u64 last_id = {KTLB_KERNEL_ID};

void ktlb_space_nobody(struct ktlb_cpuset_shared *set)
{
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        ktlb_store_relaxed(&set->word[i], 0);
}

bool ktlb_space_has(const struct ktlb_cpuset_shared *set, unsigned cpu)
{
    return ktlb_load_relaxed(&set->word[cpu / 64]) >> (cpu % 64) & 1;
}

bool ktlb_space_set_empty(const struct ktlb_cpuset_shared *set)
{
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        if (ktlb_load_relaxed(&set->word[i]))
            return false;
    return true;
}

void ktlb_space_init(struct ktlb_space *space)
{
    KTLB_ASSERT(space != &ktlb_kernel, "the kernel's space is not initialised by the host");
    ktlb_store_relaxed(&space->generation, 0);
    space->id = ktlb_rmw_add_relaxed(&last_id, 1) + 1;
    ktlb_store_relaxed(&space->tag, 0);
    ktlb_space_nobody(&space->active);
    ktlb_space_nobody(&space->lazy);
#if KTLB_SPACE_RING
    for (unsigned i = 0; i < KTLB_SPACE_RING; i++)
        ktlb_store_relaxed(&space->recent[i].generation, 0);
#endif
}

void ktlb_space_fini(struct ktlb_space *space)
{
    KTLB_ASSERT(space != &ktlb_kernel, "the kernel's space is not freed");
    KTLB_ASSERT(ktlb_space_set_empty(&space->active) || KTLB_BY_HARDWARE, "a space is freed only when no CPU has it loaded");
    KTLB_ASSERT(ktlb_space_set_empty(&space->lazy), "a space is freed only when no CPU has it loaded lazily");
    space->id = 0; /* a batch on it from here on is caught when it is dispatched */
}

/* Relaxed: that this CPU is online is seen, by an initiator that finds it here, through [F3] and [F4]. The full fence that
 * follows a join of an active set is the caller's, because what has to come after it differs. */
void ktlb_space_join(struct ktlb_cpuset_shared *set, unsigned cpu)
{
    ktlb_rmw_or_relaxed(&set->word[cpu / 64], UINT64_C(1) << (cpu % 64));
}

/* Release [L]: an initiator that no longer finds this CPU in the set may take it that the CPU is done with the
 * space's translations and tables; pairs with the acquire loads in dispatch. */
void ktlb_space_leave(struct ktlb_cpuset_shared *set, unsigned cpu)
{
    ktlb_rmw_and_release(&set->word[cpu / 64], ~(UINT64_C(1) << (cpu % 64)));
}

/* ---- the ring of recent dispatches ----
 *
 * An entry is written by whoever claims it: any dispatch newer than the one in it, and one at a time. Who cannot claim it
 * does without, so nobody waits; the dispatch is then missing from the ring, and who needs it drops the space.
 * Generations only grow, so an entry that reads the same before and after its words were read has not changed between.
 */
#if KTLB_SPACE_RING

#define CLAIMED UINT64_MAX

void ktlb_space_remember(struct ktlb_space *space, uint64_t generation, struct ktlb_op op)
{
    struct ktlb_recent *entry = &space->recent[generation % KTLB_SPACE_RING];
    uint64_t held = generation > KTLB_SPACE_RING ? generation - KTLB_SPACE_RING : 0;

    /* What is there most often is not loaded first: that would fetch the line twice, to be read and to be written.
     * Acquire [E1], pairs with [E3] of the previous writer: its words come before ours, and do not reappear over them. */
    for (unsigned tries = 0; !ktlb_rmw_cas_acquire(&entry->generation, &held, CLAIMED); tries++)
        if (held >= generation || tries)
            return;
    /* Release [E2], pairs with the acquire in recall: who reads one of these words sees the entry claimed, or newer. */
    ktlb_store_release(&entry->va, op.va);
    ktlb_store_release(&entry->extent, (uint64_t)op.flags << 40 | (uint64_t)op.shift << 32 | op.count);
    ktlb_store_release(&entry->generation, generation); /* [E3], pairs with the acquire in recall: the words are there */
}

bool ktlb_space_recall(const struct ktlb_space *space, uint64_t generation, struct ktlb_op *op)
{
    const struct ktlb_recent *entry = &space->recent[generation % KTLB_SPACE_RING];
    uint64_t extent;

    if (ktlb_load_acquire(&entry->generation) != generation) /* pairs with [E3] */
        return false;
    op->va = ktlb_load_acquire(&entry->va); /* both pair with [E2] */
    extent = ktlb_load_acquire(&entry->extent);
    op->count = (uint32_t)extent;
    op->shift = (uint8_t)(extent >> 32);
    op->flags = (uint8_t)(extent >> 40);
    op->zero = 0;
    return ktlb_load_relaxed(&entry->generation) == generation;
}

#endif
