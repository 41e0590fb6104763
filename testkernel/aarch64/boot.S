/*
 * boot.S - the little that cannot be C: from the boot loader's entry, and from PSCI's for another CPU, to C on a stack
 * with translation on; the exception vectors; and the accesses that may fault.
 *
 * Until translation is on, everything is addressed relative to the program counter, so the image runs where it was
 * loaded. The tables made here are the kernel's for good, but for the identity map, which is only in TTBR0.
 * Memory written meanwhile went past the caches: what they hold of it is dropped before and after.
 */
#include "layout.h"

#define CURRENT_EL2 (2 << 2)
#define EL1_MASKED 0x3c5                /* SPSR: EL1 with its own stack pointer, everything masked */
#define SCTLR_EL1_OFF 0x30d00980        /* what has to be one */
#define SCTLR_EL1_ON 0x30d0198d         /* and translation, caches, stack alignment check */
/* 48-bit addresses in both halves, 4 KiB pages, walks through the caches, tags in TTBR0. */
#define TCR_EL1 (16 | 16 << 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30)

#define HCR_KERNEL_EL2 (1 << 34 | 1 << 31 | 1 << 27) /* E2H, RW, TGE: EL2 looks like EL1 */

    .macro physical register, symbol
    adrp \register, \symbol
    add \register, \register, :lo12:\symbol
    .endm

    .section .head, "ax"
    .globl head
head:
    b entry
    .long 0
    .quad 0                             /* from a multiple of 2 MiB */
    .quad image_size
    .quad 0x2 | 0x8                     /* little-endian, 4 KiB pages, anywhere in memory */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

/* x0: the device tree */
entry:
    mov x20, x0
    bl to_el1
    physical x0, bss_start
    physical x1, bss_end
    bl caches_drop
1:  stp xzr, xzr, [x0], #16             /* x0 is bss_start again */
    cmp x0, x1
    b.lo 1b

    /* The identity map: the GiB that this runs in, not global. */
    physical x0, identity_root
    physical x1, identity_pointers
    physical x2, image_start
    lsr x3, x2, #39
    orr x4, x1, #ENTRY_TABLE
    str x4, [x0, x3, lsl #3]
    lsr x3, x2, #30
    and x5, x3, #511
    ldr x6, =ENTRY_KERNEL
    orr x4, x6, x3, lsl #30
    orr x4, x4, #ENTRY_NOT_GLOBAL
    str x4, [x1, x5, lsl #3]

    /* The kernel's window: as many blocks of 2 MiB as it is long. */
    physical x0, arm_kernel_root
    physical x1, window_pointers
    orr x4, x1, #ENTRY_TABLE
    str x4, [x0, #511 * 8]
    physical x3, window_directory
    orr x4, x3, #ENTRY_TABLE
    str x4, [x1, #510 * 8]
    physical x5, bss_end
    orr x4, x2, x6
2:  str x4, [x3], #8
    add x2, x2, #IMAGE_ALIGN
    add x4, x4, #IMAGE_ALIGN
    cmp x2, x5
    b.lo 2b

    /* Of the direct map what C needs to read the tree, and to complain; the rest it finds in the tree. */
    physical x1, arm_direct_pointers
    orr x4, x1, #ENTRY_TABLE
    str x4, [x0, #DIRECT_SLOT * 8]
    ldr x6, =ENTRY_DEVICE | (BOOT_UART & ~0x3fffffff)
    str x6, [x1, #(BOOT_UART >> 30) * 8]
    ldr x6, =ENTRY_DIRECT
    lsr x3, x20, #30
    and x5, x3, #511
    orr x4, x6, x3, lsl #30
    str x4, [x1, x5, lsl #3]
    physical x2, region_pointers
    orr x4, x2, #ENTRY_TABLE
    str x4, [x0, #KERNEL_REGION_SLOT * 8]

    physical x0, bss_start
    physical x1, bss_end
    bl caches_drop
    physical x21, image_start
    bl translation_on
    ldr x0, =boot_stack_end
    mov sp, x0
    mov x29, xzr
    mov x30, xzr
    mov x0, x20
    mov x1, x21
    b arm_main

/* x0: struct arm_start, in virtual memory */
    .globl arm_cpu_entry
arm_cpu_entry:
    mov x20, x0
    bl to_el1
    bl translation_on
    ldp x1, x0, [x20]
    mov sp, x1
    mov x29, xzr
    mov x30, xzr
    b arm_cpu_main

#ifdef KERNEL_EL2
/* A monitor stays in EL2, where E2H gives EL1's names to EL2's registers: all that follows is the same code. Started in
 * EL1 it comes as far as to say that this will not do. */
to_el1:
    mrs x1, CurrentEL
    cmp x1, #CURRENT_EL2
    b.ne 4f
    ldr x0, =HCR_KERNEL_EL2
    msr hcr_el2, x0
    isb
    mov x0, #3 << 20                    /* no traps */
    msr cpacr_el1, x0
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    msr cntvoff_el2, xzr
    mrs x0, s3_4_c12_c9_5               /* ICC_SRE_EL2 */
    orr x0, x0, #1
    msr s3_4_c12_c9_5, x0
    isb
    msr s3_4_c12_c11_0, xzr             /* ICH_HCR_EL2: no virtual interrupts */
4:  ldr x0, =SCTLR_EL1_OFF
    msr sctlr_el1, x0
    msr daifset, #0xf
    isb
    ret
#else
/* Down to EL1, if this is EL2, whose traps are all left off; and to a known state of it. */
to_el1:
    ldr x0, =SCTLR_EL1_OFF
    msr sctlr_el1, x0
    mrs x1, CurrentEL
    cmp x1, #CURRENT_EL2
    b.ne 3f
    mov x0, #1 << 31                    /* HCR_EL2: EL1 is 64-bit */
    msr hcr_el2, x0
    mov x0, #0x33ff                     /* CPTR_EL2: no traps */
    msr cptr_el2, x0
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    mov x0, #3                          /* the counter and its timer are EL1's too */
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    mrs x0, id_aa64pfr0_el1
    ubfx x0, x0, #24, #4                /* the interrupt controller's registers */
    cbz x0, 4f
    mrs x0, s3_4_c12_c9_5               /* ICC_SRE_EL2: by registers, and for EL1 to say so too */
    mov x1, #0x9
    orr x0, x0, x1
    msr s3_4_c12_c9_5, x0
    isb
    msr s3_4_c12_c11_0, xzr             /* ICH_HCR_EL2: no virtual interrupts */
4:  mov x0, #EL1_MASKED
    msr spsr_el2, x0
    msr elr_el2, x30
    eret
3:  msr daifset, #0xf
    isb
    ret
#endif

/* Drop, and write back where something waits, what the caches hold of [x0, x1). Uses x2 to x4. */
caches_drop:
    mrs x2, ctr_el0
    ubfx x2, x2, #16, #4
    mov x3, #4
    lsl x2, x3, x2
    mov x4, x0
5:  dc civac, x4
    add x4, x4, x2
    cmp x4, x1
    b.lo 5b
    dsb sy
    ret

/* Returns to the same place, at KERNEL_BASE. */
translation_on:
    physical x0, identity_root
    msr ttbr0_el1, x0
    physical x0, arm_kernel_root
    msr ttbr1_el1, x0
    ldr x0, =MAIR
    msr mair_el1, x0
    ldr x0, =TCR_EL1
    mrs x1, id_aa64mmfr0_el1
    and x2, x1, #0xf                    /* physical addresses of 40 bits at most: poison, taken for an entry, is none */
    mov x3, #2
    cmp x2, x3
    csel x2, x2, x3, lo
    bfi x0, x2, #32, #3
    ubfx x2, x1, #5, #1                 /* tags of 16 bits, where there are such */
    bfi x0, x2, #36, #1
    msr tcr_el1, x0
    isb
    tlbi vmalle1
    dsb nsh
    isb
    ldr x0, =SCTLR_EL1_ON
    msr sctlr_el1, x0
    isb
    physical x0, image_start
    sub x30, x30, x0
    ldr x0, =KERNEL_BASE
    add x30, x30, x0
    ldr x0, =arm_vectors
    msr vbar_el1, x0
    isb
    ret

/* ---- accesses that may fault: arm_trap() goes on at arm_access_failed when one of the two instructions does ---- */

    .text
    .globl arch_load, arch_store, arm_load_access, arm_store_access, arm_access_failed
arch_load:
arm_load_access:
    ldr x2, [x0]
    str x2, [x1]
    mov w0, #1
    ret
arch_store:
arm_store_access:
    str x1, [x0]
    mov w0, #1
    ret
arm_access_failed:
    mov w0, #0
    ret

/* Ask who runs this machine from outside: the instruction does nothing but fault where nobody does. */
    .globl arm_semihosting, arm_semihosting_call
arm_semihosting:
arm_semihosting_call:
    hlt #0xf000
    ret

    .globl arm_hvc, arm_smc
arm_hvc:
    hvc #0
    ret
arm_smc:
    smc #0
    ret

/*
 * ---- exceptions: sixteen vectors, each leaving its number in x1 ----
 *
 * They come on the stack of whoever was interrupted. As soon as all is saved, the one that plays the NMI here (FIQ,
 * never masked but for this) may come again. x29 and pc are saved as a frame's two words: reports see through
 * exceptions.
 */

#define TRAP_SIZE 288
#define TRAP_FRAME 240
#define VECTOR_FIQ 2

    .align 11
    .globl arm_vectors
arm_vectors:
    .set vector, 0
    .rept 16
    .align 7
    sub sp, sp, #TRAP_SIZE
    stp x0, x1, [sp]
    mov x1, #vector
    b trapped
    .set vector, vector + 1
    .endr

trapped:
    stp x2, x3, [sp, #16 * 1]
    stp x4, x5, [sp, #16 * 2]
    stp x6, x7, [sp, #16 * 3]
    stp x8, x9, [sp, #16 * 4]
    stp x10, x11, [sp, #16 * 5]
    stp x12, x13, [sp, #16 * 6]
    stp x14, x15, [sp, #16 * 7]
    stp x16, x17, [sp, #16 * 8]
    stp x18, x19, [sp, #16 * 9]
    stp x20, x21, [sp, #16 * 10]
    stp x22, x23, [sp, #16 * 11]
    stp x24, x25, [sp, #16 * 12]
    stp x26, x27, [sp, #16 * 13]
    stp x28, x30, [sp, #16 * 14]
    mrs x2, elr_el1
    stp x29, x2, [sp, #TRAP_FRAME]
    mrs x2, spsr_el1
    mrs x3, esr_el1
    mrs x4, far_el1
    stp x2, x3, [sp, #16 * 16]
    str x4, [sp, #16 * 17]
    add x29, sp, #TRAP_FRAME
    mov x0, sp
    and x2, x1, #3
    cmp x2, #VECTOR_FIQ
    b.eq 6f
    msr daifclr, #1
6:  bl arm_trap
    msr daifset, #1
    ldp x28, x30, [sp, #16 * 14]
    ldp x29, x2, [sp, #TRAP_FRAME]
    ldr x3, [sp, #16 * 16]
    msr elr_el1, x2
    msr spsr_el1, x3
    ldp x4, x5, [sp, #16 * 2]
    ldp x6, x7, [sp, #16 * 3]
    ldp x8, x9, [sp, #16 * 4]
    ldp x10, x11, [sp, #16 * 5]
    ldp x12, x13, [sp, #16 * 6]
    ldp x14, x15, [sp, #16 * 7]
    ldp x16, x17, [sp, #16 * 8]
    ldp x18, x19, [sp, #16 * 9]
    ldp x20, x21, [sp, #16 * 10]
    ldp x22, x23, [sp, #16 * 11]
    ldp x24, x25, [sp, #16 * 12]
    ldp x26, x27, [sp, #16 * 13]
    ldp x2, x3, [sp, #16 * 1]
    ldp x0, x1, [sp], #TRAP_SIZE
    eret

    .bss
    .align 12
    .globl arm_kernel_root, arm_direct_pointers, arm_empty_root
arm_kernel_root:     .skip 4096
arm_empty_root:      .skip 4096
arm_direct_pointers: .skip 4096
region_pointers:     .skip 4096
window_pointers:     .skip 4096
window_directory:    .skip 4096
identity_root:       .skip 4096
identity_pointers:   .skip 4096
boot_stack:          .skip 16384
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
