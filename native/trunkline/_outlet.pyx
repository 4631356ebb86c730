"""Sending: messages become frames, and join a batch.

Theory of operation. A message is encoded into the batch of the `Writer`, which decides when the batch leaves. A large
unmasked message is not copied there: it is written behind the batch, from where it lies. Messages may be sent only
while the connection is open, and while no more than `write_limit` bytes wait for the peer.
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
from trunkline._cpython cimport (
    PyIter_Send, PyUnicode_AsUTF8AndSize, PyUnicode_CheckExact, PyUnicode_DATA, PyUnicode_GET_LENGTH,
    PyUnicode_IS_ASCII,
)
from trunkline._kernels cimport (
    TL_BINARY, TL_CONTINUATION, TL_CONTROL_MAX, TL_FIN, TL_HEADER_MAX, TL_KEY_SIZE, TL_MASKED, TL_PING, TL_PONG, TL_RSV1,
    TL_SHORT_MAX, TL_TEXT, apply_mask,
)
from trunkline._writer cimport Writer, tl_thread

cdef enum:
    MAX_PONGS = 64    # answers to the pings of one read; of further pings, only the latest is answered
    UNCOMPRESSED = 2  # index into COMPRESS

cdef enum:  # stages of a Sending
    NEW
    WAITS
    OVER

cdef tuple COMPRESS = (None, True, False)


cdef const uint8_t *large_payload(object message, Py_ssize_t *n, unsigned *opcode) except? NULL:
    """Return the payload of a message that is too large to copy, and set n and opcode; NULL for any other."""
    if PyBytes_CheckExact(message) and PyBytes_GET_SIZE(message) >= UNCOPIED:
        n[0], opcode[0] = PyBytes_GET_SIZE(message), TL_BINARY
        return <const uint8_t *>PyBytes_AS_STRING(message)
    if PyUnicode_CheckExact(message) and PyUnicode_GET_LENGTH(message) >= UNCOPIED:
        opcode[0] = TL_TEXT
        return <const uint8_t *>PyUnicode_AsUTF8AndSize(message, n)
    return NULL


cdef class Outlet(Writer):
    """The sending half of a link."""

    # What its Lifecycle calls

    def _set_open(self, bint is_open):
        """Set whether messages may be sent, and are still received."""
        self._is_open = is_open

    def _send_control(self, unsigned opcode, bytes payload not None):
        """Send a control frame (at most 125 bytes) with this turn's batch, in any state."""
        if PyBytes_GET_SIZE(payload) > TL_CONTROL_MAX:
            raise ValueError(f"control frame of {len(payload)} bytes, limit {TL_CONTROL_MAX} (RFC 6455 5.5)")
        self._put_control(opcode, payload)

    def _send_frame(self, unsigned first, bytes payload not None, Py_ssize_t inflated=-1):
        """Send one frame, a fragment. The caller sees to their order.

        Args:
            first: the first byte of the frame.
            payload: its payload.
            inflated: bytes of the payload before it was compressed; -1 if it was not.
        """
        self._put_frame(first, payload)
        tl_count(&self._messages_sent, first == TL_FIN | TL_CONTINUATION)
        if inflated >= 0:
            tl_count(&self._deflated_bytes, <uint64_t>PyBytes_GET_SIZE(payload))
            tl_count(&self._inflated_bytes, <uint64_t>inflated)

    @property
    def _is_unfinished(self):
        """Whether a fragmented message is under way: no other may begin (RFC 6455 5.4)."""
        return self._unfinished

    def _set_unfinished(self, bint unfinished):
        self._unfinished = unfinished

    def _deflate(self, Deflater deflater):
        """Compress messages from now on."""
        self._deflater = deflater

    def _set_queueing(self, bint queueing):
        self._queueing = queueing

    def _count_dropped(self):
        """Count a broadcast that was not sent here."""
        tl_count(&self._messages_dropped, 1)

    def _send_payload(self, unsigned opcode, bytes payload not None, Py_ssize_t n):
        """Send a message of n bytes that was compressed to `payload`."""
        self._check_open()
        self._put_payload(opcode, payload, n)

    @property
    def _is_overdue(self):
        """Whether enough was sent since the event loop last ran."""
        return self._overdue

    def _start_turn(self):
        """Note that the event loop has run."""
        tl_put(&self._overdue, False)

    # What applications call

    def send_nowait(self, message, *, compress=None):
        """Send a message without waiting: it joins this turn's batch. If this raises, nothing is sent.

        Args:
            message: str (sent as text) or bytes-like (sent as binary). It is copied: you may reuse a buffer.
            compress: on a connection with compression, True or False to decide; None compresses from the threshold on.
                Large messages are compressed at once as well, and overtake those that `send` is compressing.

        Raises:
            SlowConsumer: if more than `write_limit` bytes wait for the peer.
            ConnectionClosed: if the connection is not open.
            LocalProtocolError: if a str is not Unicode text (it has lone surrogates).
            TypeError: if the message is neither str nor bytes-like.
            WrongThread: if this is not the event loop's thread.
        """
        if not self._corked or self._loop_state._thread != tl_thread():
            self._check_here()
        if self._deflater is None:
            self._put(message)
        else:
            self._put_deflated(message, compress)

    def send_many(self, messages, *, compress=None):
        """Send several messages in one write. See `send_nowait`; if this raises, none of them is sent."""
        # Into a batch of their own: the iterable, or a buffer, may run code that sends here too, or flushes.
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
                self._give_up()  # some may have left already
            elif self._deflater is not None:
                self._deflater.reset()
            raise
        self._mark()

    cdef int _join_batch(self, Batch batch) except -1:
        """Append a borrowed batch to the output, and take it."""
        if self._frame is not None:
            self._lend(0)
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.put_bytes(batch._bytes, batch._used)
            self._loop_state.give_back(batch)
        return 0

    cdef Batch _encode(self, messages, object compress, list large):
        """Return a borrowed batch with the frames of these messages, and count them as sent. Add to `large` what must
        leave before: batches, each with the large message whose header it ends with.
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
        """Send a message: `await ws.send("text")`.

        As with a coroutine, the call does nothing and the await does everything. While more than 64 KiB wait for the
        peer, it waits; otherwise the message joins this turn's batch, and the await takes no turn of the event loop. If
        it is cancelled or times out, nothing was sent; a message in fragments that has begun ends the connection with
        code 1011, since it cannot be left open.

        Args:
            message: str (sent as text), bytes-like (sent as binary), or an iterable or asynchronous iterable of either
                (sent in fragments).
            compress: on a connection with compression, True or False to decide; None compresses from the threshold on.

        Raises:
            ConnectionClosed: if the connection is not open, or closes meanwhile.
            SendTimeout: if it had to wait longer than `send_timeout`.
            LocalProtocolError: if a str is not Unicode text (it has lone surrogates).
            TypeError: if the message has another type.
            WrongThread: if another event loop awaits it.
        """
        cdef Sending sending = Sending.__new__(Sending)
        sending._outlet = self
        sending._what = message
        sending._compress = 0 if compress is None else 1 if compress else 2
        return sending

    cdef bint _may_put(self, object message) noexcept:
        """Return whether a message may be sent now and uncompressed."""
        return (self._deflater is None and not self._full and not self._overdue and not self._unfinished
                and (PyBytes_CheckExact(message) or PyUnicode_CheckExact(message)))

    cdef bint _may_deflate(self, object message, unsigned compress) except -1:
        """Return whether a message may be compressed and sent now."""
        if self._deflater is None or self._full or self._overdue or self._unfinished or self._queueing:
            return False
        if not PyBytes_CheckExact(message) and not PyUnicode_CheckExact(message):
            return False
        # For text, len() counts characters.
        return compress == UNCOMPRESSED or not 0 <= self._deflater.large <= len(message)

    cdef int _put_deflated(self, object message, object compress) except -1:
        """Send a message on a connection with compression."""
        cdef object data
        cdef bytes payload
        try:
            data = self._deflater.wanted(message, compress)
        except UnicodeEncodeError as error:
            raise self._life.bad_text(error) from None
        if data is None:
            return self._put(message)
        self._check_open()
        payload = self._deflater.payload(data)  # from here to the batch, no code of others runs
        if payload is None:
            return self._put(message)
        return self._put_payload(TL_TEXT if isinstance(message, str) else TL_BINARY, payload, PyBytes_GET_SIZE(data))

    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1:
        """Send a message of n bytes that was compressed to `payload`."""
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
        """Send a short message if nothing prevents it. If something may, return False; nothing is sent."""
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
            key = self._keys.take()  # may run code that sends: before anything is checked
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
        """Send a message, uncompressed."""
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
        """Send a large message at once, behind the batch and without a copy. Return False if it is not large."""
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
        """Write a batch that ends with the header of a large message, and that message."""
        cdef Py_ssize_t n = 0
        cdef unsigned opcode = 0
        cdef const uint8_t *payload = large_payload(message, &n, &opcode)
        return self._write(batch, payload, n, message)

    cdef int _put_control(self, unsigned opcode, bytes payload) except -1:
        """Send a control frame, unless the transport is gone."""
        if self._transport is None:
            return 0
        self._put_frame(TL_FIN | opcode, payload)
        tl_count(&self._pings_sent, opcode == TL_PING)
        tl_count(&self._pongs_sent, opcode == TL_PONG)
        return 0

    cdef int _put_frame(self, unsigned first, bytes payload) except -1:
        """Send a frame, in any state."""
        self._lend(0)
        self._batch.put_frame(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), self._keys)
        tl_count(&self._frames_sent, 1)
        self._mark()
        return 0

    cdef int _put_pong(self, bytes payload) except -1:
        """Answer a ping, now or later."""
        # 5.5.3: only the latest of several pings must be answered. So a peer that does not read costs us one pong, and
        # one that floods us costs few.
        if self._full or self._pongs >= MAX_PONGS:
            self._pong = payload
        elif self._is_open:  # 5.5.1: nothing may follow our close frame
            self._pongs += 1
            self._put_control(TL_PONG, payload)
        return 0

    cdef int _end_pongs(self) except -1:
        """End a read: answer the latest of its pings if it was put off."""
        cdef bytes payload = self._pong
        self._pongs = 0
        if payload is not None and not self._full:
            self._pong = None
            self._put_pong(payload)
            self._pongs = 0
        return 0

    cdef int _check_open(self) except -1:
        """Raise if no message may be sent: the connection is not open, or too many bytes wait."""
        if not self._is_open or self._unfinished:
            raise self._life.refusal()
        if self._handed:
            self._check_limit()
        return 0

    cdef int _check_limit(self) except -1:
        """Raise SlowConsumer if more than _write_limit bytes wait."""
        cdef Py_ssize_t pending = self._pending()
        if pending > self._write_limit:
            raise self._life.slow_consumer(pending)
        return 0

    cdef int _make_room(self) except -1:
        """Go on with what waited for room: a pong, and those that `send`."""
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
    """What `send` returns. It has the methods of a coroutine, so asyncio.create_task() and wait_for() take it."""

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
        """Do what the send method of a coroutine does."""
        if self._stage != WAITS:
            self.begin()
            if self._stage != WAITS:
                raise StopIteration
        return self._what.send(value)

    cdef int begin(self) except -1:
        """Send the message, or make the coroutine that waits and sends it."""
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
        """Do what the throw method of a coroutine does. Before it has begun, nothing is sent."""
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        elif not isinstance(value, BaseException):
            value = kind(value)
        if self._stage == WAITS:
            return self._what.throw(value)
        self._stage = OVER
        raise value

    def close(self):
        """Do what the close method of a coroutine does."""
        if self._stage == WAITS:
            self._what.close()
        self._stage = OVER


cdef PySendResult send_sending(PyObject *sending, PyObject *value, PyObject **result) except PYGEN_ERROR:
    """Fill the slot am_send, through which `await` drives a Sending without a StopIteration."""
    result[0] = NULL  # the result if this raises
    if (<Sending>sending)._stage != WAITS:
        (<Sending>sending).begin()
        if (<Sending>sending)._stage != WAITS:
            Py_INCREF(None)
            result[0] = <PyObject *>None
            return PYGEN_RETURN
    return PyIter_Send(<PyObject *>(<Sending>sending)._what, value, result)


tl_set_send(Sending, send_sending)
Coroutine.register(Sending)
