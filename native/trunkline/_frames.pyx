"""The decoder of RFC 6455 frames (sections 5 to 8): strict, incremental, many messages at a time.

Theory of operation. Feed a `Decoder` chunks as they are read. It returns, in the order of the wire, every message
(`str` or `bytes`) and every control frame (`Control`) that a chunk completes. A frame that lies whole in a chunk
becomes a message in one copy, which also unmasks it. What is incomplete at the end of a chunk stays in the decoder: at
most a header (14 bytes), a control payload (125 bytes) and the body of one message, which grows as its bytes arrive, up
to `max_size`. Text is checked as it arrives, so that the chunk with the bad byte fails the connection. A decoder that
has failed is dead, and `fault` says why; it still returns what was complete before the fault.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_XDECREF
from libc.string cimport memcpy

from trunkline._atomic cimport tl_count
from trunkline._body_cache cimport SHELVED, grow_body
from trunkline._control cimport new_control, new_fault, not_utf8, read_close, refusal
from trunkline._cpython cimport (
    BODY, BODY_SIZE, PY_SSIZE_T_MAX, PyUnicode_DATA, PyUnicode_DecodeUTF8, PyUnicode_IS_ASCII, PyUnicode_New,
    resize_body,
)
from trunkline._kernels cimport (
    TL_BINARY, TL_CLOSE, TL_CONTINUATION, TL_FIN, TL_INVALID_DATA, TL_KEY_SIZE, TL_LENGTH, TL_MASKED, TL_OPCODE,
    TL_PING, TL_POLICY_VIOLATION, TL_PONG, TL_PROTOCOL_ERROR, TL_RSV1, TL_SHORT_MAX, TL_TEXT, TL_TOO_BIG,
    apply_mask, ascii_span, feed_utf8, read_header,
)

OPCODE_CONTINUATION, OPCODE_TEXT, OPCODE_BINARY = TL_CONTINUATION, TL_TEXT, TL_BINARY
OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG = TL_CLOSE, TL_PING, TL_PONG
FIN, RSV1 = TL_FIN, TL_RSV1

cdef enum:
    CONTROL_WEIGHT = 8     # a control frame counts as this many messages towards _stop: it costs as much to handle
    MAX_WIDE = 512 * 1024  # bytes of text beyond ASCII that a turn decodes before the next read waits


@cython.final
cdef class Decoder:
    """Turn the chunks of one direction into messages.

    Args:
        client: our role. A client expects unmasked frames, a server masked ones (5.1).
        max_size: bytes that a message may have; None for no limit. A header that announces more is a fault, code 1009.
        max_fragments: frames that a message may have; None for no limit.
        inflater: assembles compressed messages (RFC 7692), within its own max_size. None: they are a fault.
    """

    def __cinit__(self, bint client, *, max_size=2**20, max_fragments=1024, Inflater inflater=None):
        if max_size is not None and max_size < 0:
            raise ValueError(f"max_size is {max_size}, must be 0 or more, or None for no limit")
        if max_fragments is not None and max_fragments < 1:
            raise ValueError(f"max_fragments is {max_fragments}, must be 1 or more, or None for no limit")
        self.client = client
        self.max_size = -1 if max_size is None else max_size
        self.max_fragments = PY_SSIZE_T_MAX if max_fragments is None else max_fragments
        self.inflater = inflater
        self._rsv = 0 if inflater is None else TL_RSV1
        self._stop = self._last_wide = <uint64_t>-1

    def __dealloc__(self):
        Py_XDECREF(self._body)

    @property
    def closed(self):
        """Whether a close frame was received. Whatever follows it is ignored (5.5.1)."""
        return self._step == CLOSED

    def feed(self, data):
        """Parse a chunk (bytes-like); return a list of what it completes: str, bytes and Control, in order.

        After a fault or a close frame the list is empty. What a peer sent never raises: look at `fault`.

        Raises:
            RuntimeError: if something that the decoder calls, such as a decompressor, calls the decoder.
        """
        cdef list out = []
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            self.parse(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), out)
            return out
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.parse(<const uint8_t *>view.buf, view.len, out)
        finally:
            PyBuffer_Release(&view)
        return out

    cdef void begin_turn(self) noexcept:
        """Start a turn of the event loop, with a new allowance."""
        self._last_wide = self.wide_bytes + MAX_WIDE
        if self.inflater is not None:
            self.inflater.begin_turn()

    cdef bint is_spent(self) noexcept:
        """Return whether the allowance of this turn is used up."""
        return self.wide_bytes >= self._last_wide or (self.inflater is not None and self.inflater.is_spent())

    cdef int _enter(self) except -1:
        """Mark it busy; raise RuntimeError if it is."""
        if self._busy:
            raise RuntimeError("a decoder cannot be used by something that it calls")
        self._busy, self._lent = True, False
        return 0

    cdef Py_ssize_t parse(self, const uint8_t *data, Py_ssize_t n, list out) except -1:
        """Parse a chunk, or keep it if an earlier one has to wait. It dies if it raises."""
        cdef Py_ssize_t controls = 0
        self._enter()
        tl_count(&self.bytes_received, <uint64_t>n)
        try:
            if self._rest is not None:
                self._keep_rest(data, n)
            else:
                controls = self._parse_frames(data, n, out)
                if self._parsed < n and self._step <= STALLED:
                    self._keep_rest(data + self._parsed, n - self._parsed)
        except BaseException:
            self._die()  # out of memory, in the middle of anything
            raise
        self._busy = False
        return controls

    cdef int _keep_rest(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Keep bytes that must not be parsed yet."""
        cdef bytes more = PyBytes_FromStringAndSize(<const char *>data, n)
        self._rest = more if self._rest is None else self._rest[self._rest_at:] + more
        self._rest_at = 0
        return 0

    cdef bint is_behind(self) noexcept:
        """Return whether bytes wait for the next turn, and not for a thread."""
        if self._step == STALLED:
            return not self.inflater.for_thread
        return self._rest is not None and self._step < STALLED

    cdef object sole(self, const uint8_t *data, Py_ssize_t n):
        """Return the message if these n bytes are one short message and nothing else. Otherwise, or if it has a fault,
        return None: parse them then.
        """
        cdef Py_ssize_t used = 2 if self.client else 2 + TL_KEY_SIZE
        if n < used or n - used != data[1] & TL_LENGTH or self._step != READ_HEADER or self._rest is not None:
            return None
        if self._read_short_header(data, n) == 0:
            return None
        self._step = DEAD  # if there is no memory for it
        cdef object message = self._read_whole(data + used, n - used)
        if message is not None:
            self._step = READ_HEADER
            tl_count(&self.bytes_received, <uint64_t>n)
            tl_count(&self.messages_received, 1)
        return message

    cdef int _die(self) except -1:
        """Give up after an exception: the state may be anything."""
        self._step, self._busy, self._rest = DEAD, False, None
        self._drop_body()
        return 0

    cdef Py_ssize_t _parse_frames(self, const uint8_t *data, Py_ssize_t n, list out) except -1:
        """Parse frames until the bytes end, or until the rest has to wait; set _parsed."""
        cdef Py_ssize_t i = 0, controls = 0, head, length
        cdef object message
        while i < n and self._step <= READ_PAYLOAD and self.frames_received < self._stop:
            if self._step == READ_HEADER:
                head = self._read_short_header(data + i, n - i)
                i += head or self._read_header(data + i, n - i)
                if head == 0 and self._step != READ_PAYLOAD:
                    break
                if head or (self._left <= <uint64_t>(n - i) and self._frame.opcode != TL_CONTINUATION
                        and self._frame.fin and self._frame.opcode < TL_CLOSE):
                    length = <Py_ssize_t>self._frame.length
                    message = self._read_whole(data + i, length)
                    if message is None:
                        i += length
                        break
                    out.append(message)
                    tl_count(&self.messages_received, 1)
                    self._opcode = 0
                    self._step = READ_HEADER
                    i += length
                    continue
            length = n - i if self._left > <uint64_t>(n - i) else <Py_ssize_t>self._left
            self._read_payload(data + i, length, out)
            i += length
            if self._left == 0 and self._step == READ_PAYLOAD:
                if self._frame.opcode >= TL_CLOSE:
                    controls += 1
                    self._stop -= CONTROL_WEIGHT - 1
                self._end_frame(out)
        self._parsed = i
        return controls

    cdef Py_ssize_t _read_short_header(self, const uint8_t *data, Py_ssize_t n) noexcept:
        """Read the header of the usual message: short, in one frame, not compressed, all here. Return its size, or 0
        for any other frame, which `_read_header` must judge.
        """
        cdef Py_ssize_t used = 2 if self.client else 2 + TL_KEY_SIZE
        cdef uint8_t length
        if n < used or self._head_used or self._opcode or (
                data[0] != TL_FIN | TL_TEXT and data[0] != TL_FIN | TL_BINARY):
            return 0
        length = data[1] if self.client else data[1] ^ TL_MASKED
        if length > TL_SHORT_MAX or n - used < length or 0 <= self.max_size < length:
            return 0
        self._frame.opcode, self._frame.fin, self._frame.rsv = data[0] & TL_OPCODE, 1, 0
        self._frame.masked, self._frame.length = not self.client, length
        if not self.client:
            memcpy(self._frame.key, data + 2, TL_KEY_SIZE)
        self._deflated = False
        tl_count(&self.frames_received, 1)
        return used

    cdef Py_ssize_t _read_header(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Read a header, or keep the start of one. Return the bytes taken."""
        cdef unsigned kept = self._head_used
        cdef size_t take
        cdef int used
        if kept:
            take = min(<size_t>n, <size_t>(TL_HEADER_MAX - kept))
            memcpy(self._head + kept, data, take)
            used = read_header(self._head, kept + take, not self.client, self._rsv, &self._frame)
        else:
            take = min(<size_t>n, <size_t>TL_HEADER_MAX)
            used = read_header(data, <size_t>n, not self.client, self._rsv, &self._frame)
        if used < 0:
            self._fail(TL_PROTOCOL_ERROR, refusal(used, &self._frame, self.client))
            return n
        if used == 0:
            # 14 bytes always make a header, so that _head never fills up.
            if not kept:
                memcpy(self._head, data, take)
            self._head_used = kept + <unsigned>take
            return <Py_ssize_t>take
        self._head_used = 0
        self._begin_frame()
        return <Py_ssize_t>used - <Py_ssize_t>kept

    cdef int _begin_frame(self) except -1:
        """Judge a complete header against the message under way."""
        cdef tl_header *frame = &self._frame
        tl_count(&self.frames_received, 1)
        self._left = frame.length
        self._phase = 0
        self._step = READ_PAYLOAD
        if frame.rsv and (frame.opcode >= TL_CLOSE or frame.opcode == TL_CONTINUATION):
            # RFC 7692 6.1: only the first frame of a message says that it is compressed.
            return self._fail(TL_PROTOCOL_ERROR, f"RSV1 set on a frame with opcode {frame.opcode} (RFC 7692 6)")
        if frame.opcode >= TL_CLOSE:
            self._control_used = 0
            return 0
        if frame.opcode == TL_CONTINUATION:
            if not self._opcode:
                return self._fail(TL_PROTOCOL_ERROR, "continuation frame with no message to continue (RFC 6455 5.4)")
        elif self._opcode:
            return self._fail(TL_PROTOCOL_ERROR, f"frame with opcode {frame.opcode} inside a fragmented message, "
                                    "only continuations may follow (RFC 6455 5.4)")
        else:
            self._opcode = frame.opcode
            self._fragments = 0
            self._filled = 0
            self._utf8 = 0
            self._deflated = frame.rsv != 0
            if self._deflated:
                self.inflater.begin(frame.opcode)
        self._fragments += 1
        if self._fragments > self.max_fragments:
            return self._fail(TL_POLICY_VIOLATION, f"message in {self._fragments} fragments, "
                                    f"max_fragments {self.max_fragments} (RFC 6455 10.4)")
        cdef uint64_t room = <uint64_t>((self.max_size if self.max_size >= 0 else PY_SSIZE_T_MAX - 1024) - self._filled)
        if frame.length > room and not self._deflated:  # of a compressed one, inflated bytes count
            return self._fail(TL_TOO_BIG, f"message of {self._filled + frame.length} bytes or more, max_size "
                                    f"{self.max_size if self.max_size >= 0 else 'None'} (RFC 6455 7.4.1)")
        return self._trim_body() if frame.fin else 0

    cdef object _read_whole(self, const uint8_t *data, Py_ssize_t n):
        """Return a message that lies whole in the chunk; None if it failed, or stalled."""
        cdef bytes out
        if self._deflated:
            self._left = 0
            return self._check_inflater(self.inflater.whole(data, n, self._frame.key if self._frame.masked else NULL))
        if self._frame.opcode == TL_TEXT:
            return self._read_text(data, n)
        if n >= SHELVED and self._body_cache is not None:
            out = self._body_cache.new(n)
            self._body_cache.keep(out)
        elif not self._frame.masked:
            return PyBytes_FromStringAndSize(<const char *>data, n)
        else:
            out = PyBytes_FromStringAndSize(NULL, n)
        if not self._frame.masked:
            memcpy(PyBytes_AS_STRING(out), data, n)
        elif n:  # the empty bytes object is shared: never write to it
            apply_mask(<uint8_t *>PyBytes_AS_STRING(out), data, n, self._frame.key, 0)
        return out

    cdef object _check_inflater(self, object message):
        """Follow the inflater if it failed or stalled; return the message that it gave."""
        if self.inflater.code and self._step != DEAD:
            self._fail(self.inflater.code, self.inflater.text)
        elif self.inflater.stalled:
            self._step = STALLED
        if self.inflater.is_spent():
            self._stop = 0
        return message

    cdef Py_ssize_t resume(self, list out) except -1:
        """Parse what had to wait: call it after `inflater.work()`, or with a new _stop."""
        cdef bytes rest = self._rest
        cdef Py_ssize_t at = self._rest_at, n = 0 if rest is None else PyBytes_GET_SIZE(rest), controls = 0
        self._enter()
        try:
            if self._step == STALLED:
                self._step = READ_PAYLOAD
                self.inflater.resume()
                self._check_inflater(None)
                if self._left == 0 and self._step == READ_PAYLOAD:
                    self._end_frame(out)
            if rest is not None and self._step <= READ_PAYLOAD:
                self._rest = None
                controls = self._parse_frames(<const uint8_t *>PyBytes_AS_STRING(rest) + at, n - at, out)
                if at + self._parsed < n and self._step <= STALLED:
                    self._rest, self._rest_at = rest, at + self._parsed
        except BaseException:
            self._die()
            raise
        self._busy = False
        return controls

    cdef object _read_text(self, const uint8_t *data, Py_ssize_t n):
        """Return the text of a payload that lies whole in the chunk; None if it is not UTF-8."""
        cdef object ascii, text
        cdef uint8_t *plain
        cdef tl_utf8 state = 0
        if n == 0:
            return ""
        if not self._frame.masked:
            plain = <uint8_t *>data  # only read below
        else:
            # Most text is ASCII: unmask it straight into a str, which is thrown away if it is not.
            ascii = PyUnicode_New(n, 127)
            plain = <uint8_t *>PyUnicode_DATA(ascii)
            apply_mask(plain, data, n, self._frame.key, 0)
            if ascii_span(plain, n) == <size_t>n:
                return ascii
        text = None
        try:
            text = self._decode(<const char *>plain, n)
        except UnicodeDecodeError:
            self._fail(TL_INVALID_DATA, not_utf8(<Py_ssize_t>feed_utf8(&state, plain, n), n))
        return text

    cdef object _decode(self, const char *data, Py_ssize_t n):
        """Decode UTF-8, and count it if it is beyond ASCII; raise UnicodeDecodeError."""
        cdef object text = PyUnicode_DecodeUTF8(data, n, NULL)
        if not PyUnicode_IS_ASCII(text):
            tl_count(&self.wide_bytes, <uint64_t>n)
        return text

    cdef int _read_payload(self, const uint8_t *data, Py_ssize_t n, list out) except -1:
        """Take the next n bytes of the payload, at most _left."""
        cdef uint8_t *room
        cdef size_t good
        if n == 0:
            return 0
        self._left -= <uint64_t>n
        if self._frame.opcode >= TL_CLOSE:
            room = self._control + self._control_used
            self._control_used += <unsigned>n
        elif self._deflated:
            self._phase = self.inflater.give(data, n, self._frame.key if self._frame.masked else NULL, self._phase)
            self._check_inflater(None)
            return 0
        else:
            self._grow_body(n)
            room = <uint8_t *>BODY(self._body) + self._filled
            self._filled += n
        if self._frame.masked:
            self._phase = apply_mask(room, data, n, self._frame.key, self._phase)
        elif room != data:
            memcpy(room, data, n)
        if self._opcode == TL_TEXT and self._frame.opcode < TL_CLOSE:
            good = feed_utf8(&self._utf8, room, n)
            if good < <size_t>n:
                self._fail(TL_INVALID_DATA, not_utf8(self._filled - n + <Py_ssize_t>good, self._filled))
        return 0

    cdef Py_ssize_t room(self) noexcept:
        """Return how many bytes of the payload may be received straight into the body; 0 if none may."""
        if self._step != READ_PAYLOAD or self._frame.opcode >= TL_CLOSE or self._body == NULL:
            return 0
        cdef Py_ssize_t free = BODY_SIZE(self._body) - self._filled
        return free if <uint64_t>free < self._left else <Py_ssize_t>self._left

    cdef uint8_t *lend(self) noexcept:
        """Lend the free part of the body: `room` bytes. Write to it before you use the decoder again."""
        self._lent = True
        return <uint8_t *>BODY(self._body) + self._filled

    cdef int advance(self, Py_ssize_t n, list out) except -1:
        """Take n bytes that were written to what was lent."""
        if not self._lent or n > self.room():  # the bytes are not there if something else was parsed since
            raise ValueError(f"{n} bytes were received into a room of {self.room() if self._lent else 0}")
        self._enter()
        tl_count(&self.bytes_received, <uint64_t>n)
        try:
            self._read_payload(<uint8_t *>BODY(self._body) + self._filled, n, out)
            if self._left == 0 and self._step == READ_PAYLOAD:
                self._end_frame(out)
        except BaseException:
            self._die()
            raise
        self._busy = False
        return 0

    cdef int _grow_body(self, Py_ssize_t extra) except -1:
        """Make room in the body for extra bytes of the frame."""
        cdef Py_ssize_t need = self._filled + extra, most = 0  # need <= max_size: checked in _begin_frame
        if self._body != NULL and need <= BODY_SIZE(self._body):
            return 0
        if not self._frame.fin:
            most = self.max_size if self.max_size >= 0 else PY_SSIZE_T_MAX // 2
        return grow_body(&self._body, need, <Py_ssize_t>self._left, most, self._body_cache)

    cdef int _trim_body(self) except -1:
        """Trim the body to its size when the last frame of a message begins, while none of it is lent."""
        if self._body == NULL or self._opcode == TL_TEXT:
            return 0
        cdef Py_ssize_t size = self._filled + <Py_ssize_t>self._left
        if BODY_SIZE(self._body) > size:
            resize_body(&self._body, size)
        return 0

    cdef int _end_frame(self, list out) except -1:
        """End the frame, and the message if it was the last frame."""
        self._step = READ_HEADER
        if self._frame.opcode >= TL_CLOSE:
            self._end_control(out)
        elif self._frame.fin:
            self._end_message(out)
        return 0

    cdef int _end_message(self, list out) except -1:
        """Give the message to `out`, unless it is cut off inside a character or its inflater fails."""
        cdef object message
        if self._deflated:
            message = self._check_inflater(self.inflater.end())
            if message is None:
                return 0
        elif self._opcode == TL_TEXT and self._utf8:
            return self._fail(TL_INVALID_DATA, not_utf8(self._filled, self._filled))
        elif self._body == NULL:
            message = "" if self._opcode == TL_TEXT else b""
        elif self._opcode == TL_TEXT:
            message = self._decode(BODY(self._body), self._filled)
        else:
            message = <object>self._body  # full: see _trim_body and _grow_body
            if self._body_cache is not None and self._filled >= SHELVED:
                self._body_cache.keep(message)
        self._drop_body()
        out.append(message)
        tl_count(&self.messages_received, 1)
        self._opcode = 0
        return 0

    cdef int _end_control(self, list out) except -1:
        """Give the control frame to `out`, unless it is a close frame that may not be sent."""
        cdef Control control = new_control(self._frame.opcode, self._control, self._control_used)
        cdef Fault fault
        tl_count(&self.pings_received, control.opcode == TL_PING)
        tl_count(&self.pongs_received, control.opcode == TL_PONG)
        if control.opcode == TL_CLOSE:
            fault = read_close(control)
            if fault is not None:
                return self._fail(fault.code, fault.text)
            self._step = CLOSED
            self._drop_body()
        out.append(control)
        return 0

    cdef int _drop_body(self) except -1:
        """Release the body."""
        cdef PyObject *body = self._body
        self._body = NULL
        Py_XDECREF(body)
        return 0

    cdef int _fail(self, int code, str text) except -1:
        """Fail the connection with a close code (7.1.7)."""
        self.fault = new_fault(code, text)
        self._step = DEAD
        tl_count(&self.errors, 1)
        self._drop_body()
        return 0
