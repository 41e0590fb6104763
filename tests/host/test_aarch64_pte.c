/*
 * test_aarch64_pte.c - goal: on aarch64 an entry is invalidated whenever what a TLB may hold of it lets a program do
 * what the entry in its place does not, or keeps it from what that one allows; and seldom otherwise.
 *
 * The expectation comes from a model that knows nothing of the rules in aarch64_pte.h: it asks which accesses succeed
 * by an entry under every setting of PAN, EPAN, WXN and hardware dirty state, and compares old with new. All
 * combinations of bits are tried, old against new, as page, as block and as table.
 */
#include "ktlb/arch/aarch64.h"
#include "record.h"

uint64_t fake_ttbr0, fake_tcr, fake_isar0, fake_ctr, fake_cntvct;

#define BIT(n) (UINT64_C(1) << (n))
#define VALID BIT(0)
#define TABLE BIT(1)
#define TYPE BIT(3) /* of AttrIndx */
#define USER BIT(6)
#define READ_ONLY BIT(7)
#define SHARE BIT(9)
#define ACCESSED BIT(10)
#define NOT_GLOBAL BIT(11)
#define FRAME BIT(40)
#define GUARDED BIT(50)
#define DBM BIT(51)
#define CONTIGUOUS BIT(52)
#define PXN BIT(53)
#define UXN BIT(54)
#define SOFTWARE BIT(56)
#define HIGH BIT(61) /* of a table: APTable[0]; of a page: for the hardware's own use */

static const uint64_t bits[] = {VALID, TABLE, USER, READ_ONLY, ACCESSED, NOT_GLOBAL, DBM, PXN, UXN};
#define BITS (sizeof(bits) / sizeof(bits[0]))
#define COMBINATIONS (1u << BITS)

static uint64_t combination(unsigned number)
{
    uint64_t pte = 0;

    for (unsigned i = 0; i < BITS; i++)
        pte |= number >> i & 1 ? bits[i] : 0;
    return pte;
}

static int start(void **state)
{
    (void)state;
    ktlb_arch = (struct ktlb_arch){0};
    return 0;
}

/* ---- the model ---- */

enum kind { READ, STORE, FETCH };
enum use { NOTHING, PAGE, SUBTABLE };

static enum use use_of(uint64_t pte, unsigned shift)
{
    if (!(pte & VALID))
        return NOTHING;
    if (shift == 12)
        return pte & TABLE ? PAGE : NOTHING;
    return pte & TABLE ? SUBTABLE : PAGE;
}

static bool allowed(uint64_t pte, enum kind kind, bool user, bool pan, bool epan, bool wxn, bool dirty_state)
{
    bool store = !(pte & READ_ONLY) || (dirty_state && (pte & DBM));
    bool users_data = pte & USER, users_code = !(pte & UXN);

    if (kind == FETCH && user)
        return users_code && !(wxn && users_data && store);
    if (kind == FETCH)
        return !(pte & PXN) && !(users_data && store) && !(wxn && store);
    if (user && !users_data)
        return false;
    if (!user && pan && (users_data || (epan && users_code)))
        return false;
    return kind == READ || store;
}

struct rights {
    uint64_t can[2];
};

static struct rights rights_of(uint64_t pte)
{
    struct rights rights = {{0, 0}};

    for (unsigned i = 0; i < 96; i++)
        if (allowed(pte, (enum kind)(i % 3), i / 3 & 1, i / 6 & 1, i / 12 & 1, i / 24 & 1, i / 48))
            rights.can[i / 64] |= BIT(i % 64);
    return rights;
}

static bool can_more(struct rights a, struct rights b)
{
    return (a.can[0] & ~b.can[0]) || (a.can[1] & ~b.can[1]);
}

static bool fetches_more(struct rights a, struct rights b)
{
    for (unsigned i = FETCH; i < 96; i += 3)
        if (a.can[i / 64] & ~b.can[i / 64] & BIT(i % 64))
            return true;
    return false;
}

/* Can the kernel, whom nothing else keeps from it, store by @a and not by @b? */
static bool stores_more(uint64_t a, uint64_t b)
{
    for (unsigned dirty_state = 0; dirty_state < 2; dirty_state++)
        if (allowed(a, STORE, false, false, false, false, dirty_state) &&
            !allowed(b, STORE, false, false, false, false, dirty_state))
            return true;
    return false;
}

static bool any_fetch(uint64_t pte)
{
    return !(pte & PXN) || !(pte & UXN);
}

/* What is expected: must, may, must not; of invalidating at all and of instruction caches. */
struct expectation {
    bool must, may, must_code, may_code;
};

static struct expectation of_table(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    uint64_t changed = old_pte ^ new_pte;
    bool elsewhere = use_of(new_pte, shift) != SUBTABLE || (changed & (FRAME | SHARE));
    bool must = elsewhere || (changed & HIGH) || (old_pte & ~new_pte & ACCESSED);

    return (struct expectation){must, must, elsewhere, elsewhere};
}

static struct expectation of_page(uint64_t old_pte, uint64_t new_pte, unsigned shift, struct rights old_can,
                                  struct rights new_can, bool fault_drops)
{
    uint64_t memory = FRAME | SHARE | TYPE | GUARDED | CONTIGUOUS | HIGH, changed = old_pte ^ new_pte;
    struct expectation e = {0};

    if (!(old_pte & ACCESSED))
        return e;
    if (use_of(new_pte, shift) != PAGE)
        return (struct expectation){true, true, any_fetch(old_pte), any_fetch(old_pte)};
    if (fetches_more(new_can, old_can)) /* executable now, and was not */
        e.must_code = true;
    if (any_fetch(new_pte) && ((changed & (FRAME | SHARE)) || stores_more(old_pte, new_pte)))
        e.must_code = true;
    e.may_code = any_fetch(new_pte) && (e.must_code || (old_pte & ~new_pte & (PXN | UXN | USER)));
    e.must = e.must_code || (changed & (memory | NOT_GLOBAL)) || can_more(old_can, new_can) ||
             (old_pte & ~new_pte & ACCESSED) || (!fault_drops && can_more(new_can, old_can));
    /* PXN may be implied already by what else the entry says; WXN may hold for users where only the kernel can write.
     * */
    e.may = e.must || e.may_code || (changed & PXN) || (any_fetch(old_pte) && stores_more(new_pte, old_pte));
    return e;
}

/* What one entry may leave in a TLB or a walk cache, as far as another of the same place would contradict it there. */
struct held {
    bool any, table, for_all, contiguous;
    uint64_t leads_to, memory;
};

static struct held held_of(uint64_t pte, unsigned shift)
{
    enum use use = use_of(pte, shift);

    if (use == SUBTABLE)
        return (struct held){.any = true, .table = true, .leads_to = pte & (FRAME | SHARE)};
    return (struct held){.any = use == PAGE, .for_all = !(pte & NOT_GLOBAL), .contiguous = pte & CONTIGUOUS,
                         .leads_to = pte & FRAME, .memory = pte & (TYPE | SHARE)};
}

/* The manual's list: another size, another address, another memory type, global where it was one ASID's. */
static bool contradict(uint64_t old_pte, uint64_t new_pte, unsigned shift, bool any_size)
{
    struct held a = held_of(old_pte, shift), b = held_of(new_pte, shift);

    if (!a.any || !b.any || (!a.table && !(old_pte & ACCESSED)))
        return false;
    if (a.table != b.table || (a.contiguous != b.contiguous && a.leads_to == b.leads_to && a.memory == b.memory &&
                               a.for_all >= b.for_all))
        return !any_size;
    return a.leads_to != b.leads_to || a.memory != b.memory || b.for_all > a.for_all;
}

static void compare_breaks(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    for (unsigned any_size = 0; any_size < 2; any_size++) {
        bool expected = contradict(old_pte, new_pte, shift, any_size);

        ktlb_arch.any_size = any_size;
        if (ktlb_arch_pte_needs_break(old_pte, new_pte, shift) != expected)
            fail_msg("shift %u, any size %u: %llx -> %llx: to be broken is %d", shift, any_size,
                     (unsigned long long)old_pte, (unsigned long long)new_pte, !expected);
    }
}

static void compare(uint64_t old_pte, uint64_t new_pte, unsigned shift, struct rights old_can, struct rights new_can)
{
    enum use was = use_of(old_pte, shift);
    unsigned duty = ktlb_arch_pte_obliges(old_pte, new_pte, shift);
    struct expectation e = {0};

    if (was == SUBTABLE)
        e = of_table(old_pte, new_pte, shift);
    else if (was == PAGE)
        e = of_page(old_pte, new_pte, shift, old_can, new_can, ktlb_arch.fault_drops);
    if ((e.must && !(duty & KTLB_PTE_RANGE)) || (e.must_code && !(duty & KTLB_EXEC)))
        fail_msg("shift %u: %llx -> %llx: %x leaves something cached", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte, duty);
    if ((!e.may && duty) || (!e.may_code && (duty & KTLB_EXEC)))
        fail_msg("shift %u: %llx -> %llx: %x is more than is needed", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte, duty);
    if (duty && (!!(duty & KTLB_TABLES) != (was == SUBTABLE) ||
                 !!(duty & KTLB_GLOBAL) != (was == PAGE && !(old_pte & NOT_GLOBAL)) || !(duty & KTLB_PTE_RANGE)))
        fail_msg("shift %u: %llx -> %llx: %x", shift, (unsigned long long)old_pte, (unsigned long long)new_pte, duty);
    compare_breaks(old_pte, new_pte, shift);
    if (ktlb_aarch64_pte_needs_break(old_pte, new_pte, shift, false) && !duty)
        fail_msg("shift %u: %llx -> %llx wants a break, and is not invalidated", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte);
}

static const uint64_t more[] = {0, FRAME, TYPE, SHARE, GUARDED, CONTIGUOUS, SOFTWARE, HIGH};
#define MORE (sizeof(more) / sizeof(more[0]))

static void every_combination(void)
{
    static const unsigned shifts[] = {12, 21};
    static struct rights can[COMBINATIONS];

    for (unsigned i = 0; i < COMBINATIONS; i++)
        can[i] = rights_of(combination(i));
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < COMBINATIONS; i++)
            for (unsigned j = 0; j < COMBINATIONS; j++)
                for (unsigned m = 0; m < MORE; m++) {
                    compare(combination(i) | more[m], combination(j), shifts[s], can[i], can[j]);
                    compare(combination(i) | more[m], combination(j) | more[m], shifts[s], can[i], can[j]);
                    compare(combination(i), combination(j) | more[m], shifts[s], can[i], can[j]);
                }
}

static void no_entry_stays_that_would_be_noticed(void **state)
{
    (void)state;
    every_combination();
}

static void nor_where_faults_drop_entries(void **state)
{
    (void)state;
    ktlb_arch.fault_drops = true;
    every_combination();
}

/* ---- each rule by name, for the reader ---- */

#define PAGE_OF_USER (VALID | TABLE | USER | READ_ONLY | ACCESSED | NOT_GLOBAL | PXN | UXN)
#define PAGE_TO_WRITE (PAGE_OF_USER & ~READ_ONLY)
#define CODE_OF_USER (PAGE_OF_USER & ~UXN)
#define BLOCK(page) ((page) & ~TABLE)

static unsigned duty(uint64_t old_pte, uint64_t new_pte)
{
    return ktlb_arch_pte_obliges(old_pte, new_pte, 12);
}

static void what_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(duty(0, PAGE_TO_WRITE), 0);
    assert_int_equal(duty(FRAME, 0), 0);                      /* swapped out */
    assert_int_equal(duty(BLOCK(PAGE_OF_USER), 0), 0);        /* in the last level: not valid */
    assert_int_equal(duty(PAGE_OF_USER & ~ACCESSED, 0), 0);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER | SOFTWARE), 0);
    assert_int_equal(duty(PAGE_TO_WRITE, PAGE_TO_WRITE | DBM), 0);
    ktlb_arch.fault_drops = true;
    assert_int_equal(duty(PAGE_OF_USER, PAGE_TO_WRITE), 0); /* copy on write, alone by now */
}

static void what_is_invalidated(void **state)
{
    (void)state;
    assert_int_equal(duty(PAGE_OF_USER, 0), KTLB_PTE_RANGE);
    assert_int_equal(duty(CODE_OF_USER, 0), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_TO_WRITE, PAGE_OF_USER), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_TO_WRITE), KTLB_PTE_RANGE); /* its fault would drop nothing */
    assert_int_equal(duty(PAGE_TO_WRITE | DBM, PAGE_OF_USER | DBM), KTLB_PTE_RANGE);  /* clean again */
    assert_int_equal(duty(PAGE_OF_USER | DBM, PAGE_OF_USER), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER & ~ACCESSED), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, CODE_OF_USER), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_TO_WRITE, CODE_OF_USER), KTLB_PTE_RANGE | KTLB_EXEC); /* what was written is run */
    assert_int_equal(duty(PAGE_OF_USER & ~NOT_GLOBAL, 0), KTLB_PTE_RANGE | KTLB_GLOBAL);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER & ~NOT_GLOBAL), KTLB_PTE_RANGE);
    assert_int_equal(ktlb_arch_pte_obliges(VALID | TABLE, 0, 21), KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC);
    assert_int_equal(ktlb_arch_pte_obliges(VALID | TABLE, 0, 39), KTLB_PTE_RANGE | KTLB_TABLES | KTLB_EXEC);
    assert_int_equal(ktlb_arch_pte_obliges(BLOCK(PAGE_OF_USER), VALID | TABLE, 21), KTLB_PTE_RANGE);
    assert_int_equal(ktlb_arch_pte_obliges(VALID | TABLE, VALID | TABLE | BIT(59), 21), KTLB_PTE_RANGE | KTLB_TABLES);
}

static void every_bit_of_the_address_counts(void **state)
{
    (void)state;
    for (unsigned bit = 12; bit < 50; bit++) {
        assert_true(duty(PAGE_OF_USER, PAGE_OF_USER | BIT(bit)));
        assert_true(ktlb_arch_pte_obliges(BLOCK(PAGE_OF_USER), BLOCK(PAGE_OF_USER) | BIT(bit), 21));
        assert_true(ktlb_arch_pte_obliges(VALID | TABLE, VALID | TABLE | BIT(bit), 21) & KTLB_TABLES);
    }
}

static bool breaks(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    return ktlb_aarch64_pte_needs_break(old_pte, new_pte, shift, false);
}

static void break_before_make(void **state)
{
    uint64_t block = BLOCK(PAGE_OF_USER);

    (void)state;
    assert_false(breaks(0, PAGE_OF_USER, 12));
    assert_false(breaks(PAGE_OF_USER, 0, 12));
    assert_false(breaks(PAGE_OF_USER & ~ACCESSED, PAGE_OF_USER | FRAME, 12)); /* never cached */
    assert_false(breaks(PAGE_OF_USER, PAGE_TO_WRITE, 12));
    assert_false(breaks(PAGE_OF_USER, CODE_OF_USER, 12));
    assert_false(breaks(PAGE_OF_USER, PAGE_OF_USER & ~ACCESSED, 12));
    assert_false(breaks(PAGE_OF_USER & ~NOT_GLOBAL, PAGE_OF_USER, 12));
    assert_true(breaks(PAGE_OF_USER, PAGE_OF_USER & ~NOT_GLOBAL, 12));
    assert_true(breaks(PAGE_OF_USER, PAGE_OF_USER | FRAME, 12));
    assert_true(breaks(PAGE_OF_USER, PAGE_OF_USER | TYPE, 12));
    assert_true(breaks(PAGE_OF_USER, PAGE_OF_USER | SHARE, 12));
    assert_true(breaks(block, VALID | TABLE, 21));
    assert_true(breaks(VALID | TABLE, block, 21));
    assert_true(breaks(VALID | TABLE, VALID | TABLE | FRAME, 21));
    assert_false(breaks(VALID | TABLE, VALID | TABLE | HIGH, 21));
    assert_true(breaks(PAGE_OF_USER, PAGE_OF_USER | CONTIGUOUS, 12));
    assert_false(ktlb_aarch64_pte_needs_break(block, VALID | TABLE, 21, true));
    assert_false(ktlb_aarch64_pte_needs_break(PAGE_OF_USER, PAGE_OF_USER | CONTIGUOUS, 12, true));
    assert_true(ktlb_aarch64_pte_needs_break(PAGE_OF_USER, PAGE_OF_USER | CONTIGUOUS | FRAME, 12, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_entry_stays_that_would_be_noticed, start),
        cmocka_unit_test_setup(nor_where_faults_drop_entries, start),
        cmocka_unit_test_setup(what_costs_nothing, start),
        cmocka_unit_test_setup(what_is_invalidated, start),
        cmocka_unit_test_setup(every_bit_of_the_address_counts, start),
        cmocka_unit_test_setup(break_before_make, start),
    };

    return cmocka_run_group_tests_name("aarch64_pte", tests, NULL, NULL);
}
