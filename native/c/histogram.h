/* histogram: log-linear counts of durations, 2 significant digits. Knows numbers, not Python. */
#ifndef TL_HISTOGRAM_H
#define TL_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* Values are nanoseconds. Up to 64 each has a bucket of its own; from there on every power of two is cut into 64 buckets of one
 * width, so that a bucket is at most 1/64 of its values wide and its middle at most 1/128 away from any of them (the layout of
 * HdrHistogram, Gil Tene). What is longer than 2^37 ns (137 s) is counted in the last bucket. */
enum { TL_BUCKETS = 32 * 64 };

/* Which bucket a value belongs to. */
unsigned tl_bucket(uint64_t nanoseconds);

/* The smallest value of a bucket; of TL_BUCKETS, the first value that is too long for any. */
uint64_t tl_bucket_floor(unsigned bucket);

/* The value at rank `rank` (0 is the smallest) of the `total` > rank values that are counted: the middle of its bucket. */
double tl_value_at(const uint64_t counts[TL_BUCKETS], uint64_t rank);

/* How many of the values that are counted are at most `nanoseconds`, to the width of a bucket: a bucket counts when all of it does. */
uint64_t tl_count_below(const uint64_t counts[TL_BUCKETS], uint64_t nanoseconds);

#endif
