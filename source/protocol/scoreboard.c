/*
 * scoreboard.c - a word per initiator and target, so that initiators never meet.
 *
 * Each initiator owns a few request lines. For each line each target has a pair of words: `asked`, which the initiator
 * raises when the line holds a request for this target, and `served`, which the target makes equal when it has
 * executed it. No word has two writers, so nothing here but the taking of a line is more than a load or a store. Two
 * more pairs per initiator count what found no free line: the target flushes the space, or the kernel's half, instead.
 * Several lines are what lets one CPU have many batches in flight, from interrupts or not.
 *
 * Invariant: while asked and served differ for a line, the line does not change, unless the target is away.
 * Origin: FreeBSD's scoreboard; what differs is in docs/PROTOCOLS.md.
 */
#include "../internal.h"

/* The pairs of one initiator: its lines, then what was widened. */
enum { WIDENED_SPACE = KTLB_SCOREBOARD_LINES, WIDENED_KERNEL, PAIRS };

/* A target's row: two arrays of the words of all initiators, each from a cache line of its own on. */
struct row {
    struct ktlb_u32 *asked;  /* written by initiators, each its own words */
    struct ktlb_u32 *served; /* written by the target */
    uint32_t *seen;          /* the target's own: what of asked it is through with; served follows */
};

static struct {
    struct ktlb_line *lines; /* KTLB_SCOREBOARD_LINES of each CPU */
    unsigned char *rows;     /* three arrays of @row_size bytes for each CPU */
    size_t row_size;
    unsigned cpus;
} board;

static size_t row_size(unsigned cpus)
{
    return (cpus * PAIRS * sizeof(uint32_t) + KTLB_CACHE_LINE - 1) / KTLB_CACHE_LINE * KTLB_CACHE_LINE;
}

size_t ktlb_scoreboard_memory_size(unsigned cpus)
{
    return cpus * (KTLB_SCOREBOARD_LINES * sizeof(struct ktlb_line) + 3 * row_size(cpus));
}

void ktlb_scoreboard_init(void *memory, unsigned cpus)
{
    size_t size = ktlb_scoreboard_memory_size(cpus);

    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        ((uint64_t *)memory)[i] = 0;
    board.lines = (struct ktlb_line *)memory;
    board.rows = (unsigned char *)(board.lines + (size_t)cpus * KTLB_SCOREBOARD_LINES);
    board.row_size = row_size(cpus);
    board.cpus = cpus;
}

/* The words of @target for @initiator. */
static struct row row(unsigned target, unsigned initiator)
{
    unsigned char *base = board.rows + 3 * board.row_size * target + initiator * PAIRS * sizeof(uint32_t);

    return (struct row){(struct ktlb_u32 *)(void *)base, (struct ktlb_u32 *)(void *)(base + board.row_size),
                        (uint32_t *)(void *)(base + 2 * board.row_size)};
}

/* ---- the initiator ---- */

void ktlb_scoreboard_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    uint32_t pair;

    /* An interrupt's batch, or the next of many in flight, finds the lines of the others taken. */
    batch->line = ktlb_line_take(board.lines + self->number * KTLB_SCOREBOARD_LINES, KTLB_SCOREBOARD_LINES,
                                 &batch->request);
    pair = batch->line;
    if (pair == KTLB_LINE_NONE)
        pair = batch->request.space == &ktlb_kernel ? WIDENED_KERNEL : WIDENED_SPACE;
    KTLB_CPUSET_EACH(cpu, &batch->waiting) {
        struct ktlb_u32 *asked = &row(cpu, self->number).asked[pair];

        batch->ticket[cpu] = ktlb_load_relaxed_u32(asked) + 1; /* nobody else writes it */
        /* Release, pairs with the acquire in serve_pair and forget: the line holds the request. */
        ktlb_store_release_u32(asked, batch->ticket[cpu]);
        KTLB_COUNT(self, overflows, batch->line == KTLB_LINE_NONE);
    }
    *kick = batch->waiting;
    /* Where the answers will be: the batch may be waited for on another CPU. */
    batch->line = self->number * PAIRS + pair;
}

bool ktlb_scoreboard_posted(struct ktlb_cpu *self)
{
    (void)self; /* who posts to us interrupts us */
    return false;
}

bool ktlb_scoreboard_acked(const struct ktlb_batch *batch, unsigned target)
{
    const struct ktlb_u32 *served = &row(target, 0).served[batch->line];

    /* Acquire, pairs with the release in answer: the invalidation happened before. By difference, which survives a
     * wrap: only a batch 2^31 requests of its own pair old could be misread, as not served. */
    return (int32_t)(ktlb_load_acquire_u32(served) - batch->ticket[target]) >= 0;
}

void ktlb_scoreboard_finish(struct ktlb_batch *batch)
{
    uint32_t initiator = batch->line / PAIRS, pair = batch->line % PAIRS;

    if (pair < KTLB_SCOREBOARD_LINES)
        ktlb_line_release(&board.lines[initiator * KTLB_SCOREBOARD_LINES + pair].taken);
}

/* ---- the target ---- */

bool ktlb_scoreboard_pending(const struct ktlb_cpu *self)
{
    struct row mine = row(self->number, 0);

    for (unsigned i = 0; i < board.cpus * PAIRS; i++)
        if (i / PAIRS != self->number && ktlb_load_relaxed_u32(&mine.asked[i]) != mine.seen[i])
            return true;
    return false;
}

/* Whether the answer may come before the execution. What a user's translation led to is not used until the user runs
 * again, which is after this service; but page walks, and whatever uses the kernel's half, go on meanwhile. */
static bool may_answer_early(const struct ktlb_request *request)
{
    return KTLB_SCOREBOARD_EARLY && request->space != &ktlb_kernel && !(request->flags & KTLB_TABLES);
}

static void answer(struct row mine, unsigned i, uint32_t asked)
{
    mine.seen[i] = asked;
    ktlb_store_release_u32(&mine.served[i], asked); /* pairs with the acquire in acked */
}

static void serve_line(struct ktlb_cpu *self, const struct ktlb_line *line, struct row mine, unsigned i, uint32_t asked)
{
    struct ktlb_request request;

    if (may_answer_early(&line->request)) {
        ktlb_request_copy(&request, &line->request); /* once answered, the line is the next one's */
        answer(mine, i, asked);
        ktlb_cpu_execute(self, &request);
    } else {
        ktlb_cpu_execute(self, &line->request);
        answer(mine, i, asked);
    }
}

static bool serve_pair(struct ktlb_cpu *self, struct row mine, unsigned initiator, unsigned pair)
{
    unsigned i = initiator * PAIRS + pair;
    uint32_t asked = ktlb_load_acquire_u32(&mine.asked[i]);

    if (asked == mine.seen[i])
        return false;
    if (pair < KTLB_SCOREBOARD_LINES) {
        serve_line(self, &board.lines[initiator * KTLB_SCOREBOARD_LINES + pair], mine, i, asked);
    } else {
        ktlb_cpu_execute_widened(self, pair == WIDENED_KERNEL);
        answer(mine, i, asked);
    }
    return true;
}

/* Whether seen is ahead of served: kept where the pair of the target with itself would be. */
static uint32_t *forgetting(struct row mine, const struct ktlb_cpu *self)
{
    return &mine.seen[self->number * PAIRS];
}

/* The core has dropped everything: what was forgotten is done. Relaxed: this CPU has used nothing of the kernel's that
 * is ever removed since it left, nor will before ktlb_cpu_online() returns; there is no use to order before the answer.
 * */
static void serve_forgotten(struct ktlb_cpu *self, struct row mine)
{
    *forgetting(mine, self) = false;
    for (unsigned i = 0; i < board.cpus * PAIRS; i++)
        if (i / PAIRS != self->number)
            ktlb_store_relaxed_u32(&mine.served[i], mine.seen[i]);
}

/* Once over the row. What is asked of a pair behind us meanwhile has an interrupt of its own. */
bool ktlb_scoreboard_serve(struct ktlb_cpu *self)
{
    struct row mine = row(self->number, 0);
    unsigned count = 0;

    if (KTLB_UNLIKELY(*forgetting(mine, self)))
        serve_forgotten(self, mine);
    for (unsigned initiator = 0; initiator < board.cpus; initiator++)
        if (initiator != self->number)
            for (unsigned pair = 0; pair < PAIRS; pair++)
                count += serve_pair(self, mine, initiator, pair);
    KTLB_COUNT(self, served, count);
    return count != 0;
}

void ktlb_scoreboard_forget(struct ktlb_cpu *self)
{
    struct row mine = row(self->number, 0);

    /* Acquire, pairs with the release in post: the flush that follows walks tables that have the changes. */
    for (unsigned i = 0; i < board.cpus * PAIRS; i++)
        if (i / PAIRS != self->number)
            mine.seen[i] = ktlb_load_acquire_u32(&mine.asked[i]);
    *forgetting(mine, self) = true;
}

KTLB_PROTOCOL_DEFINE(scoreboard, true);
