/*
 * test_batch.c - goal: a batch keeps what it was told, tells exactly who may care, and gives pages back only at the end.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space, other;
static struct ktlb_batch batch;

static int start(void **state)
{
    (void)state;
    fake_start(4, 6);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    ktlb_batch_init(&batch, &space);
    return 0;
}

static void add_page(uint64_t page)
{
    ktlb_batch_add(&batch, ktlb_op_range(page * PAGE, PAGE, 12, 0));
}

static void finish(void)
{
    fake_take_interrupts();
    assert_true(ktlb_batch_done(&batch));
    assert_null(ktlb_batch_sync(&batch));
}

static void neighbours_become_one_op(void **state)
{
    (void)state;
    for (uint64_t page = 10; page < 20; page++)
        add_page(page);
    add_page(9);
    add_page(12);
    assert_int_equal(batch.request.count, 1);
    assert_int_equal(batch.request.op[0].va, 9 * PAGE);
    assert_int_equal(batch.request.op[0].count, 11);
}

static void disjoint_ops_stay_apart_until_there_is_no_room(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < KTLB_BATCH_OPS; i++)
        add_page(i * 100);
    assert_int_equal(batch.request.count, KTLB_BATCH_OPS);
    add_page(205);
    assert_int_equal(batch.request.count, KTLB_BATCH_OPS);
    assert_int_equal(batch.request.op[2].va, 200 * PAGE);
    assert_int_equal(batch.request.op[2].count, 6);
    add_page(250);
    assert_int_equal(batch.request.count, 1);
    assert_int_equal(batch.request.op[0].count, KTLB_ALL);
}

static void widening_keeps_the_flags(void **state)
{
    (void)state;
    ktlb_batch_add(&batch, ktlb_op_range(0, PAGE, 12, KTLB_TABLES));
    ktlb_batch_add(&batch, ktlb_op_all(0));
    assert_int_equal(batch.request.flags, KTLB_TABLES);
    ktlb_batch_add(&batch, ktlb_op_range(0, PAGE, 12, KTLB_EXEC));
    assert_int_equal(batch.request.flags, KTLB_TABLES | KTLB_EXEC);
    assert_int_equal(batch.request.count, 1);
}

/* Global only if all of it is: one entry that is not, and every tag has to forget. */
static void global_is_said_only_of_everything(void **state)
{
    (void)state;
    ktlb_batch_init(&batch, &ktlb_kernel);
    ktlb_batch_add(&batch, ktlb_op_range(0, PAGE, 12, KTLB_GLOBAL | KTLB_EXEC));
    assert_int_equal(batch.request.flags, KTLB_GLOBAL | KTLB_EXEC);
    ktlb_batch_add(&batch, ktlb_op_range(9 * PAGE, PAGE, 12, KTLB_TABLES));
    assert_int_equal(batch.request.flags, KTLB_TABLES | KTLB_EXEC);
    ktlb_batch_add(&batch, ktlb_op_range(20 * PAGE, PAGE, 12, KTLB_GLOBAL));
    assert_int_equal(batch.request.flags, KTLB_TABLES | KTLB_EXEC);
}

static void too_many_strides_flush_the_space(void **state)
{
    (void)state;
    fake_switch(0, &space);
    fake_log_clear();
    ktlb_batch_add(&batch, ktlb_op_range(0, (KTLB_FLUSH_MAX + 1) * PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_count(0, FAKE_INVLPG), 0);
    assert_int_equal(fake_count(0, FAKE_CR3), 1);
    assert_int_equal(STAT(0, widened_limit), 1);
    finish();

    ktlb_batch_init(&batch, &space);
    fake_log_clear();
    ktlb_batch_add(&batch, ktlb_op_range(0, KTLB_FLUSH_MAX * PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_count(0, FAKE_INVLPG), KTLB_FLUSH_MAX);
    finish();
}

static void an_empty_batch_disturbs_nobody(void **state)
{
    (void)state;
    fake_switch(1, &space);
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_interrupts, 0);
    assert_int_equal(ktlb_load_relaxed(&space.generation), 0);
    assert_true(ktlb_batch_done(&batch));
    assert_null(ktlb_batch_sync(&batch));
}

/* P6 */
static void only_who_holds_the_space_is_told(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(2, &other);
    fake_log_clear();
    add_page(7);
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_interrupts, 1);
    assert_true(fake_interrupt[1]);
    assert_false(ktlb_batch_done(&batch));
    finish();
    assert_true(fake_did(1, FAKE_INVLPG, 7 * PAGE));
    assert_int_equal(fake_logged, 1);
    assert_int_equal(STAT(0, targets), 1);
    assert_int_equal(STAT(0, interrupts), 1);
}

static void with_no_target_there_is_no_interrupt(void **state)
{
    (void)state;
    fake_switch(2, &other);
    add_page(7);
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_interrupts, 0);
    assert_true(ktlb_batch_done(&batch));
    assert_int_equal(STAT(0, no_target), 1);
    finish();
}

/* TRAPS 31: what the initiator happens to run has no say. */
static void a_space_can_be_shot_from_another(void **state)
{
    (void)state;
    fake_switch(0, &other);
    fake_switch(1, &space);
    fake_log_clear();
    add_page(7);
    ktlb_batch_dispatch(&batch);
    finish();
    assert_true(fake_did(1, FAKE_INVLPG, 7 * PAGE));
    assert_int_equal(fake_count(0, FAKE_INVLPG), 0);
}

static void everyone_online_is_a_target_of_the_kernel(void **state)
{
    (void)state;
    fake_switch(1, &space);
    ktlb_batch_init(&batch, &ktlb_kernel);
    ktlb_batch_add(&batch, ktlb_op_range(5 * PAGE, PAGE, 12, KTLB_GLOBAL));
    ktlb_batch_dispatch(&batch);
    assert_int_equal(fake_interrupts, 3);
    finish();
    for (unsigned cpu = 0; cpu < 4; cpu++)
        assert_true(fake_did(cpu, FAKE_INVLPG, 5 * PAGE));
}

/* P3: pages come back from sync, in order, and from nowhere else. */
static void pages_come_back_in_order(void **state)
{
    struct ktlb_node pages[3], *list;

    (void)state;
    ktlb_batch_defer(&batch, &pages[0]);
    ktlb_batch_defer(&batch, &pages[1]);
    add_page(1);
    ktlb_batch_dispatch(&batch);
    ktlb_batch_defer(&batch, &pages[2]);
    list = ktlb_batch_sync(&batch);
    assert_ptr_equal(list, &pages[0]);
    assert_ptr_equal(list->next, &pages[1]);
    assert_ptr_equal(list->next->next, &pages[2]);
    assert_null(list->next->next->next);
}

static unsigned turns;

static void answer_late(void)
{
    if (++turns == 200)
        fake_take_interrupts();
}

/* P2: 200 turns at a stall every 64: three reports, each with the interrupt sent again, and then the truth. */
static void a_stall_is_reported_and_waited_out(void **state)
{
    (void)state;
    fake_switch(3, &space);
    add_page(7);
    turns = 0;
    fake_wait_hook = answer_late;
    ktlb_batch_dispatch(&batch);
    fake_interrupt[3] = false; /* lost */
    fake_interrupts = 0;
    ktlb_batch_sync(&batch);
    assert_int_equal(turns, 200);
    assert_int_equal(fake_stalls, 3);
    assert_true(ktlb_cpuset_has(&fake_stalled_for, 3));
    assert_int_equal(ktlb_cpuset_count(&fake_stalled_for), 1);
    assert_int_equal(fake_interrupts, 3);
    assert_int_equal(STAT(0, stalls), 3);
    assert_int_equal(STAT(0, interrupts_again), 3);
    assert_true(fake_did(3, FAKE_INVLPG, 7 * PAGE));
}

/* Dispatched on one CPU, waited for on another: the report names both, and counts from the wait. */
static void a_stall_says_who_waits_for_whom_since_when(void **state)
{
    uint64_t before, first;

    (void)state;
    ktlb_flush(&space, ktlb_op_all(0));
    fake_switch(2, &space);
    fake_switch(3, &space);
    fake_cpu = 1;
    add_page(7);
    ktlb_batch_dispatch(&batch);
    fake_cpu = 0;
    fake_take_interrupt(2);
    ktlb_batch_wait_read(&batch, &fake_stalled);
    assert_int_equal(fake_stalled.cycles, 0);
    assert_int_equal(fake_stalled.reports, 0);

    before = ktlb_x86_rdtsc();
    turns = 200 - KTLB_STALL_SPINS - 1; /* one report, then the answer */
    fake_wait_hook = answer_late;
    ktlb_batch_sync(&batch);
    assert_int_equal(fake_stalls, 1);
    assert_int_equal(fake_stalled_on, 0);
    assert_int_equal(fake_stalled.initiator, 1);
    assert_int_equal(fake_stalled.reports, 1);
    assert_int_equal(fake_stalled.space_id, space.id);
    assert_int_equal(fake_stalled.generation, 2);
    assert_true(fake_stalled.cycles > 0);
    assert_true(fake_stalled.cycles < ktlb_x86_rdtsc() - before);
    assert_true(ktlb_cpuset_has(&fake_stalled_for, 3));
    assert_int_equal(ktlb_cpuset_count(&fake_stalled_for), 1);
    first = fake_stalled.cycles;

    /* The next wait counts anew. */
    ktlb_batch_init(&batch, &space);
    add_page(7);
    ktlb_batch_dispatch(&batch);
    turns = 200 - 2 * KTLB_STALL_SPINS - 1;
    ktlb_batch_sync(&batch);
    assert_int_equal(fake_stalled.reports, 2);
    assert_int_equal(fake_stalled.initiator, 0);
    assert_int_equal(fake_stalled.generation, 3);
    assert_true(fake_stalled.cycles >= first);
    assert_true(fake_stalled.cycles < 3 * first + 100);
}

static void many_batches_can_be_in_flight(void **state)
{
    struct ktlb_batch many[5];

    (void)state;
    fake_switch(1, &space);
    for (unsigned i = 0; i < 5; i++) {
        ktlb_batch_init(&many[i], &space);
        ktlb_batch_add(&many[i], ktlb_op_range((i + 1) * PAGE, PAGE, 12, 0));
        ktlb_batch_dispatch(&many[i]);
    }
    assert_int_equal(fake_interrupts + STAT(0, interrupts_saved), 5);
    assert_false(ktlb_batch_done(&many[4]));
    fake_take_interrupts();
    for (unsigned i = 5; i-- > 0;) {
        assert_true(ktlb_batch_done(&many[i]));
        assert_true(fake_did(1, FAKE_INVLPG, (i + 1) * PAGE) || fake_count(1, FAKE_CR3)); /* or widened */
        ktlb_batch_sync(&many[i]);
    }
}

static void a_flush_is_the_four_together(void **state)
{
    (void)state;
    fake_switch(0, &space);
    fake_log_clear();
    ktlb_flush(&space, ktlb_op_range(3 * PAGE, 2 * PAGE, 12, 0));
    assert_true(fake_did(0, FAKE_INVLPG, 3 * PAGE));
    assert_true(fake_did(0, FAKE_INVLPG, 4 * PAGE));
    assert_int_equal(STAT(0, syncs), 1);
}

/* Of all CPUs: sums, but of the longest wait the longest. */
static void counters_add_up(void **state)
{
    struct ktlb_stats sum;

    (void)state;
    ktlb_store_relaxed(&ktlb_machine.cpu[0].counters.served, 3);
    ktlb_store_relaxed(&ktlb_machine.cpu[1].counters.served, 4);
    ktlb_store_relaxed(&ktlb_machine.cpu[0].counters.wait_cycles_max, 50);
    ktlb_store_relaxed(&ktlb_machine.cpu[1].counters.wait_cycles_max, 20);
    ktlb_stats_sum(&sum);
    assert_int_equal(sum.served, 7);
    assert_int_equal(sum.wait_cycles_max, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counters_add_up, start),
        cmocka_unit_test_setup(neighbours_become_one_op, start),
        cmocka_unit_test_setup(disjoint_ops_stay_apart_until_there_is_no_room, start),
        cmocka_unit_test_setup(widening_keeps_the_flags, start),
        cmocka_unit_test_setup(global_is_said_only_of_everything, start),
        cmocka_unit_test_setup(too_many_strides_flush_the_space, start),
        cmocka_unit_test_setup(an_empty_batch_disturbs_nobody, start),
        cmocka_unit_test_setup(only_who_holds_the_space_is_told, start),
        cmocka_unit_test_setup(with_no_target_there_is_no_interrupt, start),
        cmocka_unit_test_setup(a_space_can_be_shot_from_another, start),
        cmocka_unit_test_setup(everyone_online_is_a_target_of_the_kernel, start),
        cmocka_unit_test_setup(pages_come_back_in_order, start),
        cmocka_unit_test_setup(a_stall_is_reported_and_waited_out, start),
        cmocka_unit_test_setup(a_stall_says_who_waits_for_whom_since_when, start),
        cmocka_unit_test_setup(many_batches_can_be_in_flight, start),
        cmocka_unit_test_setup(a_flush_is_the_four_together, start),
    };

    FAKE_RUN(tests);
}
