# riscv64, as the rules of the test kernel need to know it. Control registers are an extension that old clangs take for
# granted and have no name for. Without relaxation nothing counts on a global pointer.
KERNEL_ARCH_ASFLAGS = -march=rv64imac$(if $(KERNEL_CLANG),,_zicsr_zifencei) -mabi=lp64
KERNEL_ARCH_CFLAGS = $(KERNEL_ARCH_ASFLAGS) -mcmodel=medany -mno-relax \
    -DKTLB_RISCV64_INSTRUCTIONS_HEADER='"testkernel/riscv64/instructions.h"'
