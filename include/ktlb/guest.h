/*
 * guest.h - the guest accumulator: a monitor edits a guest's page tables, the guest's own EL1 shim invalidates.
 *
 * For monitors that run AArch64 guests whose tables they write themselves (a user-mode kernel: the guest is one
 * process, its system calls are the monitor's). No TLBI is the monitor's to execute; what has to be invalidated is
 * said in registers X8 to X11 when a vCPU goes back in, and a few instructions in the guest (examples/guest/shim.S)
 * do it before the program runs again. Every TLBI there reaches all CPUs (Inner Shareable), so one vCPU's flush is
 * everybody's.
 *
 * One slot per vCPU, never one per machine: a sibling would take what another has to execute. A slot holds what this
 * vCPU has changed since it last entered (its own; no lock, no atomics) and what others asked of it (posted; any
 * thread). Invariant: an edit is in the slot until an entry takes it, and what an entry takes is in the registers it
 * returns.
 *
 * The unmap path of a monitor, for a system call of vCPU `self`:
 *
 *     ktlb_vcpu_leave(self)                                  the call came in
 *     lock the tables
 *     for each entry: ktlb_vcpu_pte(self, va, old, new, 12)  kept, whichever error ends the loop
 *     for each sibling: ktlb_vcpu_share(self, sibling)       it enters clean, though self is not back yet
 *     unlock the tables
 *     registers = ktlb_vcpu_enter(self)
 *
 * Frames taken out of the tables are for reuse when ktlb_vcpu_flushed() or, of every vCPU, ktlb_vcpu_left() says so.
 *
 * The guest: 4 KiB pages, 48-bit addresses (TCR_EL1.DS 0), everything under ASID 0 or global. Its pages are counted in
 * KTLB_GUEST_PAGE_SHIFT whatever KTLB_PAGE_SHIFT the host has. The protocol in the registers is elfuse's
 * (docs/PROTOCOLS.md).
 *
 * Context: any thread, no lock needed but where said; nothing here allocates, waits or fails; misuse is KTLB_ASSERT.
 * The functions stand alone: a monitor needs op.c and guest.c, no ktlb_init() and no port.
 */
#ifndef KTLB_GUEST_H
#define KTLB_GUEST_H

#include "op.h"
#include "platform/atomic.h"

#ifdef __cplusplus
extern "C" {
#endif

/* log2 of the guest's page, in bytes. */
#define KTLB_GUEST_PAGE_SHIFT 12

/* The most pages the shim invalidates one by one (elfuse's number): beyond, a range instruction or everything. */
#define KTLB_GUEST_LOOP_MAX 16u

/* The most pages of one range instruction, where there are such: 128 MiB. Beyond, everything. */
#define KTLB_GUEST_RANGE_MAX 32768u

/* What the guest's processor has; from its ID registers. */
enum ktlb_guest_feature {
    KTLB_GUEST_RANGES = 1, /* FEAT_TLBIRANGE (ID_AA64ISAR0_EL1.TLB is 2 or more): TLBI RVAE1IS */
    KTLB_GUEST_BBML2 = 2,  /* ID_AA64MMFR2_EL1.BBM is 2: a table may replace a block that says the same */
};
#define KTLB_GUEST_FEATURES (KTLB_GUEST_RANGES | KTLB_GUEST_BBML2)

/* X8 at entry: what the shim is to do. */
enum ktlb_guest_kind {
    KTLB_GUEST_NONE = 0,       /* nothing (but see X11) */
    KTLB_GUEST_BROADCAST = 1,  /* TLBI VMALLE1IS */
    KTLB_GUEST_DROP_FRAME = 2, /* forget the saved registers: a new program. Everything, instructions too */
    KTLB_GUEST_PAGES = 3,      /* TLBI VAE1IS for X10 pages, 1 to 16, from X9 on */
    KTLB_GUEST_RANGE = 4,      /* one TLBI RVAE1IS; X9 is its operand */
};

/* What a vCPU goes in with. All four are to be written, X8 above all: until then it holds the number of a system
 * call. */
struct ktlb_guest_registers {
    uint64_t x8;  /* enum ktlb_guest_kind. What the shim does not know is a broadcast, instructions too */
    uint64_t x9;  /* by kind, else 0 */
    uint64_t x10; /* by kind, else 0 */
    uint64_t x11; /* 1: instruction caches as well, of all CPUs (IC IALLUIS); read for every kind, NONE included */
};

/* The same, in words: what ktlb_guest_decode() makes of it. */
struct ktlb_guest_work {
    enum ktlb_guest_kind kind;
    bool instructions; /* invalidate instruction caches */
    uint64_t va;       /* PAGES, RANGE: first byte; else 0 */
    uint32_t pages;    /* PAGES: 1 to 16; RANGE: up to 65536; else 0 */
};

/* A vCPU's slot. Lives where the host keeps its vCPU; the fields are the library's. */
struct ktlb_vcpu {
    /* The vCPU's thread's. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_op own;
    struct ktlb_u64 passes; /* odd: inside */
    uint32_t limit;         /* pages: a hull of more is everything */
    /* Everybody's: an op in one word, so that it is joined and taken in one step. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 posted;
};

/* ---- a vCPU's life ---- */

/*
 * An empty slot for a guest with @features (enum ktlb_guest_feature, or-ed); the vCPU is outside.
 * => Before anybody posts to it. A slot of a vCPU that ended may be used for another without this: start it.
 */
void ktlb_vcpu_init(struct ktlb_vcpu *vcpu, unsigned features);

/*
 * The vCPU goes in at a place where the guest itself invalidates everything before its first instruction at EL0 (TLBI
 * VMALLE1IS, IC IALLUIS): its boot, its reset. What the slot holds is done by that, and is cleared: edits made while
 * the guest was built cost its first system call nothing.
 * => The vCPU's thread; the vCPU is outside.
 */
void ktlb_vcpu_enter_start(struct ktlb_vcpu *vcpu);

/*
 * The vCPU goes in: what its shim finds in X8 to X11. The slot is taken: every edit added, and every post made before
 * this call is in there; a later one stays for the next entry.
 * => The vCPU's thread; the vCPU is outside. The registers are used, once: the vCPU runs next.
 */
struct ktlb_guest_registers ktlb_vcpu_enter(struct ktlb_vcpu *vcpu);

/*
 * The vCPU goes in where no saved registers are wanted, a new program having taken the place of the old (execve). The
 * slot is cleared: the shim invalidates everything, instructions too.
 * => As ktlb_vcpu_enter().
 */
struct ktlb_guest_registers ktlb_vcpu_enter_drop_frame(struct ktlb_vcpu *vcpu);

/*
 * The vCPU goes in after a fault whose shim invalidates the faulting page by itself, instructions too, where X8 is 0
 * (a W^X flip: the page was writable and becomes executable, or the reverse). The usual answer is that 0; where the
 * slot holds more than this page, it is all of it and the page. An old shim that knows only 0 here needs slots nobody
 * posts to, and one page edited per fault.
 * @va: the faulting address (FAR_EL1), of any alignment.
 * => As ktlb_vcpu_enter().
 */
struct ktlb_guest_registers ktlb_vcpu_enter_page(struct ktlb_vcpu *vcpu, uint64_t va);

/*
 * The vCPU has come out and by itself: its shim called (HVC). All it went in with is executed.
 * => The vCPU's thread; the vCPU is inside. Not for an exit that interrupted the guest: the shim may not have come to
 *    its TLBI yet. There, let it go on with the registers it had; to make a vCPU come out, interrupt the guest
 *    (virtually), whose handler calls.
 */
void ktlb_vcpu_leave(struct ktlb_vcpu *vcpu);

/* ---- edits ---- */

/*
 * The vCPU's thread changed what @op covers. Any stride from a page on; of an op with a larger stride one address per
 * stride is invalidated, which takes the whole entry. Joined to what is there: the hull, and no page outside it;
 * everything, where the hull is too large. KTLB_EXEC without a range ({.flags = KTLB_EXEC}) asks for the instruction
 * caches alone: no entry changed, what is executed did. For that, what the monitor stored is cleaned to the point of
 * unification by the monitor.
 * => The vCPU's thread, the vCPU outside. Before or after the tables change, under the lock that orders these.
 */
void ktlb_vcpu_add(struct ktlb_vcpu *vcpu, struct ktlb_op op);

/*
 * The vCPU's thread replaced one descriptor by another: add the smallest that follows. Nothing, where the old one was
 * invalid (that is never cached) or both are the same but for bits that software owns; one page of a block, which
 * takes the block; all that a table led to. Instruction caches too, where something became executable that was not,
 * or is another frame now. Rights gained are invalidated as well: on AArch64 an entry that denies stays cached, and a
 * fault costs more than the TLBI.
 * @va: the first byte the descriptor spans. @shift: log2 of how many bytes that is: 12, 21, 30, 39.
 *
 * => As ktlb_vcpu_add(). A table that is hooked in says nothing of what is below: that is added entry by entry.
 * => A block that becomes a table, or the reverse: see ktlb_guest_split(); the reverse wants break-before-make as well.
 */
void ktlb_vcpu_pte(struct ktlb_vcpu *vcpu, uint64_t va, uint64_t old_descriptor, uint64_t new_descriptor,
                   unsigned shift);

/*
 * @vcpu is to invalidate what @op covers (as in ktlb_vcpu_add()) before its program runs next time it enters.
 * For threads that are no vCPU's, and for a vCPU whose entry must not wait for another's. A vCPU inside goes on with
 * what it has.
 * => Any thread. The tables change before the call.
 */
void ktlb_vcpu_post(struct ktlb_vcpu *vcpu, struct ktlb_op op);

/*
 * Post to @sibling what @editor has added since it last entered. With this done for every vCPU on the same tables
 * before they are unlocked, whoever maps something new there and enters first does not meet what was there before.
 * => @editor's thread, @editor outside. Two different vCPUs.
 */
void ktlb_vcpu_share(const struct ktlb_vcpu *editor, struct ktlb_vcpu *sibling);

/* ---- when is it over ---- */

/*
 * Where @vcpu is: for the two below. What they say is about all that was in its slot when this was called.
 * => Any thread; for the vCPU's own edits, its own.
 */
uint64_t ktlb_vcpu_mark(const struct ktlb_vcpu *vcpu);

/* Whether this vCPU can no longer use what was in its slot at the mark: it was outside then, or has been since.
 * True of every vCPU on the tables: frames taken out of them may be reused. */
bool ktlb_vcpu_left(const struct ktlb_vcpu *vcpu, uint64_t mark);

/* Whether this vCPU has executed what was in its slot at the mark; it did so for all CPUs: true of any one vCPU whose
 * slot held an edit, the frames of that edit may be reused. Never true of a vCPU that stays outside. */
bool ktlb_vcpu_flushed(const struct ktlb_vcpu *vcpu, uint64_t mark);

/* ---- splitting a block ---- */

/*
 * What replacing a block by a table obliges to, in this order: store `first` in its place; where `between.count` is
 * not 0, invalidate `between` on every CPU (ktlb_vcpu_flushed(), or a TLBI of the monitor's own); store `then`.
 */
struct ktlb_guest_split {
    uint64_t first;
    struct ktlb_op between;
    uint64_t then;
};

/*
 * Split the block that spans 1 << @shift bytes at @va. @table: the descriptor that leads to a table filled with
 * ktlb_guest_split_entry(). The guest's translations stay as they are; changes come after, with ktlb_vcpu_pte() on
 * the new entries, and the first of those also takes the block out of the TLBs: no invalidation of its own.
 * With KTLB_GUEST_BBML2 in @features that is one store, and the processor may answer with a TLB conflict abort:
 * invalidate everything and try again. Without, break before make: meanwhile the guest's accesses there fault, which
 * the host answers by trying again once the tables are unlocked.
 * @shift: 21 or 30.
 */
struct ktlb_guest_split ktlb_guest_split(uint64_t va, unsigned shift, uint64_t table, unsigned features);

/* Entry @index, 0 to 511, of the table that says the same as the block descriptor @block of 1 << @shift bytes. */
uint64_t ktlb_guest_split_entry(uint64_t block, unsigned shift, unsigned index);

/* ---- the other side ---- */

/*
 * What the shim does when it finds @registers: for shims in C, traces and tests. Anything unknown or malformed (no
 * page, too many, an operand of another granule or with an ASID or a level in it) is KTLB_GUEST_BROADCAST with
 * instructions.
 */
struct ktlb_guest_work ktlb_guest_decode(struct ktlb_guest_registers registers);

#ifdef __cplusplus
}
#endif

#endif
