# Every entry point of the project. `make` alone says what there is.

BUILD ?= build
CC = gcc
MAKEFLAGS += --no-builtin-rules

.PHONY: help clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: make run                 replay a real program's memory traffic on 8 emulated CPUs (ARCH=aarch64|riscv64, TRACE=traces/…, CPUS=n)
#: make run PROTOCOL=all    every protocol over the same trace, in one table; PROTOCOL=name: with that one
#: make test                everything: host tests, option matrix, traces, every kernel case on every machine
#: make test-host           the library on the host, interleavings stepped by hand
#: make test-options        every option, compiler and architecture we promise
#: make test-traces         the trace reader
#: make test-kernel         every scenario and its control on the emulated machines
#: make bench               what a shootdown costs: interrupts, cache lines, instructions, by protocol (DEEP=1: every cell)
#: make test-bench          what counts them, against what it has to find; counts that repeat
#: make soak                everything at once on 64 CPUs for a minute (SECONDS=60, CPUS=64)
#: make test-monitor        a monitor and its guest under load, at EL2 of an emulated aarch64 (RUN=scale=1000: a million)
#: make iso                 a bootable image with the test kernel
#: make record CMD='…'      record a trace of a program (OUT=traces/name.trace)
#: make explore             the library under the C11 memory model and a hostile MMU (QUICK=1, DEEP=1)
#: make mutants             break the library in every way we know, and see each found (ONLY=text)
#: make litmus              the explorer's memory model against the classic litmus shapes
#: make readme              put the output of both into the README
#: make clean               remove what was built
#:
#: BUILD=dir puts what is built elsewhere; CC=clang builds the kernel with clang.
#: SEED=n makes a kernel run repeat byte for byte (instruction-counting clock).

include $(wildcard */rules.mk)

# What a newcomer types first. The kernel judges itself; its status is ours.
TRACE ?= traces/$(if $(filter all,$(PROTOCOL)),fleet,node).trace
CPUS ?= 8
.PHONY: run
run: setup-run $(TESTKERNEL)
	@[ -t 1 ] && live=progress=tty; tools/run-in-emulator --cpus $(CPUS) $(if $(SEED),--seed $(SEED)) \
	    --trace $(TRACE) $(TESTKERNEL) -- $$live $(if $(PROTOCOL),protocol=$(PROTOCOL)) $(RUN)

# Put what runs really print into the README, after the line that names the run.
.PHONY: readme
readme: $(TESTKERNEL)
	@mkdir -p $(BUILD) && $(MAKE) --no-print-directory run >$(BUILD)/run.txt
	@$(MAKE) --no-print-directory run PROTOCOL=all >$(BUILD)/all.txt
	@awk 'function show(file, line) { print "```"; while ((getline line <file) > 0) print line; print "```"; skip = 2 } \
	    /^<!-- [a-z]* -->$$/ { print; show("$(BUILD)/" $$2 ".txt"); next } skip && /^```/ { skip--; next } !skip' \
	    README.md >$(BUILD)/README.md
	@cp $(BUILD)/README.md README.md

.PHONY: setup-run
setup-run:
	@tools/setup $(KERNEL_CC_SETUP) $(KERNEL_LD_SETUP) \
	    $(if $(SEED),libc6-dev:/usr/include/stdlib.h)

clean:
	rm -rf $(BUILD)
