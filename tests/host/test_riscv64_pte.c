/*
 * test_riscv64_pte.c - goal: on riscv64 a batch hears of an entry whenever what a hart may have read of the old one
 * lets a program do what the new one does not, or keeps it from what that one allows; and seldom otherwise.
 *
 * The expectation comes from a model that knows nothing of the rules in riscv64_pte.h: it asks which accesses succeed
 * by an entry under every setting of SUM, MXR and shadow stacks, and compares old with new. All combinations of bits
 * are tried, old against new, in the last level and above it, with Svvptc and without, and with a fault handler that
 * fences and without.
 */
#include "ktlb/arch/riscv64.h"
#include "record.h"

uint64_t fake_satp, fake_satp_bits, fake_time;

#define BIT(n) (UINT64_C(1) << (n))
#define VALID BIT(0)
#define READ BIT(1)
#define WRITE BIT(2)
#define EXECUTE BIT(3)
#define RIGHTS (READ | WRITE | EXECUTE)
#define USER BIT(4)
#define GLOBAL BIT(5)
#define ACCESSED BIT(6)
#define DIRTY BIT(7)
#define SOFTWARE BIT(8)
#define FRAME BIT(30)
#define TYPE BIT(61) /* of PBMT */
#define NAPOT BIT(63)

static int start(void **state)
{
    (void)state;
    ktlb_arch = (struct ktlb_arch){0};
    return 0;
}

/* ---- the model ---- */

enum kind { LOAD, STORE, FETCH, SHADOW };

static bool is_table(uint64_t pte, unsigned shift)
{
    return (pte & VALID) && !(pte & RIGHTS) && shift > 12;
}

/* By an entry as a hart holds it, without another look at the table. */
static bool allowed(uint64_t pte, enum kind kind, bool user, bool sum, bool mxr)
{
    bool shadow_stack = (pte & RIGHTS) == WRITE;

    if (!(pte & VALID) || !(pte & ACCESSED))
        return false;
    if (user && !(pte & USER))
        return false;
    if (!user && (pte & USER) && (kind == FETCH || !sum))
        return false;
    switch (kind) {
    case LOAD:
        return (pte & READ) || (mxr && (pte & EXECUTE)) || shadow_stack;
    case STORE:
        return (pte & READ) && (pte & WRITE) && (pte & DIRTY);
    case FETCH:
        return pte & EXECUTE;
    case SHADOW:
        return shadow_stack && (pte & DIRTY);
    }
    return false;
}

static uint32_t rights_of(uint64_t pte)
{
    uint32_t can = 0;

    for (unsigned i = 0; i < 32; i++)
        if (allowed(pte, (enum kind)(i & 3), i >> 2 & 1, i >> 3 & 1, i >> 4))
            can |= 1u << i;
    return can;
}

static bool is_code(uint64_t pte)
{
    return (pte & VALID) && (pte & EXECUTE);
}

struct expectation {
    bool must, may, must_code, may_code, tables;
};

static struct expectation expect(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t changed = old_pte ^ new_pte, lost = old_pte & ~new_pte;
    uint32_t old_can = rights_of(old_pte), new_can = rights_of(new_pte);
    bool stays_away = !ktlb_arch.fault_drops && ((old_pte & VALID) || !ktlb_arch.svvptc);
    struct expectation e = {0};

    if (is_table(old_pte, shift)) {
        e.tables = true;
        e.must_code = e.may_code = !is_table(new_pte, shift) || (changed & FRAME);
        e.must = e.may = e.must_code || (changed & ~SOFTWARE);
    } else if (is_table(new_pte, shift)) {
        e.tables = true;
        e.must = e.may = old_can || stays_away;
        e.must_code = is_code(old_pte) && old_can;
        e.may_code = old_can;
    } else {
        e.must_code = is_code(new_pte) && (!is_code(old_pte) || (changed & FRAME) || (lost & WRITE));
        if (is_code(old_pte) && old_can && !((new_pte & VALID) && (new_pte & RIGHTS)))
            e.must_code = true;
        e.may_code = e.must_code;
        e.must = e.must_code || (old_can & ~new_can) || (stays_away && (new_can & ~old_can)) ||
                 (old_can && (changed & (FRAME | TYPE | NAPOT | GLOBAL))) ||
                 (old_can && (lost & DIRTY) && (old_pte & WRITE));
        /* Rights that other bits made worthless, lost or gained. */
        e.may = e.must || (old_can && (lost & (RIGHTS | DIRTY | ACCESSED))) ||
                (old_can && (old_pte & WRITE) && (changed & READ)) || (old_can && (changed & USER)) ||
                (stays_away && new_can && (new_pte & ~old_pte & (RIGHTS | DIRTY | ACCESSED))) ||
                (old_pte & VALID && (old_pte & RIGHTS) && (old_pte & ACCESSED) && !old_can);
    }
    return e;
}

static void compare(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    struct expectation e = expect(old_pte, new_pte, shift);
    unsigned duty = ktlb_arch_pte_obliges(old_pte, new_pte, shift);
    bool global = (old_pte & VALID ? old_pte : new_pte) & GLOBAL;

    if ((e.must && !(duty & KTLB_PTE_RANGE)) || (e.must_code && !(duty & KTLB_EXEC)))
        fail_msg("shift %u: %llx -> %llx: %x leaves something with a hart", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte, duty);
    if ((!e.may && duty) || (!e.may_code && (duty & KTLB_EXEC)))
        fail_msg("shift %u: %llx -> %llx: %x is more than is needed", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte, duty);
    if (duty && (!!(duty & KTLB_TABLES) != e.tables || !!(duty & KTLB_GLOBAL) != (global && !e.tables) ||
                 !(duty & KTLB_PTE_RANGE)))
        fail_msg("shift %u: %llx -> %llx: %x", shift, (unsigned long long)old_pte, (unsigned long long)new_pte, duty);
}

static const uint64_t more[] = {0, FRAME, TYPE, NAPOT, SOFTWARE};

static void every_combination(void **state)
{
    static const unsigned shifts[] = {12, 21};

    (void)state;
    for (unsigned what = 0; what < 8; what++) {
        ktlb_arch.svvptc = what & 1;
        ktlb_arch.fault_drops = what & 2;
        for (uint64_t i = 0; i < 256; i++)
            for (uint64_t j = 0; j < 256; j++)
                for (unsigned m = 0; m < 5; m++) {
                    compare(i | more[m], j, shifts[what >> 2]);
                    compare(i | more[m], j | more[m], shifts[what >> 2]);
                    compare(i, j | more[m], shifts[what >> 2]);
                }
    }
}

/* ---- each rule by name, for the reader ---- */

#define PAGE_OF_USER (VALID | READ | USER | ACCESSED)
#define PAGE_TO_WRITE (PAGE_OF_USER | WRITE | DIRTY)
#define CODE_OF_USER (PAGE_OF_USER | EXECUTE)

static unsigned duty(uint64_t old_pte, uint64_t new_pte)
{
    return ktlb_arch_pte_obliges(old_pte, new_pte, 12);
}

static void what_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(duty(0, FRAME), 0);
    assert_int_equal(duty(PAGE_OF_USER & ~ACCESSED, 0), 0);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER | SOFTWARE), 0);
    ktlb_arch.svvptc = true;
    assert_int_equal(duty(0, PAGE_TO_WRITE), 0);
    ktlb_arch.svvptc = false;
    ktlb_arch.fault_drops = true;
    assert_int_equal(duty(0, PAGE_TO_WRITE), 0);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_TO_WRITE), 0); /* copy on write, alone by now */
}

static void what_is_invalidated(void **state)
{
    (void)state;
    assert_int_equal(duty(0, PAGE_TO_WRITE), KTLB_PTE_RANGE); /* that it was not valid may be cached */
    assert_int_equal(duty(PAGE_OF_USER, PAGE_TO_WRITE), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_TO_WRITE, PAGE_OF_USER), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, 0), KTLB_PTE_RANGE);
    assert_int_equal(duty(CODE_OF_USER, 0), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_TO_WRITE, CODE_OF_USER), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_OF_USER | GLOBAL, 0), KTLB_PTE_RANGE | KTLB_GLOBAL);
    assert_int_equal(duty(0, PAGE_OF_USER | GLOBAL), KTLB_PTE_RANGE | KTLB_GLOBAL);
    assert_int_equal(ktlb_arch_pte_obliges(VALID, 0, 21), KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC);
    assert_int_equal(ktlb_arch_pte_obliges(0, VALID, 21), KTLB_PTE_RANGE | KTLB_TABLES);
    assert_int_equal(ktlb_arch_pte_obliges(PAGE_OF_USER, VALID, 21), KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC);
    ktlb_arch.svvptc = ktlb_arch.fault_drops = true;
    assert_int_equal(ktlb_arch_pte_obliges(0, VALID, 21), 0);
    assert_int_equal(duty(0, CODE_OF_USER), KTLB_PTE_RANGE | KTLB_EXEC); /* for the instruction caches */
}

static void every_bit_of_the_address_counts(void **state)
{
    (void)state;
    for (unsigned bit = 10; bit < 54; bit++) {
        assert_true(duty(PAGE_OF_USER, PAGE_OF_USER | BIT(bit)));
        assert_true(ktlb_arch_pte_obliges(VALID, VALID | BIT(bit), 21) & KTLB_TABLES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_combination, start),
        cmocka_unit_test_setup(what_costs_nothing, start),
        cmocka_unit_test_setup(what_is_invalidated, start),
        cmocka_unit_test_setup(every_bit_of_the_address_counts, start),
    };

    return cmocka_run_group_tests_name("riscv64_pte", tests, NULL, NULL);
}
