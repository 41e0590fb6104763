/*
 * test_cpu.c - goal: whatever a CPU was doing when a batch was dispatched (switching, lazy, away, in another space), it
 * holds nothing of what was removed once it may use the space again; and it flushes no more than that takes.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space, other;

/* A CPU that missed little drops just that where spaces remember it, the whole space where they do not. */
#define MISSED_FLUSHES (KTLB_SPACE_RING == 0)

static int start(void **state)
{
    (void)state;
    fake_start(3, 6);
    ktlb_space_init(&space);
    ktlb_space_init(&other);
    return 0;
}

/* Dispatched from CPU 0 and, where @served, executed by all targets. */
static void shoot(struct ktlb_space *target, uint64_t page, unsigned flags)
{
    static struct ktlb_batch batch;

    ktlb_batch_init(&batch, target);
    ktlb_batch_add(&batch, ktlb_op_range(page * PAGE, PAGE, 12, flags));
    ktlb_batch_dispatch(&batch);
    fake_take_interrupts();
    assert_true(ktlb_batch_done(&batch));
    ktlb_batch_sync(&batch);
}

static void a_first_load_flushes_and_a_second_does_not(void **state)
{
    struct ktlb_load load = fake_switch(1, &space);

    (void)state;
    assert_true(load.flush);
    assert_int_not_equal(load.asid, 0);
    assert_true(fake_switch(1, &other).flush);
    assert_false(fake_switch(1, &space).flush);
    assert_int_equal(fake_switch(1, &space).asid, load.asid);
    assert_int_equal(STAT(1, switches), 4);
    assert_int_equal(STAT(1, switch_clean), 2);
}

static void without_tags_every_load_flushes(void **state)
{
    (void)state;
    fake_start(2, 0);
    assert_true(fake_switch(1, &space).flush);
    assert_true(fake_switch(1, &other).flush);
    assert_true(fake_switch(1, &space).flush);
    assert_int_equal(fake_switch(1, &space).asid, 0);
}

static void slots_run_out_and_are_reused(void **state)
{
    struct ktlb_space many[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        ktlb_space_init(&many[i]);
        assert_true(fake_switch(1, &many[i]).flush);
    }
    assert_false(fake_switch(1, &many[7]).flush);
    assert_false(fake_switch(1, &many[6]).flush);
    assert_true(fake_switch(1, &many[0]).flush);
}

/* TRAPS 13, 14: it was away while the space changed. */
static void away_is_behind(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(1, &other);
    shoot(&space, 3, 0);
    assert_int_equal(fake_interrupts, 0);
    fake_log_clear();
    assert_int_equal(fake_switch(1, &space).flush, MISSED_FLUSHES);
    assert_int_equal(fake_count(1, FAKE_INVLPG), !MISSED_FLUSHES);
    assert_false(fake_switch(1, &space).flush);
    assert_int_equal(fake_count(1, FAKE_INVLPG), !MISSED_FLUSHES);
}

static void present_and_served_is_not_behind(void **state)
{
    (void)state;
    fake_switch(1, &space);
    shoot(&space, 3, 0);
    shoot(&space, 4, 0);
    fake_switch(1, &other);
    assert_false(fake_switch(1, &space).flush);
}

/* Posted while it was there, taken when it had gone: nothing is flushed, so nothing may be claimed. */
static void posted_before_leaving_and_served_after(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    fake_switch(1, &space);
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_range(0, PAGE, 12, 0));
    ktlb_batch_dispatch(&batch);
    fake_switch(1, &other);
    fake_take_interrupts();
    assert_true(ktlb_batch_done(&batch));
    assert_int_equal(STAT(1, not_loaded), 1);
    fake_log_clear();
    assert_true(fake_switch(1, &space).flush || fake_did(1, FAKE_INVLPG, 0));
}

/* A freed space's memory is used for a new one: what is remembered of the old is not taken for the new. */
static void a_new_space_at_an_old_address(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(1, &ktlb_kernel);
    ktlb_space_fini(&space);
    ktlb_space_init(&space);
    assert_true(fake_switch(1, &space).flush);
}

/* CVE-2025-37964 (TRAPS 2): between the two halves a CPU answers for both spaces, by dropping everything. */
static void in_the_window_both_spaces_are_held(void **state)
{
    (void)state;
    fake_switch(1, &other);
    fake_switch(1, &space);
    fake_cpu = 1;
    assert_false(ktlb_switch_begin(&other).flush);
    fake_cpu = 0;
    fake_log_clear();
    shoot(&space, 3, 0);
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ALL));
    fake_log_clear();
    shoot(&other, 4, 0);
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ALL));
    fake_cpu = 1;
    ktlb_switch_end();
    fake_cpu = 0;
    /* What was dropped there is remembered: neither space has to be flushed again. */
    assert_false(fake_switch(1, &space).flush);
    assert_false(fake_switch(1, &other).flush);
    fake_log_clear();
    shoot(&space, 5, 0);
    assert_int_equal(fake_interrupts, 0);
}

static void lazy_is_left_alone_and_catches_up(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_cpu = 1;
    ktlb_lazy_enter();
    fake_cpu = 0;
    fake_log_clear();
    shoot(&space, 3, 0);
    assert_int_equal(fake_interrupts, 0);
    assert_int_equal(STAT(0, lazy_skipped), 1);
    fake_cpu = 1;
    ktlb_lazy_leave();
    fake_cpu = 0;
    assert_int_equal(fake_count(1, FAKE_CR3), MISSED_FLUSHES);
    assert_int_equal(fake_did(1, FAKE_INVLPG, 3 * PAGE), !MISSED_FLUSHES);
    fake_log_clear();
    shoot(&space, 4, 0);
    assert_true(fake_did(1, FAKE_INVLPG, 4 * PAGE));
}

static void lazy_with_nothing_missed_costs_nothing(void **state)
{
    (void)state;
    fake_switch(1, &space);
    shoot(&space, 3, 0);
    fake_cpu = 1;
    fake_log_clear();
    ktlb_lazy_enter();
    ktlb_lazy_leave();
    fake_cpu = 0;
    assert_int_equal(fake_logged, 0);
}

static void lazy_is_told_when_tables_die(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_cpu = 1;
    ktlb_lazy_enter();
    fake_cpu = 0;
    fake_log_clear();
    shoot(&space, 3, KTLB_TABLES);
    assert_int_equal(fake_interrupts, 1);
    assert_true(fake_did(1, FAKE_INVLPG, 3 * PAGE));
    fake_switch(1, &other);
    ktlb_space_fini(&space);
}

static void a_switch_ends_laziness(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_cpu = 1;
    ktlb_lazy_enter();
    fake_cpu = 0;
    shoot(&space, 3, 0);
    fake_log_clear();
    /* Back to the very space it was lazy in. */
    assert_true(fake_switch(1, &space).flush || fake_did(1, FAKE_INVLPG, 3 * PAGE));
    fake_log_clear();
    shoot(&space, 4, 0);
    assert_int_equal(fake_interrupts, 1);
    fake_switch(1, &ktlb_kernel);
    ktlb_space_fini(&space);
}

static void the_kernels_own_root_is_always_flushed(void **state)
{
    (void)state;
    assert_true(fake_switch(1, &ktlb_kernel).flush);
    assert_int_equal(fake_switch(1, &ktlb_kernel).asid, 0);
}

/* A kernel entry that is not global, or a kernel table, is known under every tag. */
static void the_other_tags_forget_the_kernels_half(void **state)
{
    (void)state;
    fake_switch(1, &space);
    fake_switch(1, &other);
    shoot(&ktlb_kernel, 9, KTLB_GLOBAL);
    assert_false(fake_switch(1, &space).flush);
    shoot(&ktlb_kernel, 9, 0);
    assert_true(fake_switch(1, &other).flush);
    fake_switch(1, &space);
    shoot(&ktlb_kernel, 9, KTLB_GLOBAL | KTLB_TABLES);
    assert_true(fake_switch(1, &other).flush);
}

static struct ktlb_op page_op(uint64_t page)
{
    return ktlb_op_range(page * PAGE, PAGE, 12, 0);
}

/* CPU 1 is asked for @count ops, @op the first, which dispatch @generation of the space is. */
static void ask_for(uint64_t generation, struct ktlb_op op, unsigned count)
{
    const struct ktlb_request request = {.space = &space, .space_id = space.id, .generation = generation,
                                         .count = count, .flags = op.flags, .op = {op, page_op(1000)}};

    fake_cpu = 1;
    ktlb_cpu_execute(&ktlb_machine.cpu[1], &request);
    fake_cpu = 0;
}

static void ask(uint64_t generation, struct ktlb_op op)
{
    ask_for(generation, op, 1);
}

/* CPU 1 has loaded the space, of which there are @generation dispatches by now; none is executed there. */
static struct ktlb_slot *behind(uint64_t generation)
{
    fake_switch(1, &space);
    ktlb_store_relaxed(&space.generation, generation);
    fake_log_clear();
    return ktlb_machine.cpu[1].slot;
}

static void requests_out_of_order_stay_exact(void **state)
{
    struct ktlb_slot *slot = behind(3);

    (void)state;
    ask(3, page_op(3));
    assert_int_equal(slot->clean, 0);
    ask(1, page_op(1));
    assert_int_equal(slot->clean, 1);
    ask(2, page_op(2));
    assert_int_equal(slot->clean, 3);
    assert_int_equal(fake_logged, 3);
    ask(2, page_op(2));
    assert_int_equal(fake_logged, 3);
    assert_int_equal(STAT(1, already_clean), 1);
}

/* It knows nothing of what came after, but what was executed of that is still. */
static void a_flush_does_for_what_was_before_it(void **state)
{
    struct ktlb_slot *slot = behind(80);

    (void)state;
    ask(3, page_op(3));
    ask(7, page_op(7));
    ask(9, page_op(9));
    ask(5, ktlb_op_all(0));
    assert_int_equal(fake_count(1, FAKE_CR3), 1);
    assert_int_equal(slot->clean, 5);
    assert_int_equal(slot->beyond, 1 << 1 | 1 << 3);
    for (unsigned before = 1; before <= 5; before++)
        ask(before, before == 2 ? ktlb_op_all(0) : page_op(before));
    assert_int_equal(fake_logged, 4);
    assert_int_equal(STAT(1, already_clean), 5);
    ask(8, ktlb_op_all(0)); /* up to which, and beyond, nothing lacks now */
    assert_int_equal(slot->clean, 9);
    assert_int_equal(slot->beyond, 0);
    ask(10, page_op(10));
    assert_true(fake_did(1, FAKE_INVLPG, 10 * PAGE));
    assert_int_equal(slot->clean, 10);
    assert_int_equal(STAT(1, already_clean), 5);
}

/* As far as a slot can say, and one more. */
static void a_flush_for_what_is_far(void **state)
{
    struct ktlb_slot *slot = behind(200);

    (void)state;
    ask(64, page_op(64));
    assert_true(slot->clean == 0 && slot->beyond == UINT64_C(1) << 63);
    ask(63, ktlb_op_all(0));
    assert_true(slot->clean == 64 && slot->beyond == 0);
    ask(127, page_op(127));
    assert_true(slot->clean == 64 && slot->beyond == UINT64_C(1) << 62);
    ask(128, ktlb_op_all(0));
    assert_true(slot->clean == 128 && slot->beyond == 0);
    assert_int_equal(fake_count(1, FAKE_CR3), 2);
}

/* And that is no more than it was asked for: of what follows, the ranges are still dropped one by one. */
static void too_far_behind_flushes_the_space(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 2; count++) {
        uint64_t clean = 100 * count;
        struct ktlb_slot *slot = behind(clean);

        ask(clean, ktlb_op_all(0));
        ktlb_store_relaxed(&space.generation, clean + 70);
        fake_log_clear();
        ask_for(clean + 64, page_op(64), count);
        assert_int_equal(fake_logged, count);
        assert_true(fake_did(1, FAKE_INVLPG, 64 * PAGE));
        ask_for(clean + 66, page_op(66), count);
        assert_int_equal(fake_count(1, FAKE_CR3), 1);
        assert_true(slot->clean == clean + 66 && slot->beyond == 0);
        ask_for(clean + 68, page_op(68), count);
        assert_true(slot->clean == clean + 66 && slot->beyond == 1 << 1);
        ask_for(clean + 67, page_op(67), count);
        assert_int_equal(slot->clean, clean + 68);
        assert_int_equal(fake_logged, 3 * count + 1);
        ask_for(clean + 133, page_op(133), count);
        assert_int_equal(fake_count(1, FAKE_CR3), 2);
        assert_int_equal(slot->clean, clean + 133);
    }
    assert_int_equal(STAT(1, caught_up) + STAT(1, caught_up_exact), 0);
}

static void offline_is_no_target_and_online_drops_everything(void **state)
{
    (void)state;
    fake_cpu = 1;
    ktlb_cpu_offline();
    fake_cpu = 0;
    fake_log_clear();
    shoot(&ktlb_kernel, 3, KTLB_GLOBAL);
    assert_false(fake_interrupt[1]);
    assert_int_equal(fake_count(1, FAKE_INVLPG), 0);
    fake_cpu = 1;
    ktlb_cpu_online();
    fake_cpu = 0;
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ALL));
    fake_log_clear();
    shoot(&ktlb_kernel, 3, KTLB_GLOBAL);
    assert_true(fake_did(1, FAKE_INVLPG, 3 * PAGE));
}

/* What was posted before it left is answered on the way out. */
static void leaving_answers_what_was_posted(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    ktlb_batch_init(&batch, &ktlb_kernel);
    ktlb_batch_add(&batch, ktlb_op_range(PAGE, PAGE, 12, KTLB_GLOBAL));
    ktlb_batch_dispatch(&batch);
    fake_take_interrupt(2);
    assert_false(ktlb_batch_done(&batch));
    fake_cpu = 1;
    fake_log_clear();
    ktlb_cpu_offline();
    fake_cpu = 0;
    assert_true(fake_did(1, FAKE_INVLPG, PAGE));
    assert_true(ktlb_batch_done(&batch));
}

/* An initiator found the CPU in the set just before it left and posts after. It must not wait, and the CPU must not read
 * the request when it returns: the initiator's stack is gone by then. */
static void posted_after_leaving_is_never_read(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    ktlb_batch_init(&batch, &ktlb_kernel);
    ktlb_batch_add(&batch, ktlb_op_range(PAGE, PAGE, 12, KTLB_GLOBAL));
    fake_cpu = 1;
    ktlb_cpu_offline();
    fake_cpu = 0;
    fake_post(&batch, 1);
    assert_true(ktlb_batch_done(&batch));
    ktlb_batch_sync(&batch);
    batch.request.space = (struct ktlb_space *)1; /* a crash, if read */
    batch.request.count = 1000000;
    fake_cpu = 1;
    ktlb_ipi(); /* away, nothing is served */
    fake_log_clear();
    ktlb_cpu_online();
    fake_cpu = 0;
    assert_int_equal(fake_logged, 1);
    shoot(&ktlb_kernel, 3, KTLB_GLOBAL); /* and the queue still works */
    assert_true(fake_did(1, FAKE_INVLPG, 3 * PAGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_first_load_flushes_and_a_second_does_not, start),
        cmocka_unit_test_setup(without_tags_every_load_flushes, start),
        cmocka_unit_test_setup(slots_run_out_and_are_reused, start),
        cmocka_unit_test_setup(away_is_behind, start),
        cmocka_unit_test_setup(present_and_served_is_not_behind, start),
        cmocka_unit_test_setup(posted_before_leaving_and_served_after, start),
        cmocka_unit_test_setup(a_new_space_at_an_old_address, start),
        cmocka_unit_test_setup(in_the_window_both_spaces_are_held, start),
        cmocka_unit_test_setup(lazy_is_left_alone_and_catches_up, start),
        cmocka_unit_test_setup(lazy_with_nothing_missed_costs_nothing, start),
        cmocka_unit_test_setup(lazy_is_told_when_tables_die, start),
        cmocka_unit_test_setup(a_switch_ends_laziness, start),
        cmocka_unit_test_setup(the_kernels_own_root_is_always_flushed, start),
        cmocka_unit_test_setup(the_other_tags_forget_the_kernels_half, start),
        cmocka_unit_test_setup(requests_out_of_order_stay_exact, start),
        cmocka_unit_test_setup(a_flush_does_for_what_was_before_it, start),
        cmocka_unit_test_setup(a_flush_for_what_is_far, start),
        cmocka_unit_test_setup(too_far_behind_flushes_the_space, start),
        cmocka_unit_test_setup(offline_is_no_target_and_online_drops_everything, start),
        cmocka_unit_test_setup(leaving_answers_what_was_posted, start),
        cmocka_unit_test_setup(posted_after_leaving_is_never_read, start),
    };

    FAKE_RUN(tests);
}
