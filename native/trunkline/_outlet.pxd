# The way out of a connection.

from libc.stdint cimport uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._batch cimport Batch
from trunkline._deflate cimport Deflater
from trunkline._writer cimport Writer


cdef enum:
    UNCOPIED = 32 * 1024  # bytes (of text: characters): so large an unmasked payload is written from where it lies


cdef class Outlet(Writer):
    """The sending half of a link."""

    cdef bint _unfinished            # a fragmented message is under way
    cdef bytes _pong                 # the payload of the one pong that waits: too much does, or enough were sent
    cdef unsigned _pongs             # pongs sent for the read under way
    cdef Py_ssize_t _write_limit     # bytes that may wait to be sent
    cdef readonly Deflater _deflater  # None: messages go as they are
    cdef bint _queueing              # `send` waits in line behind a message that a thread compresses

    # Counters
    cdef tl_counter _messages_sent
    cdef tl_counter _messages_dropped    # broadcasts that were left out since the peer reads too slowly
    cdef tl_counter _frames_sent
    cdef tl_counter _pings_sent
    cdef tl_counter _pongs_sent
    cdef tl_counter _deflated_bytes      # payload of compressed messages, as it was sent
    cdef tl_counter _inflated_bytes      # what it was before

    # Verbs
    cdef int _put(self, object message) except -1
    cdef bint _put_short(self, object message) except -1
    cdef int _put_deflated(self, object message, object compress) except -1
    cdef int _put_shared(self, object message, dict payloads) except -1
    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1
    cdef bint _may_put(self, object message) noexcept
    cdef bint _may_deflate(self, object message, unsigned compress) except -1
    cdef int _put_control(self, unsigned opcode, bytes payload) except -1
    cdef int _put_frame(self, unsigned first, bytes payload) except -1
    cdef int _put_encoded(self, bytes frame) except -1
    cdef bint _put_uncopied(self, object message) except -1
    cdef int _write_large(self, Batch batch, object message) except -1
    cdef int _put_pong(self, bytes payload) except -1
    cdef int _end_pongs(self) except -1
    cdef int _join_batch(self, Batch batch) except -1
    cdef Batch _encode(self, messages, object compress, list large)
    cdef int _check_open(self) except -1
    cdef int _check_limit(self) except -1


cdef class Sending:
    """A message that `send` was given, and that goes when this is awaited."""

    cdef Outlet _outlet
    cdef object _what        # the message; the coroutine that sends it, if it has to wait
    cdef unsigned _compress  # index into COMPRESS
    cdef int _stage          # NEW, WAITS: for _what; OVER

    cdef int begin(self) except -1
