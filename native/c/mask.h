/* mask: XOR of a payload with its masking key (RFC 6455, 5.3). Knows bytes, not Python. */
#ifndef TL_MASK_H
#define TL_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Writes src XOR key to dst; dst is src itself (in place) or does not overlap it. `phase` (0 to 3) is the position in the key
 * at which src begins, so that a payload may come in pieces. Gives the phase at which the next piece begins. */
unsigned tl_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], unsigned phase);

/* Chooses the variant by name ("scalar", "sse2", "avx2", "neon"), or the widest that this CPU has if name is NULL.
 * Gives 0, or -1 and changes nothing if this CPU or this build has no such variant. Others may mask meanwhile: each call
 * is one variant's, and all give the same bytes. */
int tl_mask_choose(const char *name);

/* The name of the variant in use. */
const char *tl_mask_variant(void);

#endif
