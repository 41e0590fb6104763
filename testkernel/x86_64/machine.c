/*
 * machine.c - this machine as a whole: from multiboot to the common code, its features, console and end.
 */
#include "ktlb/arch/x86_64_apic.h"
#include "x86.h"

struct x86 x86 = {.want_pcid = -1, .apic_mode = -1, .shorthand = true};

/* ---- multiboot: what the boot loader says, all addresses physical ---- */

#define MULTIBOOT_COMMAND_LINE 0x04u
#define MULTIBOOT_MODULES 0x08u
#define MULTIBOOT_MEMORY_MAP 0x40u
#define MULTIBOOT_RAM 1

struct multiboot {
    uint32_t flags, memory_lower, memory_upper, boot_device, command_line, modules_count, modules, symbols[4];
    uint32_t map_size, map;
};

struct multiboot_module {
    uint32_t start, end, text, zero;
};

struct multiboot_range {
    uint32_t size; /* of what follows */
    uint64_t start, length;
    uint32_t kind;
} __attribute__((packed));

extern const char bss_end[];
void x86_main(uint32_t information);
_Noreturn void x86_cpu_main(struct cpu *cpu);

/* QEMU puts the kernel's file name first, other loaders do not: a first word without '=' is one. */
static void command_line_copy(char *to, const char *from)
{
    const char *word = from;

    while (*word && *word != ' ' && *word != '=')
        word++;
    if (*word != '=')
        from = word;
    for (size_t i = 0; i + 1 < BOOT_COMMAND_LINE_SIZE && from[i]; i++)
        to[i] = from[i];
}

static void memory_find(struct boot *boot, const struct multiboot *information)
{
    uint64_t kernel_end = (uintptr_t)bss_end - KERNEL_BASE;

    for (uint32_t at = 0; information->flags & MULTIBOOT_MEMORY_MAP && at < information->map_size;) {
        const struct multiboot_range *range = direct(information->map + at);

        if (range->kind == MULTIBOOT_RAM && range->start < kernel_end && range->start + range->length > kernel_end) {
            boot->memory_start = kernel_end;
            boot->memory_end = range->start + range->length;
        }
        at += range->size + 4;
    }
    if (boot->memory_end > DIRECT_SIZE)
        boot->memory_end = DIRECT_SIZE;
}

static void features_find(void)
{
    struct x86_cpuid one = cpuid(1), hypervisor = cpuid(0x40000000);

    x86.pcid = one.ecx >> 17 & 1;
    x86.x2apic = one.ecx >> 21 & 1;
    x86.invpcid = ktlb_x86_cpuid_ebx(7) >> 10 & 1;
    x86.qemu = one.ecx >> 31 && hypervisor.ebx == 0x54474354; /* "TCGT" */
}

static void pics_mask(void)
{
    static const uint8_t steps[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, VECTOR_PIC}, {0xa1, VECTOR_PIC + 8},
                                       {0x21, 4}, {0xa1, 2}, {0x21, 1}, {0xa1, 1}, {0x21, 0xff}, {0xa1, 0xff}};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        outb(steps[i][0], steps[i][1]);
}

#define UART 0x3f8

static void uart_init(void)
{
    static const uint8_t steps[][2] = {{1, 0}, {3, 0x80}, {0, 1}, {1, 0}, {3, 3}, {2, 7}}; /* 115200 8N1, no interrupts */

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        outb((uint16_t)(UART + steps[i][0]), steps[i][1]);
}

void x86_main(uint32_t address)
{
    static struct boot boot;
    const struct multiboot *information = direct(address);
    const struct multiboot_module *module;

    uart_init();
    features_find();
    traps_load(0);
    arch_cpu_attach(&cpus[0]);
    pics_mask();
    memory_find(&boot, information);
    if (information->flags & MULTIBOOT_COMMAND_LINE)
        command_line_copy(boot.command_line, direct(information->command_line));
    if (information->flags & MULTIBOOT_MODULES && information->modules_count) {
        module = direct(information->modules);
        boot.module = direct(module->start);
        boot.module_size = module->end - module->start;
        boot_memory_cut(&boot, module->start, module->end);
    }
    kernel_main(&boot);
}

void x86_cpu_main(struct cpu *cpu)
{
    traps_load(cpu->number);
    arch_cpu_attach(cpu);
    apic_enable();
    send_join();
    paging_enable();
    kernel_cpu_main();
}

void arch_cpu_attach(struct cpu *cpu)
{
    cpu->self = cpu;
    wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
}

/* ---- the machine as found ---- */

const char arch_option_names[] = "pcid=0|1 apic=x|flat|x2|cluster shorthand=0|1 ";

static const char *const apic_modes[] = {[KTLB_XAPIC] = "x", [KTLB_XAPIC_FLAT] = "flat", [KTLB_X2APIC] = "x2",
                                         [KTLB_X2APIC_CLUSTER] = "cluster"};

static bool apic_option(const char *value)
{
    for (int mode = KTLB_XAPIC; mode <= KTLB_X2APIC_CLUSTER; mode++)
        if (text_equal(value, apic_modes[mode]))
            x86.apic_mode = mode;
    return x86.apic_mode >= 0;
}

bool arch_option(const char *name, const char *value)
{
    if (text_equal(name, "pcid") && (value[0] == '0' || value[0] == '1') && !value[1])
        x86.want_pcid = value[0] - '0';
    else if (text_equal(name, "shorthand") && (value[0] == '0' || value[0] == '1') && !value[1])
        x86.shorthand = value[0] - '0';
    else
        return text_equal(name, "apic") && apic_option(value);
    return true;
}

static unsigned cpus_found, cpus_limit;

static void cpu_found(uint32_t apic)
{
    /* The first place is this CPU's; the tables may name a CPU twice, in both of their kinds. */
    if (apic == cpus[0].hardware)
        return;
    for (unsigned i = 1; i < cpus_found && i < cpus_limit; i++)
        if (cpus[i].hardware == apic)
            return;
    if (cpus_found < cpus_limit)
        cpus[cpus_found].hardware = apic;
    cpus_found++;
}

unsigned arch_cpus_find(unsigned limit)
{
    cpus_found = 1;
    cpus_limit = limit;
    cpus[0].hardware = cpuid(1).ebx >> 24;
    if (!acpi_cpus(cpu_found))
        kernel_panic("no ACPI tables that name the CPUs");
    send_find(cpus_found, cpus_found < limit ? cpus_found : limit);
    apic_enable();
    send_join();
    apic_calibrate();
    return cpus_found;
}

void arch_describe(struct machine *m)
{
    x86.use_pcid = x86.want_pcid != 0 && x86.pcid;
    if (x86.want_pcid == 1 && !x86.pcid)
        kernel_refuse("pcid=1, but this CPU has no PCID; leave the option out or say pcid=0");
    paging_enable();
    m->name = x86.qemu ? "qemu x86_64" : x86.bochs ? "bochs x86_64" : "x86_64";
    m->asids = x86.use_pcid ? KTLB_X86_CR3_PCID : 0;
    /* QEMU's TLB knows no tag and no global bit; Bochs' executes PCID but forgets at every change of root. Neither has
     * walk caches. Without tags a change of root flushes by itself on any machine. */
    m->blind_tags = x86.qemu || x86.bochs || !x86.use_pcid;
    m->blind_globals = x86.qemu;
    m->blind_walk_caches = x86.qemu || x86.bochs;
    console_print("machine: %s, %s, PCID %s, INVPCID %s\n", m->name, x86.use_x2apic ? "x2APIC" : "xAPIC",
                  x86.use_pcid ? "on" : x86.pcid ? "off" : "absent", x86.invpcid ? "present" : "absent");
}

/* ---- console and end ---- */

void arch_console_write(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        while (!(inb(UART + 5) & 0x20)) /* ended by the UART */
            arch_pause();
        outb(UART, (uint8_t)text[i]);
    }
}

int arch_console_read(void)
{
    return inb(UART + 5) & 1 ? inb(UART) : -1;
}

#define EXIT_QEMU 0xf4      /* isa-debug-exit: the emulator ends with status 2v + 1 */
#define EXIT_BOCHS 0x8900   /* ends when it has read "Shutdown" */
#define EXIT_SUCCESS_VALUE 0x10
#define EXIT_FAILURE_VALUE 0x11

void arch_exit(bool success)
{
    uint64_t began;

    while (!(inb(UART + 5) & 0x40)) /* everything is out, says the UART; Bochs' says so one character early */
        arch_pause();
    for (began = arch_clock(); arch_clock() - began < 2 * x86.clock_per_ms;)
        arch_pause();
    if (!x86.bochs)
        outb(EXIT_QEMU, success ? EXIT_SUCCESS_VALUE : EXIT_FAILURE_VALUE);
    else
        for (const char *c = "Shutdown"; *c; c++)
            outb(EXIT_BOCHS, (uint8_t)*c);
    arch_stop();
}

/* ---- interrupts and the clock ---- */

bool arch_irq_enabled(void)
{
    unsigned long flags;

    __asm__ volatile("pushfq\n\tpop %0" : "=r"(flags) : : "memory");
    return flags & RFLAGS_IF;
}

void arch_wait(void)
{
    __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory"); /* STI takes effect after HLT has begun */
}

/* The task priority, in CR8, holds back every class of vectors but the timer's: for all others it is as if masked. */
void arch_nap(uint64_t nanoseconds)
{
    arch_timer_arm(nanoseconds);
    __asm__ volatile("mov %0, %%cr8" : : "r"((uint64_t)(VECTOR_TIMER >> 4) - 1) : "memory");
    arch_wait();
    __asm__ volatile("mov %0, %%cr8" : : "r"(UINT64_C(0)) : "memory");
}

void arch_pause(void)
{
    x86_pause();
}

void arch_stop(void)
{
    for (;;)
        __asm__ volatile("cli\n\thlt" : : : "memory");
}

uint64_t arch_clock(void)
{
    return ktlb_x86_rdtsc();
}

uint64_t arch_clock_per_ms(void)
{
    return x86.clock_per_ms;
}
