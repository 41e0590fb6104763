# x86_64, as the rules of the test kernel need to know it.
KERNEL_ARCH_CFLAGS = -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fcf-protection=none \
    -DKTLB_X86_64_INSTRUCTIONS_HEADER='"testkernel/x86_64/instructions.h"'
