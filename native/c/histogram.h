/* histogram: log-linear counts of durations, 2 significant digits. Knows numbers, not Python. */
#ifndef TL_HISTOGRAM_H
#define TL_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Values are nanoseconds. Each value below 64 has its own bucket. Above, every power of two is cut into 64 buckets of equal width:
 * a bucket is at most 1/64 as wide as its values are large, and its middle at most 1/128 away from any of them. That is the
 * layout of HdrHistogram (Gil Tene). The last bucket holds everything above 2^37 ns (137 s). */
enum { TL_BUCKETS = 32 * 64 };

/* Return the bucket of a value. */
unsigned tl_bucket(uint64_t nanoseconds);

/* Return the smallest value of a bucket; for TL_BUCKETS, the first value that is too large for the last one. */
uint64_t tl_bucket_floor(unsigned bucket);

/* Return the value at a rank (0 is the smallest), which is less than the number of values: the middle of its bucket. */
double tl_value_at(const uint64_t counts[TL_BUCKETS], uint64_t rank);

/* Count the values up to `nanoseconds`. A bucket counts only if all of it is in that range. */
uint64_t tl_count_below(const uint64_t counts[TL_BUCKETS], uint64_t nanoseconds);

#endif
