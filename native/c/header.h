/* header: frame headers (RFC 6455, 5.2) and every number of the wire; nothing else defines them. Knows bytes, not Python. */
#ifndef TL_HEADER_H
#define TL_HEADER_H

#include <stddef.h>
#include <stdint.h>

/* The first byte. RSV1 of a message's first frame says that the message is compressed (RFC 7692, 6). */
enum { TL_FIN = 0x80, TL_RSV1 = 0x40, TL_RSV = 0x70, TL_OPCODE = 0x0F };
enum { TL_RSV_SHIFT = 4 }; /* turns the reserved bits into a number: RSV1 4, RSV2 2, RSV3 1 */
enum { TL_CONTINUATION = 0, TL_TEXT = 1, TL_BINARY = 2, TL_CLOSE = 8, TL_PING = 9, TL_PONG = 10 };

/* The second byte: the mask bit, and the length of a payload up to TL_SHORT_MAX or one of two marks. */
enum { TL_MASKED = 0x80, TL_LENGTH = 0x7F };
enum { TL_SHORT_MAX = 125, TL_LENGTH_16 = 126, TL_LENGTH_64 = 127 }; /* the marks: the length follows, in 2 or 8 bytes */

/* Sizes in bytes. */
enum { TL_KEY_SIZE = 4 };
enum { TL_HEADER_MAX = 14 };                /* 2 bytes, 8 of extended length, 4 of masking key */
enum { TL_CONTROL_MAX = 125 };              /* payload of a control frame (5.5) */
enum { TL_CODE_SIZE = 2 };                  /* close code, before the close reason (5.5.1) */
enum { TL_REASON_MAX = TL_CONTROL_MAX - 2 }; /* close reason */

/* The close codes that the core sets by itself (7.4.1). */
enum {
    TL_NORMAL = 1000,
    TL_PROTOCOL_ERROR = 1002,
    TL_NO_STATUS = 1005, /* the close frame had no code. This one, 1006 and 1015 are never sent */
    TL_ABNORMAL = 1006,
    TL_INVALID_DATA = 1007,
    TL_POLICY_VIOLATION = 1008,
    TL_TOO_BIG = 1009,
    TL_TLS_FAILED = 1015
};

/* Whether a close frame may carry this code: registered with IANA, or of libraries (3000) and applications (4000) (7.4). */
static inline int tl_is_close_code(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

typedef struct {
    uint64_t length; /* bytes of payload */
    uint8_t key[TL_KEY_SIZE]; /* masking key; set only if masked */
    uint8_t opcode, fin, rsv, masked; /* rsv: as in the first byte, under TL_RSV. fin, masked: 0 or 1 */
} tl_header;

/* What is wrong with a header. */
enum {
    TL_RESERVED_BITS = -1,      /* one is set that no extension was granted */
    TL_RESERVED_OPCODE = -2,    /* 3 to 7, 11 to 15 */
    TL_FRAGMENTED_CONTROL = -3, /* a control frame without FIN */
    TL_LONG_CONTROL = -4,       /* a control frame over 125 bytes */
    TL_WRONG_MASK = -5,         /* clients mask, servers do not (5.1) */
    TL_LONG_FORM = -6,          /* the length takes more bytes than it needs */
    TL_HUGE_LENGTH = -7         /* the most significant bit of a 64-bit length is set */
};

/* Read a header from n bytes. Return its size in bytes; 0 if more bytes are needed; or one of the faults above, as soon as a byte
 * shows it: *out then holds what was read so far.
 * masked: 1 if the peer must mask, else 0. rsv: the reserved bits that extensions were granted, as in the first byte. */
int tl_header_read(const uint8_t *bytes, size_t n, unsigned masked, unsigned rsv, tl_header *out);

/* Write a header to out, which has room for TL_HEADER_MAX bytes, and return its size in bytes. Cannot fail.
 * first: the whole first byte. key: NULL for an unmasked frame. */
size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key);

#endif
