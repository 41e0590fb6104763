/*
 * op.h - what to invalidate: a run of equal strides, or a whole space.
 *
 * An op is a value of 16 bytes that means the same in a batch, in a request on its way to another CPU and in
 * the registers of a guest. The one invariant: joining never covers less than its two parts did.
 */
#ifndef KTLB_OP_H
#define KTLB_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/compiler.h"
#include "platform/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ktlb_op.count of an op that covers its whole space. */
#define KTLB_ALL UINT32_MAX

/* ktlb_op.flags. */
enum ktlb_op_flag {
    KTLB_TABLES = 1, /* page-table pages die as well: walk caches go too, lazy CPUs are not spared. Name an address
                      * under every table that dies: some walk caches are dropped by address (AMD's EFER.TCE) */
    KTLB_GLOBAL = 2, /* every entry covered is global: none of it is known under one tag only */
    KTLB_EXEC = 4,   /* what is executed there changed: instruction caches go too */
};
#define KTLB_OP_FLAGS (KTLB_TABLES | KTLB_GLOBAL | KTLB_EXEC)

/* What ktlb_arch_pte_obliges() returns beside these flags: invalidate what the entry spans. KTLB_TABLES then says that the
 * old entry led to a table, so that entries of every size may be cached in its range. */
#define KTLB_PTE_RANGE 0x100u

struct ktlb_op {
    uint64_t va;    /* first byte, a multiple of 1 << shift; 0 where count is 0 or KTLB_ALL */
    uint32_t count; /* how many strides; 0: nothing; KTLB_ALL: the space */
    uint8_t shift;  /* log2 of the stride in bytes: the size of the entries to drop */
    uint8_t flags;  /* enum ktlb_op_flag, or-ed */
    uint16_t zero;
};
KTLB_STATIC_ASSERT(sizeof(struct ktlb_op) == 16, "an op is 16 bytes: six of them and a head fill two lines");

/*
 * The op that covers [@va, @va + @size): entries of 1 << @shift bytes each, with @flags.
 * @size: bytes, not 0. @shift: KTLB_PAGE_SHIFT to 63. @va and @size are multiples of 1 << @shift and
 * the range does not pass the end of the address space. A range of more strides than fit is KTLB_ALL.
 *
 * Where entries of several sizes may map the range, name the smallest.
 */
struct ktlb_op ktlb_op_range(uint64_t va, uint64_t size, unsigned shift, unsigned flags);

/* The op that covers a whole space, with @flags. */
struct ktlb_op ktlb_op_all(unsigned flags);

/*
 * The smallest op that covers both @a and @b: the hull of two ranges in the smaller of their strides, with the
 * flags of both (KTLB_GLOBAL only if it is true of both). A hull of more than @limit strides becomes the whole space. An
 * op of count 0 adds its flags only.
 */
struct ktlb_op ktlb_op_join(struct ktlb_op a, struct ktlb_op b, uint32_t limit);

#ifdef __cplusplus
}
#endif

#endif
