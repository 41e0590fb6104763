/*
 * bench.c - what a shootdown costs, cell by cell, every protocol in each, interleaved in one boot.
 *
 * Takes the place of the scenarios in the test kernel. A cell is how many CPUs take part, how many of them are
 * initiators, what each shootdown is of, whether they share a space, and how many of the others are lazy. The
 * initiators make their shootdowns at the same time, each of pages of its own; whoever is neither initiator nor lazy
 * runs on in the space and touches what is being invalidated. Nothing is checked for staleness here, the scenarios do
 * that; what is checked is that each shootdown had the targets it should have.
 *
 * A row is one protocol's turn at a cell, in one round: the first shootdowns are for warming up, the marks (bench.h)
 * are around those that count. Rows are printed as they are done, sums over the row, to be put beside what the
 * emulator's plugin counted in it. How far a cell's rounds differ is how far its figures are to be believed.
 */
#include "bench.h"
#include "scenarios/machine.h"
#include "scenarios/scenarios.h"

#define WARM_UP (KTLB_SPACE_RING + 4u) /* shootdowns: once through the ring, whose lines were made on another CPU */
#define PAGE (UINT64_C(1) << KTLB_PAGE_SHIFT)
#define APART 64u /* pages from one of a cell's ranges to the next: too far to be joined */
#define PLACE (1024 * PAGE) /* of each initiator */

struct cell {
    unsigned members, initiators;
    unsigned pages, ranges; /* so many ranges of so many pages in one batch */
    bool private; /* each CPU is in a space of its own */
    unsigned lazy; /* percent of those who are not initiators */
};

struct protocol {
    const char *name;
    bool everyone;
};

/* How much of a cell: so many rounds, of so many shootdowns of each initiator. */
struct sample {
    unsigned rounds, shootdowns;
};

extern const volatile char bench_marks[BENCH_MARKS];
const volatile char bench_marks[BENCH_MARKS] KTLB_ALIGNED(KTLB_CACHE_LINE);

static void mark(enum bench_mark which)
{
    (void)bench_marks[which];
}

/* ---- one row ---- */

struct sums {
    uint64_t dispatches, targets, interrupts, flushes, strides, overflows, idle;
};

/* Written by all; each word on a line of its own, away from what is measured. */
static struct {
    KTLB_ALIGNED(256) struct ktlb_u64 arrived;
    KTLB_ALIGNED(256) struct ktlb_u64 met;
    KTLB_ALIGNED(256) struct ktlb_u64 done;
    KTLB_ALIGNED(256) struct cell cell;
    unsigned shootdowns; /* of each initiator, that count */
    struct sums before, after;
    uint64_t cycles;
    bool faulted;
    struct machine_space *space[KTLB_CPUS_MAX];
    struct machine_frame *frame[KTLB_CPUS_MAX];
} row;

/* How many: the last of the members. */
static unsigned lazy_of(const struct cell *cell)
{
    return (cell->members - cell->initiators) * cell->lazy / 100;
}

static uint64_t place_of(unsigned cpu)
{
    return machine.user_base + cpu * PLACE;
}

static struct machine_space *space_of(unsigned cpu)
{
    return row.space[row.cell.private ? cpu : 0];
}

static void sums_read(struct sums *sums)
{
    struct ktlb_stats stats;

    ktlb_stats_sum(&stats);
    *sums = (struct sums){
        .dispatches = stats.dispatches, .targets = stats.targets, .interrupts = stats.interrupts,
        .flushes = stats.space_flushes + stats.machine_flushes, .strides = stats.strides,
        .overflows = stats.overflows, .idle = stats.ipis_idle};
}

/* What is counted: from the mark to the mark. */
static void __attribute__((noinline)) shootdown(struct ktlb_space *space, uint64_t va, unsigned pages, unsigned ranges)
{
    mark(BENCH_BEGIN);
    if (ranges == 1) {
        ktlb_flush(space, ktlb_op_range(va, pages * PAGE, KTLB_PAGE_SHIFT, 0));
    } else {
        struct ktlb_batch batch;

        ktlb_batch_init(&batch, space);
        for (unsigned i = 0; i < ranges; i++)
            ktlb_batch_add(&batch, ktlb_op_range(va + i * APART * PAGE, pages * PAGE, KTLB_PAGE_SHIFT, 0));
        ktlb_batch_dispatch(&batch);
        ktlb_batch_sync(&batch);
    }
    mark(BENCH_END);
}

/* All @count of them are here for the @times'th time. Interrupts are on, so who waits is served by them. */
static void meet(struct ktlb_u64 *word, unsigned count, unsigned times)
{
    ktlb_rmw_add_release(word, 1);
    while (ktlb_load_acquire(word) < (uint64_t)count * times) /* ended by the last of them; the watchdog looks on */
        machine_relax();
}

static void initiate(unsigned cpu)
{
    const struct cell *cell = &row.cell;
    struct ktlb_space *space = machine_space_tlb(space_of(cpu));
    uint64_t began = 0;

    /* Reading the counters of others moves their lines: before the warm-up, which is counted there, too. */
    if (cpu == 0)
        sums_read(&row.before);
    meet(&row.met, cell->initiators, 1);
    for (unsigned i = 0; i < WARM_UP; i++)
        shootdown(space, place_of(cpu), cell->pages, cell->ranges);
    meet(&row.met, cell->initiators, 2);
    if (cpu == 0) {
        began = machine_clock();
        mark(BENCH_ROW_BEGIN);
    }
    meet(&row.met, cell->initiators, 3);
    for (unsigned i = 0; i < row.shootdowns; i++)
        shootdown(space, place_of(cpu), cell->pages, cell->ranges);
    meet(&row.met, cell->initiators, 4);
    if (cpu == 0) {
        mark(BENCH_ROW_END);
        row.cycles = machine_clock() - began;
        sums_read(&row.after);
    }
}

/* A thread of the space: uses what is invalidated under it, which stays mapped. */
static void run_on(unsigned cpu)
{
    unsigned initiators = row.cell.private ? 0 : row.cell.initiators;
    uint64_t value;

    do {
        for (unsigned i = 0; i < initiators; i++)
            if (!machine_load(place_of(i), &value))
                row.faulted = true;
        if (row.cell.private && !machine_load(place_of(cpu), &value))
            row.faulted = true;
        machine_relax();
    } while (ktlb_load_acquire(&row.done) < row.cell.initiators);
}

static void body(void *argument)
{
    const struct cell *cell = &row.cell;
    unsigned cpu = machine_cpu();
    bool lazy = cpu >= cell->members - lazy_of(cell);

    (void)argument;
    machine_switch(space_of(cpu), true);
    if (lazy)
        machine_lazy_enter();
    meet(&row.arrived, cell->members, 1);
    if (cpu < cell->initiators) {
        initiate(cpu);
        ktlb_rmw_add_release(&row.done, 1);
    }
    if (!lazy)
        run_on(cpu);
    else
        while (ktlb_load_acquire(&row.done) < cell->initiators) /* ended by the initiators */
            machine_relax();
    machine_switch(NULL, true);
}

static void spaces_open(void)
{
    for (unsigned i = 0; i < row.cell.members; i++) {
        row.space[i] = row.cell.private || i == 0 ? machine_space_create() : NULL;
        row.frame[i] = machine_frame_alloc();
        machine_map(space_of(i), place_of(i), row.frame[i], MACHINE_READ);
    }
}

static void spaces_close(void)
{
    for (unsigned i = 0; i < row.cell.members; i++)
        machine_map(space_of(i), place_of(i), NULL, 0);
    for (unsigned i = 0; i < row.cell.members; i++) {
        if (row.space[i])
            machine_space_destroy(row.space[i]);
        machine_frame_free(&row.frame[i]->node);
    }
}

static unsigned targets_due(const struct cell *cell)
{
    return cell->private ? 0 : cell->members - 1 - lazy_of(cell);
}

/* A row, and whether it was what it should be. */
static bool row_run(const struct cell *cell, const struct protocol *protocol, unsigned round)
{
    static unsigned number;
    uint64_t due = (uint64_t)(row.shootdowns + WARM_UP) * cell->initiators, told = targets_due(cell);
    bool good;

    ktlb_store_relaxed(&row.arrived, 0);
    ktlb_store_relaxed(&row.met, 0);
    ktlb_store_relaxed(&row.done, 0);
    row.cell = *cell;
    row.faulted = false;
    spaces_open();
    machine_run(cell->members, body, NULL);
    spaces_close();
#define X(name) row.after.name -= row.before.name;
    X(dispatches) X(targets) X(interrupts) X(flushes) X(strides) X(overflows) X(idle)
#undef X
    if (protocol->everyone)
        told = machine.cpus - 1;
    good = !row.faulted && (!KTLB_STATS || (row.after.dispatches == due && row.after.targets == due * told));
    machine_print("row %u,%u,%u,%u,%u,%u,%s,%u,%s%s,%u,%llu,%u,%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu",
                  number++, machine.cpus, cell->members, cell->initiators, cell->pages, cell->ranges,
                  cell->private ? "private" : "shared", cell->lazy, protocol->name,
                  protocol->everyone ? "-everyone" : "", round, (unsigned long long)told,
                  row.shootdowns * cell->initiators, (unsigned long long)row.cycles,
                  (unsigned long long)row.after.dispatches, (unsigned long long)row.after.targets,
                  (unsigned long long)row.after.interrupts, (unsigned long long)row.after.flushes,
                  (unsigned long long)row.after.strides, (unsigned long long)row.after.overflows,
                  (unsigned long long)row.after.idle);
    if (!good)
        machine_print("not ok: %llu shootdowns of %llu targets, due were %llu of %llu%s",
                      (unsigned long long)row.after.dispatches, (unsigned long long)row.after.targets,
                      (unsigned long long)due, (unsigned long long)(due * told),
                      row.faulted ? "; and a page was gone" : "");
    return good;
}

/* ---- the axes ---- */

static bool called(const char *name, const char *text)
{
    while (*name && *name == *text)
        name++, text++;
    return *name == *text;
}

static const struct protocol baseline = {"broadcast", true};
static const struct scenarios_options *options;

/* One initiator's shootdowns are all alike, but for a line or so where the timer falls. Several meet each other elsewhere
 * each time, and begin a round abreast: of 64 shootdowns each, interrupts are up to 4 % above what they come to, of 256
 * up to 1 %; and rounds of 256 differ by 1 to 2 %. */
static struct sample alone = {3, 64}, contended = {6, 256};

/* Every protocol at one cell, and the baseline: a kernel that does not know who holds what. */
static bool cell_run(struct cell cell, bool with_baseline)
{
    const struct sample *sample = cell.initiators > 1 && !cell.private ? &contended : &alone;
    bool good = true;

    if (cell.initiators > cell.members || cell.members > machine.cpus || (cell.lazy && !lazy_of(&cell)))
        return true;
    row.shootdowns = sample->shootdowns;
    for (unsigned round = 0; round < sample->rounds; round++) {
        for (unsigned i = 0; ktlb_protocol_name(i); i++) {
            struct protocol protocol = {ktlb_protocol_name(i), false};

            if (called(protocol.name, "hardware") && !machine.broadcasts)
                continue;
            options->set_up(protocol.name, false);
            good = row_run(&cell, &protocol, round) && good;
        }
        if (with_baseline) {
            options->set_up(baseline.name, true);
            good = row_run(&cell, &baseline, round) && good;
        }
    }
    return good;
}

/* One page, and few CPUs at work among those there are: what is published of kernels. */
static bool bench_targets(void)
{
    bool good = true;

    for (unsigned targets = 0; targets < machine.cpus; targets = targets * 2 + 1)
        for (unsigned i = 0; i < (targets == 0 ? 1u : 3u); i++)
            good = cell_run((struct cell){targets + 1, 1, i == 0 ? 1 : i == 1 ? 4 : 512, 1, false, 0}, false) && good;
    return good;
}

/* Each axis from one cell: all CPUs at work in a space, one initiator, one page. */
static bool bench_axes(void)
{
    static const unsigned initiators[] = {1, 2, 4, 8}, pages[] = {4, 32, 512}, ranges[] = {4, 8}, lazy[] = {50, 100};
    unsigned cpus = machine.cpus;
    bool good = true;

    for (unsigned i = 0; i < 4; i++)
        good = cell_run((struct cell){cpus, initiators[i], 1, 1, false, 0}, i == 0 || i == 3) && good;
    for (unsigned i = 0; i < 3; i++)
        good = cell_run((struct cell){cpus, 1, pages[i], 1, false, 0}, false) && good;
    for (unsigned i = 0; i < 2; i++)
        good = cell_run((struct cell){cpus, 1, 1, ranges[i], false, 0}, false) && good;
    for (unsigned i = 0; i < 2; i++)
        good = cell_run((struct cell){cpus, 1, 1, 1, false, lazy[i]}, false) && good;
    return cell_run((struct cell){cpus, cpus < 8 ? cpus : 8, 1, 1, true, 0}, false) && good;
}

/* All cells; with several initiators fewer shapes, as each cell takes eight times the shootdowns of each of them. The
 * baseline beside one initiator only: where all are at work it is what broadcast is. */
static bool bench_deep(void)
{
    static const struct {
        unsigned pages, ranges;
        bool several;
    } shapes[] = {{1, 1, true}, {2, 1, false}, {4, 1, true}, {8, 1, false}, {32, 1, true}, {64, 1, false},
                  {512, 1, true}, {1, 2, false}, {1, 4, true}, {1, 6, false}, {1, 8, true}};
    bool good = bench_targets();

    for (unsigned initiators = 1; initiators <= 8; initiators *= 2)
        for (unsigned shape = 0; shape < sizeof(shapes) / sizeof(shapes[0]); shape++)
            for (unsigned kind = 0; kind < 4; kind++)
                if (initiators == 1 || shapes[shape].several)
                    good = cell_run((struct cell){machine.cpus, initiators, shapes[shape].pages, shapes[shape].ranges,
                                                  kind == 3, kind < 3 ? kind * 50 : 0}, initiators == 1) && good;
    return good;
}

/* Only for a run on the emulator's own clock: many short rounds, of which the median counts. */
static bool bench_speed(void)
{
    bool good = true;

    alone.rounds = 15;
    contended = alone;
    for (unsigned initiators = 1; initiators <= 8; initiators *= 2)
        good = cell_run((struct cell){machine.cpus, initiators, 1, 1, false, 0}, true) && good;
    return cell_run((struct cell){machine.cpus, machine.cpus < 8 ? machine.cpus : 8, 1, 1, true, 0}, true) && good;
}

/* ---- the control: what the plugin has to find, to the last line ---- */

#define TURNS 1000u

static KTLB_ALIGNED(256) struct ktlb_u64 ball;
static struct {
    KTLB_ALIGNED(256) struct ktlb_u64 word;
} apart[2];

/* Two CPUs write one word in turn: each turn but the first reads a dirty line, and all write a shared one. Then each
 * writes a line of its own as often: nothing moves. The wait is between the marks, for the line moves there. */
static void play(void *argument)
{
    unsigned cpu = machine_cpu();
    bool together = argument != NULL;

    meet(&row.arrived, 2, 1);
    if (cpu == 0)
        mark(BENCH_ROW_BEGIN);
    else
        ktlb_load_relaxed(&ball); /* shared, then, when the first turn writes it */
    meet(&row.arrived, 2, 2);
    for (unsigned i = 0; i < TURNS; i++) {
        mark(BENCH_BEGIN);
        while (together && ktlb_load_relaxed(&ball) % 2 != cpu)
            machine_relax();
        if (together)
            ktlb_store_relaxed(&ball, ktlb_load_relaxed(&ball) + 1);
        else
            ktlb_store_relaxed(&apart[cpu].word, i);
        mark(BENCH_END);
    }
    meet(&row.arrived, 2, 3);
    if (cpu == 0)
        mark(BENCH_ROW_END);
    meet(&row.arrived, 2, 4);
}

/* One CPU writes, all others read: one finds the line dirty, the rest clean; then the writer has to call it back. */
static void spread(void *argument)
{
    unsigned cpu = machine_cpu();

    (void)argument;
    for (unsigned i = 0; i < TURNS; i++) {
        meet(&row.arrived, machine.cpus, 3 * i + 1);
        if (cpu == 0 && i == 1)
            mark(BENCH_ROW_BEGIN);
        if (cpu == 0) {
            mark(BENCH_BEGIN);
            ktlb_store_relaxed(&ball, i);
            mark(BENCH_END);
        }
        meet(&row.arrived, machine.cpus, 3 * i + 2);
        if (cpu != 0) {
            mark(BENCH_BEGIN);
            ktlb_load_relaxed(&ball);
            mark(BENCH_END);
        }
        meet(&row.arrived, machine.cpus, 3 * i + 3);
    }
    if (cpu == 0)
        mark(BENCH_ROW_END);
}

/* Two CPUs add to one word in turn, locked: a line each time, and no more. And a known number of instructions. */
static void add(void *argument)
{
    unsigned cpu = machine_cpu();

    (void)argument;
    for (unsigned i = 0; i < TURNS; i++) {
        meet(&row.arrived, 2, 2 * i + 1);
        if (cpu == 0 && i == 2) /* its own turn: the first two are for what is touched once */
            mark(BENCH_ROW_BEGIN);
        if (cpu == i % 2) {
            mark(BENCH_BEGIN);
            __asm__ volatile("lock addq $1, %0\n\t.rept 37\n\tnop\n\t.endr" : "+m"(ball.value) : : "memory");
            mark(BENCH_END);
        }
        meet(&row.arrived, 2, 2 * i + 2);
    }
    if (cpu == 0)
        mark(BENCH_ROW_END);
}

static bool bench_control(void)
{
    static char together;
    const struct {
        const char *name;
        unsigned cpus;
        void (*body)(void *argument);
        void *argument;
    } games[] = {{"in turn", 2, play, &together}, {"apart", 2, play, NULL}, {"spread", machine.cpus, spread, NULL},
                 {"locked", 2, add, NULL}};

    for (unsigned i = 0; i < 2 * sizeof(games) / sizeof(games[0]); i++) { /* each twice: once for first touches */
        ktlb_store_relaxed(&row.arrived, 0);
        ktlb_store_relaxed(&ball, 0);
        machine_run(games[i / 2].cpus, games[i / 2].body, games[i / 2].argument);
        machine_print("row %u,%s,%u,%u", i, games[i / 2].name, TURNS, games[i / 2].cpus);
    }
    return true;
}

static unsigned scaled(unsigned shootdowns)
{
    unsigned many = (unsigned)(machine.scale * shootdowns / 1000);

    return many ? many : 1;
}

bool scenarios_run(const struct scenarios_options *asked)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } benches[] = {{"targets", bench_targets}, {"axes", bench_axes}, {"deep", bench_deep}, {"speed", bench_speed},
                 {"control", bench_control}};

    options = asked;
    alone.shootdowns = scaled(alone.shootdowns);
    contended.shootdowns = scaled(contended.shootdowns);
    for (unsigned i = 0; i < sizeof(benches) / sizeof(benches[0]); i++)
        if (asked->only && called(benches[i].name, asked->only))
            return asked->set_up && benches[i].run();
    machine_print("protocol=all scenario= targets, axes, deep, speed or control");
    return false;
}
