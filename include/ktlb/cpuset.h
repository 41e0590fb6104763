/*
 * cpuset.h - sets of CPUs: a plain one for who owns it alone, a shared one for words that CPUs change side by side.
 */
#ifndef KTLB_CPUSET_H
#define KTLB_CPUSET_H

#include "platform/compiler.h"
#ifdef KTLB_ATOMIC_HEADER
#include KTLB_ATOMIC_HEADER
#else
#include "platform/atomic.h"
#endif
#include "platform/config.h"

#define KTLB_CPUSET_WORDS ((KTLB_CPUS_MAX + 63) / 64)

struct ktlb_cpuset {
    uint64_t word[KTLB_CPUSET_WORDS];
};

struct ktlb_cpuset_shared {
    struct ktlb_u64 word[KTLB_CPUSET_WORDS];
};

KTLB_INLINE void ktlb_cpuset_add(struct ktlb_cpuset *set, unsigned cpu)
{
    set->word[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

KTLB_INLINE void ktlb_cpuset_remove(struct ktlb_cpuset *set, unsigned cpu)
{
    set->word[cpu / 64] &= ~(UINT64_C(1) << (cpu % 64));
}

KTLB_INLINE bool ktlb_cpuset_has(const struct ktlb_cpuset *set, unsigned cpu)
{
    return set->word[cpu / 64] >> (cpu % 64) & 1;
}

KTLB_INLINE bool ktlb_cpuset_empty(const struct ktlb_cpuset *set)
{
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        if (set->word[i])
            return false;
    return true;
}

KTLB_INLINE unsigned ktlb_cpuset_count(const struct ktlb_cpuset *set)
{
    unsigned count = 0;

    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        count += ktlb_count_bits(set->word[i]);
    return count;
}

/* The first member at or after @cpu, or KTLB_CPUS_MAX. */
KTLB_INLINE unsigned ktlb_cpuset_next(const struct ktlb_cpuset *set, unsigned cpu)
{
    while (cpu < KTLB_CPUS_MAX) {
        uint64_t rest = set->word[cpu / 64] >> (cpu % 64);

        if (rest)
            return cpu + ktlb_lowest_bit(rest);
        cpu = (cpu / 64 + 1) * 64;
    }
    return KTLB_CPUS_MAX;
}

/* What is in *@set, word by word. */
KTLB_INLINE struct ktlb_cpuset ktlb_cpuset_read(const struct ktlb_cpuset_shared *set)
{
    struct ktlb_cpuset copy;

    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        copy.word[i] = ktlb_load_relaxed(&set->word[i]);
    return copy;
}

/* Where KTLB_CPUSET_EACH is. */
struct ktlb_cpuset_walk {
    const uint64_t *word;
    uint64_t rest;  /* of the word at hand, who is still to come */
    unsigned first; /* whom its lowest bit stands for */
    bool ended;
};

KTLB_INLINE struct ktlb_cpuset_walk ktlb_cpuset_walk_begin(const struct ktlb_cpuset *set)
{
    struct ktlb_cpuset_walk walk = {set->word, set->word[0], 0, false};

    return walk;
}

/* False: there is no further member. */
KTLB_INLINE bool ktlb_cpuset_walk_next(struct ktlb_cpuset_walk *walk, unsigned *cpu)
{
    while (!walk->rest) {
        walk->first += 64;
        if (walk->first == 64 * KTLB_CPUSET_WORDS)
            return false;
        walk->rest = walk->word[walk->first / 64];
    }
    *cpu = walk->first + ktlb_lowest_bit(walk->rest);
    walk->rest &= walk->rest - 1;
    return true;
}

/*
 * Every member of *@set in rising order. The member at hand may be removed in the body; who is removed or added ahead
 * of it may still come, or not. Two loops, of which the outer turns once: what the walk needs is declared in one and
 * @cpu in the other, and a break leaves both.
 */
#define KTLB_CPUSET_EACH(cpu, set)                                                                 \
    for (struct ktlb_cpuset_walk cpu##_walk = ktlb_cpuset_walk_begin(set); !cpu##_walk.ended; cpu##_walk.ended = true) \
        for (unsigned cpu = 0; ktlb_cpuset_walk_next(&cpu##_walk, &cpu);)

#endif
