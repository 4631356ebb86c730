/* kernels: libFuzzer's input through every C kernel and through a plain definition of each; they must agree.
 *
 * Each piece of input is a copy of its own on the heap, so that ASan sees a read of one byte too many. */
#include <stdlib.h>
#include <string.h>

#include "header.h"
#include "histogram.h"
#include "mask.h"
#include "utf8.h"

#define CHECK(claim) \
    do { \
        if (!(claim)) \
            __builtin_trap(); \
    } while (0)

static uint8_t *copied(const uint8_t *bytes, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

/* Every variant of this CPU, at every alignment of an input of its own, into another place and in place, in two pieces. */
static void masks(const uint8_t *bytes, size_t n) {
    static const char *const variants[] = {"scalar", "sse2", "avx2", "neon"};
    if (n < 6)
        return;
    const uint8_t *key = bytes;
    unsigned phase = bytes[4] & 3;
    size_t start = bytes[4] >> 2 & 31, cut = bytes[5];
    bytes += 6, n -= 6;
    cut = cut < n ? cut : n;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        if (tl_mask_choose(variants[v]) < 0)
            continue;
        uint8_t *in = malloc(start + n + 1), *out = malloc(start + n + 1);
        CHECK(in && out);
        memcpy(in + start, bytes, n);
        out[start + n] = in[start + n] = 0xA5;
        unsigned middle = tl_mask(out + start, in + start, cut, key, phase);
        CHECK(tl_mask(out + start + cut, in + start + cut, n - cut, key, middle) == ((phase + n) & 3));
        CHECK(tl_mask(in + start, in + start, n, key, phase) == ((phase + n) & 3));
        for (size_t i = 0; i < n; i++)
            CHECK(out[start + i] == (bytes[i] ^ key[(phase + i) & 3]));
        CHECK(!memcmp(in + start, out + start, n));
        CHECK(out[start + n] == 0xA5 && in[start + n] == 0xA5);
        free(in);
        free(out);
    }
}

/* The whole table of RFC 3629, 4: how many bytes from `bytes` make one character; 0 if none; -1 if they begin one. */
static int character(const uint8_t *bytes, size_t n) {
    static const uint8_t table[][8] = {/* lowest and highest of each byte */
        {0x00, 0x7F}, {0xC2, 0xDF, 0x80, 0xBF}, {0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF}, {0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF},
        {0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF}, {0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF}, {0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
        {0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF}};
    for (size_t row = 0; row < sizeof table / sizeof *table; row++) {
        int size = row == 0 ? 1 : row == 1 ? 2 : row < 6 ? 3 : 4;
        int i = 0;
        while (i < size && (size_t)i < n && bytes[i] >= table[row][2 * i] && bytes[i] <= table[row][2 * i + 1])
            i++;
        if (i == size)
            return size;
        if (i > 0 && (size_t)i == n)
            return -1;
    }
    return 0;
}

/* The index of the first byte that rules out any text; n if there is none. *whole: it ends between two characters. */
static size_t plain_utf8(const uint8_t *bytes, size_t n, int *whole) {
    size_t i = 0;
    *whole = 1;
    while (i < n) {
        int size = character(bytes + i, n - i);
        if (size < 0)
            return *whole = 0, n;
        if (size == 0) {
            size_t bad = 1; /* the longest beginning of a character goes before the bad byte */
            while (i + bad < n && character(bytes + i, bad) < 0)
                bad++;
            return i + bad - 1;
        }
        i += (size_t)size;
    }
    return n;
}

static void utf8(const uint8_t *bytes, size_t n) {
    if (n < 1)
        return;
    size_t cut = bytes[0];
    bytes++, n--;
    cut = cut < n ? cut : n;
    int whole;
    size_t expected = plain_utf8(bytes, n, &whole);
    tl_utf8 state = 0;
    size_t good = tl_utf8_feed(&state, bytes, n);
    CHECK(good == expected);
    CHECK(good < n || (state == 0) == whole);
    uint8_t *first = copied(bytes, cut), *second = copied(bytes + cut, n - cut);
    state = 0;
    good = tl_utf8_feed(&state, first, cut);
    if (good == cut)
        good += tl_utf8_feed(&state, second, n - cut);
    CHECK(good == expected);
    size_t ascii = 0;
    while (ascii < n && bytes[ascii] < 0x80)
        ascii++;
    CHECK(tl_ascii_span(bytes, n) == ascii);
    free(first);
    free(second);
}

/* RFC 6455, 5.2, on all bytes at once: the bytes of a header, 0 for too few, -1 for a fault. */
static int plain_header(const uint8_t *bytes, size_t n, unsigned masked, unsigned rsv, tl_header *out) {
    if (n < 1)
        return 0;
    unsigned opcode = bytes[0] & 15, control = opcode & 8;
    if ((bytes[0] & 0x70 & ~rsv) || (opcode & 7) > 2 || (control && !(bytes[0] & 0x80)))
        return -1;
    if (n < 2)
        return 0;
    unsigned length = bytes[1] & 127, more = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (bytes[1] >> 7 != masked || (control && length > 125))
        return -1;
    if (n < 2 + more)
        return 0;
    out->length = more ? 0 : length;
    for (unsigned i = 0; i < more; i++)
        out->length = out->length * 256 + bytes[2 + i];
    if ((more == 2 && out->length <= 125) || (more == 8 && (out->length <= 65535 || out->length >= UINT64_C(1) << 63)))
        return -1;
    if (n < 2 + more + 4 * masked)
        return 0;
    return (int)(2 + more + 4 * masked);
}

static void header(const uint8_t *bytes, size_t n) {
    if (n < 1)
        return;
    unsigned masked = bytes[0] & 1, rsv = bytes[0] << 3 & 0x70;
    bytes++, n--;
    n = n < TL_HEADER_MAX ? n : TL_HEADER_MAX;
    tl_header got, expected;
    int before = 0;
    for (size_t size = 0; size <= n; size++) { /* byte by byte */
        uint8_t *copy = copied(bytes, size);
        int used = tl_header_read(copy, size, masked, rsv, &got);
        int plain = plain_header(copy, size, masked, rsv, &expected);
        free(copy);
        CHECK(plain < 0 ? used < 0 : used == plain);
        CHECK(before == 0 || used == before); /* once it is known, it stays */
        before = used;
        if (used <= 0)
            continue;
        CHECK(got.length == expected.length && got.opcode == (bytes[0] & 15) && got.masked == masked);
        CHECK(got.fin == bytes[0] >> 7 && got.rsv == (bytes[0] & 0x70));
        uint8_t written[TL_HEADER_MAX];
        CHECK(tl_header_write(written, bytes[0], got.length, masked ? got.key : NULL) == (size_t)used);
        CHECK(!memcmp(written, bytes, (size_t)used));
    }
}

static void histogram(const uint8_t *bytes, size_t n) {
    static uint64_t counts[TL_BUCKETS];
    uint64_t values[64], total = 0, least = UINT64_MAX, longest = tl_bucket_floor(TL_BUCKETS) - 1;
    memset(counts, 0, sizeof counts);
    for (; n >= 8 && total < 64; bytes += 8, n -= 8) {
        uint64_t value;
        memcpy(&value, bytes, 8);
        value >>= bytes[0] & 63; /* of every size */
        unsigned bucket = tl_bucket(value);
        CHECK(bucket < TL_BUCKETS && tl_bucket_floor(bucket) <= value);
        CHECK(bucket == TL_BUCKETS - 1 || value < tl_bucket_floor(bucket + 1));
        counts[bucket]++;
        value = value < longest ? value : longest; /* the last bucket holds whatever is longer */
        values[total++] = value;
        least = value < least ? value : least;
    }
    if (!total)
        return;
    double low = tl_value_at(counts, 0), before = low;
    CHECK(low >= (double)least * (1 - 1.0 / 128) - 1 && low <= (double)least * (1 + 1.0 / 128) + 1);
    for (uint64_t rank = 1; rank < total; rank++) {
        double value = tl_value_at(counts, rank);
        CHECK(value >= before);
        before = value;
    }
    uint64_t below = tl_count_below(counts, values[0]), exact = 0;
    for (uint64_t i = 0; i < total; i++)
        exact += values[i] <= values[0];
    CHECK(below <= exact && tl_count_below(counts, UINT64_MAX) == total);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static void (*const kernels[])(const uint8_t *, size_t) = {masks, utf8, header, histogram};
    if (n < 1)
        return 0;
    uint8_t *copy = copied(bytes + 1, n - 1);
    kernels[bytes[0] & 3](copy, n - 1);
    free(copy);
    return 0;
}
