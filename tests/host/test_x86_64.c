/*
 * test_x86_64.c - goal: the x86_64 sequences execute the instructions the manual asks for, in their order.
 */
#include "fake.h"

static int start(void **state)
{
    (void)state;
    fake_start(1, 6);
    return 0;
}

static void root_values(void **state)
{
    (void)state;
    assert_int_equal(ktlb_x86_cr3(0x5000, (struct ktlb_load){3, true}), 0x5003);
    assert_int_equal(ktlb_x86_cr3(0x5000, (struct ktlb_load){3, false}), UINT64_C(0x8000000000005003));
    assert_int_equal(ktlb_x86_cr3(0x5000, (struct ktlb_load){0, true}), 0x5000);
}

static void a_space_is_flushed_by_its_own_root(void **state)
{
    (void)state;
    fake_cr3[0] = UINT64_C(0x8000000000005003);
    ktlb_arch_flush_space();
    assert_int_equal(fake_logged, 1);
    assert_true(fake_did(0, FAKE_CR3, 0x5003)); /* bit 63 clear: it flushes */
}

static void everything_with_invpcid(void **state)
{
    (void)state;
    ktlb_arch_flush_machine();
    assert_int_equal(fake_logged, 1);
    assert_true(fake_did(0, FAKE_INVPCID, 2));
}

static void everything_without_invpcid(void **state)
{
    (void)state;
    ktlb_arch.invpcid = false;
    ktlb_arch_flush_machine();
    assert_int_equal(fake_logged, 2);
    assert_int_equal(fake_log[0].value, KTLB_X86_CR4_PCIDE); /* PGE off */
    assert_int_equal(fake_log[1].value, KTLB_X86_CR4_PCIDE | KTLB_X86_CR4_PGE);
    fake_log_clear();
    fake_cr4 = 0; /* a host that uses no global entries */
    ktlb_arch_flush_machine();
    assert_int_equal(fake_log[0].value, KTLB_X86_CR4_PGE);
    assert_int_equal(fake_log[1].value, 0);
}

static void ranges_step_by_their_stride(void **state)
{
    (void)state;
    ktlb_arch_flush_range(ktlb_op_range(UINT64_C(3) << 21, UINT64_C(2) << 21, 21, 0));
    assert_int_equal(fake_logged, 2);
    assert_int_equal(fake_log[0].value, UINT64_C(3) << 21);
    assert_int_equal(fake_log[1].value, UINT64_C(4) << 21);
}

static void fences_before_the_interrupt_controller(void **state)
{
    (void)state;
    ktlb_x86_fence_xapic();
    assert_int_equal(fake_logged, 1);
    assert_int_equal(fake_log[0].kind, FAKE_BARRIER);
    fake_log_clear();
    ktlb_x86_fence_x2apic();
    assert_int_equal(fake_logged, 2);
    assert_int_equal(fake_log[0].kind, FAKE_MFENCE);
    assert_int_equal(fake_log[1].kind, FAKE_LFENCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(root_values, start),
        cmocka_unit_test_setup(a_space_is_flushed_by_its_own_root, start),
        cmocka_unit_test_setup(everything_with_invpcid, start),
        cmocka_unit_test_setup(everything_without_invpcid, start),
        cmocka_unit_test_setup(ranges_step_by_their_stride, start),
        cmocka_unit_test_setup(fences_before_the_interrupt_controller, start),
    };

    return cmocka_run_group_tests_name("x86_64", tests, NULL, NULL);
}
