/*
 * hardware.c - the CPUs of hardware.h: interrupts, and the floors of the TLB. What an architecture's instructions do with
 * them is in the file of its name.
 *
 * Invariant: a floor only rises, and only by an instruction that the architecture says removes the entry.
 */
#include "hardware.h"

#include <string.h>

#include "ktlb/ktlb.h"

/* Since when an entry may have been filled: this CPU's view at that moment, and which moment. Null: from the start. */
struct floor {
    const struct ex_view *view;
    uint32_t when;
};

struct cpu {
    unsigned root, tag;
    bool masked, pending, in_nmi, exposed, away, accessing;
    uint64_t late[(FRAMES + 63) / 64]; /* frames that a store may still be on its way to */
    const struct ex_view *carried; /* what came before the interrupts pending here */
    uint32_t now;
    struct floor page[TAGS][PAGES], huge[TAGS][REGIONS], walk[TAGS][2][REGIONS]; /* walk: of which half */
    struct floor global[PAGES], global_huge[REGIONS], global_walk[REGIONS];
    uint32_t roots[TAGS];            /* roots that were loaded under a tag since it was last dropped */
    struct floor since[TAGS][ROOTS]; /* and when they first were: before, nobody walked them for that tag */
};

static struct cpu cpus[EX_CPUS_MAX];
static struct raised { /* joins of views, by the first: most floors that rise together were level; to join takes long */
    const struct ex_view *before, *now, *joined;
} raised[64];
static unsigned cpu_count, strays[EX_CPUS_MAX], interrupts_sent;
static uint64_t mapped[2 * PAGES];
static unsigned mapped_count;
bool hardware_by_nmi;
void (*hardware_stray_handler)(void);
uint64_t hardware_frame[FRAMES];
uint64_t hardware_directory[ROOTS][REGIONS];
uint64_t hardware_table[TABLES][TABLE_PAGES];
struct hardware_quirks hardware_quirks;
bool hardware_tags = true;
bool hardware_keeps_faults;
bool hardware_breaks, hardware_any_size;
unsigned hardware_setup_cpu;

/* ids of events */
enum { TLB_OF = 1000, INTERRUPTS_OF = 1100 };

bool hardware_quirk(const char *name)
{
    struct {
        const char *name;
        bool *quirk;
    } all[] = {
        {"invlpg-keeps-globals", &hardware_quirks.invlpg_keeps_globals},
        {"late-stores", &hardware_quirks.late_stores},
        {"first-does-nothing", &hardware_quirks.first_does_nothing},
        {"walks-kept", &hardware_quirks.walks_kept},
        {"address-ignored", &hardware_quirks.address_ignored},
    };

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name, all[i].name) == 0)
            return *all[i].quirk = true;
    return false;
}

void hardware_reset(unsigned count)
{
    hardware_setup_cpu = 0;
    cpu_count = count;
    interrupts_sent = 0;
    memset(strays, 0, sizeof(strays));
    hardware_stray_handler = NULL;
    memset(cpus, 0, sizeof(cpus));
    memset(raised, 0, sizeof(raised)); /* of views of the last execution */
    memset(hardware_directory, 0, sizeof(hardware_directory));
    memset(hardware_table, 0, sizeof(hardware_table));
    mapped_count = 0;
    for (unsigned i = 0; i < count; i++) {
        cpus[i].roots[0] = 1;
    }
    hardware_arch_reset();
}

void hardware_touch(unsigned cpu, bool write, const char *label)
{
    if (ex_running())
        ex_event(TLB_OF + cpu, write, label);
}

unsigned hardware_cpu(void)
{
    return ex_running() ? ex_cpu() : hardware_setup_cpu;
}

unsigned hardware_cpus(void)
{
    return cpu_count;
}

static struct cpu *self(void)
{
    return &cpus[hardware_cpu()];
}

/* ---- addresses ---- */

bool hardware_is_kernel(uint64_t va)
{
    return va >= KERNEL_BASE;
}

unsigned hardware_page(uint64_t va)
{
    uint64_t offset = va - (hardware_is_kernel(va) ? KERNEL_BASE : USER_BASE);
    uint64_t region = offset >> REGION_BITS, page = (offset >> PAGE_BITS) & ((1u << (REGION_BITS - PAGE_BITS)) - 1);

    if (region >= REGIONS || page >= TABLE_PAGES)
        ex_fail("explorer: address %llx is beyond this machine's pages", (unsigned long long)va);
    return (unsigned)(region * TABLE_PAGES + page);
}

bool hardware_has_page(uint64_t va)
{
    uint64_t offset = va - (hardware_is_kernel(va) ? KERNEL_BASE : USER_BASE);

    return offset >> REGION_BITS < REGIONS && (offset >> PAGE_BITS & ((1u << (REGION_BITS - PAGE_BITS)) - 1)) < TABLE_PAGES;
}

/* ---- floors ---- */

static struct floor older(struct floor a, struct floor b)
{
    return a.when < b.when ? a : b;
}

static struct floor newer(struct floor a, struct floor b)
{
    return (struct floor){ex_view_join(a.view, b.view), a.when > b.when ? a.when : b.when};
}

/* It only rises: what was dropped later has not come back because of an older order. */
static void raise_floor(struct floor *floor, struct floor now)
{
    struct raised *raise = &raised[(uintptr_t)floor->view / sizeof(void *) % (sizeof(raised) / sizeof(raised[0]))];

    if (floor->view != raise->before || now.view != raise->now)
        *raise = (struct raised){floor->view, now.view, ex_view_join(floor->view, now.view)};
    floor->view = raise->joined;
    floor->when = now.when;
}

static void drop_pages(struct cpu *cpu, unsigned tag, const struct hardware_drop *drop, struct floor now)
{
    for (unsigned page = 0; page < PAGES; page++) {
        unsigned region = page / TABLE_PAGES;
        for (unsigned kernel = 0; kernel < 2; kernel++) {
            bool this = drop->all || (hardware_is_kernel(drop->va) == kernel && page == hardware_page(drop->va));

            if (this && !kernel) {
                raise_floor(&cpu->page[tag][page], now);
                raise_floor(&cpu->huge[tag][region], now);
            }
            if (drop->walks == HARDWARE_WALKS || (drop->walks == HARDWARE_WALKS_OF_USER && !kernel) ||
                (this && drop->walks == HARDWARE_WALKS_OF_PAGE))
                raise_floor(&cpu->walk[tag][kernel][region], now);
        }
    }
    if (drop->all)
        cpu->roots[tag] = tag == cpu->tag ? 1u << cpu->root : 0;
}

static void drop_globals(struct cpu *cpu, const struct hardware_drop *drop, struct floor now)
{
    for (unsigned page = 0; page < PAGES; page++) {
        if (!drop->all && (!hardware_is_kernel(drop->va) || page != hardware_page(drop->va)))
            continue;
        raise_floor(&cpu->global[page], now);
        raise_floor(&cpu->global_huge[page / TABLE_PAGES], now);
        if (drop->walks != HARDWARE_WALKS_KEPT)
            raise_floor(&cpu->global_walk[page / TABLE_PAGES], now);
    }
}

/* On the CPU that this is, or that it stands in for. */
static void drop_here(const struct hardware_drop *drop)
{
    struct cpu *cpu = self();
    struct floor now = {drop->dated ? drop->at : ex_view_current(), ++cpu->now};

    for (unsigned tag = 0; tag < TAGS; tag++)
        if (drop->tag == tag || drop->tag == HARDWARE_EVERY_TAG)
            drop_pages(cpu, tag, drop, now);
    if (drop->globals)
        drop_globals(cpu, drop, now);
}

void hardware_drop(const struct hardware_drop *drop)
{
    hardware_touch(hardware_cpu(), true, "drops");
    hardware_last_use(self()->exposed);
    drop_here(drop);
}

void hardware_drop_everywhere(const struct hardware_drop *drop, uint64_t which)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        struct hardware_drop there = *drop;
        const struct ex_view *before;
        unsigned here;

        if (!(which >> cpu & 1))
            continue;
        if (cpu == hardware_cpu()) {
            hardware_drop(drop);
            continue;
        }
        /* The entries go, what was done through them is done before this is over, and what is walked from here on, there,
         * is what the one who broadcasts had published, or newer. */
        hardware_touch(cpu, true, "is made to drop");
        here = ex_stand_in(cpu);
        hardware_last_use(cpus[cpu].exposed);
        there.dated = true;
        there.at = ex_view_join(ex_view_current(), drop->at);
        drop_here(&there);
        before = ex_view_current();
        ex_stand_in(here);
        ex_view_acquire(before);
    }
}

void hardware_load_root(unsigned root, unsigned tag, bool flush, const struct ex_view *since)
{
    const struct hardware_drop drop = {.tag = tag, .all = true, .walks = HARDWARE_WALKS};
    struct cpu *cpu = self();

    ex_check(tag < TAGS, "explorer: tag %u is beyond this machine's", tag);
    hardware_touch(hardware_cpu(), true, "loads a root");
    hardware_last_use(cpu->exposed);
    cpu->root = root;
    cpu->tag = tag;
    if (flush)
        drop_here(&drop);
    if (!(cpu->roots[tag] >> root & 1))
        cpu->since[tag][root] = (struct floor){since, ++cpu->now};
    cpu->roots[tag] |= 1u << root;
    /* Global entries may be filled through what this tag's walk caches remember. */
    for (unsigned i = 0; i < REGIONS; i++)
        cpu->global_walk[i] = older(cpu->global_walk[i], cpu->walk[tag][1][i]);
}

unsigned hardware_root(void)
{
    return self()->root;
}

unsigned hardware_tag(void)
{
    return self()->tag;
}

/* ---- what may be used ---- */

static unsigned add(uint64_t *entries, unsigned count, unsigned max, uint64_t entry)
{
    for (unsigned i = 0; i < count; i++)
        if (entries[i] == entry)
            return count;
    ex_check(count < max, "explorer: more translations of one page than this machine counts");
    entries[count] = entry;
    return count + 1;
}

/* The present translations of a page in one root: entries filled since @page, through tables known since @walk. Those
 * of a huge entry say which of its frames the page has. */
static unsigned collect(unsigned root, unsigned page, struct floor leaf, struct floor huge, struct floor walk,
                        uint64_t *entries, unsigned count, unsigned max)
{
    uint64_t upper[16], lower[16];
    const uint64_t *directory = &hardware_directory[root][page / TABLE_PAGES];
    unsigned uppers = ex_values_since(directory, 8, huge.view, upper, 16);

    for (unsigned i = 0; i < uppers; i++)
        if ((upper[i] & ENTRY_PRESENT) && (upper[i] & ENTRY_HUGE))
            count = add(entries, count, max, upper[i] + ENTRY(page % HUGE_FRAMES, 0));
    uppers = ex_values_since(directory, 8, older(leaf, walk).view, upper, 16);
    for (unsigned i = 0; i < uppers; i++) {
        unsigned lowers;

        if (!(upper[i] & ENTRY_PRESENT) || (upper[i] & ENTRY_HUGE))
            continue;
        lowers = ex_values_since(&hardware_table[ENTRY_NUMBER(upper[i])][page % TABLE_PAGES], 8, leaf.view, lower, 16);
        for (unsigned j = 0; j < lowers; j++)
            if (lower[j] & ENTRY_PRESENT)
                count = add(entries, count, max, lower[j]);
    }
    return count;
}

unsigned hardware_possible(unsigned number, uint64_t va, uint64_t *entries, unsigned max)
{
    const struct cpu *cpu = &cpus[number];
    unsigned page = hardware_page(va), region = page / TABLE_PAGES, tag = cpu->tag, count = 0;

    if (hardware_is_kernel(va))
        return collect(0, page, cpu->global[page], cpu->global_huge[region], cpu->global_walk[region], entries, 0, max);
    for (unsigned root = 1; root < ROOTS; root++)
        if (cpu->roots[tag] >> root & 1) {
            struct floor since = cpu->since[tag][root];

            count = collect(root, page, newer(cpu->page[tag][page], since), newer(cpu->huge[tag][region], since),
                            newer(cpu->walk[tag][0][region], since), entries, count, max);
        }
    return count;
}

/* Whether the loaded root's table may have no entry of these bits for a page: by what was read of it since @leaf,
 * through what leads there since @walk. */
static bool may_lack(uint64_t va, uint64_t bits, struct floor leaf, struct floor walk)
{
    unsigned page = hardware_page(va), root = hardware_is_kernel(va) ? 0 : self()->root;
    uint64_t upper[16], lower[16];
    unsigned uppers = ex_values_since(&hardware_directory[root][page / TABLE_PAGES], 8, walk.view, upper, 16);

    for (unsigned i = 0; i < uppers; i++) {
        bool last = !(upper[i] & ENTRY_PRESENT) || (upper[i] & ENTRY_HUGE);
        unsigned lowers;

        if (last && (upper[i] & bits) != bits)
            return true;
        if (last)
            continue;
        lowers = ex_values_since(&hardware_table[ENTRY_NUMBER(upper[i])][page % TABLE_PAGES], 8, leaf.view, lower, 16);
        for (unsigned j = 0; j < lowers; j++)
            if ((lower[j] & bits) != bits)
                return true;
    }
    return false;
}

/* To a walk that starts now or, where that is remembered, to any since it was last dropped. An entry above the last
 * level that leads nowhere is what leads to entries: a drop of leaf entries leaves it. */
bool hardware_may_fault(uint64_t va)
{
    const struct cpu *cpu = self();
    unsigned page = hardware_page(va), root = hardware_is_kernel(va) ? 0 : cpu->root, region = page / TABLE_PAGES;
    struct floor leaf = {ex_view_current(), 0}, walk = leaf;

    if (hardware_keeps_faults && root == 0) {
        leaf = cpu->global[page];
        walk = cpu->global_walk[region];
    } else if (hardware_keeps_faults) {
        leaf = newer(cpu->page[cpu->tag][page], cpu->since[cpu->tag][root]);
        walk = newer(cpu->walk[cpu->tag][0][region], cpu->since[cpu->tag][root]);
    }
    return may_lack(va, ENTRY_PRESENT, leaf, walk);
}

bool hardware_grants(uint64_t va, uint64_t bits)
{
    struct floor now = {ex_view_current(), 0};

    return !may_lack(va, bits, now, now);
}

void hardware_observe(uint64_t va, uint64_t entry)
{
    unsigned page = hardware_page(va), root = hardware_is_kernel(va) ? 0 : self()->root;
    const uint64_t *directory = &hardware_directory[root][page / TABLE_PAGES];
    uint64_t upper;

    ex_values_since(directory, 8, NULL, &upper, 1);
    if (ex_view_of(directory, 8, upper))
        ex_view_observe(ex_view_of(directory, 8, upper));
    if ((upper & ENTRY_PRESENT) && !(upper & ENTRY_HUGE)) {
        const struct ex_view *view = ex_view_of(&hardware_table[ENTRY_NUMBER(upper)][page % TABLE_PAGES], 8, entry);

        if (view)
            ex_view_observe(view);
    }
}

bool hardware_may_walk(unsigned number, unsigned table)
{
    const struct cpu *cpu = &cpus[number];
    unsigned tag = cpu->tag;
    uint64_t upper[16];

    for (unsigned root = 0; root < ROOTS; root++) {
        if (root != 0 && !(cpu->roots[tag] >> root & 1))
            continue;
        for (unsigned region = 0; region < REGIONS; region++) {
            struct floor floor = cpu->walk[tag][root == 0][region];
            unsigned count;

            if (root != 0)
                floor = newer(floor, cpu->since[tag][root]);
            count = ex_values_since(&hardware_directory[root][region], 8, floor.view, upper, 16);

            for (unsigned i = 0; i < count; i++)
                if ((upper[i] & ENTRY_PRESENT) && !(upper[i] & ENTRY_HUGE) && ENTRY_NUMBER(upper[i]) == table)
                    return true;
        }
    }
    return false;
}

/* ---- break before make ---- */

/* Of two entries that may be held at once, both in one place of a table above the last level, or both translations of
 * one page, whether that is one too many. Rights may differ: either's apply. */
static bool contradict(uint64_t a, uint64_t b, bool upper)
{
    if ((a ^ b) & ENTRY_HUGE)
        return !hardware_any_size || (!upper && ENTRY_NUMBER(a) != ENTRY_NUMBER(b));
    return ENTRY_NUMBER(a) != ENTRY_NUMBER(b);
}

static bool find_contradiction(const uint64_t *entries, unsigned count, bool upper, uint64_t pair[2])
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (contradict(entries[i], entries[j], upper)) {
                pair[0] = entries[i];
                pair[1] = entries[j];
                return true;
            }
    return false;
}

/* The same in one root, as collect() has it; walk caches hold tables, empty ones too. */
static bool conflict_in(unsigned root, unsigned page, struct floor leaf, struct floor huge, struct floor walk,
                        uint64_t pair[2])
{
    uint64_t entries[24], upper[16];
    const uint64_t *directory = &hardware_directory[root][page / TABLE_PAGES];
    unsigned count = 0, uppers = ex_values_since(directory, 8, huge.view, upper, 16);

    for (unsigned i = 0; i < uppers; i++)
        if ((upper[i] & ENTRY_PRESENT) && (upper[i] & ENTRY_HUGE))
            count = add(entries, count, 24, upper[i]);
    uppers = ex_values_since(directory, 8, walk.view, upper, 16);
    for (unsigned i = 0; i < uppers; i++)
        if ((upper[i] & ENTRY_PRESENT) && !(upper[i] & ENTRY_HUGE))
            count = add(entries, count, 24, upper[i]);
    if (find_contradiction(entries, count, true, pair))
        return true;
    return find_contradiction(entries, collect(root, page, leaf, huge, walk, entries, 0, 24), false, pair);
}

bool hardware_may_conflict(unsigned number, uint64_t va, uint64_t pair[2])
{
    const struct cpu *cpu = &cpus[number];
    unsigned page = hardware_page(va), region = page / TABLE_PAGES, tag = cpu->tag;

    if (!hardware_breaks)
        return false;
    if (hardware_is_kernel(va))
        return conflict_in(0, page, cpu->global[page], cpu->global_huge[region], cpu->global_walk[region], pair);
    for (unsigned root = 1; root < ROOTS; root++)
        if (cpu->roots[tag] >> root & 1) {
            struct floor since = cpu->since[tag][root];

            if (conflict_in(root, page, newer(cpu->page[tag][page], since), newer(cpu->huge[tag][region], since),
                            newer(cpu->walk[tag][0][region], since), pair))
                return true;
        }
    return false;
}

bool hardware_may_confuse(unsigned number, unsigned root)
{
    return cpus[number].roots[cpus[number].tag] & ~(1u << root) & ~1u;
}

/* ---- last uses ---- */

void hardware_mapped(uint64_t va)
{
    for (unsigned i = 0; i < mapped_count; i++)
        if (mapped[i] == va)
            return;
    mapped[mapped_count++] = va;
}

uint64_t hardware_mapped_next(unsigned *at)
{
    return *at < mapped_count ? mapped[(*at)++] : 0;
}

void hardware_expose(bool exposed)
{
    self()->exposed = exposed;
}

void hardware_away(bool away)
{
    self()->away = away;
}

bool hardware_kernel_begin(void)
{
    bool before = self()->exposed;

    if (KTLB_SCOREBOARD_EARLY) {
        hardware_last_use(before);
        hardware_expose(false);
    }
    return before;
}

void hardware_kernel_end(bool before)
{
    if (KTLB_SCOREBOARD_EARLY)
        hardware_expose(before);
}

void hardware_access(bool begins)
{
    self()->accessing = begins;
}

bool hardware_exposed(unsigned cpu)
{
    return cpus[cpu].exposed;
}

void hardware_last_use(bool user)
{
    uint64_t entries[24], va;
    unsigned at = 0;

    if (!ex_running() || self()->away)
        return;
    while ((va = hardware_mapped_next(&at))) {
        unsigned count;

        if (!user && !hardware_is_kernel(va))
            continue;
        count = hardware_possible(hardware_cpu(), va, entries, 24);
        for (unsigned i = 0; i < count; i++) {
            ex_touch(&hardware_frame[ENTRY_NUMBER(entries[i])], 8, entries[i] & ENTRY_WRITE);
            if (hardware_quirks.late_stores && (entries[i] & ENTRY_WRITE))
                self()->late[ENTRY_NUMBER(entries[i]) / 64] |= UINT64_C(1) << ENTRY_NUMBER(entries[i]) % 64;
        }
    }
    for (unsigned table = 0; table < TABLES; table++)
        if (hardware_may_walk(hardware_cpu(), table))
            for (unsigned page = 0; page < 2; page++)
                ex_touch(&hardware_table[table][page], 8, false);
}

/* ---- interrupts ---- */

bool hardware_mask(bool masked)
{
    struct cpu *cpu = self();
    bool before = cpu->masked;

    cpu->masked = masked;
    return before;
}

void hardware_interrupt(unsigned target, const struct ex_view *carried)
{
    struct cpu *cpu = &cpus[target];

    ex_event(INTERRUPTS_OF + target, true, "interrupt");
    interrupts_sent++;
    cpu->pending = true;
    cpu->carried = ex_view_join(cpu->carried, carried);
    ex_poke(target);
}

static void take(unsigned number, void (*handler)(void))
{
    struct cpu *cpu = &cpus[number];
    const struct ex_view *carried = cpu->carried;
    bool masked = cpu->masked, exposed = hardware_kernel_begin();

    cpu->pending = false;
    cpu->carried = NULL;
    cpu->masked = true;
    cpu->in_nmi = hardware_by_nmi && !handler;
    ex_note(hardware_by_nmi ? "takes the NMI" : "takes the interrupt");
    hardware_arch_trap();
    if (carried)
        ex_view_acquire(carried);
    ktlb_ipi();
    if (handler) {
        handler();
        ex_poke(number); /* it may have waited, and seen what the loop it interrupted would wait for: that looks again */
    }
    cpu->in_nmi = false;
    cpu->masked = masked;
    hardware_kernel_end(exposed);
    for (unsigned i = 0; hardware_quirks.late_stores && i < FRAMES; i++)
        if (cpu->late[i / 64] >> i % 64 & 1)
            ex_touch(&hardware_frame[i], 8, true);
    memset(cpu->late, 0, sizeof(cpu->late));
}

/* An NMI waits for nothing but the end of another. */
static bool blocked(const struct cpu *cpu)
{
    return hardware_by_nmi ? cpu->in_nmi : cpu->masked;
}

bool hardware_deliver(unsigned number)
{
    struct cpu *cpu = &cpus[number];

    if (!cpu->pending || blocked(cpu))
        return false;
    take(number, NULL);
    return true;
}

unsigned hardware_interrupts_sent(void)
{
    return interrupts_sent;
}

void hardware_stray(unsigned cpu, unsigned count)
{
    strays[cpu] = count;
}

void hardware_before_step(unsigned number)
{
    struct cpu *cpu = &cpus[number];

    if (blocked(cpu) || cpu->accessing)
        return;
    if (cpu->pending && ex_choose(2, "take the interrupt"))
        take(number, NULL);
    /* A handler that unmaps is an interrupt's, whatever our own are. */
    if (strays[number] && !(hardware_stray_handler && cpu->masked) && ex_choose(2, "a stray interrupt")) {
        strays[number]--;
        take(number, hardware_stray_handler);
    }
}
