/* utf8: incremental validation of UTF-8 (RFC 3629; RFC 6455, 8.1). Knows bytes, not Python. */
#ifndef TL_UTF8_H
#define TL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* What has been read of a character: 0 between two characters. Otherwise the number of bytes still to come in bits 0 to 7 and the
 * lowest and highest value that the next of them may have in bits 8 to 15 and 16 to 23. */
typedef uint32_t tl_utf8;

/* Checks n more bytes. Gives n if no text that continues these bytes is ruled out, else the index of the first byte that is
 * wrong; *state is then of no more use. A text is valid if all of it passed and *state is 0 at its end. */
size_t tl_utf8_feed(tl_utf8 *state, const uint8_t *bytes, size_t n);

/* How many bytes from the beginning are ASCII. */
size_t tl_ascii_span(const uint8_t *bytes, size_t n);

#endif
