/*
 * bench.h - what the bench's workload and the emulator's plugin that counts it agree on.
 *
 * The workload loads a byte of bench_marks[]; the plugin sees the address. It is told where the array is from
 * the kernel's symbols.
 */
#ifndef BENCH_H
#define BENCH_H

enum bench_mark {
    BENCH_ROW_BEGIN, BENCH_ROW_END, /* on one CPU: what is counted on any CPU in between is a row */
    BENCH_BEGIN, BENCH_END,         /* on each initiator: the path of one shootdown */
    BENCH_MARKS
};

#endif
