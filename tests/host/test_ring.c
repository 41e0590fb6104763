/*
 * test_ring.c - goal: a CPU that missed a few dispatches drops their ranges and no more; and whenever the ring cannot say
 * exactly what it missed, it drops the space.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)
#define RING KTLB_SPACE_RING

static struct ktlb_space space, other;

static unsigned tries;         /* to claim an entry */
static uint64_t comes_between; /* what @contended says from before the second on; 0: nothing does */
static struct ktlb_recent *contended;

void fake_before_cas(void)
{
    if (++tries == 2 && comes_between)
        ktlb_store_relaxed(&contended->generation, comes_between);
}

static int start(void **state)
{
    (void)state;
    comes_between = 0;
    fake_start(2, 6);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    return 0;
}

static void shoot_op(struct ktlb_op op)
{
    ktlb_flush(&space, op);
}

static void shoot(uint64_t page)
{
    shoot_op(ktlb_op_range(page * PAGE, PAGE, 12, 0));
}

/* CPU 1 has entries of the space under a tag, and runs another. */
static void go_away(void)
{
    fake_switch(1, &space);
    fake_switch(1, &other);
    fake_log_clear();
}

static bool comes_back_exactly(void)
{
    fake_log_clear();
    return !fake_switch(1, &space).flush;
}

static void what_was_missed_is_dropped_after_the_load(void **state)
{
    struct ktlb_load load;

    (void)state;
    go_away();
    shoot(3);
    shoot_op(ktlb_op_range(64 * PAGE, 2 * PAGE, 12, KTLB_EXEC));
    fake_cpu = 1;
    fake_log_clear();
    load = ktlb_switch_begin(&space);
    assert_false(load.flush);
    assert_int_equal(fake_logged, 0); /* it would reach the tag that is loaded still */
    ktlb_switch_end();
    fake_cpu = 0;
    assert_int_equal(fake_logged, 3);
    assert_true(fake_did(1, FAKE_INVLPG, 3 * PAGE));
    assert_true(fake_did(1, FAKE_INVLPG, 64 * PAGE));
    assert_true(fake_did(1, FAKE_INVLPG, 65 * PAGE));
    assert_int_equal(STAT(1, caught_up_exact), 1);
    assert_int_equal(STAT(1, caught_up), 0);
    assert_int_equal(STAT(1, strides), 3);
    fake_log_clear();
    fake_switch(1, &other);
    assert_true(comes_back_exactly());
    assert_int_equal(fake_logged, 0);
}

static void a_full_ring_is_enough_and_one_more_is_not(void **state)
{
    (void)state;
    go_away();
    for (unsigned i = 0; i < RING; i++)
        shoot(i);
    assert_true(comes_back_exactly());
    assert_int_equal(fake_count(1, FAKE_INVLPG), RING);
    go_away();
    for (unsigned i = 0; i < RING + 1; i++)
        shoot(i);
    assert_false(comes_back_exactly());
    assert_int_equal(fake_logged, 0);
    assert_int_equal(STAT(1, caught_up), 1);
    fake_switch(1, &other);
    assert_true(comes_back_exactly()); /* and the flush counts for all of them */
}

/* Others may have served some of it: what this CPU has executed already is not asked for. */
static void what_was_executed_beyond_is_not_asked_for(void **state)
{
    struct ktlb_slot *slot;

    (void)state;
    fake_switch(1, &space);
    slot = ktlb_machine.cpu[1].slot;
    fake_switch(1, &other);
    shoot(1);
    shoot(2);
    shoot(3);
    slot->beyond = 2;
    assert_true(comes_back_exactly());
    assert_int_equal(fake_logged, 2);
    assert_false(fake_did(1, FAKE_INVLPG, 2 * PAGE));
    assert_int_equal(slot->clean, 3);
    assert_int_equal(slot->beyond, 0);
}

static void several_ops_are_remembered_as_their_hull(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    go_away();
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_range(2 * PAGE, PAGE, 12, 0));
    ktlb_batch_add(&batch, ktlb_op_range(5 * PAGE, PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    ktlb_batch_sync(&batch);
    assert_true(comes_back_exactly());
    assert_int_equal(fake_logged, 4);
    assert_true(fake_did(1, FAKE_INVLPG, 5 * PAGE));
    fake_switch(1, &other);
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_range(2 * PAGE, PAGE, 12, 0));
    ktlb_batch_add(&batch, ktlb_op_range(500 * PAGE, PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    ktlb_batch_sync(&batch);
    assert_false(comes_back_exactly());
}

static void more_strides_than_a_flush_is_worth(void **state)
{
    (void)state;
    go_away();
    shoot_op(ktlb_op_range(0, KTLB_FLUSH_MAX / 2 * PAGE, 12, 0));
    shoot_op(ktlb_op_range(1000 * PAGE, KTLB_FLUSH_MAX / 2 * PAGE, 12, 0));
    assert_true(comes_back_exactly());
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_FLUSH_MAX);
    go_away();
    shoot_op(ktlb_op_range(0, KTLB_FLUSH_MAX / 2 * PAGE, 12, 0));
    shoot_op(ktlb_op_range(1000 * PAGE, (KTLB_FLUSH_MAX / 2 + 1) * PAGE, 12, 0));
    assert_false(comes_back_exactly());
    go_away();
    shoot_op(ktlb_op_all(0));
    assert_false(comes_back_exactly());
}

/* Between the load and what switch_end drops, a walker would be loose in tables that are gone. */
static void dead_tables_are_flushed_with_the_load(void **state)
{
    (void)state;
    go_away();
    shoot_op(ktlb_op_range(0, PAGE, 12, KTLB_TABLES));
    shoot(7);
    assert_false(comes_back_exactly());
    assert_int_equal(fake_logged, 0);
}

static void without_tags_there_is_nothing_to_keep(void **state)
{
    (void)state;
    fake_start(2, 0);
    go_away();
    shoot(1);
    assert_false(comes_back_exactly());
    assert_int_equal(fake_count(1, FAKE_INVLPG), 0);
}

/* A request served in between drops everything; what switch_end does then is harmless, and nothing is claimed less. */
static void a_request_in_the_window(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    go_away();
    shoot(3);
    fake_cpu = 1;
    assert_false(ktlb_switch_begin(&space).flush);
    fake_cpu = 0;
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_range(4 * PAGE, PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ALL));
    ktlb_batch_sync(&batch);
    fake_cpu = 1;
    ktlb_switch_end();
    fake_cpu = 0;
    fake_switch(1, &other);
    assert_true(comes_back_exactly());
    assert_int_equal(fake_logged, 0);
}

static void lazy_drops_what_it_missed(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_cpu = 1;
    ktlb_lazy_enter();
    fake_cpu = 0;
    shoot(3);
    shoot(9);
    fake_cpu = 1;
    fake_log_clear();
    ktlb_lazy_leave();
    fake_cpu = 0;
    assert_int_equal(fake_logged, 2);
    assert_true(fake_did(1, FAKE_INVLPG, 3 * PAGE));
    assert_true(fake_did(1, FAKE_INVLPG, 9 * PAGE));
    assert_int_equal(STAT(1, caught_up_exact), 1);
}

/* ---- entries ---- */

static struct ktlb_op op_of(uint64_t page)
{
    return ktlb_op_range(page * PAGE, 3 * PAGE, 12, KTLB_EXEC);
}

static void an_entry_is_what_was_written(void **state)
{
    struct ktlb_op op = {0}, huge = ktlb_op_range(UINT64_MAX << 30, UINT64_C(1) << 30, 30, KTLB_TABLES);

    (void)state;
    assert_false(ktlb_space_recall(&space, 1, &op)); /* not yet */
    ktlb_space_remember(&space, 1, op_of(8));
    assert_true(ktlb_space_recall(&space, 1, &op));
    assert_memory_equal(&op, (&(struct ktlb_op){8 * PAGE, 3, 12, KTLB_EXEC, 0}), sizeof(op));
    ktlb_space_remember(&space, 1 + RING, huge);
    assert_false(ktlb_space_recall(&space, 1, &op)); /* overwritten */
    assert_true(ktlb_space_recall(&space, 1 + RING, &op));
    assert_memory_equal(&op, &huge, sizeof(op));
    ktlb_space_remember(&space, 1, op_of(8)); /* a writer that comes late */
    assert_false(ktlb_space_recall(&space, 1, &op));
    assert_true(ktlb_space_recall(&space, 1 + RING, &op));
    assert_memory_equal(&op, &huge, sizeof(op));
}

/* What is there most often is claimed at the first try, what else is older at the second; newer is left alone. */
static void an_entry_is_claimed_by_a_guess(void **state)
{
    const struct {
        uint64_t held, comes_between, generation;
        unsigned tries;
        bool claimed;
    } each[] = {
        {0, 0, 1, 1, true}, /* the space is new */
        {0, 0, RING, 1, true},
        {1, 0, 1 + RING, 1, true}, /* nothing was left out */
        {4 * RING, 0, 5 * RING, 1, true},
        {0, 0, 5 * RING, 2, true},
        {3 * RING - 1, 0, 5 * RING - 1, 2, true},
        {6 * RING, 0, 5 * RING, 1, false}, /* this writer is late */
        {UINT64_MAX, 0, 5 * RING, 1, false}, /* and this one not alone */
        {2 * RING, 3 * RING, 5 * RING, 2, false},
        {0, UINT64_MAX, 5 * RING, 2, false},
    };
    struct ktlb_op op;

    (void)state;
    for (unsigned i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct ktlb_recent *entry = contended = &space.recent[each[i].generation % RING];

        ktlb_store_relaxed(&entry->generation, each[i].held);
        ktlb_store_relaxed(&entry->va, 0);
        comes_between = each[i].comes_between;
        tries = 0;
        ktlb_space_remember(&space, each[i].generation, op_of(8));
        assert_int_equal(tries, each[i].tries);
        if (each[i].claimed) {
            assert_true(ktlb_space_recall(&space, each[i].generation, &op));
            assert_memory_equal(&op, (&(struct ktlb_op){8 * PAGE, 3, 12, KTLB_EXEC, 0}), sizeof(op));
        } else {
            assert_int_equal(ktlb_load_relaxed(&entry->generation), comes_between ? comes_between : each[i].held);
            assert_int_equal(ktlb_load_relaxed(&entry->va), 0);
        }
    }
}

static void an_entry_being_written_is_neither_read_nor_written(void **state)
{
    struct ktlb_op op;

    (void)state;
    ktlb_space_remember(&space, 1, op_of(8));
    ktlb_store_relaxed(&space.recent[1 % RING].generation, UINT64_MAX); /* its next writer has claimed it and stopped there */
    assert_false(ktlb_space_recall(&space, 1, &op));
    assert_false(ktlb_space_recall(&space, 1 + RING, &op));
    ktlb_space_remember(&space, 1 + 2 * RING, op_of(9));
    assert_false(ktlb_space_recall(&space, 1 + 2 * RING, &op));
    go_away();
    ktlb_store_relaxed(&space.generation, 0);
    assert_int_equal(ktlb_load_relaxed(&space.recent[1 % RING].va), 8 * PAGE);
    ktlb_store_relaxed(&space.recent[1 % RING].generation, 1 + RING);
    ktlb_space_remember(&space, 1 + 2 * RING, op_of(9)); /* and now it can be had again */
    assert_true(ktlb_space_recall(&space, 1 + 2 * RING, &op));
}

static void a_missing_entry_flushes(void **state)
{
    (void)state;
    go_away();
    shoot(1);
    shoot(2);
    shoot(3);
    ktlb_store_relaxed(&space.recent[2 % RING].generation, UINT64_MAX);
    assert_false(comes_back_exactly());
}

/* The memory of a dead space: its entries are not the new space's, whose generations begin anew. */
static void a_new_space_remembers_nothing(void **state)
{
    struct ktlb_op op;

    (void)state;
    shoot(1);
    ktlb_space_fini(&space);
    ktlb_space_init(&space);
    assert_false(ktlb_space_recall(&space, 1, &op));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_missed_is_dropped_after_the_load, start),
        cmocka_unit_test_setup(a_full_ring_is_enough_and_one_more_is_not, start),
        cmocka_unit_test_setup(what_was_executed_beyond_is_not_asked_for, start),
        cmocka_unit_test_setup(several_ops_are_remembered_as_their_hull, start),
        cmocka_unit_test_setup(more_strides_than_a_flush_is_worth, start),
        cmocka_unit_test_setup(dead_tables_are_flushed_with_the_load, start),
        cmocka_unit_test_setup(without_tags_there_is_nothing_to_keep, start),
        cmocka_unit_test_setup(a_request_in_the_window, start),
        cmocka_unit_test_setup(lazy_drops_what_it_missed, start),
        cmocka_unit_test_setup(an_entry_is_what_was_written, start),
        cmocka_unit_test_setup(an_entry_is_claimed_by_a_guess, start),
        cmocka_unit_test_setup(an_entry_being_written_is_neither_read_nor_written, start),
        cmocka_unit_test_setup(a_missing_entry_flushes, start),
        cmocka_unit_test_setup(a_new_space_remembers_nothing, start),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
