/*
 * event.h - what happened lately: a trace hook in the library, and a ring of events per CPU behind it.
 *
 * KTLB_EVENTS in config.h is the length of the ring; 0, and no code is left of any of this. A host with a tracer of its own
 * defines KTLB_EVENT_HOOK(event) instead, an expression or a call: it gets a const struct ktlb_event *, in any
 * context the library is called from, sections and NMI included, and calls nothing of the library.
 *
 * What belongs together is told by space and generation: they name a batch, on the initiator and on its targets.
 */
#ifndef KTLB_EVENT_H
#define KTLB_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Name, what a dump calls it, what it means: first in the life of a shootdown, then of a CPU. Set: the argument is a set
 * of CPUs, bit 0 being CPU first; more than 64 take more than one event. */
#define KTLB_EVENTS_EACH(X)                                                                        \
    X(DISPATCH, "dispatch", "an initiator begins; argument: strides to invalidate, KTLB_ALL for the space") \
    X(POST, "post", "its targets; a set")                                                          \
    X(KICK, "kick", "who of them is interrupted; a set")                                           \
    X(IPI, "ipi", "ktlb_ipi() is called; argument: 1 if it leaves the work to the section it met") \
    X(EXECUTE, "execute", "a request begins to be executed here, the initiator's own too; argument: strides") \
    X(WIDENED, "widened", "the same for requests that lost their details; argument: 1 for the kernel's half") \
    X(ACK, "ack", "what was posted here, up to now, is answered")                                  \
    X(WAIT, "wait", "a sync begins to wait; a set, of those that have not answered")               \
    X(STALL, "stall", "and has waited long; a set likewise")                                       \
    X(SYNC, "sync", "a sync returns; argument: cycles waited")                                     \
    X(SWITCH, "switch", "a space is about to be loaded; argument: 1 with a flush")                 \
    X(SWITCHED, "switched", "it is loaded, and the one before left")                               \
    X(LAZY, "lazy", "the CPU goes lazy in its space")                                              \
    X(ACTIVE, "active", "and is back")                                                             \
    X(ONLINE, "online", "the CPU is online, and about to drop everything")                                                       \
    X(OFFLINE, "offline", "the CPU is offline")

enum ktlb_event_what {
#define X(name, dump, text) KTLB_EVENT_##name,
    KTLB_EVENTS_EACH(X)
#undef X
};

struct ktlb_event {
    uint64_t cycles;     /* the arch's counter on that CPU */
    uint64_t space_id;   /* 1: the kernel's half; 0: no space in particular */
    uint64_t generation; /* 0: no batch in particular */
    uint64_t argument;
    uint32_t cpu;
    uint16_t what;  /* enum ktlb_event_what */
    uint16_t first; /* see above */
};

/* What a dump calls it. */
const char *ktlb_event_name(unsigned what);

/* How many events @cpu has recorded since ktlb_init(). The ring holds the last KTLB_EVENTS of them. Any context. */
uint64_t ktlb_event_count(unsigned cpu);

/*
 * Copy event @number of @cpu, from 0 on; false: it is not in the ring any more, or not yet, or was lost when interrupts
 * filled the ring around one that was being written. Whole or not at all, while the CPU goes on. Any context.
 */
bool ktlb_event_read(unsigned cpu, uint64_t number, struct ktlb_event *event);

#ifdef __cplusplus
}
#endif

#endif
