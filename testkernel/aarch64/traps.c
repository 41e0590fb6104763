/*
 * traps.c - exceptions and interrupts, from the vectors to common code.
 *
 * Everything runs in EL1, on the stack of whoever was interrupted.
 */
#include "arm.h"

struct trap {
    uint64_t x[29], x30, x29, pc; /* as boot.S saves them */
    uint64_t spsr, esr, far, unused;
};
KTLB_STATIC_ASSERT(sizeof(struct trap) == 288, "TRAP_SIZE, in boot.S");

const int64_t arch_frame_words = 0;

extern const char arm_load_access[], arm_store_access[], arm_access_failed[], arm_semihosting_call[];
void arm_trap(struct trap *trap, unsigned vector);

/* Vectors come in fours. Of those only the second is in use: this level, on its own stack pointer. */
enum vector { VECTOR_SYNCHRONOUS = 4, VECTOR_IRQ, VECTOR_FIQ, VECTOR_ERROR };

enum class { CLASS_UNKNOWN = 0x00, CLASS_FETCH = 0x21, CLASS_PC = 0x22, CLASS_DATA = 0x25, CLASS_SP = 0x26,
             CLASS_BRK = 0x3c };
/* What went wrong with an access, the level at which it did left out. */
enum fault { FAULT_SIZE = 0x00, FAULT_TRANSLATION = 0x04, FAULT_ACCESSED = 0x08, FAULT_PERMISSION = 0x0c,
             FAULT_ALIGNMENT = 0x20 };

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
    if (vector == VECTOR_ERROR)
        return "SError: an error that came late";
    if (vector != VECTOR_SYNCHRONOUS)
        return "exception by a vector that nobody uses";
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
    console_print("pc  %016lx sp  %016lx spsr %08lx esr %08lx\n", t->pc, (uintptr_t)(t + 1), t->spsr, t->esr);
    for (unsigned i = 0; i < 28; i += 4)
        console_print("x%-2u %016lx %016lx %016lx %016lx\n", i, t->x[i], t->x[i + 1], t->x[i + 2], t->x[i + 3]);
    console_print("x28 %016lx %016lx %016lx\n", t->x[28], t->x29, t->x30);
    console_print("far %016lx ttbr0 %016lx\n", t->far, READ_REGISTER(ttbr0_el1));
}

/* The two accesses may lack a translation or a right to the address they were given, or find poison where their table
 * was (which is no address); and nothing else. */
static bool access_recovers(const struct trap *trap)
{
    unsigned fault = fault_of(trap);

    return (trap->pc == (uintptr_t)arm_load_access || trap->pc == (uintptr_t)arm_store_access) &&
           class_of(trap) == CLASS_DATA && trap->far == trap->x[0] &&
           (fault == FAULT_TRANSLATION || fault == FAULT_PERMISSION || fault == FAULT_SIZE);
}

void arm_trap(struct trap *trap, unsigned vector)
{
    struct context context = {trap->pc, (uintptr_t)(trap + 1), trap->x29, trap->spsr & DAIF_IRQ};

    if (vector == VECTOR_IRQ)
        gic_interrupt(&context);
    else if (vector == VECTOR_FIQ)
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
