/*
 * hang.c - how a run ends, above all when it should not have: every CPU's state, then a failing status.
 *
 * A hang is that no CPU got anything done for a while, or that one shootdown waited as long: by the clock of the
 * machine, looked at from ticks and from stalled waits. The host can ask for the same report by sending a character,
 * when its own patience is at an end.
 * The reporter stops the others by NMI, so what they say is where they were, interrupts masked or not.
 */
#include "kernel.h"

#define ASKED 5 /* ENQ, what the host sends */
#define CALLERS_MAX 8u
#define LOOK_MS 200u

static struct ktlb_u32 dying;          /* one more than the CPU that reports, while the others stop; 0: none */
static struct ktlb_u32 looking;
static struct ktlb_u64 looked_at;
static uint64_t progress_seen, progress_at; /* under looking */

void kernel_exit(bool success)
{
    console_print("ktlb: exit %d\n", success ? 0 : 1);
    arch_exit(success);
}

void kernel_refuse(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    format_text(text, sizeof(text), format, arguments);
    va_end(arguments);
    console_print("error: %s\n", text);
    kernel_exit(false);
}

static const uint64_t *frame_words(uint64_t frame)
{
    return (const uint64_t *)(uintptr_t)(frame + (uint64_t)arch_frame_words);
}

/* The place that this function was called from. */
#define HERE                                                                                                           \
    {(uintptr_t)__builtin_return_address(0), (uintptr_t)__builtin_frame_address(0),                                    \
     frame_words((uintptr_t)__builtin_frame_address(0))[0], !arch_irq_enabled()}

static void print_where(const struct context *at)
{
    uint64_t frame = at->frame;

    console_print("    at 0x%lx, interrupts %s\n", at->pc, at->masked ? "masked" : "on");
    for (unsigned i = 0; i < CALLERS_MAX; i++) {
        const uint64_t *words = frame_words(frame);

        /* Frames grow upwards on one small stack; anything else is not a frame. */
        if (frame < at->sp || frame - at->sp > STACK_SIZE || frame % 8 || !words[1])
            return;
        console_print("    called from 0x%lx\n", words[1]);
        if (words[0] <= frame)
            return;
        frame = words[0];
    }
}

/* Who waits for whom, since when, and for what. */
static void print_wait(unsigned cpu, const struct ktlb_batch *batch)
{
    struct ktlb_wait wait;
    uint64_t us;
    char text[256];

    ktlb_batch_wait_read(batch, &wait);
    cpus_text(ktlb_batch_waiting(batch), text, sizeof(text));
    us = wait.cycles / (arch_clock_per_ms() / 1000 + 1);
    console_print("CPU %u waits for CPUs %s since %lu.%03lu s (%lu cycles): space %lu, generation %lu, protocol %s, "
                  "dispatched by CPU %u; report %u\n", cpu, text, us / 1000000, us / 1000 % 1000, wait.cycles,
                  wait.space_id, wait.generation, library_protocol(), wait.initiator, wait.reports);
}

/* What the batch that @cpu waits on asks for, and of whom. */
static void print_stall(const struct cpu *cpu)
{
    const struct ktlb_batch *batch = cpu->stalled;

    if (!batch || cpu->stalled_at != ktlb_load_relaxed(&cpu->progress))
        return;
    print_wait(cpu->number, batch);
    console_print("    posted: %u ops, flags %x, in %s\n", batch->request.count, batch->request.flags,
                  batch->request.space == &ktlb_kernel ? "the kernel's half" : "a user space");
    for (uint32_t i = 0; i < batch->request.count && i < KTLB_BATCH_OPS; i++)
        console_print("        va %lx, %u strides of 2^%u\n", batch->request.op[i].va, batch->request.op[i].count,
                      batch->request.op[i].shift);
}

static void print_cpu(const struct cpu *cpu, const struct context *at)
{
    const char *doing = ktlb_load_relaxed_pointer(&cpu->doing);

    console_print("CPU %u: %s, %s root, %s, %lu NMIs\n", cpu->number, doing ? doing : "starting",
                  cpu->space ? "a space's" : "the kernel's", cpu->online ? "online" : "offline",
                  ktlb_load_relaxed(&cpu->nmis));
    print_stall(cpu);
    if (at && doing != cpu_idle_text)
        print_where(at);
    else if (at)
        console_print("    interrupts %s\n", at->masked ? "masked" : "on");
    else
        console_print("    did not answer an NMI\n");
}

void kernel_die(const struct context *context, const char *what)
{
    struct cpu *self = arch_cpu();
    uint32_t nobody = 0;

    arch_irq_save();
    if (!ktlb_rmw_cas_acq_rel_u32(&dying, &nobody, self->number + 1)) /* another was first; or this one dies twice */
        arch_stop();
    console_seize();
    console_print("FAILED on CPU %u: %s\n", self->number, what);
    if (kernel_seeded)
        console_print("    again with: seed=%lu\n", options.seed);
    print_cpu(self, context);
    for (unsigned i = 0; i < cpus_count; i++) {
        struct ktlb_cpuset other = {{0}};

        ktlb_cpuset_add(&other, i);
        if (&cpus[i] == self || !ktlb_load_acquire_u32(&cpus[i].started) || !arch_nmi(&other))
            continue;
        /* Ended by the NMI, or by patience: some thousand turns of the emulator. */
        for (unsigned turn = 0; turn < 1u << 20 && !ktlb_load_acquire_u32(&cpus[i].caught); turn++)
            arch_pause();
        print_cpu(&cpus[i], ktlb_load_acquire_u32(&cpus[i].caught) ? &cpus[i].at : NULL);
    }
    events_print(options.trace == TRACE_UNASKED ? TRACE_FAILED : options.trace, true);
    kernel_exit(false);
}

void kernel_nmi(const struct context *context)
{
    struct cpu *cpu = arch_cpu();
    uint32_t reporter = ktlb_load_acquire_u32(&dying);

    ktlb_store_relaxed(&cpu->nmis, ktlb_load_relaxed(&cpu->nmis) + 1);
    if (reporter == cpu->number + 1)
        return; /* a stray one; this CPU is not yet to stop */
    if (!reporter) {
        faults_nmi();
        if (options.by_nmi || options.faults)
            ktlb_ipi(); /* harmless where the NMI was for something else */
        /* Where all CPUs have interrupts masked, no tick reads what the host sent, and it sends NMIs as well. */
        if (arch_console_read() == ASKED)
            kernel_die(context, "the host's time is up");
        return;
    }
    cpu->at = *context;
    cpu->at.masked = context->masked || cpu->napping;
    ktlb_store_release_u32(&cpu->caught, 1);
    arch_stop();
}

void kernel_exception(const struct context *context, const char *what)
{
    kernel_die(context, what);
}

void kernel_panic(const char *format, ...)
{
    char text[256];
    struct context here = HERE;
    va_list arguments;

    va_start(arguments, format);
    format_text(text, sizeof(text), format, arguments);
    va_end(arguments);
    kernel_die(&here, text);
}

/* ---- noticing ---- */

/* Signed: clocks of two CPUs may differ a little, and the other one may have looked since. */
static int64_t later_by(uint64_t now, uint64_t then)
{
    return (int64_t)(now - then);
}

static bool outlasts_watchdog(uint64_t now, uint64_t since)
{
    return later_by(now, since) > (int64_t)(options.watchdog * 1000 * arch_clock_per_ms());
}

static void look(uint64_t now, const struct context *context)
{
    uint64_t sum = 0;

    if (arch_console_read() == ASKED)
        kernel_die(context, "the host's time is up");
    for (unsigned i = 0; i < cpus_count; i++)
        sum += ktlb_load_relaxed(&cpus[i].progress);
    if (sum != progress_seen || !progress_at) {
        progress_seen = sum;
        progress_at = now;
    } else if (outlasts_watchdog(now, progress_at)) {
        kernel_die(context, "a hang: no CPU got anything done for as long as watchdog= says");
    }
}

void watchdog_look(const struct context *context)
{
    uint64_t now = arch_clock();

    if (later_by(now, ktlb_load_relaxed(&looked_at)) < (int64_t)(LOOK_MS * arch_clock_per_ms()) ||
        ktlb_rmw_exchange_acquire_u32(&looking, 1))
        return;
    ktlb_store_relaxed(&looked_at, now);
    look(now, context);
    ktlb_store_release_u32(&looking, 0);
}

static void note_stall(struct cpu *cpu, const struct ktlb_batch *batch)
{
    uint64_t done = ktlb_load_relaxed(&cpu->progress);

    if (cpu->stalled != batch || cpu->stalled_at != done)
        cpu->stalled_since = arch_clock();
    cpu->stalled = batch;
    cpu->stalled_at = done;
}

/* The controls. The library is about to interrupt, once, whoever is still waited for but this CPU itself. */
static void answer_wrongly(struct cpu *cpu, const struct ktlb_batch *batch)
{
    struct ktlb_cpuset others = *ktlb_batch_waiting(batch);

    ktlb_cpuset_remove(&others, cpu->number);
    cpu->answer_lost = !ktlb_cpuset_empty(&others);
    if (options.answer == ANSWER_LIE) /* what no port may do */
        *(struct ktlb_cpuset *)(uintptr_t)ktlb_batch_waiting(batch) = (struct ktlb_cpuset){{0}};
}

void ktlb_port_stall(const struct ktlb_batch *batch)
{
    struct cpu *cpu = arch_cpu();
    struct context here = HERE;

    cpu->in_port = true;
    note_stall(cpu, batch);
    /* Where interrupts are lost on purpose there would be no end of lines: only those about a frozen CPU then, once. */
    if (!options.faults || faults_stalled(batch))
        print_wait(cpu->number, batch);
    if (options.trace && options.trace != TRACE_UNASKED && batch->reports == 1)
        events_print(options.trace, false);
    if (outlasts_watchdog(arch_clock(), cpu->stalled_since))
        kernel_die(&here, "a hang: a shootdown has waited for as long as watchdog= says");
    watchdog_look(&here);
    if (options.answer != ANSWER_AGAIN)
        answer_wrongly(cpu, batch);
    cpu->in_port = false;
}
