/*
 * devicetree.c - reading a flattened device tree. Numbers in it are big-endian, and wherever they happen to lie.
 *
 * Invariant: an opened tree consists of whole tokens, nested as they should be, each within the structure block, each
 * name within its block and ended. So nothing after structure_check() looks at a bound of the tree again.
 */
#include "devicetree.h"

#define MAGIC 0xd00dfeedu
#define VERSION 17u
#define HEADER_SIZE 40u
#define RESERVED_SIZE 16u

enum token { BEGIN = 1, END = 2, PROPERTY = 3, NOTHING = 4, LAST = 9 };

static uint32_t read32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static uint64_t read64(const uint8_t *from)
{
    return (uint64_t)read32(from) << 32 | read32(from + 4);
}

static uint32_t aligned(uint32_t at)
{
    return (at + 3) & ~3u;
}

/* Bytes up to the end of a text, that included; 0: it has none within @size bytes. */
static uint32_t text_size(const uint8_t *text, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (!text[i])
            return i + 1;
    return 0;
}

/* ---- checking ---- */

static bool block_fits(const struct devicetree *tree, uint32_t offset, uint32_t size)
{
    return offset >= HEADER_SIZE && offset <= tree->size && size <= tree->size - offset;
}

/* Past the token at *@at and what belongs to it; false: it is cut off. */
static bool token_pass(const struct devicetree *tree, uint32_t *at, uint32_t *token)
{
    uint32_t left = tree->structure_size - *at, size, name;

    if (left < 4)
        return false;
    *token = read32(tree->structure + *at);
    *at += 4;
    left -= 4;
    if (*token == BEGIN) {
        size = text_size(tree->structure + *at, left);
        if (!size)
            return false;
    } else if (*token == PROPERTY) {
        if (left < 8)
            return false;
        size = read32(tree->structure + *at);
        name = read32(tree->structure + *at + 4);
        *at += 8;
        left -= 8;
        if (size > left || name >= tree->strings_size || !text_size(tree->strings + name, tree->strings_size - name))
            return false;
    } else {
        return true;
    }
    if (aligned(size) > left)
        return false;
    *at += aligned(size);
    return true;
}

static const char *structure_check(const struct devicetree *tree)
{
    uint32_t at = 0, token;
    unsigned depth = 0;
    bool ended = false, properties = false; /* the root has ended; properties may come here */

    while (token_pass(tree, &at, &token)) {
        if (token == LAST)
            return ended ? NULL : "its structure ends inside of a node";
        if (token == NOTHING)
            continue;
        if (ended || (token == PROPERTY && !properties) || (token == END && !depth))
            return "its structure has something where it cannot be";
        if (token == BEGIN && depth == DEVICETREE_DEPTH_MAX)
            return "its nodes are nested too deep";
        if (token == BEGIN)
            depth++;
        else if (token == END)
            ended = --depth == 0;
        else if (token != PROPERTY)
            return "its structure has a token that there is not";
        properties = token != END;
    }
    return "its structure is cut off";
}

const char *devicetree_open(struct devicetree *tree, const void *blob)
{
    const uint8_t *header = blob;
    uint32_t structure, strings, reserved;

    if (read32(header) != MAGIC)
        return "there is none (its magic number is missing)";
    structure = read32(header + 8);
    strings = read32(header + 12);
    reserved = read32(header + 16);
    *tree = (struct devicetree){header, header + structure, header + strings, header + reserved, read32(header + 4),
                                read32(header + 36), read32(header + 32)};
    if (tree->size < HEADER_SIZE || tree->size > DEVICETREE_SIZE_MAX)
        return "it says of itself to be smaller or larger than any can be";
    if (read32(header + 20) < VERSION || read32(header + 24) > VERSION)
        return "it is of another version than 17";
    if (!block_fits(tree, structure, tree->structure_size) || !block_fits(tree, strings, tree->strings_size))
        return "its blocks lie outside of it";
    do {
        if (!block_fits(tree, reserved, RESERVED_SIZE))
            return "its list of reservations has no end";
        reserved += RESERVED_SIZE;
    } while (read64(header + reserved - 8));
    return structure_check(tree);
}

/* ---- looking ---- */

const void *devicetree_property(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                                uint32_t *size)
{
    uint32_t at = node->at, start = at, token;

    while (token_pass(tree, &at, &token) && (token == PROPERTY || token == NOTHING)) {
        const uint8_t *head = tree->structure + start + 4;

        if (token == PROPERTY && text_equal((const char *)tree->strings + read32(head + 4), name)) {
            *size = read32(head);
            return head + 8;
        }
        start = at;
    }
    return NULL;
}

bool devicetree_word(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                     unsigned index, uint32_t *value)
{
    uint32_t size;
    const uint8_t *words = devicetree_property(tree, node, name, &size);

    if (!words || index >= size / 4)
        return false;
    *value = read32(words + 4 * index);
    return true;
}

/* What a node says of the addresses or sizes of its children; no more than two words can be read. */
static uint8_t cells_of_children(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                                 uint8_t unsaid)
{
    uint32_t cells = unsaid;

    devicetree_word(tree, node, name, 0, &cells);
    return cells < UINT8_MAX ? (uint8_t)cells : UINT8_MAX;
}

bool devicetree_next(const struct devicetree *tree, struct devicetree_node *node)
{
    uint32_t at = node->at, start = at, token;

    while (token_pass(tree, &at, &token) && token != LAST) {
        if (token == BEGIN) {
            node->name = (const char *)tree->structure + start + 4;
            node->at = at;
            node->depth++;
            node->address_cells[node->depth + 1] = cells_of_children(tree, node, "#address-cells", 2);
            node->size_cells[node->depth + 1] = cells_of_children(tree, node, "#size-cells", 1);
            return true;
        }
        node->depth -= token == END;
        start = at;
    }
    return false;
}

const char *devicetree_text(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                            unsigned index)
{
    uint32_t left, size;
    const uint8_t *text = devicetree_property(tree, node, name, &left);

    for (; text && (size = text_size(text, left)) != 0; index--) {
        if (!index)
            return (const char *)text;
        text += size;
        left -= size;
    }
    return NULL;
}

bool devicetree_number(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                       uint64_t *value)
{
    uint32_t size;
    const uint8_t *number = devicetree_property(tree, node, name, &size);

    if (!number || (size != 4 && size != 8))
        return false;
    *value = size == 4 ? read32(number) : read64(number);
    return true;
}

static bool usable(const struct devicetree *tree, const struct devicetree_node *node)
{
    const char *status = devicetree_text(tree, node, "status", 0);

    return !status || text_equal(status, "okay") || text_equal(status, "ok");
}

bool devicetree_find(const struct devicetree *tree, struct devicetree_node *node, const char *kind)
{
    const char *text;

    while (devicetree_next(tree, node))
        for (unsigned i = 0; (text = devicetree_text(tree, node, "compatible", i)) != NULL; i++)
            if (text_equal(text, kind) && usable(tree, node))
                return true;
    return false;
}

bool devicetree_reg(const struct devicetree *tree, const struct devicetree_node *node, unsigned index,
                    uint64_t *address, uint64_t *size)
{
    unsigned address_cells = node->address_cells[node->depth], size_cells = node->size_cells[node->depth];
    uint32_t bytes, entry = 4 * (address_cells + size_cells);
    const uint8_t *reg = devicetree_property(tree, node, "reg", &bytes);

    if (!reg || address_cells < 1 || address_cells > 2 || size_cells > 2 || index >= bytes / entry)
        return false;
    reg += index * entry;
    *address = address_cells == 1 ? read32(reg) : read64(reg);
    reg += 4 * address_cells;
    *size = size_cells == 0 ? 0 : size_cells == 1 ? read32(reg) : read64(reg);
    return true;
}

/* ---- what boards have in common ---- */

static bool is_of_type(const struct devicetree *tree, const struct devicetree_node *node, const char *type)
{
    const char *text = devicetree_text(tree, node, "device_type", 0);

    return text && text_equal(text, type) && usable(tree, node);
}

/* The piece of memory that the kernel lies in. */
static void memory_find(const struct devicetree *tree, struct boot *boot, uint64_t kernel_start)
{
    struct devicetree_node node = {0};
    uint64_t start, size;

    while (devicetree_next(tree, &node))
        for (unsigned i = 0; is_of_type(tree, &node, "memory") && devicetree_reg(tree, &node, i, &start, &size); i++)
            if (kernel_start >= start && kernel_start - start < size) {
                boot->memory_start = start;
                boot->memory_end = start + size;
            }
    if (!boot->memory_end)
        kernel_refuse("the device tree names no memory where the kernel is, at %lx", kernel_start);
}

/* A tree reserves in two ways: a list beside its structure, and the children of a node. */
static void memory_reserve(const struct devicetree *tree, struct boot *boot)
{
    struct devicetree_node node = {0};
    unsigned inside = 0;
    uint64_t start, size;

    for (const uint8_t *range = tree->reserved; read64(range + 8); range += RESERVED_SIZE)
        boot_memory_cut(boot, read64(range), read64(range) + read64(range + 8));
    while (devicetree_next(tree, &node)) {
        if (node.depth <= inside)
            inside = 0;
        if (node.depth == 2 && text_equal(node.name, "reserved-memory"))
            inside = node.depth;
        for (unsigned i = 0; inside && node.depth > inside && devicetree_reg(tree, &node, i, &start, &size); i++)
            boot_memory_cut(boot, start, start + size);
    }
}

static void chosen_read(const struct devicetree *tree, struct boot *boot)
{
    struct devicetree_node node = {0};
    uint64_t start, end;
    const char *line;

    while (devicetree_next(tree, &node)) {
        if (node.depth != 2 || !text_equal(node.name, "chosen"))
            continue;
        line = devicetree_text(tree, &node, "bootargs", 0);
        for (size_t i = 0; line && line[i]; i++) {
            if (i + 1 == BOOT_COMMAND_LINE_SIZE)
                kernel_refuse("the command line is longer than %u characters", BOOT_COMMAND_LINE_SIZE - 1);
            boot->command_line[i] = line[i];
        }
        if (devicetree_number(tree, &node, "linux,initrd-start", &start) &&
            devicetree_number(tree, &node, "linux,initrd-end", &end) && start < end) {
            boot->module = direct(start);
            boot->module_size = end - start;
            boot_memory_cut(boot, start, end);
        }
    }
}

void devicetree_boot(const struct devicetree *tree, struct boot *boot, uint64_t kernel_start, uint64_t kernel_end)
{
    uint64_t blob = direct_address(tree->blob);

    memory_find(tree, boot, kernel_start);
    boot_memory_cut(boot, kernel_start, kernel_end);
    boot_memory_cut(boot, blob, blob + tree->size);
    memory_reserve(tree, boot);
    chosen_read(tree, boot);
}

unsigned devicetree_cpus(const struct devicetree *tree, uint64_t self, unsigned limit)
{
    struct devicetree_node node = {0};
    uint64_t hardware, size;
    bool self_found = false;
    unsigned count = 1;

    cpus[0].hardware = self;
    while (devicetree_next(tree, &node)) {
        if (!is_of_type(tree, &node, "cpu"))
            continue;
        if (!devicetree_reg(tree, &node, 0, &hardware, &size))
            kernel_refuse("the device tree's %s has no number", node.name);
        if (hardware == self) {
            self_found = true;
            continue;
        }
        if (count < limit)
            cpus[count].hardware = hardware;
        count++;
    }
    if (!self_found)
        kernel_refuse("the device tree does not name the CPU that runs this, %lx", self);
    return count;
}
