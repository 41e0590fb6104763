/*
 * test_stats.c - goal: every counter that says why something happened, or did not, counts exactly that.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space, other, third;
static struct ktlb_batch batch;

static int start(void **state)
{
    (void)state;
    fake_start(4, 2);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    ktlb_space_init(&third);
    ktlb_batch_init(&batch, &space);
    return 0;
}

static void add_page(uint64_t page)
{
    ktlb_batch_add(&batch, ktlb_op_range(page * PAGE, PAGE, 12, 0));
}

static void lazy(unsigned cpu, bool enter)
{
    fake_cpu = cpu;
    if (enter)
        ktlb_lazy_enter();
    else
        ktlb_lazy_leave();
    fake_cpu = 0;
}

static void send(void)
{
    ktlb_batch_dispatch(&batch);
    fake_take_interrupts();
    ktlb_batch_sync(&batch);
    ktlb_batch_init(&batch, &space);
}

/* One page of @in, from CPU 0, which need not have it loaded. */
static void flush_page(struct ktlb_space *in, unsigned flags)
{
    struct ktlb_batch one;

    ktlb_batch_init(&one, in);
    ktlb_batch_add(&one, ktlb_op_range(0, PAGE, 12, flags));
    ktlb_batch_dispatch(&one);
    fake_take_interrupts();
    ktlb_batch_sync(&one);
}

static void a_batch_with_nothing_in_it_is_counted_apart(void **state)
{
    (void)state;
    ktlb_batch_pte(&batch, 0, 0, 3, 12); /* it was not present */
    send();
    assert_int_equal(STAT(0, dispatches), 0);
    assert_int_equal(STAT(0, dispatches_empty), 1);
}

static void why_a_batch_became_the_whole_space(void **state)
{
    (void)state;
    ktlb_batch_add(&batch, ktlb_op_all(0));
    add_page(7);
    send();
    assert_int_equal(STAT(0, asked_all), 1);

    for (uint64_t i = 0; i <= KTLB_BATCH_OPS; i++)
        add_page(i * 2 * KTLB_FLUSH_MAX);
    send();
    assert_int_equal(STAT(0, widened_far), 1);
    assert_int_equal(STAT(0, squeezed), 1);

    ktlb_batch_add(&batch, ktlb_op_range(0, (KTLB_FLUSH_MAX + 1) * PAGE, 12, 0));
    send();
    assert_int_equal(STAT(0, widened_limit), 1);

    for (uint64_t i = 0; i <= KTLB_BATCH_OPS; i++)
        add_page(i * 2);
    send();
    assert_int_equal(STAT(0, squeezed), 2);
    assert_int_equal(STAT(0, asked_all), 1);
    assert_int_equal(STAT(0, widened_far), 1);
    assert_int_equal(STAT(0, widened_limit), 1);
}

static void lazy_cpus_are_told_only_of_dying_tables(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(2, &space);
    lazy(1, true);
    flush_page(&space, 0);
    assert_int_equal(STAT(0, lazy_skipped), 1);
    assert_int_equal(STAT(0, lazy_told), 0);
    assert_int_equal(STAT(0, tables), 0);
    flush_page(&space, KTLB_TABLES);
    assert_int_equal(STAT(0, lazy_skipped), 1);
    assert_int_equal(STAT(0, lazy_told), 1);
    assert_int_equal(STAT(0, tables), 1);
    assert_int_equal(STAT(0, targets), 3);
}

static void going_lazy_and_missing_nothing(void **state)
{
    (void)state;
    fake_switch(1, &space);
    lazy(1, true);
    lazy(1, false);
    assert_int_equal(STAT(1, lazy_clean), 1);
    lazy(1, true);
    flush_page(&space, 0);
    lazy(1, false);
    assert_int_equal(STAT(1, lazy_periods), 2);
    assert_int_equal(STAT(1, lazy_clean), 1);
    assert_int_equal(STAT(1, caught_up_exact), 1);
}

/* Away in another space, so that the switch back has to decide. */
static void come_back_after(unsigned dispatches, uint64_t pages, unsigned flags)
{
    fake_switch(1, &space);
    fake_switch(1, &other);
    for (unsigned i = 0; i < dispatches; i++) {
        struct ktlb_batch one;

        ktlb_batch_init(&one, &space);
        ktlb_batch_add(&one, ktlb_op_range(0, pages * PAGE, 12, flags));
        ktlb_batch_dispatch(&one);
        ktlb_batch_sync(&one);
    }
    fake_switch(1, &space);
}

static void why_catching_up_dropped_the_space(void **state)
{
    (void)state;
    come_back_after(1, 1, 0);
    assert_int_equal(STAT(1, caught_up), 0);
    assert_int_equal(STAT(1, caught_up_exact), 1);
    come_back_after(KTLB_SPACE_RING + 1, 1, 0);
    assert_int_equal(STAT(1, caught_up_gone), 1);
    come_back_after(2, KTLB_FLUSH_MAX - 1, 0);
    assert_int_equal(STAT(1, caught_up_large), 1);
    come_back_after(1, 1, KTLB_TABLES);
    assert_int_equal(STAT(1, caught_up_tables), 1);
    assert_int_equal(STAT(1, caught_up), 3);
    assert_int_equal(STAT(1, caught_up_exact), 1);
}

/* With two tags, a third space takes one away. */
static void a_tag_given_away_makes_the_space_new_again(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(1, &other);
    fake_switch(1, &space);
    assert_int_equal(STAT(1, switch_new), 2);
    assert_int_equal(STAT(1, switch_clean), 1);
    fake_switch(1, &third);
    fake_switch(1, &other);
    assert_int_equal(STAT(1, switch_new), 4);
    assert_int_equal(STAT(1, switches), 5);
}

static void between_two_spaces_everything_is_dropped(void **state)
{
    (void)state;
    fake_cpu = 1;
    ktlb_switch_begin(&space);
    fake_cpu = 0;
    flush_page(&space, 0);
    fake_cpu = 1;
    ktlb_switch_end();
    fake_cpu = 0;
    assert_int_equal(STAT(1, in_switch), 1);
    flush_page(&space, 0);
    assert_int_equal(STAT(1, in_switch), 1);
}

static void the_kernels_own_entries_cost_the_other_tags(void **state)
{
    (void)state;
    flush_page(&ktlb_kernel, KTLB_GLOBAL);
    assert_int_equal(STAT(1, tags_forgotten), 0);
    flush_page(&ktlb_kernel, 0);
    assert_int_equal(STAT(1, tags_forgotten), 1);
}

static void a_target_that_leaves_is_counted(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_dispatch(&batch, &space, 0, 1);
    ktlb_store_release_u32(&ktlb_machine.cpu[1].online, 0); /* just after it was found in the set */
    assert_true(ktlb_batch_done(&batch));
    assert_int_equal(STAT(0, targets_left), 1);
    ktlb_batch_sync(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_batch_with_nothing_in_it_is_counted_apart, start),
        cmocka_unit_test_setup(why_a_batch_became_the_whole_space, start),
        cmocka_unit_test_setup(lazy_cpus_are_told_only_of_dying_tables, start),
        cmocka_unit_test_setup(going_lazy_and_missing_nothing, start),
        cmocka_unit_test_setup(why_catching_up_dropped_the_space, start),
        cmocka_unit_test_setup(a_tag_given_away_makes_the_space_new_again, start),
        cmocka_unit_test_setup(between_two_spaces_everything_is_dropped, start),
        cmocka_unit_test_setup(the_kernels_own_entries_cost_the_other_tags, start),
        cmocka_unit_test_setup(a_target_that_leaves_is_counted, start),
    };

    FAKE_RUN(tests);
}
