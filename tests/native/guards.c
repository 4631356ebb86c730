/* guards: the kernels on memory that ends, or begins, where the next page may not be touched, against definitions that go byte by byte.
 *
 * All lengths to 4,096. The 64 places of each begin at every alignment: 0 to 63 bytes before the end of the memory, and again 0 to 63
 * behind its beginning. A read past the memory ends the program; a write beside a result is seen in the bytes around it. */
#include "header.h"
#include "mask.h"
#include "utf8.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LONGEST = 4096, PLACES = 64, PAGE = 4096, ROOM = 2 * PAGE, MARK = 0xA7 };

static char now[160] = "the beginning"; /* what is tried */

static void failed(const char *how) {
    fprintf(stderr, "%s: %s\n", now, how);
    exit(1);
}

static void on_fault(int number) {
    (void)number;
    static const char words[] = ": touched a page beside the memory\n";
    if (write(2, now, strlen(now)) < 0 || write(2, words, sizeof words - 1) < 0)
        _exit(3);
    _exit(2);
}

/* Two pages between two that may not be touched. */
static uint8_t *guarded(void) {
    uint8_t *pages = mmap(NULL, ROOM + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + PAGE, ROOM, PROT_READ | PROT_WRITE))
        failed("no memory");
    return pages + PAGE;
}

/* Where n bytes lie at a place: near the end of the memory, or near its beginning. */
static uint8_t *at(uint8_t *memory, size_t n, unsigned place, int end) {
    return end ? memory + ROOM - n - place : memory + place;
}

/* Marks the bytes beside a result, or looks whether they are still marked. */
static int beside(uint8_t *memory, uint8_t *result, size_t n, int looks) {
    static uint8_t marks[PLACES];
    const size_t before = result - memory < PLACES ? (size_t)(result - memory) : PLACES;
    const size_t rest = (size_t)(memory + ROOM - result) - n, behind = rest < PLACES ? rest : PLACES;
    memset(marks, MARK, PLACES);
    if (looks)
        return !memcmp(result - before, marks, before) && !memcmp(result + n, marks, behind);
    memcpy(result - before, marks, before);
    memcpy(result + n, marks, behind);
    return 1;
}

static uint8_t plain[LONGEST], masked[4][LONGEST]; /* a payload, and masked from each phase on */
static const uint8_t key[4] = {0x01, 0x80, 0xFE, 0x5A};

static void try_mask(uint8_t *from, uint8_t *to, size_t n, unsigned place, int end) {
    const unsigned phase = (unsigned)(n / 4 + place) & 3;
    uint8_t *src = at(from, n, place, end), *dst = from == to ? src : at(to, n, place * 7 % PLACES, end);
    beside(to, dst, n, 0);
    memcpy(src, plain, n);
    if (tl_mask(dst, src, n, key, phase) != (phase + n) % 4)
        failed("the next phase is wrong");
    if (memcmp(dst, masked[phase], n))
        failed("masked wrongly");
    if (!beside(to, dst, n, 1))
        failed("wrote beside the result");
}

static void masks(const char *variant, uint8_t *from, uint8_t *to) {
    for (int i = 0; i < LONGEST; i++) {
        plain[i] = (uint8_t)(i * 7 + i / 256);
        for (int phase = 0; phase < 4; phase++)
            masked[phase][i] = plain[i] ^ key[(phase + i) % 4];
    }
    for (int end = 0; end < 2; end++)
        for (size_t n = 0; n <= LONGEST; n++) {
            snprintf(now, sizeof now, "mask, %s, %zu bytes at the %s", variant, n, end ? "end" : "beginning");
            for (unsigned place = 0; place < PLACES; place++) {
                try_mask(from, to, n, place, end);
                try_mask(from, from, n, place, end);
            }
        }
}

/* RFC 3629 without a table of ranges: the code points that a character may still become. Gives what tl_utf8_feed gives; *open: it
 * ends inside a character. */
static size_t utf8_by_bytes(const uint8_t *bytes, size_t n, int *open) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t point = 0, first = 0;
    unsigned left = 0;
    for (size_t i = 0; i < n; i++) {
        if (left) {
            if ((bytes[i] & 0xC0) != 0x80)
                return i;
            point = point << 6 | (bytes[i] & 0x3F);
            left--;
        } else if (bytes[i] < 0x80) {
            continue;
        } else if ((bytes[i] & 0xE0) == 0xC0 || (bytes[i] & 0xF0) == 0xE0 || (bytes[i] & 0xF8) == 0xF0) {
            left = bytes[i] < 0xE0 ? 1 : bytes[i] < 0xF0 ? 2 : 3;
            point = bytes[i] & (0x3F >> left);
            first = least[left];
        } else {
            return i;
        }
        uint32_t low = point << 6 * left, high = low | ((UINT32_C(1) << 6 * left) - 1);
        if (high < first || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF))
            return i;
    }
    *open = left != 0;
    return n;
}

static void texts(uint8_t *memory) {
    static const char *const pieces[] = {"plain words, ", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF",
                                         "thirty-two bytes and more of ASCII, so that words are read", "\xEE\x80\x80", "\xE0\xA0\x80"};
    static const char *const wrong[] = {"\xED\xA0\x80", "\xC0\x80", "\xF4\x90", "\x80", "\xE0\x9F", "\xF0\x8F", "\xFF", "\xE2\x82("};
    static uint8_t text[LONGEST + 64];
    unsigned seed = 1;
    for (size_t n = 0; n <= LONGEST; n++) {
        for (size_t used = 0; used < n;) { /* another text for each length; one in a few hundred pieces is wrong */
            seed = seed * 1103515245 + 12345;
            const char *piece = seed >> 16 & 0xFF ? pieces[(seed >> 24) % 9] : wrong[(seed >> 24) % 8];
            memcpy(text + used, piece, strlen(piece));
            used += strlen(piece);
        }
        int open = 0;
        size_t good = utf8_by_bytes(text, n, &open), ascii = 0;
        while (ascii < n && text[ascii] < 0x80)
            ascii++;
        snprintf(now, sizeof now, "utf8, %zu bytes", n);
        for (unsigned place = 0; place < 2 * PLACES; place++) {
            uint8_t *bytes = at(memory, n, place / 2, place % 2);
            const size_t cut = n ? (n * 31 + place) % n : 0; /* and fed in two pieces */
            tl_utf8 state = 0;
            memcpy(bytes, text, n);
            size_t got = tl_utf8_feed(&state, bytes, cut);
            if (got == cut)
                got += tl_utf8_feed(&state, bytes + cut, n - cut);
            if (got != good || (good == n && (state != 0) != open))
                failed("judged wrongly");
            if (tl_ascii_span(bytes, n) != ascii)
                failed("counted ASCII wrongly");
            memset(bytes, 'a', n);
            if (tl_ascii_span(bytes, n) != n)
                failed("counted a text of ASCII wrongly");
        }
    }
}

/* RFC 6455 5.2, rule by rule, at the first byte that shows it. */
static int header_by_rules(const uint8_t *b, size_t n, unsigned is_masked, unsigned rsv, uint64_t *length) {
    if (n < 1)
        return 0;
    const unsigned opcode = b[0] % 16;
    if ((b[0] & 0x70) & ~rsv)
        return TL_RESERVED_BITS;
    if ((opcode > 2 && opcode < 8) || opcode > 10)
        return TL_RESERVED_OPCODE;
    if (opcode >= 8 && b[0] < 0x80)
        return TL_FRAGMENTED_CONTROL;
    if (n < 2)
        return 0;
    if ((b[1] >= 0x80) != is_masked)
        return TL_WRONG_MASK;
    *length = b[1] % 128;
    if (opcode >= 8 && *length > 125)
        return TL_LONG_CONTROL;
    size_t used = *length == 127 ? 10 : *length == 126 ? 4 : 2;
    if (n < used)
        return 0;
    if (used > 2) {
        *length = 0;
        for (size_t i = 2; i < used; i++)
            *length = *length * 256 + b[i];
        if (used == 10 && b[2] >= 0x80)
            return TL_HUGE_LENGTH;
        if (*length < (used == 4 ? 126 : 65536))
            return TL_LONG_FORM;
    }
    used += is_masked ? 4 : 0;
    return n < used ? 0 : (int)used;
}

static void headers(uint8_t *memory) {
    static const uint8_t tails[][12] = {{0}, {0, 125}, {0, 126}, {255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4},
                                        {0, 0, 0, 0, 0, 0, 255, 255, 9}, {0, 0, 0, 0, 0, 1, 0, 0, 7}, {127, 255, 255, 255, 255, 255, 255, 255}};
    for (unsigned two = 0; two < 65536; two++) {
        snprintf(now, sizeof now, "header %04x", two);
        for (unsigned kind = 0; kind < 7 * 15 * 2 * 3; kind++) {
            const unsigned is_masked = kind % 2, rsv = kind / 2 % 3 == 2 ? TL_RSV : kind / 2 % 3 * TL_RSV1;
            const size_t n = kind / 6 % 15;
            uint8_t whole[TL_HEADER_MAX] = {(uint8_t)(two >> 8), (uint8_t)two}, *bytes = at(memory, n, 0, 1);
            memcpy(whole + 2, tails[kind / 90], 12);
            memcpy(bytes, whole, n);
            tl_header got = {0};
            uint64_t length = 0;
            const int used = tl_header_read(bytes, n, is_masked, rsv, &got);
            if (used != header_by_rules(whole, n, is_masked, rsv, &length))
                failed("judged wrongly");
            if (used <= 0)
                continue;
            if (got.length != length || got.opcode != (two >> 8) % 16 || got.fin != two >> 15 || got.masked != is_masked ||
                (is_masked && memcmp(got.key, whole + used - 4, 4)))
                failed("read wrongly");
            uint8_t *out = at(memory, (size_t)used, 0, 1); /* and written again, where there is no byte more */
            if (tl_header_write(out, two >> 8, got.length, is_masked ? got.key : NULL) != (size_t)used || memcmp(out, whole, (size_t)used))
                failed("written wrongly");
        }
    }
}

int main(void) {
    static const char *const variants[] = {"scalar", "sse2", "avx2", "neon"};
    uint8_t *from = guarded(), *to = guarded();
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (tl_mask_choose(variants[i]) == 0) {
            masks(variants[i], from, to);
            printf("mask %s\n", variants[i]);
        }
    texts(from);
    printf("utf8\n");
    headers(from);
    printf("header\n");
    return 0;
}
