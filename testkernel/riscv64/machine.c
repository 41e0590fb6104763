/*
 * machine.c - this machine as a whole: from the firmware to the common code, its features, console and end.
 */
#include "ktlb/arch/riscv64.h"
#include "riscv.h"
#include "testkernel/common/devicetree.h"

struct riscv64 riscv64 = {.want_asids = -1, .want_svinval = -1};

static struct devicetree tree;
static uint64_t boot_hart;
extern const char kernel_end[], riscv64_entry[];
void *riscv64_starting; /* the end of the stack of the hart that is being started; read in boot.S */
void riscv64_main(uint64_t hart, uint64_t blob);
_Noreturn void riscv64_cpu_main(struct cpu *cpu);

/* ---- boot ---- */

/* The device of @kind, as seen in the direct map; NULL: there is none. */
static void *device(const char *kind)
{
    struct devicetree_node node = {0};
    uint64_t address, size;

    if (!devicetree_find(&tree, &node, kind) || !devicetree_reg(&tree, &node, 0, &address, &size))
        return NULL;
    return direct(address);
}

static bool isa_has(const struct devicetree_node *node, const char *name)
{
    const char *isa = devicetree_text(&tree, node, "riscv,isa", 0);

    while (isa && *isa) {
        const char *c = name;

        while (*c && *c == *isa)
            c++, isa++;
        if (!*c && (!*isa || *isa == '_'))
            return true;
        while (*isa && *isa++ != '_')
            ;
    }
    return false;
}

/* Whether every hart has the extension @name, by either of the properties that say so. */
static bool harts_have(const char *name)
{
    struct devicetree_node node = {0};
    const char *text;
    bool all = true, has;

    while (devicetree_next(&tree, &node)) {
        text = devicetree_text(&tree, &node, "device_type", 0);
        if (!text || !text_equal(text, "cpu"))
            continue;
        has = isa_has(&node, name);
        for (unsigned i = 0; (text = devicetree_text(&tree, &node, "riscv,isa-extensions", i)) != NULL; i++)
            has = has || text_equal(text, name);
        all = all && has;
    }
    return all;
}

static void board_find(void)
{
    struct devicetree_node node = {0};
    uint64_t rate = 0;

    riscv64.uart = device("ns16550a");
    riscv64.test = device("sifive,test0");
    riscv64.svinval = harts_have("svinval");
    while (devicetree_next(&tree, &node)) {
        const char *model = node.depth == 1 ? devicetree_text(&tree, &node, "model", 0) : NULL;

        if (model && text_equal(model, "riscv-virtio,qemu"))
            riscv64.qemu = true;
        if (node.depth == 2 && text_equal(node.name, "cpus"))
            devicetree_number(&tree, &node, "timebase-frequency", &rate);
    }
    riscv64.clock_per_ms = rate / 1000;
    if (!riscv64.clock_per_ms)
        kernel_refuse("the device tree says no timebase-frequency for the CPUs, or one below 1 kHz");
}

void riscv64_main(uint64_t hart, uint64_t blob)
{
    static struct boot boot;
    const char *why;

    traps_enable();
    arch_cpu_attach(&cpus[0]);
    boot_hart = hart;
    why = devicetree_open(&tree, direct(blob));
    if (why)
        kernel_refuse("the device tree: %s", why);
    board_find();
    devicetree_boot(&tree, &boot, KERNEL_PHYSICAL, direct_address(kernel_end));
    boot_memory_cut(&boot, (uint64_t)DIRECT_SLOTS << 30, UINT64_MAX);
    kernel_main(&boot);
}

void riscv64_cpu_main(struct cpu *cpu)
{
    traps_enable();
    arch_cpu_attach(cpu);
    kernel_cpu_main();
}

void arch_cpu_attach(struct cpu *cpu)
{
    cpu->self = cpu;
    __asm__ volatile("mv tp, %0" : : "r"(cpu));
}

void arch_cpu_start(unsigned number, void *stack_end, bool again)
{
    int64_t error;

    ((struct cpu **)stack_end)[-1] = &cpus[number];
    riscv64_starting = stack_end;
    ktlb_fence_seq_cst(); /* pairs with the fence at riscv64_entry, through the firmware's word that says to start */
    error = sbi_start(number, direct_address(riscv64_entry));
    if (error && !again) /* asked again, the firmware minds that the hart is on its way, or there */
        kernel_panic("SBI does not start hart %lu: error %ld", cpus[number].hardware, error);
}

/* ---- the machine as found ---- */

const char arch_option_names[] = "asid=0|1 svinval=0|1 ";

bool arch_option(const char *name, const char *value)
{
    int *want = text_equal(name, "asid") ? &riscv64.want_asids
                : text_equal(name, "svinval") ? &riscv64.want_svinval
                                              : NULL;

    if (!want || (value[0] != '0' && value[0] != '1') || value[1])
        return false;
    *want = value[0] - '0';
    return true;
}

unsigned arch_cpus_find(unsigned limit)
{
    unsigned found = devicetree_cpus(&tree, boot_hart, limit);

    sbi_harts(found < limit ? found : limit);
    return found;
}

void arch_describe(struct machine *m)
{
    if (options.by_nmi)
        kernel_refuse("delivery=nmi, but this machine has no interrupt that cannot be masked; leave the option out");
    riscv64.asids = ktlb_riscv64_asids();
    if (riscv64.want_asids == 1 && riscv64.asids == 1)
        kernel_refuse("asid=1, but this CPU has no ASIDs; leave the option out or say asid=0");
    if (riscv64.want_svinval == 1 && !riscv64.svinval)
        kernel_refuse("svinval=1, but not every CPU has Svinval; leave the option out or say svinval=0");
    if (kernel_seeded && riscv64.qemu) {
        if (library_broadcasts())
            kernel_refuse("protocol=hardware under a seed: while this emulator counts instructions, the firmware never "
                          "comes back from a fence on other harts; leave one of the two out");
        ktlb_arch.hart_of = NULL;
    }
    ktlb_arch.svinval = riscv64.want_svinval != 0 && riscv64.svinval;
    ktlb_arch.svvptc = harts_have("svvptc");
    ktlb_arch.fault_drops = true; /* see fault_repair() */
    m->name = riscv64.qemu ? "qemu riscv64" : "riscv64";
    m->asids = riscv64.want_asids != 0 ? (unsigned)riscv64.asids - 1 : 0;
    /* QEMU's TLB knows no tag and no global bit, forgets all at every change of root and at every fence, and has no
     * walk caches. */
    m->blind_tags = m->blind_globals = m->blind_walk_caches = riscv64.qemu;
    sbi_describe();
}

/* ---- console and end ---- */

#define UART_STATUS 5
#define UART_RECEIVED 0x01
#define UART_ROOM 0x20
#define UART_ALL_OUT 0x40

static void uart_await(uint8_t status)
{
    while (!(riscv64.uart[UART_STATUS] & status)) /* ended by the UART */
        arch_pause();
}

/* Whatever comes before the device tree is read is lost. */
void arch_console_write(const char *text, size_t size)
{
    for (size_t i = 0; riscv64.uart && i < size; i++) {
        uart_await(UART_ROOM);
        riscv64.uart[0] = (uint8_t)text[i];
    }
}

int arch_console_read(void)
{
    return riscv64.uart && riscv64.uart[UART_STATUS] & UART_RECEIVED ? riscv64.uart[0] : -1;
}

#define TEST_FAIL 0x3333u /* ends QEMU with the status above it, which must not be one of QEMU's own */
#define STATUS_SUCCESS 33u
#define STATUS_FAILURE 35u

void arch_exit(bool success)
{
    if (riscv64.uart)
        uart_await(UART_ALL_OUT);
    if (!riscv64.test)
        sbi_shutdown(); /* without a status */
    *riscv64.test = (success ? STATUS_SUCCESS : STATUS_FAILURE) << 16 | TEST_FAIL;
    arch_stop();
}

/* ---- interrupts and the clock ---- */

bool arch_irq_enabled(void)
{
    return csr_read(sstatus) & SSTATUS_SIE;
}

/* An interrupt that is pending ends WFI whether masked or not, and is taken as soon as it is not. */
void arch_wait(void)
{
    __asm__ volatile("wfi" : : : "memory");
    csr_set(sstatus, SSTATUS_SIE);
    csr_clear(sstatus, SSTATUS_SIE);
}

void arch_nap(uint64_t nanoseconds)
{
    arch_timer_arm(nanoseconds);
    csr_clear(sie, SIE_SOFTWARE);
    arch_wait();
    csr_set(sie, SIE_SOFTWARE);
}

/* Where an emulator runs one CPU at a time, by count of instructions, PAUSE lets no other run, but WFI does. A software
 * interrupt of one's own ends that at once; nobody asked anything by it. */
static void yield(void)
{
    unsigned long irq = arch_irq_save();

    csr_set(sip, SIE_SOFTWARE);
    __asm__ volatile("wfi" : : : "memory");
    arch_irq_restore(irq);
}

void arch_pause(void)
{
    if (kernel_seeded)
        yield();
    else
        riscv64_pause();
}

void arch_stop(void)
{
    csr_write(sie, 0);
    for (;;)
        __asm__ volatile("wfi" : : : "memory");
}

uint64_t arch_clock(void)
{
    return ktlb_riscv64_read_time();
}

uint64_t arch_clock_per_ms(void)
{
    return riscv64.clock_per_ms;
}
