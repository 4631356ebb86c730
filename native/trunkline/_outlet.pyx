"""The way out of a connection: what is sent joins a batch, and a batch leaves in one write.

Theory of operation. Whatever is sent while a read is processed (the outlet is corked), and whatever a task sends in one
turn of the loop, joins one `Batch`. It leaves when the read is done, or, with those of all other connections, when the
loop's `Flusher` runs at the end of the turn. A large unmasked message is not copied into the batch: it is written
behind it from where it lies. On plain TCP, and while the transport holds no bytes of ours, a write is one send(2) on
the transport's socket; what the socket does not take, and everything under TLS, is handed to the transport as `bytes`.

The socket belongs to the transport: it is used only between `connection_made` and the moment we ask for the close or
are told of it. Both loops call `connection_lost` before they close it, except that uvloop closes every socket with the
loop itself; so a closed loop is looked for first.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._frames cimport TL_BINARY, TL_PING, TL_PONG, TL_TEXT

from trunkline._inbox import DONE as _DONE

cdef extern from *:
    """
    #ifdef _WIN32
    /* Sockets are not file descriptors here: everything goes through the transport. */
    static Py_ssize_t tl_send_now(int fd, const void *bytes, size_t n, const void *more, size_t m) { return 0; }
    #else
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
    #endif
    /* What the socket takes at once of n bytes and then m more (m may be 0); 0 if nothing, or on any error: the
     * transport meets the error itself and reports it. Keeps neither pointer. */
    static Py_ssize_t tl_send_now(int fd, const void *bytes, size_t n, const void *more, size_t m) {
        struct iovec parts[2] = {{(void *)bytes, n}, {(void *)more, m}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        ssize_t sent = m ? sendmsg(fd, &message, flags) : send(fd, bytes, n, flags);
        return sent < 0 ? 0 : (Py_ssize_t)sent;
    }
    #endif
    """
    Py_ssize_t tl_send_now(int fd, const void *data, size_t n, const void *more, size_t m) noexcept

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object value) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL

cdef enum:
    FIN = 0x80
    RSV1 = 0x40                # RFC 7692 6: this message is compressed
    KEYS_BLOCK = 4096          # bytes of a loop's pool of masking keys
    UNCOPIED = 32 * 1024       # bytes (of text: characters): so large an unmasked message is not copied
    FLUSH_AT = 64 * 1024       # a batch of this many bytes does not wait for the end of the turn
    KEPT_SIZE = 256 * 1024     # a larger batch gives its memory back when it is empty
    LARGE_SIZE = 4 * 1024 * 1024  # the largest batch that is kept all the same, one a loop
    KEPT_BATCHES = 1024        # empty batches that a loop keeps: a broadcast takes one a connection


cdef object DONE = _DONE


@cython.final
cdef class Flusher:
    """Writes at the end of a turn what the outlets of one loop have sent in it, and lends them buffers meanwhile."""

    def __cinit__(self, loop):
        cdef bytearray buffer = bytearray(READ_BUFFER)
        self.loop = loop
        self._keys = MaskingKeys(KEYS_BLOCK)
        self._dirty = []
        self._spare = []
        self.deflaters = {}
        self._view = memoryview(buffer)  # holds the buffer, which can no more be resized
        self._read = <uint8_t *>PyByteArray_AS_STRING(buffer)

    cdef Batch borrow(self, Py_ssize_t size):
        cdef Batch large
        if size > KEPT_SIZE and self._large is not None:
            large, self._large = self._large, None
            return large
        return self._spare.pop() if self._spare else Batch.__new__(Batch)

    cdef int give_back(self, Batch batch) except -1:
        # Memory that is mapped and unmapped for each large message costs more than its copy: one large batch is kept.
        if self._large is None and KEPT_SIZE < batch._size <= LARGE_SIZE:
            batch._used = 0
            self._large = batch
            return 0
        batch.shrink(KEPT_SIZE)
        if len(self._spare) < KEPT_BATCHES:
            self._spare.append(batch)
        return 0

    cdef int add(self, Outlet outlet) except -1:
        self._dirty.append(outlet)
        if not self._scheduled:
            self.loop.call_soon(self.flush)
            self._scheduled = True
        return 0

    def flush(self):
        """Writes what every outlet has to send."""
        cdef list dirty = self._dirty
        cdef Outlet outlet
        self._dirty = []
        self._scheduled = False
        for outlet in dirty:
            outlet._listed = False
            try:
                outlet._flush()
            except Exception as error:
                outlet._on_broken(error)


cdef class Outlet:
    """What of a link sends."""

    def __cinit__(self, *args, **kwargs):
        self._fd = -1

    # What the connection tells

    def _join(self, Flusher flusher not None):
        """What the loop shares. Before all else: asyncio asks for a buffer before it says connection_made, under TLS."""
        self._flusher = flusher

    def _attach(self, transport, int fd):
        """The transport is there. fd: the socket of a plain TCP transport, -1 for any other."""
        self.transport = transport
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

    def _set_state(self, int state):
        self._wire_state = state

    def _send_control(self, unsigned opcode, bytes payload):
        """Sends a control frame (at most 125 bytes) with this turn's batch, in any state."""
        self._put_control(opcode, payload)

    def _send_frame(self, unsigned first, bytes payload not None, Py_ssize_t inflated=-1):
        """Sends one frame whose first byte is `first`: a fragment. The order of fragments is the caller's.

        inflated: bytes that it had before it was compressed; -1 if it is not.
        """
        self._put_frame(first, payload)
        if inflated >= 0:
            self.deflated_bytes += <uint64_t>PyBytes_GET_SIZE(payload)
            self.inflated_bytes += <uint64_t>inflated

    @property
    def _writing_paused(self):
        return self._full

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

    def _send_payload(self, unsigned opcode, bytes payload not None, Py_ssize_t n):
        """Sends a message of n bytes that was compressed to `payload`."""
        self._check_open()
        self._put_payload(opcode, payload, n)

    @property
    def _is_overdue(self):
        """A turn's worth has been sent since the loop last ran; reading it starts the count anew."""
        cdef bint overdue = self._overdue
        self._overdue = False
        return overdue

    # What the connection decides, in methods of its own:
    # _on_broken(error): our own code raised; _on_writable(): the transport has room again
    # _send_slowly(message, compress): a coroutine that sends when there is room, or sends a message in fragments
    # _refusal(), _slow_consumer(pending), _bad_text(error): exceptions for a message that cannot be sent

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
        """
        if self._deflater is None:
            self._put(message)
        else:
            self._put_deflated(message, compress)

    def send_many(self, messages, *, compress=None):
        """Sends several messages, joined into one write. As `send_nowait`; if it raises, none of them was sent."""
        # Encoded apart: what the iterable or a buffer runs on the way may send here too, and may flush.
        cdef Batch batch = self._encode(messages, compress)
        if self._batch is None:
            self._batch = batch
        else:
            self._batch.put_bytes(batch._bytes, batch._used)
            self._flusher.give_back(batch)
        self._mark()

    cdef Batch _encode(self, messages, object compress):
        """A batch of our own with the frames of these messages, counted as sent."""
        cdef Batch batch
        cdef uint64_t count = 0
        cdef uint64_t deflated = 0, inflated = 0
        self._check_open()
        batch = self._flusher.borrow(0)
        try:
            if self._deflater is not None:
                count = self._deflater.put_all(batch, list(messages), compress, self._keys, &deflated, &inflated)
            else:
                for message in messages:
                    batch.put_message(message, self._keys)
                    count += 1
            self._check_open()
        except BaseException as error:
            self._flusher.give_back(batch)
            if self._deflater is not None:
                self._deflater.reset()
            if isinstance(error, UnicodeEncodeError):
                raise self._bad_text(error) from None
            raise
        self.deflated_bytes += deflated
        self.inflated_bytes += inflated
        self.messages_sent += count
        self.frames_sent += count
        return batch

    def send(self, message, *, compress=None):
        """Sends a message: `await ws.send("text")`.

        str goes as text, bytes-like as binary; an iterable or asynchronous iterable of one of them as a fragmented
        message. While more than 64 KiB wait for the peer it waits first; otherwise the message joins this turn's batch
        at once and the await takes no turn. Raises ConnectionClosed if the connection is not open or closes meanwhile;
        LocalProtocolError and TypeError as `send_nowait`.
        A cancelled send has sent nothing (a fragmented one: ends the connection with 1011, since a message cannot be
        left open).
        """
        if self._full or self._overdue or self._unfinished or not (PyBytes_CheckExact(message) or PyUnicode_CheckExact(message)):
            return self._send_slowly(message, compress)
        if self._deflater is not None:
            return self._send_deflated(message, compress)
        self._put(message)
        return DONE

    cdef object _send_deflated(self, object message, object compress):
        cdef Py_ssize_t n = len(message)  # of text: characters
        if self._queueing or (compress is not False and 0 <= self._deflater.large <= n):
            return self._send_slowly(message, compress)
        self._put_deflated(message, compress)
        return DONE

    cdef int _put_deflated(self, object message, object compress) except -1:
        """Sends a message on a connection with compression."""
        cdef object data
        cdef bytes payload
        try:
            data = self._deflater.wanted(message, compress)
        except UnicodeEncodeError as error:
            raise self._bad_text(error) from None
        if data is None:
            return self._put(message)
        self._check_open()
        payload = self._deflater.payload(data)  # from here to the batch nobody else is asked
        if payload is None:
            return self._put(message)
        return self._put_payload(TL_TEXT if isinstance(message, str) else TL_BINARY, payload, PyBytes_GET_SIZE(data))

    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1:
        """Sends a message of n bytes that was compressed to `payload`."""
        try:
            self._lend(0)
            self._batch.put_frame(
                FIN | RSV1 | opcode, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), self._keys)
        except BaseException:
            self._deflater.reset()
            raise
        self.messages_sent += 1
        self.frames_sent += 1
        self.deflated_bytes += <uint64_t>PyBytes_GET_SIZE(payload)
        self.inflated_bytes += <uint64_t>n
        self._mark()
        return 0

    cdef int _put(self, object message) except -1:
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
            raise self._bad_text(error) from None
        self.messages_sent += 1
        self.frames_sent += 1
        return 0

    cdef bint _put_uncopied(self, object message) except -1:
        """Sends a large message at once, behind the batch and without copying it there; False if it is not large."""
        cdef const uint8_t *payload
        cdef Py_ssize_t n = 0
        cdef unsigned opcode
        cdef Batch batch = self._batch
        if PyBytes_CheckExact(message) and PyBytes_GET_SIZE(message) >= UNCOPIED:
            payload, n, opcode = <const uint8_t *>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), TL_BINARY
        elif PyUnicode_CheckExact(message) and PyUnicode_GET_LENGTH(message) >= UNCOPIED:
            payload, opcode = <const uint8_t *>PyUnicode_AsUTF8AndSize(message, &n), TL_TEXT
        else:
            return False
        batch.put_header(FIN | opcode, n)
        self._batch = None
        self._overdue = not self._corked
        self._write(batch, payload, n, message)
        self._flusher.give_back(batch)
        return True

    cdef int _put_control(self, unsigned opcode, bytes payload) except -1:
        if self.transport is None:
            return 0
        self._put_frame(FIN | opcode, payload)
        self.pings_sent += opcode == TL_PING
        self.pongs_sent += opcode == TL_PONG
        return 0

    cdef int _put_frame(self, unsigned first, bytes payload) except -1:
        self._lend(0)
        self._batch.put_frame(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), self._keys)
        self.frames_sent += 1
        self._mark()
        return 0

    cdef int _put_encoded(self, bytes frame) except -1:
        """Sends a message that is already a frame (of a server: unmasked)."""
        self._lend(0)
        self._batch.put_bytes(<const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
        self.messages_sent += 1
        self.frames_sent += 1
        self._mark()
        return 0

    cdef int _lend(self, Py_ssize_t size) except -1:
        """Sees to it that there is a batch, for about so many bytes."""
        if self._batch is None:
            self._batch = self._flusher.borrow(size)
        return 0

    cdef int _put_pong(self, bytes payload) except -1:
        # 5.5.3: only the latest of several pings need be answered, so that a peer that does not read costs one pong.
        if self._full:
            self._pong = payload
        elif self._wire_state == OPEN:  # 5.5.1: nothing follows our close frame
            self._put_control(TL_PONG, payload)
        return 0

    cdef int _check_open(self) except -1:
        """Raises if no message may be sent: the connection is not open, or too much waits."""
        if self._wire_state != OPEN or self._unfinished:
            raise self._refusal()
        if self._handed:
            self._check_limit()
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
            self._flush()
        elif not self._corked and not self._listed:
            self._flusher.add(self)
            self._listed = True
        return 0

    cpdef int _flush(self) except -1:
        """Writes the batch without waiting for the end of the turn."""
        cdef Batch batch = self._batch
        if batch is not None:
            self._batch = None
            self._write(batch, NULL, 0, None)
            self._flusher.give_back(batch)
        return 0

    cdef int _write(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1:
        """Writes the batch, and behind it n bytes of payload that belong to owner: bytes, or a str (its UTF-8)."""
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t used = batch._used
        if used + n == 0 or self.transport is None:
            return 0
        if self._handed and self.transport.get_write_buffer_size() == 0:
            self._handed = False
        # Never past bytes that the transport still holds, nor on a loop that is closed: uvloop closes sockets with it.
        if self._fd >= 0 and not self._handed and not self._flusher.loop.is_closed():
            sent = tl_send_now(self._fd, batch._bytes, used, payload, n)
        self.bytes_sent += <uint64_t>(used + n)
        self.writes += 1
        if sent < used + n and self.transport.is_closing():
            return 0  # the line is gone, and `connection_lost` about to say so
        if sent < used:
            self._handed = True
            self.transport.write(PyBytes_FromStringAndSize(<const char *>batch._bytes + sent, used - sent))
            sent = used
        sent -= used
        if sent < n and self.transport is not None:
            self._handed = True
            if type(owner) is bytes:
                self.transport.write(memoryview(owner)[sent:])  # bytes do not change, and the view keeps them
            else:
                self.transport.write(PyBytes_FromStringAndSize(<const char *>payload + sent, n - sent))
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


def fan_out(connections, bytes frame not None, message):
    """Sends one message to every open connection: `frame`, its unmasked frame, or for a client the message itself.

    Gives how many it was sent to, and those that it was not since their transport is over its high-water mark.
    """
    cdef Outlet outlet
    cdef list slow = []
    cdef Py_ssize_t sent = 0
    for outlet in connections:
        if outlet._wire_state != OPEN:
            continue
        if outlet._full or outlet._unfinished:
            slow.append(outlet)
            continue
        if outlet._keys is not None:
            outlet._put(message)  # each client's frames are masked with keys of its own (RFC 6455 5.3)
        else:
            outlet._put_encoded(frame)
        sent += 1
    return sent, slow
