"""The way out of a connection: what is sent becomes frames, and joins a batch.

Theory of operation. A message is encoded into the batch of its `Writer`, which says when it leaves. A large unmasked
message is not copied there: it is written behind the batch from where it lies. A message may only be sent while the
connection is open, and while no more than `write_limit` bytes wait for the peer.
"""

from collections.abc import Coroutine

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_WarnEx
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from trunkline._atomic cimport tl_count, tl_put
from trunkline._awaitable cimport PYGEN_ERROR, PYGEN_RETURN, PySendResult, tl_set_send
from trunkline._kernels cimport (
    TL_BINARY,
    TL_CONTINUATION,
    TL_FIN,
    TL_HEADER_MAX,
    TL_KEY_SIZE,
    TL_MASKED,
    TL_PING,
    TL_PONG,
    TL_RSV1,
    TL_SHORT_MAX,
    TL_TEXT,
    apply_mask,
)
from trunkline._writer cimport Writer, tl_thread

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyUnicode_IS_ASCII(object text) noexcept
    const void *PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL
    PySendResult PyIter_Send(PyObject *iterator, PyObject *value, PyObject **result) except PYGEN_ERROR

cdef enum:
    MAX_PONGS = 64             # that one read brings; of further pings the latest is answered


cdef enum:  # stages of a Sending
    NEW
    WAITS
    OVER

cdef enum:
    UNCOMPRESSED = 2

cdef tuple COMPRESS = (None, True, False)


cdef const uint8_t *large_payload(object message, Py_ssize_t *n, unsigned *opcode) except? NULL:
    """The payload of a message that is too large to be copied, its bytes and its opcode; NULL for any other message."""
    if PyBytes_CheckExact(message) and PyBytes_GET_SIZE(message) >= UNCOPIED:
        n[0], opcode[0] = PyBytes_GET_SIZE(message), TL_BINARY
        return <const uint8_t *>PyBytes_AS_STRING(message)
    if PyUnicode_CheckExact(message) and PyUnicode_GET_LENGTH(message) >= UNCOPIED:
        opcode[0] = TL_TEXT
        return <const uint8_t *>PyUnicode_AsUTF8AndSize(message, n)
    return NULL


cdef class Outlet(Writer):
    """The sending half of a link."""

    # What its Lifecycle tells it

    def _set_open(self, bint is_open):
        """Whether messages may be sent, and are still received."""
        self._is_open = is_open

    def _send_control(self, unsigned opcode, bytes payload):
        """Sends a control frame (at most 125 bytes) with this turn's batch, in any state."""
        self._put_control(opcode, payload)

    def _send_frame(self, unsigned first, bytes payload not None, Py_ssize_t inflated=-1):
        """Sends one frame whose first byte is `first`: a fragment. The order of fragments is the caller's.

        inflated: bytes that it had before it was compressed; -1 if it is not.
        """
        self._put_frame(first, payload)
        tl_count(&self._messages_sent, first == TL_FIN | TL_CONTINUATION)
        if inflated >= 0:
            tl_count(&self._deflated_bytes, <uint64_t>PyBytes_GET_SIZE(payload))
            tl_count(&self._inflated_bytes, <uint64_t>inflated)

    @property
    def _is_unfinished(self):
        """A fragmented message is under way: no other may begin (RFC 6455 5.4)."""
        return self._unfinished

    def _set_unfinished(self, bint unfinished):
        self._unfinished = unfinished

    def _deflate(self, Deflater deflater):
        """From now on messages are compressed by this."""
        self._deflater = deflater

    def _set_queueing(self, bint queueing):
        self._queueing = queueing

    def _count_dropped(self):
        """A broadcast was left out."""
        tl_count(&self._messages_dropped, 1)

    def _send_payload(self, unsigned opcode, bytes payload not None, Py_ssize_t n):
        """Sends a message of n bytes that was compressed to `payload`."""
        self._check_open()
        self._put_payload(opcode, payload, n)

    @property
    def _is_overdue(self):
        """A turn's worth has been sent since the loop last ran."""
        return self._overdue

    def _start_turn(self):
        """The loop has run: another turn's worth may be sent."""
        tl_put(&self._overdue, False)

    # What applications call

    def send_nowait(self, message, *, compress=None):
        """Sends a message without waiting: it joins this turn's batch.

        str goes as text, bytes-like as binary. It is copied: the caller may change a buffer afterwards. Raises
        SlowConsumer, and sends nothing, if more than `write_limit` bytes would wait for the peer; ConnectionClosed if
        the connection is not open; LocalProtocolError for a str that is no Unicode text (lone surrogates); TypeError
        for any other type.
        compress: on a connection with compression, False to send it as it is, True to compress it however short it is;
        None leaves it to the threshold. It is compressed here and now, also if it is large, and does not wait for a
        large one that `send` has under way.
        Raises WrongThread, and does nothing, outside of the event loop's thread.
        """
        if not self._corked or self._loop_state._thread != tl_thread():
            self._check_here()
        if self._deflater is None:
            self._put(message)
        else:
            self._put_deflated(message, compress)

    def send_many(self, messages, *, compress=None):
        """Sends several messages, joined into one write. As `send_nowait`; if it raises, none of them was sent."""
        # Encoded apart: what the iterable or a buffer runs on the way may send here too, and may flush.
        cdef list large = []
        cdef Batch batch
        self._check_here()
        batch = self._encode(messages, compress, large)
        try:
            if large:
                self.flush()
                tl_put(&self._overdue, not self._corked)
                for before, message in large:
                    self._write_large(<Batch>before, message)
            self._join_batch(batch)
        except BaseException:
            if large:
                self._give_up()  # some of them may have left
            elif self._deflater is not None:
                self._deflater.reset()
            raise
        self._mark()

    cdef int _join_batch(self, Batch batch) except -1:
        """Has the batch, which it takes, leave behind what waits to leave."""
        if self._frame is not None:
            self._lend(0)
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.put_bytes(batch._bytes, batch._used)
            self._loop_state.give_back(batch)
        return 0

    cdef Batch _encode(self, messages, object compress, list large):
        """A batch of our own with the frames of these messages, counted as sent. What must leave before it is added to
        large: batches, each with the large message that it ends with the header of.
        """
        cdef Batch batch
        cdef uint64_t count = 0
        cdef uint64_t deflated = 0, inflated = 0
        cdef Py_ssize_t n = 0
        cdef unsigned opcode = 0
        self._check_open()
        batch = self._loop_state.borrow(0)
        try:
            if self._deflater is not None:
                count = self._deflater.put_all(batch, list(messages), compress, self._keys, &deflated, &inflated)
            else:
                for message in messages:
                    if self._keys is None and large_payload(message, &n, &opcode) != NULL:
                        batch.put_header(TL_FIN | opcode, n)
                        large.append((batch, message))
                        batch = self._loop_state.borrow(0)
                    else:
                        batch.put_message(message, self._keys)
                    count += 1
            self._check_open()
        except BaseException as error:
            self._loop_state.give_back(batch)
            if self._deflater is not None:
                self._deflater.reset()
            if isinstance(error, UnicodeEncodeError):
                raise self._life.bad_text(error) from None
            raise
        tl_count(&self._deflated_bytes, deflated)
        tl_count(&self._inflated_bytes, inflated)
        tl_count(&self._messages_sent, count)
        tl_count(&self._frames_sent, count)
        return batch

    def send(self, message, *, compress=None):
        """Sends a message: `await ws.send("text")`.

        str goes as text, bytes-like as binary; an iterable or asynchronous iterable of one of them as a fragmented
        message. The call does nothing, the await does it all, as with a coroutine: it may be called in any thread, and
        awaited in the event loop's; a send that is never awaited warns (RuntimeWarning).
        While more than 64 KiB wait for the peer it waits first; otherwise the message joins this turn's batch at once
        and the await takes no turn. Raises ConnectionClosed if the connection is not open or closes meanwhile;
        SendTimeout if it would wait longer than `send_timeout`; WrongThread if another loop awaits it;
        LocalProtocolError and TypeError as `send_nowait`. If it is cancelled or times out it has sent nothing; one in
        fragments ends the connection with 1011, since a message cannot be left open.
        """
        cdef Sending sending = Sending.__new__(Sending)
        sending._outlet = self
        sending._what = message
        sending._compress = 0 if compress is None else 1 if compress else 2
        return sending

    cdef bint _may_put(self, object message) noexcept:
        """Whether a message may be sent as it is, and at once."""
        return (self._deflater is None and not self._full and not self._overdue and not self._unfinished
                and (PyBytes_CheckExact(message) or PyUnicode_CheckExact(message)))

    cdef bint _may_deflate(self, object message, unsigned compress) except -1:
        """Whether a message may be compressed and sent at once."""
        if self._deflater is None or self._full or self._overdue or self._unfinished or self._queueing:
            return False
        if not PyBytes_CheckExact(message) and not PyUnicode_CheckExact(message):
            return False
        # Of text: characters.
        return compress == UNCOMPRESSED or not 0 <= self._deflater.large <= len(message)

    cdef int _put_deflated(self, object message, object compress) except -1:
        """Sends a message on a connection with compression."""
        cdef object data
        cdef bytes payload
        try:
            data = self._deflater.wanted(message, compress)
        except UnicodeEncodeError as error:
            raise self._life.bad_text(error) from None
        if data is None:
            return self._put(message)
        self._check_open()
        payload = self._deflater.payload(data)  # from here to the batch nobody else is asked
        if payload is None:
            return self._put(message)
        return self._put_payload(TL_TEXT if isinstance(message, str) else TL_BINARY, payload, PyBytes_GET_SIZE(data))

    cdef int _put_shared(self, object message, dict payloads) except -1:
        """Sends a message to one of many: compressed once for all that share a deflater."""
        cdef Deflater deflater = self._deflater
        if deflater.keeps:
            return self._put_deflated(message, None)
        if deflater not in payloads:
            data = deflater.wanted(message, None)
            payloads[deflater] = (None, 0) if data is None else (deflater.payload(data), len(data))
        payload, n = payloads[deflater]
        if payload is None:
            return self._put(message)
        return self._put_payload(TL_TEXT if isinstance(message, str) else TL_BINARY, payload, n)

    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1:
        """Sends a message of n bytes that was compressed to `payload`."""
        try:
            self._lend(0)
            self._batch.put_frame(
                TL_FIN | TL_RSV1 | opcode, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload),
                self._keys)
        except BaseException:
            self._deflater.reset()
            raise
        tl_count(&self._messages_sent, 1)
        tl_count(&self._frames_sent, 1)
        tl_count(&self._deflated_bytes, <uint64_t>PyBytes_GET_SIZE(payload))
        tl_count(&self._inflated_bytes, <uint64_t>n)
        self._mark()
        return 0

    cdef bint _put_short(self, object message) except -1:
        """Sends a short message, if nothing stands against it; False if something does, or may."""
        cdef const uint8_t *payload
        cdef const uint8_t *key = NULL
        cdef uint8_t *out
        cdef unsigned first = TL_FIN | TL_BINARY
        cdef Py_ssize_t n
        if PyBytes_CheckExact(message):
            payload, n = <const uint8_t *>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message)
        elif PyUnicode_CheckExact(message) and PyUnicode_IS_ASCII(message):
            payload, n = <const uint8_t *>PyUnicode_DATA(message), PyUnicode_GET_LENGTH(message)
            first = TL_FIN | TL_TEXT
        else:
            return False
        if n > TL_SHORT_MAX:
            return False
        if self._keys is not None:
            key = self._keys.take()  # may run code that sends, so before anything is looked at
        if not self._is_open or self._unfinished or self._handed:
            return False
        if self._batch is None:
            self._lend(0)
        if self._batch._size - self._batch._used < n + TL_HEADER_MAX:
            return False
        out = self._batch._bytes + self._batch._used
        out[0], out[1] = <uint8_t>first, <uint8_t>n
        if key == NULL:
            memcpy(out + 2, payload, n)
            n += 2
        else:
            out[1] |= TL_MASKED
            memcpy(out + 2, key, TL_KEY_SIZE)
            apply_mask(out + 2 + TL_KEY_SIZE, payload, n, key, 0)
            n += 2 + TL_KEY_SIZE
        self._batch._used += n
        tl_count(&self._messages_sent, 1)
        tl_count(&self._frames_sent, 1)
        self._mark()
        return True

    cdef int _put(self, object message) except -1:
        if self._put_short(message):
            return 0
        if not PyBytes_CheckExact(message) and not PyUnicode_CheckExact(message):
            self.send_many((message,), compress=False)
            return 0
        self._check_open()
        self._lend(0)
        try:
            if self._keys is not None or not self._put_uncopied(message):
                self._batch.put_message(message, self._keys)
                self._mark()
        except UnicodeEncodeError as error:
            raise self._life.bad_text(error) from None
        tl_count(&self._messages_sent, 1)
        tl_count(&self._frames_sent, 1)
        return 0

    cdef bint _put_uncopied(self, object message) except -1:
        """Sends a large message at once, behind the batch and without copying it there; False if it is not large."""
        cdef Py_ssize_t n = 0
        cdef unsigned opcode = 0
        cdef Batch batch = self._batch
        if large_payload(message, &n, &opcode) == NULL:
            return False
        batch.put_header(TL_FIN | opcode, n)
        self._batch = None
        tl_put(&self._overdue, not self._corked)
        self._write_large(batch, message)
        return True

    cdef int _write_large(self, Batch batch, object message) except -1:
        """Writes the batch, which ends with the header of this message, and the message from where it lies."""
        cdef Py_ssize_t n = 0
        cdef unsigned opcode = 0
        cdef const uint8_t *payload = large_payload(message, &n, &opcode)
        return self._write(batch, payload, n, message)

    cdef int _put_control(self, unsigned opcode, bytes payload) except -1:
        if self._transport is None:
            return 0
        self._put_frame(TL_FIN | opcode, payload)
        tl_count(&self._pings_sent, opcode == TL_PING)
        tl_count(&self._pongs_sent, opcode == TL_PONG)
        return 0

    cdef int _put_frame(self, unsigned first, bytes payload) except -1:
        self._lend(0)
        self._batch.put_frame(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), self._keys)
        tl_count(&self._frames_sent, 1)
        self._mark()
        return 0

    cdef int _put_encoded(self, bytes frame) except -1:
        """Sends a message that is already a short frame (of a server: unmasked)."""
        tl_count(&self._messages_sent, 1)
        tl_count(&self._frames_sent, 1)
        if self._batch is None and self._frame is None:
            self._frame = frame
            return self._list()
        self._lend(0)
        self._batch.put_bytes(<const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        return self._mark()

    cdef int _put_pong(self, bytes payload) except -1:
        # 5.5.3: only the latest of several pings need be answered, so that a peer that does not read costs one pong,
        # and one that floods us costs few of them.
        if self._full or self._pongs >= MAX_PONGS:
            self._pong = payload
        elif self._is_open:  # 5.5.1: nothing follows our close frame
            self._pongs += 1
            self._put_control(TL_PONG, payload)
        return 0

    cdef int _end_pongs(self) except -1:
        """A read has been processed: answers the latest of its pings, if that waits for this."""
        cdef bytes payload = self._pong
        self._pongs = 0
        if payload is not None and not self._full:
            self._pong = None
            self._put_pong(payload)
            self._pongs = 0
        return 0

    cdef int _check_open(self) except -1:
        """Raises if no message may be sent: the connection is not open, or too much waits."""
        if not self._is_open or self._unfinished:
            raise self._life.refusal()
        if self._handed:
            self._check_limit()
        return 0

    cdef int _check_limit(self) except -1:
        cdef Py_ssize_t pending = self._pending()
        if pending > self._write_limit:
            raise self._life.slow_consumer(pending)
        return 0

    cdef int _make_room(self) except -1:
        cdef bytes payload = self._pong
        tl_put(&self._full, False)
        if payload is not None:
            self._pong = None
            self._put_pong(payload)
        self._life.on_writable()
        return 0


@cython.final
@cython.freelist(32)
cdef class Sending:
    """The awaitable of a send. It has a coroutine's methods, so that asyncio.create_task() and wait_for() take it."""

    def __dealloc__(self):
        if self._stage == NEW:
            PyErr_WarnEx(RuntimeWarning, b"a send was never awaited: nothing was sent", 1)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """As a coroutine's send."""
        if self._stage != WAITS:
            self.begin()
            if self._stage != WAITS:
                raise StopIteration
        return self._what.send(value)

    cdef int begin(self) except -1:
        """Sends the message, or makes the coroutine that does so when it may."""
        cdef Outlet outlet = self._outlet
        cdef object message = self._what
        if self._stage != NEW:
            raise RuntimeError("a send cannot be awaited twice")
        self._stage = OVER
        if outlet._loop_state._thread != tl_thread():
            outlet._check_thread()
        if outlet._may_put(message):
            outlet._put(message)
        elif outlet._may_deflate(message, self._compress):
            outlet._put_deflated(message, COMPRESS[self._compress])
        else:
            self._what = outlet._life.send_slowly(message, COMPRESS[self._compress])
            self._stage = WAITS
        return 0

    def throw(self, kind, value=None, traceback=None):
        """As a coroutine's throw: before it has begun, nothing is sent."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        elif not isinstance(value, BaseException):
            value = kind(value)
        if self._stage == WAITS:
            return self._what.throw(value)
        self._stage = OVER
        raise value

    def close(self):
        """As a coroutine's close."""
        if self._stage == WAITS:
            self._what.close()
        self._stage = OVER


# `await` asks through the slot am_send, which ends without raising StopIteration.

cdef PySendResult send_sending(PyObject *sending, PyObject *value, PyObject **result) except PYGEN_ERROR:
    result[0] = NULL  # what the slot gives if this raises
    if (<Sending>sending)._stage != WAITS:
        (<Sending>sending).begin()
        if (<Sending>sending)._stage != WAITS:
            Py_INCREF(None)
            result[0] = <PyObject *>None
            return PYGEN_RETURN
    return PyIter_Send(<PyObject *>(<Sending>sending)._what, value, result)


tl_set_send(Sending, send_sending)
Coroutine.register(Sending)
