# A parallel compilation: three sources of ours, each with every optimization level. The objects go
# to a scratch folder of the build and are used by nobody; -B makes a second recording do the work
# again.
#
#   make -B -s -j4 -f traces/programs/compile.mk

BUILD ?= build
SCRATCH := $(BUILD)/traces/compile
SETS := O0 O1 O2 O3 Os Og

all: $(foreach name,trace check small,$(SETS:%=$(SCRATCH)/$(name)-%.o))

$(SCRATCH)/trace-%.o: traces/trace.c
	@mkdir -p $(@D)
	@$(CC) -std=c11 -g -$* -c -o $@ $<

$(SCRATCH)/check-%.o: traces/check.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -g -$* -c -o $@ $<

$(SCRATCH)/small-%.o: traces/programs/small.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu11 -g -$* -c -o $@ $<
