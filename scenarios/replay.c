/*
 * replay.c - a recorded trace of a real program, replayed on this machine with the oracle on.
 *
 * Thread T of the trace lives on CPU T mod cpus. Each CPU reads the whole trace for itself and executes the events of
 * its threads; a gate per space, which counts the events dispatched there, lets them begin in the order of the
 * recording. Only the page-table change and the dispatch are behind the gate: the sync is outside, so the
 * shootdowns of several threads of one space are under way at once, and events of different spaces overlap
 * entirely. A CPU whose next event is not due yet touches the space it has loaded, as its thread would, as long as that
 * thread runs; then it goes lazy until its turn comes, as an idle CPU would. A trace does not tell how long a thread
 * runs between two events. It is taken to run while it is one of the last few that acted, of all threads: two, as
 * many as the machine had CPUs that recorded ours; and who acts next begins when those it has overtaken have stopped, for
 * it has their CPU. So all of that is a matter of the trace, not of time, and a slow host changes next to nothing.
 *
 * Invariant: whatever order the CPUs get, every space sees its events in the order of the trace.
 */
#include "replay.h"
#include "traces/trace.h"
#include "window.h"

#define PROCESSES 32u /* spaces at once, those included that a CPU has yet to leave */
#define CONTROL_ENOUGH 100u /* wrong accesses on a CPU, */
#define CONTROL_CPUS 2u     /* on so many */

/* A space of the trace while it lives. */
struct process {
    struct ktlb_u64 used;  /* 0: nobody's */
    struct ktlb_u64 turn;  /* events of it that are dispatched: the gate */
    struct ktlb_u64 refs;  /* CPUs that have it loaded, and one for being alive */
    struct ktlb_u64 ended; /* its last thread is gone: leave it */
    struct window window;
};

/* One CPU's reading of the trace, and what it does there. */
struct replayer {
    struct ktlb_trace trace;
    uint32_t ordinal[KTLB_TRACE_SPACES_MAX]; /* events of each space read so far */
    uint16_t space;      /* in which a thread acted here last, */
    struct ktlb_u64 runs_until; /* the event of that space at which enough others have acted since, */
    unsigned others;     /* how many have so far, and which */
    unsigned other[REPLAY_RUNNING_MAX];
    struct ktlb_pointer runs_in; /* struct process *: what its thread touches between events, until runs_until */
    struct process *loaded;
    struct window_edit edit;
    uint64_t lazy_periods, switches;
    bool fired;
    uint64_t events[KTLB_TRACE_OPS];
};

static struct replay {
    struct scenario_run run;
    const char *text;
    size_t size;
    unsigned running;
    struct ktlb_trace check;     /* has read all of it before anything starts: header and error are good */
    uint64_t dispatches_before;
    struct ktlb_u64 enough;      /* CPUs on which a control has fired often enough */
    struct ktlb_u64 done;        /* events */
    struct ktlb_pointer process[KTLB_TRACE_SPACES_MAX]; /* NULL: not there yet */
} replay;

static struct process processes[PROCESSES];
static struct replayer replayers[KTLB_CPUS_MAX];

/* ---- processes ---- */

static void leave(struct replayer *self);

/* Free of CPUs and of frames: give it back. */
static void process_put(struct process *process)
{
    /* Release, and the fence below: what others did in it is over before it is anybody's again. */
    if (ktlb_rmw_add_release(&process->refs, UINT64_MAX) != 1)
        return;
    ktlb_fence_seq_cst();
    window_close(&process->window);
    ktlb_store_release(&process->used, 0);
}

/* Waits, if there are none, for CPUs to leave spaces that have ended; each looks at that in every wait, this one too. */
static struct process *process_take(struct replayer *self)
{
    for (;;) {
        for (unsigned i = 0; i < PROCESSES; i++) {
            uint64_t unused = 0;

            if (ktlb_load_relaxed(&processes[i].used) == 0 && ktlb_rmw_cas_acquire(&processes[i].used, &unused, 1)) {
                ktlb_store_relaxed(&processes[i].turn, 0);
                ktlb_store_relaxed(&processes[i].refs, 1);
                ktlb_store_relaxed(&processes[i].ended, 0);
                window_open(&processes[i].window);
                return &processes[i];
            }
        }
        if (self->loaded && ktlb_load_relaxed(&self->loaded->ended))
            leave(self);
        machine_relax();
    }
}

static void process_publish(uint16_t space, struct process *process)
{
    ktlb_store_release_pointer(&replay.process[space], process);
}

static struct process *process_of(uint16_t space)
{
    return ktlb_load_acquire_pointer(&replay.process[space]);
}

/* Before it waits for anything, so that nobody waits for it (await_stopped). */
static void stop_running(struct replayer *self)
{
    ktlb_store_relaxed_pointer(&self->runs_in, NULL);
}

static void leave(struct replayer *self)
{
    struct process *process = self->loaded;

    if (!process)
        return;
    stop_running(self);
    machine_switch(NULL, true);
    self->loaded = NULL;
    process_put(process);
}

/* => @process has an event to come, of this CPU's: it does not end underneath. */
static void enter(struct replayer *self, struct process *process)
{
    struct process *before = self->loaded;

    if (before == process)
        return;
    ktlb_rmw_add_relaxed(&process->refs, 1);
    machine_switch(process->window.space, true);
    self->loaded = process;
    self->switches++;
    if (before)
        process_put(before);
}

/* ---- waiting for one's turn ---- */

static bool stopped(void)
{
    return ktlb_load_relaxed(&replay.enough) >= CONTROL_CPUS;
}

static void note_control(struct replayer *self)
{
    if (self->fired || replay.run.leave_out == LEAVE_NOTHING || oracle_wrong_here() < CONTROL_ENOUGH)
        return;
    self->fired = true;
    ktlb_rmw_add_relaxed(&replay.enough, 1);
}

static bool due(uint16_t space, uint64_t ordinal)
{
    struct process *process = process_of(space);

    return process && ktlb_load_acquire(&process->turn) == ordinal;
}

/* @thread, of another CPU, acts next. */
static void note_other(struct replayer *self, unsigned thread)
{
    for (unsigned i = 0; i < self->others; i++)
        if (self->other[i] == thread)
            return;
    if (self->others < replay.running)
        self->other[self->others++] = thread;
    if (self->others == replay.running && ktlb_load_relaxed(&self->runs_until) == UINT64_MAX)
        ktlb_store_relaxed(&self->runs_until, self->ordinal[self->space]);
}

static bool runs(const struct replayer *self)
{
    return ktlb_load_relaxed(&self->loaded->turn) < ktlb_load_relaxed(&self->runs_until);
}

/* The thread that acted here last touches what it has, for a moment. */
static void run_on(struct replayer *self)
{
    ktlb_store_relaxed_pointer(&self->runs_in, self->loaded);
    window_touch(&self->loaded->window, 16);
}

/* Until threads that the one about to act has overtaken have stopped. Each looks after a few touches; if one is missed,
 * it is no harm but to the numbers. */
static void await_stopped(const struct process *process, uint64_t ordinal)
{
    for (unsigned i = 0; i < replay.run.cpus; i++)
        while (i != machine_cpu() && ktlb_load_relaxed_pointer(&replayers[i].runs_in) == process &&
               ktlb_load_relaxed(&replayers[i].runs_until) <= ordinal)
            machine_relax();
}

/* Nothing to run here: borrow the space until it is our turn, or nobody's any more. */
static void be_idle(struct replayer *self, uint16_t space, uint64_t ordinal)
{
    machine_lazy_enter();
    self->lazy_periods++;
    while (!due(space, ordinal) && !stopped() && !ktlb_load_relaxed(&self->loaded->ended))
        machine_relax();
    machine_lazy_leave(true);
}

/* False: a control was stopped. Ended by the CPUs whose events come first; they wait for none that come later. */
static bool wait_turn(struct replayer *self, uint16_t space, uint64_t ordinal)
{
    while (!due(space, ordinal)) {
        note_control(self);
        if (stopped()) {
            stop_running(self);
            return false;
        }
        if (self->loaded && ktlb_load_relaxed(&self->loaded->ended))
            leave(self);
        if (self->loaded && runs(self)) {
            run_on(self);
        } else if (self->loaded) {
            stop_running(self);
            be_idle(self, space, ordinal);
        }
        machine_relax();
    }
    stop_running(self);
    await_stopped(process_of(space), ordinal);
    return true;
}

/* The next event of the space may begin. Release: it finds the page table as we leave it. */
static void pass_turn(struct process *process, uint64_t ordinal)
{
    ktlb_store_release(&process->turn, ordinal + 1);
}

/* ---- events ---- */

static unsigned rights_of(unsigned rights)
{
    if (rights & KTLB_TRACE_WRITE)
        return MACHINE_READ | MACHINE_WRITE;
    return rights ? MACHINE_READ : 0;
}

/* One batch, its sync outside the gate. */
static void change(struct replayer *self, struct process *process, const struct ktlb_trace_event *event,
                   uint64_t ordinal, enum window_change what)
{
    window_change(&self->edit, &replay.run, &process->window, event->page, event->count, what,
                  rights_of(event->rights));
    pass_turn(process, ordinal);
    window_settle(&self->edit);
}

/* The frames go now, and the first of the pages are touched again soon. */
static void drop(struct replayer *self, struct process *process, const struct ktlb_trace_event *event,
                 uint64_t ordinal)
{
    struct window *window = &process->window;

    window_change(&self->edit, &replay.run, window, event->page, event->count, WINDOW_EMPTY, 0);
    window_settle(&self->edit);
    window_change(&self->edit, &replay.run, window, event->page, event->count < 4 ? event->count : 4, WINDOW_FRESH,
                  MACHINE_READ | MACHINE_WRITE);
    pass_turn(process, ordinal);
    window_settle(&self->edit);
}

/* In place: grow or shrink. Else: out of the old pages, sync, into the new ones; frames and all. */
static void remap(struct replayer *self, struct process *process, struct ktlb_trace_event event, uint64_t ordinal)
{
    struct window *window = &process->window;
    uint64_t both = event.count < event.new_count ? event.count : event.new_count;
    unsigned moved;

    event.rights = KTLB_TRACE_READ | KTLB_TRACE_WRITE;
    if (event.page != event.new_page) {
        window_change(&self->edit, &replay.run, window, event.page, event.count, WINDOW_MOVED, 0);
        window_settle(&self->edit);
        moved = self->edit.moved_count;
        window_change(&self->edit, &replay.run, window, event.new_page, event.new_count, WINDOW_EMPTY, 0);
        window_settle(&self->edit);
        self->edit.moved_count = moved;
        window_place(&self->edit, event.new_page, event.new_count, MACHINE_READ | MACHINE_WRITE);
        pass_turn(process, ordinal);
        return;
    }
    event.page += both;
    event.count = event.count > both ? event.count - both : event.new_count - both;
    if (!event.count)
        pass_turn(process, ordinal);
    else
        change(self, process, &event, ordinal, event.new_count == both ? WINDOW_EMPTY : WINDOW_FRESH);
}

static void fork(struct replayer *self, struct process *process, const struct ktlb_trace_event *event,
                 uint64_t ordinal)
{
    struct process *child = process_take(self);

    window_copy(&self->edit, &replay.run, &process->window, &child->window);
    process_publish(event->new_space, child);
    pass_turn(process, ordinal);
}

/* Nobody is left in it but CPUs that have not looked yet. */
static void end(struct replayer *self, struct process *process)
{
    window_clear(&self->edit, &replay.run, &process->window);
    ktlb_store_relaxed(&process->ended, 1);
    if (self->loaded == process)
        leave(self);
    process_put(process);
}

static void leave_space(struct replayer *self, struct process *process, const struct ktlb_trace_event *event,
                        uint64_t ordinal)
{
    if (event->op == KTLB_TRACE_EXEC)
        process_publish(event->new_space, process_take(self));
    pass_turn(process, ordinal);
    if (event->space_ended)
        end(self, process);
}

static void execute(struct replayer *self, const struct ktlb_trace_event *event, uint64_t ordinal)
{
    struct process *process = process_of(event->space);

    enter(self, process);
    switch (event->op) {
    case KTLB_TRACE_MAP:
    case KTLB_TRACE_REPLACE:
        change(self, process, event, ordinal, WINDOW_FRESH);
        break;
    case KTLB_TRACE_UNMAP:
        change(self, process, event, ordinal, WINDOW_EMPTY);
        break;
    case KTLB_TRACE_PROT:
        change(self, process, event, ordinal, WINDOW_RIGHTS);
        break;
    case KTLB_TRACE_DROP:
        drop(self, process, event, ordinal);
        break;
    case KTLB_TRACE_REMAP:
        remap(self, process, *event, ordinal);
        break;
    case KTLB_TRACE_START:
        pass_turn(process, ordinal);
        break;
    case KTLB_TRACE_FORK:
        fork(self, process, event, ordinal);
        break;
    default:
        leave_space(self, process, event, ordinal);
    }
    self->events[event->op]++;
}

/* ---- one CPU ---- */

/* A line now and then, by whoever passes the mark. */
static void show_progress(void)
{
    uint64_t done = ktlb_rmw_add_relaxed(&replay.done, 1) + 1, all = replay.check.header.events;
    struct ktlb_stats stats;

    if (done % (all / 50 + 1))
        return;
    ktlb_stats_sum(&stats);
    machine_progress("%s %3llu %%  %llu of %llu events, %llu shootdowns",
                     replay.run.leave_out == LEAVE_NOTHING ? "replay" : "control",
                     (unsigned long long)(done * 100 / all), (unsigned long long)done, (unsigned long long)all,
                     (unsigned long long)(stats.dispatches - replay.dispatches_before));
}

static void body(void *argument)
{
    struct replayer *self = &replayers[machine_cpu()];
    struct ktlb_trace_event event;

    (void)argument;
    stage_cpu_begin();
    while (!stopped() && ktlb_trace_next(&self->trace, &event) == KTLB_TRACE_EVENT) {
        uint64_t ordinal = self->ordinal[event.space];

        if (event.thread % replay.run.cpus != machine_cpu())
            note_other(self, event.thread);
        self->ordinal[event.space]++;
        if (event.thread % replay.run.cpus != machine_cpu())
            continue;
        if (!wait_turn(self, event.space, ordinal))
            break;
        self->space = event.space;
        self->others = 0;
        ktlb_store_relaxed(&self->runs_until, UINT64_MAX);
        execute(self, &event, ordinal);
        show_progress();
        if (self->loaded)
            window_touch(&self->loaded->window, 16);
    }
    leave(self);
}

/* ---- a pass ---- */

static void pass_begin(enum leave_out leave_out)
{
    struct process *first;

    oracle_begin();
    replay.run.leave_out = leave_out;
    ktlb_store_relaxed(&replay.enough, 0);
    ktlb_store_relaxed(&replay.done, 0);
    for (unsigned i = 0; i < KTLB_TRACE_SPACES_MAX; i++)
        ktlb_store_relaxed_pointer(&replay.process[i], NULL);
    for (unsigned i = 0; i < PROCESSES; i++) {
        window_init(&processes[i].window, i);
        ktlb_store_relaxed(&processes[i].used, 0);
    }
    for (unsigned i = 0; i < replay.run.cpus; i++) {
        replayers[i] = (struct replayer){.runs_until = {UINT64_MAX}};
        ktlb_trace_open(&replayers[i].trace, replay.text, replay.size);
    }
    first = process_take(&replayers[0]);
    process_publish(0, first);
}

/* What a trace that was cut off, or a control, has left behind. */
static void pass_end(void)
{
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (!ktlb_load_relaxed(&processes[i].used))
            continue;
        window_clear(&replayers[0].edit, &replay.run, &processes[i].window);
        ktlb_flush(machine_space_tlb(processes[i].window.space), ktlb_op_all(KTLB_TABLES));
        window_close(&processes[i].window);
    }
    stage_frames_end();
}

static bool good(const struct replay_pass *pass)
{
    bool whole = pass->done == replay.check.header.events, enough = pass->counts.checked > pass->done;

    if (!whole || !enough)
        machine_print("# failed: %s",
                      whole ? "too little was checked to mean anything" : "not every event was replayed");
    return whole && enough && !oracle_wrong(&pass->counts);
}

void replay_pass(struct replay_pass *pass, enum leave_out leave_out)
{
    struct ktlb_stats before;
    uint64_t began;

    pass_begin(leave_out);
    ktlb_stats_sum(&before);
    replay.dispatches_before = before.dispatches;
    began = machine_clock();
    machine_run(replay.run.cpus, body, NULL);
    pass->cycles = machine_clock() - began;
    ktlb_stats_sum(&pass->stats);
    before.wait_cycles_max = 0;
#define X(name, text) pass->stats.name -= before.name;
    KTLB_STATS_EACH(X)
#undef X
    pass->done = ktlb_load_relaxed(&replay.done);
    pass_end();
    oracle_sum(&pass->counts);
    pass->good = leave_out == LEAVE_NOTHING && good(pass);
}

/* ---- the report ---- */

static unsigned long long events_of(enum ktlb_trace_op op)
{
    unsigned long long events = 0;

    for (unsigned i = 0; i < replay.run.cpus; i++)
        events += replayers[i].events[op];
    return events;
}

static void print_events(void)
{
    unsigned long long lazy = 0, switches = 0;

    machine_print("    events          %llu map, %llu replace, %llu unmap, %llu prot, %llu drop, %llu remap",
                  events_of(KTLB_TRACE_MAP), events_of(KTLB_TRACE_REPLACE), events_of(KTLB_TRACE_UNMAP),
                  events_of(KTLB_TRACE_PROT), events_of(KTLB_TRACE_DROP), events_of(KTLB_TRACE_REMAP));
    machine_print("                    %llu thread starts, %llu forks, %llu execs, %llu exits",
                  events_of(KTLB_TRACE_START), events_of(KTLB_TRACE_FORK), events_of(KTLB_TRACE_EXEC),
                  events_of(KTLB_TRACE_EXIT));
    for (unsigned i = 0; i < replay.run.cpus; i++) {
        lazy += replayers[i].lazy_periods;
        switches += replayers[i].switches;
    }
    machine_print("    CPUs            %llu loads of a space, %llu times lazy", switches, lazy);
}

static void print_shootdowns(const struct replay_pass *pass)
{
#define OF(name) ((unsigned long long)pass->stats.name)
    unsigned long long shootdowns = OF(dispatches), per = shootdowns ? OF(targets) * 100 / shootdowns : 0;
    unsigned long long share = pass->cycles ? OF(wait_cycles) * 1000 / (pass->cycles * replay.run.cpus) : 0;

    machine_print("    shootdowns      %llu, of these %llu that nobody else had to hear of", shootdowns,
                  OF(no_target));
    machine_print("    targets         %llu.%02llu per shootdown; %llu lazy CPUs left alone", per / 100, per % 100,
                  OF(lazy_skipped));
    machine_print("    interrupts      %llu sent, %llu saved", OF(interrupts), OF(interrupts_saved));
    machine_print("    invalidated     %llu pages one by one; %llu times a space, %llu times everything",
                  OF(strides), OF(space_flushes), OF(machine_flushes));
    machine_print("    caught up       %llu times by what was missed, %llu times by dropping the space",
                  OF(caught_up_exact), OF(caught_up));
    machine_print("    waiting         %llu.%llu %% of all CPUs' cycles; the longest wait %llu of %llu", share / 10,
                  share % 10, OF(wait_cycles_max), (unsigned long long)pass->cycles);
#undef OF
}

static void print_honest(const struct replay_pass *pass)
{
    print_events();
    print_shootdowns(pass);
    machine_print("    checked         %llu accesses, %llu more to pages in change, %llu frames",
                  (unsigned long long)pass->counts.checked, (unsigned long long)pass->counts.in_change,
                  (unsigned long long)pass->counts.frames);
    machine_print("    stale           %llu", (unsigned long long)oracle_wrong(&pass->counts));
    oracle_print_faults("P1");
}

bool replay_control(void)
{
    static struct replay_pass pass;
    uint64_t wrong;

    replay_pass(&pass, LEAVE_FLUSH);
    wrong = oracle_wrong(&pass.counts);
    machine_print("    control         %s: %llu wrong accesses within %llu events replayed without the flush",
                  wrong ? "fired" : "DID NOT FIRE", (unsigned long long)wrong, (unsigned long long)pass.done);
    return wrong != 0;
}

/* ---- the whole ---- */

static bool trace_good(const char *text, size_t size)
{
    struct ktlb_trace *trace = &replay.check;
    struct ktlb_trace_event event;

    if (ktlb_trace_open(trace, text, size))
        while (ktlb_trace_next(trace, &event) == KTLB_TRACE_EVENT)
            ;
    if (trace->error != KTLB_TRACE_FINE) {
        machine_print("trace, line %u: %s", trace->line, ktlb_trace_error_text(trace->error));
        return false;
    }
    if (trace->header.spaces_live_max > PROCESSES / 2) {
        machine_print("trace: %u address spaces at once, there is room for %u", trace->header.spaces_live_max,
                      PROCESSES / 2);
        return false;
    }
    return true;
}

bool replay_open(const struct scenarios_options *options, unsigned cpus)
{
    static const struct scenario scenario = {.name = "replay", .control = LEAVE_FLUSH, .share = 1};
    const struct ktlb_trace_header *header = &replay.check.header;
    char command[64];
    size_t length;

    if (!trace_good(options->trace, options->trace_size))
        return false;
    replay.run = (struct scenario_run){.scenario = &scenario, .cpus = cpus};
    replay.text = options->trace;
    replay.size = options->trace_size;
    replay.running = options->running;
    length = header->command_size < sizeof(command) - 1 ? header->command_size : sizeof(command) - 1;
    for (size_t i = 0; i < length; i++)
        command[i] = header->command[i];
    command[length] = '\0';
    machine_print("replay: %s", command);
    machine_print("    %u events; %u threads, %u at once; %u spaces, %u at once; on %u CPUs of %s, seed %llu",
                  header->events, header->threads, header->threads_live_max, header->spaces, header->spaces_live_max,
                  cpus, machine.name, (unsigned long long)machine.seed);
    machine_print("    %u of the threads are taken to run at once", options->running);
    return true;
}

bool replay_run(const struct scenarios_options *options, unsigned cpus)
{
    static struct replay_pass pass;

    if (options->set_up)
        return replay_compare(options, cpus);
    if (!replay_open(options, cpus))
        return false;
    replay_pass(&pass, LEAVE_NOTHING);
    print_honest(&pass);
    return pass.good && (!options->controls || replay_control());
}
