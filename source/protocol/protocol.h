/*
 * protocol.h - the seam between what is asked and how it travels.
 *
 * Above it: who is a target, what a request covers, waiting, stalls, pages. Below it: how a request reaches its
 * targets and how the initiator learns that each has executed it. A protocol knows nothing of spaces or page tables.
 *
 * The contract of every protocol:
 * - A request posted is executed by its target before it is acknowledged, and never forgotten.
 * - acked() speaks of exactly this batch on exactly this target; no other request can make it true.
 * - post() and serve() take no lock and wait for no one; what does not fit is widened, never refused.
 *
 * Protocol NAME is the nine functions ktlb_NAME_…, declared below for all of them alike. With KTLB_PROTOCOL set
 * the core calls those of one directly, and the others are not linked.
 */
#ifndef KTLB_PROTOCOL_H
#define KTLB_PROTOCOL_H

#include "ktlb/ktlb.h"

struct ktlb_cpu;

struct ktlb_protocol {
    const char *name;
    /* Where many ask at once, details of what they ask are left out as a matter of course, and its targets look them up
     * among what the space remembers. */
    bool recalls;

    /* Bytes of memory for @cpus CPUs, a multiple of KTLB_CACHE_LINE / take that memory, zeroed. */
    size_t (*memory_size)(unsigned cpus);
    void (*init)(void *memory, unsigned cpus);

    /* Give @batch's request to every CPU in @batch->waiting, which is not empty, and add those that have to be
     * interrupted to *@kick, which is.
     * => Interrupts masked, on @self; a full fence is between the last change of the request, or of a page table, and
     *    this call. The request stays constant, and readable until each target has acknowledged or left. */
    void (*post)(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick);

    /* The end of a dispatch that posted: whether anything was posted to this CPU meanwhile, for which no interrupt was sent,
     * so that it has to be served now. => Interrupts masked, once after each post(). */
    bool (*posted)(struct ktlb_cpu *self);

    /* Whether @target has executed @batch's request; if so, what it did happens before what follows here. */
    bool (*acked)(const struct ktlb_batch *batch, unsigned target);

    /* Every target of @batch has answered or left: give up what the batch holds. => Once, on any CPU. */
    void (*finish)(struct ktlb_batch *batch);

    /* Whether there may be something to serve; a hint that costs one load, or few, and never stays wrong. */
    bool (*pending)(const struct ktlb_cpu *self);

    /* Execute and acknowledge what was posted to this CPU; true if there was anything. => Interrupts masked. */
    bool (*serve)(struct ktlb_cpu *self);

    /* This CPU was away and initiators may have given up on it: nothing posted before may be looked at any more. What
     * is here now is marked, to be acknowledged unread by the next serve(); the caller drops everything in between.
     * => Interrupts masked. */
    void (*forget)(struct ktlb_cpu *self);
};

#define KTLB_PROTOCOL_DECLARE(p)                                                                   \
    size_t ktlb_##p##_memory_size(unsigned cpus);                                                  \
    void ktlb_##p##_init(void *memory, unsigned cpus);                                             \
    void ktlb_##p##_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick); \
    bool ktlb_##p##_posted(struct ktlb_cpu *self);                                                 \
    bool ktlb_##p##_acked(const struct ktlb_batch *batch, unsigned target);                        \
    void ktlb_##p##_finish(struct ktlb_batch *batch);                                              \
    bool ktlb_##p##_pending(const struct ktlb_cpu *self);                                          \
    bool ktlb_##p##_serve(struct ktlb_cpu *self);                                                  \
    void ktlb_##p##_forget(struct ktlb_cpu *self);                                                 \
    extern const struct ktlb_protocol ktlb_##p;

#ifdef KTLB_PROTOCOL
#define KTLB_PROTOCOL_DEFINE(p, recalls_)                                                          \
    const struct ktlb_protocol ktlb_##p = {                                                        \
        .name = #p, .recalls = recalls_, .memory_size = ktlb_##p##_memory_size, .init = ktlb_##p##_init}
#else
#define KTLB_PROTOCOL_DEFINE(p, recalls_)                                                          \
    const struct ktlb_protocol ktlb_##p = {                                                        \
        .name = #p,                                                                                \
        .recalls = recalls_,                                                                       \
        .memory_size = ktlb_##p##_memory_size,                                                     \
        .init = ktlb_##p##_init,                                                                   \
        .post = ktlb_##p##_post,                                                                   \
        .posted = ktlb_##p##_posted,                                                               \
        .acked = ktlb_##p##_acked,                                                                 \
        .finish = ktlb_##p##_finish,                                                               \
        .pending = ktlb_##p##_pending,                                                             \
        .serve = ktlb_##p##_serve,                                                                 \
        .forget = ktlb_##p##_forget,                                                               \
    }
#endif

/* The protocols that tell each target, the default first: all that a new one has to be added to (and, to be bound, to
 * config.h). */
#define KTLB_PROTOCOLS_SOFTWARE(X)                                                                 \
    X(doorbell)                                                                                    \
    X(mailbox)                                                                                     \
    X(scoreboard)                                                                                  \
    X(broadcast)
/* All of them. */
#define KTLB_PROTOCOLS_EACH(X) KTLB_PROTOCOLS_SOFTWARE(X) X(hardware)

KTLB_PROTOCOLS_EACH(KTLB_PROTOCOL_DECLARE)

#ifdef KTLB_PROTOCOL
#define KTLB_PROTOCOL_FUNCTION(function) KTLB_PROTOCOL_PASTE(ktlb_, KTLB_PROTOCOL, _##function)
#define KTLB_PROTOCOL_PASTE(a, b, c) KTLB_PROTOCOL_PASTE_AGAIN(a, b, c)
#define KTLB_PROTOCOL_PASTE_AGAIN(a, b, c) a##b##c
#define KTLB_PROTOCOL_RECALLS (KTLB_PROTOCOL_PASTE(ktlb_, KTLB_PROTOCOL, ).recalls)
#define KTLB_BY_HARDWARE (&KTLB_PROTOCOL_PASTE(ktlb_, KTLB_PROTOCOL, ) == &ktlb_hardware)
#else
#define KTLB_PROTOCOL_FUNCTION(function) ktlb_machine.protocol->function
#define KTLB_PROTOCOL_RECALLS (ktlb_machine.protocol->recalls)
/* Whether the machine invalidates for all CPUs. Then the core keeps no slots, and spaces have tags (asid.c). */
#define KTLB_BY_HARDWARE (ktlb_machine.protocol == &ktlb_hardware)
#endif

/* ---- request lines, for the protocols that copy requests into lines of their own: line.c ---- */

/* One request under way. Its cache lines are written by its initiator only, and only while nobody can be reading. */
struct ktlb_line {
    struct ktlb_request request;
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 taken;
};

/* What is in use of @from. */
void ktlb_request_copy(struct ktlb_request *to, const struct ktlb_request *from);

/* In place of a line's number. */
#define KTLB_LINE_NONE UINT32_MAX

/* Take one of @tries of the @count lines whose words taken lie @apart bytes from one another, from @first on, around the
 * end; its number, or KTLB_LINE_NONE if all are taken. */
uint32_t ktlb_line_claim(struct ktlb_u32 *taken, size_t apart, uint32_t count, uint32_t first, uint32_t tries);
/* The same among all @lines, and copy @request into it. */
uint32_t ktlb_line_take(struct ktlb_line *lines, uint32_t count, const struct ktlb_request *request);
/* Nobody reads the line any more. => On any CPU. */
void ktlb_line_release(struct ktlb_u32 *taken);

#endif
