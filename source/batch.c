/*
 * batch.c - one initiator's work: gather, dispatch, wait, give the pages back.
 *
 * Invariants: from dispatch to the last answer the request does not change; a page goes back only when every target
 * has answered for this very batch, or has left.
 */
#include "internal.h"

/* Where the batch is in its life: for assertions alone. */
#define STATE(batch, value) ((void)(KTLB_ASSERTIONS && ((batch)->state = (value))))

void ktlb_batch_init(struct ktlb_batch *batch, struct ktlb_space *space)
{
    KTLB_ASSERT(space, "a batch is on a space");
    /* Nothing of it is read: its line may be another CPU's, and is fetched once, by dispatch, to be written. */
    batch->request.space = space;
    batch->request.count = 0;
    batch->request.flags = 0;
    batch->pages = NULL;
    batch->pages_end = &batch->pages;
    STATE(batch, KTLB_BATCH_OPEN);
    batch->joined = KTLB_BATCH_APART;
}

/* ---- gathering ---- */

uint64_t ktlb_request_strides(const struct ktlb_request *request)
{
    uint64_t strides = request->op[0].count; /* KTLB_ALL is of the only op */

    for (uint32_t i = 1; i < request->count; i++)
        strides += request->op[i].count;
    return strides;
}

static void widen(struct ktlb_request *request)
{
    request->op[0] = ktlb_op_all(request->flags);
    request->count = 1;
}

/* Put @op into one that it continues or overlaps, so that a run of pages added one by one stays one op. */
static bool extend(struct ktlb_request *request, struct ktlb_op op)
{
    for (uint32_t i = request->count; i-- > 0;) {
        struct ktlb_op *held = &request->op[i];
        struct ktlb_op joined = ktlb_op_join(*held, op, KTLB_ALL - 1);

        if (held->shift != op.shift || joined.count > (uint64_t)held->count + op.count)
            continue;
        *held = joined;
        if (joined.count == KTLB_ALL)
            widen(request);
        return true;
    }
    return false;
}

/* No room for another op: widen the one that grows into the smallest. */
static void squeeze(struct ktlb_batch *batch, struct ktlb_op op)
{
    struct ktlb_request *request = &batch->request;
    uint32_t best = 0;

    batch->joined = KTLB_BATCH_SQUEEZED;
    for (uint32_t i = 1; i < request->count; i++)
        if (ktlb_op_join(request->op[i], op, KTLB_FLUSH_MAX).count <
            ktlb_op_join(request->op[best], op, KTLB_FLUSH_MAX).count)
            best = i;
    request->op[best] = ktlb_op_join(request->op[best], op, KTLB_FLUSH_MAX);
    if (request->op[best].count == KTLB_ALL) {
        batch->joined = KTLB_BATCH_TOO_FAR;
        widen(request);
    }
}

void ktlb_batch_add(struct ktlb_batch *batch, struct ktlb_op op)
{
    struct ktlb_request *request = &batch->request;

    KTLB_ASSERT(batch->state == KTLB_BATCH_OPEN, "a batch takes ops after init and before dispatch");
    if (op.count == 0 && op.flags == 0)
        return;
    KTLB_ASSERT(ktlb_op_well_formed(op, KTLB_PAGE_SHIFT), "an op comes from ktlb_op_range(), ktlb_op_all() or ktlb_op_join()");
    KTLB_ASSERT(!(op.flags & KTLB_GLOBAL) || request->space == &ktlb_kernel, "global entries are ktlb_kernel's");
    if (request->count == 0) {
        request->flags = op.flags;
        request->op[0] = op;
        request->count = 1;
        return;
    }
    request->flags = ktlb_op_join_flags(request->flags, op.flags);
    if (request->op[0].count == KTLB_ALL)
        return;
    if (op.count == KTLB_ALL)
        widen(request);
    else if (extend(request, op))
        return;
    else if (request->count < KTLB_BATCH_OPS)
        request->op[request->count++] = op;
    else
        squeeze(batch, op);
}

void ktlb_batch_pte(struct ktlb_batch *batch, uint64_t va, uint64_t old_pte, uint64_t new_pte, unsigned shift)
{
    unsigned duty, stride;

    KTLB_ASSERT(batch->state == KTLB_BATCH_OPEN, "a batch takes entries after init and before dispatch");
    KTLB_ASSERT(shift >= KTLB_PAGE_SHIFT && shift < 64, "an entry spans a page or more");
    duty = ktlb_arch_pte_obliges(old_pte, new_pte, shift);
    if (!(duty & KTLB_PTE_RANGE))
        return;
    /* Under a table there may be entries of the smallest size; they are told apart by nothing. */
    stride = duty & KTLB_TABLES ? KTLB_PAGE_SHIFT : shift;
    ktlb_batch_add(batch, ktlb_op_range(va, UINT64_C(1) << shift, stride, duty & KTLB_OP_FLAGS));
}

void ktlb_batch_defer(struct ktlb_batch *batch, struct ktlb_node *page)
{
    KTLB_ASSERT(batch->state == KTLB_BATCH_OPEN || batch->state == KTLB_BATCH_SENT,
                "a batch owes pages after init and before sync");
    page->next = NULL;
    *batch->pages_end = page;
    batch->pages_end = &page->next;
}

/* ---- dispatch ---- */

/* Beyond KTLB_FLUSH_MAX single invalidations, dropping the space is cheaper for everyone. */
static void limit(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    struct ktlb_request *request = &batch->request;

    KTLB_COUNT(self, squeezed, batch->joined != KTLB_BATCH_APART);
    if (KTLB_LIKELY(ktlb_request_strides(request) <= KTLB_FLUSH_MAX))
        return;
    if (request->op[0].count == KTLB_ALL) {
        KTLB_COUNT(self, widened_far, batch->joined == KTLB_BATCH_TOO_FAR);
        KTLB_COUNT(self, asked_all, batch->joined != KTLB_BATCH_TOO_FAR);
        return;
    }
    widen(request);
    KTLB_COUNT(self, widened_limit, 1);
}

/*
 * Who may hold what @request removes: the active CPUs and, when table pages die, the lazy ones, whose walkers are
 * still in the tables. Acquire [R]: a CPU no longer found is done with the space, pairs with [L]. The active set is
 * read first: see ktlb_lazy_enter(). For comparisons everyone who is online is asked as well. Returns whether some who
 * are lazy are not.
 */
static bool find_targets(struct ktlb_cpu *self, struct ktlb_batch *batch, const struct ktlb_space *space)
{
    uint64_t spared = 0;

    KTLB_COUNT(self, tables, (batch->request.flags & KTLB_TABLES) != 0);
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++) {
        uint64_t active = ktlb_load_acquire(&space->active.word[i]);
        uint64_t lazy = ktlb_load_acquire(&space->lazy.word[i]) & ~active;

        if (batch->request.flags & KTLB_TABLES)
            active |= lazy;
        if (KTLB_UNLIKELY(ktlb_machine.everyone))
            active |= ktlb_load_relaxed(&ktlb_kernel.active.word[i]); /* no more than may hold it: orders nothing */
        KTLB_COUNT(self, lazy_told, ktlb_count_bits(lazy & active));
        KTLB_COUNT(self, lazy_skipped, ktlb_count_bits(lazy & ~active));
        spared |= lazy & ~active;
        if (KTLB_CPUSET_WORDS == 1 || i == self->number / 64)
            active &= ~(UINT64_C(1) << (self->number % 64));
        batch->waiting.word[i] = active;
    }
    return spared != 0;
}

static void post_to_targets(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    struct ktlb_cpuset kick = {{0}};
    unsigned told, kicked;

    if (ktlb_cpuset_empty(&batch->waiting)) {
        KTLB_COUNT(self, no_target, 1);
        return;
    }
    KTLB_EVENT_SET(self, POST, &batch->request, &batch->waiting);
    KTLB_PROTOCOL_FUNCTION(post)(self, batch, &kick);
    batch->posted = true;
    KTLB_EVENT_SET(self, KICK, &batch->request, &kick);
    if (!ktlb_cpuset_empty(&kick))
        ktlb_port_ipi(&kick);
    told = ktlb_cpuset_count(&batch->waiting);
    kicked = ktlb_cpuset_count(&kick);
    KTLB_COUNT(self, targets, told);
    KTLB_COUNT(self, interrupts, kicked);
    KTLB_COUNT(self, interrupts_saved, told - kicked);
}

/*
 * For CPUs that are not told: those in @spared, and any that holds entries under a tag that is not loaded. And for what a
 * protocol tells without its details. The kernel's half has no such CPUs. One op: several become their hull, or the space.
 */
static void remember(const struct ktlb_request *request, bool spared)
{
#if KTLB_SPACE_RING
    struct ktlb_op op;

    if (!(spared || ktlb_machine.asids || KTLB_PROTOCOL_RECALLS) || request->space == &ktlb_kernel || KTLB_BY_HARDWARE)
        return;
    op = request->op[0];
    for (uint32_t i = 1; i < request->count; i++)
        op = ktlb_op_join(op, request->op[i], KTLB_FLUSH_MAX);
    op.flags = (uint8_t)request->flags;
    ktlb_space_remember(request->space, request->generation, op);
#else
    (void)request, (void)spared;
#endif
}

static struct ktlb_cpu *dispatch(struct ktlb_batch *batch)
{
    struct ktlb_request *request = &batch->request;
    struct ktlb_space *space = request->space;
    struct ktlb_cpu *self;
    ktlb_irq irq;
    bool spared;

    KTLB_ASSERT(batch->state == KTLB_BATCH_OPEN, "a batch is dispatched once, after init");
    STATE(batch, KTLB_BATCH_SENT);
    batch->posted = false;
    batch->reports = 0;
    batch->waits_since = 0;
    self = ktlb_cpu_enter(&irq);
    batch->initiator = self->number;
    if (KTLB_UNLIKELY(request->count == 0)) {
        batch->waiting = (struct ktlb_cpuset){{0}};
        request->space_id = space->id;
        request->generation = 0;
        KTLB_COUNT(self, dispatches_empty, 1);
        goto out;
    }
    limit(self, batch);
    if (request->flags & KTLB_EXEC)
        ktlb_arch_sync_code();
    /* Release [G]: who reads this generation, or a later one, also sees the page-table changes it stands for. */
    request->generation = ktlb_rmw_add_release(&space->generation, 1) + 1;
    request->space_id = space->id;
    KTLB_ASSERT(request->space_id, "a batch is on an initialised space");
    /* [F1], pairs with [F2] in switch_begin and lazy_leave, and [F3] in online; and publishes the request. */
    ktlb_fence_seq_cst();
    spared = find_targets(self, batch, space);
    KTLB_COUNT(self, dispatches, 1);
    KTLB_EVENT(self, DISPATCH, request->space_id, request->generation, ktlb_request_strides(request));
    post_to_targets(self, batch);
    /* After posting: the targets need not wait for it, and who finds it missing drops the space. */
    remember(request, spared);
    if (!KTLB_BY_HARDWARE || !batch->posted) /* a broadcast has reached this CPU as well */
        ktlb_cpu_execute(self, request); /* while the others do */
    if (batch->posted && KTLB_UNLIKELY(KTLB_PROTOCOL_FUNCTION(posted)(self)))
        ktlb_cpu_serve_posted(self);
out:
    ktlb_cpu_leave(self, irq);
    return self;
}

void ktlb_batch_dispatch(struct ktlb_batch *batch)
{
    dispatch(batch);
}

/* ---- waiting ---- */

/* A CPU that was seen away: whether it has left, and drops everything before it is back. */
KTLB_OUTLINE bool target_left(const struct ktlb_u32 *online)
{
    /* [F4], pairs with [F3] in online: if we take a CPU to have left that is back meanwhile, it has seen what we posted
     * and will not read it, for it is about to be gone from our stack. Acquire, pairs with the release in offline. */
    ktlb_fence_seq_cst();
    if (ktlb_load_acquire_u32(online))
        return false;
    KTLB_COUNT(ktlb_cpu_self(), targets_left, 1);
    return true;
}

/* Whether @cpu is done with this batch. */
KTLB_INLINE bool target_answered(const struct ktlb_batch *batch, unsigned cpu)
{
    const struct ktlb_u32 *online;

    if (KTLB_PROTOCOL_FUNCTION(acked)(batch, cpu))
        return true;
    online = &ktlb_machine.cpu[cpu].online;
    return KTLB_UNLIKELY(!ktlb_load_relaxed_u32(online)) && target_left(online);
}

/* In their order, up to the first that has not: to look further would take lines from CPUs that are about to write them,
 * and end the wait no sooner. */
static bool all_answered(struct ktlb_batch *batch)
{
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++) {
        uint64_t rest = batch->waiting.word[i];

        for (; rest; rest &= rest - 1)
            if (!target_answered(batch, 64 * i + ktlb_lowest_bit(rest)))
                break;
        batch->waiting.word[i] = rest;
        if (rest)
            return false;
    }
    if (batch->posted) {
        batch->posted = false;
        KTLB_PROTOCOL_FUNCTION(finish)(batch);
    }
    return true;
}

bool ktlb_batch_done(struct ktlb_batch *batch)
{
    KTLB_ASSERT(batch->state == KTLB_BATCH_SENT, "a batch is dispatched before it is asked for");
    return all_answered(batch);
}

KTLB_OUTLINE void report_stall(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    struct ktlb_cpuset others;
    ktlb_irq irq;

    KTLB_CPUSET_EACH(cpu, &batch->waiting) /* no names but of those who have not */
        if (target_answered(batch, cpu))
            ktlb_cpuset_remove(&batch->waiting, cpu);
    if (ktlb_cpuset_empty(&batch->waiting))
        return;
    others = batch->waiting;
    batch->reports++;
    KTLB_EVENT_SET(self, STALL, &batch->request, &batch->waiting);
    ktlb_port_stall(batch);
    KTLB_COUNT(self, stalls, 1);
    /* An interrupt may have been lost. One too many does no harm. This CPU itself may be waited for, if the batch was
     * dispatched on another: it polls. */
    ktlb_cpuset_remove(&others, self->number);
    if (ktlb_cpuset_empty(&others))
        return;
    irq = ktlb_port_irq_save();
    ktlb_port_ipi(&others);
    ktlb_port_irq_restore(irq);
    KTLB_COUNT(self, interrupts_again, ktlb_cpuset_count(&others));
}

/* Cycles since the wait began; 0 if it has not. */
static uint64_t waited(const struct ktlb_batch *batch)
{
    return batch->waits_since ? ktlb_arch_cycles() - batch->waits_since : 0;
}

/* Ended by the targets, each of which answers or leaves; until then, stall reports. */
static void wait(struct ktlb_cpu *self, struct ktlb_batch *batch)
{
    uint32_t spins = 0;

    KTLB_EVENT_SET(self, WAIT, &batch->request, &batch->waiting);
    batch->waits_since = ktlb_arch_cycles();
    do {
        if (!ktlb_cpu_poll(self))
            ktlb_arch_relax();
        if (++spins == KTLB_STALL_SPINS) {
            spins = 0;
            report_stall(self, batch);
        }
    } while (!all_answered(batch));
    if (KTLB_STATS) {
        uint64_t cycles = waited(batch);

        KTLB_COUNT(self, syncs_waited, 1);
        KTLB_COUNT(self, wait_cycles, cycles);
        if (cycles > ktlb_load_relaxed(&self->counters.wait_cycles_max))
            ktlb_store_relaxed(&self->counters.wait_cycles_max, cycles);
    }
}

static struct ktlb_node *sync(struct ktlb_cpu *self, struct ktlb_batch *batch, bool answered)
{
    if (!answered)
        wait(self, batch);
    KTLB_EVENT(self, SYNC, batch->request.space_id, batch->request.generation, waited(batch));
    KTLB_COUNT(self, syncs, 1);
    STATE(batch, KTLB_BATCH_DONE);
    return batch->pages;
}

struct ktlb_node *ktlb_batch_sync(struct ktlb_batch *batch)
{
    KTLB_ASSERT(batch->state == KTLB_BATCH_SENT, "a batch is dispatched before it is synced, and synced once");
    return sync(ktlb_cpu_self(), batch, all_answered(batch));
}

const struct ktlb_cpuset *ktlb_batch_waiting(const struct ktlb_batch *batch)
{
    return &batch->waiting;
}

void ktlb_batch_wait_read(const struct ktlb_batch *batch, struct ktlb_wait *wait)
{
    wait->initiator = batch->initiator;
    wait->reports = batch->reports;
    wait->space_id = batch->request.space_id;
    wait->generation = batch->request.generation;
    wait->cycles = waited(batch);
}

void ktlb_flush(struct ktlb_space *space, struct ktlb_op op)
{
    struct ktlb_batch batch;
    struct ktlb_cpu *self;

    ktlb_batch_init(&batch, space);
    ktlb_batch_add(&batch, op);
    self = dispatch(&batch);
    /* No answer is looked for yet: that would take its line from a target that is about to write there. */
    sync(self, &batch, KTLB_BY_HARDWARE ? all_answered(&batch) : ktlb_cpuset_empty(&batch.waiting));
}
