"""The hot path between an asyncio transport and a WebSocket: a read becomes messages.

Theory of operation. A `Link` is the protocol object that the event loop calls. Each read is decoded in one pass and its
messages are handed to the listener, or put into the inbox, together; its `Outlet` is corked meanwhile. A large message
of which a good part is still to come is received straight into its final bytes.

Many connections share the loop, so none gets more than its part of a turn: after MAX_FRAMES frames what else was read
waits undecoded, and nothing more is read, until the others have had theirs. A loop that reads again and again from a
socket that has more (uvloop, 32 times 256 KB) is stopped the same way. Control frames cost the peer nothing and us
time: they are drawn from a bucket, and when it is empty the connection is not read until it has filled up again. To
pause is enough, and loses nothing: a peer that is only eager must wait, one that means harm harms itself. What inflating
and decoding may cost in a turn is bounded by the decoder, in the units of that work.

Nothing here decides: the opening handshake, the closing handshake, timers and errors are its Lifecycle's
(`trunkline.net.lifecycle`), which it calls by the methods that `_writer.pxd` lists.
"""

from asyncio import CancelledError

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_count, tl_put, tl_put_word
from trunkline._awaitable cimport tl_inherit_anext
from trunkline._kernels cimport TL_PING, TL_PONG
from trunkline._inbox cimport MESSAGE, NEXT_MESSAGE, Batches, Inbox
from trunkline._outlet cimport Outlet
from trunkline._writer cimport READ_BUFFER, tl_thread


cdef enum:
    RESUMED = -2        # in place of a number of bytes: parsing was stalled, and goes on
    SHARED = -1         # in place of a number of bytes that are lent: the buffer that all links share
    BULK = 32 * 1024  # bytes: a payload of which so much is still to come is received straight into its body
    MAX_FRAMES = 4096  # that one connection decodes in a turn; a control frame counts as eight
    MANY_FRAMES = 256  # of one read: that is enough for a turn, where the loop would read again in it
    WHOLE_READ = 192 * 1024  # bytes: after so large a read, such a loop does
    LAST_TURNS = 8  # turns' worth that is inflated at once when the transport is gone; the rest is lost with it


cdef class Link(Outlet):
    """The compiled base of `trunkline.WebSocket`."""

    # What its Lifecycle tells it

    def _open(self, Decoder decoder not None, Inbox inbox, *, Py_ssize_t write_limit, Py_ssize_t control_rate):
        """The opening handshake is done: from now on reads are frames. `inbox`: None if a listener takes the
        messages. control_rate: control frames a second, 0 for no bound.
        """
        self._decoder = decoder
        self._last_turns = LAST_TURNS
        decoder._body_cache = self._loop_state._body_cache
        if inbox is not None:
            inbox._loop_state = self._loop_state  # first: whoever finds the inbox asks it for its thread
        self._inbox = inbox
        self._keys = self._loop_state._keys if decoder.client else None
        self._write_limit = write_limit
        self._rate = self._allowed = control_rate
        self._metered = self._loop_state.loop.time()
        self._is_open = True
        if self._fd < 0:
            self._handed = True  # the transport may hold the end of the handshake

    def _adapt(self, make_twin):
        """If the loop hands us `bytes`, and takes another protocol in our place for large payloads, this makes it of us.

        make_twin: gives a BufferedProtocol with our callbacks; None for any other loop.
        """
        self._make_twin = make_twin
        self._adapts = make_twin is not None

    def _listen(self, on_message, on_batch):
        """Messages go to these callbacks: to on_batch if it is not None."""
        self._on_message = on_message
        self._on_batch = on_batch

    def _end(self):
        """Deliver nothing more: no message follows those in the inbox, and whoever waits for one learns it."""
        self._ended = True
        if self._decoder is not None:
            self._decoder._rest = None
        if self._inbox is not None:
            self._inbox.ended = True
            self._inbox.wake()

    def _feed(self, data):
        """Takes bytes as if they had just been read."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._read_chunk(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def _resume_reading(self):
        """Reads on: the inbox has drained, or a closing handshake has begun, which discards messages."""
        if self._inbox is not None and self._inbox.paused:
            self._inbox.paused = False
            self._go_on()

    @property
    def _reading_paused(self):
        return self._inflating or (self._inbox is not None and self._inbox.paused)

    @property
    def _is_held(self):
        """Reading is put off, since enough was read for now."""
        return self._held is not None

    def _moved(self):
        """Bytes received and bytes sent since the link opened."""
        if self._decoder is None:
            return 0, 0
        return self._decoder.bytes_received, self._bytes_sent

    def _counters(self):
        """What a link counts by itself, under the names of `Stats`. What it receives its decoder counts."""
        return {
            "messages_sent": self._messages_sent,
            "messages_discarded": self._messages_discarded,
            "messages_dropped": self._messages_dropped,
            "bytes_sent": self._bytes_sent,
            "frames_sent": self._frames_sent,
            "pings_sent": self._pings_sent,
            "pongs_sent": self._pongs_sent,
            "writes": self._writes,
            "throttles": self._throttles,
            "holds": self._holds,
            "deflated_bytes_sent": self._deflated_bytes,
            "inflated_bytes_sent": self._inflated_bytes,
        }

    def _take_heard(self):
        """Whether bytes have come, since this was last asked, that were no frames of an open connection."""
        cdef bint heard = self._heard
        self._heard = False
        return heard

    @property
    def _has_messages(self):
        """Whether messages wait for the application."""
        return self._inbox is not None and self._inbox.count() > 0

    @property
    def _is_answering(self):
        """Whether the application has messages to take, or has taken some and not come back for more."""
        cdef Inbox inbox = self._inbox
        if inbox is None:
            return False
        return inbox.count() > 0 or (self._decoder.messages_received > 0 and not inbox.is_awaited())

    def _read_on(self):
        """A turn has passed, or as long as a throttle takes: the next part of what was read, or the next read."""
        self._held = None
        self._again = False
        if self._inbox is not None and not self._inbox.paused and self._inbox.is_over():
            self._pause_reading()
        if self._reading_paused:
            return  # whoever ends that goes on
        if self._is_behind():
            self._read_chunk(NULL, RESUMED)
        self._go_on()

    def _catch_up(self):
        """The transport is gone: what was read and not decoded is received now. Of what is compressed, which may be
        without end, LAST_TURNS turns' worth, and no more than the inbox holds; the rest is as lost as what was not read.
        """
        while self._is_behind() and self._last_turns > 0 and not self._reading:
            self._read_chunk(NULL, RESUMED)
            if self._decoder.is_spent():
                self._last_turns -= 1
                if self._inbox is not None and self._inbox.is_over():
                    self._last_turns = 0
        if self._held is not None:  # of a throttle it would be in force, and hold us, for as long as that takes
            self._held.cancel()
            self._held = None

    def _inflated(self):
        """A thread has inflated what the decoder waits for: goes on with what was read behind it."""
        self._inflating = False
        if not self._ended:
            self._read_chunk(NULL, RESUMED)
        self._go_on()

    # The way in

    def get_buffer(self, sizehint):
        """Where the loop reads into: the body of a large message under way, or else a buffer that all links share.

        What is read into the shared buffer is taken out of it in `buffer_updated`, before any other link reads.
        """
        if self._decoder is not None and not self._ended and self._decoder.room() >= BULK and not self._reading:
            self._lent = self._decoder.room()
            return memoryview(self._decoder.lend())
        self._lent = SHARED
        return self._loop_state._view

    def buffer_updated(self, Py_ssize_t n):
        """n bytes were read into the buffer."""
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
        """Bytes were read."""
        if not PyBytes_CheckExact(data):
            self._feed(data)
            return
        self._read_chunk(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        if self._adapts and PyBytes_GET_SIZE(data) >= BULK and self._decoder is not None and not self._ended:
            self._twinned = True
            self._transport.set_protocol(self._make_twin(self))

    cdef int _read_opening(self, const uint8_t *data, Py_ssize_t n) except -1:
        tl_put_word(&self._loop_state._thread, tl_thread())
        self._lent = 0
        self._heard = True
        self._life.on_opening(PyBytes_FromStringAndSize(<const char *>data, n))
        return 0

    @cython.nonecheck(False)  # where there is a decoder there is a loop_state: see _open
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Takes n bytes: at data, or, if that is NULL, those that were read into the body of a message, or (RESUMED)
        that wait in the decoder.
        """
        cdef Decoder decoder = self._decoder
        if decoder is None:
            return self._read_opening(data, n)
        self._lent = 0  # a buffer that is filled now holds what came before these bytes
        tl_put_word(&self._loop_state._thread, tl_thread())
        if self._reading:
            raise RuntimeError("a callback cannot feed bytes to the connection whose bytes it was called for")
        if self._ended or (decoder.fault is not None and n != RESUMED):
            self._heard = True
            if self._adapts and n >= WHOLE_READ:
                self._hold()
            return 0  # a parser that has failed is dead; so is what comes after a close frame
        self._reading = True
        try:
            self._process(data, n)
        except BaseException as error:  # messages of this read are lost with it: the connection may not go on
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
        cdef Decoder decoder = self._decoder
        cdef object message = None
        cdef uint64_t before = decoder.frames_received
        decoder._stop = before + MAX_FRAMES
        cdef bint bounded = self._adapts or decoder.inflater is not None
        if bounded:
            if n == RESUMED or not self._again:
                decoder.begin_turn()
            self._again = self._adapts and (data == NULL or n >= WHOLE_READ or self._fd < 0)
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
        """Takes so many out of the control frames that the peer may send; if that was too many, reads nothing until
        they are made up for.
        """
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
        """Reads nothing until the next turn."""
        if self._held is None and not self._reading_paused and self._transport is not None:
            tl_count(&self._holds, 1)
            self._held = self._loop_state.loop.call_soon(self._read_on)
            self._halt()
        return 0

    cdef int _halt(self) except -1:
        if not self._transport.is_closing():
            self._transport.pause_reading()
        return 0

    cdef bint _is_behind(self) noexcept:
        """Whether what was read waits for a turn, and is still wanted."""
        return self._decoder is not None and not self._ended and self._decoder.is_behind()

    cdef int _go_on(self) except -1:
        """Reads, if nothing stands against it; what has been read comes first, in the next turn."""
        if self._transport is None or self._held is not None or self._reading_paused:
            return 0
        if self._is_behind():
            self._held = self._loop_state.loop.call_soon(self._read_on)
        elif not self._transport.is_closing():
            self._transport.resume_reading()
        return 0

    cdef int _take(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Decodes and delivers all that was read, as `_read_chunk`."""
        cdef list items = []
        cdef Py_ssize_t controls = 0
        if data != NULL:
            controls = self._decoder.parse(data, n, items)  # from here on nothing refers to data
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
        """A large compressed message: nothing is read until a thread has inflated what there is of it, or before the next
        turn.
        """
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
            self._inflating = False  # nobody will say that it is done
            raise
        return 0

    cdef int _fault(self, fault) except -1:
        """Fails the connection: at once, or if messages came before the fault, when the task that waits for them has
        had its turn.
        """
        if self._inbox is not None and self._inbox.count():
            self._loop_state.loop.call_soon(self._life.on_fault, fault)
        else:
            self._life.on_fault(fault)
        return 0

    cdef int _deliver(self, list items, Py_ssize_t controls) except -1:
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
        """Delivers the only message of a read."""
        cdef object on_message = self._on_message
        if on_message is None or self._on_batch is not None or not self._is_open:
            return self._deliver([message], 0)
        on_message(self, message)
        return 0

    cdef int _deliver_batch(self, list items) except -1:
        """Messages and control frames, each in its place."""
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
        if not self._inbox.paused and self._is_open and self._transport is not None:
            self._inbox.paused = True
            self._halt()
        return 0

    cdef Inbox _box(self):
        if self._inbox is None:
            raise self._life.no_inbox()
        return self._inbox

    def recv(self):
        """The next message: `await ws.recv()` gives a str (text) or bytes (binary).

        Messages that came before the end of the connection are given first; then it raises ConnectionClosedOK or
        ConnectionClosedError.
        One task at a time may wait: a second one gets LocalProtocolError. A cancelled recv has taken nothing.
        """
        return self._box().receipt(MESSAGE)

    def __aiter__(self):
        return self

    def __anext__(self):
        return self._box().receipt(NEXT_MESSAGE)

    def batches(self):
        """Lists of messages: `async for batch in ws.batches()` gives all that are there, at least one, in order. Ends
        as `async for` on ws.
        """
        return Batches(self._box())


def iterated_natively(type kind not None):
    """A class decorator: `async for` need not look for `__anext__` in a subclass that has none of its own."""
    if issubclass(kind, Link) and kind.__anext__ is Link.__anext__:
        tl_inherit_anext(kind, Link)
    return kind
