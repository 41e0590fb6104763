/*
 * port.h - everything the library asks of its host: five functions, defined by the host, found by the linker.
 *
 * None of them may sleep, take a lock that is held around a call into the library, or call back into it.
 *
 * A host whose compiler should see into them names a header in KTLB_PORT_HEADER. It defines as static inline whichever
 * of the five it likes; the linker finds the others. It may use what is in cpuset.h, and ktlb_irq. Which CPU this is
 * and whether it is masked are one to four instructions on most machines, fewer than a call and what surrounds it, and
 * each shootdown asks a dozen times.
 */
#ifndef KTLB_PORT_H
#define KTLB_PORT_H

#include "cpuset.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ktlb_batch;

/* What ktlb_port_irq_save returned, for ktlb_port_irq_restore; the library does not look inside. */
typedef unsigned long ktlb_irq;

/* First: what it has defined stays static where it is declared again, and that is C's linkage to a C++ compiler too. */
#ifdef KTLB_PORT_HEADER
#include KTLB_PORT_HEADER
#endif

/*
 * The number of the CPU this runs on, from 0 to below ktlb_config.cpus, each number one CPU for good.
 * => Called from any context the library is called from.
 * => The caller of the library keeps the thread on its CPU; the number does not change underneath.
 */
unsigned ktlb_port_cpu(void);

/*
 * Interrupt every CPU in *@targets, once, so that each calls ktlb_ipi() soon after it next has interrupts enabled.
 * *@targets is not empty and never holds the calling CPU.
 * => Interrupts masked.
 * => An NMI will do, for all targets or some, always or when an interrupt was not answered (ktlb_port_stall): then
 *    ktlb_port_cpu(), ktlb_port_irq_save() and ktlb_port_irq_restore() are called from NMI too.
 * => A target may be about to go offline, or just have: that is no error and nothing to wait for.
 * => The handler clears or acknowledges an interrupt that is a level or a flag (RISC-V's SSIP) before it calls
 *    ktlb_ipi(): cleared after, it would take a new one with it.
 * => A store made before the call must be visible to the targets before the interrupt arrives. Interrupt
 *    controllers differ in what they order; for x86 see ktlb_apic_send() in arch/x86_64_apic.h, which is also the fewest writes.
 * => Several interrupts to one target may merge into one. One that is lost is repaired only at the next stall.
 */
void ktlb_port_ipi(const struct ktlb_cpuset *targets);

/* Mask interrupts on this CPU and say how they were; put them back. These nest. */
ktlb_irq ktlb_port_irq_save(void);
void ktlb_port_irq_restore(ktlb_irq state);

/*
 * A batch has waited KTLB_STALL_SPINS turns, again. ktlb_batch_waiting() names the CPUs that have not answered, and
 * ktlb_batch_wait_read() says who asked them, since when that is waited for, and how often this was called.
 * Report it; it is not an error return, and nothing the host does here ends the wait: the targets are interrupted
 * again and the waiting goes on.
 * => The context of ktlb_batch_sync(): interrupts as the caller of sync has them.
 */
void ktlb_port_stall(const struct ktlb_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
