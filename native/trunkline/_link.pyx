"""Receiving: the protocol object between a transport and a WebSocket.

Theory of operation. A stream, or the event loop, calls a `Link` with each read. The read is decoded in one pass, and
its messages go to the listener, or into the inbox, together; its `Outlet` is corked meanwhile. If a large part of a
message is still to come, it is received straight into its final bytes.

Many connections share the loop, so none may take more than its share of a turn. After MAX_FRAMES frames the rest of a
read waits for the next turn, undecoded, and nothing more is read. A loop that reads a busy socket again and again
(uvloop, 32 times 256 KiB) is stopped the same way. Control frames cost the peer nothing and us time: they draw on a
token bucket, and while that is empty, nothing is read. A pause is enough, and loses nothing: an eager peer waits, a
hostile one harms itself. The decoder bounds what inflating and decoding cost in a turn, in the units of that work.

Nothing is decided here. The opening and closing handshakes, timers and errors belong to the Lifecycle
(`trunkline.net.lifecycle`), which the link calls by the methods that `_writer.pxd` lists.
"""

from asyncio import CancelledError

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_count, tl_put, tl_put_word
from trunkline._body_cache cimport new_room
from trunkline._kernels cimport TL_PING, TL_PONG
from trunkline._inbox cimport MESSAGE, NEXT_MESSAGE, Batches, Inbox
from trunkline._outlet cimport Outlet
from trunkline._writer cimport READ_BUFFER, tl_thread


cdef enum:
    RESUMED = -2             # in place of a number of bytes read: parse what had to wait
    SHARED = -1              # in place of a number of bytes lent: the buffer that all links share
    BULK = 32 * 1024         # bytes still to come of a payload, from which it is received straight into its body
    MAX_FRAMES = 4096        # frames that a connection decodes in a turn; a control frame counts as eight
    MANY_FRAMES = 256        # frames of one read that are enough for a turn, if the loop would read again in it
    WHOLE_READ = 192 * 1024  # bytes of a read after which such a loop reads again
    LAST_TURNS = 8           # turns' worth to inflate at once when the transport is gone; the rest is lost


cdef class Link(Outlet):
    """The compiled base of `trunkline.WebSocket`."""

    # What its Lifecycle calls

    def _open(self, Decoder decoder not None, Inbox inbox, *, Py_ssize_t write_limit, Py_ssize_t control_rate):
        """Take reads as frames from now on, since the opening handshake is done.

        Args:
            decoder: parses them.
            inbox: where messages wait; None if a listener takes them.
            write_limit: bytes that may wait to be sent.
            control_rate: control frames a second that the peer may send; 0 for no bound.
        """
        self._decoder = decoder
        self._last_turns = LAST_TURNS
        decoder._body_cache = self._loop_state._body_cache
        if inbox is not None:
            inbox._loop_state = self._loop_state  # first: another thread that finds the inbox asks it for its thread
        self._inbox = inbox
        self._keys = self._loop_state._keys if decoder.client else None
        self._write_limit = write_limit
        self._rate = self._allowed = control_rate
        self._metered = self._loop_state.loop.time()
        self._is_open = True
        if self._fd < 0:
            self._handed = True  # the transport may hold the end of the handshake

    def _adapt(self, make_twin):
        """Set what makes a BufferedProtocol that stands in for this one while large payloads come in; or None."""
        self._make_twin = make_twin
        self._adapts = make_twin is not None

    def _listen(self, on_message, on_batch):
        """Hand messages to these callbacks: to on_batch unless it is None."""
        self._on_message = on_message
        self._on_batch = on_batch

    def _end(self):
        """Deliver nothing more, and tell the task that waits in the inbox."""
        self._ended = True
        if self._decoder is not None:
            self._decoder._rest = None
        if self._inbox is not None:
            self._inbox.ended = True
            self._inbox.wake()

    def _feed(self, data):
        """Take bytes (bytes-like) as if they had just been read."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._read_chunk(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def _resume_reading(self):
        """Read again: the inbox has drained, or a closing handshake has begun, which discards messages."""
        if self._inbox is not None and self._inbox.paused:
            self._inbox.paused = False
            self._go_on()

    @property
    def _reading_paused(self):
        return self._inflating or (self._inbox is not None and self._inbox.paused)

    @property
    def _is_held(self):
        """Whether reading is put off, since enough was read for now."""
        return self._held is not None

    def _moved(self):
        """Return the bytes received and the bytes sent since the link opened."""
        if self._decoder is None:
            return 0, 0
        return self._decoder.bytes_received, self._bytes_sent

    def _counters(self):
        """Return the link's own counters, under the names of `Stats`. The decoder counts what is received."""
        return {
            "messages_sent": self._messages_sent, "messages_discarded": self._messages_discarded,
            "messages_dropped": self._messages_dropped, "bytes_sent": self._bytes_sent,
            "frames_sent": self._frames_sent, "pings_sent": self._pings_sent, "pongs_sent": self._pongs_sent,
            "writes": self._writes, "throttles": self._throttles, "holds": self._holds,
            "deflated_bytes_sent": self._deflated_bytes, "inflated_bytes_sent": self._inflated_bytes,
        }

    def _take_heard(self):
        """Return whether bytes came, since the last call, that were not frames of an open connection."""
        cdef bint heard = self._heard
        self._heard = False
        return heard

    @property
    def _has_messages(self):
        """Whether messages wait for the application."""
        return self._inbox is not None and self._inbox.count() > 0

    @property
    def _is_answering(self):
        """Whether messages wait for the application, or it took some and did not come back for more."""
        cdef Inbox inbox = self._inbox
        if inbox is None:
            return False
        return inbox.count() > 0 or (self._decoder.messages_received > 0 and not inbox.is_awaited())

    def _read_on(self):
        """Go on after a turn, or a throttle: with the rest of the last read, or with the next one."""
        self._held = None
        self._again = False
        if self._inbox is not None and not self._inbox.paused and self._inbox.is_over():
            self._pause_reading()
        if self._reading_paused:
            return  # whoever ends the pause goes on
        if self._is_behind():
            self._read_chunk(NULL, RESUMED)
        self._go_on()

    def _catch_up(self):
        """Receive what was read and not decoded, since the transport is gone. Compressed data may be endless: of that,
        LAST_TURNS turns' worth, and no more than the inbox holds. The rest is lost, like what was never read.
        """
        while self._is_behind() and self._last_turns > 0 and not self._reading:
            self._read_chunk(NULL, RESUMED)
            if self._decoder.is_spent():
                self._last_turns -= 1
                if self._inbox is not None and self._inbox.is_over():
                    self._last_turns = 0
        if self._held is not None:  # the timer of a throttle would keep this alive
            self._held.cancel()
            self._held = None

    def _inflated(self):
        """Go on with what was read, since a thread has inflated what was before it."""
        self._inflating = False
        if not self._ended:
            self._read_chunk(NULL, RESUMED)
        self._go_on()

    # What the event loop calls

    def get_buffer(self, sizehint):
        """Return the buffer to read into: the body of a large message, or a buffer that all links share.

        `buffer_updated` empties the shared buffer before any other link can read.
        """
        cdef Py_ssize_t n = 0
        cdef uint8_t *room = self._room(&n)
        if room == self._loop_state._read:
            self._lent = SHARED
            return self._loop_state._view
        self._lent = n
        return memoryview(new_room(<object>self._decoder._body, room, n))

    def buffer_updated(self, Py_ssize_t n):
        """Take n bytes that were read into the buffer."""
        cdef Py_ssize_t lent = READ_BUFFER if self._lent == SHARED else self._lent
        if lent == 0:
            raise ValueError(f"the loop says it read {n} bytes into a buffer that it has not asked for")
        if n < 0 or n > lent:
            raise ValueError(f"the loop says it read {n} bytes into a buffer of {lent}")
        if self._lent != SHARED:
            self._read_chunk(NULL, n)
        else:
            if self._twinned and n < BULK and self._decoder.room() == 0 and self._transport is not None:
                self._twinned = False
                self._transport.set_protocol(self)
            self._read_chunk(self._loop_state._read, n)

    def data_received(self, data):
        """Take bytes that were read."""
        if not PyBytes_CheckExact(data):
            self._feed(data)
            return
        self._read_chunk(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        if self._adapts and PyBytes_GET_SIZE(data) >= BULK and self._decoder is not None and not self._ended:
            self._twinned = True
            self._transport.set_protocol(self._make_twin(self))

    # Reading

    cdef uint8_t *_room(self, Py_ssize_t *n) noexcept:
        """Return where to read to: the body of a large message, or the buffer that all links share. Set its size."""
        if self._decoder is not None and not self._ended and not self._reading and self._decoder.room() >= BULK:
            n[0] = self._decoder.room()
            return self._decoder.lend()
        n[0] = READ_BUFFER
        return self._loop_state._read

    cdef int _read_opening(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Hand a read of the opening handshake to the Lifecycle."""
        tl_put_word(&self._loop_state._thread, tl_thread())
        self._lent = 0
        self._heard = True
        self._life.on_opening(PyBytes_FromStringAndSize(<const char *>data, n))
        return 0

    @cython.nonecheck(False)  # if there is a decoder, there is a loop state: see _open
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Process n bytes: at `data`; if that is NULL, those that were read into the body of a message, or, if n is
        RESUMED, those that wait in the decoder. Raise only what must end the event loop.
        """
        cdef Decoder decoder = self._decoder
        if decoder is None:
            return self._read_opening(data, n)
        self._lent = 0  # if a buffer is still lent, it was filled before these bytes came
        tl_put_word(&self._loop_state._thread, tl_thread())
        if self._reading:
            raise RuntimeError("a callback cannot feed bytes to the connection whose bytes it was called for")
        if self._ended or (decoder.fault is not None and n != RESUMED):
            self._heard = True
            if self._adapts and n >= WHOLE_READ:
                self._hold()
            return 0  # nothing counts after a fault or a close frame
        self._reading = True
        try:
            self._process(data, n)
        except BaseException as error:  # messages of this read are lost, so the connection must end
            tl_put(&self._corked, False)
            self._life.on_broken(error)
            if not isinstance(error, (Exception, CancelledError)):
                raise
        finally:
            self._reading = False
            tl_put(&self._corked, False)
        return 0

    @cython.nonecheck(False)
    cdef int _process(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Decode and deliver n bytes, as `_read_chunk`, and put the rest off if that was enough for this turn."""
        cdef Decoder decoder = self._decoder
        cdef object message = None
        cdef uint64_t before = decoder.frames_received
        decoder._stop = before + MAX_FRAMES
        cdef bint bounded = self._adapts or decoder.inflater is not None
        if bounded:
            if n == RESUMED or not self._again:
                decoder.begin_turn()
            self._again = n == RESUMED or (self._adapts and (data == NULL or n >= WHOLE_READ or self._fd < 0))
        if data != NULL:
            message = decoder.sole(data, n)
        if message is not None:
            tl_put(&self._corked, True)
            self._deliver_one(message)
        else:
            self._take(data, n)
        if self._pongs:
            self._end_pongs()
        if decoder.fault is not None and not self._ended:
            self._fault(decoder.fault)
        tl_put(&self._corked, False)
        self.flush()
        if self._inbox is not None and self._inbox.is_over():
            self._pause_reading()
        if bounded:
            if self._again and (
                    (n != RESUMED and decoder.frames_received - before >= MANY_FRAMES) or decoder.is_spent()):
                self._hold()
            if decoder.inflater is not None and decoder.inflater.stalled:
                self._stall()
        if decoder._rest is not None:
            self._hold()
        return 0

    cdef int _meter(self, Py_ssize_t controls) except -1:
        """Draw control frames from the token bucket. If it is empty, read nothing until it has filled up again."""
        cdef double now
        self._allowed -= controls
        if self._allowed >= 0 or not self._is_open or self._transport is None:
            return 0
        now = self._loop_state.loop.time()
        self._allowed = min(self._rate, self._allowed + controls + (now - self._metered) * self._rate) - controls
        self._metered = now
        if self._allowed < 0 and self._held is None:
            tl_count(&self._throttles, 1)
            self._held = self._loop_state.loop.call_later(-self._allowed / self._rate, self._read_on)
            self._halt()
        return 0

    cdef int _hold(self) except -1:
        """Read nothing until the next turn."""
        if self._held is None and not self._reading_paused and self._transport is not None:
            tl_count(&self._holds, 1)
            self._held = self._loop_state.loop.call_soon(self._read_on)
            self._halt()
        return 0

    cdef int _halt(self) except -1:
        """Pause the transport."""
        if not self._transport.is_closing():
            self._transport.pause_reading()
        return 0

    cdef bint _is_behind(self) noexcept:
        """Return whether something that was read, and is still wanted, waits for the next turn."""
        return self._decoder is not None and not self._ended and self._decoder.is_behind()

    cdef int _go_on(self) except -1:
        """Read again if nothing prevents it. What was read already comes first, in the next turn."""
        if self._transport is None or self._held is not None or self._reading_paused:
            return 0
        if self._is_behind():
            self._held = self._loop_state.loop.call_soon(self._read_on)
        elif not self._transport.is_closing():
            self._transport.resume_reading()
        return 0

    cdef int _take(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Decode and deliver n bytes, as `_read_chunk`."""
        cdef list items = []
        cdef Py_ssize_t controls = 0
        if data != NULL:
            controls = self._decoder.parse(data, n, items)  # nothing refers to data from here on
        elif n == RESUMED:
            controls = self._decoder.resume(items)
        else:
            self._decoder.advance(n, items)
        tl_put(&self._corked, True)
        self._deliver(items, controls)
        if controls and self._rate:
            self._meter(controls)
        return 0

    cdef int _stall(self) except -1:
        """Read nothing until a thread has inflated a large message, or, if that is not needed, until the next turn."""
        if not self._decoder.inflater.for_thread:
            return self._hold()
        if self._inflating or self._ended:
            return 0
        self._inflating = True
        if self._transport is not None:
            self._halt()
        try:
            self._life.inflate(self._decoder.inflater)
        except BaseException:
            self._inflating = False  # nobody will call _inflated
            raise
        return 0

    cdef int _fault(self, fault) except -1:
        """Fail the connection. If messages came before the fault, first let the task that waits for them run."""
        if self._inbox is not None and self._inbox.count():
            self._loop_state.loop.call_soon(self._life.on_fault, fault)
        else:
            self._life.on_fault(fault)
        return 0

    # Delivering

    cdef int _deliver(self, list items, Py_ssize_t controls) except -1:
        """Deliver messages, and handle the control frames among them."""
        cdef object on_message = self._on_message
        if self._on_batch is not None:
            if controls:
                return self._deliver_batch(items)
            if items and self._is_open:
                self._on_batch(self, items)
            else:
                tl_count(&self._messages_discarded, <uint64_t>len(items))
        elif on_message is not None:
            for item in items:
                if type(item) is Control:
                    self._handle(<Control>item)
                elif self._is_open:  # a callback may have closed
                    on_message(self, item)
                else:
                    tl_count(&self._messages_discarded, 1)
        else:
            self._store(items, controls)
        return 0

    cdef int _deliver_one(self, object message) except -1:
        """Deliver the only message of a read."""
        cdef object on_message = self._on_message
        if on_message is None or self._on_batch is not None or not self._is_open:
            return self._deliver([message], 0)
        on_message(self, message)
        return 0

    cdef int _deliver_batch(self, list items) except -1:
        """Deliver messages to on_batch and handle control frames, in their order."""
        cdef list messages = []
        for item in items:
            if type(item) is not Control:
                messages.append(item)
                continue
            if messages:
                self._deliver(messages, 0)
                messages = []
            self._handle(<Control>item)
        if messages:
            self._deliver(messages, 0)
        return 0

    cdef int _store(self, list items, Py_ssize_t controls) except -1:
        """Put messages into the inbox, handle control frames, and wake the task that waits."""
        for item in items:
            if controls and type(item) is Control:
                self._handle(<Control>item)
            elif self._is_open:
                self._inbox.put(item)
            else:
                tl_count(&self._messages_discarded, 1)
        if self._inbox.count():
            self._inbox.wake()
        return 0

    cdef int _handle(self, Control control) except -1:
        """Answer a ping; hand any other control frame to the Lifecycle."""
        if self._ended:
            return 0  # a callback has failed or aborted the connection
        if control.opcode == TL_PING:
            self._put_pong(control.payload)
        elif control.opcode == TL_PONG:
            self._life.on_pong(control.payload)
        else:
            self._life.on_close_frame(control.code, control.reason)
        return 0

    cdef int _pause_reading(self) except -1:
        """Read nothing until the inbox has drained."""
        if not self._inbox.paused and self._is_open and self._transport is not None:
            self._inbox.paused = True
            self._halt()
        return 0

    # What applications call

    cdef Inbox _box(self):
        """Return the inbox; raise if a listener takes the messages."""
        if self._inbox is None:
            raise self._life.no_inbox()
        return self._inbox

    def recv(self):
        """Receive the next message: `await ws.recv()` returns a str (text) or bytes (binary).

        You get all messages that arrived before the connection ended. If it is cancelled, no message is lost.

        Raises:
            ConnectionClosedOK: if the connection has ended cleanly.
            ConnectionClosedError: if it has ended any other way.
            LocalProtocolError: if another task is already waiting.
        """
        return self._box().receipt(MESSAGE)

    def __aiter__(self):
        return self

    def __anext__(self):
        return self._box().receipt(NEXT_MESSAGE)

    def batches(self):
        """Iterate over lists of messages: `async for batch in ws.batches()`.

        Each list has all messages that have arrived, at least one, in order. The iteration ends as `async for` on the
        connection does.
        """
        return Batches(self._box())
