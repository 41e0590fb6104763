/*
 * cases.c - one small case per promise and per place a CPU can be in when somebody unmaps.
 *
 * Goal of each: in no execution is a promise broken; the oracle is in the machine, so a case only has to make things
 * happen. This file is a host kernel to the library, and is compiled like it: its plain accesses are checked for races,
 * which is how a batch read after its sync returned is caught.
 */
#include "cases.h"

#include "ktlb/guest.h"
#include "machine.h"

#define PAGE_SIZE (UINT64_C(1) << PAGE_BITS)
#define USER(page) (USER_BASE + (page) * PAGE_SIZE)
#define KERNEL(page) (KERNEL_BASE + (page) * PAGE_SIZE)
#define REGION_PAGES (UINT64_C(1) << (REGION_BITS - PAGE_BITS)) /* so many further, another table */
#define HUGE_PAGE USER(REGION_PAGES)

static struct machine_space *one, *two;
static struct machine_frame *huge; /* at HUGE_PAGE of one, where a case has that, whole or in pages */
static struct ktlb_batch batches[EX_CPUS_MAX][4];
static struct ktlb_u32 handed_over;

void machine_scribble(uint64_t *words, unsigned count, uint64_t value)
{
    for (unsigned i = 0; i < count; i++)
        words[i] = value;
}

/* ---- what cases are made of ---- */

#define ALL_RIGHTS (MACHINE_READ | MACHINE_WRITE)

static void map(struct machine_space *space, uint64_t va)
{
    machine_map(space, va, machine_frame_alloc(), ALL_RIGHTS);
}

static void load_on(unsigned cpu, struct machine_space *space)
{
    hardware_setup_cpu = cpu;
    machine_switch(space, true);
    hardware_setup_cpu = 0;
}

static void fresh(unsigned cpus)
{
    machine_reset(cpus);
    ktlb_store_relaxed_u32(&handed_over, 0);
    one = machine_space_create();
    two = machine_space_create();
    for (unsigned page = 0; page < 4; page++)
        map(one, USER(page));
    map(two, USER(0));
    for (unsigned page = 0; page < 2; page++)
        map(machine_kernel(), KERNEL(page));
}

/* Unhook and dispatch; the other half of the unmap path is finish(). */
static void start(struct ktlb_batch *batch, struct machine_space *space, uint64_t va, unsigned flags)
{
    struct machine_frame *frame;

    ktlb_batch_init(batch, machine_space_tlb(space));
    frame = machine_map(space, va, NULL, 0);
    ktlb_batch_defer(batch, &frame->node);
    ktlb_batch_add(batch, ktlb_op_range(va, PAGE_SIZE, PAGE_BITS, flags));
    ktlb_batch_dispatch(batch);
}

/* A page, in a batch of more strides than are done one by one. */
static void start_widely(struct ktlb_batch *batch, struct machine_space *space, uint64_t va, unsigned flags)
{
    ktlb_batch_init(batch, machine_space_tlb(space));
    ktlb_batch_defer(batch, &machine_map(space, va, NULL, 0)->node);
    ktlb_batch_add(batch, ktlb_op_range(va, (KTLB_FLUSH_MAX + 1) * PAGE_SIZE, PAGE_BITS, flags));
    ktlb_batch_dispatch(batch);
}

/* Sync, free, and scribble: from here on nobody may look at the batch. */
static void finish(struct ktlb_batch *batch)
{
    bool user = hardware_kernel_begin();
    struct ktlb_node *pages = ktlb_batch_sync(batch);

    hardware_kernel_end(user);
    machine_frame_free(pages);
    batch->request.space = NULL;
    batch->request.count = ~0u;
}

static void unmap(struct machine_space *space, uint64_t va, unsigned flags)
{
    struct ktlb_batch *batch = &batches[machine_cpu()][0];

    start(batch, space, va, flags);
    finish(batch);
}

static void unmap_table(struct machine_space *space, uint64_t va, unsigned flags)
{
    struct ktlb_batch *batch = &batches[machine_cpu()][0];
    struct machine_frame *table;

    ktlb_batch_init(batch, machine_space_tlb(space));
    table = machine_table_take(space, va);
    ktlb_batch_defer(batch, &table->node);
    ktlb_batch_add(batch, ktlb_op_range(va, PAGE_SIZE, PAGE_BITS, flags | KTLB_TABLES));
    ktlb_batch_dispatch(batch);
    finish(batch);
}

static void unmap_one(unsigned cpu)
{
    (void)cpu;
    unmap(one, USER(0), 0);
}

static void unmap_kernel(unsigned cpu)
{
    (void)cpu;
    unmap(machine_kernel(), KERNEL(0), KTLB_GLOBAL);
}

/* All in one call, and the page is the host's to keep. */
static void unmap_and_flush(unsigned cpu)
{
    struct machine_frame *frame = machine_map(one, USER(0), NULL, 0);
    bool user = hardware_kernel_begin();

    (void)cpu;
    ktlb_flush(machine_space_tlb(one), ktlb_op_range(USER(0), PAGE_SIZE, PAGE_BITS, 0));
    hardware_kernel_end(user);
    frame->node.next = NULL;
    machine_frame_free(&frame->node);
}

static void free_table(unsigned cpu)
{
    (void)cpu;
    unmap_table(one, USER(0), 0);
}

/* ---- setups ---- */

static void both_in_one(void)
{
    fresh(2);
    load_on(0, one);
    load_on(1, one);
}

static void second_in_one(void)
{
    fresh(2);
    load_on(1, one);
}

static void second_in_neither(void)
{
    fresh(2);
}

static void second_in_one_was_in_two(void)
{
    fresh(2);
    load_on(1, two);
    load_on(1, one);
}

static void second_in_two_was_in_one(void)
{
    fresh(2);
    load_on(1, one);
    load_on(1, two);
}


/* ---- the second CPU ---- */

static void just_there(void)
{
    machine_idle();
}

/* Uses what it has: between and after, interrupts arrive where they like. */
static void looks_around(void)
{
    uint64_t value;

    machine_load(USER(0), &value);
    machine_load(USER(1), &value);
    machine_idle();
}

static void switches_in(void)
{
    machine_switch(one, true);
    machine_idle();
}

static void goes_and_returns(void)
{
    machine_switch(two, true);
    machine_switch(one, true);
    machine_idle();
}

static void reloads(void)
{
    machine_switch(one, true);
    machine_idle();
}

static void switches_to_two(void)
{
    machine_switch(two, true);
    machine_idle();
}

static void is_lazy(void)
{
    machine_lazy_enter();
    machine_lazy_leave(true);
    machine_idle();
}

static void is_lazy_and_goes(void)
{
    machine_lazy_enter();
    machine_switch(two, true);
    machine_idle();
}

static void is_lazy_and_reloads(void)
{
    machine_lazy_enter();
    machine_switch(one, true);
    machine_idle();
}

static void goes_away(void)
{
    machine_offline();
}

static void comes_back_and_goes_again(void)
{
    machine_offline();
    machine_online(true);
    machine_offline();
}

static void comes_and_goes(void)
{
    machine_online(true);
    machine_offline();
}

static void goes_away_and_comes_back(void)
{
    machine_offline();
    machine_online(true);
    machine_idle();
}

#define TWO(initiator, target)                                                                     \
    static void initiator##_##target(unsigned cpu)                                                 \
    {                                                                                              \
        if (cpu == 0) {                                                                            \
            initiator(cpu);                                                                        \
            machine_idle();                                                                        \
        } else {                                                                                   \
            target();                                                                              \
        }                                                                                          \
    }
TWO(unmap_one, just_there)
TWO(unmap_one, looks_around)
TWO(unmap_and_flush, looks_around)
TWO(unmap_one, switches_in)
TWO(unmap_one, goes_and_returns)
TWO(unmap_one, reloads)
TWO(unmap_one, switches_to_two)
TWO(unmap_one, is_lazy)
TWO(unmap_one, is_lazy_and_goes)
TWO(unmap_one, is_lazy_and_reloads)
TWO(free_table, just_there)
TWO(free_table, switches_in)
TWO(free_table, goes_and_returns)
TWO(free_table, is_lazy)
TWO(free_table, is_lazy_and_goes)
TWO(unmap_kernel, just_there)
TWO(unmap_kernel, switches_to_two)
TWO(unmap_kernel, goes_away)
TWO(unmap_kernel, goes_away_and_comes_back)

/* A table of the kernel's half dies while the second CPU moves to a tag that has walked it before. */
static void free_kernel_table(unsigned cpu)
{
    (void)cpu;
    unmap_table(machine_kernel(), KERNEL(0), KTLB_GLOBAL);
}
TWO(free_kernel_table, switches_to_two)

TWO(unmap_kernel, comes_back_and_goes_again)

/* A table dies in a batch of more strides than are done one by one. */
static void free_table_widely(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    ktlb_batch_init(batch, machine_space_tlb(one));
    ktlb_batch_defer(batch, &machine_table_take(one, USER(0))->node);
    ktlb_batch_add(batch, ktlb_op_range(USER(0), (KTLB_FLUSH_MAX + 1) * PAGE_SIZE, PAGE_BITS, KTLB_TABLES));
    ktlb_batch_dispatch(batch);
    finish(batch);
}
TWO(free_table_widely, is_lazy)

/* The same of the kernel's half: everything goes, under every tag. */
static void unmap_kernel_widely(unsigned cpu)
{
    start_widely(&batches[cpu][0], machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    finish(&batches[cpu][0]);
}
TWO(unmap_kernel_widely, switches_to_two)

/* Two unmaps one after the other: what was posted for a CPU that left must not be read when it is back. */
static void unmap_kernel_twice(unsigned cpu)
{
    (void)cpu;
    unmap(machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    unmap(machine_kernel(), KERNEL(1), KTLB_GLOBAL);
}
TWO(unmap_kernel_twice, goes_away_and_comes_back)

/* ---- more of one initiator ---- */

/* The second follows at once, while the target may still be busy with the first. */
static void unmap_twice(unsigned cpu)
{
    (void)cpu;
    unmap(one, USER(0), 0);
    unmap(one, USER(1), 0);
}
TWO(unmap_twice, just_there)

/* What of this CPU is in flight, in its order. */
static void finish_three(unsigned cpu)
{
    for (unsigned i = 0; i < 3; i++)
        finish(&batches[cpu][i]);
}

/* More batches in flight than a mailbox has slots; waited for in the reverse order. */
static void many_in_flight(unsigned cpu)
{
    for (unsigned i = 0; i < 3; i++)
        start(&batches[cpu][i], one, USER(i), 0);
    for (unsigned i = 3; i-- > 0;)
        finish(&batches[cpu][i]);
}
TWO(many_in_flight, just_there)
TWO(many_in_flight, switches_to_two)

/* Fewer, so that it can be exhausted with a target that moves. */
static void two_in_flight(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(0), 0);
    start(&batches[cpu][1], one, USER(1), 0);
    finish(&batches[cpu][1]);
    finish(&batches[cpu][0]);
}
TWO(two_in_flight, switches_to_two)

static void many_in_flight_mixed(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(0), 0);
    start(&batches[cpu][1], one, USER(1), 0);
    start(&batches[cpu][2], machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    finish_three(cpu);
}
TWO(many_in_flight_mixed, just_there)

/* Two ops, which touch no page in common and so stay two. */
static void start_several(struct ktlb_batch *batch)
{
    ktlb_batch_init(batch, machine_space_tlb(one));
    for (unsigned page = 0; page < 4; page += 3) {
        ktlb_batch_defer(batch, &machine_map(one, USER(page), NULL, 0)->node);
        ktlb_batch_add(batch, ktlb_op_range(USER(page), PAGE_SIZE, PAGE_BITS, 0));
    }
    ktlb_batch_dispatch(batch);
}

/* The largest first: what follows finds all of the target's place taken, and the last even what there is beside it. */
static void several_in_flight(unsigned cpu)
{
    start_several(&batches[cpu][0]);
    start(&batches[cpu][1], one, USER(1), 0);
    start(&batches[cpu][2], one, USER(2), 0);
    finish_three(cpu);
}
TWO(several_in_flight, just_there)

static void several_in_flight_kernel(unsigned cpu)
{
    start_several(&batches[cpu][0]);
    start(&batches[cpu][1], one, USER(1), 0);
    start(&batches[cpu][2], machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    finish_three(cpu);
}
TWO(several_in_flight_kernel, just_there)

/* The same, the kernel's before the last: that one is told as the space alone, and the kernel's has to be read still. */
static void several_in_flight_kernel_first(unsigned cpu)
{
    start_several(&batches[cpu][0]);
    start(&batches[cpu][1], machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    start(&batches[cpu][2], one, USER(1), 0);
    finish_three(cpu);
}
TWO(several_in_flight_kernel_first, just_there)

/* What drops the whole space comes second, and does for one of the space before it, but not for the kernel's. */
static void kernel_in_flight_widely(unsigned cpu)
{
    start(&batches[cpu][0], machine_kernel(), KERNEL(0), KTLB_GLOBAL);
    start_widely(&batches[cpu][1], one, USER(0), 0);
    finish(&batches[cpu][0]);
    finish(&batches[cpu][1]);
}
TWO(kernel_in_flight_widely, just_there)

static void in_flight_widely(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(1), 0);
    start_widely(&batches[cpu][1], one, USER(0), 0);
    start(&batches[cpu][2], one, USER(2), 0);
    finish_three(cpu);
}
TWO(in_flight_widely, just_there)

/* The last is of two ops of the kernel's half, and finds all taken, and a line rung for already. */
static void kernel_several_in_flight(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][2];

    start_several(&batches[cpu][0]);
    start(&batches[cpu][1], one, USER(1), 0);
    ktlb_batch_init(batch, &ktlb_kernel);
    ktlb_batch_defer(batch, &machine_map(machine_kernel(), KERNEL(0), NULL, 0)->node);
    for (unsigned page = 0; page < 4; page += 3)
        ktlb_batch_add(batch, ktlb_op_range(KERNEL(page), PAGE_SIZE, PAGE_BITS, KTLB_GLOBAL));
    ktlb_batch_dispatch(batch);
    finish_three(cpu);
}
TWO(kernel_several_in_flight, just_there)

/* The largest between two others, and one after it that takes what the first has given back. */
static void several_in_between(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(1), 0);
    start_several(&batches[cpu][1]);
    finish(&batches[cpu][0]);
    start(&batches[cpu][2], one, USER(2), 0);
    finish(&batches[cpu][2]);
    finish(&batches[cpu][1]);
}
TWO(several_in_between, just_there)

static void asks_without_waiting(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    start(batch, one, USER(0), 0);
    while (!ktlb_batch_done(batch))
        machine_relax();
    finish(batch);
}
TWO(asks_without_waiting, just_there)

/* Dispatched here, waited for there; here the next one is dispatched meanwhile, in the place of the first or beside it. */
static void hands_over(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(0), 0);
    ktlb_store_release_u32(&handed_over, 1);
    start(&batches[cpu][1], one, USER(1), 0);
    finish(&batches[cpu][1]);
}

static void waits_for_the_other(void)
{
    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    finish(&batches[0][0]);
    machine_idle();
}
TWO(hands_over, waits_for_the_other)

/* Waited for where another is in flight, and a third follows at once. */
static void only_hands_over(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(0), 0);
    ktlb_store_release_u32(&handed_over, 1);
}

static void waits_among_its_own(void)
{
    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    start(&batches[1][0], one, USER(1), 0);
    finish(&batches[0][0]);
    start(&batches[1][1], one, USER(2), 0);
    finish(&batches[1][0]);
    finish(&batches[1][1]);
    machine_idle();
}
TWO(only_hands_over, waits_among_its_own)

/* Disjoint pages, more than a batch keeps apart; and more strides than it counts. */
static void disjoint(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    ktlb_batch_init(batch, machine_space_tlb(one));
    for (unsigned i = 0; i < 3; i++) {
        uint64_t va = USER(i == 2 ? 3 : i);

        ktlb_batch_defer(batch, &machine_map(one, va, NULL, 0)->node);
        ktlb_batch_add(batch, ktlb_op_range(va, PAGE_SIZE, PAGE_BITS, 0));
    }
    ktlb_batch_dispatch(batch);
    finish(batch);
}
TWO(disjoint, just_there)

/* ---- an entry takes the place of another ---- */

/* Another frame: at once, where that may be done; else the old one goes first, and is nowhere any more, before the new
 * one is there. */
static void replace(struct machine_space *space, uint64_t va, unsigned flags)
{
    struct ktlb_batch *batch = &batches[machine_cpu()][0];
    struct machine_frame *frame = machine_frame_alloc();
    bool breaks = machine_map_breaks(space, va, frame, ALL_RIGHTS);

    ktlb_batch_init(batch, machine_space_tlb(space));
    ktlb_batch_defer(batch, &machine_map(space, va, breaks ? NULL : frame, ALL_RIGHTS)->node);
    ktlb_batch_add(batch, ktlb_op_range(va, PAGE_SIZE, PAGE_BITS, flags));
    ktlb_batch_dispatch(batch);
    finish(batch);
    if (breaks)
        machine_map(space, va, frame, ALL_RIGHTS);
    ktlb_store_release_u32(&handed_over, 1);
}

static void replace_one(unsigned cpu)
{
    (void)cpu;
    replace(one, USER(0), 0);
}

static void replace_kernel(unsigned cpu)
{
    (void)cpu;
    replace(machine_kernel(), KERNEL(0), KTLB_GLOBAL);
}

/* Whoever faults between the break and the make tries again when the tables are whole, and has the page. */
static void tries_again(void)
{
    uint64_t value;

    machine_load(USER(0), &value);
    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    ex_check(machine_load(USER(0), &value), "P1: a page that was given another frame is not there");
    machine_idle();
}
TWO(replace_one, just_there)
TWO(replace_one, tries_again)
TWO(replace_one, switches_in)
TWO(replace_one, goes_and_returns)
TWO(replace_one, is_lazy)
TWO(replace_kernel, switches_to_two)
TWO(replace_kernel, goes_away_and_comes_back)

/* Rights go and come back, and nothing is broken for that: both entries may be cached at once. */
static void protect_and_back(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    for (unsigned rights = MACHINE_READ; rights <= ALL_RIGHTS; rights += MACHINE_WRITE) {
        ktlb_batch_init(batch, machine_space_tlb(one));
        machine_protect(one, USER(0), rights);
        ktlb_batch_add(batch, ktlb_op_range(USER(0), PAGE_SIZE, PAGE_BITS, 0));
        ktlb_batch_dispatch(batch);
        finish(batch);
    }
}
TWO(protect_and_back, looks_around)

/* A table of pages becomes one huge page: the table dies, and every small entry with it. */
static void merge(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];
    struct machine_frame *table;
    bool breaks = machine_size_breaks(one, HUGE_PAGE);

    ktlb_batch_init(batch, machine_space_tlb(one));
    table = breaks ? machine_table_take(one, HUGE_PAGE) : machine_merge(one, HUGE_PAGE, MACHINE_READ);
    ktlb_batch_defer(batch, &table->node);
    ktlb_batch_add(batch, ktlb_op_range(HUGE_PAGE, TABLE_PAGES * PAGE_SIZE, PAGE_BITS, KTLB_TABLES));
    ktlb_batch_dispatch(batch);
    finish(batch);
    if (breaks)
        machine_map_huge(one, HUGE_PAGE, huge, MACHINE_READ);
}

/* The reverse: a huge page becomes a table, and one of its pages loses a right. */
static void split(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    if (machine_size_breaks(one, HUGE_PAGE)) {
        ktlb_batch_init(batch, machine_space_tlb(one));
        machine_map_huge(one, HUGE_PAGE, NULL, 0);
        ktlb_batch_add(batch, ktlb_op_range(HUGE_PAGE, REGION_PAGES * PAGE_SIZE, REGION_BITS, 0));
        ktlb_batch_dispatch(batch);
        finish(batch);
    }
    machine_split(one, HUGE_PAGE, huge, ALL_RIGHTS);
    ktlb_batch_init(batch, machine_space_tlb(one));
    machine_protect(one, HUGE_PAGE, MACHINE_READ);
    ktlb_batch_add(batch, ktlb_op_range(HUGE_PAGE, PAGE_SIZE, PAGE_BITS, 0));
    ktlb_batch_dispatch(batch);
    finish(batch);
}

static void uses_it(void)
{
    uint64_t value;

    machine_load(HUGE_PAGE, &value);
    machine_load(HUGE_PAGE + PAGE_SIZE, &value);
    machine_idle();
}
TWO(merge, just_there)
TWO(merge, uses_it)
TWO(split, uses_it)

static void both_in_one_with_a_huge_page(void)
{
    both_in_one();
    huge = machine_huge_alloc();
    machine_map_huge(one, HUGE_PAGE, huge, ALL_RIGHTS);
}

static void both_in_one_with_its_pages(void)
{
    both_in_one();
    huge = machine_huge_alloc();
    machine_split(one, HUGE_PAGE, huge, ALL_RIGHTS);
}

/* A table dies and the next one takes its place: unmapped and synced, so nothing is left to break. */
static void renew_table(unsigned cpu)
{
    free_table(cpu);
    map(one, USER(0));
}
TWO(renew_table, just_there)
TWO(renew_table, goes_and_returns)

/* ---- the ring: what a CPU missed while it was away or lazy. It holds two dispatches here ---- */

/* Unmap @count pages from @va at once, so that ops differ in both of their words. */
static void unmap_run(struct machine_space *space, unsigned page, unsigned count, unsigned flags)
{
    struct ktlb_batch *batch = &batches[machine_cpu()][0];

    ktlb_batch_init(batch, machine_space_tlb(space));
    for (unsigned i = 0; i < count; i++)
        ktlb_batch_defer(batch, &machine_map(space, USER(page + i), NULL, 0)->node);
    ktlb_batch_add(batch, ktlb_op_range(USER(page), count * PAGE_SIZE, PAGE_BITS, flags));
    ktlb_batch_dispatch(batch);
    finish(batch);
}

/* Two missed and both there; three, so that the third is written over the first while it may be read. */
static void unmap_two(unsigned cpu)
{
    (void)cpu;
    unmap_run(one, 0, 1, 0);
    unmap_run(one, 1, 2, 0);
}

static void unmap_three(unsigned cpu)
{
    (void)cpu;
    unmap_run(one, 0, 2, 0);
    unmap_run(one, 2, 1, 0);
    unmap_run(one, 3, 1, 0);
}

static void comes_in(void)
{
    machine_switch(one, true);
    machine_idle();
}
TWO(unmap_two, comes_in)
TWO(unmap_three, comes_in)
TWO(unmap_two, is_lazy)
TWO(free_table, comes_in)

/* Two writers of one entry: the second CPU overwrites what the first wrote, then reads it. */
static void write_over(unsigned cpu)
{
    if (cpu == 0) {
        unmap_run(one, 0, 1, 0);
    } else {
        machine_switch(one, true);
        machine_switch(two, true);
        unmap_run(one, 1, 1, 0);
        unmap_run(one, 2, 2, 0);
        machine_switch(one, true);
    }
    machine_idle();
}

/* A request and no page: it raises the generation, and takes its place in the ring. */
static void ask(struct machine_space *space)
{
    ktlb_flush(machine_space_tlb(space), ktlb_op_range(USER(1), PAGE_SIZE, PAGE_BITS, 0));
}

/* The first CPU is still writing its entry when the second, two dispatches on, does without; the one after that finds there
 * what is older than what it expects, and of which it knows nothing. */
static void write_over_older(unsigned cpu)
{
    if (cpu == 0) {
        unmap_run(one, 0, 1, 0);
    } else {
        ask(one);
        ask(one);
        machine_switch(two, true);
        ask(one);
        unmap_run(one, 2, 2, 0);
        machine_switch(one, true);
    }
    machine_idle();
}

/* TRAPS 31: the initiator runs another space than the one it shoots. */
static void unmap_in_two(unsigned cpu)
{
    (void)cpu;
    unmap(two, USER(0), 0);
}
TWO(unmap_in_two, goes_and_returns)

/* A right that was not there is given: whoever is told of it may use it. Where a TLB remembers what was not there, that is
 * dropped as well. */
static void maps_and_tells(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    ktlb_batch_init(batch, machine_space_tlb(one));
    map(one, USER(4));
    ktlb_batch_add(batch, ktlb_op_range(USER(4), PAGE_SIZE, PAGE_BITS, 0));
    ktlb_batch_dispatch(batch);
    finish(batch);
    ktlb_store_release_u32(&handed_over, 1);
}

static void maps_below_a_table(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    ktlb_batch_init(batch, machine_space_tlb(one));
    map(one, USER(REGION_PAGES));
    ktlb_batch_add(batch, ktlb_op_range(USER(REGION_PAGES), PAGE_SIZE, PAGE_BITS, KTLB_TABLES));
    ktlb_batch_dispatch(batch);
    finish(batch);
    ktlb_store_release_u32(&handed_over, 1);
}

static void uses(uint64_t va)
{
    uint64_t value;

    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    ex_check(machine_load(va, &value), "P1: a page that was mapped, and told of, is not there");
    machine_idle();
}

static void uses_the_page(void)
{
    uses(USER(4));
}

static void uses_the_table(void)
{
    uses(USER(REGION_PAGES));
}
TWO(maps_and_tells, uses_the_page)
TWO(maps_below_a_table, uses_the_table)

/* The same, and nobody is told: who is refused by what it remembers is refused once, for the fault drops that. */
static void given(void)
{
    ktlb_store_release_u32(&handed_over, 1);
}

static bool is_there(uint64_t va)
{
    uint64_t value;

    return machine_load(va, &value);
}

static void finds(bool (*allowed)(uint64_t va), uint64_t va)
{
    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    ex_check(allowed(va) || allowed(va), "P1: what was given is refused again after a fault");
    machine_idle();
}

static bool is_writable(uint64_t va)
{
    return machine_store(va, 1);
}

static void gives_a_page(unsigned cpu)
{
    if (cpu == 0) {
        map(one, USER(4));
        given();
    } else {
        finds(is_there, USER(4));
    }
}

static void gives_a_table(unsigned cpu)
{
    if (cpu == 0) {
        map(one, USER(REGION_PAGES));
        given();
    } else {
        finds(is_there, USER(REGION_PAGES));
    }
}

static void gives_a_kernel_page(unsigned cpu)
{
    if (cpu == 0) {
        map(machine_kernel(), KERNEL(2));
        given();
    } else {
        finds(is_there, KERNEL(2));
    }
}

static void second_may_only_read(void)
{
    second_in_one();
    machine_protect(one, USER(0), MACHINE_READ);
}

static void gives_a_right(unsigned cpu)
{
    if (cpu == 0) {
        machine_protect(one, USER(0), ALL_RIGHTS);
        given();
    } else {
        finds(is_writable, USER(0));
    }
}

/* ---- both are initiators ---- */

static void each_unmaps(unsigned cpu)
{
    unmap(one, USER(cpu), 0);
    machine_idle();
}

static void each_unmaps_masked(unsigned cpu)
{
    ktlb_irq irq = ktlb_port_irq_save();

    unmap(one, USER(cpu), 0);
    ktlb_port_irq_restore(irq);
    machine_idle();
}

/* Who dispatches looks at what was asked of it meanwhile, and need not come back for it: here it does something else, and
 * does not sync before the other has. */
static void asks_and_turns_away(unsigned cpu)
{
    if (cpu == 0) {
        unmap(one, USER(0), 0);
        ktlb_store_release_u32(&handed_over, 1);
    } else {
        start(&batches[1][0], one, USER(1), 0);
        while (!ktlb_load_acquire_u32(&handed_over))
            machine_relax();
        finish(&batches[1][0]);
    }
    machine_idle();
}

/* The same with interrupts masked all along: by NMI. */
static void asks_and_turns_away_masked(unsigned cpu)
{
    ktlb_irq irq = ktlb_port_irq_save();

    asks_and_turns_away(cpu);
    ktlb_port_irq_restore(irq);
}

/* Two who ask each other at once, each twice, so that who is done with the first is in the midst of the second. */
static void each_unmaps_two(unsigned cpu)
{
    start(&batches[cpu][0], one, USER(2 * cpu), 0);
    start(&batches[cpu][1], one, USER(2 * cpu + 1), 0);
    finish(&batches[cpu][1]);
    finish(&batches[cpu][0]);
    machine_idle();
}

/* The one drops the whole space for its own request, and takes it that this did for the other's as well. */
static void one_unmaps_widely(unsigned cpu)
{
    if (cpu == 0) {
        unmap(one, USER(0), 0);
    } else {
        start_widely(&batches[1][0], one, USER(1), 0);
        finish(&batches[1][0]);
    }
    machine_idle();
}

/* Two ops do no such thing. */
static void one_unmaps_several(unsigned cpu)
{
    if (cpu == 0) {
        unmap(one, USER(1), 0);
    } else {
        start_several(&batches[1][0]);
        finish(&batches[1][0]);
    }
    machine_idle();
}

/* The second has executed its own before the first's, of which the space's drop is for no more than itself and what was
 * before it: which of the others is done and which is not has to be known exactly. */
static void executed_ahead_of_a_flush(unsigned cpu)
{
    if (cpu == 0) {
        start_widely(&batches[0][0], one, USER(0), 0);
        start(&batches[0][1], one, USER(1), 0);
        finish(&batches[0][0]);
        finish(&batches[0][1]);
    } else {
        unmap(one, USER(2), 0);
    }
    machine_idle();
}

/* P6: who cannot hold it is not interrupted; final looks at the count. */
static void second_in_two(void)
{
    fresh(2);
    load_on(0, one);
    load_on(1, two);
}

static void nobody_was_interrupted(void)
{
    ex_check(hardware_interrupts_sent() == 0, "P6: a CPU in another space was interrupted");
}

/* Interrupts from nobody, anywhere. */
static void both_in_one_and_strays(void)
{
    both_in_one();
    hardware_stray(1, 2);
}

/* An interrupt handler that unmaps on its own, wherever it finds its CPU: in the middle of a wait, above all. */
static void unmap_in_handler(void)
{
    start(&batches[machine_cpu()][3], one, USER(1), 0);
    finish(&batches[machine_cpu()][3]);
}

static void both_in_one_and_a_handler(void)
{
    both_in_one();
    hardware_stray(0, 1);
    hardware_stray_handler = unmap_in_handler;
}

/* The same on the target, which may be about to serve the first CPU. */
static void both_in_one_and_a_handler_there(void)
{
    both_in_one();
    hardware_stray(1, 1);
    hardware_stray_handler = unmap_in_handler;
}

/* ---- by NMI: everywhere, and with interrupts masked ---- */

#define BY_NMI(setup)                                                                              \
    static void setup##_by_nmi(void)                                                               \
    {                                                                                              \
        setup();                                                                                   \
        hardware_by_nmi = true;                                                                    \
    }
BY_NMI(both_in_one)
BY_NMI(second_in_one)
BY_NMI(second_in_neither)
BY_NMI(both_in_one_and_strays)

/* P5: the target spins with interrupts masked and never polls, for something that comes after the sync. */
static void waits_masked(void)
{
    ktlb_irq irq = ktlb_port_irq_save();

    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    ktlb_port_irq_restore(irq);
    machine_idle();
}

static void unmap_and_release(unsigned cpu)
{
    unmap_one(cpu);
    ktlb_store_release_u32(&handed_over, 1);
}
TWO(unmap_and_release, waits_masked)

/* ---- three CPUs ---- */

/* The initiators themselves are elsewhere, so that all there is to interleave is about the third. */
static void third_in_one(void)
{
    fresh(3);
    load_on(2, one);
}

static void three_in_one(void)
{
    fresh(3);
    for (unsigned cpu = 0; cpu < 3; cpu++)
        load_on(cpu, one);
}

static void only_kernel(void)
{
    fresh(3);
}

static void only_second_is_there(void)
{
    fresh(3);
    for (unsigned cpu = 0; cpu < 3; cpu += 2) {
        hardware_setup_cpu = cpu;
        machine_offline();
    }
    hardware_setup_cpu = 0;
}

/* A request and no page: all there is to see is who reads it, and when. */
static void ask_the_kernel(struct ktlb_batch *batch)
{
    ktlb_batch_init(batch, &ktlb_kernel);
    ktlb_batch_add(batch, ktlb_op_range(KERNEL(0), PAGE_SIZE, PAGE_BITS, KTLB_GLOBAL));
    ktlb_batch_dispatch(batch);
}

/* The third comes and leaves, and reads in between what the second has asked. The first, which waits for the answers, sees
 * the third away before and after, and gives back what the request was in; the second writes there again. Relaxed: only
 * what was given back tells it that nobody reads any more. */
static void seen_away_twice(unsigned cpu)
{
    if (cpu == 2) {
        comes_and_goes();
    } else if (cpu == 1) {
        ask_the_kernel(&batches[1][0]);
        ktlb_store_release_u32(&handed_over, 1);
        while (ktlb_load_relaxed_u32(&handed_over) == 1)
            machine_relax();
        ask_the_kernel(&batches[1][1]);
    } else {
        while (!ktlb_load_acquire_u32(&handed_over))
            machine_relax();
        while (!ktlb_batch_done(&batches[1][0]))
            machine_relax();
        finish(&batches[1][0]);
        ktlb_store_relaxed_u32(&handed_over, 2);
    }
}

/* A request of two ops on the kernel's half; the second page is nowhere. */
static void ask_the_kernel_twofold(struct ktlb_batch *batch)
{
    ktlb_batch_init(batch, &ktlb_kernel);
    for (unsigned page = 0; page < 4; page += 3)
        ktlb_batch_add(batch, ktlb_op_range(KERNEL(page), PAGE_SIZE, PAGE_BITS, KTLB_GLOBAL));
    ktlb_batch_dispatch(batch);
}

/* The third leaves and is back while two ask it, one request of each size each. */
static void asked_while_away(unsigned cpu)
{
    if (cpu == 2) {
        machine_offline();
        machine_online(true);
        machine_idle();
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (i == cpu)
            ask_the_kernel_twofold(&batches[cpu][i]);
        else
            ask_the_kernel(&batches[cpu][i]);
        finish(&batches[cpu][i]);
    }
    machine_idle();
}

/* The two are away themselves, so that all there is to see is at the third's door: one request that was rung for when it
 * is back, one that is still to be, and a large one behind them. */
static void only_third_is_there(void)
{
    fresh(3);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        hardware_setup_cpu = cpu;
        machine_offline();
    }
    hardware_setup_cpu = 0;
}

static void asked_on_its_return(unsigned cpu)
{
    if (cpu == 2) {
        machine_offline();
        machine_online(true);
        machine_idle();
        return;
    }
    ask_the_kernel(&batches[cpu][0]);
    if (cpu == 0) {
        ask_the_kernel_twofold(&batches[0][1]);
        finish(&batches[0][1]);
    }
    finish(&batches[cpu][0]);
}

/* Dispatched on the one and waited for, interrupts masked, on the other, which is its target. */
static void waits_for_the_other_masked(unsigned cpu)
{
    ktlb_irq irq;

    if (cpu == 0) {
        only_hands_over(cpu);
        machine_idle();
        return;
    }
    irq = ktlb_port_irq_save();
    while (!ktlb_load_acquire_u32(&handed_over))
        machine_relax();
    finish(&batches[0][0]);
    ktlb_port_irq_restore(irq);
    machine_idle();
}

/* Two ask a third, one request after the other, of two ops and of one. */
static void several_against_one(unsigned cpu)
{
    if (cpu == 0) {
        start_several(&batches[0][0]);
        finish(&batches[0][0]);
    } else if (cpu == 1) {
        unmap(one, USER(1), 0);
        unmap(one, USER(2), 0);
    }
    machine_idle();
}

/* Who is away asks as well: what was posted to it is none of its business, for nobody waits for it. */
static void asks_while_away(unsigned cpu)
{
    if (cpu == 2) {
        machine_offline();
        ask_the_kernel(&batches[2][0]);
        finish(&batches[2][0]);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        ask_the_kernel_twofold(&batches[cpu][i]);
        finish(&batches[cpu][i]);
    }
    machine_idle();
}

/* Three ask a fourth at once: more than it has places for. */
static void fourth_in_one(void)
{
    fresh(4);
    load_on(3, one);
}

static void three_initiators_one_target(unsigned cpu)
{
    if (cpu < 3)
        unmap(one, USER(cpu), 0);
    machine_idle();
}

/* strat9's race: two initiators, one target. */
static void two_initiators_one_target(unsigned cpu)
{
    if (cpu < 2)
        unmap(one, USER(cpu), 0);
    machine_idle();
}

/* One of the two asks for the whole space, by which the other is served as well. */
static void two_initiators_one_widely(unsigned cpu)
{
    if (cpu == 0) {
        unmap(one, USER(0), 0);
    } else if (cpu == 1) {
        start_widely(&batches[1][0], one, USER(1), 0);
        finish(&batches[1][0]);
    }
    machine_idle();
}

/* One of the two asks for pages that lie apart. */
static void two_initiators_one_of_several_ops(unsigned cpu)
{
    struct ktlb_batch *batch = &batches[cpu][0];

    if (cpu == 0) {
        ktlb_batch_init(batch, machine_space_tlb(one));
        for (unsigned page = 0; page < 4; page += 2) {
            ktlb_batch_defer(batch, &machine_map(one, USER(page), NULL, 0)->node);
            ktlb_batch_add(batch, ktlb_op_range(USER(page), PAGE_SIZE, PAGE_BITS, 0));
        }
        ktlb_batch_dispatch(batch);
        finish(batch);
    } else if (cpu == 1) {
        unmap(one, USER(1), 0);
    }
    machine_idle();
}

static void two_initiators_and_a_switch(unsigned cpu)
{
    if (cpu < 2) {
        unmap(one, USER(cpu), 0);
        machine_idle();
    } else {
        goes_and_returns();
    }
}

/* One of three leaves, and is interrupted for no reason of its own while the others go on. */
static void three_in_one_and_strays(void)
{
    three_in_one();
    hardware_stray(2, 1);
}

static void an_initiator_and_a_stranger(unsigned cpu)
{
    if (cpu == 0) {
        unmap(one, USER(0), 0);
        unmap(one, USER(1), 0);
    } else if (cpu == 2) {
        machine_switch(two, true);
    }
    machine_idle();
}

static void lazy_and_departing(unsigned cpu)
{
    if (cpu == 0) {
        unmap_table(one, USER(0), 0);
        machine_idle();
    } else if (cpu == 1) {
        is_lazy();
    } else {
        goes_away();
    }
}

/* ---- tags that change hands: by the protocol hardware; by the others, spaces that come and go ---- */

static struct machine_space *three;

/* Spaces that come and go, on the first CPU: each takes a tag, or begins a round. */
static void pass_through(unsigned spaces)
{
    while (spaces--) {
        struct machine_space *space = machine_space_create();

        load_on(0, space);
        load_on(0, NULL);
        machine_space_destroy(space);
    }
}

/* The second CPU is in one. All tags are given out, so the next space that needs one begins a round. */
static void tags_are_out_of(unsigned cpus)
{
    fresh(cpus);
    load_on(1, one);
    pass_through(2 * cpus - 1);
    load_on(0, two);
    three = machine_space_create();
    map(three, USER(0));
}

static void tags_are_out(void)
{
    tags_are_out_of(2);
}

static void tags_are_out_of_three(void)
{
    tags_are_out_of(3);
}

/* And for the second time: a round has begun since the second CPU has loaded anything. */
static void tags_are_out_again(void)
{
    fresh(2);
    load_on(1, one);
    pass_through(4); /* the first round's */
    pass_through(2); /* the next one's: two are kept */
    load_on(0, two);
    three = machine_space_create();
    map(three, USER(0));
}

/* The second CPU stays where it is for several rounds. */
static void rounds_go_by(void)
{
    fresh(2);
    load_on(1, one);
    pass_through(11);
}

/* The same; the first was there as well when a round began, and came back in the next. */
static void rounds_go_by_both(void)
{
    fresh(2);
    load_on(1, one);
    pass_through(4);
    load_on(0, one);
    pass_through(1);
    load_on(0, one);
    pass_through(6);
}

static void joins_and_unmaps(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(one, true);
        unmap(one, USER(0), 0);
    }
    machine_idle();
}

/* One has a tag and is loaded nowhere. */
static void tags_are_out_and_one_is_left(void)
{
    tags_are_out_of(2);
    load_on(1, two);
}

static void first_begins_a_round(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(three, true);
        unmap(one, USER(0), 0);
        machine_idle();
    } else {
        goes_and_returns();
    }
}

/* The space is loaded again by somebody else while the second CPU is on its way out of it. */
static void first_begins_a_round_and_takes_one(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(three, true);
        machine_switch(one, true);
        unmap_table(one, USER(0), 0);
        machine_idle();
    } else {
        switches_to_two();
    }
}

/* What the second CPU held under a tag is another space's when it meets that tag again. */
static void first_begins_a_round_and_more(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(three, true);
        machine_switch(one, true);
        unmap(two, USER(0), 0);
        machine_idle();
    } else {
        machine_switch(two, true);
        machine_switch(three, true);
        machine_idle();
    }
}

/* One gets another number, and both CPUs enter it under that. */
static void both_take_one(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(three, true);
        machine_switch(one, true);
        unmap(one, USER(0), 0);
        machine_idle();
    } else {
        machine_switch(NULL, true);
        machine_switch(two, true);
        machine_switch(one, true);
        machine_idle();
    }
}

/* One CPU begins the round, another takes the space that a third is leaving. */
static void begins_takes_leaves(unsigned cpu)
{
    if (cpu == 0) {
        machine_switch(three, true);
        machine_idle();
    } else if (cpu == 1) {
        switches_to_two();
    } else {
        machine_switch(one, true);
        unmap_table(one, USER(0), 0);
        machine_idle();
    }
}

/* ---- the guest accumulator ---- */

/*
 * A guest of one page in one frame. Its table entry is a word that its processor walks at any time it likes, and
 * keeps what it found until an entry's registers say to drop it. It uses the frame, plainly, whenever it is inside
 * and has a translation; the monitor writes to it, as plainly, once the library says that nobody can. So a use too
 * late is a race.
 */
#define GUEST_PAGE UINT64_C(0x5000)
static struct ktlb_vcpu vcpu;
static struct ktlb_u32 guest_entry; /* 1: valid */
static uint64_t guest_frame;
static unsigned guest_passes;
static struct ktlb_u32 guest_broadcast; /* of the one TLBI that reaches the sibling: 1 asked, 2 done with */

static void guest_outside(void)
{
    machine_reset(2);
    ktlb_vcpu_init(&vcpu, 0);
    guest_entry.value = 1;
    guest_frame = 0;
    guest_passes = 2;
    guest_broadcast.value = 2; /* there is no sibling */
}

/* The slot holds the very same from before. */
static void guest_asked_before(void)
{
    guest_outside();
    ktlb_vcpu_post(&vcpu, ktlb_op_range(GUEST_PAGE, PAGE_SIZE, PAGE_BITS, 0));
}

static void guest_with_sibling(void)
{
    guest_outside();
    guest_passes = 3;
    guest_broadcast.value = 0;
}

static bool guest_drops(struct ktlb_guest_registers registers)
{
    struct ktlb_guest_work work = ktlb_guest_decode(registers);

    return work.kind == KTLB_GUEST_BROADCAST || GUEST_PAGE - work.va < (uint64_t)work.pages << KTLB_GUEST_PAGE_SHIFT;
}

/* TLBI and DSB: the sibling has dropped its translation and finished what it did through it. */
static void guest_invalidates(void)
{
    uint32_t idle = 0;

    ktlb_rmw_cas_acq_rel_u32(&guest_broadcast, &idle, 1);
    while (ktlb_load_acquire_u32(&guest_broadcast) != 2) /* ended by the sibling */
        ex_relax();
}

static void guest_uses(void)
{
    ex_check(guest_frame == 0, "P1: a guest uses a frame that was reused");
}

/* Is inside all the time. */
static void guest_sibling(void)
{
    for (unsigned use = 0; use < 2 && ktlb_load_relaxed_u32(&guest_broadcast) == 0; use++)
        guest_uses();
    ktlb_store_release_u32(&guest_broadcast, 2);
}

static void guest_runs(void)
{
    bool cached = true; /* from before */

    for (unsigned pass = 0; pass < guest_passes; pass++) {
        if (guest_drops(ktlb_vcpu_enter(&vcpu))) {
            guest_invalidates();
            cached = false;
        }
        cached = cached || ktlb_load_relaxed_u32(&guest_entry);
        if (cached)
            guest_uses();
        ktlb_vcpu_leave(&vcpu);
    }
}

static uint64_t guest_unmap(void)
{
    ktlb_store_relaxed_u32(&guest_entry, 0);
    ktlb_vcpu_post(&vcpu, ktlb_op_range(GUEST_PAGE, PAGE_SIZE, PAGE_BITS, 0));
    return ktlb_vcpu_mark(&vcpu);
}

static void guest_left(unsigned cpu)
{
    uint64_t mark;

    if (cpu == 1) {
        guest_runs();
        return;
    }
    mark = guest_unmap();
    while (!ktlb_vcpu_left(&vcpu, mark)) /* ended by the vCPU, which comes out */
        ex_relax();
    guest_frame = 1;
}

static void guest_flushed(unsigned cpu)
{
    if (cpu == 2)
        guest_sibling();
    else if (cpu == 1)
        guest_runs();
    else if (ktlb_vcpu_flushed(&vcpu, guest_unmap()))
        guest_frame = 1;
}

/* Two threads post; whoever comes first, neither's is lost. */
static void guest_two_posts(unsigned cpu)
{
    if (cpu == 2) {
        ktlb_vcpu_post(&vcpu, ktlb_op_range(GUEST_PAGE + PAGE_SIZE, PAGE_SIZE, PAGE_BITS, 0));
        return;
    }
    guest_left(cpu);
}

/* ---- many at once, for random schedules ---- */

static void four(void)
{
    fresh(4);
    for (unsigned cpu = 0; cpu < 4; cpu++)
        load_on(cpu, cpu < 3 ? one : two);
}

static void mixed(unsigned cpu)
{
    for (unsigned round = 0; round < 2; round++) {
        switch (ex_choose(6, "what to do")) {
        case 0:
            if (round == 0)
                unmap(one, USER(cpu), 0);
            break;
        case 1:
            machine_switch(two, true);
            break;
        case 2:
            machine_switch(one, true);
            break;
        case 3:
            machine_lazy_enter();
            machine_lazy_leave(true);
            break;
        case 4:
            if (cpu > 0) {
                machine_offline();
                machine_online(true);
            }
            break;
        case 5:
            if (cpu < 2 && round == 0)
                unmap(machine_kernel(), KERNEL(cpu), KTLB_GLOBAL);
            break;
        }
    }
    machine_idle();
}

#define GUEST_CASE(NAME, CPUS, SETUP, BODY, ABOUT)                                                 \
    {                                                                                              \
        .name = NAME, .about = ABOUT, .cpus = CPUS, .setup = SETUP, .body = BODY                   \
    }

#define CASE(NAME, CPUS, SETUP, BODY, ABOUT)                                                       \
    {                                                                                              \
        .name = NAME, .about = ABOUT, .cpus = CPUS, .setup = SETUP, .body = BODY,                  \
        .before_step = hardware_before_step, .idle = hardware_deliver,                             \
    }

const struct ex_case cases[] = {
    GUEST_CASE("guest-left", 2, guest_outside, guest_left, "P1 P4: a vCPU goes in and out; who waits for it to be out"),
    GUEST_CASE("guest-again", 2, guest_asked_before, guest_left, "P1: and its slot holds the same already"),
    GUEST_CASE("guest-flushed", 3, guest_with_sibling, guest_flushed, "P1: has it flushed, for a sibling that never comes out"),
    GUEST_CASE("guest-posts", 3, guest_outside, guest_two_posts, "P1: two threads post to it"),
    CASE("unmap", 2, both_in_one, unmap_one_just_there, "P1 P3: a page is unmapped and freed; the other CPU is in the space"),
    CASE("looks", 2, both_in_one, unmap_one_looks_around, "P1: the same, and the other CPU uses its pages"),
    CASE("flush", 2, both_in_one, unmap_and_flush_looks_around, "P1: the same in one call, without a batch to be seen"),
    CASE("switch-in", 2, second_in_neither, unmap_one_switches_in, "P4: the other CPU enters the space meanwhile"),
    CASE("switch-back", 2, second_in_one, unmap_one_goes_and_returns, "P4: leaves it and returns, its tag kept"),
    CASE("reload", 2, second_in_one, unmap_one_reloads, "P4: loads the same space again"),
    CASE("switch-away", 2, second_in_one, unmap_one_switches_to_two, "P1: leaves the space meanwhile"),
    CASE("lazy", 2, second_in_one, unmap_one_is_lazy, "P4: is lazy for a while"),
    CASE("lazy-switch", 2, second_in_one, unmap_one_is_lazy_and_goes, "P4: becomes lazy, then switches away"),
    CASE("lazy-reload", 2, second_in_one, unmap_one_is_lazy_and_reloads, "P4: becomes lazy, then loads the same space"),
    CASE("tables", 2, both_in_one, free_table_just_there, "P1: a page-table page dies"),
    CASE("tables-switch-in", 2, second_in_neither, free_table_switches_in, "P1 P4: and the other CPU enters the space"),
    CASE("tables-switch-back", 2, second_in_one, free_table_goes_and_returns, "P1 P4: and leaves and returns"),
    CASE("tables-lazy", 2, second_in_one, free_table_is_lazy, "P1: and is lazy, where its walker still roams"),
    CASE("tables-lazy-switch", 2, second_in_one, free_table_is_lazy_and_goes, "P1: and is lazy, then leaves"),
    CASE("tables-widened", 2, second_in_one, free_table_widely_is_lazy, "P1: and the batch becomes the whole space"),
    CASE("kernel", 2, both_in_one, unmap_kernel_just_there, "P1: a page of the kernel's half, global"),
    CASE("kernel-switch", 2, second_in_one, unmap_kernel_switches_to_two, "P1: in the window of a switch"),
    CASE("kernel-widened", 2, second_in_one, unmap_kernel_widely_switches_to_two, "P1: the same, by more than a batch counts"),
    CASE("kernel-tables", 2, second_in_one_was_in_two, free_kernel_table_switches_to_two,
         "P1: a kernel table dies; another tag has walked it"),
    CASE("offline", 2, second_in_neither, unmap_kernel_goes_away, "P2: the other CPU leaves"),
    CASE("hotplug", 2, second_in_neither, unmap_kernel_goes_away_and_comes_back, "P2 P4: leaves and comes back"),
    CASE("hotplug-again", 2, second_in_neither, unmap_kernel_comes_back_and_goes_again, "P2 P4: leaves, comes, leaves"),
    CASE("hotplug-twice", 2, second_in_neither, unmap_kernel_twice_goes_away_and_comes_back,
         "P2 P4: the same, with another unmap behind the first"),
    CASE("twice", 2, both_in_one, unmap_twice_just_there, "P2: one after the other"),
    CASE("in-flight", 2, both_in_one, many_in_flight_just_there, "P2: more batches than slots"),
    CASE("in-flight-switch", 2, second_in_one, two_in_flight_switches_to_two, "P2: two batches, and the target leaves the space"),
    CASE("in-flight-full-switch", 2, second_in_one, many_in_flight_switches_to_two, "P2: more than there are slots"),
    CASE("in-flight-kernel", 2, both_in_one, many_in_flight_mixed_just_there, "P2: the last for the kernel's half"),
    CASE("in-flight-several", 2, both_in_one, several_in_flight_just_there, "P2: the first of several ops"),
    CASE("in-flight-several-kernel", 2, both_in_one, several_in_flight_kernel_just_there, "P2: and the last for the kernel's half"),
    CASE("in-flight-kernel-line", 2, both_in_one, several_in_flight_kernel_first_just_there, "P2: and the last but one"),
    CASE("in-flight-kernel-several", 2, both_in_one, kernel_several_in_flight_just_there, "P2: the last of several ops of that"),
    CASE("in-flight-kernel-wide", 2, both_in_one, kernel_in_flight_widely_just_there, "P2: of that, and of the whole space"),
    CASE("in-flight-wide", 2, both_in_one, in_flight_widely_just_there, "P2: one of the whole space among others"),
    CASE("in-flight-between", 2, both_in_one, several_in_between_just_there, "P2: one of several ops among others"),
    CASE("done", 2, both_in_one, asks_without_waiting_just_there, "P2: asking instead of waiting"),
    CASE("hand-over", 2, both_in_one, hands_over_waits_for_the_other, "P2: dispatched on one CPU, synced on another"),
    CASE("hand-over-busy", 2, both_in_one, only_hands_over_waits_among_its_own, "P2: the same, where others are in flight"),
    CASE("hand-over-masked", 2, both_in_one, waits_for_the_other_masked, "P5: synced on its target, interrupts masked"),
    CASE("disjoint", 2, both_in_one, disjoint_just_there, "P1: more pages than a batch keeps apart"),
    CASE("replace", 2, both_in_one, replace_one_just_there, "P1: a page is given another frame"),
    CASE("replace-retry", 2, both_in_one, replace_one_tries_again, "P1: and used meanwhile, and after it"),
    CASE("replace-switch-in", 2, second_in_neither, replace_one_switches_in, "P4: and the other CPU enters"),
    CASE("replace-switch-back", 2, second_in_one, replace_one_goes_and_returns, "P4: leaves and returns"),
    CASE("replace-lazy", 2, second_in_one, replace_one_is_lazy, "P4: is lazy for a while"),
    CASE("replace-kernel", 2, second_in_one, replace_kernel_switches_to_two, "P1: a page of the kernel's half"),
    CASE("replace-hotplug", 2, second_in_neither, replace_kernel_goes_away_and_comes_back,
         "P4: and the other CPU goes away"),
    CASE("protect", 2, both_in_one, protect_and_back_looks_around, "P1: only rights change, in place on every machine"),
    CASE("merge", 2, both_in_one_with_its_pages, merge_just_there, "P1: small pages become a huge one"),
    CASE("merge-used", 2, both_in_one_with_its_pages, merge_uses_it, "P1: and are used meanwhile"),
    CASE("split", 2, both_in_one_with_a_huge_page, split_uses_it, "P1: a huge page becomes small ones"),
    CASE("renew", 2, both_in_one, renew_table_just_there, "P1: another table where one died"),
    CASE("renew-switch-back", 2, second_in_one, renew_table_goes_and_returns, "P1: and a CPU leaves and returns"),
    CASE("map", 2, second_in_one, maps_and_tells_uses_the_page, "P1: a new page is there for whom was told"),
    CASE("map-table", 2, second_in_one, maps_below_a_table_uses_the_table, "P1: the same, with a new table above it"),
    CASE("given", 2, second_in_one, gives_a_page, "P1: a new page is there for whom was not, after a fault at most"),
    CASE("given-table", 2, second_in_one, gives_a_table, "P1: the same, with a new table above it"),
    CASE("given-kernel", 2, second_in_one, gives_a_kernel_page, "P1: in the kernel's half"),
    CASE("given-right", 2, second_may_only_read, gives_a_right, "P1: and a page that may be written to from now on"),
    CASE("ring", 2, second_in_two_was_in_one, unmap_two_comes_in, "P4: comes back having missed what the ring remembers"),
    CASE("ring-wrap", 2, second_in_two_was_in_one, unmap_three_comes_in, "P4: and the ring is overwritten meanwhile"),
    CASE("ring-lazy", 2, second_in_one, unmap_two_is_lazy, "P4: stops being lazy, likewise"),
    CASE("ring-tables", 2, second_in_two_was_in_one, free_table_comes_in, "P1 P4: a table was freed meanwhile"),
    CASE("ring-writers", 2, second_in_two_was_in_one, write_over, "P4: two initiators write one entry of the ring"),
    CASE("ring-writers-older", 2, second_in_one, write_over_older, "P4: and one finds an entry older than it expects"),
    CASE("from-elsewhere", 2, second_in_two_was_in_one, unmap_in_two_goes_and_returns, "P1: the initiator is in neither"),
    CASE("crossing", 2, both_in_one, each_unmaps, "P5: two initiators, each the other's target"),
    CASE("crossing-masked", 2, both_in_one, each_unmaps_masked, "P5: the same with interrupts masked"),
    CASE("crossing-turned-away", 2, both_in_one, asks_and_turns_away, "P5: and one does something else before it syncs"),
    CASE("crossing-in-flight", 2, both_in_one, each_unmaps_two, "P5: two initiators with two batches each"),
    CASE("crossing-wide", 2, both_in_one, one_unmaps_widely, "P1 P5: two initiators, one of which drops the space"),
    CASE("crossing-several", 2, both_in_one, one_unmaps_several, "P1 P5: the same, but one asks for several ops"),
    CASE("crossing-ahead", 2, both_in_one, executed_ahead_of_a_flush, "P1 P5: what is done out of order, before a drop"),
    CASE("stray", 2, both_in_one_and_strays, unmap_one_looks_around, "P2: interrupts from nobody"),
    CASE("re-entry", 2, both_in_one_and_a_handler, unmap_one_just_there, "P2: a handler unmaps on top of an unmap"),
    CASE("re-entry-target", 2, both_in_one_and_a_handler_there, unmap_one_looks_around, "P2 P5: and on the target"),
    CASE("nmi", 2, both_in_one_and_strays_by_nmi, unmap_one_looks_around, "P1: by NMI, and NMIs from nobody"),
    CASE("nmi-masked", 2, both_in_one_by_nmi, unmap_and_release_waits_masked, "P5: the target masks interrupts and never polls"),
    CASE("nmi-switch-back", 2, second_in_one_by_nmi, unmap_one_goes_and_returns, "P4: an NMI at any point of a switch"),
    CASE("nmi-tables-lazy", 2, second_in_one_by_nmi, free_table_is_lazy, "P1: at any point of laziness"),
    CASE("nmi-hotplug", 2, second_in_neither_by_nmi, unmap_kernel_goes_away_and_comes_back, "P2 P4: of leaving and returning"),
    CASE("nmi-in-flight", 2, both_in_one_by_nmi, many_in_flight_just_there, "P2: of serving"),
    CASE("nmi-in-flight-switch", 2, second_in_one_by_nmi, many_in_flight_switches_to_two, "P2: of serving what came meanwhile"),
    CASE("nmi-crossing", 2, both_in_one_by_nmi, each_unmaps, "P5: of a dispatch"),
    CASE("nmi-crossing-masked", 2, both_in_one_by_nmi, asks_and_turns_away_masked, "P5: and never polls after it"),
    {.name = "undisturbed", .about = "P6: the other CPU is in another space", .cpus = 2, .setup = second_in_two,
     .body = unmap_one_just_there, .final = nobody_was_interrupted, .before_step = hardware_before_step,
     .idle = hardware_deliver},
    CASE("three-initiators", 3, third_in_one, two_initiators_one_target, "P2: two initiators, one target"),
    CASE("three-wide", 3, third_in_one, two_initiators_one_widely, "P1 P2: the same, one of them of the whole space"),
    CASE("three-apart", 3, third_in_one, two_initiators_one_of_several_ops, "P2: the same, one of them of pages that lie apart"),
    CASE("three-several", 3, third_in_one, several_against_one, "P2: and one of them asks for several ops"),
    CASE("three-asked-while-away", 3, only_kernel, asked_while_away, "P2 P4: and it leaves and comes back"),
    CASE("three-asked-on-return", 3, only_third_is_there, asked_on_its_return, "P2 P4: and it is back while one still posts"),
    CASE("three-asks-while-away", 3, only_kernel, asks_while_away, "P2: and it asks as well, when it has left"),
    CASE("four-initiators", 4, fourth_in_one, three_initiators_one_target, "P2: three initiators, one target"),
    CASE("three-switch", 3, third_in_one, two_initiators_and_a_switch, "P4: two initiators, a target that switches"),
    CASE("three-stranger", 3, three_in_one_and_strays, an_initiator_and_a_stranger, "P6: interrupts from nobody, after leaving"),
    CASE("three-seen-away", 3, only_second_is_there, seen_away_twice, "P2: comes and leaves, seen away before and after"),
    CASE("three-lazy-offline", 3, three_in_one, lazy_and_departing, "P1 P2: a lazy and a departing target"),
    CASE("tags", 2, tags_are_out, first_begins_a_round, "P4: tags run out; a CPU leaves the space and returns"),
    CASE("tags-leaving", 2, tags_are_out, first_begins_a_round_and_takes_one, "P1 P4: while a CPU leaves a space whose table dies"),
    CASE("tags-leaving-again", 2, tags_are_out_again, first_begins_a_round_and_takes_one, "P1 P4: the same, a round later"),
    CASE("tags-stay", 2, rounds_go_by, joins_and_unmaps, "P1: rounds go by a CPU that loads nothing"),
    CASE("tags-stay-both", 2, rounds_go_by_both, joins_and_unmaps, "P1: and one that shares its space"),
    CASE("tags-new", 2, tags_are_out, first_begins_a_round_and_more, "P4: and a CPU meets its tags again as others'"),
    CASE("tags-join", 2, tags_are_out_and_one_is_left, both_take_one, "P1: and both enter a space under its new one"),
    CASE("three-tags", 3, tags_are_out_of_three, begins_takes_leaves, "P1 P4: one runs out, one leaves, one frees a table"),
    CASE("mixed", 4, four, mixed, "everything at once"),
};
const size_t case_count = sizeof(cases) / sizeof(cases[0]);
