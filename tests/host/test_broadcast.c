/*
 * test_broadcast.c - goal: completion is counted by name, never by number; a taken line widens; numbers do
 * not wrap.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space, other;
static struct ktlb_batch a, b, c;

static int start(void **state)
{
    (void)state;
    fake_start(4, 6);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    for (unsigned cpu = 0; cpu < 3; cpu++)
        fake_switch(cpu, &space);
    fake_switch(3, &other);
    fake_log_clear();
    return 0;
}

/* Theseus' race (TRAPS B2): three answers of one CPU are not those of three. */
static void repeated_interrupts_do_not_answer_for_others(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    for (unsigned i = 0; i < 3; i++) {
        fake_cpu = 1;
        ktlb_ipi();
    }
    fake_cpu = 0;
    assert_false(ktlb_batch_done(&a));
    fake_take_interrupts();
    assert_true(ktlb_batch_done(&a));
}

/* An interrupt of something else on a CPU that is no target: it must not read the request. */
static void who_is_no_target_does_nothing(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    assert_false(fake_interrupt[3]);
    fake_cpu = 3;
    ktlb_ipi();
    fake_cpu = 0;
    assert_int_equal(fake_count(3, FAKE_INVLPG), 0);
    assert_int_equal(STAT(3, not_loaded), 0);
    fake_take_interrupts();
    ktlb_batch_sync(&a);
}

static void a_taken_line_widens(void **state)
{
    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    fake_dispatch(&b, &space, 2, 2);
    fake_dispatch(&c, &ktlb_kernel, 0, 3);
    assert_int_equal(STAT(0, overflows), 3);
    assert_int_equal(STAT(2, overflows), 2);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
    assert_int_equal(fake_count(1, FAKE_CR3), KTLB_SPACE_RING ? 0 : 1); /* the space remembers what the line did not */
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_SPACE_RING ? 2 : 0);
    assert_true(fake_acked(&a, 1) && fake_acked(&b, 1) && fake_acked(&c, 1));
    assert_false(fake_acked(&c, 3));
}

/* A CPU that nobody had to ask for longer than 32 bits count: that it has not answered is no answer. */
static void who_was_not_asked_for_ages_has_not_answered(void **state)
{
    unsigned char *memory = (unsigned char *)(ktlb_machine.cpu + 4);
    struct ktlb_u64 *asked = (struct ktlb_u64 *)(void *)(memory + ktlb_broadcast.memory_size(0) - KTLB_CACHE_LINE);
    static const uint64_t ages[] = {UINT64_C(1) << 31, UINT64_C(1) << 32};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned kind = 0; kind < 3; kind++)
            ktlb_store_relaxed(&asked[kind], ktlb_load_relaxed(&asked[kind]) + ages[i] - 1);
        fake_log_clear();
        fake_dispatch(&a, &ktlb_kernel, 0, i); /* takes the line */
        fake_dispatch(&b, &ktlb_kernel, 1, i);
        assert_false(fake_acked(&a, 3) || fake_acked(&b, 3));
        fake_take_interrupts();
        assert_true(fake_did(3, FAKE_INVLPG, i * PAGE));
        assert_int_equal(fake_count(3, FAKE_INVPCID), 1);
        assert_null(ktlb_batch_sync(&a));
        assert_null(ktlb_batch_sync(&b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(repeated_interrupts_do_not_answer_for_others, start),
        cmocka_unit_test_setup(who_is_no_target_does_nothing, start),
        cmocka_unit_test_setup(a_taken_line_widens, start),
        cmocka_unit_test_setup(who_was_not_asked_for_ages_has_not_answered, start),
    };

    FAKE_RUN_WITH("broadcast", tests);
}
