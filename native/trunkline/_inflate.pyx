"""Inflating: from the payload of compressed messages to the messages (RFC 7692 7.2.2), within bounds.

Theory of operation. A few bytes of payload can become a thousand times as many. So an `InflateStream` takes payload and
returns what it becomes one bounded piece at a time; the caller may stop at any piece. An `Inflater` takes pieces until
a message is whole, checks text as it comes, and stops at `max_size` with code 1009. Once it has inflated `off_thread`
bytes of a message it stalls: it keeps further payload until a thread has called `work`, and the decoder `resume`.

A decoder that shares its thread calls `begin_turn`. What an inflater does in one turn is bounded in three units, since
a peer chooses which of them costs most: bytes made (a thousand for each byte that came), bytes given (a block of ten
bits may make none) and calls (a message of one byte takes three). Past any of them it stalls as well, until `resume` in
the next turn.

The decompressor is an object with zlib's methods (`trunkline.protocol.backends`). Without context takeover there is
none between two messages.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from trunkline._atomic cimport tl_count
from trunkline._cpython cimport BODY, BODY_SIZE, PY_SSIZE_T_MAX, PyUnicode_DecodeUTF8, new_body, resize_body
from trunkline._kernels cimport TL_INVALID_DATA, TL_TEXT, TL_TOO_BIG, apply_mask, feed_utf8

from trunkline._deflate import TAIL

cdef enum:
    SLICE = 4 * 1024            # bytes of payload for one call: zlib's module copies what it does not use of them
    INFLATED_PIECE = 32 * 1024  # bytes that one call may make: zlib's module returns this many without joining blocks
    LAST_PIECE = 8 * 1024       # the same, when max_size leaves less than LAST: the body is at its full size by then
    LAST = 128 * 1024
    FIRST_BODY = 4096           # bytes of a new body
    MAX_ENDS = 1024             # final blocks in a message: each costs a decompressor
    BARREN = 8                  # a byte of payload that makes nothing counts as this many towards off_thread

cdef enum:  # what one connection does in a turn of the event loop; one call may go past it
    MAX_INFLATED = 256 * 1024  # bytes made
    MAX_DEFLATED = 8 * 1024    # bytes of payload given: a hostile peer can make isal spend 0.3 us on each
    MAX_CALLS = 1024           # calls of decompressors

END = b"\x03\x00"  # an empty final block: only a stream that is between two blocks ends with it

cdef bytes _END = END


class CorruptData(ValueError):
    """The payload is not DEFLATE data, or ends in the middle of a block (RFC 7692 7.2.2)."""


@cython.final
cdef class InflateStream:
    """Inflate the payloads of one direction, a bounded piece at a time.

    Args:
        make: returns a new decompressor.
        errors: what the decompressor raises for corrupt data, an exception or a tuple of them.
        keeps: whether a message may refer to earlier ones (context takeover).
    """

    def __cinit__(self, make, errors, bint keeps):
        self._make = make
        self._errors = errors
        self._keeps = keeps
        # Without context, a final block shows at no cost whether the message ends between two blocks.
        self._tail = TAIL if keeps else TAIL + END

    def inflate(self, bytes payload, Py_ssize_t most):
        """Inflate the next part of a message's payload. A result of `most` + 1 bytes means that there is more.

        Raises:
            CorruptData: if it is not DEFLATE data.
        """
        cdef list pieces = []
        self.give(payload)
        return self._collect(pieces, most)

    def end(self):
        """End the message; all of it must be inflated.

        Raises:
            CorruptData: if a message cannot end here.
        """
        self.finish()

    def _collect(self, list pieces, Py_ssize_t most):
        """Join pieces until the input is used up, or until there are `most` + 1 bytes."""
        cdef Py_ssize_t room = most + 1
        cdef bytes piece
        while room > 0:
            piece = self.take(min(INFLATED_PIECE, room))
            if piece is None:
                break
            if piece:
                pieces.append(piece)
                room -= len(piece)
        return b"".join(pieces)

    cdef int give(self, bytes data) except -1:
        """Set the next payload; all that was given before must be taken."""
        self._input = data
        return 0

    cdef bytes take(self, Py_ssize_t most):
        """Call the decompressor once; return what it made, at most `most` bytes. b"" means: ask again. None means: all
        the input is used up. Raise CorruptData if it is not DEFLATE data.
        """
        cdef object stream = self._stream
        cdef object given = self._input, left
        cdef bytes out
        if given is None:
            return None
        if stream is None:
            stream = self._stream = self._make()
            tl_count(&self.calls, 1)
        tl_count(&self.calls, 1)
        try:
            out = stream.decompress(given, most)
        except self._errors as error:
            raise CorruptData(str(error)) from None
        if len(out) > most:
            raise RuntimeError(f"the decompressor returned {len(out)} bytes, {most} were asked for")
        if stream.eof:
            # 7.2.3.4: a sender may set BFINAL; a new stream follows.
            self._ends += 1
            if self._ends > MAX_ENDS:
                raise CorruptData(f"{self._ends} final blocks in one message, limit {MAX_ENDS}")
            self._input = stream.unused_data or None
            self._stream = None
        else:
            left = stream.unconsumed_tail
            if len(out) < most and not left:
                self._input = None
            elif not out and len(left) >= len(given):
                raise RuntimeError("the decompressor made no progress: it used no input and returned no output")
            else:
                self._input = left  # b"" too: isal has used up its input, and has more output
        return out if out or self._input is not None else None

    cdef int finish(self) except -1:
        """End the message; raise CorruptData if it ends in the middle of a block. Such a block could take the tail for
        content: so the tail is inflated by itself, and nothing may come of it.
        """
        cdef bint clean
        cdef bytes piece = b""
        self.give(self._tail)
        while piece is not None and not piece:
            piece = self.take(1)
        clean = piece is None and self._ends_cleanly()
        self._ends = 0
        if not self._keeps:
            self._stream = None
        if not clean:
            raise CorruptData("it ends in the middle of a block")
        return 0

    cdef bint _ends_cleanly(self) except -1:
        """Return whether the stream is between two blocks, as far as its decompressor can tell."""
        if self._stream is None:
            return True
        if not self._keeps:
            return False  # END did not end it
        copy = getattr(self._stream, "copy", None)
        if copy is None:
            return True  # isal cannot tell
        probe = copy()
        tl_count(&self.calls, 2)
        clean = False
        try:
            clean = not probe.decompress(_END, 1) and probe.eof
        except self._errors:
            pass
        return clean


@cython.final
cdef class Inflater:
    """Assemble the compressed messages of one direction.

    Args:
        stream: inflates their payloads.
        max_size: bytes that a message may have; None for no limit.
        off_thread: bytes of a message to inflate on this thread, before it stalls; None for no limit.
    """

    def __cinit__(self, InflateStream stream not None, *, max_size, off_thread=None):
        self._stream = stream
        self.max_size = -1 if max_size is None else max_size
        self._off_thread = -1 if off_thread is None else off_thread
        self._waiting = []

    def __dealloc__(self):
        Py_XDECREF(self._body)

    @property
    def calls(self):
        """Return how often decompressors were called so far, made or copied."""
        return self._stream.calls

    cdef void begin_turn(self) noexcept:
        """Start a turn of the event loop, with a new allowance."""
        self._bounded = True
        self._last_call = self._stream.calls + MAX_CALLS
        self._last_given = self.given_bytes + MAX_DEFLATED
        self._last_made = self.made_bytes + MAX_INFLATED

    cdef bint is_spent(self) noexcept:
        """Return whether the allowance of this turn is used up."""
        return self._bounded and (self._stream.calls >= self._last_call or self.given_bytes >= self._last_given
                                  or self.made_bytes >= self._last_made)

    cdef int begin(self, int opcode) except -1:
        """Begin a message."""
        self._opcode = opcode
        self._filled = 0
        self._utf8 = 0
        self._on_loop = 0
        return 0

    cdef unsigned give(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key, unsigned phase) except? 9:
        """Take n more bytes of the payload, masked if there is a key. Return the phase of the key behind them.

        What a peer sent never raises: look at `code`.
        """
        cdef Py_ssize_t i = 0, take
        cdef bytes piece
        tl_count(&self.deflated_bytes, <uint64_t>n)
        while i < n and not self.code:
            take = min(n - i, SLICE)
            # Python shares the objects of single bytes: one that is made without its bytes is ours alone.
            piece = PyBytes_FromStringAndSize(NULL, take)
            if key != NULL:
                phase = apply_mask(<uint8_t *>PyBytes_AS_STRING(piece), data + i, take, key, phase)
            else:
                memcpy(PyBytes_AS_STRING(piece), data + i, take)
            if self.stalled:
                self._waiting.append(piece)
            else:
                self._put(piece)
            i += take
        return phase

    cdef int _put(self, bytes piece) except -1:
        """Inflate a slice of the payload."""
        cdef Py_ssize_t before = self._on_loop, barren
        tl_count(&self.given_bytes, <uint64_t>PyBytes_GET_SIZE(piece))
        self._stream.give(piece)
        self._drain()
        barren = PyBytes_GET_SIZE(piece) - (self._on_loop - before)
        if barren > 0 and not self.stalled:
            self._on_loop += BARREN * barren
        return 0

    cdef object whole(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key):
        """Return a message whose payload is all here; None if it failed, or stalled."""
        cdef bytes payload, piece
        if n == 0 or n > SLICE:
            self.give(data, n, key, 0)
            return None if self.stalled or self.code else self.end()
        tl_count(&self.deflated_bytes, <uint64_t>n)
        payload = PyBytes_FromStringAndSize(NULL, n)
        if key != NULL:
            apply_mask(<uint8_t *>PyBytes_AS_STRING(payload), data, n, key, 0)
        else:
            memcpy(PyBytes_AS_STRING(payload), data, n)
        tl_count(&self.given_bytes, <uint64_t>n)
        self._stream.give(payload)
        piece = self._take()
        if piece is not None and self._stream._input is None and (
                self.max_size < 0 or PyBytes_GET_SIZE(piece) <= self.max_size):
            return self._only(piece)
        if piece is not None:
            self._store(piece)
            piece = payload = None
            self._drain()
        return None if self.stalled or self.code else self.end()

    cdef object _only(self, bytes piece):
        """Return a message that became one piece, as most do; None if it failed."""
        cdef object message = None
        if self._opcode != TL_TEXT:
            message = piece
        else:
            try:
                message = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), NULL)
            except UnicodeDecodeError as error:
                self._fail(TL_INVALID_DATA, f"text is not UTF-8 at byte {error.start} (RFC 6455 8.1)")
        if message is None or not self._finish():
            return None
        tl_count(&self.messages, 1)
        tl_count(&self.inflated_bytes, <uint64_t>PyBytes_GET_SIZE(piece))
        return message

    cdef object end(self):
        """Return the message; None if it failed."""
        if self.code or not self._finish():
            return None
        if self._opcode == TL_TEXT and self._utf8:
            self._fail(TL_INVALID_DATA, f"text ends inside a character, after {self._filled} bytes (RFC 6455 8.1)")
            return None
        return self._message()

    def work(self):
        """Inflate what was given since it stalled. Any thread may call this; nothing else of the connection is touched.

        Raises:
            RuntimeError: if it has not stalled, or if another thread is at it.
        """
        if self._away or not self.for_thread:
            raise RuntimeError("work() is only for a stalled inflater, and for one thread at a time")
        self._away = True
        try:
            self._drain()
            while self._waiting and not self.code:
                self._put(self._waiting.pop(0))
        finally:
            self._away = False

    cdef int resume(self) except -1:
        """Inflate on this thread again, after `work` or in a new turn. Raise RuntimeError while `work` runs."""
        if self._away:
            raise RuntimeError("a thread is still inflating")
        self.stalled = False
        if self.for_thread:
            self.for_thread = False
            self._on_loop = 0
        self._drain()
        while self._waiting and not self.stalled and not self.code:
            self._put(self._waiting.pop(0))
        return 0

    cdef bytes _take(self):
        """Return the next piece, at most one byte past max_size; None if there is no more input, or it failed."""
        cdef Py_ssize_t most = INFLATED_PIECE
        cdef Py_ssize_t left
        if self.max_size >= 0:
            left = self.max_size - self._filled
            if left < LAST and self._body != NULL:
                most = LAST_PIECE
            if left < most:
                most = left + 1
        cdef bytes piece = None
        try:
            piece = self._stream.take(most)
        except CorruptData as error:
            self._fail(TL_INVALID_DATA, f"compressed data is corrupt: {error} (RFC 7692 7.2.2)")
        if piece is not None:
            tl_count(&self.made_bytes, <uint64_t>PyBytes_GET_SIZE(piece))
        return piece

    cdef int _drain(self) except -1:
        """Inflate the input until it is used up, or until this fails or stalls."""
        cdef bytes piece
        while not self.code and self._stream._input is not None:
            if not self._away:
                self.for_thread = 0 <= self._off_thread <= self._on_loop
                if self.for_thread or self.is_spent():
                    self.stalled = True
                    return 0
            piece = self._take()
            if piece is None:
                return 0
            self._store(piece)
            piece = None  # before the next one is made
        return 0

    cdef int _store(self, bytes piece) except -1:
        """Add a piece to the body; fail if the message is too long, or not UTF-8."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(piece)
        cdef uint8_t *room
        cdef size_t good
        if n == 0:
            return 0
        if self.max_size >= 0 and n > self.max_size - self._filled:
            return self._fail(TL_TOO_BIG, f"compressed message of {self._filled + n} bytes or more, "
                                          f"max_size {self.max_size} (RFC 6455 7.4.1)")
        self._grow(n)
        room = <uint8_t *>BODY(self._body) + self._filled
        memcpy(room, PyBytes_AS_STRING(piece), n)
        self._on_loop += n
        if self._opcode == TL_TEXT:
            good = feed_utf8(&self._utf8, room, n)
            if good < <size_t>n:
                good += <size_t>self._filled
                return self._fail(TL_INVALID_DATA, f"text is not UTF-8 at byte {good} (RFC 6455 8.1)")
        self._filled += n
        return 0

    cdef int _grow(self, Py_ssize_t extra) except -1:
        """Make room for extra more bytes. The body doubles; its last step goes to all of max_size, from half of it at
        most: so no larger body is ever copied.
        """
        cdef Py_ssize_t size = BODY_SIZE(self._body) if self._body != NULL else 0
        cdef Py_ssize_t need, wanted
        if extra > PY_SSIZE_T_MAX // 4 - self._filled:
            raise MemoryError
        need = self._filled + extra  # <= max_size
        if need <= size:
            return 0
        wanted = max(need, 2 * size, FIRST_BODY)
        if 0 <= self.max_size < 2 * wanted:
            wanted = self.max_size
        if self._body == NULL:
            self._body = new_body(NULL, wanted)
        else:
            resize_body(&self._body, wanted)  # on failure it frees the body and sets it to NULL
        return 0

    cdef object _message(self):
        """Return the message that the body is."""
        cdef object message
        if self._body == NULL:
            message = "" if self._opcode == TL_TEXT else b""
        elif self._opcode == TL_TEXT:
            message = PyUnicode_DecodeUTF8(BODY(self._body), self._filled, NULL)
        else:
            if BODY_SIZE(self._body) != self._filled:
                resize_body(&self._body, self._filled)
            message = <object>self._body
        self._drop()
        tl_count(&self.messages, 1)
        tl_count(&self.inflated_bytes, <uint64_t>self._filled)
        return message

    cdef bint _finish(self) except -1:
        """End the payload; return whether a message can end here."""
        try:
            self._stream.finish()
        except CorruptData as error:
            self._fail(TL_INVALID_DATA, f"compressed message is corrupt: {error} (RFC 7692 7.2.2)")
        return not self.code

    cdef int _drop(self) except -1:
        """Release the body."""
        cdef PyObject *body = self._body
        self._body = NULL
        Py_XDECREF(body)
        return 0

    cdef int _fail(self, int code, str text) except -1:
        """Fail with a close code, and let go of all input."""
        self.code = code
        self.text = text
        self._stream._stream = None
        self._stream._input = None
        self._waiting = []
        return self._drop()
