/*
 * Tests of the trace reader, of trace-check and of the recorder's conversion.
 *
 * Goals: every error is found and blamed on its line; every op is read as written; every trace of
 * ours is good; nothing that a damaged text can hold makes the reader leave its buffer (this
 * program is built with the address sanitizer and hands out buffers of the exact size); strace's
 * disorder is put in order.
 */
#define _GNU_SOURCE
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>
#include <sys/wait.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define HEAD_SPAN "ktlb-trace 1\ncommand a b\npage 4096\nspan 100\n" /* four lines */
#define HEAD(threads, spaces, events)                                                              \
    HEAD_SPAN "threads " threads "\nspaces " spaces "\nevents " events "\n"

static struct ktlb_trace trace;

/* A copy without a byte to spare, so that reading past it is caught. */
static char *exact_copy(const char *text, size_t size) {
    char *copy = malloc(size != 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    return copy;
}

/* Read a text to its end. */
static enum ktlb_trace_step read_all(const char *text, size_t size, uint32_t *events) {
    struct ktlb_trace_event event;
    enum ktlb_trace_step step = KTLB_TRACE_ERROR;
    *events = 0;
    if (!ktlb_trace_open(&trace, text, size))
        return ktlb_trace_next(&trace, &event);
    while ((step = ktlb_trace_next(&trace, &event)) == KTLB_TRACE_EVENT)
        ++*events;
    return step;
}

/* ---- every error, on its line ------------------------------------------------ */

struct wrong {
    const char *name, *text;
    enum ktlb_trace_error error;
    uint32_t line;
};

static const struct wrong wrongs[] = {
    { "empty text", "", KTLB_TRACE_BAD_HEADER, 1 },
    { "only a comment", "# x\n", KTLB_TRACE_BAD_HEADER, 1 },
    { "not a trace", "hello\n", KTLB_TRACE_BAD_HEADER, 1 },
    { "name runs on", "ktlb-traces 1\n", KTLB_TRACE_BAD_HEADER, 1 },
    { "no version", "ktlb-trace\n", KTLB_TRACE_FIELD_MISSING, 1 },
    { "later version", "ktlb-trace 2\n", KTLB_TRACE_BAD_VERSION, 1 },
    { "two versions", "ktlb-trace 1 1\n", KTLB_TRACE_FIELD_EXTRA, 1 },
    { "header ends", "ktlb-trace 1\n", KTLB_TRACE_BAD_HEADER, 1 },
    { "header order", "ktlb-trace 1\npage 4096\n", KTLB_TRACE_BAD_HEADER, 2 },
    { "no command", "ktlb-trace 1\ncommand\n", KTLB_TRACE_FIELD_MISSING, 2 },
    { "page size odd", "ktlb-trace 1\ncommand a\npage 4095\n", KTLB_TRACE_NUMBER_RANGE, 3 },
    { "page size 0", "ktlb-trace 1\n# x\ncommand a\npage 0\n", KTLB_TRACE_NUMBER_RANGE, 4 },
    { "span too wide", "ktlb-trace 1\ncommand a\npage 4096\nspan 10000000000001\n",
      KTLB_TRACE_NUMBER_RANGE, 4 },
    { "no peak of threads", HEAD_SPAN "threads 1\n", KTLB_TRACE_FIELD_MISSING, 5 },
    { "peak over total", HEAD_SPAN "threads 1 2\n", KTLB_TRACE_NUMBER_RANGE, 5 },
    { "no thread", HEAD_SPAN "threads 0 0\n", KTLB_TRACE_NUMBER_RANGE, 5 },
    { "too many threads", HEAD_SPAN "threads 60000 1\n", KTLB_TRACE_TOO_MANY, 5 },
    { "too many spaces", HEAD_SPAN "threads 1 1\nspaces 60000 1\n", KTLB_TRACE_TOO_MANY, 6 },
    { "events not a number", HEAD("1 1", "1 1", "many"), KTLB_TRACE_NOT_A_NUMBER, 7 },
    { "events over 32 bits", HEAD("1 1", "1 1", "4294967296"), KTLB_TRACE_NUMBER_RANGE, 7 },
    { "header cut", HEAD_SPAN "thre", KTLB_TRACE_NO_NEWLINE, 5 },
    { "event cut", HEAD("1 1", "1 1", "1") "0 ex", KTLB_TRACE_NO_NEWLINE, 8 },
    { "comment cut", HEAD("1 1", "1 1", "0") "# the en", KTLB_TRACE_NO_NEWLINE, 8 },
    { "empty line", HEAD("1 1", "1 1", "1") "\n", KTLB_TRACE_FIELD_MISSING, 8 },
    { "no op", HEAD("1 1", "1 1", "1") "0\n", KTLB_TRACE_FIELD_MISSING, 8 },
    { "no count", HEAD("1 1", "1 1", "1") "0 unmap 1\n", KTLB_TRACE_FIELD_MISSING, 8 },
    { "no rights", HEAD("1 1", "1 1", "1") "0 map 1 1\n", KTLB_TRACE_FIELD_MISSING, 8 },
    { "two blanks", HEAD("1 1", "1 1", "1") "0 unmap  1 1\n", KTLB_TRACE_FIELD_MISSING, 8 },
    { "blank at the end", HEAD("1 1", "1 1", "1") "0 unmap 1 1 \n", KTLB_TRACE_FIELD_EXTRA, 8 },
    { "a field more", HEAD("1 1", "1 1", "1") "0 exit 1\n", KTLB_TRACE_FIELD_EXTRA, 8 },
    { "thread not a number", HEAD("1 1", "1 1", "1") "a exit\n", KTLB_TRACE_NOT_A_NUMBER, 8 },
    { "page not a number", HEAD("1 1", "1 1", "1") "0 drop 0x1 1\n", KTLB_TRACE_NOT_A_NUMBER, 8 },
    { "capitals", HEAD("1 1", "1 1", "1") "0 drop A 1\n", KTLB_TRACE_NOT_A_NUMBER, 8 },
    { "negative", HEAD("1 1", "1 1", "1") "0 drop -1 1\n", KTLB_TRACE_NOT_A_NUMBER, 8 },
    { "carriage return", HEAD("1 1", "1 1", "1") "0 drop 1 1\r\n", KTLB_TRACE_NOT_A_NUMBER, 8 },
    { "page over 52 bits", HEAD("1 1", "1 1", "1") "0 drop 10000000000001 1\n",
      KTLB_TRACE_NUMBER_RANGE, 8 },
    { "page over 64 bits", HEAD("1 1", "1 1", "1") "0 drop 10000000000000000 1\n",
      KTLB_TRACE_NUMBER_RANGE, 8 },
    { "thread over 16 bits", HEAD("1 1", "1 1", "1") "65535 exit\n", KTLB_TRACE_NUMBER_RANGE, 8 },
    { "unknown op", HEAD("1 1", "1 1", "1") "0 mop 1 1\n", KTLB_TRACE_UNKNOWN_OP, 8 },
    { "op cut short", HEAD("1 1", "1 1", "1") "0 ma 1 1\n", KTLB_TRACE_UNKNOWN_OP, 8 },
    { "op runs on", HEAD("1 1", "1 1", "1") "0 maps 1 1\n", KTLB_TRACE_UNKNOWN_OP, 8 },
    { "rights unknown", HEAD("1 1", "1 1", "1") "0 map 1 1 rwz\n", KTLB_TRACE_BAD_RIGHTS, 8 },
    { "rights in disorder", HEAD("1 1", "1 1", "1") "0 map 1 1 wr\n", KTLB_TRACE_BAD_RIGHTS, 8 },
    { "rights and none", HEAD("1 1", "1 1", "1") "0 prot 1 1 r-\n", KTLB_TRACE_BAD_RIGHTS, 8 },
    { "no pages", HEAD("1 1", "1 1", "1") "0 unmap 1 0\n", KTLB_TRACE_ZERO_COUNT, 8 },
    { "remap of none", HEAD("1 1", "1 1", "1") "0 remap 1 0 1 1\n", KTLB_TRACE_ZERO_COUNT, 8 },
    { "remap to none", HEAD("1 1", "1 1", "1") "0 remap 1 1 1 0\n", KTLB_TRACE_ZERO_COUNT, 8 },
    { "ends beyond", HEAD("1 1", "1 1", "1") "0 map ff 2 r\n", KTLB_TRACE_BEYOND_SPAN, 8 },
    { "begins beyond", HEAD("1 1", "1 1", "1") "0 map 101 1 r\n", KTLB_TRACE_BEYOND_SPAN, 8 },
    { "remap ends beyond", HEAD("1 1", "1 1", "1") "0 remap 1 1 ff 2\n", KTLB_TRACE_BEYOND_SPAN,
      8 },
    { "remap begins beyond", HEAD("1 1", "1 1", "1") "0 remap 1 1 101 1\n", KTLB_TRACE_BEYOND_SPAN,
      8 },
    { "widest count", HEAD("1 1", "1 1", "1") "0 map 1 10000000000000 r\n", KTLB_TRACE_BEYOND_SPAN,
      8 },
    { "remap onto itself", HEAD("1 1", "1 1", "1") "0 remap 1 4 4 4\n", KTLB_TRACE_OVERLAP, 8 },
    { "remap from itself", HEAD("1 1", "1 1", "1") "0 remap 4 4 1 4\n", KTLB_TRACE_OVERLAP, 8 },
    { "never started", HEAD("2 2", "1 1", "1") "1 exit\n", KTLB_TRACE_NEVER_STARTED, 8 },
    { "after exit", HEAD("1 1", "1 1", "2") "0 exit\n0 unmap 1 1\n", KTLB_TRACE_AFTER_EXIT, 9 },
    { "exit twice", HEAD("1 1", "1 1", "2") "0 exit\n0 exit\n", KTLB_TRACE_AFTER_EXIT, 9 },
    { "start skips one", HEAD("3 3", "1 1", "1") "0 start 2\n", KTLB_TRACE_THREAD_ORDER, 8 },
    { "start of itself", HEAD("3 3", "1 1", "1") "0 start 0\n", KTLB_TRACE_THREAD_ORDER, 8 },
    { "one start more", HEAD("1 1", "1 1", "1") "0 start 1\n", KTLB_TRACE_THREAD_ORDER, 8 },
    { "fork skips a thread", HEAD("3 3", "2 2", "1") "0 fork 2 1\n", KTLB_TRACE_THREAD_ORDER, 8 },
    { "fork skips a space", HEAD("2 2", "3 3", "1") "0 fork 1 2\n", KTLB_TRACE_SPACE_ORDER, 8 },
    { "exec into its own", HEAD("1 1", "2 2", "1") "0 exec 0\n", KTLB_TRACE_SPACE_ORDER, 8 },
    { "one exec more", HEAD("1 1", "1 1", "1") "0 exec 1\n", KTLB_TRACE_SPACE_ORDER, 8 },
    { "fewer events", HEAD("1 1", "1 1", "2") "0 exit\n", KTLB_TRACE_EVENTS_DIFFER, 8 },
    { "more events", HEAD("1 1", "1 1", "1") "0 unmap 1 1\n0 exit\n", KTLB_TRACE_EVENTS_DIFFER, 9 },
    { "two events more", HEAD("1 1", "1 1", "1") "0 drop 1 1\n0 drop 1 1\n0 exit\n",
      KTLB_TRACE_EVENTS_DIFFER, 9 },
    { "fewer threads", HEAD("2 1", "1 1", "1") "0 exit\n", KTLB_TRACE_THREADS_DIFFER, 8 },
    { "other peak of threads", HEAD("2 1", "1 1", "1") "0 start 1\n", KTLB_TRACE_THREADS_DIFFER,
      8 },
    { "fewer spaces", HEAD("1 1", "2 2", "1") "0 exit\n", KTLB_TRACE_SPACES_DIFFER, 8 },
    { "other peak of spaces", HEAD("1 1", "2 1", "1") "0 exec 1\n", KTLB_TRACE_SPACES_DIFFER, 8 },
};

static void test_wrong(void **state) {
    const struct wrong *wrong = *state;
    struct ktlb_trace_event event;
    uint32_t events;
    char *text = exact_copy(wrong->text, strlen(wrong->text));

    assert_int_equal(read_all(text, strlen(wrong->text), &events), KTLB_TRACE_ERROR);
    assert_string_equal(ktlb_trace_error_text(trace.error), ktlb_trace_error_text(wrong->error));
    assert_int_equal(trace.error, wrong->error);
    assert_int_equal(trace.line, wrong->line);
    assert_int_equal(ktlb_trace_next(&trace, &event), KTLB_TRACE_ERROR); /* an error stays */
    assert_int_equal(trace.line, wrong->line);
    free(text);
}

/* The list above is only worth something if it is whole. */
static void test_every_error_has_a_case(void **state) {
    (void)state;
    for (int error = KTLB_TRACE_FINE + 1; error < KTLB_TRACE_ERRORS; error++) {
        size_t i = 0;
        while (i < COUNT_OF(wrongs) && (int)wrongs[i].error != error)
            i++;
        if (i == COUNT_OF(wrongs))
            fail_msg("no case for: %s", ktlb_trace_error_text((enum ktlb_trace_error)error));
        for (int other = 0; other < error; other++)
            assert_string_not_equal(ktlb_trace_error_text((enum ktlb_trace_error)error),
                                    ktlb_trace_error_text((enum ktlb_trace_error)other));
    }
}

/* ---- every op ------------------------------------------------ */

static const char every_op[] = "# a comment may stand anywhere\n" HEAD(
    "3 3", "3 3",
    "12") "0 map 10 8 rw\n0 replace 12 2 r\n0 prot 10 8 -\n0 prot 10 1 rwx\n0 drop 10 4\n"
          "0 remap 10 8 20 10\n0 remap 20 10 20 8\n# and here\n0 unmap 0 100\n"
          "0 start 1\n1 fork 2 1\n2 exec 2\n1 exit\n";

#define NONE KTLB_TRACE_NONE
static const struct ktlb_trace_event every_event[] = {
    { 0x10, 8, 0, 0, 9, KTLB_TRACE_MAP, 3, false, 0, 0, NONE, NONE },
    { 0x12, 2, 0, 0, 10, KTLB_TRACE_REPLACE, 1, false, 0, 0, NONE, NONE },
    { 0x10, 8, 0, 0, 11, KTLB_TRACE_PROT, 0, false, 0, 0, NONE, NONE },
    { 0x10, 1, 0, 0, 12, KTLB_TRACE_PROT, 7, false, 0, 0, NONE, NONE },
    { 0x10, 4, 0, 0, 13, KTLB_TRACE_DROP, 0, false, 0, 0, NONE, NONE },
    { 0x10, 8, 0x20, 0x10, 14, KTLB_TRACE_REMAP, 0, false, 0, 0, NONE, NONE },
    { 0x20, 0x10, 0x20, 8, 15, KTLB_TRACE_REMAP, 0, false, 0, 0, NONE, NONE },
    { 0, 0x100, 0, 0, 17, KTLB_TRACE_UNMAP, 0, false, 0, 0, NONE, NONE },
    { 0, 0, 0, 0, 18, KTLB_TRACE_START, 0, false, 0, 0, 1, NONE },
    { 0, 0, 0, 0, 19, KTLB_TRACE_FORK, 0, false, 1, 0, 2, 1 },
    { 0, 0, 0, 0, 20, KTLB_TRACE_EXEC, 0, true, 2, 1, NONE, 2 },
    { 0, 0, 0, 0, 21, KTLB_TRACE_EXIT, 0, false, 1, 0, NONE, NONE },
};

static void assert_same_event(const struct ktlb_trace_event *a, const struct ktlb_trace_event *b) {
    assert_int_equal(a->line, b->line);
    assert_string_equal(ktlb_trace_op_name(a->op), ktlb_trace_op_name(b->op));
    assert_int_equal(a->page, b->page);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->new_page, b->new_page);
    assert_int_equal(a->new_count, b->new_count);
    assert_int_equal(a->rights, b->rights);
    assert_int_equal(a->thread, b->thread);
    assert_int_equal(a->space, b->space);
    assert_int_equal(a->other_thread, b->other_thread);
    assert_int_equal(a->new_space, b->new_space);
    assert_int_equal(a->space_ended, b->space_ended);
}

static void test_every_op(void **state) {
    struct ktlb_trace_event event;
    (void)state;
    assert_true(ktlb_trace_open(&trace, every_op, sizeof every_op - 1));
    assert_int_equal(trace.header.command_size, 3);
    assert_memory_equal(trace.header.command, "a b", 3);
    assert_int_equal(trace.header.page_size, 4096);
    assert_int_equal(trace.header.span, 0x100);
    assert_int_equal(trace.header.events, COUNT_OF(every_event));
    for (size_t i = 0; i < COUNT_OF(every_event); i++) {
        assert_int_equal(ktlb_trace_next(&trace, &event), KTLB_TRACE_EVENT);
        assert_same_event(&event, &every_event[i]);
    }
    assert_int_equal(ktlb_trace_next(&trace, &event), KTLB_TRACE_END);
    assert_int_equal(ktlb_trace_next(&trace, &event), KTLB_TRACE_END); /* the end stays */
}

/* The last thread to leave ends its space; whoever left earlier does not. */
static void test_space_ends_with_its_last_thread(void **state) {
    static const char text[] = HEAD("2 2", "1 1", "3") "0 start 1\n0 exit\n1 exit\n";
    static const bool ended[] = { false, false, true };
    struct ktlb_trace_event event;
    (void)state;
    assert_true(ktlb_trace_open(&trace, text, sizeof text - 1));
    for (size_t i = 0; i < COUNT_OF(ended); i++) {
        assert_int_equal(ktlb_trace_next(&trace, &event), KTLB_TRACE_EVENT);
        assert_int_equal(event.space_ended, ended[i]);
    }
}

/* A range may move to where it ended or to end where it began. */
static void test_remap_to_neighbours(void **state) {
    static const char text[] = HEAD("1 1", "1 1", "2") "0 remap 10 8 18 8\n0 remap 18 8 10 8\n";
    uint32_t events;
    (void)state;
    assert_int_equal(read_all(text, sizeof text - 1, &events), KTLB_TRACE_END);
    assert_int_equal(events, 2);
}

static void test_names_out_of_range(void **state) {
    (void)state;
    assert_string_equal(ktlb_trace_op_name(KTLB_TRACE_OPS), "?");
    assert_string_equal(ktlb_trace_error_text(KTLB_TRACE_ERRORS), "?");
}

/* ---- the traces of ours ------------------------------------------------ */

static char *load(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s (run this from the top of the project)", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *size, file), *size);
    text[*size] = '\0';
    fclose(file);
    return text;
}

/* The header's counts are the reader's to check; here it is enough that it came to the end. */
static void test_our_traces(void **state) {
    glob_t found;
    size_t total = 0, size;
    uint32_t events;
    (void)state;
    assert_int_equal(glob("traces/*.trace", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 5);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *text = load(found.gl_pathv[i], &size);
        if (read_all(text, size, &events) != KTLB_TRACE_END)
            fail_msg("%s:%u: %s", found.gl_pathv[i], trace.line,
                     ktlb_trace_error_text(trace.error));
        assert_int_equal(events, trace.header.events);
        assert_non_null(strstr(text, "\n# again: make record CMD='"));
        total += size;
        free(text);
    }
    assert_true(total <= 3u << 20);
    globfree(&found);
}

/* ---- damage ------------------------------------------------ */

enum { ROUNDS = 20000, SEED = 20240607 };
static uint64_t random_state;

static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % limit);
}

/* Put `with` in the place of text[at, at + old). The text has room for it. */
static void splice(char *text, size_t *size, size_t at, size_t old, const char *with,
                   size_t fresh) {
    memmove(text + at + fresh, text + at + old, *size - at - old);
    memcpy(text + at, with, fresh);
    *size = *size - old + fresh;
}

static void damage_once(char *text, size_t *size) {
    static const char *const words[] = { " ",
                                         "\n",
                                         "0",
                                         "-",
                                         "#",
                                         "ffffffffffffffff",
                                         "10000000000000",
                                         "65535",
                                         "remap",
                                         "exec 1",
                                         "start 3",
                                         "\n0 exit\n",
                                         "\r",
                                         "rwx" };
    char line[64];
    size_t at = random_below(*size), length = 0;
    switch (random_below(6)) {
    case 0: text[at] = (char)random_below(256); break;
    case 1: *size = at + 1; break; /* cut off */
    case 2: splice(text, size, at, 1, "", 0); break;
    case 3: {
        const char *word = words[random_below(COUNT_OF(words))];
        splice(text, size, at, random_below(2) && at + 1 < *size ? 1 : 0, word, strlen(word));
        break;
    }
    case 4: /* a line, or the rest of one, is gone */
        while (at + length < *size && text[at + length] != '\n')
            length++;
        splice(text, size, at, length, "", 0);
        break;
    default: /* a piece stands twice, or somewhere else */
        length = random_below(sizeof line);
        length = length < *size - at ? length : *size - at;
        memcpy(line, text + at, length);
        splice(text, size, random_below(*size), 0, line, length);
        break;
    }
    if (*size == 0) {
        text[0] = '\n';
        *size = 1;
    }
}

/* What was handed out must keep the promises of trace.h, however damaged the text. */
static bool event_is_sound(const struct ktlb_trace_event *event) {
    uint64_t span = trace.header.span;
    bool ranges = event->op > KTLB_TRACE_REMAP ||
                  (event->count >= 1 && event->count <= span && event->page <= span - event->count);
    return ranges && event->op < KTLB_TRACE_OPS && event->rights < 8 && event->line >= 1 &&
           event->thread < trace.header.threads && event->space < trace.header.spaces;
}

static bool damaged_is_sound(const char *text, size_t size) {
    struct ktlb_trace_event event;
    enum ktlb_trace_step step = KTLB_TRACE_ERROR;
    char *copy = exact_copy(text, size);
    bool sound = true;
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    if (ktlb_trace_open(&trace, copy, size)) {
        while (sound && (step = ktlb_trace_next(&trace, &event)) == KTLB_TRACE_EVENT)
            sound = event_is_sound(&event);
    }
    if (step == KTLB_TRACE_ERROR)
        sound = sound && trace.error != KTLB_TRACE_FINE && trace.line >= 1 && trace.line <= lines;
    free(copy);
    return sound;
}

static void test_damage(void **state) {
    enum { PIECE = 3000, ROOM = PIECE + 8 * 64 };
    static char text[ROOM];
    size_t whole;
    char *small = load("traces/small.trace", &whole);
    (void)state;
    random_state = SEED;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const char *from = round % 2 == 0 ? every_op : small;
        size_t size = round % 2 == 0 ? sizeof every_op - 1 : whole < PIECE ? whole : PIECE;
        memcpy(text, from, size);
        for (size_t times = 1 + random_below(4); times != 0; times--)
            damage_once(text, &size);
        if (!damaged_is_sound(text, size))
            fail_msg("seed %d, round %u: line %u of\n%.*s", SEED, round, trace.line, (int)size,
                     text);
    }
    free(small);
}

/* ---- the programs ------------------------------------------------ */

static const char *scratch(void) {
    const char *folder = getenv("TRACE_SCRATCH");
    return folder != NULL ? folder : "build/traces";
}

static void store(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* Run a command; its output, both kinds, goes to `output`. Returns its status. */
static int run(char *output, size_t room, const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && (size_t)length < sizeof command);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = fread(output, 1, room - 1, pipe);
    output[size] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_check_program(void **state) {
    char path[256], output[4096];
    const char *check = getenv("TRACE_CHECK");
    (void)state;
    if (check == NULL)
        skip();
    snprintf(path, sizeof path, "%s/check.trace", scratch());
    assert_int_equal(run(output, sizeof output, "%s --help 2>&1", check), 0);
    assert_non_null(strstr(output, "usage: trace-check"));
    assert_int_equal(run(output, sizeof output, "%s 2>&1", check), 2);
    assert_int_equal(run(output, sizeof output, "%s %s/no-such-file 2>&1", check, scratch()), 2);

    store(path, every_op);
    assert_int_equal(run(output, sizeof output, "%s %s 2>&1", check, path), 0);
    assert_non_null(strstr(output, "events  12: map 1 replace 1 unmap 1 prot 2 drop 1 remap 2"));
    assert_non_null(strstr(output, "threads 3, at most 3 at once; spaces 3"));

    store(path, HEAD("1 1", "1 1", "2") "0 map 1 4 r\n0 map 4 1 r\n");
    assert_int_equal(run(output, sizeof output, "%s %s 2>&1", check, path), 1);
    assert_non_null(strstr(output, "check.trace:9: map covers a live page"));
    store(path, HEAD("1 1", "1 1", "1") "0 mop\n");
    assert_int_equal(run(output, sizeof output, "%s %s 2>&1", check, path), 1);
    assert_non_null(strstr(output, "check.trace:8: unknown op"));
}

/* What strace wrote, and the events it must become. Pages 0x7f0000000 and up lie in the first
 * region. */
struct conversion {
    const char *name, *log, *events;
};

#define EXECVE "10 execve(\"/bin/x\", [\"x\"], 0x7ffe /* 3 vars */) = 0\n"
#define MAP(pid, from, size)                                                                       \
    pid " mmap(NULL, " size ", PROT_READ|PROT_WRITE, MAP_PRIVATE, -1, 0) = " from "\n"

static const struct conversion conversions[] = {
    { "plain calls, failures left out",
      EXECVE MAP(
          "10", "0x7f0000000000",
          "8192") "10 mprotect(0x7f0000000000, 4096, PROT_NONE) = 0\n"
                  "10 mprotect(0x7f0000000000, 4096, PROT_READ) = -1 EACCES (Permission denied)\n"
                  "10 madvise(0x7f0000000000, 4096, MADV_DONTNEED) = 0\n"
                  "10 madvise(0x7f0000000000, 4096, MADV_HUGEPAGE) = 0\n"
                  "10 munmap(0x7f0000001000, 100)     = 0\n"
                  "10 +++ exited with 0 +++\n",
      "0 map 200 2 rw\n0 prot 200 1 -\n0 drop 200 1\n0 unmap 201 1\n0 exit\n" },
    { "a fixed mapping replaces what is live",
      EXECVE MAP("10", "0x7f0000000000",
                 "8192") "10 mmap(0x7f0000001000, 8192, PROT_READ|PROT_EXEC, "
                         "MAP_PRIVATE|MAP_FIXED, 3, 0) = 0x7f0000001000\n"
                         "10 mmap(0x7f0000008000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED, 3, 0) = "
                         "0x7f0000008000\n",
      "0 map 200 2 rw\n0 replace 201 2 rx\n0 map 208 1 r\n0 exit\n" },
    { "the heap grows and shrinks",
      EXECVE "10 brk(NULL) = 0x7f0000000800\n10 brk(0x7f0000003000) = 0x7f0000003000\n"
             "10 brk(0x7f0000009000) = 0x7f0000003000\n10 brk(0x7f0000001000) = 0x7f0000001000\n",
      "0 map 201 2 rw\n0 unmap 201 2\n0 exit\n" },
    { "mremap moves, grows, shrinks, empties",
      EXECVE MAP("10", "0x7f0000000000",
                 "8192") "10 mremap(0x7f0000000000, 8192, 12288, MREMAP_MAYMOVE) = 0x7f0000000000\n"
                         "10 mremap(0x7f0000000000, 12288, 4096, 0) = 0x7f0000000000\n"
                         "10 mremap(0x7f0000000000, 4096, 4096, MREMAP_MAYMOVE) = 0x7f0000000000\n"
                         "10 mremap(0x7f0000000000, 4096, 8192, MREMAP_MAYMOVE) = 0x7f0000010000\n"
                         "10 mremap(0x7f0000010000, 8192, 8192, MREMAP_MAYMOVE|MREMAP_DONTUNMAP) = "
                         "0x7f0000020000\n",
      "0 map 200 2 rw\n0 remap 200 2 200 3\n0 remap 200 3 200 1\n0 remap 200 1 210 2\n"
      "0 drop 210 2\n0 map 220 2 rw\n0 exit\n" },
    { "calls end in the order of completion",
      EXECVE "10 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_THREAD <unfinished ...>\n"
             "11 brk(NULL <unfinished ...>\n10 <... clone resumed>, parent_tid=[11]) = 11\n"
             "10 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0 <unfinished ...>\n"
             "11 <... brk resumed>) = 0x7f0000100000\n11 brk(0x7f0000101000) = 0x7f0000101000\n"
             "10 <... mmap resumed>) = 0x7f0000000000\n11 +++ exited with 0 +++\n",
      "0 start 1\n1 map 300 1 rw\n0 map 200 1 r\n1 exit\n0 exit\n" },
    { "pages reused before strace saw the munmap end",
      EXECVE
      "10 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} => {parent_tid=[11]}, 88) = 11\n" MAP(
          "10", "0x7f0000000000",
          "8192") "10 munmap(0x7f0000000000, 8192 <unfinished ...>\n" MAP("11", "0x7f0000001000",
                                                                          "4096") "10 <... munmap "
                                                                                  "resumed>) = 0\n",
      "0 start 1\n0 map 200 2 rw\n0 unmap 200 2\n1 map 201 1 rw\n0 exit\n1 exit\n" },
    { "fork copies, vfork shares, exec empties",
      EXECVE MAP("10", "0x7f0000000000",
                 "4096") "10 clone(child_stack=NULL, flags=SIGCHLD) = 11\n"
                         "10 vfork( <unfinished ...>\n12 execve(\"/bin/y\", [\"y\"], 0x1 /* 1 var "
                         "*/) = 0\n"
                         "10 <... vfork resumed>) = 12\n"
                         "11 mmap(0x7f0000000000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED, 3, 0) = "
                         "0x7f0000000000\n"
                         "12 mmap(0x7f0000000000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED, 3, 0) = "
                         "0x7f0000000000\n",
      "0 map 200 1 rw\n0 fork 1 1\n0 start 2\n2 exec 2\n1 replace 200 1 r\n2 map 200 1 r\n"
      "0 exit\n1 exit\n2 exit\n" },
    { "exec by a thread that does not lead",
      EXECVE MAP(
          "10", "0x7f0000000000",
          "4096") "10 clone(flags=CLONE_VM|CLONE_THREAD) = 11\n"
                  "11 execve(\"/bin/y\", [\"y\"], 0x1 /* 1 var */ <unfinished ...>\n"
                  "10 +++ superseded by execve in pid 11 +++\n10 <... execve resumed>) = 0\n" MAP(
                      "10", "0x7f0000000000", "4096"),
      "0 map 200 1 rw\n0 start 1\n0 exit\n1 exec 1\n1 map 200 1 rw\n1 exit\n" },
    { "distances go, neighbours stay",
      EXECVE MAP("10", "0x10000000000", "4096") MAP("10", "0x7f0000000000", "4096")
          MAP("10", "0x7f00001ff000", "8192") MAP("10", "0x7f0000400000", "4096"),
      "0 map 200 1 rw\n0 map 600 1 rw\n0 map 7ff 2 rw\n0 map a00 1 rw\n0 exit\n" },
};

static void test_conversion(void **state) {
    const struct conversion *conversion = *state;
    char log[256], path[256], output[4096];
    size_t size;
    uint32_t events;
    snprintf(log, sizeof log, "%s/test.log", scratch());
    snprintf(path, sizeof path, "%s/test.trace", scratch());
    store(log, conversion->log);
    if (run(output, sizeof output, "traces/record --from %s -o %s x 2>&1", log, path) != 0)
        fail_msg("%s", output);
    char *text = load(path, &size);
    assert_int_equal(read_all(text, size, &events), KTLB_TRACE_END);
    const char *body = strchr(strstr(text, "\nevents ") + 1, '\n') + 1;
    assert_string_equal(body, conversion->events);
    free(text);
}

static void test_recorder_refuses(void **state) {
    char log[256], output[4096];
    (void)state;
    snprintf(log, sizeof log, "%s/test.log", scratch());
    assert_int_equal(run(output, sizeof output, "traces/record --help 2>&1"), 0);
    assert_non_null(strstr(output, "usage: traces/record"));
    assert_int_equal(run(output, sizeof output, "traces/record 2>&1"), 2);
    store(log, "");
    assert_int_equal(run(output, sizeof output, "traces/record --from %s x 2>&1", log), 1);
    assert_non_null(strstr(output, "the trace is empty"));
    store(log, EXECVE "10 +++ exited with 0 +++\n");
    assert_int_equal(run(output, sizeof output, "traces/record --from %s x 2>&1", log), 1);
    assert_non_null(strstr(output, "the trace is empty"));
    store(log, "nonsense\n");
    assert_int_equal(run(output, sizeof output, "traces/record --from %s x 2>&1", log), 1);
    assert_non_null(strstr(output, "line 1: not a line of strace"));
}

/* ---- main ------------------------------------------------ */

static const struct CMUnitTest named[] = {
    cmocka_unit_test(test_every_error_has_a_case),
    cmocka_unit_test(test_every_op),
    cmocka_unit_test(test_space_ends_with_its_last_thread),
    cmocka_unit_test(test_remap_to_neighbours),
    cmocka_unit_test(test_names_out_of_range),
    cmocka_unit_test(test_our_traces),
    cmocka_unit_test(test_damage),
    cmocka_unit_test(test_check_program),
    cmocka_unit_test(test_recorder_refuses),
};

int main(void) {
    enum {
        NAMED = COUNT_OF(named),
        WRONGS = COUNT_OF(wrongs),
        CONVERSIONS = COUNT_OF(conversions)
    };
    static struct CMUnitTest tests[NAMED + WRONGS + CONVERSIONS];
    size_t count = 0;
    for (size_t i = 0; i < WRONGS; i++)
        tests[count++] = (struct CMUnitTest){ wrongs[i].name, test_wrong, NULL, NULL,
                                              (void *)(uintptr_t)&wrongs[i] };
    for (size_t i = 0; i < CONVERSIONS; i++)
        tests[count++] = (struct CMUnitTest){ conversions[i].name, test_conversion, NULL, NULL,
                                              (void *)(uintptr_t)&conversions[i] };
    for (size_t i = 0; i < NAMED; i++)
        tests[count++] = named[i];
    int failed = cmocka_run_group_tests_name("traces", tests, NULL, NULL);
    fflush(stderr);
    printf("%d passed, %d failed\n", (int)count - failed, failed);
    return failed != 0;
}
