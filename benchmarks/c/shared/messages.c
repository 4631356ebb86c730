/* Makes the messages that a load sends, and checks what comes back. */
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define CYCLE 64   /* different messages, if compressed */
#define WINDOW 12  /* bits; a server may ask for as few as 8, but no measured one asks for less than 12 */
#define NO_HEADER(bits) (-(bits))

struct Check {
    const Cycle *cycle;
    size_t at;       /* position in the message */
    int message;     /* index in the cycle */
    z_stream stream; /* of the server's messages */
    uint8_t *text;
};

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Makes an ASCII text with the repetition and the noise of a service's records. */
static void write_text(uint8_t *to, size_t size, uint32_t *state) {
    static const char *const kinds[] = {"trade", "quote", "cancel", "replace"};
    char record[160];
    size_t have = 0;
    while (have < size) {
        uint32_t a = next_random(state) >> 8, b = next_random(state) >> 8, c = next_random(state) >> 8;
        int n = snprintf(record, sizeof record, "{\"kind\":\"%s\",\"id\":%u,\"price\":%u.%02u,\"amount\":%u,\"venue\":\"v%u\"},",
                         kinds[a & 3], b, 100 + c % 50, a % 100, c % 1000, b % 9);
        size_t step = size - have < (size_t)n ? size - have : (size_t)n;
        memcpy(to + have, record, step);
        have += step;
    }
}

/* Compresses one message, without the last four bytes (RFC 7692 7.2.1). Returns its length. */
static size_t compress_text(uint8_t *to, size_t room, uint8_t *text, size_t size) {
    z_stream stream = {0};
    if (deflateInit2(&stream, 6, Z_DEFLATED, NO_HEADER(WINDOW), 8, Z_DEFAULT_STRATEGY) != Z_OK) fail("zlib");
    stream.next_in = text;
    stream.avail_in = (unsigned)size;
    stream.next_out = to;
    stream.avail_out = (unsigned)room;
    if (deflate(&stream, Z_SYNC_FLUSH) != Z_OK || stream.avail_in) fail("zlib did not take a message");
    size_t length = stream.total_out - 4;
    deflateEnd(&stream);
    return length;
}

static size_t write_frame(const Cycle *cycle, uint8_t *to, uint8_t *text, uint8_t *scratch) {
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t length = cycle->size, head;
    if (cycle->deflate) {
        length = compress_text(scratch, cycle->size + 64, text, cycle->size);
        text = scratch;
    }
    head = write_header(to, cycle->deflate ? FINAL_TEXT | COMPRESSED : FINAL_BINARY, length, key);
    mask_into(to + head, text, length, key);
    return head + length;
}

Cycle *make_cycle(size_t size, int run, int deflate) {
    Cycle *cycle = calloc(1, sizeof *cycle);
    uint8_t *scratch = malloc(size + 64);
    uint32_t state = 1;
    *cycle = (Cycle){.count = deflate ? CYCLE : 1, .run = run, .size = size, .deflate = deflate};
    int all = cycle->count + run;
    cycle->texts = malloc(size * (size_t)cycle->count);
    cycle->frames = malloc((size + 78) * (size_t)all);
    cycle->starts = malloc(sizeof(size_t) * (size_t)(all + 1));
    if (!scratch || !cycle->texts || !cycle->frames || !cycle->starts) fail("out of memory");
    for (int i = 0; i < cycle->count; i++) {
        uint8_t *text = cycle->texts + size * (size_t)i;
        if (deflate) write_text(text, size, &state);
        else for (size_t j = 0; j < size; j++) text[j] = (uint8_t)(j * 31 + j / 251);
    }
    cycle->starts[0] = 0;
    for (int i = 0; i < all; i++) {
        uint8_t *text = cycle->texts + size * (size_t)(i % cycle->count);
        cycle->starts[i + 1] = cycle->starts[i] + write_frame(cycle, cycle->frames + cycle->starts[i], text, scratch);
    }
    free(scratch);
    return cycle;
}

Check *new_check(const Cycle *cycle) {
    Check *check = calloc(1, sizeof *check);
    if (!check) fail("out of memory");
    check->cycle = cycle;
    if (!cycle->deflate) return check;
    check->text = malloc(cycle->size);
    if (!check->text || inflateInit2(&check->stream, NO_HEADER(15)) != Z_OK) fail("zlib");
    return check;
}

int check_header(const Cycle *cycle, const Follower *at, uint64_t so_far) {
    int final = at->head[0] & 0x80, first = so_far == 0;
    uint8_t opcode = first ? (cycle->deflate ? FINAL_TEXT : FINAL_BINARY) & 0x0f : 0;
    uint8_t free_bits = cycle->deflate && first ? 0x80 | COMPRESSED : 0x80; /* bits that may be set or not */
    int fits = cycle->deflate || (final ? so_far + at->length == cycle->size : so_far + at->length < cycle->size);
    if ((at->head[0] & ~free_bits) != opcode || !fits) fail("the header of an echo is not that of what was sent");
    return final != 0;
}

static void inflate_part(Check *check, const uint8_t *bytes, size_t count) {
    z_stream *stream = &check->stream;
    stream->next_in = (uint8_t *)bytes;
    stream->avail_in = (unsigned)count;
    stream->next_out = check->text + check->at;
    stream->avail_out = (unsigned)(check->cycle->size - check->at);
    int told = inflate(stream, Z_SYNC_FLUSH);
    if ((told != Z_OK && told != Z_BUF_ERROR) || stream->avail_in > 4) fail("an echo does not decompress");
    check->at = check->cycle->size - stream->avail_out;
}

void check_payload(Check *check, const uint8_t *bytes, size_t count, int ended) {
    const Cycle *cycle = check->cycle;
    const uint8_t *sent = cycle->texts + cycle->size * (size_t)check->message;
    if (cycle->deflate) {
        inflate_part(check, bytes, count);
        if (!ended) return;
        inflate_part(check, (const uint8_t *)"\x00\x00\xff\xff", 4);
        if (check->at != cycle->size || memcmp(check->text, sent, cycle->size)) fail("an echo differs from what was sent");
    } else {
        if (memcmp(bytes, sent + check->at, count)) fail("an echo differs from what was sent");
        check->at += count;
        if (!ended) return;
    }
    check->at = 0;
    check->message = (check->message + 1) % cycle->count;
}
