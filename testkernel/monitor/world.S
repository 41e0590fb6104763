/*
 * world.S - from the monitor (EL2) to its guest and back, and the guest's first instructions.
 *
 * A guest stays on its CPU, so EL1's own registers stay where they are: what is exchanged are the general registers,
 * where to go on, and whose interrupts and translation these are (HCR_EL2).
 */
#include "monitor.h"

    .text

/* x0: struct world. Returns why it came out: enum world_exit. => All exceptions masked. */
    .global world_enter
world_enter:
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    mrs     x1, vbar_el2
    stp     x0, x1, [sp, #96]
    adr     x1, vectors
    msr     vbar_el2, x1
    ldp     x1, x2, [x0, #WORLD_PC]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldr     x1, [x0, #WORLD_HCR]
    msr     hcr_el2, x1
    isb
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret

leave:                                  /* x1: why; the guest's x0 and x1 on the stack */
    ldr     x0, [sp, #16 + 96]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x0, #WORLD_PC]
    ldr     x2, =HCR_MONITOR
    msr     hcr_el2, x2
    ldr     x2, [sp, #104]
    msr     vbar_el2, x2
    isb
    mov     x0, x1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    ret

    .balign 2048
vectors:
    .rept 8                             /* our own level: nothing is to come from there now */
    b       .
    .balign 128
    .endr
    .set    why, 0
    .rept 8
    stp     x0, x1, [sp, #-16]!
    mov     x1, #why
    b       leave
    .balign 128
    .set    why, why + 1
    .endr

/* One TLBI of the monitor's own, for the guest: what a break before a make needs where no vCPU can be waited for.
 * x0: operand of VAE1IS. => All exceptions masked. */
    .global world_invalidate
world_invalidate:
    mrs     x1, hcr_el2
    ldr     x2, =HCR_GUEST
    dsb     ishst
    msr     hcr_el2, x2
    isb
    tlbi    vae1is, x0
    dsb     ish
    msr     hcr_el2, x1
    isb
    ret

/* The same for everything. */
    .global world_invalidate_all
world_invalidate_all:
    mrs     x1, hcr_el2
    ldr     x2, =HCR_GUEST
    dsb     ishst
    msr     hcr_el2, x2
    isb
    tlbi    vmalle1is
    dsb     ish
    msr     hcr_el2, x1
    isb
    ret

/* ---- the guest, at EL1: it starts clean, whatever was done to its tables before ---- */

    .global world_guest_start
world_guest_start:
    dsb     ishst
    tlbi    vmalle1is
    dsb     ish
    ic      ialluis
    dsb     ish
    isb
    eret

    .section .note.GNU-stack, "", @progbits
