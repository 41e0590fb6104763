/*
 * boot.S - the little that cannot be C: from multiboot's 32-bit entry, and from a start-up interrupt's 16-bit one, to
 * C on a stack with translation on; the interrupt stubs; and the two accesses that may fault.
 *
 * Everything in .boot is linked where it is loaded (from 1 MiB) and runs untranslated or through the identity map;
 * everything else is linked at KERNEL_BASE. The page tables made here are the kernel's for good: 4 GiB of direct map
 * in huge global pages, of which the first GiB is also the kernel's own window. The identity map is not global, and
 * goes when all CPUs run.
 */
#include "layout.h"

#define PHYSICAL(symbol) ((symbol) - KERNEL_BASE)

#define MULTIBOOT_FLAGS 0x10003 /* modules on pages, a memory map, and the addresses below rather than ELF's */

    .section .boot, "awx"
    .code32
    .align 8
multiboot:
    .long 0x1badb002, MULTIBOOT_FLAGS, -(0x1badb002 + MULTIBOOT_FLAGS)
    .long multiboot, boot_start, PHYSICAL(data_end), PHYSICAL(bss_end), entry

    .align 8
boot_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
boot_gdt_end:
boot_gdt_pointer:
    .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt

    .globl entry
entry:
    cli
    cld
    lgdt boot_gdt_pointer
    ljmp $0x18, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %ebx, PHYSICAL(boot_information)

    /* 2048 huge pages: present, writable, huge, global, accessed and dirty (0x1e3). */
    mov $PHYSICAL(direct_directories), %edi
    mov $0x1e3, %eax
    mov $2048, %ecx
2:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 2b
    /* The identity map: the first 512 of them, not global. */
    mov $PHYSICAL(identity_directory), %edi
    mov $0xe3, %eax
    mov $512, %ecx
3:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 3b
    /* Tables above them: present, writable, accessed (0x23). */
    movl $PHYSICAL(identity_directory) + 0x23, PHYSICAL(identity_pointers)
    movl $PHYSICAL(direct_directories) + 0x0023, PHYSICAL(direct_pointers)
    movl $PHYSICAL(direct_directories) + 0x1023, PHYSICAL(direct_pointers) + 8
    movl $PHYSICAL(direct_directories) + 0x2023, PHYSICAL(direct_pointers) + 16
    movl $PHYSICAL(direct_directories) + 0x3023, PHYSICAL(direct_pointers) + 24
    movl $PHYSICAL(direct_directories) + 0x0023, PHYSICAL(window_pointers) + 510 * 8
    movl $PHYSICAL(identity_pointers) + 0x23, PHYSICAL(x86_kernel_root)
    movl $PHYSICAL(direct_pointers) + 0x23, PHYSICAL(x86_kernel_root) + 256 * 8
    movl $PHYSICAL(window_pointers) + 0x23, PHYSICAL(x86_kernel_root) + 511 * 8
    movl $PHYSICAL(region_pointers) + 0x23, PHYSICAL(x86_kernel_root) + KERNEL_REGION_SLOT * 8
    xor %esi, %esi

    /* Both kinds of CPU come through here; %esi: 0 for the first. */
to_long_mode:
    mov $0x20, %eax             /* CR4: PAE, nothing else */
    mov %eax, %cr4
    mov $PHYSICAL(x86_kernel_root), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx       /* EFER: LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80010033, %eax       /* CR0: PG WP NE ET MP PE; and caches on: a started CPU comes up with CD and NW set */
    mov %eax, %cr0
    ljmp $0x08, $4f
    .code64
4:  mov $long_mode, %rax
    jmp *%rax

    /* Copied to TRAMPOLINE, where a started CPU begins in 16-bit mode with its segment there. */
    .code16
    .globl x86_trampoline, x86_trampoline_end
x86_trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl TRAMPOLINE + (6f - x86_trampoline)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x18, $started
6:  .word boot_gdt_end - boot_gdt - 1
    .long boot_gdt
x86_trampoline_end:

    .code32
started:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %esi
    jmp to_long_mode

    .text
    .code64
long_mode:
    xor %ebp, %ebp
    test %esi, %esi
    jnz 7f
    mov $boot_stack_end, %rsp
    mov boot_information(%rip), %edi
    call x86_main
7:  mov x86_start_stack(%rip), %rsp
    mov x86_start_cpu(%rip), %rdi
    call x86_cpu_main

/* ---- accesses that may fault: x86_trap() goes on at x86_access_failed when one of the two instructions does ---- */

    .globl arch_load, arch_store, x86_load_access, x86_store_access, x86_access_failed
arch_load:
x86_load_access:
    mov (%rdi), %rax
    mov %rax, (%rsi)
    mov $1, %eax
    ret
arch_store:
x86_store_access:
    mov %rsi, (%rdi)
    mov $1, %eax
    ret
x86_access_failed:
    xor %eax, %eax
    ret

/* ---- interrupts: 256 stubs of 16 bytes, each leaving an error code and its number on the stack ---- */

    .globl x86_stubs
    .align 16
x86_stubs:
    .set vector, 0
    .rept 256
    .align 16
    .if vector == KTLB_VECTOR
    jmp *x86_ktlb_entry(%rip)
    .else
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    push $0
    .endif
    push $vector
    jmp trapped
    .endif
    .set vector, vector + 1
    .endr

trapped:
    cld
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, %rdi
    call x86_trap
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    iretq

/* ktlb's interrupt is what a shootdown waits for: only what C may change is saved, and nobody looks at it. With the
 * five words of the interrupt, nine leave the stack aligned to 16. The end is told first: what is asked from then on
 * interrupts again. How it is told does not change while CPUs run: there is an entry for each way, one is chosen. */
    .macro ktlb_enter
    cld
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    .endm

    .macro ktlb_serve_and_leave
    call ktlb_ipi
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    iretq
    .endm

    .globl x86_ktlb_entry_xapic, x86_ktlb_entry_x2apic
x86_ktlb_entry_xapic:
    ktlb_enter
    mov x86_apic_end(%rip), %rax
    movl $0, (%rax)
    ktlb_serve_and_leave

x86_ktlb_entry_x2apic:
    ktlb_enter
    mov $0x80b, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    ktlb_serve_and_leave

    .bss
    .align 4096
    .globl x86_kernel_root
x86_kernel_root:    .skip 4096
identity_pointers:  .skip 4096
identity_directory: .skip 4096
direct_pointers:    .skip 4096
direct_directories: .skip 4 * 4096
window_pointers:    .skip 4096
region_pointers:    .skip 4096
boot_stack:         .skip 16384
boot_stack_end:
boot_information:   .skip 8

    .section .note.GNU-stack, "", @progbits
