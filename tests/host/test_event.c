/*
 * test_event.c - goal: the events tell a shootdown from its dispatch to its sync, on every CPU that takes part; the ring
 * keeps the last ones, whole, whatever interrupts the writing or reads meanwhile.
 */
#define _POSIX_C_SOURCE 200809L

#include "fake.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define PAGE UINT64_C(4096)

static struct ktlb_space space;
static struct ktlb_batch batch;

static int start(void **state)
{
    (void)state;
    fake_start(4, 6);
    ktlb_space_init(&space);
    return 0;
}

static void names_batch(struct ktlb_event event, uint64_t generation)
{
    assert_int_equal(event.space_id, space.id);
    assert_int_equal(event.generation, generation);
}

static unsigned turns;

static void answer_at_last(void)
{
    if (++turns == KTLB_STALL_SPINS + 8)
        fake_take_interrupts();
}

static void a_shootdown_from_dispatch_to_sync(void **state)
{
    uint64_t on[3] = {ktlb_event_count(0), ktlb_event_count(1), ktlb_event_count(2)}, dispatched, acked;
    struct ktlb_event event;

    (void)state;
    fake_switch(0, &space);
    fake_switch(1, &space);
    fake_switch(2, &space);
    fake_dispatch(&batch, &space, 0, 7);
    fake_take_interrupt(2);
    turns = 0;
    fake_wait_hook = answer_at_last;
    ktlb_batch_sync(&batch);

    event = fake_event(0, &on[0], KTLB_EVENT_DISPATCH);
    names_batch(event, 1);
    assert_int_equal(event.argument, 1);
    dispatched = event.cycles;
    event = fake_event(0, &on[0], KTLB_EVENT_POST);
    names_batch(event, 1);
    assert_int_equal(event.argument, 1 << 1 | 1 << 2);
    assert_int_equal(event.first, 0);
    event = fake_event(0, &on[0], KTLB_EVENT_KICK);
    names_batch(event, 1);
    assert_int_equal(event.argument, 1 << 1 | 1 << 2);
    names_batch(fake_event(0, &on[0], KTLB_EVENT_EXECUTE), 1);
    event = fake_event(0, &on[0], KTLB_EVENT_WAIT);
    names_batch(event, 1);
    assert_int_equal(event.argument & 1 << 1, 1 << 1); /* the other has answered, which need not be seen yet */
    event = fake_event(0, &on[0], KTLB_EVENT_STALL);
    names_batch(event, 1);
    assert_int_equal(event.argument, 1 << 1);
    event = fake_event(0, &on[0], KTLB_EVENT_SYNC);
    names_batch(event, 1);
    assert_true(event.argument > 0);

    for (unsigned cpu = 1; cpu <= 2; cpu++) {
        assert_int_equal(fake_event(cpu, &on[cpu], KTLB_EVENT_IPI).argument, 0);
        names_batch(fake_event(cpu, &on[cpu], KTLB_EVENT_EXECUTE), 1);
        acked = fake_event(cpu, &on[cpu], KTLB_EVENT_ACK).cycles;
        assert_true(dispatched < acked && acked < event.cycles);
        assert_int_equal(on[cpu], ktlb_event_count(cpu)); /* and nothing else */
    }
}

static void a_cpu_comes_switches_idles_and_goes(void **state)
{
    struct ktlb_event event;
    uint64_t at = 0;

    (void)state;
    fake_event(1, &at, KTLB_EVENT_ONLINE);
    fake_switch(1, &space);
    event = fake_event(1, &at, KTLB_EVENT_SWITCH);
    assert_int_equal(event.space_id, space.id);
    assert_int_equal(event.argument, 1);
    assert_int_equal(fake_event(1, &at, KTLB_EVENT_SWITCHED).space_id, space.id);
    fake_cpu = 1;
    ktlb_lazy_enter();
    ktlb_lazy_leave();
    fake_switch(1, &ktlb_kernel);
    fake_cpu = 1;
    ktlb_cpu_offline();
    fake_cpu = 0;
    assert_int_equal(fake_event(1, &at, KTLB_EVENT_LAZY).space_id, space.id);
    assert_int_equal(fake_event(1, &at, KTLB_EVENT_ACTIVE).space_id, space.id);
    assert_int_equal(fake_event(1, &at, KTLB_EVENT_SWITCHED).space_id, ktlb_kernel.id);
    fake_event(1, &at, KTLB_EVENT_OFFLINE);
    assert_int_equal(at, ktlb_event_count(1));
    for (unsigned what = KTLB_EVENT_DISPATCH; what <= KTLB_EVENT_OFFLINE; what++)
        assert_string_not_equal(ktlb_event_name(what), "?");
    assert_string_equal(ktlb_event_name(KTLB_EVENT_OFFLINE + 1), "?");
}

/* CPUs beyond the first 64 are told by events of their own. */
static void sets_of_any_size(void **state)
{
#if KTLB_CPUSET_WORDS > 1
    struct ktlb_cpuset all = {{0}};
    uint64_t at = ktlb_event_count(0);

    ktlb_cpuset_add(&all, 3);
    ktlb_cpuset_add(&all, 64);
    KTLB_EVENT_SET(&ktlb_machine.cpu[0], POST, &batch.request, &all);
    assert_int_equal(fake_event(0, &at, KTLB_EVENT_POST).argument, 8);
    assert_int_equal(fake_event(0, &at, KTLB_EVENT_POST).first, 64);
#endif
    (void)state;
}

/* ---- the ring ---- */

static struct ktlb_event numbered(uint64_t number)
{
    return (struct ktlb_event){.cycles = number, .space_id = ~number, .generation = number * 3, .argument = number ^ 0x5555,
                               .what = (uint16_t)(number % 7), .first = (uint16_t)(number % 64)};
}

static bool whole(const struct ktlb_event *event)
{
    struct ktlb_event right = numbered(event->cycles);

    return event->space_id == right.space_id && event->generation == right.generation &&
           event->argument == right.argument && event->what == right.what && event->first == right.first;
}

static void record(uint64_t number)
{
    struct ktlb_event event = numbered(number);

    ktlb_event_record(&event);
}

static void the_last_events_are_kept(void **state)
{
    uint64_t from = ktlb_event_count(0);
    struct ktlb_event event;

    (void)state;
    assert_false(ktlb_event_read(0, from, &event)); /* not yet */
    for (uint64_t i = 0; i < 3 * KTLB_EVENTS; i++)
        record(i);
    assert_int_equal(ktlb_event_count(0), from + 3 * KTLB_EVENTS);
    for (uint64_t i = 0; i < 2 * KTLB_EVENTS; i++)
        assert_false(ktlb_event_read(0, from + i, &event)); /* not any more */
    for (uint64_t i = 2 * KTLB_EVENTS; i < 3 * KTLB_EVENTS; i++) {
        assert_true(ktlb_event_read(0, from + i, &event));
        assert_int_equal(event.cycles, i);
        assert_int_equal(event.cpu, 0);
        assert_true(whole(&event));
    }
}

#define INTERRUPTS 2000u

static struct ktlb_u32 interrupted;

/* Records more than the ring holds in the middle of whatever goes on. */
static void interrupt(int signal)
{
    (void)signal;
    for (uint64_t i = 0; i < KTLB_EVENTS + 3; i++)
        record(i << 32);
    ktlb_rmw_add_relaxed_u32(&interrupted, 1);
}

static struct ktlb_u32 enough;

static void *interrupt_often(void *thread)
{
    for (uint32_t i = 1; !ktlb_load_relaxed_u32(&enough); i++) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        while (ktlb_load_relaxed_u32(&interrupted) < i)
            sched_yield();
    }
    return NULL;
}

/* What is interrupted may be lost, and so may what comes all the way around to it; nothing is mixed. */
static void written_all_the_way_around_an_interrupted_writer(void **state)
{
    struct sigaction action = {.sa_handler = interrupt};
    pthread_t self = pthread_self(), other;
    uint64_t kept = 0, gone = 0, mixed = 0;

    (void)state;
    ktlb_store_relaxed_u32(&interrupted, 0);
    ktlb_store_relaxed_u32(&enough, 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(pthread_create(&other, NULL, interrupt_often, &self), 0);
    /* Ended by the interrupts, one of which comes in the middle of a record sooner or later. */
    for (uint64_t i = 0; ktlb_load_relaxed_u32(&interrupted) < INTERRUPTS || !kept || !gone; i++) {
        uint64_t number = ktlb_event_count(0);
        struct ktlb_event event;

        record(i);
        if (!ktlb_event_read(0, number, &event))
            gone++;
        else if (whole(&event))
            kept++;
        else
            mixed++;
    }
    ktlb_store_relaxed_u32(&enough, 1);
    pthread_join(other, NULL);
    assert_int_equal(mixed, 0);
}

#define EVENTS_READ 300000u

static struct ktlb_u32 writing;

static void *write_many(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; ktlb_load_relaxed_u32(&writing); i++)
        record(i);
    return NULL;
}

static void read_while_written(void **state)
{
    uint64_t read = 0, torn = 0;
    pthread_t writer;

    (void)state;
    ktlb_store_relaxed_u32(&writing, 1);
    assert_int_equal(pthread_create(&writer, NULL, write_many, NULL), 0);
    while (read < EVENTS_READ) { /* ended by the writer, who goes on */
        uint64_t count = ktlb_event_count(0);
        struct ktlb_event event;

        for (uint64_t i = count > KTLB_EVENTS ? count - KTLB_EVENTS : count; i < count; i++) {
            if (ktlb_event_read(0, i, &event)) {
                read++;
                torn += !whole(&event);
            }
        }
    }
    ktlb_store_relaxed_u32(&writing, 0);
    pthread_join(writer, NULL);
    assert_int_equal(torn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_shootdown_from_dispatch_to_sync, start),
        cmocka_unit_test_setup(a_cpu_comes_switches_idles_and_goes, start),
    };
    const struct CMUnitTest ring[] = {
        cmocka_unit_test_setup(sets_of_any_size, start),
        cmocka_unit_test_setup(the_last_events_are_kept, start),
        cmocka_unit_test_setup(written_all_the_way_around_an_interrupted_writer, start),
        cmocka_unit_test_setup(read_while_written, start),
    };
    int failed = cmocka_run_group_tests_name("ring", ring, NULL, NULL);

    if (failed)
        return failed;
    FAKE_RUN(tests);
}
