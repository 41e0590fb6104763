/*
 * event.c - the ring of recent events of each CPU.
 *
 * Written by its CPU alone, but from any context, so an interrupt or an NMI may record in the middle of a record: each
 * takes a place of its own first. Invariant: an entry whose number reads the same before and after its words were read
 * has not changed between. Who finds an entry claimed has come all the way around to one that it interrupted, and gives
 * up its event; so no entry is ever written by two at a time.
 */
#include "internal.h"

const char *ktlb_event_name(unsigned what)
{
    static const char *const names[] = {
#define X(name, dump, text) dump,
        KTLB_EVENTS_EACH(X)
#undef X
    };

    return what < sizeof(names) / sizeof(names[0]) ? names[what] : "?";
}

#if KTLB_EVENTS

#define CLAIMED UINT64_MAX

struct entry {
    struct ktlb_u64 number; /* one more than the event's, 0: none yet; CLAIMED while the rest is being written */
    struct ktlb_u64 cycles, space_id, generation, argument;
    struct ktlb_u64 kind; /* what and first */
};

struct ring {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 count;
    struct entry entry[KTLB_EVENTS];
};

static struct ring *rings;

size_t ktlb_event_memory_size(unsigned cpus)
{
    return cpus * sizeof(struct ring);
}

void ktlb_event_init(void *memory, unsigned cpus)
{
    rings = (struct ring *)memory;
    for (unsigned i = 0; i < cpus; i++) {
        ktlb_store_relaxed(&rings[i].count, 0);
        for (unsigned j = 0; j < KTLB_EVENTS; j++)
            ktlb_store_relaxed(&rings[i].entry[j].number, 0);
    }
}

void ktlb_event_record(const struct ktlb_event *event)
{
    struct ring *ring = &rings[event->cpu];
    uint64_t number = ktlb_rmw_add_relaxed(&ring->count, 1); /* one instruction: what interrupts us takes the next */
    struct entry *entry = &ring->entry[number % KTLB_EVENTS];

    if (ktlb_load_relaxed(&entry->number) == CLAIMED)
        return;
    ktlb_store_relaxed(&entry->number, CLAIMED);
    /* Release, pairs with the acquire in read: who reads one of these words sees the entry claimed, or newer. */
    ktlb_store_release(&entry->cycles, event->cycles);
    ktlb_store_release(&entry->space_id, event->space_id);
    ktlb_store_release(&entry->generation, event->generation);
    ktlb_store_release(&entry->argument, event->argument);
    ktlb_store_release(&entry->kind, (uint64_t)event->first << 16 | event->what);
    ktlb_store_release(&entry->number, number + 1); /* pairs with the first acquire in read: the words are there */
}

uint64_t ktlb_event_count(unsigned cpu)
{
    KTLB_ASSERT(cpu < ktlb_machine.cpus, "a CPU's number is below ktlb_config.cpus");
    return ktlb_load_relaxed(&rings[cpu].count);
}

bool ktlb_event_read(unsigned cpu, uint64_t number, struct ktlb_event *event)
{
    const struct entry *entry;
    uint64_t kind;

    KTLB_ASSERT(cpu < ktlb_machine.cpus, "a CPU's number is below ktlb_config.cpus");
    entry = &rings[cpu].entry[number % KTLB_EVENTS];
    if (ktlb_load_acquire(&entry->number) != number + 1)
        return false;
    event->cycles = ktlb_load_acquire(&entry->cycles);
    event->space_id = ktlb_load_acquire(&entry->space_id);
    event->generation = ktlb_load_acquire(&entry->generation);
    event->argument = ktlb_load_acquire(&entry->argument);
    kind = ktlb_load_acquire(&entry->kind);
    event->cpu = cpu;
    event->what = (uint16_t)kind;
    event->first = (uint16_t)(kind >> 16);
    return ktlb_load_relaxed(&entry->number) == number + 1;
}

#else

size_t ktlb_event_memory_size(unsigned cpus)
{
    (void)cpus;
    return 0;
}

void ktlb_event_init(void *memory, unsigned cpus)
{
    (void)memory, (void)cpus;
}

uint64_t ktlb_event_count(unsigned cpu)
{
    (void)cpu;
    return 0;
}

bool ktlb_event_read(unsigned cpu, uint64_t number, struct ktlb_event *event)
{
    (void)cpu, (void)number, (void)event;
    return false;
}

#endif
