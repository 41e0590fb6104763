/*
 * protocol.h - the seam between what is asked and how it travels.
 *
 * Above it: who is a target, what a request covers, waiting, stalls, pages. Below it: how a request reaches one
 * target and how the initiator learns that it was executed. A protocol knows nothing of spaces or page tables.
 *
 * The contract of every protocol:
 * - A request posted is executed by its target before it is acknowledged, and never forgotten.
 * - acked() speaks of exactly this batch on exactly this target; no other request can make it true.
 * - serve() takes no lock and waits for no one.
 */
#ifndef KTLB_PROTOCOL_H
#define KTLB_PROTOCOL_H

#include "ktlb/ktlb.h"

struct ktlb_cpu;

struct ktlb_protocol {
    const char *name;

    /* Bytes of memory for @cpus CPUs, a multiple of KTLB_CACHE_LINE / take that memory, zeroed. */
    size_t (*memory_size)(unsigned cpus);
    void (*init)(void *memory, unsigned cpus);

    /* Give @batch's request to @target; true: the target has to be interrupted to see it.
     * => Interrupts masked; a full fence is between the last change of the request, or of a page table, and this call.
     *    The request stays constant, and readable until acknowledged or the target has left. */
    bool (*post)(unsigned target, struct ktlb_batch *batch);

    /* Whether @target has executed @batch's request; if so, what it did happens before what follows here. */
    bool (*acked)(const struct ktlb_batch *batch, unsigned target);

    /* Whether there may be something to serve; a hint that costs one load, and never stays wrong. */
    bool (*pending)(const struct ktlb_cpu *self);

    /* Execute and acknowledge what was posted to this CPU; true if there was anything. => Interrupts masked. */
    bool (*serve)(struct ktlb_cpu *self);

    /* This CPU was away and initiators may have given up on it: nothing posted before may be looked at any more. What
     * is here now is marked, to be acknowledged unread by the next serve(); the caller drops everything in between.
     * => Interrupts masked. */
    void (*forget)(struct ktlb_cpu *self);
};

extern const struct ktlb_protocol ktlb_mailbox;

#endif
