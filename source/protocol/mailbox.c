/*
 * mailbox.c - a bounded queue of requests per target.
 *
 * Initiators take a ticket and put a pointer to their request into the slot it names; the target executes in the order
 * of tickets and publishes how many it has served. An ack is that number passing a ticket, so no request can be
 * acknowledged by the service of another. A full queue loses the details of a request, never the request: it
 * is counted as widened, and the target flushes the space (or the kernel's half) instead.
 *
 * Invariant: a slot is written non-NULL by the holder of its ticket only, and NULL (or FORGOTTEN) by the target only.
 * Origin: the mailboxes of strat9 and Asterinas; what differs is in docs/PROTOCOLS.md.
 */
#include "../internal.h"

/* What a ticket counts in; the low bits of a batch's ticket. */
enum kind { QUEUED, WIDENED_SPACE, WIDENED_KERNEL, KINDS };

struct mailbox {
    /* Written by initiators. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 asked[KINDS]; /* tickets given out, per kind */
    struct ktlb_u32 interrupted; /* not 0: an interrupt is under way and not taken yet */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_pointer slot[KTLB_MAILBOX_SLOTS];
    /* Written by the target. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 served[KINDS];
};

static struct mailbox *mailboxes;

/* In place of a request that must not be read any more. */
static struct ktlb_request forgotten;
#define FORGOTTEN (&forgotten)

size_t ktlb_mailbox_memory_size(unsigned cpus)
{
    return cpus * sizeof(struct mailbox);
}

void ktlb_mailbox_init(void *memory, unsigned cpus)
{
    mailboxes = (struct mailbox *)memory;
    for (unsigned i = 0; i < cpus; i++)
        mailboxes[i] = (struct mailbox){0};
}

/* A batch's ticket holds the kind below and the count above it. Counts wrap; a ticket is compared by difference, so
 * only one that is 2^29 requests old could be misread, as not served. */
static uint32_t ticket(enum kind kind, uint32_t count)
{
    return count << 2 | (uint32_t)kind;
}

/*
 * Take the next place in the queue, *@place; false if it is full. An exchange fails only because another initiator has
 * succeeded, so the loop ends when the queue is full at the latest, unless the target empties it as fast as others
 * fill it.
 */
static bool take_place(struct mailbox *box, uint32_t *place)
{
    *place = ktlb_load_relaxed_u32(&box->asked[QUEUED]);
    do {
        /* Acquire, pairs with the release in serve_queue: the slot we are about to fill is seen emptied. Signed: the
         * place may be an old one, already behind what is served; the exchange then brings the present one. */
        if ((int32_t)(*place - ktlb_load_acquire_u32(&box->served[QUEUED])) >= KTLB_MAILBOX_SLOTS)
            return false;
    } while (!ktlb_rmw_cas_relaxed_u32(&box->asked[QUEUED], place, *place + 1));
    return true;
}

/* True: the target has to be interrupted. */
static bool post_to(struct ktlb_cpu *self, struct ktlb_batch *batch, unsigned target)
{
    struct mailbox *box = &mailboxes[target];
    uint32_t place;

    if (take_place(box, &place)) {
        batch->ticket[target] = ticket(QUEUED, place + 1);
        /* Relaxed is enough: the request was complete before the full fence [F1] of dispatch, which makes this store
         * publish it. Pairs with the acquire in serve_queue and forget. */
        ktlb_store_relaxed_pointer(&box->slot[place % KTLB_MAILBOX_SLOTS], &batch->request);
    } else {
        enum kind kind = batch->request.space == &ktlb_kernel ? WIDENED_KERNEL : WIDENED_SPACE;

        /* Relaxed likewise: [F1] is between the page-table changes and the count. Pairs with the acquire in
         * serve_widened. */
        batch->ticket[target] = ticket(kind, ktlb_rmw_add_relaxed_u32(&box->asked[kind], 1) + 1);
        KTLB_COUNT(self, overflows, 1);
    }
    /* Release, pairs with the acquire in serve: whoever takes the interrupt back to 0 sees what was posted before it
     * was set, by us or by those who found it set. */
    return ktlb_rmw_exchange_release_u32(&box->interrupted, 1) == 0;
}

void ktlb_mailbox_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    KTLB_CPUSET_EACH(cpu, &batch->waiting)
        if (post_to(self, batch, cpu))
            ktlb_cpuset_add(kick, cpu);
}

bool ktlb_mailbox_posted(struct ktlb_cpu *self)
{
    (void)self; /* who posts to us interrupts us */
    return false;
}

bool ktlb_mailbox_acked(const struct ktlb_batch *batch, unsigned target)
{
    uint32_t mine = batch->ticket[target];
    /* Acquire, pairs with the release in serve_queue and serve_widened: the invalidation happened before. */
    uint32_t served = ktlb_load_acquire_u32(&mailboxes[target].served[mine & 3]);

    return (int32_t)((served << 2) - (mine & ~UINT32_C(3))) >= 0;
}

void ktlb_mailbox_finish(struct ktlb_batch *batch)
{
    (void)batch;
}

bool ktlb_mailbox_pending(const struct ktlb_cpu *self)
{
    return ktlb_load_relaxed_u32(&mailboxes[self->number].interrupted);
}

/* Up to the first place whose holder has not filled it yet, who will interrupt us when it has; or once around: whoever
 * takes a place after that has seen one of ours emptied, and interrupts us as well. */
static uint32_t serve_queue(struct ktlb_cpu *self, struct mailbox *box)
{
    uint32_t first = ktlb_load_relaxed_u32(&box->served[QUEUED]), next = first;

    while (next - first < KTLB_MAILBOX_SLOTS) {
        struct ktlb_pointer *slot = &box->slot[next % KTLB_MAILBOX_SLOTS];
        struct ktlb_request *request = ktlb_load_acquire_pointer(slot);

        if (!request)
            break;
        if (request != FORGOTTEN)
            ktlb_cpu_execute(self, request);
        ktlb_store_relaxed_pointer(slot, NULL);
        ktlb_store_release_u32(&box->served[QUEUED], ++next);
    }
    return next - first;
}

static uint32_t serve_widened(struct ktlb_cpu *self, struct mailbox *box, enum kind kind)
{
    uint32_t asked = ktlb_load_acquire_u32(&box->asked[kind]);
    uint32_t count = asked - ktlb_load_relaxed_u32(&box->served[kind]);

    if (count) {
        ktlb_cpu_execute_widened(self, kind == WIDENED_KERNEL);
        ktlb_store_release_u32(&box->served[kind], asked);
    }
    return count;
}

bool ktlb_mailbox_serve(struct ktlb_cpu *self)
{
    struct mailbox *box = &mailboxes[self->number];
    uint32_t count;

    /* First: what is posted after this sends an interrupt of its own; what was posted before is seen below. */
    ktlb_rmw_exchange_acquire_u32(&box->interrupted, 0);
    count = serve_queue(self, box);
    count += serve_widened(self, box, WIDENED_SPACE);
    count += serve_widened(self, box, WIDENED_KERNEL);
    KTLB_COUNT(self, served, count);
    return count != 0;
}

/* Every slot, not only those up to the first gap: what lies behind a gap would be read when the gap is filled. */
void ktlb_mailbox_forget(struct ktlb_cpu *self)
{
    struct mailbox *box = &mailboxes[self->number];

    for (unsigned i = 0; i < KTLB_MAILBOX_SLOTS; i++)
        if (ktlb_load_acquire_pointer(&box->slot[i]))
            ktlb_store_relaxed_pointer(&box->slot[i], FORGOTTEN);
}

KTLB_PROTOCOL_DEFINE(mailbox, true);
