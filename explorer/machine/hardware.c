/*
 * hardware.c - the CPUs of hardware.h: instructions, interrupts, and the floors of the TLB.
 *
 * Invariant: a floor only rises, and only by an instruction that the architecture says removes the entry.
 */
#include "hardware.h"

#include <string.h>

#include "ktlb/arch/x86_64.h"

/* Since when an entry may have been filled: this CPU's view at that moment, and which moment. Null: from the start. */
struct floor {
    const struct ex_view *view;
    uint32_t when;
};

struct cpu {
    uint64_t cr3, cr4;
    bool masked, pending, in_nmi, exposed, away, accessing, repeated;
    uint64_t late[(FRAMES + 63) / 64]; /* frames that a store may still be on its way to */
    const struct ex_view *carried; /* what came before the interrupts pending here */
    uint32_t now;
    struct floor page[TAGS][PAGES], huge[TAGS][REGIONS], walk[TAGS];
    struct floor global[PAGES], global_huge[REGIONS], global_walk[REGIONS];
    uint32_t roots[TAGS]; /* roots that were loaded under a tag since it was last dropped */
};

static struct cpu cpus[EX_CPUS_MAX];
static unsigned cpu_count, strays[EX_CPUS_MAX], interrupts_sent;
static uint64_t mapped[2 * PAGES];
static unsigned mapped_count;
bool hardware_fenced_ipi, hardware_by_nmi;
uint64_t hardware_frame[FRAMES];
uint64_t hardware_directory[ROOTS][REGIONS];
uint64_t hardware_table[TABLES][TABLE_PAGES];
struct hardware_quirks hardware_quirks;
bool hardware_tags = true, hardware_invpcid = true;
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
    memset(cpus, 0, sizeof(cpus));
    memset(hardware_directory, 0, sizeof(hardware_directory));
    memset(hardware_table, 0, sizeof(hardware_table));
    mapped_count = 0;
    for (unsigned i = 0; i < count; i++) {
        cpus[i].cr4 = KTLB_X86_CR4_PGE | (hardware_tags ? KTLB_X86_CR4_PCIDE : 0);
        cpus[i].roots[0] = 1;
    }
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

/* ---- floors ---- */

static struct floor here(struct cpu *cpu)
{
    return (struct floor){ex_view_current(), ++cpu->now};
}

static struct floor older(struct floor a, struct floor b)
{
    return a.when < b.when ? a : b;
}

static unsigned tag_of(const struct cpu *cpu)
{
    return (cpu->cr4 & KTLB_X86_CR4_PCIDE) ? (unsigned)(cpu->cr3 & KTLB_X86_CR3_PCID) : 0;
}

static unsigned root_of(const struct cpu *cpu)
{
    return (unsigned)((cpu->cr3 & ~KTLB_X86_CR3_KEEP) >> 12);
}

static void drop_tag(struct cpu *cpu, unsigned tag, struct floor now)
{
    for (unsigned i = 0; i < PAGES; i++)
        cpu->page[tag][i] = now;
    for (unsigned i = 0; i < REGIONS; i++)
        cpu->huge[tag][i] = now;
    cpu->walk[tag] = now;
    cpu->roots[tag] = 0;
}

static void drop_everything(struct cpu *cpu)
{
    struct floor now = here(cpu);

    for (unsigned tag = 0; tag < TAGS; tag++)
        drop_tag(cpu, tag, now);
    for (unsigned i = 0; i < PAGES; i++)
        cpu->global[i] = now;
    for (unsigned i = 0; i < REGIONS; i++)
        cpu->global_huge[i] = cpu->global_walk[i] = now;
    cpu->roots[tag_of(cpu)] = 1u << root_of(cpu);
}

/* ---- instructions ---- */

void ktlb_x86_invlpg(uint64_t va)
{
    struct cpu *cpu = self();
    unsigned page = hardware_page(va), region = page / TABLE_PAGES, tag = tag_of(cpu);
    struct floor now;

    hardware_touch(hardware_cpu(), true, "invlpg");
    hardware_last_use(cpu->exposed);
    if (hardware_quirks.address_ignored)
        return;
    if (hardware_quirks.first_does_nothing && (cpu->repeated = !cpu->repeated))
        return;
    now = here(cpu);
    if (!hardware_quirks.walks_kept)
        cpu->walk[tag] = now;
    if (!hardware_is_kernel(va)) {
        cpu->page[tag][page] = now;
        cpu->huge[tag][region] = now;
    } else if (!hardware_quirks.invlpg_keeps_globals) {
        cpu->global[page] = now;
        cpu->global_huge[region] = cpu->global_walk[region] = now;
    }
}

void ktlb_x86_invpcid(uint64_t type, uint64_t pcid, uint64_t va)
{
    (void)pcid, (void)va;
    hardware_touch(hardware_cpu(), true, "invpcid");
    ex_check(type == KTLB_X86_INVPCID_ALL, "explorer: INVPCID type %llu is not modelled", (unsigned long long)type);
    ex_check(hardware_invpcid, "INVPCID on a CPU without it");
    hardware_last_use(self()->exposed);
    drop_everything(self());
}

uint64_t ktlb_x86_read_cr3(void)
{
    return self()->cr3;
}

void ktlb_x86_write_cr3(uint64_t value)
{
    struct cpu *cpu = self();
    bool keep = value & KTLB_X86_CR3_KEEP;
    unsigned tag;

    hardware_touch(hardware_cpu(), true, "cr3");
    hardware_last_use(cpu->exposed);
    cpu->cr3 = value & ~KTLB_X86_CR3_KEEP;
    tag = tag_of(cpu);
    ex_check(!keep || hardware_tags, "CR3 bit 63 on a CPU without PCID");
    ex_check(tag < TAGS, "explorer: tag %u is beyond this machine's", tag);
    if (!keep)
        drop_tag(cpu, tag, here(cpu));
    cpu->roots[tag] |= 1u << root_of(cpu);
    /* Global entries may be filled through what this tag's walk caches remember. */
    for (unsigned i = 0; i < REGIONS; i++)
        cpu->global_walk[i] = older(cpu->global_walk[i], cpu->walk[tag]);
}

uint64_t ktlb_x86_read_cr4(void)
{
    return self()->cr4;
}

void ktlb_x86_write_cr4(uint64_t value)
{
    struct cpu *cpu = self();

    hardware_touch(hardware_cpu(), true, "cr4");
    hardware_last_use(cpu->exposed);
    if ((cpu->cr4 ^ value) & KTLB_X86_CR4_PGE)
        drop_everything(cpu);
    cpu->cr4 = value;
}

void ktlb_x86_mfence(void)
{
    ex_fence(__ATOMIC_SEQ_CST);
}

void ktlb_x86_lfence(void)
{
}

void ktlb_x86_compiler_barrier(void)
{
}

void ktlb_x86_pause(void)
{
    ex_relax();
}

uint64_t ktlb_x86_rdtsc(void)
{
    return 0;
}

uint32_t ktlb_x86_cpuid_ebx(uint32_t leaf)
{
    return leaf == 7 && hardware_invpcid ? 1u << 10 : 0;
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

/* The present translations of a page in one root: entries filled since @page, through tables known since @walk. */
static unsigned collect(unsigned root, unsigned page, struct floor leaf, struct floor huge, struct floor walk,
                        uint64_t *entries, unsigned count, unsigned max)
{
    uint64_t upper[16], lower[16];
    const uint64_t *directory = &hardware_directory[root][page / TABLE_PAGES];
    unsigned uppers = ex_values_since(directory, 8, huge.view, upper, 16);

    for (unsigned i = 0; i < uppers; i++)
        if ((upper[i] & ENTRY_PRESENT) && (upper[i] & ENTRY_HUGE))
            count = add(entries, count, max, upper[i]);
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
    unsigned page = hardware_page(va), region = page / TABLE_PAGES, tag = tag_of(cpu), count = 0;

    if (hardware_is_kernel(va))
        return collect(0, page, cpu->global[page], cpu->global_huge[region], cpu->global_walk[region], entries, 0, max);
    for (unsigned root = 1; root < ROOTS; root++)
        if (cpu->roots[tag] >> root & 1)
            count = collect(root, page, cpu->page[tag][page], cpu->huge[tag][region], cpu->walk[tag], entries, count,
                            max);
    return count;
}

/* The loaded root's table may say "not present" to a walk that starts now. Such an entry is never cached. */
bool hardware_may_fault(uint64_t va)
{
    unsigned page = hardware_page(va), root = hardware_is_kernel(va) ? 0 : root_of(self());
    const struct ex_view *now = ex_view_current();
    uint64_t upper[16], lower[16];
    unsigned uppers = ex_values_since(&hardware_directory[root][page / TABLE_PAGES], 8, now, upper, 16);

    for (unsigned i = 0; i < uppers; i++) {
        unsigned lowers;

        if (!(upper[i] & ENTRY_PRESENT))
            return true;
        if (upper[i] & ENTRY_HUGE)
            continue;
        lowers = ex_values_since(&hardware_table[ENTRY_NUMBER(upper[i])][page % TABLE_PAGES], 8, now, lower, 16);
        for (unsigned j = 0; j < lowers; j++)
            if (!(lower[j] & ENTRY_PRESENT))
                return true;
    }
    return false;
}

void hardware_observe(uint64_t va, uint64_t entry)
{
    unsigned page = hardware_page(va), root = hardware_is_kernel(va) ? 0 : root_of(self());
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
    unsigned tag = tag_of(cpu);
    uint64_t upper[16];

    for (unsigned root = 0; root < ROOTS; root++) {
        if (root != 0 && !(cpu->roots[tag] >> root & 1))
            continue;
        for (unsigned region = 0; region < REGIONS; region++) {
            unsigned count = ex_values_since(&hardware_directory[root][region], 8, cpu->walk[tag].view, upper, 16);

            for (unsigned i = 0; i < count; i++)
                if ((upper[i] & ENTRY_PRESENT) && !(upper[i] & ENTRY_HUGE) && ENTRY_NUMBER(upper[i]) == table)
                    return true;
        }
    }
    return false;
}

bool hardware_may_confuse(unsigned number, unsigned root)
{
    return cpus[number].roots[tag_of(&cpus[number])] & ~(1u << root) & ~1u;
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

void hardware_interrupt(unsigned target)
{
    struct cpu *cpu = &cpus[target];

    ex_event(INTERRUPTS_OF + target, true, "interrupt");
    interrupts_sent++;
    cpu->pending = true;
    /* What the sender ordered before it by a fence is there when it arrives; nothing else is. */
    cpu->carried = ex_view_join(cpu->carried, hardware_fenced_ipi ? ex_view_released() : ex_view_current());
    ex_poke(target);
}

static void take(unsigned number)
{
    struct cpu *cpu = &cpus[number];
    const struct ex_view *carried = cpu->carried;
    bool masked = cpu->masked, exposed = hardware_kernel_begin();

    cpu->pending = false;
    cpu->carried = NULL;
    cpu->masked = true;
    cpu->in_nmi = hardware_by_nmi;
    ex_note(hardware_by_nmi ? "takes the NMI" : "takes the interrupt");
    if (carried)
        ex_view_acquire(carried);
    ktlb_ipi();
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
    take(number);
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
        take(number);
    if (strays[number] && ex_choose(2, "a stray interrupt")) {
        strays[number]--;
        take(number);
    }
}
