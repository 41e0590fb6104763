/* fake_config.h - the library's options in the host tests: a broken rule comes back to the test, a stall comes soon. */
#ifndef TESTS_HOST_FAKE_CONFIG_H
#define TESTS_HOST_FAKE_CONFIG_H

void fake_panicked(const char *rule) __attribute__((noreturn));
#define KTLB_PANIC(rule) fake_panicked(rule)
#define KTLB_STALL_SPINS 64
#define KTLB_EVENTS 64

#endif
