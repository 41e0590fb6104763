/*
 * doorbell.c - one word per target that initiators ring, and answers by rounds. Ours, and the default.
 *
 * Requests lie in a pool of at most 30 lines for the whole machine; each CPU looks for a free one from a place of its
 * own on, so that up to 30 CPUs never meet there. A target's bell is one word: a bit for each line that holds a request
 * for it, a bit for "flush the space", one for "flush all", and in the upper half the number of the round. Ringing is
 * one or-update; it tells whether the bell was silent, in which case an interrupt has to be sent, and the round. The
 * target takes all bits and begins the next round in one exchange, executes them, and publishes the round as answered.
 * So the answer to everybody who rang in a round is one store, and no request is known by anything the target has to
 * find.
 *
 * Invariant: a bit rung in round r is executed before r is published as answered; only the target ends a round.
 */
#include "../internal.h"

/* Bits of a bell. */
#define LINES_MAX 30
#define SPACE_BIT (UINT64_C(1) << LINES_MAX)
#define KERNEL_BIT (UINT64_C(1) << (LINES_MAX + 1))
#define BITS UINT64_C(0xffffffff)
#define ROUND_SHIFT 32

KTLB_STATIC_ASSERT(KTLB_DOORBELL_LINES <= LINES_MAX, "a bell has 32 bits, two of them for what finds no line");

struct door {
    /* Written by all; the target only empties it. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 bell;
    /* Written by the target. A line of its own: initiators that wait here do not slow down those who ring. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 answered; /* rounds, by number: all before this one */
    uint32_t round;                                         /* the one to end next */
};

static struct ktlb_line *lines;
static struct door *doors;
static unsigned cpus;

size_t ktlb_doorbell_memory_size(unsigned count)
{
    return KTLB_DOORBELL_LINES * sizeof(struct ktlb_line) + count * sizeof(struct door);
}

void ktlb_doorbell_init(void *memory, unsigned count)
{
    lines = (struct ktlb_line *)memory;
    doors = (struct door *)(lines + KTLB_DOORBELL_LINES);
    cpus = count;
    for (unsigned i = 0; i < KTLB_DOORBELL_LINES; i++)
        lines[i] = (struct ktlb_line){0};
    for (unsigned i = 0; i < count; i++)
        doors[i] = (struct door){0};
}

/* ---- the initiator ---- */

void ktlb_doorbell_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    uint64_t bit;

    batch->line = ktlb_line_take(lines, KTLB_DOORBELL_LINES, self->number * KTLB_DOORBELL_LINES / cpus,
                                 KTLB_DOORBELL_TRIES, &batch->request);
    if (batch->line != KTLB_LINE_NONE)
        bit = UINT64_C(1) << batch->line;
    else
        bit = batch->request.space == &ktlb_kernel ? KERNEL_BIT : SPACE_BIT;
    KTLB_CPUSET_EACH(cpu, &batch->waiting) {
        /* Release, pairs with the acquire in take_round: the line holds the request. Of those who ring in one round the
         * first sends the interrupt; the target, by taking what the last one wrote, acquires from all. */
        uint64_t before = ktlb_rmw_or_release(&doors[cpu].bell, bit);

        batch->ticket[cpu] = (uint32_t)(before >> ROUND_SHIFT) + 1;
        if (!(before & BITS))
            ktlb_cpuset_add(kick, cpu);
        KTLB_COUNT(self, overflows, batch->line == KTLB_LINE_NONE);
    }
}

bool ktlb_doorbell_acked(const struct ktlb_batch *batch, unsigned target)
{
    /* Acquire, pairs with the release in answer: the invalidation happened before. By difference, which survives a
     * wrap: only a batch 2^31 rounds old could be misread, as not answered. */
    return (int32_t)(ktlb_load_acquire_u32(&doors[target].answered) - batch->ticket[target]) >= 0;
}

void ktlb_doorbell_finish(struct ktlb_batch *batch)
{
    if (batch->line != KTLB_LINE_NONE)
        ktlb_line_release(&lines[batch->line]);
}

/* ---- the target ---- */

bool ktlb_doorbell_pending(const struct ktlb_cpu *self)
{
    return ktlb_load_relaxed(&doors[self->number].bell) & BITS;
}

/* End a round: the bits rung in it. */
static uint64_t take_round(struct door *door)
{
    door->round++;
    /* Acquire, pairs with the release in post. Nobody but us changes the upper half. */
    return ktlb_rmw_exchange_acquire(&door->bell, (uint64_t)door->round << ROUND_SHIFT) & BITS;
}

static void answer(struct door *door)
{
    ktlb_store_release_u32(&door->answered, door->round); /* pairs with the acquire in acked */
}

static void execute(struct ktlb_cpu *self, uint64_t bits)
{
    /* What was widened first: it flushes the loaded space, and leaves nothing to do for requests on it. */
    if (bits & KERNEL_BIT)
        ktlb_cpu_execute_widened(self, true);
    else if (bits & SPACE_BIT)
        ktlb_cpu_execute_widened(self, false);
    for (bits &= SPACE_BIT - 1; bits; bits &= bits - 1)
        ktlb_cpu_execute(self, &lines[ktlb_lowest_bit(bits)].request);
}

/* One round. What is rung after it was taken belongs to the next, and has an interrupt of its own. */
bool ktlb_doorbell_serve(struct ktlb_cpu *self)
{
    struct door *door = &doors[self->number];
    uint64_t bits;

    if (ktlb_load_relaxed_u32(&door->answered) != door->round)
        answer(door); /* a round that was forgotten: the core has dropped everything */
    if (!ktlb_doorbell_pending(self))
        return false;
    bits = take_round(door);
    execute(self, bits);
    answer(door);
    KTLB_COUNT(self, served, ktlb_count_bits(bits));
    return true;
}

void ktlb_doorbell_forget(struct ktlb_cpu *self)
{
    take_round(&doors[self->number]);
}

KTLB_PROTOCOL_DEFINE(doorbell);
