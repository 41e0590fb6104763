/*
 * guest.c - the guest accumulator: what a vCPU owes its TLBs, gathered in an op, spoken in registers.
 *
 * Invariants: a slot never covers less than was added and posted since it was last taken; the registers of an entry
 * cover all that the entry took. Both may cover more only as ktlb_op_join() does, and as the unit of a range operand.
 */
#include "ktlb/guest.h"

#include "internal.h"
#include "ktlb/arch/aarch64_descriptor.h"
#include "ktlb/arch/aarch64_operand.h"

#define PAGE_SIZE (UINT64_C(1) << KTLB_GUEST_PAGE_SHIFT)

KTLB_STATIC_ASSERT(KTLB_GUEST_RANGE_MAX <= 32u << 11, "one operand reaches as far as a slot");

static const struct ktlb_op nothing = {.shift = KTLB_GUEST_PAGE_SHIFT};

static struct ktlb_op pages(uint64_t va, uint32_t count, unsigned flags)
{
    return (struct ktlb_op){.va = va, .count = count, .shift = KTLB_GUEST_PAGE_SHIFT, .flags = (uint8_t)flags};
}

/* ---- an op in one word: page number [36:0] (signed), pages [52:37], instructions [53]; 0: nothing ---- */

#define WORD_SIGN (UINT64_C(1) << 36)
#define WORD_PAGE ((WORD_SIGN << 1) - 1)
#define WORD_COUNT 37
#define WORD_EXEC (UINT64_C(1) << 53)
#define WORD_ALL 0xffffu

KTLB_STATIC_ASSERT(KTLB_GUEST_RANGE_MAX < WORD_ALL, "a slot's pages fit their field");

static uint64_t pack(struct ktlb_op op)
{
    uint64_t count = op.count == KTLB_ALL ? WORD_ALL : op.count;

    return (op.va >> KTLB_GUEST_PAGE_SHIFT & WORD_PAGE) | count << WORD_COUNT | (op.flags & KTLB_EXEC ? WORD_EXEC : 0);
}

static uint64_t signed_page(uint64_t field)
{
    return ((field & WORD_PAGE) ^ WORD_SIGN) - WORD_SIGN;
}

static struct ktlb_op unpack(uint64_t word)
{
    uint32_t count = word >> WORD_COUNT & WORD_ALL;
    unsigned flags = word & WORD_EXEC ? KTLB_EXEC : 0;

    if (count == WORD_ALL)
        return ktlb_op_all(flags);
    return pages(signed_page(word) << KTLB_GUEST_PAGE_SHIFT, count, flags);
}

/* ---- adding ---- */

static bool is_guest_address(uint64_t va)
{
    return signed_page(va >> KTLB_GUEST_PAGE_SHIFT) << KTLB_GUEST_PAGE_SHIFT == (va & ~(PAGE_SIZE - 1));
}

/* @op as pages, one address of every stride in it: a TLBI for any address of an entry takes the entry. */
static struct ktlb_op in_pages(const struct ktlb_vcpu *vcpu, struct ktlb_op op)
{
    unsigned flags = op.flags & KTLB_EXEC;
    uint64_t count;

    KTLB_ASSERT(vcpu->limit, "a vCPU's slot is initialised");
    if (op.count == 0 && op.flags == KTLB_EXEC)
        return pages(0, 0, flags);
    KTLB_ASSERT(ktlb_op_well_formed(op, KTLB_GUEST_PAGE_SHIFT),
                "an op comes from ktlb_op_range(), ktlb_op_all() or ktlb_op_join(), or is KTLB_EXEC alone");
    if (op.count == KTLB_ALL)
        return ktlb_op_all(flags);
    count = ((uint64_t)(op.count - 1) << (op.shift - KTLB_GUEST_PAGE_SHIFT)) + 1;
    KTLB_ASSERT(is_guest_address(op.va) && is_guest_address(op.va + (count - 1) * PAGE_SIZE) &&
                    (op.va ^ (op.va + (count - 1) * PAGE_SIZE)) >> 63 == 0,
                "a guest's addresses have 48 bits, in the lower half or the upper");
    return count > vcpu->limit ? ktlb_op_all(flags) : pages(op.va, (uint32_t)count, flags);
}

static bool is_inside(const struct ktlb_vcpu *vcpu)
{
    return ktlb_load_relaxed(&vcpu->passes) & 1;
}

void ktlb_vcpu_init(struct ktlb_vcpu *vcpu, unsigned features)
{
    KTLB_ASSERT(!(features & ~(unsigned)KTLB_GUEST_FEATURES), "features are those of enum ktlb_guest_feature");
    vcpu->own = nothing;
    vcpu->limit = features & KTLB_GUEST_RANGES ? KTLB_GUEST_RANGE_MAX : KTLB_GUEST_LOOP_MAX;
    ktlb_store_relaxed(&vcpu->passes, 0);
    ktlb_store_relaxed(&vcpu->posted, 0);
}

void ktlb_vcpu_add(struct ktlb_vcpu *vcpu, struct ktlb_op op)
{
    KTLB_ASSERT(!is_inside(vcpu), "a vCPU's own edits are made while it is outside");
    vcpu->own = ktlb_op_join(vcpu->own, in_pages(vcpu, op), vcpu->limit);
}

void ktlb_vcpu_post(struct ktlb_vcpu *vcpu, struct ktlb_op op)
{
    uint64_t held = ktlb_load_relaxed(&vcpu->posted);
    uint64_t joined;

    op = in_pages(vcpu, op);
    /* Release, pairs with the acquire in take(): whoever invalidates then walks the tables as they were changed
     * before. So stored even where nothing is new: the word read may have been taken meanwhile. Ends: where one
     * thread's exchange fails, another's has succeeded. */
    do
        joined = pack(ktlb_op_join(unpack(held), op, vcpu->limit));
    while (!ktlb_rmw_cas_release(&vcpu->posted, &held, joined));
}

void ktlb_vcpu_share(const struct ktlb_vcpu *editor, struct ktlb_vcpu *sibling)
{
    KTLB_ASSERT(editor != sibling, "an edit is shared with another vCPU");
    KTLB_ASSERT(!is_inside(editor), "a vCPU's own edits are shared while it is outside");
    if (editor->own.count || editor->own.flags)
        ktlb_vcpu_post(sibling, editor->own);
}

/* ---- descriptors ---- */

#define TYPE UINT64_C(3)
#define TYPE_BLOCK UINT64_C(1)
#define TYPE_TABLE UINT64_C(3) /* at the last level: a page */
#define OUTPUT UINT64_C(0x0000fffffffff000)
#define BLOCK_NT (UINT64_C(1) << 16)
#define CONTIGUOUS (UINT64_C(1) << 52)
#define PXN (UINT64_C(1) << 53)
#define UXN (UINT64_C(1) << 54)
#define SOFTWARE (UINT64_C(15) << 55)

/* Whether @descriptor is one that is cached, and leads to memory or to a table. Others of its bits are not looked at.
 * */
static bool is_leaf(uint64_t descriptor, unsigned shift)
{
    return (descriptor & TYPE) == (shift == KTLB_GUEST_PAGE_SHIFT ? TYPE_TABLE : TYPE_BLOCK);
}

static bool is_table(uint64_t descriptor, unsigned shift)
{
    return shift > KTLB_GUEST_PAGE_SHIFT && (descriptor & TYPE) == TYPE_TABLE;
}

static bool is_executable(uint64_t descriptor, unsigned shift)
{
    return is_leaf(descriptor, shift) && (descriptor & (PXN | UXN)) != (PXN | UXN);
}

static bool is_level(unsigned shift)
{
    return shift == 12 || shift == 21 || shift == 30 || shift == 39;
}

void ktlb_vcpu_pte(struct ktlb_vcpu *vcpu, uint64_t va, uint64_t old_descriptor, uint64_t new_descriptor,
                   unsigned shift)
{
    uint64_t changed = (old_descriptor ^ new_descriptor) & ~SOFTWARE;
    struct ktlb_op op = nothing;

    KTLB_ASSERT(is_level(shift), "a descriptor spans 1 << 12, 21, 30 or 39 bytes");
    KTLB_ASSERT(!(va & ((UINT64_C(1) << shift) - 1)), "a descriptor's address is a multiple of what it spans");
    if (!changed)
        return;
    if (is_leaf(old_descriptor, shift))
        op = pages(va, 1, 0);
    else if (is_table(old_descriptor, shift))
        op = (struct ktlb_op){.va = va, .count = UINT32_C(1) << (shift - 12), .shift = 12, .flags = KTLB_TABLES};
    if (is_executable(new_descriptor, shift) && (!is_executable(old_descriptor, shift) || (changed & OUTPUT)))
        op.flags |= KTLB_EXEC;
    if (op.count || op.flags)
        ktlb_vcpu_add(vcpu, op);
}

struct ktlb_guest_split ktlb_guest_split(uint64_t va, unsigned shift, uint64_t table, unsigned features)
{
    const uint64_t block = TYPE_BLOCK | KTLB_AARCH64_PTE_ACCESSED; /* whatever else it says */

    KTLB_ASSERT(shift == 21 || shift == 30, "a block spans 1 << 21 or 30 bytes");
    KTLB_ASSERT(!(va & ((UINT64_C(1) << shift) - 1)), "a block's address is a multiple of what it spans");
    KTLB_ASSERT(is_table(table, shift), "a block is split into a table");
    KTLB_ASSERT(!(features & ~(unsigned)KTLB_GUEST_FEATURES), "features are those of enum ktlb_guest_feature");
    if (!ktlb_aarch64_pte_needs_break(block, table, shift, features & KTLB_GUEST_BBML2))
        return (struct ktlb_guest_split){.first = table, .between = nothing, .then = table};
    return (struct ktlb_guest_split){.first = 0, .between = pages(va, 1, 0), .then = table};
}

uint64_t ktlb_guest_split_entry(uint64_t block, unsigned shift, unsigned index)
{
    unsigned below = shift - 9;

    KTLB_ASSERT(shift == 21 || shift == 30, "a block spans 1 << 21 or 30 bytes");
    KTLB_ASSERT(is_leaf(block, shift), "what is split is a block");
    KTLB_ASSERT(index < 512, "a table has 512 entries");
    block &= ~(TYPE | BLOCK_NT | CONTIGUOUS);
    return block | (uint64_t)index << below | (below == KTLB_GUEST_PAGE_SHIFT ? TYPE_TABLE : TYPE_BLOCK);
}

/* ---- entering ---- */

/* Take the slot on the way in. */
static struct ktlb_op take(struct ktlb_vcpu *vcpu)
{
    struct ktlb_op op;

    KTLB_ASSERT(vcpu->limit, "a vCPU's slot is initialised");
    KTLB_ASSERT(!is_inside(vcpu), "a vCPU leaves before it enters again");
    /* Release: see left(), which may read this store in place of the one in leave(). */
    ktlb_store_release(&vcpu->passes, ktlb_load_relaxed(&vcpu->passes) + 1);
    /* [V1], pairs with [V2] in mark(): a post that we miss here sees us inside. */
    ktlb_fence_seq_cst();
    op = ktlb_op_join(vcpu->own, unpack(ktlb_rmw_exchange_acquire(&vcpu->posted, 0)), vcpu->limit);
    vcpu->own = nothing;
    return op;
}

/* One operand for @op, in the smallest unit that reaches over it. It begins where @op does, unless it would then pass
 * the end of its half of the address space. */
static uint64_t range_operand(struct ktlb_op op)
{
    uint64_t first = signed_page(op.va >> KTLB_GUEST_PAGE_SHIFT), last = first | (WORD_SIGN - 1), granules;
    unsigned num, scale = 0;

    while (op.count > ktlb_aarch64_range_granules(31, scale)) /* ended by the limit: see the assertion at the top */
        scale++;
    num = (op.count - 1) >> (5 * scale + 1);
    granules = ktlb_aarch64_range_granules(num, scale);
    if (granules - 1 > last - first)
        first = last - (granules - 1);
    return ktlb_aarch64_range_operand(first << KTLB_GUEST_PAGE_SHIFT, num, scale, 0, KTLB_GUEST_PAGE_SHIFT,
                                      KTLB_GUEST_PAGE_SHIFT);
}

static struct ktlb_guest_registers encode(struct ktlb_op op)
{
    struct ktlb_guest_registers registers = {.x8 = KTLB_GUEST_NONE, .x11 = op.flags & KTLB_EXEC ? 1 : 0};

    if (op.count == KTLB_ALL) {
        registers.x8 = KTLB_GUEST_BROADCAST;
    } else if (op.count > KTLB_GUEST_LOOP_MAX) {
        registers.x8 = KTLB_GUEST_RANGE;
        registers.x9 = range_operand(op);
    } else if (op.count) {
        registers.x8 = KTLB_GUEST_PAGES;
        registers.x9 = op.va;
        registers.x10 = op.count;
    }
    return registers;
}

void ktlb_vcpu_enter_start(struct ktlb_vcpu *vcpu)
{
    take(vcpu);
}

struct ktlb_guest_registers ktlb_vcpu_enter(struct ktlb_vcpu *vcpu)
{
    return encode(take(vcpu));
}

struct ktlb_guest_registers ktlb_vcpu_enter_drop_frame(struct ktlb_vcpu *vcpu)
{
    take(vcpu);
    return (struct ktlb_guest_registers){.x8 = KTLB_GUEST_DROP_FRAME, .x11 = 1};
}

struct ktlb_guest_registers ktlb_vcpu_enter_page(struct ktlb_vcpu *vcpu, uint64_t va)
{
    struct ktlb_op page = pages(signed_page(va >> KTLB_GUEST_PAGE_SHIFT) << KTLB_GUEST_PAGE_SHIFT, 1, KTLB_EXEC);
    struct ktlb_op op = ktlb_op_join(take(vcpu), page, vcpu->limit);

    if (op.count == 1)
        return (struct ktlb_guest_registers){.x8 = KTLB_GUEST_NONE};
    return encode(op);
}

void ktlb_vcpu_leave(struct ktlb_vcpu *vcpu)
{
    KTLB_ASSERT(is_inside(vcpu), "a vCPU enters before it leaves");
    /* Release, pairs with the acquires in mark(), left() and flushed(): what the guest did is before what they allow.
     * */
    ktlb_store_release(&vcpu->passes, ktlb_load_relaxed(&vcpu->passes) + 1);
}

/* ---- when is it over ---- */

uint64_t ktlb_vcpu_mark(const struct ktlb_vcpu *vcpu)
{
    /* [V2], pairs with [V1] in take(): a vCPU that we take to be outside will see what was posted before this. */
    ktlb_fence_seq_cst();
    /* Acquire, pairs with the release in leave(): it is outside, and has done with what it used inside. */
    return ktlb_load_acquire(&vcpu->passes);
}

bool ktlb_vcpu_left(const struct ktlb_vcpu *vcpu, uint64_t mark)
{
    /* Acquire, pairs with the release in leave(), or in the entry after it. */
    return !(mark & 1) || ktlb_load_acquire(&vcpu->passes) != mark;
}

bool ktlb_vcpu_flushed(const struct ktlb_vcpu *vcpu, uint64_t mark)
{
    /* The entry that takes what was there at the mark is the next one; if it was inside, it may have taken before.
     * Executed it has when it comes out of that. Acquire, as in left(). */
    return ktlb_load_acquire(&vcpu->passes) >= mark + (mark & 1) + 2;
}

/* ---- the other side ---- */

/* Of a range operand, the fields that are the same in all of ours: ASID 0, granule 4 KiB, no level. */
#define OPERAND_FIXED UINT64_C(0xffffc06000000000)
#define OPERAND_4K (UINT64_C(1) << 46)

struct ktlb_guest_work ktlb_guest_decode(struct ktlb_guest_registers registers)
{
    struct ktlb_guest_work work = {.kind = KTLB_GUEST_BROADCAST, .instructions = registers.x11 != 0};

    if (registers.x8 == KTLB_GUEST_PAGES && registers.x10 - 1 < KTLB_GUEST_LOOP_MAX) {
        work.kind = KTLB_GUEST_PAGES;
        work.va = registers.x9 & ~(PAGE_SIZE - 1);
        work.pages = (uint32_t)registers.x10;
    } else if (registers.x8 == KTLB_GUEST_RANGE && (registers.x9 & OPERAND_FIXED) == OPERAND_4K) {
        work.kind = KTLB_GUEST_RANGE;
        work.va = signed_page(registers.x9) << KTLB_GUEST_PAGE_SHIFT;
        work.pages = (uint32_t)ktlb_aarch64_range_granules(registers.x9 >> 39 & 31, registers.x9 >> 44 & 3);
    } else if (registers.x8 == KTLB_GUEST_NONE) {
        work.kind = KTLB_GUEST_NONE;
    } else if (registers.x8 == KTLB_GUEST_DROP_FRAME) {
        work.kind = KTLB_GUEST_DROP_FRAME;
        work.instructions = true;
    } else if (registers.x8 != KTLB_GUEST_BROADCAST) {
        work.instructions = true;
    }
    return work;
}
