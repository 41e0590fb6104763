/*
 * traps.c - exceptions and interrupts, from the entry in boot.S to common code; interrupts to other harts.
 *
 * Everything runs on the stack of whoever was interrupted, interrupts masked. A hart has one software interrupt: a word
 * of its own says what it is for. Nothing here cannot be masked; what stands in for an NMI is a second word, looked at
 * by every interrupt that is taken, the timer's in arch_nap() included.
 */
#include "ktlb/arch/riscv64.h"
#include "riscv.h"

struct trap {
    uint64_t x[32]; /* x0's place has the program counter */
    uint64_t status, cause, value;
    uint64_t caller_frame, caller; /* see frame_of() */
    uint64_t zero;
};
KTLB_STATIC_ASSERT(sizeof(struct trap) == 304, "TRAP_SIZE, in boot.S");

enum { PC = 0, RA = 1, S0 = 8 }; /* in x */

enum exception { LOAD_ACCESS = 5, STORE_ACCESS = 7, LOAD_PAGE = 13, STORE_PAGE = 15 };
#define CAUSE_INTERRUPT (UINT64_C(1) << 63)

static struct asked {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u32 ktlb, nmi;
} asked[KTLB_CPUS_MAX];

const int64_t arch_frame_words = -16;

extern const char riscv64_load_access[], riscv64_store_access[], riscv64_access_failed[];
void riscv64_trap(struct trap *trap);

void traps_enable(void)
{
    csr_write(sie, SIE_SOFTWARE | SIE_TIMER);
    csr_set(sstatus, SSTATUS_SUM);
}

/* ---- interrupts to others ---- */

/* How many CPUs each has interrupted for ktlb; written by it alone. */
static struct {
    KTLB_ALIGNED(KTLB_CACHE_LINE) uint64_t targets;
} sent[KTLB_CPUS_MAX];

/* A chain of exchanges: whoever takes the last of them has what all of them released, as their interrupts may merge. */
void arch_ipi(const struct ktlb_cpuset *targets)
{
    KTLB_CPUSET_EACH(cpu, targets)
        ktlb_rmw_exchange_release_u32(&asked[cpu].ktlb, 1);
    sent[arch_cpu_number()].targets += ktlb_cpuset_count(targets);
    arch_wake(targets);
}

void arch_wake(const struct ktlb_cpuset *targets)
{
    ktlb_riscv64_fence_ipi();
    sbi_interrupt(targets);
}

bool arch_nmi(const struct ktlb_cpuset *targets)
{
    KTLB_CPUSET_EACH(cpu, targets)
        ktlb_rmw_exchange_release_u32(&asked[cpu].nmi, 1);
    sent[arch_cpu_number()].targets += ktlb_cpuset_count(targets);
    arch_wake(targets);
    return true;
}

uint64_t arch_interrupted(void)
{
    uint64_t targets = 0;

    for (unsigned i = 0; i < cpus_count; i++)
        targets += sent[i].targets;
    console_print("sends: %lu CPUs interrupted by SBI\n", targets);
    return targets;
}

/* ---- traps ---- */

/* A function that calls none keeps its return address in its register, and where others have it in memory, its caller's
 * frame pointer. The two words are then made up here. */
static uint64_t frame_of(struct trap *trap)
{
    uint64_t frame = trap->x[S0], word;

    if (!arch_load(frame - 8, &word) || word - frame > STACK_SIZE)
        return frame;
    trap->caller_frame = word;
    trap->caller = trap->x[RA];
    return (uintptr_t)&trap->zero;
}

static struct context context_of(struct trap *trap)
{
    return (struct context){trap->x[PC], (uintptr_t)trap, frame_of(trap), !(trap->status & SSTATUS_SPIE)};
}

static void interrupt(uint64_t number, struct trap *trap)
{
    struct asked *mine = &asked[arch_cpu_number()];
    struct context context;

    if (number == INTERRUPT_SOFTWARE) {
        /* First: what is asked from here on interrupts again, and what was asked before is seen below. */
        csr_clear(sip, SIE_SOFTWARE);
        __asm__ volatile("fence iorw, iorw" : : : "memory");
    }
    if (ktlb_rmw_exchange_acquire_u32(&mine->nmi, 0)) {
        context = context_of(trap);
        kernel_nmi(&context);
    }
    if (number == INTERRUPT_TIMER) {
        context = context_of(trap);
        kernel_tick(&context);
    } else if (ktlb_rmw_exchange_acquire_u32(&mine->ktlb, 0)) {
        ktlb_ipi();
    }
}

static void registers_print(const struct trap *t)
{
    static const char names[32][4] = {"pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",
                                      "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5",
                                      "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};

    console_seize();
    for (unsigned i = 0; i < 32; i += 4)
        console_print("%-3s %016lx %-3s %016lx %-3s %016lx %-3s %016lx\n", names[i], t->x[i], names[i + 1], t->x[i + 1],
                      names[i + 2], t->x[i + 2], names[i + 3], t->x[i + 3]);
    console_print("sstatus %lx scause %lx stval %lx satp %lx\n", t->status, t->cause, t->value,
                  ktlb_riscv64_read_satp());
}

static const char *exception_name(uint64_t cause)
{
    static const char *const names[] = {
        "instruction address misaligned", "instruction access fault",
        "invalid instruction (or a broken rule of the library)", "breakpoint (or a broken rule of the library)",
        "load address misaligned", "load access fault", "store address misaligned", "store access fault", "call",
        "call", "exception", "exception", "instruction page fault", "load page fault", "exception", "store page fault"};

    return cause & CAUSE_INTERRUPT              ? "an interrupt that nobody enabled"
           : cause < sizeof(names) / sizeof(*names) ? names[cause]
                                                    : "exception";
}

/* One of the two accesses that may fault did. */
static bool access_recovers(struct trap *trap)
{
    bool load = trap->x[PC] == (uintptr_t)riscv64_load_access, store = trap->x[PC] == (uintptr_t)riscv64_store_access;
    bool page = trap->cause == LOAD_PAGE || trap->cause == STORE_PAGE;

    if (!(load || store) || !(page || trap->cause == LOAD_ACCESS || trap->cause == STORE_ACCESS))
        return false;
    if (page)
        fault_repair(trap->value, store);
    trap->x[PC] = (uintptr_t)riscv64_access_failed;
    return true;
}

void riscv64_trap(struct trap *trap)
{
    uint64_t number = trap->cause & ~CAUSE_INTERRUPT;
    struct context context;

    if (trap->cause & CAUSE_INTERRUPT && (number == INTERRUPT_SOFTWARE || number == INTERRUPT_TIMER)) {
        interrupt(number, trap);
    } else if (!access_recovers(trap)) {
        registers_print(trap);
        context = context_of(trap);
        kernel_exception(&context, exception_name(trap->cause));
    }
}
