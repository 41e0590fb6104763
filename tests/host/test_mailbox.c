/*
 * test_mailbox.c - goal: no request is lost, none is acknowledged by the service of another, and a full queue widens.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space, other;

static int start(void **state)
{
    (void)state;
    fake_start(4, 6);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    for (unsigned cpu = 0; cpu < 4; cpu++)
        fake_switch(cpu, &space);
    fake_log_clear();
    return 0;
}

static void dispatch(struct ktlb_batch *batch, struct ktlb_space *target, unsigned cpu, uint64_t page)
{
    unsigned flags = target == &ktlb_kernel ? KTLB_GLOBAL : 0;

    fake_cpu = cpu;
    ktlb_batch_init(batch, target);
    ktlb_batch_add(batch, ktlb_op_range(page * PAGE, PAGE, 12, flags));
    ktlb_batch_dispatch(batch);
    fake_cpu = 0;
}

static struct ktlb_batch first, second;

/* The service of the first is about to end: if it answered for the second, that one's entry would still be here. */
static void second_is_not_answered_before_its_turn(void)
{
    if (fake_cpu == 3 && !fake_did(3, FAKE_INVLPG, 20 * PAGE))
        assert_false(ktlb_mailbox.acked(&second, 3));
}

/* CPU 3 is executing the first request; just now a second initiator posts its own. */
static void post_in_the_middle(void)
{
    if (fake_cpu != 3)
        return;
    fake_invlpg_hook = second_is_not_answered_before_its_turn;
    dispatch(&second, &space, 1, 20);
    fake_cpu = 3;
    assert_true(fake_interrupt[3]); /* its own interrupt: the one under way was taken */
    assert_false(ktlb_mailbox.acked(&first, 3));
    assert_false(ktlb_mailbox.acked(&second, 3));
}

/* strat9's race (TRAPS 35): with one flag per target, the service of the first would acknowledge the second. */
static void a_service_acknowledges_only_what_it_served(void **state)
{
    (void)state;
    dispatch(&first, &space, 0, 10);
    fake_invlpg_hook = post_in_the_middle;
    fake_take_interrupt(3);
    fake_invlpg_hook = NULL;
    fake_take_interrupts();
    assert_true(ktlb_mailbox.acked(&first, 3));
    assert_true(ktlb_mailbox.acked(&second, 3));
    assert_true(fake_did(3, FAKE_INVLPG, 10 * PAGE));
    assert_true(fake_did(3, FAKE_INVLPG, 20 * PAGE));
    assert_false(ktlb_mailbox.acked(&second, 0));
}

/* Each of two requests is acknowledged by its own service even if only one has been served so far. */
static void the_queue_is_served_in_order(void **state)
{
    struct ktlb_batch a, b;

    (void)state;
    dispatch(&a, &space, 0, 1);
    dispatch(&b, &space, 1, 2);
    fake_take_interrupt(3);
    assert_true(ktlb_mailbox.acked(&a, 3));
    assert_true(ktlb_mailbox.acked(&b, 3));
    assert_false(ktlb_mailbox.acked(&a, 2));
    assert_false(ktlb_mailbox.acked(&b, 2));
    assert_true(fake_did(3, FAKE_INVLPG, 1 * PAGE));
    assert_true(fake_did(3, FAKE_INVLPG, 2 * PAGE));
}

static void a_full_queue_widens_to_the_space(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 2];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        dispatch(&batches[i], &space, 0, 100 + i);
    assert_int_equal(STAT(0, overflows), 2 * 3);
    fake_log_clear();
    fake_take_interrupt(1);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS; i++)
        assert_true(fake_did(1, FAKE_INVLPG, (100 + i) * PAGE));
    assert_int_equal(fake_count(1, FAKE_CR3), 1);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 0);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        assert_true(ktlb_mailbox.acked(&batches[i], 1));
    assert_false(ktlb_mailbox.acked(&batches[KTLB_MAILBOX_SLOTS], 2));
    assert_false(ktlb_mailbox.acked(&batches[KTLB_MAILBOX_SLOTS + 1], 2));
}

static void a_full_queue_widens_to_the_machine_for_the_kernel(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 2];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 1; i++)
        dispatch(&batches[i], &space, 0, 100 + i);
    dispatch(&batches[KTLB_MAILBOX_SLOTS + 1], &ktlb_kernel, 0, 5);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_int_equal(fake_count(1, FAKE_CR3), 1);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        assert_true(ktlb_mailbox.acked(&batches[i], 1));
}

/* Widened while it runs something else: nothing of the space is loaded, so nothing is claimed for it. */
static void widened_for_a_space_that_has_left(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 1];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 1; i++)
        dispatch(&batches[i], &space, 0, 100 + i);
    fake_switch(1, &other);
    fake_take_interrupt(1);
    assert_true(ktlb_mailbox.acked(&batches[KTLB_MAILBOX_SLOTS], 1));
    assert_true(fake_switch(1, &space).flush);
}

/* Theseus' race (TRAPS B2), and any stray interrupt: nothing to do means nothing done. */
static void spurious_interrupts_change_nothing(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    dispatch(&batch, &space, 0, 1);
    fake_log_clear();
    for (unsigned i = 0; i < 5; i++) {
        fake_cpu = 1;
        ktlb_ipi();
    }
    fake_cpu = 0;
    assert_int_equal(fake_count(1, FAKE_INVLPG), 1);
    assert_int_equal(STAT(1, ipis), 5);
    assert_int_equal(STAT(1, ipis_idle), 4);
    assert_false(ktlb_mailbox.acked(&batch, 2));
    assert_false(ktlb_mailbox.acked(&batch, 3));
    assert_false(ktlb_batch_done(&batch));
}

static void a_poll_serves_without_the_interrupt(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    dispatch(&batch, &space, 0, 1);
    fake_cpu = 1;
    assert_true(ktlb_poll());
    assert_false(ktlb_poll());
    fake_interrupt[1] = true;
    fake_cpu = 0;
    fake_take_interrupt(1); /* the one under way finds nothing left */
    assert_int_equal(STAT(1, ipis_idle), 1);
    assert_true(ktlb_mailbox.acked(&batch, 1));
}

static void wait_for_each_other(void)
{
    static bool inside;
    static struct ktlb_batch crossing;

    if (inside || fake_cpu != 0)
        return;
    inside = true;
    /* CPU 1, interrupts masked too, is itself in the middle of one: it waits by serving. */
    fake_cpu = 1;
    ktlb_batch_init(&crossing, &space);
    ktlb_batch_add(&crossing, ktlb_op_range(2 * PAGE, PAGE, 12, 0));
    ktlb_batch_dispatch(&crossing);
    ktlb_poll();
    fake_interrupt[0] = fake_interrupt[1] = false; /* masked: never taken */
    fake_cpu = 0;
    inside = false;
    fake_wait_hook = NULL;
    fake_interrupt[2] = fake_interrupt[3] = true;
    fake_take_interrupt(2);
    fake_take_interrupt(3);
}

/* P5: two initiators with interrupts masked, each a target of the other, both get through by polling. */
static void masked_initiators_serve_each_other(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    fake_wait_hook = wait_for_each_other;
    dispatch(&batch, &space, 0, 1);
    assert_null(ktlb_batch_sync(&batch));
    assert_true(fake_did(1, FAKE_INVLPG, 1 * PAGE));
    assert_int_equal(fake_stalls, 0);
}

static void counts_wrap(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        dispatch(&batch, &space, 0, i);
        fake_take_interrupts();
        assert_true(ktlb_batch_done(&batch));
        ktlb_batch_sync(&batch);
        fake_logged = 0;
        if (i == 20) {
            /* Just before both the 32-bit count and the 30 bits of a ticket wrap. */
            for (unsigned cpu = 1; cpu < 4; cpu++) {
                uint32_t *words = (uint32_t *)((char *)(ktlb_machine.cpu + ktlb_machine.cpus) +
                                               cpu * ktlb_mailbox.memory_size(1));

                words[0] = UINT32_C(0xfffffff8);                            /* asked[QUEUED] */
                words[2 * KTLB_CACHE_LINE / 4] = UINT32_C(0xfffffff8);      /* served[QUEUED] */
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_service_acknowledges_only_what_it_served, start),
        cmocka_unit_test_setup(the_queue_is_served_in_order, start),
        cmocka_unit_test_setup(a_full_queue_widens_to_the_space, start),
        cmocka_unit_test_setup(a_full_queue_widens_to_the_machine_for_the_kernel, start),
        cmocka_unit_test_setup(widened_for_a_space_that_has_left, start),
        cmocka_unit_test_setup(spurious_interrupts_change_nothing, start),
        cmocka_unit_test_setup(a_poll_serves_without_the_interrupt, start),
        cmocka_unit_test_setup(masked_initiators_serve_each_other, start),
        cmocka_unit_test_setup(counts_wrap, start),
    };

    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
