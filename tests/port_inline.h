/*
 * port_inline.h - some of the port's functions inline (KTLB_PORT_HEADER), for the option matrix: those a host would
 * most like to have so, of a machine of one CPU. The linker finds the others.
 */
static inline unsigned ktlb_port_cpu(void)
{
    return 0;
}

static inline ktlb_irq ktlb_port_irq_save(void)
{
    return 0;
}

static inline void ktlb_port_irq_restore(ktlb_irq state)
{
    (void)state;
}
