/*
 * test_x86_64_invlpgb.c - goal: INVLPGB's registers say what was meant and nothing else, and TLBSYNC ends the sequence.
 */
#include "fake.h"
#include "ktlb/arch/x86_64_invlpgb.h"

static struct ktlb_x86_invlpgb did[64];
static unsigned begun, waited;
static uint32_t cpuid_edx;

void ktlb_x86_invlpgb(uint64_t rax, uint32_t ecx, uint32_t edx)
{
    assert_int_equal(waited, 0);
    assert_true(begun < 64);
    did[begun++] = (struct ktlb_x86_invlpgb){rax, ecx, edx};
}

void ktlb_x86_tlbsync(void)
{
    waited++;
}

uint32_t ktlb_x86_cpuid_edx(uint32_t leaf)
{
    assert_int_equal(leaf, 0x80000008);
    return cpuid_edx;
}

static void broadcast(const struct ktlb_op *op, unsigned count)
{
    ktlb_arch.invlpgb_pages = 8;
    ktlb_arch_broadcast(NULL, op, count, 3);
    ktlb_arch_broadcast_wait(0);
}

static int start(void **state)
{
    (void)state;
    fake_start(1, 6);
    begun = waited = 0;
    return 0;
}

static void assert_registers(struct ktlb_x86_invlpgb regs, uint64_t rax, uint32_t ecx, uint32_t edx)
{
    assert_int_equal(regs.rax, rax);
    assert_int_equal(regs.ecx, ecx);
    assert_int_equal(regs.edx, edx);
}

/* RAX: 63:12 address; 0 it counts, 1 PCID counts, 2 ASID counts, 3 global entries, 4 last level only, 5 nested. ECX:
 * 15:0 pages after the first; 31 of 2 MiB. EDX: 15:0 ASID, 27:16 PCID. */
static void each_field(void **state)
{
    (void)state;
    assert_registers(ktlb_x86_invlpgb_whole(0), 2, 0, 0);
    assert_registers(ktlb_x86_invlpgb_whole(0xfff), 2, 0, 0x0fff0000);
    assert_registers(ktlb_x86_invlpgb_whole(KTLB_X86_EVERY_PCID), 8, 0, 0);
    assert_registers(ktlb_x86_invlpgb_run(0x5000, 1, false, 3, 0), 0x5000 | 16 | 2 | 1, 0, 3 << 16);
    assert_registers(ktlb_x86_invlpgb_run(0x5000, 1, false, 3, KTLB_TABLES), 0x5000 | 2 | 1, 0, 3 << 16);
    assert_registers(ktlb_x86_invlpgb_run(0x5000, 8, false, 3, KTLB_GLOBAL), 0x5000 | 16 | 8 | 1, 7, 0);
    assert_registers(ktlb_x86_invlpgb_run(0x5000, 8, false, KTLB_X86_EVERY_PCID, KTLB_TABLES), 0x5000 | 8 | 1, 7, 0);
    assert_registers(ktlb_x86_invlpgb_run(0x600000, 0x10000, true, 3, 0), 0x600000 | 16 | 2 | 1, 0x8000ffff, 3 << 16);
}

static void no_bit_of_an_address_leaks(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        struct ktlb_x86_invlpgb regs = ktlb_x86_invlpgb_run(UINT64_C(1) << bit, 1, false, 0, 0);

        assert_registers(regs, (bit >= 12 ? UINT64_C(1) << bit : 0) | 16 | 2 | 1, 0, 0);
    }
}

static void what_the_processor_says(void **state)
{
    (void)state;
    cpuid_edx = 0xabcd0007;
    fake_has_invlpgb = false;
    ktlb_arch_init();
    assert_int_equal(ktlb_arch.invlpgb_pages, 0);
    fake_has_invlpgb = true;
    ktlb_arch_init();
    assert_int_equal(ktlb_arch.invlpgb_pages, 8);
    cpuid_edx = 0xffff;
    ktlb_arch_init();
    assert_int_equal(ktlb_arch.invlpgb_pages, 0x10000);
    fake_has_invlpgb = false;
}

static void a_run_in_pieces(void **state)
{
    struct ktlb_op op = ktlb_op_range(0x5000, 10 << 12, 12, 0);

    (void)state;
    broadcast(&op, 1);
    assert_int_equal(begun, 2);
    assert_registers(did[0], 0x5000 | 16 | 2 | 1, 7, 3 << 16);
    assert_registers(did[1], 0xd000 | 16 | 2 | 1, 1, 3 << 16);
    assert_int_equal(waited, 1);
}

static void strides(void **state)
{
    struct ktlb_op op[2] = {ktlb_op_range(UINT64_C(3) << 21, UINT64_C(2) << 21, 21, 0),
                            ktlb_op_range(UINT64_C(1) << 30, UINT64_C(2) << 30, 30, 0)};

    (void)state;
    broadcast(op, 2);
    assert_int_equal(begun, 3);
    assert_registers(did[0], UINT64_C(3) << 21 | 16 | 2 | 1, 0x80000001, 3 << 16);
    assert_registers(did[1], UINT64_C(1) << 30 | 16 | 2 | 1, 0, 3 << 16);
    assert_registers(did[2], UINT64_C(2) << 30 | 16 | 2 | 1, 0, 3 << 16);
    assert_int_equal(waited, 1);
}

static void the_whole(void **state)
{
    struct ktlb_op op[3] = {ktlb_op_all(0), ktlb_op_range(0, (8 * KTLB_FLUSH_MAX + UINT64_C(1)) << 12, 12, 0),
                            ktlb_op_all(KTLB_GLOBAL)};

    (void)state;
    broadcast(op, 3);
    assert_int_equal(begun, 3);
    assert_registers(did[0], 2, 0, 3 << 16);
    assert_registers(did[1], 2, 0, 3 << 16);
    assert_registers(did[2], 8, 0, 0);
    assert_int_equal(waited, 1);
    begun = waited = 0;
    op[1].count--;
    broadcast(op + 1, 1);
    assert_int_equal(begun, KTLB_FLUSH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_field, start),
        cmocka_unit_test_setup(no_bit_of_an_address_leaks, start),
        cmocka_unit_test_setup(what_the_processor_says, start),
        cmocka_unit_test_setup(a_run_in_pieces, start),
        cmocka_unit_test_setup(strides, start),
        cmocka_unit_test_setup(the_whole, start),
    };

    return cmocka_run_group_tests_name("x86_64_invlpgb", tests, NULL, NULL);
}
