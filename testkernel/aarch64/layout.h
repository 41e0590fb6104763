/* layout.h - where things lie in virtual memory; for C, assembly and the linker script alike. */
#ifndef AARCH64_LAYOUT_H
#define AARCH64_LAYOUT_H

/* The upper half, translated through TTBR1; user spaces have TTBR0 to themselves. */
#define KERNEL_BASE 0xffffffff80000000   /* the kernel itself, wherever in memory it was loaded, on 2 MiB */
#define DIRECT_BASE 0xffff800000000000   /* physical 0 to 512 GiB, as far as there is something */
#define DIRECT_SIZE 0x8000000000
#define DIRECT_SLOT 256
#define KERNEL_REGION 0xffffc00000000000 /* what scenarios map in the kernel's half: one slot of the root */
#define KERNEL_REGION_SLOT 384
#define USER_REGION 0x0000100000000000
#define REGION_SIZE 0x8000000000

/* Memory by kinds, as MAIR numbers them; and whole entries of tables and of blocks of the kernel's. */
#define MEMORY_NORMAL 0
#define MEMORY_DEVICE 1
#define MAIR 0x04ff                      /* 0: write-back; 1: Device-nGnRE */
#define ENTRY_TABLE 0x3
#define ENTRY_NOT_GLOBAL 0x800
#define ENTRY_KERNEL 0x0040000000000701  /* block, normal, inner shareable, accessed, writable, EL1 may execute */
#define ENTRY_DIRECT 0x0060000000000701  /* the same, not to be executed at all */
#define ENTRY_DEVICE 0x0060000000000405  /* block, device, accessed, writable, not to be executed */

#define BOOT_UART 0x09000000             /* of QEMU's virt board; it serves until the device tree names one */
#define IMAGE_ALIGN 0x200000

#endif
