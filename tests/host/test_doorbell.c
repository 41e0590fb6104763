/*
 * test_doorbell.c - goal: those who ring in one round share an interrupt, an answer and a flush; rounds may wrap; what
 * lies in the door's room is executed as it was asked, and the room is somebody's until it was read, or forgotten.
 */
#include "fake.h"

#include <string.h>

#define PAGE UINT64_C(4096)

static struct ktlb_space space;
static struct ktlb_batch a, b, c;

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

/* A flush of the space answers what was asked before it, whoever asked. */
static void a_flush_leaves_nothing_to_do(void **state)
{
    (void)state;
    ktlb_batch_init(&a, &space);
    ktlb_batch_add(&a, ktlb_op_all(0));
    ktlb_batch_dispatch(&a);
    fake_dispatch(&b, &space, 2, 2);
    fake_dispatch(&c, &space, 3, 3);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_int_equal(fake_count(1, FAKE_CR3), 1);
    assert_int_equal(fake_logged, 1);
    assert_int_equal(STAT(1, already_clean), 2);
    assert_true(fake_acked(&a, 1) && fake_acked(&b, 1) && fake_acked(&c, 1));
}

/* A door, for tests that bring about what takes too long, or two CPUs at once. What is in the room is the library's. */
struct door {
    uint64_t bell;
    uint32_t answered, taken;
    unsigned char room[48];
};
#define ROOM_BIT (UINT64_C(1) << 29)

static struct door *door_of(unsigned cpu)
{
    size_t lines = ktlb_doorbell.memory_size(0), each = ktlb_doorbell.memory_size(1) - lines;

    return (struct door *)(void *)((unsigned char *)(ktlb_machine.cpu + 4) + lines + cpu * each);
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
        fake_dispatch(&b, &space, 2, i + 100); /* the room is taken: in a line */
        assert_false(fake_acked(&a, 1) || fake_acked(&b, 1));
        fake_take_interrupts();
        assert_true(fake_did(1, FAKE_INVLPG, i * PAGE));
        assert_true(fake_did(1, FAKE_INVLPG, (i + 100) * PAGE));
        interrupt(0);
        assert_null(ktlb_batch_sync(&a));
        assert_null(ktlb_batch_sync(&b));
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
    assert_int_equal(door_of(1)->taken, fits);
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
                                   pages(0x200000, 3, 21, 0), pages(0x7fff12345000, 4, 12, 0)};
    const struct ktlb_op one[] = {
        pages(0, 1, 12, 0), pages(0, 62, 12, 0), pages(0x7fffffffe000, 2, 12, 0), pages(0x5000, 61, 12, KTLB_TABLES),
        pages(0xffff800000000000, 62, 12, KTLB_EXEC), pages(UINT64_C(63) << 21, 62, 21, 0),
        pages(UINT64_C(0) - PAGE, 1, 12, 0), pages(UINT64_C(0) - 62 * PAGE, 62, 12, KTLB_OP_FLAGS & ~KTLB_GLOBAL),
        pages(UINT64_C(3) << 48, 5, 48, 0), pages(UINT64_C(1) << 63, 1, 63, 0), pages(0, 2, 62, KTLB_TABLES),
        ktlb_op_all(0), ktlb_op_all(KTLB_TABLES | KTLB_EXEC)};
    const struct ktlb_op more = pages(0x5000, 63, 12, 0), less[] = {pages(0, 1, 12, 0), pages(0x800000, 63, 12, 0)};
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
    ask(&space, &more, 1, false);
    ask(&space, less, 2, false);
    ask(&ktlb_kernel, kernel, 2, true);
    ask(&ktlb_kernel, &everything, 1, true);
    assert_int_equal(in_rooms, 13 + 4 + 2);
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
    const uint64_t id = UINT64_C(0xfedcba98765432), generation = UINT64_C(0xfedcba9876543210);
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

static void a_room_then_lines_then_the_space(void **state)
{
    static struct ktlb_batch batch[KTLB_DOORBELL_TRIES + 2];
    const unsigned last = KTLB_DOORBELL_TRIES + 1;

    (void)state;
    for (unsigned i = 0; i <= last; i++)
        fake_dispatch(&batch[i], &space, 0, 2 * i);
    assert_int_equal(fake_interrupts, 3);
    assert_int_equal(batch[0].line, KTLB_LINE_NONE);
    for (unsigned i = 1; i < last; i++)
        assert_int_equal(batch[i].line, i - 1);
    assert_int_equal(batch[last].line, KTLB_LINE_NONE);
    assert_int_equal(STAT(0, overflows), 3);
    fake_log_clear();
    interrupt(1);
    if (KTLB_SPACE_RING) { /* it knows what the widened one may have been: all of them */
        assert_int_equal(fake_count(1, FAKE_INVLPG), last + 1);
        for (unsigned i = 0; i <= last; i++)
            assert_true(fake_did(1, FAKE_INVLPG, 2 * i * PAGE));
    } else {
        assert_int_equal(fake_count(1, FAKE_CR3), 1);
        assert_int_equal(fake_logged, 1);
    }
    assert_int_equal(STAT(1, already_clean), last);
    fake_interrupt[1] = false;
    fake_take_interrupts();
    for (unsigned i = 0; i <= last; i++)
        assert_null(ktlb_batch_sync(&batch[i]));
    fake_dispatch(&a, &space, 0, 1);
    assert_int_equal(a.line, KTLB_LINE_NONE);
    fake_dispatch(&b, &space, 0, 3);
    assert_int_equal(b.line, 0);
    assert_int_equal(STAT(0, overflows), 3);
}

static void the_same_for_the_kernel(void **state)
{
    static struct ktlb_batch batch[KTLB_DOORBELL_TRIES + 2];
    const unsigned last = KTLB_DOORBELL_TRIES + 1;

    (void)state;
    for (unsigned i = 0; i <= last; i++)
        fake_dispatch(&batch[i], &ktlb_kernel, 0, 2 * i);
    assert_int_equal(STAT(0, overflows), 3);
    fake_log_clear();
    interrupt(1);
    assert_int_equal(fake_log[0].kind, FAKE_INVPCID);
    assert_true(fake_acked(&batch[last], 1));
}

/* What is left for the lines is one copy, for those targets alone whose room was taken. */
static void a_line_for_those_without_room(void **state)
{
    (void)state;
    ktlb_batch_init(&a, &space);
    ktlb_batch_add(&a, ktlb_op_range(PAGE, PAGE, 12, 0));
    fake_post(&a, 1);
    fake_dispatch(&b, &space, 0, 2);
    assert_int_equal(b.line, 0);
    assert_true((uint32_t)door_of(1)->bell == (ROOM_BIT | 1) && (uint32_t)door_of(2)->bell == ROOM_BIT);
    fake_take_interrupts();
    interrupt(1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), 2);
    assert_int_equal(fake_count(2, FAKE_INVLPG), 1);
    assert_int_equal(STAT(1, not_loaded), 0);
    assert_true(ktlb_batch_done(&a) && ktlb_batch_done(&b));
}

static void next_batch(void)
{
    fake_invlpg_hook = NULL;
    fake_dispatch(&b, &space, 0, 2);
    assert_int_equal((uint32_t)door_of(1)->bell, ROOM_BIT);
    ktlb_ipi(); /* by NMI: left to the end of the section */
    assert_false(fake_acked(&b, 1));
}

static void the_room_is_free_before_its_request_is_done(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    fake_invlpg_hook = next_batch;
    interrupt(1);
    assert_int_equal(STAT(1, ipis_deferred), 1);
    assert_true(fake_did(1, FAKE_INVLPG, PAGE) && fake_did(1, FAKE_INVLPG, 2 * PAGE));
    assert_true(fake_acked(&a, 1) && fake_acked(&b, 1));
    assert_int_equal(door_of(1)->taken, 0);
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

static void a_room_that_was_forgotten_is_free(void **state)
{
    (void)state;
    away(1);
    ktlb_batch_init(&a, &ktlb_kernel);
    ktlb_batch_add(&a, ktlb_op_range(PAGE, PAGE, 12, KTLB_GLOBAL));
    fake_post(&a, 1);
    assert_true(ktlb_batch_done(&a)); /* it has left */
    assert_int_equal(door_of(1)->taken, 1);
    fake_log_clear();
    back(1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), 0); /* unread */
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
    assert_true(fake_acked(&a, 1));
    fake_dispatch(&b, &ktlb_kernel, 0, 2);
    assert_int_equal(b.line, KTLB_LINE_NONE);
    assert_int_equal(STAT(0, overflows), 0);
}

/* Somebody took the room, and rings only after the CPU was away and back, twice. */
static void a_room_is_kept_for_who_has_still_to_ring(void **state)
{
    struct ktlb_space late;
    struct door written;

    (void)state;
    ktlb_space_init(&late);
    fake_switch(2, &late);
    fake_dispatch(&a, &late, 0, 7);
    written = *door_of(2); /* as it is to be in the room of CPU 1 */
    door_of(1)->taken = 1;
    for (unsigned i = 0; i < 2; i++) {
        away(1);
        back(1);
        assert_int_equal(door_of(1)->taken, 1);
        fake_switch(1, &late);
        fake_dispatch(&b, &ktlb_kernel, 0, 2); /* the others' go around it */
        assert_int_equal(b.line, 0);
        fake_take_interrupts();
        assert_null(ktlb_batch_sync(&b));
    }
    memcpy(door_of(1)->room, written.room, sizeof(written.room));
    door_of(1)->bell += ROOM_BIT;
    interrupt(1);
    assert_int_equal(STAT(1, already_clean), 1); /* it has loaded the space since */
    assert_int_equal(door_of(1)->taken, 0);
    assert_int_equal((uint32_t)door_of(1)->bell, 0);
    fake_dispatch(&b, &ktlb_kernel, 0, 2);
    assert_int_equal(b.line, KTLB_LINE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_interrupt_for_a_round, start),
        cmocka_unit_test_setup(a_flush_leaves_nothing_to_do, start),
        cmocka_unit_test_setup(rounds_wrap, start),
        cmocka_unit_test_setup(a_room_holds_what_was_asked, start),
        cmocka_unit_test_setup(a_room_holds_flags, start),
        cmocka_unit_test_setup(a_room_holds_large_numbers, start),
        cmocka_unit_test_setup(a_room_then_lines_then_the_space, start),
        cmocka_unit_test_setup(the_same_for_the_kernel, start),
        cmocka_unit_test_setup(a_line_for_those_without_room, start),
        cmocka_unit_test_setup(the_room_is_free_before_its_request_is_done, start),
        cmocka_unit_test_setup(a_room_that_was_forgotten_is_free, start),
        cmocka_unit_test_setup(a_room_is_kept_for_who_has_still_to_ring, start),
    };

    FAKE_RUN_WITH("doorbell", tests);
}
