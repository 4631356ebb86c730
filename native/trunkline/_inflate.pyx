"""Inflating: the payload of compressed messages, as it comes, never more at a time or in all than may be (RFC 7692).

Theory of operation. An `InflateStream` is given payload and asked for what it becomes, at most so many bytes a time: a
few bytes can become a thousand times as many, and whoever takes them may stop. An `Inflater` takes from one until a
message is whole, checks text as it comes, and stops at `max_size`, with 1009. It works on the thread that gives it
payload until it has inflated `off_thread` bytes of a message; then it has stalled: it keeps what is given until `work`,
which a thread may call, has caught up, and `resume` was called.

Whoever shares its thread with others says when a turn begins. What may be done in one is bounded in three units, since
a peer chooses which of them costs the most: bytes that are made (a thousand for each that came), bytes that are given
(a block of ten bits may make none), and calls (a message of one byte takes three). Past any of them it stalls as well,
and `resume` in the next turn goes on.

The decompressor is an object with zlib's methods (`trunkline.protocol.backends`). Between messages that refer to
nothing before them (no context takeover) there is none.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from trunkline._atomic cimport tl_count
from trunkline._kernels cimport TL_INVALID_DATA, TL_TEXT, TL_TOO_BIG, apply_mask, feed_utf8

from trunkline._deflate import TAIL

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1
    PyObject *PyBytes_New "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t n) except NULL
    char *BODY "PyBytes_AS_STRING"(PyObject *string) noexcept
    Py_ssize_t BODY_SIZE "PyBytes_GET_SIZE"(PyObject *string) noexcept
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t n, const char *errors)
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    INFLATED_PIECE = 32 * 1024  # bytes that are inflated in one call; zlib's module joins none of its blocks up to this
    LAST_PIECE = 8 * 1024  # the same where fewer than LAST bytes may follow: what the body may have, it has by then
    LAST = 128 * 1024
    SLICE = 4 * 1024    # bytes of payload that are inflated in one call: what is left of them, zlib's module copies
    FIRST_BODY = 4096   # bytes of a new body
    MAX_ENDS = 1024     # final blocks in a message: each costs a decompressor
    BARREN = 8          # bytes that a byte of payload counts as, on the way to off_thread, if it makes none

cdef enum:  # of one connection in one turn of its loop; each may be exceeded by one call
    MAX_INFLATED = 256 * 1024  # bytes made
    MAX_DEFLATED = 8 * 1024    # bytes of payload given: isal takes 0.3 us for each of a peer that means harm
    MAX_CALLS = 1024           # calls of decompressors

END = b"\x03\x00"           # an empty final block: a stream that can end after it has nothing half done

cdef bytes _END = END


class CorruptData(ValueError):
    """Payload that is no DEFLATE, or ends in the middle of it (RFC 7692 7.2.2)."""


@cython.final
cdef class InflateStream:
    """Inflates the payloads of the messages of one direction.

    make: gives a decompressor. errors: an exception, or a tuple of them. keeps: messages may refer to those before
    them.
    """

    def __cinit__(self, make, errors, bint keeps):
        self._make = make
        self._errors = errors
        self._keeps = keeps
        # Where no context is kept, a final block shows at no cost whether the message ends where a message can.
        self._tail = TAIL if keeps else TAIL + END

    def inflate(self, bytes payload, Py_ssize_t most):
        """What the next part of a message's payload becomes; one byte more than `most` means: more than that."""
        cdef list pieces = []
        self.give(payload)
        return self._collect(pieces, most)

    def end(self):
        """The message has ended, and all that it becomes was given. Raises CorruptData if it cannot end here."""
        self.finish()

    def _collect(self, list pieces, Py_ssize_t most):
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
        self._input = data
        return 0

    cdef bytes take(self, Py_ssize_t most):
        """What one call of the decompressor gives, at most `most` bytes; b"" if that was nothing, but more may come;
        None when all that was given is inflated.
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
            raise RuntimeError(f"the decompressor gave {len(out)} bytes, {most} were asked")
        if stream.eof:
            # 7.2.3.4: a sender may end a block for good; then a new stream begins.
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
                raise RuntimeError("the decompressor neither takes nor gives")
            else:
                self._input = left  # b"" too: isal has taken all, and has more to give
        return out if out or self._input is not None else None

    cdef int finish(self) except -1:
        """All that was given is taken, and the message has ended: raises CorruptData if that was in the middle of a
        block. Such a block can take the tail for content, so the tail is given by itself, and nothing may come of it.
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
        if self._stream is None:
            return True
        if not self._keeps:
            return False  # END was not taken for one
        copy = getattr(self._stream, "copy", None)
        if copy is None:
            return True  # isal cannot say
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
    """Assembles the compressed messages of one direction; what `stream` is to `InflateStream`.

    max_size: bytes of a message, None for no limit. off_thread: see above; None to inflate everything at once.
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
        """Calls of decompressors so far; making one, or copying one, counts as well."""
        return self._stream.calls

    cdef void begin_turn(self) noexcept:
        """A turn of the loop begins: so much may be done in it."""
        self._bounded = True
        self._last_call = self._stream.calls + MAX_CALLS
        self._last_given = self.given_bytes + MAX_DEFLATED
        self._last_made = self.made_bytes + MAX_INFLATED

    cdef bint is_spent(self) noexcept:
        """Whether that is enough for this turn."""
        return self._bounded and (self._stream.calls >= self._last_call or self.given_bytes >= self._last_given
                                  or self.made_bytes >= self._last_made)

    cdef int begin(self, int opcode) except -1:
        """A message begins."""
        self._opcode = opcode
        self._filled = 0
        self._utf8 = 0
        self._on_loop = 0
        return 0

    cdef unsigned give(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key, unsigned phase) except? 9:
        """Takes n more bytes of the message's payload, masked if there is a key; gives the key's phase behind them.

        Nothing is raised for what a peer sent: see `code`.
        """
        cdef Py_ssize_t i = 0, take
        cdef bytes piece
        tl_count(&self.deflated_bytes, <uint64_t>n)
        while i < n and not self.code:
            take = min(n - i, SLICE)
            # Made without its bytes, so that it is ours alone: the objects of single bytes are shared.
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
        """Inflates a slice of the payload."""
        cdef Py_ssize_t before = self._on_loop, barren
        tl_count(&self.given_bytes, <uint64_t>PyBytes_GET_SIZE(piece))
        self._stream.give(piece)
        self._drain()
        barren = PyBytes_GET_SIZE(piece) - (self._on_loop - before)
        if barren > 0 and not self.stalled:
            self._on_loop += BARREN * barren
        return 0

    cdef object whole(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key):
        """A message whose payload is all here; None after a fault, or if it has stalled."""
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
        """The message that came in one piece, as most do; None after a fault."""
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
        """The message; None after a fault."""
        if self.code or not self._finish():
            return None
        if self._opcode == TL_TEXT and self._utf8:
            self._fail(TL_INVALID_DATA, f"text ends inside a character, after {self._filled} bytes (RFC 6455 8.1)")
            return None
        return self._message()

    def work(self):
        """Inflates what has been given since it stalled, wherever this is called: it touches nothing else."""
        if self._away or not self.for_thread:
            raise RuntimeError("work() is for one thread at a time, and while there is some for it")
        self._away = True
        try:
            self._drain()
            while self._waiting and not self.code:
                self._put(self._waiting.pop(0))
        finally:
            self._away = False

    cdef int resume(self) except -1:
        """What `work` did is done, or a new turn has begun: goes on, as far as may be, with what was given meanwhile;
        from there on pieces are inflated as they are given.
        """
        if self._away:
            raise RuntimeError("a thread inflates: what it works on cannot be gone on with")
        self.stalled = False
        if self.for_thread:
            self.for_thread = False
            self._on_loop = 0
        self._drain()
        while self._waiting and not self.stalled and not self.code:
            self._put(self._waiting.pop(0))
        return 0

    cdef bytes _take(self):
        """The next piece of the message, with at most one byte more than it may have; None if there is none now."""
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
        """Inflates what was given, until it is all inflated, fails or stalls."""
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
        cdef Py_ssize_t n = PyBytes_GET_SIZE(piece)
        cdef uint8_t *room
        cdef size_t good
        if n == 0:
            return 0
        if self.max_size >= 0 and n > self.max_size - self._filled:
            return self._fail(TL_TOO_BIG, f"compressed message of {self._filled + n} bytes or more, max_size {self.max_size} "
                                    "(RFC 6455 7.4.1)")
        self._grow(n)
        room = <uint8_t *>BODY(self._body) + self._filled
        memcpy(room, PyBytes_AS_STRING(piece), n)
        self._on_loop += n
        if self._opcode == TL_TEXT:
            good = feed_utf8(&self._utf8, room, n)
            if good < <size_t>n:
                return self._fail(TL_INVALID_DATA, f"text is not UTF-8 at byte {self._filled + <Py_ssize_t>good} (RFC 6455 8.1)")
        self._filled += n
        return 0

    cdef int _grow(self, Py_ssize_t extra) except -1:
        """Makes room for extra more bytes: the double, but the last step goes from half of what may come to all of it.

        So a reallocation that copies never holds more than max_size.
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
            self._body = PyBytes_New(NULL, wanted)
        else:
            _PyBytes_Resize(&self._body, wanted)  # on failure it frees the body and sets it to NULL
        return 0

    cdef object _message(self):
        cdef object message
        if self._body == NULL:
            message = "" if self._opcode == TL_TEXT else b""
        elif self._opcode == TL_TEXT:
            message = PyUnicode_DecodeUTF8(BODY(self._body), self._filled, NULL)
        else:
            if BODY_SIZE(self._body) != self._filled:
                _PyBytes_Resize(&self._body, self._filled)
            message = <object>self._body
        self._drop()
        tl_count(&self.messages, 1)
        tl_count(&self.inflated_bytes, <uint64_t>self._filled)
        return message

    cdef bint _finish(self) except -1:
        """Whether the message could end here."""
        try:
            self._stream.finish()
        except CorruptData as error:
            self._fail(TL_INVALID_DATA, f"compressed message is corrupt: {error} (RFC 7692 7.2.2)")
        return not self.code

    cdef int _drop(self) except -1:
        cdef PyObject *body = self._body
        self._body = NULL
        Py_XDECREF(body)
        return 0

    cdef int _fail(self, int code, str text) except -1:
        self.code = code
        self.text = text
        self._stream._stream = None
        self._stream._input = None
        self._waiting = []
        return self._drop()
