"""wsproto's FrameProtocol, compiled: bytes to pieces of messages, one at a time and only on request, and back.

Theory of operation. `feed` only keeps a chunk; `take` parses. A piece is all that has arrived of one frame, as in
wsproto, and is made in one copy, which also unmasks it. A header or a control frame that is incomplete stays in its
chunk, and is joined with the next one. Nothing else is kept but the start of a character, 3 bytes at most: so no limit
is needed. You may set one: `max_size` counts the bytes of a message over its pieces. Enabled extensions get each
payload in wsproto's order. With a limit they get it in slices, so small that what an honest inflater makes of one stays
in proportion to the room that is left.

A parser that has failed is dead: it reports its fault once, and keeps nothing.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from libc.string cimport memcpy

from trunkline._batch cimport MaskingKeys
from trunkline._control cimport refusal
from trunkline._cpython cimport PY_SSIZE_T_MAX, PyUnicode_DATA, PyUnicode_DecodeUTF8Stateful, PyUnicode_New
from trunkline._frame_writer cimport FrameWriter
from trunkline._frames cimport CLOSED, DEAD, FAILED, READ_HEADER, READ_PAYLOAD
from trunkline._kernels cimport (
    TL_CLOSE, TL_CODE_SIZE, TL_CONTINUATION, TL_RSV, TL_RSV_SHIFT, TL_TEXT, apply_mask, ascii_span, feed_utf8,
    read_header, tl_is_close_code, tl_utf8,
)

from wsproto.frame_protocol import CloseReason, Frame, Opcode, ParseFailed, RsvBits

cdef enum:
    SLICE_SHARE = 1024  # an extension gets this part of the room at a time: deflate can make 1032 bytes of one
    SLICE_LEAST = 256   # bytes of a slice at least

cdef dict OPCODES = {int(opcode): opcode for opcode in Opcode}
cdef dict CODES = {int(reason): reason for reason in CloseReason}
cdef object NO_STATUS = CloseReason.NO_STATUS_RCVD
cdef object PROTOCOL_ERROR = CloseReason.PROTOCOL_ERROR
cdef object INVALID_DATA = CloseReason.INVALID_FRAME_PAYLOAD_DATA
cdef object TOO_BIG = CloseReason.MESSAGE_TOO_BIG


cdef class FrameProtocol(FrameWriter):
    """wsproto's FrameProtocol: the frames of both directions, without states or events.

    Args:
        client: our role.
        extensions: wsproto's; the enabled ones get every payload.
        max_size: bytes that a message may have over its pieces, as the extensions return them; None for no limit. One
            more fails with code 1009, if possible before it is inflated.
    """

    def __init__(self, bint client, extensions=None, *, max_size=None):
        if max_size is not None and max_size < 0:
            raise ValueError(f"max_size is {max_size}, must be 0 or more, or None for no limit")
        self.client = client
        self.extensions = [extension for extension in extensions or () if extension.enabled()]
        self._max_size = -1 if max_size is None else max_size
        self._keys = MaskingKeys() if client else None

    def __cinit__(self, *arguments, **named):
        self._max_size = -1
        self._chunk = b""
        self._waiting = []

    @property
    def max_size(self):
        """The bytes that a message may have over its pieces; None for no limit."""
        return None if self._max_size < 0 else self._max_size

    # Receive

    def receive_bytes(self, data):
        """Keep a chunk (bytes-like). `received_frames` parses it."""
        self.feed(data)

    def received_frames(self):
        """Yield what has arrived as wsproto's Frame objects; the last may be a part of a frame.

        Raises:
            ParseFailed: wsproto's, once, if the peer broke a rule of RFC 6455. Nothing follows.
        """
        while True:
            data = self.take()
            if data is None:
                break
            if self.opcode == TL_CLOSE:
                data = (self.code, data)
            yield Frame(OPCODES[self.opcode], data, self.frame_finished, self.message_finished)
        if self.has_failed():
            raise ParseFailed(self.fault, self.code)

    cdef int feed(self, data) except -1:
        """Keep a chunk (bytes-like)."""
        if self._step > READ_PAYLOAD:
            return 0  # nothing counts after a close frame or a fault
        cdef bytes chunk
        if PyBytes_CheckExact(data):
            chunk = data
        else:
            chunk = bytes(memoryview(data))
        if PyBytes_GET_SIZE(chunk) == 0:
            return 0
        if PyBytes_GET_SIZE(self._chunk) == 0 and PyList_GET_SIZE(self._waiting) == 0:
            self._chunk = chunk
        else:
            self._waiting.append(chunk)
        return 0

    cdef object take(self):
        """Return the next piece; None if there is none, or after a fault. It dies if it raises."""
        if self._taking:
            raise ValueError("an extension asks for the next piece while it is given this one")
        self._taking = True
        try:
            return self._take()
        except BaseException:
            self._step = DEAD  # no memory, or an extension raised: the state may be anything
            raise
        finally:
            self._taking = False

    cdef bint has_failed(self) noexcept:
        """Return whether there is a fault that was not reported yet."""
        if self._step != FAILED:
            return False
        self._step = DEAD
        return True

    cdef object _take(self):
        """Parse until there is a piece. See `take`."""
        cdef Py_ssize_t here
        while self._step <= READ_PAYLOAD:
            if self._step == READ_HEADER:
                if not self._header():
                    break
                continue
            here = PyBytes_GET_SIZE(self._chunk) - self._at
            if self._left <= <uint64_t>here:
                return self._piece(<Py_ssize_t>self._left)
            if PyList_GET_SIZE(self._waiting):
                self._join()
            elif here and self._frame.opcode < TL_CLOSE:
                return self._piece(here)
            else:
                break
        return None

    cdef bint _header(self) except -1:
        """Read a header; return False if more bytes are needed."""
        cdef Py_ssize_t here = PyBytes_GET_SIZE(self._chunk) - self._at
        cdef int used = read_header(<const uint8_t *>PyBytes_AS_STRING(self._chunk) + self._at, <size_t>here,
                                       not self.client, TL_RSV if PyList_GET_SIZE(self.extensions) else 0,
                                       &self._frame)
        if used > 0:
            self._at += used
            self._begin()
        elif used < 0:
            self._fail(PROTOCOL_ERROR, refusal(used, &self._frame, self.client))
        elif PyList_GET_SIZE(self._waiting):
            self._join()
        else:
            return False
        return True

    cdef int _begin(self) except -1:
        """Judge a complete header against the message under way."""
        cdef tl_header *frame = &self._frame
        self._left = frame.length
        self._phase = 0
        self._step = READ_PAYLOAD
        if PyList_GET_SIZE(self.extensions):
            self._grant()
            if self._step != READ_PAYLOAD:
                return 0
        if frame.opcode >= TL_CLOSE:
            return 0
        if frame.opcode == TL_CONTINUATION:
            if not self._message:
                return self._fail(PROTOCOL_ERROR, "continuation frame with no message to continue (RFC 6455 5.4)")
        elif self._message:
            return self._fail(PROTOCOL_ERROR, f"frame with opcode {frame.opcode} inside a fragmented message, "
                                              "only continuations may follow (RFC 6455 5.4)")
        else:
            self._message = frame.opcode
            self._size = 0
            self._tail_used = 0
        if self._max_size >= 0 and not PyList_GET_SIZE(self.extensions):
            if frame.length > <uint64_t>(self._max_size - self._size):
                return self._fail(TOO_BIG, self._too_big(self._size + frame.length))
        return 0

    def _too_big(self, size):
        """Return the words for a message that is too long."""
        return f"message of {size} bytes or more, max_size {self._max_size} (RFC 6455 7.4.1)"

    cdef int _join(self) except -1:
        """Join the rest of the chunk with those behind it."""
        if self._at == PyBytes_GET_SIZE(self._chunk) and PyList_GET_SIZE(self._waiting) == 1:
            self._chunk = self._waiting.pop()
        else:
            self._chunk = b"".join([memoryview(self._chunk)[self._at:], *self._waiting])
            self._waiting.clear()
        self._at = 0
        return 0

    cdef object _piece(self, Py_ssize_t n):
        """Return the piece that the next n bytes of the payload become; None after a fault."""
        cdef bytes chunk = self._chunk  # keep it: an extension may feed us meanwhile
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(chunk) + self._at
        cdef object piece
        self._at += n
        self._left -= <uint64_t>n
        if self._at == PyBytes_GET_SIZE(chunk):
            self._chunk = b""
            self._at = 0
        self.frame_finished = self._left == 0
        self.message_finished = self.frame_finished and self._frame.fin
        if self.frame_finished:
            self._step = READ_HEADER
        self.opcode = self._frame.opcode if self._frame.opcode >= TL_CLOSE else self._message
        if PyList_GET_SIZE(self.extensions):
            piece = self._extended(data, n)
        elif self.opcode >= TL_CLOSE:
            piece = self._plain(data, n)
        else:
            self._size += n
            piece = self._decoded(data, n, self.message_finished) if self.opcode == TL_TEXT else self._plain(data, n)
        if self.opcode == TL_CLOSE and piece is not None:
            return self._close(piece)
        if self.message_finished and self.opcode < TL_CLOSE:
            self._message = 0
        return piece

    cdef object _plain(self, const uint8_t *data, Py_ssize_t n):
        """Return the next bytes of the payload, unmasked."""
        cdef bytes plain
        if not self._frame.masked:
            return PyBytes_FromStringAndSize(<const char *>data, n)
        plain = PyBytes_FromStringAndSize(NULL, n)
        if n:  # the empty bytes object is shared: never write to it
            self._phase = apply_mask(<uint8_t *>PyBytes_AS_STRING(plain), data, n, self._frame.key, self._phase)
        return plain

    cdef object _decoded(self, const uint8_t *data, Py_ssize_t n, bint last):
        """Return the next bytes of a text, unmasked and decoded; None after a fault."""
        cdef object ascii
        cdef uint8_t *plain
        if n == 0 or self._tail_used:
            ascii = self._plain(data, n)
            return self._text(<const uint8_t *>PyBytes_AS_STRING(ascii), n, last)
        if not self._frame.masked:
            return self._text(data, n, last)
        # Most text is ASCII: unmask it straight into a str, which is thrown away if it is not.
        ascii = PyUnicode_New(n, 127)
        plain = <uint8_t *>PyUnicode_DATA(ascii)
        self._phase = apply_mask(plain, data, n, self._frame.key, self._phase)
        return ascii if ascii_span(plain, n) == <size_t>n else self._text(plain, n, last)

    cdef object _text(self, const uint8_t *plain, Py_ssize_t n, bint last):
        """Return the characters that end in these bytes, and keep the start of one that does not. None: it failed."""
        cdef bytes joined
        cdef Py_ssize_t used = 0
        cdef object text = None
        cdef tl_utf8 state = 0
        if self._tail_used:
            joined = PyBytes_FromStringAndSize(<const char *>self._tail, self._tail_used) + plain[:n]
            plain = <const uint8_t *>PyBytes_AS_STRING(joined)
            n += self._tail_used
        try:
            text = PyUnicode_DecodeUTF8Stateful(<const char *>plain, n, NULL, &used)
        except UnicodeDecodeError:
            used = <Py_ssize_t>feed_utf8(&state, plain, n)
            self._fail(INVALID_DATA, f"text is not UTF-8 at byte {self._size - n + used} (RFC 6455 8.1)")
        if text is None:
            return None
        if n - used == 2 and plain[used] == 0xED and plain[used + 1] >= 0xA0:
            # A surrogate: Python's decoder would wait for its third byte.
            self._fail(INVALID_DATA, f"text is not UTF-8 at byte {self._size - 1} (RFC 6455 8.1)")
            return None
        if last and used < n:
            self._fail(INVALID_DATA, f"text ends inside a character, after {self._size} bytes (RFC 6455 8.1)")
            return None
        if n - used > <Py_ssize_t>sizeof(self._tail):
            raise SystemError(f"{n - used} bytes of a character left, a character has 4 at most")
        self._tail_used = <unsigned>(n - used)
        memcpy(self._tail, plain + used, self._tail_used)
        return text

    cdef object _close(self, bytes payload):
        """Return the close reason, and set the close code; None after a fault."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(payload)
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(payload)
        cdef int code
        if n == 0:
            self._step = CLOSED
            self.code = NO_STATUS
            return ""
        if n == 1:
            self._fail(PROTOCOL_ERROR, "close frame with 1 byte of payload, a close code takes 2 (RFC 6455 5.5.1)")
            return None
        code = data[0] << 8 | data[1]
        if not tl_is_close_code(code):
            self._fail(PROTOCOL_ERROR, f"close code {code} may not be sent (RFC 6455 7.4)")
            return None
        reason = None
        try:
            reason = payload[TL_CODE_SIZE:].decode()
        except UnicodeDecodeError as error:
            self._fail(INVALID_DATA, f"close reason is not UTF-8 at byte {error.start} (RFC 6455 5.5.1)")
        if reason is None:
            return None
        self._step = CLOSED
        self.code = CODES.get(code, code)
        return reason

    cdef int _fail(self, code, str text) except -1:
        """Fail with a close code, and let go of all input."""
        self._step = FAILED
        self.code = code
        self.fault = text
        self._chunk = b""
        self._at = 0
        self._waiting.clear()
        return 0

    # Extensions

    cdef int _grant(self) except -1:
        """Ask the extensions which reserved bits are theirs (RFC 6455 9.2)."""
        cdef unsigned granted = 0
        cdef unsigned rsv = self._frame.rsv >> TL_RSV_SHIFT  # as a number of three bits
        bits = RsvBits(bool(rsv & 4), bool(rsv & 2), bool(rsv & 1))
        for extension in self.extensions:
            answer = extension.frame_inbound_header(self, OPCODES[self._frame.opcode], bits, self._frame.length)
            if isinstance(answer, CloseReason):
                return self._fail(answer, _refused(extension))
            for position, granting in enumerate(answer):
                if granting and position < 3:
                    granted |= 4 >> <unsigned>position
        if rsv & ~granted:
            self._fail(PROTOCOL_ERROR, f"reserved bits {rsv:03b} set, extensions were granted {granted:03b} "
                                       "(RFC 6455 5.2)")
        return 0

    cdef object _extended(self, const uint8_t *data, Py_ssize_t n):
        """Return what the extensions make of the next bytes, decoded if it is text; None after a fault."""
        cdef bytes whole = self._plain(data, n)
        cdef bytes piece
        cdef Py_ssize_t start = 0, size
        cdef list made = []
        while self._step <= READ_PAYLOAD and (start < n or start == 0):
            size = n
            if self._max_size >= 0 and self.opcode < TL_CLOSE:
                size = min(n, max((self._max_size - self._size) // SLICE_SHARE, SLICE_LEAST))
            made.append(self._through(whole[start:start + size]))
            start += max(size, 1)
        if self.frame_finished and self._step <= READ_PAYLOAD:
            made.append(self._completed())
        if self._step > READ_PAYLOAD:
            return None
        piece = made[0] if len(made) == 1 else b"".join(made)
        if self.opcode != TL_TEXT:
            return piece
        return self._text(<const uint8_t *>PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), self.message_finished)

    cdef object _through(self, bytes data):
        """Return what the extensions, one after the other, make of data; None after a fault."""
        for extension in self.extensions:
            answer = extension.frame_inbound_payload_data(self, data)
            if isinstance(answer, CloseReason):
                self._fail(answer, _refused(extension))
                return None
            data = bytes(answer)
        self._count(PyBytes_GET_SIZE(data))
        return data

    cdef object _completed(self):
        """Return what the extensions add at the end of a frame; None after a fault."""
        cdef bytes added = b""
        for extension in self.extensions:
            answer = extension.frame_inbound_complete(self, bool(self._frame.fin))
            if isinstance(answer, CloseReason):
                self._fail(answer, _refused(extension))
                return None
            if answer is not None:
                added += bytes(answer)
        self._count(PyBytes_GET_SIZE(added))
        return added

    cdef int _count(self, Py_ssize_t n) except -1:
        """Count n more bytes of the message; fail if it is too long."""
        if self.opcode >= TL_CLOSE:
            return 0
        if n > PY_SSIZE_T_MAX - self._size:
            raise OverflowError("a message has more bytes than can be counted")
        self._size += n
        if self._max_size >= 0 and self._size > self._max_size:
            self._fail(TOO_BIG, self._too_big(self._size))
        return 0


cdef str _refused(extension):
    """Return the words for a frame that an extension refused."""
    return f"refused by extension {getattr(extension, 'name', type(extension).__name__)} (RFC 6455 9.2)"
