/*
 * riscv64_sbi.h - what to ask of the firmware, so that it fences on other harts: the arguments of SBI's RFENCE
 * extension, as functions of nothing but theirs. The call itself (ECALL: extension in a7, function in a6, the rest in
 * a0 to a4) is the port's. It returns when the harts have fenced; no barrier is owed before it but a fence that orders
 * the page-table changes, ktlb_riscv64_fence_ipi().
 *
 * The firmware counts harts, and their numbers may have gaps; the library counts CPUs. The port keeps one array,
 * hart_of[CPU], and a set of CPUs is taken apart by it into calls of up to 64 harts:
 *
 *     while (!ktlb_cpuset_empty(&cpus))
 *         ecall(ktlb_riscv64_sbi_fence(ktlb_riscv64_take_harts(&cpus, hart_of), op, asid));
 *
 * From: RISC-V Supervisor Binary Interface Specification, "RFENCE Extension" and "Hart list parameter".
 */
#ifndef KTLB_ARCH_RISCV64_SBI_H
#define KTLB_ARCH_RISCV64_SBI_H

#include "riscv64.h"

#define KTLB_RISCV64_SBI_RFENCE UINT64_C(0x52464e43) /* "RFNC" */

/* Bit n of @mask: hart @base + n. */
struct ktlb_riscv64_harts {
    uint64_t mask, base;
};

/* One call. What its function does not take is 0. */
struct ktlb_riscv64_sbi_call {
    uint64_t extension, function;
    uint64_t mask, base, start, size, asid; /* a0 to a4 */
};

/* Take out of *@cpus, which is not empty, those that one call can name: the lowest hart and the 63 numbers after it. */
KTLB_INLINE struct ktlb_riscv64_harts ktlb_riscv64_take_harts(struct ktlb_cpuset *cpus, const uint64_t *hart_of)
{
    struct ktlb_riscv64_harts harts = {0, UINT64_MAX};

    KTLB_CPUSET_EACH(cpu, cpus)
        if (hart_of[cpu] < harts.base)
            harts.base = hart_of[cpu];
    KTLB_CPUSET_EACH(cpu, cpus) {
        if (hart_of[cpu] - harts.base >= 64)
            continue;
        harts.mask |= UINT64_C(1) << (hart_of[cpu] - harts.base);
        ktlb_cpuset_remove(cpus, cpu);
    }
    return harts;
}

/* ktlb_riscv64_fence(@op, @asid) on @harts, but for KTLB_EXEC: that is the other call. */
KTLB_INLINE struct ktlb_riscv64_sbi_call ktlb_riscv64_sbi_fence(struct ktlb_riscv64_harts harts, struct ktlb_op op,
                                                                uint64_t asid)
{
    bool every = ktlb_riscv64_is_every(op, asid), whole = ktlb_riscv64_is_whole(op);
    struct ktlb_riscv64_sbi_call call;

    call.extension = KTLB_RISCV64_SBI_RFENCE;
    call.function = every ? 1 : 2; /* REMOTE_SFENCE_VMA, REMOTE_SFENCE_VMA_ASID */
    call.mask = harts.mask;
    call.base = harts.base;
    call.start = whole ? 0 : op.va;
    call.size = whole ? UINT64_MAX : (uint64_t)op.count << op.shift; /* all ones: everything */
    call.asid = every ? 0 : asid;
    return call;
}

/* Have the firmware do it. It refuses only what it never can, a hart that is none or a missing extension, and then
 * nothing that follows would be true. */
KTLB_INLINE void ktlb_riscv64_call(struct ktlb_riscv64_sbi_call call)
{
    if (ktlb_riscv64_ecall(call.extension, call.function, call.mask, call.base, call.start, call.size, call.asid) != 0)
        KTLB_PANIC("ktlb: the firmware fences on the harts of ktlb_arch.hart_of");
}

/* FENCE.I on @harts. => A full fence is between the stores to code and the call. */
KTLB_INLINE struct ktlb_riscv64_sbi_call ktlb_riscv64_sbi_fence_i(struct ktlb_riscv64_harts harts)
{
    struct ktlb_riscv64_sbi_call call = {KTLB_RISCV64_SBI_RFENCE, 0, harts.mask, harts.base, 0, 0, 0};

    return call;
}

/* ---- for the library: the firmware as who broadcasts ---- */

#define KTLB_ARCH_EVERY_ASID KTLB_RISCV64_EVERY_ASID

KTLB_INLINE bool ktlb_arch_broadcasts(void)
{
    return ktlb_arch.hart_of != NULL;
}

KTLB_INLINE bool ktlb_arch_broadcast_interrupts(void)
{
    return false;
}

/*
 * Drop the @count ops at @op on the harts of @targets and here, under @asid, which means the same on all of them, or
 * KTLB_ARCH_EVERY_ASID. The firmware interrupts them itself, where supervisors cannot mask it, and returns when they
 * are done. => Interrupts masked.
 */
KTLB_INLINE void ktlb_arch_broadcast(const struct ktlb_cpuset *targets, const struct ktlb_op *op, unsigned count,
                                     uint64_t asid)
{
    ktlb_riscv64_fence_ipi();
    for (unsigned i = 0; i < count; i++) {
        struct ktlb_cpuset rest = *targets;

        while (!ktlb_cpuset_empty(&rest)) { /* each turn takes a hart or more */
            struct ktlb_riscv64_harts harts = ktlb_riscv64_take_harts(&rest, ktlb_arch.hart_of);

            ktlb_riscv64_call(ktlb_riscv64_sbi_fence(harts, op[i], asid));
            if (op[i].flags & KTLB_EXEC)
                ktlb_riscv64_call(ktlb_riscv64_sbi_fence_i(harts));
        }
        ktlb_riscv64_fence(op[i], asid);
    }
}

KTLB_INLINE void ktlb_arch_broadcast_wait(unsigned flags)
{
    (void)flags;
}

/* Drop @op here alone, under @asid, loaded or not, or KTLB_ARCH_EVERY_ASID. */
KTLB_INLINE void ktlb_arch_flush_asid(struct ktlb_op op, uint64_t asid)
{
    ktlb_riscv64_fence(op, asid);
}

/* A full fence between harts that orders what this one walks as well, under @asid: only an SFENCE.VMA does. */
KTLB_INLINE void ktlb_arch_fence_walks(uint64_t asid)
{
    ktlb_fence_seq_cst();
    ktlb_riscv64_fence(ktlb_op_all(0), asid);
}

#endif
