/*
 * fake.c - the machine of fake.h: the port, the instructions, and the log.
 */
#include "fake.h"

#include <stdio.h>
#include <string.h>

unsigned fake_cpu;
bool fake_has_invpcid;
bool fake_has_invlpgb;
uint64_t fake_cr4;
uint64_t fake_cr3[KTLB_CPUS_MAX];
bool fake_interrupt[KTLB_CPUS_MAX];
unsigned fake_interrupts;
unsigned fake_masked;
unsigned fake_stalls;
struct ktlb_cpuset fake_stalled_for;
struct ktlb_wait fake_stalled;
unsigned fake_stalled_on;
void (*fake_wait_hook)(void);
void (*fake_invlpg_hook)(void);
struct fake_event fake_log[4096];
unsigned fake_logged;
const char *fake_protocol;

jmp_buf fake_panic;
bool fake_panic_expected;
const char *fake_panic_rule;

static KTLB_ALIGNED(KTLB_CACHE_LINE) unsigned char memory[1 << 20];
static uint64_t clock_now;

/* ---- the port ---- */

unsigned ktlb_port_cpu(void)
{
    return fake_cpu;
}

void ktlb_port_ipi(const struct ktlb_cpuset *targets)
{
    assert_false(ktlb_cpuset_empty(targets));
    assert_false(ktlb_cpuset_has(targets, fake_cpu));
    assert_int_not_equal(fake_masked, 0);
    KTLB_CPUSET_EACH(cpu, targets) {
        fake_interrupt[cpu] = true;
        fake_interrupts++;
    }
}

ktlb_irq ktlb_port_irq_save(void)
{
    return fake_masked++;
}

void ktlb_port_irq_restore(ktlb_irq state)
{
    fake_masked--;
    assert_int_equal(fake_masked, state);
}

void ktlb_port_stall(const struct ktlb_batch *batch)
{
    fake_stalls++;
    fake_stalled_for = *ktlb_batch_waiting(batch);
    ktlb_batch_wait_read(batch, &fake_stalled);
    fake_stalled_on = fake_cpu;
}

void fake_panicked(const char *rule)
{
    if (!fake_panic_expected)
        fail_msg("unexpected panic: %s", rule);
    fake_panic_rule = rule;
    longjmp(fake_panic, 1);
}

/* The library was left in the middle of something. */
void fake_recover(void)
{
    fake_masked = 0;
    for (unsigned i = 0; i < ktlb_machine.cpus; i++)
        ktlb_store_relaxed_u32(&ktlb_machine.cpu[i].busy, 0);
}

void fake_check_rule(const char *text, const char *file, int line)
{
    if (!fake_panic_rule)
        print_error("%s:%d: no assertion fired; expected one about \"%s\"\n", file, line, text);
    else if (!strstr(fake_panic_rule, text))
        print_error("%s:%d: \"%s\" does not speak of \"%s\"\n", file, line, fake_panic_rule, text);
    assert_true(fake_panic_rule && strstr(fake_panic_rule, text));
}

/* ---- the instructions ---- */

static void log_event(enum fake_kind kind, uint64_t value)
{
    assert_true(fake_logged < sizeof(fake_log) / sizeof(fake_log[0]));
    fake_log[fake_logged++] = (struct fake_event){fake_cpu, kind, value};
}

void ktlb_x86_invlpg(uint64_t va)
{
    log_event(FAKE_INVLPG, va);
    if (fake_invlpg_hook)
        fake_invlpg_hook();
}

void ktlb_x86_invpcid(uint64_t type, uint64_t pcid, uint64_t va)
{
    (void)pcid, (void)va;
    log_event(FAKE_INVPCID, type);
}

uint64_t ktlb_x86_read_cr3(void)
{
    return fake_cr3[fake_cpu] & ~KTLB_X86_CR3_KEEP;
}

void ktlb_x86_write_cr3(uint64_t value)
{
    fake_cr3[fake_cpu] = value;
    log_event(FAKE_CR3, value);
}

uint64_t ktlb_x86_read_cr4(void)
{
    return fake_cr4;
}

void ktlb_x86_write_cr4(uint64_t value)
{
    fake_cr4 = value;
    log_event(FAKE_CR4, value);
}

void ktlb_x86_mfence(void)
{
    log_event(FAKE_MFENCE, 0);
}

void ktlb_x86_lfence(void)
{
    log_event(FAKE_LFENCE, 0);
}

void ktlb_x86_compiler_barrier(void)
{
    log_event(FAKE_BARRIER, 0);
}

void ktlb_x86_pause(void)
{
    if (fake_wait_hook)
        fake_wait_hook();
}

uint64_t ktlb_x86_rdtsc(void)
{
    return clock_now += 10;
}

uint32_t ktlb_x86_cpuid_ebx(uint32_t leaf)
{
    if (leaf == 7)
        return fake_has_invpcid ? 1u << 10 : 0;
    return leaf == 0x80000008 && fake_has_invlpgb ? 1u << 3 : 0;
}

/* Weak: a test that is about these records them itself. */
__attribute__((weak)) void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx)
{
    (void)ecx, (void)edx;
    log_event(FAKE_INVLPGB, rax);
}

__attribute__((weak)) void ktlb_x86_tlbsync(void)
{
    log_event(FAKE_TLBSYNC, 0);
}

__attribute__((weak)) uint32_t ktlb_x86_cpuid_edx(uint32_t leaf)
{
    (void)leaf;
    return 7;
}

/* ---- driving it ---- */

void fake_boot(unsigned cpus, unsigned asids)
{
    struct ktlb_config config = {.cpus = cpus, .asids = asids, .protocol = fake_protocol,
                                 .memory = memory, .memory_size = sizeof(memory)};

    fake_cpu = 0;
    fake_masked = 0;
    fake_has_invpcid = true;
    fake_cr4 = KTLB_X86_CR4_PGE | KTLB_X86_CR4_PCIDE;
    memset(memory, 0xa5, sizeof(memory));
    for (unsigned i = 0; i < KTLB_CPUSET_WORDS; i++)
        ktlb_store_relaxed(&ktlb_kernel.active.word[i], 0);
    for (unsigned i = 0; i < KTLB_CPUS_MAX; i++) {
        fake_cr3[i] = 0x1000;
        fake_interrupt[i] = false;
    }
    assert_int_equal(ktlb_init(&config), KTLB_OK);
    fake_wait_hook = fake_invlpg_hook = NULL;
    fake_log_clear();
}

void fake_start(unsigned cpus, unsigned asids)
{
    fake_boot(cpus, asids);
    for (fake_cpu = 0; fake_cpu < cpus; fake_cpu++) {
        ktlb_irq irq = ktlb_port_irq_save();

        ktlb_cpu_online();
        ktlb_port_irq_restore(irq);
    }
    fake_cpu = 0;
    fake_log_clear();
}

void fake_set_up_again(const char *protocol, bool everyone)
{
    struct ktlb_config config = {.cpus = ktlb_machine.cpus, .asids = ktlb_machine.asids, .protocol = protocol,
                                 .memory = memory, .memory_size = sizeof(memory), .everyone = everyone};

    for (fake_cpu = 0; fake_cpu < config.cpus; fake_cpu++) {
        fake_switch(fake_cpu, &ktlb_kernel);
        ktlb_cpu_offline();
    }
    fake_cpu = 0;
    assert_int_equal(ktlb_init(&config), KTLB_OK);
    for (fake_cpu = 0; fake_cpu < config.cpus; fake_cpu++)
        ktlb_cpu_online();
    fake_cpu = 0;
    fake_log_clear();
}

void fake_log_clear(void)
{
    fake_logged = 0;
    fake_interrupts = 0;
    fake_stalls = 0;
}

void fake_take_interrupt(unsigned cpu)
{
    unsigned before = fake_cpu;

    if (!fake_interrupt[cpu])
        return;
    fake_interrupt[cpu] = false;
    fake_cpu = cpu;
    ktlb_ipi();
    fake_cpu = before;
}

void fake_take_interrupts(void)
{
    for (unsigned i = 0; i < KTLB_CPUS_MAX; i++)
        if (i != fake_cpu)
            fake_take_interrupt(i);
}

struct ktlb_load fake_switch(unsigned cpu, struct ktlb_space *space)
{
    unsigned before = fake_cpu;
    struct ktlb_load load;

    fake_cpu = cpu;
    load = ktlb_switch_begin(space);
    fake_cr3[cpu] = ktlb_x86_cr3(0x1000, load);
    ktlb_switch_end();
    fake_cpu = before;
    return load;
}

unsigned fake_count(unsigned cpu, enum fake_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < fake_logged; i++)
        count += fake_log[i].cpu == cpu && fake_log[i].kind == kind;
    return count;
}

bool fake_did(unsigned cpu, enum fake_kind kind, uint64_t value)
{
    for (unsigned i = 0; i < fake_logged; i++)
        if (fake_log[i].cpu == cpu && fake_log[i].kind == kind && fake_log[i].value == value)
            return true;
    return false;
}

uint64_t fake_stat(unsigned cpu, size_t offset)
{
    struct ktlb_stats stats;

    ktlb_stats_read(cpu, &stats);
    return *(uint64_t *)((char *)&stats + offset);
}

struct ktlb_event fake_event(unsigned cpu, uint64_t *from, enum ktlb_event_what what)
{
    struct ktlb_event event = {0};

    while (*from < ktlb_event_count(cpu)) {
        assert_true(ktlb_event_read(cpu, (*from)++, &event));
        if (event.what == what)
            return event;
    }
    fail_msg("CPU %u recorded no \"%s\"", cpu, ktlb_event_name(what));
    return event;
}

void fake_post(struct ktlb_batch *batch, unsigned target)
{
    batch->state = KTLB_BATCH_SENT;
    batch->posted = true;
    batch->reports = 0;
    batch->request.space_id = batch->request.space->id;
    batch->request.generation = ktlb_rmw_add_relaxed(&batch->request.space->generation, 1) + 1;
    fake_post_again(batch, target);
}

void fake_post_again(struct ktlb_batch *batch, unsigned target)
{
    struct ktlb_cpuset kick = {{0}};

    batch->waiting = (struct ktlb_cpuset){{0}};
    ktlb_cpuset_add(&batch->waiting, target);
    ktlb_machine.protocol->post(ktlb_cpu_self(), batch, &kick);
    ktlb_machine.protocol->posted(ktlb_cpu_self());
}

bool fake_acked(const struct ktlb_batch *batch, unsigned target)
{
    return ktlb_machine.protocol->acked(batch, target);
}

void fake_dispatch(struct ktlb_batch *batch, struct ktlb_space *space, unsigned cpu, uint64_t page)
{
    unsigned before = fake_cpu;

    fake_cpu = cpu;
    ktlb_batch_init(batch, space);
    ktlb_batch_add(batch, ktlb_op_range(page * 4096, 4096, 12, space == &ktlb_kernel ? KTLB_GLOBAL : 0));
    ktlb_batch_dispatch(batch);
    fake_cpu = before;
}
