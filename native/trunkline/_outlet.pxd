# Sending: messages become frames.

from libc.stdint cimport uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._batch cimport Batch
from trunkline._deflate cimport Deflater
from trunkline._writer cimport Writer


cdef enum:
    UNCOPIED = 32 * 1024  # bytes (of text: characters) from which an unmasked payload is written from where it lies


cdef class Outlet(Writer):
    """The sending half of a link."""

    # State
    cdef Py_ssize_t _write_limit     # bytes that may wait to be sent
    cdef bint _unfinished            # a fragmented message is under way
    cdef readonly Deflater _deflater  # None: no compression
    cdef bint _queueing              # a thread is compressing a message: each `send` waits in line behind it
    cdef bytes _pong                 # the payload of a pong that is put off, or None
    cdef unsigned _pongs             # pongs sent for the current read

    # Counters
    cdef tl_counter _messages_sent
    cdef tl_counter _messages_dropped    # broadcasts not sent here, since the peer reads too slowly
    cdef tl_counter _frames_sent
    cdef tl_counter _pings_sent
    cdef tl_counter _pongs_sent
    cdef tl_counter _deflated_bytes      # of compressed messages, as sent
    cdef tl_counter _inflated_bytes      # of the same, before compression

    # May: whether something may be sent now
    cdef bint _may_put(self, object message) noexcept
    cdef bint _may_deflate(self, object message, unsigned compress) except -1
    cdef int _check_open(self) except -1   # or raise
    cdef int _check_limit(self) except -1  # or raise

    # Put messages
    cdef int _put(self, object message) except -1
    cdef bint _put_short(self, object message) except -1     # False: not sent, use _put
    cdef bint _put_uncopied(self, object message) except -1  # False: not sent, it is not large
    cdef int _put_deflated(self, object message, object compress) except -1
    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1

    # Put several messages
    cdef Batch _encode(self, messages, object compress, list large)
    cdef int _join_batch(self, Batch batch) except -1
    cdef int _write_large(self, Batch batch, object message) except -1

    # Put single frames
    cdef int _put_frame(self, unsigned first, bytes payload) except -1
    cdef int _put_control(self, unsigned opcode, bytes payload) except -1
    cdef int _put_pong(self, bytes payload) except -1
    cdef int _end_pongs(self) except -1


cdef class Sending:
    """What `send` returns: a message that is sent when this is awaited."""

    cdef Outlet _outlet
    cdef object _what        # the message, or the coroutine that sends it
    cdef unsigned _compress  # index into COMPRESS
    cdef int _stage          # NEW, WAITS (for _what) or OVER

    cdef int begin(self) except -1
