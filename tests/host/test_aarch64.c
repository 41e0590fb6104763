/*
 * test_aarch64.c - goal: the aarch64 sequences execute the instructions the manual asks for, in their order, and a
 * TLBI's operand says what was meant and nothing else.
 */
#include "ktlb/arch/aarch64.h"
#include "record.h"

#include <string.h>

uint64_t fake_ttbr0, fake_tcr, fake_isar0, fake_ctr, fake_cntvct;

#define KERNEL UINT64_C(0xffff800000000000)

static int start(void **state)
{
    (void)state;
    ktlb_arch = (struct ktlb_arch){0};
    fake_ttbr0 = UINT64_C(3) << 48 | 0x40001000;
    fake_tcr = fake_isar0 = fake_ctr = 0;
    recorded();
    return 0;
}

/* ---- operands ---- */

/* TRAPS 32: of an address, bits 55 to 12 and no others. */
static void an_address_stays_in_its_field(void **state)
{
    (void)state;
    assert_int_equal(ktlb_aarch64_operand(0x5000, 0), 5);
    assert_int_equal(ktlb_aarch64_operand(0x5fff, 7), UINT64_C(7) << 48 | 5);
    assert_int_equal(ktlb_aarch64_operand(KERNEL | 0x5000, 0), UINT64_C(0x00000ff800000005));
    assert_int_equal(ktlb_aarch64_operand(UINT64_MAX, 0), (UINT64_C(1) << 44) - 1);
    assert_int_equal(ktlb_aarch64_operand(UINT64_MAX, 0xffff), UINT64_C(0xffff0fffffffffff));
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t operand = ktlb_aarch64_operand(UINT64_C(1) << bit, 0);

        assert_int_equal(operand, bit >= 12 && bit < 56 ? UINT64_C(1) << (bit - 12) : 0);
        assert_int_equal(operand >> 44 & 15, 0); /* TTL */
    }
}

static void the_fields_of_a_range(void **state)
{
    (void)state;
    assert_int_equal(ktlb_aarch64_range_operand(0, 0, 0, 0, 14, 14), UINT64_C(2) << 46);
    assert_int_equal(ktlb_aarch64_range_operand(0, 0, 0, 0, 16, 16), UINT64_C(3) << 46);
    assert_int_equal(ktlb_aarch64_range_operand(0x5000, 0, 0, 0, 12, 12), UINT64_C(1) << 46 | 5);
    assert_int_equal(ktlb_aarch64_range_operand(0, 31, 0, 0, 12, 12), UINT64_C(1) << 46 | UINT64_C(31) << 39);
    assert_int_equal(ktlb_aarch64_range_operand(0, 0, 3, 0, 12, 12), UINT64_C(1) << 46 | UINT64_C(3) << 44);
    assert_int_equal(ktlb_aarch64_range_operand(0, 31, 3, 0xffff, 12, 12), UINT64_C(0xffff) << 48 | UINT64_C(0x7f80) << 32);
    assert_int_equal(ktlb_aarch64_range_operand(0x30000, 1, 0, 0, 12, 16), UINT64_C(1) << 46 | UINT64_C(1) << 39 | 3);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t operand = ktlb_aarch64_range_operand(UINT64_C(1) << bit, 0, 0, 0, 12, 12);

        assert_int_equal(operand & ~(UINT64_C(1) << 46), bit >= 12 && bit < 49 ? UINT64_C(1) << (bit - 12) : 0);
        assert_int_equal(operand >> 37 & 3, 0); /* TTL */
    }
}

/* What an operand covers, read back from its bits. */
static uint64_t covered(struct ktlb_aarch64_piece piece, uint64_t *va, unsigned base_shift)
{
    uint64_t num = piece.operand >> 39 & 31, scale = piece.operand >> 44 & 3;

    if (!piece.range) {
        *va = (piece.operand & ((UINT64_C(1) << 44) - 1)) << 12;
        return 1;
    }
    assert_int_equal(piece.operand >> 46 & 3, 1);
    *va = (piece.operand & ((UINT64_C(1) << 37) - 1)) << base_shift;
    return (num + 1) << (5 * scale + 1);
}

static unsigned take_apart(uint64_t va, uint64_t granules, unsigned base_shift)
{
    uint64_t at = va, left = granules;
    unsigned pieces = 0;

    for (; left; pieces++) {
        struct ktlb_aarch64_piece piece = ktlb_aarch64_first_piece(at, left, 0, base_shift);
        uint64_t first, count = covered(piece, &first, base_shift);

        assert_int_equal(first, at); /* no gap */
        assert_int_equal(count, piece.granules);
        assert_true(count >= 1 && count <= left); /* nothing beyond the end */
        at += count << 12;
        left -= count;
    }
    return pieces;
}

static void a_run_is_covered_exactly(void **state)
{
    static const uint64_t edges[] = {2047,       2048,       2049,       65535,       65536,      65537, 131071,
                                     (1u << 21) - 1, 1u << 21, (1u << 21) + 1, (1u << 22) - 1, 5000000};

    (void)state;
    for (uint64_t granules = 1; granules <= 4200; granules++)
        for (uint64_t va = 0; va < 0x20000; va += 0x1000) {
            assert_true(take_apart(va, granules, 12) <= 4);
            assert_true(take_apart(va, granules, 16) <= 4 + 15);
        }
    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
        assert_true(take_apart(0x7000, edges[i], 12) <= 6);
    assert_int_equal(take_apart(0, 1, 12), 1);
    assert_int_equal(take_apart(0, 2, 12), 1);
    assert_int_equal(take_apart(0, 3, 12), 2);
    assert_int_equal(take_apart(0, 63, 12), 2);
    assert_int_equal(take_apart(0, 64, 12), 1);       /* the next scale takes over: 32 units of 2 are 1 of 64 */
    assert_int_equal(take_apart(0, 1u << 21, 12), 1); /* the most that one names */
}

/* ---- local ---- */

static void a_space(void **state)
{
    (void)state;
    ktlb_arch_flush_space();
    ASSERT_RECORDED("dsb_nsh aside1:3000000000000 dsb_nsh isb");
}

static void everything_here(void **state)
{
    (void)state;
    ktlb_arch_flush_machine();
    ASSERT_RECORDED("dsb_nsh tlbi_vmalle1 dsb_nsh isb");
}

static void single_pages(void **state)
{
    (void)state;
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x2000, 12, 0));
    ASSERT_RECORDED("dsb_nsh vale1:3000000000005 vale1:3000000000006 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x1000, 12, KTLB_TABLES));
    ASSERT_RECORDED("dsb_nsh vae1:3000000000005 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x1000, 12, KTLB_GLOBAL));
    ASSERT_RECORDED("dsb_nsh vaale1:5 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x1000, 12, KTLB_GLOBAL | KTLB_TABLES));
    ASSERT_RECORDED("dsb_nsh vaae1:5 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(UINT64_C(3) << 21, UINT64_C(2) << 21, 21, 0));
    ASSERT_RECORDED("dsb_nsh vale1:3000000000600 vale1:3000000000800 dsb_nsh isb");
}

static void ranges_where_they_exist(void **state)
{
    (void)state;
    ktlb_arch.range = true;
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x1000, 12, 0)); /* one page: by address all the same */
    ASSERT_RECORDED("dsb_nsh vale1:3000000000005 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(UINT64_C(3) << 30, UINT64_C(1) << 30, 30, 0)); /* and one block */
    ASSERT_RECORDED("dsb_nsh vale1:30000000c0000 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x3000, 12, 0));
    ASSERT_RECORDED("dsb_nsh rvale1:3400000000005 vale1:3000000000007 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0, 0x2000, 12, KTLB_TABLES));
    ASSERT_RECORDED("dsb_nsh rvae1:3400000000000 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(KERNEL, UINT64_C(2) << 21, 21, KTLB_GLOBAL));
    ASSERT_RECORDED("dsb_nsh rvaale1:579800000000 dsb_nsh isb"); /* 1024 granules: scale 1, 16 units */
    ktlb_arch_flush_range(ktlb_op_range(KERNEL, 0x2000, 12, KTLB_GLOBAL | KTLB_TABLES));
    ASSERT_RECORDED("dsb_nsh rvaae1:401800000000 dsb_nsh isb");
    ktlb_arch.base_64k = true;
    ktlb_arch_flush_range(ktlb_op_range(0xf000, 0x3000, 12, 0));
    ASSERT_RECORDED("dsb_nsh vale1:300000000000f rvale1:3400000000001 dsb_nsh isb");
}

static void beyond_the_limit_everything_goes(void **state)
{
    uint64_t most = KTLB_AARCH64_RANGE_MAX << 12;

    (void)state;
    ktlb_arch_flush_range(ktlb_op_range(0, (uint64_t)KTLB_FLUSH_MAX << 12, 12, 0));
    assert_null(strstr(recorded(), "vmalle1"));
    ktlb_arch_flush_range(ktlb_op_range(0, (KTLB_FLUSH_MAX + UINT64_C(1)) << 12, 12, 0));
    ASSERT_RECORDED("dsb_nsh tlbi_vmalle1 dsb_nsh isb");
    ktlb_arch.range = true;
    ktlb_arch_flush_range(ktlb_op_range(0, (KTLB_FLUSH_MAX + UINT64_C(1)) << 12, 12, 0));
    ASSERT_RECORDED("dsb_nsh rvale1:3478000000000 vale1:3000000000020 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0, most, 12, 0));
    ASSERT_RECORDED("dsb_nsh rvale1:37f8000000000 dsb_nsh isb");
    ktlb_arch_flush_range(ktlb_op_range(0, most + 0x1000, 12, 0));
    ASSERT_RECORDED("dsb_nsh tlbi_vmalle1 dsb_nsh isb");
}

static void a_fault_for_nothing(void **state)
{
    (void)state;
    ktlb_aarch64_drop_here(0x5123);
    ASSERT_RECORDED("dsb_nsh vale1:3000000000005 dsb_nsh isb");
}

/* ---- broadcast ---- */

static void broadcast_one(struct ktlb_op op, uint64_t asid)
{
    ktlb_arch_broadcast(NULL, &op, 1, asid);
    ktlb_arch_broadcast_wait(op.flags);
}

static void what_all_hear(void **state)
{
    struct ktlb_op two[2] = {ktlb_op_range(0x5000, 0x1000, 12, 0), ktlb_op_range(0x9000, 0x1000, 12, KTLB_TABLES)};

    (void)state;
    ktlb_arch_broadcast(NULL, two, 2, 0xabcd);
    ktlb_arch_broadcast_wait(two[0].flags | two[1].flags);
    ASSERT_RECORDED("dsb_ishst vale1is:abcd000000000005 vae1is:abcd000000000009 dsb_ish isb");
    broadcast_one(two[0], KTLB_AARCH64_EVERY_ASID);
    ASSERT_RECORDED("dsb_ishst vaale1is:5 dsb_ish isb");
    broadcast_one(two[1], KTLB_AARCH64_EVERY_ASID);
    ASSERT_RECORDED("dsb_ishst vaae1is:9 dsb_ish isb");
    broadcast_one(ktlb_op_all(0), 0xabcd);
    ASSERT_RECORDED("dsb_ishst aside1is:abcd000000000000 dsb_ish isb");
    broadcast_one(ktlb_op_all(0), KTLB_AARCH64_EVERY_ASID);
    ASSERT_RECORDED("dsb_ishst tlbi_vmalle1is dsb_ish isb");
    broadcast_one(ktlb_op_range(0, (KTLB_FLUSH_MAX + UINT64_C(1)) << 12, 12, 0), 5);
    ASSERT_RECORDED("dsb_ishst aside1is:5000000000000 dsb_ish isb");
    broadcast_one(ktlb_op_range(0, (KTLB_FLUSH_MAX + UINT64_C(1)) << 12, 12, KTLB_GLOBAL), 5);
    ASSERT_RECORDED("dsb_ishst tlbi_vmalle1is dsb_ish isb");
}

static void ranges_for_all(void **state)
{
    (void)state;
    ktlb_arch.range = true;
    broadcast_one(ktlb_op_range(0x5000, 0x2000, 12, 0), 1);
    ASSERT_RECORDED("dsb_ishst rvale1is:1400000000005 dsb_ish isb");
    broadcast_one(ktlb_op_range(0x5000, 0x2000, 12, KTLB_TABLES), 1);
    ASSERT_RECORDED("dsb_ishst rvae1is:1400000000005 dsb_ish isb");
    broadcast_one(ktlb_op_range(0x5000, 0x2000, 12, KTLB_TABLES), KTLB_AARCH64_EVERY_ASID);
    ASSERT_RECORDED("dsb_ishst rvaae1is:400000000005 dsb_ish isb");
    broadcast_one(ktlb_op_range(0x5000, 0x2000, 12, KTLB_GLOBAL), 1);
    ASSERT_RECORDED("dsb_ishst rvaale1is:400000000005 dsb_ish isb");
}

/* TRAPS 16 and 17: once more, after a DSB and before another; for broadcasts only. */
static void a_broadcast_twice(void **state)
{
    (void)state;
    ktlb_arch.repeat = true;
    broadcast_one(ktlb_op_range(0x5000, 0x1000, 12, 0), 1);
    ASSERT_RECORDED("dsb_ishst vale1is:1000000000005 dsb_ish vale1is:0 dsb_ish isb");
    ktlb_arch_flush_range(ktlb_op_range(0x5000, 0x1000, 12, 0));
    ASSERT_RECORDED("dsb_nsh vale1:3000000000005 dsb_nsh isb");
}

static void code_for_all(void **state)
{
    (void)state;
    broadcast_one(ktlb_op_range(0x5000, 0x1000, 12, KTLB_EXEC), 1);
    ASSERT_RECORDED("dsb_ishst vale1is:1000000000005 dsb_ish ic_ialluis dsb_ish isb");
    ktlb_arch_sync_code();
    ASSERT_RECORDED("dsb_ish ic_ialluis dsb_ish isb");
    ktlb_arch.fetch_sees = true;
    broadcast_one(ktlb_op_range(0x5000, 0x1000, 12, KTLB_EXEC), 1);
    ASSERT_RECORDED("dsb_ishst vale1is:1000000000005 dsb_ish isb");
    ktlb_arch_sync_code();
    ASSERT_RECORDED("dsb_ish isb");
}

/* Whoever sees the generation raised finds all instruction caches dropped; then come the library's own flushes. */
static void a_dispatch_of_code(void **state)
{
    (void)state;
    record_boot(6);
    ktlb_flush(&ktlb_kernel, ktlb_op_range(KERNEL, 0x1000, 12, KTLB_GLOBAL));
    ASSERT_RECORDED("dsb_nsh vaale1:ff800000000 dsb_nsh isb");
    ktlb_flush(&ktlb_kernel, ktlb_op_range(KERNEL, 0x1000, 12, KTLB_GLOBAL | KTLB_EXEC));
    ASSERT_RECORDED("dsb_ish ic_ialluis dsb_ish isb dsb_nsh vaale1:ff800000000 dsb_nsh isb");
    ktlb_flush(&ktlb_kernel, ktlb_op_all(KTLB_EXEC));
    ASSERT_RECORDED("dsb_ish ic_ialluis dsb_ish isb dsb_nsh tlbi_vmalle1 dsb_nsh isb");
}

/* ---- the protocol hardware ---- */

static struct ktlb_space space;
static struct ktlb_batch batch;

/* Two CPUs in a space, which has the first tag; one page of it, asked for by the first CPU. */
static void dispatch_to_two(void)
{
    record_boot_with("hardware", 2, 6);
    ktlb_space_init(&space);
    for (record_cpu = 2; record_cpu-- > 0;) {
        assert_int_equal(ktlb_switch_begin(&space).asid, 1);
        ASSERT_RECORDED("dsb_ish");
        ktlb_switch_end();
    }
    record_cpu = 0;
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_range(0x5000, 0x1000, 12, 0));
    ktlb_batch_dispatch(&batch);
}

static void nobody_is_interrupted(void **state)
{
    (void)state;
    dispatch_to_two();
    ASSERT_RECORDED("dsb_ishst vale1is:1000000000005");
    assert_null(ktlb_batch_sync(&batch));
    ASSERT_RECORDED("dsb_ish isb");
}

/* The other CPU's DSB, and that of the first is no less needed. */
static void unless_an_erratum_asks_for_it(void **state)
{
    (void)state;
    ktlb_arch.interrupt = true;
    dispatch_to_two();
    ASSERT_RECORDED("dsb_ishst vale1is:1000000000005 interrupt:2");
    assert_false(ktlb_batch_done(&batch));
    record_cpu = 1;
    ktlb_ipi();
    ASSERT_RECORDED("dsb_nsh vale1:1000000000005 dsb_nsh isb");
    record_cpu = 0;
    assert_true(ktlb_batch_done(&batch));
    ASSERT_RECORDED("dsb_ish isb");
    assert_null(ktlb_batch_sync(&batch));
    ASSERT_RECORDED("");
}

static unsigned times(const char *text, const char *word)
{
    unsigned count = 0;

    while ((text = strstr(text, word))) {
        text += strlen(word);
        count++;
    }
    return count;
}

/* Without its details it would be everything, for what the other CPU holds may be under any tag. */
static void and_whatever_it_is_is_told_as_it_is(void **state)
{
    static struct ktlb_batch several[3];
    const char *text;

    (void)state;
    ktlb_arch.interrupt = true;
    dispatch_to_two();
    for (unsigned i = 0; i < 3; i++) {
        ktlb_batch_init(&several[i], &space);
        for (unsigned op = 0; op < 2; op++)
            ktlb_batch_add(&several[i], ktlb_op_range((i * 2 + op) * 0x100000, (KTLB_FLUSH_MAX / 3) << 12, 12, 0));
        ktlb_batch_dispatch(&several[i]);
    }
    recorded();
    record_cpu = 1;
    ktlb_ipi();
    text = recorded();
    assert_int_equal(times(text, "vale1:"), 1 + 6 * (KTLB_FLUSH_MAX / 3));
    assert_null(strstr(text, "vmalle1"));
    record_cpu = 0;
    for (unsigned i = 0; i < 3; i++)
        assert_null(ktlb_batch_sync(&several[i]));
    assert_null(ktlb_batch_sync(&batch));
    ktlb_batch_init(&batch, &space);
    ktlb_batch_add(&batch, ktlb_op_all(0));
    ktlb_batch_dispatch(&batch);
    recorded();
    record_cpu = 1;
    ktlb_ipi();
    ASSERT_RECORDED("dsb_nsh aside1:1000000000000 dsb_nsh isb");
    record_cpu = 0;
    assert_null(ktlb_batch_sync(&batch));
}

/* ---- other CPUs, told ---- */

/* What an op says beside its address arrives with it. */
static void a_target_is_told_of_tables(void **state)
{
    (void)state;
    record_boot_with("doorbell", 2, 6);
    ktlb_space_init(&space);
    for (record_cpu = 2; record_cpu-- > 0;) {
        ktlb_switch_begin(&space);
        ktlb_switch_end();
    }
    for (unsigned i = 0; i < 2; i++) {
        record_cpu = 0;
        ktlb_batch_init(&batch, &space);
        ktlb_batch_add(&batch, ktlb_op_range(0x5000, 0x1000, 12, i ? KTLB_TABLES : 0));
        ktlb_batch_dispatch(&batch);
        recorded();
        record_cpu = 1;
        ktlb_ipi();
        ASSERT_RECORDED(i ? "dsb_nsh vae1:3000000000005 dsb_nsh isb" : "dsb_nsh vale1:3000000000005 dsb_nsh isb");
        record_cpu = 0;
        assert_null(ktlb_batch_sync(&batch));
    }
}

/* ---- set-up and hosts ---- */

static void what_the_machine_says(void **state)
{
    (void)state;
    ktlb_arch.repeat = ktlb_arch.fault_drops = true; /* the host's to say: kept */
    ktlb_arch_init();
    assert_false(ktlb_arch.range || ktlb_arch.base_64k || ktlb_arch.fetch_sees);
    assert_true(ktlb_arch.repeat && ktlb_arch.fault_drops);
    fake_isar0 = UINT64_C(1) << 56; /* outer shareable forms only */
    ktlb_arch_init();
    assert_false(ktlb_arch.range);
    fake_isar0 = UINT64_C(2) << 56;
    fake_tcr = UINT64_C(1) << 59;
    fake_ctr = 1 << 29;
    ktlb_arch_init();
    assert_true(ktlb_arch.range && ktlb_arch.base_64k && ktlb_arch.fetch_sees);
    assert_true(ktlb_arch_can_tag(8));
    fake_tcr = 1 << 22; /* the ASID is TTBR1's */
    assert_false(ktlb_arch_can_tag(8));
    assert_true(ktlb_arch_can_tag(0));
}

static void loading_a_root(void **state)
{
    (void)state;
    ktlb_aarch64_load_root(0x40005000, (struct ktlb_load){9, false});
    ASSERT_RECORDED("ttbr0:9000040005000 isb");
    ktlb_aarch64_load_root(0x40005000, (struct ktlb_load){9, true});
    ASSERT_RECORDED("dsb_nsh ttbr0:9000040005000 isb dsb_nsh aside1:9000000000000 dsb_nsh isb");
    ktlb_aarch64_load_root(0x40005000, (struct ktlb_load){0, true});
    ASSERT_RECORDED("dsb_nsh aside1:0 dsb_nsh isb ttbr0:40005000 isb");
    ktlb_aarch64_fence_sgi();
    ASSERT_RECORDED("dsb_ishst");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_address_stays_in_its_field, start),
        cmocka_unit_test_setup(the_fields_of_a_range, start),
        cmocka_unit_test_setup(a_run_is_covered_exactly, start),
        cmocka_unit_test_setup(a_space, start),
        cmocka_unit_test_setup(everything_here, start),
        cmocka_unit_test_setup(single_pages, start),
        cmocka_unit_test_setup(ranges_where_they_exist, start),
        cmocka_unit_test_setup(beyond_the_limit_everything_goes, start),
        cmocka_unit_test_setup(a_fault_for_nothing, start),
        cmocka_unit_test_setup(what_all_hear, start),
        cmocka_unit_test_setup(ranges_for_all, start),
        cmocka_unit_test_setup(a_broadcast_twice, start),
        cmocka_unit_test_setup(code_for_all, start),
        cmocka_unit_test_setup(a_dispatch_of_code, start),
        cmocka_unit_test_setup(nobody_is_interrupted, start),
        cmocka_unit_test_setup(unless_an_erratum_asks_for_it, start),
        cmocka_unit_test_setup(and_whatever_it_is_is_told_as_it_is, start),
        cmocka_unit_test_setup(a_target_is_told_of_tables, start),
        cmocka_unit_test_setup(what_the_machine_says, start),
        cmocka_unit_test_setup(loading_a_root, start),
    };

    return cmocka_run_group_tests_name("aarch64", tests, NULL, NULL);
}
