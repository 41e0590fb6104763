/*
 * traps.c - exceptions and interrupts, from the vectors to common code.
 *
 * The kernel runs on one stack pointer and takes exceptions on the other, which each CPU has a stack of its own for.
 */
#include "arm.h"

struct trap {
    uint64_t x[31], pc, spsr, sp, esr, far;
};
KTLB_STATIC_ASSERT(sizeof(struct trap) == 288, "as boot.S lays it out");

#define EXCEPTION_STACK_SIZE 16384
static KTLB_ALIGNED(KTLB_CACHE_LINE) char stacks[KTLB_CPUS_MAX][EXCEPTION_STACK_SIZE];

extern const char arm_load_access[], arm_store_access[], arm_access_failed[], arm_semihosting_call[];
void arm_trap(struct trap *trap, unsigned vector);

void traps_load(unsigned number)
{
    __asm__ volatile("msr spsel, #1\n\tmov sp, %0\n\tmsr spsel, #0\n\tmsr daifclr, #5"
                     : : "r"(stacks[number] + EXCEPTION_STACK_SIZE) : "memory");
}

/* Vectors come in fours: of this level on one stack pointer, on the other, then of lower levels, which are not in use. */
enum { VECTOR_SYNCHRONOUS, VECTOR_IRQ, VECTOR_FIQ, VECTOR_ERROR, VECTOR_KINDS, VECTOR_LOWER = 8 };

enum { CLASS_UNKNOWN = 0x00, CLASS_FETCH = 0x21, CLASS_PC = 0x22, CLASS_DATA = 0x25, CLASS_SP = 0x26, CLASS_BRK = 0x3c };
/* What went wrong with an access, the level at which it did left out. */
enum { FAULT_SIZE = 0x00, FAULT_TRANSLATION = 0x04, FAULT_ACCESSED = 0x08, FAULT_PERMISSION = 0x0c, FAULT_ALIGNMENT = 0x20 };

static unsigned class_of(const struct trap *trap)
{
    return trap->esr >> 26 & 0x3f;
}

static unsigned fault_of(const struct trap *trap)
{
    unsigned fault = trap->esr & 0x3f;

    return fault < 0x10 ? fault & ~3u : fault;
}

static const char *exception_name(const struct trap *trap, unsigned vector)
{
    if (vector % VECTOR_KINDS == VECTOR_ERROR)
        return "SError: an error that came late";
    switch (class_of(trap)) {
    case CLASS_UNKNOWN: return "invalid instruction";
    case CLASS_FETCH: return "page fault, fetching an instruction";
    case CLASS_PC: case CLASS_SP: return "pc or sp not aligned";
    case CLASS_BRK: return "breakpoint (or a broken rule of the library)";
    case CLASS_DATA: break;
    default: return "exception";
    }
    switch (fault_of(trap)) {
    case FAULT_SIZE: return "page fault: no such address in an entry";
    case FAULT_TRANSLATION: return "page fault: nothing mapped";
    case FAULT_ACCESSED: return "page fault: accessed flag clear";
    case FAULT_PERMISSION: return "page fault: no right to";
    case FAULT_ALIGNMENT: return "access not aligned";
    default: return "access failed";
    }
}

static void registers_print(const struct trap *t)
{
    console_seize();
    console_print("pc  %016lx sp  %016lx spsr %08lx esr %08lx\n", t->pc, t->sp, t->spsr, t->esr);
    for (unsigned i = 0; i < 30; i += 5)
        console_print("x%-2u %016lx %016lx %016lx %016lx %016lx\n", i, t->x[i], t->x[i + 1], t->x[i + 2], t->x[i + 3],
                      t->x[i + 4]);
    console_print("x30 %016lx far %016lx ttbr0 %016lx\n", t->x[30], t->far, READ_REGISTER(ttbr0_el1));
}

/* The two accesses may lack a translation or a right to the address they were given, or find poison where their table was
 * (which is no address); and nothing else. */
static bool access_recovers(const struct trap *trap)
{
    unsigned fault = fault_of(trap);

    return (trap->pc == (uintptr_t)arm_load_access || trap->pc == (uintptr_t)arm_store_access) &&
           class_of(trap) == CLASS_DATA && trap->far == trap->x[0] &&
           (fault == FAULT_TRANSLATION || fault == FAULT_PERMISSION || fault == FAULT_SIZE);
}

void arm_trap(struct trap *trap, unsigned vector)
{
    struct context context = {trap->pc, trap->sp, trap->x[29], trap->spsr & DAIF_IRQ};

    if (vector == VECTOR_IRQ)
        gic_interrupt(&context);
    else if (vector < VECTOR_LOWER && vector % VECTOR_KINDS == VECTOR_FIQ)
        gic_fast_interrupt(&context);
    else if (vector == VECTOR_SYNCHRONOUS && access_recovers(trap))
        trap->pc = (uintptr_t)arm_access_failed;
    else if (vector == VECTOR_SYNCHRONOUS && trap->pc == (uintptr_t)arm_semihosting_call)
        trap->pc += 4; /* nobody answers */
    else {
        registers_print(trap);
        kernel_exception(&context, exception_name(trap, vector));
    }
}
