/*
 * Fibers: a stack and a saved stack pointer each.
 *
 * Why by hand: swapcontext enters the kernel to change the signal mask, and a search switches a hundred million
 * times. Invariant: a switch saves exactly what the x86_64 calling convention asks a callee to preserve, so it
 * may happen in the middle of any hook.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#error "the explorer's context switch is written for x86_64"
#endif

#define STACK_SIZE ((size_t)256 << 10)
#define GUARD_SIZE ((size_t)4096)

__asm__(".text\n"
        ".globl explorer_switch\n"
        ".type explorer_switch, @function\n"
        "explorer_switch:\n" /* rdi: where to save our stack pointer, rsi: the stack pointer to go to */
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size explorer_switch, . - explorer_switch\n");

void explorer_switch(void **save, void *to);

void fiber_switch(struct fiber *from, const struct fiber *to)
{
    explorer_switch(&from->stack_pointer, to->stack_pointer);
}

static unsigned char *stack_new(void)
{
    unsigned char *stack = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) != 0) {
        perror("explorer: a fiber's stack");
        exit(2);
    }
    return stack;
}

/* The stack is reused from one execution to the next; whatever lay on it is abandoned. */
void fiber_prepare(struct fiber *fiber, void (*entry)(void))
{
    if (!fiber->stack)
        fiber->stack = stack_new();
    uintptr_t *top = (uintptr_t *)(void *)(fiber->stack + GUARD_SIZE + STACK_SIZE);
    *--top = 0;                /* the entry's return address: it never returns; keeps the stack aligned */
    *--top = (uintptr_t)entry; /* where the first switch returns to */
    for (unsigned i = 0; i < 6; i++)
        *--top = 0;
    fiber->stack_pointer = top;
}

bool fiber_owns(const struct fiber *fiber, uintptr_t address)
{
    uintptr_t base = (uintptr_t)fiber->stack;
    return base && address >= base && address < base + GUARD_SIZE + STACK_SIZE;
}
