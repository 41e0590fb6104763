/*
 * compare.c - every protocol over the same trace, in one boot and one table.
 *
 * The baseline is what kernels do that do not know who holds what: one request at a time for the machine, and an
 * interrupt to every CPU for every shootdown. Rounds are interleaved, each protocol once in each, so that what else the
 * host does hits all of them alike. What is counted holds anywhere; what is timed is a ratio to the baseline, and on an
 * emulator says little more than that.
 */
#include "replay.h"
#include "machine.h"

#define ROUNDS 2u
#define ROWS_MAX 16u

struct row {
    const char *name;
    bool everyone;
    uint64_t cycles, wrong;
    struct ktlb_stats stats;
};

static struct row rows[ROWS_MAX];
static unsigned rows_count;

static void row_add(const char *name, bool everyone)
{
    if (rows_count < ROWS_MAX)
        rows[rows_count++] = (struct row){.name = name, .everyone = everyone};
}

static bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* The baseline first: broadcast, or, in a library that was built with one protocol only, that one. */
static void rows_open(void)
{
    const char *baseline = ktlb_protocol_name(0);

    rows_count = 0;
    for (unsigned i = 0; ktlb_protocol_name(i); i++)
        if (same_text(ktlb_protocol_name(i), "broadcast"))
            baseline = ktlb_protocol_name(i);
    row_add(baseline, true);
    for (unsigned i = 0; ktlb_protocol_name(i); i++) {
        if (machine.broadcasts || !same_text(ktlb_protocol_name(i), "hardware"))
            row_add(ktlb_protocol_name(i), false);
        else
            machine_print("    hardware is left out: this machine does not broadcast invalidations");
    }
}

static bool row_run(struct row *row)
{
    static struct replay_pass pass;

    replay_pass(&pass, LEAVE_NOTHING);
    row->cycles += pass.cycles;
    row->wrong += oracle_wrong(&pass.counts);
#define X(name, text) row->stats.name += pass.stats.name;
    KTLB_STATS_EACH(X)
#undef X
    return pass.good;
}

/* ---- the table ---- */

/* Hundredths of @part per @whole. Both below 2^57, @whole not 0. */
static unsigned long long per(uint64_t part, uint64_t whole)
{
    return whole ? (part * 100 + whole / 2) / whole : 0;
}

/* Two ratios, one by the other, in hundredths: (@a / @b) / (@c / @d). In steps, so that cycles do not overflow. */
static unsigned long long ratio(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t one = b ? a * 10000 / b : 0, other = d ? c * 10000 / d : 0;

    return per(one, other);
}

#define HUNDREDTHS(value) (value) / 100, (value) % 100

static void print_row(const struct row *row)
{
    const struct ktlb_stats *stats = &row->stats, *base = &rows[0].stats;
    unsigned long long speed = ratio(rows[0].cycles >> 10, base->dispatches, row->cycles >> 10, stats->dispatches);
    unsigned long long interrupts = per(stats->interrupts, stats->dispatches);
    unsigned long long targets = per(stats->targets, stats->dispatches);
    unsigned long long flushes = per(stats->space_flushes + stats->machine_flushes, stats->dispatches);
    unsigned long long wait = ratio(stats->wait_cycles, stats->syncs, base->wait_cycles, base->syncs);

    machine_print("    %-12s %-10s %3llu.%02llu %9llu.%02llu %6llu.%02llu %10llu.%02llu %4llu.%02llu %7llu",
                  row->name, row->everyone ? "everyone" : "holders", HUNDREDTHS(speed), HUNDREDTHS(interrupts), HUNDREDTHS(targets),
                  HUNDREDTHS(flushes), HUNDREDTHS(wait), (unsigned long long)row->wrong);
}

static void print_table(unsigned rounds)
{
    const struct ktlb_stats *base = &rows[0].stats, *ours = &rows[1].stats;
    unsigned long long fewer = ratio(base->interrupts, base->dispatches, ours->interrupts, ours->dispatches);

    machine_print("    %llu shootdowns of each, in %u rounds in turn. Interrupts, targets and flushes of a whole space, on "
                  "all", (unsigned long long)base->dispatches, rounds);
    machine_print("    CPUs, are per shootdown; speed (shootdowns a second) and wait (cycles a sync) to the first row's.");
    machine_print("    %-12s %-10s %6s %12s %9s %13s %7s %7s", "protocol", "told", "speed", "interrupts", "targets",
                  "full flushes", "wait", "stale");
    for (unsigned i = 0; i < rows_count; i++)
        print_row(&rows[i]);
    machine_print("    %s, the default, sends %llu.%llu times fewer interrupts than %s to everyone", rows[1].name,
                  fewer / 100, fewer % 100 / 10, rows[0].name);
}

bool replay_compare(const struct scenarios_options *options, unsigned cpus)
{
    unsigned rounds = machine.scale * ROUNDS > 1000 ? (unsigned)(machine.scale * ROUNDS / 1000) : 1;
    bool good = true;

    if (!replay_open(options, cpus))
        return false;
    rows_open();
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < rows_count; i++) {
            machine_progress("round %u of %u: %s", round + 1, rounds, rows[i].name);
            options->set_up(rows[i].name, rows[i].everyone);
            good = row_run(&rows[i]) && good;
        }
    }
    print_table(rounds);
    options->set_up(rows[1].name, false);
    return good && (!options->controls || replay_control());
}
