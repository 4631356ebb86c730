# Sending: frames joined for one write, and the keys that mask them.

from libc.stdint cimport uint8_t, uint64_t


cdef class MaskingKeys:
    """Masking keys, each used once."""

    cdef uint8_t *_bytes         # owned; freed in __dealloc__
    cdef Py_ssize_t _size        # bytes allocated: a multiple of TL_KEY_SIZE
    cdef Py_ssize_t _next        # index of the next unused byte
    cdef unsigned long _family   # the process that read these keys, as `family` counts it

    cdef const uint8_t *take(self) except NULL   # TL_KEY_SIZE bytes, valid until the next call


cdef class Batch:
    """Frames that leave together."""

    cdef uint8_t *_bytes          # owned; freed in __dealloc__
    cdef Py_ssize_t _used         # bytes filled
    cdef Py_ssize_t _size         # bytes allocated

    # Put: add frames, or parts of them
    cdef Py_ssize_t put_message(self, object message, MaskingKeys keys) except -1  # bytes of payload
    cdef Py_ssize_t put_frame(self, unsigned first, const uint8_t *payload, Py_ssize_t n, MaskingKeys keys) except -1
    cdef int put_header(self, unsigned first, Py_ssize_t n) except -1
    cdef int put_bytes(self, const uint8_t *data, Py_ssize_t n) except -1

    # Take: return the frames, and empty it
    cdef bytes take_bytes(self)

    # Memory
    cdef int reserve(self, Py_ssize_t extra) except -1
    cdef int grow(self, Py_ssize_t size) except -1
    cdef int trim(self) noexcept
    cdef int shrink(self, Py_ssize_t size) noexcept


cdef class Encoder:
    """Turn the messages of one direction into frames."""

    cdef readonly bint client          # our role: a client masks its frames
    cdef MaskingKeys _keys             # None for a server
    cdef Batch _batch
    cdef readonly uint64_t frames_sent
    cdef readonly uint64_t bytes_sent  # on the wire
