/*
 * ktlb.h - the library's public face.
 *
 * A kernel that removes or weakens a translation tells ktlb what, hands over the pages that become free, and gets
 * them back when no CPU can reach them any more. Four calls on the unmap path:
 *
 *     ktlb_batch_init    on the way in
 *     ktlb_batch_defer   for every page that comes out of the page table
 *     ktlb_batch_add     for what to invalidate
 *     ktlb_batch_dispatch and ktlb_batch_sync, which returns the pages
 *
 * two around every load of the root register, two around idling in somebody else's space, two when a CPU comes and
 * goes, one in the interrupt handler, and one wherever a CPU spins with interrupts masked.
 *
 * Context, unless said otherwise: any, interrupts on or off, with the thread kept on its CPU; not from NMI.
 * Nothing here allocates, sleeps, takes a lock or fails; misuse is caught by KTLB_ASSERTIONS. The promises behind
 * these functions, P1 to P8, are in docs/DESIGN.md.
 */
#ifndef KTLB_H
#define KTLB_H

#include <stddef.h>

#include "cpuset.h"
#include "event.h"
#include "op.h"
#include "port.h"
#include "stats.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What one dispatch invalidated, for a CPU that was not there. */
struct ktlb_recent {
    struct ktlb_u64 generation; /* which dispatch; all ones while the rest is being written */
    struct ktlb_u64 va;
    struct ktlb_u64 extent; /* count, shift and flags of the op */
};

/*
 * An address space as the TLB sees it. Lives in the host's own structure for one; the fields are the library's.
 */
struct ktlb_space {
    /* Raised by every dispatch. A CPU that remembers a smaller number has missed something. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_u64 generation;
    /* Never given twice, so that what a CPU remembers of a dead space cannot be taken for this one. */
    uint64_t id;
    /* Under which its entries are known on every CPU, and since which round: by the protocol hardware only. */
    struct ktlb_u64 tag;
    /* Who may be using it; who has its root loaded but promises not to use it. */
    struct ktlb_cpuset_shared active;
    struct ktlb_cpuset_shared lazy;
#if KTLB_SPACE_RING
    /* The last dispatches, each at its generation modulo the ring, but those that nobody can have missed. */
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_recent recent[KTLB_SPACE_RING];
#endif
};

/* A page owed to the host. Embed it in the host's record of a page, never in the page itself: until the sync
 * returns, a stale translation may still write there. */
struct ktlb_node {
    struct ktlb_node *next;
};

/* What the targets of a batch read. Two cache lines; constant from dispatch to the last acknowledgement. */
struct ktlb_request {
    KTLB_ALIGNED(KTLB_CACHE_LINE) struct ktlb_space *space;
    uint64_t space_id;
    uint64_t generation; /* of the space, as raised by this dispatch */
    uint32_t count;      /* ops in use; 0: nothing to invalidate */
    uint32_t flags;      /* enum ktlb_op_flag, of all ops together */
    struct ktlb_op op[KTLB_BATCH_OPS];
};

enum ktlb_batch_state { KTLB_BATCH_OPEN = 0x6f70656e, KTLB_BATCH_SENT = 0x73656e74, KTLB_BATCH_DONE = 0x646f6e65 };

/* What became of ops that a batch had no room for. */
enum ktlb_batch_joined { KTLB_BATCH_APART, KTLB_BATCH_SQUEEZED, KTLB_BATCH_TOO_FAR };

/* One initiator's pending ops and the pages owed back. Fields are the library's. */
struct ktlb_batch {
    struct ktlb_request request;
    struct ktlb_cpuset waiting; /* targets not yet seen to have answered */
    struct ktlb_node *pages;
    struct ktlb_node **pages_end;
    uint32_t state; /* enum ktlb_batch_state, with KTLB_ASSERTIONS */
    bool posted;    /* to the protocol, which is owed a word when all have answered */
    uint8_t joined; /* enum ktlb_batch_joined, for the counters */
    /* For reports: who dispatched it; since when sync waits, and how often it has said so. */
    uint32_t initiator;
    uint32_t reports;
    uint64_t waits_since;
    /* The protocol's own: what the batch holds of it, and what each target's answer is recognised by. */
    uint32_t line;
    union {
        uint32_t ticket[KTLB_CPUS_MAX];
        uint64_t number; /* one for all */
    };
};

enum ktlb_status {
    KTLB_OK = 0,
    KTLB_BAD_CPUS,      /* cpus is 0 or more than KTLB_CPUS_MAX */
    KTLB_BAD_ASIDS,     /* asids is 1 or more than KTLB_ASIDS_MAX, or the machine cannot tag entries */
    KTLB_BAD_MEMORY,    /* memory is NULL or not aligned to KTLB_CACHE_LINE */
    KTLB_SMALL_MEMORY,  /* memory_size is less than ktlb_memory_size() of this configuration */
    KTLB_BAD_PROTOCOL,  /* no protocol of that name */
    KTLB_NO_BROADCAST,  /* the protocol is hardware, and the machine does not broadcast */
};

struct ktlb_config {
    unsigned cpus;        /* CPU numbers run from 0 to cpus - 1 */
    unsigned asids;       /* tagged spaces a CPU keeps, 2 to KTLB_ASIDS_MAX; 0: entries carry no tag (no PCID). By
                           * hardware: tags of the machine, more than 2 * cpus, to 65535, as many as an ASID has values */
    const char *protocol; /* "doorbell", "mailbox", "scoreboard", "broadcast", "hardware"; NULL: the first */
    void *memory;         /* aligned to KTLB_CACHE_LINE, the library's until it is set up again, given to no one else */
    size_t memory_size;   /* bytes */
    bool everyone;        /* for comparisons only: every online CPU is a target of every batch, as in kernels that do not
                           * know who holds what. Breaks P6 on purpose, and nothing else */
};

/* How to load a root register. */
struct ktlb_load {
    uint16_t asid; /* the tag to load it with; 0 where there are no tags and for the kernel's own root */
    bool flush;    /* drop what this CPU holds under that tag; false: keep it, it is clean, or will be when
                    * ktlb_switch_end() has dropped the few ranges that this CPU missed */
};

/* ---- set-up ---- */

/* Bytes of memory ktlb_init() wants for *@config; its memory fields are not read. 0 if cpus is out of range. */
size_t ktlb_memory_size(const struct ktlb_config *config);

/*
 * Set the library up. Anything but KTLB_OK has changed nothing and can be tried again.
 * => On one CPU, before any other call and before the others start. No CPU is online yet, this one neither.
 * => Or later once more, differently: when every CPU has gone offline, no other one calls the library meanwhile, and no
 *    batch is unsynced. Spaces stay as they are; counters and what CPUs remember begin anew, the memory may be the same.
 */
enum ktlb_status ktlb_init(const struct ktlb_config *config);

/* The name of protocol @index, for ktlb_config.protocol. 0 is the default; NULL: there are not so many. */
const char *ktlb_protocol_name(unsigned index);

/* What a status means and what to do about it, in one sentence. */
const char *ktlb_status_text(enum ktlb_status status);

/* ---- spaces ---- */

/* The kernel's own half, shared by all spaces: every online CPU is active in it, and never leaves by switching.
 * Translations in it are global (KTLB_GLOBAL) or, where tags are in use, at least known by every tag. */
extern struct ktlb_space ktlb_kernel;

/* => Before any CPU loads its root. */
void ktlb_space_init(struct ktlb_space *space);
/* => No CPU has it loaded, lazily neither, and no batch on it is unsynced. */
void ktlb_space_fini(struct ktlb_space *space);

/* ---- batches ---- */

/* Begin an empty batch on @space. It may live on the stack; it must stay where it is until synced. */
void ktlb_batch_init(struct ktlb_batch *batch, struct ktlb_space *space);

/* Add what to invalidate. May be called before or after the page table is changed, but before the dispatch. */
void ktlb_batch_add(struct ktlb_batch *batch, struct ktlb_op op);

/*
 * Add what replacing one page-table entry by another obliges to: nothing, where hardware cannot have cached the old
 * entry, or where the new one allows all that the old one did (a fault that finds the right granted already is the
 * host's to shrug off; on aarch64 and riscv64 only when it has said so, see fault_drops in struct ktlb_arch); else what
 * the entry spans, with the flags that follow from the two. When in doubt, more.
 * @va: the first byte the entry spans. @shift: log2 of how many bytes it spans, table or not (with pages of 4 KiB: 12, 21,
 * 30, 39, 48).
 *
 * => @old_pte is what the atomic exchange that stored @new_pte returned. Hardware sets the accessed and dirty bits of
 *    an entry on its own: read earlier, they may be clear in @old_pte although it has been cached meanwhile.
 * => Whoever cleared the accessed bit since the entry was made has told a batch (with this function), and synced it before
 *    the exchange. A host that clears accessed bits and lets it go at that sets the bit in @old_pte here.
 * => Likewise, whoever removed or weakened the entry before: of that, this batch knows nothing and waits for no one.
 * => On aarch64 not every entry may take the place of every other, and this comes too late to say so. Before the
 *    exchange ask ktlb_arch_pte_needs_break() (ktlb/arch/arch.h); if true, exchange for an entry that is not valid,
 *    sync the batch that was told of that, and only then store @new_pte. The other architectures answer false.
 * Where an entry that leads to a table goes or weakens, all below it is invalidated. A host that has added every entry
 * below, and whose other entries there are not present, can do with less: ktlb_batch_add() with one page and KTLB_TABLES.
 */
void ktlb_batch_pte(struct ktlb_batch *batch, uint64_t va, uint64_t old_pte, uint64_t new_pte, unsigned shift);

/* Owe a page: ktlb_batch_sync() gives it back, in the order of these calls. */
void ktlb_batch_defer(struct ktlb_batch *batch, struct ktlb_node *page);

/*
 * Tell who may care, then invalidate here. Every page-table change the batch speaks of is made before this.
 * => May be called with the page-table lock held: it waits for no one.
 */
void ktlb_batch_dispatch(struct ktlb_batch *batch);

/* Whether every target has answered. Never waits, and so never reports a stall: that is sync's. After true,
 * ktlb_batch_sync() will not wait either.
 * => After ktlb_batch_dispatch(), on any CPU, one at a time. */
bool ktlb_batch_done(struct ktlb_batch *batch);

/*
 * Wait until no CPU can use what the batch removed; serve the requests of others meanwhile; return the pages owed
 * (NULL if none), which are now the caller's. The batch is finished.
 * => After ktlb_batch_dispatch(), on the same CPU or another, with no lock held that a target may spin on with
 *    interrupts masked and without ktlb_poll().
 * => Before 2^29 more requests to one of its targets (ten minutes, at a million a second): answers are compared in 32
 *    bits or less, and one that is older may look as if it were still to come.
 */
struct ktlb_node *ktlb_batch_sync(struct ktlb_batch *batch);

/* Who waits, since when, and for what; for whom, says ktlb_batch_waiting(). */
struct ktlb_wait {
    unsigned initiator;  /* the CPU that dispatched the batch; the one that waits is the caller of sync */
    uint32_t reports;    /* calls of ktlb_port_stall() for it, the present one included */
    uint64_t space_id;   /* which space: a number never given twice; 1: ktlb_kernel */
    uint64_t generation; /* which dispatch on that space */
    uint64_t cycles;     /* of the arch's counter, since ktlb_batch_sync() began to wait; 0: it does not */
};

/*
 * For a stall report: the targets that had not answered when last looked at / the rest of it.
 * => In ktlb_port_stall(), or wherever else the batch does not end meanwhile: from ktlb_batch_dispatch() on, on any CPU,
 *    but that what another CPU is changing may be a moment old.
 */
const struct ktlb_cpuset *ktlb_batch_waiting(const struct ktlb_batch *batch);
void ktlb_batch_wait_read(const struct ktlb_batch *batch, struct ktlb_wait *wait);

/* Init, add, dispatch and sync, for who owes no page. */
void ktlb_flush(struct ktlb_space *space, struct ktlb_op op);

/* ---- the CPU ---- */

/*
 * This CPU starts: from here on it is a target of batches on ktlb_kernel. All it held before is dropped.
 * => On that CPU, interrupts masked, on a root that maps the kernel only, before it touches any kernel mapping that
 *    is ever removed, and after its interrupt controller can receive.
 */
void ktlb_cpu_online(void);

/*
 * This CPU stops: no batch waits for it any more once this returns.
 * => On that CPU, interrupts masked, ktlb_kernel loaded (ktlb_switch_begin). Until it is online again it touches
 *    only kernel mappings that are never removed, and its root, which a walker reads on its own, leads only to page-table
 *    pages that are never freed.
 */
void ktlb_cpu_offline(void);

/*
 * About to load the root of @next (&ktlb_kernel: a root that maps the kernel only) / have loaded it.
 * Between the two the host loads the root register as ktlb_switch_begin() says, and touches no user address.
 * While in between, this CPU answers for both spaces.
 * => On the CPU that switches, not preemptible from the one to the other; interrupts may be on in between.
 */
struct ktlb_load ktlb_switch_begin(struct ktlb_space *next);
void ktlb_switch_end(void);

/*
 * A thread that needs no user space runs on in the loaded one / is done and its owner runs again.
 * In between no user address may be touched, and only a batch that frees page-table pages interrupts this CPU.
 * A switch to another space while lazy needs no ktlb_lazy_leave(): the switch ends it.
 */
void ktlb_lazy_enter(void);
void ktlb_lazy_leave(void);

/*
 * The handler of the interrupt that ktlb_port_ipi() sends. Harmless when it was another one.
 * => Interrupts masked, as they are in a handler, for it does not mask them itself; or NMI: then CPUs that have
 *    interrupts masked are served as well. An NMI that meets the library in the middle of a change of this CPU's state
 *    leaves its work to the end of that, some instructions away. NMIs do not nest, and call nothing else of the library.
 */
void ktlb_ipi(void);

/* Serve what others asked of this CPU; true if there was anything. Call it in every loop that waits with interrupts
 * masked. Cheap when there is nothing: one load of a line that is this CPU's own. */
bool ktlb_poll(void);

/* Copy the counters of @cpu / add up those of all CPUs; of wait_cycles_max, which is no sum, the greatest. Any
 * context. */
void ktlb_stats_read(unsigned cpu, struct ktlb_stats *stats);
void ktlb_stats_sum(struct ktlb_stats *sum);

#ifdef __cplusplus
}
#endif

#endif
