/*
 * Shared memory as C11 describes it, operationally: a history of messages per location, a view per CPU.
 *
 * The model is RC11 with one strengthening: every edge of the partial order on seq_cst events must agree with
 * the order of execution, as program order and reads-from already must (no load buffering). In the words of the
 * axioms: coherence, atomicity, and acyclic(po + rf + psc). Release sequences are those of C++20 and C23: the
 * head and the read-modify-writes that follow it, not later plain stores of the same CPU. README.md says more.
 *
 * Invariants:
 * - `latest[l]` of a CPU is the modification-order place of the newest message of l that happens before, or was
 *   read before, its next access. Reads go no lower, stores go above.
 * - `clock` is the vector clock of happens-before proper. It alone decides races, and what a seq_cst fence has
 *   made final for seq_cst accesses.
 * - Real memory always holds the value of the newest message, so that plain accesses, which race with nobody or
 *   are reported, need no help.
 * - Nothing is allocated per step but from an arena; a reset touches only what the last execution touched.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCATIONS_MAX 8192u
#define CELLS (1u << 16)
#define ARENA_SIZE ((size_t)256 << 20)
#define PLACE_GAP (1u << 16)     /* between neighbours in modification order, when nothing was inserted */
#define PLACE_GAP_MIN (1u << 8)  /* narrower gaps are kept for updates, which have no choice of place */
#define GRANULE 8u

/* What a release publishes and an acquire takes over. Never changed once made, so it may be shared. */
struct ex_view {
    uint32_t clock[EX_CPUS_MAX];
    uint32_t count;
    uint32_t latest[];
};

struct message {
    struct message *older, *newer; /* modification order */
    const struct ex_view *view;       /* null: synchronises nothing */
    uint64_t value;
    uint64_t stamp;                /* order of creation, over all locations */
    uint32_t place;                /* modification order as a number */
    uint32_t epoch;                /* the writer's own clock */
    unsigned step;                 /* the search's number for the writing step; 0: none */
    uint8_t cpu;
    bool sc;
    bool rmw;                      /* reads `older`: nothing may come between */
};

struct location {
    uintptr_t address;
    struct location *next;         /* in the same granule */
    struct message *newest;
    unsigned index;
    uint8_t size;
    bool unsettled;                /* a plain store is under way: the newest value is what memory will hold */
};

enum access { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE };

/* One access that a later one may race with. */
struct record {
    struct record *next;
    uintptr_t pc;
    uint32_t epoch;
    uint8_t cpu, mask, access;
};

struct cell {
    uintptr_t granule;
    uint64_t life;                 /* the execution it belongs to; older means empty */
    struct location *locations;
    struct record *records;
};

struct cpu {
    uint32_t clock[EX_CPUS_MAX];
    uint32_t acquirable_clock[EX_CPUS_MAX]; /* what an acquire fence would take over */
    uint32_t latest[LOCATIONS_MAX];
    uint32_t acquirable[LOCATIONS_MAX];
    const struct ex_view *released;   /* at the last release fence */
};

static struct cpu cpus[EX_CPUS_MAX];
static unsigned cpu_count;
static struct location locations[LOCATIONS_MAX];
static unsigned location_count;
static struct cell cells[CELLS];
static unsigned cell_count;
static uint64_t life;
static uint64_t stamp;
static uint32_t sc_latest[LOCATIONS_MAX]; /* what seq_cst fences saw and seq_cst stores wrote */
static uint32_t sc_clock[EX_CPUS_MAX];    /* what happens before some seq_cst fence */
static unsigned char *arena;
static size_t arena_used;
static struct record *spare_records;

static _Noreturn void too_small(const char *what)
{
    fprintf(stderr, "explorer: too small for this case: %s (see memory.c)\n", what);
    exit(2);
}

static void *arena_take(size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (arena_used + size > ARENA_SIZE)
        too_small("ARENA_SIZE");
    void *memory = arena + arena_used;
    arena_used += size;
    return memory;
}

void memory_reset(unsigned count)
{
    if (!arena && !(arena = malloc(ARENA_SIZE)))
        too_small("this machine's memory");
    arena_used = 0;
    spare_records = NULL;
    cpu_count = count;
    location_count = 0;
    cell_count = 0;
    life++;
    stamp = 1; /* 0: there from the beginning */
    memset(sc_clock, 0, sizeof(sc_clock));
    for (unsigned i = 0; i < count; i++) {
        memset(cpus[i].clock, 0, sizeof(cpus[i].clock));
        memset(cpus[i].acquirable_clock, 0, sizeof(cpus[i].acquirable_clock));
        cpus[i].clock[i] = 1; /* epoch 0 is before everybody: the setup */
        cpus[i].released = NULL;
    }
}

/* ---- views ---- */

static uint32_t max32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void join(uint32_t *into, const uint32_t *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        into[i] = max32(into[i], from[i]);
}

static struct ex_view *view_new(unsigned count)
{
    struct ex_view *view = arena_take(sizeof(*view) + count * sizeof(view->latest[0]));
    view->count = count;
    return view;
}

static const struct ex_view *view_of(const struct cpu *cpu)
{
    struct ex_view *view = view_new(location_count);
    memcpy(view->clock, cpu->clock, sizeof(view->clock));
    memcpy(view->latest, cpu->latest, location_count * sizeof(view->latest[0]));
    return view;
}

static const struct ex_view *view_join(const struct ex_view *a, const struct ex_view *b)
{
    if (!a || !b || a == b)
        return a ? a : b;
    if (a->count < b->count)
        return view_join(b, a);
    struct ex_view *view = view_new(a->count);
    memcpy(view->clock, a->clock, sizeof(view->clock));
    memcpy(view->latest, a->latest, a->count * sizeof(view->latest[0]));
    join(view->clock, b->clock, cpu_count);
    join(view->latest, b->latest, b->count);
    return view;
}

/* ---- finding things ---- */

static struct cell *cell_at(uintptr_t address)
{
    uintptr_t granule = address / GRANULE;
    uint32_t slot = (uint32_t)((granule * UINT64_C(0x9e3779b97f4a7c15)) >> 48) & (CELLS - 1);
    while (cells[slot].life == life) {
        if (cells[slot].granule == granule)
            return &cells[slot];
        slot = (slot + 1) & (CELLS - 1);
    }
    if (++cell_count > CELLS / 2)
        too_small("CELLS");
    cells[slot] = (struct cell){.granule = granule, .life = life};
    return &cells[slot];
}

static uint64_t real_read(uintptr_t address, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)address, size);
    return value;
}

static void real_write(uintptr_t address, unsigned size, uint64_t value)
{
    memcpy((void *)address, &value, size);
}

static struct message *message_new(struct location *location, struct message *older, uint32_t place)
{
    struct message *message = arena_take(sizeof(*message));
    *message = (struct message){.older = older, .place = place, .stamp = stamp++};
    if (older) {
        message->newer = older->newer;
        older->newer = message;
    }
    if (message->newer)
        message->newer->older = message;
    else
        location->newest = message;
    return message;
}

static struct location *location_new(struct cell *cell, uintptr_t address, unsigned size)
{
    if (location_count == LOCATIONS_MAX)
        too_small("LOCATIONS_MAX");
    struct location *location = &locations[location_count];
    *location = (struct location){.address = address, .size = (uint8_t)size, .index = location_count++};
    location->next = cell->locations;
    cell->locations = location;
    for (unsigned i = 0; i < cpu_count; i++)
        cpus[i].latest[location->index] = cpus[i].acquirable[location->index] = 0;
    sc_latest[location->index] = 0;
    struct message *initial = message_new(location, NULL, 0);
    initial->value = real_read(address, size);
    initial->stamp = 0;
    return location;
}

static void settle(struct location *location)
{
    if (location->unsettled)
        location->newest->value = real_read(location->address, location->size);
    location->unsettled = false;
}

/* The location an atomic access means. Its first touch makes what memory holds the initial message. */
static struct location *location_at(struct cell *cell, uintptr_t address, unsigned size)
{
    if (address % size != 0)
        ex_fail("an atomic access of %u bytes at the unaligned address of %s", size, trace_where(address));
    for (struct location *l = cell->locations; l; l = l->next) {
        if (l->address == address && l->size == size) {
            settle(l);
            if (l->newest->value == real_read(address, size))
                return l;
            if (!search_on_stack(address))
                ex_fail("%s was changed behind the explorer's back", trace_where(address));
            cell->locations = NULL; /* a dead frame's variable was here; the compiler reused its place */
            break;
        }
        if (l->address < address + size && address < l->address + l->size)
            ex_fail("atomic accesses of %u and of %u bytes overlap at %s", l->size, size, trace_where(address));
    }
    return location_new(cell, address, size);
}

uint32_t memory_last(unsigned location)
{
    return locations[location].newest->place;
}

uint64_t memory_stamp(void)
{
    return stamp;
}

/* ---- races ---- */

static bool conflict(enum access a, enum access b)
{
    bool write = a == PLAIN_WRITE || b == PLAIN_WRITE || a == ATOMIC_WRITE || b == ATOMIC_WRITE;
    bool plain = a == PLAIN_WRITE || b == PLAIN_WRITE || a == PLAIN_READ || b == PLAIN_READ;
    return write && plain;
}

/* Whoever will conflict with `old` will conflict with `new` too; so, if old happens before new, old may go. */
static bool supersedes(enum access new, enum access old)
{
    switch (new) {
    case PLAIN_WRITE: return true;
    case PLAIN_READ: return old == PLAIN_READ || old == ATOMIC_READ;
    case ATOMIC_WRITE: return old == ATOMIC_WRITE || old == ATOMIC_READ;
    default: return old == ATOMIC_READ;
    }
}

static const char *access_name(enum access access)
{
    static const char *const names[] = {"plain read", "plain write", "atomic read", "atomic write"};
    return names[access];
}

static _Noreturn void race(const struct record *first, enum access access, uintptr_t where, uintptr_t pc)
{
    char one[160], two[160];
    unsigned cpu = ex_cpu();
    trace_line(cpu, pc, "%s of %s: RACE", access_name(access), trace_where(where));
    trace_place(first->pc, one, sizeof(one));
    trace_place(pc, two, sizeof(two));
    search_is_race();
    ex_fail("data race on %s:\n  %s by CPU %u at %s\n  %s by CPU %u at %s", trace_where(where),
            access_name((enum access)first->access), first->cpu, one, access_name(access), cpu, two);
    abort();
}

static struct record *record_new(void)
{
    struct record *record = spare_records;
    if (!record)
        return arena_take(sizeof(*record));
    spare_records = record->next;
    return record;
}

/* Compare an access to the bytes in `mask` with those on record, then put it on record. */
static void race_check(struct cell *cell, uint8_t mask, enum access access, uintptr_t pc)
{
    unsigned self = ex_cpu();
    const uint32_t *clock = cpus[self].clock;
    struct record **link = &cell->records, *r;
    while ((r = *link)) {
        if (r->mask & mask) {
            bool before = r->cpu == self || r->epoch <= clock[r->cpu];
            if (!before && conflict(access, (enum access)r->access))
                race(r, access, cell->granule * GRANULE + (unsigned)__builtin_ctz(r->mask & mask), pc);
            if (before && supersedes(access, (enum access)r->access) && !(r->mask &= (uint8_t)~mask)) {
                *link = r->next;
                r->next = spare_records;
                spare_records = r;
                continue;
            }
        }
        link = &r->next;
    }
    r = record_new();
    *r = (struct record){.next = cell->records, .pc = pc, .epoch = clock[self], .cpu = (uint8_t)self,
                         .mask = mask, .access = (uint8_t)access};
    cell->records = r;
}

static uint8_t mask_of(uintptr_t address, unsigned size)
{
    return (uint8_t)(((1u << size) - 1u) << (address % GRANULE));
}

/* A plain store to a location with a history: its newest message from now on, publishing nothing. Whoever
   could tell where else in modification order it might stand is in a race with it. */
static void plain_store(struct location *location)
{
    struct cpu *cpu = &cpus[ex_cpu()];
    settle(location);
    struct message *m = message_new(location, location->newest, location->newest->place + PLACE_GAP);
    m->cpu = (uint8_t)ex_cpu();
    m->epoch = cpu->clock[ex_cpu()];
    cpu->latest[location->index] = m->place;
    location->unsettled = true;
}

void memory_plain(uintptr_t address, size_t size, bool write, uintptr_t pc)
{
    while (size > 0) {
        struct cell *cell = cell_at(address);
        unsigned part = GRANULE - (unsigned)(address % GRANULE);
        if (part > size)
            part = (unsigned)size;
        race_check(cell, mask_of(address, part), write ? PLAIN_WRITE : PLAIN_READ, pc);
        for (struct location *l = cell->locations; write && l; l = l->next)
            if (l->address < address + part && address < l->address + l->size)
                plain_store(l);
        address += part;
        size -= part;
    }
}

/* ---- the order of an access ---- */

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
           order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void take_over(uint32_t *clock, uint32_t *latest, const struct ex_view *view)
{
    if (!view)
        return;
    join(clock, view->clock, cpu_count);
    join(latest, view->latest, view->count);
}

static void observe(struct cpu *cpu, const struct location *location, const struct message *message, int order)
{
    uint32_t *latest = &cpu->latest[location->index], *acquirable = &cpu->acquirable[location->index];
    *latest = max32(*latest, message->place);
    *acquirable = max32(*acquirable, message->place);
    take_over(cpu->acquirable_clock, cpu->acquirable, message->view);
    if (acquires(order))
        take_over(cpu->clock, cpu->latest, message->view);
}

/* The lowest place an access may look at, or must stand above. For a seq_cst access: no lower than the last
   seq_cst store, nor than any message that happens before a seq_cst fence executed already. */
static uint32_t floor_of(const struct cpu *cpu, const struct location *location, int order)
{
    uint32_t floor = cpu->latest[location->index];
    if (order != __ATOMIC_SEQ_CST)
        return floor;
    for (const struct message *m = location->newest; m && m->place > floor; m = m->older)
        if (m->sc || m->epoch <= sc_clock[m->cpu])
            return m->place;
    return floor;
}

/* ---- choosing ---- */

/* The messages an access may read, newest first; those already explored for this step stay unasked. An update
   may read only what no other update has read. */
struct readable {
    struct message *message[CHOICES_MAX];
    uint64_t allowed;
    unsigned count;
};

static void readable_fill(struct readable *r, const struct location *location, uint32_t floor,
                          bool (*may)(const struct message *, uint64_t), uint64_t argument)
{
    uint64_t horizon = search_horizon();
    r->count = 0;
    r->allowed = 0;
    for (struct message *m = location->newest; m && m->place >= floor; m = m->older) {
        if (may && !may(m, argument))
            continue;
        if (r->count == CHOICES_MAX) {
            search_count_bounded();
            break;
        }
        if (m->stamp >= horizon)
            r->allowed |= UINT64_C(1) << r->count;
        r->message[r->count++] = m;
    }
}

static struct message *readable_choose(const struct readable *r)
{
    return r->message[search_choose(r->count, search_wants_newest() ? 1 : r->allowed, CHOICE_MEMORY)];
}

static bool untaken(const struct message *m, uint64_t unused)
{
    (void)unused;
    return !m->newer || !m->newer->rmw;
}

/* A compare-exchange may read any message it would fail on, and those it would succeed on if untaken. */
static bool untaken_or_not(const struct message *m, uint64_t expected)
{
    return m->value != expected || untaken(m, 0);
}

/* The place right behind a message, or the message's own if there is no room. */
static uint32_t place_behind(const struct message *older)
{
    uint32_t next = older->newer ? older->newer->place : older->place + 2 * PLACE_GAP;
    if (next < older->place)
        too_small("places in a modification order");
    return older->place + (next - older->place) / 2;
}

/* Where a store goes: behind everything, or before a message that is above the floor and no update. Returns the
   message it will follow. */
static struct message *choose_older(const struct location *location, uint32_t floor)
{
    struct message *older[CHOICES_MAX];
    unsigned count = 1;
    older[0] = location->newest;
    for (struct message *m = location->newest; search_may_insert() && m->place > floor; m = m->older) {
        if (m->rmw)
            continue;
        if (count == CHOICES_MAX || m->place - m->older->place < PLACE_GAP_MIN) {
            search_count_bounded();
            break;
        }
        older[count++] = m->older;
    }
    return older[count == 1 ? 0 : search_choose(count, ~UINT64_C(0), CHOICE_MEMORY)];
}

/* ---- accesses ---- */

static struct message *write_after(struct cpu *cpu, struct location *location, struct message *older,
                                   uint64_t value, int order)
{
    uint32_t place = place_behind(older);
    if (place == older->place) {
        search_count_bounded();
        ex_discard();
    }
    struct message *m = message_new(location, older, place);
    m->value = value;
    m->cpu = (uint8_t)(cpu - cpus);
    m->epoch = cpu->clock[m->cpu];
    m->sc = order == __ATOMIC_SEQ_CST;
    m->step = search_number();
    cpu->latest[location->index] = place;
    m->view = releases(order) ? view_of(cpu) : cpu->released;
    if (m->sc)
        sc_latest[location->index] = max32(sc_latest[location->index], place);
    if (!m->newer)
        real_write(location->address, location->size, value);
    return m;
}

static void step_access(uintptr_t address, bool reads, bool writes, int order)
{
    search_point(&(struct step){STEP_ACCESS, reads, writes, order == __ATOMIC_SEQ_CST, address, 0});
}

static struct location *touch(uintptr_t address, unsigned size, enum access access, uintptr_t pc)
{
    struct cell *cell = cell_at(address);
    race_check(cell, mask_of(address, size), access, pc);
    return location_at(cell, address, size);
}

static void finish(struct cpu *cpu, uintptr_t address, const struct message *read, bool writes, int order)
{
    cpu->clock[cpu - cpus]++;
    search_did(&(struct step){STEP_ACCESS, read != NULL, writes, order == __ATOMIC_SEQ_CST, address,
                              read ? read->step : 0});
}

uint64_t memory_load(uintptr_t address, unsigned size, int order, uintptr_t pc)
{
    step_access(address, true, false, order);
    struct cpu *cpu = &cpus[ex_cpu()];
    struct location *location = touch(address, size, ATOMIC_READ, pc);
    struct readable readable;
    readable_fill(&readable, location, floor_of(cpu, location, order), NULL, 0);
    const struct message *m = readable_choose(&readable);
    observe(cpu, location, m, order);
    search_read(location->index, m->place);
    if (trace_on)
        trace_line(ex_cpu(), pc, "%s %s = %llx%s", trace_order(order), trace_where(address),
                   (unsigned long long)m->value, m->newer ? " (old)" : "");
    uint64_t value = m->value;
    finish(cpu, address, m, false, order);
    return value;
}

void memory_store(uintptr_t address, unsigned size, uint64_t value, int order, uintptr_t pc)
{
    step_access(address, false, true, order);
    struct cpu *cpu = &cpus[ex_cpu()];
    struct location *location = touch(address, size, ATOMIC_WRITE, pc);
    struct message *older = choose_older(location, floor_of(cpu, location, order));
    const struct message *m = write_after(cpu, location, older, value, order);
    search_wrote(true);
    if (trace_on)
        trace_line(ex_cpu(), pc, "%s %s := %llx%s", trace_order(order), trace_where(address),
                   (unsigned long long)value, m->newer ? " (overtaken)" : "");
    finish(cpu, address, NULL, true, order);
}

/* The write half of an update: next to what it read, and carrying its view on (the release sequence). */
static void update(struct cpu *cpu, struct location *location, struct message *read, uint64_t value, int order)
{
    struct message *m = write_after(cpu, location, read, value, order);
    m->rmw = true;
    m->view = view_join(m->view, read->view);
    search_read(location->index, m->place);
    search_wrote(value != read->value);
}

static uint64_t apply(enum rmw op, uint64_t old, uint64_t operand, unsigned size)
{
    uint64_t value = operand;
    switch (op) {
    case RMW_ADD: value = old + operand; break;
    case RMW_SUB: value = old - operand; break;
    case RMW_OR: value = old | operand; break;
    case RMW_AND: value = old & operand; break;
    case RMW_XOR: value = old ^ operand; break;
    case RMW_NAND: value = ~(old & operand); break;
    case RMW_EXCHANGE: break;
    }
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

uint64_t memory_rmw(uintptr_t address, unsigned size, enum rmw op, uint64_t operand, int order, uintptr_t pc)
{
    step_access(address, true, true, order);
    struct cpu *cpu = &cpus[ex_cpu()];
    struct location *location = touch(address, size, ATOMIC_WRITE, pc);
    struct readable readable;
    readable_fill(&readable, location, floor_of(cpu, location, order), untaken, 0);
    struct message *read = readable_choose(&readable);
    uint64_t old = read->value, value = apply(op, old, operand, size);
    observe(cpu, location, read, order);
    update(cpu, location, read, value, order);
    if (trace_on)
        trace_line(ex_cpu(), pc, "%s %s %llx -> %llx", trace_order(order), trace_where(address),
                   (unsigned long long)old, (unsigned long long)value);
    finish(cpu, address, read, true, order);
    return old;
}

/* Never fails for no reason: the weak form is explored as the strong one. */
bool memory_compare_exchange(uintptr_t address, unsigned size, uint64_t *expected, uint64_t value, int order,
                             int failure_order, uintptr_t pc)
{
    bool sc = order == __ATOMIC_SEQ_CST, failure_sc = failure_order == __ATOMIC_SEQ_CST;
    step_access(address, true, true, failure_sc ? failure_order : order);
    struct cpu *cpu = &cpus[ex_cpu()];
    struct location *location = touch(address, size, ATOMIC_READ, pc);
    struct readable readable;
    uint32_t floor = floor_of(cpu, location, sc && failure_sc ? order : __ATOMIC_RELAXED);
    readable_fill(&readable, location, floor, untaken_or_not, *expected);
    if (sc != failure_sc) { /* what a success may read and what a failure may read differ */
        uint32_t high = floor_of(cpu, location, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < readable.count; i++)
            if (readable.message[i]->place < high && (readable.message[i]->value == *expected) == sc)
                readable.allowed &= ~(UINT64_C(1) << i);
    }
    struct message *read = readable_choose(&readable);
    uint64_t old = read->value;
    bool success = old == *expected;
    if (success)
        touch(address, size, ATOMIC_WRITE, pc);
    observe(cpu, location, read, success ? order : failure_order);
    search_read(location->index, read->place);
    if (success)
        update(cpu, location, read, value, order);
    if (trace_on)
        trace_line(ex_cpu(), pc, success ? "%s %s %llx -> %llx" : "%s %s = %llx (wanted %llx)",
                   trace_order(success ? order : failure_order), trace_where(address), (unsigned long long)old,
                   (unsigned long long)(success ? value : *expected));
    finish(cpu, address, read, success, success ? order : failure_order);
    *expected = old;
    return success;
}

/* Fences other than seq_cst concern their own CPU alone, so they are no step of the search. */
void memory_fence(int order, uintptr_t pc)
{
    if (order == __ATOMIC_SEQ_CST)
        search_point(&(struct step){STEP_FENCE, false, false, true, 0, 0});
    struct cpu *cpu = &cpus[ex_cpu()];
    if (acquires(order)) {
        join(cpu->clock, cpu->acquirable_clock, cpu_count);
        join(cpu->latest, cpu->acquirable, location_count);
    }
    if (order == __ATOMIC_SEQ_CST) {
        join(cpu->latest, sc_latest, location_count);
        memcpy(sc_latest, cpu->latest, location_count * sizeof(sc_latest[0]));
        join(sc_clock, cpu->clock, cpu_count);
    }
    if (releases(order))
        cpu->released = view_of(cpu);
    cpu->clock[cpu - cpus]++;
    if (trace_on)
        trace_line(ex_cpu(), pc, "fence %s", trace_order(order));
    if (order == __ATOMIC_SEQ_CST)
        search_did(&(struct step){STEP_FENCE, false, false, true, 0, 0});
}

/* ---- for the machine ---- */

#define HERE ((uintptr_t)__builtin_return_address(0))

uint64_t ex_walk(const void *address, unsigned size)
{
    uintptr_t where = (uintptr_t)address;
    if (!ex_running())
        return real_read(where, size);
    step_access(where, true, false, __ATOMIC_RELAXED);
    struct location *location = location_at(cell_at(where), where, size);
    struct readable readable;
    readable_fill(&readable, location, cpus[ex_cpu()].latest[location->index], NULL, 0);
    const struct message *m = readable_choose(&readable);
    if (trace_on)
        trace_line(ex_cpu(), HERE, "walk %s = %llx%s", trace_where(where), (unsigned long long)m->value,
                   m->newer ? " (old)" : "");
    search_did(&(struct step){STEP_ACCESS, true, false, false, where, m->step});
    return m->value;
}

unsigned ex_values_since(const void *address, unsigned size, const struct ex_view *since, uint64_t *values,
                         unsigned max)
{
    uintptr_t where = (uintptr_t)address;
    if (!ex_running()) {
        values[0] = real_read(where, size);
        return 1;
    }
    struct location *location = location_at(cell_at(where), where, size);
    uint32_t floor = since && location->index < since->count ? since->latest[location->index] : 0;
    unsigned count = 0;
    for (const struct message *m = location->newest; m && m->place >= floor && count < max; m = m->older)
        values[count++] = m->value;
    return count;
}

const struct ex_view *ex_view_of(const void *address, unsigned size, uint64_t value)
{
    uintptr_t where = (uintptr_t)address;
    const struct message *m = ex_running() ? location_at(cell_at(where), where, size)->newest : NULL;
    while (m && m->value != value)
        m = m->older;
    return m ? m->view : NULL;
}

void ex_touch(const void *address, unsigned size, bool write)
{
    if (ex_running())
        touch((uintptr_t)address, size, write ? ATOMIC_WRITE : ATOMIC_READ, HERE);
}

const struct ex_view *ex_view_released(void)
{
    return ex_running() ? cpus[ex_cpu()].released : NULL;
}

const struct ex_view *ex_view_current(void)
{
    if (!ex_running())
        return NULL;
    struct cpu *cpu = &cpus[ex_cpu()];
    const struct ex_view *view = view_of(cpu);
    cpu->clock[cpu - cpus]++; /* what the CPU does next is not part of it */
    return view;
}

const struct ex_view *ex_view_join(const struct ex_view *a, const struct ex_view *b)
{
    return view_join(a, b);
}

void ex_view_observe(const struct ex_view *view)
{
    struct cpu *cpu = &cpus[ex_cpu()];
    take_over(cpu->acquirable_clock, cpu->acquirable, view);
}

void ex_view_acquire(const struct ex_view *view)
{
    struct cpu *cpu = &cpus[ex_cpu()];
    ex_view_observe(view);
    take_over(cpu->clock, cpu->latest, view);
}

void ex_forget(const void *base, size_t size)
{
    uintptr_t end = (uintptr_t)base + size;
    if (!ex_running())
        return;
    for (uintptr_t at = (uintptr_t)base & ~(uintptr_t)(GRANULE - 1); at < end; at += GRANULE) {
        struct cell *cell = cell_at(at);
        cell->records = NULL;
        cell->locations = NULL;
    }
    search_did_anything();
}

uint64_t ex_load(const void *address, unsigned size, int order)
{
    return ex_running() ? memory_load((uintptr_t)address, size, order, HERE) : real_read((uintptr_t)address, size);
}

void ex_store(void *address, unsigned size, uint64_t value, int order)
{
    if (ex_running())
        memory_store((uintptr_t)address, size, value, order, HERE);
    else
        real_write((uintptr_t)address, size, value);
}

bool ex_compare_exchange(void *address, unsigned size, uint64_t *expected, uint64_t value, int order)
{
    uintptr_t where = (uintptr_t)address;
    int failure = order == __ATOMIC_RELEASE ? __ATOMIC_RELAXED : order == __ATOMIC_ACQ_REL ? __ATOMIC_ACQUIRE : order;
    if (ex_running())
        return memory_compare_exchange(where, size, expected, value, order, failure, HERE);
    uint64_t old = real_read(where, size);
    bool success = old == *expected;
    if (success)
        real_write(where, size, value);
    *expected = old;
    return success;
}

void ex_fence(int order)
{
    if (ex_running())
        memory_fence(order, HERE);
}
