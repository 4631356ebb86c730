# What is measured while messages flow: plain C fields, no allocation when something is recorded.

from libc.stdint cimport int64_t, uint64_t

from trunkline._atomic cimport tl_counter


cdef extern from "histogram.h" nogil:
    enum: TL_BUCKETS
    unsigned tl_bucket(uint64_t nanoseconds)
    uint64_t tl_bucket_floor(unsigned bucket)
    double tl_value_at(const uint64_t *counts, uint64_t rank)
    uint64_t tl_count_below(const uint64_t *counts, uint64_t nanoseconds)


cdef enum:
    SLOTS = 10  # of a window


cdef class Histogram:
    """How often which duration was seen."""

    cdef uint64_t *_counts          # owned, TL_BUCKETS of them, or NULL before the first record; freed in __dealloc__
    cdef readonly tl_counter count    # durations recorded
    cdef double _sum                # seconds
    cdef double _shortest           # seconds; of the first record on
    cdef double _longest

    # Verbs
    cpdef int record(self, double seconds) except -1
    cdef int _add(self, double seconds) noexcept
    cdef int _make(self) except -1


cdef class Average:
    """An exponentially weighted moving average."""

    cdef readonly double weight     # of a new value
    cdef double _value
    cdef double _jitter             # EWMA of |value - previous value|, with the same weight
    cdef double _last
    cdef readonly tl_counter count

    # Verbs
    cpdef int record(self, double value) except -1


cdef class Window:
    """What was counted in the last seconds."""

    cdef readonly double seconds    # how long it is
    cdef double _born               # when the first thing could be counted
    cdef int64_t _slot              # number of the present slot since the clock's zero
    cdef uint64_t _slots[SLOTS]     # counts, by slot number modulo SLOTS; the present one is not complete

    # Verbs
    cdef int _move(self, double now) noexcept
    cdef int add(self, double now, uint64_t n) noexcept
    cdef uint64_t sum_at(self, double now) noexcept
    cdef double rate_at(self, double now) noexcept


cdef class Rates:
    """Windows of 1, 10 and 60 seconds over one counter."""

    cdef Window _short
    cdef Window _middle
    cdef Window _long
    cdef readonly tl_counter total

    # Verbs
    cpdef int add(self, double now, uint64_t n) except -1


cdef class Suspicion:
    """How surprising it is that nothing has come."""

    cdef double _weight
    cdef double _least              # seconds: standard deviations are taken for no less
    cdef double _mean               # seconds between two signs of life
    cdef double _variance
    cdef double _beat               # when the last of those that come again and again came
    cdef double _last               # when the last of any kind came
    cdef readonly tl_counter count

    # Verbs
    cpdef int record(self, double now) except -1
    cpdef int touch(self, double now) except -1
