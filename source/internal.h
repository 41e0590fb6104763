/*
 * internal.h - what the parts of the library know of each other.
 *
 * The invariant that everything here serves: what a CPU remembers of a space (a slot) never claims more than this CPU
 * has really invalidated. A slot may claim less; that costs a flush, never a stale entry.
 */
#ifndef KTLB_INTERNAL_H
#define KTLB_INTERNAL_H

#include "ktlb/ktlb.h"
#include "ktlb/arch/arch.h"
#include "protocol/protocol.h"

#if KTLB_ASSERTIONS
#define KTLB_ASSERT(condition, rule)                                                               \
    do {                                                                                           \
        if (KTLB_UNLIKELY(!(condition)))                                                           \
            KTLB_PANIC("ktlb: " rule);                                                             \
    } while (0)
#else
#define KTLB_ASSERT(condition, rule) ((void)(0 && (condition)))
#endif

/*
 * What a CPU knows of the entries it holds for one space: every dispatch up to generation @clean is executed here,
 * and of the 64 after it those whose bit is set in @beyond (bit 0: clean + 1). Requests arrive in any order when
 * initiators run side by side; the bits keep each of them exact.
 */
struct ktlb_slot {
    uint64_t space_id; /* 0: the slot is free */
    uint64_t clean;
    uint64_t beyond;
};

struct ktlb_counters {
#define X(name, text) struct ktlb_u64 name;
    KTLB_STATS_EACH(X)
#undef X
};

/* ktlb_kernel.id. */
#define KTLB_KERNEL_ID 1

/* A CPU's own state. Others read @online and the counters; nobody else writes anything here. */
struct ktlb_cpu {
    /* Read by initiators that wait: whether this CPU still answers. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 online;

    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_space *loaded; /* its root is in the register */
    struct ktlb_space *next;                                 /* between switch_begin and _end, else NULL */
    struct ktlb_slot *slot;      /* of @loaded; nobody's: by the kernel's own root, and while there is a @next */
    struct ktlb_slot *next_slot; /* of @next */
    unsigned number;
    unsigned victim; /* where the search for a slot to reuse goes on */
    uint32_t round; /* the protocol doorbell's own */
    bool lazy;
    struct ktlb_u32 busy;     /* in a section: what is here may be half changed */
    struct ktlb_u32 deferred; /* an NMI came meanwhile, and left its work to the section's end */
    struct ktlb_slot slots[KTLB_ASIDS_MAX];
#if KTLB_SPACE_RING
    unsigned missed_count; /* what ktlb_switch_end() has to drop before it is true that the next slot is clean */
    struct ktlb_op missed[KTLB_SPACE_RING];
#endif
    struct ktlb_counters counters;
};

/* The machine as configured; constant after ktlb_init(). */
struct ktlb_machine {
    unsigned cpus;
    unsigned asids;
    bool everyone;
    const struct ktlb_protocol *protocol;
    struct ktlb_cpu *cpu;
};
extern struct ktlb_machine ktlb_machine;

/* Add to a counter of this CPU. => Interrupts masked, or a count lost to an interrupt does not matter. */
#if KTLB_STATS
#define KTLB_COUNT(cpu, name, amount)                                                              \
    ktlb_store_relaxed(&(cpu)->counters.name,                                                      \
                       ktlb_load_relaxed(&(cpu)->counters.name) + (uint64_t)(amount))
#else
#define KTLB_COUNT(cpu, name, amount) ((void)(0 && (cpu) && (amount)))
#endif

/* Record an event of @self / the same about a set of CPUs, for a request. What the arguments cost is spent only where
 * events are recorded. */
#if KTLB_EVENTS
#define KTLB_EVENT_HOOK(event) ktlb_event_record(event)
#endif
#ifdef KTLB_EVENT_HOOK
#define KTLB_EVENT_FROM(self, what_, space_, generation_, argument_, first_)                       \
    do {                                                                                           \
        const struct ktlb_event ktlb_event_ = {                                                    \
            .cycles = ktlb_arch_cycles(), .space_id = (space_), .generation = (generation_),       \
            .argument = (argument_), .cpu = (self)->number, .what = KTLB_EVENT_##what_,            \
            .first = (uint16_t)(first_)};                                                          \
        KTLB_EVENT_HOOK(&ktlb_event_);                                                             \
    } while (0)
#define KTLB_EVENT(self, what, space, generation, argument)                                        \
    KTLB_EVENT_FROM(self, what, space, generation, argument, 0)
#define KTLB_EVENT_SET(self, what, request, set)                                                   \
    do {                                                                                           \
        for (unsigned ktlb_i_ = 0; ktlb_i_ < KTLB_CPUSET_WORDS; ktlb_i_++)                         \
            if ((set)->word[ktlb_i_])                                                              \
                KTLB_EVENT_FROM(self, what, (request)->space_id, (request)->generation,            \
                                (set)->word[ktlb_i_], ktlb_i_ * 64);                               \
    } while (0)
#else
#define KTLB_EVENT(self, what, space, generation, argument)                                        \
    ((void)(0 && (self) && (space) && (generation) && (argument)))
#define KTLB_EVENT_SET(self, what, request, set) ((void)(0 && (self) && (request) && (set)->word[0]))
#endif

/* ---- event.c ---- */

size_t ktlb_event_memory_size(unsigned cpus);
void ktlb_event_init(void *memory, unsigned cpus);
void ktlb_event_record(const struct ktlb_event *event);

/* ---- op.c ---- */

/* The flags of two ops taken together: each flag asks for more, but KTLB_GLOBAL, which asks for less. */
unsigned ktlb_op_join_flags(unsigned a, unsigned b);
/* Whether @op is one that op.c makes, and not empty. @shift_min: log2 of the smallest stride. */
bool ktlb_op_well_formed(struct ktlb_op op, unsigned shift_min);

/* ---- batch.c ---- */

/* How many single invalidations @request asks for, or KTLB_ALL. */
uint64_t ktlb_request_strides(const struct ktlb_request *request);

/* ---- cpu.c ---- */

/* The slot of a CPU that holds no space's entries: no space has its number, 0. Constant. */
extern struct ktlb_slot ktlb_slot_nobody;

KTLB_INLINE struct ktlb_cpu *ktlb_cpu_self(void)
{
    unsigned number = ktlb_port_cpu();

    KTLB_ASSERT(number < ktlb_machine.cpus, "ktlb_port_cpu() is below ktlb_config.cpus, after ktlb_init()");
    return &ktlb_machine.cpu[number];
}
/* A section: interrupts are masked, and an NMI that comes serves nothing but leaves that to the end of the section. So
 * whatever a section does to its CPU's state, an NMI finds it whole. Sections do not nest and wait for no one. */
struct ktlb_cpu *ktlb_cpu_enter(ktlb_irq *irq);
void ktlb_cpu_leave(struct ktlb_cpu *self, ktlb_irq irq);
/* Execute what is posted to this CPU, if it is online; whether there was anything. => A section. */
bool ktlb_cpu_serve_posted(struct ktlb_cpu *self);
/* The same / if there may be anything. => Not in a section. */
bool ktlb_cpu_serve(void);
KTLB_INLINE bool ktlb_cpu_poll(const struct ktlb_cpu *self)
{
    return KTLB_UNLIKELY(KTLB_PROTOCOL_FUNCTION(pending)(self)) && ktlb_cpu_serve();
}
void ktlb_cpu_flush_machine(struct ktlb_cpu *self);
/* Whether dispatch @generation of space @space_id lacks here, and its ranges may be dropped one by one, which makes it no
 * more than 64 behind of what is loaded / it no longer lacks. => Interrupts masked. */
KTLB_INLINE bool ktlb_cpu_lacks(const struct ktlb_cpu *self, uint64_t space_id, uint64_t generation)
{
    const struct ktlb_slot *slot = self->slot;
    uint64_t ahead = generation - slot->clean - 1;

    return slot->space_id == space_id && ahead < 64 && !(slot->beyond >> ahead & 1);
}
void ktlb_cpu_note(struct ktlb_cpu *self, uint64_t generation);
/* One range of a dispatch that lacks, while others before it do, too. False: it does not, or is no range. */
bool ktlb_cpu_execute_ahead(struct ktlb_cpu *self, uint64_t space_id, uint64_t generation, struct ktlb_op op);
/* Most requests: one range, in the next dispatch there is for the space that is loaded. False: it is of another kind, and
 * nothing is done. => Interrupts masked. */
KTLB_INLINE bool ktlb_cpu_execute_one(struct ktlb_cpu *self, uint64_t space_id, uint64_t generation, struct ktlb_op op)
{
    struct ktlb_slot *slot = self->slot;

    if (KTLB_UNLIKELY(op.count == KTLB_ALL || slot->space_id != space_id || (generation - slot->clean - 1) | slot->beyond))
        return ktlb_cpu_execute_ahead(self, space_id, generation, op);
    KTLB_EVENT(self, EXECUTE, space_id, generation, op.count);
    ktlb_arch_flush_range(op);
    KTLB_COUNT(self, strides, op.count);
    slot->clean = generation;
    return true;
}
void ktlb_cpu_execute_any(struct ktlb_cpu *self, const struct ktlb_request *request);
/* Execute a request of this or another CPU here. => Interrupts masked. */
KTLB_INLINE void ktlb_cpu_execute(struct ktlb_cpu *self, const struct ktlb_request *request)
{
    if (request->count > 1 || !ktlb_cpu_execute_one(self, request->space_id, request->generation, request->op[0]))
        ktlb_cpu_execute_any(self, request);
}
/* Execute whatever was asked of this CPU and lost its details: for the kernel's half, or for any space. */
void ktlb_cpu_execute_widened(struct ktlb_cpu *self, bool kernel);

/* ---- asid.c: tags that mean the same on every CPU, for the protocol hardware ---- */

size_t ktlb_asid_memory_size(unsigned cpus);
void ktlb_asid_init(void *memory, unsigned cpus);
/* The tag to load @space with, on this CPU, which is between switch_begin and _end until the second. => A section. */
uint16_t ktlb_asid_load(struct ktlb_cpu *self, struct ktlb_space *space);
void ktlb_asid_loaded(struct ktlb_cpu *self);
/* The tag under which entries of @space are, on any CPU that may use them. */
uint64_t ktlb_asid_of(const struct ktlb_space *space);

/* Execute a request here alone, under the tag of its space, loaded or not. => Interrupts masked. */
void ktlb_hardware_execute(const struct ktlb_request *request);

/* ---- space.c ---- */

void ktlb_space_join(struct ktlb_cpuset_shared *set, unsigned cpu);
void ktlb_space_leave(struct ktlb_cpuset_shared *set, unsigned cpu);
bool ktlb_space_set_empty(const struct ktlb_cpuset_shared *set);
bool ktlb_space_has(const struct ktlb_cpuset_shared *set, unsigned cpu);
void ktlb_space_nobody(struct ktlb_cpuset_shared *set);
/* Remember that dispatch @generation invalidated @op / what it was; false: it is not there any more, or not yet. */
void ktlb_space_remember(struct ktlb_space *space, uint64_t generation, struct ktlb_op op);
bool ktlb_space_recall(const struct ktlb_space *space, uint64_t generation, struct ktlb_op *op);

#endif
