/*
 * traps.c - exceptions, interrupts and NMIs, from the stubs to common code.
 *
 * Everything runs in ring 0 on the stack of whoever was interrupted, except NMIs and double faults: they arrive
 * anywhere, also where the stack is not to be trusted, and have stacks of their own. ktlb's interrupt is not seen here:
 * its stub saves less, and calls ktlb_ipi() itself.
 */
#include "x86.h"

struct trap {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, kind;
    uint16_t offset_middle;
    uint32_t offset_high, zero;
};

struct task_state {
    uint32_t zero;
    uint64_t rsp[3], zero_too, ist[7];
    uint64_t zero_last;
    uint16_t zero_end, io_map;
} __attribute__((packed));

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18
#define GATE_INTERRUPT 0x8e
#define IST_SIZE 8192
enum { IST_NMI = 1, IST_FAULT = 2 };

/* What a CPU needs for itself. */
static struct x86_cpu {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct task_state task;
    uint64_t gdt[5];
    KTLB_ALIGNED(16) char stack[2][IST_SIZE];
} x86_cpus[KTLB_CPUS_MAX];

static struct gate gates[256];
const int64_t arch_frame_words = 0;

extern const char x86_stubs[], x86_load_access[], x86_store_access[], x86_access_failed[];
void x86_trap(struct trap *trap);

static void gates_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t stub = (uintptr_t)x86_stubs + 16 * i;

        gates[i] = (struct gate){(uint16_t)stub, SELECTOR_CODE, 0, GATE_INTERRUPT, (uint16_t)(stub >> 16),
                                 (uint32_t)(stub >> 32), 0};
    }
    gates[VECTOR_NMI].stack = IST_NMI;
    gates[VECTOR_DOUBLE_FAULT].stack = IST_FAULT;
    gates[VECTOR_MACHINE_CHECK].stack = IST_FAULT;
}

void traps_load(unsigned number)
{
    struct x86_cpu *cpu = &x86_cpus[number];
    uint64_t task = (uintptr_t)&cpu->task;
    struct table_pointer gdt = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
    struct table_pointer idt = {sizeof(gates) - 1, (uintptr_t)gates};

    if (number == 0)
        gates_fill();
    cpu->task.ist[IST_NMI - 1] = (uintptr_t)cpu->stack[0] + IST_SIZE;
    cpu->task.ist[IST_FAULT - 1] = (uintptr_t)cpu->stack[1] + IST_SIZE;
    cpu->task.io_map = sizeof(cpu->task);
    cpu->gdt[SELECTOR_CODE / 8] = 0x00af9b000000ffff;
    cpu->gdt[SELECTOR_DATA / 8] = 0x00cf93000000ffff;
    cpu->gdt[SELECTOR_TASK / 8] = (task & 0xff000000) << 32 | UINT64_C(0x89) << 40 | (task & 0xffffff) << 16 |
                                  (sizeof(cpu->task) - 1);
    cpu->gdt[SELECTOR_TASK / 8 + 1] = task >> 32;
    __asm__ volatile("lgdt %0\n\tlidt %1\n\tltr %w2\n\t"
                     "mov %w3, %%ds\n\tmov %w3, %%es\n\tmov %w3, %%ss\n\tmov %w4, %%fs\n\tmov %w4, %%gs"
                     : : "m"(gdt), "m"(idt), "r"(SELECTOR_TASK), "r"(SELECTOR_DATA), "r"(0) : "memory");
}

static void registers_print(const struct trap *t)
{
    uint64_t cr2, cr3;

    __asm__ volatile("mov %%cr2, %0\n\tmov %%cr3, %1" : "=r"(cr2), "=r"(cr3));
    console_seize();
    console_print("rip %016lx rsp %016lx rflags %08lx error %lx\n", t->rip, t->rsp, t->rflags, t->error);
    console_print("rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", t->rax, t->rbx, t->rcx, t->rdx);
    console_print("rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", t->rsi, t->rdi, t->rbp, t->r8);
    console_print("r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", t->r9, t->r10, t->r11, t->r12);
    console_print("r13 %016lx r14 %016lx r15 %016lx\n", t->r13, t->r14, t->r15);
    console_print("cr2 %016lx cr3 %016lx cr4 %016lx\n", cr2, cr3, read_cr4());
}

static const char *exception_name(uint64_t vector)
{
    switch (vector) {
    case 0: return "division by zero";
    case 3: return "breakpoint";
    case 6: return "invalid instruction (or a broken rule of the library)";
    case VECTOR_DOUBLE_FAULT: return "double fault";
    case VECTOR_GENERAL_PROTECTION: return "general protection";
    case VECTOR_PAGE_FAULT: return "page fault";
    case VECTOR_MACHINE_CHECK: return "machine check";
    default: return vector < 32 ? "exception" : "interrupt on a vector that nobody uses";
    }
}

static bool access_recovers(const struct trap *trap)
{
    return (trap->vector == VECTOR_PAGE_FAULT || trap->vector == VECTOR_GENERAL_PROTECTION) &&
           (trap->rip == (uintptr_t)x86_load_access || trap->rip == (uintptr_t)x86_store_access);
}

void x86_trap(struct trap *trap)
{
    struct context context = {trap->rip, trap->rsp, trap->rbp, !(trap->rflags & RFLAGS_IF)};

    if (access_recovers(trap)) {
        trap->rip = (uintptr_t)x86_access_failed;
    } else if (trap->vector == VECTOR_TIMER) {
        apic_eoi();
        kernel_tick(&context);
    } else if (trap->vector == VECTOR_WAKE) {
        apic_eoi();
    } else if (trap->vector == VECTOR_NMI) {
        kernel_nmi(&context);
    } else if (trap->vector != VECTOR_SPURIOUS && (trap->vector & ~0xfull) != VECTOR_PIC) {
        registers_print(trap);
        kernel_exception(&context, exception_name(trap->vector));
    }
}
