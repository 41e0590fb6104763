/*
 * op.c - arithmetic on ops. Invariant: a join covers both its parts; when in doubt it covers more.
 */
#include "internal.h"

static bool covers_all(struct ktlb_op op)
{
    return op.count == KTLB_ALL;
}

unsigned ktlb_op_join_flags(unsigned a, unsigned b)
{
    return ((a | b) & ~(unsigned)KTLB_GLOBAL) | (a & b & KTLB_GLOBAL);
}

bool ktlb_op_well_formed(struct ktlb_op op, unsigned shift_min)
{
    if (op.shift < shift_min || op.shift >= 64 || (op.flags & ~KTLB_OP_FLAGS) || op.zero != 0 || op.count == 0)
        return false;
    if (op.count == KTLB_ALL)
        return op.va == 0;
    return !(op.va & ((UINT64_C(1) << op.shift) - 1)) && op.count - 1 <= (UINT64_MAX - op.va) >> op.shift;
}

struct ktlb_op ktlb_op_all(unsigned flags)
{
    KTLB_ASSERT(!(flags & ~(unsigned)KTLB_OP_FLAGS), "an op has only the flags of enum ktlb_op_flag");
    return (struct ktlb_op){.count = KTLB_ALL, .shift = KTLB_PAGE_SHIFT, .flags = (uint8_t)flags};
}

struct ktlb_op ktlb_op_range(uint64_t va, uint64_t size, unsigned shift, unsigned flags)
{
    uint64_t mask;

    KTLB_ASSERT(shift >= KTLB_PAGE_SHIFT && shift < 64, "a range's stride is a page or more");
    KTLB_ASSERT(!(flags & ~(unsigned)KTLB_OP_FLAGS), "an op has only the flags of enum ktlb_op_flag");
    mask = (UINT64_C(1) << shift) - 1;
    KTLB_ASSERT(size != 0, "a range is not empty");
    KTLB_ASSERT(!(va & mask) && !(size & mask), "a range starts and ends on a multiple of its stride");
    KTLB_ASSERT(va + (size - 1) >= va, "a range does not wrap around");
    if (size >> shift >= KTLB_ALL)
        return ktlb_op_all(flags);
    return (struct ktlb_op){
        .va = va, .count = (uint32_t)(size >> shift), .shift = (uint8_t)shift, .flags = (uint8_t)flags};
}

struct ktlb_op ktlb_op_join(struct ktlb_op a, struct ktlb_op b, uint32_t limit)
{
    unsigned flags = a.count && b.count ? ktlb_op_join_flags(a.flags, b.flags) : (unsigned)a.flags | b.flags;
    unsigned shift = a.shift < b.shift ? a.shift : b.shift;
    uint64_t a_last, b_last, start, last;

    if (covers_all(a) || covers_all(b))
        return ktlb_op_all(flags);
    if (a.count == 0 || b.count == 0) {
        a = a.count ? a : b;
        a.flags = (uint8_t)flags;
        return a;
    }
    /* Last bytes rather than ends: a range may end where the address space does. */
    a_last = a.va + (((uint64_t)a.count << a.shift) - 1);
    b_last = b.va + (((uint64_t)b.count << b.shift) - 1);
    start = a.va < b.va ? a.va : b.va;
    last = a_last > b_last ? a_last : b_last;
    if ((last - start) >> shift >= limit || (last - start) >> shift >= KTLB_ALL - 1)
        return ktlb_op_all(flags);
    return (struct ktlb_op){.va = start,
                            .count = (uint32_t)((last - start) >> shift) + 1,
                            .shift = (uint8_t)shift,
                            .flags = (uint8_t)flags};
}
