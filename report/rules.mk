# The report. Included by the top-level Makefile.
#
# What takes seconds to a minute is run by make report when the kernel has changed; what takes long has targets of its
# own, and the page takes what they left. Each run is kept with its command, machine, emulator and commit (record.py).
#
#: make report              one page of all that was measured: build/report/index.html; and its traces, for Perfetto
#: make report-matrix       test-kernel and mutants, kept for the page (long), as make bench is
#: make report-mutants
#: make model               the bench's counts times published costs, and how far that is from what is published
#: make test-report         what the report is made of; make test-page: the page, in a real browser
REPORT = $(BUILD)/report
REPORT_RECORD = python3 report/record.py
REPORT_SOFTWARE := $(shell sed -n 's/^ *X(\([a-z]*\)).*/\1/p' source/protocol/protocol.h)
REPORT_EVENTS = $(REPORT_SOFTWARE:%=$(REPORT)/events-%.txt) $(REPORT)/events-hardware.txt
# A shootdown in some quiet: few CPUs, and a clock that counts instructions, so that the picture is the same each time.
REPORT_RUN = tools/run-in-emulator --seed 1 --cpus 4
REPORT_WORDS = scenario=map scale=20 controls=0 trace=256
REPORT_X86 = $(BUILD)/testkernel/x86_64/ktlb.elf
REPORT_ARM = $(BUILD)/testkernel/aarch64/ktlb.elf
# The bench's files, of the library as it is, and all.
REPORT_BENCH = $(sort $(wildcard $(1:%=$(BUILD)/bench/%.csv)))
REPORT_CHECKED = $(call REPORT_BENCH,targets-checked axes-* deep-*)
REPORT_CSV = $(REPORT_CHECKED) $(call REPORT_BENCH,targets-bare targets-bound trace-* speed)

REPORT_MADE_FROM = $(KERNEL_LIBRARY) \
    $(wildcard include/ktlb/*.h include/ktlb/*/*.h scenarios/*.[ch] testkernel/*/*.[chS])

.PHONY: report report-matrix report-mutants report-kernels setup-report test-report test-page model

setup-report:
	@tools/setup python3:python3 gnuplot-nox:gnuplot

report-kernels:
	@for arch in x86_64 aarch64; do $(MAKE) -s ARCH=$$arch testkernel >/dev/null || exit 1; done

# A run that fails is seen, and not kept for the page of another day.
$(REPORT_EVENTS) $(REPORT)/run.txt $(REPORT)/compare.txt: $(REPORT_MADE_FROM) | setup-report report-kernels
	@$(REPORT_RECORD) $@ $(REPORT_COMMAND) || { rm -f $@; exit 1; }
$(REPORT_SOFTWARE:%=$(REPORT)/events-%.txt): REPORT_COMMAND = \
    $(REPORT_RUN) $(REPORT_X86) -- protocol=$(@:$(REPORT)/events-%.txt=%) $(REPORT_WORDS)
$(REPORT)/events-hardware.txt: REPORT_COMMAND = $(REPORT_RUN) $(REPORT_ARM) -- protocol=hardware asid=0 $(REPORT_WORDS)
$(REPORT)/run.txt: REPORT_COMMAND = make -s run $(MAKEOVERRIDES)
$(REPORT)/compare.txt: REPORT_COMMAND = make -s run PROTOCOL=all $(MAKEOVERRIDES)

$(REPORT)/%.json: $(REPORT)/events-%.txt report/events.py
	@python3 report/events.py $< $* $@

report: setup-report $(REPORT_EVENTS) $(REPORT_EVENTS:$(REPORT)/events-%.txt=$(REPORT)/%.json) \
    $(REPORT)/run.txt $(REPORT)/compare.txt
	@python3 report/page.py $(REPORT) $(REPORT_CSV)

report-matrix: REPORT_COMMAND = make -s test-kernel $(MAKEOVERRIDES)
report-mutants: REPORT_COMMAND = make -s mutants $(MAKEOVERRIDES)
report-matrix report-mutants: setup-report
	@$(REPORT_RECORD) $(REPORT)/$(@:report-%=%).txt $(REPORT_COMMAND)

model: setup-report
	@python3 bench/model/model.py $(REPORT_CHECKED)

test-report: report
	@python3 report/test_report.py $(REPORT)

# The page in a real browser; CI runs it, so that make test stays light.
test-page: report
	@tools/setup chromium:chromium
	@python3 report/test_page.py $(REPORT)
