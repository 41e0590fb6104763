/*
 * test_guest.c - goal: what a guest's shim is told covers every page that changed, names none outside their hull, and
 * is told once; instruction caches are never forgotten.
 */
#include "fake.h"

#include "ktlb/guest.h"

#define PAGE UINT64_C(4096)
#define BLOCK (UINT64_C(1) << 21)
#define LOWER_END (UINT64_C(1) << 48)
#define UPPER (~UINT64_C(0) << 48)

static struct ktlb_vcpu vcpu, sibling;

static int ranges(void **state)
{
    (void)state;
    ktlb_vcpu_init(&vcpu, KTLB_GUEST_RANGES);
    ktlb_vcpu_init(&sibling, KTLB_GUEST_RANGES);
    return 0;
}

static int no_ranges(void **state)
{
    (void)state;
    ktlb_vcpu_init(&vcpu, 0);
    ktlb_vcpu_init(&sibling, 0);
    return 0;
}

static void add(uint64_t va, uint64_t pages)
{
    ktlb_vcpu_add(&vcpu, ktlb_op_range(va, pages * PAGE, 12, 0));
}

static struct ktlb_guest_registers pass(struct ktlb_vcpu *of)
{
    struct ktlb_guest_registers registers = ktlb_vcpu_enter(of);

    ktlb_vcpu_leave(of);
    return registers;
}

static void check(struct ktlb_guest_registers registers, uint64_t x8, uint64_t x9, uint64_t x10, uint64_t x11)
{
    assert_int_equal(registers.x8, x8);
    assert_int_equal(registers.x9, x9);
    assert_int_equal(registers.x10, x10);
    assert_int_equal(registers.x11, x11);
}

/* The manual's fields, put together without the library. */
static uint64_t operand(uint64_t va, uint64_t num, uint64_t scale)
{
    return va / PAGE % (UINT64_C(1) << 37) + num * (UINT64_C(1) << 39) + scale * (UINT64_C(1) << 44) +
           (UINT64_C(1) << 46);
}

static void an_empty_slot_says_nothing(void **state)
{
    (void)state;
    check(pass(&vcpu), 0, 0, 0, 0);
    add(0x7000, 1);
    check(pass(&vcpu), 3, 0x7000, 1, 0);
    check(pass(&vcpu), 0, 0, 0, 0);
}

static void the_kinds_at_their_edges_with_ranges(void **state)
{
    static const struct {
        unsigned pages, num, scale;
    } edge[] = {{17, 8, 0},    {18, 8, 0},    {19, 9, 0},    {63, 31, 0},     {64, 31, 0},    {65, 1, 1},
                {128, 1, 1},   {129, 2, 1},   {2047, 31, 1}, {2048, 31, 1},   {2049, 1, 2},   {4096, 1, 2},
                {4097, 2, 2},  {32767, 15, 2}, {32768, 15, 2}};

    (void)state;
    for (unsigned pages = 1; pages <= 16; pages++) {
        add(5 * PAGE, pages);
        check(pass(&vcpu), 3, 5 * PAGE, pages, 0);
    }
    for (unsigned i = 0; i < sizeof(edge) / sizeof(edge[0]); i++) {
        add(5 * PAGE, edge[i].pages);
        check(pass(&vcpu), 4, operand(5 * PAGE, edge[i].num, edge[i].scale), 0, 0);
    }
    add(5 * PAGE, 32769);
    check(pass(&vcpu), 1, 0, 0, 0);
}

static void the_kinds_at_their_edges_without(void **state)
{
    (void)state;
    add(UPPER, 16);
    check(pass(&vcpu), 3, UPPER, 16, 0);
    add(UPPER, 17);
    check(pass(&vcpu), 1, 0, 0, 0);
}

/* Near every edge of the formats, anywhere in the address space: what is decoded is what was added, rounded up to
 * less than a unit, and begins where it did but where its end leaves no room. */
static void round_trip_of_every_size_near_an_edge(void **state)
{
    static const uint64_t edge[] = {1, 16, 64, 2048, 4096, 30000, 32768};

    (void)state;
    for (unsigned e = 0; e < sizeof(edge) / sizeof(edge[0]); e++)
        for (uint64_t pages = edge[e] > 70 ? edge[e] - 70 : 1; pages <= edge[e] + 70; pages++) {
            const uint64_t start[] = {0, PAGE, 0x123456789000, LOWER_END - pages * PAGE, LOWER_END - (pages + 3) * PAGE,
                                      UPPER, UPPER + 0x7654321000, -pages * PAGE, -(pages + 3) * PAGE};
            uint64_t unit = pages <= 64 ? 2 : pages <= 2048 ? 64 : 2048, room;

            for (unsigned s = 0; s < sizeof(start) / sizeof(start[0]); s++) {
                struct ktlb_guest_registers registers;
                struct ktlb_guest_work work;

                add(start[s], pages);
                registers = pass(&vcpu);
                work = ktlb_guest_decode(registers);
                assert_false(work.instructions);
                if (pages > 32768) {
                    assert_int_equal(work.kind, KTLB_GUEST_BROADCAST);
                    continue;
                }
                if (pages <= 16) {
                    assert_int_equal(work.kind, KTLB_GUEST_PAGES);
                    assert_int_equal(work.va, start[s]);
                    assert_int_equal(work.pages, pages);
                    continue;
                }
                assert_int_equal(work.kind, KTLB_GUEST_RANGE);
                assert_int_equal(work.pages, (pages + unit - 1) / unit * unit);
                assert_int_equal(registers.x9 >> 48, 0);
                room = ((start[s] >> 63 ? 0 : LOWER_END) - start[s]) / PAGE;
                if (work.pages <= room)
                    assert_int_equal(work.va, start[s]);
                else
                    assert_int_equal(work.va, start[s] - (work.pages - room) * PAGE);
            }
        }
}

static void two_far_apart_become_their_hull(void **state)
{
    (void)state;
    add(0, 1);
    add(15 * PAGE, 1);
    check(pass(&vcpu), 3, 0, 16, 0);
    add(16 * PAGE, 1);
    add(0, 1);
    check(pass(&vcpu), 4, operand(0, 8, 0), 0, 0);
    add(0, 1);
    add(32767 * PAGE, 1);
    check(pass(&vcpu), 4, operand(0, 15, 2), 0, 0);
    add(0, 1);
    add(32768 * PAGE, 1);
    check(pass(&vcpu), 1, 0, 0, 0);
    add(0, 1);
    add(-PAGE, 1);
    check(pass(&vcpu), 1, 0, 0, 0);
}

static void two_far_apart_without_ranges(void **state)
{
    (void)state;
    add(15 * PAGE, 1);
    add(0, 1);
    check(pass(&vcpu), 3, 0, 16, 0);
    add(0, 1);
    add(16 * PAGE, 1);
    check(pass(&vcpu), 1, 0, 0, 0);
}

static void everything_stays_everything(void **state)
{
    (void)state;
    ktlb_vcpu_add(&vcpu, ktlb_op_all(0));
    add(0, 1);
    check(pass(&vcpu), 1, 0, 0, 0);
    add(0, 1);
    ktlb_vcpu_post(&vcpu, ktlb_op_all(KTLB_EXEC));
    check(pass(&vcpu), 1, 0, 0, 1);
}

/* One address takes an entry of any size. */
static void blocks_count_one_address_each(void **state)
{
    (void)state;
    ktlb_vcpu_add(&vcpu, ktlb_op_range(7 * BLOCK, BLOCK, 21, 0));
    check(pass(&vcpu), 3, 7 * BLOCK, 1, 0);
    ktlb_vcpu_add(&vcpu, ktlb_op_range(7 * BLOCK, 2 * BLOCK, 21, 0));
    check(pass(&vcpu), 4, operand(7 * BLOCK, 8, 1), 0, 0);
    ktlb_vcpu_add(&vcpu, ktlb_op_range(0, UINT64_C(1) << 30, 30, KTLB_TABLES | KTLB_GLOBAL));
    check(pass(&vcpu), 3, 0, 1, 0);
    ktlb_vcpu_add(&vcpu, ktlb_op_range(0, UINT64_C(2) << 30, 30, 0));
    check(pass(&vcpu), 1, 0, 0, 0);
}

/* ---- instruction caches ---- */

static void the_hint_survives_every_way(void **state)
{
    const struct ktlb_op hint = {.flags = KTLB_EXEC};

    (void)state;
    ktlb_vcpu_add(&vcpu, hint);
    check(pass(&vcpu), 0, 0, 0, 1);
    check(pass(&vcpu), 0, 0, 0, 0);
    ktlb_vcpu_post(&vcpu, hint);
    check(pass(&vcpu), 0, 0, 0, 1);
    ktlb_vcpu_add(&vcpu, hint);
    ktlb_vcpu_share(&vcpu, &sibling);
    check(pass(&sibling), 0, 0, 0, 1);
    add(0, 3);
    check(pass(&vcpu), 3, 0, 3, 1);
    add(0, 3);
    ktlb_vcpu_post(&vcpu, hint);
    check(pass(&vcpu), 3, 0, 3, 1);
    ktlb_vcpu_post(&vcpu, ktlb_op_range(0, PAGE, 12, KTLB_EXEC));
    ktlb_vcpu_post(&vcpu, ktlb_op_range(99 * PAGE, PAGE, 12, 0));
    check(pass(&vcpu), 4, operand(0, 1, 1), 0, 1);
    ktlb_vcpu_add(&vcpu, ktlb_op_range(0, PAGE, 12, KTLB_EXEC));
    add(40000 * PAGE, 1);
    check(pass(&vcpu), 1, 0, 0, 1);
    assert_int_equal(ktlb_vcpu_enter_drop_frame(&vcpu).x11, 1);
}

static void decoding_keeps_the_hint(void **state)
{
    (void)state;
    for (uint64_t x8 = 0; x8 < 7; x8++)
        for (uint64_t x11 = 0; x11 < 3; x11++) {
            struct ktlb_guest_registers registers = {x8, x8 == 4 ? operand(0, 3, 0) : 0, 1, x11};
            bool always = x8 == 2 || x8 > 4;

            assert_int_equal(ktlb_guest_decode(registers).instructions, always || x11 != 0);
        }
}

/* ---- ways in ---- */

static void a_start_clears_what_the_boot_edited(void **state)
{
    (void)state;
    add(0, 4);
    ktlb_vcpu_post(&vcpu, ktlb_op_range(0, PAGE, 12, KTLB_EXEC));
    ktlb_vcpu_enter_start(&vcpu);
    ktlb_vcpu_leave(&vcpu);
    check(pass(&vcpu), 0, 0, 0, 0);
}

static void a_dropped_frame_invalidates_everything_and_clears(void **state)
{
    struct ktlb_guest_registers registers;

    (void)state;
    add(0, 4);
    registers = ktlb_vcpu_enter_drop_frame(&vcpu);
    ktlb_vcpu_leave(&vcpu);
    check(registers, 2, 0, 0, 1);
    assert_int_equal(ktlb_guest_decode(registers).kind, KTLB_GUEST_DROP_FRAME);
    check(pass(&vcpu), 0, 0, 0, 0);
}

static struct ktlb_guest_registers flip(uint64_t far)
{
    struct ktlb_guest_registers registers = ktlb_vcpu_enter_page(&vcpu, far);

    ktlb_vcpu_leave(&vcpu);
    return registers;
}

static void a_flipped_page_is_the_shims_alone(void **state)
{
    (void)state;
    check(flip(0x7abc), 0, 0, 0, 0);
    add(0x7000, 1);
    check(flip(0x7fff), 0, 0, 0, 0);
    check(pass(&vcpu), 0, 0, 0, 0);
    ktlb_vcpu_add(&vcpu, ktlb_op_range(-PAGE, PAGE, 12, KTLB_EXEC));
    check(flip(-UINT64_C(8)), 0, 0, 0, 0);
    /* A tag in the top byte names the same page. */
    add(0x7000, 1);
    check(flip(0xab00000000007008), 0, 0, 0, 0);
}

static void a_flip_forgets_nothing_else(void **state)
{
    (void)state;
    add(0x7000, 1);
    ktlb_vcpu_post(&vcpu, ktlb_op_range(0x9000, PAGE, 12, 0));
    check(flip(0x7abc), 3, 0x7000, 3, 1);
    check(pass(&vcpu), 0, 0, 0, 0);
    add(0x9000, 1);
    check(flip(0x7abc), 3, 0x7000, 3, 1);
    ktlb_vcpu_post(&vcpu, ktlb_op_all(0));
    check(flip(0x7abc), 1, 0, 0, 1);
}

/* ---- several vCPUs ---- */

static void a_sibling_does_not_drain_anothers_slot(void **state)
{
    (void)state;
    add(0, 2);
    check(pass(&sibling), 0, 0, 0, 0);
    ktlb_vcpu_share(&vcpu, &sibling);
    check(pass(&sibling), 3, 0, 2, 0);
    check(pass(&vcpu), 3, 0, 2, 0);
    ktlb_vcpu_share(&vcpu, &sibling);
    check(pass(&sibling), 0, 0, 0, 0);
}

static void one_thread_edits_for_many(void **state)
{
    static struct ktlb_vcpu many[8];

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        ktlb_vcpu_init(&many[i], i % 2 ? KTLB_GUEST_RANGES : 0);
    for (unsigned edit = 0; edit < 3; edit++)
        for (unsigned i = edit; i < 8; i++)
            ktlb_vcpu_post(&many[i], ktlb_op_range(edit * 10 * PAGE, PAGE, 12, 0));
    for (unsigned i = 0; i < 8; i++) {
        if (i < 2)
            check(pass(&many[i]), 3, 0, 10 * i + 1, 0);
        else if (i % 2)
            check(pass(&many[i]), 4, operand(0, 10, 0), 0, 0);
        else
            check(pass(&many[i]), 1, 0, 0, 0);
        check(pass(&many[i]), 0, 0, 0, 0);
    }
}

static void a_post_to_one_inside_waits_for_its_next_entry(void **state)
{
    (void)state;
    check(ktlb_vcpu_enter(&vcpu), 0, 0, 0, 0);
    ktlb_vcpu_post(&vcpu, ktlb_op_range(PAGE, PAGE, 12, 0));
    ktlb_vcpu_leave(&vcpu);
    check(pass(&vcpu), 3, PAGE, 1, 0);
}

static void over_when_it_has_left_or_has_flushed(void **state)
{
    uint64_t mark;

    (void)state;
    mark = ktlb_vcpu_mark(&vcpu); /* outside */
    assert_true(ktlb_vcpu_left(&vcpu, mark));
    assert_false(ktlb_vcpu_flushed(&vcpu, mark));
    ktlb_vcpu_enter(&vcpu);
    assert_true(ktlb_vcpu_left(&vcpu, mark));
    assert_false(ktlb_vcpu_flushed(&vcpu, mark));
    ktlb_vcpu_leave(&vcpu);
    assert_true(ktlb_vcpu_flushed(&vcpu, mark));
    ktlb_vcpu_enter(&vcpu);
    mark = ktlb_vcpu_mark(&vcpu); /* inside: it went in with less */
    assert_false(ktlb_vcpu_left(&vcpu, mark));
    ktlb_vcpu_leave(&vcpu);
    assert_true(ktlb_vcpu_left(&vcpu, mark));
    assert_false(ktlb_vcpu_flushed(&vcpu, mark));
    ktlb_vcpu_enter(&vcpu);
    assert_true(ktlb_vcpu_left(&vcpu, mark));
    assert_false(ktlb_vcpu_flushed(&vcpu, mark));
    ktlb_vcpu_leave(&vcpu);
    assert_true(ktlb_vcpu_flushed(&vcpu, mark));
}

/* ---- descriptors ---- */

#define RW UINT64_C(0x0060000000000743)  /* page, read and write at EL0, never executed */
#define RX UINT64_C(0x0020000000000743)  /* executed at EL0; and read-only below */
#define RO_BIT (UINT64_C(1) << 7)
#define FRAME(n) ((uint64_t)(n) << 12)
#define AS_BLOCK(d) ((d) & ~UINT64_C(2))
#define SOFTWARE_BIT (UINT64_C(1) << 56)

static struct ktlb_guest_registers replace(uint64_t old_one, uint64_t new_one, unsigned shift)
{
    ktlb_vcpu_pte(&vcpu, 0, old_one, new_one, shift);
    return pass(&vcpu);
}

static void what_replacing_a_descriptor_obliges_to(void **state)
{
    uint64_t table = FRAME(9) | 3;

    (void)state;
    check(replace(0, RW, 12), 0, 0, 0, 0);                                   /* never cached */
    check(replace(RW | FRAME(5), RW | FRAME(5), 12), 0, 0, 0, 0);            /* the same */
    check(replace(RW, RW | SOFTWARE_BIT, 12), 0, 0, 0, 0);                   /* to the hardware */
    check(replace(RW, 0, 12), 3, 0, 1, 0);                                   /* gone */
    check(replace(RW, RW | RO_BIT, 12), 3, 0, 1, 0);                         /* weaker */
    check(replace(RW | RO_BIT, RW, 12), 3, 0, 1, 0);                         /* stronger: the denial is cached */
    check(replace(RW, RW | FRAME(1), 12), 3, 0, 1, 0);                       /* elsewhere */
    check(replace(RW, RX | RO_BIT, 12), 3, 0, 1, 1);                         /* W^X: to be executed */
    check(replace(RX | RO_BIT, RW, 12), 3, 0, 1, 0);                         /* W^X: to be written */
    check(replace(0, RX, 12), 0, 0, 0, 1);                                   /* no entry changed, and yet */
    check(replace(RX, RX | FRAME(1), 12), 3, 0, 1, 1);                       /* other code */
    check(replace(RX, RX | RO_BIT, 12), 3, 0, 1, 0);                         /* the same code */
    check(replace(RW & ~UINT64_C(2), RW, 12), 0, 0, 0, 0);                   /* reserved at the last level: invalid */
    check(replace(AS_BLOCK(RW), AS_BLOCK(RW | RO_BIT), 21), 3, 0, 1, 0);     /* one address takes a block */
    check(replace(AS_BLOCK(RW), AS_BLOCK(RX), 30), 3, 0, 1, 1);
    check(replace(AS_BLOCK(RW), table, 21), 3, 0, 1, 0);
    check(replace(table, AS_BLOCK(RW), 21), 4, operand(0, 7, 1), 0, 0);      /* small entries from below */
    check(replace(table, AS_BLOCK(RX), 21), 4, operand(0, 7, 1), 0, 1);
    check(replace(table, 0, 21), 4, operand(0, 7, 1), 0, 0);
    check(replace(0, table, 21), 0, 0, 0, 0);
    check(replace(table, 0, 30), 1, 0, 0, 0);
    check(replace(table, table | FRAME(16), 39), 1, 0, 0, 0);
    check(replace(AS_BLOCK(RW), 0, 39), 3, 0, 1, 0);                         /* reserved up there; when in doubt */
}

/* mprotect over 64 pages of which a few in the middle differ. */
static void only_what_changed_is_named(void **state)
{
    (void)state;
    for (uint64_t page = 0; page < 64; page++)
        ktlb_vcpu_pte(&vcpu, page * PAGE, page >= 20 && page < 25 ? RW : RW | RO_BIT, RW | RO_BIT, 12);
    check(pass(&vcpu), 3, 20 * PAGE, 5, 0);
    for (uint64_t page = 0; page < 64; page++)
        ktlb_vcpu_pte(&vcpu, page * PAGE, RW, RW, 12);
    check(pass(&vcpu), 0, 0, 0, 0);
}

/* A host function that runs out of memory in the middle, and returns without another word. */
static bool protect_until(uint64_t end)
{
    for (uint64_t va = 0; va < 10 * PAGE; va += PAGE) {
        if (va == end)
            return false;
        ktlb_vcpu_pte(&vcpu, va, RW, RW | RO_BIT, 12);
    }
    return true;
}

static void an_error_exit_keeps_what_was_changed(void **state)
{
    (void)state;
    for (uint64_t pages = 1; pages < 10; pages++) {
        assert_false(protect_until(pages * PAGE));
        check(pass(&vcpu), 3, 0, pages, 0);
    }
    assert_false(protect_until(0));
    check(pass(&vcpu), 0, 0, 0, 0);
}

static void a_split_breaks_before_it_makes(void **state)
{
    uint64_t table = FRAME(77) | 3, block = AS_BLOCK(RX | RO_BIT) | 40 * BLOCK | UINT64_C(1) << 16;
    struct ktlb_guest_split split = ktlb_guest_split(3 * BLOCK, 21, table, KTLB_GUEST_RANGES);

    (void)state;
    assert_int_equal(split.first, 0);
    ktlb_vcpu_add(&vcpu, split.between);
    check(pass(&vcpu), 3, 3 * BLOCK, 1, 0);
    assert_int_equal(split.then, table);
    split = ktlb_guest_split(3 * BLOCK, 21, table, KTLB_GUEST_BBML2);
    assert_int_equal(split.first, table);
    assert_int_equal(split.between.count, 0);
    assert_int_equal(split.then, table);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(ktlb_guest_split_entry(block, 21, i), (RX | RO_BIT) + 40 * BLOCK + i * PAGE);
    block = AS_BLOCK(RW) | UINT64_C(5) << 30;
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(ktlb_guest_split_entry(block, 30, i), block + i * BLOCK);
}

/* ---- decoding what nobody should have sent ---- */

static void what_is_unknown_is_everything(void **state)
{
    static const struct ktlb_guest_registers bad[] = {
        {5, 0, 0, 0}, {56, 0x1000, 1, 0}, {~UINT64_C(0), 0, 0, 0}, /* the number of a system call */
        {3, 0x1000, 0, 0}, {3, 0x1000, 17, 0}, {3, 0x1000, ~UINT64_C(0), 0}, {4, 0, 0, 0},
        {4, UINT64_C(2) << 46, 0, 0}, {4, UINT64_C(3) << 46, 0, 0}, /* other granules */
        {4, UINT64_C(1) << 46 | UINT64_C(1) << 37, 0, 0}, {4, UINT64_C(1) << 46 | UINT64_C(1) << 38, 0, 0},
        {4, UINT64_C(1) << 46 | UINT64_C(1) << 48, 0, 0}, {4, UINT64_C(1) << 46 | UINT64_C(1) << 63, 0, 0},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ktlb_guest_work work = ktlb_guest_decode(bad[i]);

        assert_int_equal(work.kind, KTLB_GUEST_BROADCAST);
        assert_true(work.instructions);
        assert_int_equal(work.pages, 0);
    }
}

/* ---- against a model: the pages that changed since each vCPU last entered ---- */

#define VCPUS 3
#define CHANGES 64

struct model {
    uint64_t page[2][CHANGES]; /* own, posted */
    unsigned count[2];
    bool all, hint;
};

static uint64_t seed;

static uint64_t any(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static void model_add(struct model *model, unsigned posted, uint64_t first, uint64_t count, bool hint, uint64_t limit)
{
    if (count > limit) {
        model->all = true;
    } else if (count) { /* the ends say it all: what is flushed is an interval */
        model->page[posted][model->count[posted]++] = first;
        model->page[posted][model->count[posted]++] = first + count - 1;
    }
    model->hint |= hint;
}

static void model_check(struct model *model, struct ktlb_guest_registers registers, uint64_t limit, uint64_t run)
{
    struct ktlb_guest_work work = ktlb_guest_decode(registers);
    uint64_t low = UINT64_MAX, high = 0, hull, slack = 0;

    for (unsigned posted = 0; posted < 2; posted++)
        for (unsigned i = 0; i < model->count[posted]; i++) {
            uint64_t page = model->page[posted][i];

            low = page < low ? page : low;
            high = page > high ? page : high;
            if (work.kind == KTLB_GUEST_NONE ||
                (work.kind != KTLB_GUEST_BROADCAST && page - (work.va >> 12) >= work.pages))
                fail_msg("seed %llu: page %llx changed and is not flushed", (unsigned long long)run,
                         (unsigned long long)page);
        }
    hull = low > high ? 0 : high - low + 1;
    assert_int_equal(work.instructions, model->hint);
    if (work.kind == KTLB_GUEST_BROADCAST) {
        if (!model->all && hull <= limit)
            fail_msg("seed %llu: everything is flushed for %llu pages", (unsigned long long)run,
                     (unsigned long long)hull);
    } else {
        assert_false(model->all);
        assert_int_equal(work.kind, hull == 0 ? KTLB_GUEST_NONE : hull <= 16 ? KTLB_GUEST_PAGES : KTLB_GUEST_RANGE);
        if (work.kind == KTLB_GUEST_RANGE)
            slack = (hull <= 64 ? 2 : hull <= 2048 ? 64 : 2048) - 1;
        if (hull && ((work.va >> 12) > low || work.pages > hull + slack || low - (work.va >> 12) > slack))
            fail_msg("seed %llu: %llx + %u pages flushed for %llx + %llu", (unsigned long long)run,
                     (unsigned long long)work.va >> 12, work.pages, (unsigned long long)low, (unsigned long long)hull);
    }
    *model = (struct model){.all = false};
}

static void random_edits(uint64_t run)
{
    static const uint64_t spread[] = {4, 20, 80, 3000, 40000};
    struct ktlb_vcpu slot[VCPUS];
    struct model model[VCPUS] = {{.all = false}};
    uint64_t limit = run % 3 ? 32768 : 16, base, width;

    seed = run * UINT64_C(0x9e3779b97f4a7c15) + 1;
    width = spread[any(5)];
    base = any(3) == 0 ? (LOWER_END >> 12) - width - 40 : any(1 << 30);
    for (unsigned i = 0; i < VCPUS; i++)
        ktlb_vcpu_init(&slot[i], limit > 16 ? KTLB_GUEST_RANGES : 0);
    for (unsigned step = 0; step < 40; step++) {
        unsigned who = (unsigned)any(VCPUS), other = (who + 1) % VCPUS;
        uint64_t first = base + any(width), count = any(4) ? 1 : 1 + any(40), from[2];
        bool hint = any(8) == 0;
        struct ktlb_op op = ktlb_op_range(first << 12, count << 12, 12, hint ? KTLB_EXEC : 0);

        switch (any(7)) {
        case 0:
            ktlb_vcpu_add(&slot[who], op);
            model_add(&model[who], 0, first, count, hint, limit);
            break;
        case 1:
            for (unsigned i = 0; i < VCPUS; i++) {
                ktlb_vcpu_post(&slot[i], op);
                model_add(&model[i], 1, first, count, hint, limit);
            }
            break;
        case 2:
            ktlb_vcpu_pte(&slot[who], first << 12, RW | FRAME(3), hint ? RX | FRAME(3) : RW | FRAME(4), 12);
            model_add(&model[who], 0, first, 1, hint, limit);
            break;
        case 3:
            /* The model shares the hull of what is its own; that is what has to arrive, and no more. */
            if (slot[who].own.count == KTLB_ALL || model[other].count[1] + 2 > CHANGES)
                break;
            from[0] = UINT64_MAX, from[1] = 0;
            for (unsigned i = 0; i < model[who].count[0]; i++) {
                from[0] = model[who].page[0][i] < from[0] ? model[who].page[0][i] : from[0];
                from[1] = model[who].page[0][i] > from[1] ? model[who].page[0][i] : from[1];
            }
            ktlb_vcpu_share(&slot[who], &slot[other]);
            model_add(&model[other], 1, from[0], from[0] > from[1] ? 0 : from[1] - from[0] + 1,
                      slot[who].own.flags & KTLB_EXEC, limit);
            break;
        case 4:
            ktlb_vcpu_add(&slot[who], (struct ktlb_op){.flags = KTLB_EXEC});
            model[who].hint = true;
            break;
        default:
            model_check(&model[who], pass(&slot[who]), limit, run);
            break;
        }
        for (unsigned i = 0; i < VCPUS; i++)
            if (model[i].count[0] + 4 > CHANGES || model[i].count[1] + 4 > CHANGES)
                model_check(&model[i], pass(&slot[i]), limit, run);
    }
}

static void random_edits_against_a_model(void **state)
{
    (void)state;
    for (uint64_t run = 1; run <= 20000; run++)
        random_edits(run);
}

/* ---- misuse ---- */

static void misuse(void **state)
{
    static struct ktlb_vcpu raw;
    struct ktlb_op page = ktlb_op_range(0, PAGE, 12, 0), crooked = {.va = 5, .count = 1, .shift = 12};
    struct ktlb_op tables_alone = {.flags = KTLB_TABLES}, empty = {.shift = 12};
    uint64_t table = FRAME(1) | 3;

    (void)state;
    EXPECT_PANIC(ktlb_vcpu_init(&vcpu, 4), "features are those");
    EXPECT_PANIC(ktlb_vcpu_add(&raw, page), "slot is initialised");
    EXPECT_PANIC(ktlb_vcpu_post(&raw, page), "slot is initialised");
    EXPECT_PANIC(ktlb_vcpu_enter(&raw), "slot is initialised");
    EXPECT_PANIC(ktlb_vcpu_leave(&vcpu), "enters before it leaves");
    EXPECT_PANIC(ktlb_vcpu_add(&vcpu, crooked), "an op comes from");
    EXPECT_PANIC(ktlb_vcpu_add(&vcpu, tables_alone), "an op comes from");
    EXPECT_PANIC(ktlb_vcpu_post(&vcpu, empty), "an op comes from");
    EXPECT_PANIC(ktlb_vcpu_add(&vcpu, ktlb_op_range(LOWER_END, PAGE, 12, 0)), "48 bits");
    EXPECT_PANIC(ktlb_vcpu_add(&vcpu, ktlb_op_range(UPPER - PAGE, PAGE, 12, 0)), "48 bits");
    EXPECT_PANIC(ktlb_vcpu_post(&vcpu, ktlb_op_range(LOWER_END - PAGE, 2 * PAGE, 12, 0)), "48 bits");
    EXPECT_PANIC(ktlb_vcpu_share(&vcpu, &vcpu), "with another vCPU");
    EXPECT_PANIC(ktlb_vcpu_pte(&vcpu, 0, RW, 0, 13), "spans 1 << 12");
    EXPECT_PANIC(ktlb_vcpu_pte(&vcpu, PAGE, AS_BLOCK(RW), 0, 21), "multiple of what it spans");
    EXPECT_PANIC(ktlb_guest_split(0, 12, table, 0), "21 or 30");
    EXPECT_PANIC(ktlb_guest_split(PAGE, 21, table, 0), "multiple of what it spans");
    EXPECT_PANIC(ktlb_guest_split(0, 21, AS_BLOCK(RW), 0), "into a table");
    EXPECT_PANIC(ktlb_guest_split(0, 21, table, 8), "features are those");
    EXPECT_PANIC(ktlb_guest_split_entry(table, 21, 0), "is a block");
    EXPECT_PANIC(ktlb_guest_split_entry(AS_BLOCK(RW), 39, 0), "21 or 30");
    EXPECT_PANIC(ktlb_guest_split_entry(AS_BLOCK(RW), 21, 512), "512 entries");
    ktlb_vcpu_enter(&vcpu);
    EXPECT_PANIC(ktlb_vcpu_enter(&vcpu), "leaves before it enters");
    EXPECT_PANIC(ktlb_vcpu_enter_start(&vcpu), "leaves before it enters");
    EXPECT_PANIC(ktlb_vcpu_enter_drop_frame(&vcpu), "leaves before it enters");
    EXPECT_PANIC(ktlb_vcpu_enter_page(&vcpu, 0), "leaves before it enters");
    EXPECT_PANIC(ktlb_vcpu_add(&vcpu, page), "while it is outside");
    EXPECT_PANIC(ktlb_vcpu_pte(&vcpu, 0, RW, 0, 12), "while it is outside");
    EXPECT_PANIC(ktlb_vcpu_share(&vcpu, &sibling), "while it is outside");
    ktlb_vcpu_leave(&vcpu);
    EXPECT_PANIC(ktlb_vcpu_leave(&vcpu), "enters before it leaves");
    check(pass(&vcpu), 0, 0, 0, 0); /* and none of it left anything behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_slot_says_nothing, ranges),
        cmocka_unit_test_setup(the_kinds_at_their_edges_with_ranges, ranges),
        cmocka_unit_test_setup(the_kinds_at_their_edges_without, no_ranges),
        cmocka_unit_test_setup(round_trip_of_every_size_near_an_edge, ranges),
        cmocka_unit_test_setup(two_far_apart_become_their_hull, ranges),
        cmocka_unit_test_setup(two_far_apart_without_ranges, no_ranges),
        cmocka_unit_test_setup(everything_stays_everything, ranges),
        cmocka_unit_test_setup(blocks_count_one_address_each, ranges),
        cmocka_unit_test_setup(the_hint_survives_every_way, ranges),
        cmocka_unit_test(decoding_keeps_the_hint),
        cmocka_unit_test_setup(a_start_clears_what_the_boot_edited, ranges),
        cmocka_unit_test_setup(a_dropped_frame_invalidates_everything_and_clears, ranges),
        cmocka_unit_test_setup(a_flipped_page_is_the_shims_alone, ranges),
        cmocka_unit_test_setup(a_flip_forgets_nothing_else, ranges),
        cmocka_unit_test_setup(a_sibling_does_not_drain_anothers_slot, ranges),
        cmocka_unit_test(one_thread_edits_for_many),
        cmocka_unit_test_setup(a_post_to_one_inside_waits_for_its_next_entry, ranges),
        cmocka_unit_test_setup(over_when_it_has_left_or_has_flushed, ranges),
        cmocka_unit_test_setup(what_replacing_a_descriptor_obliges_to, ranges),
        cmocka_unit_test_setup(only_what_changed_is_named, ranges),
        cmocka_unit_test_setup(an_error_exit_keeps_what_was_changed, ranges),
        cmocka_unit_test_setup(a_split_breaks_before_it_makes, ranges),
        cmocka_unit_test(what_is_unknown_is_everything),
        cmocka_unit_test(random_edits_against_a_model),
        cmocka_unit_test_setup(misuse, ranges),
    };

    return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
