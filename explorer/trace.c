/*
 * The timeline of a failure: a column per CPU, a line per step, the place in the source at the right, and the
 * broken promise as the last line.
 *
 * Nothing here runs while a search is under way; a failing execution is run once more with the trace on.
 * Invariant: names come from the program's own symbol table and from addr2line, so what is missing degrades to
 * numbers and never to a failure.
 */
#include "internal.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 4096u
#define TEXT_SIZE 96u
#define PLACE_SIZE 120u
#define NAMES_MAX 512u

struct line {
    uintptr_t pc;
    unsigned cpu;
    char text[TEXT_SIZE];
    char place[PLACE_SIZE];
};

struct name {
    uintptr_t base;
    size_t size;
    const char *text;
};

bool trace_on;
static struct line lines[LINES_MAX];
static unsigned line_count;
static uint64_t lines_lost;
static unsigned columns;
static struct name names[NAMES_MAX];
static unsigned name_count;
static Elf64_Sym *symbols;
static size_t symbol_count;
static char *symbol_names;

void ex_name(const void *base, size_t size, const char *text)
{
    uintptr_t address = (uintptr_t)base;
    for (unsigned i = 0; i < name_count; i++) {
        if (names[i].base == address) {
            names[i] = (struct name){address, size, text};
            return;
        }
    }
    if (name_count < NAMES_MAX)
        names[name_count++] = (struct name){address, size, text};
}

/* ---- data symbols, from the program's own file ---- */

static void *load(FILE *file, uint64_t offset, size_t size)
{
    void *memory = malloc(size ? size : 1);
    if (memory && (fseek(file, (long)offset, SEEK_SET) != 0 || fread(memory, 1, size, file) != size)) {
        free(memory);
        memory = NULL;
    }
    return memory;
}

static void symbols_load(void)
{
    static bool tried;
    FILE *file = tried ? NULL : fopen("/proc/self/exe", "rb");
    tried = true;
    if (!file)
        return;
    Elf64_Ehdr *header = load(file, 0, sizeof(*header));
    Elf64_Shdr *sections = header ? load(file, header->e_shoff, header->e_shnum * sizeof(*sections)) : NULL;
    for (unsigned i = 0; sections && i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum)
            continue;
        const Elf64_Shdr *strings = &sections[sections[i].sh_link];
        symbols = load(file, sections[i].sh_offset, sections[i].sh_size);
        symbol_names = load(file, strings->sh_offset, strings->sh_size);
        symbol_count = symbols && symbol_names ? sections[i].sh_size / sizeof(*symbols) : 0;
    }
    free(sections);
    free(header);
    fclose(file);
}

static const char *offset_text(char *text, size_t size, const char *name, uintptr_t offset)
{
    if (offset)
        snprintf(text, size, "%s+%#lx", name, (unsigned long)offset);
    else
        snprintf(text, size, "%s", name);
    return text;
}

const char *trace_where(uintptr_t address)
{
    static char ring[8][64];
    static unsigned turn;
    char *text = ring[turn++ % 8];
    for (unsigned i = 0; i < name_count; i++)
        if (address - names[i].base < names[i].size)
            return offset_text(text, sizeof(ring[0]), names[i].text, address - names[i].base);
    symbols_load();
    for (size_t i = 0; i < symbol_count; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_OBJECT && address - symbols[i].st_value < symbols[i].st_size)
            return offset_text(text, sizeof(ring[0]), symbol_names + symbols[i].st_name, address - symbols[i].st_value);
    if (search_on_stack(address))
        snprintf(text, sizeof(ring[0]), "stack:%lx", (unsigned long)address & 0xfffff);
    else
        snprintf(text, sizeof(ring[0]), "%#lx", (unsigned long)address);
    return text;
}

const char *trace_order(int order)
{
    switch (order) {
    case __ATOMIC_RELAXED: return "rlx";
    case __ATOMIC_CONSUME: return "con";
    case __ATOMIC_ACQUIRE: return "acq";
    case __ATOMIC_RELEASE: return "rel";
    case __ATOMIC_ACQ_REL: return "a-r";
    default: return "sc ";
    }
}

/* ---- code places, from addr2line ---- */

/* The innermost inlined frame that is not the wrapper of an atomic says most. */
static void place_from(FILE *pipe, char *place, size_t size)
{
    char function[256], file[512], *end;
    bool found = false;
    long start;
    place[0] = 0;
    for (;;) {
        start = ftell(pipe);
        if (!fgets(function, sizeof(function), pipe))
            return;
        if (function[0] == '0' && function[1] == 'x') { /* the next address */
            fseek(pipe, start, SEEK_SET);
            return;
        }
        if (!fgets(file, sizeof(file), pipe))
            return;
        function[strcspn(function, "\n")] = 0;
        file[strcspn(file, " \n")] = 0;
        if (found || strstr(file, "/atomic.h:"))
            continue;
        end = strrchr(file, '/');
        snprintf(place, size, "%s %s", function, end ? end + 1 : file);
        found = true;
    }
}

/* Through a file, because what came too far is put back by a seek. */
static FILE *addr2line(const uintptr_t *pcs, unsigned count)
{
    char self[512], command[1024], list[] = "/tmp/explorer-XXXXXX";
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int descriptor = length > 0 ? mkstemp(list) : -1;
    FILE *in = descriptor >= 0 ? fdopen(descriptor, "w+") : NULL;
    FILE *out = in ? tmpfile() : NULL;
    if (!out)
        return NULL;
    self[length] = 0;
    for (unsigned i = 0; i < count; i++)
        fprintf(in, "%#lx\n", pcs[i] ? (unsigned long)pcs[i] - 1 : 0ul);
    fclose(in);
    snprintf(command, sizeof(command), "addr2line -a -f -i -e '%s' <%s 2>/dev/null", self, list);
    FILE *pipe = popen(command, "r");
    for (int c; pipe && (c = getc(pipe)) != EOF;)
        putc(c, out);
    if (pipe)
        pclose(pipe);
    unlink(list);
    rewind(out);
    return out;
}

void trace_place(uintptr_t pc, char *text, size_t size)
{
    char skip[64];
    FILE *out = trace_on ? addr2line(&pc, 1) : NULL; /* costly; the replay will tell */
    snprintf(text, size, "%#lx", (unsigned long)pc);
    if (!out)
        return;
    if (fgets(skip, sizeof(skip), out))
        place_from(out, text, size);
    fclose(out);
}

static void places_find(void)
{
    static uintptr_t pcs[LINES_MAX];
    char skip[64];
    for (unsigned i = 0; i < line_count; i++)
        pcs[i] = lines[i].pc;
    FILE *out = addr2line(pcs, line_count);
    for (unsigned i = 0; out && i < line_count && fgets(skip, sizeof(skip), out); i++) {
        place_from(out, lines[i].place, PLACE_SIZE);
        if (!lines[i].pc || lines[i].place[0] == '?')
            lines[i].place[0] = 0;
    }
    if (out)
        fclose(out);
}

/* ---- lines ---- */

void trace_begin(unsigned cpus)
{
    trace_on = true;
    line_count = 0;
    lines_lost = 0;
    columns = cpus;
}

void trace_line(unsigned cpu, uintptr_t pc, const char *format, ...)
{
    va_list arguments;
    if (!trace_on)
        return;
    if (line_count == LINES_MAX) { /* the end is what matters */
        memmove(lines, lines + LINES_MAX / 2, sizeof(lines) / 2);
        line_count = LINES_MAX / 2;
        lines_lost += LINES_MAX / 2;
    }
    struct line *line = &lines[line_count++];
    line->pc = pc;
    line->cpu = cpu;
    line->place[0] = 0;
    va_start(arguments, format);
    vsnprintf(line->text, TEXT_SIZE, format, arguments);
    va_end(arguments);
}

void ex_note(const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;
    if (!trace_on)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    trace_line(ex_cpu(), (uintptr_t)__builtin_return_address(0), "- %s", text);
}

static unsigned column_width(void)
{
    unsigned width = 18;
    for (unsigned i = 0; i < line_count; i++)
        if (strlen(lines[i].text) + 2 > width)
            width = (unsigned)strlen(lines[i].text) + 2;
    return width > 44 ? 44 : width;
}

void trace_print(const char *what)
{
    places_find();
    unsigned width = column_width();
    printf("%6s  ", "");
    for (unsigned i = 0; i < columns; i++)
        printf("CPU %-*u", (int)width - 4, i);
    printf("\n");
    if (lines_lost)
        printf("  ... %llu earlier lines left out\n", (unsigned long long)lines_lost);
    for (unsigned i = 0; i < line_count; i++) {
        const struct line *line = &lines[i];
        unsigned column = line->cpu < columns ? line->cpu : 0;
        printf("%6llu  %*s%-*s%s\n", (unsigned long long)(lines_lost + i + 1), (int)(column * width), "",
               (int)((columns - column) * width), line->text, line->place);
    }
    printf("\nBROKEN: %s\n\n", what);
    trace_on = false;
}
