/*
 * test_hardware.c - goal: what a space's tag names is invalidated on all CPUs and waited for where it was issued; CPUs
 * that left stay targets; a tag means another space only where everything was dropped in between.
 */
#include "fake.h"

#include <string.h>

#define PAGE UINT64_C(4096)
#define CPUS 3u
#define TAGS 8u /* two more than the least */

/* In the log: INVLPGB's RAX and its PCID, which is bits 27:16 of EDX. */
#define INVLPGB_PAGE UINT64_C(0x13)   /* address and PCID count; not the upper levels */
#define INVLPGB_GLOBAL UINT64_C(0x19) /* address counts, every PCID */

static struct ktlb_space space[TAGS + 2], fresh[4];
static struct ktlb_batch batch;
static struct fake_event issued[64];
static unsigned pcids[64], issues;

void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx)
{
    assert_true(issues < 64);
    assert_int_not_equal(fake_masked, 0);
    assert_int_equal(ecx, 0);
    issued[issues] = (struct fake_event){fake_cpu, FAKE_INVLPGB, rax};
    pcids[issues++] = edx >> 16;
    fake_log[fake_logged++] = (struct fake_event){fake_cpu, FAKE_INVLPGB, rax};
}

static void clear(void)
{
    fake_log_clear();
    issues = 0;
}

static int start(void **state)
{
    (void)state;
    fake_has_invlpgb = true;
    fake_start(CPUS, TAGS);
    for (unsigned i = 0; i < TAGS + 2; i++)
        ktlb_space_init(&space[i]);
    clear();
    return 0;
}

static unsigned tag_on(unsigned cpu, struct ktlb_space *which)
{
    struct ktlb_load load = fake_switch(cpu, which);

    assert_false(load.flush);
    assert_in_range(load.asid, 1, TAGS);
    return load.asid;
}

/* ---- a shootdown ---- */

static void dispatch_issues_and_sync_waits(void **state)
{
    unsigned tag = tag_on(0, &space[0]);

    (void)state;
    assert_int_equal(tag_on(1, &space[0]), tag);
    clear();
    fake_dispatch(&batch, &space[0], 0, 5);
    assert_int_equal(issues, 1);
    assert_int_equal(issued[0].cpu, 0);
    assert_int_equal(issued[0].value, 5 * PAGE | INVLPGB_PAGE);
    assert_int_equal(pcids[0], tag);
    assert_int_equal(fake_logged, 1); /* it reaches this CPU as well; nobody waits yet */
    assert_null(ktlb_batch_sync(&batch));
    assert_int_equal(fake_logged, 2);
    assert_true(fake_did(0, FAKE_TLBSYNC, 0));
    assert_int_equal(fake_interrupts, 0);
    assert_int_equal(STAT(0, interrupts), 0);
    assert_int_equal(STAT(0, targets), 1);
}

/* TLBSYNC waits for its own processor's. */
static void synced_elsewhere_it_is_issued_there(void **state)
{
    unsigned tag = tag_on(0, &space[0]);

    (void)state;
    tag_on(1, &space[0]);
    clear();
    fake_dispatch(&batch, &space[0], 0, 5);
    fake_cpu = 2;
    assert_true(ktlb_batch_done(&batch));
    assert_null(ktlb_batch_sync(&batch));
    assert_int_equal(fake_count(0, FAKE_TLBSYNC), 0);
    assert_int_equal(issues, 2);
    assert_int_equal(issued[1].cpu, 2);
    assert_int_equal(issued[1].value, 5 * PAGE | INVLPGB_PAGE);
    assert_int_equal(pcids[1], tag);
    assert_int_equal(fake_log[fake_logged - 1].kind, FAKE_TLBSYNC);
    assert_int_equal(fake_count(2, FAKE_TLBSYNC), 1); /* once, whoever asks how often */
}

/* By INVPCID, whose tag need not be loaded. */
static void a_space_of_one_cpu_stays_local(void **state)
{
    (void)state;
    tag_on(1, &space[0]);
    clear();
    fake_dispatch(&batch, &space[0], 1, 5);
    fake_cpu = 1;
    assert_null(ktlb_batch_sync(&batch));
    assert_int_equal(issues, 0);
    assert_int_equal(fake_logged, 1);
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ADDRESS));
    assert_int_equal(STAT(1, no_target), 1);
}

static void who_left_stays_a_target(void **state)
{
    unsigned tag = tag_on(1, &space[0]);

    (void)state;
    tag_on(0, &space[0]);
    tag_on(1, &space[1]); /* its entries under the first tag are still there */
    clear();
    fake_dispatch(&batch, &space[0], 0, 5);
    assert_int_equal(issues, 1);
    assert_int_equal(pcids[0], tag);
    ktlb_batch_sync(&batch);
    fake_cpu = 1;
    ktlb_lazy_enter();
    clear();
    fake_dispatch(&batch, &space[1], 0, 5); /* lazy, and the only one */
    assert_int_equal(issues, 1);
    ktlb_batch_sync(&batch);
}

static void the_kernel_under_every_tag(void **state)
{
    (void)state;
    tag_on(0, &space[0]);
    clear();
    fake_dispatch(&batch, &ktlb_kernel, 0, 7);
    assert_int_equal(issues, 1);
    assert_int_equal(issued[0].value, 7 * PAGE | INVLPGB_GLOBAL);
    ktlb_batch_sync(&batch);
    ktlb_flush(&ktlb_kernel, ktlb_op_range(7 * PAGE, PAGE, 12, 0)); /* entries that are not global are under each tag */
    assert_int_equal(issued[1].value, 7 * PAGE | INVLPGB_GLOBAL);
    ktlb_flush(&ktlb_kernel, ktlb_op_all(KTLB_GLOBAL));
    assert_int_equal(issued[2].value, KTLB_X86_INVLPGB_GLOBAL);
    assert_int_equal(fake_count(0, FAKE_TLBSYNC), 3);
}

/* ---- tags ---- */

static void a_tag_is_the_same_everywhere_and_nobody_elses(void **state)
{
    bool taken[TAGS + 1] = {false};

    (void)state;
    for (unsigned i = 0; i < TAGS; i++) {
        unsigned tag = tag_on(i % CPUS, &space[i]);

        assert_false(taken[tag]);
        taken[tag] = true;
        assert_int_equal(tag_on((i + 1) % CPUS, &space[i]), tag);
    }
    assert_int_equal(fake_count(0, FAKE_INVPCID) + fake_count(1, FAKE_INVPCID) + fake_count(2, FAKE_INVPCID), 0);
}

/* One tag more than there are, on CPU 0, while CPUs 1 and 2 go on in spaces of the old round. */
static void run_out(unsigned *tag_of_1, unsigned *tag_of_2)
{
    *tag_of_1 = tag_on(1, &space[0]);
    *tag_of_2 = tag_on(2, &space[1]);
    for (unsigned i = 2; i < TAGS; i++)
        tag_on(0, &space[i]);
    clear();
}

static void tags_come_back_after_a_flush_of_everything(void **state)
{
    unsigned of_1, of_2, tag;

    (void)state;
    run_out(&of_1, &of_2);
    tag = tag_on(0, &space[TAGS]);
    assert_true(fake_did(0, FAKE_INVPCID, KTLB_X86_INVPCID_ALL)); /* CPU 0 held entries under every number */
    assert_int_equal(fake_count(1, FAKE_INVPCID) + fake_count(2, FAKE_INVPCID), 0);
    assert_int_equal(fake_interrupts, 0);
    assert_int_not_equal(tag, of_1);
    assert_int_not_equal(tag, of_2);

    /* The others drop everything with the first they load, and not again. */
    clear();
    assert_int_equal(tag_on(1, &space[TAGS]), tag);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
    assert_true(fake_did(1, FAKE_INVPCID, KTLB_X86_INVPCID_ALL));
    tag_on(1, &space[0]);
    assert_int_equal(fake_count(1, FAKE_INVPCID), 1);
}

static void running_spaces_keep_theirs(void **state)
{
    unsigned of_1, of_2;

    (void)state;
    run_out(&of_1, &of_2);
    tag_on(0, &space[TAGS]);
    clear();
    fake_cpu = 1; /* where it is loaded it is invalidated under the tag it has, before CPU 1 loads anything again */
    fake_dispatch(&batch, &space[1], 1, 5);
    assert_int_equal(issues, 1);
    assert_int_equal(pcids[0], of_2);
    ktlb_batch_sync(&batch);
    fake_cpu = 0;
    assert_int_equal(tag_on(0, &space[0]), of_1);
    assert_int_equal(tag_on(0, &space[1]), of_2);
    assert_int_equal(tag_on(2, &space[1]), of_2);
    /* And through rounds: no new space ever gets a number that is in use. */
    for (unsigned i = 0; i < 5 * TAGS; i++) {
        struct ktlb_space *each = &fresh[i % 4];
        unsigned tag;

        ktlb_space_init(each);
        tag = tag_on(0, each);
        assert_int_not_equal(tag, of_1);
        assert_int_not_equal(tag, of_2);
    }
    assert_int_equal(tag_on(1, &space[0]), of_1);
    assert_int_equal(tag_on(2, &space[1]), of_2);
}

/* A space that lost its number is held nowhere under the new one: nobody who had it loaded then is a target now. */
static void a_new_tag_has_no_old_targets(void **state)
{
    unsigned of_1, of_2;

    (void)state;
    run_out(&of_1, &of_2);
    tag_on(1, &space[2]); /* CPU 0 had it too */
    tag_on(1, &space[0]);
    tag_on(0, &space[TAGS]);
    for (unsigned i = 3; i < 3 + 3; i++)
        tag_on(0, &space[i]);
    clear();
    tag_on(2, &space[2]);
    fake_dispatch(&batch, &space[2], 2, 5);
    fake_cpu = 2;
    ktlb_batch_sync(&batch);
    assert_int_equal(issues, 0);
    assert_true(fake_did(2, FAKE_INVPCID, KTLB_X86_INVPCID_ADDRESS));
}

/* Without tags a load drops the space, and who has it loaded is the target. */
static void without_tags(void **state)
{
    (void)state;
    fake_has_invlpgb = true;
    fake_start(CPUS, 0);
    for (unsigned cpu = 0; cpu < CPUS; cpu++) {
        ktlb_space_init(&space[cpu]);
        assert_true(fake_switch(cpu, &space[0]).flush);
    }
    fake_switch(1, &ktlb_kernel);
    fake_switch(2, &ktlb_kernel);
    clear();
    fake_dispatch(&batch, &space[0], 0, 5);
    assert_int_equal(issues, 0);
    ktlb_batch_sync(&batch);
    fake_switch(1, &space[0]);
    fake_dispatch(&batch, &space[0], 0, 5);
    assert_int_equal(issues, 1);
    assert_int_equal(issued[0].value, 5 * PAGE | INVLPGB_GLOBAL);
    ktlb_batch_sync(&batch);
}

/* ---- bounds ---- */

static enum ktlb_status init(unsigned cpus, unsigned asids)
{
    static KTLB_ALIGNED(KTLB_CACHE_LINE) unsigned char memory[1 << 18];
    struct ktlb_config config = {.cpus = cpus, .asids = asids, .protocol = "hardware", .memory = memory,
                                 .memory_size = sizeof(memory)};

    for (fake_cpu = 0; fake_cpu < CPUS; fake_cpu++)
        if (ktlb_space_has(&ktlb_kernel.active, fake_cpu))
            ktlb_cpu_offline();
    fake_cpu = 0;
    memset(memory, 0, sizeof(memory));
    return ktlb_init(&config);
}

static void bounds(void **state)
{
    (void)state;
    assert_int_equal(init(CPUS, 1), KTLB_BAD_ASIDS);
    assert_int_equal(init(CPUS, 2 * CPUS), KTLB_BAD_ASIDS);
    assert_int_equal(init(CPUS, 2 * CPUS + 1), KTLB_OK);
    assert_int_equal(init(CPUS, 0), KTLB_OK);
    assert_int_equal(init(CPUS, 0x10000), KTLB_BAD_ASIDS);
    fake_has_invlpgb = false;
    assert_int_equal(init(CPUS, TAGS), KTLB_NO_BROADCAST);
    fake_has_invlpgb = true;
    fake_has_invpcid = false;
    assert_int_equal(init(CPUS, TAGS), KTLB_NO_BROADCAST); /* what drops a tag here alone is lacking */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(dispatch_issues_and_sync_waits, start),
        cmocka_unit_test_setup(synced_elsewhere_it_is_issued_there, start),
        cmocka_unit_test_setup(a_space_of_one_cpu_stays_local, start),
        cmocka_unit_test_setup(who_left_stays_a_target, start),
        cmocka_unit_test_setup(the_kernel_under_every_tag, start),
        cmocka_unit_test_setup(a_tag_is_the_same_everywhere_and_nobody_elses, start),
        cmocka_unit_test_setup(tags_come_back_after_a_flush_of_everything, start),
        cmocka_unit_test_setup(running_spaces_keep_theirs, start),
        cmocka_unit_test_setup(a_new_tag_has_no_old_targets, start),
        cmocka_unit_test_setup(without_tags, start),
        cmocka_unit_test_setup(bounds, start),
    };

    FAKE_RUN_WITH("hardware", tests);
}
