/*
 * test_misuse.c - goal: every misuse we know is refused by a status or caught by an assertion that names the rule.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static struct ktlb_space space;
static KTLB_ALIGNED(KTLB_CACHE_LINE) unsigned char memory[1 << 16];

static int start(void **state)
{
    (void)state;
    fake_start(2, 6);
    ktlb_space_init(&space);
    return 0;
}

static void bad_configurations_are_refused_and_change_nothing(void **state)
{
    const struct ktlb_config good = {.cpus = 2, .memory = memory, .memory_size = sizeof(memory)};
    struct ktlb_config config = good;
    struct ktlb_cpu *before = ktlb_machine.cpu;

    (void)state;
    config.cpus = 0;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_CPUS);
    assert_int_equal(ktlb_memory_size(&config), 0);
    config.cpus = KTLB_CPUS_MAX + 1;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_CPUS);
    config = good;
    config.asids = 1;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_ASIDS);
    config.asids = KTLB_ASIDS_MAX + 1;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_ASIDS);
    fake_cr4 = KTLB_X86_CR4_PGE;
    config.asids = 4;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_ASIDS);
    config = good;
    config.memory = NULL;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_MEMORY);
    config.memory = memory + 8;
    assert_int_equal(ktlb_init(&config), KTLB_BAD_MEMORY);
    config = good;
    config.memory_size = ktlb_memory_size(&config) - 1;
    assert_int_equal(ktlb_init(&config), KTLB_SMALL_MEMORY);
    config.memory_size = 0;
    assert_int_equal(ktlb_init(&config), KTLB_SMALL_MEMORY);
    config = good;
    config.protocol = "pigeon";
    assert_int_equal(ktlb_init(&config), KTLB_BAD_PROTOCOL);
    assert_ptr_equal(ktlb_machine.cpu, before);
    config.protocol = "mailbox";
    config.memory_size = ktlb_memory_size(&config);
    EXPECT_PANIC(ktlb_init(&config), "every CPU is offline");
    for (fake_cpu = 0; fake_cpu < ktlb_machine.cpus; fake_cpu++)
        ktlb_cpu_offline();
    fake_cpu = 0;
    assert_int_equal(ktlb_init(&config), KTLB_OK);
}

static void every_status_says_something(void **state)
{
    (void)state;
    for (int i = KTLB_OK; i <= KTLB_BAD_PROTOCOL; i++)
        for (int j = KTLB_OK; j < i; j++)
            assert_string_not_equal(ktlb_status_text((enum ktlb_status)i), ktlb_status_text((enum ktlb_status)j));
    assert_non_null(ktlb_status_text((enum ktlb_status)99));
}

static void ranges(void **state)
{
    (void)state;
    EXPECT_PANIC(ktlb_op_range(PAGE, 0, 12, 0), "a range is not empty");
    EXPECT_PANIC(ktlb_op_range(PAGE + 1, PAGE, 12, 0), "multiple of its stride");
    EXPECT_PANIC(ktlb_op_range(PAGE, PAGE - 1, 12, 0), "multiple of its stride");
    EXPECT_PANIC(ktlb_op_range(PAGE, UINT64_C(1) << 21, 21, 0), "multiple of its stride");
    EXPECT_PANIC(ktlb_op_range(-PAGE, 2 * PAGE, 12, 0), "does not wrap");
    EXPECT_PANIC(ktlb_op_range(0, PAGE, 11, 0), "stride is a page or more");
    EXPECT_PANIC(ktlb_op_range(0, PAGE, 64, 0), "stride is a page or more");
    EXPECT_PANIC(ktlb_op_range(0, PAGE, 12, 8), "flags of enum ktlb_op_flag");
    EXPECT_PANIC(ktlb_op_all(128), "flags of enum ktlb_op_flag");
}

static void batches(void **state)
{
    static struct ktlb_batch batch, stray;
    static struct ktlb_node page;
    struct ktlb_op op = ktlb_op_range(0, PAGE, 12, 0), crooked = {.va = 5, .count = 1, .shift = 12};
    struct ktlb_op wrapping = {.va = -PAGE, .count = 2, .shift = 12}, flags_only = {.flags = KTLB_TABLES, .shift = 12};
    struct ktlb_op placed = {.va = PAGE, .count = KTLB_ALL, .shift = 12};

    (void)state;
    EXPECT_PANIC(ktlb_batch_init(&batch, NULL), "on a space");
    EXPECT_PANIC(ktlb_batch_add(&stray, op), "after init");
    EXPECT_PANIC(ktlb_batch_dispatch(&stray), "after init");
    EXPECT_PANIC(ktlb_batch_defer(&stray, &page), "after init");
    ktlb_batch_init(&batch, &space);
    EXPECT_PANIC(ktlb_batch_sync(&batch), "dispatched before it is synced");
    EXPECT_PANIC(ktlb_batch_done(&batch), "dispatched before it is asked");
    EXPECT_PANIC(ktlb_batch_add(&batch, crooked), "an op comes from");
    EXPECT_PANIC(ktlb_batch_add(&batch, wrapping), "an op comes from");
    EXPECT_PANIC(ktlb_batch_add(&batch, flags_only), "an op comes from");
    EXPECT_PANIC(ktlb_batch_add(&batch, placed), "an op comes from");
    EXPECT_PANIC(ktlb_batch_add(&batch, ktlb_op_range(0, PAGE, 12, KTLB_GLOBAL)), "ktlb_kernel's");
    ktlb_batch_dispatch(&batch);
    EXPECT_PANIC(ktlb_batch_add(&batch, op), "before dispatch");
    EXPECT_PANIC(ktlb_batch_dispatch(&batch), "dispatched once");
    ktlb_batch_sync(&batch);
    EXPECT_PANIC(ktlb_batch_sync(&batch), "synced once");
    EXPECT_PANIC(ktlb_batch_defer(&batch, &page), "before sync");
}

/* Alone, for the panic is in the middle of a section. */
static void dead_space(void **state)
{
    static struct ktlb_space dead;

    (void)state;
    EXPECT_PANIC(ktlb_flush(&dead, ktlb_op_all(0)), "initialised space");
}

static void spaces(void **state)
{
    (void)state;
    EXPECT_PANIC(ktlb_space_init(&ktlb_kernel), "not initialised by the host");
    EXPECT_PANIC(ktlb_space_fini(&ktlb_kernel), "not freed");
    fake_switch(1, &space);
    EXPECT_PANIC(ktlb_space_fini(&space), "no CPU has it loaded");
    fake_cpu = 1;
    ktlb_lazy_enter();
    EXPECT_PANIC(ktlb_space_fini(&space), "loaded lazily");
    fake_switch(1, &ktlb_kernel);
    ktlb_space_fini(&space);
    EXPECT_PANIC(ktlb_switch_begin(&space), "initialised before it is loaded");
    EXPECT_PANIC(ktlb_switch_begin(NULL), "initialised before it is loaded");
}

static void cpus(void **state)
{
    struct ktlb_stats stats;

    (void)state;
    EXPECT_PANIC(ktlb_stats_read(2, &stats), "below ktlb_config.cpus");
    fake_cpu = 2;
    EXPECT_PANIC(ktlb_poll(), "ktlb_port_cpu() is below");
    EXPECT_PANIC(ktlb_ipi(), "ktlb_port_cpu() is below");
    EXPECT_PANIC(ktlb_cpu_online(), "ktlb_port_cpu() is below");
    fake_cpu = 1;
    EXPECT_PANIC(ktlb_switch_end(), "ktlb_switch_begin() before");
    EXPECT_PANIC(ktlb_lazy_leave(), "ktlb_lazy_enter() before");
    EXPECT_PANIC(ktlb_cpu_online(), "offline before it comes online");
    ktlb_lazy_enter();
    EXPECT_PANIC(ktlb_lazy_enter(), "ktlb_lazy_leave() before the next");
    ktlb_lazy_leave();
    fake_switch(1, &space);
    EXPECT_PANIC(ktlb_cpu_offline(), "kernel's root before it goes offline");
    ktlb_switch_begin(&ktlb_kernel);
    EXPECT_PANIC(ktlb_lazy_enter(), "no laziness between");
    EXPECT_PANIC(ktlb_lazy_leave(), "no laziness between");
    EXPECT_PANIC(ktlb_switch_begin(&space), "ktlb_switch_end() before the next");
    ktlb_switch_end();
    ktlb_cpu_offline();
    EXPECT_PANIC(ktlb_cpu_offline(), "online before it goes offline");
    EXPECT_PANIC(ktlb_switch_begin(&space), "online before it switches");
    fake_cr4 = KTLB_X86_CR4_PGE;
    EXPECT_PANIC(ktlb_cpu_online(), "every CPU tags entries");
    fake_cpu = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bad_configurations_are_refused_and_change_nothing, start),
        cmocka_unit_test_setup(every_status_says_something, start),
        cmocka_unit_test_setup(ranges, start),
        cmocka_unit_test_setup(batches, start),
        cmocka_unit_test_setup(dead_space, start),
        cmocka_unit_test_setup(spaces, start),
        cmocka_unit_test_setup(cpus, start),
    };

    FAKE_RUN(tests);
}
