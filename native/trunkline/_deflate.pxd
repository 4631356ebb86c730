# Compressing messages (RFC 7692 7.2.1).

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport Batch, MaskingKeys


cdef class Deflater:
    """Messages of one direction into payloads."""

    # Settings
    cdef object _make                   # makes a compressor
    cdef readonly bint keeps            # a message may refer to those before it (context takeover)
    cdef readonly Py_ssize_t threshold  # bytes of a message from which it is compressed, unless its sender says
    cdef readonly Py_ssize_t large      # bytes from which a thread should do it; -1: never

    cdef object _stream                 # the compressor, or None: made when it is needed
    cdef bint _away                     # it is with a thread: what is sent meanwhile goes as it is
    cdef bint _busy                     # it compresses: so does what is sent by what it calls, a finalizer perhaps

    cdef object wanted(self, object message, object compress)  # bytes, or None: send the message as it is
    cdef bytes payload(self, bytes data)                       # None: no smaller than the data
    cdef bytes _squeezed(self, bytes data)
    cdef bytes _flushed(self, bytes data)
    cdef int _enter(self) except -1
    cdef uint64_t put_all(self, Batch batch, list messages, object compress, MaskingKeys keys,
                          uint64_t *deflated, uint64_t *inflated) except? 0  # frames
