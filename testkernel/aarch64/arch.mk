# aarch64, as the rules of the test kernel need to know it.
KERNEL_ARCH_CFLAGS = -march=armv8-a -mgeneral-regs-only -mno-outline-atomics -mbranch-protection=none \
    -mno-omit-leaf-frame-pointer \
    -DKTLB_AARCH64_INSTRUCTIONS_HEADER='"testkernel/aarch64/instructions.h"'
# What boot loaders start, and only so with a device tree and a trace: a bare image with Linux' head.
KERNEL_IMAGE = @$(KERNEL_TOOL)objcopy -O binary $@ $(@:.elf=.image)
