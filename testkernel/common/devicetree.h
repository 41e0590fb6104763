/*
 * devicetree.h - what there is on this board, from the flattened device tree that a boot loader hands over.
 *
 * A tree is checked once, whole, by devicetree_open(); after that, looking for something may only not find it. The
 * format is that of the Devicetree Specification 0.4, chapter 5. Addresses are taken for physical as they stand: on the
 * boards here every bus passes them on unchanged.
 */
#ifndef TESTKERNEL_DEVICETREE_H
#define TESTKERNEL_DEVICETREE_H

#include "kernel.h"

#define DEVICETREE_SIZE_MAX 0x200000u /* bytes; what Linux allows too */
#define DEVICETREE_DEPTH_MAX 16u

struct devicetree {
    const uint8_t *blob, *structure, *strings, *reserved;
    uint32_t size, structure_size, strings_size; /* bytes */
};

/* A node, and the place from which devicetree_next() goes on; all zero: before the first. */
struct devicetree_node {
    const char *name;
    uint32_t at;    /* behind its name, in the structure block */
    unsigned depth; /* 1: the root */
    /* By depth, in 32-bit words: an address and a size in the reg of a node. */
    uint8_t address_cells[DEVICETREE_DEPTH_MAX + 2], size_cells[DEVICETREE_DEPTH_MAX + 2];
};

/* NULL: @blob is a sound tree, up to DEVICETREE_SIZE_MAX bytes of which may be read; else what is wrong with it. */
const char *devicetree_open(struct devicetree *tree, const void *blob);

/* On to the next node, in the order of the tree, children before siblings. false: there is none. */
bool devicetree_next(const struct devicetree *tree, struct devicetree_node *node);
/* On to the next node that is in use (its status) and compatible with @kind. */
bool devicetree_find(const struct devicetree *tree, struct devicetree_node *node, const char *kind);

/* A property of @node and its @size in bytes; NULL: it has none of that name. */
const void *devicetree_property(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                                uint32_t *size);
/* One of the texts of a property, the first being 0; NULL: there are fewer. */
const char *devicetree_text(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                            unsigned index);
/* A property that is one number, of 32 or 64 bits. */
bool devicetree_number(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                       uint64_t *value);
/* The word of 32 bits at @index of a property that is a list of them. */
bool devicetree_word(const struct devicetree *tree, const struct devicetree_node *node, const char *name,
                     unsigned index, uint32_t *value);
/* The range at @index of the node's reg. */
bool devicetree_reg(const struct devicetree *tree, const struct devicetree_node *node, unsigned index,
                    uint64_t *address, uint64_t *size);

/*
 * What boards with a device tree have in common. Each refuses to go on where the tree lacks what it must have.
 * devicetree_boot: memory but for what is in use already ([@kernel_start, @kernel_end) and what the tree reserves), the
 * command line, the module. devicetree_cpus: see arch_cpus_find(); @self names the calling CPU.
 */
void devicetree_boot(const struct devicetree *tree, struct boot *boot, uint64_t kernel_start, uint64_t kernel_end);
unsigned devicetree_cpus(const struct devicetree *tree, uint64_t self, unsigned limit);

#endif
