# wsproto's FrameProtocol: messages a piece at a time.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._frame_writer cimport FrameWriter
from trunkline._kernels cimport tl_header


cdef class FrameProtocol(FrameWriter):
    """Both directions of one connection: bytes to pieces of messages, and payloads to frames."""

    # Settings
    cdef Py_ssize_t _max_size              # bytes of a message; -1: no limit

    # Input
    cdef bytes _chunk                      # being parsed
    cdef Py_ssize_t _at                    # bytes of it that are parsed
    cdef list _waiting                     # the chunks behind it

    # State of the parser
    cdef int _step                         # READ_HEADER, READ_PAYLOAD, CLOSED, FAILED or DEAD
    cdef bint _taking                      # it is parsing: an extension may not ask for the next piece
    cdef tl_header _frame                  # the last complete header
    cdef uint64_t _left                    # bytes of its payload still to come
    cdef unsigned _phase                   # position in its masking key
    cdef int _message                      # TL_TEXT or TL_BINARY; 0 between two messages
    cdef Py_ssize_t _size                  # bytes of the message so far, after the extensions
    cdef uint8_t _tail[4]                  # the start of a character that is incomplete
    cdef unsigned _tail_used               # bytes of it

    # What is known of the last piece, or of the fault
    cdef int opcode                        # of the message, also for continuations
    cdef bint frame_finished
    cdef bint message_finished
    cdef object code                       # the close code, received or to be sent
    cdef str fault                         # the fault in words

    # Use
    cdef int feed(self, data) except -1
    cdef object take(self)                                                  # None: no piece, or a fault
    cdef bint has_failed(self) noexcept                                     # True only once

    # Parse
    cdef object _take(self)
    cdef bint _header(self) except -1                                       # False: more bytes are needed
    cdef int _begin(self) except -1
    cdef int _join(self) except -1

    # Make a piece. None: there was a fault
    cdef object _piece(self, Py_ssize_t n)
    cdef object _plain(self, const uint8_t *data, Py_ssize_t n)
    cdef object _decoded(self, const uint8_t *data, Py_ssize_t n, bint last)
    cdef object _text(self, const uint8_t *plain, Py_ssize_t n, bint last)
    cdef object _close(self, bytes payload)
    cdef int _count(self, Py_ssize_t n) except -1

    # Let extensions make it
    cdef int _grant(self) except -1
    cdef object _extended(self, const uint8_t *data, Py_ssize_t n)
    cdef object _through(self, bytes data)
    cdef object _completed(self)

    # Fail
    cdef int _fail(self, code, str text) except -1
