#include "histogram.h"

enum { BITS = 6, CUTS = 1 << BITS, LARGEST_SHIFT = TL_BUCKETS / CUTS - 2 };

#if defined(__GNUC__) || defined(__clang__)
static unsigned top_bit(uint64_t value) { return 63u - (unsigned)__builtin_clzll(value); }
#elif defined(_M_X64) || defined(_M_ARM64) /* MSVC */
#include <intrin.h>
static unsigned top_bit(uint64_t value) {
    unsigned long bit;
    _BitScanReverse64(&bit, value);
    return bit;
}
#else
static unsigned top_bit(uint64_t value) {
    unsigned bit = 0;
    while (value >>= 1)
        bit++;
    return bit;
}
#endif

unsigned tl_bucket(uint64_t nanoseconds) {
    if (nanoseconds < CUTS)
        return (unsigned)nanoseconds;
    unsigned shift = top_bit(nanoseconds) - BITS; /* the bits shifted out are finer than a bucket */
    if (shift > LARGEST_SHIFT)
        return TL_BUCKETS - 1;
    return shift * CUTS + (unsigned)(nanoseconds >> shift); /* the shifted value keeps its top bit: 64 to 127 */
}

uint64_t tl_bucket_floor(unsigned bucket) {
    if (bucket < CUTS)
        return bucket;
    unsigned shift = bucket / CUTS - 1;
    return (uint64_t)(CUTS + bucket % CUTS) << shift;
}

double tl_value_at(const uint64_t counts[TL_BUCKETS], uint64_t rank) {
    uint64_t seen = 0;
    unsigned bucket = 0;
    for (; bucket < TL_BUCKETS - 1; bucket++) {
        seen += counts[bucket];
        if (seen > rank)
            break;
    }
    /* The middle between the first and the last value of the bucket; in a bucket of width 1 they are the same. */
    return ((double)tl_bucket_floor(bucket) + (double)(tl_bucket_floor(bucket + 1) - 1)) / 2;
}

uint64_t tl_count_below(const uint64_t counts[TL_BUCKETS], uint64_t nanoseconds) {
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < TL_BUCKETS && tl_bucket_floor(bucket + 1) - 1 <= nanoseconds; bucket++)
        seen += counts[bucket];
    return seen;
}
