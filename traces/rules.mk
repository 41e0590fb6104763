# Recording, checking and testing traces. The top-level Makefile includes this; every path is from
# there.
#
#   make record CMD='node program.js' [OUT=traces/node.trace]
#   make test-traces            ends with "N passed, N failed"
#   make check-traces           says what is in every trace of ours
#   make record-all             records every trace of ours again (needs node, java, gcc)

BUILD ?= build
TRACES := $(wildcard traces/*.trace)
TRACES_WARN := -Wall -Wextra -Wconversion -Wshadow -Wpedantic -Werror
TRACES_FREE := -std=c11 -O2 -ffreestanding $(TRACES_WARN)
TRACES_HOST := -std=c11 -O2 -g $(TRACES_WARN)
TRACES_SANE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.PHONY: record record-all check-traces test-traces traces-setup record-setup test-traces-setup

# Whatever is built waits for the compiler; the tests for their library as well.
traces-setup:
	@tools/setup gcc:$(firstword $(CC)) libc6-dev:/usr/include/stdio.h

test-traces-setup: traces-setup
	@tools/setup libcmocka-dev:/usr/include/cmocka.h

record-setup: traces-setup
	@tools/setup strace:strace

# ---- recording

$(BUILD)/traces/small: traces/programs/small.c | traces-setup
	@mkdir -p $(@D)
	@$(CC) $(TRACES_HOST) -o $@ $< -pthread

# A command that names our small program gets it built first. The command may be a make: it must not
# take itself for a part of this one.
RECORDED = $(or $(OUT),$(BUILD)/traces/recorded.trace)
record: record-setup $(BUILD)/traces/trace-check
record: $(if $(findstring $(BUILD)/traces/small,$(CMD)),$(BUILD)/traces/small)
	@[ -n "$$CMD" ] || { echo "usage: make record CMD='program' [OUT=traces/NAME.trace]" >&2; exit 2; }
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL traces/record -o $(RECORDED) "$$CMD"
	@$(BUILD)/traces/trace-check $(RECORDED)

# The command that made a trace stands in it.
record-all:
	@for trace in $(TRACES); do \
	    echo "$$trace"; \
	    sh -c "$$(sed -n 's/^# again: //p' $$trace)" || exit 1; \
	done

# ---- checking

$(BUILD)/traces/trace-check: traces/check.c traces/trace.c traces/trace.h | traces-setup
	@mkdir -p $(@D)
	@$(CC) $(TRACES_HOST) -o $@ traces/check.c traces/trace.c

check-traces: $(BUILD)/traces/trace-check
	@$(BUILD)/traces/trace-check $(TRACES)

# ---- testing

# As a kernel compiles it: no library behind it, no vector registers (x86_64 and aarch64 know the
# option).
$(BUILD)/traces/freestanding.o: traces/trace.c traces/trace.h | traces-setup
	@mkdir -p $(@D)
	@$(CC) $(TRACES_FREE) -nostdlib -mgeneral-regs-only -c -o $@ $<

$(BUILD)/traces/test_trace: traces/test_trace.c traces/trace.c traces/trace.h | test-traces-setup
	@mkdir -p $(@D)
	@$(CC) $(TRACES_HOST) $(TRACES_SANE) -o $@ traces/test_trace.c traces/trace.c -lcmocka

test-traces: $(BUILD)/traces/test_trace $(BUILD)/traces/trace-check $(BUILD)/traces/freestanding.o
	@TRACE_CHECK=$(BUILD)/traces/trace-check TRACE_SCRATCH=$(BUILD)/traces $(BUILD)/traces/test_trace
