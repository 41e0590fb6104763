/*
 * coherence.c - a QEMU plugin that counts what a shootdown costs: instructions, and cache lines passed between CPUs.
 *
 * The model: 64-byte lines, one cache per CPU, never full, kept coherent as by MESI, of the kernel's half of the
 * address space (lines are known by virtual address; devices are left out). A line is written by one CPU last or by
 * none, and each CPU has a copy of it or not. An access is one of
 *     a hit         reading a copy of one's own; writing what nobody else has a copy of
 *     dirty         reading or writing a line that another CPU was the last to write, and nobody has read since: its
 *                   content comes from that CPU
 *     clean         reading a line of which others have clean copies and this CPU has none
 *     upgrade       writing a line that others have copies of: they are told to drop theirs
 *     first         nobody had it
 * Dirty, clean and upgrade are what is counted as lines: each is one message round on the interconnect. A locked
 * read-modify-write is one access, a write: the emulator reports a read and then a write, and the write finds its
 * line at home. Neither page walks nor what the processor does by itself when it is interrupted are seen, as the
 * emulator does not report them; an interrupt's frame is on the CPU's own stack.
 *
 * What is counted is what happens on two paths. The initiator's: from one mark of the kernel's to another. The
 * service's: from an exception's first instruction to its return, when ktlb_ipi() was called in between. Marks are
 * loads from bench_marks[] (see bench/bench.h): the address says which, so nothing has to be read out of registers.
 * Other interrupts, on either path, are left out (the profile has their beginnings: it cannot take back). An access
 * that crosses lines counts for the first.
 *
 * Counts are of the emulator's one thread (-icount); with several, the order of accesses that are seen would not be
 * that in which they happened, and the plugin ends the emulator rather than say so in numbers.
 *
 * Arguments: out=FILE marks=ADDRESS ipi=ADDRESS entry=ADDRESS:SIZE:STRIDE (the exceptions' first instructions) and
 * profile=FILE: per row, for each instruction how often it was executed on each path, and for each (instruction,
 * 8-byte word) how many lines it moved.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench.h"
#include "qemu_plugin.h"

#define LINE_SHIFT 6
#define VCPUS_MAX 64
#define KERNEL_HALF (UINT64_C(1) << 63)

QEMU_PLUGIN_EXPORT int qemu_plugin_version = 1;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

static void die(const char *why)
{
    fprintf(stderr, "coherence: %s\n", why);
    exit(3);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (!memory)
        die("no memory left");
    return memory;
}

/* ---- what is counted ---- */

enum path { INITIATOR, SERVICE, PATHS };

#define COUNTS_EACH(X) X(times) X(instructions) X(loads) X(stores) X(locked) X(pauses) X(dirty) X(clean) X(upgrade)

struct counts {
#define X(name) uint64_t name;
    COUNTS_EACH(X)
#undef X
};

/* An instruction of the kernel's, once for each address. */
struct insn {
    uint64_t pc;
    bool entry, leave, ipi, locked, pause;
    uint64_t executed[PATHS];
    struct insn *next;
};

#define INSNS_BITS 16
static struct insn *insns[1u << INSNS_BITS];

enum event { DIRTY, CLEAN, UPGRADE, EVENTS };

/* What @insn did with a word. */
struct touch {
    const struct insn *insn;
    uint64_t word;
    uint64_t count[PATHS][EVENTS];
    struct touch *next;
};

/* A CPU: whether it is on the initiator's path, and in how many exceptions. What is met in the outermost one is kept
 * apart until it is known whether ktlb_ipi() is called. */
struct vcpu {
    bool initiates, serves;
    unsigned depth;
    uint64_t row; /* in which the outermost exception began */
    struct counts initiator, service;
};

static struct {
    FILE *out, *profile;
    uint64_t marks, ipi, entry, entry_size, entry_stride;
    bool in_row;
    uint64_t row; /* the one at hand, or the last; 0: none yet */
    struct counts total[PATHS];
    struct vcpu vcpu[VCPUS_MAX];
} here;

static unsigned hash(uint64_t key, unsigned bits)
{
    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

/* ---- lines ---- */

#define NOBODY UINT8_MAX
#define LINES_BITS 20

struct line {
    uint64_t number; /* 0: the place is free */
    uint64_t copies; /* a bit per CPU */
    uint8_t writer;  /* the only one with a copy, and it is newer than memory; or NOBODY */
};

static struct line lines[1u << LINES_BITS];

static struct line *line_at(uint64_t number)
{
    static unsigned used;
    unsigned at = hash(number, LINES_BITS);

    for (; lines[at].number != number; at = (at + 1) % (1u << LINES_BITS)) {
        if (lines[at].number)
            continue;
        if (++used > (1u << LINES_BITS) * 3 / 4)
            die("the kernel touches more lines than there is room for");
        lines[at] = (struct line){number, 0, NOBODY};
        break;
    }
    return &lines[at];
}

/* The access of @cpu; EVENTS: a hit, or the first of all. */
static enum event line_access(struct line *line, unsigned cpu, bool write)
{
    uint64_t mine = UINT64_C(1) << cpu, others = line->copies & ~mine;
    enum event event = EVENTS;

    if (line->writer != NOBODY && line->writer != cpu)
        event = DIRTY;
    else if (write && others)
        event = UPGRADE;
    else if (!write && others && !(line->copies & mine))
        event = CLEAN;
    if (write) {
        line->copies = mine;
        line->writer = (uint8_t)cpu;
    } else {
        line->copies |= mine;
        if (line->writer != cpu)
            line->writer = NOBODY;
    }
    return event;
}

/* ---- where it was ---- */

#define TOUCHES_BITS 14
static struct touch *touches[1u << TOUCHES_BITS];

static void note_touch(const struct insn *insn, uint64_t va, enum path path, enum event event)
{
    uint64_t word = va & ~UINT64_C(7);
    struct touch **bucket = &touches[hash(word ^ insn->pc << 20, TOUCHES_BITS)], *touch = *bucket;

    while (touch && (touch->insn != insn || touch->word != word))
        touch = touch->next;
    if (!touch) {
        touch = allocate(1, sizeof(*touch));
        *touch = (struct touch){.insn = insn, .word = word, .next = *bucket};
        *bucket = touch;
    }
    touch->count[path][event]++;
}

/* ---- rows, and the two paths ---- */

static void print_profile(void)
{
    static const char *const path_name[] = {"initiator", "service"};
    static const char *const event_name[] = {"dirty", "clean", "upgrade"};

    for (unsigned i = 0; i < 1u << INSNS_BITS; i++)
        for (struct insn *insn = insns[i]; insn; insn = insn->next)
            for (enum path path = INITIATOR; path < PATHS; path++)
                if (insn->executed[path]) {
                    fprintf(here.profile, "%" PRIu64 " %s executed %" PRIx64 " - %" PRIu64 "\n", here.row - 1,
                            path_name[path], insn->pc, insn->executed[path]);
                    insn->executed[path] = 0;
                }
    for (unsigned i = 0; i < 1u << TOUCHES_BITS; i++)
        for (struct touch *touch = touches[i]; touch; touch = touch->next)
            for (enum path path = INITIATOR; path < PATHS; path++)
                for (enum event event = DIRTY; event < EVENTS; event++)
                    if (touch->count[path][event]) {
                        fprintf(here.profile, "%" PRIu64 " %s %s %" PRIx64 " %" PRIx64 " %" PRIu64 "\n", here.row - 1,
                                path_name[path], event_name[event], touch->insn->pc, touch->word,
                                touch->count[path][event]);
                        touch->count[path][event] = 0;
                    }
}

/* What began in the last row is over by now. */
static void print_row(void)
{
    if (!here.row)
        return;
    fprintf(here.out, "%" PRIu64, here.row - 1);
    for (enum path path = INITIATOR; path < PATHS; path++) {
#define X(name) fprintf(here.out, ",%" PRIu64, here.total[path].name);
        COUNTS_EACH(X)
#undef X
    }
    fputc('\n', here.out);
    if (here.profile)
        print_profile();
}

static void add(enum path path, const struct counts *counts)
{
#define X(name) here.total[path].name += counts->name;
    COUNTS_EACH(X)
#undef X
}

static void mark(struct vcpu *vcpu, uint64_t number)
{
    switch (number) {
    case BENCH_ROW_BEGIN:
        print_row();
        memset(here.total, 0, sizeof(here.total));
        here.in_row = true;
        here.row++;
        break;
    case BENCH_ROW_END:
        here.in_row = false;
        break;
    case BENCH_BEGIN:
        vcpu->initiates = true;
        vcpu->initiator = (struct counts){.times = 1};
        break;
    case BENCH_END:
        if (!vcpu->initiates)
            die("an end without a beginning");
        vcpu->initiates = false;
        vcpu->initiator.instructions--; /* the mark itself */
        if (here.in_row)
            add(INITIATOR, &vcpu->initiator);
        break;
    default:
        die("a mark that nobody knows");
    }
}

/* What @vcpu is about: NULL, nothing of ours. */
static struct counts *counts_of(struct vcpu *vcpu, enum path *path)
{
    *path = vcpu->depth ? SERVICE : INITIATOR;
    if (vcpu->depth)
        return &vcpu->service;
    return vcpu->initiates ? &vcpu->initiator : NULL;
}

/* Whether what @vcpu does belongs to the row at hand: an exception that began there may end after it. */
static bool in_row(const struct vcpu *vcpu)
{
    return vcpu->depth ? vcpu->row && vcpu->row == here.row : here.in_row;
}

static void on_insn(unsigned cpu, void *userdata)
{
    struct insn *insn = userdata;
    struct vcpu *vcpu = &here.vcpu[cpu];
    struct counts *counts;
    enum path path;

    if (insn->entry && vcpu->depth++ == 0) {
        vcpu->service = (struct counts){.times = 1};
        vcpu->serves = false;
        vcpu->row = here.in_row ? here.row : 0;
    }
    vcpu->serves |= insn->ipi && vcpu->depth;
    counts = counts_of(vcpu, &path);
    if (counts) {
        counts->instructions++;
        counts->pauses += insn->pause;
        insn->executed[path] += in_row(vcpu);
    }
    if (insn->leave && vcpu->depth && --vcpu->depth == 0 && vcpu->serves && vcpu->row == here.row)
        add(SERVICE, &vcpu->service);
}

static void on_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t va, void *userdata)
{
    struct insn *insn = userdata;
    struct vcpu *vcpu = &here.vcpu[cpu];
    bool store = qemu_plugin_mem_is_store(info);
    const struct qemu_plugin_hwaddr *where;
    struct counts *counts;
    enum event event;
    enum path path;

    if (va < KERNEL_HALF)
        return;
    if (va - here.marks < BENCH_MARKS && !store && !vcpu->depth) {
        mark(vcpu, va - here.marks);
        return;
    }
    event = line_access(line_at(va >> LINE_SHIFT), cpu, store || insn->locked);
    counts = counts_of(vcpu, &path);
    if (!counts)
        return;
    counts->loads += !store;
    counts->stores += store;
    counts->locked += store && insn->locked;
    if (event == EVENTS)
        return;
    where = qemu_plugin_get_hwaddr(info, va);
    if (where && qemu_plugin_hwaddr_is_io(where))
        return;
    counts->dirty += event == DIRTY;
    counts->clean += event == CLEAN;
    counts->upgrade += event == UPGRADE;
    if (here.profile && in_row(vcpu))
        note_touch(insn, va, path, event);
}

/* ---- translation ---- */

/* x86_64: what is locked (by prefix, or XCHG with memory, or it is not reported as an access), IRETQ and PAUSE. */
static void decode(struct insn *insn, const uint8_t *byte, size_t size)
{
    size_t at = 0;
    bool repeat = false;

    for (; at < size; at++) {
        insn->locked |= byte[at] == 0xf0;
        repeat |= byte[at] == 0xf3;
        if (byte[at] != 0xf0 && byte[at] != 0xf2 && byte[at] != 0xf3 && byte[at] != 0x66 && byte[at] != 0x65 &&
            byte[at] != 0x64 && byte[at] >> 4 != 4)
            break;
    }
    if (at == size)
        return;
    insn->locked |= byte[at] == 0x86 || byte[at] == 0x87;
    insn->leave = byte[at] == 0xcf;
    insn->pause = repeat && byte[at] == 0x90;
}

static struct insn *insn_at(struct qemu_plugin_insn *translated)
{
    uint64_t pc = qemu_plugin_insn_vaddr(translated);
    struct insn **bucket = &insns[hash(pc, INSNS_BITS)], *insn = *bucket;

    while (insn && insn->pc != pc)
        insn = insn->next;
    if (insn)
        return insn;
    insn = allocate(1, sizeof(*insn));
    *insn = (struct insn){.pc = pc, .next = *bucket};
    insn->entry = pc - here.entry < here.entry_size && (pc - here.entry) % here.entry_stride == 0;
    insn->ipi = pc == here.ipi;
    decode(insn, qemu_plugin_insn_data(translated), qemu_plugin_insn_size(translated));
    *bucket = insn;
    return insn;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    static _Thread_local bool mine;
    static bool somebodys;

    (void)id;
    if (!mine && __atomic_exchange_n(&somebodys, true, __ATOMIC_RELAXED))
        die("counts need an emulator with one thread: run with --seed (-icount)");
    mine = true;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *translated = qemu_plugin_tb_get_insn(tb, i);
        struct insn *insn = insn_at(translated);

        if (insn->pc < KERNEL_HALF)
            continue; /* the firmware, and the kernel's first steps */
        qemu_plugin_register_vcpu_insn_exec_cb(translated, on_insn, QEMU_PLUGIN_CB_NO_REGS, insn);
        qemu_plugin_register_vcpu_mem_cb(translated, on_access, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, insn);
    }
}

/* ---- beginning and end ---- */

static void on_exit_(qemu_plugin_id_t id, void *userdata)
{
    (void)id, (void)userdata;
    print_row();
    fclose(here.out);
    if (here.profile)
        fclose(here.profile);
}

static FILE *file(const char *name)
{
    FILE *opened = fopen(name, "w");

    if (!opened)
        die("cannot write where it was told to");
    return opened;
}

static void argument(const char *text)
{
    const char *value = strchr(text, '=');

    if (!value++)
        die("arguments are name=value");
    if (!strncmp(text, "out=", 4))
        here.out = file(value);
    else if (!strncmp(text, "profile=", 8))
        here.profile = file(value);
    else if (!strncmp(text, "marks=", 6))
        here.marks = strtoull(value, NULL, 16);
    else if (!strncmp(text, "ipi=", 4))
        here.ipi = strtoull(value, NULL, 16);
    else if (strncmp(text, "entry=", 6) || sscanf(value, "%" SCNx64 ":%" SCNx64 ":%" SCNx64, &here.entry,
                                                  &here.entry_size, &here.entry_stride) != 3)
        die("arguments are out, profile, marks, ipi, entry");
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    if (!info->system_emulation || strcmp(info->target_name, "x86_64") || info->system.max_vcpus > VCPUS_MAX)
        die("for x86_64 machines of up to 64 CPUs");
    for (int i = 0; i < argc; i++)
        argument(argv[i]);
    if (!here.out || !here.marks || !here.ipi || !here.entry || !here.entry_stride)
        die("out, marks, ipi and entry are needed");
    fputs("row", here.out);
#define X(name) fputs(",initiator_" #name, here.out);
    COUNTS_EACH(X)
#undef X
#define X(name) fputs(",service_" #name, here.out);
    COUNTS_EACH(X)
#undef X
    fputc('\n', here.out);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
    return 0;
}
