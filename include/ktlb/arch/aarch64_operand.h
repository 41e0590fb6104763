/*
 * aarch64_operand.h - the operands of TLBIs, as functions of nothing but their arguments: for this architecture's
 * layer, and on any machine for whoever asks another to execute them.
 *
 * Of a range: Arm Architecture Reference Manual (DDI 0487), TLBI RVAE1IS: BaseADDR [36:0], TTL [38:37], NUM [43:39],
 * SCALE [45:44], TG [47:46], ASID [63:48].
 */
#ifndef KTLB_ARCH_AARCH64_OPERAND_H
#define KTLB_ARCH_AARCH64_OPERAND_H

#include <stdint.h>

#include "../platform/compiler.h"

#define KTLB_AARCH64_ASID_SHIFT 48

/* Of a TLBI by address. Bits of @va above 55 would be the TTL hint and the ASID: they are cut off. */
KTLB_INLINE uint64_t ktlb_aarch64_operand(uint64_t va, uint64_t asid)
{
    return asid << KTLB_AARCH64_ASID_SHIFT | (va >> 12 & ((UINT64_C(1) << 44) - 1));
}

/* How many granules it names. @num: 0 to 31. @scale: 0 to 3. */
KTLB_INLINE uint64_t ktlb_aarch64_range_granules(unsigned num, unsigned scale)
{
    return (uint64_t)(num + 1) << (5 * scale + 1);
}

/* The operand for that many granules from @va on. @granule_shift: log2 of the granule in bytes, 12, 14 or 16.
 * @base_shift: log2 of the unit that @va is a multiple of: the granule's, or 16 where TCR_EL1.DS is set. */
KTLB_INLINE uint64_t ktlb_aarch64_range_operand(uint64_t va, unsigned num, unsigned scale, uint64_t asid,
                                                unsigned granule_shift, unsigned base_shift)
{
    uint64_t granule = (granule_shift - 12) / 2 + 1; /* 4 KiB: 1, 16 KiB: 2, 64 KiB: 3 */

    return asid << KTLB_AARCH64_ASID_SHIFT | granule << 46 | (uint64_t)scale << 44 | (uint64_t)num << 39 |
           (va >> base_shift & ((UINT64_C(1) << 37) - 1));
}

#endif
