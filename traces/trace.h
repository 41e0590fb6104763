/*
 * Reads a memory-management trace (FORMAT.md) out of a buffer, one event at a time.
 *
 * It exists so that a bare-metal kernel and a program on a desk replay the very same file:
 * freestanding C11, no allocation, no libc, linear in the size of the text. Everything an event
 * says has been checked before it is handed out; a replayer needs no check of its own. What is
 * *not* known here is which pages are mapped: keeping track of that is what a replayer is for.
 *
 * Invariant: the buffer is only read, and never beyond its size; it needs no terminating zero.
 */
#ifndef KTLB_TRACES_TRACE_H
#define KTLB_TRACES_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KTLB_TRACE_VERSION 1u

/* A reader remembers two bytes for each. The largest trace of ours has a tenth of it. */
#ifndef KTLB_TRACE_THREADS_MAX
#define KTLB_TRACE_THREADS_MAX 1024u
#endif
#ifndef KTLB_TRACE_SPACES_MAX
#define KTLB_TRACE_SPACES_MAX 1024u
#endif
#if KTLB_TRACE_THREADS_MAX < 1 || KTLB_TRACE_THREADS_MAX > 65534 || KTLB_TRACE_SPACES_MAX < 1 ||   \
    KTLB_TRACE_SPACES_MAX > 65534
#error "a number of a thread or a space, and the mark for none, must fit 16 bits"
#endif

#define KTLB_TRACE_PAGES_MAX (UINT64_C(1) << 52) /* pages of 4 KiB in 64 bits of address */
#define KTLB_TRACE_NONE UINT16_MAX               /* no thread, no space */

enum ktlb_trace_op {
    KTLB_TRACE_MAP,     /* pages appear where none were live, with rights */
    KTLB_TRACE_REPLACE, /* pages appear over others, which are gone */
    KTLB_TRACE_UNMAP,   /* pages disappear; some may never have been known */
    KTLB_TRACE_PROT,    /* rights change; a page never heard of exists from here on */
    KTLB_TRACE_DROP,    /* frames go, mappings and rights stay */
    KTLB_TRACE_REMAP,   /* pages move, grow or shrink: from page/count to new_page/new_count */
    KTLB_TRACE_START,   /* other_thread starts in this space */
    KTLB_TRACE_FORK,    /* other_thread starts in new_space, a copy of this one */
    KTLB_TRACE_EXEC,    /* this thread leaves its space for new_space, which is empty */
    KTLB_TRACE_EXIT,    /* this thread ends */
    KTLB_TRACE_OPS
};

enum { KTLB_TRACE_READ = 1, KTLB_TRACE_WRITE = 2, KTLB_TRACE_EXECUTE = 4 };

struct ktlb_trace_event {
    uint64_t page, count;         /* MAP to REMAP: count ≥ 1, page + count ≤ span */
    uint64_t new_page, new_count; /* REMAP */
    uint32_t line;                /* where it stands, from 1 */
    uint8_t op;                   /* enum ktlb_trace_op */
    uint8_t rights;               /* MAP, REPLACE, PROT */
    bool space_ended;             /* EXEC, EXIT: nobody is left in `space` */
    uint16_t thread, space;       /* who did it, and where it was when it did */
    uint16_t other_thread;        /* START, FORK; else KTLB_TRACE_NONE */
    uint16_t new_space;           /* FORK, EXEC; else KTLB_TRACE_NONE */
};

struct ktlb_trace_header {
    const char *command; /* not terminated */
    size_t command_size;
    uint64_t span; /* every page number is smaller */
    uint32_t page_size;
    uint32_t threads, threads_live_max; /* in all, and at once */
    uint32_t spaces, spaces_live_max;   /* an exec holds both of its spaces for a moment */
    uint32_t events;
};

enum ktlb_trace_error {
    KTLB_TRACE_FINE,
    KTLB_TRACE_BAD_HEADER,  /* a header line is missing, misplaced or unknown */
    KTLB_TRACE_BAD_VERSION, /* a later format */
    KTLB_TRACE_TOO_MANY,    /* more threads or spaces than this reader was built for */
    KTLB_TRACE_NO_NEWLINE,  /* the text ends inside a line */
    KTLB_TRACE_FIELD_MISSING,
    KTLB_TRACE_FIELD_EXTRA,
    KTLB_TRACE_NOT_A_NUMBER,
    KTLB_TRACE_NUMBER_RANGE, /* does not fit what it counts */
    KTLB_TRACE_UNKNOWN_OP,
    KTLB_TRACE_BAD_RIGHTS,
    KTLB_TRACE_ZERO_COUNT,
    KTLB_TRACE_BEYOND_SPAN, /* page + count passes the header's span */
    KTLB_TRACE_OVERLAP,     /* a remap onto the pages it moves */
    KTLB_TRACE_NEVER_STARTED,
    KTLB_TRACE_AFTER_EXIT,
    KTLB_TRACE_THREAD_ORDER,  /* threads are numbered as they start */
    KTLB_TRACE_SPACE_ORDER,   /* so are spaces */
    KTLB_TRACE_EVENTS_DIFFER, /* from the number in the header, as below */
    KTLB_TRACE_THREADS_DIFFER,
    KTLB_TRACE_SPACES_DIFFER,
    KTLB_TRACE_ERRORS
};

enum ktlb_trace_step { KTLB_TRACE_EVENT, KTLB_TRACE_END, KTLB_TRACE_ERROR };

/* About 4 KiB: not for a small stack. `header`, `error` and `line` may be read, the rest is the
 * reader's. */
struct ktlb_trace {
    struct ktlb_trace_header header;
    enum ktlb_trace_error error;
    uint32_t line; /* the last one read, from 1; with an error, the one at fault */

    const char *text;
    size_t size, at;
    uint32_t events;
    uint32_t threads, threads_live, threads_live_max;
    uint32_t spaces, spaces_live, spaces_live_max;
    uint16_t thread_space[KTLB_TRACE_THREADS_MAX]; /* KTLB_TRACE_NONE once it has exited */
    uint16_t space_users[KTLB_TRACE_SPACES_MAX];
};

/*
 * Read the header. The text must stay where it is while the trace is read. Thread 0 is alive then,
 * in space 0, which is empty.
 * => False: `error` and `line` say why, and every next() says KTLB_TRACE_ERROR.
 */
bool ktlb_trace_open(struct ktlb_trace *trace, const char *text, size_t size);

/*
 * Read one event.
 * => After END or ERROR: the same again, as often as asked.
 * => END is said only if the header's numbers were right.
 */
enum ktlb_trace_step ktlb_trace_next(struct ktlb_trace *trace, struct ktlb_trace_event *event);

/* Words for people; never NULL. */
const char *ktlb_trace_op_name(enum ktlb_trace_op op);
const char *ktlb_trace_error_text(enum ktlb_trace_error error);

#endif
