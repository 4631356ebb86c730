/* header: frame headers (RFC 6455, 5.2). Knows bytes, not Python. */
#ifndef TL_HEADER_H
#define TL_HEADER_H

#include <stddef.h>
#include <stdint.h>

enum { TL_HEADER_MAX = 14 }; /* 2 bytes, 8 of extended length, 4 of masking key */
enum { TL_CONTINUATION = 0, TL_TEXT = 1, TL_BINARY = 2, TL_CLOSE = 8, TL_PING = 9, TL_PONG = 10 };
enum { TL_CONTROL_MAX = 125 }; /* payload of a control frame (5.5) */

typedef struct {
    uint64_t length; /* bytes of payload */
    uint8_t key[4];  /* masking key; set only if masked */
    uint8_t opcode, fin, rsv, masked; /* rsv: RSV1 is bit 2, RSV2 bit 1, RSV3 bit 0 */
} tl_header;

/* Why a header is refused. */
enum {
    TL_RESERVED_BITS = -1,      /* a bit that no extension was granted */
    TL_RESERVED_OPCODE = -2,    /* 3 to 7, 11 to 15 */
    TL_FRAGMENTED_CONTROL = -3, /* a control frame without FIN */
    TL_LONG_CONTROL = -4,       /* a control frame over 125 bytes */
    TL_WRONG_MASK = -5,         /* a server must get masked frames, a client unmasked ones (5.1) */
    TL_LONG_FORM = -6,          /* a length in more bytes than it needs */
    TL_HUGE_LENGTH = -7         /* the most significant bit of a 64-bit length */
};

/* Reads a header from n bytes. Gives the bytes it takes, 0 if more are needed, or one of the reasons above, at the first byte
 * that shows it; *out then holds what was read so far. `masked`: what the role expects. `rsv`: the bits granted to extensions. */
int tl_header_read(const uint8_t *bytes, size_t n, unsigned masked, unsigned rsv, tl_header *out);

/* Writes a header to out, which has room for TL_HEADER_MAX bytes, and gives the bytes written. `first` is the whole first byte;
 * key is NULL for an unmasked frame. */
size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key);

#endif
