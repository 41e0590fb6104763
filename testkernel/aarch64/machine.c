/*
 * machine.c - this machine as a whole: from the device tree to the common code, its features, console and end.
 */
#include "arm.h"

struct arm arm = {.uart = BOOT_UART, .use_asids = true};

extern const char bss_end[];
void arm_main(uint64_t tree, uint64_t image);
_Noreturn void arm_cpu_main(struct cpu *cpu);

/* ---- console: a PL011, as the firmware has set its rate ---- */

#define UART_DATA 0x00u
#define UART_FLAGS 0x18u
#define UART_FLAGS_BUSY 0x08u
#define UART_FLAGS_EMPTY 0x10u /* received nothing */
#define UART_FLAGS_FULL 0x20u  /* can send nothing */
#define UART_LINE 0x2cu
#define UART_CONTROL 0x30u
#define UART_MASK 0x38u

static volatile uint32_t *uart(uint32_t offset)
{
    return direct(arm.uart + offset);
}

static void uart_init(void)
{
    *uart(UART_CONTROL) = 0;
    *uart(UART_MASK) = 0;
    *uart(UART_LINE) = 0x70;     /* 8N1, queues on */
    *uart(UART_CONTROL) = 0x301; /* on, both ways */
}

void arch_console_write(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        while (*uart(UART_FLAGS) & UART_FLAGS_FULL) /* ended by the UART */
            arch_pause();
        *uart(UART_DATA) = (uint8_t)text[i];
    }
}

int arch_console_read(void)
{
    return *uart(UART_FLAGS) & UART_FLAGS_EMPTY ? -1 : (int)(*uart(UART_DATA) & 0xff);
}

/* ---- boot ---- */

void arm_main(uint64_t tree, uint64_t image)
{
    static struct boot boot;
    struct devicetree_node node = {0};
    const char *wrong;
    uint64_t start, size;

    arm.image = image;
    arch_cpu_attach(&cpus[0]);
    traps_begin();
    uart_init();
    wrong = devicetree_open(&arm.tree, direct(tree));
    if (wrong)
        kernel_refuse("the device tree at %lx: %s", tree, wrong);
    if (devicetree_find(&arm.tree, &node, "arm,pl011") && devicetree_reg(&arm.tree, &node, 0, &start, &size)) {
        direct_map(start, start + size, ENTRY_DEVICE);
        arm.uart = start;
        uart_init();
    }
    devicetree_boot(&arm.tree, &boot, image, (uintptr_t)bss_end - KERNEL_BASE + image);
    direct_map(boot.memory_start, boot.memory_end, ENTRY_DIRECT);
    if (boot.module)
        direct_map(direct_address(boot.module), direct_address(boot.module) + boot.module_size, ENTRY_DIRECT);
    kernel_main(&boot);
}

void arm_cpu_main(struct cpu *cpu)
{
    arch_cpu_attach(cpu);
    traps_begin();
    gic_enable();
    kernel_cpu_main();
}

void arch_cpu_attach(struct cpu *cpu)
{
    cpu->self = cpu;
    WRITE_REGISTER(tpidr_el1, (uintptr_t)cpu);
}

/* ---- the machine as found ---- */

const char arch_option_names[] = "asid=0|1 ";

bool arch_option(const char *name, const char *value)
{
    if (!text_equal(name, "asid") || (value[0] != '0' && value[0] != '1') || value[1])
        return false;
    arm.use_asids = value[0] == '1';
    return true;
}

unsigned arch_cpus_find(unsigned limit)
{
    unsigned found = devicetree_cpus(&arm.tree, READ_REGISTER(mpidr_el1) & MPIDR_AFFINITY, limit);

    psci_find();
    gic_find();
    gic_enable();
    return found;
}

/* Its "max" processor has no implementer, and a part number of its own. */
static bool is_qemu(void)
{
    return (READ_REGISTER(midr_el1) & 0xff00fff0) == 'Q' << 4;
}

void arch_describe(struct machine *m)
{
    arm.qemu = is_qemu();
    if (options.by_nmi && !arm.fiq)
        kernel_refuse("delivery=nmi, but this machine leaves no interrupts of group 0 to us; leave the option out");
    m->name = arm.qemu ? "qemu aarch64" : "aarch64";
    m->asids = !arm.use_asids ? 0 : READ_REGISTER(tcr_el1) & TCR_AS ? 0xffff : 0xff;
    /* QEMU's TLB knows no tag and no global bit, and drops everything when the tag in TTBR0 changes, but not when the
     * root alone does. It has no walk caches. */
    m->blind_tags = arm.qemu && arm.use_asids;
    m->blind_globals = arm.qemu;
    m->blind_walk_caches = arm.qemu;
    m->blind_online = library_broadcasts();
    console_print("machine: %s, GICv3, PSCI by %s, ASIDs %s, %s\n", m->name, arm.psci_smc ? "SMC" : "HVC",
                  arm.use_asids ? "on" : "off", arm.fiq ? "FIQ as NMI" : "no NMI");
}

/* ---- the end ---- */

#define SEMIHOSTING_EXIT 0x18u
#define SEMIHOSTING_APPLICATION 0x20026u
#define EXIT_SUCCESS_VALUE 33 /* no status that an emulator ends with by itself */
#define EXIT_FAILURE_VALUE 35

void arm_semihosting(uint64_t operation, const uint64_t *arguments);

/* PSCI turns a machine off without a status; so whoever runs this one is asked first. */
void arch_exit(bool success)
{
    const uint64_t status[] = {SEMIHOSTING_APPLICATION, success ? EXIT_SUCCESS_VALUE : EXIT_FAILURE_VALUE};

    while (*uart(UART_FLAGS) & UART_FLAGS_BUSY) /* ended by the UART */
        arch_pause();
    arm_semihosting(SEMIHOSTING_EXIT, status);
    psci_off();
    arch_stop();
}

/* ---- waiting ---- */

bool arch_irq_enabled(void)
{
    return !(READ_REGISTER(daif) & DAIF_IRQ);
}

/* An interrupt that is masked here, but not in the controller, ends WFI all the same. */
void arch_wait(void)
{
    __asm__ volatile("dsb sy\n\twfi\n\tmsr daifclr, #2\n\tisb\n\tmsr daifset, #2" : : : "memory");
}

void arch_nap(uint64_t nanoseconds)
{
    arch_timer_arm(nanoseconds);
    gic_hold(true);
    arch_wait();
    gic_hold(false);
}

void arch_pause(void)
{
    arm_yield();
}

void arch_stop(void)
{
    arch_irq_save();
    gic_silence();
    for (;;)
        __asm__ volatile("wfi" : : : "memory");
}
