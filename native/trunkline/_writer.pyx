"""Writing: a batch of frames becomes one write to the socket.

Theory of operation. Everything that is sent while a read is processed (the writer is corked), or by a task in one turn
of the event loop, joins one `Batch`. It leaves at the end of the read or, with those of all other connections, when the
`LoopState` is flushed at the end of the turn. A frame that many connections share is sent from where it lies if nothing
else is to be sent.

On plain TCP, while the transport holds no bytes of ours, a write is one send(2) on the transport's socket. What the
socket does not take waits in a `Backlog`; only a small piece of it goes to the transport, whose high-water mark is 0:
it calls `pause_writing` while it holds the piece, and `resume_writing` once the socket takes more. Under TLS everything
goes to the transport.

The socket belongs to the transport. It is used only from `connection_made` until we ask for the close or are told of
it. Both event loops call `connection_lost` before they close it, except that uvloop closes all sockets when the loop
itself is closed: so that is checked first.
"""

from asyncio import _get_running_loop

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_count, tl_put, tl_put_word
from trunkline._backlog cimport TL_SENDS_NOW, Backlog, iovec, tl_send_now

cdef enum:
    KEYS_BLOCK = 4096          # bytes of a loop's pool of masking keys
    FLUSH_AT = 64 * 1024       # a batch of this many bytes does not wait for the end of the turn
    KEPT_SIZE = 256 * 1024     # a larger batch gives its memory back when it is empty
    LARGE_SIZE = 4 * 1024 * 1024  # the largest batch that is kept all the same, one a loop
    SPARE_SIZE = 16 * 1024     # bytes that each spare batch keeps; there may be many
    KEPT_BATCHES = 1024        # empty batches that a loop keeps: a broadcast takes one a connection
    PIECE = 8 * 1024           # bytes of a backlog that the transport gets, to tell us when the socket takes more

cdef tuple KEPT_EXTRA = ("peername", "sockname", "peercert", "cipher")


@cython.final
cdef class LoopState:
    """What the connections of one event loop share. At the end of a turn it writes what they have sent.

    Args:
        loop: the event loop.
        timers: the `Timers` of trunkline.net for this loop.
        wants_buffers: whether the loop reads faster into a buffer of ours.
        adapts: whether it is fastest with `bytes` for small reads and a buffer for large ones.
        poller: tells streams that they are ready; None if all connections are on the loop's own transports.
    """

    def __cinit__(self, loop, timers=None, *, bint wants_buffers=False, bint adapts=False, Poller poller=None):
        cdef bytearray buffer = bytearray(READ_BUFFER)
        self.loop = loop
        self.timers = timers
        self.wants_buffers = wants_buffers
        self.adapts = adapts
        self.poller = poller
        tl_put_word(&self._thread, tl_thread())
        self._keys = MaskingKeys(KEYS_BLOCK)
        self._dirty = []
        self._spare = []
        self.deflaters = {}
        self._body_cache = BodyCache()
        self._view = memoryview(buffer)  # keeps the buffer alive, and from being resized
        self._read = <uint8_t *>PyByteArray_AS_STRING(buffer)

    cdef Batch borrow(self, Py_ssize_t size):
        """Lend an empty batch with room for about `size` bytes; `give_back` returns it."""
        cdef Batch large
        if size > KEPT_SIZE and self._large is not None:
            large, self._large = self._large, None
            return large
        if self._next is not None:
            large, self._next = self._next, None
            return large
        return self._spare.pop() if self._spare else Batch.__new__(Batch)

    cdef int give_back(self, Batch batch) except -1:
        """Take a batch back, and empty it."""
        # Mapping and unmapping memory for each large message costs more than copying it, so one large batch is kept.
        if self._large is None and KEPT_SIZE < batch._size <= LARGE_SIZE:
            batch._used = 0
            self._large = batch
            return 0
        batch.shrink(KEPT_SIZE)
        if self._next is None:
            self._next = batch
        elif len(self._spare) < KEPT_BATCHES:
            batch.shrink(SPARE_SIZE)
            self._spare.append(batch)
        return 0

    cdef int add(self, Writer writer) except -1:
        """Flush a writer at the end of this turn."""
        self._dirty.append(writer)
        if not self._scheduled:
            self.loop.call_soon(self.flush)
            tl_put(&self._scheduled, True)
        return 0

    cpdef bint runs_here(self) except -1:
        """Return whether the loop runs in this thread. If it does not run at all: whether it ran here last.

        So a thread may use its connections between two runs of its loop, but not while another thread runs it.
        """
        cdef object running = _get_running_loop()
        if running is self.loop:
            tl_put_word(&self._thread, tl_thread())
            return True
        return running is None and self._thread == tl_thread() and not self.loop.is_running()

    def flush(self):
        """Write what all writers have to send."""
        cdef list dirty = self._dirty
        cdef Writer writer
        tl_put_word(&self._thread, tl_thread())
        self._dirty = []
        tl_put(&self._scheduled, False)
        self._running = True
        try:
            for writer in dirty:
                writer._listed = False
                try:
                    writer.flush()
                except Exception as error:
                    writer._life.on_broken(error)
        except BaseException:
            for writer in dirty:
                if writer._listed:  # not flushed yet
                    self.add(writer)
            raise
        finally:
            self._running = False


cdef class Writer:
    """The writing half of a link: from a batch to the socket."""

    def __cinit__(self, *args, **kwargs):
        self._fd = -1

    # What its Lifecycle calls

    def _join(self, LoopState loop_state not None, life not None):
        """Set the loop's state and the Lifecycle. Call this first: under TLS, asyncio asks for a buffer even before
        `connection_made`.
        """
        self._loop_state = loop_state
        self._life = life

    def _attach(self, transport, int fd, marks):
        """Start to use a transport.

        Args:
            transport: asyncio's.
            fd: the socket of a plain TCP transport; -1 for any other.
            marks: the high-water and the low-water mark, in bytes: when `send` starts and stops to wait.
        """
        cdef bint direct = TL_SENDS_NOW and fd >= 0
        with cython.critical_section(self):
            self._transport = transport
        if fd < 0:
            self._keep_extra()  # a TLS transport no longer knows the addresses at connection_lost
        self._high, self._low = marks
        transport.set_write_buffer_limits(*((0, 0) if direct else marks))
        if direct:
            self._fd = fd  # last, so that it stays -1 if something above raises

    def _check_thread(self):
        """Raise WrongThread unless this is the event loop's thread."""
        if not self._loop_state.runs_here():
            raise self._life.wrong_thread()

    def _release_socket(self):
        """Hand everything that waits to the transport, which is about to end its side; use the socket no more."""
        self._fd = -1
        if self._backlog is None or self._draining:
            return  # whoever is handing it over will see that there is no socket, and hand over all
        self._draining = True
        try:
            self._hand_rest()
        finally:
            self._draining = False

    def _drop_socket(self):
        """Give up what waits, since the transport is about to be aborted."""
        self._fd = -1
        self._backlog = None

    def _detach(self):
        """Write nothing more, since the transport is gone."""
        cdef object gone = self._transport
        self._keep_extra()
        self._drop_socket()
        with cython.critical_section(self):
            self._transport = None  # `gone` keeps it alive: its finalizer must not run under the lock
        self._frame = None
        if self._batch is not None:
            self._loop_state.give_back(self._batch)
            self._batch = None

    @property
    def transport(self):
        """asyncio's transport; None before `connection_made` and after `connection_lost`. For any thread."""
        # Another thread may not free it before we hold a reference.
        with cython.critical_section(self):
            return self._transport

    cdef int _keep_extra(self) except -1:
        """Keep the transport's information under the names of KEPT_EXTRA."""
        cdef object transport = self._transport
        if self._kept is None and transport is not None:
            self._kept = {name: transport.get_extra_info(name) for name in KEPT_EXTRA}
        return 0

    def get_extra_info(self, name, default=None):
        """Return the transport's extra information of this name, or `default` if it has none.

        The names are asyncio's (`BaseTransport.get_extra_info`). "peername", "sockname", "peercert" and "cipher" are
        still known when the transport is gone.
        """
        cdef object transport = self.transport  # read once: it may go while another thread asks
        cdef dict kept = self._kept
        cdef object known = None
        if transport is not None:
            known = transport.get_extra_info(name)
        if known is None and kept is not None:
            known = kept.get(name)
        return default if known is None else known

    @property
    def _writing_paused(self):
        return self._full

    @property
    def _waiting(self):
        """The bytes that wait to be sent."""
        return self._pending()

    def _flush(self):
        """Write the output now, and not at the end of the turn."""
        self.flush()

    def pause_writing(self):
        """Note that the transport holds bytes of ours; under TLS: more than its high-water mark."""
        self._handed = True
        if self._fd < 0:
            self._fill_up()

    def resume_writing(self):
        """Note that the transport holds nothing of ours; under TLS: less than its low-water mark."""
        try:
            if self._fd >= 0:
                self._handed = False
                self._drain(False)
            if self._full and (self._fd < 0 or self._pending() <= self._low):
                self._make_room()
        except BaseException as error:
            self._give_up()
            self._life.on_broken(error)
            if not isinstance(error, Exception):
                raise

    cdef int _fill_up(self) except -1:
        """Note that more bytes wait than the high-water mark."""
        if not self._full:
            tl_put(&self._full, True)
            self._full_since = self._loop_state.loop.time()
        return 0

    cdef int _make_room(self) except -1:
        """Note that fewer bytes wait than the low-water mark, and wake those that `send`."""
        tl_put(&self._full, False)
        self._life.on_writable()
        return 0

    # What Outlet calls

    cdef int _check_here(self) except -1:
        """Raise WrongThread unless this is the event loop's thread.

        During a read, or while a flush is due, the thread that we know is the right one. At other times the loop may
        have moved to another thread, so ask.
        """
        if (self._corked or self._loop_state._scheduled) and self._loop_state._thread == tl_thread():
            return 0
        self._check_thread()
        return 0

    cdef int _lend(self, Py_ssize_t size) except -1:
        """Borrow a batch for about `size` bytes if there is none, and move the shared frame into it."""
        cdef bytes frame
        if self._batch is None:
            self._batch = self._loop_state.borrow(size)
        if self._frame is not None:
            frame = self._frame
            self._batch.put_bytes(<const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
            self._frame = None  # last: if there is no memory, it must still be sent
        return 0

    cdef Py_ssize_t _pending(self) except -1:
        """Return how many bytes wait to be sent."""
        cdef Py_ssize_t pending = 0
        if self._handed and self._transport is not None:
            pending = self._transport.get_write_buffer_size()
            self._handed = pending != 0
        if self._backlog is not None:
            pending += self._backlog.left
        if pending and self._batch is not None:
            pending += self._batch._used  # if nothing else waits, it leaves at the end of the turn
        if pending and self._frame is not None:
            pending += PyBytes_GET_SIZE(self._frame)
        return pending

    cdef int _mark(self) except -1:
        """Make sure that the batch is written in time, now that it has grown."""
        if self._batch._used >= FLUSH_AT:
            tl_put(&self._overdue, not self._corked)  # or a task that only sends would never let the loop run
            self.flush()
        elif self._handed and not self._full and self._pending() > self._high:
            self.flush()  # the batch waits too, so that `send` must wait from now on
        elif not self._corked and not self._listed:
            self._list()
        return 0

    cdef int _list(self) except -1:
        """Make sure that the output is written at the end of the read, or of the turn."""
        if not self._corked and not self._listed:
            self._loop_state.add(self)
            self._listed = True
        return 0

    cdef int flush(self) except -1:
        """Write the output now."""
        cdef Batch batch = self._batch
        cdef bytes frame = self._frame
        if frame is not None:
            self._frame = None
            batch = self._loop_state.borrow(0)
            self._write(batch, <const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), frame)
        elif batch is not None:
            self._batch = None
            self._write(batch, NULL, 0, None)
        return 0

    cdef int _write(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1:
        """Write a borrowed batch, and n bytes of payload behind it; take the batch. The payload belongs to `owner`,
        bytes or a str (its UTF-8). If this raises it has aborted the transport, since a part of a frame may have left.
        """
        cdef bint failed = True
        try:
            self._write_out(batch, payload, n, owner)
            failed = False
        finally:  # costs nothing, whereas `except` would save the exception being handled
            if failed:
                self._give_up()
        return 0

    @cython.nonecheck(False)  # the batch was lent by the loop_state
    cdef int _write_out(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1:
        """Write, as `_write` does."""
        cdef iovec parts[2]
        cdef Py_ssize_t used = batch._used, sent = 0
        cdef bint may
        if used + n and self._transport is not None:
            tl_count(&self._bytes_sent, <uint64_t>(used + n))
            tl_count(&self._writes, 1)
            if self._fd < 0 and self._draining:
                return self._keep(batch, 0, n, owner)
            elif self._fd < 0:
                self._hand_over(batch, payload, n, owner)
            else:
                # Never overtake bytes that the transport holds, and never use a socket of a closed loop: uvloop closes
                # it as well. A loop that runs a read or a flush is not closed. is_closed() may run a finalizer, which
                # may send, and so may _prepare(): check everything else after them.
                may = not self._handed and (
                    self._corked or self._loop_state._running or not self._loop_state.loop.is_closed())
                if self._loop_state._idle is None:
                    self._prepare()
                if may and self._fd >= 0 and not self._handed and not self._draining and self._backlog is None:
                    parts[0].iov_base, parts[0].iov_len = batch._bytes, <size_t>used
                    parts[1].iov_base, parts[1].iov_len = <void *>payload, <size_t>n
                    # The transport meets an error itself, and reports it.
                    sent = max(0, tl_send_now(self._fd, &parts[0 if used else 1], 2 if used and n else 1))
                if sent < used + n:
                    return self._keep(batch, sent, n, owner)
        return self._loop_state.give_back(batch)

    cdef int _hand_over(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1:
        """Write to the transport, as `_write` does."""
        cdef object transport = self._transport
        self._handed = self._draining = True
        try:
            if transport.is_closing():
                return 0  # it is gone, and `connection_lost` is about to say so
            if batch._used:
                transport.write(PyBytes_FromStringAndSize(<const char *>batch._bytes, batch._used))
            if n and type(owner) is bytes:
                transport.write(owner)
            elif n:
                transport.write(PyBytes_FromStringAndSize(<const char *>payload, n))
            if self._backlog is not None:
                self._hand_rest()
        finally:
            self._draining = False
        return 0

    cdef int _hand_rest(self) except -1:
        """Hand everything that waits to the transport, with what is sent meanwhile."""
        cdef Backlog backlog = self._backlog
        try:
            while (backlog.left and self._backlog is backlog and self._transport is not None
                    and not self._transport.is_closing()):
                self._transport.write(backlog.take(backlog.left))
        except BaseException:
            self._give_up()
            raise
        self._backlog = None
        return 0

    cdef int _prepare(self) except -1:
        """Make the backlog for the next writer that needs one."""
        self._loop_state._idle = Backlog.__new__(Backlog)
        return 0

    cdef int _keep(self, Batch batch, Py_ssize_t sent, Py_ssize_t n, owner) except -1:
        """Keep what the socket did not take of a batch and of n bytes of owner behind it; `sent` bytes have left."""
        cdef Backlog backlog
        cdef Py_ssize_t gone = min(sent, batch._used)
        cdef bint kept = False
        if self._backlog is None and self._loop_state._idle is None:
            self._prepare()  # never once a part of the batch was sent: see _write_out
        if self._backlog is None:
            self._backlog, self._loop_state._idle = self._loop_state._idle, None
        backlog = self._backlog
        if gone < batch._used:
            kept = backlog.put_batch(batch, gone)
        if n:
            backlog.put(owner, n, sent - gone)
        if not kept:
            self._loop_state.give_back(batch)
        if self._pending() > self._high and self._fd >= 0:
            self._fill_up()  # without the socket, the transport calls pause_writing
        if not self._handed and not self._draining:
            self._drain(True)
        return 0

    cdef int _hand_piece(self) except -1:
        """Hand a piece to the transport, which calls resume_writing when the socket has taken it."""
        if self._transport.is_closing():
            self._backlog = None  # it is gone, and `connection_lost` is about to say so
            return 0
        self._transport.write(self._backlog.take(PIECE))
        return 0

    cdef int _drain(self, bint full) except -1:
        """Send what waits, until the transport holds a piece again. `full`: the socket takes nothing now."""
        cdef Backlog backlog
        if self._draining:
            return 0
        self._draining = True
        try:
            while self._backlog is not None and self._fd >= 0 and not self._handed:
                backlog = self._backlog
                if not full:
                    backlog.send(self._fd)
                    while backlog.spent:
                        self._loop_state.give_back(backlog.spent.pop())
                full = False
                if backlog.left == 0:
                    self._backlog = None
                else:
                    self._hand_piece()
            if self._backlog is not None and self._fd < 0:
                self._hand_rest()
        finally:
            self._draining = False
        if self._full and self._fd >= 0 and not self._handed and self._pending() <= self._low:
            self._make_room()  # the socket took the piece at once, so nobody will call resume_writing
        return 0

    cdef int _give_up(self) except -1:
        """Abort the transport: a part of a frame may have left, and nothing may follow it."""
        self._drop_socket()
        if self._transport is not None:
            self._transport.abort()
        return 0
