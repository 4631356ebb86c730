# The decoder: bytes of the wire in, messages and control frames out. No socket, no clock, no event loop.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._control cimport Control, Fault
from trunkline._inflate cimport Inflater
from trunkline._kernels cimport TL_CONTROL_MAX, TL_HEADER_MAX, tl_header, tl_utf8
from trunkline._body_cache cimport BodyCache


cdef enum:  # states of a parser
    READ_HEADER   # a header comes next, or the rest of one
    READ_PAYLOAD
    STALLED       # waiting for the inflater
    CLOSED        # a close frame came: nothing may follow it (5.5.1)
    FAILED        # the peer broke a rule, and nobody was told yet
    DEAD


cdef class Decoder:
    """Turn the chunks of one direction into messages."""

    # Settings
    cdef readonly bint client              # our role: a client expects unmasked frames
    cdef readonly Py_ssize_t max_size      # bytes of a message; -1: no limit
    cdef readonly Py_ssize_t max_fragments # frames of a message
    cdef readonly Inflater inflater        # None: compressed messages are a fault
    cdef unsigned _rsv                     # the reserved bits that may be set
    cdef BodyCache _body_cache             # where large messages are received; None: into new memory

    # State of the parser
    cdef int _step                         # READ_HEADER, READ_PAYLOAD, STALLED, CLOSED or DEAD
    cdef bint _busy                        # it is parsing: whatever it calls may not use it
    cdef readonly Fault fault              # why it is DEAD
    cdef bytes _rest                       # bytes that were read and must wait, or None
    cdef Py_ssize_t _rest_at               # how many bytes of _rest are parsed
    cdef Py_ssize_t _parsed                # bytes that the last _parse_frames took
    cdef uint64_t _stop                    # parse until frames_received gets here; the rest waits for resume
    cdef uint64_t _last_wide               # parse no more in this turn once wide_bytes gets here

    # The frame under way
    cdef uint8_t _head[TL_HEADER_MAX]      # an incomplete header
    cdef unsigned _head_used               # bytes of it
    cdef tl_header _frame                  # the last complete header
    cdef uint64_t _left                    # bytes of its payload still to come
    cdef unsigned _phase                   # position in its masking key
    cdef uint8_t _control[TL_CONTROL_MAX]  # payload of a control frame
    cdef unsigned _control_used            # bytes of it

    # The message under way
    cdef int _opcode                       # TL_TEXT or TL_BINARY; 0 between two messages
    cdef Py_ssize_t _fragments             # its frames so far
    cdef bint _deflated                    # it is compressed: the inflater assembles it
    cdef PyObject *_body                   # owned: a bytes object that is being filled, or NULL; freed in __dealloc__
    cdef Py_ssize_t _filled                # bytes of _body that are set
    cdef tl_utf8 _utf8                     # of a text: state of the check at its last byte
    cdef bint _lent                        # the free part of _body is lent, and nothing was parsed since

    # Counters
    cdef readonly tl_counter bytes_received  # on the wire
    cdef readonly tl_counter frames_received
    cdef readonly tl_counter messages_received
    cdef readonly tl_counter pings_received
    cdef readonly tl_counter pongs_received
    cdef readonly tl_counter errors          # 0, or 1 once it is DEAD
    cdef readonly tl_counter wide_bytes      # of text beyond ASCII, as UTF-8: it takes 100 times as long to decode

    # Parse: what arrives as chunks. `out` gets messages and Controls; the result is the number of Controls.
    cdef Py_ssize_t parse(self, const uint8_t *data, Py_ssize_t n, list out) except -1
    cdef object sole(self, const uint8_t *data, Py_ssize_t n)  # the only message in n bytes; None: use parse
    cdef Py_ssize_t resume(self, list out) except -1           # parse what had to wait
    cdef bint is_behind(self) noexcept                         # whether something waits for the next turn

    # Receive: a large payload, straight into the message
    cdef Py_ssize_t room(self) noexcept                        # bytes that lend would give
    cdef uint8_t *lend(self) noexcept                          # borrowed
    cdef int advance(self, Py_ssize_t n, list out) except -1   # n bytes were written there

    # Ration: how much to do in a turn of the event loop
    cdef void begin_turn(self) noexcept
    cdef bint is_spent(self) noexcept

    # _parse: enter, and keep what must wait
    cdef int _enter(self) except -1
    cdef Py_ssize_t _parse_frames(self, const uint8_t *data, Py_ssize_t n, list out) except -1
    cdef int _keep_rest(self, const uint8_t *data, Py_ssize_t n) except -1

    # _read: one frame
    cdef Py_ssize_t _read_short_header(self, const uint8_t *data, Py_ssize_t n) noexcept  # its bytes; 0: not short
    cdef Py_ssize_t _read_header(self, const uint8_t *data, Py_ssize_t n) except -1       # bytes taken
    cdef int _begin_frame(self) except -1
    cdef int _read_payload(self, const uint8_t *data, Py_ssize_t n, list out) except -1
    cdef object _read_whole(self, const uint8_t *data, Py_ssize_t n)                      # None: it failed or stalled
    cdef object _read_text(self, const uint8_t *data, Py_ssize_t n)                       # None: it failed
    cdef object _decode(self, const char *data, Py_ssize_t n)
    cdef object _check_inflater(self, object message)

    # _end: what is complete goes to `out`
    cdef int _end_frame(self, list out) except -1
    cdef int _end_message(self, list out) except -1
    cdef int _end_control(self, list out) except -1

    # _body: the memory of the message under way
    cdef int _grow_body(self, Py_ssize_t extra) except -1
    cdef int _trim_body(self) except -1
    cdef int _drop_body(self) except -1

    # Fail: the peer broke a rule, or there was no memory
    cdef int _fail(self, int code, str text) except -1
    cdef int _die(self) except -1
