/*
 * test_scoreboard.c - goal: initiators use their own lines only, a CPU's batches have a line each until there is none
 * left, and the words may wrap.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space;
static struct ktlb_batch batches[KTLB_SCOREBOARD_LINES + 2];

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

static void a_batch_has_a_line_until_none_is_left(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KTLB_SCOREBOARD_LINES + 2; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    assert_int_equal(STAT(0, overflows), 2 * 3);
    fake_log_clear();
    fake_take_interrupt(1);
    for (unsigned i = 0; i < KTLB_SCOREBOARD_LINES; i++)
        assert_true(fake_did(1, FAKE_INVLPG, (100 + i) * PAGE));
    /* Both of the others, at once; the space may remember them. */
    assert_int_equal(fake_count(1, FAKE_CR3), KTLB_SPACE_RING ? 0 : 1);
    assert_int_equal(fake_count(1, FAKE_INVLPG), KTLB_SCOREBOARD_LINES + (KTLB_SPACE_RING ? 2 : 0));
    assert_int_equal(fake_count(1, FAKE_INVPCID), 0);
}

/* A CPU with all its lines taken takes none from another. */
static void initiators_never_meet(void **state)
{
    struct ktlb_batch of_another;

    (void)state;
    for (unsigned i = 0; i < KTLB_SCOREBOARD_LINES + 1; i++)
        fake_dispatch(&batches[i], &space, 0, 100 + i);
    fake_dispatch(&of_another, &space, 2, 7);
    assert_int_equal(STAT(2, overflows), 0);
    fake_take_interrupt(1);
    assert_true(fake_acked(&of_another, 1));
}

/* The words of all pairs, just before they wrap. */
static void words_wrap(void **state)
{
    struct ktlb_batch batch;
    unsigned char *rows = (unsigned char *)(ktlb_machine.cpu + 4) +
                          4 * KTLB_SCOREBOARD_LINES * sizeof(struct ktlb_line);
    size_t size = ktlb_scoreboard.memory_size(4) - 4 * KTLB_SCOREBOARD_LINES * sizeof(struct ktlb_line);

    (void)state;
    for (size_t i = 0; i < size / 4; i++)
        ((uint32_t *)(void *)rows)[i] = UINT32_C(0xfffffffa);
    /* That includes the marks of a row being forgotten, which the first service clears. */
    for (fake_cpu = 0; fake_cpu < 4; fake_cpu++)
        ktlb_ipi();
    fake_cpu = 0;
    for (unsigned i = 0; i < 20; i++) {
        fake_log_clear();
        fake_dispatch(&batch, &space, 0, i);
        assert_false(ktlb_batch_done(&batch));
        fake_take_interrupts();
        assert_true(fake_did(1, FAKE_INVLPG, i * PAGE));
        assert_null(ktlb_batch_sync(&batch));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_batch_has_a_line_until_none_is_left, start),
        cmocka_unit_test_setup(initiators_never_meet, start),
        cmocka_unit_test_setup(words_wrap, start),
    };

    FAKE_RUN_WITH("scoreboard", tests);
}
