/* mask: XOR of a payload with its masking key (RFC 6455, 5.3). Knows bytes, not Python. */
#ifndef TL_MASK_H
#define TL_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Write src XOR key to dst, which is src itself or does not overlap it. `phase` (0 to 3) is the position in the key at which src
 * starts, so that a payload may come in pieces. Return the phase at which the next piece starts. Cannot fail. */
unsigned tl_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], unsigned phase);

/* Choose a variant by name ("scalar", "sse2", "avx2", "neon"), or the widest that this CPU has if name is NULL. Return 0, or -1
 * if this CPU or this build has no such variant; nothing changes then. Other threads may mask meanwhile: all variants give the
 * same bytes. */
int tl_mask_choose(const char *name);

/* Return the name of the variant in use. */
const char *tl_mask_variant(void);

#endif
