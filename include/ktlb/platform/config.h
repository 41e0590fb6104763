/*
 * config.h - every option of the library: a macro with a default, a range and a reason.
 *
 * A host sets them on the compiler's command line, or all at once in a header of its own named by
 * KTLB_CONFIG_HEADER. The library and everything that includes its headers must see the same values:
 * they size public structures.
 */
#ifndef KTLB_PLATFORM_CONFIG_H
#define KTLB_PLATFORM_CONFIG_H

#ifdef KTLB_CONFIG_HEADER
#include KTLB_CONFIG_HEADER
#endif

/* The most CPUs a machine may have. Sizes every CPU set (one bit each) and every batch (four bytes each),
 * and batches live on kernel stacks: take the smallest that holds your machines. */
#ifndef KTLB_CPUS_MAX
#define KTLB_CPUS_MAX 64
#endif

/* The line that CPUs pass between their caches, in bytes. Words of different writers never share one.
 * 64 on every x86_64 and most others; 128 where lines are fetched in pairs and that shows. */
#ifndef KTLB_CACHE_LINE
#define KTLB_CACHE_LINE 64
#endif

/* The smallest page, as a shift. */
#ifndef KTLB_PAGE_SHIFT
#define KTLB_PAGE_SHIFT 12
#endif

/* How many disjoint ops a batch keeps before it joins neighbours. NetBSD found that six pages cover about
 * 95 % of shootdowns; six ops and their head also fill two 64-byte lines exactly. */
#ifndef KTLB_BATCH_OPS
#define KTLB_BATCH_OPS 6
#endif

/* Above this many single invalidations a request flushes its space instead. Kernels use between 32 and 64
 * on machines like ours (Linux x86 33, Asterinas 32, strat9 64), refill cost being what they trade. The doorbell tells
 * ranges of up to 62; longer ones, where this lets them through, are the space to its targets. So are few ranges
 * that find no room there and are more than a third of this. */
#ifndef KTLB_FLUSH_MAX
#define KTLB_FLUSH_MAX 32
#endif

/* The most ASID slots (PCIDs on x86) a CPU hands out. Linux uses six; a scan of eight is one line and a half. */
#ifndef KTLB_ASIDS_MAX
#define KTLB_ASIDS_MAX 8
#endif

/* How many requests a target's mailbox holds before further ones widen to the space. Eight pointers are a line.
 * A power of two. */
#ifndef KTLB_MAILBOX_SLOTS
#define KTLB_MAILBOX_SLOTS 8
#endif

/* How many requests one CPU has under way on the scoreboard, each to any number of targets, before further ones widen
 * to the space. guess: a thread, an interrupt above it, and one that is late. */
#ifndef KTLB_SCOREBOARD_LINES
#define KTLB_SCOREBOARD_LINES 3
#endif

/* 1: on the scoreboard a target answers before it executes, where that is safe: not where page-table pages die, and not
 * for the kernel's half. What the initiator waits for gets shorter by the invalidation. Then no handler that may come
 * in the middle of ktlb_ipi() or ktlb_poll(), an NMI for one, may touch user addresses. */
#ifndef KTLB_SCOREBOARD_EARLY
#define KTLB_SCOREBOARD_EARLY 0
#endif

/* How many requests the whole machine has under way at the doorbells, each to any number of targets, beside the two
 * short ones that each target's door has room for; and how many places a CPU looks at for a free one before it
 * widens to the space. The first: as many as a word of 32 bits has left, six of which speak of no line. guess: the
 * second, for a failed look is a cache line of somebody else's. */
#ifndef KTLB_DOORBELL_LINES
#define KTLB_DOORBELL_LINES 26
#endif
#ifndef KTLB_DOORBELL_TRIES
#define KTLB_DOORBELL_TRIES 4
#endif

/* KTLB_PROTOCOL: undefined, and ktlb_config.protocol chooses at run time; or the name of one protocol, without quotes,
 * which is then called directly, and the only one there is. */
#ifdef KTLB_PROTOCOL
#define KTLB_PROTOCOL_IS_broadcast 1
#define KTLB_PROTOCOL_IS_doorbell 1
#define KTLB_PROTOCOL_IS_hardware 1
#define KTLB_PROTOCOL_IS_mailbox 1
#define KTLB_PROTOCOL_IS_scoreboard 1
#define KTLB_PROTOCOL_IS_ANY(name) KTLB_PROTOCOL_IS(name)
#define KTLB_PROTOCOL_IS(name) KTLB_PROTOCOL_IS_##name
#if !KTLB_PROTOCOL_IS_ANY(KTLB_PROTOCOL)
#error "KTLB_PROTOCOL: broadcast, doorbell, hardware, mailbox, scoreboard"
#endif
#endif

/* How many recent dispatches a space remembers, so that a CPU that missed a few of them drops their ranges instead of
 * the space; none of those that nobody can have missed. 24 bytes each: sixteen are six lines. More than KTLB_FLUSH_MAX
 * buys nothing, nor do more than the 64 that a CPU tells apart. A power of two; 0: none, and a CPU that is behind
 * always drops the space. */
#ifndef KTLB_SPACE_RING
#define KTLB_SPACE_RING 16
#endif

/* How many turns of the waiting loop pass before the port hears of a stall, and between one report and
 * the next. guess: a turn is some tens of cycles, so this is in the order of a second. */
#ifndef KTLB_STALL_SPINS
#define KTLB_STALL_SPINS (1u << 24)
#endif

/* Misuse ends here. 1: checked, and KTLB_PANIC names the rule. 0: not checked. */
#ifndef KTLB_ASSERTIONS
#define KTLB_ASSERTIONS 1
#endif

/* 1: count what happens, per CPU (see stats.h). 0: the counters stay zero and cost nothing. */
#ifndef KTLB_STATS
#define KTLB_STATS 1
#endif

/* How many events each CPU's ring of recent ones holds (see event.h): 48 bytes each, of ktlb_config.memory, and some
 * twenty instructions when one is recorded. A power of two; 0: none, and no code. 256 hold some thirty shootdowns. */
#ifndef KTLB_EVENTS
#define KTLB_EVENTS 0
#endif

/* What a broken rule does. It must not return. @rule is a string that names the rule. */
#ifndef KTLB_PANIC
#define KTLB_PANIC(rule) ((void)(rule), __builtin_trap())
#endif

#if KTLB_CPUS_MAX < 1 || KTLB_CPUS_MAX > 4096
#error "KTLB_CPUS_MAX: 1 to 4096"
#endif
#if KTLB_CACHE_LINE < 32 || KTLB_CACHE_LINE > 1024 || (KTLB_CACHE_LINE & (KTLB_CACHE_LINE - 1))
#error "KTLB_CACHE_LINE: a power of two, 32 to 1024"
#endif
#if KTLB_PAGE_SHIFT < 12 || KTLB_PAGE_SHIFT > 16
#error "KTLB_PAGE_SHIFT: 12 to 16"
#endif
#if KTLB_BATCH_OPS < 1 || KTLB_BATCH_OPS > 32
#error "KTLB_BATCH_OPS: 1 to 32"
#endif
#if KTLB_FLUSH_MAX < 1 || KTLB_FLUSH_MAX > 4096
#error "KTLB_FLUSH_MAX: 1 to 4096"
#endif
#if KTLB_ASIDS_MAX < 2 || KTLB_ASIDS_MAX > 64
#error "KTLB_ASIDS_MAX: 2 to 64; the old and the new space of a switch need one each"
#endif
#if KTLB_MAILBOX_SLOTS < 1 || KTLB_MAILBOX_SLOTS > 64 || (KTLB_MAILBOX_SLOTS & (KTLB_MAILBOX_SLOTS - 1))
#error "KTLB_MAILBOX_SLOTS: a power of two, 1 to 64"
#endif
#if KTLB_SCOREBOARD_LINES < 1 || KTLB_SCOREBOARD_LINES > 64
#error "KTLB_SCOREBOARD_LINES: 1 to 64"
#endif
#if KTLB_SCOREBOARD_EARLY != 0 && KTLB_SCOREBOARD_EARLY != 1
#error "KTLB_SCOREBOARD_EARLY: 0 or 1"
#endif
#if KTLB_DOORBELL_LINES < 1 || KTLB_DOORBELL_LINES > 26
#error "KTLB_DOORBELL_LINES: 1 to 26"
#endif
#if KTLB_DOORBELL_TRIES < 1 || KTLB_DOORBELL_TRIES > 30
#error "KTLB_DOORBELL_TRIES: 1 to 30"
#endif

#if KTLB_SPACE_RING < 0 || KTLB_SPACE_RING > 64 || (KTLB_SPACE_RING & (KTLB_SPACE_RING - 1))
#error "KTLB_SPACE_RING: 0 or a power of two to 64"
#endif
#if KTLB_EVENTS < 0 || KTLB_EVENTS > 65536 || (KTLB_EVENTS & (KTLB_EVENTS - 1))
#error "KTLB_EVENTS: 0 or a power of two to 65536"
#endif
#if KTLB_EVENTS && defined(KTLB_EVENT_HOOK)
#error "KTLB_EVENTS: 0 where KTLB_EVENT_HOOK takes the events elsewhere"
#endif
#if KTLB_STALL_SPINS < 16 || KTLB_STALL_SPINS > 0xffffffff
#error "KTLB_STALL_SPINS: 16 to 2^32 - 1"
#endif

#endif
