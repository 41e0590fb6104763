/*
 * record.c - the recorder, and what source/op.c needs of a host.
 */
#include "record.h"

#include <stdio.h>

static char text[2][1 << 16];
static unsigned now;
static size_t length;

void record(const char *name, unsigned operands, uint64_t a, uint64_t b)
{
    char *end = text[now] + length;
    size_t room = sizeof(text[now]) - length;
    int written = operands == 0   ? snprintf(end, room, " %s", name)
                  : operands == 1 ? snprintf(end, room, " %s:%llx", name, (unsigned long long)a)
                                  : snprintf(end, room, " %s:%llx,%llx", name, (unsigned long long)a,
                                             (unsigned long long)b);

    length += (size_t)written;
    assert_true(length < sizeof(text[now]));
}

const char *recorded(void)
{
    const char *all = text[now];

    text[now][length] = '\0';
    now ^= 1;
    length = 0;
    text[now][0] = '\0';
    return *all ? all + 1 : all;
}

void fake_panicked(const char *rule)
{
    fail_msg("unexpected panic: %s", rule);
}
