# The frame codec: bytes of the wire in, messages out, and back. No socket, no clock, no event loop.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._control cimport Control, Fault
from trunkline._inflate cimport Inflater
from trunkline._kernels cimport TL_CONTROL_MAX, TL_HEADER_MAX, tl_header, tl_utf8
from trunkline._body_cache cimport BodyCache, Room


cdef enum:  # where a parser stands
    READ_HEADER
    READ_PAYLOAD
    STALLED      # it waits for the inflater
    CLOSED       # a close frame has come: nothing may follow it (5.5.1)
    FAILED       # and the fault was not told yet
    DEAD


cdef class Decoder:
    """Frames of one direction into messages."""

    # Settings
    cdef readonly bint client              # we are the client: frames come unmasked
    cdef readonly Py_ssize_t max_size      # bytes of a message; -1: no limit
    cdef readonly Py_ssize_t max_fragments # frames of a message
    cdef readonly Inflater inflater        # None: no message may be compressed
    cdef unsigned _rsv                     # the reserved bits that may be set

    cdef BodyCache _body_cache                      # where large messages are received; None: into new memory

    # Where the parser stands
    cdef int _step                         # READ_HEADER, READ_PAYLOAD, STALLED, or the end: CLOSED, DEAD
    cdef bytes _rest                       # read and not parsed: behind a payload that is being inflated, or past _stop
    cdef Py_ssize_t _rest_at               # bytes of it that are parsed all the same
    cdef Py_ssize_t _parsed                # bytes that the last _parse took
    cdef uint64_t _stop                    # frames_received at which parsing stops until `resume`
    cdef readonly Fault fault              # set when DEAD
    cdef uint8_t _head[TL_HEADER_MAX]      # the beginning of a header that is not all here
    cdef unsigned _head_used               # bytes of it
    cdef tl_header _frame                  # the frame under way
    cdef uint64_t _left                    # bytes of its payload still to come
    cdef unsigned _phase                   # position in its masking key

    # The message under way
    cdef int _opcode                       # TEXT or BINARY; 0 between two messages
    cdef Py_ssize_t _fragments             # its frames so far
    cdef PyObject *_body                   # owned: a bytes object being filled, or NULL; freed in __dealloc__
    cdef Py_ssize_t _filled                # bytes of it that are set
    cdef tl_utf8 _utf8                     # a text's state at its last byte
    cdef bint _deflated                    # it is compressed: the inflater has it

    # The control frame under way
    cdef uint8_t _control[TL_CONTROL_MAX]
    cdef unsigned _control_used

    # Counters
    cdef readonly tl_counter bytes_received  # on the wire
    cdef readonly tl_counter frames_received
    cdef readonly tl_counter messages_received
    cdef readonly tl_counter pings_received
    cdef readonly tl_counter pongs_received
    cdef readonly tl_counter errors          # 0, or 1 once it is dead
    cdef readonly tl_counter wide_bytes      # UTF-8 of text beyond ASCII, which takes a hundred times as long to decode

    cdef bint _lent                        # the room is lent, and nothing was parsed since
    cdef bint _busy                        # it parses: what code of others does meanwhile, it cannot do to this decoder
    cdef uint64_t _last_wide               # wide_bytes that are enough for the turn

    # Verbs
    cdef void begin_turn(self) noexcept
    cdef bint is_spent(self) noexcept
    cdef Py_ssize_t parse(self, const uint8_t *data, Py_ssize_t n, list out) except -1  # control frames in out
    cdef object sole(self, const uint8_t *data, Py_ssize_t n)                           # None: n bytes for parse
    cdef Py_ssize_t room(self) noexcept                                                 # bytes, for lend and advance
    cdef Room lend(self)
    cdef int advance(self, Py_ssize_t n, list out) except -1
    cdef Py_ssize_t _parse(self, const uint8_t *data, Py_ssize_t n, list out) except -1
    cdef int _enter(self) except -1
    cdef int _keep(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _die(self) except -1
    cdef Py_ssize_t _short(self, const uint8_t *data, Py_ssize_t n) noexcept            # bytes of a header
    cdef Py_ssize_t _header(self, const uint8_t *data, Py_ssize_t n) except -1          # bytes consumed
    cdef int _begin(self) except -1
    cdef int _payload(self, const uint8_t *data, Py_ssize_t n, list out) except -1
    cdef int _finish(self, list out) except -1
    cdef int _make_room(self, Py_ssize_t extra) except -1
    cdef int _fit(self) except -1
    cdef object _whole(self, const uint8_t *data, Py_ssize_t n)                         # one unfragmented message
    cdef object _text(self, const uint8_t *data, Py_ssize_t n)                          # None after a fault
    cdef object _decoded(self, const char *data, Py_ssize_t n)
    cdef int _end_message(self, list out) except -1
    cdef int _end_control(self, list out) except -1
    cdef Py_ssize_t resume(self, list out) except -1                                    # control frames in out
    cdef bint is_behind(self) noexcept                                                  # what is read waits for a turn
    cdef object _look(self, object message)
    cdef int _drop_body(self) except -1
    cdef int _fail(self, int code, str text) except -1
