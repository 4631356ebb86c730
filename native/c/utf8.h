/* utf8: incremental validation of UTF-8 (RFC 3629; RFC 6455, 8.1). Knows bytes, not Python. */
#ifndef TL_UTF8_H
#define TL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Where a check stands. 0 between two characters. Inside a character: bits 0 to 7 count the bytes still to come, bits 8 to 15 and
 * 16 to 23 are the lowest and the highest value that the next byte may have. */
typedef uint32_t tl_utf8;

/* Check n more bytes. Return n if they are valid so far, else the index of the first byte that is not; *state is useless then.
 * Start with a state of 0. A text is valid if all of it passed and the state is 0 again at its end. */
size_t tl_utf8_feed(tl_utf8 *state, const uint8_t *bytes, size_t n);

/* Return how many bytes from the start are ASCII. */
size_t tl_ascii_span(const uint8_t *bytes, size_t n);

#endif
