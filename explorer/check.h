/*
 * What the check's two files share: check_bodies.c is compiled with -fsanitize=thread, check.c is the machine.
 */
#ifndef EXPLORER_CHECK_H
#define EXPLORER_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#define CHECK_CPUS 8u

/* Provided by the machine. */
void machine_ipi(unsigned target);
void machine_relax(void);
void machine_irq(bool enabled);
void machine_require(bool condition, const char *promise);
void machine_touch(unsigned page);      /* use a translation: may fill, may use what is cached */
void machine_invalidate(unsigned page); /* this CPU's own */

/* Provided by the bodies, all of it memory under test. */
struct check_line {
    _Alignas(64) uint64_t word;
    uint64_t data;
};
extern struct check_line check_lines[CHECK_CPUS];
extern uint64_t check_page; /* the one page-table entry of the toy shootdown */
extern unsigned check_count, check_ticket, check_serving;

void check_lock_body(unsigned cpu);
void check_lock_broken_body(unsigned cpu);
void check_shootdown_2_body(unsigned cpu);
void check_shootdown_body(unsigned cpu);
void check_shootdown_hasty_body(unsigned cpu);
void check_shootdown_masked_body(unsigned cpu);
void check_handler(unsigned cpu);
void check_handler_early_ack(unsigned cpu);
void check_storm_body(unsigned cpu);
void check_peterson_body(unsigned cpu);
void check_peterson_broken_body(unsigned cpu);

#endif
