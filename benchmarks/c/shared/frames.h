/* frames: headers, masks, and following a stream of frames without keeping it. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "peer.h"

#define FINAL_BINARY 0x82
#define FINAL_TEXT 0x81
#define COMPRESSED 0x40 /* RSV1, RFC 7692 6 */

/* Writes a header with this first byte, and its masking key unless that is NULL; gives its length, 14 at most. */
size_t write_header(uint8_t *to, uint8_t first, size_t length, const uint8_t *key);
void mask_into(uint8_t *to, const uint8_t *bytes, size_t count, const uint8_t key[4]);

typedef struct {
    uint8_t *payload;
    uint8_t first;    /* FIN, RSV and opcode */
    uint8_t *key;     /* NULL: not masked */
    uint64_t length;  /* of the payload */
} Frame;

int next_frame(Buffer *in, Frame *frame); /* takes one whole frame; 0 when there is none */

typedef struct {
    uint8_t head[10]; /* of an unmasked frame */
    unsigned have;    /* bytes of it */
    uint64_t length;  /* of the payload, once the header is whole */
    uint64_t left;    /* of it */
} Follower;

/* Follows the stream through the next of `count` bytes, to the end of a frame at most; gives how many it took.
 * payload and n: what of the payload was among them. *ended: whether a frame ended with the last of them. */
size_t follow(Follower *at, const uint8_t *bytes, size_t count, const uint8_t **payload, size_t *n, int *ended);

#endif
