/* fake_atomic.h - the library's atomics, for a test that counts compare-and-swaps, or comes between two of them. */
#ifndef TESTS_HOST_FAKE_ATOMIC_H
#define TESTS_HOST_FAKE_ATOMIC_H

#include "ktlb/platform/atomic.h"

void fake_before_cas(void);
#define ktlb_rmw_cas_acquire(word, expected, value)                                                \
    (fake_before_cas(), ktlb_rmw_cas_acquire(word, expected, value))

#endif
