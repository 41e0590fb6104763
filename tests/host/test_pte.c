/*
 * test_pte.c - goal: an entry is invalidated whenever what a TLB may hold of it lets a program do what the entry in its
 * place does not; and seldom otherwise.
 *
 * The expectation comes from a model that knows nothing of the rules in x86_64_pte.h: it asks what a processor does
 * with a cached entry, for every kind of access under every setting, and compares old with new. All combinations of bits are
 * tried, old against new, for each size of page.
 */
#include "fake.h"

#define PRESENT UINT64_C(1)
#define WRITE UINT64_C(2)
#define USER UINT64_C(4)
#define WRITE_THROUGH UINT64_C(8)
#define ACCESSED UINT64_C(0x20)
#define DIRTY UINT64_C(0x40)
#define BIT7 UINT64_C(0x80)
#define GLOBAL UINT64_C(0x100)
#define SOFTWARE UINT64_C(0x200)
#define LARGE_PAT UINT64_C(0x1000)
#define NX (UINT64_C(1) << 63)
#define KEY (UINT64_C(1) << 59)
#define FRAME (UINT64_C(1) << 40)
#define CET (UINT64_C(1) << 23)

static const uint64_t bits[] = {PRESENT, WRITE, USER, WRITE_THROUGH, ACCESSED, DIRTY, BIT7, GLOBAL, NX};
#define BITS (sizeof(bits) / sizeof(bits[0]))
#define COMBINATIONS (1u << BITS)

static uint64_t combination(unsigned number)
{
    uint64_t pte = 0;

    for (unsigned i = 0; i < BITS; i++)
        pte |= number >> i & 1 ? bits[i] : 0;
    return pte;
}

/* ---- the model ---- */

enum kind { READ, STORE, FETCH, SHADOW };

/* May this access be made, by a user or the kernel, with SMEP and SMAP as they are and one key denied, or none (2)? */
static bool allowed(uint64_t pte, enum kind kind, bool user, bool smep, bool smap, unsigned denied, bool cet)
{
    bool shadow_stack = cet && !(pte & WRITE) && (pte & DIRTY);

    if (user && !(pte & USER))
        return false;
    if (kind == FETCH)
        return !(pte & NX) && !(smep && !user && (pte & USER));
    if (!user && smap && (pte & USER))
        return false;
    if (denied == (pte & KEY ? 1 : 0))
        return false;
    if (kind == SHADOW)
        return shadow_stack && user == !!(pte & USER);
    return kind == READ || (pte & WRITE);
}

/* All of it at once, a bit for each. */
struct rights {
    uint64_t can[2];
};

static struct rights rights_of(uint64_t pte, bool cet)
{
    struct rights rights = {{0, 0}};

    for (unsigned i = 0; i < 96; i++)
        if (allowed(pte, (enum kind)(i & 3), i >> 2 & 1, i >> 3 & 1, i >> 4 & 1, i >> 5, cet))
            rights.can[i / 64] |= UINT64_C(1) << i % 64;
    return rights;
}

static bool can_more(struct rights a, struct rights b)
{
    return (a.can[0] & ~b.can[0]) || (a.can[1] & ~b.can[1]);
}

static bool is_table(uint64_t pte, unsigned shift)
{
    return shift >= 39 || (shift >= 21 && !(pte & BIT7));
}

static bool same_memory(uint64_t a, uint64_t b, unsigned shift)
{
    uint64_t type = WRITE_THROUGH | (shift == 12 ? BIT7 : LARGE_PAT);

    return !((a ^ b) & (FRAME | type));
}

/* Would anyone notice that the old entry is used still? */
static bool noticed(uint64_t old_pte, uint64_t new_pte, unsigned shift, struct rights old_can, struct rights new_can)
{
    if (!(old_pte & PRESENT) || !(old_pte & ACCESSED))
        return false; /* it is not cached */
    if (!(new_pte & PRESENT) || is_table(old_pte, shift) != is_table(new_pte, shift))
        return true;
    if (!same_memory(old_pte, new_pte, shift) || can_more(old_can, new_can))
        return true;
    if (!(new_pte & ACCESSED))
        return true; /* the next access leaves no mark */
    if (is_table(old_pte, shift))
        return false;
    if ((old_pte & DIRTY) && !(new_pte & DIRTY) && (old_pte & WRITE))
        return true; /* nor the next store */
    return (old_pte ^ new_pte) & GLOBAL; /* seen from another space, or taken for seen by all */
}

/* Invalidated although the model would not: for these reasons only. */
static bool excused(uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    (void)shift;
    return (old_pte & DIRTY) && !(new_pte & DIRTY); /* of a page that could not be written; host's bookkeeping may care */
}

/* Of a table entry, what the least restrictive entry below it leaves; key, dirty and global bits mean nothing there. */
static uint64_t effective(uint64_t pte, unsigned shift)
{
    return is_table(pte, shift) ? pte & ~(KEY | DIRTY | GLOBAL) : pte;
}

static void compare(uint64_t old_pte, uint64_t new_pte, unsigned shift, bool cet, struct rights old_can)
{
    struct rights new_can = rights_of(effective(new_pte, shift), cet);
    bool expected = noticed(old_pte, new_pte, shift, old_can, new_can);
    unsigned duty = ktlb_arch_pte_obliges(old_pte, new_pte, shift);

    if (expected && !(duty & KTLB_PTE_RANGE))
        fail_msg("shift %u: %llx -> %llx may stay cached", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte);
    if (!expected && duty && !excused(old_pte, new_pte, shift))
        fail_msg("shift %u: %llx -> %llx is invalidated for nothing", shift, (unsigned long long)old_pte,
                 (unsigned long long)new_pte);
    if (!duty)
        return;
    assert_int_equal(!!(duty & KTLB_TABLES), is_table(old_pte, shift));
    assert_int_equal(!!(duty & KTLB_GLOBAL), !is_table(old_pte, shift) && (old_pte & GLOBAL));
}

static const uint64_t more[] = {0, FRAME, KEY, SOFTWARE, LARGE_PAT};

static void every_combination(bool cet)
{
    static const unsigned shifts[] = {12, 21, 30, 39};

    fake_cr4 |= cet ? CET : 0;
    for (unsigned s = 0; s < 4; s++)
        for (unsigned i = 0; i < COMBINATIONS; i++)
            for (unsigned m = 0; m < 5; m++) {
                unsigned shift = shifts[s];
                uint64_t old_pte = combination(i) | more[m];
                struct rights old_can = rights_of(effective(old_pte, shift), cet);

                /* Bit 12 is of the address, in the smallest page, and reserved where the entry is a table. */
                if (more[m] == LARGE_PAT && (shift == 12 || is_table(old_pte, shift)))
                    continue;
                for (unsigned j = 0; j < COMBINATIONS; j++) {
                    compare(old_pte, combination(j), shift, cet, old_can);
                    compare(old_pte, combination(j) | more[m], shift, cet, old_can);
                }
            }
}

static void no_entry_stays_that_would_be_noticed(void **state)
{
    (void)state;
    every_combination(false);
}

static void nor_with_shadow_stacks(void **state)
{
    (void)state;
    every_combination(true);
}

/* ---- each rule by name, for the reader ---- */

#define PAGE_OF_USER (PRESENT | USER | ACCESSED)

static unsigned duty(uint64_t old_pte, uint64_t new_pte)
{
    return ktlb_arch_pte_obliges(old_pte, new_pte, 12);
}

static void what_costs_nothing(void **state)
{
    (void)state;
    assert_int_equal(duty(0, PAGE_OF_USER | WRITE), 0);
    assert_int_equal(duty(FRAME | WRITE, 0), 0);                           /* swapped out */
    assert_int_equal(duty(PRESENT | USER | WRITE, 0), 0);                  /* never accessed */
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER | WRITE), 0);         /* copy on write, alone by now */
    assert_int_equal(duty(PAGE_OF_USER | NX, PAGE_OF_USER), 0);
    assert_int_equal(duty(PAGE_OF_USER | WRITE, PAGE_OF_USER | WRITE | DIRTY), 0);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER | SOFTWARE), 0);
    assert_int_equal(ktlb_arch_pte_obliges(PRESENT | WRITE | USER, 0, 21), 0); /* a table nobody walked */
}

/* TRAPS 26: the old entry decides, not the new one. */
static void what_is_invalidated(void **state)
{
    (void)state;
    assert_int_equal(duty(PAGE_OF_USER | NX, 0), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER | NX | WRITE, PAGE_OF_USER | NX), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, PAGE_OF_USER | NX), KTLB_PTE_RANGE);
    assert_int_equal(duty(PAGE_OF_USER, 0), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_OF_USER | NX, PAGE_OF_USER | FRAME), KTLB_PTE_RANGE | KTLB_EXEC);
    assert_int_equal(duty(PAGE_OF_USER | NX, PAGE_OF_USER | NX | FRAME), KTLB_PTE_RANGE);
    assert_int_equal(ktlb_arch_pte_obliges(PAGE_OF_USER | BIT7, PAGE_OF_USER, 21), KTLB_PTE_RANGE | KTLB_EXEC); /* split */
    assert_int_equal(duty(PRESENT | ACCESSED | GLOBAL | NX, 0), KTLB_PTE_RANGE | KTLB_GLOBAL);
    assert_int_equal(duty(PRESENT | ACCESSED | NX, PRESENT | ACCESSED | NX | GLOBAL), KTLB_PTE_RANGE);
}

static void every_bit_of_the_address_counts(void **state)
{
    (void)state;
    for (unsigned bit = 12; bit < 52; bit++)
        for (unsigned shift = 12; shift <= 30; shift += 9)
            assert_true(ktlb_arch_pte_obliges(PAGE_OF_USER | BIT7, PAGE_OF_USER | BIT7 | UINT64_C(1) << bit, shift));
}

/* ---- in a batch ---- */

static void a_batch_gets_what_the_entry_spans(void **state)
{
    struct ktlb_space space;
    struct ktlb_batch batch;

    (void)state;
    ktlb_space_init(&space);
    ktlb_batch_init(&batch, &space);
    ktlb_batch_pte(&batch, 0x5000, 0, PAGE_OF_USER, 12);
    assert_int_equal(batch.request.count, 0);
    ktlb_batch_pte(&batch, 0x5000, PAGE_OF_USER, 0, 12);
    ktlb_batch_pte(&batch, 0x6000, PAGE_OF_USER | NX, 0, 12);
    assert_int_equal(batch.request.count, 1);
    assert_int_equal(batch.request.op[0].va, 0x5000);
    assert_int_equal(batch.request.op[0].count, 2);
    ktlb_batch_pte(&batch, UINT64_C(1) << 30, PAGE_OF_USER | BIT7 | NX, 0, 21);
    assert_int_equal(batch.request.count, 2);
    assert_int_equal(batch.request.op[1].shift, 21);
    assert_int_equal(batch.request.op[1].count, 1);
    ktlb_batch_pte(&batch, UINT64_C(2) << 30, PAGE_OF_USER, 0, 21); /* a table */
    assert_int_equal(batch.request.op[2].shift, 12);
    assert_int_equal(batch.request.op[2].count, 512);
    assert_true(batch.request.flags & KTLB_TABLES);
    ktlb_batch_pte(&batch, 0, PAGE_OF_USER, 0, 48);
    assert_int_equal(batch.request.op[0].count, KTLB_ALL);
}

static void a_global_entry_is_the_kernels(void **state)
{
    struct ktlb_space space;
    struct ktlb_batch batch;

    (void)state;
    ktlb_batch_init(&batch, &ktlb_kernel);
    ktlb_batch_pte(&batch, 0x5000, PRESENT | ACCESSED | GLOBAL, 0, 12);
    assert_int_equal(batch.request.op[0].flags, KTLB_GLOBAL | KTLB_EXEC);
    ktlb_space_init(&space);
    ktlb_batch_init(&batch, &space);
    EXPECT_PANIC(ktlb_batch_pte(&batch, 0x5000, PRESENT | ACCESSED | GLOBAL, 0, 12), "global");
}

static int start(void **state)
{
    (void)state;
    fake_start(1, 6);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_entry_stays_that_would_be_noticed, start),
        cmocka_unit_test_setup(nor_with_shadow_stacks, start),
        cmocka_unit_test_setup(what_costs_nothing, start),
        cmocka_unit_test_setup(what_is_invalidated, start),
        cmocka_unit_test_setup(every_bit_of_the_address_counts, start),
        cmocka_unit_test_setup(a_batch_gets_what_the_entry_spans, start),
        cmocka_unit_test_setup(a_global_entry_is_the_kernels, start),
    };

    return cmocka_run_group_tests_name("pte", tests, NULL, NULL);
}
