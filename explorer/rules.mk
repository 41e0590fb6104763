# The explorer: runs the shipped code under the C11 memory model. Included by the top-level Makefile.
#
#   make litmus          build the litmus table and check it: each outcome set exact
#   make litmus-deep     the same with every placement of orders in every shape (minutes)
#   make litmus-relacy   compare the table with an independent checker (relacy-dev)
#   make litmus-herd     write the table as herd7 files, and run herd7 where there is one
#   make litmus-vmsa     the aarch64 layer's barriers under herd7's model of translation, where there is one
#   make explorer-check  the runtime's own cases: reduction, modes, replay, timeline, speed
#
# What is compiled by $(call explorer_instrument,...) announces its accesses to explorer/hooks.c; the rest of a
# program does not. Copies the compiler makes are redirected to the hooks as well.

BUILD ?= build
EXPLORER_CC ?= $(CC)
EXPLORER_CXX ?= g++
ARCH ?= x86_64
EXPLORER_INCLUDE ?= include
EXPLORER_OUT := $(BUILD)/explorer$(if $(EARLY),-early)$(addprefix -,$(filter-out x86_64,$(ARCH)))
EXPLORER_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Wconversion -Werror -fno-pie -I$(EXPLORER_INCLUDE) -I.
EXPLORER_HOOKED := $(EXPLORER_CFLAGS) -fsanitize=thread -fno-omit-frame-pointer -ffreestanding \
    -Wno-unknown-warning-option -Wno-tsan # gcc warns that its own runtime does not know fences; ours does
EXPLORER_RUNTIME := $(patsubst explorer/%.c,$(EXPLORER_OUT)/%.o,$(wildcard explorer/*.c))
EXPLORER_RUNTIME := $(filter-out $(EXPLORER_OUT)/check%,$(EXPLORER_RUNTIME))
EXPLORER_LITMUS := $(addprefix $(EXPLORER_OUT)/litmus/,litmus.o program.o axioms.o table.o body.hooked.o)

# $(call explorer_instrument,SOURCE,OBJECT)
define explorer_instrument
	$(EXPLORER_CC) $(EXPLORER_HOOKED) -MMD -MF $(2:.o=.d) -c $(1) -o $(2)
	objcopy --redefine-sym memcpy=ex_memcpy --redefine-sym memmove=ex_memmove --redefine-sym memset=ex_memset $(2)
endef

.PHONY: explorer-setup
explorer-setup:
	@tools/setup gcc:$(firstword $(EXPLORER_CC)) binutils:objcopy libc6-dev:/usr/include/stdlib.h

$(EXPLORER_OUT)/%.hooked.o: explorer/%.c | explorer-setup
	@mkdir -p $(@D)
	$(call explorer_instrument,$<,$@)

$(EXPLORER_OUT)/%.o: explorer/%.c | explorer-setup
	@mkdir -p $(@D)
	$(EXPLORER_CC) $(EXPLORER_CFLAGS) -MMD -MF $(@:.o=.d) -c $< -o $@

$(EXPLORER_OUT)/litmus/litmus: $(EXPLORER_RUNTIME) $(EXPLORER_LITMUS)
	$(EXPLORER_CC) -no-pie $^ -o $@

$(EXPLORER_OUT)/check: $(EXPLORER_RUNTIME) $(EXPLORER_OUT)/check.o $(EXPLORER_OUT)/check_bodies.hooked.o
	$(EXPLORER_CC) -no-pie $^ -o $@

.PHONY: litmus litmus-deep litmus-relacy litmus-herd litmus-vmsa explorer-check
litmus: $(EXPLORER_OUT)/litmus/litmus
	$<

litmus-deep: $(EXPLORER_OUT)/litmus/litmus
	$< --quiet --sweep=all

# The reference is not ours to keep free of warnings. Its operator new is its own, so it links only what it needs.
$(EXPLORER_OUT)/litmus/relacy.o: explorer/litmus/relacy.cc explorer/litmus/litmus.h
	@mkdir -p $(@D)
	tools/setup g++:g++ relacy-dev:/usr/include/relacy/relacy.hpp
	$(EXPLORER_CXX) -std=c++11 -O1 -w -fno-pie -c $< -o $@

$(EXPLORER_OUT)/litmus/relacy: $(EXPLORER_OUT)/litmus/relacy.o $(filter-out %/litmus.o %/axioms.o,$(EXPLORER_LITMUS)) \
                               $(filter-out %/main.o,$(EXPLORER_RUNTIME))
	$(EXPLORER_CXX) -no-pie $^ -o $@

litmus-relacy: $(EXPLORER_OUT)/litmus/relacy
	$<

litmus-herd: $(EXPLORER_OUT)/litmus/litmus
	sh explorer/litmus/herd.sh $< $(EXPLORER_OUT)/herd

litmus-vmsa:
	@explorer/litmus/vmsa/run

explorer-check: $(EXPLORER_OUT)/check
	sh explorer/check.sh $<

-include $(wildcard $(EXPLORER_OUT)/*.d $(EXPLORER_OUT)/litmus/*.d)

# ---- the library under the explorer
#
#   make explore         every case on every architecture, an hour on two CPUs (QUICK=1: minutes; DEEP=1: hours)
#   make explore PROTOCOL=name, NMI=1, EARLY=1: under another protocol, by NMI, with early answers (PROTOCOL=scoreboard)
#   make explore ARCH=aarch64: that architecture alone: its layer, on its TLB
#   make mutants         break the library in every way we know, and see each found
#
# The library is compiled as shipped, from source/, but for its options and the instructions; its statics are gathered in
# one section so that they can be put back before every execution.

EXPLORE_OPTIONS = -Isource -Isource/protocol -DKTLB_CONFIG_HEADER='"explorer/machine/config.h"' \
    -DKTLB_ARCH_HEADER='"ktlb/arch/$(ARCH).h"' \
    -DKTLB_$(shell echo $(ARCH) | tr a-z A-Z)_INSTRUCTIONS_HEADER='"explorer/machine/$(ARCH)_instructions.h"' \
    $(if $(EARLY),-DKTLB_SCOREBOARD_EARLY=1) $(if $(filter riscv64,$(ARCH)),-DTAGS=16u)
EXPLORE_DIR := $(EXPLORER_OUT)/library
EXPLORE_LIBRARY := $(patsubst %.c,$(EXPLORE_DIR)/%.o,$(wildcard source/*.c source/protocol/*.c))
EXPLORE_MACHINE := $(patsubst %,$(EXPLORER_OUT)/machine/%.o,hardware machine main $(ARCH))
EXPLORE_REST := $(EXPLORER_RUNTIME) $(EXPLORE_MACHINE) $(EXPLORER_OUT)/machine/cases.hooked.o
EXPLORE := $(EXPLORER_OUT)/explore

$(EXPLORER_OUT)/machine/%: EXPLORER_CFLAGS += $(EXPLORE_OPTIONS)

# $(call explorer_library,SOURCE,OBJECT)
define explorer_library
	@mkdir -p $(dir $(2))
	$(EXPLORER_CC) $(EXPLORER_HOOKED) $(EXPLORE_OPTIONS) -MMD -MF $(2:.o=.d) -c $(1) -o $(2)
	objcopy --redefine-sym memcpy=ex_memcpy --redefine-sym memmove=ex_memmove --redefine-sym memset=ex_memset \
	    --set-section-flags .bss=alloc,load,contents,data --rename-section .bss=ktlb_data \
	    --rename-section .data=ktlb_data $(2)
endef

$(EXPLORE_DIR)/%.o: %.c | explorer-setup
	$(call explorer_library,$<,$@)

$(EXPLORE): $(EXPLORE_REST) $(EXPLORE_LIBRARY)
	$(EXPLORER_CC) -no-pie $^ -o $@

# One mutant: WORK has copies of include and source, in which the file CHANGED is another; called by explorer/mutants/run,
# which has had the sound program built. A header is compiled into all of the library, that of an architecture into the machine
# as well.
ifdef CHANGED
MUTANT_SOURCES := $(if $(filter %.h,$(CHANGED)),$(wildcard source/*.c source/protocol/*.c),$(CHANGED))
MUTANT_MACHINE := $(if $(filter include/%,$(CHANGED)),$(EXPLORER_OUT)/machine/$(ARCH).o)
MUTANT_OBJECTS := $(patsubst %.c,$(WORK)/%.o,$(MUTANT_SOURCES)) $(if $(MUTANT_MACHINE),$(WORK)/machine.o)
MUTANT_REST := $(filter-out $(MUTANT_MACHINE) $(patsubst %.c,$(EXPLORE_DIR)/%.o,$(MUTANT_SOURCES)),$(EXPLORE_REST) $(EXPLORE_LIBRARY))

$(WORK)/source/%.o: $(WORK)/source/%.c
	$(call explorer_library,$<,$@)

$(WORK)/machine.o: explorer/machine/$(ARCH).c
	$(EXPLORER_CC) $(EXPLORER_CFLAGS) $(EXPLORE_OPTIONS) -c $< -o $@

.PHONY: mutant
mutant: $(MUTANT_OBJECTS)
	$(EXPLORER_CC) -no-pie $(MUTANT_OBJECTS) $(MUTANT_REST) -o $(WORK)/explore
endif

# The scenarios of scenarios/, unchanged, need more pages and frames than the small cases; so they have a program of their own.
SCENARIOS_DIR := $(EXPLORER_OUT)/scenarios
SCENARIOS_HOOKED := $(patsubst %.c,$(SCENARIOS_DIR)/%.o,$(wildcard source/*.c source/protocol/*.c scenarios/*.c) \
    traces/trace.c)
SCENARIOS_CASES := $(patsubst %.c,$(SCENARIOS_DIR)/%.o,explorer/machine/cases.c explorer/machine/scenario_cases.c)
SCENARIOS_MACHINE := $(patsubst %.c,$(SCENARIOS_DIR)/plain/%.o,$(addprefix explorer/machine/,hardware.c \
    machine.c main.c $(ARCH).c))
EXPLORE_SCENARIOS := $(EXPLORER_OUT)/explore-scenarios

$(SCENARIOS_DIR)/%.o: EXPLORE_OPTIONS += -DTABLE_PAGES=64u -DFRAMES=160u -DEXPLORE_CASES=scenario_cases
$(SCENARIOS_HOOKED): $(SCENARIOS_DIR)/%.o: %.c | explorer-setup
	$(call explorer_library,$<,$@)

$(SCENARIOS_CASES): $(SCENARIOS_DIR)/%.o: %.c | explorer-setup
	@mkdir -p $(@D)
	$(EXPLORER_CC) $(EXPLORER_HOOKED) $(EXPLORE_OPTIONS) -MMD -MF $(@:.o=.d) -c $< -o $@
	objcopy --redefine-sym memcpy=ex_memcpy --redefine-sym memmove=ex_memmove --redefine-sym memset=ex_memset $@

$(SCENARIOS_MACHINE): $(SCENARIOS_DIR)/plain/%.o: %.c | explorer-setup
	@mkdir -p $(@D)
	$(EXPLORER_CC) $(EXPLORER_CFLAGS) $(EXPLORE_OPTIONS) -MMD -MF $(@:.o=.d) -c $< -o $@

$(EXPLORE_SCENARIOS): $(EXPLORER_RUNTIME) $(SCENARIOS_HOOKED) $(SCENARIOS_CASES) $(SCENARIOS_MACHINE)
	$(EXPLORER_CC) -no-pie $^ -o $@

-include $(patsubst %.o,%.d,$(SCENARIOS_HOOKED) $(SCENARIOS_CASES) $(SCENARIOS_MACHINE))

.PHONY: explore explore-program explore-scenarios-program mutants
explore-program: $(EXPLORE)
explore-scenarios-program: $(EXPLORE_SCENARIOS)

# Where ARCH is not said, the other architectures as well. Early answers are one protocol's.
EXPLORE_OTHERS := $(if $(EARLY),,$(if $(filter file,$(origin ARCH)),aarch64 riscv64))
explore: $(EXPLORE) $(EXPLORE_SCENARIOS)
	@for arch in $(EXPLORE_OTHERS); do \
	    $(MAKE) --no-print-directory ARCH=$$arch explore-program explore-scenarios-program >/dev/null || exit 1; done
	@explorer/explore '$(if $(DEEP),deep,$(if $(QUICK),quick))' $(EXPLORE) $(EXPLORE_SCENARIOS) \
	    $(EXPLORE_OTHERS:%=$(BUILD)/explorer-%/explore)

mutants:
	@explorer/mutants/run --build=$(BUILD) --out=$(BUILD)/explorer/mutants $(if $(ONLY),--only='$(ONLY)')

-include $(wildcard $(EXPLORER_OUT)/machine/*.d $(EXPLORE_DIR)/source/*.d $(EXPLORE_DIR)/source/protocol/*.d)
