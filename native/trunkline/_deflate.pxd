# From messages to compressed payload (RFC 7692 7.2.1).

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport Batch, MaskingKeys


cdef class Deflater:
    """Compress the messages of one direction."""

    # Settings
    cdef object _make                   # returns a new compressor
    cdef readonly bint keeps            # context takeover: a message may refer to earlier ones
    cdef readonly Py_ssize_t threshold  # bytes from which a message is compressed, unless its sender decides
    cdef readonly Py_ssize_t large      # bytes from which a thread should compress it; -1: never

    # State
    cdef object _stream                 # the compressor, or None: made when it is needed
    cdef bint _away                     # a thread has the compressor: messages go uncompressed meanwhile
    cdef bint _busy                     # it is compressing: what something that it calls sends goes uncompressed

    # Choose
    cdef object wanted(self, object message, object compress)  # the bytes to compress; None: send it as it is

    # Compress
    cdef bytes payload(self, bytes data)                       # None: it would be no smaller
    cdef uint64_t put_all(self, Batch batch, list messages, object compress, MaskingKeys keys,
                          uint64_t *deflated, uint64_t *inflated) except? 0  # frames; adds the bytes after and before
    cdef bytes _squeezed(self, bytes data)
    cdef bytes _flushed(self, bytes data)
    cdef int _enter(self) except -1
