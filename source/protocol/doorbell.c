/*
 * doorbell.c - one cache line per target, in which initiators leave what they ask and ring. Ours, and the default.
 *
 * A door is a line: a word that is rung, the number of the round that was answered last, and room for one request, as
 * most are: up to four ranges of few pages. So a shootdown moves three lines per target: the initiator writes the door,
 * the target takes it, the initiator reads the answer. What does not fit, or finds the room taken, lies in one of at most
 * 29 lines for the whole machine, copied there once for all targets of the batch; each CPU looks for a free one from a
 * place of its own on.
 *
 * The word that is rung has a bit for the door's own room, a bit for each of the lines, one for "flush the space", one
 * for "flush all", and in the upper half the number of the round. Ringing is one update; it tells whether the bell was
 * silent, in which case an interrupt has to be sent, and the round. The target takes all bits and begins the next round
 * in one exchange, executes them, and publishes the round as answered: to everybody who rang in it, by one store.
 *
 * Invariants: a bit rung in round r is executed before r is published as answered; only the target ends a round. The
 * room belongs to whoever took it until the target has ended the round in which it was rung.
 */
#include "../internal.h"

/* Bits of a bell. */
#define LINES_MAX 29
#define BRIEF_BIT (UINT64_C(1) << LINES_MAX)
#define SPACE_BIT (UINT64_C(1) << (LINES_MAX + 1))
#define KERNEL_BIT (UINT64_C(1) << (LINES_MAX + 2))
#define BITS UINT64_C(0xffffffff)
#define ROUND_SHIFT 32

KTLB_STATIC_ASSERT(KTLB_DOORBELL_LINES <= LINES_MAX, "a bell has 32 bits, three of them for what lies in no line");

/* A short request. The flags of all ops together are the flags of each: that asks for no less. */
#define BRIEF_OPS 4
struct brief {
    uint64_t head; /* the space's number, flags (4 bits) and count (4 bits) */
    uint64_t generation;
    uint64_t op[BRIEF_OPS]; /* an address, and below its page: count and one more (6 bits; 0: all), shift (6 bits) */
};
#define BRIEF_COUNT_MAX 63u
KTLB_STATIC_ASSERT(KTLB_PAGE_SHIFT >= 12 && KTLB_OP_FLAGS < 16, "what an op says beside its address fits below a page");

struct door {
    /* Written by all; the target only empties it. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 bell;
    struct ktlb_u32 answered; /* by the target: rounds, by number: all before this one */
    struct ktlb_u32 taken;    /* the brief is somebody's */
    struct brief brief;
};
KTLB_STATIC_ASSERT(sizeof(struct door) == (KTLB_CACHE_LINE > 64 ? KTLB_CACHE_LINE : 64), "a door is a line, or two short ones");

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

/* ---- short requests ---- */

/* 0: the op does not fit. */
static uint64_t brief_op(struct ktlb_op op)
{
    uint32_t count = op.count + 1; /* 0: all */

    return KTLB_LIKELY(count <= BRIEF_COUNT_MAX) ? op.va | count << 6 | op.shift : 0;
}

static struct ktlb_op brief_read_op(uint64_t word, uint64_t head)
{
    return (struct ktlb_op){.va = word >> 12 << 12,
                            .count = (uint32_t)(word >> 6 & BRIEF_COUNT_MAX) - 1,
                            .shift = word & 63,
                            .flags = head >> 4 & 15};
}

/* The ops after the first. False: they do not fit. */
KTLB_OUTLINE bool brief_more(uint64_t *op, const struct ktlb_request *request)
{
    if (request->count > BRIEF_OPS)
        return false;
    for (uint32_t i = 1; i < request->count; i++) {
        op[i] = brief_op(request->op[i]);
        if (!op[i])
            return false;
    }
    return true;
}

/* ---- the initiator ---- */

/* For what is no brief: the bit to ring. */
static uint64_t take_line(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    batch->line = ktlb_line_take(lines, KTLB_DOORBELL_LINES, self->number * KTLB_DOORBELL_LINES / cpus,
                                 KTLB_DOORBELL_TRIES, &batch->request);
    if (batch->line != KTLB_LINE_NONE)
        return UINT64_C(1) << batch->line;
    return batch->request.space_id == KTLB_KERNEL_ID ? KERNEL_BIT : SPACE_BIT;
}

/* @bit: 0 for the first target. */
KTLB_OUTLINE uint64_t ring_for_line(struct ktlb_cpu *self, struct ktlb_batch *batch, struct door *door, uint64_t *bit)
{
    if (!*bit)
        *bit = take_line(self, batch);
    KTLB_COUNT(self, overflows, batch->line == KTLB_LINE_NONE);
    /* Release, pairs with the acquire in take_round: the line holds the request. Of those who ring in one round the first
     * sends the interrupt; the target, by taking what the last one wrote, acquires from all. */
    return ktlb_rmw_or_release(&door->bell, *bit);
}

void ktlb_doorbell_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    const struct ktlb_request *request = &batch->request;
    uint64_t head = request->space_id << 8 | request->flags << 4 | request->count;
    uint64_t first = brief_op(request->op[0]), op[BRIEF_OPS], bit = 0, before;
    bool several = request->count > 1;
    /* Not for tags of the machine, which are found through what a brief leaves out. */
    bool fits = first && !KTLB_BY_HARDWARE && KTLB_LIKELY(!several || brief_more(op, request));

    batch->line = KTLB_LINE_NONE;
    KTLB_CPUSET_EACH(cpu, &batch->waiting) {
        struct door *door = &doors[cpu];

        /* Acquire, pairs with the release in free_brief: the target has read the last one, and its bit is taken. */
        if (fits && KTLB_LIKELY(ktlb_rmw_exchange_acquire_u32(&door->taken, 1) == 0)) {
            door->brief.head = head;
            door->brief.generation = request->generation;
            door->brief.op[0] = first;
            if (KTLB_UNLIKELY(several))
                for (uint32_t i = 1; i < request->count; i++)
                    door->brief.op[i] = op[i];
            /* Release, pairs with the acquire in take_round: the brief is there. An addition, for the bit is not set. */
            before = ktlb_rmw_add_release(&door->bell, BRIEF_BIT);
        } else {
            before = ring_for_line(self, batch, door, &bit);
        }
        batch->ticket[cpu] = (uint32_t)(before >> ROUND_SHIFT);
        if (!(before & BITS))
            ktlb_cpuset_add(kick, cpu);
    }
}

bool ktlb_doorbell_acked(const struct ktlb_batch *batch, unsigned target)
{
    /* Acquire, pairs with the release in serve: the invalidation happened before. By difference, which survives a
     * wrap: only a batch 2^31 rounds old could be misread, as not answered. */
    return (int32_t)(ktlb_load_acquire_u32(&doors[target].answered) - batch->ticket[target]) > 0;
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

/* End a round: the bits rung in it. The first access to the door, for a load would fetch the line twice: once to be read,
 * and once to be written. */
static uint64_t take_round(struct ktlb_cpu *self, struct door *door)
{
    self->round++;
    /* Acquire, pairs with the release in post. Nobody but us changes the upper half. */
    return ktlb_rmw_exchange_acquire(&door->bell, (uint64_t)self->round << ROUND_SHIFT) & BITS;
}

/* The brief was rung in a round that is over: the next may be written. */
static void free_brief(struct door *door)
{
    ktlb_store_release_u32(&door->taken, 0); /* pairs with the acquire in post: we have read it, and taken its bit */
}

KTLB_OUTLINE void execute_several(struct ktlb_cpu *self, struct door *door, bool alone)
{
    const struct brief *brief = &door->brief;
    struct ktlb_request request = {
        .space_id = brief->head >> 8, .generation = brief->generation, .count = brief->head & 15, .flags = brief->head >> 4 & 15};

    for (uint32_t i = 0; i < request.count; i++)
        request.op[i] = brief_read_op(brief->op[i], brief->head);
    free_brief(door);
    ktlb_cpu_execute_any(self, &request, alone);
}

/* One that is not of the next dispatch there is for the loaded space. */
KTLB_OUTLINE void execute_one(struct ktlb_cpu *self, uint64_t head, uint64_t generation, struct ktlb_op op, bool alone)
{
    struct ktlb_request request = {
        .space_id = head >> 8, .generation = generation, .count = 1, .flags = op.flags, .op = {op}};

    ktlb_cpu_execute_any(self, &request, alone);
}

static void execute_brief(struct ktlb_cpu *self, struct door *door, bool alone)
{
    uint64_t head = door->brief.head, generation = door->brief.generation;
    struct ktlb_op op = brief_read_op(door->brief.op[0], head);

    if (KTLB_UNLIKELY((head & 15) > 1)) {
        execute_several(self, door, alone);
        return;
    }
    free_brief(door);
    if (!ktlb_cpu_execute_next(self, head >> 8, generation, op))
        execute_one(self, head, generation, op, alone);
}

KTLB_OUTLINE void execute(struct ktlb_cpu *self, struct door *door, uint64_t bits)
{
    /* What was widened first: it flushes the loaded space, and leaves nothing to do for requests on it. */
    if (bits & KERNEL_BIT)
        ktlb_cpu_execute_widened(self, true);
    else if (bits & SPACE_BIT)
        ktlb_cpu_execute_widened(self, false);
    if (bits & BRIEF_BIT)
        execute_brief(self, door, false);
    for (bits &= BRIEF_BIT - 1; bits; bits &= bits - 1)
        ktlb_cpu_execute(self, &lines[ktlb_lowest_bit(bits)].request, false);
}

/* One round, and those that were forgotten: the core has dropped everything. What is rung after it was taken belongs to
 * the next, and has an interrupt of its own. */
bool ktlb_doorbell_serve(struct ktlb_cpu *self)
{
    struct door *door = &doors[self->number];
    uint64_t bits = take_round(self, door);

    if (KTLB_LIKELY(bits == BRIEF_BIT))
        execute_brief(self, door, true);
    else
        execute(self, door, bits);
    ktlb_store_release_u32(&door->answered, self->round); /* pairs with the acquire in acked */
    KTLB_COUNT(self, served, ktlb_count_bits(bits));
    return bits != 0;
}

void ktlb_doorbell_forget(struct ktlb_cpu *self)
{
    struct door *door = &doors[self->number];

    if (take_round(self, door) & BRIEF_BIT)
        free_brief(door);
}

KTLB_PROTOCOL_DEFINE(doorbell, false);
