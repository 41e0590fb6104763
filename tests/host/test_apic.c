/*
 * test_apic.c - goal: a send reaches exactly the CPUs of its set, in as many writes as there are clusters, in one by the
 * shorthand or on a flat machine, or in one per CPU; and what it reached is worked out here from the writes, by the rules
 * of the hardware.
 */
#include "fake.h"
#include "ktlb/arch/x86_64_apic.h"

#include <stdlib.h>
#include <string.h>

#define CPUS KTLB_CPUS_MAX
#define VECTOR 0xd1u

/* ---- the controllers ---- */

struct message {
    uint32_t destination, command;
};

static volatile uint32_t registers[0x400 / 4]; /* the page of an xAPIC */
static struct message sent[CPUS + 1];
static unsigned sent_count;
static unsigned busy_reads;    /* reads of the command register that still find the last command under way */
static unsigned busy_random;   /* after each command so many at most */
static unsigned events_before; /* fences logged when the first command was written */
static bool delivering;        /* a command was written since the register was last seen idle */
static uint32_t destinations;  /* of the x2APIC */
static unsigned stuck_reports, stuck_self;

static void message_sent(uint32_t destination, uint32_t command)
{
    assert_true(sent_count < sizeof(sent) / sizeof(sent[0]));
    if (sent_count == 0)
        events_before = fake_logged;
    sent[sent_count++] = (struct message){destination, command};
}

void ktlb_x86_wrmsr(uint32_t index, uint64_t value)
{
    assert_int_equal(index, 0x830);
    message_sent((uint32_t)(value >> 32), (uint32_t)value);
}

uint64_t ktlb_x86_rdmsr(uint32_t index)
{
    assert_int_equal(index, 0x80d);
    return destinations;
}

uint32_t ktlb_x86_mmio_read(const volatile uint32_t *at)
{
    assert_ptr_equal(at, &registers[0x300 / 4]);
    if (busy_reads) {
        busy_reads--;
        return 1u << 12;
    }
    delivering = false;
    return 0;
}

void ktlb_x86_mmio_write(volatile uint32_t *at, uint32_t value)
{
    *at = value;
    if (at == &registers[0x310 / 4])
        assert_false(delivering);
    if (at != &registers[0x300 / 4])
        return;
    assert_false(delivering);
    delivering = true;
    if (busy_random)
        busy_reads = (unsigned)rand() % (busy_random + 1);
    message_sent(registers[0x310 / 4] >> 24, value);
}

/* ---- a machine ---- */

static struct ktlb_apic_cpu table[CPUS];
static struct ktlb_apic_counters counters[CPUS];
static struct ktlb_cpuset_shared everyone;
static struct ktlb_apic apic;

static void stuck(unsigned self)
{
    stuck_reports++;
    stuck_self = self;
}

/* @cpus CPUs, numbered by APIC from @first up; all of them are up; no shorthand. */
static const char *machine(enum ktlb_apic_mode mode, unsigned cpus, uint32_t first)
{
    memset(counters, 0, sizeof(counters));
    memset(&everyone, 0, sizeof(everyone));
    for (unsigned i = 0; i < cpus && i < CPUS; i++) {
        table[i].id = first + i;
        ktlb_rmw_or_relaxed(&everyone.word[i / 64], UINT64_C(1) << (i % 64));
    }
    apic = (struct ktlb_apic){.mode = mode, .cpus = cpus, .cpu = table, .counters = counters, .registers = registers,
                              .stuck = stuck};
    sent_count = busy_reads = busy_random = stuck_reports = 0;
    delivering = false;
    fake_log_clear();
    return ktlb_apic_init(&apic);
}

static void shuffle(unsigned cpus)
{
    for (unsigned i = cpus - 1; i > 0; i--) {
        unsigned k = (unsigned)rand() % (i + 1);
        uint32_t id = table[i].id;

        table[i].id = table[k].id;
        table[k].id = id;
    }
    assert_null(ktlb_apic_init(&apic));
}

/* Whether the APIC of @cpu takes @message, sent by @self: the manual's rules, not the header's code. */
static bool takes(unsigned cpu, unsigned self, struct message message)
{
    uint32_t id = table[cpu].id;

    switch (message.command >> 18) {
    case 3:
        return cpu != self;
    case 0:
        break;
    default:
        fail_msg("shorthand %u", message.command >> 18);
    }
    if (!(message.command & 1u << 11)) /* physical */
        return message.destination == id;
    if (apic.mode == KTLB_XAPIC_FLAT)
        return message.destination >> cpu & 1;
    return message.destination / 65536 == id / 16 && message.destination >> id % 16 & 1;
}

/* Send from @self to @targets; every target takes it once, nobody else does; return the number of writes. */
static unsigned check_send(unsigned self, const struct ktlb_cpuset *targets, uint32_t what)
{
    struct ktlb_apic_counters before = counters[self], after;
    uint64_t writes;

    sent_count = 0;
    fake_log_clear();
    ktlb_apic_send(&apic, self, targets, what);
    for (unsigned cpu = 0; cpu < apic.cpus; cpu++) {
        unsigned taken = 0;

        for (unsigned i = 0; i < sent_count; i++)
            taken += takes(cpu, self, sent[i]);
        assert_int_equal(taken, ktlb_cpuset_has(targets, cpu));
    }
    for (unsigned i = 0; i < sent_count; i++)
        assert_int_equal(sent[i].command & 0xf7ff & ~(1u << 11), what | 1u << 14); /* edge, asserted, not lowest priority */
    after = counters[self];
    writes = after.shorthand.value + after.multicast.value + after.single.value - before.shorthand.value -
             before.multicast.value - before.single.value;
    assert_int_equal(writes, sent_count);
    assert_int_equal(after.nmis.value - before.nmis.value, what == KTLB_APIC_NMI ? sent_count : 0);
    assert_int_equal(after.targets.value - before.targets.value, ktlb_cpuset_count(targets));
    return sent_count;
}

static struct ktlb_cpuset all_but(unsigned cpus, unsigned self)
{
    struct ktlb_cpuset set = {{0}};

    for (unsigned i = 0; i < cpus; i++)
        if (i != self)
            ktlb_cpuset_add(&set, i);
    return set;
}

static struct ktlb_cpuset some_of(unsigned cpus, unsigned self, unsigned percent)
{
    struct ktlb_cpuset set = {{0}};

    for (unsigned i = 0; i < cpus; i++)
        if (i != self && (unsigned)rand() % 100 < percent)
            ktlb_cpuset_add(&set, i);
    return set;
}

/* Clusters that have a target, by their own count: one flag per cluster. */
static unsigned clusters_of(const struct ktlb_cpuset *targets)
{
    bool seen[4096] = {false};
    unsigned count = 0;

    KTLB_CPUSET_EACH(cpu, targets) {
        assert_true(table[cpu].id / 16 < sizeof(seen));
        count += !seen[table[cpu].id / 16];
        seen[table[cpu].id / 16] = true;
    }
    return count;
}

/* ---- numbers of writes ---- */

static void one_write_per_cluster(void **state)
{
    (void)state;
    for (unsigned cpus = 1; cpus <= CPUS; cpus++) {
        struct ktlb_cpuset set = all_but(cpus, 0);

        assert_null(machine(KTLB_X2APIC_CLUSTER, cpus, 0));
        /* CPU 0 is the sender, so a cluster with no other CPU has no target. */
        assert_int_equal(check_send(0, &set, VECTOR), cpus == 1 ? 0 : (cpus + 15) / 16);
        for (unsigned percent = 3; percent <= 100; percent += 31) {
            unsigned self = (unsigned)rand() % cpus;

            set = some_of(cpus, self, percent);
            assert_int_equal(check_send(self, &set, VECTOR), clusters_of(&set));
        }
        assert_int_equal(counters[0].single.value + counters[0].shorthand.value, 0);
    }
}

static void clusters_whatever_the_numbering(void **state)
{
    (void)state;
    /* Far beyond 255, the last 255 that can be named, and CPU numbers that have nothing to do with the APICs'. */
    for (unsigned round = 0; round < 200; round++) {
        static const uint32_t first[] = {0, 250, 4000, 60000};
        unsigned self = (unsigned)rand() % CPUS;
        struct ktlb_cpuset set = some_of(CPUS, self, (unsigned)rand() % 101);

        assert_null(machine(KTLB_X2APIC_CLUSTER, CPUS, first[round % 4]));
        shuffle(CPUS);
        assert_int_equal(check_send(self, &set, VECTOR), clusters_of(&set));
    }
    assert_null(machine(KTLB_X2APIC_CLUSTER, CPUS, 0xffff0 - CPUS));
    assert_int_equal(ktlb_apic_destination(&apic, CPUS - 1), 0xfffe8000);
}

static void one_write_per_cpu(void **state)
{
    static const enum ktlb_apic_mode modes[] = {KTLB_XAPIC, KTLB_X2APIC};

    (void)state;
    for (unsigned cpus = 1; cpus <= CPUS; cpus++) {
        for (unsigned i = 0; i < 2; i++) {
            unsigned self = (unsigned)rand() % cpus;
            struct ktlb_cpuset set = some_of(cpus, self, 40);

            assert_null(machine(modes[i], cpus, 0));
            shuffle(cpus);
            assert_int_equal(check_send(self, &set, VECTOR), ktlb_cpuset_count(&set));
            set = all_but(cpus, self);
            assert_int_equal(check_send(self, &set, KTLB_APIC_NMI), cpus - 1);
        }
    }
    assert_null(machine(KTLB_X2APIC, CPUS, 0xffffffff - CPUS)); /* numbers of 32 bits */
    assert_int_equal(check_send(0, &(struct ktlb_cpuset){{2}}, VECTOR), 1);
    assert_int_equal(sent[0].destination, 0xffffffff - CPUS + 1);
}

static void one_write_on_a_flat_machine(void **state)
{
    (void)state;
    for (unsigned cpus = 1; cpus <= 8; cpus++) {
        assert_null(machine(KTLB_XAPIC_FLAT, cpus, 3));
        for (uint64_t bits = 0; bits < UINT64_C(1) << cpus; bits++)
            assert_int_equal(check_send(0, &(struct ktlb_cpuset){{bits}}, VECTOR), bits != 0);
        assert_true(ktlb_apic_join(&apic, cpus - 1));
        assert_int_equal(registers[0xe0 / 4], UINT32_MAX);
        assert_int_equal(registers[0xd0 / 4], 1u << (23 + cpus));
    }
}

/* ---- the shorthand ---- */

static void shorthand_for_all_others_only(void **state)
{
    static const enum ktlb_apic_mode modes[] = {KTLB_XAPIC, KTLB_X2APIC, KTLB_X2APIC_CLUSTER};

    (void)state;
    for (unsigned cpus = 2; cpus <= CPUS; cpus++) {
        unsigned self = (unsigned)rand() % cpus, other = (self + 1) % cpus;
        struct ktlb_cpuset set = all_but(cpus, self);

        assert_null(machine(modes[cpus % 3], cpus, 0));
        apic.everyone = &everyone;
        assert_int_equal(check_send(self, &set, cpus % 2 ? VECTOR : KTLB_APIC_NMI), 1);
        assert_int_equal(counters[self].shorthand.value, cpus > 2); /* one is a write as well */
        ktlb_cpuset_remove(&set, other); /* one is left out */
        check_send(self, &set, VECTOR);
        ktlb_cpuset_add(&set, other);
        ktlb_cpuset_add(&set, self); /* the sender is a target */
        check_send(self, &set, VECTOR);
        ktlb_cpuset_remove(&set, self);
        ktlb_rmw_and_relaxed(&everyone.word[other / 64], ~(UINT64_C(1) << (other % 64))); /* a target that is not up */
        check_send(self, &set, VECTOR);
        ktlb_cpuset_remove(&set, other); /* everyone that is up, while another is not: the host allowed it */
        if (cpus > 2) {
            sent_count = 0;
            ktlb_apic_send(&apic, self, &set, VECTOR);
            assert_int_equal(sent_count, 1);
            assert_int_equal(sent[0].command, VECTOR | (cpus > 3 ? 3u : 0) << 18 | 1u << 14);
        }
        assert_int_equal(counters[self].shorthand.value, (cpus > 2) + (cpus > 3));
    }
}

static void nobody_is_no_write(void **state)
{
    struct ktlb_cpuset nobody = {{0}};

    (void)state;
    for (int mode = KTLB_XAPIC; mode <= KTLB_X2APIC_CLUSTER; mode++) {
        assert_null(machine((enum ktlb_apic_mode)mode, 1, 0)); /* alone, nobody is all others */
        apic.everyone = &everyone;
        assert_int_equal(check_send(0, &nobody, VECTOR), 0);
    }
}

static void self_only_if_asked(void **state)
{
    (void)state;
    for (int mode = KTLB_XAPIC; mode <= KTLB_X2APIC_CLUSTER; mode++) {
        assert_null(machine((enum ktlb_apic_mode)mode, 8, 0));
        assert_int_equal(check_send(3, &(struct ktlb_cpuset){{1 << 3}}, VECTOR), 1);
    }
}

/* ---- how ---- */

static void fences_come_first(void **state)
{
    (void)state;
    assert_null(machine(KTLB_X2APIC_CLUSTER, 64, 0));
    check_send(0, &(struct ktlb_cpuset){{~UINT64_C(1)}}, VECTOR);
    assert_int_equal(events_before, 2);
    assert_int_equal(fake_logged, 2); /* once, not per write */
    assert_int_equal(fake_log[0].kind, FAKE_MFENCE);
    assert_int_equal(fake_log[1].kind, FAKE_LFENCE);
    assert_null(machine(KTLB_XAPIC, 64, 0));
    check_send(0, &(struct ktlb_cpuset){{2}}, VECTOR);
    assert_int_equal(events_before, 1);
    assert_int_equal(fake_log[0].kind, FAKE_BARRIER);
}

/* That none is written over another is asserted in ktlb_x86_mmio_write(). */
static void a_command_waits_for_the_one_before(void **state)
{
    (void)state;
    assert_null(machine(KTLB_XAPIC, 8, 0));
    busy_reads = 7;
    check_send(2, &(struct ktlb_cpuset){{0xf1}}, VECTOR);
    assert_int_equal(counters[2].busy.value, 7);
    assert_int_equal(stuck_reports, 0);
}

/* From any of a set on. */
static void any_command_may_wait(void **state)
{
    unsigned waited = 0, not_waited = 0;

    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        unsigned cpus = 2 + (unsigned)rand() % (CPUS - 1), self = (unsigned)rand() % cpus;
        struct ktlb_cpuset set = some_of(cpus, self, round % 2 ? 4 : 60);

        assert_null(machine(KTLB_XAPIC, cpus, 0));
        shuffle(cpus);
        busy_random = round % 3;
        assert_int_equal(check_send(self, &set, round % 5 ? VECTOR : KTLB_APIC_NMI), ktlb_cpuset_count(&set));
        waited += counters[self].busy.value > 0;
        not_waited += counters[self].busy.value == 0 && sent_count > 1;
    }
    assert_true(waited > 100);
    assert_true(not_waited > 100);
}

static void what_does_not_end_is_reported_and_waited_out(void **state)
{
    (void)state;
    assert_null(machine(KTLB_XAPIC, 8, 0));
    busy_reads = 3 * KTLB_STALL_SPINS + 1;
    assert_int_equal(check_send(2, &(struct ktlb_cpuset){{1}}, VECTOR), 1);
    assert_int_equal(stuck_reports, 3);
    assert_int_equal(stuck_self, 2);
    assert_int_equal(counters[2].stuck.value, 3);
    apic.stuck = NULL;
    busy_reads = KTLB_STALL_SPINS;
    assert_int_equal(check_send(2, &(struct ktlb_cpuset){{1}}, VECTOR), 1);
}

static void a_foreign_cluster_is_noticed(void **state)
{
    (void)state;
    assert_null(machine(KTLB_X2APIC_CLUSTER, 40, 0));
    destinations = 2u << 16 | 1u << 1;
    assert_true(ktlb_apic_join(&apic, 33));
    assert_false(ktlb_apic_join(&apic, 34));
    destinations = 0;
    assert_false(ktlb_apic_join(&apic, 0));
}

static void tables_that_will_not_do(void **state)
{
    (void)state;
    assert_non_null(machine(KTLB_X2APIC, 0, 0));
    assert_non_null(machine(KTLB_X2APIC, CPUS + 1, 0));
    assert_non_null(machine(KTLB_XAPIC_FLAT, 9, 0));
    assert_null(machine(KTLB_XAPIC, 2, 0xfd));
    assert_non_null(machine(KTLB_XAPIC, 2, 0xfe)); /* 0xff is everyone */
    assert_non_null(machine(KTLB_X2APIC, 2, 0xfffffffe));
    assert_non_null(machine(KTLB_X2APIC_CLUSTER, 2, 0xfffef));
    assert_null(machine(KTLB_X2APIC, 3, 7));
    table[2].id = 7;
    assert_non_null(ktlb_apic_init(&apic));
    assert_null(machine(KTLB_XAPIC, 3, 7));
    apic.registers = NULL;
    assert_non_null(ktlb_apic_init(&apic));
}

static void misuse(void **state)
{
    struct ktlb_cpuset set = {{1 << 4}};

    (void)state;
    assert_null(machine(KTLB_X2APIC, 4, 0));
    EXPECT_PANIC(ktlb_apic_send(&apic, 0, &set, VECTOR), "CPUs of the table");
    set.word[0] = 1;
    EXPECT_PANIC(ktlb_apic_send(&apic, 4, &set, VECTOR), "CPUs of the table");
    EXPECT_PANIC(ktlb_apic_send(&apic, 1, &set, 15), "a vector from 16");
    EXPECT_PANIC(ktlb_apic_send(&apic, 1, &set, 0x500), "a vector from 16");
    assert_int_equal(sent_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_write_per_cluster),
        cmocka_unit_test(clusters_whatever_the_numbering),
        cmocka_unit_test(one_write_per_cpu),
        cmocka_unit_test(one_write_on_a_flat_machine),
        cmocka_unit_test(shorthand_for_all_others_only),
        cmocka_unit_test(nobody_is_no_write),
        cmocka_unit_test(self_only_if_asked),
        cmocka_unit_test(fences_come_first),
        cmocka_unit_test(a_command_waits_for_the_one_before),
        cmocka_unit_test(any_command_may_wait),
        cmocka_unit_test(what_does_not_end_is_reported_and_waited_out),
        cmocka_unit_test(a_foreign_cluster_is_noticed),
        cmocka_unit_test(tables_that_will_not_do),
        cmocka_unit_test(misuse),
    };

    return cmocka_run_group_tests_name("apic", tests, NULL, NULL);
}
