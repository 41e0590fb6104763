/*
 * x86_64_apic.h - a help for hosts: interrupting a set of CPUs through the local APIC, in as few writes as it allows.
 *
 * One write of the command register interrupts all others (the shorthand), or any CPUs of one cluster of an x2APIC, or
 * any of an xAPIC machine that runs flat, or one CPU. On a virtual machine each write is an exit, on any machine it is
 * the initiator's time. A host fills in struct ktlb_apic once and makes its ktlb_port_ipi() of ktlb_apic_send(). The
 * library itself knows nothing of this file. Registers and destinations: Intel SDM volume 3, the chapter on the APIC.
 *
 * Invariant: every CPU of the set is reached, and no other unless the host allowed the shorthand.
 *
 * The lower floor (ktlb_x86_rdmsr, ktlb_x86_wrmsr, ktlb_x86_mmio_read, ktlb_x86_mmio_write) is in
 * x86_64_instructions.h.
 */
#ifndef KTLB_ARCH_X86_64_APIC_H
#define KTLB_ARCH_X86_64_APIC_H

#include "x86_64.h"

/* How the controllers run and how CPUs are named to them. The host has chosen, and put every CPU's in that mode. Bit 0:
 * by logical destinations; bit 1: by MSR. */
enum ktlb_apic_mode {
    KTLB_XAPIC = 0,          /* memory-mapped, one CPU at a time */
    KTLB_XAPIC_FLAT = 1,     /* memory-mapped, at most 8 CPUs, any of them at a time: see ktlb_apic_join() */
    KTLB_X2APIC = 2,         /* by MSR, one CPU at a time */
    KTLB_X2APIC_CLUSTER = 3, /* by MSR, any of the 16 CPUs of a cluster at a time */
};

/* What is sent: a vector, 16 to 255, or this. */
#define KTLB_APIC_NMI 0x400u

/* One name per counter, and what a reader calls it. */
#define KTLB_APIC_COUNTERS_EACH(X)                                                                 \
    X(shorthand, "writes that went to all but the sender")                                         \
    X(multicast, "writes that went to any number of CPUs by a logical destination")                \
    X(single, "writes that went to one CPU by its number")                                         \
    X(nmis, "of these writes, NMIs")                                                               \
    X(targets, "CPUs that they were for")                                                          \
    X(busy, "turns spent waiting for the write before to be delivered")                            \
    X(stuck, "times that KTLB_STALL_SPINS such turns were not enough")

/* Of one sender, written by it alone; anyone may read, with ktlb_load_relaxed(). With KTLB_STATS 0 all stay zero. */
struct KTLB_ALIGNED(KTLB_CACHE_LINE) ktlb_apic_counters {
#define X(name, text) struct ktlb_u64 name;
    KTLB_APIC_COUNTERS_EACH(X)
#undef X
};

struct ktlb_apic_cpu {
    uint32_t id;   /* the APIC's number, by the host */
    uint32_t next; /* by ktlb_apic_init(): a ring of the CPUs that one write can reach */
};

/* Filled in by the host and then constant, with all it points to but *everyone and *counters. A host that wants to
 * tell its own interrupts from ktlb's in the counts keeps two of these, which differ in counters. */
struct ktlb_apic {
    enum ktlb_apic_mode mode;
    unsigned cpus;                         /* numbered from 0 */
    struct ktlb_apic_cpu *cpu;             /* as many */
    struct ktlb_apic_counters *counters;   /* as many */
    volatile uint32_t *registers;          /* memory-mapped modes: the APIC's page, uncached */
    /* The CPUs that are up, if the shorthand is allowed; else NULL. The shorthand reaches every APIC of the machine,
     * also those of CPUs that were never started, were stopped or are not in the table. To allow it is to promise
     * that what is sent does no harm there: an interrupt may be taken when such a CPU comes back, an NMI wakes it now. */
    const struct ktlb_cpuset_shared *everyone;
    /* Memory-mapped modes: the controller of @self still has not delivered its last command. A report, as
     * ktlb_port_stall() is: the waiting goes on. May be NULL. => Context of ktlb_apic_send(); sends nothing itself. */
    void (*stuck)(unsigned self);
};

/* ---- the command register ---- */

#define KTLB_APIC_DESTINATIONS 0xd0u /* offsets in the APIC's page */
#define KTLB_APIC_FORMAT 0xe0u
#define KTLB_APIC_COMMAND 0x300u
#define KTLB_APIC_COMMAND_HIGH 0x310u
#define KTLB_X2APIC_DESTINATIONS 0x80du /* MSRs */
#define KTLB_X2APIC_COMMAND 0x830u
#define KTLB_APIC_LOGICAL (1u << 11)
#define KTLB_APIC_SENDING (1u << 12)
#define KTLB_APIC_ASSERT (1u << 14) /* set in all commands but one of long ago */
#define KTLB_APIC_ALL_OTHERS (3u << 18)

KTLB_INLINE bool ktlb_apic_is_x2(const struct ktlb_apic *apic)
{
    return apic->mode & 2;
}

KTLB_INLINE bool ktlb_apic_is_logical(const struct ktlb_apic *apic)
{
    return apic->mode & 1;
}

KTLB_INLINE void ktlb_apic_count(struct ktlb_u64 *counter, uint64_t amount)
{
    if (KTLB_STATS)
        ktlb_store_relaxed(counter, ktlb_load_relaxed(counter) + amount);
}

KTLB_INLINE bool ktlb_apic_sending(const struct ktlb_apic *apic)
{
    return ktlb_x86_mmio_read(apic->registers + KTLB_APIC_COMMAND / 4) & KTLB_APIC_SENDING;
}

/* Ended by the controller, in bus time, whatever the targets do; until then, reports. */
KTLB_OUTLINE void ktlb_apic_wait_sent(const struct ktlb_apic *apic, unsigned self)
{
    struct ktlb_apic_counters *counters = &apic->counters[self];
    uint32_t spins = 0;

    do {
        ktlb_x86_pause();
        ktlb_apic_count(&counters->busy, 1);
        if (++spins == KTLB_STALL_SPINS) {
            spins = 0;
            ktlb_apic_count(&counters->stuck, 1);
            if (apic->stuck)
                apic->stuck(self);
        }
    } while (ktlb_apic_sending(apic));
}

/* Earlier stores become visible to whoever is interrupted by a command after this. */
KTLB_INLINE void ktlb_apic_fence(const struct ktlb_apic *apic)
{
    if (ktlb_apic_is_x2(apic))
        ktlb_x86_fence_x2apic();
    else
        ktlb_x86_fence_xapic();
}

/* @x2: ktlb_apic_is_x2(@apic). => No command is under way: this replaces it. */
KTLB_INLINE void ktlb_apic_write(const struct ktlb_apic *apic, bool x2, uint32_t destination, uint32_t command)
{
    command |= KTLB_APIC_ASSERT;
    if (x2) {
        ktlb_x86_wrmsr(KTLB_X2APIC_COMMAND, (uint64_t)destination << 32 | command);
        return;
    }
    ktlb_x86_mmio_write(apic->registers + KTLB_APIC_COMMAND_HIGH / 4, destination << 24);
    ktlb_x86_mmio_write(apic->registers + KTLB_APIC_COMMAND / 4, command);
}

/*
 * Give one command, of any kind (to start a CPU, for instance); it is not counted.
 * => On CPU @self, after ktlb_apic_fence(). Context: as ktlb_apic_send().
 */
KTLB_INLINE void ktlb_apic_command(const struct ktlb_apic *apic, unsigned self, uint32_t destination, uint32_t command)
{
    bool x2 = ktlb_apic_is_x2(apic);

    if (!x2 && KTLB_UNLIKELY(ktlb_apic_sending(apic)))
        ktlb_apic_wait_sent(apic, self);
    ktlb_apic_write(apic, x2, destination, command);
}

/* ---- set-up ---- */

/* CPUs with the same are reached by one write. */
KTLB_INLINE uint32_t ktlb_apic_group(const struct ktlb_apic *apic, unsigned cpu)
{
    switch (apic->mode) {
    case KTLB_X2APIC_CLUSTER:
        return apic->cpu[cpu].id >> 4;
    case KTLB_XAPIC_FLAT:
        return 0;
    default:
        return apic->cpu[cpu].id;
    }
}

/* What @cpu answers to; those of a group may be or-ed where the mode is logical. In clusters the hardware has it so. */
KTLB_INLINE uint32_t ktlb_apic_destination(const struct ktlb_apic *apic, unsigned cpu)
{
    uint32_t id = apic->cpu[cpu].id;

    switch (apic->mode) {
    case KTLB_X2APIC_CLUSTER:
        return (id >> 4) << 16 | 1u << (id & 15);
    case KTLB_XAPIC_FLAT:
        return 1u << cpu;
    default:
        return id;
    }
}

/* The first number that no CPU can have; from there on are broadcasts, and what the mode cannot name. */
KTLB_INLINE uint32_t ktlb_apic_id_end(const struct ktlb_apic *apic)
{
    if (!ktlb_apic_is_x2(apic))
        return 0xff;
    return apic->mode == KTLB_X2APIC ? UINT32_MAX : 0xffff0;
}

/*
 * Check what the host filled in and prepare the table; NULL, or what is wrong in one sentence.
 * => Once, before any other call. Time: the square of the number of CPUs, with a small factor.
 */
KTLB_INLINE const char *ktlb_apic_init(struct ktlb_apic *apic)
{
    struct ktlb_apic_cpu *cpu = apic->cpu;

    if (apic->cpus < 1 || apic->cpus > KTLB_CPUS_MAX)
        return "the number of CPUs is 0 or more than KTLB_CPUS_MAX";
    if (apic->mode == KTLB_XAPIC_FLAT && apic->cpus > 8)
        return "a flat xAPIC names at most 8 CPUs";
    if (!ktlb_apic_is_x2(apic) && !apic->registers)
        return "an xAPIC is memory-mapped, and its page is missing";
    for (unsigned i = 0; i < apic->cpus; i++) {
        if (cpu[i].id >= ktlb_apic_id_end(apic))
            return "a CPU has a number that this mode of the APIC cannot address";
        cpu[i].next = i;
        for (unsigned k = 0; k < i; k++) {
            if (cpu[k].id == cpu[i].id)
                return "two CPUs have the same APIC number";
            if (cpu[i].next == i && ktlb_apic_group(apic, k) == ktlb_apic_group(apic, i)) {
                cpu[i].next = cpu[k].next;
                cpu[k].next = i;
            }
        }
    }
    return NULL;
}

/*
 * From here on this CPU can be sent to. Flat: it answers to its bit. Clusters: it should of itself, but emulated APICs were
 * seen that do not; false: the host takes another mode, or stops here rather than lose interrupts.
 * => On CPU @self, its APIC enabled.
 */
KTLB_INLINE bool ktlb_apic_join(const struct ktlb_apic *apic, unsigned self)
{
    if (apic->mode == KTLB_X2APIC_CLUSTER)
        return ktlb_x86_rdmsr(KTLB_X2APIC_DESTINATIONS) == ktlb_apic_destination(apic, self);
    if (apic->mode == KTLB_XAPIC_FLAT) {
        ktlb_x86_mmio_write(apic->registers + KTLB_APIC_FORMAT / 4, UINT32_MAX);
        ktlb_x86_mmio_write(apic->registers + KTLB_APIC_DESTINATIONS / 4, ktlb_apic_destination(apic, self) << 24);
    }
    return true;
}

/* ---- sending ---- */

/*
 * Whether *@targets, who are several, are everyone but @self. *everyone may be changing; that it is read relaxed loses
 * no one: the shorthand reaches all targets in any case, and a CPU that is just coming up is disturbed at worst.
 */
KTLB_INLINE bool ktlb_apic_all_others(const struct ktlb_apic *apic, unsigned self, const struct ktlb_cpuset *targets)
{
    if (!apic->everyone)
        return false;
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++) {
        uint64_t others = ktlb_load_relaxed(&apic->everyone->word[i]);

        if (KTLB_CPUSET_WORDS == 1 || i == self / 64)
            others &= ~(UINT64_C(1) << (self % 64));
        if (others != targets->word[i])
            return false;
    }
    return true;
}

KTLB_INLINE bool ktlb_apic_several(const struct ktlb_cpuset *targets)
{
    uint64_t before = 0;

    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++) {
        uint64_t word = targets->word[i];

        if (word & (word - 1) || (word && before))
            return true;
        before |= word;
    }
    return false;
}

KTLB_INLINE void ktlb_apic_count_sent(const struct ktlb_apic *apic, unsigned self, struct ktlb_u64 *how,
                                      uint64_t writes, uint64_t targets, uint32_t what)
{
    ktlb_apic_count(how, writes);
    if (what == KTLB_APIC_NMI)
        ktlb_apic_count(&apic->counters[self].nmis, writes);
    ktlb_apic_count(&apic->counters[self].targets, targets);
}

/* One write for all others, who are *@targets. */
KTLB_INLINE void ktlb_apic_send_all_others(const struct ktlb_apic *apic, unsigned self, struct ktlb_cpuset targets,
                                           uint32_t what)
{
    ktlb_apic_fence(apic);
    ktlb_apic_command(apic, self, 0, what | KTLB_APIC_ALL_OTHERS);
    ktlb_apic_count_sent(apic, self, &apic->counters[self].shorthand, 1, ktlb_cpuset_count(&targets), what);
}

/* A write for every group that has a target. Where the mode is not logical, a group is a CPU. */
KTLB_OUTLINE void ktlb_apic_send_groups(const struct ktlb_apic *apic, unsigned self, struct ktlb_cpuset targets,
                                        uint32_t what)
{
    struct ktlb_apic_counters *counters = &apic->counters[self];
    uint32_t command = ktlb_apic_is_logical(apic) ? what | KTLB_APIC_LOGICAL : what;
    struct ktlb_cpuset rest = targets;
    unsigned writes = 0;

    ktlb_apic_fence(apic);
    KTLB_CPUSET_EACH(cpu, &targets) {
        uint32_t destination = 0;
        unsigned at = cpu;

        if (!ktlb_cpuset_has(&rest, cpu))
            continue; /* sent to with another of its group */
        do { /* once around the ring */
            if (ktlb_cpuset_has(&rest, at))
                destination |= ktlb_apic_destination(apic, at);
            ktlb_cpuset_remove(&rest, at);
            at = apic->cpu[at].next;
        } while (at != cpu);
        ktlb_apic_command(apic, self, destination, command);
        writes++;
    }
    ktlb_apic_count_sent(apic, self, ktlb_apic_is_logical(apic) ? &counters->multicast : &counters->single, writes,
                         ktlb_cpuset_count(&targets), what);
}

/* The rest of a send, whose first command cannot be given yet. */
KTLB_OUTLINE void ktlb_apic_send_rest(const struct ktlb_apic *apic, unsigned self, struct ktlb_cpuset targets,
                                      uint32_t what)
{
    ktlb_apic_wait_sent(apic, self);
    ktlb_apic_send_groups(apic, self, targets, what);
}

/*
 * A write for every target, by KTLB_XAPIC, in few instructions; by MSR it is the writes that take the time. @one: there
 * is one target at most. From where a write has to wait it goes on elsewhere, so this keeps nothing across a call.
 */
KTLB_INLINE void ktlb_apic_send_singly(const struct ktlb_apic *apic, bool one, unsigned self,
                                       struct ktlb_cpuset targets, uint32_t what)
{
    struct ktlb_u64 *single = &apic->counters[self].single;
    uint64_t writes = 0;

    ktlb_x86_fence_xapic();
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++) {
        for (; targets.word[i]; targets.word[i] &= one ? 0 : targets.word[i] - 1) {
            if (KTLB_UNLIKELY(ktlb_apic_sending(apic))) {
                ktlb_apic_count_sent(apic, self, single, writes, writes, what);
                ktlb_apic_send_rest(apic, self, targets, what);
                return;
            }
            ktlb_apic_write(apic, false, apic->cpu[64 * i + ktlb_lowest_bit(targets.word[i])].id, what);
            writes++;
        }
    }
    ktlb_apic_count_sent(apic, self, single, writes, writes, what);
}

/*
 * Interrupt every CPU of *@targets: @what is a vector or KTLB_APIC_NMI. Stores made before are visible to them when the
 * interrupt arrives. An empty set is no write. @self is interrupted if it is in the set.
 * => On CPU @self, in the memory-mapped modes with interrupts masked: a command is two writes there, and a handler that
 *    sends between them would change whom it goes to. An NMI handler may send there only if it does not return.
 * => By MSR a command is one write: any context, NMI too; a count may then be lost.
 */
KTLB_INLINE void ktlb_apic_send(const struct ktlb_apic *apic, unsigned self, const struct ktlb_cpuset *targets,
                                uint32_t what)
{
    struct ktlb_cpuset set = *targets; /* no fence makes the compiler read this again */
    bool several = ktlb_apic_several(&set);

#if KTLB_ASSERTIONS
    if (KTLB_UNLIKELY(self >= apic->cpus || ktlb_cpuset_next(&set, apic->cpus) < KTLB_CPUS_MAX))
        KTLB_PANIC("ktlb: an interrupt is sent by and to CPUs of the table");
    if (KTLB_UNLIKELY(what != KTLB_APIC_NMI && (what < 16 || what > 255)))
        KTLB_PANIC("ktlb: what is sent is a vector from 16 to 255 or KTLB_APIC_NMI");
#endif
    if (!several && apic->mode == KTLB_XAPIC)
        ktlb_apic_send_singly(apic, true, self, set, what);
    else if (several && ktlb_apic_all_others(apic, self, &set)) /* one is a single write in any case */
        ktlb_apic_send_all_others(apic, self, set, what);
    else if (apic->mode == KTLB_XAPIC)
        ktlb_apic_send_singly(apic, false, self, set, what);
    else
        ktlb_apic_send_groups(apic, self, set, what);
}

#endif
