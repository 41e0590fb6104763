/*
 * test_doorbell.c - goal: those who ring in one round share an interrupt, an answer and a flush; rounds may wrap.
 */
#include "fake.h"

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

static void rounds_wrap(void **state)
{
    unsigned char *door = (unsigned char *)(ktlb_machine.cpu + 4) + ktlb_doorbell.memory_size(0) +
                          ktlb_doorbell.memory_size(1) - ktlb_doorbell.memory_size(0); /* CPU 1's */

    (void)state;
    *(uint64_t *)(void *)door = UINT64_C(0xfffffffa) << 32;
    ((uint32_t *)(void *)(door + KTLB_CACHE_LINE))[0] = UINT32_C(0xfffffffa);
    ((uint32_t *)(void *)(door + KTLB_CACHE_LINE))[1] = UINT32_C(0xfffffffa);
    for (unsigned i = 0; i < 20; i++) {
        fake_log_clear();
        fake_dispatch(&a, &space, 0, i);
        assert_false(ktlb_batch_done(&a));
        fake_take_interrupts();
        assert_true(fake_did(1, FAKE_INVLPG, i * PAGE));
        assert_null(ktlb_batch_sync(&a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_interrupt_for_a_round, start),
        cmocka_unit_test_setup(a_flush_leaves_nothing_to_do, start),
        cmocka_unit_test_setup(rounds_wrap, start),
    };

    FAKE_RUN_WITH("doorbell", tests);
}
