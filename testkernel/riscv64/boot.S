/*
 * boot.S - the little that cannot be C: from the firmware's untranslated entry, on any hart, to C on a stack with
 * translation on; the trap entry; and the two accesses that may fault.
 *
 * The kernel's root is made here for good: 64 GiB of direct map in global pages of 1 GiB, and one slot for what
 * scenarios map. Nothing maps the code where it is loaded: the first fetch after translation is on faults, and the trap
 * vector leads to the same code at its own address.
 */
#include "layout.h"

#define SATP_SV39 8
#define TRAP_SIZE (38 * 8) /* struct trap; a multiple of 16 */

    .option norelax
    .section .boot, "ax"
    .globl riscv64_entry
    /*
     * Every hart: a0 its id, a1, the first time, the device tree, physical. The others find their stack where
     * arch_cpu_start() left it, and not in a1, nor by an entry of their own: OpenSBI 1.1 marks a hart as starting
     * before it has written where and with what, and a hart that is awake just then comes as the boot hart did.
     */
riscv64_entry:
    fence
    lla t0, riscv64_starting
    ld s0, (t0)
    bnez s0, translate
    lla t0, riscv64_kernel_root
    lla t1, region_table
    srli t1, t1, 2
    ori t1, t1, 1                       /* a table: valid, no rights of its own */
    li t2, KERNEL_REGION_SLOT * 8
    add t2, t0, t2
    sd t1, (t2)

translate:
    lla t0, riscv64_kernel_root
    srli t0, t0, 12
    li t1, SATP_SV39 << 60
    or t0, t0, t1
    lla t1, 1f
    li t2, DIRECT_BASE
    add t1, t1, t2
    csrw stvec, t1
    sfence.vma
    csrw satp, t0
    .balign 4
1:  lla t0, riscv64_trap_entry
    csrw stvec, t0
    bnez s0, 2f
    lla sp, boot_stack_end
    call riscv64_main
2:  ld a0, -8(s0)
    addi sp, s0, -16
    li s0, 0
    call riscv64_cpu_main

    .text
/* ---- accesses that may fault: riscv64_trap() goes on at riscv64_access_failed when one of the two does ---- */

    .globl arch_load, arch_store, riscv64_load_access, riscv64_store_access, riscv64_access_failed
arch_load:
riscv64_load_access:
    ld a2, (a0)
    sd a2, (a1)
    li a0, 1
    ret
arch_store:
riscv64_store_access:
    sd a1, (a0)
    li a0, 1
    ret
riscv64_access_failed:
    li a0, 0
    ret

/* ---- traps: every register into a struct trap on the stack of whoever was interrupted ---- */

    .macro each_register do
    .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \do x\n, \n * 8(sp)
    .endr
    .endm

    .balign 4
riscv64_trap_entry:
    addi sp, sp, -TRAP_SIZE
    each_register sd
    addi t0, sp, TRAP_SIZE
    sd t0, 2 * 8(sp)
    csrr t0, sepc
    sd t0, 0(sp)
    csrr t0, sstatus
    sd t0, 32 * 8(sp)
    csrr t0, scause
    sd t0, 33 * 8(sp)
    csrr t0, stval
    sd t0, 34 * 8(sp)
    mv a0, sp
    call riscv64_trap
    ld t0, 0(sp)
    sc.d zero, t0, 0(sp)                /* whatever reservation there is must not serve the code interrupted */
    csrw sepc, t0
    ld t0, 32 * 8(sp)
    csrw sstatus, t0
    each_register ld
    addi sp, sp, TRAP_SIZE
    sret

    .data
    .balign 4096
    .globl riscv64_kernel_root
riscv64_kernel_root:
    .skip 256 * 8
    .set slot, 0
    .rept DIRECT_SLOTS /* valid, readable, writable, executable, global, accessed, dirty (0xef) */
    .quad slot << 28 | 0xef
    .set slot, slot + 1
    .endr
    .skip (256 - DIRECT_SLOTS) * 8

    .bss
    .balign 4096
region_table:   .skip 4096
boot_stack:     .skip 16384
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
