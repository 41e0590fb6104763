/*
 * tables.c - address spaces and their page tables; what an entry looks like is the architecture's business.
 *
 * Every edit is one store (or exchange) with release order of an entry. Table pages are frames like any other, so a
 * table that is freed too early is overwritten with poison, which no walker takes for an entry of use. Two CPUs that
 * need the same missing table settle it by compare-and-swap; all else is for the callers' own locks.
 *
 * No emulator minds an entry in the place of another that it contradicts (DDI 0487, "break-before-make"), so that is
 * refused here, by what the library says of the two.
 */
#include "kernel.h"
#include "ktlb/arch/arch.h"

#define TABLE_ENTRIES 512u
#define LEVEL_PAGE 0u
#define LEVEL_HUGE 1u

struct machine_space {
    struct ktlb_space tlb_own;
    struct ktlb_space *tlb; /* tlb_own, or ktlb_kernel */
    uint64_t root;          /* physical */
    bool kernel;
    struct machine_space *next_free;
};

static struct machine_space kernel_space;
static struct lock spaces_lock;
static struct machine_space *spaces_free;
static char *spaces_pool, *spaces_pool_end;

/* ---- walking ---- */

static unsigned level_shift(unsigned level)
{
    return 12 + 9 * level;
}

static struct ktlb_u64 *entry_in(uint64_t table, uint64_t va, unsigned level)
{
    return (struct ktlb_u64 *)direct(table) + (va >> level_shift(level)) % TABLE_ENTRIES;
}

static struct machine_frame *table_new(void)
{
    struct machine_frame *frame = machine_frame_alloc();

    if (!frame)
        kernel_panic("no frame left for a page table: give the machine more memory");
    memset(machine_frame_words(frame), 0, PAGE_SIZE);
    return frame;
}

/* The table below @entry, made if there is none; 0: something else than a table is there. */
static uint64_t table_below(struct ktlb_u64 *entry, unsigned level)
{
    uint64_t pte = ktlb_load_acquire(entry);
    struct machine_frame *frame;

    if (!pte) {
        frame = table_new();
        if (ktlb_rmw_cas_acq_rel(entry, &pte, arch_pte_table(frame->number * PAGE_SIZE))) {
            arch_pte_published();
            return frame->number * PAGE_SIZE;
        }
        machine_frame_free(&frame->node); /* another CPU was first, and pte is its entry now */
    }
    return arch_pte_is_table(pte, level) ? arch_pte_address(pte) : 0;
}

/* The entry for @va at @level; NULL: no table goes down that far. @make: build what is missing. */
static struct ktlb_u64 *entry_find(struct machine_space *space, uint64_t va, unsigned level, bool make)
{
    uint64_t table = space->root;

    progress(arch_cpu());
    if ((va >= arch_kernel_base && va - arch_kernel_base < arch_region_size) != space->kernel)
        kernel_panic("address %lx is not in that space's half", va);
    for (unsigned at = arch_levels - 1; at > level; at--) {
        struct ktlb_u64 *entry = entry_in(table, va, at);
        uint64_t pte = ktlb_load_acquire(entry);

        if (make)
            table = table_below(entry, at);
        else
            table = arch_pte_is_table(pte, at) ? arch_pte_address(pte) : 0;
        if (!table)
            return NULL;
    }
    return entry_in(table, va, level);
}

/* ---- pages ---- */

static bool needs_break(uint64_t old, uint64_t pte, unsigned level)
{
    return ktlb_arch_pte_needs_break(old, pte, level_shift(level));
}

static uint64_t leaf(struct machine_space *space, struct machine_frame *frame, unsigned rights, unsigned level)
{
    return frame ? arch_pte_leaf(frame->number * PAGE_SIZE, rights, level, space->kernel) : 0;
}

/* Returns what was there. */
static uint64_t replace(struct ktlb_u64 *entry, uint64_t va, uint64_t pte, unsigned level)
{
    uint64_t old = ktlb_rmw_exchange_acq_rel(entry, pte);

    if (needs_break(old, pte, level))
        kernel_panic("%lx: %lx is replaced by %lx, and nothing was broken before that was made", va, old, pte);
    if (!old)
        arch_pte_published();
    return old;
}

static struct machine_frame *map(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                 unsigned rights, unsigned level)
{
    struct ktlb_u64 *entry = entry_find(space, va, level, frame != NULL);
    uint64_t old;

    if (!entry && frame)
        kernel_panic("%lx cannot be mapped: a huge page is in the way", va);
    if (!entry)
        return NULL;
    if (arch_pte_is_table(ktlb_load_relaxed(entry), level))
        kernel_panic("%lx cannot be mapped huge: a table is in the way", va);
    old = replace(entry, va, leaf(space, frame, rights, level), level);
    return old ? frame_at(arch_pte_address(old)) : NULL;
}

struct machine_frame *machine_map(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                  unsigned rights)
{
    return map(space, va, frame, rights, LEVEL_PAGE);
}

struct machine_frame *machine_map_huge(struct machine_space *space, uint64_t va, struct machine_frame *frame,
                                       unsigned rights)
{
    return map(space, va, frame, rights, LEVEL_HUGE);
}

bool machine_map_breaks(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_PAGE, false);

    return entry && needs_break(ktlb_load_relaxed(entry), leaf(space, frame, rights, LEVEL_PAGE), LEVEL_PAGE);
}

bool machine_protect(struct machine_space *space, uint64_t va, unsigned rights)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_PAGE, false);
    uint64_t pte = entry ? ktlb_load_relaxed(entry) : 0;

    if (!pte)
        return false;
    ktlb_store_release(entry, arch_pte_leaf(arch_pte_address(pte), rights, LEVEL_PAGE, space->kernel));
    return true;
}

/* ---- huge pages and tables ---- */

bool machine_size_breaks(struct machine_space *space, uint64_t va)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_HUGE, false);
    uint64_t pte = entry ? ktlb_load_relaxed(entry) : 0;
    bool split = arch_pte_is_table(pte, LEVEL_HUGE);

    return needs_break(pte, split ? arch_pte_leaf(0, MACHINE_READ, LEVEL_HUGE, space->kernel) : arch_pte_table(0),
                       LEVEL_HUGE);
}

void machine_split(struct machine_space *space, uint64_t va, struct machine_frame *frame, unsigned rights)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_HUGE, true);
    uint64_t pte = ktlb_load_relaxed(entry);
    struct machine_frame *table = table_new();

    if (pte && (arch_pte_is_table(pte, LEVEL_HUGE) || arch_pte_address(pte) != frame->number * PAGE_SIZE ||
                arch_pte_rights(pte) != rights))
        kernel_panic("%lx cannot be split: something else than that huge frame with these rights is there", va);
    for (unsigned i = 0; i < TABLE_ENTRIES; i++)
        machine_frame_words(table)[i].value =
            arch_pte_leaf((frame->number + i) * PAGE_SIZE, rights, LEVEL_PAGE, space->kernel);
    replace(entry, va, arch_pte_table(table->number * PAGE_SIZE), LEVEL_HUGE);
}

struct machine_frame *machine_merge(struct machine_space *space, uint64_t va, unsigned rights)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_HUGE, false);
    uint64_t pte = entry ? ktlb_load_relaxed(entry) : 0;
    uint64_t first;

    if (!arch_pte_is_table(pte, LEVEL_HUGE))
        return NULL;
    first = ktlb_load_relaxed(direct(arch_pte_address(pte)));
    if (!first || arch_pte_address(first) % HUGE_SIZE)
        kernel_panic("%lx cannot be merged: its pages are not those of a huge frame", va);
    replace(entry, va, arch_pte_leaf(arch_pte_address(first), rights, LEVEL_HUGE, space->kernel), LEVEL_HUGE);
    return frame_at(arch_pte_address(pte));
}

struct machine_frame *machine_table_take(struct machine_space *space, uint64_t va)
{
    struct ktlb_u64 *entry = entry_find(space, va, LEVEL_HUGE, false);
    uint64_t pte = entry ? ktlb_load_relaxed(entry) : 0;

    if (!arch_pte_is_table(pte, LEVEL_HUGE))
        return NULL;
    ktlb_store_release(entry, 0);
    return frame_at(arch_pte_address(pte));
}

/* ---- spaces ---- */

void spaces_init(void)
{
    kernel_space = (struct machine_space){.tlb = &ktlb_kernel, .root = arch_kernel_root(), .kernel = true};
}

struct machine_space *machine_kernel(void)
{
    return &kernel_space;
}

struct ktlb_space *machine_space_tlb(struct machine_space *space)
{
    return space->tlb;
}

/* Records of spaces are made a frame at a time and reused: never frames again, since CPUs may still name them. */
static struct machine_space *space_take(void)
{
    struct machine_space *space;

    lock_take(&spaces_lock);
    space = spaces_free;
    if (space) {
        spaces_free = space->next_free;
    } else {
        if (spaces_pool + sizeof(*space) > spaces_pool_end) {
            spaces_pool = (char *)machine_frame_words(table_new());
            spaces_pool_end = spaces_pool + PAGE_SIZE;
        }
        space = (struct machine_space *)(void *)spaces_pool;
        spaces_pool += sizeof(*space);
    }
    lock_release(&spaces_lock);
    return space;
}

struct machine_space *machine_space_create(void)
{
    struct machine_space *space = space_take();
    struct machine_frame *root = table_new();

    space->root = root->number * PAGE_SIZE;
    space->kernel = false;
    space->tlb = &space->tlb_own;
    arch_root_init((uint64_t *)direct(space->root));
    ktlb_space_init(space->tlb);
    return space;
}

/* Free the tables below @table of the user's half: all of it but what arch_root_init() put into a root. */
static void tables_free(uint64_t table, unsigned level, const uint64_t *shared)
{
    const uint64_t *entries = direct(table);

    for (unsigned i = 0; level && i < TABLE_ENTRIES; i++)
        if (arch_pte_is_table(entries[i], level) && !(shared && shared[i] == entries[i]))
            tables_free(arch_pte_address(entries[i]), level - 1, NULL);
    machine_frame_free(&frame_at(table)->node);
}

void machine_space_destroy(struct machine_space *space)
{
    struct machine_frame *fresh = table_new();

    ktlb_space_fini(space->tlb);
    arch_root_init((uint64_t *)machine_frame_words(fresh)); /* to know the shared entries by */
    tables_free(space->root, arch_levels - 1, (const uint64_t *)machine_frame_words(fresh));
    machine_frame_free(&fresh->node);
    lock_take(&spaces_lock);
    space->next_free = spaces_free;
    spaces_free = space;
    lock_release(&spaces_lock);
}

void machine_switch(struct machine_space *space, bool honest)
{
    struct machine_space *to = space ? space : &kernel_space;
    struct ktlb_load load = ktlb_switch_begin(to->tlb);

    arch_root_load(to->kernel ? 0 : to->root, load.asid, load.flush && honest);
    ktlb_switch_end();
    arch_cpu()->space = space;
    progress(arch_cpu());
}

static void accessed(struct cpu *cpu)
{
    progress(cpu);
    cpu_breathe(cpu);
}

bool machine_load(uint64_t va, uint64_t *value)
{
    accessed(arch_cpu());
    return arch_load(va, value);
}

bool machine_store(uint64_t va, uint64_t value)
{
    accessed(arch_cpu());
    return arch_store(va, value);
}
