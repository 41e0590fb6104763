/*
 * broadcast.c - one request for the whole machine, answered by each CPU for itself.
 *
 * The request lies in one line. Its initiator names the targets there, raises the number of the request, and sends
 * one interrupt to all of them. Each target publishes the number it is through with. While the line is taken, other
 * initiators do not wait for it: they count up one of two more numbers, and their targets flush the space, or the
 * kernel's half. A CPU that finds a new number without being a target is through with it at once, so interrupts that
 * were not meant for it, repeated or late ones, change nothing.
 *
 * Invariant: what the line and the target set say does not change while a target of theirs has not answered.
 * Origin: Theseus' one request for all; what differs is in docs/PROTOCOLS.md.
 */
#include "../internal.h"

/* What is numbered: the request in the line, and what found the line taken. */
enum { REQUEST, WIDENED_SPACE, WIDENED_KERNEL, KINDS };

struct board {
    struct ktlb_line line;
    struct ktlb_cpuset_shared targets;
    /* 64 bits do not wrap. 32 would do harm: a CPU that was no target for an hour may be so many requests behind that
     * what it has not answered looks answered, or what it has not seen, seen. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 asked[KINDS];
};

/* Written by one CPU, read by initiators that wait for it. */
struct answer {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 served[KINDS];
    uint64_t seen[KINDS]; /* the CPU's own: what it is through with; served follows */
    bool forgetting;      /* seen is ahead of served */
};

static struct board *board;
static struct answer *answers;

size_t ktlb_broadcast_memory_size(unsigned cpus)
{
    return sizeof(struct board) + cpus * sizeof(struct answer);
}

void ktlb_broadcast_init(void *memory, unsigned cpus)
{
    board = (struct board *)memory;
    answers = (struct answer *)(board + 1);
    *board = (struct board){0};
    for (unsigned i = 0; i < cpus; i++)
        answers[i] = (struct answer){0};
}

/* ---- the initiator ---- */

/* The line is ours. Its number has one writer, then. */
static uint64_t announce(const struct ktlb_cpuset *targets)
{
    uint64_t number = ktlb_load_relaxed(&board->asked[REQUEST]) + 1;

    /* Release, pairs with the acquire in is_target: a CPU that finds itself here before it sees the new number, being
     * late with the last one, finds the request complete as well. */
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        ktlb_store_release(&board->targets.word[i], targets->word[i]);
    ktlb_store_release(&board->asked[REQUEST], number); /* pairs with the acquire in serve_kind and forget */
    return number;
}

void ktlb_broadcast_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    unsigned kind = batch->request.space == &ktlb_kernel ? WIDENED_KERNEL : WIDENED_SPACE;

    if (ktlb_line_take(&board->line, 1, &batch->request) != KTLB_LINE_NONE) {
        kind = REQUEST;
        batch->number = announce(&batch->waiting);
    } else {
        /* Relaxed: the full fence [F1] is between the page-table changes and this. Pairs with the acquire in
         * serve_kind. */
        batch->number = ktlb_rmw_add_relaxed(&board->asked[kind], 1) + 1;
        KTLB_COUNT(self, overflows, ktlb_cpuset_count(&batch->waiting));
    }
    batch->line = kind;
    *kick = batch->waiting;
}

bool ktlb_broadcast_posted(struct ktlb_cpu *self)
{
    (void)self; /* who posts to us interrupts us */
    return false;
}

bool ktlb_broadcast_acked(const struct ktlb_batch *batch, unsigned target)
{
    /* Acquire, pairs with the release in serve_kind: the invalidation happened before. */
    return ktlb_load_acquire(&answers[target].served[batch->line]) >= batch->number;
}

void ktlb_broadcast_finish(struct ktlb_batch *batch)
{
    if (batch->line == REQUEST)
        ktlb_line_release(&board->line.taken);
}

/* ---- the target ---- */

bool ktlb_broadcast_pending(const struct ktlb_cpu *self)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        if (ktlb_load_relaxed(&board->asked[kind]) != answers[self->number].seen[kind])
            return true;
    return false;
}

static bool is_target(const struct ktlb_cpu *self)
{
    return ktlb_load_acquire(&board->targets.word[self->number / 64]) >> (self->number % 64) & 1;
}

static bool serve_kind(struct ktlb_cpu *self, struct answer *mine, unsigned kind)
{
    uint64_t asked = ktlb_load_acquire(&board->asked[kind]);
    bool meant = true;

    if (asked == mine->seen[kind])
        return false;
    if (kind != REQUEST)
        ktlb_cpu_execute_widened(self, kind == WIDENED_KERNEL);
    else if (is_target(self))
        ktlb_cpu_execute(self, &board->line.request);
    else
        meant = false; /* and the line may be changing: nobody waits for us */
    mine->seen[kind] = asked;
    ktlb_store_release(&mine->served[kind], asked);
    return meant;
}

bool ktlb_broadcast_serve(struct ktlb_cpu *self)
{
    struct answer *mine = &answers[self->number];
    unsigned count = 0;

    if (KTLB_UNLIKELY(mine->forgetting)) {
        /* The core has dropped everything: what was forgotten is done. Relaxed: there is no use to order before the
         * answer, as this CPU touches nothing that is ever removed until ktlb_cpu_online() returns. */
        mine->forgetting = false;
        for (unsigned kind = 0; kind < KINDS; kind++)
            ktlb_store_relaxed(&mine->served[kind], mine->seen[kind]);
    }
    for (unsigned kind = KINDS; kind-- > 0;) /* what flushes most first */
        count += serve_kind(self, mine, kind);
    KTLB_COUNT(self, served, count);
    return count != 0;
}

void ktlb_broadcast_forget(struct ktlb_cpu *self)
{
    struct answer *mine = &answers[self->number];

    /* Acquire, pairs with the release in announce: the flush that follows walks tables that have the changes. */
    for (unsigned kind = 0; kind < KINDS; kind++)
        mine->seen[kind] = ktlb_load_acquire(&board->asked[kind]);
    mine->forgetting = true;
}

KTLB_PROTOCOL_DEFINE(broadcast, true);
