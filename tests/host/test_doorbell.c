/*
 * test_doorbell.c - goal: those who ring in one round share an interrupt, an answer and a flush; rounds may wrap; what
 * lies in a door's rooms is executed as it was asked, and a room is somebody's until it was read, or forgotten; who
 * dispatches is not interrupted, and answers before the dispatch is over.
 */
#include "fake.h"

#include <string.h>

#define PAGE UINT64_C(4096)

static struct ktlb_space space;
static struct ktlb_batch a, b, c, d;

static int start(void **state)
{
    (void)state;
    fake_start(4, 6);
    ktlb_space_init(&space);
    for (unsigned cpu = 0; cpu < 4; cpu++)
        fake_switch(cpu, &space);
    fake_log_clear();
    return 0;
}

static void one_interrupt_for_a_round(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    assert_int_equal(fake_interrupts, 3);
    fake_dispatch(&b, &space, 2, 2); /* CPUs 1 and 3 have one under way, CPU 0 has not */
    assert_int_equal(fake_interrupts, 4);
    fake_take_interrupt(1);
    assert_true(fake_acked(&a, 1) && fake_acked(&b, 1));
    fake_dispatch(&c, &space, 2, 3); /* the next round of CPU 1 */
    assert_int_equal(fake_interrupts, 5);
    assert_false(fake_acked(&c, 1));
}

/* A door, for tests that bring about what takes too long, or two CPUs at once. What is in a room is the library's. */
struct door {
    uint64_t bell;
    uint32_t answered, taken;
    unsigned char room[2][24];
};
#define ROOM_BIT(room) (UINT32_C(1) << (26 + (room)))
#define SPACE_BIT (UINT32_C(1) << 28)
#define KERNEL_BIT (UINT32_C(1) << 29)
#define KERNEL_LINE_BIT (UINT32_C(1) << 30)
#define TAKEN(room) (2u << (room))
#define BOTH (TAKEN(0) | TAKEN(1))

static struct door *door_of(unsigned cpu)
{
    size_t lines = ktlb_doorbell.memory_size(0), each = ktlb_doorbell.memory_size(1) - lines;

    return (struct door *)(void *)((unsigned char *)(ktlb_machine.cpu + 4) + lines + cpu * each);
}

static uint32_t rung_at(unsigned cpu)
{
    return (uint32_t)door_of(cpu)->bell;
}

static void interrupt(unsigned cpu)
{
    unsigned before = fake_cpu;

    fake_cpu = cpu;
    ktlb_ipi();
    fake_cpu = before;
}

static void rounds_wrap(void **state)
{
    (void)state;
    door_of(1)->bell = UINT64_C(0xfffffffa) << 32;
    door_of(1)->answered = ktlb_machine.cpu[1].round = UINT32_C(0xfffffffa);
    for (unsigned i = 0; i < 20; i++) {
        fake_log_clear();
        fake_dispatch(&a, &space, 0, i);
        fake_dispatch(&b, &space, 2, i + 100);
        fake_dispatch(&c, &space, 3, i + 200); /* the rooms are taken: in a line */
        assert_false(fake_acked(&a, 1) || fake_acked(&b, 1) || fake_acked(&c, 1));
        fake_take_interrupts();
        assert_true(fake_did(1, FAKE_INVLPG, i * PAGE));
        assert_true(fake_did(1, FAKE_INVLPG, (i + 100) * PAGE));
        assert_true(fake_did(1, FAKE_INVLPG, (i + 200) * PAGE));
        interrupt(0);
        interrupt(2);
        assert_null(ktlb_batch_sync(&a));
        assert_null(ktlb_batch_sync(&b));
        assert_null(ktlb_batch_sync(&c));
    }
}

/* ---- what a room holds ---- */

static unsigned in_rooms; /* of those that were asked by hand */

/* Ask CPU 1 for @ops by hand, past the limit that a dispatch would set, and see it do them, all and in their order. */
static void ask(struct ktlb_space *on, const struct ktlb_op *ops, unsigned count, bool fits)
{
    unsigned next = 0;

    ktlb_batch_init(&a, on);
    for (unsigned i = 0; i < count; i++)
        ktlb_batch_add(&a, ops[i]);
    assert_int_equal(a.request.count, count); /* none was joined to another */
    fake_post(&a, 1);
    assert_int_equal(a.line == KTLB_LINE_NONE, fits);
    assert_int_equal(door_of(1)->taken, !fits ? 0 : count > 1 ? BOTH : TAKEN(0));
    assert_int_equal(STAT(0, overflows), 0);
    fake_log_clear();
    interrupt(1);
    for (unsigned i = 0; i < count; i++) {
        if (ops[i].count == KTLB_ALL) {
            assert_int_equal(fake_log[next].kind, on == &ktlb_kernel ? FAKE_INVPCID : FAKE_CR3);
            next++;
        }
        for (uint32_t each = 0; ops[i].count != KTLB_ALL && each < ops[i].count; each++, next++) {
            assert_int_equal(fake_log[next].kind, FAKE_INVLPG);
            assert_int_equal(fake_log[next].value, ops[i].va + ((uint64_t)each << ops[i].shift));
        }
    }
    assert_int_equal(fake_logged, next);
    assert_int_equal(STAT(1, not_loaded) + STAT(1, already_clean), 0);
    assert_true(fake_acked(&a, 1));
    assert_null(ktlb_batch_sync(&a));
    assert_int_equal(ktlb_machine.cpu[1].slot->clean, ktlb_load_relaxed(&space.generation));
    in_rooms += fits;
}

static struct ktlb_op pages(uint64_t va, uint64_t count, unsigned shift, unsigned flags)
{
    return ktlb_op_range(va, count << shift, shift, flags);
}

static void a_room_holds_what_was_asked(void **state)
{
    const struct ktlb_op five[] = {pages(0, 1, 12, 0), pages(0x7000, 2, 12, 0), pages(0x40000000, 2, 30, 0),
                                   pages(0x200000, 2, 21, 0), pages(0x7fff12345000, 3, 12, 0)};
    const struct ktlb_op one[] = {
        pages(0, 1, 12, 0), pages(0, 62, 12, 0), pages(0x7fffffffe000, 2, 12, 0), pages(0x5000, 61, 12, KTLB_TABLES),
        pages(0xffff800000000000, 62, 12, KTLB_EXEC), pages(UINT64_C(63) << 21, 62, 21, 0),
        pages(UINT64_C(0) - PAGE, 1, 12, 0), pages(UINT64_C(0) - 62 * PAGE, 62, 12, KTLB_OP_FLAGS & ~KTLB_GLOBAL),
        pages(UINT64_C(3) << 48, 5, 48, 0), pages(UINT64_C(1) << 63, 1, 63, 0), pages(0, 2, 62, KTLB_TABLES),
        ktlb_op_all(0), ktlb_op_all(KTLB_TABLES | KTLB_EXEC)};
    const struct ktlb_op kernel[] = {pages(UINT64_C(0) - 2 * PAGE, 2, 12, KTLB_GLOBAL),
                                     pages(0xffffffff80000000, 2, 21, KTLB_GLOBAL)};
    const struct ktlb_op everything = ktlb_op_all(KTLB_GLOBAL);

    (void)state;
    in_rooms = 0;
    for (unsigned i = 0; i < sizeof(one) / sizeof(one[0]); i++)
        ask(&space, &one[i], 1, true);
    for (unsigned i = 1; i <= 4; i++)
        ask(&space, five, i, true);
    ask(&space, five, 5, false);
    ask(&ktlb_kernel, kernel, 2, true);
    ask(&ktlb_kernel, &everything, 1, true);
    assert_int_equal(in_rooms, 13 + 4 + 2);
}

/* Five ops and more lie in both rooms if they lie near to the first of them: as far as 26 bits of pages say. */
static void a_door_holds_more_that_lie_near(void **state)
{
    const uint64_t middle = 0x7f0000000000, far = UINT64_C(1) << 37;
    struct ktlb_op six[] = {pages(middle, 1, 12, KTLB_TABLES), pages(middle - far, 62, 12, 0),
                            pages(middle + far - PAGE, 1, 12, 0), pages(middle + 9 * PAGE, 61, 12, 0),
                            pages(middle - 3 * PAGE, 2, 12, 0), pages(middle + 5 * PAGE, 3, 12, KTLB_EXEC)};
    const struct ktlb_op around[] = {pages(PAGE * 2, 1, 12, 0), pages(0, 1, 12, 0), pages(UINT64_C(0) - 2 * PAGE, 1, 12, 0),
                                     pages(PAGE * 8, 1, 12, 0), pages(PAGE * 4, 3, 12, 0)};
    const struct ktlb_op huge[] = {pages(UINT64_C(8) << 30, 1, 30, 0), pages(UINT64_C(4) << 30, 2, 30, 0),
                                   pages(UINT64_C(1) << 30, 1, 30, 0), pages(UINT64_C(10) << 30, 1, 30, 0),
                                   pages(UINT64_C(12) << 30, 1, 30, 0)};

    (void)state;
    ask(&space, six, 5, true);
    ask(&space, six, 6, true);
    ask(&space, around, 5, true);
    ask(&space, huge, 5, true);
    for (unsigned i = 1; i < 6; i++) {
        const struct ktlb_op was = six[i];

        six[i] = pages(middle - far - (i == 1 ? 1 : 3) * PAGE, 1, 12, 0); /* not to be joined to that one */
        ask(&space, six, 6, false);
        six[i] = pages(middle + far + (i == 2 ? 0 : 2) * PAGE, 1, 12, 0);
        ask(&space, six, 6, false);
        six[i] = pages(middle + (UINT64_C(1) << 30), 1, 21, 0);
        ask(&space, six, 6, false);
        six[i] = was;
    }
}

/* More strides than there are bits for are the space, or everything. */
static void what_fits_nowhere_is_a_bit(void **state)
{
    const struct ktlb_op more[] = {pages(0x5000, 63, 12, 0), pages(0, 1, 12, 0)};

    (void)state;
    for (unsigned count = 1; count <= 2; count++) {
        ktlb_batch_init(&a, &space);
        for (unsigned i = 0; i < count; i++)
            ktlb_batch_add(&a, more[i]);
        fake_post(&a, 1);
        assert_int_equal(a.line, KTLB_LINE_NONE);
        assert_int_equal(door_of(1)->taken, 0);
        assert_int_equal(rung_at(1), SPACE_BIT);
        assert_int_equal(STAT(0, overflows), count);
        fake_log_clear();
        interrupt(1);
        assert_int_equal(fake_logged, 1);
        assert_int_equal(fake_count(1, FAKE_CR3), 1);
        assert_true(fake_acked(&a, 1));
        assert_int_equal(ktlb_machine.cpu[1].slot->clean, ktlb_load_relaxed(&space.generation));
    }
    ktlb_batch_init(&a, &ktlb_kernel);
    ktlb_batch_add(&a, pages(0x5000, 63, 12, KTLB_GLOBAL));
    fake_post(&a, 1);
    assert_int_equal(rung_at(1), KERNEL_BIT);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_logged, 1);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
}

/* The flags of all ops together say what becomes of the other tags. */
static void a_room_holds_flags(void **state)
{
    const struct ktlb_op global = pages(0, 1, 12, KTLB_GLOBAL), some[] = {global, pages(PAGE * 4, 1, 12, 0)},
                         tables = pages(PAGE * 8, 1, 12, KTLB_GLOBAL | KTLB_TABLES);

    (void)state;
    ask(&ktlb_kernel, &global, 1, true);
    assert_int_equal(STAT(1, tags_forgotten), 0);
    ask(&ktlb_kernel, &tables, 1, true);
    assert_int_equal(STAT(1, tags_forgotten), 1);
    ask(&ktlb_kernel, some, 2, true);
    assert_int_equal(STAT(1, tags_forgotten), 2);
}

/* Of a space that came late, with all that came before it. */
static void a_room_holds_large_numbers(void **state)
{
    const uint64_t id = UINT64_C(0xedcba98765432), generation = UINT64_C(0xfedcba9876543210);
    uint64_t from = 0;
    struct ktlb_event event;

    (void)state;
    space.id = id;
    ktlb_store_relaxed(&space.generation, generation);
    for (unsigned cpu = 0; cpu < 4; cpu++) {
        fake_switch(cpu, &ktlb_kernel);
        fake_switch(cpu, &space);
    }
    from = ktlb_event_count(1);
    fake_dispatch(&a, &space, 0, 1);
    assert_int_equal(a.line, KTLB_LINE_NONE);
    fake_take_interrupts();
    event = fake_event(1, &from, KTLB_EVENT_EXECUTE);
    assert_int_equal(event.space_id, id);
    assert_int_equal(event.generation, generation + 1);
    assert_true(fake_did(1, FAKE_INVLPG, PAGE));
    assert_null(ktlb_batch_sync(&a));
}

/* ---- whose a room is ---- */

static void both_rooms_then_lines_then_the_space(void **state)
{
    static struct ktlb_batch batch[KTLB_DOORBELL_TRIES + 3];
    const unsigned last = KTLB_DOORBELL_TRIES + 2;

    (void)state;
    for (unsigned i = 0; i <= last; i++) {
        fake_dispatch(&batch[i], &space, 0, 2 * i);
        assert_int_equal(door_of(1)->taken, i == 0 ? TAKEN(0) : BOTH);
    }
    assert_int_equal(fake_interrupts, 3);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(batch[i].line, KTLB_LINE_NONE);
    for (unsigned i = 2; i < last; i++)
        assert_int_equal(batch[i].line, i - 2);
    assert_int_equal(batch[last].line, KTLB_LINE_NONE);
    assert_int_equal(STAT(0, overflows), 3);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_count(1, FAKE_CR3), 1); /* although the space could tell what they all were */
    assert_int_equal(fake_logged, 1);
    assert_int_equal(STAT(1, already_clean), 2);
    fake_interrupt[1] = false;
    fake_take_interrupts();
    for (unsigned i = 0; i <= last; i++)
        assert_null(ktlb_batch_sync(&batch[i]));
    fake_dispatch(&a, &space, 0, 1);
    fake_dispatch(&b, &space, 0, 3);
    assert_true(a.line == KTLB_LINE_NONE && b.line == KTLB_LINE_NONE);
    fake_dispatch(&c, &space, 0, 5);
    assert_int_equal(c.line, 0);
    assert_int_equal(STAT(0, overflows), 3);
}

static void the_same_for_the_kernel(void **state)
{
    static struct ktlb_batch batch[KTLB_DOORBELL_TRIES + 3];
    const unsigned last = KTLB_DOORBELL_TRIES + 2;

    (void)state;
    for (unsigned i = 0; i <= last; i++)
        fake_dispatch(&batch[i], &ktlb_kernel, 0, 2 * i);
    assert_int_equal(rung_at(1), ROOM_BIT(0) | ROOM_BIT(1) | ((1u << KTLB_DOORBELL_TRIES) - 1) | KERNEL_LINE_BIT |
                                     KERNEL_BIT);
    assert_int_equal(STAT(0, overflows), 3);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_log[0].kind, FAKE_INVPCID);
    assert_int_equal(STAT(1, served), last + 1);
    assert_true(fake_acked(&batch[last], 1));
}

static void begin(struct ktlb_batch *batch, struct ktlb_space *on, unsigned count)
{
    ktlb_batch_init(batch, on);
    for (unsigned i = 0; i < count; i++)
        ktlb_batch_add(batch, pages((100 + 2 * i) * PAGE, 1, 12, on == &ktlb_kernel ? KTLB_GLOBAL : 0));
}

/* Two lines and the space, for CPU 1, of which one is of the kernel's half or none. */
static void the_space_does_for_the_lines_but_the_kernels(void **state)
{
    (void)state;
    for (unsigned kernel = 0; kernel < 2; kernel++) {
        door_of(1)->taken = BOTH;
        begin(&a, &space, 1);
        fake_post(&a, 1);
        begin(&b, kernel ? &ktlb_kernel : &space, 1);
        fake_post(&b, 1);
        begin(&c, &space, 2);
        fake_post(&c, 1);
        assert_int_equal(rung_at(1), 1 | 2 | SPACE_BIT | (kernel ? KERNEL_LINE_BIT : 0));
        fake_log_clear();
        interrupt(1);
        assert_int_equal(fake_log[0].kind, FAKE_CR3);
        assert_int_equal(fake_logged, 1 + kernel);
        assert_int_equal(fake_count(1, FAKE_INVLPG), kernel);
        assert_int_equal(STAT(1, already_clean), kernel); /* the other was fetched for nothing, or was not */
        assert_int_equal(STAT(1, not_loaded), 0);
        assert_true(ktlb_batch_done(&a) && ktlb_batch_done(&b) && ktlb_batch_done(&c));
        ktlb_batch_sync(&a);
        ktlb_batch_sync(&b);
        ktlb_batch_sync(&c);
        assert_int_equal(ktlb_machine.cpu[1].slot->clean, ktlb_load_relaxed(&space.generation));
    }
}

/* With what has the rooms it may be more than the space is worth; of the kernel's half that would be everything. */
static void much_without_room_is_the_space(void **state)
{
    const uint32_t line = KTLB_FLUSH_MAX / 3;
    const struct {
        struct ktlb_space *on;
        uint32_t strides, rung;
        unsigned overflows;
    } each[] = {
        {&space, line, 1, 0},
        {&space, line + 1, SPACE_BIT, 1},
        {&space, KTLB_ALL, SPACE_BIT, 0},
        {&ktlb_kernel, line + 1, 1 | KERNEL_LINE_BIT, 0},
        {&ktlb_kernel, KTLB_ALL, KERNEL_BIT, 0},
    };

    (void)state;
    for (unsigned i = 0; i < 2 * sizeof(each) / sizeof(each[0]); i++) {
        unsigned flags = each[i / 2].on == &ktlb_kernel ? KTLB_GLOBAL : 0, several = i % 2;
        uint32_t strides = each[i / 2].strides, rung = each[i / 2].rung;
        uint64_t before = STAT(0, overflows);

        door_of(1)->taken = BOTH;
        ktlb_batch_init(&a, each[i / 2].on);
        if (several)
            ktlb_batch_add(&a, pages(0, 1, 12, flags));
        ktlb_batch_add(&a, strides == KTLB_ALL ? ktlb_op_all(flags) : pages(5 * PAGE, strides - several, 12, flags));
        fake_post(&a, 1);
        assert_int_equal(a.line, rung & 1 ? 0 : KTLB_LINE_NONE);
        assert_int_equal(rung_at(1), rung);
        assert_int_equal(STAT(0, overflows) - before, each[i / 2].overflows);
        fake_log_clear();
        interrupt(1);
        assert_int_equal(fake_count(1, FAKE_INVLPG), rung & 1 ? strides : 0);
        assert_int_equal(fake_count(1, FAKE_CR3), rung == SPACE_BIT);
        assert_int_equal(fake_count(1, FAKE_INVPCID), rung == KERNEL_BIT);
        assert_true(ktlb_batch_done(&a));
        ktlb_batch_sync(&a);
    }
}

/* More ops than a door has room for, as far apart as these: that it was not there says nothing of others. */
static void many_ops_are_worth_a_line(void **state)
{
    (void)state;
    ktlb_batch_init(&a, &space);
    for (unsigned i = 0; i < 5; i++)
        ktlb_batch_add(&a, pages((uint64_t)i << 40, KTLB_FLUSH_MAX / 5, 12, 0));
    fake_post(&a, 1);
    assert_int_equal(a.line, 0);
    assert_int_equal(rung_at(1), 1);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_FLUSH_MAX / 5 * 5);
    assert_int_equal(fake_logged, KTLB_FLUSH_MAX / 5 * 5);
    assert_true(ktlb_batch_done(&a));
    ktlb_batch_sync(&a);
}

/* What is left for the lines is one copy, for those targets alone whose rooms were taken. */
static void a_line_for_those_without_room(void **state)
{
    (void)state;
    begin(&a, &space, 1);
    fake_post(&a, 1);
    begin(&b, &space, 1);
    fake_post(&b, 1);
    fake_dispatch(&c, &space, 0, 2);
    assert_int_equal(c.line, 0);
    assert_int_equal(rung_at(1), ROOM_BIT(0) | ROOM_BIT(1) | 1);
    assert_int_equal(rung_at(2), ROOM_BIT(0));
    fake_take_interrupts();
    interrupt(1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), 3);
    assert_int_equal(fake_count(2, FAKE_INVLPG), 1);
    assert_int_equal(STAT(1, not_loaded), 0);
    assert_true(ktlb_batch_done(&a) && ktlb_batch_done(&b) && ktlb_batch_done(&c));
}

/* Several ops lie across both rooms, so one that is taken is as bad as two; and the one that is free stays free. */
static void several_ops_need_both_rooms(void **state)
{
    (void)state;
    for (unsigned room = 0; room < 2; room++) {
        door_of(1)->taken = TAKEN(1 - room);
        begin(&a, &space, 1);
        fake_post(&a, 1);
        assert_int_equal(rung_at(1), ROOM_BIT(room));
        door_of(1)->taken = TAKEN(room);
        begin(&b, &space, 3);
        fake_log_clear();
        ktlb_batch_dispatch(&b);
        assert_int_equal(b.line, 0);
        assert_int_equal(rung_at(1), ROOM_BIT(room) | 1);
        assert_int_equal(door_of(1)->taken, TAKEN(room));
        assert_int_equal(rung_at(2), ROOM_BIT(0));
        assert_int_equal(door_of(2)->taken, BOTH);
        fake_log_clear();
        fake_take_interrupts();
        interrupt(1);
        assert_int_equal(fake_count(1, FAKE_INVLPG), 4);
        assert_int_equal(fake_count(2, FAKE_INVLPG), 3);
        assert_true(ktlb_batch_done(&a) && ktlb_batch_done(&b));
        assert_int_equal(door_of(1)->taken | door_of(2)->taken, 0);
    }
    assert_int_equal(STAT(1, already_clean), 0);
}

/* The third of them at CPU 1 is the space there, and a line where it is the second; of the kernel's half, everywhere. */
static void the_third_of_several_ops_is_the_space(void **state)
{
    (void)state;
    for (unsigned kernel = 0; kernel < 2; kernel++) {
        struct ktlb_space *on = kernel ? &ktlb_kernel : &space;

        begin(&a, on, 2);
        ktlb_batch_dispatch(&a);
        begin(&b, on, 2);
        fake_post(&b, 1);
        assert_int_equal(rung_at(1), ROOM_BIT(0) | 1 | (kernel ? KERNEL_LINE_BIT : 0));
        begin(&c, on, 2);
        ktlb_batch_dispatch(&c);
        assert_int_equal(c.line, 1);
        assert_int_equal(rung_at(1), ROOM_BIT(0) | 1 | (kernel ? 2 | KERNEL_LINE_BIT : SPACE_BIT));
        assert_int_equal(rung_at(2), ROOM_BIT(0) | 2 | (kernel ? KERNEL_LINE_BIT : 0));
        assert_int_equal(STAT(0, overflows), 1);
        fake_log_clear();
        fake_take_interrupts();
        assert_int_equal(fake_count(1, FAKE_CR3), !kernel);
        assert_int_equal(fake_count(1, FAKE_INVLPG), kernel ? 6 : 0);
        assert_int_equal(fake_count(2, FAKE_INVLPG), 4);
        assert_int_equal(STAT(1, already_clean), 1);
        assert_true(ktlb_batch_done(&a) && ktlb_batch_done(&b) && ktlb_batch_done(&c));
        ktlb_batch_sync(&a);
        ktlb_batch_sync(&b);
        ktlb_batch_sync(&c);
    }
}

/* ---- in which order ---- */

static void post_all(struct ktlb_batch *batch, struct ktlb_space *on)
{
    ktlb_batch_init(batch, on);
    ktlb_batch_add(batch, ktlb_op_all(on == &ktlb_kernel ? KTLB_GLOBAL : 0));
    fake_post(batch, 1);
}

/* It does for what was asked before, and no more: the space's line, which would tell the rest, is not fetched. */
static void a_flush_in_the_second_room_does_for_the_first(void **state)
{
    (void)state;
    for (unsigned all = 0; all < 2; all++) {
        if (all) {
            post_all(&a, &space);
        } else {
            begin(&a, &space, 1);
            fake_post(&a, 1);
        }
        post_all(&b, &space);
        fake_dispatch(&c, &space, 0, 7);
        assert_int_equal(rung_at(1), ROOM_BIT(0) | ROOM_BIT(1) | 1);
        fake_log_clear();
        interrupt(1);
        assert_int_equal(fake_logged, 2);
        assert_int_equal(fake_log[0].kind, FAKE_CR3);
        assert_true(fake_did(1, FAKE_INVLPG, 7 * PAGE));
        assert_int_equal(STAT(1, already_clean), all + 1);
        assert_true(fake_acked(&a, 1) && fake_acked(&b, 1) && fake_acked(&c, 1));
        assert_int_equal(door_of(1)->taken, 0);
        assert_int_equal(ktlb_machine.cpu[1].slot->clean, ktlb_load_relaxed(&space.generation));
        fake_take_interrupts();
        ktlb_batch_sync(&c);
    }
}

/* Not so where it is the older, or of the kernel's half: what is in the first room is still to be done. */
static void a_flush_in_the_second_room_and_what_it_does_not_do_for(void **state)
{
    (void)state;
    for (unsigned kernel = 0; kernel < 2; kernel++) {
        door_of(1)->taken = TAKEN(0);
        post_all(&a, kernel ? &ktlb_kernel : &space);
        door_of(1)->taken = TAKEN(1);
        begin(&b, &space, 1);
        fake_post(&b, 1);
        assert_int_equal(rung_at(1), ROOM_BIT(0) | ROOM_BIT(1));
        fake_log_clear();
        interrupt(1);
        assert_int_equal(fake_logged, 2);
        assert_int_equal(fake_log[0].kind, kernel ? FAKE_INVPCID : FAKE_CR3);
        assert_true(fake_did(1, FAKE_INVLPG, 100 * PAGE));
        assert_true(fake_acked(&a, 1) && fake_acked(&b, 1));
        assert_int_equal(door_of(1)->taken, 0);
    }
    assert_int_equal(STAT(1, already_clean), 0);
}

static unsigned executed; /* ops of the round that is under way */

/* CPU 1 is in the middle of the first op, then of the second: each leaves its room to the next batch. */
static void next_batch(void)
{
    struct ktlb_batch *next = executed ? &d : &c;

    if (fake_cpu != 1 || executed++ > 1)
        return;
    assert_int_equal(door_of(1)->taken, executed == 1 ? TAKEN(1) : TAKEN(0));
    fake_dispatch(next, &space, 3, 20 + executed);
    assert_int_equal(next->line, KTLB_LINE_NONE);
    assert_int_equal(rung_at(1), executed == 1 ? ROOM_BIT(0) : ROOM_BIT(0) | ROOM_BIT(1));
    fake_cpu = 1;
    ktlb_ipi(); /* by NMI: left to the end of the section */
    assert_false(fake_acked(next, 1));
}

static void rooms_are_free_before_their_request_is_done(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    fake_dispatch(&b, &space, 0, 2);
    assert_int_equal(rung_at(1), ROOM_BIT(0) | ROOM_BIT(1));
    fake_take_interrupt(2);
    executed = 0;
    fake_invlpg_hook = next_batch;
    interrupt(1);
    assert_int_equal(executed, 4);
    assert_int_equal(STAT(1, ipis_deferred), 2);
    for (unsigned page = 1; page <= 2; page++)
        assert_true(fake_did(1, FAKE_INVLPG, page * PAGE) && fake_did(1, FAKE_INVLPG, (20 + page) * PAGE));
    assert_true(fake_acked(&a, 1) && fake_acked(&b, 1) && fake_acked(&c, 1) && fake_acked(&d, 1));
    assert_int_equal(door_of(1)->taken, 0);
}

static void next_of_several(void)
{
    fake_invlpg_hook = NULL;
    assert_int_equal(door_of(1)->taken, BOTH);
    begin(&b, &space, 4);
    fake_cpu = 0;
    fake_post(&b, 1); /* not over what is still to be executed */
    fake_cpu = 1;
    assert_int_equal(b.line, 0);
}

static void the_rooms_of_several_ops_are_read_as_they_are_executed(void **state)
{
    const struct ktlb_op few[] = {pages(PAGE, 1, 12, 0), pages(3 * PAGE, 1, 12, 0), pages(5 * PAGE, 1, 12, 0)};

    (void)state;
    ktlb_batch_init(&a, &space);
    for (unsigned i = 0; i < 3; i++)
        ktlb_batch_add(&a, few[i]);
    fake_post(&a, 1);
    fake_log_clear();
    fake_invlpg_hook = next_of_several;
    interrupt(1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(fake_did(1, FAKE_INVLPG, few[i].va));
    assert_true(fake_acked(&a, 1));
    assert_false(fake_acked(&b, 1));
    assert_int_equal(door_of(1)->taken, 0);
    interrupt(1);
    assert_true(fake_acked(&b, 1));
    assert_int_equal(fake_count(1, FAKE_INVLPG), 7);
}

static void away(unsigned cpu)
{
    fake_switch(cpu, &ktlb_kernel);
    fake_cpu = cpu;
    ktlb_cpu_offline();
    fake_cpu = 0;
}

static void back(unsigned cpu)
{
    fake_cpu = cpu;
    ktlb_cpu_online();
    fake_cpu = 0;
}

/* What was rung is given back, and nothing else: who has the other room, or both, is still to ring. */
static void what_was_rung_is_forgotten_and_no_more(void **state)
{
    const struct {
        uint32_t taken, rung, kept;
        unsigned ops; /* of the one that rings; 0: none does */
    } each[] = {
        {0, ROOM_BIT(0), 0, 1},
        {TAKEN(0), ROOM_BIT(1), TAKEN(0), 1},
        {TAKEN(1), ROOM_BIT(0), TAKEN(1), 1},
        {0, ROOM_BIT(0), 0, 2},
        {TAKEN(0), ROOM_BIT(1), TAKEN(0), 1}, /* although what the first room says of the last there had both */
        {BOTH, 0, BOTH, 0},
        {BOTH, 1 | KERNEL_LINE_BIT, BOTH, 1},
        {TAKEN(1), 1 | KERNEL_LINE_BIT, TAKEN(1), 2},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        away(1);
        door_of(1)->taken = each[i].taken;
        if (each[i].ops) {
            begin(&a, &ktlb_kernel, each[i].ops);
            fake_post(&a, 1);
            assert_true(ktlb_batch_done(&a)); /* it has left */
        }
        assert_int_equal(rung_at(1), each[i].rung);
        fake_log_clear();
        back(1);
        assert_int_equal(fake_logged, 1); /* unread */
        assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
        if (each[i].ops)
            assert_true(fake_acked(&a, 1));
        assert_int_equal(door_of(1)->taken, each[i].kept);
        assert_int_equal(rung_at(1), 0);
    }
    door_of(1)->taken = 0;
    begin(&b, &ktlb_kernel, 2);
    ktlb_batch_dispatch(&b);
    assert_int_equal(b.line, KTLB_LINE_NONE);
    assert_int_equal(STAT(0, overflows), 0);
}

/* Somebody took a room, and rings only after the CPU was away and back, twice. */
static void a_room_is_kept_for_who_has_still_to_ring(void **state)
{
    struct ktlb_space late;

    (void)state;
    ktlb_space_init(&late);
    fake_switch(2, &late);
    for (unsigned room = 0; room < 2; room++) {
        struct door written;

        door_of(2)->taken = room ? TAKEN(0) : 0;
        fake_dispatch(&a, &late, 0, 7);
        assert_int_equal(rung_at(2), ROOM_BIT(room));
        written = *door_of(2); /* as it is to be in the room of CPU 1 */
        fake_take_interrupts();
        door_of(1)->taken = TAKEN(room);
        for (unsigned i = 0; i < 2; i++) {
            away(1);
            back(1);
            assert_int_equal(door_of(1)->taken, TAKEN(room));
            fake_switch(1, &late);
            fake_dispatch(&b, &ktlb_kernel, 0, 2); /* the others' go around it */
            assert_int_equal(b.line, KTLB_LINE_NONE);
            assert_int_equal(rung_at(1), ROOM_BIT(1 - room));
            fake_take_interrupts();
            assert_null(ktlb_batch_sync(&b));
        }
        memcpy(door_of(1)->room[room], written.room[room], sizeof(written.room[room]));
        door_of(1)->bell += ROOM_BIT(room);
        interrupt(1);
        assert_int_equal(STAT(1, already_clean), room + 1); /* it has loaded the space since */
        assert_int_equal(door_of(1)->taken, 0);
        assert_int_equal(rung_at(1), 0);
        fake_dispatch(&b, &ktlb_kernel, 0, 2);
        assert_int_equal(rung_at(1), ROOM_BIT(0));
        fake_take_interrupts();
    }
}

/* ---- who dispatches ---- */

static void two_in_the_middle(void)
{
    if (fake_cpu != 1)
        return;
    fake_invlpg_hook = NULL;
    fake_dispatch(&b, &space, 2, 20);
    fake_dispatch(&c, &ktlb_kernel, 3, 30);
    assert_false(fake_interrupt[1]);
    assert_false(fake_acked(&b, 1) || fake_acked(&c, 1));
}

static void nobody_interrupts_who_dispatches(void **state)
{
    (void)state;
    fake_invlpg_hook = two_in_the_middle;
    fake_dispatch(&a, &space, 1, 10);
    assert_null(fake_invlpg_hook);
    assert_false(fake_interrupt[1]);
    assert_true(fake_acked(&b, 1) && fake_acked(&c, 1));
    assert_true(fake_did(1, FAKE_INVLPG, 20 * PAGE) && fake_did(1, FAKE_INVLPG, 30 * PAGE));
    assert_int_equal(STAT(1, served), 2);
    assert_int_equal(STAT(1, ipis), 0);
    assert_int_equal(rung_at(1), 0);
    fake_dispatch(&d, &space, 0, 40); /* which it is no more */
    assert_true(fake_interrupt[1]);
    assert_false(fake_acked(&d, 1));
}

/* Who was rung before has an interrupt under way, which finds nothing left. */
static void a_dispatch_answers_what_was_asked_before_it(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    fake_dispatch(&b, &space, 1, 2);
    assert_true(fake_acked(&a, 1));
    assert_true(fake_did(1, FAKE_INVLPG, PAGE));
    fake_take_interrupt(1);
    assert_int_equal(STAT(1, ipis_idle), 1);
}

/* Nobody rang at a CPU: what it dispatches leaves its own door as it was, and answers nothing. */
static void nobody_to_meet(void **state)
{
    struct door before, after;

    (void)state;
    interrupt(1); /* a round, for there to be a number */
    before = *door_of(1);
    for (unsigned i = 0; i < 5; i++)
        fake_dispatch(&a, &space, 1, i);
    fake_dispatch(&a, &ktlb_kernel, 1, 5);
    begin(&a, &space, 3);
    fake_cpu = 1;
    ktlb_batch_dispatch(&a);
    fake_cpu = 0;
    after = *door_of(1);
    assert_memory_equal(&before, &after, sizeof(after));
    assert_int_equal(ktlb_machine.cpu[1].round, before.answered);
    assert_int_equal(STAT(1, served), 0);
}

/* ---- ahead of its turn ---- */

static void one_that_is_ahead(void **state)
{
    struct ktlb_slot *slot = ktlb_machine.cpu[1].slot;
    uint64_t clean = slot->clean;

    (void)state;
    begin(&a, &space, 1);
    fake_post(&a, 2);
    fake_dispatch(&b, &space, 0, 5);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_logged, 1);
    assert_true(fake_did(1, FAKE_INVLPG, 5 * PAGE));
    assert_true(fake_acked(&b, 1));
    assert_true(slot->clean == clean && slot->beyond == 2);
    fake_post_again(&b, 1); /* once more is nothing */
    interrupt(1);
    assert_int_equal(fake_logged, 1);
    assert_int_equal(STAT(1, already_clean), 1);
    fake_post_again(&a, 1); /* the one that was missing */
    interrupt(1);
    assert_int_equal(fake_logged, 2);
    assert_true(fake_did(1, FAKE_INVLPG, 100 * PAGE));
    assert_true(slot->clean == clean + 2 && slot->beyond == 0);
    fake_post_again(&a, 1); /* and behind what is clean */
    interrupt(1);
    assert_int_equal(fake_logged, 2);
    assert_int_equal(STAT(1, already_clean), 2);
    assert_int_equal(STAT(1, strides), 2);
}

/* As far as a slot can say, and one more. */
static void one_that_is_far_ahead(void **state)
{
    struct ktlb_slot *slot = ktlb_machine.cpu[1].slot;
    uint64_t clean = slot->clean;

    (void)state;
    ktlb_store_relaxed(&space.generation, clean + 63);
    fake_dispatch(&a, &space, 0, 5);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_logged, 1);
    assert_true(fake_did(1, FAKE_INVLPG, 5 * PAGE));
    assert_true(slot->clean == clean && slot->beyond == UINT64_C(1) << 63);
    fake_dispatch(&b, &space, 0, 6);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_logged, 1);
    assert_int_equal(fake_count(1, FAKE_CR3), 1);
    assert_true(slot->clean == clean + 65 && slot->beyond == 0);
}

/* ---- what a space has to remember ---- */

static int start_without_tags(void **state)
{
    (void)state;
    fake_start(4, 0);
    ktlb_space_init(&space);
    for (unsigned cpu = 0; cpu < 3; cpu++)
        fake_switch(cpu, &space);
    return 0;
}

/* What it has no ring for, it might have. */
static bool remembers(struct ktlb_op op)
{
    bool any = true;
#if KTLB_SPACE_RING
    struct ktlb_op found;
#endif

    ktlb_flush(&space, op);
#if KTLB_SPACE_RING
    any = ktlb_space_recall(&space, ktlb_load_relaxed(&space.generation), &found);
    if (any)
        assert_memory_equal(&found, &op, sizeof(op));
    else
        for (unsigned i = 0; i < KTLB_SPACE_RING; i++)
            assert_int_equal(ktlb_load_relaxed(&space.recent[i].generation), 0); /* untouched */
#endif
    return any;
}

/* Each target is told what to drop, so nobody asks the space: unless he was spared, or has the space under a tag. */
static void nothing_is_remembered_for_nobody(void **state)
{
    (void)state;
    fake_wait_hook = fake_take_interrupts;
    assert_int_equal(remembers(pages(PAGE, 1, 12, 0)), !KTLB_SPACE_RING);
    fake_cpu = 2;
    ktlb_lazy_enter();
    fake_cpu = 0;
    assert_int_equal(remembers(pages(PAGE, 2, 12, KTLB_TABLES)), !KTLB_SPACE_RING); /* he is told, lazy or not */
    assert_true(remembers(pages(PAGE, 3, 12, 0)));
    fake_log_clear();
    fake_cpu = 2;
    ktlb_lazy_leave();
    fake_cpu = 0;
    assert_int_equal(fake_count(2, KTLB_SPACE_RING ? FAKE_INVLPG : FAKE_CR3), KTLB_SPACE_RING ? 3 : 1);
    assert_int_equal(fake_count(2, KTLB_SPACE_RING ? FAKE_CR3 : FAKE_INVLPG), 0);
}

static void with_tags_all_is_remembered(void **state)
{
    (void)state;
    fake_wait_hook = fake_take_interrupts;
    assert_true(remembers(pages(PAGE, 1, 12, 0)));
    for (unsigned cpu = 1; cpu < 4; cpu++)
        fake_switch(cpu, &ktlb_kernel);
    assert_true(remembers(pages(PAGE, 2, 12, 0))); /* with nobody to be told, too */
    fake_log_clear();
    assert_int_equal(fake_switch(1, &space).flush, !KTLB_SPACE_RING);
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_SPACE_RING ? 2 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_interrupt_for_a_round, start),
        cmocka_unit_test_setup(rounds_wrap, start),
        cmocka_unit_test_setup(a_room_holds_what_was_asked, start),
        cmocka_unit_test_setup(a_door_holds_more_that_lie_near, start),
        cmocka_unit_test_setup(what_fits_nowhere_is_a_bit, start),
        cmocka_unit_test_setup(a_room_holds_flags, start),
        cmocka_unit_test_setup(a_room_holds_large_numbers, start),
        cmocka_unit_test_setup(both_rooms_then_lines_then_the_space, start),
        cmocka_unit_test_setup(the_same_for_the_kernel, start),
        cmocka_unit_test_setup(the_space_does_for_the_lines_but_the_kernels, start),
        cmocka_unit_test_setup(much_without_room_is_the_space, start),
        cmocka_unit_test_setup(many_ops_are_worth_a_line, start),
        cmocka_unit_test_setup(a_line_for_those_without_room, start),
        cmocka_unit_test_setup(several_ops_need_both_rooms, start),
        cmocka_unit_test_setup(the_third_of_several_ops_is_the_space, start),
        cmocka_unit_test_setup(a_flush_in_the_second_room_does_for_the_first, start),
        cmocka_unit_test_setup(a_flush_in_the_second_room_and_what_it_does_not_do_for, start),
        cmocka_unit_test_setup(rooms_are_free_before_their_request_is_done, start),
        cmocka_unit_test_setup(the_rooms_of_several_ops_are_read_as_they_are_executed, start),
        cmocka_unit_test_setup(what_was_rung_is_forgotten_and_no_more, start),
        cmocka_unit_test_setup(a_room_is_kept_for_who_has_still_to_ring, start),
        cmocka_unit_test_setup(nobody_interrupts_who_dispatches, start),
        cmocka_unit_test_setup(a_dispatch_answers_what_was_asked_before_it, start),
        cmocka_unit_test_setup(nobody_to_meet, start),
        cmocka_unit_test_setup(one_that_is_ahead, start),
        cmocka_unit_test_setup(one_that_is_far_ahead, start),
        cmocka_unit_test_setup(nothing_is_remembered_for_nobody, start_without_tags),
        cmocka_unit_test_setup(with_tags_all_is_remembered, start),
    };

    FAKE_RUN_WITH("doorbell", tests);
}
