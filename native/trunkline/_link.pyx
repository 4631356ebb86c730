"""The hot path between an asyncio transport and a WebSocket: a read becomes messages, messages become one write.

Theory of operation. A `Link` is the protocol object that the event loop calls. Each read is decoded in one pass and its
messages are handed to the listener, or put into the inbox, together. While that happens the link is corked: whatever is
sent on it joins one `Batch`, which leaves in one write when the read is done. What is sent outside a read, by a task,
joins the batch too, and the loop's `Flusher` writes the batches of all links at the end of the turn. On plain TCP, and
while the transport holds no bytes of ours, a write is one send(2) on the transport's socket; what the socket does not
take, and everything under TLS, is handed to the transport as `bytes`.

The socket belongs to the transport: it is used only between `connection_made` and the moment we ask for the close or
are told of it, and both loops close it only after that (asyncio and uvloop call `connection_lost` first).

Nothing here decides: the opening handshake, the closing handshake, timers and errors are the subclass's
(`trunkline.net.wire`).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport uint8_t, uint64_t

from trunkline._inbox cimport MESSAGE, NEXT_MESSAGE, Batches, Inbox
from trunkline._frames cimport TL_PING, TL_PONG

from trunkline._inbox import DONE as _DONE

cdef extern from *:
    """
    #ifdef _WIN32
    /* Sockets are not file descriptors here: everything goes through the transport. */
    static Py_ssize_t tl_send_now(int fd, const void *bytes, size_t n) { return 0; }
    #else
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
    #endif
    /* What the socket takes at once, 0 if nothing or on any error: the transport meets the error and reports it. */
    static Py_ssize_t tl_send_now(int fd, const void *bytes, size_t n) {
        ssize_t sent = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent < 0 ? 0 : (Py_ssize_t)sent;
    }
    #endif
    """
    Py_ssize_t tl_send_now(int fd, const void *data, size_t n) noexcept

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object value) noexcept

cdef enum:  # wsproto.connection.ConnectionState
    OPEN = 1

cdef enum:
    FIN = 0x80
    READ_BUFFER = 256 * 1024   # bytes of a loop's read buffer
    KEYS_BLOCK = 4096          # bytes of a loop's pool of masking keys
    FLUSH_AT = 64 * 1024       # a batch of this many bytes does not wait for the end of the turn
    KEPT_SIZE = 256 * 1024     # a larger batch gives its memory back when it is empty
    KEPT_BATCHES = 64          # empty batches that a loop keeps


cdef object DONE = _DONE


@cython.final
cdef class Flusher:
    """Writes at the end of a turn what the links of one loop have sent in it, and lends them buffers meanwhile."""

    def __cinit__(self, loop):
        cdef bytearray buffer = bytearray(READ_BUFFER)
        self.loop = loop
        self._keys = MaskingKeys(KEYS_BLOCK)
        self._dirty = []
        self._spare = []
        self._view = memoryview(buffer)  # holds the buffer, which can no more be resized
        self._read = <uint8_t *>PyByteArray_AS_STRING(buffer)

    cdef Batch borrow(self):
        return self._spare.pop() if self._spare else Batch.__new__(Batch)

    cdef int give_back(self, Batch batch) except -1:
        batch.shrink(KEPT_SIZE)
        if len(self._spare) < KEPT_BATCHES:
            self._spare.append(batch)
        return 0

    cdef int add(self, Link link) except -1:
        self._dirty.append(link)
        if not self._scheduled:
            self.loop.call_soon(self.flush)
            self._scheduled = True
        return 0

    def flush(self):
        """Writes what every link has to send."""
        cdef list dirty = self._dirty
        cdef Link link
        self._dirty = []
        self._scheduled = False
        for link in dirty:
            link._listed = False
            try:
                link._flush()
            except Exception as error:
                link._on_broken(error)


cdef class Link:
    """The compiled base of `trunkline.WebSocket`."""

    def __cinit__(self, *args, **kwargs):
        self._fd = -1

    # What a subclass tells the link

    def _attach(self, transport, Flusher flusher not None, int fd):
        """The transport is there. `fd`: the socket of a plain TCP transport, -1 for any other."""
        self.transport = transport
        self._flusher = flusher
        self._fd = fd

    def _release_socket(self):
        """The transport is about to close the socket: nothing goes past it any more."""
        self._fd = -1

    def _detach(self):
        """The transport is gone: nothing is written any more."""
        self.transport = None
        self._fd = -1
        self._pong = None
        if self._batch is not None:
            self._flusher.give_back(self._batch)
            self._batch = None

    def _open(self, Decoder decoder not None, Inbox inbox, *, Py_ssize_t write_limit):
        """The opening handshake is done: from now on reads are frames. `inbox`: None if a listener takes the
        messages.
        """
        self._decoder = decoder
        self._inbox = inbox
        self._keys = self._flusher._keys if decoder.client else None
        self._write_limit = write_limit
        self._wire_state = OPEN

    def _listen(self, on_message, on_batch):
        """Messages go to these callbacks: to on_batch if it is not None."""
        self._on_message = on_message
        self._on_batch = on_batch

    def _set_state(self, int state):
        self._wire_state = state

    def _end(self):
        """No message follows those in the inbox: whoever waits for one learns it."""
        self._ended = True
        if self._inbox is not None:
            self._inbox.ended = True
            self._inbox.wake()

    def _send_control(self, unsigned opcode, bytes payload):
        """Sends a control frame (at most 125 bytes) with this turn's batch, in any state."""
        self._put_control(opcode, payload)

    def _send_frame(self, unsigned first, bytes payload not None):
        """Sends one frame whose first byte is `first`: a fragment. The order of fragments is the caller's."""
        self._put_frame(first, payload)

    def _send_encoded(self, bytes frame not None):
        """Sends a message that is already a frame (of a server: unmasked)."""
        self._lend()
        self._batch.put_bytes(<const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        self.messages_sent += 1
        self.frames_sent += 1
        self._mark()

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
            if self.transport is not None:
                self.transport.resume_reading()

    @property
    def _reading_paused(self):
        return self._inbox is not None and self._inbox.paused

    @property
    def _writing_paused(self):
        return self._full

    @property
    def _is_overdue(self):
        """A turn's worth has been sent since the loop last ran; reading it starts the count anew."""
        cdef bint overdue = self._overdue
        self._overdue = False
        return overdue

    # What the subclass decides, in methods of its own:
    # _on_opening(data), _on_pong(payload), _on_close_frame(code, reason), _on_fault(fault): what was received
    # _on_broken(error): a callback, or our own code, raised; _on_writable(): the transport has room again
    # _send_slowly(message): a coroutine that sends when there is room, or sends a message in fragments
    # _refusal(), _slow_consumer(pending), _bad_text(error): exceptions for a message that cannot be sent
    # _conclusion(iterating), _busy(), _no_inbox(): exceptions for a message that will not be received

    # The way out

    def send_nowait(self, message):
        """Sends a message without waiting: it joins this turn's batch.

        str goes as text, bytes-like as binary. It is copied: the caller may change a buffer afterwards. Raises
        SlowConsumer, and sends nothing, if more than `write_limit` bytes would wait for the peer; ConnectionClosed if
        the connection is not open; LocalProtocolError for a str that is no Unicode text (lone surrogates); TypeError
        for any other type.
        """
        self._put(message)

    def send_many(self, messages):
        """Sends several messages, joined into one write. As `send_nowait`; if it raises, none of them was sent."""
        cdef Batch batch
        cdef Py_ssize_t mark
        cdef uint64_t count = 0
        if self._wire_state != OPEN:
            raise self._refusal()
        if self._handed:
            self._check_limit()
        self._lend()
        batch = self._batch
        mark = batch._used
        try:
            for message in messages:
                batch.put_message(message, self._keys)
                count += 1
        except BaseException as error:
            batch._used = mark
            self._mark()
            if isinstance(error, UnicodeEncodeError):
                raise self._bad_text(error) from None
            raise
        self.messages_sent += count
        self.frames_sent += count
        self._mark()

    def send(self, message):
        """Sends a message: `await ws.send("text")`.

        str goes as text, bytes-like as binary; an iterable or asynchronous iterable of one of them as a fragmented
        message. While more than 64 KiB wait for the peer it waits first; otherwise the message joins this turn's batch
        at once and the await takes no turn. Raises ConnectionClosed if the connection is not open or closes meanwhile;
        LocalProtocolError and TypeError as `send_nowait`.
        A cancelled send has sent nothing (a fragmented one: ends the connection with 1011, since a message cannot be
        left open).
        """
        if self._full or self._overdue or not (PyBytes_CheckExact(message) or PyUnicode_CheckExact(message)):
            return self._send_slowly(message)
        self._put(message)
        return DONE

    cdef int _put(self, object message) except -1:
        if self._wire_state != OPEN:
            raise self._refusal()
        if self._handed:
            self._check_limit()
        self._lend()
        try:
            self._batch.put_message(message, self._keys)
        except UnicodeEncodeError as error:
            raise self._bad_text(error) from None
        self.messages_sent += 1
        self.frames_sent += 1
        self._mark()
        return 0

    cdef int _put_control(self, unsigned opcode, bytes payload) except -1:
        if self.transport is None:
            return 0
        self._put_frame(FIN | opcode, payload)
        self.pings_sent += opcode == TL_PING
        self.pongs_sent += opcode == TL_PONG
        return 0

    cdef int _put_frame(self, unsigned first, bytes payload) except -1:
        self._lend()
        self._batch.put_frame(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), self._keys)
        self.frames_sent += 1
        self._mark()
        return 0

    cdef int _lend(self) except -1:
        """Sees to it that there is a batch."""
        if self._batch is None:
            self._batch = self._flusher.borrow()
        return 0

    cdef int _put_pong(self, bytes payload) except -1:
        # 5.5.3: only the latest of several pings need be answered, so that a peer that does not read costs one pong.
        if self._full:
            self._pong = payload
        elif self._wire_state == OPEN:  # 5.5.1: nothing follows our close frame
            self._put_control(TL_PONG, payload)
        return 0

    cdef int _check_limit(self) except -1:
        cdef Py_ssize_t pending = self.transport.get_write_buffer_size()
        if pending == 0:
            self._handed = False
            return 0
        if self._batch is not None:
            pending += self._batch._used
        if pending > self._write_limit:
            raise self._slow_consumer(pending)
        return 0

    cdef int _mark(self) except -1:
        """The batch has grown: sees to it that it is written."""
        if self._batch._used >= FLUSH_AT:
            self._overdue = not self._corked  # a task that only sends would never let the loop run
            if not self._flusher.loop.is_closed():  # nor is a socket written to that may have changed hands
                self._flush()
        elif not self._corked and not self._listed:
            self._flusher.add(self)
            self._listed = True
        return 0

    cpdef int _flush(self) except -1:
        """Writes the batch without waiting for the end of the turn."""
        cdef Batch batch = self._batch
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t left
        if batch is None:
            return 0
        self._batch = None
        if batch._used and self.transport is not None:
            if self._handed and self.transport.get_write_buffer_size() == 0:
                self._handed = False
            if self._fd >= 0 and not self._handed:  # never past bytes that the transport still holds
                sent = tl_send_now(self._fd, batch._bytes, batch._used)
            self.bytes_sent += <uint64_t>batch._used
            self.writes += 1
            left = batch._used - sent
            if left:
                self._handed = True
                self.transport.write(PyBytes_FromStringAndSize(<const char *>batch._bytes + sent, left))
        self._flusher.give_back(batch)
        return 0

    def pause_writing(self):
        """The transport holds more than its high-water mark."""
        self._full = True

    def resume_writing(self):
        """The transport holds less than its low-water mark."""
        cdef bytes payload = self._pong
        self._full = False
        if payload is not None:
            self._pong = None
            self._put_pong(payload)
        self._on_writable()

    # The way in

    def get_buffer(self, sizehint):
        """The buffer that the loop reads into: shared by all links of the loop, since `buffer_updated` empties it at
        once.
        """
        return self._flusher._view

    def buffer_updated(self, Py_ssize_t n):
        """n bytes were read into the buffer."""
        if n < 0 or n > READ_BUFFER:
            raise ValueError(f"the loop says it read {n} bytes into a buffer of {READ_BUFFER}")
        self._read_chunk(self._flusher._read, n)

    def data_received(self, data):
        """Bytes were read."""
        if PyBytes_CheckExact(data):
            self._read_chunk(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        else:
            self._feed(data)

    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1:
        cdef Decoder decoder = self._decoder
        cdef list items
        cdef Py_ssize_t controls
        if decoder is None:
            self._on_opening(PyBytes_FromStringAndSize(<const char *>data, n))
            return 0
        if self._ended or decoder.fault is not None:
            return 0  # a parser that has failed is dead; so is what comes after a close frame
        items = []
        try:
            controls = decoder.parse(data, n, items)  # from here on nothing refers to data
            self._corked = True
            self._deliver(items, controls)
            if decoder.fault is not None and not self._ended:
                self._fault(decoder.fault)
            self._corked = False
            self._flush()
            if self._inbox is not None and self._inbox.is_over():
                self._pause_reading()
        except Exception as error:
            self._corked = False
            self._on_broken(error)
        finally:
            self._corked = False
        return 0

    cdef int _fault(self, fault) except -1:
        """Fails the connection: at once, or if messages came before the fault, when the task that waits for them has
        had its turn.
        """
        if self._inbox is not None and self._inbox.count():
            self._flusher.loop.call_soon(self._on_fault, fault)
        else:
            self._on_fault(fault)
        return 0

    cdef int _deliver(self, list items, Py_ssize_t controls) except -1:
        cdef object on_message = self._on_message
        if self._on_batch is not None:
            if controls:
                return self._deliver_batch(items)
            if items and self._wire_state == OPEN:
                self._on_batch(self, items)
            else:
                self.messages_discarded += <uint64_t>len(items)
        elif on_message is not None:
            for item in items:
                if type(item) is Control:
                    self._handle(<Control>item)
                elif self._wire_state == OPEN:  # a callback may have closed
                    on_message(self, item)
                else:
                    self.messages_discarded += 1
        else:
            self._store(items, controls)
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
            elif self._wire_state == OPEN:
                self._inbox.put(item)
            else:
                self.messages_discarded += 1
        if self._inbox.count():
            self._inbox.wake()
        return 0

    cdef int _handle(self, Control control) except -1:
        if control.opcode == TL_PING:
            self._put_pong(control.payload)
        elif control.opcode == TL_PONG:
            self._on_pong(control.payload)
        else:
            self._on_close_frame(control.code, control.reason)
        return 0

    cdef int _pause_reading(self) except -1:
        if not self._inbox.paused and self._wire_state == OPEN and self.transport is not None:
            self._inbox.paused = True
            self.transport.pause_reading()
        return 0

    cdef Inbox _box(self):
        if self._inbox is None:
            raise self._no_inbox()
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
