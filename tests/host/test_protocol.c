/*
 * test_protocol.c - goal: under every protocol, no request is lost, none is acknowledged by the service of another, and
 * whatever finds no room is still executed.
 */
#include "fake.h"

#include <string.h>

#define PAGE UINT64_C(4096)
#define MANY 40 /* batches: more than any protocol has room for */

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

/* What @cpu holds of page @page of the space is gone: by itself, or with everything. */
static bool dropped(unsigned cpu, uint64_t page)
{
    return fake_did(cpu, FAKE_INVLPG, page * PAGE) || fake_count(cpu, FAKE_CR3) || fake_count(cpu, FAKE_INVPCID);
}

static struct ktlb_batch first, second;

/* The service of the first is about to end: if it answered for the second, that one's entry would still be here. */
static void second_is_not_answered_before_its_turn(void)
{
    if (fake_cpu == 3 && !dropped(3, 20))
        assert_false(fake_acked(&second, 3));
}

/* CPU 3 is executing the first request; just now a second initiator posts its own. */
static void post_in_the_middle(void)
{
    if (fake_cpu != 3)
        return;
    fake_invlpg_hook = second_is_not_answered_before_its_turn;
    fake_dispatch(&second, &space, 1, 20);
    fake_cpu = 3;
    assert_true(fake_interrupt[3]); /* its own interrupt: the one under way was taken */
    assert_false(fake_acked(&first, 3));
    assert_false(fake_acked(&second, 3));
}

/* strat9's race (TRAPS 35): with one flag per target, the service of the first would acknowledge the second. */
static void a_service_acknowledges_only_what_it_served(void **state)
{
    (void)state;
    fake_dispatch(&first, &space, 0, 10);
    fake_invlpg_hook = post_in_the_middle;
    fake_take_interrupt(3);
    fake_invlpg_hook = NULL;
    fake_take_interrupts();
    assert_true(fake_acked(&first, 3));
    assert_true(fake_acked(&second, 3));
    assert_true(dropped(3, 10));
    assert_true(dropped(3, 20));
    assert_false(fake_acked(&second, 0));
}

/* Each of two requests is acknowledged by its own service even if only one has been served so far. */
static void two_initiators_are_served_at_once(void **state)
{
    struct ktlb_batch a, b;

    (void)state;
    fake_dispatch(&a, &space, 0, 1);
    fake_dispatch(&b, &space, 1, 2);
    fake_take_interrupt(3);
    assert_true(fake_acked(&a, 3));
    assert_true(fake_acked(&b, 3));
    assert_false(fake_acked(&a, 2));
    assert_false(fake_acked(&b, 2));
    assert_true(dropped(3, 1));
    assert_true(dropped(3, 2));
}

/* Theseus' race (TRAPS B2), and any stray interrupt: nothing to do means nothing done. */
static void spurious_interrupts_change_nothing(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    fake_dispatch(&batch, &space, 0, 1);
    fake_log_clear();
    for (unsigned i = 0; i < 5; i++) {
        fake_cpu = 1;
        ktlb_ipi();
    }
    fake_cpu = 0;
    assert_int_equal(fake_count(1, FAKE_INVLPG), 1);
    assert_int_equal(STAT(1, ipis), 5);
    assert_int_equal(STAT(1, ipis_idle), 4);
    assert_false(fake_acked(&batch, 2));
    assert_false(fake_acked(&batch, 3));
    assert_false(ktlb_batch_done(&batch));
}

static void a_poll_serves_without_the_interrupt(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    fake_dispatch(&batch, &space, 0, 1);
    fake_cpu = 1;
    assert_true(ktlb_poll());
    assert_false(ktlb_poll());
    fake_interrupt[1] = true;
    fake_cpu = 0;
    fake_take_interrupt(1); /* the one under way finds nothing left */
    assert_int_equal(STAT(1, ipis_idle), 1);
    assert_true(fake_acked(&batch, 1));
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
    fake_dispatch(&batch, &space, 0, 1);
    assert_null(ktlb_batch_sync(&batch));
    assert_true(dropped(1, 1));
    assert_int_equal(fake_stalls, 0);
}

static struct ktlb_batch many[MANY];

/* From one CPU and from several, in flight together; each is answered, and by its own execution. */
static void more_than_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        fake_dispatch(&many[i], &space, i % 3 ? 0 : 2, 100 + i);
    fake_log_clear();
    for (unsigned i = 0; i < MANY; i++)
        assert_false(fake_acked(&many[i], 1));
    fake_take_interrupt(1);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(fake_acked(&many[i], 1));
        assert_false(fake_acked(&many[i], 3));
        assert_true(dropped(1, 100 + i));
    }
    fake_take_interrupts();
    fake_cpu = 2;
    fake_take_interrupt(0);
    fake_cpu = 0;
    for (unsigned i = MANY; i-- > 0;)
        assert_null(ktlb_batch_sync(&many[i]));
    assert_int_equal(fake_stalls, 0);
}

/* And the kernel's half among them: flushing the space is not enough for that. */
static void no_room_for_the_kernel_either(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        fake_dispatch(&many[i], i == MANY - 1 ? &ktlb_kernel : &space, 0, 100 + i);
    fake_log_clear();
    fake_take_interrupt(1);
    assert_true(fake_acked(&many[MANY - 1], 1));
    assert_true(fake_count(1, FAKE_INVPCID));
    fake_take_interrupts();
    for (unsigned i = 0; i < MANY; i++)
        assert_null(ktlb_batch_sync(&many[i]));
}

/* Nothing is claimed for a space that has left: its next load flushes. */
static void no_room_and_the_space_has_left(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        fake_dispatch(&many[i], &space, 0, 100 + i);
    fake_switch(1, &other);
    fake_take_interrupt(1);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(fake_acked(&many[i], 1));
    assert_true(fake_switch(1, &space).flush);
    fake_take_interrupts();
    for (unsigned i = 0; i < MANY; i++)
        ktlb_batch_sync(&many[i]);
}

/* Room that was given back is used again: nothing is widened when batches come one by one. */
static void room_is_given_back(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    for (unsigned i = 0; i < 3 * MANY; i++) {
        fake_dispatch(&batch, &space, i % 4, i);
        fake_cpu = i % 4;
        fake_take_interrupts();
        ktlb_batch_sync(&batch);
        fake_cpu = 0;
        assert_int_equal(STAT(i % 4, overflows), 0);
        fake_logged = 0;
    }
}

/* A target that left holds nothing up, and what its initiators leave behind is given to others. It is back, and must
 * execute neither what was for it then nor what is there now for others. */
static void back_among_reused_requests(void **state)
{
    struct ktlb_batch left, next;

    (void)state;
    fake_switch(3, &ktlb_kernel);
    ktlb_batch_init(&left, &ktlb_kernel);
    ktlb_batch_add(&left, ktlb_op_range(PAGE, PAGE, 12, KTLB_GLOBAL));
    fake_cpu = 3;
    ktlb_cpu_offline();
    fake_cpu = 0;
    fake_post(&left, 3);
    assert_null(ktlb_batch_sync(&left));
    for (unsigned i = 0; i < MANY; i++) {
        fake_dispatch(&next, &space, 0, 200 + i);
        fake_take_interrupts();
        ktlb_batch_sync(&next);
    }
    fake_log_clear();
    fake_cpu = 3;
    ktlb_cpu_online();
    assert_int_equal(fake_count(3, FAKE_INVPCID), 1);
    assert_int_equal(fake_logged, 1);
    fake_cpu = 0;
    fake_dispatch(&next, &ktlb_kernel, 0, 7);
    assert_false(fake_acked(&next, 3));
    fake_take_interrupts();
    assert_true(dropped(3, 7));
    ktlb_batch_sync(&next);
}

static struct ktlb_batch outer, inner;

/* The wait of the outer batch is interrupted, and the handler has one of its own to wait for. */
static void interrupt_dispatches(void)
{
    fake_wait_hook = fake_take_interrupts;
    fake_dispatch(&inner, &space, 0, 50);
    assert_false(ktlb_batch_done(&inner));
    assert_null(ktlb_batch_sync(&inner));
}

static void an_interrupt_dispatches_too(void **state)
{
    (void)state;
    fake_dispatch(&outer, &space, 0, 40);
    fake_wait_hook = interrupt_dispatches;
    assert_null(ktlb_batch_sync(&outer));
    assert_true(dropped(1, 40) && dropped(1, 50));
}

static bool interrupted_in_the_middle;

/* An NMI in the middle: its request must not be answered by what is under way, nor be forgotten. */
static void nmi_in_the_middle(void)
{
    if (fake_cpu != 1)
        return;
    fake_invlpg_hook = NULL;
    fake_dispatch(&inner, &space, 2, 50);
    assert_int_equal(fake_interrupt[1], interrupted_in_the_middle);
    fake_interrupt[1] = false;
    ktlb_ipi();
    assert_false(fake_acked(&inner, 1));
}

static void an_nmi_while_serving(void **state)
{
    (void)state;
    interrupted_in_the_middle = true;
    fake_dispatch(&outer, &space, 0, 40);
    fake_invlpg_hook = nmi_in_the_middle;
    fake_take_interrupt(1);
    assert_true(fake_acked(&inner, 1)); /* before the interrupt returned */
    assert_true(dropped(1, 50));
    assert_int_equal(STAT(1, ipis_deferred), 1);
    fake_take_interrupts();
    ktlb_batch_sync(&outer);
    fake_cpu = 2;
    fake_take_interrupt(0);
    ktlb_batch_sync(&inner);
    fake_cpu = 0;
}

/* The same in a dispatch of its own. At the doorbell nobody interrupts that: the NMI is another's. */
static void an_nmi_while_dispatching(void **state)
{
    (void)state;
    interrupted_in_the_middle = strcmp(fake_protocol, "doorbell") != 0;
    fake_invlpg_hook = nmi_in_the_middle;
    fake_dispatch(&outer, &space, 1, 40);
    assert_true(fake_acked(&inner, 1)); /* before the dispatch returned */
    assert_true(dropped(1, 50));
    assert_int_equal(STAT(1, ipis_deferred), 1);
    fake_take_interrupts();
    fake_cpu = 3;
    fake_take_interrupt(0);
    fake_cpu = 0;
    assert_true(ktlb_batch_done(&outer) && ktlb_batch_done(&inner));
}

/* For comparisons: whoever is online is asked and answers, in the space or not; who is offline is still left alone. */
static void everyone_is_asked_if_so_configured(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    fake_set_up_again(fake_protocol, true);
    fake_switch(1, &space);
    fake_cpu = 3;
    ktlb_cpu_offline();
    fake_cpu = 0;
    fake_dispatch(&batch, &space, 0, 9);
    assert_int_equal(fake_interrupts, 2);
    assert_int_equal(STAT(0, targets), 2);
    fake_take_interrupt(1);
    assert_false(ktlb_batch_done(&batch));
    fake_take_interrupt(2);
    assert_true(ktlb_batch_done(&batch));
    assert_true(dropped(1, 9));
    assert_false(dropped(2, 9));
    assert_int_equal(STAT(2, not_loaded), 1);
}

/* The next protocol in the list: what the one before left in the memory and the CPUs must not matter, nor may a CPU
 * believe what it remembered of a space. */
static void set_up_again_differently(void **state)
{
    static const char *const names[] = {KTLB_PROTOCOLS_SOFTWARE(FAKE_PROTOCOL_NAME)};
    struct ktlb_batch batch;

    (void)state;
    for (uint64_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_string_equal(ktlb_protocol_name((unsigned)i), names[i]);
        fake_dispatch(&batch, &space, 0, i);
        fake_take_interrupts();
        assert_true(ktlb_batch_done(&batch));
        fake_set_up_again(names[i], false);
        assert_string_equal(ktlb_machine.protocol->name, names[i]);
        assert_int_equal(STAT(0, dispatches), 0);
        assert_true(fake_switch(0, &space).flush);
        assert_true(fake_switch(2, &space).flush);
        fake_log_clear();
        fake_dispatch(&batch, &space, 0, 100 + i);
        assert_int_equal(fake_interrupts, 1);
        fake_take_interrupts();
        assert_true(ktlb_batch_done(&batch));
        assert_true(dropped(2, 100 + i));
    }
    assert_string_equal(ktlb_protocol_name(sizeof(names) / sizeof(names[0])), "hardware");
    assert_null(ktlb_protocol_name(sizeof(names) / sizeof(names[0]) + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_service_acknowledges_only_what_it_served, start),
        cmocka_unit_test_setup(two_initiators_are_served_at_once, start),
        cmocka_unit_test_setup(spurious_interrupts_change_nothing, start),
        cmocka_unit_test_setup(a_poll_serves_without_the_interrupt, start),
        cmocka_unit_test_setup(masked_initiators_serve_each_other, start),
        cmocka_unit_test_setup(more_than_there_is_room_for, start),
        cmocka_unit_test_setup(no_room_for_the_kernel_either, start),
        cmocka_unit_test_setup(no_room_and_the_space_has_left, start),
        cmocka_unit_test_setup(room_is_given_back, start),
        cmocka_unit_test_setup(back_among_reused_requests, start),
        cmocka_unit_test_setup(an_interrupt_dispatches_too, start),
        cmocka_unit_test_setup(an_nmi_while_serving, start),
        cmocka_unit_test_setup(an_nmi_while_dispatching, start),
        cmocka_unit_test_setup(everyone_is_asked_if_so_configured, start),
        cmocka_unit_test_setup(set_up_again_differently, start),
    };

    FAKE_RUN(tests);
}
