# Frames a piece at a time, as wsproto's FrameProtocol gives and takes them.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._frame_writer cimport FrameWriter
from trunkline._kernels cimport tl_header


cdef class FrameProtocol(FrameWriter):
    """Both directions of one connection: bytes to pieces of messages, and payloads to frames."""

    # Settings
    cdef Py_ssize_t _max_size              # bytes of a message; -1: no limit

    # What was received
    cdef bytes _chunk                      # being read
    cdef Py_ssize_t _at                    # where in it
    cdef list _waiting                     # chunks behind it

    # Where the parser stands
    cdef int _step                         # READ_HEADER, READ_PAYLOAD, or the end: CLOSED, FAILED, DEAD
    cdef tl_header _frame                  # the frame under way
    cdef uint64_t _left                    # bytes of its payload still to come
    cdef unsigned _phase                   # position in its masking key
    cdef int _message                      # the message under way: TEXT or BINARY; 0 between two
    cdef Py_ssize_t _size                  # its bytes so far, after the extensions
    cdef uint8_t _tail[4]                  # the bytes of its last character, while that is not whole
    cdef unsigned _tail_used
    cdef bint _taking                      # an extension may run: it cannot ask for the next piece

    # The last piece, beside its data
    cdef int opcode                        # TEXT and BINARY also on continuations
    cdef bint frame_finished
    cdef bint message_finished
    cdef object code                       # close: the close code; a fault: the close code to send
    cdef str fault                         # why it failed

    # Verbs
    cdef int feed(self, data) except -1
    cdef object take(self)                                                  # None: no piece; then look at has_failed
    cdef bint has_failed(self) noexcept                                     # True once

    cdef object _take(self)
    cdef bint _header(self) except -1                                       # False: its bytes are not all here
    cdef int _begin(self) except -1
    cdef int _join(self) except -1
    cdef object _piece(self, Py_ssize_t n)
    cdef object _plain(self, const uint8_t *data, Py_ssize_t n)             # None after a fault
    cdef object _decoded(self, const uint8_t *data, Py_ssize_t n, bint last)
    cdef object _text(self, const uint8_t *plain, Py_ssize_t n, bint last)
    cdef object _close(self, bytes payload)
    cdef int _count(self, Py_ssize_t n) except -1
    cdef int _grant(self) except -1
    cdef object _extended(self, const uint8_t *data, Py_ssize_t n)
    cdef object _through(self, bytes data)
    cdef object _completed(self)
    cdef int _fail(self, code, str text) except -1
