/* layout.h - where things lie in virtual memory, and among vectors; for C, assembly and the linker script alike. */
#ifndef X86_64_LAYOUT_H
#define X86_64_LAYOUT_H

#define KERNEL_BASE 0xffffffff80000000   /* the kernel itself, a window on the first GiB */
#define DIRECT_BASE 0xffff800000000000   /* physical 0 to 4 GiB */
#define DIRECT_SIZE 0x100000000
#define KERNEL_REGION 0xffffc00000000000 /* what scenarios map in the kernel's half: one slot of the root */
#define KERNEL_REGION_SLOT 384
#define USER_REGION 0x0000100000000000
#define REGION_SIZE 0x8000000000
#define TRAMPOLINE 0x8000                /* physical, below 1 MiB, on a page */
#define KTLB_VECTOR 0xd1                 /* the interrupt that has an entry of its own */

#endif
