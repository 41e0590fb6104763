/*
 * program.c - what the guest runs at EL0: page-table traffic by system calls, and the oracle.
 *
 * It is mapped somewhere else than it is linked, so it has no data and calls nothing: everything is one function. A
 * page that is not there, or not for this, makes an access fail: the monitor skips the instruction and says so in X17.
 */
#include <stdbool.h>
#include <stdint.h>

#include "monitor.h"

#define INLINE static inline __attribute__((always_inline))
#define PAGE UINT64_C(4096)

void guest_program(uint64_t vcpu, uint64_t vcpus, uint64_t role, uint64_t operations, uint64_t seed);

INLINE uint64_t call(uint64_t which, uint64_t va, uint64_t pages, uint64_t rights)
{
    register uint64_t x0 __asm__("x0") = which;
    register uint64_t x1 __asm__("x1") = va;
    register uint64_t x2 __asm__("x2") = pages;
    register uint64_t x3 __asm__("x3") = rights;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

INLINE bool load(uint64_t va, uint64_t *value)
{
    uint64_t failed, got;

    __asm__ volatile("mov x17, #0\n\tldr %1, [%2]\n\tmov %0, x17"
                     : "=r"(failed), "=&r"(got) : "r"(va) : "x17", "memory");
    *value = got;
    return !failed;
}

INLINE bool store(uint64_t va, uint64_t value)
{
    uint64_t failed;

    __asm__ volatile("mov x17, #0\n\tstr %2, [%1]\n\tmov %0, x17"
                     : "=r"(failed) : "r"(va), "r"(value) : "x17", "memory");
    return !failed;
}

/* Write a function that returns @value, and call it. */
INLINE uint32_t execute(uint64_t va, uint32_t value)
{
    register uint64_t x0 __asm__("x0");

    *(volatile uint64_t *)(uintptr_t)va = UINT64_C(0xd65f03c0) << 32 | 0x52800000u | value << 5;
    __asm__ volatile("dc cvau, %1\n\tdsb ish\n\tblr %1" : "=r"(x0) : "r"(va) : "x30", "memory");
    return (uint32_t)x0;
}

INLINE uint64_t any(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (*state >> 11) % below;
}

INLINE uint64_t slice(uint64_t which)
{
    return REGION_BASE + which * SLICE_PAGES * PAGE;
}

/* Anybody's page, at any time: it is there or not, but it is nobody else's. */
INLINE void look(uint64_t *state, uint64_t vcpus)
{
    uint64_t value, which = any(state, 2) ? SLICES - 1 : any(state, vcpus);
    uint64_t va = slice(which) + any(state, which == SLICES - 1 ? COMMON_PAGES : SLICE_PAGES) * PAGE;

    if (load(va, &value) && value != va)
        call(CALL_WRONG, WRONG_STALE, va, value);
}

/* This vCPU's own pages, which nobody else changes. */
INLINE void expect(uint64_t va, uint64_t pages, uint64_t rights)
{
    uint64_t value;

    for (uint64_t at = va; at < va + pages * PAGE; at += PAGE) {
        bool there = load(at, &value);

        if (there && value != at)
            call(CALL_WRONG, WRONG_STALE, at, value);
        else if (there && !rights)
            call(CALL_WRONG, WRONG_THERE, at, value);
        else if (!there && rights)
            call(CALL_WRONG, WRONG_MISSING, at, 0);
        if (rights && store(at + 8, at) != !!(rights & RIGHT_WRITE))
            call(CALL_WRONG, rights & RIGHT_WRITE ? WRONG_MISSING : WRONG_WRITABLE, at, 0);
    }
}

/* What was mapped without anybody being told stays as it was until something takes it: not a change elsewhere. */
INLINE void precision(uint64_t vcpu)
{
    uint64_t va = slice(vcpu), other = va + 32 * PAGE, value = 0;

    call(CALL_MAP, va, 1, RIGHT_READ);
    call(CALL_MAP, other, 32, RIGHT_READ | RIGHT_WRITE);
    expect(other, 32, RIGHT_READ | RIGHT_WRITE);
    for (unsigned step = SAW_CHANGE; step < SAWS; step++) {
        load(va, &value);
        if (step == SAW_CHANGE)
            call(CALL_STALE, va, 1, RIGHT_READ);
        else if (step == SAW_ALL)
            call(CALL_ALL, 0, 0, 0);
        else if (step == SAW_PAGES)
            call(CALL_PROTECT, other, 8, RIGHT_READ);
        else
            call(CALL_PROTECT, other + 8 * PAGE, 24, RIGHT_READ);
        load(va, &value);
        call(CALL_SAW, step, value & SECOND_FRAME ? 2 : 1, 0);
    }
    call(CALL_UNMAP, va, 1, 0);
    call(CALL_UNMAP, other, 32, 0);
}

INLINE void storm(uint64_t vcpu, uint64_t vcpus, uint64_t operations, uint64_t state)
{
    uint64_t own = slice(vcpu), far = FAR_BASE + vcpu * PAGE, code = CODE_BASE + vcpu * PAGE;
    uint64_t block = BLOCK_BASE + vcpu * SLICE_PAGES * PAGE;
    uint64_t common = slice(SLICES - 1);

    call(CALL_MAP, own, SLICE_PAGES, RIGHT_READ | RIGHT_WRITE);
    call(CALL_MAP, far, 1, RIGHT_READ | RIGHT_WRITE);
    call(CALL_MAP, code, 1, RIGHT_WRITE | RIGHT_EXECUTE);
    for (uint64_t i = 0; i < operations;) {
        uint64_t what = any(&state, 100), pages = 1 + any(&state, 16), at;

        if (what >= 97)
            pages = 17 + any(&state, 184);
        at = own + any(&state, SLICE_PAGES - pages) * PAGE;
        if (what < 30) { /* mprotect, there and back */
            call(CALL_PROTECT, at, pages, RIGHT_READ);
            expect(at, pages, RIGHT_READ);
            call(CALL_PROTECT, at, pages, RIGHT_READ | RIGHT_WRITE);
            expect(at, pages, RIGHT_READ | RIGHT_WRITE);
            i += 2;
        } else if (what < 45) { /* that changes nothing */
            call(CALL_PROTECT, at, pages, RIGHT_READ | RIGHT_WRITE);
            i++;
        } else if (what < 65 || what >= 97) { /* munmap, mmap */
            call(CALL_UNMAP, at, pages, 0);
            expect(at, pages, 0);
            call(CALL_MAP, at, pages, RIGHT_READ | RIGHT_WRITE);
            expect(at, pages, RIGHT_READ | RIGHT_WRITE);
            i += 2;
        } else if (what < 80) { /* a compiler at run time */
            uint32_t value = (uint32_t)any(&state, 65536);

            if (execute(code, value) != value)
                call(CALL_WRONG, WRONG_CODE, code, value);
            i += 2;
        } else if (what < 92) { /* everybody's */
            uint64_t number, value;

            at = common + any(&state, COMMON_PAGES - pages) * PAGE;
            call(CALL_UNMAP, at, pages, 0);
            at += any(&state, pages) * PAGE;
            number = call(CALL_MAP, at, 1, RIGHT_READ);
            if (load(at + 8, &value) && value < number)
                call(CALL_WRONG, WRONG_OLD, at, value);
            call(CALL_MAP, common + any(&state, COMMON_PAGES - pages) * PAGE, pages, RIGHT_READ);
            i += 3;
        } else if (what < 94) { /* two ends of the address space in one call, and back */
            call(CALL_BOTH, far, own, RIGHT_READ);
            expect(far, 1, RIGHT_READ);
            expect(own, 1, RIGHT_READ);
            call(CALL_BOTH, far, own, RIGHT_READ | RIGHT_WRITE);
            expect(far, 1, RIGHT_READ | RIGHT_WRITE);
            expect(own, 1, RIGHT_READ | RIGHT_WRITE);
            i += 2;
        } else if (what < 96) { /* a block, whole; then one page of it */
            call(CALL_PROTECT, block, SLICE_PAGES, RIGHT_READ);
            expect(block + any(&state, SLICE_PAGES) * PAGE, 1, RIGHT_READ);
            call(CALL_PROTECT, block, SLICE_PAGES, RIGHT_READ | RIGHT_WRITE);
            at = block + any(&state, SLICE_PAGES) * PAGE;
            call(CALL_PROTECT, at, 1, RIGHT_READ);
            expect(at, 1, RIGHT_READ);
            call(CALL_PROTECT, block, SLICE_PAGES, RIGHT_READ | RIGHT_WRITE);
            expect(at, 1, RIGHT_READ | RIGHT_WRITE);
            i += 4;
        } else {
            call(CALL_CODE, 0, 0, 0);
            i++;
        }
        for (unsigned looks = 0; looks < 4; looks++)
            look(&state, vcpus);
    }
}

/* Two vCPUs, one page, and a monitor that is slow (preempted) just where that hurts. */
INLINE void scene(uint64_t vcpu, uint64_t role)
{
    uint64_t va = slice(SLICES - 1), value, number;

    if (vcpu == 0) {
        while (role != ROLE_TAKEN && call(CALL_TAKE, va, 1, 0) != TAKE_OVER) /* ended by the other one's end */
            ;
        return;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        call(CALL_MAP, va, 1, RIGHT_READ);
        load(va, &value);
        call(CALL_READY, va, 1, 0);
        if (role == ROLE_REPLACED) {
            while (!(number = call(CALL_MAP, va, 1, RIGHT_READ))) /* ended by vCPU 0 */
                load(va, &value);
            if (load(va + 8, &value) && value < number)
                call(CALL_WRONG, WRONG_OLD, va, value);
            call(CALL_UNMAP, va, 1, 0);
        } else {
            while (load(va, &value) && value == va) /* ended by whoever takes it away */
                ;
            if (load(va, &value) && value != va)
                call(CALL_WRONG, WRONG_STALE, va, value);
        }
    }
}

void __attribute__((section(".text.guest_program")))
guest_program(uint64_t vcpu, uint64_t vcpus, uint64_t role, uint64_t operations, uint64_t seed)
{
    if (role == ROLE_PRECISION)
        precision(vcpu);
    else if (role == ROLE_STORM)
        storm(vcpu, vcpus, operations, seed);
    else
        scene(vcpu, role);
    for (;;)
        call(CALL_EXIT, 0, 0, 0);
}
