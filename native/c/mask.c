#include "mask.h"

#include "atomic.h"

#include <string.h>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define TL_X86 1
#include <immintrin.h>
#elif defined(__aarch64__)
#define TL_NEON 1
#include <arm_neon.h>
#endif

/* Every variant gets the key already turned to the phase, repeated over eight bytes in memory order. */
typedef void (*variant_fn)(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key);

/* The twin that every other variant is tested against, and the tail of each. */
static void mask_scalar(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, src + i, 8);
        word ^= key;
        memcpy(dst + i, &word, 8);
    }
    if (i < n) { /* i is a multiple of 8, so the key stands at its beginning */
        uint8_t bytes[8];
        memcpy(bytes, &key, 8);
        for (size_t k = 0; i < n; i++, k++)
            dst[i] = src[i] ^ bytes[k];
    }
}

#ifdef TL_X86
__attribute__((target("sse2"))) static void mask_sse2(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
    const __m128i wide = _mm_set1_epi64x((long long)key);
    size_t i = 0;
    for (; n - i >= 16; i += 16)
        _mm_storeu_si128((__m128i *)(dst + i), _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i)), wide));
    mask_scalar(dst + i, src + i, n - i, key);
}

__attribute__((target("avx2"))) static void mask_avx2(uint8_t *dst, const uint8_t *src, size_t n, uint64_t key) {
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
    const uint8x16_t wide = vreinterpretq_u8_u64(vdupq_n_u64(key));
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

/* One word for the whole choice: threads may mask while it is made. */
static variant_fn chosen = mask_scalar;

static int is_supported(variant_fn mask) {
#ifdef TL_X86
    __builtin_cpu_init();
    if (mask == mask_avx2)
        return __builtin_cpu_supports("avx2");
    if (mask == mask_sse2)
        return __builtin_cpu_supports("sse2");
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
