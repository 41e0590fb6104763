/*
 * events.c - the library's recent events, printed: one line each, merged by time, for people and for programs.
 *
 * A line is: event CYCLES CPU WHAT SPACE GENERATION ARGUMENT [WORDS]. Cycles count from the first one printed; what is
 * as in ktlb/event.h; the argument is hexadecimal; words say the same for people. The CPUs' clocks are taken to agree.
 */
#include "kernel.h"

static const uint64_t ring = KTLB_EVENTS;

static struct cursor {
    uint64_t next, end;
    struct ktlb_event event; /* the one before @next */
    bool there;
} cursors[KTLB_CPUS_MAX];

/* To the next event that is still there. */
static void advance(unsigned cpu)
{
    struct cursor *cursor = &cursors[cpu];

    cursor->there = false;
    while (!cursor->there && cursor->next < cursor->end)
        cursor->there = ktlb_event_read(cpu, cursor->next++, &cursor->event);
}

/* The CPU whose next event is the oldest; cpus_count: there are none left. */
static unsigned oldest(void)
{
    unsigned found = cpus_count;

    for (unsigned i = 0; i < cpus_count; i++)
        if (cursors[i].there && (found == cpus_count || cursors[i].event.cycles < cursors[found].event.cycles))
            found = i;
    return found;
}

static void words(const struct ktlb_event *event, char *text, size_t size)
{
    struct ktlb_cpuset set = {{0}};

    text[0] = '\0';
    switch (event->what) {
    case KTLB_EVENT_POST:
    case KTLB_EVENT_KICK:
    case KTLB_EVENT_WAIT:
    case KTLB_EVENT_STALL:
        set.word[event->first / 64] = event->argument;
        cpus_text(&set, text, size);
        break;
    default:
        break;
    }
}

static void print(uint64_t last)
{
    unsigned cpu;
    uint64_t began;

    for (cpu = 0; cpu < cpus_count; cpu++) {
        uint64_t count = ktlb_event_count(cpu), most = last < ring ? last : ring;

        cursors[cpu].end = count;
        cursors[cpu].next = count > most ? count - most : 0;
        advance(cpu);
    }
    cpu = oldest();
    if (cpu == cpus_count)
        return;
    began = cursors[cpu].event.cycles;
    console_print("# events: the last %lu of each CPU; %lu cycles are 1 ms\n", last < ring ? last : ring,
                  arch_clock_per_ms());
    console_print("#         cycles cpu what     space generation argument\n");
    for (; cpu < cpus_count; cpu = oldest()) {
        const struct ktlb_event *event = &cursors[cpu].event;
        char text[128];

        words(event, text, sizeof(text));
        console_print("event %10lu %3u %-8s %5lu %10lu %8lx%s%s\n", event->cycles - began, cpu,
                      ktlb_event_name(event->what), event->space_id, event->generation, event->argument,
                      *text ? " cpus " : "", text);
        advance(cpu);
    }
}

void events_print(uint64_t last, bool alone)
{
    static struct ktlb_u32 printing;

    if (ktlb_rmw_exchange_acquire_u32(&printing, 1) && !alone)
        return;
    print(last);
    ktlb_store_release_u32(&printing, 0);
}
