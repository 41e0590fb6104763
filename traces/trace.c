/*
 * The trace reader; trace.h says what for.
 *
 * A line is found first, whole, and then read field by field through a cursor that keeps the first
 * error and yields zeros after it. So a line's reader states what it expects, straight down, and
 * asks once at the end whether it got it; nothing is applied to the trace's state before that.
 *
 * Invariant: a cursor never leaves its line, a line never leaves the text.
 */
#include "trace.h"

struct cursor {
    const char *at, *end;
    bool first; /* no space is owed before the next field */
    enum ktlb_trace_error error;
};

/* A shape names an op's fields: p page, n count, r rights, q and m the new page and count, t
   thread, s space. */
static const struct {
    const char *name, *shape;
} ops[KTLB_TRACE_OPS] = {
    /* clang-format off: one op a line */
    [KTLB_TRACE_MAP] = { "map", "pnr" },
    [KTLB_TRACE_REPLACE] = { "replace", "pnr" },
    [KTLB_TRACE_UNMAP] = { "unmap", "pn" },
    [KTLB_TRACE_PROT] = { "prot", "pnr" },
    [KTLB_TRACE_DROP] = { "drop", "pn" },
    [KTLB_TRACE_REMAP] = { "remap", "pnqm" },
    [KTLB_TRACE_START] = { "start", "t" },
    [KTLB_TRACE_FORK] = { "fork", "ts" },
    [KTLB_TRACE_EXEC] = { "exec", "s" },
    [KTLB_TRACE_EXIT] = { "exit", "" },
    /* clang-format on */
};

static const char *const error_texts[KTLB_TRACE_ERRORS] = {
    [KTLB_TRACE_FINE] = "nothing is wrong",
    [KTLB_TRACE_BAD_HEADER] = "a line of the header is missing, misplaced or unknown",
    [KTLB_TRACE_BAD_VERSION] = "this version of the format is not known here",
    [KTLB_TRACE_TOO_MANY] = "more threads or spaces than this reader was built for",
    [KTLB_TRACE_NO_NEWLINE] = "the text ends inside a line: cut off?",
    [KTLB_TRACE_FIELD_MISSING] = "a field is missing",
    [KTLB_TRACE_FIELD_EXTRA] = "more fields than the op has",
    [KTLB_TRACE_NOT_A_NUMBER] = "not a number (pages and counts are hexadecimal in lower case)",
    [KTLB_TRACE_NUMBER_RANGE] = "a number is out of range",
    [KTLB_TRACE_UNKNOWN_OP] = "unknown op",
    [KTLB_TRACE_BAD_RIGHTS] = "rights are r, w, x in this order, or -",
    [KTLB_TRACE_ZERO_COUNT] = "a range of no pages",
    [KTLB_TRACE_BEYOND_SPAN] = "the range ends beyond the span",
    [KTLB_TRACE_OVERLAP] = "old and new range of a remap overlap",
    [KTLB_TRACE_NEVER_STARTED] = "this thread never started",
    [KTLB_TRACE_AFTER_EXIT] = "this thread has exited",
    [KTLB_TRACE_THREAD_ORDER] = "threads must start in the order of their numbers",
    [KTLB_TRACE_SPACE_ORDER] = "spaces must appear in the order of their numbers",
    [KTLB_TRACE_EVENTS_DIFFER] = "the number of events is not the header's",
    [KTLB_TRACE_THREADS_DIFFER] = "the number of threads, in all or at once, is not the header's",
    [KTLB_TRACE_SPACES_DIFFER] = "the number of spaces, in all or at once, is not the header's",
};

const char *ktlb_trace_op_name(enum ktlb_trace_op op) {
    return (unsigned)op < KTLB_TRACE_OPS ? ops[op].name : "?";
}

const char *ktlb_trace_error_text(enum ktlb_trace_error error) {
    return (unsigned)error < KTLB_TRACE_ERRORS ? error_texts[error] : "?";
}

/* ---- fields ------------------------------------------------ */

static void cursor_fail(struct cursor *c, enum ktlb_trace_error error) {
    if (c->error == KTLB_TRACE_FINE)
        c->error = error;
    c->at = c->end;
}

/* Step over the one space between fields and make sure that a field follows. */
static bool field_begin(struct cursor *c) {
    if (!c->first && c->at < c->end && *c->at == ' ')
        c->at++;
    c->first = false;
    if (c->at == c->end || *c->at == ' ')
        cursor_fail(c, KTLB_TRACE_FIELD_MISSING);
    return c->error == KTLB_TRACE_FINE;
}

/* Take the next field if it is this word; otherwise leave the cursor where it was. */
static bool field_is(struct cursor *c, const char *word) {
    const char *at = c->at;
    while (at < c->end && *word != '\0' && *at == *word) {
        at++;
        word++;
    }
    if (*word != '\0' || (at < c->end && *at != ' '))
        return false;
    c->at = at;
    return true;
}

/* 16 and more is no digit. */
static unsigned digit_value(char digit) {
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0');
    if (digit >= 'a' && digit <= 'f')
        return (unsigned)(digit - 'a') + 10u;
    return 16u;
}

/* => max ≥ base. */
static uint64_t field_number(struct cursor *c, unsigned base, uint64_t max) {
    uint64_t value = 0;
    if (!field_begin(c))
        return 0;
    for (; c->at < c->end && *c->at != ' '; c->at++) {
        unsigned digit = digit_value(*c->at);
        if (digit >= base) {
            cursor_fail(c, KTLB_TRACE_NOT_A_NUMBER);
            return 0;
        }
        if (value > (max - digit) / base) { /* value * base + digit > max, without overflow */
            cursor_fail(c, KTLB_TRACE_NUMBER_RANGE);
            return 0;
        }
        value = value * base + digit;
    }
    return value;
}

static uint64_t field_count(struct cursor *c) {
    uint64_t count = field_number(c, 16, KTLB_TRACE_PAGES_MAX);
    if (count == 0)
        cursor_fail(c, KTLB_TRACE_ZERO_COUNT);
    return count;
}

static uint8_t field_rights(struct cursor *c) {
    static const char letters[] = "rwx"; /* in the order of the bits */
    unsigned rights = 0;
    if (!field_begin(c) || field_is(c, "-"))
        return 0;
    for (unsigned i = 0; i < 3 && c->at < c->end; i++) {
        if (*c->at == letters[i]) {
            rights |= 1u << i;
            c->at++;
        }
    }
    if (rights == 0 || (c->at < c->end && *c->at != ' '))
        cursor_fail(c, KTLB_TRACE_BAD_RIGHTS);
    return (uint8_t)rights;
}

static uint8_t field_op(struct cursor *c) {
    if (!field_begin(c))
        return KTLB_TRACE_OPS;
    for (unsigned op = 0; op < KTLB_TRACE_OPS; op++) {
        if (field_is(c, ops[op].name))
            return (uint8_t)op;
    }
    cursor_fail(c, KTLB_TRACE_UNKNOWN_OP);
    return KTLB_TRACE_OPS;
}

static void fields_end(struct cursor *c) {
    if (c->at != c->end)
        cursor_fail(c, KTLB_TRACE_FIELD_EXTRA);
}

/* ---- lines ------------------------------------------------ */

static bool trace_fail(struct ktlb_trace *trace, enum ktlb_trace_error error) {
    trace->error = error;
    if (trace->line == 0)
        trace->line = 1; /* an empty text is wrong in its first line */
    return false;
}

/* The next line that is no comment. False at the end of the text, and for an unfinished line. */
static bool line_next(struct ktlb_trace *trace, struct cursor *c) {
    while (trace->at < trace->size) {
        size_t begin = trace->at, end = begin;
        while (end < trace->size && trace->text[end] != '\n')
            end++;
        trace->line++;
        if (end == trace->size)
            return trace_fail(trace, KTLB_TRACE_NO_NEWLINE);
        trace->at = end + 1;
        if (trace->text[begin] != '#') {
            *c = (struct cursor){ .at = trace->text + begin,
                                  .end = trace->text + end,
                                  .first = true };
            return true;
        }
    }
    return false;
}

/* A header line begins with its name. */
static bool header_line(struct ktlb_trace *trace, struct cursor *c, const char *name) {
    if (trace->error != KTLB_TRACE_FINE)
        return false;
    if (!line_next(trace, c))
        return trace->error == KTLB_TRACE_FINE && trace_fail(trace, KTLB_TRACE_BAD_HEADER);
    c->first = false;
    return field_is(c, name) || trace_fail(trace, KTLB_TRACE_BAD_HEADER);
}

static bool header_line_end(struct ktlb_trace *trace, struct cursor *c) {
    fields_end(c);
    return c->error == KTLB_TRACE_FINE || trace_fail(trace, c->error);
}

static bool read_version(struct ktlb_trace *trace) {
    struct cursor c;
    if (!header_line(trace, &c, "ktlb-trace"))
        return false;
    uint64_t version = field_number(&c, 10, UINT32_MAX);
    if (c.error == KTLB_TRACE_FINE && version != KTLB_TRACE_VERSION)
        return trace_fail(trace, KTLB_TRACE_BAD_VERSION);
    return header_line_end(trace, &c);
}

static bool read_command(struct ktlb_trace *trace) {
    struct cursor c;
    if (!header_line(trace, &c, "command"))
        return false;
    if (!field_begin(&c))
        return trace_fail(trace, c.error);
    trace->header.command = c.at;
    trace->header.command_size = (size_t)(c.end - c.at);
    return true;
}

static bool read_number(struct ktlb_trace *trace, const char *name, unsigned base, uint64_t max,
                        uint64_t *value) {
    struct cursor c;
    if (!header_line(trace, &c, name))
        return false;
    *value = field_number(&c, base, max);
    return header_line_end(trace, &c);
}

/* A line "NAME IN_ALL AT_ONCE". */
static bool read_pair(struct ktlb_trace *trace, const char *name, uint32_t limit, uint32_t *in_all,
                      uint32_t *at_once) {
    struct cursor c;
    if (!header_line(trace, &c, name))
        return false;
    *in_all = (uint32_t)field_number(&c, 10, UINT32_MAX);
    *at_once = (uint32_t)field_number(&c, 10, UINT32_MAX);
    if (!header_line_end(trace, &c))
        return false;
    if (*at_once == 0 || *at_once > *in_all)
        return trace_fail(trace, KTLB_TRACE_NUMBER_RANGE);
    return *in_all <= limit || trace_fail(trace, KTLB_TRACE_TOO_MANY);
}

bool ktlb_trace_open(struct ktlb_trace *trace, const char *text, size_t size) {
    struct ktlb_trace_header *header = &trace->header;
    uint64_t page_size = 0, events = 0;

    *header = (struct ktlb_trace_header){ 0 };
    trace->error = KTLB_TRACE_FINE;
    trace->line = 0;
    trace->text = text;
    trace->size = size;
    trace->at = 0;
    trace->events = 0;
    trace->threads = trace->threads_live = trace->threads_live_max = 1;
    trace->spaces = trace->spaces_live = trace->spaces_live_max = 1;
    trace->thread_space[0] = 0;
    trace->space_users[0] = 1;

    if (!read_version(trace) || !read_command(trace) ||
        !read_number(trace, "page", 10, UINT32_C(1) << 30, &page_size))
        return false;
    if (page_size == 0 || (page_size & (page_size - 1)) != 0)
        return trace_fail(trace, KTLB_TRACE_NUMBER_RANGE);
    if (!read_number(trace, "span", 16, KTLB_TRACE_PAGES_MAX, &header->span) ||
        !read_pair(trace, "threads", KTLB_TRACE_THREADS_MAX, &header->threads,
                   &header->threads_live_max) ||
        !read_pair(trace, "spaces", KTLB_TRACE_SPACES_MAX, &header->spaces,
                   &header->spaces_live_max) ||
        !read_number(trace, "events", 10, UINT32_MAX, &events))
        return false;
    header->page_size = (uint32_t)page_size;
    header->events = (uint32_t)events;
    return true;
}

/* ---- events ------------------------------------------------ */

static void read_field(struct cursor *c, char kind, struct ktlb_trace_event *event) {
    switch (kind) {
    case 'p': event->page = field_number(c, 16, KTLB_TRACE_PAGES_MAX); break;
    case 'n': event->count = field_count(c); break;
    case 'q': event->new_page = field_number(c, 16, KTLB_TRACE_PAGES_MAX); break;
    case 'm': event->new_count = field_count(c); break;
    case 'r': event->rights = field_rights(c); break;
    case 't': event->other_thread = (uint16_t)field_number(c, 10, UINT16_MAX - 1); break;
    default: event->new_space = (uint16_t)field_number(c, 10, UINT16_MAX - 1); break;
    }
}

static enum ktlb_trace_error read_event(struct cursor *c, struct ktlb_trace_event *event) {
    event->thread = (uint16_t)field_number(c, 10, UINT16_MAX - 1);
    event->op = field_op(c);
    if (c->error != KTLB_TRACE_FINE)
        return c->error;
    for (const char *kind = ops[event->op].shape; *kind != '\0'; kind++)
        read_field(c, *kind, event);
    fields_end(c);
    return c->error;
}

static enum ktlb_trace_error check_ranges(uint64_t span, const struct ktlb_trace_event *event) {
    if (event->page > span || event->count > span - event->page)
        return KTLB_TRACE_BEYOND_SPAN;
    if (event->op != KTLB_TRACE_REMAP)
        return KTLB_TRACE_FINE;
    if (event->new_page > span || event->new_count > span - event->new_page)
        return KTLB_TRACE_BEYOND_SPAN;
    /* In place, old and new begin together. Anywhere else they must be apart. */
    if (event->page != event->new_page && event->page < event->new_page + event->new_count &&
        event->new_page < event->page + event->count)
        return KTLB_TRACE_OVERLAP;
    return KTLB_TRACE_FINE;
}

static void space_join(struct ktlb_trace *trace, uint16_t thread, uint16_t space) {
    trace->thread_space[thread] = space;
    if (space == trace->spaces) {
        trace->space_users[space] = 0;
        trace->spaces++;
        if (++trace->spaces_live > trace->spaces_live_max)
            trace->spaces_live_max = trace->spaces_live;
    }
    trace->space_users[space]++;
}

static bool space_leave(struct ktlb_trace *trace, uint16_t space) {
    if (--trace->space_users[space] != 0)
        return false;
    trace->spaces_live--;
    return true;
}

/* Is the number the next one, and within what the header announced? */
static bool is_next(uint32_t number, uint32_t so_far, uint32_t in_all) {
    return number == so_far && number < in_all;
}

static enum ktlb_trace_error apply_start(struct ktlb_trace *trace,
                                         const struct ktlb_trace_event *event) {
    bool fork = event->op == KTLB_TRACE_FORK;
    if (!is_next(event->other_thread, trace->threads, trace->header.threads))
        return KTLB_TRACE_THREAD_ORDER;
    if (fork && !is_next(event->new_space, trace->spaces, trace->header.spaces))
        return KTLB_TRACE_SPACE_ORDER;
    trace->threads++;
    if (++trace->threads_live > trace->threads_live_max)
        trace->threads_live_max = trace->threads_live;
    space_join(trace, event->other_thread, fork ? event->new_space : event->space);
    return KTLB_TRACE_FINE;
}

static enum ktlb_trace_error apply_leave(struct ktlb_trace *trace, struct ktlb_trace_event *event) {
    if (event->op == KTLB_TRACE_EXEC) {
        if (!is_next(event->new_space, trace->spaces, trace->header.spaces))
            return KTLB_TRACE_SPACE_ORDER;
        space_join(trace, event->thread, event->new_space);
    } else {
        trace->thread_space[event->thread] = KTLB_TRACE_NONE;
        trace->threads_live--;
    }
    event->space_ended = space_leave(trace, event->space);
    return KTLB_TRACE_FINE;
}

/* Check the event against what has happened so far, then let it happen. */
static enum ktlb_trace_error apply_event(struct ktlb_trace *trace, struct ktlb_trace_event *event) {
    if (event->thread >= trace->threads)
        return KTLB_TRACE_NEVER_STARTED;
    event->space = trace->thread_space[event->thread];
    if (event->space == KTLB_TRACE_NONE)
        return KTLB_TRACE_AFTER_EXIT;
    if (trace->events == trace->header.events)
        return KTLB_TRACE_EVENTS_DIFFER;
    trace->events++;
    if (event->op <= KTLB_TRACE_REMAP)
        return check_ranges(trace->header.span, event);
    if (event->op <= KTLB_TRACE_FORK)
        return apply_start(trace, event);
    return apply_leave(trace, event);
}

static enum ktlb_trace_error check_totals(const struct ktlb_trace *trace) {
    const struct ktlb_trace_header *header = &trace->header;
    if (trace->events != header->events)
        return KTLB_TRACE_EVENTS_DIFFER;
    if (trace->threads != header->threads || trace->threads_live_max != header->threads_live_max)
        return KTLB_TRACE_THREADS_DIFFER;
    if (trace->spaces != header->spaces || trace->spaces_live_max != header->spaces_live_max)
        return KTLB_TRACE_SPACES_DIFFER;
    return KTLB_TRACE_FINE;
}

enum ktlb_trace_step ktlb_trace_next(struct ktlb_trace *trace, struct ktlb_trace_event *event) {
    struct cursor c;
    enum ktlb_trace_error error;

    if (trace->error != KTLB_TRACE_FINE)
        return KTLB_TRACE_ERROR;
    *event =
        (struct ktlb_trace_event){ .other_thread = KTLB_TRACE_NONE, .new_space = KTLB_TRACE_NONE };
    if (line_next(trace, &c)) {
        event->line = trace->line;
        error = read_event(&c, event);
        if (error == KTLB_TRACE_FINE)
            error = apply_event(trace, event);
        if (error == KTLB_TRACE_FINE)
            return KTLB_TRACE_EVENT;
    } else if (trace->error == KTLB_TRACE_FINE) {
        error = check_totals(trace);
        if (error == KTLB_TRACE_FINE)
            return KTLB_TRACE_END;
    } else {
        return KTLB_TRACE_ERROR;
    }
    trace_fail(trace, error);
    return KTLB_TRACE_ERROR;
}
