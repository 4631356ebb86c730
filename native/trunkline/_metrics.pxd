# Measuring while messages flow: recording touches plain C fields alone, and allocates nothing.

from libc.stdint cimport int64_t, uint64_t

from trunkline._atomic cimport tl_counter


cdef extern from "histogram.h" nogil:
    enum: TL_BUCKETS
    unsigned tl_bucket(uint64_t nanoseconds)
    uint64_t tl_bucket_floor(unsigned bucket)
    double tl_value_at(const uint64_t *counts, uint64_t rank)
    uint64_t tl_count_below(const uint64_t *counts, uint64_t nanoseconds)


cdef enum:
    SLOTS = 10  # in a window


cdef class Histogram:
    """Count durations in buckets."""

    cdef uint64_t *_counts          # owned: TL_BUCKETS counts, or NULL before the first record; freed in __dealloc__
    cdef readonly tl_counter count    # durations recorded
    cdef double _sum                # seconds
    cdef double _shortest           # seconds; meaningless before the first record
    cdef double _longest            # seconds

    # Record
    cpdef int record(self, double seconds) except -1
    cdef int _add(self, double seconds) noexcept
    cdef int _make(self) except -1


cdef class Average:
    """An exponentially weighted moving average, and the jitter about it."""

    cdef readonly double weight     # of a new value
    cdef double _value
    cdef double _jitter             # EWMA of |value - previous value|, with the same weight
    cdef double _last               # the latest value
    cdef readonly tl_counter count  # values recorded

    # Record
    cpdef int record(self, double value) except -1


cdef class Window:
    """A count over the last seconds."""

    cdef readonly double seconds    # its length
    cdef double _born               # seconds: when it was made
    cdef int64_t _slot              # number of the current slot since the clock's zero
    cdef uint64_t _slots[SLOTS]     # counts, by slot number modulo SLOTS; the current one is incomplete

    # Record
    cdef int add(self, double now, uint64_t n) noexcept
    cdef int _move(self, double now) noexcept

    # Read
    cdef uint64_t sum_at(self, double now) noexcept
    cdef double rate_at(self, double now) noexcept  # a second


cdef class Rates:
    """A counter, and its rates over 1, 10 and 60 seconds."""

    cdef Window _short              # 1 s
    cdef Window _middle             # 10 s
    cdef Window _long               # 60 s
    cdef readonly tl_counter total  # since it was made

    # Record
    cpdef int add(self, double now, uint64_t n) except -1


cdef class Suspicion:
    """How surprising it is that a regular sign of life has not come again."""

    cdef double _weight             # share of a new interval in the averages
    cdef double _least              # seconds: a standard deviation counts as no less
    cdef double _mean               # seconds between two regular signs of life
    cdef double _variance           # of those, in seconds squared
    cdef double _beat               # seconds: when the last regular one came
    cdef double _last               # seconds: when the last of any kind came
    cdef readonly tl_counter count  # regular signs of life

    # Record
    cpdef int record(self, double now) except -1
    cpdef int touch(self, double now) except -1
