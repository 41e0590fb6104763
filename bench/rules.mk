# The bench: what a shootdown costs, by counts. Included by the top-level Makefile.
BENCH = $(BUILD)/bench
BENCH_PLUGIN = $(BENCH)/coherence.so
# As hosts ship the library: with its checks and counters, and no events; and with nothing that can be left out.
BENCH_EXTRA_checked = -DKTLB_EVENTS=0
BENCH_EXTRA_bare = -DKTLB_EVENTS=0 -DKTLB_STATS=0 -DKTLB_ASSERTIONS=0
BENCH_BUILDS = checked bare

$(BENCH_PLUGIN): bench/coherence/coherence.c bench/coherence/qemu_plugin.h bench/bench.h
	@tools/setup gcc:gcc libc6-dev:/usr/include/stdlib.h
	@mkdir -p $(@D)
	@gcc -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wconversion -Werror -shared -fPIC -fvisibility=hidden $< -o $@

.PHONY: bench-kernels bench test-bench
bench-kernels:
	@$(foreach build,$(BENCH_BUILDS),$(MAKE) --no-print-directory testkernel ARCH=x86_64 BUILD=$(BENCH)/$(build) \
	    KERNEL_WORK=bench/bench.c KERNEL_EXTRA='$(BENCH_EXTRA_$(build))' >/dev/null &&) true

bench: $(BENCH_PLUGIN) bench-kernels
	@bench/run $(BENCH) $(if $(DEEP),deep) $(if $(CPUS_AXIS),cpus=$(CPUS_AXIS))

test-bench: $(BENCH_PLUGIN) bench-kernels
	@bench/test $(BENCH)
