/*
 * line.c - request lines: where a request stays while its targets read it.
 *
 * Protocols that tell a target "line 3" rather than "that batch" save it the way to the initiator's stack, and need no
 * word about what a late reader finds there. A line is taken for one batch and given back when all its targets have
 * answered or left, so that it can be written with plain stores.
 * Invariant: between take and release a line belongs to one batch.
 */
#include "../internal.h"

void ktlb_request_copy(struct ktlb_request *to, const struct ktlb_request *from)
{
    to->space = from->space;
    to->space_id = from->space_id;
    to->generation = from->generation;
    to->count = from->count;
    to->flags = from->flags;
    for (uint32_t i = 0; i < from->count; i++) /* not all of them: one op is one cache line for a target, not two */
        to->op[i] = from->op[i];
}

uint32_t ktlb_line_claim(struct ktlb_u32 *taken, size_t apart, uint32_t count, uint32_t first, uint32_t tries)
{
    for (uint32_t i = 0; i < tries && i < count; i++) {
        uint32_t number = (first + i) % count;
        struct ktlb_u32 *word = (struct ktlb_u32 *)(void *)((char *)taken + number * apart);

        /* Acquire, pairs with the release in ktlb_line_release: whoever read the request before is done with it. */
        if (!ktlb_load_relaxed_u32(word) && ktlb_rmw_exchange_acquire_u32(word, 1) == 0)
            return number;
    }
    return KTLB_LINE_NONE;
}

uint32_t ktlb_line_take(struct ktlb_line *lines, uint32_t count, const struct ktlb_request *request)
{
    uint32_t number = ktlb_line_claim(&lines->taken, sizeof(*lines), count, 0, count);

    if (number != KTLB_LINE_NONE)
        ktlb_request_copy(&lines[number].request, request);
    return number;
}

void ktlb_line_release(struct ktlb_u32 *taken)
{
    /* Release, pairs with the acquire in ktlb_line_claim. What the targets read is before it, through their answers. */
    ktlb_store_release_u32(taken, 0);
}
