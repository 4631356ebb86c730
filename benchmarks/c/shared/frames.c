/* RFC 6455 5.2, as far as a benchmark needs it. */
#include "frames.h"

#include <string.h>

size_t write_header(uint8_t *to, uint8_t first, size_t length, const uint8_t *key) {
    int bytes = length < 126 ? 0 : length < 65536 ? 2 : 8;
    size_t head = (size_t)(2 + bytes);
    to[0] = first;
    to[1] = (uint8_t)((key ? 0x80 : 0) | (bytes == 0 ? length : bytes == 2 ? 126 : 127));
    for (int i = 0; i < bytes; i++) to[2 + i] = (uint8_t)((uint64_t)length >> (8 * (bytes - 1 - i)));
    if (!key) return head;
    memcpy(to + head, key, 4);
    return head + 4;
}

void mask_into(uint8_t *to, const uint8_t *bytes, size_t count, const uint8_t key[4]) {
    uint64_t wide;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < count; i++) to[i] = bytes[i] ^ key[i & 3];
}

static size_t head_length(const uint8_t *head) {
    unsigned short_length = head[1] & 0x7f;
    return short_length == 126 ? 4 : short_length == 127 ? 10 : 2;
}

static uint64_t payload_length(const uint8_t *head) {
    size_t end = head_length(head);
    uint64_t length = end == 2 ? head[1] & 0x7f : 0;
    for (size_t i = 2; i < end; i++) length = length << 8 | head[i];
    return length;
}

int next_frame(Buffer *in, Frame *frame) {
    uint8_t *at = in->bytes + in->from;
    size_t have = in->to - in->from;
    if (have < 2 || have < head_length(at)) return 0;
    size_t head = head_length(at), key = at[1] & 0x80 ? 4 : 0;
    frame->length = payload_length(at);
    if (have < head + key + frame->length) return 0;
    frame->first = at[0];
    frame->key = key ? at + head : NULL;
    frame->payload = at + head + key;
    in->from += head + key + frame->length;
    return 1;
}

size_t follow(Follower *at, const uint8_t *bytes, size_t count, const uint8_t **payload, size_t *n, int *ended) {
    size_t taken = 0;
    *n = 0;
    *ended = 0;
    while (at->have < 2 || at->have < head_length(at->head)) {
        if (taken == count) return taken;
        at->head[at->have++] = bytes[taken++];
        if (at->have < 2 || at->have < head_length(at->head)) continue;
        if (at->head[1] & 0x80) fail("a server masked a frame");
        at->length = at->left = payload_length(at->head);
    }
    *payload = bytes + taken;
    *n = count - taken < at->left ? count - taken : (size_t)at->left;
    at->left -= *n;
    *ended = at->left == 0;
    if (*ended) at->have = 0;
    return taken + *n;
}
