# The test kernel: one ELF file, and beside it what this architecture's boot loaders want instead, if they do.
#
# Included by the top-level Makefile. Offers $(TESTKERNEL) and $(TESTKERNEL_ISO), and the targets testkernel and iso.
# ARCH: a folder beside common/, whose arch.mk says what is its own. CPUS_MAX=N: room for so many CPUs.
# KERNEL_EXTRA: flags for one build, say -DKTLB_FLUSH_MAX=1. KERNEL_WRAP: functions that its KERNEL_WORK wraps.
BUILD ?= build
ARCH ?= x86_64
CPUS_MAX ?= 64
KERNEL_ARCHES = $(patsubst testkernel/%/arch.mk,%,$(wildcard testkernel/*/arch.mk))
ifeq ($(filter $(ARCH),$(KERNEL_ARCHES)),)
$(error ARCH=$(ARCH): there is no such test kernel; known are: $(KERNEL_ARCHES))
endif
include testkernel/$(ARCH)/arch.mk

KERNEL_DIR = $(BUILD)/testkernel/$(ARCH)
TESTKERNEL = $(KERNEL_DIR)/ktlb.elf
TESTKERNEL_ISO = $(KERNEL_DIR)/ktlb.iso

# Debian's names of the tools for another machine than this one; clang is one compiler for all.
KERNEL_TRIPLE = $(ARCH)-linux-gnu
KERNEL_FOREIGN := $(filter-out $(shell uname -m),$(ARCH))
KERNEL_TOOL = $(KERNEL_FOREIGN:%=$(KERNEL_TRIPLE)-)
KERNEL_PACKAGE = $(subst _,-,$(KERNEL_FOREIGN:%=-$(KERNEL_TRIPLE)))
KERNEL_CLANG = $(findstring clang,$(CC))
KERNEL_CC = $(if $(KERNEL_CLANG),$(CC) --target=$(KERNEL_TRIPLE),$(KERNEL_TOOL)$(CC))
KERNEL_CC_SETUP = $(if $(KERNEL_CLANG),clang:$(CC),gcc$(KERNEL_PACKAGE):$(KERNEL_TOOL)$(CC))
KERNEL_LD_SETUP = binutils$(KERNEL_PACKAGE):$(KERNEL_TOOL)ld

KERNEL_LIBRARY = $(wildcard source/*.c source/protocol/*.c)
# What the kernel runs once it is up: whatever defines scenarios_run().
KERNEL_WORK ?= $(wildcard scenarios/*.c) traces/trace.c
KERNEL_SOURCES = $(wildcard testkernel/common/*.c testkernel/$(ARCH)/*.c) $(KERNEL_LIBRARY) $(KERNEL_WORK)
# With KERNEL_WHOLE the library is optimised as one unit (gcc), as a host may.
KERNEL_LIBRARY_OBJECTS = $(KERNEL_LIBRARY:%.c=$(KERNEL_DIR)/%.o)
KERNEL_OBJECTS = $(KERNEL_SOURCES:%.c=$(KERNEL_DIR)/%.o) $(KERNEL_WORK_ASSEMBLY:%.S=$(KERNEL_DIR)/%.o) \
    $(KERNEL_DIR)/testkernel/$(ARCH)/boot.o

# Frame pointers are for reports. The architecture's own flags keep floating point out, and a red zone: interrupts run
# on the same stack.
KERNEL_CFLAGS = -std=c11 -O2 -g -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-omit-frame-pointer \
    -fno-asynchronous-unwind-tables -Wall -Wextra -Wconversion -Werror -I. -Iinclude -Isource \
    -DKTLB_CONFIG_HEADER='"testkernel/common/config.h"' -DKTLB_CPUS_MAX=$(CPUS_MAX) \
    -DKTLB_PORT_HEADER='"testkernel/common/port.h"' -DKERNEL_INLINE_HEADER='"testkernel/$(ARCH)/inline.h"' \
    $(KERNEL_ARCH_CFLAGS) $(KERNEL_EXTRA)

.PHONY: testkernel iso
testkernel: $(TESTKERNEL)
iso: $(TESTKERNEL_ISO)

$(KERNEL_DIR)/%.o: %.c $(KERNEL_DIR)/flags
	@mkdir -p $(@D)
	@tools/setup $(KERNEL_CC_SETUP)
	@$(KERNEL_CC) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

KERNEL_LINK = $(KERNEL_TOOL)ld
KERNEL_LINK_OPTION =
ifdef KERNEL_WHOLE
$(KERNEL_LIBRARY_OBJECTS): KERNEL_CFLAGS += -flto
KERNEL_LINK = $(KERNEL_CC) $(KERNEL_CFLAGS) -flto -no-pie
KERNEL_LINK_OPTION = -Wl,
endif

# A loop that fills memory must not become a call of memset, least of all in memset.
$(KERNEL_DIR)/testkernel/common/string.o: KERNEL_CFLAGS += -fno-builtin \
    $(if $(KERNEL_CLANG),,-fno-tree-loop-distribute-patterns)

$(KERNEL_DIR)/%.o: %.S testkernel/$(ARCH)/layout.h $(KERNEL_DIR)/flags
	@mkdir -p $(@D)
	@tools/setup $(KERNEL_CC_SETUP)
	@$(KERNEL_CC) $(KERNEL_ARCH_ASFLAGS) -g $(KERNEL_EXTRA) -c $< -o $@

$(KERNEL_DIR)/link.ld: testkernel/$(ARCH)/link.ld testkernel/$(ARCH)/layout.h
	@mkdir -p $(@D)
	@tools/setup $(KERNEL_CC_SETUP)
	@$(KERNEL_CC) -E -P -x c -Itestkernel/$(ARCH) $< -o $@

# What the objects were built with: another compiler or other options build them anew.
$(KERNEL_DIR)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(KERNEL_CC) $(subst ','\'',$(KERNEL_CFLAGS))' >$@.new
	@cmp -s $@.new $@ || cp $@.new $@
.PHONY: FORCE

$(TESTKERNEL): $(KERNEL_OBJECTS) $(KERNEL_DIR)/link.ld
	@tools/setup $(KERNEL_LD_SETUP)
	@$(KERNEL_LINK) -nostdlib -static $(KERNEL_LINK_OPTION)--build-id=none -z max-page-size=4096 -z noexecstack \
	    $(addprefix $(KERNEL_LINK_OPTION),--no-warn-rwx-segments $(KERNEL_WRAP:%=--wrap=%)) \
	    -T $(KERNEL_DIR)/link.ld $(KERNEL_OBJECTS) -o $@
	$(KERNEL_IMAGE)
	@echo "ktlb: $$(cat $(KERNEL_LIBRARY) | wc -l) lines of C in source/, $$($(KERNEL_TOOL)size -t \
	    $(KERNEL_LIBRARY_OBJECTS) | awk 'END { print $$1 }') bytes of text"

$(TESTKERNEL_ISO): $(TESTKERNEL) tools/iso
	@tools/iso $(TESTKERNEL) $@ --

-include $(KERNEL_OBJECTS:.o=.d)

# The monitor: this kernel at EL2, and below it a guest that invalidates for itself. A build of its own.
MONITOR_DIR = $(BUILD)/monitor
MONITOR = $(MONITOR_DIR)/testkernel/aarch64/ktlb.elf
.PHONY: monitor test-monitor
test-monitor: monitor
	@tools/run-in-emulator --board virtualization=on --cpus 5 $(MONITOR) -- $(or $(RUN),scale=200)

monitor:
	@$(MAKE) --no-print-directory ARCH=aarch64 BUILD=$(MONITOR_DIR) KERNEL_EXTRA=-DKERNEL_EL2 \
	    KERNEL_WORK='$(wildcard testkernel/monitor/*.c)' \
	    KERNEL_WORK_ASSEMBLY='testkernel/monitor/world.S examples/guest/shim.S' testkernel
