/*
 * atomic.h - the only way the library touches a word that another CPU may touch.
 *
 * Each word is a struct, so that it cannot be read or written by accident; each access carries its
 * order in its name, so that every ordered access can be listed by a search, and weakened by one: that is how
 * the mutants of the explorer are made. A host replaces this file by defining KTLB_ATOMIC_HEADER.
 *
 * Built on the compiler's C11 atomics rather than stdatomic.h, which is not among the headers a
 * freestanding C++ host can include.
 */
#ifndef KTLB_PLATFORM_ATOMIC_H
#define KTLB_PLATFORM_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

struct ktlb_u32 {
    uint32_t value;
};

struct ktlb_u64 {
    uint64_t value;
};

struct ktlb_pointer {
    void *value;
};

/* A full fence: everything before it, loads and stores, is ordered before everything after it. */
KTLB_INLINE void ktlb_fence_seq_cst(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Nothing for the processor: orders this CPU against what interrupts it, which only a compiler could upset. */
KTLB_INLINE void ktlb_fence_signal(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* Words of 32 bits. */

KTLB_INLINE uint32_t ktlb_load_relaxed_u32(const struct ktlb_u32 *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint32_t ktlb_load_acquire_u32(const struct ktlb_u32 *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE void ktlb_store_relaxed_u32(struct ktlb_u32 *word, uint32_t value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE void ktlb_store_release_u32(struct ktlb_u32 *word, uint32_t value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint32_t ktlb_rmw_add_relaxed_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_add(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint32_t ktlb_rmw_add_release_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_add(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint32_t ktlb_rmw_exchange_relaxed_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint32_t ktlb_rmw_exchange_acquire_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE uint32_t ktlb_rmw_exchange_release_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint32_t ktlb_rmw_exchange_acq_rel_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_ACQ_REL);
}

KTLB_INLINE uint32_t ktlb_rmw_or_relaxed_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_or(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint32_t ktlb_rmw_or_acquire_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_or(&word->value, value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE uint32_t ktlb_rmw_and_relaxed_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_and(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint32_t ktlb_rmw_and_release_u32(struct ktlb_u32 *word, uint32_t value)
{
    return __atomic_fetch_and(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE bool ktlb_rmw_cas_relaxed_u32(struct ktlb_u32 *word, uint32_t *expected, uint32_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

KTLB_INLINE bool ktlb_rmw_cas_acquire_u32(struct ktlb_u32 *word, uint32_t *expected, uint32_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_ACQUIRE);
}

KTLB_INLINE bool ktlb_rmw_cas_acq_rel_u32(struct ktlb_u32 *word, uint32_t *expected, uint32_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Words of 64 bits, the usual case, carry no suffix. */

KTLB_INLINE uint64_t ktlb_load_relaxed(const struct ktlb_u64 *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint64_t ktlb_load_acquire(const struct ktlb_u64 *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE void ktlb_store_relaxed(struct ktlb_u64 *word, uint64_t value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE void ktlb_store_release(struct ktlb_u64 *word, uint64_t value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint64_t ktlb_rmw_or_relaxed(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_or(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint64_t ktlb_rmw_or_release(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_or(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint64_t ktlb_rmw_and_relaxed(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_and(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint64_t ktlb_rmw_and_release(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_and(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint64_t ktlb_rmw_add_relaxed(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_add(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint64_t ktlb_rmw_add_release(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_fetch_add(&word->value, value, __ATOMIC_RELEASE);
}

KTLB_INLINE uint64_t ktlb_rmw_exchange_relaxed(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE uint64_t ktlb_rmw_exchange_acquire(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE uint64_t ktlb_rmw_exchange_acq_rel(struct ktlb_u64 *word, uint64_t value)
{
    return __atomic_exchange_n(&word->value, value, __ATOMIC_ACQ_REL);
}

KTLB_INLINE bool ktlb_rmw_cas_relaxed(struct ktlb_u64 *word, uint64_t *expected, uint64_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

KTLB_INLINE bool ktlb_rmw_cas_release(struct ktlb_u64 *word, uint64_t *expected, uint64_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_RELEASE,
                                       __ATOMIC_RELAXED);
}

KTLB_INLINE bool ktlb_rmw_cas_acquire(struct ktlb_u64 *word, uint64_t *expected, uint64_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_ACQUIRE);
}

KTLB_INLINE bool ktlb_rmw_cas_acq_rel(struct ktlb_u64 *word, uint64_t *expected, uint64_t value)
{
    return __atomic_compare_exchange_n(&word->value, expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Pointers. */

KTLB_INLINE void *ktlb_load_relaxed_pointer(const struct ktlb_pointer *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_RELAXED);
}

KTLB_INLINE void *ktlb_load_acquire_pointer(const struct ktlb_pointer *word)
{
    return __atomic_load_n(&word->value, __ATOMIC_ACQUIRE);
}

KTLB_INLINE void ktlb_store_relaxed_pointer(struct ktlb_pointer *word, void *value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELAXED);
}

KTLB_INLINE void ktlb_store_release_pointer(struct ktlb_pointer *word, void *value)
{
    __atomic_store_n(&word->value, value, __ATOMIC_RELEASE);
}

#endif
