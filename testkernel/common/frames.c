/*
 * frames.c - all memory that the kernel does not sit in: frames of a page and of a huge page, poisoned while free.
 *
 * Single frames come from the bottom, huge ones from the top, until the two meet. What was freed last is handed out
 * first: the worst for whoever still holds a stale translation of it, and so the best here. The poison is written
 * when a frame is freed, and before its first use; never at a later allocation, so that a late stray store shows.
 */
#include "kernel.h"

enum state { NEVER, FREE, USED, HUGE_FREE, HUGE_USED };

static struct lock lock;
static struct machine_frame *records; /* of every page from address first on */
static uint8_t *states;
static uint64_t first;
static uint64_t bottom, top; /* what was never handed out */
static struct ktlb_node *free_pages, *free_huge;

static void poison(const struct machine_frame *frame, uint64_t size)
{
    uint64_t *words = direct(frame->number * PAGE_SIZE);

    for (uint64_t i = 0; i < size / sizeof(*words); i++)
        words[i] = MACHINE_POISON | frame->number;
}

void *frames_boot(size_t size, size_t align)
{
    uint64_t at = (bottom + align - 1) & ~((uint64_t)align - 1);

    if (at + size > top)
        kernel_panic("not enough memory to start with: give the machine more");
    bottom = at + size;
    memset(direct(at), 0, size);
    return direct(at);
}

void frames_init(uint64_t start, uint64_t end)
{
    uint64_t count = (end - start) / PAGE_SIZE;

    first = start & ~(PAGE_SIZE - 1);
    bottom = start;
    top = end & ~(HUGE_SIZE - 1);
    records = frames_boot((size_t)(count + 1) * sizeof(*records), KTLB_CACHE_LINE);
    states = frames_boot((size_t)count + 1, KTLB_CACHE_LINE);
    for (uint64_t i = 0; i <= count; i++)
        records[i].number = first / PAGE_SIZE + i;
}

struct machine_frame *frame_at(uint64_t address)
{
    return &records[(address - first) / PAGE_SIZE];
}

/* Take from @list, else from what was never used, which costs its poison now. */
static struct machine_frame *take(struct ktlb_node **list, uint64_t size, enum state used)
{
    struct machine_frame *frame = NULL;
    bool fresh = false;

    progress(arch_cpu());
    lock_take(&lock);
    if (*list) {
        frame = (struct machine_frame *)*list;
        *list = frame->node.next;
    } else if (((bottom + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)) + size <= top) {
        bottom = (bottom + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        frame = frame_at(size == PAGE_SIZE ? bottom : top - size);
        *(size == PAGE_SIZE ? &bottom : &top) += size == PAGE_SIZE ? size : 0 - size;
        fresh = true;
    }
    if (frame)
        states[frame - records] = (uint8_t)used;
    lock_release(&lock);
    if (fresh)
        poison(frame, size);
    if (frame)
        frame->node.next = NULL;
    return frame;
}

struct machine_frame *machine_frame_alloc(void)
{
    return take(&free_pages, PAGE_SIZE, USED);
}

struct machine_frame *machine_huge_alloc(void)
{
    return take(&free_huge, HUGE_SIZE, HUGE_USED);
}

void machine_frame_free(struct ktlb_node *list)
{
    struct ktlb_node *next;

    for (; list; list = next) {
        struct machine_frame *frame = (struct machine_frame *)list;
        uint8_t *state = &states[frame - records];
        bool huge = *state == HUGE_USED;
        struct ktlb_node **to = huge ? &free_huge : &free_pages;

        next = list->next;
        if (*state != USED && *state != HUGE_USED)
            kernel_panic("frame %lx is freed, but was not allocated (state %u)", frame->number, *state);
        poison(frame, huge ? HUGE_SIZE : PAGE_SIZE);
        lock_take(&lock);
        *state = huge ? HUGE_FREE : FREE;
        list->next = *to;
        *to = list;
        lock_release(&lock);
    }
    progress(arch_cpu());
}

struct ktlb_u64 *machine_frame_words(const struct machine_frame *frame)
{
    return direct(frame->number * PAGE_SIZE);
}
