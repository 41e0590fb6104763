/*
 * acpi.c - the CPUs of this machine, from the firmware's tables: RSDP, then RSDT or XSDT, then MADT.
 *
 * All of it is read through the direct map; a table outside of it, or with a wrong checksum, is as good as none.
 */
#include "x86.h"

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
} __attribute__((packed));

struct acpi_table {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_madt {
    struct acpi_table table;
    uint32_t apic;
    uint32_t flags;
    uint8_t entries[];
} __attribute__((packed));

#define MADT_APIC 0          /* processor, APIC number, flags */
#define MADT_APIC_ADDRESS 5  /* the APICs' address in 64 bits */
#define MADT_X2APIC 9        /* number and flags in 32 bits */
#define MADT_USABLE 1u

static bool sums_to_zero(const void *data, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
    return sum == 0;
}

static uint64_t read(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static const struct acpi_rsdp *rsdp_in(uint64_t start, uint64_t size)
{
    for (uint64_t at = start; at < start + size; at += 16) {
        const struct acpi_rsdp *rsdp = direct(at);

        if (memcmp(rsdp->signature, "RSD PTR ", 8) == 0 && sums_to_zero(rsdp, 20))
            return rsdp;
    }
    return NULL;
}

/* NULL unless there is a sound table of that signature at @address; signature NULL: any. */
static const struct acpi_table *table_at(uint64_t address, const char *signature)
{
    const struct acpi_table *table = direct(address);

    if (!address || address >= DIRECT_SIZE - PAGE_SIZE)
        return NULL;
    if (signature && memcmp(table->signature, signature, 4) != 0)
        return NULL;
    return sums_to_zero(table, table->length) ? table : NULL;
}

static const struct acpi_madt *madt_find(const struct acpi_rsdp *rsdp)
{
    const struct acpi_table *root = NULL;
    unsigned entry = 8;

    if (rsdp->revision >= 2)
        root = table_at(rsdp->xsdt, "XSDT");
    if (!root) {
        root = table_at(rsdp->rsdt, "RSDT");
        entry = 4;
    }
    if (!root)
        return NULL;
    for (size_t at = sizeof(*root); at + entry <= root->length; at += entry) {
        const struct acpi_table *table = table_at(read((const uint8_t *)root + at, entry), "APIC");

        if (table)
            return (const struct acpi_madt *)table;
    }
    return NULL;
}

bool acpi_cpus(void (*each)(uint32_t apic))
{
    const struct acpi_rsdp *rsdp = rsdp_in((uint64_t)*(uint16_t *)direct(0x40e) << 4, 1024);
    const struct acpi_madt *madt;

    if (!rsdp)
        rsdp = rsdp_in(0xe0000, 0x20000);
    madt = rsdp ? madt_find(rsdp) : NULL;
    if (!madt)
        return false;
    /* QEMU's firmware signs alike; it was recognised before. */
    x86.bochs = !x86.qemu && memcmp(madt->table.oem, "BOCHS", 5) == 0;
    x86.apic_base = madt->apic;
    for (const uint8_t *at = madt->entries, *end = (const uint8_t *)madt + madt->table.length;
         at + 2 <= end && at[1] >= 2 && at + at[1] <= end; at += at[1]) {
        if (at[0] == MADT_APIC && at[1] >= 8 && read(at + 4, 4) & MADT_USABLE)
            each(at[3]);
        else if (at[0] == MADT_X2APIC && at[1] >= 16 && read(at + 8, 4) & MADT_USABLE)
            each((uint32_t)read(at + 4, 4));
        else if (at[0] == MADT_APIC_ADDRESS && at[1] >= 12)
            x86.apic_base = read(at + 4, 8);
    }
    return true;
}
