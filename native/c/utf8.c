#include "utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)
#define WANT(count, low, high) ((tl_utf8)(count) | (tl_utf8)(low) << 8 | (tl_utf8)(high) << 16)

size_t tl_ascii_span(const uint8_t *bytes, size_t n) {
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        uint64_t word[4];
        memcpy(word, bytes + i, 32);
        if ((word[0] | word[1] | word[2] | word[3]) & HIGH_BITS)
            break;
    }
    for (; n - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        if (word & HIGH_BITS)
            break;
    }
    while (i < n && bytes[i] < 0x80)
        i++;
    return i;
}

/* Return what must follow a first byte that is not ASCII; 0 if no character starts with it (RFC 3629, 4, "UTF8-octets"). */
static tl_utf8 after(uint8_t first) {
    if (first < 0xC2) /* a continuation byte, or the start of an overlong form of ASCII */
        return 0;
    if (first <= 0xDF)
        return WANT(1, 0x80, 0xBF);
    if (first <= 0xEF)
        return WANT(2, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF); /* no overlong form; no surrogate */
    if (first <= 0xF4)
        return WANT(3, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF); /* no overlong form; not past U+10FFFF */
    return 0;
}

size_t tl_utf8_feed(tl_utf8 *state, const uint8_t *bytes, size_t n) {
    tl_utf8 want = *state;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = bytes[i];
        if (want) {
            if (byte < (want >> 8 & 0xFF) || byte > (want >> 16 & 0xFF))
                return i;
            want = (want & 0xFF) == 1 ? 0 : WANT((want & 0xFF) - 1, 0x80, 0xBF);
        } else if (byte < 0x80) {
            i += tl_ascii_span(bytes + i, n - i) - 1; /* at least this byte */
        } else if (!(want = after(byte))) {
            return i;
        }
    }
    *state = want;
    return n;
}
