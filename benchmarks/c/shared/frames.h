/* frames: headers, masking, and following a stream of frames without storing it. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "peer.h"

#define FINAL_BINARY 0x82
#define FINAL_TEXT 0x81
#define COMPRESSED 0x40 /* RSV1, RFC 7692 6 */

/* Writes a header with this first byte, and the masking key unless it is NULL. Returns its length, at most 14. */
size_t write_header(uint8_t *to, uint8_t first, size_t length, const uint8_t *key);
void mask_into(uint8_t *to, const uint8_t *bytes, size_t count, const uint8_t key[4]);

typedef struct {
    uint8_t *payload;
    uint8_t first;    /* FIN, RSV and opcode */
    uint8_t *key;     /* NULL: not masked */
    uint64_t length;  /* of the payload */
} Frame;

int next_frame(Buffer *in, Frame *frame); /* takes one whole frame; returns 0 if there is none */

typedef struct {
    uint8_t head[10]; /* the header of an unmasked frame */
    unsigned have;    /* bytes of the header so far */
    uint64_t length;  /* of the payload, once the header is complete */
    uint64_t left;    /* bytes of the payload still to come */
} Follower;

/* Follows the stream through the next of `count` bytes, at most to the end of a frame. Returns how many it took.
 * payload, n: the bytes of payload among them. *ended: whether a frame ended with the last of them. */
size_t follow(Follower *at, const uint8_t *bytes, size_t count, const uint8_t **payload, size_t *n, int *ended);

#endif
