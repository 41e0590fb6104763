/*
 * test_op.c - goal: an op says exactly what was asked, and a join never covers less than its parts.
 */
#include "fake.h"

#define PAGE UINT64_C(4096)

static void range_counts_strides(void **state)
{
    struct ktlb_op op = ktlb_op_range(3 * PAGE, 5 * PAGE, 12, KTLB_TABLES);

    (void)state;
    assert_int_equal(op.va, 3 * PAGE);
    assert_int_equal(op.count, 5);
    assert_int_equal(op.shift, 12);
    assert_int_equal(op.flags, KTLB_TABLES);
    op = ktlb_op_range(UINT64_C(4) << 21, UINT64_C(2) << 21, 21, 0);
    assert_int_equal(op.count, 2);
}

static void range_may_end_where_the_address_space_does(void **state)
{
    struct ktlb_op op = ktlb_op_range(-2 * PAGE, 2 * PAGE, 12, 0);

    (void)state;
    assert_int_equal(op.count, 2);
    op = ktlb_op_join(op, ktlb_op_range(-4 * PAGE, PAGE, 12, 0), 100);
    assert_int_equal(op.va, -4 * PAGE);
    assert_int_equal(op.count, 4);
}

static void range_too_long_for_a_count_is_the_space(void **state)
{
    (void)state;
    assert_int_equal(ktlb_op_range(0, UINT64_C(0xffffffff) << 12, 12, KTLB_EXEC).count, KTLB_ALL);
    assert_int_equal(ktlb_op_range(0, UINT64_C(0xfffffffe) << 12, 12, 0).count, KTLB_ALL - 1);
    assert_int_equal(ktlb_op_range(0, UINT64_C(1) << 63, 12, KTLB_EXEC).flags, KTLB_EXEC);
}

static void join_is_the_hull_up_to_the_limit(void **state)
{
    struct ktlb_op a = ktlb_op_range(0, PAGE, 12, KTLB_EXEC), b = ktlb_op_range(15 * PAGE, PAGE, 12, KTLB_TABLES);
    struct ktlb_op joined = ktlb_op_join(a, b, 16);

    (void)state;
    assert_int_equal(joined.va, 0);
    assert_int_equal(joined.count, 16);
    assert_int_equal(joined.flags, KTLB_EXEC | KTLB_TABLES);
    joined = ktlb_op_join(a, b, 15);
    assert_int_equal(joined.count, KTLB_ALL);
    assert_int_equal(joined.flags, KTLB_EXEC | KTLB_TABLES);
}

static void join_of_two_sizes_counts_the_smaller(void **state)
{
    struct ktlb_op joined =
        ktlb_op_join(ktlb_op_range(0, UINT64_C(1) << 21, 21, 0), ktlb_op_range(UINT64_C(1) << 21, PAGE, 12, 0), 1000);

    (void)state;
    assert_int_equal(joined.shift, 12);
    assert_int_equal(joined.count, 513);
}

static void join_with_nothing_keeps_the_flags(void **state)
{
    struct ktlb_op nothing = {.flags = KTLB_EXEC, .shift = 12}, op = ktlb_op_range(PAGE, PAGE, 12, 0);

    (void)state;
    assert_int_equal(ktlb_op_join(nothing, op, 16).count, 1);
    assert_int_equal(ktlb_op_join(nothing, op, 16).va, PAGE);
    assert_int_equal(ktlb_op_join(op, nothing, 16).flags, KTLB_EXEC);
    assert_int_equal(ktlb_op_join(nothing, nothing, 16).count, 0);
    assert_int_equal(ktlb_op_join(nothing, ktlb_op_all(KTLB_TABLES), 16).count, KTLB_ALL);
    assert_int_equal(ktlb_op_join(nothing, ktlb_op_all(KTLB_TABLES), 16).flags, KTLB_EXEC | KTLB_TABLES);
}

static void join_is_global_only_if_both_are(void **state)
{
    struct ktlb_op global = ktlb_op_range(0, PAGE, 12, KTLB_GLOBAL), not = ktlb_op_range(PAGE, PAGE, 12, KTLB_EXEC);

    (void)state;
    assert_int_equal(ktlb_op_join(global, not, 16).flags, KTLB_EXEC);
    assert_int_equal(ktlb_op_join(global, global, 16).flags, KTLB_GLOBAL);
    assert_int_equal(ktlb_op_join(global, ktlb_op_all(0), 16).flags, 0);
}

/* A hull of 2^32 - 1 strides must not pass for a count. */
static void join_of_two_halves_is_the_space(void **state)
{
    struct ktlb_op a = {.va = 0, .count = UINT32_C(1) << 31, .shift = 12};
    struct ktlb_op b = {.va = (UINT64_C(1) << 43) - PAGE, .count = UINT32_C(1) << 31, .shift = 12};

    (void)state;
    assert_int_equal(ktlb_op_join(a, b, KTLB_ALL).count, KTLB_ALL);
    assert_int_equal(ktlb_op_join(a, b, KTLB_ALL).va, 0);
}

static bool covered(struct ktlb_op op, uint64_t page)
{
    uint64_t first = op.va / PAGE, count = (uint64_t)op.count << (op.shift - 12);

    return op.count == KTLB_ALL || (page >= first && page - first < count);
}

/* Every pair of small ranges in two strides, every limit: nothing covered before is uncovered after. */
static void join_never_covers_less(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1 << 14; i++) {
        unsigned big = i & 1, wide = i >> 1 & 1;
        struct ktlb_op a = {.va = (uint64_t)(i >> 2 & 7) << (big ? 14 : 12), .count = i >> 5 & 3, .shift = big ? 14 : 12};
        struct ktlb_op b = {.va = (uint64_t)(i >> 7 & 7) << (wide ? 14 : 12), .count = i >> 10 & 3,
                            .shift = wide ? 14 : 12};
        struct ktlb_op joined = ktlb_op_join(a, b, (i >> 12) * 7 + 1);

        for (uint64_t page = 0; page < 80; page++)
            if ((a.count && covered(a, page)) || (b.count && covered(b, page)))
                assert_true(covered(joined, page));
        assert_true(joined.count == KTLB_ALL || joined.count <= (i >> 12) * 7 + 1 || !a.count || !b.count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_counts_strides),
        cmocka_unit_test(range_may_end_where_the_address_space_does),
        cmocka_unit_test(range_too_long_for_a_count_is_the_space),
        cmocka_unit_test(join_is_the_hull_up_to_the_limit),
        cmocka_unit_test(join_of_two_sizes_counts_the_smaller),
        cmocka_unit_test(join_with_nothing_keeps_the_flags),
        cmocka_unit_test(join_is_global_only_if_both_are),
        cmocka_unit_test(join_of_two_halves_is_the_space),
        cmocka_unit_test(join_never_covers_less),
    };

    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
