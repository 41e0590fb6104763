/*
 * print.c - text, and the console that CPUs share: a line comes out whole or not at all.
 *
 * Nothing that is printed may depend on the host's time: a seeded run repeats byte for byte.
 */
#include "kernel.h"

#define LINE_SIZE 512

struct text {
    char *buffer;
    size_t size, used;
};

static void put(struct text *text, char c)
{
    if (text->used + 1 < text->size)
        text->buffer[text->used++] = c;
}

struct field {
    bool left, zero;
    unsigned width;
};

static void put_field(struct text *text, const char *value, size_t length, struct field field)
{
    size_t pad = field.width > length ? field.width - length : 0;

    for (; pad && !field.left; pad--)
        put(text, field.zero ? '0' : ' ');
    for (size_t i = 0; i < length; i++)
        put(text, value[i]);
    for (; pad; pad--)
        put(text, ' ');
}

static void put_number(struct text *text, uint64_t value, unsigned base, bool negative, struct field field)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative && field.zero) {
        put(text, '-');
        field.width -= field.width > 0;
    } else if (negative) {
        digits[--at] = '-';
    }
    put_field(text, digits + at, sizeof(digits) - at, field);
}

/* One conversion from after its '%'; returns the last character of it. */
static const char *put_conversion(struct text *text, const char *f, va_list *arguments)
{
    struct field field = {false, false, 0};
    unsigned longs = 0;
    uint64_t value;
    int64_t number;

    for (; *f == '-' || *f == '0'; f++)
        *(*f == '-' ? &field.left : &field.zero) = true;
    if (*f == '*') {
        field.width = (unsigned)va_arg(*arguments, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++)
        field.width = field.width * 10 + (unsigned)(*f - '0');
    for (; *f == 'l' || *f == 'z'; f++)
        longs++;
    switch (*f) {
    case 'd':
        number = longs ? va_arg(*arguments, long) : va_arg(*arguments, int);
        put_number(text, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10, number < 0, field);
        break;
    case 'u':
    case 'x':
        value = longs ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned);
        put_number(text, value, *f == 'u' ? 10 : 16, false, field);
        break;
    case 'p':
        put_field(text, "0x", 2, (struct field){false, false, 0});
        put_number(text, (uintptr_t)va_arg(*arguments, void *), 16, false, field);
        break;
    case 's': {
        const char *s = va_arg(*arguments, const char *);
        size_t length = 0;

        s = s ? s : "(null)";
        while (s[length])
            length++;
        put_field(text, s, length, field);
        break;
    }
    case 'c':
        put(text, (char)va_arg(*arguments, int));
        break;
    case '%':
        put(text, '%');
        break;
    default: /* also the end of the text */
        put(text, '?');
        return *f ? f : f - 1;
    }
    return f;
}

size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct text text = {buffer, size, 0};
    va_list rest;

    va_copy(rest, arguments);
    for (const char *f = format; *f; f++) {
        if (*f == '%')
            f = put_conversion(&text, f + 1, &rest);
        else
            put(&text, *f);
    }
    va_end(rest);
    buffer[text.used] = '\0';
    return text.used;
}

void cpus_text(const struct ktlb_cpuset *set, char *text, size_t size)
{
    struct text line = {text, size, 0};

    KTLB_CPUSET_EACH(cpu, set) {
        if (line.used + 6 > size) /* a comma, four digits, the end */
            break;
        if (line.used)
            put(&line, ',');
        put_number(&line, cpu, 10, false, (struct field){false, false, 0});
    }
    text[line.used] = '\0';
}

/* ---- the console ---- */

static struct lock console;
static struct ktlb_u32 seized; /* 0: by nobody; else one more than the CPU */
static bool replaceable;       /* the last line out was one of progress, not ended; under the lock */

void console_seize(void)
{
    uint32_t me = arch_cpu_number() + 1, owner = 0;

    /* Let a line that is under way end; its CPU may be the one that died, so not for ever. */
    for (unsigned turn = 0; turn < 1u << 20 && ktlb_load_relaxed_u32(&console.taken); turn++)
        arch_pause();
    if (!ktlb_rmw_cas_acq_rel_u32(&seized, &owner, me) && owner != me)
        arch_stop();
}

/* @end: '\r' for a line that the next one may replace. */
static void console_line(const char *line, size_t size, char end)
{
    uint32_t owner = ktlb_load_acquire_u32(&seized);
    unsigned long irq;

    if (owner && owner != arch_cpu_number() + 1)
        return;
    irq = arch_irq_save();
    if (!owner)
        lock_take(&console);
    if (replaceable)
        arch_console_write("\033[K", 3);
    arch_console_write(line, size);
    arch_console_write(&end, 1);
    replaceable = end == '\r';
    if (!owner)
        lock_release(&console);
    arch_irq_restore(irq);
}

static void print(const char *format, va_list arguments, char end)
{
    char line[LINE_SIZE];
    size_t size = format_text(line, sizeof(line), format, arguments);

    if (size && line[size - 1] == '\n')
        size--;
    console_line(line, size, end);
}

void console_print(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print(format, arguments, '\n');
    va_end(arguments);
}

void machine_print(const char *format, ...)
{
    va_list arguments;

    progress(arch_cpu());
    va_start(arguments, format);
    print(format, arguments, '\n');
    va_end(arguments);
}

/* Without a terminal only some of these lines come out: by their number, not by time, and ever fewer of them. */
void machine_progress(const char *format, ...)
{
    static struct ktlb_u64 lines;
    uint64_t line = ktlb_rmw_add_relaxed(&lines, 1) + 1;
    va_list arguments;

    progress(arch_cpu());
    if (!options.progress_tty && (line & (line - 1) || line < 4))
        return;
    va_start(arguments, format);
    print(format, arguments, options.progress_tty ? '\r' : '\n');
    va_end(arguments);
}
