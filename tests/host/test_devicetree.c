/*
 * test_devicetree.c - goal: the test kernel's reader of device trees finds what is in a sound tree, says what is wrong
 * with one that is not, and reads nothing outside of either, whatever became of a tree on its way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testkernel/common/devicetree.h"

/* ---- what the reader asks of the kernel ---- */

struct cpu cpus[KTLB_CPUS_MAX];
const uint64_t arch_direct_base = 0;

static jmp_buf refused_to;
static char refused[256];

void kernel_refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(refused, sizeof(refused), format, arguments);
    va_end(arguments);
    longjmp(refused_to, 1);
}

bool text_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static struct {
    uint64_t from, to;
} cut[16];
static unsigned cuts;

void boot_memory_cut(struct boot *boot, uint64_t from, uint64_t to)
{
    (void)boot;
    cut[cuts % 16].from = from; /* a damaged tree may ask for any number */
    cut[cuts++ % 16].to = to;
}

static bool was_cut(uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < 16 && i < cuts; i++)
        if (cut[i].from == from && cut[i].to == to)
            return true;
    return false;
}

/* ---- writing a tree ---- */

#define MAGIC 0xd00dfeedu
enum token { BEGIN = 1, END = 2, PROPERTY = 3, NOTHING = 4, LAST = 9 };

static uint8_t structure[8192], strings[1024];
static uint32_t structure_used, strings_used;

static void put32(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put(uint32_t word)
{
    put32(structure + structure_used, word);
    structure_used += 4;
}

static void put_bytes(const void *bytes, size_t size)
{
    memcpy(structure + structure_used, bytes, size);
    structure_used = (uint32_t)(structure_used + size + 3) & ~3u;
}

static void node(const char *name)
{
    put(BEGIN);
    put_bytes(name, strlen(name) + 1);
}

static void end(void)
{
    put(END);
}

static void property(const char *name, const void *value, size_t size)
{
    put(PROPERTY);
    put((uint32_t)size);
    put(strings_used);
    put_bytes(value, size);
    memcpy(strings + strings_used, name, strlen(name) + 1);
    strings_used += (uint32_t)strlen(name) + 1;
}

static void text(const char *name, const char *value)
{
    property(name, value, strlen(value) + 1);
}

#define WORDS(name, ...) words(name, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)
static void words(const char *name, const uint32_t *values, size_t count)
{
    uint8_t bytes[256];

    for (size_t i = 0; i < count; i++)
        put32(bytes + 4 * i, values[i]);
    property(name, bytes, 4 * count);
}

#define HEADER 40u
#define RESERVED 0x9000u

static size_t tree_size(void)
{
    return HEADER + 32 + structure_used + strings_used;
}

/* The tree written, in memory of just its size. */
static uint8_t *tree_make(void)
{
    uint8_t *blob = calloc(1, tree_size());
    const uint32_t header[] = {MAGIC, (uint32_t)tree_size(), HEADER + 32, HEADER + 32 + structure_used, HEADER, 17, 16,
                               0, strings_used, structure_used};

    for (unsigned i = 0; i < 10; i++)
        put32(blob + 4 * i, header[i]);
    put32(blob + HEADER + 4, RESERVED);
    put32(blob + HEADER + 12, 0x1000);
    memcpy(blob + HEADER + 32, structure, structure_used);
    memcpy(blob + HEADER + 32 + structure_used, strings, strings_used);
    return blob;
}

static void tree_begin(void)
{
    memset(structure, 0, sizeof(structure));
    structure_used = strings_used = cuts = 0;
    refused[0] = '\0';
    node("");
}

static void cpu(const char *name, uint32_t number, const char *status)
{
    node(name);
    text("device_type", "cpu");
    WORDS("reg", number);
    if (status)
        text("status", status);
    end();
}

/* A small board: addresses of two words, CPUs of one. */
static uint8_t *board(void)
{
    tree_begin();
    WORDS("#address-cells", 2);
    put(NOTHING);
    WORDS("#size-cells", 2);
    node("chosen");
    text("bootargs", "scale=20 seed=7");
    WORDS("linux,initrd-start", 0x48000000);
    WORDS("linux,initrd-end", 0, 0x48001234);
    end();
    node("memory@40000000");
    text("device_type", "memory");
    WORDS("reg", 0, 0x40000000, 0, 0x100000, 1, 0, 0, 0x10000000);
    end();
    node("reserved-memory");
    WORDS("#address-cells", 1);
    WORDS("#size-cells", 1);
    node("firmware@50000000");
    WORDS("reg", 0x50000000, 0x2000);
    end();
    end();
    node("cpus");
    WORDS("#address-cells", 1);
    WORDS("#size-cells", 0);
    cpu("cpu@0", 0, NULL);
    cpu("cpu@1", 1, "disabled");
    cpu("cpu@100", 0x100, "okay");
    end();
    node("uart@1");
    property("compatible", "maker,special\0maker,uart", 25);
    WORDS("reg", 0, 0x1000, 0, 0x100);
    text("status", "disabled");
    end();
    node("uart@2");
    property("compatible", "maker,special\0maker,uart", 25);
    WORDS("reg", 0, 0x2000, 0, 0x100, 0, 0x3000, 0, 0x200);
    end();
    end();
    put(LAST);
    return tree_make();
}

/* ---- the tests ---- */

static void finds_what_is_there(void **state)
{
    uint8_t *blob = board();
    struct devicetree tree;
    struct devicetree_node at = {0}, any = {0};
    uint64_t address, size;
    uint32_t word, bytes;
    unsigned nodes = 0;

    (void)state;
    assert_null(devicetree_open(&tree, blob));
    assert_true(devicetree_find(&tree, &at, "maker,uart"));
    assert_string_equal(at.name, "uart@2");
    assert_int_equal(at.depth, 2);
    assert_true(devicetree_reg(&tree, &at, 1, &address, &size));
    assert_int_equal(address, 0x3000);
    assert_int_equal(size, 0x200);
    assert_false(devicetree_reg(&tree, &at, 2, &address, &size));
    assert_true(devicetree_word(&tree, &at, "reg", 7, &word));
    assert_int_equal(word, 0x200);
    assert_false(devicetree_word(&tree, &at, "reg", 8, &word));
    assert_string_equal(devicetree_text(&tree, &at, "compatible", 1), "maker,uart");
    assert_null(devicetree_text(&tree, &at, "compatible", 2));
    assert_null(devicetree_text(&tree, &at, "reg", 40));
    assert_null(devicetree_property(&tree, &at, "status", &bytes));
    assert_false(devicetree_find(&tree, &at, "maker,uart"));
    while (devicetree_next(&tree, &any))
        nodes++;
    assert_int_equal(nodes, 11);
    free(blob);
}

static void reads_the_board(void **state)
{
    uint8_t *blob = board();
    struct devicetree tree;
    struct boot boot = {0};

    (void)state;
    assert_null(devicetree_open(&tree, blob));
    devicetree_boot(&tree, &boot, UINT64_C(0x100200000), UINT64_C(0x100300000));
    assert_int_equal(boot.memory_start, UINT64_C(0x100000000));
    assert_int_equal(boot.memory_end, UINT64_C(0x110000000));
    assert_string_equal(boot.command_line, "scale=20 seed=7");
    assert_int_equal((uintptr_t)boot.module, 0x48000000);
    assert_int_equal(boot.module_size, 0x1234);
    assert_true(was_cut(UINT64_C(0x100200000), UINT64_C(0x100300000)));
    assert_true(was_cut((uintptr_t)blob, (uintptr_t)blob + tree_size()));
    assert_true(was_cut(0x48000000, 0x48001234));
    assert_true(was_cut(RESERVED, RESERVED + 0x1000));
    assert_true(was_cut(0x50000000, 0x50002000));
    assert_int_equal(cuts, 5);
    assert_int_equal(devicetree_cpus(&tree, 0x100, 8), 2);
    assert_int_equal(cpus[0].hardware, 0x100);
    assert_int_equal(cpus[1].hardware, 0);
    assert_int_equal(devicetree_cpus(&tree, 0, 1), 2); /* more than there is room for */
    free(blob);
}

static void refuses_what_it_cannot_use(void **state)
{
    uint8_t *blob = board();
    struct devicetree tree;
    struct boot boot = {0};

    (void)state;
    assert_null(devicetree_open(&tree, blob));
    if (!setjmp(refused_to))
        devicetree_boot(&tree, &boot, 0x40100000, 0x40200000);
    assert_non_null(strstr(refused, "no memory where the kernel is"));
    if (!setjmp(refused_to))
        devicetree_cpus(&tree, 1, 8); /* that CPU is disabled */
    assert_non_null(strstr(refused, "does not name the CPU"));
    free(blob);
    tree_begin();
    node("cpu@0");
    text("device_type", "cpu");
    end();
    end();
    put(LAST);
    blob = tree_make();
    assert_null(devicetree_open(&tree, blob));
    if (!setjmp(refused_to))
        devicetree_cpus(&tree, 0, 8);
    assert_non_null(strstr(refused, "cpu@0 has no number"));
    free(blob);
}

static void says_wrong(const char *what)
{
    uint8_t *blob = tree_make();
    struct devicetree tree;
    const char *wrong = devicetree_open(&tree, blob);

    assert_non_null(wrong);
    assert_non_null(strstr(wrong, what));
    free(blob);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    tree_begin(); /* nothing after the root's name */
    says_wrong("cut off");
    put(LAST);
    says_wrong("inside of a node");
    tree_begin();
    end();
    node("second");
    says_wrong("cannot be");
    tree_begin();
    node("child");
    end();
    text("late", "");
    says_wrong("cannot be");
    tree_begin();
    put(7);
    says_wrong("a token that there is not");
    tree_begin();
    for (unsigned i = 0; i < DEVICETREE_DEPTH_MAX; i++)
        node("deeper");
    says_wrong("too deep");
    tree_begin();
    put(PROPERTY);
    put(4);
    put(0); /* no value, and no name: there are no strings */
    says_wrong("cut off");
    tree_begin();
    put(PROPERTY); /* not even that it has no value */
    says_wrong("cut off");
    tree_begin();
    text("first", ""); /* so that there is a name */
    put(PROPERTY);
    put(UINT32_MAX); /* and no byte of it; rounded up it would be nothing */
    put(0);
    end();
    put(LAST);
    says_wrong("cut off");
    tree_begin();
    text("short", "");
    structure_used--; /* within what the value is filled up with */
    says_wrong("cut off");
}

/* See everything there is to see. What is read outside of the tree stops the sanitizer. */
static void look_at_everything(const struct devicetree *tree)
{
    struct devicetree_node at = {0};
    struct boot boot = {0};
    uint64_t address, size;
    uint32_t bytes;

    while (devicetree_next(tree, &at)) {
        devicetree_property(tree, &at, "no such name", &bytes);
        for (unsigned i = 0; devicetree_text(tree, &at, "compatible", i); i++)
            ;
        for (unsigned i = 0; devicetree_reg(tree, &at, i, &address, &size); i++)
            ;
    }
    cuts = 0;
    if (!setjmp(refused_to))
        devicetree_boot(tree, &boot, 0x40000000, 0x40001000);
    if (!setjmp(refused_to))
        devicetree_cpus(tree, 0, 8);
}

static void survives_damage(void **state)
{
    uint8_t *sound = board(), *blob;
    size_t size = tree_size();
    unsigned opened = 0;
    struct devicetree tree;

    (void)state;
    for (size_t at = 0; at < size; at++) {
        size_t room = at >= 4 && at < 8 ? DEVICETREE_SIZE_MAX : size; /* in its size: it may now say more */

        for (unsigned bit = 0; bit < 8; bit++) {
            blob = calloc(1, room);
            memcpy(blob, sound, size);
            blob[at] ^= (uint8_t)(1u << bit);
            if (!devicetree_open(&tree, blob)) {
                opened++;
                look_at_everything(&tree);
            }
            free(blob);
        }
    }
    assert_true(opened > 0); /* a letter of a name, say */
    for (uint32_t cut_to = HEADER; cut_to < size; cut_to++) {
        blob = malloc(cut_to);
        memcpy(blob, sound, cut_to);
        put32(blob + 4, cut_to);
        assert_non_null(devicetree_open(&tree, blob));
        free(blob);
    }
    free(sound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),        cmocka_unit_test(reads_the_board),
        cmocka_unit_test(refuses_what_it_cannot_use), cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(survives_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
