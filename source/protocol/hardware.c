/*
 * hardware.c - the machine broadcasts: dispatch issues, sync fences.
 *
 * One instruction reaches every CPU's TLB, so there is no request, no interrupt and no answer; what there is is a barrier,
 * and only the CPU that issued can wait with it. Tags mean the same everywhere (asid.c), and a CPU that has loaded a
 * space stays among its targets, because what it holds under the space's tag outlives its leaving. While nobody else
 * has ever loaded the space, dispatch stays local.
 *
 * Where a processor's barrier is known not to wait for all of the targets' accesses, each target is also interrupted: their
 * answers are the doorbell's.
 *
 * Invariant: a batch is finished by a barrier on the CPU that issued last for it.
 * Origin: aarch64's TLBI IS, SBI's RFENCE and AMD's INVLPGB as kernels use them; docs/PROTOCOLS.md.
 */
#include "../internal.h"

#include "ktlb/arch/arch.h"

size_t ktlb_hardware_memory_size(unsigned cpus)
{
    return ktlb_asid_memory_size(cpus) + ktlb_doorbell_memory_size(cpus);
}

void ktlb_hardware_init(void *memory, unsigned cpus)
{
    ktlb_asid_init(memory, cpus);
    ktlb_doorbell_init((char *)memory + ktlb_asid_memory_size(cpus), cpus);
}

static uint64_t asid_of(const struct ktlb_request *request)
{
    if (request->space == &ktlb_kernel || !ktlb_machine.asids)
        return KTLB_ARCH_EVERY_ASID;
    return ktlb_asid_of(request->space);
}

/* ---- the initiator ---- */

void ktlb_hardware_post(struct ktlb_cpu *self, struct ktlb_batch *batch, struct ktlb_cpuset *kick)
{
    const struct ktlb_request *request = &batch->request;

    ktlb_arch_broadcast(&batch->waiting, request->op, request->count, asid_of(request));
    if (ktlb_arch_broadcast_interrupts())
        ktlb_doorbell_post(self, batch, kick);
}

bool ktlb_hardware_posted(struct ktlb_cpu *self)
{
    return ktlb_arch_broadcast_interrupts() && ktlb_doorbell_posted(self);
}

bool ktlb_hardware_acked(const struct ktlb_batch *batch, unsigned target)
{
    return !ktlb_arch_broadcast_interrupts() || ktlb_doorbell_acked(batch, target);
}

void ktlb_hardware_finish(struct ktlb_batch *batch)
{
    const struct ktlb_request *request = &batch->request;
    ktlb_irq irq;
    struct ktlb_cpu *self = ktlb_cpu_enter(&irq);

    /* A barrier waits for what its own CPU issued. Elsewhere, the batch is issued anew: rare, and right. */
    if (self->number != batch->initiator) {
        struct ktlb_cpuset everyone = ktlb_cpuset_read(&ktlb_kernel.active);

        ktlb_fence_seq_cst(); /* as [F1] was for the first time */
        ktlb_arch_broadcast(&everyone, request->op, request->count, asid_of(request));
    }
    ktlb_arch_broadcast_wait(request->flags);
    if (ktlb_arch_broadcast_interrupts())
        ktlb_doorbell_finish(batch);
    ktlb_cpu_leave(self, irq);
}

/* ---- the target: nothing to do, but where it is interrupted as well ---- */

bool ktlb_hardware_pending(const struct ktlb_cpu *self)
{
    return ktlb_doorbell_pending(self);
}

bool ktlb_hardware_serve(struct ktlb_cpu *self)
{
    return ktlb_doorbell_serve(self);
}

void ktlb_hardware_forget(struct ktlb_cpu *self)
{
    ktlb_doorbell_forget(self);
}

/* ---- for the core ---- */

void ktlb_hardware_execute(const struct ktlb_request *request)
{
    for (uint32_t i = 0; i < request->count; i++)
        ktlb_arch_flush_asid(request->op[i], asid_of(request));
}

KTLB_PROTOCOL_DEFINE(hardware, false);
