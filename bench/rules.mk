# The bench: what a shootdown costs. Included by the top-level Makefile.
#
#   make bench        tables of counts, and of throughput as a ratio; $(BUILD)/bench/*.csv (five minutes)
#   make bench DEEP=1 every cell (guess: half an hour of an idle host, the most of it for 64 CPUs)
#                     BENCH_CPUS='2 8 64' chooses machines
#   make test-bench   the plugin against what it has to find; counts that repeat
BENCH = $(BUILD)/bench
BENCH_PLUGIN = $(BENCH)/coherence.so
# Of what: as hosts ship the library, with its checks and counters; without whatever can be left out; and over traces.
BENCH_BUILDS = checked bare bound trace
BENCH_KERNEL_checked = KERNEL_WORK=bench/bench.c KERNEL_EXTRA=-DKTLB_EVENTS=0
BENCH_KERNEL_bare = KERNEL_WORK=bench/bench.c KERNEL_EXTRA='-DKTLB_EVENTS=0 -DKTLB_STATS=0 -DKTLB_ASSERTIONS=0'
BENCH_KERNEL_bound = KERNEL_WORK=bench/bench.c KERNEL_EXTRA='-DKTLB_EVENTS=0 -DKTLB_STATS=0 -DKTLB_ASSERTIONS=0 \
    -DKTLB_PROTOCOL=doorbell -fomit-frame-pointer' KERNEL_WHOLE=1
BENCH_KERNEL_trace = KERNEL_WORK='$(wildcard scenarios/*.c) traces/trace.c bench/trace.c' KERNEL_EXTRA=-DKTLB_EVENTS=0 \
    KERNEL_WRAP='ktlb_batch_dispatch ktlb_batch_sync replay_pass'

$(BENCH_PLUGIN): bench/coherence/coherence.c bench/coherence/qemu_plugin.h bench/bench.h
	@tools/setup gcc:gcc libc6-dev:/usr/include/stdlib.h binutils:nm
	@mkdir -p $(@D)
	@gcc -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wconversion -Werror -shared -fPIC -fvisibility=hidden $< -o $@

.PHONY: $(BENCH_BUILDS:%=bench-kernel-%) bench test-bench
$(BENCH_BUILDS:%=bench-kernel-%): bench-kernel-%:
	@$(MAKE) --no-print-directory testkernel ARCH=x86_64 BUILD=$(BENCH)/$* $(BENCH_KERNEL_$*) >/dev/null

BENCH_CPUS ?= $(if $(DEEP),2 4 8 16 32 64,2 8 32)
bench: $(BENCH_PLUGIN) $(BENCH_BUILDS:%=bench-kernel-%)
	@bench/run $(BENCH) $(if $(DEEP),deep,axes) '$(BENCH_CPUS)' $(if $(DEEP),$(wildcard traces/*.trace),traces/node.trace)

test-bench: $(BENCH_PLUGIN) bench-kernel-checked
	@bench/test $(BENCH)
