/*
 * main.c - from boot to the scenarios: the command line, memory, ktlb, the CPUs; and back with a status.
 */
#include "kernel.h"
#include "ktlb/arch/arch.h"
#include "scenarios/scenarios.h"

struct options options = {.scale = 1000, .controls = 1, .watchdog = 30, .running = REPLAY_RUNNING, .trace = TRACE_UNASKED};
bool kernel_seeded;
struct machine machine;

/* ---- the command line: words of the form name=value ---- */

static const char known[] = "cpus=N seed=N scale=N (1000: full size) controls=0|1 watchdog=SECONDS progress=tty|lines "
                            "protocol=NAME|all delivery=interrupt|nmi scenario=NAME[,NAME] seconds=N (per scenario) "
                            "running=N (of a trace's threads at once) trace=N (events of each CPU, printed) "
                            "faults=all|drop,late,twice,spurious,nmi,freeze answer=again|none|lie ";

static const struct {
    const char *name;
    uint64_t *value;
    uint64_t min, max;
} numbers[] = {
    {"cpus", &options.cpus, 1, KTLB_CPUS_MAX},
    {"seed", &options.seed, 0, UINT64_MAX},
    {"scale", &options.scale, 0, 1000000},
    {"controls", &options.controls, 0, 1},
    {"watchdog", &options.watchdog, 1, 100000},
    {"running", &options.running, 1, REPLAY_RUNNING_MAX},
    {"trace", &options.trace, 0, KTLB_EVENTS},
    {"seconds", &options.seconds, 1, 100000},
};

static void number_set(const char *name, const char *text, uint64_t *value, uint64_t min, uint64_t max)
{
    uint64_t number = 0;
    bool good = *text != '\0';

    for (const char *c = text; *c; c++) {
        uint64_t digit = (uint64_t)*c - '0';

        good = good && digit < 10 && number <= (UINT64_MAX - digit) / 10;
        number = number * 10 + digit;
    }
    if (!good || number < min || number > max)
        kernel_refuse("%s=%s: a number from %lu to %lu is wanted", name, text, min, max);
    *value = number;
}

static void text_set(const char *name, const char *text, char *value, size_t size)
{
    size_t i;

    for (i = 0; text[i] && i + 1 < size; i++)
        value[i] = text[i];
    value[i] = '\0';
    if (!i || text[i])
        kernel_refuse("%s=%s: up to %lu characters are wanted", name, text, size - 1);
}

static void option_set(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (text_equal(name, numbers[i].name)) {
            number_set(name, value, numbers[i].value, numbers[i].min, numbers[i].max);
            kernel_seeded = kernel_seeded || numbers[i].value == &options.seed;
            return;
        }
    }
    if (text_equal(name, "protocol"))
        text_set(name, value, options.protocol, sizeof(options.protocol));
    else if (text_equal(name, "scenario"))
        text_set(name, value, options.scenario, sizeof(options.scenario));
    else if (text_equal(name, "progress") && (text_equal(value, "tty") || text_equal(value, "lines")))
        options.progress_tty = value[0] == 't';
    else if (text_equal(name, "delivery") && (text_equal(value, "interrupt") || text_equal(value, "nmi")))
        options.by_nmi = value[0] == 'n';
    else if (text_equal(name, "answer") && (text_equal(value, "again") || text_equal(value, "none") ||
                                            text_equal(value, "lie")))
        options.answer = value[0] == 'a' ? ANSWER_AGAIN : value[0] == 'n' ? ANSWER_NONE : ANSWER_LIE;
    else if (!(text_equal(name, "faults") && faults_choose(value)) && !arch_option(name, value))
        kernel_refuse("%s%s%s: no such option or no such value; known are: %s%s", name, *value ? "=" : "", value, known,
                     arch_option_names);
}

static void options_parse(const char *line)
{
    char word[BOOT_COMMAND_LINE_SIZE];

    while (*line) {
        char *value = NULL;
        size_t used = 0;

        for (; *line == ' ' || *line == '\t'; line++)
            ;
        for (; *line && *line != ' ' && *line != '\t'; line++) {
            word[used] = *line == '=' && !value ? '\0' : *line;
            if (*line == '=' && !value)
                value = &word[used + 1];
            used++;
        }
        word[used] = '\0';
        if (used)
            option_set(word, value ? value : "");
    }
}

/* ---- set-up ---- */

static struct ktlb_config library;
static unsigned tags_found;

const char *library_protocol(void)
{
    return library.protocol ? library.protocol : ktlb_protocol_name(0);
}

bool library_broadcasts(void)
{
    return text_equal(library_protocol(), "hardware");
}

static bool compares(void)
{
    return text_equal(options.protocol, "all");
}

/* Few, so that they change hands: of each CPU; by broadcast of all together, and more than two for each. 0: the machine
 * has too few. */
static unsigned tags(void)
{
    unsigned few = library_broadcasts() ? 2 * cpus_count + 1 : 6;

    return few <= tags_found ? few : 0;
}

static void library_set_up(void)
{
    enum ktlb_status status;

    library.asids = machine.asids = tags();
    status = ktlb_init(&library);
    if (status != KTLB_OK)
        kernel_refuse("ktlb_init, protocol=%s: %s", library_protocol(), ktlb_status_text(status));
}

void boot_memory_cut(struct boot *boot, uint64_t from, uint64_t to)
{
    if (to <= boot->memory_start || from >= boot->memory_end)
        return;
    if (from > boot->memory_start && (to >= boot->memory_end || from - boot->memory_start > boot->memory_end - to))
        boot->memory_end = from;
    else
        boot->memory_start = to;
}

/* Memory for the one protocol asked for, or for any. */
static void library_init(void)
{
    library.cpus = cpus_count;
    library.memory_size = ktlb_memory_size(&library);
    for (unsigned i = 0; compares() && ktlb_protocol_name(i); i++) {
        struct ktlb_config other = {.cpus = cpus_count, .protocol = ktlb_protocol_name(i)};
        size_t size = ktlb_memory_size(&other);

        library.memory_size = size > library.memory_size ? size : library.memory_size;
    }
    if (!library.memory_size)
        kernel_refuse("protocol=%s: %s", options.protocol, ktlb_status_text(KTLB_BAD_PROTOCOL));
    library.memory = frames_boot(library.memory_size, KTLB_CACHE_LINE);
    library_set_up();
    machine.broadcasts = ktlb_arch_broadcasts();
}

static void library_again(const char *protocol, bool everyone)
{
    library.protocol = protocol;
    library.everyone = everyone;
    cpus_set_up(library_set_up);
}

static void cpus_init(void)
{
    unsigned found, limit = options.cpus ? (unsigned)options.cpus : KTLB_CPUS_MAX;

    for (unsigned i = 0; i < KTLB_CPUS_MAX; i++) {
        cpus[i].number = i;
        cpus[i].random = options.seed * KTLB_CPUS_MAX + i;
        cpus[i].random_timer = ~cpus[i].random;
        cpus[i].random_faults = cpus[i].random ^ UINT64_C(0x6661756c74); /* a stream apart */
    }
    found = arch_cpus_find(limit);
    cpus_count = found < limit ? found : limit;
    if (options.cpus > found)
        kernel_refuse("cpus=%lu, but the machine has %u", options.cpus, found);
    if (!options.cpus && found > limit)
        console_print("%u CPUs found, %u used: build with more (CPUS_MAX)\n", found, limit);
}

static void machine_init(void)
{
    machine.cpus = cpus_count;
    machine.frame_words = PAGE_SIZE / sizeof(uint64_t);
    machine.user_base = arch_user_base;
    machine.kernel_base = arch_kernel_base;
    machine.region_size = arch_region_size;
    machine.huge_size = HUGE_SIZE;
    machine.scale = options.scale;
    machine.seed = options.seed;
    machine.blind_wait = options.by_nmi || library_broadcasts();
    machine.blind_lazy = machine.blind_interrupts = library_broadcasts();
    machine.faults = options.faults;
    arch_describe(&machine);
    tags_found = machine.asids;
    machine.duration = options.seconds * 1000 * arch_clock_per_ms();
}

/* ---- what is run ---- */

/* What the library did last, if that was asked for, or if a run failed that got as far as a shootdown. */
static void print_events(bool good)
{
    struct ktlb_stats stats;

    if (options.trace != TRACE_UNASKED) {
        events_print(options.trace, false);
        return;
    }
    ktlb_stats_sum(&stats);
    if (!good && stats.dispatches)
        events_print(TRACE_FAILED, false);
}

static bool run_all(const struct boot *boot)
{
    struct scenarios_options what = {.controls = options.controls, .cpus = cpus_count, .trace = boot->module,
                                     .trace_size = boot->module_size, .running = (unsigned)options.running,
                                     .set_up = compares() ? library_again : NULL};
    char *name = options.scenario;
    bool good = true;

    if (!*name)
        return scenarios_run(&what);
    while (*name) {
        char *end = name;

        while (*end && *end != ',')
            end++;
        what.only = name;
        name = *end ? end + 1 : end;
        *end = '\0';
        good = scenarios_run(&what) && good;
    }
    return good;
}

/* What the library did in all of it, controls too. */
static void library_report(void)
{
    uint64_t departures = 0;
    struct ktlb_stats sum;

    ktlb_stats_sum(&sum);
    for (unsigned i = 0; i < cpus_count; i++)
        departures += cpus[i].departures;
    console_print("# %lu shootdowns, of %lu CPUs, by %lu interrupts; %lu spaces loaded, %lu times a CPU was away; the "
                  "longest wait %lu ms, %lu stalls\n", sum.dispatches, sum.targets, sum.interrupts, sum.switches,
                  departures, sum.wait_cycles_max / arch_clock_per_ms(), sum.stalls);
}

void kernel_main(const struct boot *boot)
{
    bool good;

    options_parse(boot->command_line);
    library.protocol = options.protocol[0] && !compares() ? options.protocol : NULL;
    if (boot->memory_start >= boot->memory_end)
        kernel_refuse("the boot loader named no memory");
    frames_init(boot->memory_start, boot->memory_end);
    cpus_init();
    machine_init();
    spaces_init();
    library_init();
    cpus_start(cpus_count);
    console_print("%u CPUs, %lu MiB free, %u tags%s\n", cpus_count, (boot->memory_end - boot->memory_start) >> 20,
                  machine.asids, kernel_seeded ? ", seeded" : "");
    arch_irq_restore(1);
    cpu_ticks_begin(&cpus[0]);
    faults_begin();
    good = run_all(boot);
    print_events(good);
    if (!boot->module)
        library_report();
    if (options.faults)
        good = faults_report() && good;
    kernel_exit((options.faults || cpus_sends_agree()) && good); /* with faults, they are not to */
}
