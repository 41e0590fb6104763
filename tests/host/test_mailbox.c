/*
 * test_mailbox.c - goal: a full queue widens, to no more than it must, and the counts may wrap. The rest:
 * test_protocol.c.
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

static void one_interrupt_for_all_in_the_queue(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    assert_int_equal(fake_interrupts, 3);
    assert_int_equal(STAT(0, interrupts_saved), 3 * (KTLB_MAILBOX_SLOTS - 1));
}

static void a_full_queue_widens_to_the_space(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 2];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    assert_int_equal(STAT(0, overflows), 2 * 3);
    fake_log_clear();
    fake_take_interrupt(1);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS; i++)
        assert_true(fake_did(1, FAKE_INVLPG, (100 + i) * PAGE));
    /* The details of two are lost to the queue; the space may remember them. */
    assert_int_equal(fake_count(1, FAKE_CR3), KTLB_SPACE_RING ? 0 : 1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_MAILBOX_SLOTS + (KTLB_SPACE_RING ? 2 : 0));
    assert_int_equal(fake_count(1, FAKE_INVPCID), 0);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        assert_true(fake_acked(&batches[i], 1));
    assert_false(fake_acked(&batches[KTLB_MAILBOX_SLOTS], 2));
    assert_false(fake_acked(&batches[KTLB_MAILBOX_SLOTS + 1], 2));
}

static void a_full_queue_widens_to_the_machine_for_the_kernel(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 2];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 1; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    fake_dispatch(&batches[KTLB_MAILBOX_SLOTS + 1], &ktlb_kernel, 0, 5);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_int_equal(fake_count(1, FAKE_CR3), KTLB_SPACE_RING ? 0 : 1);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 2; i++)
        assert_true(fake_acked(&batches[i], 1));
}

/* Widened while it runs something else: nothing of the space is loaded, so nothing is claimed for it. */
static void widened_for_a_space_that_has_left(void **state)
{
    struct ktlb_batch batches[KTLB_MAILBOX_SLOTS + 1];

    (void)state;
    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS + 1; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    fake_switch(1, &other);
    fake_take_interrupt(1);
    assert_true(fake_acked(&batches[KTLB_MAILBOX_SLOTS], 1));
    fake_log_clear();
    assert_true(fake_switch(1, &space).flush || fake_count(1, FAKE_INVLPG) == KTLB_MAILBOX_SLOTS + 1);
}

static void counts_wrap(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        fake_dispatch(&batch, &space, 0, i);
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
        cmocka_unit_test_setup(one_interrupt_for_all_in_the_queue, start),
        cmocka_unit_test_setup(a_full_queue_widens_to_the_space, start),
        cmocka_unit_test_setup(a_full_queue_widens_to_the_machine_for_the_kernel, start),
        cmocka_unit_test_setup(widened_for_a_space_that_has_left, start),
        cmocka_unit_test_setup(counts_wrap, start),
    };

    FAKE_RUN_WITH("mailbox", tests);
}
