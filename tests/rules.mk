# Tests on the host: the library under cmocka with a recorded machine, and the option matrix.

HOST_TESTS := op cpuset batch cpu protocol mailbox scoreboard doorbell broadcast hardware misuse x86_64 x86_64_invlpgb pte ring stats event apic guest
# Without the ring a CPU that is behind takes other ways: all of what steps through them runs both ways.
HOST_TEST_PROGRAMS := $(HOST_TESTS:%=$(BUILD)/tests/test_%) \
	$(patsubst %,$(BUILD)/tests/test_%-no-ring,batch cpu protocol mailbox scoreboard doorbell broadcast)
HOST_TEST_FLAGS := -std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
	-I. -Iinclude -Isource -Itests/host -DKTLB_CONFIG_HEADER='"fake_config.h"' \
	-DKTLB_X86_64_INSTRUCTIONS_HEADER='"fake_instructions.h"' -MMD -MP

# Some words, the last of them not full.
$(BUILD)/tests/test_cpuset: HOST_TEST_FLAGS += -DKTLB_CPUS_MAX=200
# As many CPUs as an xAPIC can name.
$(BUILD)/tests/test_apic: HOST_TEST_FLAGS += -DKTLB_CPUS_MAX=255

$(BUILD)/tests/test_ring: HOST_TEST_FLAGS += -DKTLB_ATOMIC_HEADER='"fake_atomic.h"'

# The layers of other architectures, by what they would execute: the library above them, a recorder below.
ARCH_TESTS := aarch64 aarch64_pte riscv64 riscv64_pte
ARCH_TEST_PROGRAMS := $(ARCH_TESTS:%=$(BUILD)/tests/arch/test_%)
ARCH_OF = $(firstword $(subst _, ,$*))
ARCH_TEST_FLAGS = $(HOST_TEST_FLAGS) -DKTLB_ARCH_HEADER='"ktlb/arch/$(ARCH_OF).h"' \
	-DKTLB_AARCH64_INSTRUCTIONS_HEADER='"record_aarch64.h"' -DKTLB_RISCV64_INSTRUCTIONS_HEADER='"record_riscv64.h"'

.PHONY: setup-host test-host test-options

setup-host:
	@tools/setup gcc:gcc libc6-dev:/usr/include/stdlib.h clang:clang libcmocka-dev:/usr/include/cmocka.h

$(BUILD)/tests/test_%: tests/host/test_%.c tests/host/fake.c $(wildcard source/*.c source/protocol/*.c) | setup-host
	@mkdir -p $(@D)
	@gcc $(HOST_TEST_FLAGS) $(filter %.c,$^) -lcmocka -o $@

$(BUILD)/tests/test_%-no-ring: tests/host/test_%.c tests/host/fake.c $(wildcard source/*.c source/protocol/*.c) | setup-host
	@mkdir -p $(@D)
	@gcc $(HOST_TEST_FLAGS) -DKTLB_SPACE_RING=0 $(filter %.c,$^) -lcmocka -o $@

$(BUILD)/tests/arch/test_%: tests/host/test_%.c tests/host/record.c $(wildcard source/*.c source/protocol/*.c) | setup-host
	@mkdir -p $(@D)
	@gcc $(ARCH_TEST_FLAGS) $(filter %.c,$^) -lcmocka -o $@

HOST_TEST_PROGRAMS += $(BUILD)/tests/test_devicetree
$(BUILD)/tests/test_devicetree: testkernel/common/devicetree.c

-include $(wildcard $(BUILD)/tests/*.d $(BUILD)/tests/arch/*.d)

# Each program is a cmocka group; its own report stays visible where something failed.
test-host: $(HOST_TEST_PROGRAMS) $(ARCH_TEST_PROGRAMS)
	@passed=0; failed=0; for test in $^; do \
	    $$test >$$test.log 2>&1; status=$$?; \
	    ok=$$(grep -c '       OK' $$test.log); bad=$$(grep -c '^\[  FAILED  \] [a-z]' $$test.log); \
	    passed=$$((passed + ok)); \
	    if [ $$status -ne 0 ]; then [ $$bad -gt 0 ] || bad=2; failed=$$((failed + (bad + 1) / 2)); cat $$test.log; fi; \
	    echo "$${test##*/}: $$ok passed$$([ $$status -eq 0 ] || echo ', FAILED')"; \
	done; echo "$$passed passed, $$failed failed"; [ $$failed -eq 0 ]

test-options: | setup-host
	@tools/setup gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc gcc-riscv64-linux-gnu:riscv64-linux-gnu-gcc
	@tests/options-matrix $(BUILD)/tests/options

.PHONY: setup-emulators faults-kernels test-kernel soak test

setup-emulators:
	@tools/setup gcc:gcc binutils:ld qemu-system-x86:qemu-system-x86_64 bochs:bochs xorriso:xorriso mtools:mformat \
	    grub-common:grub-mkrescue grub-pc-bin:/usr/lib/grub/i386-pc/boot.img qemu-system-arm:qemu-system-aarch64 \
	    gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc binutils-aarch64-linux-gnu:aarch64-linux-gnu-ld \
	    qemu-system-misc:qemu-system-riscv64 gcc-riscv64-linux-gnu:riscv64-linux-gnu-gcc

# For runs in which interrupts are lost: kernels that hear of a stall within a millisecond or so, and the library as it
# is, or broken as the explorer's museum has it.
FAULTS = $(BUILD)/faults
FAULTS_MUTANTS = foreign-interrupt-answers nmi-lost-in-a-section
FAULTS_MAKE = $(MAKE) --no-print-directory testkernel ARCH=x86_64 KERNEL_EXTRA=-DKTLB_STALL_SPINS=256
faults-kernels:
	@$(FAULTS_MAKE) BUILD=$(FAULTS) >/dev/null
	@for mutant in $(FAULTS_MUTANTS); do \
	    mkdir -p $(FAULTS)/$$mutant && cp -pr source $(FAULTS)/$$mutant/ && \
	    explorer/mutants/run --only=$$mutant --write=$(FAULTS)/$$mutant && \
	    $(FAULTS_MAKE) BUILD=$(FAULTS)/$$mutant KERNEL_LIBRARY="$$(echo $(FAULTS)/$$mutant/source/*.c \
	        $(FAULTS)/$$mutant/source/protocol/*.c)" >/dev/null || exit 1; \
	done

# Every architecture, or the one that ARCH= names.
KERNEL_TESTED := $(if $(filter file,$(origin ARCH)),$(KERNEL_ARCHES),$(ARCH))
test-kernel:
	@for arch in $(KERNEL_TESTED); do \
	    $(MAKE) --no-print-directory ARCH=$$arch testkernel \
	        $$([ $$arch != x86_64 ] || echo iso faults-kernels) || exit 1; done
	@tests/kernel-matrix $(BUILD)/testkernel $(BUILD)/tests/kernel $(KERNEL_TESTED)

# A minute of everything at once. No stall, no stale access; and the control.
soak: setup-emulators $(TESTKERNEL)
	@tools/run-in-emulator --cpus $(if $(filter command% environment%,$(origin CPUS)),$(CPUS),64) --memory 512 \
	    --timeout $$(($(or $(SECONDS),60) * 4 + 300)) $(TESTKERNEL) -- scenario=everything seconds=$(or $(SECONDS),60)

# Everything, each part whatever became of the others; then one sum.
TEST_PARTS := test-host test-options test-traces litmus explorer-check test-monitor test-kernel test-bench
test: setup-host setup-emulators
	@mkdir -p $(BUILD)/tests; status=0; passed=0; failed=0; for part in $(TEST_PARTS); do \
	    echo "== $$part"; : >$(BUILD)/tests/$$part.log; $(MAKE) --no-print-directory $$part \
	        >>$(BUILD)/tests/$$part.log 2>&1 & \
	    tail -n +1 -q --pid=$$! -f $(BUILD)/tests/$$part.log; wait $$! || status=1; \
	    sum=$$(grep -aE '^[0-9]+ passed, [0-9]+ failed' $(BUILD)/tests/$$part.log | tail -1); \
	    [ -n "$$sum" ] || { sum='0 passed, 1 failed'; }; \
	    passed=$$((passed + $${sum%% passed*})); bad=$${sum#*passed, }; failed=$$((failed + $${bad%% failed*})); \
	done; [ $$status -eq 0 ] || [ $$failed -gt 0 ] || failed=1; \
	echo "== all of it"; echo "$$passed passed, $$failed failed"; [ $$failed -eq 0 ]
