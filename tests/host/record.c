/*
 * record.c - the recorder, and a machine for the library above it, of the CPU that the test says.
 */
#include "record.h"

#include "ktlb/ktlb.h"

#include <stdio.h>
#include <stdlib.h>

unsigned record_cpu;
static char text[2][1 << 16];
static unsigned now;
static size_t length;

void record(const char *name, unsigned operands, uint64_t a, uint64_t b)
{
    char *end = text[now] + length;
    size_t room = sizeof(text[now]) - length;
    int written = operands == 0   ? snprintf(end, room, " %s", name)
                  : operands == 1 ? snprintf(end, room, " %s:%llx", name, (unsigned long long)a)
                                  : snprintf(end, room, " %s:%llx,%llx", name, (unsigned long long)a,
                                             (unsigned long long)b);

    length += (size_t)written;
    assert_true(length < sizeof(text[now]));
}

const char *recorded(void)
{
    const char *all = text[now];

    text[now][length] = '\0';
    now ^= 1;
    length = 0;
    text[now][0] = '\0';
    return *all ? all + 1 : all;
}

void fake_panicked(const char *rule)
{
    fail_msg("unexpected panic: %s", rule);
    abort();
}

void record_boot_with(const char *protocol, unsigned cpus, unsigned asids)
{
    static KTLB_ALIGNED(KTLB_CACHE_LINE) unsigned char memory[1 << 16];
    struct ktlb_config config = {.cpus = cpus, .asids = asids, .protocol = protocol, .memory = memory,
                                 .memory_size = sizeof(memory)};

    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        ktlb_store_relaxed(&ktlb_kernel.active.word[i], 0);
    assert_int_equal(ktlb_init(&config), KTLB_OK);
    for (record_cpu = 0; record_cpu < cpus; record_cpu++)
        ktlb_cpu_online();
    record_cpu = 0;
    recorded();
}

void record_boot(unsigned asids)
{
    record_boot_with(NULL, 1, asids);
}

/* ---- the port ---- */

unsigned ktlb_port_cpu(void)
{
    return record_cpu;
}

void ktlb_port_ipi(const struct ktlb_cpuset *targets)
{
    record("interrupt", 1, targets->word[0], 0);
}

ktlb_irq ktlb_port_irq_save(void)
{
    return 0;
}

void ktlb_port_irq_restore(ktlb_irq state)
{
    (void)state;
}

void ktlb_port_stall(const struct ktlb_batch *batch)
{
    (void)batch;
    fail_msg("nobody is there to answer");
}
