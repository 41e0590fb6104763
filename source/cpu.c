/*
 * cpu.c - one CPU: what it holds, executing requests, switching, laziness, coming and going.
 *
 * Invariant: while a space's entries can be used on this CPU, the CPU is in the space's active set (or in its lazy set
 * and the host keeps its hands off), and its slot claims no generation that is not executed here.
 */
#include "internal.h"

struct ktlb_machine ktlb_machine;
struct ktlb_arch ktlb_arch;
struct ktlb_slot ktlb_slot_nobody;

/* ---- set-up ---- */

/* The default first. Bound to one at build time, this is that one alone. */
static const struct ktlb_protocol *const protocols[] = {
#ifdef KTLB_PROTOCOL
    &KTLB_PROTOCOL_PASTE(ktlb_, KTLB_PROTOCOL, ),
#else
#define X(name) &ktlb_##name,
    KTLB_PROTOCOLS_EACH(X)
#undef X
#endif
};

static bool same_text(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static const struct ktlb_protocol *protocol_named(const char *name)
{
    if (!name)
        return protocols[0];
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
        if (same_text(protocols[i]->name, name))
            return protocols[i];
    return NULL;
}

const char *ktlb_protocol_name(unsigned index)
{
    return index < sizeof(protocols) / sizeof(protocols[0]) ? protocols[index]->name : NULL;
}

size_t ktlb_memory_size(const struct ktlb_config *config)
{
    const struct ktlb_protocol *protocol = protocol_named(config->protocol);

    if (config->cpus == 0 || config->cpus > KTLB_CPUS_MAX || !protocol)
        return 0;
    return config->cpus * sizeof(struct ktlb_cpu) + protocol->memory_size(config->cpus) +
           ktlb_event_memory_size(config->cpus);
}

static void cpu_init(struct ktlb_cpu *cpu, unsigned number)
{
    *cpu = (struct ktlb_cpu){.number = number, .loaded = &ktlb_kernel, .slot = &ktlb_slot_nobody};
}

/* By broadcast, each CPU may keep two tags for itself while the others change hands: see asid.c. */
static bool asids_fit(const struct ktlb_config *config, const struct ktlb_protocol *protocol)
{
    if (protocol == &ktlb_hardware)
        return config->asids == 0 || (config->asids > 2 * config->cpus && config->asids <= UINT16_MAX);
    return config->asids != 1 && config->asids <= KTLB_ASIDS_MAX;
}

enum ktlb_status ktlb_init(const struct ktlb_config *config)
{
    const struct ktlb_protocol *protocol = protocol_named(config->protocol);

    if (config->cpus == 0 || config->cpus > KTLB_CPUS_MAX)
        return KTLB_BAD_CPUS;
    if (!protocol)
        return KTLB_BAD_PROTOCOL;
    if (!config->memory || (uintptr_t)config->memory % KTLB_CACHE_LINE)
        return KTLB_BAD_MEMORY;
    if (config->memory_size < ktlb_memory_size(config))
        return KTLB_SMALL_MEMORY;
    if (!asids_fit(config, protocol) || !ktlb_arch_can_tag(config->asids))
        return KTLB_BAD_ASIDS;

    KTLB_ASSERT(ktlb_space_set_empty(&ktlb_kernel.active), "every CPU is offline when the library is set up");
    ktlb_arch_init();
    if (protocol == &ktlb_hardware && !ktlb_arch_broadcasts())
        return KTLB_NO_BROADCAST;

    ktlb_machine.cpus = config->cpus;
    ktlb_machine.asids = config->asids;
    ktlb_machine.everyone = config->everyone;
    ktlb_machine.protocol = protocol;
    ktlb_machine.cpu = (struct ktlb_cpu *)config->memory;
    for (unsigned i = 0; i < config->cpus; i++)
        cpu_init(&ktlb_machine.cpu[i], i);
    protocol->init(ktlb_machine.cpu + config->cpus, config->cpus);
    ktlb_event_init((char *)(ktlb_machine.cpu + config->cpus) + protocol->memory_size(config->cpus), config->cpus);
    return KTLB_OK;
}

const char *ktlb_status_text(enum ktlb_status status)
{
    switch (status) {
    case KTLB_OK:
        return "ok";
    case KTLB_BAD_CPUS:
        return "cpus must be 1 to KTLB_CPUS_MAX: raise the option or lower the number";
    case KTLB_BAD_ASIDS:
        return "asids must be 0 or 2 to KTLB_ASIDS_MAX, by the protocol hardware more than two for each CPU, and tagging "
               "enabled on the CPU first (x86: CR4.PCIDE)";
    case KTLB_BAD_MEMORY:
        return "memory must not be NULL and must be aligned to KTLB_CACHE_LINE";
    case KTLB_SMALL_MEMORY:
        return "memory_size is too small: ask ktlb_memory_size() with the same configuration";
    case KTLB_BAD_PROTOCOL:
        return "no protocol of that name: see ktlb_config.protocol";
    case KTLB_NO_BROADCAST:
        return "this machine does not broadcast invalidations: take another protocol than hardware";
    }
    return "not a status of ktlb";
}

/* ---- slots ---- */

static bool slot_has(const struct ktlb_slot *slot, uint64_t generation)
{
    uint64_t ahead = generation - slot->clean - 1;

    if (generation <= slot->clean)
        return true;
    return ahead < 64 && slot->beyond >> ahead & 1;
}

static void slot_set(struct ktlb_slot *slot, uint64_t clean, uint64_t beyond)
{
    while (beyond & 1) {
        beyond >>= 1;
        clean++;
    }
    slot->clean = clean;
    slot->beyond = beyond;
}

/* @generation is executed here. Too far beyond what is clean, it is left unsaid: that costs a flush later. */
static void slot_note(struct ktlb_slot *slot, uint64_t generation)
{
    uint64_t ahead = generation - slot->clean - 1;

    if (ahead < 64) /* which it is not when it is behind, either */
        slot_set(slot, slot->clean, slot->beyond | UINT64_C(1) << ahead);
}

void ktlb_cpu_note(struct ktlb_cpu *self, uint64_t generation)
{
    slot_note(self->slot, generation);
}

/* Everything up to @generation is executed here, which is more than was clean. */
static void slot_raise(struct ktlb_slot *slot, uint64_t generation)
{
    uint64_t by = generation - slot->clean;

    slot_set(slot, generation, by < 64 ? slot->beyond >> by : 0);
}

static unsigned slots_in_use(void)
{
    return ktlb_machine.asids ? ktlb_machine.asids : 2;
}

/* What a flush of everything did for @request, in whichever slot its space has. */
static void note_if_held(struct ktlb_cpu *self, const struct ktlb_request *request)
{
    for (unsigned i = 0; i < slots_in_use(); i++)
        if (self->slots[i].space_id == request->space_id)
            slot_note(&self->slots[i], request->generation);
}

/* The slot of @space, or the one to give it: never the loaded one, whose entries are in use. */
static struct ktlb_slot *slot_for(struct ktlb_cpu *self, const struct ktlb_space *space)
{
    for (unsigned i = 0; i < slots_in_use(); i++)
        if (self->slots[i].space_id == space->id)
            return &self->slots[i];
    do
        self->victim = (self->victim + 1) % slots_in_use();
    while (&self->slots[self->victim] == self->slot); /* at least two slots: the second turn ends it */
    self->slots[self->victim] = (struct ktlb_slot){0};
    return &self->slots[self->victim];
}

/* What the other tags hold can no longer be trusted: their next load flushes. */
static void forget_other_slots(struct ktlb_cpu *self)
{
    KTLB_COUNT(self, tags_forgotten, 1);
    for (unsigned i = 0; i < slots_in_use(); i++)
        if (&self->slots[i] != self->slot)
            self->slots[i] = (struct ktlb_slot){0};
}

/* ---- executing ---- */

void ktlb_cpu_flush_machine(struct ktlb_cpu *self)
{
    ktlb_arch_flush_machine();
    KTLB_COUNT(self, machine_flushes, 1);
}

static void flush_space(struct ktlb_cpu *self)
{
    ktlb_arch_flush_space();
    KTLB_COUNT(self, space_flushes, 1);
}

/* ---- catching up ---- */

#if KTLB_SPACE_RING

/*
 * Gather what @slot of @space lacks up to @generation; false: part of it cannot be had, or has a flag in @but_not, or
 * all of it together is more than is worth dropping piece by piece. Every dispatch in between is asked for: with one left
 * out, a partial flush would be none.
 */
static bool gather_missed(struct ktlb_cpu *self, const struct ktlb_space *space, const struct ktlb_slot *slot,
                          uint64_t generation, unsigned but_not)
{
    uint64_t strides = 0;
    unsigned count = 0;

    if (generation - slot->clean > 64)
        goto gone;
    for (uint64_t each = slot->clean + 1; each <= generation; each++) {
        struct ktlb_op *op = &self->missed[count];

        if (slot_has(slot, each))
            continue;
        if (count == KTLB_SPACE_RING || !ktlb_space_recall(space, each, op))
            goto gone;
        if (op->flags & but_not) {
            KTLB_COUNT(self, caught_up_tables, 1);
            return false;
        }
        strides += op->count; /* KTLB_ALL is more than any limit */
        if (strides > KTLB_FLUSH_MAX) {
            KTLB_COUNT(self, caught_up_large, 1);
            return false;
        }
        count++;
    }
    self->missed_count = count;
    return true;
gone:
    KTLB_COUNT(self, caught_up_gone, 1);
    return false;
}

static void execute_missed(struct ktlb_cpu *self)
{
    for (unsigned i = 0; i < self->missed_count; i++) {
        ktlb_arch_flush_range(self->missed[i]);
        KTLB_COUNT(self, strides, self->missed[i].count);
    }
    KTLB_COUNT(self, caught_up_exact, self->missed_count != 0);
    self->missed_count = 0;
}

#else

static bool gather_missed(struct ktlb_cpu *self, const struct ktlb_space *space, const struct ktlb_slot *slot,
                          uint64_t generation, unsigned but_not)
{
    (void)space, (void)slot, (void)generation, (void)but_not;
    KTLB_COUNT(self, caught_up_gone, 1);
    return false;
}

static void execute_missed(struct ktlb_cpu *self)
{
    (void)self;
}

#endif

/* Drop what this CPU missed of the loaded space, @exactly where it can, or all of it, and know it clean up to what its
 * generation was before: acquire [A], so that the page-table changes of every dispatch counted in it are visible to walks
 * after the flush. Dead tables may be among it: this CPU has the space loaded, so whoever frees them still waits for
 * its answer. */
static void catch_up(struct ktlb_cpu *self, bool exactly)
{
    struct ktlb_slot *slot = self->slot;
    uint64_t generation = ktlb_load_acquire(&self->loaded->generation);

    if (exactly && gather_missed(self, self->loaded, slot, generation, 0)) {
        execute_missed(self);
    } else {
        flush_space(self);
        KTLB_COUNT(self, caught_up, exactly);
    }
    slot_raise(slot, generation);
}

/* ---- executing requests ---- */

static void execute_ranges(struct ktlb_cpu *self, const struct ktlb_request *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        ktlb_arch_flush_range(request->op[i]);
        KTLB_COUNT(self, strides, request->op[i].count);
    }
}

/* The kernel's half is known by every tag, but an invalidation reaches the loaded tag and global entries only: entries
 * that are not global, and walk caches, survive under the other tags. Those are flushed when next loaded. */
static void execute_kernel(struct ktlb_cpu *self, const struct ktlb_request *request)
{
    if (request->op[0].count == KTLB_ALL) {
        ktlb_cpu_flush_machine(self); /* global entries, and those of every tag */
        return;
    }
    execute_ranges(self, request);
    if ((request->flags & KTLB_TABLES) || !(request->flags & KTLB_GLOBAL))
        forget_other_slots(self);
}

bool ktlb_cpu_execute_ahead(struct ktlb_cpu *self, uint64_t space_id, uint64_t generation, struct ktlb_op op)
{
    if (op.count == KTLB_ALL || !ktlb_cpu_lacks(self, space_id, generation))
        return false;
    KTLB_EVENT(self, EXECUTE, space_id, generation, op.count);
    ktlb_arch_flush_range(op);
    KTLB_COUNT(self, strides, op.count);
    ktlb_cpu_note(self, generation);
    return true;
}

/* @slot is of the request's space, which is loaded and stays. A flush does for all dispatches before the request's as well:
 * its own found their generations raised, and by [F1] hands on what those release with them [G]. */
static void execute_loaded(struct ktlb_cpu *self, struct ktlb_slot *slot, const struct ktlb_request *request)
{
    if (slot_has(slot, request->generation)) {
        KTLB_COUNT(self, already_clean, 1);
    } else if (request->op[0].count != KTLB_ALL && request->generation - slot->clean <= 64) {
        execute_ranges(self, request);
        slot_note(slot, request->generation);
    } else {
        flush_space(self);
        slot_raise(slot, request->generation);
    }
}

void ktlb_cpu_execute_any(struct ktlb_cpu *self, const struct ktlb_request *request)
{
    struct ktlb_slot *slot = self->slot;

    KTLB_EVENT(self, EXECUTE, request->space_id, request->generation, ktlb_request_strides(request));
    if (KTLB_LIKELY(slot->space_id == request->space_id)) {
        execute_loaded(self, slot, request);
    } else if (KTLB_BY_HARDWARE) {
        ktlb_hardware_execute(request);
    } else if (KTLB_UNLIKELY(self->next != NULL)) {
        /* Either root may be loaded by now, and the next may be about to be loaded without a flush. */
        ktlb_cpu_flush_machine(self);
        note_if_held(self, request);
        KTLB_COUNT(self, in_switch, 1);
    } else if (request->space_id == KTLB_KERNEL_ID) {
        execute_kernel(self, request);
    } else {
        KTLB_COUNT(self, not_loaded, 1); /* what its tag still holds is behind its generation: flushed when loaded */
    }
}

void ktlb_cpu_execute_widened(struct ktlb_cpu *self, bool kernel)
{
    KTLB_EVENT(self, WIDENED, kernel ? ktlb_kernel.id : 0, 0, kernel);
    if (kernel || self->next || KTLB_BY_HARDWARE) {
        ktlb_cpu_flush_machine(self);
        KTLB_COUNT(self, in_switch, self->next != NULL);
    } else if (self->slot != &ktlb_slot_nobody) {
        catch_up(self, KTLB_PROTOCOL_RECALLS); /* else what has no details is too much of it, and nowhere to be found */
    }
}

/* ---- serving ---- */

bool ktlb_cpu_serve_posted(struct ktlb_cpu *self)
{
    /* Away, this CPU must not look at what is posted: its initiators have stopped waiting. */
    if (!ktlb_load_relaxed_u32(&self->online) || !KTLB_PROTOCOL_FUNCTION(serve)(self))
        return false;
    KTLB_EVENT(self, ACK, 0, 0, 0);
    return true;
}

/* Which CPU this is, is asked with interrupts masked: served for another CPU, a request would be acknowledged without
 * having been executed. The words are relaxed and the fences for the compiler, as only this CPU and what interrupts it
 * look. */
static void section_begin(struct ktlb_cpu *self)
{
    ktlb_store_relaxed_u32(&self->busy, 1);
    ktlb_fence_signal();
}

/* An NMI before the store here is deferred, and seen by the load; one after it serves. True: one was deferred. */
KTLB_INLINE bool section_leave(struct ktlb_cpu *self)
{
    ktlb_fence_signal();
    ktlb_store_relaxed_u32(&self->busy, 0);
    ktlb_fence_signal();
    return KTLB_UNLIKELY(ktlb_load_relaxed_u32(&self->deferred));
}

/* Ended when no NMI has come during its last turn. */
KTLB_OUTLINE void serve_deferred(struct ktlb_cpu *self)
{
    do {
        section_begin(self);
        ktlb_store_relaxed_u32(&self->deferred, 0); /* first: an NMI that comes while we serve counts again */
        ktlb_fence_signal();
        ktlb_cpu_serve_posted(self);
    } while (section_leave(self));
}

KTLB_INLINE void section_end(struct ktlb_cpu *self)
{
    if (section_leave(self))
        serve_deferred(self);
}

struct ktlb_cpu *ktlb_cpu_enter(ktlb_irq *irq)
{
    struct ktlb_cpu *self;

    *irq = ktlb_port_irq_save();
    self = ktlb_cpu_self();
    KTLB_ASSERT(!ktlb_load_relaxed_u32(&self->busy), "an NMI calls ktlb_ipi() only, and nothing calls back into ktlb");
    section_begin(self);
    return self;
}

void ktlb_cpu_leave(struct ktlb_cpu *self, ktlb_irq irq)
{
    section_end(self);
    ktlb_port_irq_restore(irq);
}

void ktlb_ipi(void)
{
    struct ktlb_cpu *self = ktlb_cpu_self();
    bool any;

    KTLB_COUNT(self, ipis, 1);
    KTLB_EVENT(self, IPI, 0, 0, ktlb_load_relaxed_u32(&self->busy));
    if (KTLB_UNLIKELY(ktlb_load_relaxed_u32(&self->busy))) { /* from NMI, then: interrupts are masked in a section */
        ktlb_store_relaxed_u32(&self->deferred, 1);
        KTLB_COUNT(self, ipis_deferred, 1);
        return;
    }
    section_begin(self);
    any = ktlb_cpu_serve_posted(self);
    section_end(self);
    KTLB_COUNT(self, ipis_idle, !any);
}

bool ktlb_cpu_serve(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);
    bool any = ktlb_cpu_serve_posted(self);

    ktlb_cpu_leave(self, irq);
    return any;
}

bool ktlb_poll(void)
{
    return ktlb_cpu_poll(ktlb_cpu_self());
}

/* ---- switching ---- */

/*
 * May the entries of @slot be kept, because switch_end can drop what was missed? An invalidation by address reaches the
 * loaded tag only, so it cannot be done before the load; between the two, entries that were removed long ago
 * are there but, by the host's promise, not used. The page walker has promised nothing: if a table died, its
 * walk caches must be gone before the root is loaded, and only a flushing load does that.
 */
static bool plan_catch_up(struct ktlb_cpu *self, const struct ktlb_space *next, const struct ktlb_slot *slot,
                          uint64_t generation)
{
    bool exact = gather_missed(self, next, slot, generation, KTLB_TABLES);

    KTLB_COUNT(self, caught_up, !exact);
    return exact;
}

struct ktlb_load ktlb_switch_begin(struct ktlb_space *next)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);
    struct ktlb_load load = {0, true};
    struct ktlb_slot *slot;
    uint64_t generation;

    KTLB_ASSERT(ktlb_load_relaxed_u32(&self->online), "a CPU is online before it switches");
    KTLB_ASSERT(!self->next, "ktlb_switch_end() before the next ktlb_switch_begin()");
    KTLB_ASSERT(next && next->id, "a space is initialised before it is loaded");
    KTLB_COUNT(self, switches, 1);
    self->next = next;
    self->next_slot = &ktlb_slot_nobody;
    if (next == &ktlb_kernel)
        goto out; /* always a member, and its own tag is always flushed */

    if (KTLB_BY_HARDWARE) {
        if (ktlb_machine.asids)
            load = (struct ktlb_load){ktlb_asid_load(self, next), false};
        if (!ktlb_space_has(&next->active, self->number)) {
            ktlb_space_join(&next->active, self->number); /* [J] */
            ktlb_arch_fence_walks(load.asid); /* [F2]: an initiator that missed this CPU has its changes seen by its walks */
        }
        goto out;
    }
    ktlb_space_join(&next->active, self->number); /* [J] */
    ktlb_fence_seq_cst();                         /* [F2], pairs with [F1] in dispatch: see space.c */
    generation = ktlb_load_acquire(&next->generation); /* [A], pairs with [G]: see catch_up */

    self->next_slot = slot_for(self, next);
    slot = self->next_slot;
    load.asid = ktlb_machine.asids ? (uint16_t)(slot - self->slots + 1) : 0;
    KTLB_COUNT(self, switch_new, slot->space_id != next->id);
    if (ktlb_machine.asids && slot->space_id == next->id)
        load.flush = slot->clean < generation && !plan_catch_up(self, next, slot, generation);
    /* From here on the slot says what will be true after the load and switch_end. Until then nobody asks it. */
    slot->space_id = next->id;
    slot_raise(slot, generation);
out:
    self->slot = &ktlb_slot_nobody;
    KTLB_COUNT(self, switch_clean, !load.flush);
    KTLB_EVENT(self, SWITCH, next->id, ktlb_load_relaxed(&next->generation), load.flush);
    ktlb_cpu_leave(self, irq);
    return load;
}

/* By broadcast, what a CPU holds under a space's tag outlives its leaving, and it remains a target; lazy or not. */
static bool stays(void)
{
    return KTLB_BY_HARDWARE && ktlb_machine.asids;
}

/* The CPU is done with @space, however it held it. */
static void leave(struct ktlb_cpu *self, struct ktlb_space *space)
{
    if (stays())
        return;
    ktlb_space_leave(&space->active, self->number);
    if (self->lazy)
        ktlb_space_leave(&space->lazy, self->number);
}

void ktlb_switch_end(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);
    struct ktlb_space *previous = self->loaded;

    KTLB_ASSERT(self->next, "ktlb_switch_begin() before ktlb_switch_end()");
    execute_missed(self); /* while this CPU still answers for both spaces, by dropping everything */
    self->loaded = self->next;
    self->slot = self->next_slot;
    self->next = NULL;
    if (stays())
        ktlb_asid_loaded(self);
    if (previous != self->loaded && previous != &ktlb_kernel)
        leave(self, previous);
    else if (self->lazy && previous != &ktlb_kernel)
        ktlb_space_leave(&previous->lazy, self->number);
    self->lazy = false;
    KTLB_EVENT(self, SWITCHED, self->loaded->id, 0, 0);
    ktlb_cpu_leave(self, irq);
}

/* ---- laziness ---- */

void ktlb_lazy_enter(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);

    KTLB_ASSERT(!self->next, "no laziness between ktlb_switch_begin() and ktlb_switch_end()");
    KTLB_ASSERT(!self->lazy, "ktlb_lazy_leave() before the next ktlb_lazy_enter()");
    self->lazy = true;
    KTLB_COUNT(self, lazy_periods, 1);
    if (self->loaded != &ktlb_kernel && !KTLB_BY_HARDWARE) {
        /* In this order: an initiator that misses the CPU in the active set then finds it in the lazy one, by the
         * release of the second [L] and the acquire of dispatch, which reads the sets in the same order. */
        ktlb_space_join(&self->loaded->lazy, self->number);
        ktlb_space_leave(&self->loaded->active, self->number);
    }
    KTLB_EVENT(self, LAZY, self->loaded->id, 0, 0);
    ktlb_cpu_leave(self, irq);
}

void ktlb_lazy_leave(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);
    struct ktlb_space *space = self->loaded;

    KTLB_ASSERT(!self->next, "no laziness between ktlb_switch_begin() and ktlb_switch_end()");
    KTLB_ASSERT(self->lazy, "ktlb_lazy_enter() before ktlb_lazy_leave()");
    if (space != &ktlb_kernel && !KTLB_BY_HARDWARE) {
        ktlb_space_join(&space->active, self->number); /* [J] */
        ktlb_fence_seq_cst();                          /* [F2], pairs with [F1] in dispatch: see space.c */
        KTLB_COUNT(self, lazy_clean, ktlb_load_relaxed(&space->generation) == self->slot->clean);
        if (ktlb_load_relaxed(&space->generation) != self->slot->clean)
            catch_up(self, true);
        /* Last: who no longer finds this CPU lazy may take it that the flush above is done [L]. */
        ktlb_space_leave(&space->lazy, self->number);
    }
    self->lazy = false;
    KTLB_EVENT(self, ACTIVE, space->id, 0, 0);
    ktlb_cpu_leave(self, irq);
}

/* ---- coming and going ---- */

void ktlb_cpu_online(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);

    KTLB_ASSERT(!ktlb_load_relaxed_u32(&self->online), "a CPU is offline before it comes online");
    KTLB_ASSERT(ktlb_arch_can_tag(ktlb_machine.asids), "every CPU tags entries before it comes online, if one does");
    ktlb_store_relaxed_u32(&self->online, 1);
    ktlb_space_join(&ktlb_kernel.active, self->number); /* [J] */
    /* [F3]. Pairs with [F1]: an initiator that did not see this CPU has its page-table changes seen by the flush below.
     * Pairs with [F4] in sync: an initiator that gave up on this CPU has its request seen, and marked, by forget(). */
    ktlb_fence_seq_cst();
    KTLB_EVENT(self, ONLINE, 0, 0, 0);
    KTLB_PROTOCOL_FUNCTION(forget)(self);
    /* After joining and after looking at what is posted, so that whatever refills an entry from here on reads tables
     * that have the changes of everyone who will not wait, or whose request is acknowledged unread. */
    ktlb_cpu_flush_machine(self);
    KTLB_PROTOCOL_FUNCTION(serve)(self);
    ktlb_cpu_leave(self, irq);
}

void ktlb_cpu_offline(void)
{
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);

    KTLB_ASSERT(ktlb_load_relaxed_u32(&self->online), "a CPU is online before it goes offline");
    KTLB_ASSERT(self->loaded == &ktlb_kernel && !self->next, "a CPU loads the kernel's root before it goes offline");
    ktlb_space_leave(&ktlb_kernel.active, self->number);
    KTLB_PROTOCOL_FUNCTION(serve)(self);
    /* Release: who sees this stops waiting for this CPU, and may take it that it has done what it ever will with the
     * kernel's translations, and that nothing posted is being read any more. Pairs with the acquire in target_answered.
     * */
    ktlb_store_release_u32(&self->online, 0);
    KTLB_EVENT(self, OFFLINE, 0, 0, 0);
    ktlb_cpu_leave(self, irq);
}
