#include "mask.h"
#include "atomic.h"

#include <string.h>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define TL_X86 1
#include <immintrin.h>
#define TL_FOR(isa) __attribute__((target(isa)))
#elif defined(_M_X64) && !defined(_M_ARM64EC) /* MSVC takes intrinsics without a target */
#define TL_X86 1
#include <immintrin.h>
#include <intrin.h>
#define TL_FOR(isa)
#elif defined(__aarch64__) || defined(_M_ARM64)
#define TL_NEON 1
#include <arm_neon.h>
#endif

/* A variant takes the key rotated to the phase and repeated over eight bytes, in memory order. */
typedef void (*variant_fn)(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key);

/* The reference that the others are tested against. They call it for the bytes that do not fill a register. */
static void mask_scalar(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, src + i, 8);
        word ^= key;
        memcpy(dst + i, &word, 8);
    }
    if (i < n) { /* i is a multiple of 8: the key starts over */
        uint8_t bytes[8];
        memcpy(bytes, &key, 8);
        for (size_t k = 0; i < n; i++, k++)
            dst[i] = src[i] ^ bytes[k];
    }
}

#ifdef TL_X86
TL_FOR("sse2") static void mask_sse2(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    const __m128i wide = _mm_set1_epi64x((long long)key);
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        _mm_storeu_si128((__m128i *)(dst + i), _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i)), wide));
    mask_scalar(dst + i, src + i, n - i, key);
}

TL_FOR("avx2") static void mask_avx2(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    const __m256i wide = _mm256_set1_epi64x((long long)key);
    size_t i = 0;
    for (; n - i >= 128; i += 128) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(src + i)), b = _mm256_loadu_si256((const __m256i *)(src + i + 32));
        __m256i c = _mm256_loadu_si256((const __m256i *)(src + i + 64)), d = _mm256_loadu_si256((const __m256i *)(src + i + 96));
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_xor_si256(a, wide));
        _mm256_storeu_si256((__m256i *)(dst + i + 32), _mm256_xor_si256(b, wide));
        _mm256_storeu_si256((__m256i *)(dst + i + 64), _mm256_xor_si256(c, wide));
        _mm256_storeu_si256((__m256i *)(dst + i + 96), _mm256_xor_si256(d, wide));
    }
    for (; n - i >= 32; i += 32)
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i)), wide));
    mask_scalar(dst + i, src + i, n - i, key);
}
#endif
#ifdef TL_NEON
static void mask_neon(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    const uint8x8_t half = vld1_u8((const uint8_t *)&key); /* byte by byte: a big-endian CPU orders the lanes of a word the other way */
    const uint8x16_t wide = vcombine_u8(half, half);
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        vst1q_u8(dst + i, veorq_u8(vld1q_u8(src + i), wide));
    mask_scalar(dst + i, src + i, n - i, key);
}
#endif

static const struct {
    const char *name;
    variant_fn mask;
} variants[] = { /* the widest first */
#ifdef TL_X86
    {"avx2", mask_avx2},
    {"sse2", mask_sse2},
#endif
#ifdef TL_NEON
    {"neon", mask_neon},
#endif
    {"scalar", mask_scalar},
};
enum { VARIANTS = sizeof variants / sizeof *variants };
/* The whole choice is one word, so that threads may mask while it is made. */
static variant_fn chosen = mask_scalar;

#if defined(TL_X86) && defined(_MSC_VER) && !defined(__clang__)
/* Intel SDM volume 1, 14.7: the CPU must have AVX2, and the system must save the wide registers. */
static int has_avx2(void) {
    int at[4];
    __cpuid(at, 0);
    if (at[0] < 7)
        return 0;
    __cpuid(at, 1);
    if (!(at[2] >> 27 & 1) || (_xgetbv(0) & 6) != 6)
        return 0;
    __cpuidex(at, 7, 0);
    return at[1] >> 5 & 1;
}
static int has_sse2(void) { return 1; /* every x86-64 has it */ }
#elif defined(TL_X86)
static int has_avx2(void) { return __builtin_cpu_init(), __builtin_cpu_supports("avx2") != 0; }
static int has_sse2(void) { return __builtin_cpu_init(), __builtin_cpu_supports("sse2") != 0; }
#endif

static int is_supported(variant_fn mask) {
#ifdef TL_X86
    if (mask == mask_avx2)
        return has_avx2();
    if (mask == mask_sse2)
        return has_sse2();
#endif
    return mask != NULL;
}

int tl_mask_choose(const char *name) {
    for (size_t i = 0; i < VARIANTS; i++)
        if ((!name || !strcmp(name, variants[i].name)) && is_supported(variants[i].mask)) {
            TL_STORE(chosen, variants[i].mask);
            return 0;
        }
    return -1;
}

const char *tl_mask_variant(void) {
    const variant_fn mask = TL_LOAD(chosen);
    size_t i = 0;
    while (variants[i].mask != mask)
        i++;
    return variants[i].name;
}

unsigned tl_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], unsigned phase) {
    uint64_t wide;
    uint8_t *turned = (uint8_t *)&wide;
    memcpy(turned, key, 4);
    memcpy(turned + 4, key, 4);
    if (phase & 3)
        for (unsigned i = 0; i < 8; i++)
            turned[i] = key[(phase + i) & 3];
    TL_LOAD(chosen)(dst, src, n, wide);
    return (phase + (unsigned)(n & 3)) & 3;
}
