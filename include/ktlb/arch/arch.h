/*
 * arch.h - picks the architecture's layer. KTLB_ARCH_HEADER names another, for whoever ports or tests.
 */
#ifndef KTLB_ARCH_ARCH_H
#define KTLB_ARCH_ARCH_H

#if defined(KTLB_ARCH_HEADER)
#include KTLB_ARCH_HEADER
#elif defined(__x86_64__)
#include "x86_64.h"
#elif defined(__aarch64__)
#include "aarch64.h"
#elif defined(__riscv) && __riscv_xlen == 64
#include "riscv64.h"
#else
#error "ktlb has no layer for this architecture: write one (see x86_64.h) and name it in KTLB_ARCH_HEADER"
#endif

#endif
