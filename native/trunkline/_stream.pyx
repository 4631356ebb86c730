"""A transport of our own: from the socket to the link in C.

Theory of operation. A `Stream` does for TCP and unix sockets what an event loop's transport does, with the methods and
the meaning of `asyncio.Transport`. The loop's `Poller` tells it that the socket is ready. Then it receives once, into
the buffer that all links share or straight into the body of a large message, and calls the link in C. What is written
goes to the socket at once; what the socket does not take waits in a `Backlog`, and only then the socket is watched for
room.

The descriptor is closed in one place, `_release`, after the link was told of the end; until then no other file can get
its number. If writing fails, what the peer sent before is still read first: it may say why. Each stream has the context
variables of whoever made it, as asyncio's transports do.
"""

from asyncio.trsock import TransportSocket

import errno
import os
import socket

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.contextvars cimport PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit

from trunkline._backlog cimport Backlog, iovec, tl_send_now
from trunkline._poller cimport TL_READABLE, TL_WRITABLE

cdef extern from "sock.h" nogil:
    enum: TL_NOT_NOW
    enum: TL_HOST_MAX
    Py_ssize_t tl_receive(int fd, void *bytes, size_t n)
    void tl_send_at_once(int fd)
    int tl_accept(int listening, tl_place *peer)
    int tl_name(int fd, int of_peer, tl_place *place)
    int tl_host(const tl_place *place, char *text)
    int tl_version(const tl_place *place)
    int tl_end_writing(int fd)
    void tl_close(int fd)

cdef enum:
    HIGH_MARK = 64 * 1024  # bytes that wait before the link is told to pause, unless it says otherwise
    SALVAGED = 4           # reads of what the peer sent before writing to it failed


cdef object os_error(Py_ssize_t result):
    """Return the OSError of a result that is -errno."""
    return OSError(<int>-result, os.strerror(<int>-result))


cdef class Stream(Watched):
    """A connected socket as a transport.

    Args:
        loop_state: of the running loop; it must have a poller.
        sock: the socket, non-blocking. The stream owns it from `start` on.
    """

    def __cinit__(self, *args, **kwargs):
        self._high, self._low = HIGH_MARK, HIGH_MARK // 4

    def __init__(self, LoopState loop_state not None, sock not None):
        self._loop_state = loop_state
        self._sock = sock
        self._fd = sock.fileno()
        if self._fd < 0:
            raise ValueError("the socket is closed (sock)")

    def __dealloc__(self):
        if self._fd >= 0 and self._owns:
            tl_close(self._fd)

    def __repr__(self):
        state = "closed" if self._fd < 0 else "closing" if self._closing else "open"
        return f"<Stream {state} fd={self._fd}>"

    def start(self, Link link not None):
        """Call the link's `connection_made`, and then with what is read. If that raises, the socket is closed."""
        if self._fd < 0 or self._link is not None or self._lost:
            raise RuntimeError(f"{self!r} cannot be started: it was before, or it is closed")
        self._context = PyContext_CopyCurrent()
        self._link = link
        try:
            tl_send_at_once(self._fd)
            self._learn_names()
            self._loop_state.poller.enter(self)
            self._reads = True
            (<object>link).connection_made(self)
            self._watch()
        except BaseException:
            self._link = None  # it is not told of an end that follows from its own failure
            self._release()
            raise

    # What the poller calls

    cdef int on_ready(self, int what) except -1:
        """Read and write, in the context of this stream."""
        cdef object context = self._context
        PyContext_Enter(context)
        try:
            if what & TL_WRITABLE:
                self._write_on()
            if what & TL_READABLE and self._reads and not self._paused:
                self._read()
        except Exception as error:
            self._lose(error, False)
        finally:
            PyContext_Exit(context)
        return 0

    cdef int on_orphaned(self) except -1:
        """Close the socket, since the loop is closed and nobody can be told."""
        self._closing = self._lost = True
        self._reads = False
        self._backlog = None
        return self._release()

    cdef int on_replaced(self) except -1:
        """End, since somebody else has closed the descriptor."""
        self._fd = -1
        if self._sock is not None:
            self._sock.detach()
        if self._link is not None:
            self._link._drop_socket()
        return self._lose(os_error(-<int>errno.EBADF), False)

    cdef int _watch(self) except -1:
        """Have the poller watch for what is wanted now."""
        cdef int wanted = TL_READABLE if self._reads and not self._paused else 0
        if self._backlog is not None:
            wanted |= TL_WRITABLE
        if wanted != self._interest and self._fd >= 0:
            try:
                self._loop_state.poller.watch(self, wanted)
            except OSError as error:  # there is no memory, or somebody else has closed the descriptor
                self._lose(error, False)
        return 0

    # Reading

    @cython.nonecheck(False)  # it reads only while there is a link: see start and _lose
    cdef int _read(self) except -1:
        """Receive once, and hand it to the link. Return 1 if something came, else 0."""
        cdef Py_ssize_t size = 0
        cdef uint8_t *room = self._link._room(&size)
        cdef Py_ssize_t n = tl_receive(self._fd, room, <size_t>size)
        if n > 0:
            self._link._read_chunk(room if room == self._loop_state._read else NULL, n)
            return 1
        if n == 0:
            self._end_reading()
        elif n != TL_NOT_NOW:
            self._lose(os_error(n), False)
        return 0

    cdef int _end_reading(self) except -1:
        """Tell the link that the peer has ended its side, and close unless it has something to say."""
        self._reads = False
        self._watch()
        if not (<object>self._link).eof_received():
            self.close()
        return 0

    def pause_reading(self):
        """Read nothing for now; the end of the connection is not noticed either."""
        if not self._closing and not self._paused:
            self._paused = True
            self._watch()

    def resume_reading(self):
        """Read again."""
        if not self._closing and self._paused:
            self._paused = False
            self._watch()

    def is_reading(self):
        """Return whether it would read what comes."""
        return not self._closing and not self._paused

    # Writing

    def write(self, data):
        """Write bytes (bytes-like). What the socket does not take waits; a failure ends the connection later."""
        if self._ended:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not PyBytes_CheckExact(data):
            data = bytes(memoryview(data))  # whoever gave it may change it
        self._put(data)

    def writelines(self, parts):
        """Write several pieces in their order."""
        self.write(b"".join(parts))

    cdef int _put(self, bytes data) except -1:
        """Send what the socket takes, and keep the rest."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(data), sent = 0
        cdef iovec part
        if n == 0 or self._lost:
            return 0
        if self._backlog is None:
            part.iov_base, part.iov_len = PyBytes_AS_STRING(data), <size_t>n
            sent = tl_send_now(self._fd, &part, 1)
            if sent < 0:
                return self._lose(os_error(sent), True)
            if sent == n:
                return 0
            self._backlog = Backlog.__new__(Backlog)
        self._backlog.put(data, n, sent)
        self._watch()
        return self._check_high()

    cdef int _check_high(self) except -1:
        """Tell the link to pause if too much waits."""
        if not self._is_full and self._backlog is not None and self._backlog.left > self._high:
            self._is_full = True
            (<object>self._link).pause_writing()
        return 0

    cdef int _write_on(self) except -1:
        """Send what waits, since the socket has room."""
        cdef int failed
        if self._backlog is None:
            return 0
        failed = self._backlog.send(self._fd)
        if failed:
            return self._lose(os_error(-failed), True)
        if self._is_full and self._backlog.left <= self._low:
            self._is_full = False
            (<object>self._link).resume_writing()  # it may write more
        if self._backlog is None or self._backlog.left:
            return 0
        self._backlog = None
        self._watch()
        if self._closing:
            self._lose(None, False)
        elif self._ended:
            self._end_writing()
        return 0

    def get_write_buffer_size(self):
        """Return how many bytes wait for the socket."""
        return 0 if self._backlog is None else self._backlog.left

    def get_write_buffer_limits(self):
        """Return the water marks, low and high, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks in bytes: above `high` the link is told to pause, and at `low` to go on.

        By default `high` is 64 KiB, or four times `low`, and `low` a quarter of `high`.
        """
        if high is None:
            high = HIGH_MARK if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high is {high!r} and low is {low!r}, must be high >= low >= 0")
        self._high, self._low = high, low
        self._check_high()

    def can_write_eof(self):
        """Return True: one side of a socket can end alone."""
        return True

    def write_eof(self):
        """End our side once everything is written. Raise OSError if the peer has reset the connection."""
        if self._closing or self._ended:
            return
        self._ended = True
        if self._backlog is None:
            self._end_writing()

    def _end_writing(self):
        cdef int result = tl_end_writing(self._fd)
        if result < 0:
            raise os_error(result)

    # The end

    def is_closing(self):
        """Return whether it is closing or closed."""
        return self._closing

    def close(self):
        """Read nothing more, and close once everything is written."""
        if self._closing:
            return
        self._closing = True
        self._reads = False
        self._watch()
        if self._backlog is None:
            self._lose(None, False)

    def abort(self):
        """Close at once; what waits to be written is lost."""
        self._lose(None, False)

    cdef int _lose(self, error, bint salvages) except -1:
        """Have the link told of the end in the next turn, and then close the socket.

        Args:
            error: for `connection_lost`; None for none.
            salvages: whether to read first what has come.
        """
        if self._lost:
            return 0
        if self._link is None:
            self._closing = self._lost = True
            return self._release()  # it was never started
        self._loop_state.loop.call_soon(self._end, error)  # first: without memory for it, nothing has changed
        self._salvages = salvages and self._reads and not self._paused
        self._closing = self._lost = True
        self._reads = False
        self._backlog = None
        return self._watch()

    def _end(self, error):
        cdef Link link = self._link
        cdef int left = SALVAGED
        if link is None:
            return  # the loop was closed meanwhile
        try:
            if self._salvages:
                self._reads = True
                while left and self._reads and not self._paused and self._read():
                    left -= 1
                self._reads = False
        finally:
            self._link = None
            try:
                (<object>link).connection_lost(error)
            finally:
                self._release()

    cdef int _release(self) except -1:
        """Close the socket. The addresses are still known."""
        cdef int fd = self._fd
        if fd < 0:
            return 0
        with cython.critical_section(self):
            tl_name(fd, False, &self._local)
            self._loop_state.poller.leave(self)
            self._fd = -1
            self._link = self._context = None
            if self._owns:
                self._owns = False
                tl_close(fd)
        if self._sock is not None:
            self._sock.close()
        return 0

    # What it tells

    def get_extra_info(self, name, default=None):
        """Return "socket", "sockname" or "peername", as asyncio's transports do; `default` for anything else."""
        cdef object found = None
        if name == "socket":
            found = self._ask_socket()
        elif name == "peername" or name == "sockname":
            found = self._name(name == "peername")
        return default if found is None else found

    def fileno(self):
        """Return the descriptor; -1 once it is closed."""
        return self._fd

    def get_protocol(self):
        """Return the link; None once it was told of the end."""
        return self._link

    def set_protocol(self, Link link not None):
        """Have another link take what is read from now on."""
        self._link = link

    cdef object _ask_socket(self):
        """Return the socket as an object with its methods but those that read, write or close; None if it is gone."""
        cdef object made = None
        if self._public is None and self._sock is None and self._fd >= 0:
            made = socket.socket(fileno=self._fd)  # runs Python code: another thread may do the same, or close it
            with cython.critical_section(self):
                if self._fd >= 0 and self._owns and made.fileno() == self._fd:
                    self._sock, self._owns, made = made, False, None
        if made is not None:
            made.detach()
        if self._public is None and self._sock is not None:
            self._sock.setblocking(False)
            self._public = TransportSocket(self._sock)
        return self._public

    cdef int _learn_names(self) except -1:
        """Learn the addresses that cannot be asked for later, or cannot be kept as numbers."""
        if self._peer.family == 0:
            tl_name(self._fd, True, &self._peer)
        if tl_version(&self._peer) == 0 and self._ask_socket() is not None:
            self._names = {}
            for name, ask in (("peername", self._sock.getpeername), ("sockname", self._sock.getsockname)):
                try:
                    self._names[name] = ask()
                except OSError:  # the peer has reset it already
                    self._names[name] = None
        return 0

    cdef object _name(self, bint of_peer):
        """Return the address of the peer or of the socket."""
        cdef tl_place place
        cdef char host[TL_HOST_MAX]
        if self._names is not None:
            return self._names["peername" if of_peer else "sockname"]
        with cython.critical_section(self):
            if not of_peer and self._fd >= 0:
                tl_name(self._fd, False, &self._local)
            place = self._peer if of_peer else self._local
        if tl_version(&place) == 0 or not tl_host(&place, host):
            return None
        if tl_version(&place) == 4:
            return host.decode(), place.port
        return host.decode(), place.port, place.flow, place.scope


def accept_some(LoopState loop_state not None, int listening, int most):
    """Accept up to `most` connections that wait on a listening socket, without waiting.

    Returns:
        Their streams, in their order, still to be started: one that is dropped closes its socket. And an errno if the
        system lacks what the next one needs, descriptors or memory; else 0.
    """
    cdef list streams = []
    cdef Stream stream
    cdef int fd
    while len(streams) < most:
        stream = Stream.__new__(Stream)
        fd = tl_accept(listening, &stream._peer)
        if fd < 0:
            return streams, 0 if fd == TL_NOT_NOW else -fd
        stream._fd, stream._owns = fd, True
        stream._loop_state = loop_state
        streams.append(stream)
    return streams, 0
