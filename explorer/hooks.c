/*
 * What -fsanitize=thread makes the compilers call, answered by the explorer in place of the sanitizer's runtime.
 *
 * Outside of a fiber (setup, final judgement) the accesses are simply performed: nobody else runs. Invariant:
 * a plain access is announced before it happens, an atomic one is performed here and nowhere else.
 */
#include "internal.h"

#include <string.h>

#define HERE ((uintptr_t)__builtin_return_address(0))

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
    (void)pc; /* places are found from the accesses themselves, inlined calls included */
}

void __tsan_func_exit(void)
{
}

/* ---- plain accesses ---- */

#define PLAIN(name, size, write)                                       \
    void __tsan_##name(void *address);                                 \
    void __tsan_##name(void *address)                                  \
    {                                                                  \
        if (ex_running())                                              \
            memory_plain((uintptr_t)address, size, write, HERE);       \
    }
#define PLAIN_SIZE(size)                       \
    PLAIN(read##size, size, false)             \
    PLAIN(write##size, size, true)             \
    PLAIN(unaligned_read##size, size, false)   \
    PLAIN(unaligned_write##size, size, true)   \
    PLAIN(volatile_read##size, size, false)    \
    PLAIN(volatile_write##size, size, true)    \
    PLAIN(read_write##size, size, true)
PLAIN_SIZE(1)
PLAIN_SIZE(2)
PLAIN_SIZE(4)
PLAIN_SIZE(8)
PLAIN_SIZE(16)

void __tsan_read_range(void *address, size_t size);
void __tsan_write_range(void *address, size_t size);

void __tsan_read_range(void *address, size_t size)
{
    if (ex_running())
        memory_plain((uintptr_t)address, size, false, HERE);
}

void __tsan_write_range(void *address, size_t size)
{
    if (ex_running())
        memory_plain((uintptr_t)address, size, true, HERE);
}

void *ex_memcpy(void *to, const void *from, size_t size)
{
    return ex_memmove(to, from, size);
}

void *ex_memmove(void *to, const void *from, size_t size)
{
    if (ex_running() && size > 0) {
        memory_plain((uintptr_t)from, size, false, HERE);
        memory_plain((uintptr_t)to, size, true, HERE);
    }
    return memmove(to, from, size);
}

void *ex_memset(void *to, int byte, size_t size)
{
    if (ex_running() && size > 0)
        memory_plain((uintptr_t)to, size, true, HERE);
    return memset(to, byte, size);
}

/* ---- atomic accesses ---- */

#define UPDATE(bits, name, op, expression)                                                      \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *, uint##bits##_t, int); \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *a, uint##bits##_t v, int order) \
    {                                                                                           \
        if (ex_running())                                                                       \
            return (uint##bits##_t)memory_rmw((uintptr_t)a, bits / 8, op, v, order, HERE);      \
        uint##bits##_t old = *a;                                                                \
        *a = (uint##bits##_t)(expression);                                                      \
        return old;                                                                             \
    }

#define EXCHANGE_IF(bits, name)                                                                 \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *, uint##bits##_t *, uint##bits##_t, \
                                                      int, int);                                \
    int __tsan_atomic##bits##_compare_exchange_##name(volatile uint##bits##_t *a, uint##bits##_t *expected, \
                                                      uint##bits##_t v, int order, int failure) \
    {                                                                                           \
        uint64_t old = *expected;                                                               \
        bool success;                                                                           \
        if (ex_running()) {                                                                     \
            success = memory_compare_exchange((uintptr_t)a, bits / 8, &old, v, order, failure, HERE); \
        } else {                                                                                \
            success = *a == *expected;                                                          \
            old = *a;                                                                           \
            if (success)                                                                        \
                *a = v;                                                                         \
        }                                                                                       \
        if (!success)                                                                           \
            *expected = (uint##bits##_t)old;                                                    \
        return success;                                                                         \
    }

#define ATOMIC(bits)                                                                            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *, int);            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *a, int order)      \
    {                                                                                           \
        return ex_running() ? (uint##bits##_t)memory_load((uintptr_t)a, bits / 8, order, HERE) : *a; \
    }                                                                                           \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *, uint##bits##_t, int);           \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *a, uint##bits##_t v, int order)   \
    {                                                                                           \
        if (ex_running())                                                                       \
            memory_store((uintptr_t)a, bits / 8, v, order, HERE);                               \
        else                                                                                    \
            *a = v;                                                                             \
    }                                                                                           \
    UPDATE(bits, exchange, RMW_EXCHANGE, v)                                                     \
    UPDATE(bits, fetch_add, RMW_ADD, old + v)                                                   \
    UPDATE(bits, fetch_sub, RMW_SUB, old - v)                                                   \
    UPDATE(bits, fetch_or, RMW_OR, old | v)                                                     \
    UPDATE(bits, fetch_and, RMW_AND, old & v)                                                   \
    UPDATE(bits, fetch_xor, RMW_XOR, old ^ v)                                                   \
    UPDATE(bits, fetch_nand, RMW_NAND, ~(old & v))                                              \
    EXCHANGE_IF(bits, strong)                                                                   \
    EXCHANGE_IF(bits, weak)                                                                     \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile uint##bits##_t *, uint##bits##_t, \
                                                              uint##bits##_t, int, int);        \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(volatile uint##bits##_t *a, uint##bits##_t expected, \
                                                              uint##bits##_t v, int order, int failure) \
    {                                                                                           \
        __tsan_atomic##bits##_compare_exchange_strong(a, &expected, v, order, failure);         \
        return expected;                                                                        \
    }

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_atomic_thread_fence(int order)
{
    if (ex_running())
        memory_fence(order, HERE);
}

/* Between a CPU and its own handlers: they share a fiber here, and a fiber is in program order. */
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}
