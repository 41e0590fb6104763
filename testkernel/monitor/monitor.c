/*
 * monitor.c - a monitor at EL2 that edits its guest's page tables, and a guest that invalidates for itself: the guest
 * accumulator as it is meant to be used, under load, with an oracle in the guest.
 *
 * One guest process, a vCPU per CPU, one page table in TTBR0; TTBR1 maps memory for the shim (examples/guest/shim.S).
 * No stage 2: guest-physical is physical. One more CPU is a thread of the monitor that is no vCPU's and takes pages
 * away from the guest.
 *
 * The oracle: every page's first word is its address, and a frame that was taken out is poisoned as soon as the
 * library says that nobody can reach it. So whoever still can reads something else than his page's address; or reads,
 * writes or executes what he must not. Control: the same with X8 to X11 zero, the flush left out.
 */
#include "ktlb/guest.h"
#include "monitor.h"
#include "scenarios/scenarios.h"
#include "testkernel/aarch64/arm.h"

#define VCPUS_MAX (SLICES - 1)
#define OPERATIONS 1000000
#define CONTROL_OPERATIONS 10000
#define DELAY_MS 20

/* Registers of EL1, by the names they have at EL2. */
#define SCTLR_EL12 S3_5_C1_C0_0
#define CPACR_EL12 S3_5_C1_C0_2
#define TTBR0_EL12 S3_5_C2_C0_0
#define TTBR1_EL12 S3_5_C2_C0_1
#define TCR_EL12 S3_5_C2_C0_2
#define SPSR_EL12 S3_5_C4_C0_0
#define ELR_EL12 S3_5_C4_C0_1
#define ESR_EL12 S3_5_C5_C2_0
#define FAR_EL12 S3_5_C6_C0_0
#define MAIR_EL12 S3_5_C10_C2_0
#define VBAR_EL12 S3_5_C12_C0_0
#define GUEST_READ(name) READ_REGISTER(name)
#define GUEST_WRITE(name, value) WRITE_REGISTER(name, value)

#define GUEST_SCTLR UINT64_C(0x34d0998d) /* translation, caches; EL0 may clean caches */
/* Both halves 39 bits, pages of 4 KiB, walks through the caches, physical addresses of 40 bits. */
#define GUEST_TCR (UINT64_C(25) | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 |                \
                   UINT64_C(2) << 30 | UINT64_C(2) << 32)
#define GUEST_EL1 0x3c5
#define GUEST_EL0 0
#define EL1_BASE (~UINT64_C(0) << 39) /* of physical 0, for the shim */

enum world_exit { WORLD_CALL, WORLD_IRQ, WORLD_FIQ };

struct world {
    uint64_t x[31], pc, spsr, hcr;
};
KTLB_STATIC_ASSERT(offsetof(struct world, pc) == WORLD_PC && offsetof(struct world, hcr) == WORLD_HCR, "as in world.S");

uint64_t world_enter(struct world *world);
void world_invalidate(uint64_t operand);
void world_invalidate_all(void);
void world_guest_start(void);
void guest_program(uint64_t vcpu, uint64_t vcpus, uint64_t role, uint64_t operations, uint64_t seed);
extern const char ktlb_shim_vectors[];

struct vcpu {
    struct ktlb_vcpu slot;
    struct world world;
    unsigned number, features;
    struct ktlb_node *held; /* frames it took out of the tables, until held_mark is flushed */
    uint64_t held_mark;
    uint64_t kinds[5], instructions, flips, stale_faults, splits, calls;
    struct ktlb_u32 kick;
    bool delayed; /* in a scene, before it enters */
    uint64_t root1, stack, shim_stack;
};

static struct vcpu vcpus[VCPUS_MAX];
static unsigned vcpus_count;
static struct lock tables_lock;
static struct ktlb_u64 *root;
static uint64_t mapped_pages;

/* Controls: the step that is left out, and where that is found. */
static enum leave { LEAVE_NO_STEP, LEAVE_THE_FLUSH, LEAVE_SHARING, LEAVE_FLUSHED, LEAVE_POSTING, LEAVE_LEFT } leave_out;
static unsigned role;
static bool ready; /* vCPU 1's page, in a scene; since when nothing has come in between */
static uint64_t ready_at;
static const struct {
    enum leave leave;
    unsigned role;
    const char *text;
} controls[] = {
    {LEAVE_THE_FLUSH, ROLE_STORM, "X8 to X11 say nothing"},
    {LEAVE_FLUSHED, ROLE_STARE, "an unmapped frame is reused before it is flushed"},
    {LEAVE_LEFT, ROLE_TAKEN, "a taken frame is reused before the vCPUs have left"},
    {LEAVE_POSTING, ROLE_TAKEN, "of a taken frame nothing is posted to the vCPUs"},
    {LEAVE_SHARING, ROLE_REPLACED, "of an unmapped page the siblings are not told"},
};
static struct ktlb_u64 wrongs[WRONG_KINDS];
static uint64_t saw[SAWS];
static struct ktlb_u32 running;
static uint64_t taken_pages, taken_waits;

/* ---- the guest's tables ---- */

#define VALID UINT64_C(1)
#define TABLE UINT64_C(2)
#define USER UINT64_C(0x40)
#define READ_ONLY UINT64_C(0x80)
#define NORMAL UINT64_C(0x700) /* inner shareable, accessed */
#define NOT_GLOBAL UINT64_C(0x800)
#define NO_EXECUTE_1 (UINT64_C(1) << 53)
#define NO_EXECUTE_0 (UINT64_C(1) << 54)
#define IN_TURN (UINT64_C(1) << 55) /* ours: written and executed in turn */
#define ADDRESS UINT64_C(0x0000fffffffff000)

static uint64_t table_new(void)
{
    struct machine_frame *frame = machine_frame_alloc();

    if (!frame)
        kernel_panic("no frame for a table of the guest's");
    memset(direct(frame->number * PAGE_SIZE), 0, PAGE_SIZE);
    return frame->number * PAGE_SIZE;
}

/* The entry for @va that spans 1 << @shift bytes; tables on the way are made. A block on the way is the entry. */
static struct ktlb_u64 *entry_at(uint64_t va, unsigned *shift)
{
    struct ktlb_u64 *table = root;

    for (unsigned level = 30;; level -= 9) {
        struct ktlb_u64 *entry = &table[va >> level & 511];
        uint64_t held = ktlb_load_relaxed(entry);

        if (level == *shift || ((held & VALID) && !(held & TABLE))) {
            *shift = level;
            return entry;
        }
        if (!(held & VALID)) {
            held = table_new() | VALID | TABLE;
            ktlb_store_release(entry, held);
        }
        table = direct(held & ADDRESS);
    }
}

static uint64_t descriptor(uint64_t address, uint64_t rights, unsigned shift)
{
    uint64_t entry = address | VALID | NORMAL | USER | NOT_GLOBAL | NO_EXECUTE_1 | (shift == 12 ? TABLE : 0);

    if (rights & RIGHT_WRITE)
        return entry | NO_EXECUTE_0 | (rights & RIGHT_EXECUTE ? IN_TURN : 0);
    return entry | READ_ONLY | (rights & RIGHT_EXECUTE ? 0 : NO_EXECUTE_0);
}

/* => The tables locked. */
static void entry_set(struct vcpu *vcpu, struct ktlb_u64 *entry, uint64_t va, uint64_t new_one, unsigned shift)
{
    uint64_t old_one = ktlb_load_relaxed(entry);

    ktlb_store_release(entry, new_one);
    ktlb_vcpu_pte(&vcpu->slot, va, old_one, new_one, shift);
}

/* ---- system calls, the tables locked ---- */

static uint64_t map(struct vcpu *vcpu, uint64_t va, uint64_t rights)
{
    unsigned shift = 12;
    struct ktlb_u64 *entry = entry_at(va, &shift);
    struct machine_frame *frame;

    if (ktlb_load_relaxed(entry) & VALID)
        return 0;
    frame = machine_frame_alloc();
    if (!frame)
        kernel_panic("no frame for the guest");
    for (unsigned i = 0; i < 2; i++) /* nobody has written to it since it was free */
        if (ktlb_load_relaxed(machine_frame_words(frame) + i) != (MACHINE_POISON | frame->number))
            ktlb_rmw_add_relaxed(&wrongs[WRONG_STRAY], 1);
    ktlb_store_relaxed(machine_frame_words(frame), va);
    ktlb_store_relaxed(machine_frame_words(frame) + 1, ++mapped_pages);
    entry_set(vcpu, entry, va, descriptor(frame->number * PAGE_SIZE, rights, 12), 12);
    return mapped_pages;
}

static struct machine_frame *frame_of(uint64_t entry)
{
    return frame_at(entry & ADDRESS);
}

static void unmap(struct vcpu *vcpu, uint64_t va)
{
    unsigned shift = 12;
    struct ktlb_u64 *entry = entry_at(va, &shift);
    uint64_t old_one = ktlb_load_relaxed(entry);
    struct machine_frame *frame = frame_of(old_one);

    if (!(old_one & VALID))
        return;
    entry_set(vcpu, entry, va, 0, 12);
    if (leave_out == LEAVE_FLUSHED) {
        frame->node.next = NULL;
        machine_frame_free(&frame->node);
        return;
    }
    frame->node.next = vcpu->held;
    vcpu->held = &frame->node;
}

/* A block becomes a table of pages that says the same. */
static void split(struct vcpu *vcpu, struct ktlb_u64 *entry, uint64_t va)
{
    uint64_t block = ktlb_load_relaxed(entry), table = table_new();
    struct ktlb_guest_split split;

    for (unsigned i = 0; i < 512; i++)
        ktlb_store_relaxed((struct ktlb_u64 *)direct(table) + i, ktlb_guest_split_entry(block, 21, i));
    split = ktlb_guest_split(va, 21, table | VALID | TABLE, vcpu->features);
    ktlb_store_release(entry, split.first);
    if (split.between.count) {
        world_invalidate(ktlb_aarch64_operand(split.between.va, 0));
        ktlb_store_release(entry, split.then);
    }
    vcpu->splits++;
}

/* And back; the guest has no part in it. */
static void merge(struct ktlb_u64 *entry, uint64_t rights)
{
    uint64_t table = ktlb_load_relaxed(entry) & ADDRESS;
    uint64_t block = ktlb_load_relaxed((struct ktlb_u64 *)direct(table)) & ADDRESS;

    ktlb_store_release(entry, 0);
    world_invalidate_all();
    ktlb_store_release(entry, descriptor(block, rights, 21));
    frame_at(table)->node.next = NULL;
    machine_frame_free(&frame_at(table)->node);
}

static void protect(struct vcpu *vcpu, uint64_t va, uint64_t pages, uint64_t rights)
{
    unsigned shift = 21;
    struct ktlb_u64 *entry = entry_at(va, &shift);
    uint64_t old_one = ktlb_load_relaxed(entry);
    bool is_block = va >= BLOCK_BASE && va < FAR_BASE;

    if (is_block && pages == SLICE_PAGES) {
        if (old_one & TABLE)
            merge(entry, rights);
        else
            entry_set(vcpu, entry, va, descriptor(old_one & ADDRESS, rights, 21), 21);
        return;
    }
    if (is_block && !(old_one & TABLE))
        split(vcpu, entry, va & ~(HUGE_SIZE - 1));
    for (; pages; pages--, va += PAGE_SIZE) {
        shift = 12;
        entry = entry_at(va, &shift);
        old_one = ktlb_load_relaxed(entry);
        if (old_one & VALID)
            entry_set(vcpu, entry, va, descriptor(old_one & ADDRESS, rights, 12), 12);
    }
}

/* Another frame, and nobody is told. The old one is given up for good: it is still in use. */
static void change_untold(uint64_t va)
{
    unsigned shift = 12;
    struct ktlb_u64 *entry = entry_at(va, &shift);
    struct machine_frame *frame = machine_frame_alloc();

    ktlb_store_relaxed(machine_frame_words(frame), va | SECOND_FRAME);
    ktlb_store_release(entry, descriptor(frame->number * PAGE_SIZE, RIGHT_READ, 12));
}

static const char *const wrong_names[WRONG_KINDS] = {"stale", "still there", "still writable", "missing",
                                                   "not the code",
                                                   "written to while free", "what it was before"};

static void wrong(struct vcpu *vcpu, uint64_t what, uint64_t va, uint64_t value)
{
    uint64_t before = ktlb_rmw_add_relaxed(&wrongs[what % WRONG_KINDS], 1);

    if (!leave_out && before < 3)
        machine_print("# vCPU %u, %llx: %s, %llx", vcpu->number, (unsigned long long)va,
                      wrong_names[what % WRONG_KINDS], (unsigned long long)value);
}

static bool is_inside(const struct vcpu *vcpu)
{
    return !ktlb_vcpu_left(&vcpu->slot, ktlb_vcpu_mark(&vcpu->slot));
}

/* vCPU 1 has had the time to use its page, and what was invalidated before is filled again. */
static bool is_ready(void)
{
    return ready && arch_clock() - ready_at > arch_clock_per_ms() * DELAY_MS / 4 &&
           (role == ROLE_REPLACED || is_inside(&vcpus[1]));
}

/* false: the guest is done. */
static bool system_call(struct vcpu *vcpu)
{
    uint64_t which = vcpu->world.x[0], va = vcpu->world.x[1], pages = vcpu->world.x[2], rights = vcpu->world.x[3];

    vcpu->calls++;
    vcpu->world.x[0] = 0;
    progress(arch_cpu());
    switch (which) {
    case CALL_MAP:
        vcpu->world.x[0] = map(vcpu, va, rights);
        for (uint64_t i = 1; i < pages; i++)
            map(vcpu, va + i * PAGE_SIZE, rights);
        break;
    case CALL_UNMAP:
        for (uint64_t i = 0; i < pages; i++)
            unmap(vcpu, va + i * PAGE_SIZE);
        break;
    case CALL_PROTECT:
        protect(vcpu, va, pages, rights);
        break;
    case CALL_BOTH:
        protect(vcpu, va, 1, rights);
        protect(vcpu, pages, 1, rights);
        break;
    case CALL_READY:
        ready = true;
        ready_at = arch_clock();
        break;
    case CALL_TAKE:
        if (ktlb_load_acquire_u32(&running) < vcpus_count) {
            vcpu->world.x[0] = TAKE_OVER;
        } else if (is_ready()) {
            ready = false;
            unmap(vcpu, va);
            vcpu->delayed = true;
            vcpu->world.x[0] = TAKE_DONE;
        }
        break;
    case CALL_STALE:
        change_untold(va);
        break;
    case CALL_ALL:
        ktlb_vcpu_add(&vcpu->slot, ktlb_op_all(0));
        break;
    case CALL_CODE:
        ktlb_vcpu_add(&vcpu->slot, (struct ktlb_op){.flags = KTLB_EXEC});
        break;
    case CALL_WRONG:
        wrong(vcpu, va, pages, rights);
        break;
    case CALL_SAW:
        saw[va % SAWS] = pages;
        break;
    case CALL_EXIT:
        return false;
    default:
        kernel_panic("vCPU %u: system call %lu", vcpu->number, which);
    }
    return true;
}

/* ---- faults, the tables locked ---- */

static uint64_t *saved_register(unsigned number)
{
    return (uint64_t *)direct(READ_REGISTER(sp_el1) - EL1_BASE) + number;
}

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

static bool allows(uint64_t entry, enum access access)
{
    if (!(entry & VALID))
        return false;
    return access == ACCESS_READ || !(entry & (access == ACCESS_WRITE ? READ_ONLY : NO_EXECUTE_0));
}

/* Whether the page at @va is to be invalidated by the shim. */
static void fault(struct vcpu *vcpu, uint64_t va)
{
    uint64_t esr = GUEST_READ(ESR_EL12), held;
    enum access access = esr >> 26 == 0x20 ? ACCESS_FETCH : esr >> 6 & 1 ? ACCESS_WRITE : ACCESS_READ;
    unsigned shift = 12;
    struct ktlb_u64 *entry = entry_at(va, &shift);

    held = ktlb_load_relaxed(entry);
    if (allows(held, access)) {
        vcpu->stale_faults++; /* changed since, by a sibling: try again */
    } else if ((held & VALID) && (held & IN_TURN) && access != ACCESS_READ) {
        uint64_t rights = access == ACCESS_WRITE ? RIGHT_READ | RIGHT_WRITE : RIGHT_READ | RIGHT_EXECUTE;

        entry_set(vcpu, entry, va & ~(PAGE_SIZE - 1), descriptor(held & ADDRESS, rights, 12) | IN_TURN, 12);
        vcpu->flips++;
    } else if (esr >> 26 == 0x24) {
        *saved_register(17) = 1;
        GUEST_WRITE(ELR_EL12, GUEST_READ(ELR_EL12) + 4);
    } else {
        kernel_panic("vCPU %u died: pc %lx esr %lx far %lx", vcpu->number, GUEST_READ(ELR_EL12), esr, va);
    }
}

/* ---- the vCPU ---- */

enum { SHIM_SYSTEM = 5, SHIM_PAGE = 9, SHIM_OTHER = 11, SHIM_INTERRUPT = 15 };

static void registers_set(struct vcpu *vcpu, struct ktlb_guest_registers registers)
{
    struct ktlb_guest_work work = ktlb_guest_decode(registers);

    vcpu->kinds[work.kind]++;
    vcpu->instructions += work.instructions;
    if (leave_out == LEAVE_THE_FLUSH)
        registers = (struct ktlb_guest_registers){.x8 = KTLB_GUEST_NONE};
    vcpu->world.x[8] = registers.x8;
    vcpu->world.x[9] = registers.x9;
    vcpu->world.x[10] = registers.x10;
    vcpu->world.x[11] = registers.x11;
}

static void tell_siblings(struct vcpu *vcpu)
{
    for (unsigned i = 0; i < vcpus_count && leave_out != LEAVE_SHARING; i++)
        if (i != vcpu->number)
            ktlb_vcpu_share(&vcpu->slot, &vcpus[i].slot);
}

/* The shim has called. false: the guest is done. */
static bool called(struct vcpu *vcpu, unsigned shim)
{
    uint64_t far = GUEST_READ(FAR_EL12);
    bool more = true;

    ktlb_vcpu_leave(&vcpu->slot);
    if (vcpu->held) {
        if (!ktlb_vcpu_flushed(&vcpu->slot, vcpu->held_mark))
            kernel_panic("vCPU %u came out without having flushed", vcpu->number);
        machine_frame_free(vcpu->held);
        vcpu->held = NULL;
    }
    lock_take(&tables_lock);
    if (shim == SHIM_SYSTEM)
        more = system_call(vcpu);
    else if (shim == SHIM_PAGE || shim == SHIM_OTHER)
        fault(vcpu, far);
    else
        vcpu->world.hcr &= ~UINT64_C(HCR_VIRTUAL_IRQ);
    tell_siblings(vcpu);
    vcpu->held_mark = ktlb_vcpu_mark(&vcpu->slot);
    lock_release(&tables_lock);
    if (!more)
        return false;
    if (vcpu->delayed) { /* a monitor's thread is preempted whenever its own kernel likes */
        uint64_t until = arch_clock() + arch_clock_per_ms() * DELAY_MS;

        while (arch_clock() < until)
            machine_relax();
        vcpu->delayed = false;
        lock_take(&tables_lock);
        ready_at = arch_clock();
        lock_release(&tables_lock);
    }
    registers_set(vcpu, shim == SHIM_PAGE ? ktlb_vcpu_enter_page(&vcpu->slot, far) : ktlb_vcpu_enter(&vcpu->slot));
    return true;
}

static uint64_t image_physical(const void *pointer)
{
    return (uintptr_t)pointer - KERNEL_BASE + arm.image;
}

static unsigned features_found(void)
{
    unsigned ranges = (READ_REGISTER(id_aa64isar0_el1) >> 56 & 15) >= 2 ? KTLB_GUEST_RANGES : 0;

    return ranges | ((READ_REGISTER(id_aa64mmfr2_el1) >> 52 & 15) >= 2 ? KTLB_GUEST_BBML2 : 0u);
}

static uint64_t block_new(uint64_t va)
{
    struct machine_frame *frame = machine_huge_alloc();
    uint64_t address = frame ? frame->number * PAGE_SIZE : 0;

    if (!frame)
        kernel_panic("no huge frame for the guest");
    for (uint64_t page = 0; page < SLICE_PAGES; page++)
        *(uint64_t *)direct(address + page * PAGE_SIZE) = va + page * PAGE_SIZE;
    return descriptor(address, RIGHT_READ | RIGHT_WRITE, 21);
}

/* Once: the tables that all vCPUs share. */
static void guest_prepare(uint64_t *root1)
{
    uint64_t program = image_physical((const void *)(uintptr_t)guest_program) & ~(PAGE_SIZE - 1);
    unsigned shift;

    root = direct(table_new());
    for (unsigned i = 0; i < PROGRAM_PAGES; i++) {
        shift = 12;
        ktlb_store_release(entry_at(PROGRAM_BASE + i * PAGE_SIZE, &shift),
                           descriptor(program + i * PAGE_SIZE, RIGHT_READ | RIGHT_EXECUTE, 12));
    }
    *root1 = table_new();
    for (uint64_t gib = 0; gib < 512; gib++) /* no device is among what the shim touches */
        ((uint64_t *)direct(*root1))[gib] = gib << 30 | VALID | NORMAL | NO_EXECUTE_0;
}

static void vcpu_prepare(struct vcpu *vcpu, uint64_t operations, uint64_t root1)
{
    unsigned shift = 21;
    uint64_t stack = STACKS_BASE + vcpu->number * 2 * PAGE_SIZE, block = BLOCK_BASE + vcpu->number * HUGE_SIZE;

    ktlb_vcpu_init(&vcpu->slot, vcpu->features);
    map(vcpu, stack, RIGHT_READ | RIGHT_WRITE);
    ktlb_store_release(entry_at(block, &shift), block_new(block));
    vcpu->world = (struct world){.pc = EL1_BASE + image_physical((const void *)(uintptr_t)world_guest_start),
                                 .spsr = GUEST_EL1, .hcr = HCR_GUEST};
    vcpu->world.x[0] = vcpu->number;
    vcpu->world.x[1] = vcpus_count;
    vcpu->world.x[2] = role;
    vcpu->world.x[3] = operations;
    vcpu->world.x[4] = machine_random() | 1;
    vcpu->root1 = root1;
    vcpu->stack = stack + PAGE_SIZE;
}

/* EL1's registers of this CPU. */
static void world_prepare(struct vcpu *vcpu)
{
    uint64_t program = image_physical((const void *)(uintptr_t)guest_program) & (PAGE_SIZE - 1);

    GUEST_WRITE(CPACR_EL12, 0);
    GUEST_WRITE(MAIR_EL12, MAIR);
    GUEST_WRITE(TCR_EL12, GUEST_TCR);
    GUEST_WRITE(SCTLR_EL12, GUEST_SCTLR);
    GUEST_WRITE(TTBR0_EL12, direct_address(root));
    GUEST_WRITE(TTBR1_EL12, vcpu->root1);
    GUEST_WRITE(VBAR_EL12, EL1_BASE + image_physical(ktlb_shim_vectors));
    GUEST_WRITE(ELR_EL12, PROGRAM_BASE + program);
    GUEST_WRITE(SPSR_EL12, GUEST_EL0);
    WRITE_REGISTER(sp_el0, vcpu->stack);
    vcpu->shim_stack = table_new();
    WRITE_REGISTER(sp_el1, EL1_BASE + vcpu->shim_stack + PAGE_SIZE);
}

static void vcpu_run(struct vcpu *vcpu)
{
    unsigned long irq = arch_irq_save();
    bool more = true;

    world_prepare(vcpu);
    ktlb_vcpu_enter_start(&vcpu->slot);
    while (more) { /* ended by the guest; the watchdog looks on */
        uint64_t why, esr;

        __asm__ volatile("msr daifset, #0xf" : : : "memory");
        why = world_enter(&vcpu->world);
        esr = READ_REGISTER(esr_el2);
        __asm__ volatile("msr daifclr, #5" : : : "memory");
        if (why == WORLD_CALL && esr >> 26 == 0x16) {
            more = called(vcpu, esr & 0xffff);
        } else if (why == WORLD_IRQ || why == WORLD_FIQ) {
            /* Ours, not the shim's: it goes on with what it has. If it is wanted out, it is interrupted in turn. */
            arch_irq_restore(1);
            arch_irq_save();
            if (ktlb_rmw_exchange_acquire_u32(&vcpu->kick, 0))
                vcpu->world.hcr |= HCR_VIRTUAL_IRQ;
        } else {
            kernel_panic("vCPU %u: exit %lu esr %lx pc %lx far %lx", vcpu->number, why, esr, vcpu->world.pc,
                         READ_REGISTER(far_el2));
        }
    }
    arch_irq_restore(irq);
}

/* ---- a thread that is no vCPU's: takes pages away, and may give them to someone else as soon as nobody uses them
 * ---- */

static void kick(const struct ktlb_cpuset *cpus)
{
    unsigned long irq = arch_irq_save();

    KTLB_CPUSET_EACH(cpu, cpus)
        ktlb_store_release_u32(&vcpus[cpu].kick, 1);
    arch_wake(cpus);
    arch_irq_restore(irq);
}

static void take_some(void)
{
    uint64_t mark[VCPUS_MAX], pages = role == ROLE_STORM ? 8 : 1;
    uint64_t first = role == ROLE_STORM ? machine_random() % (COMMON_PAGES - pages) : 0;
    struct ktlb_node *taken = NULL;
    struct ktlb_cpuset inside = {{0}};
    unsigned count = 0;

    lock_take(&tables_lock);
    if (role != ROLE_STORM && !(role == ROLE_TAKEN && is_ready())) {
        lock_release(&tables_lock);
        return;
    }
    ready = false;
    for (uint64_t page = first; page < first + pages; page++) {
        uint64_t va = REGION_BASE + ((SLICES - 1) * SLICE_PAGES + page) * PAGE_SIZE, old_one;
        struct ktlb_u64 *entry = entry_at(va, &(unsigned){12});

        old_one = ktlb_load_relaxed(entry);
        if (!(old_one & VALID))
            continue;
        ktlb_store_release(entry, 0);
        frame_of(old_one)->node.next = taken;
        taken = &frame_of(old_one)->node;
        count++;
        for (unsigned i = 0; i < vcpus_count && leave_out != LEAVE_POSTING; i++)
            ktlb_vcpu_post(&vcpus[i].slot, ktlb_op_range(va, PAGE_SIZE, 12, 0));
    }
    for (unsigned i = 0; i < vcpus_count; i++) {
        mark[i] = ktlb_vcpu_mark(&vcpus[i].slot);
        if (!ktlb_vcpu_left(&vcpus[i].slot, mark[i]))
            ktlb_cpuset_add(&inside, i);
    }
    lock_release(&tables_lock);
    if (!taken)
        return;
    if (!ktlb_cpuset_empty(&inside)) {
        taken_waits++;
        if (leave_out != LEAVE_LEFT)
            kick(&inside);
    }
    KTLB_CPUSET_EACH(cpu, &inside)
        while (!ktlb_vcpu_left(&vcpus[cpu].slot, mark[cpu]) && leave_out != LEAVE_LEFT) /* ended by the vCPU */
            machine_relax();
    taken_pages += count;
    machine_frame_free(taken);
}

static void cpu_run(void *argument)
{
    struct cpu *cpu = arch_cpu();

    (void)argument;
    if (cpu->number < vcpus_count) {
        vcpu_run(&vcpus[cpu->number]);
        ktlb_rmw_add_release_u32(&running, UINT32_MAX);
        return;
    }
    while (ktlb_load_acquire_u32(&running)) { /* ended by the vCPUs */
        take_some();
        progress(cpu);
        machine_relax();
    }
}

/* ---- runs ---- */

static void give_back(uint64_t address)
{
    struct machine_frame *frame = frame_at(address);

    frame->node.next = NULL;
    machine_frame_free(&frame->node);
}

/* The guest is over: its pages, its tables. A block's frame is one, split or not; the program was never a frame. */
static void guest_free(struct ktlb_u64 *table, uint64_t va, unsigned shift)
{
    for (unsigned i = 0; i < 512; i++, va += UINT64_C(1) << shift) {
        uint64_t entry = ktlb_load_relaxed(&table[i]), address = entry & ADDRESS;

        if (!(entry & VALID))
            continue;
        if (shift > 12 && (entry & TABLE))
            guest_free(direct(address), va, shift - 9);
        else if ((va < PROGRAM_BASE || va >= STACKS_BASE) && (va < BLOCK_BASE || va >= FAR_BASE || va % HUGE_SIZE == 0))
            give_back(address);
    }
    give_back(direct_address(table));
}

static uint64_t run(unsigned count, unsigned new_role, uint64_t operations, enum leave control)
{
    uint64_t root1, sum = 0;

    vcpus_count = count;
    leave_out = control;
    role = new_role;
    ready = false;
    memset(vcpus, 0, sizeof(vcpus));
    memset(wrongs, 0, sizeof(wrongs));
    taken_pages = taken_waits = 0;
    guest_prepare(&root1);
    for (unsigned i = 0; i < count; i++) {
        vcpus[i].number = i;
        vcpus[i].features = features_found() & (i & 1 ? KTLB_GUEST_FEATURES : ~(unsigned)KTLB_GUEST_BBML2);
        vcpu_prepare(&vcpus[i], operations / count, root1);
    }
    ktlb_store_release_u32(&running, count);
    machine_run(count == 1 ? 1 : count + 1, cpu_run, NULL);
    for (unsigned i = 0; i < count; i++) {
        machine_frame_free(vcpus[i].held);
        give_back(vcpus[i].shim_stack);
    }
    guest_free(root, 0, 30);
    give_back(root1);
    for (unsigned i = 0; i < WRONG_KINDS; i++)
        sum += ktlb_load_relaxed(&wrongs[i]);
    return sum;
}

#define SUM(field)                                                                                                     \
    ({                                                                                                                 \
        uint64_t sum_ = 0;                                                                                             \
        for (unsigned i_ = 0; i_ < vcpus_count; i_++)                                                                  \
            sum_ += vcpus[i_].field;                                                                                   \
        (unsigned long long)sum_;                                                                                      \
    })

static void judge(unsigned *passed, unsigned *failed, bool good, const char *what)
{
    machine_print("%s - %s", good ? "ok" : "not ok", what);
    *(good ? passed : failed) += 1;
}

static const char *const scene_names[] = {
    [ROLE_STARE] = "stare: a frame is reused when the vCPU that unmapped it has flushed, whoever looks at it",
    [ROLE_TAKEN] = "taken: a frame is reused when every vCPU has been out, and went in with what was posted",
    [ROLE_REPLACED] = "replaced: who maps where another has just unmapped does not meet what was there",
};

bool scenarios_run(const struct scenarios_options *options)
{
    unsigned passed = 0, failed = 0, count = machine.cpus - 1 < VCPUS_MAX ? machine.cpus - 1 : VCPUS_MAX;
    uint64_t operations = OPERATIONS * machine.scale / 1000;
    bool with_ranges = features_found() & KTLB_GUEST_RANGES;

    if (READ_REGISTER(CurrentEL) != 2 << 2 || count < 2)
        kernel_refuse("the monitor wants EL2 and three CPUs: --board virtualization=on --cpus 5");
    machine_print("# features: %s%s", features_found() & KTLB_GUEST_RANGES ? "range TLBI " : "",
                  features_found() & KTLB_GUEST_BBML2 ? "BBM level 2" : "");

    run(1, ROLE_PRECISION, 0, LEAVE_NO_STEP);
    machine_print("# an entry changed untold: %s before any flush, %s after 8 other pages, %s after a range of 24, "
                  "%s after all",
                  saw[SAW_CHANGE] == 1 ? "stale" : "fresh", saw[SAW_PAGES] == 1 ? "stale" : "fresh",
                  saw[SAW_RANGE] == 1 ? "stale" : "fresh", saw[SAW_ALL] == 1 ? "stale" : "fresh");
    judge(&passed, &failed, saw[SAW_CHANGE] == 1 && saw[SAW_PAGES] == 1 && saw[SAW_ALL] == 2 &&
          vcpus[0].kinds[KTLB_GUEST_PAGES] == 2 && vcpus[0].kinds[KTLB_GUEST_RANGE] == (with_ranges ? 2 : 0),
          "precision: what lies outside a flush of pages is kept, and a flush of all takes it");
    if (saw[SAW_RANGE] != 1)
        machine_print("# blind here: this machine's range TLBI drops more than its range");

    judge(&passed, &failed, run(count, ROLE_STORM, operations, LEAVE_NO_STEP) == 0,
          "storm: nobody reaches what was taken away");
    machine_print("# %u vCPUs, %llu system calls; entries: none %llu, pages %llu, range %llu, all %llu, "
                  "instructions %llu", count, SUM(calls), SUM(kinds[KTLB_GUEST_NONE]), SUM(kinds[KTLB_GUEST_PAGES]),
                  SUM(kinds[KTLB_GUEST_RANGE]), SUM(kinds[KTLB_GUEST_BROADCAST]), SUM(instructions));
    machine_print("# %llu W^X flips, %llu faults of the past, %llu blocks split, %llu pages taken by another thread, "
                  "%llu times after a kick", SUM(flips), SUM(stale_faults), SUM(splits),
                  (unsigned long long)taken_pages, (unsigned long long)taken_waits);
    for (unsigned scene = ROLE_STARE; scene <= ROLE_REPLACED; scene++)
        judge(&passed, &failed, run(2, scene, 0, LEAVE_NO_STEP) == 0, scene_names[scene]);
    for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]) && options->controls; i++) {
        uint64_t fired = run(controls[i].role == ROLE_STORM ? count : 2, controls[i].role, CONTROL_OPERATIONS,
                             controls[i].leave);

        machine_print("%s - control: %s: found %llu times", fired ? "ok" : "not ok", controls[i].text,
                      (unsigned long long)fired);
        *(fired ? &passed : &failed) += 1;
    }
    machine_print("%u passed, %u failed", passed, failed);
    return failed == 0;
}
