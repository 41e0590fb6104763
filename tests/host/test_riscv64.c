/*
 * test_riscv64.c - goal: the riscv64 sequences execute the instructions the specification asks for, in their order, and
 * what the firmware is asked says the same.
 */
#include "ktlb/arch/riscv64.h"
#include "ktlb/arch/riscv64_sbi.h"
#include "record.h"

#include <string.h>

uint64_t fake_satp, fake_satp_bits, fake_time;

#define SV39 (UINT64_C(8) << 60)
#define ASID(asid) ((uint64_t)(asid) << 44)
#define EVERY KTLB_RISCV64_EVERY_ASID

static int start(void **state)
{
    (void)state;
    ktlb_arch = (struct ktlb_arch){0};
    fake_satp = SV39 | ASID(3) | 0x80200;
    fake_satp_bits = UINT64_MAX;
    recorded();
    return 0;
}

static struct ktlb_op pages(unsigned count, unsigned flags)
{
    return ktlb_op_range(0x5000, (uint64_t)count << 12, 12, flags);
}

static void whole(void **state)
{
    (void)state;
    ktlb_arch_flush_space();
    ASSERT_RECORDED("sfence_vma_asid:3 fence_i");
    ktlb_arch_flush_machine();
    ASSERT_RECORDED("sfence_vma_all fence_i");
}

static void by_address(void **state)
{
    (void)state;
    ktlb_arch_flush_range(pages(2, 0)); /* no ASID: global entries go as well */
    ASSERT_RECORDED("sfence_vma_va:5000 sfence_vma_va:6000");
    ktlb_arch_flush_range(ktlb_op_range(UINT64_C(3) << 21, UINT64_C(2) << 21, 21, KTLB_GLOBAL));
    ASSERT_RECORDED("sfence_vma_va:600000 sfence_vma_va:800000");
    ktlb_riscv64_fence(pages(1, 0), 7);
    ASSERT_RECORDED("sfence_vma_va_asid:5000,7");
    ktlb_riscv64_fence(pages(1, KTLB_GLOBAL), 7); /* a fence with an ASID would spare them */
    ASSERT_RECORDED("sfence_vma_va:5000");
    ktlb_arch_flush_range(pages(1, KTLB_EXEC));
    ASSERT_RECORDED("sfence_vma_va:5000 fence_i");
}

/* By address only leaf entries are spoken of. */
static void tables_take_the_whole(void **state)
{
    (void)state;
    ktlb_arch_flush_range(pages(1, KTLB_TABLES));
    ASSERT_RECORDED("sfence_vma_all");
    ktlb_riscv64_fence(pages(1, KTLB_TABLES), 7);
    ASSERT_RECORDED("sfence_vma_asid:7");
    ktlb_riscv64_fence(pages(1, KTLB_TABLES | KTLB_GLOBAL), 7);
    ASSERT_RECORDED("sfence_vma_all");
    ktlb_arch.svinval = true;
    ktlb_arch_flush_range(pages(1, KTLB_TABLES));
    ASSERT_RECORDED("sfence_vma_all");
}

static void fences_taken_apart(void **state)
{
    (void)state;
    ktlb_arch.svinval = true;
    ktlb_arch_flush_range(pages(2, KTLB_EXEC));
    ASSERT_RECORDED("sfence_w_inval sinval_vma_va:5000 sinval_vma_va:6000 sfence_inval_ir fence_i");
    ktlb_riscv64_fence(pages(2, 0), 7);
    ASSERT_RECORDED("sfence_w_inval sinval_vma_va_asid:5000,7 sinval_vma_va_asid:6000,7 sfence_inval_ir");
}

static void beyond_the_limit_the_whole(void **state)
{
    (void)state;
    ktlb_riscv64_fence(pages(KTLB_FLUSH_MAX + 1, 0), 7);
    ASSERT_RECORDED("sfence_vma_asid:7");
    ktlb_arch_flush_range(pages(KTLB_FLUSH_MAX + 1, 0));
    ASSERT_RECORDED("sfence_vma_all");
    ktlb_riscv64_fence(pages(KTLB_FLUSH_MAX, 0), 7);
    assert_null(strstr(recorded(), "sfence_vma_asid"));
}

/* TRAPS 20 */
static void an_erratum_of_fences_by_address(void **state)
{
    (void)state;
    ktlb_arch.whole = true;
    ktlb_arch_flush_range(pages(1, 0));
    ASSERT_RECORDED("sfence_vma_all");
    ktlb_riscv64_fence(pages(1, 0), 7);
    ASSERT_RECORDED("sfence_vma_asid:7");
}

static void how_many_asids(void **state)
{
    static const unsigned bits[] = {0, 1, 9, 16};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t most = (UINT64_C(1) << bits[i]) - 1;

        fake_satp_bits = ~(UINT64_C(0xffff) << 44) | most << 44;
        fake_satp = SV39 | 0x80200;
        assert_int_equal(ktlb_riscv64_asids(), most + 1);
        assert_int_equal(fake_satp, SV39 | 0x80200); /* as it was */
        assert_true(ktlb_arch_can_tag(0));
        assert_int_equal(ktlb_arch_can_tag(6), bits[i] >= 9);
        assert_true(ktlb_arch_can_tag((unsigned)most));
        assert_false(ktlb_arch_can_tag((unsigned)most + 1)); /* 0 to asids: one more than there are */
        recorded();
    }
    fake_satp = 0; /* translation is off: nothing can be asked */
    assert_false(ktlb_arch_can_tag(2));
    assert_true(ktlb_arch_can_tag(0));
    ASSERT_RECORDED("");
}

static void what_asking_leaves_behind(void **state)
{
    (void)state;
    assert_int_equal(ktlb_riscv64_asids(), 0x10000);
    ASSERT_RECORDED("satp:8ffff00000080200 satp:8000300000080200 sfence_vma_asid:ffff");
}

static void loading_a_root(void **state)
{
    (void)state;
    ktlb_riscv64_load_root(8, 0x80205000, (struct ktlb_load){9, false});
    ASSERT_RECORDED("satp:8000900000080205");
    ktlb_riscv64_load_root(8, 0x80205000, (struct ktlb_load){9, true});
    ASSERT_RECORDED("sfence_vma_asid:9 fence_i satp:8000900000080205 sfence_vma_asid:9 fence_i");
    ktlb_riscv64_load_root(9, 0x80205000, (struct ktlb_load){0, true});
    ASSERT_RECORDED("sfence_vma_asid:0 fence_i satp:9000000000080205");
    ktlb_riscv64_drop_here();
    ASSERT_RECORDED("sfence_vma_all");
    ktlb_riscv64_fence_ipi();
    ASSERT_RECORDED("fence_w_ow");
}

static void a_dispatch_of_code(void **state)
{
    (void)state;
    record_boot(6);
    ktlb_flush(&ktlb_kernel, pages(1, KTLB_GLOBAL));
    ASSERT_RECORDED("sfence_vma_va:5000");
    ktlb_flush(&ktlb_kernel, pages(1, KTLB_GLOBAL | KTLB_EXEC));
    ASSERT_RECORDED("sfence_vma_va:5000 fence_i");
    ktlb_flush(&ktlb_kernel, ktlb_op_all(0));
    ASSERT_RECORDED("sfence_vma_all fence_i");
}

/* What an op says beside its address arrives with it. */
static void a_target_is_told_of_code(void **state)
{
    struct ktlb_batch batch;

    (void)state;
    record_boot_with("doorbell", 2, 0);
    record_cpu = 0;
    for (unsigned i = 0; i < 2; i++) {
        ktlb_batch_init(&batch, &ktlb_kernel);
        ktlb_batch_add(&batch, pages(1, KTLB_GLOBAL | (i ? KTLB_EXEC : 0)));
        ktlb_batch_dispatch(&batch);
        recorded();
        record_cpu = 1;
        ktlb_ipi();
        ASSERT_RECORDED(i ? "sfence_vma_va:5000 fence_i" : "sfence_vma_va:5000");
        record_cpu = 0;
        assert_null(ktlb_batch_sync(&batch));
    }
}

/* ---- the firmware's remote fences ---- */

static void assert_call(struct ktlb_riscv64_sbi_call call, uint64_t function, uint64_t first, uint64_t size,
                        uint64_t asid)
{
    assert_int_equal(call.extension, 0x52464e43);
    assert_int_equal(call.function, function);
    assert_int_equal(call.start, first);
    assert_int_equal(call.size, size);
    assert_int_equal(call.asid, asid);
}

static void what_the_firmware_is_asked(void **state)
{
    struct ktlb_riscv64_harts harts = {5, 2};
    struct ktlb_riscv64_sbi_call call = ktlb_riscv64_sbi_fence(harts, pages(3, 0), 7);

    (void)state;
    assert_int_equal(call.mask, 5);
    assert_int_equal(call.base, 2);
    assert_call(call, 2, 0x5000, 0x3000, 7);
    assert_call(ktlb_riscv64_sbi_fence(harts, pages(3, 0), EVERY), 1, 0x5000, 0x3000, 0);
    assert_call(ktlb_riscv64_sbi_fence(harts, pages(3, KTLB_GLOBAL), 7), 1, 0x5000, 0x3000, 0);
    assert_call(ktlb_riscv64_sbi_fence(harts, ktlb_op_range(UINT64_C(3) << 21, UINT64_C(2) << 21, 21, 0), 7), 2,
                UINT64_C(3) << 21, UINT64_C(2) << 21, 7);
    assert_call(ktlb_riscv64_sbi_fence(harts, ktlb_op_all(0), 7), 2, 0, UINT64_MAX, 7);
    assert_call(ktlb_riscv64_sbi_fence(harts, ktlb_op_all(0), EVERY), 1, 0, UINT64_MAX, 0);
    assert_call(ktlb_riscv64_sbi_fence(harts, pages(1, KTLB_TABLES), 7), 2, 0, UINT64_MAX, 7);
    assert_call(ktlb_riscv64_sbi_fence(harts, pages(KTLB_FLUSH_MAX + 1, 0), 7), 2, 0, UINT64_MAX, 7);
    ktlb_arch.whole = true;
    assert_call(ktlb_riscv64_sbi_fence(harts, pages(1, 0), 7), 2, 0, UINT64_MAX, 7);
    call = ktlb_riscv64_sbi_fence_i(harts);
    assert_int_equal(call.mask, 5);
    assert_int_equal(call.base, 2);
    assert_call(call, 0, 0, 0, 0);
}

/* Strides of different sizes and odd places: the firmware does not see where entries end. */
static void the_last_page_of_all(void **state)
{
    struct ktlb_riscv64_harts harts = {1, 0};

    (void)state;
    assert_call(ktlb_riscv64_sbi_fence(harts, ktlb_op_range(UINT64_MAX - 0xfff, 0x1000, 12, 0), 7), 2,
                UINT64_MAX - 0xfff, 0x1000, 7);
    assert_call(ktlb_riscv64_sbi_fence(harts, ktlb_op_range(0, 0x1000, 12, 0), 7), 2, 0, 0x1000, 7);
}

static void harts_are_not_cpus(void **state)
{
    static const uint64_t hart_of[6] = {1000, 4, 3, 67, 66, 1};
    struct ktlb_cpuset cpus = {{0}};
    struct ktlb_riscv64_harts harts;

    (void)state;
    for (unsigned i = 0; i < 6; i++)
        ktlb_cpuset_add(&cpus, i);
    harts = ktlb_riscv64_take_harts(&cpus, hart_of); /* from the lowest on, 64 of them */
    assert_int_equal(harts.base, 1);
    assert_int_equal(harts.mask, 1 | 1 << 2 | 1 << 3);
    harts = ktlb_riscv64_take_harts(&cpus, hart_of);
    assert_int_equal(harts.base, 66);
    assert_int_equal(harts.mask, 3);
    assert_int_equal(ktlb_cpuset_count(&cpus), 1);
    harts = ktlb_riscv64_take_harts(&cpus, hart_of);
    assert_int_equal(harts.base, 1000);
    assert_int_equal(harts.mask, 1);
    assert_true(ktlb_cpuset_empty(&cpus));
}

static void the_edge_of_a_mask(void **state)
{
    static const uint64_t hart_of[3] = {7, 7 + 63, 7 + 64};
    struct ktlb_cpuset cpus = {{7}};
    struct ktlb_riscv64_harts harts = ktlb_riscv64_take_harts(&cpus, hart_of);

    (void)state;
    assert_int_equal(harts.base, 7);
    assert_int_equal(harts.mask, UINT64_C(1) << 63 | 1);
    harts = ktlb_riscv64_take_harts(&cpus, hart_of);
    assert_int_equal(harts.base, 71);
    assert_int_equal(harts.mask, 1);
    assert_true(ktlb_cpuset_empty(&cpus));
}

/* ---- the protocol hardware ---- */

/* By the firmware's numbers, and those who have loaded the space; here by an instruction. It is over when it returns. */
static void the_firmware_tells_the_others(void **state)
{
    static const uint64_t hart_of[3] = {9, 4, 2};
    struct ktlb_space space;
    struct ktlb_batch batch;

    (void)state;
    ktlb_arch.hart_of = hart_of;
    record_boot_with("hardware", 3, 8);
    ktlb_space_init(&space);
    for (record_cpu = 2; record_cpu-- > 0;) {
        assert_int_equal(ktlb_switch_begin(&space).asid, 1);
        ASSERT_RECORDED("sfence_vma_asid:1");
        ktlb_switch_end();
    }
    record_cpu = 0;
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, pages(1, KTLB_EXEC));
    ktlb_batch_dispatch(&batch);
    ASSERT_RECORDED("fence_w_ow ecall_fence_asid:1,4 ecall_fence_i:1,4 sfence_vma_va_asid:5000,1 fence_i");
    assert_null(ktlb_batch_sync(&batch));
    ASSERT_RECORDED("");
    ktlb_flush(&ktlb_kernel, pages(1, KTLB_GLOBAL));
    ASSERT_RECORDED("fence_w_ow ecall_fence:5,2 sfence_vma_va:5000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole, start),
        cmocka_unit_test_setup(by_address, start),
        cmocka_unit_test_setup(tables_take_the_whole, start),
        cmocka_unit_test_setup(fences_taken_apart, start),
        cmocka_unit_test_setup(beyond_the_limit_the_whole, start),
        cmocka_unit_test_setup(an_erratum_of_fences_by_address, start),
        cmocka_unit_test_setup(how_many_asids, start),
        cmocka_unit_test_setup(what_asking_leaves_behind, start),
        cmocka_unit_test_setup(loading_a_root, start),
        cmocka_unit_test_setup(a_dispatch_of_code, start),
        cmocka_unit_test_setup(a_target_is_told_of_code, start),
        cmocka_unit_test_setup(what_the_firmware_is_asked, start),
        cmocka_unit_test_setup(the_last_page_of_all, start),
        cmocka_unit_test_setup(harts_are_not_cpus, start),
        cmocka_unit_test_setup(the_edge_of_a_mask, start),
        cmocka_unit_test_setup(the_firmware_tells_the_others, start),
    };

    return cmocka_run_group_tests_name("riscv64", tests, NULL, NULL);
}
