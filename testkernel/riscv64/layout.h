/* layout.h - where things lie in virtual memory (Sv39); for C, assembly and the linker script alike. */
#ifndef RISCV64_LAYOUT_H
#define RISCV64_LAYOUT_H

#define DIRECT_BASE 0xffffffc000000000   /* physical 0 to 64 GiB: the first slots of the root's upper half */
#define DIRECT_SLOTS 64                  /* of 1 GiB */
#define KERNEL_PHYSICAL 0x80200000       /* where firmware goes on; the kernel's own place is this in the direct map */
#define KERNEL_REGION 0xffffffe000000000 /* what scenarios map in the kernel's half: one slot of the root */
#define KERNEL_REGION_SLOT 384
#define USER_REGION 0x0000001000000000
#define REGION_SIZE 0x40000000

#endif
