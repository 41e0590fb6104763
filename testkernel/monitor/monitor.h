/*
 * monitor.h - what the monitor, its world switch and its guest's program know of each other.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

/* HCR_EL2: E2H and RW always; TGE for the monitor itself; for the guest, interrupts and errors to EL2. */
#define HCR_MONITOR 0x488000000
#define HCR_GUEST 0x480000038
#define HCR_VIRTUAL_IRQ 0x80

/* In struct world. */
#define WORLD_PC 248
#define WORLD_HCR 264

/* ---- the guest's addresses ---- */

#define PROGRAM_BASE 0x10000000 /* read and executed at EL0 */
#define PROGRAM_PAGES 4
#define STACKS_BASE 0x20000000  /* one page per vCPU, at its end */
#define REGION_BASE 0x40000000  /* what is mapped and unmapped: a slice per vCPU, and one for all */
#define SLICE_PAGES 512
#define SLICES 9                /* eight vCPUs' and the common one */
#define COMMON_PAGES 64         /* so few of that are in use that two often mean the same */
#define CODE_BASE 0x50000000    /* a page per vCPU, written and executed in turn */
#define BLOCK_BASE 0x60000000   /* a block per vCPU */
#define FAR_BASE 0x70000000     /* a page per vCPU, too far from all others for one range */

/* ---- system calls: X0 which, X1 address, X2 pages, X3 rights; the answer in X0 ---- */

#define CALL_EXIT 0
/* CALL_MAP: where nothing is mapped. A page's first word is its address, the second a number that rises with every page
 * mapped; X0: that of the first page, 0 if it was mapped before. */
#define CALL_MAP 1
#define CALL_UNMAP 2
#define CALL_PROTECT 3
#define CALL_BOTH 9    /* CALL_PROTECT of the page at X1 and the one at X2 */
#define CALL_READY 10  /* the page at X1 is mapped here, and about to be used */
#define CALL_TAKE 11   /* unmap it, if it is ready; X0: TAKE_… */
#define CALL_STALE 4   /* put another frame there, and tell nobody: for the test of precision */
#define CALL_ALL 5     /* ask for everything to be invalidated */
#define CALL_CODE 6    /* nothing changed, but what is executed there did */
#define CALL_WRONG 7   /* the oracle: X1 what, X2 where, X3 what was found */
#define CALL_SAW 8     /* a result for the monitor: X1 which, X2 value */

#define TAKE_LATER 0
#define TAKE_DONE 1
#define TAKE_OVER 2    /* there will be no more */

/* What the guest does: see program.c. */
#define ROLE_PRECISION 0
#define ROLE_STORM 1
#define ROLE_STARE 2      /* vCPU 1 uses a page, vCPU 0 unmaps it */
#define ROLE_TAKEN 3      /* vCPU 1 uses a page, the monitor takes it */
#define ROLE_REPLACED 4   /* vCPU 0 unmaps a page, vCPU 1 maps another there */
#define ROUNDS 20

#define RIGHT_READ 1
#define RIGHT_WRITE 2
#define RIGHT_EXECUTE 4 /* with write: one at a time, the monitor flips */

/* What CALL_WRONG says. */
#define WRONG_STALE 0    /* what was read is not this page's */
#define WRONG_THERE 1    /* what was unmapped can be read */
#define WRONG_WRITABLE 2 /* what was made read-only can be written */
#define WRONG_MISSING 3  /* what was mapped cannot be used */
#define WRONG_CODE 4     /* what was executed is not what was written */
#define WRONG_STRAY 5    /* a free frame was written to */
#define WRONG_OLD 6      /* a page has been replaced, and is still what it was */
#define WRONG_KINDS 7

/* CALL_STALE's new frame. */
#define SECOND_FRAME 8

/* CALL_SAW: which of the two frames a page showed, after */
#define SAW_CHANGE 0
#define SAW_PAGES 1
#define SAW_RANGE 2
#define SAW_ALL 3
#define SAWS 4

#endif
