/* header: frame headers (RFC 6455, 5.2), and the numbers of the wire, which have their one definition here. Knows bytes, not Python. */
#ifndef TL_HEADER_H
#define TL_HEADER_H

#include <stddef.h>
#include <stdint.h>

/* The first byte. RSV1 of a message's first frame says that the message is compressed (RFC 7692, 6). */
enum { TL_FIN = 0x80, TL_RSV1 = 0x40, TL_RSV = 0x70, TL_OPCODE = 0x0F };
enum { TL_RSV_SHIFT = 4 }; /* to the three reserved bits as a number: RSV1 4, RSV2 2, RSV3 1 */
enum { TL_CONTINUATION = 0, TL_TEXT = 1, TL_BINARY = 2, TL_CLOSE = 8, TL_PING = 9, TL_PONG = 10 };

/* The second byte: the length of the payload if it is at most TL_SHORT_MAX, else one of two marks. */
enum { TL_MASKED = 0x80, TL_LENGTH = 0x7F };
enum { TL_SHORT_MAX = 125, TL_LENGTH_16 = 126, TL_LENGTH_64 = 127 }; /* the marks: 2 or 8 bytes of length follow */

/* Sizes in bytes. */
enum { TL_KEY_SIZE = 4 };
enum { TL_HEADER_MAX = 14 };                /* 2 bytes, 8 of extended length, 4 of masking key */
enum { TL_CONTROL_MAX = 125 };              /* payload of a control frame (5.5) */
enum { TL_CODE_SIZE = 2 };                  /* close code, before the close reason (5.5.1) */
enum { TL_REASON_MAX = TL_CONTROL_MAX - 2 }; /* close reason */

/* The close codes that the core sets itself (7.4.1). */
enum {
    TL_NORMAL = 1000,
    TL_PROTOCOL_ERROR = 1002,
    TL_NO_STATUS = 1005, /* a close frame without a code; never sent, like the next and the last */
    TL_ABNORMAL = 1006,
    TL_INVALID_DATA = 1007,
    TL_POLICY_VIOLATION = 1008,
    TL_TOO_BIG = 1009,
    TL_TLS_FAILED = 1015
};

typedef struct {
    uint64_t length; /* bytes of payload */
    uint8_t key[TL_KEY_SIZE]; /* masking key; set only if masked */
    uint8_t opcode, fin, rsv, masked; /* rsv: the reserved bits, where they stand in the first byte; fin and masked: 0 or 1 */
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
 * that shows it; *out then holds what was read so far. `masked`: what the role expects. `rsv`: the reserved bits that extensions
 * were granted, where they stand in the first byte. */
int tl_header_read(const uint8_t *bytes, size_t n, unsigned masked, unsigned rsv, tl_header *out);

/* Writes a header to out, which has room for TL_HEADER_MAX bytes, and gives the bytes written. `first` is the whole first byte;
 * key is NULL for an unmasked frame. */
size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key);

#endif
