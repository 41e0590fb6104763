/*
 * psci.c - the firmware's power calls: starting a CPU, and turning the machine off. (Arm DEN 0022.)
 */
#include "arm.h"

#define PSCI_OFF 0x84000008u
#define PSCI_CPU_ON 0xc4000003u
#define PSCI_ALREADY_ON (-4)
#define PSCI_ON_PENDING (-5)

/* What a CPU that starts needs; read in boot.S. */
static struct arm_start {
    void *stack_end;
    struct cpu *cpu;
} start;

extern const char arm_cpu_entry[];
int32_t arm_hvc(uint64_t function, uint64_t first, uint64_t second, uint64_t third);
int32_t arm_smc(uint64_t function, uint64_t first, uint64_t second, uint64_t third);

static int32_t psci_call(uint64_t function, uint64_t first, uint64_t second, uint64_t third)
{
    return arm.psci_smc ? arm_smc(function, first, second, third) : arm_hvc(function, first, second, third);
}

void psci_find(void)
{
    struct devicetree_node node = {0};
    const char *method = NULL;

    if (devicetree_find(&arm.tree, &node, "arm,psci-0.2")) /* which later ones are too */
        method = devicetree_text(&arm.tree, &node, "method", 0);
    if (!method || !(text_equal(method, "hvc") || text_equal(method, "smc")))
        kernel_refuse("the device tree names no PSCI, or no method to call it by: CPUs cannot be started");
    arm.psci_smc = method[0] == 's';
}

void psci_off(void)
{
    psci_call(PSCI_OFF, 0, 0, 0);
}

void arch_cpu_start(unsigned number, void *stack_end, bool again)
{
    int32_t status;

    start.stack_end = stack_end;
    start.cpu = &cpus[number];
    dsb(); /* the call makes nothing visible by itself */
    status = psci_call(PSCI_CPU_ON, cpus[number].hardware,
                       (uint64_t)(uintptr_t)arm_cpu_entry - KERNEL_BASE + arm.image, (uintptr_t)&start);
    if (status && !(again && (status == PSCI_ALREADY_ON || status == PSCI_ON_PENDING)))
        kernel_panic("CPU %u (hardware %lx) cannot be started: PSCI says %d", number, cpus[number].hardware, status);
}
