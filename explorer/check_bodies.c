/*
 * Code under test for the runtime's own check: a lock, a toy shootdown, a storm of messages.
 *
 * Small enough to be explored to the end, and each broken twin differs in one line.
 */
#include "check.h"

struct check_line check_lines[CHECK_CPUS];
uint64_t check_page;
unsigned check_count, check_ticket, check_serving;

/* ---- a ticket lock around a plain counter ---- */

static void lock(void)
{
    unsigned mine = __atomic_fetch_add(&check_ticket, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&check_serving, __ATOMIC_ACQUIRE) != mine)
        machine_relax();
}

static void unlock(int order)
{
    unsigned next = __atomic_load_n(&check_serving, __ATOMIC_RELAXED) + 1;
    if (order == __ATOMIC_RELEASE)
        __atomic_store_n(&check_serving, next, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&check_serving, next, __ATOMIC_RELAXED);
}

void check_lock_body(unsigned cpu)
{
    (void)cpu;
    lock();
    check_count++;
    unlock(__ATOMIC_RELEASE);
}

void check_lock_broken_body(unsigned cpu)
{
    (void)cpu;
    lock();
    check_count++;
    unlock(__ATOMIC_RELAXED);
}

/* ---- Peterson's lock: two flags and a turn. The turn is an exchange, so whoever comes second reads from the
   first and, if the exchange synchronises, has seen the first's flag. ---- */

static void peterson(unsigned cpu, bool synchronise)
{
    __atomic_store_n(&check_lines[cpu].word, 1, __ATOMIC_RELAXED);
    if (synchronise)
        __atomic_exchange_n(&check_ticket, 1 - cpu, __ATOMIC_ACQ_REL);
    else
        __atomic_exchange_n(&check_ticket, 1 - cpu, __ATOMIC_RELAXED);
    while (__atomic_load_n(&check_lines[1 - cpu].word, __ATOMIC_ACQUIRE) &&
           __atomic_load_n(&check_ticket, __ATOMIC_ACQUIRE) == 1 - cpu)
        machine_relax();
    check_count++;
    __atomic_store_n(&check_lines[cpu].word, 0, __ATOMIC_RELEASE);
}

void check_peterson_body(unsigned cpu)
{
    peterson(cpu, true);
}

void check_peterson_broken_body(unsigned cpu)
{
    peterson(cpu, false);
}

/* ---- a toy shootdown: CPU 0 unmaps, tells the others by interrupt, waits for each ack ---- */

static void serve(unsigned cpu, bool early)
{
    uint64_t request = __atomic_load_n(&check_lines[0].word, __ATOMIC_ACQUIRE);
    if (request == __atomic_load_n(&check_lines[cpu].word, __ATOMIC_RELAXED))
        return;
    if (early)
        __atomic_store_n(&check_lines[cpu].word, request, __ATOMIC_RELEASE);
    machine_invalidate((unsigned)check_lines[0].data);
    if (!early)
        __atomic_store_n(&check_lines[cpu].word, request, __ATOMIC_RELEASE);
}

void check_handler(unsigned cpu)
{
    serve(cpu, false);
}

void check_handler_early_ack(unsigned cpu)
{
    serve(cpu, true);
}

static void shootdown(unsigned cpus, unsigned waited_for)
{
    __atomic_store_n(&check_page, 2, __ATOMIC_RELAXED);
    check_lines[0].data = 0;
    __atomic_store_n(&check_lines[0].word, 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* an interrupt overtakes what no fence holds back */
    for (unsigned i = 1; i < cpus; i++)
        machine_ipi(i);
    machine_invalidate(0);
    for (unsigned i = 1; i < waited_for; i++)
        while (__atomic_load_n(&check_lines[i].word, __ATOMIC_ACQUIRE) != 1)
            machine_relax();
    __atomic_store_n(&check_count, 1, __ATOMIC_RELEASE); /* from here on nobody may use the old frame */
}

static void use(void)
{
    machine_touch(0);
    machine_touch(0);
}

void check_shootdown_2_body(unsigned cpu)
{
    if (cpu == 0)
        shootdown(2, 2);
    else
        use();
}

void check_shootdown_body(unsigned cpu)
{
    if (cpu == 0)
        shootdown(3, 3);
    else
        use();
}

void check_shootdown_hasty_body(unsigned cpu)
{
    if (cpu == 0)
        shootdown(3, 2);
    else
        use();
}

void check_shootdown_masked_body(unsigned cpu)
{
    if (cpu == 0) {
        shootdown(2, 2);
    } else {
        machine_irq(false);
        while (__atomic_load_n(&check_count, __ATOMIC_ACQUIRE) == 0)
            machine_relax();
        machine_irq(true);
    }
}

/* ---- a storm: every CPU posts to its neighbours and takes from them; about fifty steps each ---- */

void check_storm_body(unsigned cpu)
{
    for (unsigned round = 1; round <= 10; round++) {
        unsigned next = (cpu + 1) % 4;
        __atomic_fetch_add(&check_count, 1, __ATOMIC_RELAXED);
        check_lines[cpu].data = round;
        __atomic_store_n(&check_lines[cpu].word, round, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(&check_lines[next].word, __ATOMIC_ACQUIRE) >= 10)
            machine_require(check_lines[next].data == 10, "the last datum comes with the last word");
        __atomic_fetch_or(&check_page, UINT64_C(1) << cpu, __ATOMIC_ACQ_REL);
    }
}
