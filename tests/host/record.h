/*
 * record.h - the recorder behind an architecture's instructions in the host tests: what was executed, as a line of text
 * that a test compares with the one it expects: "dsb_nsh vale1:5 dsb_nsh isb". Operands are hexadecimal.
 */
#ifndef TESTS_HOST_RECORD_H
#define TESTS_HOST_RECORD_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Record @name with its first @operands of a and b. */
void record(const char *name, unsigned operands, uint64_t a, uint64_t b);
/* What was recorded since the last call; the record is then empty. */
const char *recorded(void);

/* Set the library up, with its one CPU online and nothing recorded. */
void record_boot(unsigned asids);
/* The same with some CPUs, all online, under @protocol; and which of them runs now. Interrupts are recorded, not sent. */
void record_boot_with(const char *protocol, unsigned cpus, unsigned asids);
extern unsigned record_cpu;

#define ASSERT_RECORDED(text) assert_string_equal(recorded(), text)

#endif
