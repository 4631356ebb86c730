/* messages: what a load sends over and over, and the check of its echoes. */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "frames.h"

/* A cycle of frames, which is all that a load sends. The frames are contiguous, and the first `run` are repeated after the last,
 * so that `run` whole frames from any of them can be written at once. */
typedef struct {
    int count, run;
    uint8_t *frames;
    size_t *starts; /* count + run + 1 of them */
    size_t size;    /* of every message, uncompressed */
    uint8_t *texts; /* the messages, size bytes each */
    int deflate;
} Cycle;

/* Plain: one binary message. Deflated: CYCLE texts like lines of a log, each compressed on its own, so that they are valid
 * whether or not the server keeps its window (RFC 7692 7.2.1). `run`: messages in flight. */
Cycle *make_cycle(size_t size, int run, int deflate);

typedef struct Check Check; /* of one connection */
Check *new_check(const Cycle *cycle);
/* Checks the header of a frame that has ended. so_far: bytes of its message in earlier frames. Returns whether the message ends. */
int check_header(const Cycle *cycle, const Follower *at, uint64_t so_far);
/* Compares a part of an echo's payload with what was sent, and exits if it differs. ended: whether it is the last part. */
void check_payload(Check *check, const uint8_t *bytes, size_t count, int ended);

#endif
