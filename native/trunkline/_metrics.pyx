"""Measuring while messages flow: histograms, moving averages, rates and suspicion.

Theory of operation. To record is to add to a few plain C fields: no object is made, and no clock is read, as the caller
passes the time. Only a `Histogram` allocates, once, at its first record. Reading may take longer: it is for people and
scrapers, seconds apart.

Another thread may read, and some reads change the object: a window that is read moves on. So every method locks its
object. With the GIL, that is the lock, and costs nothing.

Sources: the layout of the histogram is HdrHistogram's; the jitter is RFC 3550's (6.4.1, weight 1/16); the suspicion is
the phi of Hayashibara et al., "The phi accrual failure detector" (2004), with Akka's logistic approximation of the
normal distribution.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport ceil, exp, floor, isfinite, log10, sqrt
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from trunkline._atomic cimport tl_count, tl_forget

cdef enum:
    LONGEST = 1000  # seconds: longer durations are recorded as this; the last bucket begins at 137

cdef double FAR = 4e18  # slots: their numbers, and the difference of two, must fit into 64 bits


cdef int64_t slot_of(double now, double seconds) noexcept:
    """Return the number of the slot of a time; 0 if the time is not a number, or out of range."""
    cdef double slot = floor(now / seconds * SLOTS)
    return <int64_t>slot if -FAR < slot < FAR else 0


cdef int place_of(int64_t slot) noexcept:
    """Return the index at which a slot is kept. Slots may be negative, indexes may not."""
    return <int>((slot % SLOTS + SLOTS) % SLOTS)


@cython.final
cdef class Histogram:
    """Count durations, to 2 significant digits: a quantile is within 1 % of the duration that was recorded at its rank.

    Durations are seconds, from 1 ns to 137 s. Longer ones fall into the last bucket, negative ones count as 0.
    """

    def __dealloc__(self):
        PyMem_Free(self._counts)

    cdef int _make(self) except -1:
        """Allocate the counts if there are none; raise MemoryError."""
        if self._counts == NULL:
            self._counts = <uint64_t *>PyMem_Calloc(TL_BUCKETS, sizeof(uint64_t))
            if self._counts == NULL:
                raise MemoryError
        return 0

    @cython.critical_section
    cpdef int record(self, double seconds) except -1:
        """Count a duration in seconds. The first one allocates 16 KiB.

        Raises:
            ValueError: if it is not finite.
        """
        if not isfinite(seconds):
            raise ValueError(f"a duration is {seconds!r}, must be a finite number of seconds")
        if self._counts == NULL:
            self._make()
        self._add(seconds)
        return 0

    cdef int _add(self, double seconds) noexcept:
        """Count a finite duration; the counts must be there."""
        seconds = min(max(seconds, 0.0), <double>LONGEST)
        self._counts[tl_bucket(<uint64_t>(seconds * 1e9 + 0.5))] += 1
        if self.count == 0 or seconds < self._shortest:
            self._shortest = seconds
        if seconds > self._longest:
            self._longest = seconds
        self._sum += seconds
        tl_count(&self.count, 1)
        return 0

    @property
    @cython.critical_section
    def sum(self):
        """The sum of all durations, in seconds."""
        return self._sum

    @property
    @cython.critical_section
    def minimum(self):
        """The shortest duration, in seconds; None if there is none."""
        return self._shortest if self.count else None

    @property
    @cython.critical_section
    def maximum(self):
        """The longest duration, in seconds; None if there is none."""
        return self._longest if self.count else None

    @property
    @cython.critical_section
    def mean(self):
        """The mean duration, in seconds; None if there is none."""
        return self._sum / <double>self.count if self.count else None

    @cython.critical_section
    def quantile(self, double q):
        """Return the duration that a share q of all did not exceed, by nearest rank; None if there is none.

        Raises:
            ValueError: unless q is between 0 and 1.
        """
        cdef uint64_t rank
        if not 0 <= q <= 1:
            raise ValueError(f"q is {q!r}, must be between 0 and 1")
        if self.count == 0:
            return None
        rank = min(<uint64_t>ceil(q * <double>self.count), self.count)
        return min(max(tl_value_at(self._counts, max(rank, 1) - 1) / 1e9, self._shortest), self._longest)

    @cython.critical_section
    def count_within(self, double seconds):
        """Count the durations up to so many seconds. Those within 1/64 below that may be missing."""
        if self.count == 0 or not seconds >= 0:
            return 0
        if seconds >= self._longest:
            return self.count
        return tl_count_below(self._counts, <uint64_t>(min(seconds, <double>LONGEST) * 1e9 + 0.5))

    @cython.critical_section
    def buckets(self):
        """Return (lower bound in seconds, count) of every bucket with a count, shortest first."""
        cdef unsigned i
        if self._counts == NULL:
            return []
        return [(tl_bucket_floor(i) / 1e9, self._counts[i]) for i in range(TL_BUCKETS) if self._counts[i]]

    def merge(self, Histogram other not None):
        """Add all that another has recorded, as if it had been recorded here, but for the last digits of `sum`."""
        cdef unsigned i
        with cython.critical_section(self, other):
            if other.count == 0:
                return
            self._make()
            for i in range(TL_BUCKETS):
                self._counts[i] += other._counts[i]
            if self.count == 0 or other._shortest < self._shortest:
                self._shortest = other._shortest
            self._longest = max(self._longest, other._longest)
            self._sum += other._sum
            tl_count(&self.count, other.count)

    def copy(self):
        """Return a histogram with the same counts."""
        cdef Histogram made = Histogram.__new__(Histogram)
        made.merge(self)
        return made

    @cython.critical_section
    def clear(self):
        """Forget everything."""
        if self._counts != NULL:
            memset(self._counts, 0, TL_BUCKETS * sizeof(uint64_t))
        tl_forget(&self.count)
        self._sum = self._shortest = self._longest = 0

    def __repr__(self):
        if self.count == 0:
            return "<Histogram empty>"
        return f"<Histogram of {<uint64_t>self.count}: p50 {self.quantile(0.5):.6f} s, p99 {self.quantile(0.99):.6f} s>"


@cython.final
cdef class Average:
    """An exponentially weighted moving average, and the jitter about it. It starts with the first value.

    Args:
        weight: the share of a new value, more than 0 and at most 1.
    """

    def __cinit__(self, double weight=0.0625):
        if not 0 < weight <= 1:
            raise ValueError(f"weight is {weight!r}, must be more than 0 and at most 1")
        self.weight = weight

    @cython.critical_section
    cpdef int record(self, double value) except -1:
        """Take a value.

        Raises:
            ValueError: if it is not finite.
        """
        cdef double distance
        if not isfinite(value):
            raise ValueError(f"a value is {value!r}, must be finite")
        if self.count:
            self._value += self.weight * (value - self._value)
            distance = value - self._last if value > self._last else self._last - value
            self._jitter += self.weight * (distance - self._jitter)
        else:
            self._value = value
        self._last = value
        tl_count(&self.count, 1)
        return 0

    @property
    @cython.critical_section
    def value(self):
        """The average; None before the first value."""
        return self._value if self.count else None

    @property
    @cython.critical_section
    def last(self):
        """The latest value; None before the first."""
        return self._last if self.count else None

    @property
    @cython.critical_section
    def jitter(self):
        """The average of |value - previous value|, with the same weight; None before the second value."""
        return self._jitter if self.count > 1 else None


@cython.final
cdef class Window:
    """A count over the last seconds, to a tenth of them: it has ten slots, the current one and the nine before it.

    Args:
        seconds: its length.
        now: seconds, of a monotonic clock, as in all methods.
    """

    def __cinit__(self, double seconds, double now):
        if not seconds > 0:
            raise ValueError(f"seconds is {seconds!r}, must be more than 0")
        self.seconds = seconds
        self._born = now
        self._slot = slot_of(now, seconds)

    cdef int _move(self, double now) noexcept:
        """Make the slot of `now` the current one, and empty those in between."""
        cdef int64_t slot = slot_of(now, self.seconds)
        if slot - self._slot >= SLOTS:
            memset(self._slots, 0, sizeof(self._slots))
            self._slot = slot
        while self._slot < slot:  # if the clock goes backwards, the slot stays
            self._slot += 1
            self._slots[place_of(self._slot)] = 0
        return 0

    cdef int add(self, double now, uint64_t n) noexcept:
        """Count n."""
        self._move(now)
        self._slots[place_of(self._slot)] += n
        return 0

    @cython.critical_section
    def total(self, double now):
        """Return the count in the window that ends now."""
        return self.sum_at(now)

    cdef uint64_t sum_at(self, double now) noexcept:
        """Return the sum of the slots."""
        cdef uint64_t total = 0
        cdef int i
        self._move(now)
        for i in range(SLOTS):
            total += self._slots[i]
        return total

    @cython.critical_section
    def rate(self, double now):
        """Return the count a second; a young window goes by its age, but by a tenth of its length at least."""
        return self.rate_at(now)

    cdef double rate_at(self, double now) noexcept:
        """Return the sum of the slots a second. See `rate`."""
        cdef double slot = self.seconds / SLOTS
        cdef double total = <double>self.sum_at(now)
        cdef double covered = (SLOTS - 1) * slot + max(now - <double>self._slot * slot, 0.0)
        return total / max(min(covered, now - self._born), slot)


@cython.final
cdef class Rates:
    """A counter, and its rates over 1, 10 and 60 seconds.

    Args:
        now: seconds, of a monotonic clock, as in all methods.
    """

    def __cinit__(self, double now):
        self._short = Window(1, now)
        self._middle = Window(10, now)
        self._long = Window(60, now)

    @cython.critical_section
    cpdef int add(self, double now, uint64_t n) except -1:
        """Count n."""
        self._short.add(now, n)
        self._middle.add(now, n)
        self._long.add(now, n)
        tl_count(&self.total, n)
        return 0

    @cython.critical_section
    def per_second(self, double now):
        """Return the counts a second over the last 1, 10 and 60 s."""
        return self._short.rate_at(now), self._middle.rate_at(now), self._long.rate_at(now)

    @cython.critical_section
    def totals(self, double now):
        """Return the counts in the last 1, 10 and 60 s."""
        return self._short.sum_at(now), self._middle.sum_at(now), self._long.sum_at(now)


@cython.final
cdef class Suspicion:
    """Phi: how surprising it is that a regular sign of life has not come again.

    At phi 1, one connection in 10 would be alive all the same; at phi 3, one in 1,000.

    Args:
        weight: the share of a new interval in the averages, more than 0 and at most 1.
        least: seconds. The standard deviation counts as no less, so that a short delay of a very regular peer does not
            arouse suspicion.
    """

    def __cinit__(self, double weight=0.0625, double least=0.1):
        if not 0 < weight <= 1:
            raise ValueError(f"weight is {weight!r}, must be more than 0 and at most 1")
        if not least > 0:
            raise ValueError(f"least is {least!r}, must be more than 0 seconds")
        self._weight = weight
        self._least = least

    @cython.critical_section
    cpdef int record(self, double now) except -1:
        """Record a regular sign of life at the time `now`, seconds of a monotonic clock."""
        cdef double interval, distance
        if self.count:
            interval = max(now - self._beat, 0.0)
            if self.count == 1:
                self._mean = interval
                self._variance = (interval / 4) * (interval / 4)  # Akka's first guess
            else:
                distance = interval - self._mean
                self._mean += self._weight * distance
                self._variance = (1 - self._weight) * (self._variance + self._weight * distance * distance)
        self._beat = self._last = now
        tl_count(&self.count, 1)
        return 0

    @cython.critical_section
    cpdef int touch(self, double now) except -1:
        """Record a sign of life that is not one of the regular ones."""
        if self.count and now > self._last:
            self._last = now
        return 0

    @cython.critical_section
    def phi(self, double now):
        """Return phi at the time `now`; 0.0 before the second regular sign of life."""
        cdef double deviation, y, e, elapsed = now - self._last
        if self.count < 2:
            return 0.0
        deviation = max(sqrt(self._variance), self._least)
        y = (elapsed - self._mean) / deviation
        # Here e is negligible beside 1, and would soon underflow.
        if y > 20:
            return min((1.5976 * y + 0.070566 * y * y * y) / 2.302585092994046, 1e6)
        e = exp(-y * (1.5976 + 0.070566 * y * y))
        return -log10(e / (1 + e)) if elapsed > self._mean else -log10(1 - 1 / (1 + e))

    @cython.critical_section
    def forget(self):
        """Start over, for a new connection."""
        tl_forget(&self.count)
        self._mean = self._variance = self._beat = self._last = 0
