#include "header.h"

#include <string.h>

static uint64_t big_endian(const uint8_t *bytes, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

static int is_opcode(unsigned opcode) { return opcode <= TL_BINARY || (opcode >= TL_CLOSE && opcode <= TL_PONG); }

int tl_header_read(const uint8_t *bytes, size_t n, unsigned masked, unsigned rsv, tl_header *out) {
    if (n < 1)
        return 0;
    out->fin = (bytes[0] & TL_FIN) != 0;
    out->rsv = bytes[0] & TL_RSV;
    out->opcode = bytes[0] & TL_OPCODE;
    if (out->rsv & ~rsv)
        return TL_RESERVED_BITS;
    if (!is_opcode(out->opcode))
        return TL_RESERVED_OPCODE;
    if (out->opcode >= TL_CLOSE && !out->fin)
        return TL_FRAGMENTED_CONTROL;
    if (n < 2)
        return 0;
    out->masked = (bytes[1] & TL_MASKED) != 0;
    out->length = bytes[1] & TL_LENGTH;
    if (out->masked != masked)
        return TL_WRONG_MASK;
    if (out->opcode >= TL_CLOSE && out->length > TL_CONTROL_MAX)
        return TL_LONG_CONTROL;
    size_t used = 2;
    if (out->length > TL_SHORT_MAX) {
        size_t extended = out->length == TL_LENGTH_16 ? 2 : 8;
        if (n < used + extended)
            return 0;
        out->length = big_endian(bytes + used, extended);
        used += extended;
        if (out->length >> 63)
            return TL_HUGE_LENGTH;
        if (out->length < (extended == 2 ? TL_SHORT_MAX + 1u : 65536u))
            return TL_LONG_FORM;
    }
    if (masked) {
        if (n < used + TL_KEY_SIZE)
            return 0;
        memcpy(out->key, bytes + used, TL_KEY_SIZE);
        used += TL_KEY_SIZE;
    }
    return (int)used;
}

size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key) {
    size_t extended = length <= TL_SHORT_MAX ? 0 : length < 65536 ? 2 : 8;
    out[0] = (uint8_t)first;
    out[1] = (uint8_t)((key ? TL_MASKED : 0) | (extended == 0 ? length : extended == 2 ? TL_LENGTH_16 : TL_LENGTH_64));
    for (size_t i = 0; i < extended; i++)
        out[2 + i] = (uint8_t)(length >> 8 * (extended - 1 - i));
    if (key)
        memcpy(out + 2 + extended, key, TL_KEY_SIZE);
    return 2 + extended + (key ? TL_KEY_SIZE : 0);
}
