/*
 * doorbell.c - one cache line per target, in which initiators leave what they ask and ring. Ours, and the default.
 *
 * A door is a line: a word that is rung, the number of the round that was answered last, and two rooms, each for a
 * request as most are: one range of few pages. Both together are room for up to four such ranges, or seven that are near
 * to each other. So a shootdown moves three lines per target: the initiator writes the door, the target takes it, the
 * initiator reads the answer. Who finds the rooms taken, or asks for more than they hold, leaves that in one of at most
 * 26 lines for the whole machine, once for all targets of the batch; each CPU looks for a free one from a place of its
 * own on. What finds no free line, or is the whole space anyway, is told by a bit alone. So is what is not worth
 * fetching a line for: where it would not be long until the target had executed more, piece by piece, than dropping the
 * space takes. But the kernel's half is told in full wherever it can be.
 *
 * The word that is rung has a bit for each room, a bit for each of the lines, one for "flush the space", one for "flush
 * all", one for "a line is the kernel's", and in the upper half the number of the round. Ringing is one update; it
 * tells whether the bell was silent, in which case an interrupt has to be sent, and the round. The target takes all
 * bits and begins the next round in one exchange, executes them, and publishes the round as answered: to everybody who
 * rang in it, by one store. While it dispatches itself, a CPU has a bit set in its own bell, so that nobody interrupts
 * it: it looks when it is done.
 *
 * Invariants: what was rung for in round r is executed, or all that it could drop is dropped, before r is published as
 * answered; only the target ends a round. A room belongs to whoever took it until the target has ended the round in
 * which it was rung.
 */
#include "../internal.h"

/* Bits of a bell. */
#define LINES_MAX 26
#define ROOM_BIT(room) (UINT64_C(1) << (LINES_MAX + (room)))
#define SPACE_BIT (UINT64_C(1) << (LINES_MAX + 2))
#define KERNEL_BIT (UINT64_C(1) << (LINES_MAX + 3))
#define KERNEL_LINE_BIT (UINT64_C(1) << (LINES_MAX + 4)) /* with one of a line: what lies there is of the kernel's half */
#define AWAKE_BIT (UINT64_C(1) << (LINES_MAX + 5)) /* the target is about to look, and need not be interrupted */
#define BITS UINT64_C(0xffffffff)
#define ROUND_SHIFT 32

KTLB_STATIC_ASSERT(KTLB_DOORBELL_LINES <= LINES_MAX, "a bell has 32 bits, six of them for what is no line");

/* A request in words of 8 bytes: in a room, in both, or in a line. */
enum {
    HEAD,       /* the space's number (52 bits: spaces made at a million a second take 142 years), flags (4 bits), NEAR and
                 * count (7 bits). The flags of all ops together are those of each: that asks for no less */
    GENERATION, /* by the protocol hardware, which has none: where the space is, under whose tag it invalidates */
    OP,         /* the first of them: an address, and below its page count and one more (6 bits; 0: all), shift (6 bits) */
    ROOM        /* one op and what is before it */
};
#define COUNT 127u
#define OP_COUNT_MAX 63u
/* What lies in both rooms: so many ops, or, if those after the first lie near to it, two of them in a word: how many pages
 * of 4 KiB away (26 bits, signed), and the page count and one more. */
#define DOOR_OPS (2 * ROOM - OP)
#define NEAR_OPS (2 * DOOR_OPS - 1)
#define NEAR 128u
#define NEAR_MAX (UINT64_C(1) << 37)
KTLB_STATIC_ASSERT(KTLB_PAGE_SHIFT >= 12 && KTLB_OP_FLAGS < 16 && KTLB_BATCH_OPS <= COUNT, "a request fits in its words");

/* Who has a room, in a word of their own. Not bit 0: setting and testing that one is an exchange in a loop for gcc 12. */
#define TAKEN(room) (2u << (room))
#define TAKEN_BOTH (TAKEN(0) | TAKEN(1))

struct door {
    /* Written by all; the target only empties it. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 bell;
    struct ktlb_u32 answered; /* by the target: rounds, by number: all before this one */
    struct ktlb_u32 taken;    /* bits: TAKEN */
    uint64_t rooms[2 * ROOM];
};
KTLB_STATIC_ASSERT(sizeof(struct door) == (KTLB_CACHE_LINE > 64 ? KTLB_CACHE_LINE : 64), "a door is a line, or two short ones");

struct line {
    KTLB_ALIGNED(KTLB_CACHE_LINE) uint64_t words[OP + KTLB_BATCH_OPS];
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 taken;
};

static struct line *lines;
static struct door *doors;

size_t ktlb_doorbell_memory_size(unsigned count)
{
    return KTLB_DOORBELL_LINES * sizeof(struct line) + count * sizeof(struct door);
}

void ktlb_doorbell_init(void *memory, unsigned count)
{
    lines = (struct line *)memory;
    doors = (struct door *)(lines + KTLB_DOORBELL_LINES);
    for (unsigned i = 0; i < KTLB_DOORBELL_LINES; i++)
        lines[i] = (struct line){0};
    for (unsigned i = 0; i < count; i++)
        doors[i] = (struct door){0};
}

/* ---- a request in words ---- */

static uint64_t head_of(const struct ktlb_request *request)
{
    return request->space_id << 12 | request->flags << 8 | request->count;
}

/* As many strides as there are bits for, or all. */
static bool op_fits(struct ktlb_op op)
{
    return op.count + 1 <= OP_COUNT_MAX;
}

static uint64_t word_of(struct ktlb_op op)
{
    return op.va | (uint64_t)(op.count + 1) << 6 | op.shift;
}

static bool is_all(uint64_t word)
{
    return !(word >> 6 & OP_COUNT_MAX);
}

static struct ktlb_op op_of(uint64_t word, uint64_t head)
{
    return (struct ktlb_op){.va = word >> 12 << 12,
                            .count = (uint32_t)(word >> 6 & OP_COUNT_MAX) - 1,
                            .shift = word & 63,
                            .flags = head >> 8 & 15};
}

static bool request_fits(const struct ktlb_request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        if (!op_fits(request->op[i]))
            return false;
    return true;
}

/* Whether the ops are more than lie in both rooms as they are, and do by how near they are. */
static bool is_near(const struct ktlb_request *request)
{
    const struct ktlb_op *first = request->op;

    if (request->count <= DOOR_OPS || request->count > NEAR_OPS)
        return false;
    for (uint32_t i = 1; i < request->count; i++)
        if (request->op[i].shift != first->shift || request->op[i].va - first->va + NEAR_MAX >= 2 * NEAR_MAX)
            return false;
    return true;
}

static uint64_t near_word_of(struct ktlb_op op, struct ktlb_op first)
{
    return (uint32_t)((op.va - first.va) >> 6) | (op.count + 1);
}

static struct ktlb_op near_op_of(uint32_t word, struct ktlb_op first)
{
    first.va += (uint64_t)((int64_t)(int32_t)(word & ~OP_COUNT_MAX) * 64);
    first.count = (word & OP_COUNT_MAX) - 1;
    return first;
}

/* How many words it is. */
static uint32_t request_write(uint64_t *words, const struct ktlb_request *request)
{
    const struct ktlb_op *op = request->op;
    bool near = is_near(request);

    words[HEAD] = head_of(request) | (near ? NEAR : 0);
    words[GENERATION] = KTLB_BY_HARDWARE ? (uintptr_t)request->space : request->generation;
    words[OP] = word_of(op[0]);
    for (uint32_t i = 1; i < request->count; i++) {
        if (!near)
            words[OP + i] = word_of(op[i]);
        else if (i % 2)
            words[OP + (i + 1) / 2] = near_word_of(op[i], op[0]);
        else
            words[OP + i / 2] |= near_word_of(op[i], op[0]) << 32;
    }
    return near ? OP + 1 + request->count / 2 : OP + request->count;
}

KTLB_INLINE struct ktlb_op op_at(const uint64_t *words, uint64_t head, uint32_t i)
{
    if (KTLB_UNLIKELY(head & NEAR) && i)
        return near_op_of((uint32_t)(words[OP + (i + 1) / 2] >> (i % 2 ? 0 : 32)), op_of(words[OP], head));
    return op_of(words[OP + i], head);
}

static void request_read(struct ktlb_request *request, const uint64_t *words)
{
    request->space = KTLB_BY_HARDWARE ? (struct ktlb_space *)(uintptr_t)words[GENERATION] : NULL;
    request->space_id = words[HEAD] >> 12;
    request->generation = KTLB_BY_HARDWARE ? 0 : words[GENERATION];
    request->count = words[HEAD] & COUNT;
    request->flags = words[HEAD] >> 8 & 15;
    for (uint32_t i = 0; i < request->count; i++)
        request->op[i] = op_at(words, words[HEAD], i);
}

static uint64_t strides_of(const uint64_t *words)
{
    struct ktlb_request request;

    request_read(&request, words);
    return ktlb_request_strides(&request);
}

/* ---- the initiator ---- */

/* Whether a door has room for it. */
static bool fits_a_door(const struct ktlb_request *request)
{
    return !KTLB_BY_HARDWARE && request_fits(request) && (request->count <= DOOR_OPS || is_near(request));
}

/* Whether a request that is in no room is worth a line. Not if there would be room, but two more like it have it, and all
 * three are more than it takes to drop the space: then the target need not fetch the line. */
static bool worth_a_line(const struct ktlb_request *request)
{
    if (fits_a_door(request) && request->space_id != KTLB_KERNEL_ID && 3 * ktlb_request_strides(request) > KTLB_FLUSH_MAX)
        return false;
    return request_fits(request) && (request->op[0].count != KTLB_ALL || KTLB_BY_HARDWARE);
}

/* For what is in no room: what to ring. */
KTLB_OUTLINE uint64_t take_line(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    const struct ktlb_request *request = &batch->request;
    bool kernel = request->space_id == KTLB_KERNEL_ID;

    if (worth_a_line(request))
        batch->line = ktlb_line_claim(&lines->taken, sizeof(*lines), KTLB_DOORBELL_LINES,
                                      self->number % KTLB_DOORBELL_LINES, KTLB_DOORBELL_TRIES);
    if (batch->line == KTLB_LINE_NONE)
        return kernel ? KERNEL_BIT : SPACE_BIT;
    request_write(lines[batch->line].words, request);
    return UINT64_C(1) << batch->line | (kernel ? KERNEL_LINE_BIT : 0);
}

static uint64_t ring_for_line(struct ktlb_cpu *self, const struct ktlb_batch *batch, struct door *door, uint64_t bit)
{
    KTLB_COUNT(self, overflows, bit & (SPACE_BIT | KERNEL_BIT) && batch->request.op[0].count != KTLB_ALL);
    /* Release, pairs with the acquire in take_round: the line holds the request. Of those who ring in one round the first
     * sends the interrupt; the target, by taking what the last one wrote, acquires from all. No addition: at a target that
     * is away the bit may be set still, from before the line was given to another. */
    return ktlb_rmw_or_release(&door->bell, bit);
}

static bool take_room(struct door *door, unsigned room)
{
    /* Acquire, pairs with the release in free_rooms: the target has read the last one, and its bit is taken. */
    return !(ktlb_rmw_or_acquire_u32(&door->taken, TAKEN(room)) & TAKEN(room));
}

static uint64_t ring_for_room(struct door *door, unsigned room)
{
    /* Release, pairs with the acquire in take_round: the room holds the request. An addition, for the bit is not set. */
    return ktlb_rmw_add_release(&door->bell, ROOM_BIT(room));
}

static uint64_t fill_room(struct door *door, unsigned room, uint64_t head, uint64_t generation, uint64_t op)
{
    uint64_t *words = &door->rooms[room * ROOM];

    words[HEAD] = head;
    words[GENERATION] = generation;
    words[OP] = op;
    return ring_for_room(door, room);
}

/* @batch has rung at @cpu, whose bell was @before. */
static void rung(struct ktlb_batch *batch, unsigned cpu, uint64_t before, struct ktlb_cpuset *kick)
{
    batch->ticket[cpu] = (uint32_t)(before >> ROUND_SHIFT);
    if (!(before & BITS))
        ktlb_cpuset_add(kick, cpu);
}

/* Of several ops, one of many strides, or for tags of the machine. */
KTLB_OUTLINE void post_long(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    uint64_t words[2 * ROOM], bit = 0, before;
    bool fits = fits_a_door(&batch->request);
    uint32_t size = fits ? request_write(words, &batch->request) : 0;

    KTLB_CPUSET_EACH(cpu, &batch->waiting) {
        struct door *door = &doors[cpu];
        uint32_t none = 0;

        /* Acquire, pairs with the release in free_rooms as in take_room. */
        if (fits && ktlb_rmw_cas_acquire_u32(&door->taken, &none, TAKEN_BOTH)) {
            for (uint32_t i = 0; i < size; i++)
                door->rooms[i] = words[i];
            before = ring_for_room(door, 0);
        } else if (fits && batch->request.space_id != KTLB_KERNEL_ID &&
                   ktlb_load_relaxed(&door->bell) & (ROOM_BIT(0) - 1)) {
            before = ring_for_line(self, batch, door, SPACE_BIT);
        } else {
            if (!bit)
                bit = take_line(self, batch);
            before = ring_for_line(self, batch, door, bit);
        }
        rung(batch, cpu, before, kick);
    }
}

void ktlb_doorbell_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    const struct ktlb_request *request = &batch->request;
    uint64_t head = head_of(request), generation = request->generation, op = word_of(request->op[0]), bit = 0, before;

    ktlb_rmw_add_relaxed(&doors[self->number].bell, AWAKE_BIT); /* who rings from here on is found by posted() */
    batch->line = KTLB_LINE_NONE;
    if (KTLB_UNLIKELY(request->count > 1 || !op_fits(request->op[0]) || KTLB_BY_HARDWARE)) {
        post_long(self, batch, kick);
        return;
    }
    KTLB_CPUSET_EACH(cpu, &batch->waiting) {
        struct door *door = &doors[cpu];

        if (KTLB_LIKELY(take_room(door, 0))) {
            before = fill_room(door, 0, head, generation, op);
        } else if (take_room(door, 1)) {
            before = fill_room(door, 1, head, generation, op);
        } else {
            if (!bit)
                bit = take_line(self, batch);
            before = ring_for_line(self, batch, door, bit);
        }
        rung(batch, cpu, before, kick);
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
        ktlb_line_release(&lines[batch->line].taken);
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

/* What the request that was rung for in the first room has taken. */
static uint32_t taken_by_first(const struct door *door)
{
    return (door->rooms[HEAD] & COUNT) > 1 ? TAKEN_BOTH : TAKEN(0);
}

/* Rung in a round that is over, and read: the rooms may be taken again. */
static void free_rooms(struct door *door, uint32_t taken)
{
    ktlb_rmw_and_release_u32(&door->taken, ~taken); /* pairs with the acquire in take_room and post_long */
}

/* A request that is not of ranges of the loaded space, or is done, or too far ahead. */
static void execute_otherwise(struct ktlb_cpu *self, const uint64_t *words)
{
    struct ktlb_request request;

    request_read(&request, words);
    ktlb_cpu_execute_any(self, &request);
}

/* One op, in words of which there may be others by now. */
KTLB_OUTLINE void execute_one_otherwise(struct ktlb_cpu *self, uint64_t head, uint64_t generation, uint64_t op)
{
    const uint64_t words[ROOM] = {head, generation, op};

    execute_otherwise(self, words);
}

/* Several ops, which are ranges. In @door, or, if that is NULL, in a line. */
KTLB_OUTLINE void execute_several(struct ktlb_cpu *self, const uint64_t *words, struct door *door)
{
    uint64_t head = words[HEAD], generation = words[GENERATION];

    if (ktlb_cpu_lacks(self, head >> 12, generation)) {
        KTLB_EVENT(self, EXECUTE, head >> 12, generation, strides_of(words));
        for (uint32_t i = 0; i < (head & COUNT); i++) {
            struct ktlb_op op = op_at(words, head, i);

            ktlb_arch_flush_range(op);
            KTLB_COUNT(self, strides, op.count);
        }
        ktlb_cpu_note(self, generation);
    } else {
        execute_otherwise(self, words);
    }
    if (door)
        free_rooms(door, TAKEN_BOTH);
}

/* What lies in @door, where it has @taken, or in a line. */
KTLB_INLINE void execute_words(struct ktlb_cpu *self, const uint64_t *words, struct door *door, uint32_t taken)
{
    uint64_t head = words[HEAD], generation = words[GENERATION], op = words[OP];

    if (KTLB_UNLIKELY((head & COUNT) > 1)) {
        execute_several(self, words, door);
        return;
    }
    if (door)
        free_rooms(door, taken);
    if (!ktlb_cpu_execute_one(self, head >> 12, generation, op_of(op, head)))
        execute_one_otherwise(self, head, generation, op);
}

KTLB_OUTLINE void execute(struct ktlb_cpu *self, struct door *door, uint64_t bits)
{
    /* What was widened first: it flushes the loaded space, and leaves nothing to do for requests on it. Nor do others have
     * to be fetched then, but the kernel's. */
    if (bits & KERNEL_BIT)
        ktlb_cpu_execute_widened(self, true);
    else if (bits & SPACE_BIT)
        ktlb_cpu_execute_widened(self, false);
    if (bits & SPACE_BIT && !(bits & KERNEL_LINE_BIT))
        bits &= ~(ROOM_BIT(0) - 1);
    if (bits & ROOM_BIT(1) && is_all(door->rooms[ROOM + OP])) { /* first: it is the newer, most often, and does for both */
        execute_words(self, door->rooms + ROOM, door, TAKEN(1));
        bits -= ROOM_BIT(1);
    }
    if (bits & ROOM_BIT(0))
        execute_words(self, door->rooms, door, TAKEN(0));
    if (bits & ROOM_BIT(1))
        execute_words(self, door->rooms + ROOM, door, TAKEN(1));
    for (bits &= ROOM_BIT(0) - 1; bits; bits &= bits - 1)
        execute_words(self, lines[ktlb_lowest_bit(bits)].words, NULL, 0);
}

/* One round, and those that were forgotten: the core has dropped everything. What is rung after it was taken belongs to
 * the next, and has an interrupt of its own. */
bool ktlb_doorbell_serve(struct ktlb_cpu *self)
{
    struct door *door = &doors[self->number];
    uint64_t bits = take_round(self, door);

    if (KTLB_LIKELY(bits == ROOM_BIT(0))) {
        execute_words(self, door->rooms, door, TAKEN(0));
        KTLB_COUNT(self, served, 1);
    } else {
        execute(self, door, bits);
        KTLB_COUNT(self, served, ktlb_count_bits(bits & ~KERNEL_LINE_BIT));
    }
    ktlb_store_release_u32(&door->answered, self->round); /* pairs with the acquire in acked */
    return bits != 0;
}

bool ktlb_doorbell_posted(struct ktlb_cpu *self)
{
    /* Relaxed: who found the bit set has rung before, and is served; who rings after finds it clear. */
    uint64_t before = ktlb_rmw_add_relaxed(&doors[self->number].bell, 0 - AWAKE_BIT);

    return (before & BITS) != AWAKE_BIT;
}

void ktlb_doorbell_forget(struct ktlb_cpu *self)
{
    struct door *door = &doors[self->number];
    uint64_t bits = take_round(self, door);

    free_rooms(door, (bits & ROOM_BIT(0) ? taken_by_first(door) : 0) | (bits & ROOM_BIT(1) ? TAKEN(1) : 0));
}

KTLB_PROTOCOL_DEFINE(doorbell, false);
