# The way out: frames joined for one write.

from libc.stdint cimport uint8_t, uint64_t


cdef class MaskingKeys:
    """A pool of unpredictable masking keys."""

    cdef uint8_t *_bytes         # owned; freed in __dealloc__
    cdef Py_ssize_t _size        # bytes a block
    cdef Py_ssize_t _next        # the next unused byte
    cdef unsigned long _family   # the process generation that filled the block
    cdef const uint8_t *take(self) except NULL   # four bytes, valid until the next call


cdef class Batch:
    """Frames joined for one write."""

    cdef uint8_t *_bytes          # owned; freed in __dealloc__
    cdef Py_ssize_t _used         # bytes filled
    cdef Py_ssize_t _size         # bytes allocated

    cdef int reserve(self, Py_ssize_t extra) except -1
    cdef Py_ssize_t put_frame(self, unsigned first, const uint8_t *payload, Py_ssize_t n, MaskingKeys keys) except -1
    cdef int put_header(self, unsigned first, Py_ssize_t n) except -1
    cdef Py_ssize_t put_message(self, object message, MaskingKeys keys) except -1  # bytes of payload
    cdef int put_bytes(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int grow(self, Py_ssize_t size) except -1
    cdef int trim(self) noexcept
    cdef int shrink(self, Py_ssize_t size) noexcept
    cdef bytes take_bytes(self)


cdef class Encoder:
    """Messages of one direction into frames."""

    cdef readonly bint client     # we are the client: frames go masked
    cdef MaskingKeys _keys        # None for a server
    cdef Batch _batch
    cdef readonly uint64_t frames_sent
    cdef readonly uint64_t bytes_sent
