/*
 * test_cpuset.c - goal: a walk over a set meets every member once and in rising order, whichever words they are in,
 * also when members are removed as they are met, and a break ends it.
 */
#include "fake.h"
#include "ktlb/cpuset.h"

#include <stdlib.h>

#define CPUS KTLB_CPUS_MAX

static struct ktlb_cpuset some(unsigned percent)
{
    struct ktlb_cpuset set = {{0}};

    for (unsigned i = 0; i < CPUS; i++)
        if ((unsigned)rand() % 100 < percent)
            ktlb_cpuset_add(&set, i);
    return set;
}

/* The first member from @cpu on, bit by bit. */
static unsigned expected(const struct ktlb_cpuset *set, unsigned cpu)
{
    while (cpu < CPUS && !ktlb_cpuset_has(set, cpu))
        cpu++;
    return cpu;
}

static void every_member_once(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        struct ktlb_cpuset set = some(round % 101);
        unsigned next = expected(&set, 0), count = 0;

        KTLB_CPUSET_EACH(cpu, &set) {
            assert_int_equal(cpu, next);
            assert_int_equal(ktlb_cpuset_next(&set, count ? cpu : 0), cpu);
            next = expected(&set, cpu + 1);
            count++;
        }
        assert_int_equal(next, CPUS);
        assert_int_equal(count, ktlb_cpuset_count(&set));
        assert_int_equal(ktlb_cpuset_empty(&set), count == 0);
    }
}

static void alone_in_its_word(void **state)
{
    (void)state;
    for (unsigned only = 0; only < CPUS; only++) {
        struct ktlb_cpuset set = {{0}};
        unsigned count = 0;

        ktlb_cpuset_add(&set, only);
        KTLB_CPUSET_EACH(cpu, &set) {
            assert_int_equal(cpu, only);
            count++;
        }
        assert_int_equal(count, 1);
    }
}

static void the_member_at_hand_may_go(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct ktlb_cpuset set = some(round % 101), kept = {{0}};
        unsigned count = 0, members = ktlb_cpuset_count(&set);

        KTLB_CPUSET_EACH(cpu, &set) {
            count++;
            if (rand() & 1)
                ktlb_cpuset_remove(&set, cpu);
            else
                ktlb_cpuset_add(&kept, cpu);
        }
        assert_int_equal(count, members);
        assert_memory_equal(&set, &kept, sizeof(set));
    }
}

static void a_break_ends_it(void **state)
{
    (void)state;
    for (unsigned last = 0; last < CPUS; last++) {
        struct ktlb_cpuset set = some(100);
        unsigned count = 0;

        KTLB_CPUSET_EACH(cpu, &set) {
            if (cpu % 2)
                continue;
            count++;
            if (cpu >= last)
                break;
        }
        assert_int_equal(count, last + 1 < CPUS ? (last + 1) / 2 + 1 : CPUS / 2); /* 0, 2 … to the first from last on */
    }
}

static void walks_within_walks(void **state)
{
    struct ktlb_cpuset set = some(20);
    unsigned pairs = 0;

    (void)state;
    KTLB_CPUSET_EACH(a, &set)
        KTLB_CPUSET_EACH(b, &set)
            pairs += b > a;
    assert_int_equal(pairs, ktlb_cpuset_count(&set) * (ktlb_cpuset_count(&set) - 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_once),
        cmocka_unit_test(alone_in_its_word),
        cmocka_unit_test(the_member_at_hand_may_go),
        cmocka_unit_test(a_break_ends_it),
        cmocka_unit_test(walks_within_walks),
    };

    return cmocka_run_group_tests_name("cpuset", tests, NULL, NULL);
}
