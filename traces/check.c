/*
 * trace-check: validates traces and says what is in them.
 *
 * The reader (trace.c) checks what a line can say; this program follows the pages as well, as a
 * replayer would, and so checks what the format promises about them: that `map` never covers a live
 * page. It also measures how much a replayer must be able to hold.
 *
 * Invariant: an area list is sorted, its areas are disjoint and not empty, and none is ABSENT.
 */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ABSENT = 0xff }; /* beside rights, 0 to 7 */

struct area {
    uint64_t first, end;
    uint8_t rights;
};

struct areas {
    struct area *item;
    size_t count, room;
};

struct summary {
    uint64_t per_op[KTLB_TRACE_OPS];
    uint64_t named;                  /* distinct pages of spaces that an event named */
    uint64_t live, live_max;         /* pages with some right, all spaces together */
    uint64_t reserved, reserved_max; /* pages mapped with none */
    size_t areas_max;                /* in one space */
};

static struct ktlb_trace trace; /* static: too big for a careful stack */
static struct areas live[KTLB_TRACE_SPACES_MAX], named[KTLB_TRACE_SPACES_MAX];

static void *grown(void *block, size_t size) {
    block = realloc(block, size);
    if (block == NULL) {
        fputs("trace-check: out of memory\n", stderr);
        exit(2);
    }
    return block;
}

/* ---- areas ------------------------------------------------ */

/* The first area that ends after page. */
static size_t areas_find(const struct areas *areas, uint64_t page) {
    size_t low = 0, high = areas->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (areas->item[middle].end > page)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static uint8_t areas_rights(const struct areas *areas, uint64_t page) {
    size_t at = areas_find(areas, page);
    return at < areas->count && areas->item[at].first <= page ? areas->item[at].rights : ABSENT;
}

static bool areas_overlap(const struct areas *areas, uint64_t first, uint64_t end) {
    size_t at = areas_find(areas, first);
    return at < areas->count && areas->item[at].first < end;
}

static void areas_splice(struct areas *areas, size_t at, size_t old, const struct area *fresh,
                         size_t count) {
    size_t total = areas->count - old + count;
    if (total > areas->room) {
        areas->room = total * 2;
        areas->item = grown(areas->item, areas->room * sizeof *areas->item);
    }
    if (areas->count > at + old) /* an empty list may have no memory at all to move */
        memmove(areas->item + at + count, areas->item + at + old,
                (areas->count - at - old) * sizeof *areas->item);
    if (count != 0)
        memcpy(areas->item + at, fresh, count * sizeof *fresh);
    areas->count = total;
}

static void tally(struct summary *summary, uint8_t rights, uint64_t count, bool more) {
    uint64_t *number = rights != 0 ? &summary->live : &summary->reserved;
    *number = more ? *number + count : *number - count;
}

/* Give [first, end) these rights, whatever it was; ABSENT removes it. Without a summary nothing is
 * counted. */
static void areas_set(struct areas *areas, uint64_t first, uint64_t end, uint8_t rights,
                      struct summary *summary) {
    struct area fresh[3];
    size_t count = 0, at = areas_find(areas, first), past = at;
    struct area after = { 0, 0, ABSENT };

    for (; past < areas->count && areas->item[past].first < end; past++) {
        struct area old = areas->item[past];
        uint64_t from = old.first > first ? old.first : first, to = old.end < end ? old.end : end;
        if (summary != NULL)
            tally(summary, old.rights, to - from, false);
        if (old.first < first)
            fresh[count++] = (struct area){ old.first, first, old.rights };
        if (old.end > end)
            after = (struct area){ end, old.end, old.rights };
    }
    if (rights != ABSENT) {
        fresh[count++] = (struct area){ first, end, rights };
        if (summary != NULL)
            tally(summary, rights, end - first, true);
    }
    if (after.rights != ABSENT)
        fresh[count++] = after;
    areas_splice(areas, at, past - at, fresh, count);
}

static void areas_copy(struct areas *to, const struct areas *from, struct summary *summary) {
    for (size_t i = 0; i < from->count; i++)
        areas_set(to, from->item[i].first, from->item[i].end, from->item[i].rights, summary);
}

static void areas_end(struct areas *areas, struct summary *summary) {
    for (size_t i = 0; i < areas->count; i++)
        tally(summary, areas->item[i].rights, areas->item[i].end - areas->item[i].first, false);
    free(areas->item);
    *areas = (struct areas){ 0 };
}

/* ---- following ------------------------------------------------ */

static void name_pages(const struct ktlb_trace_event *event) {
    struct areas *pages = &named[event->space];
    areas_set(pages, event->page, event->page + event->count, 0, NULL);
    if (event->op == KTLB_TRACE_REMAP)
        areas_set(pages, event->new_page, event->new_page + event->new_count, 0, NULL);
}

/* A moved page keeps its rights; one that was never known is taken for readable and writable. */
static void follow_remap(struct areas *pages, const struct ktlb_trace_event *event,
                         struct summary *summary) {
    uint8_t rights = areas_rights(pages, event->page);
    if (rights == ABSENT)
        rights = KTLB_TRACE_READ | KTLB_TRACE_WRITE;
    areas_set(pages, event->page, event->page + event->count, ABSENT, summary);
    areas_set(pages, event->new_page, event->new_page + event->new_count, rights, summary);
}

/* False if the event breaks a promise of the format. */
static bool follow(const struct ktlb_trace_event *event, struct summary *summary) {
    struct areas *pages = &live[event->space];
    uint64_t first = event->page, end = event->page + event->count;

    summary->per_op[event->op]++;
    if (event->op <= KTLB_TRACE_REMAP)
        name_pages(event);
    switch (event->op) {
    case KTLB_TRACE_MAP:
        if (areas_overlap(pages, first, end))
            return false;
        areas_set(pages, first, end, event->rights, summary);
        break;
    case KTLB_TRACE_REPLACE:
    case KTLB_TRACE_PROT: areas_set(pages, first, end, event->rights, summary); break;
    case KTLB_TRACE_UNMAP: areas_set(pages, first, end, ABSENT, summary); break;
    case KTLB_TRACE_REMAP: follow_remap(pages, event, summary); break;
    case KTLB_TRACE_FORK: areas_copy(&live[event->new_space], pages, summary); break;
    default: break;
    }
    if (pages->count > summary->areas_max)
        summary->areas_max = pages->count;
    if (event->space_ended)
        areas_end(pages, summary);
    if (summary->live > summary->live_max)
        summary->live_max = summary->live;
    if (summary->reserved > summary->reserved_max)
        summary->reserved_max = summary->reserved;
    return true;
}

static void forget_all(struct summary *summary) {
    for (size_t space = 0; space < KTLB_TRACE_SPACES_MAX; space++) {
        for (size_t i = 0; i < named[space].count; i++)
            summary->named += named[space].item[i].end - named[space].item[i].first;
        free(named[space].item);
        free(live[space].item);
        named[space] = live[space] = (struct areas){ 0 };
    }
}

/* ---- reports ------------------------------------------------ */

static void print_summary(const char *path, const struct summary *summary) {
    const struct ktlb_trace_header *header = &trace.header;
    printf("%s: %.*s\n", path, (int)header->command_size, header->command);
    printf("  events  %" PRIu32 ":", header->events);
    for (unsigned op = 0; op < KTLB_TRACE_OPS; op++) {
        if (summary->per_op[op] != 0)
            printf(" %s %" PRIu64, ktlb_trace_op_name((enum ktlb_trace_op)op), summary->per_op[op]);
    }
    printf("\n  threads %" PRIu32 ", at most %" PRIu32 " at once; spaces %" PRIu32
           ", at most %" PRIu32 " at once\n",
           header->threads, header->threads_live_max, header->spaces, header->spaces_live_max);
    printf("  pages   of %" PRIu32 " bytes, span %" PRIu64 "; named %" PRIu64 "; at most %" PRIu64
           " live with a right, %" PRIu64 " without; at most %zu areas in a space\n",
           header->page_size, header->span, summary->named, summary->live_max,
           summary->reserved_max, summary->areas_max);
}

static char *read_file(const char *path, size_t *size) {
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return NULL;
    }
    for (*size = 0; !feof(file) && !ferror(file);) {
        if (*size == room)
            text = grown(text, room = room * 2 + 65536);
        *size += fread(text + *size, 1, room - *size, file);
    }
    if (ferror(file)) {
        perror(path);
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static bool check_text(const char *path, const char *text, size_t size, struct summary *summary) {
    struct ktlb_trace_event event;
    enum ktlb_trace_step step = KTLB_TRACE_ERROR;
    bool kept = true;
    if (ktlb_trace_open(&trace, text, size)) {
        while (kept && (step = ktlb_trace_next(&trace, &event)) == KTLB_TRACE_EVENT)
            kept = follow(&event, summary);
    }
    forget_all(summary);
    if (!kept)
        fprintf(stderr, "%s:%" PRIu32 ": map covers a live page (replace would say so)\n", path,
                event.line);
    else if (step != KTLB_TRACE_END)
        fprintf(stderr, "%s:%" PRIu32 ": %s\n", path, trace.line,
                ktlb_trace_error_text(trace.error));
    return kept && step == KTLB_TRACE_END;
}

static int check_file(const char *path, bool quiet) {
    struct summary summary = { 0 };
    size_t size = 0;
    char *text = read_file(path, &size);
    if (text == NULL)
        return 2;
    bool good = check_text(path, text, size, &summary);
    if (good && !quiet)
        print_summary(path, &summary);
    free(text);
    return good ? 0 : 1;
}

static const char usage[] =
    "usage: trace-check [--quiet] FILE...\n"
    "Validates memory-management traces (traces/FORMAT.md) and prints what is in them.\n"
    "Status: 0 all are good, 1 one is not (FILE:LINE: reason), 2 wrong usage or no such file.\n";

int main(int count, char **arguments) {
    bool quiet = false;
    int status = 0, at = 1;
    if (at < count && (strcmp(arguments[at], "--help") == 0 || strcmp(arguments[at], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (at < count && strcmp(arguments[at], "--quiet") == 0) {
        quiet = true;
        at++;
    }
    if (at == count || arguments[at][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    for (; at < count; at++) {
        int one = check_file(arguments[at], quiet);
        status = one > status ? one : status;
    }
    return status;
}
