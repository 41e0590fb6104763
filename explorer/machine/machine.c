/*
 * machine.c - the explorer as a machine: scenarios/machine.h and ktlb's port, on the hardware of hardware.h.
 *
 * The oracle is here, and is stronger than any reader's luck. A frame is freed in machine_frame_free; at that moment no
 * CPU that may run user code, and no page walker, may be able to reach it: not "did not", could not. The same is
 * asked of a CPU at the end of each switch, of laziness, and of coming online. So every broken promise is found in the
 * first execution that allows it, without a load that happens to hit.
 */
#include "machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>


#define ENTRIES_MAX 24

struct machine_space {
    struct ktlb_space tlb;
    unsigned root;
};

enum frame_state { FREE, USED, HUGE, TABLE };

struct machine machine = {
    .name = "explorer",
    .frame_words = 1,
    .user_base = USER_BASE,
    .kernel_base = KERNEL_BASE,
    .region_size = (uint64_t)REGIONS << REGION_BITS,
    .huge_size = UINT64_C(1) << REGION_BITS,
};

static struct machine_frame frames[FRAMES];
static struct {
    enum frame_state state;
    unsigned table; /* of a TABLE */
} about[FRAMES];
static bool table_used[TABLES];
static struct machine_space kernel_space, spaces[ROOTS];
static bool root_used[ROOTS];
static struct {
    struct machine_space *loaded;
    bool online;
} state[EX_CPUS_MAX];
static KTLB_ALIGNED(KTLB_CACHE_LINE) unsigned char memory[32768];
const char *machine_protocol;
bool machine_by_nmi;

enum { FRAMES_ID = 2000, ROOTS_ID = 2001, RELAX_OF = 2100 };

void hardware_panic(const char *rule)
{
    ex_fail("assertion: %s", rule);
    __builtin_trap();
}

/* ---- the port ---- */

unsigned ktlb_port_cpu(void)
{
    return hardware_cpu();
}

void ktlb_port_ipi(const struct ktlb_cpuset *targets)
{
    const struct ex_view *carried;

    ex_check(!ktlb_cpuset_has(targets, ktlb_port_cpu()), "port: a CPU interrupts itself");
    carried = hardware_arch_fence_ipi();
    KTLB_CPUSET_EACH(cpu, targets)
        hardware_interrupt(cpu, carried);
}

ktlb_irq ktlb_port_irq_save(void)
{
    return ex_running() && hardware_mask(true);
}

void ktlb_port_irq_restore(ktlb_irq masked)
{
    if (ex_running())
        hardware_mask(masked);
}

void ktlb_port_stall(const struct ktlb_batch *batch)
{
    (void)batch;
}

/* ---- the oracle ---- */

/* Can @cpu reach a frame that satisfies @wrong through an entry for a page in either half? */
static void check_reach(unsigned cpu, bool kernel, bool (*wrong)(unsigned frame, unsigned argument), unsigned argument,
                        const char *promise)
{
    uint64_t entries[ENTRIES_MAX], va;
    unsigned at = 0;

    while ((va = hardware_mapped_next(&at))) {
        unsigned count;

        if (hardware_is_kernel(va) != kernel)
            continue;
        count = hardware_possible(cpu, va, entries, ENTRIES_MAX);
        for (unsigned i = 0; i < count; i++)
            if (wrong(ENTRY_NUMBER(entries[i]), argument))
                ex_fail("%s: CPU %u can still reach frame %u, which is free, at %s page %u", promise, cpu,
                        ENTRY_NUMBER(entries[i]), kernel ? "kernel" : "user", hardware_page(va));
    }
}

static bool is_this(unsigned frame, unsigned argument)
{
    return frame == argument;
}

static bool is_free(unsigned frame, unsigned argument)
{
    (void)argument;
    return about[frame].state == FREE;
}

static void check_table(unsigned cpu, unsigned table, const char *promise)
{
    if (hardware_may_walk(cpu, table))
        ex_fail("%s: the walker of CPU %u can still enter page-table page %u, which is free", promise, cpu, table);
}

/* Frame @frame is about to be free: who could still use it? */
static void check_unreachable(unsigned frame)
{
    for (unsigned cpu = 0; cpu < machine.cpus; cpu++) {
        hardware_touch(cpu, false, "who can reach it?");
        if (!state[cpu].online)
            continue;
        if (about[frame].state == TABLE)
            check_table(cpu, about[frame].table, "P1");
        check_reach(cpu, true, is_this, frame, "P1");
        if (hardware_exposed(cpu))
            check_reach(cpu, false, is_this, frame, "P1");
    }
}

/* What @cpu may hold together and must not: an abort, or worse. Asked when an entry was made and when somebody arrives:
 * in between floors only rise. */
static void check_conflict(unsigned cpu, bool kernel)
{
    uint64_t pair[2], va;
    unsigned at = 0;

    while ((va = hardware_mapped_next(&at)))
        if (hardware_is_kernel(va) == kernel && hardware_may_conflict(cpu, va, pair))
            ex_fail("TLB conflict: CPU %u can hold %u%s and %u%s for %s page %u at once: made before the break was over",
                    cpu, ENTRY_NUMBER(pair[0]), pair[0] & ENTRY_HUGE ? " (huge)" : "", ENTRY_NUMBER(pair[1]),
                    pair[1] & ENTRY_HUGE ? " (huge)" : "", kernel ? "kernel" : "user", hardware_page(va));
}

/* This CPU may use what it holds from here on: is any of it gone? */
static void check_arrival(void)
{
    unsigned cpu = hardware_cpu();

    if (!ex_running())
        return;
    hardware_touch(cpu, true, "may use what it holds");
    ex_event(FRAMES_ID, false, "what is free?");
    check_reach(cpu, true, is_free, 0, "P4");
    for (unsigned table = 0; table < TABLES; table++)
        if (!table_used[table])
            check_table(cpu, table, "P4");
    check_conflict(cpu, true);
    if (!hardware_exposed(cpu))
        return;
    check_reach(cpu, false, is_free, 0, "P4");
    check_conflict(cpu, false);
    if (hardware_may_confuse(cpu, state[cpu].loaded->root))
        ex_fail("P4: CPU %u holds entries of another space under the loaded tag", cpu);
}

/* A valid entry was stored in that half. */
static void check_made(bool kernel)
{
    for (unsigned cpu = 0; hardware_breaks && cpu < machine.cpus; cpu++) {
        hardware_touch(cpu, false, "what may it hold?");
        if (state[cpu].online && (kernel || hardware_exposed(cpu)))
            check_conflict(cpu, kernel);
    }
}

/* ---- frames ---- */

/* What came before the frames were freed: the allocator orders its callers, as a lock would. */
static const struct ex_view *freed;

static unsigned frames_of(enum frame_state kind)
{
    return kind == HUGE ? HUGE_FRAMES : 1;
}

static bool are_free(unsigned first, unsigned count)
{
    while (count && about[first].state == FREE)
        first++, count--;
    return count == 0;
}

static struct machine_frame *take_frame(enum frame_state kind)
{
    unsigned count = frames_of(kind), i = 0;

    if (ex_running())
        ex_event(FRAMES_ID, true, "a frame");
    while (i + count <= FRAMES && !are_free(i, count))
        i++;
    if (i + count > FRAMES)
        return NULL;
    for (unsigned frame = i; frame < i + count; frame++)
        about[frame].state = kind;
    /* Who finds the frame through a new page-table entry is ordered behind what was done to it before, by the
     * dependency of an access on its translation. A new life says the same. */
    if (ex_running()) {
        ex_forget(&hardware_frame[i], count * sizeof(hardware_frame[i]));
        if (freed)
            ex_view_acquire(freed);
    }
    return &frames[i];
}

struct machine_frame *machine_frame_alloc(void)
{
    return take_frame(USED);
}

struct machine_frame *machine_huge_alloc(void)
{
    return take_frame(HUGE);
}

struct ktlb_u64 *machine_frame_words(const struct machine_frame *frame)
{
    return (struct ktlb_u64 *)&hardware_frame[frame->number];
}

static void free_frame(unsigned number)
{
    ex_event(FRAMES_ID, true, "frees a frame");
    ex_note("frees frame %u", number);
    ex_check(about[number].state != FREE, "P3: frame %u is freed twice", number);
    check_unreachable(number);
    /* Plain stores: the last use by any CPU must be ordered before. */
    if (about[number].state == TABLE) {
        table_used[about[number].table] = false;
        machine_scribble(hardware_table[about[number].table], 2, 0);
    } else {
        machine_scribble(&hardware_frame[number], 1, MACHINE_POISON | number);
    }
    freed = ex_view_join(freed, ex_view_current());
    about[number].state = FREE;
}

void machine_frame_free(struct ktlb_node *list)
{
    while (list) {
        unsigned number = (unsigned)((struct machine_frame *)list)->number, count = frames_of(about[number].state);

        list = list->next;
        while (count--)
            free_frame(number++);
    }
}

static struct machine_frame *frame_of(uint64_t entry)
{
    return entry & ENTRY_PRESENT ? &frames[ENTRY_NUMBER(entry)] : NULL;
}

/* ---- spaces and page tables ---- */

static uint64_t entry_load(const uint64_t *entry)
{
    return ex_running() ? ex_load(entry, 8, __ATOMIC_RELAXED) : *entry;
}

static void entry_store(uint64_t *entry, uint64_t value)
{
    if (!ex_running()) {
        *entry = value;
        return;
    }
    ex_store(entry, 8, value, __ATOMIC_RELEASE);
}

/* Where others look. */
static void entry_make(struct machine_space *space, uint64_t *entry, uint64_t value)
{
    entry_store(entry, value);
    if (ex_running() && (value & ENTRY_PRESENT))
        check_made(space == &kernel_space);
}

static uint64_t entry_bits(unsigned rights)
{
    return ENTRY_PRESENT | (rights & MACHINE_WRITE ? ENTRY_WRITE : 0);
}

/* Each table page is a frame as well, so that it can be owed and freed like one. */
static struct machine_frame *table_frame[TABLES];

static unsigned take_table(void)
{
    if (ex_running())
        ex_event(FRAMES_ID, true, "a table");
    for (unsigned i = 0; i < TABLES; i++)
        if (!table_used[i]) {
            table_used[i] = true;
            for (unsigned page = 0; page < TABLE_PAGES; page++)
                hardware_table[i][page] = 0;
            if (ex_running())
                ex_forget(hardware_table[i], sizeof(hardware_table[i]));
            table_frame[i] = take_frame(TABLE);
            about[table_frame[i]->number].table = i;
            return i;
        }
    ex_fail("explorer: this machine has no more page-table pages");
    return 0;
}

static uint64_t *directory_of(struct machine_space *space, uint64_t va)
{
    return &hardware_directory[space->root][hardware_page(va) / TABLE_PAGES];
}

static uint64_t *entry_of(struct machine_space *space, uint64_t va, bool create)
{
    uint64_t *directory = directory_of(space, va), upper = entry_load(directory);

    if (!(upper & ENTRY_PRESENT)) {
        if (!create)
            return NULL;
        upper = ENTRY(take_table(), ENTRY_PRESENT | ENTRY_WRITE);
        entry_make(space, directory, upper);
    }
    return &hardware_table[ENTRY_NUMBER(upper)][hardware_page(va) % TABLE_PAGES];
}

struct machine_frame *machine_map(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                  unsigned rights)
{
    uint64_t *entry = entry_of(space, va, frame != NULL), old;

    hardware_mapped(va);

    if (!entry)
        return NULL;
    old = entry_load(entry);
    entry_make(space, entry, frame ? ENTRY(frame->number, entry_bits(rights)) : 0);
    return frame_of(old);
}

bool machine_map_breaks(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights)
{
    uint64_t *entry = entry_of(space, va, false);

    return entry && hardware_arch_needs_break(entry_load(entry), ENTRY(frame->number, entry_bits(rights)), false);
}

bool machine_protect(struct machine_space *space, uint64_t va, unsigned rights)
{
    uint64_t *entry = entry_of(space, va, false), old = entry ? entry_load(entry) : 0;

    if (!(old & ENTRY_PRESENT))
        return false;
    entry_store(entry, ENTRY(ENTRY_NUMBER(old), entry_bits(rights)));
    return true;
}

struct machine_frame *machine_map_huge(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                       unsigned rights)
{
    uint64_t *directory = directory_of(space, va), old = entry_load(directory);

    for (unsigned page = 0; page < HUGE_FRAMES; page++)
        hardware_mapped(va + ((uint64_t)page << PAGE_BITS));
    entry_make(space, directory, frame ? ENTRY(frame->number, entry_bits(rights) | ENTRY_HUGE) : 0);
    return frame_of(old);
}

bool machine_size_breaks(struct machine_space *space, uint64_t va)
{
    uint64_t old = entry_load(directory_of(space, va));

    return hardware_arch_needs_break(old, ENTRY_PRESENT | (old & ENTRY_HUGE ? 0 : ENTRY_HUGE), true);
}

void machine_split(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights)
{
    unsigned table = take_table();

    for (unsigned page = 0; page < TABLE_PAGES; page++)
        entry_store(&hardware_table[table][page], ENTRY(frame->number + page % HUGE_FRAMES, entry_bits(rights)));
    entry_make(space, directory_of(space, va), ENTRY(table, ENTRY_PRESENT | ENTRY_WRITE));
}

struct machine_frame *machine_merge(struct machine_space *space, uint64_t va, unsigned rights)
{
    uint64_t *directory = directory_of(space, va), upper = entry_load(directory), first;

    if (!(upper & ENTRY_PRESENT) || (upper & ENTRY_HUGE))
        return NULL;
    first = entry_load(&hardware_table[ENTRY_NUMBER(upper)][0]);
    entry_make(space, directory, ENTRY(ENTRY_NUMBER(first), entry_bits(rights) | ENTRY_HUGE));
    return table_frame[ENTRY_NUMBER(upper)];
}

struct machine_frame *machine_table_take(struct machine_space *space, uint64_t va)
{
    uint64_t *directory = directory_of(space, va), upper = entry_load(directory);

    if (!(upper & ENTRY_PRESENT) || (upper & ENTRY_HUGE))
        return NULL;
    entry_store(directory, 0);
    return table_frame[ENTRY_NUMBER(upper)];
}

struct machine_space *machine_kernel(void)
{
    return &kernel_space;
}

struct ktlb_space *machine_space_tlb(struct machine_space *space)
{
    return space == &kernel_space ? &ktlb_kernel : &space->tlb;
}

struct machine_space *machine_space_create(void)
{
    if (ex_running())
        ex_event(ROOTS_ID, true, "a space");
    for (unsigned i = 1; i < ROOTS; i++)
        if (!root_used[i]) {
            root_used[i] = true;
            spaces[i].root = i;
            ktlb_space_init(&spaces[i].tlb);
            return &spaces[i];
        }
    ex_fail("explorer: this machine has no more roots");
    return NULL;
}

void machine_space_destroy(struct machine_space *space)
{
    ktlb_space_fini(&space->tlb);
    ex_event(ROOTS_ID, true, "a space ends");
    for (unsigned region = 0; region < REGIONS; region++) {
        uint64_t upper = entry_load(&hardware_directory[space->root][region]);

        if ((upper & ENTRY_PRESENT) && !(upper & ENTRY_HUGE)) {
            struct machine_frame *frame = table_frame[ENTRY_NUMBER(upper)];

            frame->node.next = NULL;
            entry_store(&hardware_directory[space->root][region], 0);
            machine_frame_free(&frame->node);
        }
    }
    root_used[space->root] = false;
}

void machine_switch(struct machine_space *space, bool honest)
{
    unsigned cpu = hardware_cpu();
    struct machine_space *next = space ? space : &kernel_space;
    struct ktlb_load load;

    hardware_touch(cpu, true, "begins to switch");
    hardware_last_use(hardware_exposed(cpu));
    hardware_expose(false);
    load = ktlb_switch_begin(machine_space_tlb(next));
    if (!honest)
        load.flush = false;
    hardware_arch_load(next->root, load);
    ktlb_switch_end();
    state[cpu].loaded = next;
    hardware_expose(space != NULL);
    check_arrival();
}

/* ---- laziness, coming and going ---- */

void machine_lazy_enter(void)
{
    hardware_touch(hardware_cpu(), true, "becomes lazy");
    hardware_last_use(hardware_exposed(hardware_cpu()));
    hardware_expose(false);
    ktlb_lazy_enter();
}

void machine_lazy_leave(bool honest)
{
    unsigned cpu = hardware_cpu();

    if (honest)
        ktlb_lazy_leave();
    hardware_expose(state[cpu].loaded != &kernel_space);
    check_arrival();
}

void machine_offline(void)
{
    unsigned cpu = hardware_cpu();

    machine_switch(NULL, true);
    hardware_mask(true);
    /* From the call on, not from its return: what it promises not to touch may be gone before. */
    hardware_touch(cpu, true, "goes away");
    hardware_last_use(false);
    hardware_away(true);
    state[cpu].online = false;
    ktlb_cpu_offline();
}

void machine_online(bool honest)
{
    unsigned cpu = hardware_cpu();

    if (honest)
        ktlb_cpu_online();
    hardware_touch(cpu, true, "is back");
    hardware_away(false);
    state[cpu].online = true;
    check_arrival();
    hardware_mask(false);
}

/* ---- accesses ---- */

/* One of the translations this CPU may use now; 0: it faults. */
static uint64_t translate(uint64_t va)
{
    uint64_t entries[ENTRIES_MAX];
    unsigned cpu = hardware_cpu(), count;

    hardware_touch(cpu, false, "translates");
    count = hardware_possible(cpu, va, entries, ENTRIES_MAX);
    if (hardware_may_fault(va))
        entries[count++] = 0;
    entries[0] = entries[count > 1 ? ex_choose(count, "which translation") : 0];
    hardware_observe(va, entries[0]);
    return entries[0];
}

/* A fault, and its handler. What refused the access may be gone from the tables by now, and then has to be gone from
 * the TLB when it is tried again (fault_drops in struct ktlb_arch). */
static bool faults(uint64_t va, uint64_t bits)
{
    if (hardware_grants(va, bits))
        hardware_arch_fault(va);
    return false;
}

bool machine_load(uint64_t va, uint64_t *value)
{
    uint64_t entry = translate(va);

    if (!(entry & ENTRY_PRESENT))
        return faults(va, ENTRY_PRESENT);
    /* The newest value: an access is ordered behind whoever published its translation, who has written the frame. */
    ex_touch(&hardware_frame[ENTRY_NUMBER(entry)], 8, false);
    ex_values_since(&hardware_frame[ENTRY_NUMBER(entry)], 8, NULL, value, 1);
    return true;
}

bool machine_store(uint64_t va, uint64_t value)
{
    uint64_t entry = translate(va);

    if (!(entry & ENTRY_PRESENT) || !(entry & ENTRY_WRITE))
        return faults(va, ENTRY_PRESENT | ENTRY_WRITE);
    hardware_access(true);
    ex_store(&hardware_frame[ENTRY_NUMBER(entry)], 8, value, __ATOMIC_RELAXED);
    hardware_access(false);
    return true;
}

/* ---- CPUs ---- */

unsigned machine_cpu(void)
{
    return ktlb_port_cpu();
}

static bool looking;

void machine_waits_by_looking(bool look)
{
    looking = look;
}

void machine_relax(void)
{
    if (!looking)
        ex_relax();
    else
        ex_event(RELAX_OF + hardware_cpu(), false, "relaxes");
}

uint64_t machine_clock(void)
{
    return 0;
}

void machine_nmi(unsigned cpu)
{
    (void)cpu; /* nobody's request: nothing of ours runs in it */
}

void machine_spurious(unsigned cpu)
{
    hardware_interrupt(cpu, NULL);
}

/* A choice like any other: a replay draws the same again. One of few, for a scenario only begins its streams by it. */
uint64_t machine_random(void)
{
    return ex_choose(16, "a lot");
}

void machine_print(const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ex_note("%s", text);
}

void machine_progress(const char *format, ...)
{
    (void)format;
}

/* Work for machine_run: CPU 0 posts it, the others wait for it parked. */
static struct {
    void (*body)(void *argument);
    void *argument;
    unsigned cpus, running, round;
    bool over;
    const struct ex_view *begun, *ended; /* what the bodies may rely on; what came before their ends */
} work;

void machine_run(unsigned cpus, void (*body)(void *argument), void *argument)
{
    ex_event(ROOTS_ID + 1, true, "work");
    work.body = body;
    work.argument = argument;
    work.cpus = cpus;
    work.running = cpus - 1;
    work.round++;
    work.begun = ex_view_current();
    work.ended = NULL;
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        ex_poke(cpu);
    body(argument);
    while (ex_event(ROOTS_ID + 1, false, "all through?"), work.running)
        ex_relax();
    if (work.ended)
        ex_view_acquire(work.ended);
}

void machine_idle(void)
{
    do
        hardware_deliver(hardware_cpu());
    while (ex_park());
}

void machine_serve_work(void)
{
    unsigned done = 0;

    for (;;) {
        ex_event(ROOTS_ID + 1, false, "work?");
        if (work.over)
            return;
        if (work.round != done && hardware_cpu() < work.cpus) {
            done = work.round;
            ex_view_acquire(work.begun);
            work.body(work.argument);
            ex_event(ROOTS_ID + 1, true, "is through");
            work.ended = ex_view_join(work.ended, ex_view_current());
            if (--work.running == 0)
                ex_poke(0);
            continue;
        }
        if (!hardware_deliver(hardware_cpu()))
            ex_park();
    }
}

void machine_end_work(void)
{
    ex_event(ROOTS_ID + 1, true, "no more work");
    work.over = true;
    for (unsigned cpu = 1; cpu < machine.cpus; cpu++)
        ex_poke(cpu);
}

/* ---- a fresh machine ---- */

extern char __start_ktlb_data[] __attribute__((weak)), __stop_ktlb_data[] __attribute__((weak));

void machine_reset(unsigned cpus)
{
    /* As few tags as there can be: they are reused soon. */
    bool by_hardware = machine_protocol && strcmp(machine_protocol, "hardware") == 0;
    struct ktlb_config config = {
        .cpus = cpus, .asids = !hardware_tags ? 0 : by_hardware ? 2 * cpus + 1 : 2, .protocol = machine_protocol,
        .memory = memory, .memory_size = sizeof(memory)};
    enum ktlb_status status;

    hardware_reset(cpus);
    hardware_by_nmi = machine_by_nmi;
    memset(state, 0, sizeof(state));
    memset(about, 0, sizeof(about));
    memset(table_used, 0, sizeof(table_used));
    memset(root_used, 0, sizeof(root_used));
    memset(&work, 0, sizeof(work));
    freed = NULL;
    looking = false;
    for (unsigned i = 0; i < FRAMES; i++) {
        frames[i] = (struct machine_frame){.number = i};
        hardware_frame[i] = MACHINE_POISON | i;
    }
    machine.cpus = cpus;
    machine.asids = config.asids;
    hardware_setup_cpu = 0;
    status = ktlb_init(&config);
    ex_check(status == KTLB_OK, "ktlb_init: %s", ktlb_status_text(status));
    for (hardware_setup_cpu = 0; hardware_setup_cpu < cpus; hardware_setup_cpu++) {
        ktlb_cpu_online();
        state[hardware_setup_cpu].online = true;
        state[hardware_setup_cpu].loaded = &kernel_space;
    }
    hardware_setup_cpu = 0;
}

void machine_regions(void)
{
    if (__start_ktlb_data)
        ex_region(__start_ktlb_data, (size_t)(__stop_ktlb_data - __start_ktlb_data));
    ex_name(hardware_directory, sizeof(hardware_directory), "directory");
    ex_name(hardware_table, sizeof(hardware_table), "table");
    ex_name(hardware_frame, sizeof(hardware_frame), "frame");
    ex_name(memory, sizeof(memory), "ktlb");
}
