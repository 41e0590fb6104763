/*
 * shim.S - a guest's side of the guest accumulator (include/ktlb/guest.h): the code at EL1 that calls the monitor and
 * executes what X8 to X11 say before the program at EL0 goes on. To take and adapt; it is all that such a guest has
 * at EL1.
 *
 * Every exception from EL0 saves X0 to X30 in a frame of 256 bytes, calls the monitor (HVC, number below), does what it
 * is told, and returns with the frame's registers. The monitor changes a saved register in the frame; the result of a
 * call comes back in X0. Nothing of the protocol is left in a register that the program sees.
 *
 *     HVC #5   SVC from EL0; the registers are the program's          returns X0, X8 to X11: ktlb_vcpu_enter(), or
 *                                                                     ktlb_vcpu_enter_drop_frame()
 *     HVC #9   permission fault, X0 address, X1 1 for a write         returns X8 to X11: ktlb_vcpu_enter_page()
 *     HVC #11  any other exception; see ESR_EL1, FAR_EL1              returns X8 to X11: ktlb_vcpu_enter()
 *     HVC #15  interrupt: the monitor wanted the vCPU out             the same
 *
 * Order around the instructions (Arm Architecture Reference Manual, "TLB maintenance", "Barriers"): DSB ISHST, so that
 * walkers see the tables as they are now; TLBI; DSB ISH, which waits for every CPU of the domain; only then instruction
 * caches, of all CPUs too; ISB. HCR_EL2.FB has no part in this: every form used is Inner Shareable already.
 *
 * Assemble with KTLB_SHIM_REPEAT_TLBI for processors whose first TLBI and DSB may be too few (Arm errata 1286807,
 * 2441007, 2441009, 4118414 and their kin).
 */
    .arch armv8.4-a

    .equ FRAME, 256
    .equ CALL_SYSTEM, 5
    .equ CALL_PAGE, 9
    .equ CALL_OTHER, 11
    .equ CALL_INTERRUPT, 15

    .equ NONE, 0
    .equ BROADCAST, 1
    .equ DROP_FRAME, 2
    .equ PAGES, 3
    .equ RANGE, 4
    .equ LOOP_MAX, 16

    .equ EC_SVC, 0x15
    .equ EC_INSTRUCTION_ABORT, 0x20
    .equ EC_DATA_ABORT, 0x24

    .text

/* ---- in ---- */

    .macro save
    sub     sp, sp, #FRAME
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    .endm

/* For VBAR_EL1. What EL1 itself must not do (the first eight) stops where the monitor can see it. */
    .balign 2048
    .global ktlb_shim_vectors
ktlb_shim_vectors:
    .rept 8
    b       .
    .balign 128
    .endr
    b       from_el0            /* synchronous, from AArch64 */
    .balign 128
    b       interrupted         /* IRQ */
    .balign 128
    b       interrupted         /* FIQ */
    .balign 128
    b       other               /* SError */
    .balign 128
    .rept 4                     /* from AArch32 */
    b       other
    .balign 128
    .endr

from_el0:
    save
    mrs     x9, esr_el1
    lsr     x10, x9, #26
    cmp     x10, #EC_SVC
    b.eq    system_call
    cmp     x10, #EC_INSTRUCTION_ABORT
    mov     x1, #0
    b.eq    1f
    cmp     x10, #EC_DATA_ABORT
    b.ne    call_other
    ubfx    x1, x9, #6, #1      /* WnR */
1:  ubfx    x10, x9, #2, #4     /* the fault's kind without its level: 3 is permission */
    cmp     x10, #3
    b.ne    call_other
    mrs     x0, far_el1
    hvc     #CALL_PAGE
    cbnz    x8, ktlb_shim_enter
    mrs     x9, far_el1         /* X8 0, here alone: that page, whatever else is in X9 to X11 */
    mov     x10, #1
    mov     x11, #1
    b       by_page

system_call:
    ldp     x9, x10, [sp, #72]
    hvc     #CALL_SYSTEM
    str     x0, [sp, #0]
    b       ktlb_shim_enter

interrupted:
    save
    hvc     #CALL_INTERRUPT
    b       ktlb_shim_enter

other:
    save
call_other:
    hvc     #CALL_OTHER

/* ---- what the registers say. X9 to X13 are free: they come back from the frame ---- */

    .global ktlb_shim_enter
ktlb_shim_enter:
    cbz     x8, instructions
    cmp     x8, #PAGES
    b.eq    by_page
    cmp     x8, #RANGE
    b.eq    by_range
    cmp     x8, #BROADCAST
    b.eq    everything
unknown:                        /* a program starts anew (X8 stays 2), or nobody knows what: everything there is */
    mov     x11, #1
everything:
    dsb     ishst
    tlbi    vmalle1is
    b       complete

by_page:
    sub     x12, x10, #1
    cmp     x12, #LOOP_MAX
    b.hs    unknown
    ubfx    x12, x9, #12, #44   /* no address bit reaches the ASID or the level */
    dsb     ishst
1:  tlbi    vae1is, x12
    add     x12, x12, #1
    subs    x10, x10, #1
    b.ne    1b
    b       complete

by_range:
    ubfx    x12, x9, #46, #18   /* granule 4 KiB, ASID 0 */
    cmp     x12, #1
    b.ne    unknown
    tst     x9, #(3 << 37)      /* no level */
    b.ne    unknown
    dsb     ishst
    tlbi    rvae1is, x9

complete:
    dsb     ish
#ifdef KTLB_SHIM_REPEAT_TLBI
    tlbi    vale1is, xzr
    dsb     ish
#endif
instructions:
    cbz     x11, 1f
    ic      ialluis
    dsb     ish
1:  isb

/* ---- out ---- */

    cmp     x8, #DROP_FRAME
    b.eq    new_program
    ldp     x0, x1, [sp, #0]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    add     sp, sp, #FRAME
    eret

/* The monitor has set ELR_EL1, SPSR_EL1, SP_EL0 and the registers the program starts with; ours are no part of them. */
new_program:
    add     sp, sp, #FRAME
    mov     x8, #0
    mov     x9, #0
    mov     x10, #0
    mov     x11, #0
    mov     x12, #0
    mov     x13, #0
    eret
