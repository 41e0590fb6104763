/*
 * compiler.h - what the library asks of the compiler, by name.
 *
 * A host with a compiler of its own replaces this file by defining KTLB_COMPILER_HEADER; the names
 * below are all that the rest of the library uses.
 */
#ifndef KTLB_PLATFORM_COMPILER_H
#define KTLB_PLATFORM_COMPILER_H

#ifdef KTLB_COMPILER_HEADER
#include KTLB_COMPILER_HEADER
#else

#define KTLB_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define KTLB_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define KTLB_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define KTLB_INLINE static inline __attribute__((always_inline))
/* Of a header, and still never inlined: what it needs is not set up by who seldom calls it. */
#define KTLB_OUTLINE static __attribute__((noinline, unused))
#define KTLB_PRINTF(text, first) __attribute__((format(printf, text, first)))

#ifdef __cplusplus
#define KTLB_STATIC_ASSERT(condition, rule) static_assert(condition, rule)
#else
#define KTLB_STATIC_ASSERT(condition, rule) _Static_assert(condition, rule)
#endif

/* The index of the lowest set bit. @word is not 0. */
KTLB_INLINE unsigned ktlb_lowest_bit(unsigned long long word)
{
#if defined(__riscv) && !defined(__riscv_zbb)
    /* Without the instruction the builtin is a call into a library we do not have. The bit alone, and each of its
     * index's. */
    word &= 0 - word;
    return (unsigned)((word & 0xaaaaaaaaaaaaaaaa) != 0) | (unsigned)((word & 0xcccccccccccccccc) != 0) << 1 |
           (unsigned)((word & 0xf0f0f0f0f0f0f0f0) != 0) << 2 | (unsigned)((word & 0xff00ff00ff00ff00) != 0) << 3 |
           (unsigned)((word & 0xffff0000ffff0000) != 0) << 4 | (unsigned)((word & 0xffffffff00000000) != 0) << 5;
#else
    return (unsigned)__builtin_ctzll(word);
#endif
}

KTLB_INLINE unsigned ktlb_count_bits(unsigned long long word)
{
    /* Not __builtin_popcountll, for the same reason. Sums of two bits, of four, of eight; then all of them at the top. */
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)(word * 0x0101010101010101 >> 56);
}

#endif /* KTLB_COMPILER_HEADER */

#endif
