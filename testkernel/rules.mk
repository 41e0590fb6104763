# The test kernel: one ELF file that QEMU's -kernel and any multiboot loader start.
#
# Included by the top-level Makefile. Offers $(TESTKERNEL) and $(TESTKERNEL_ISO), and the targets testkernel and iso.
# CPUS_MAX=N: room for so many CPUs. KERNEL_EXTRA: flags for one build, say -DKTLB_FLUSH_MAX=1.
BUILD ?= build
CPUS_MAX ?= 64
TESTKERNEL = $(BUILD)/testkernel/x86_64/ktlb.elf
TESTKERNEL_ISO = $(BUILD)/testkernel/x86_64/ktlb.iso

KERNEL_DIR = $(BUILD)/testkernel/x86_64
KERNEL_LIBRARY = $(wildcard source/*.c source/protocol/*.c)
# What the kernel runs once it is up: whatever defines scenarios_run().
KERNEL_WORK ?= $(wildcard scenarios/*.c) traces/trace.c
KERNEL_SOURCES = $(wildcard testkernel/common/*.c testkernel/x86_64/*.c) $(KERNEL_LIBRARY) $(KERNEL_WORK)
KERNEL_OBJECTS = $(KERNEL_SOURCES:%.c=$(KERNEL_DIR)/%.o) $(KERNEL_DIR)/testkernel/x86_64/boot.o

# No floating point, no red zone (interrupts run on the same stack), and frame pointers for reports.
KERNEL_CFLAGS = -std=c11 -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
    -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fcf-protection=none \
    -Wall -Wextra -Wconversion -Werror -I. -Iinclude -Isource \
    -DKTLB_CONFIG_HEADER='"testkernel/common/config.h"' -DKTLB_CPUS_MAX=$(CPUS_MAX) \
    -DKTLB_X86_64_INSTRUCTIONS_HEADER='"testkernel/x86_64/instructions.h"' $(KERNEL_EXTRA)

.PHONY: testkernel iso
testkernel: $(TESTKERNEL)
iso: $(TESTKERNEL_ISO)

$(KERNEL_DIR)/%.o: %.c $(KERNEL_DIR)/flags
	@mkdir -p $(@D)
	@tools/setup gcc:$(CC)
	@$(CC) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

# A loop that fills memory must not become a call of memset, least of all in memset.
$(KERNEL_DIR)/testkernel/common/string.o: KERNEL_CFLAGS += -fno-builtin \
    $(shell $(CC) -fno-tree-loop-distribute-patterns -E -x c /dev/null >/dev/null 2>&1 && echo -fno-tree-loop-distribute-patterns)

$(KERNEL_DIR)/testkernel/x86_64/boot.o: testkernel/x86_64/boot.S testkernel/x86_64/layout.h
	@mkdir -p $(@D)
	@$(CC) -g -c $< -o $@

$(KERNEL_DIR)/link.ld: testkernel/x86_64/link.ld testkernel/x86_64/layout.h
	@mkdir -p $(@D)
	@$(CC) -E -P -x c -Itestkernel/x86_64 $< -o $@

# What the objects were built with: another compiler or other options build them anew.
$(KERNEL_DIR)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','\'',$(KERNEL_CFLAGS))' | cmp -s - $@ || echo '$(CC) $(subst ','\'',$(KERNEL_CFLAGS))' >$@
.PHONY: FORCE

$(TESTKERNEL): $(KERNEL_OBJECTS) $(KERNEL_DIR)/link.ld
	@tools/setup binutils:ld
	@ld -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments -T $(KERNEL_DIR)/link.ld \
	    $(KERNEL_OBJECTS) -o $@
	@echo "ktlb: $$(cat $(KERNEL_LIBRARY) | wc -l) lines of C in source/, $$(size -t \
	    $(KERNEL_LIBRARY:%.c=$(KERNEL_DIR)/%.o) | awk 'END { print $$1 }') bytes of text"

$(TESTKERNEL_ISO): $(TESTKERNEL) tools/iso
	@tools/iso $(TESTKERNEL) $@ --

-include $(KERNEL_OBJECTS:.o=.d)
