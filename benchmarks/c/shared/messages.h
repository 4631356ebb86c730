/* messages: what a load sends over and over, and how it knows the echo of it. */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "frames.h"

/* A cycle of frames, all that is ever sent. Frames lie end to end and the first `run` of them once more behind the last, so
 * that from any of them `run` whole frames can be written without a seam. */
typedef struct {
    int count, run;
    uint8_t *frames;
    size_t *starts; /* count + run + 1 of them */
    size_t size;    /* of every message, uncompressed */
    uint8_t *texts; /* the messages, size bytes each */
    int deflate;
} Cycle;

/* Plain: one binary message. Deflated: CYCLE texts like lines of a log, each compressed on its own and so right whether the
 * server keeps its window or not (RFC 7692 7.2.1). `run`: messages in flight. */
Cycle *make_cycle(size_t size, int run, int deflate);

typedef struct Check Check; /* of one line */
Check *new_check(const Cycle *cycle);
/* Looks at the header of a frame that has ended; so_far: bytes of its message in frames before it. Gives whether it ends it. */
int check_header(const Cycle *cycle, const Follower *at, uint64_t so_far);
/* Compares a part of an echo's payload with what was sent; `ended`: it was the last part. Fails the process if it differs. */
void check_payload(Check *check, const uint8_t *bytes, size_t count, int ended);

#endif
