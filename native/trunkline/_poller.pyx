"""Which sockets of an event loop are ready.

Theory of operation. An event loop calls back once for each socket that is ready: that is a good part of what a small
message costs. A `Poller` is one epoll or kqueue descriptor that the loop watches, for all sockets of the loop. When it
becomes readable, one call returns up to TL_AT_ONCE sockets that are ready, and each of them is called in C. Interest is
level-triggered: a socket that is left alone is reported again in the next turn, behind the others. While there are no
sockets, there is no set.

Its list owns what is watched, as a loop's selector owns the transports. The loop alone owns the callback: when the loop
is closed it drops the callback, whose finalizer closes the sockets that are still open. After a fork parent and child
would share one set, so the child closes its copy and leaves the set alone.
"""

cimport cython
from libc.stdint cimport uint32_t

import os

cdef extern from "ready.h" nogil:
    ctypedef struct tl_event:
        int fd
        uint32_t tag
        int what
    enum: TL_AT_ONCE
    int tl_watches()
    int tl_set_open()
    void tl_set_close(int set)
    int tl_set_watch(int set, int fd, uint32_t tag, int was, int wanted)
    int tl_set_ready(int set, tl_event *events)

WATCHES = bool(tl_watches())


cdef int check(int result) except -1:
    """Return the result of a call to the kernel; raise OSError if it is -errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


cdef class Watched:
    """Something with a socket that can become ready."""

    def __cinit__(self, *args, **kwargs):
        self._fd = -1

    cdef int on_ready(self, int what) except -1:
        """Deal with a socket that is ready for `what`, of what it is watched for."""
        raise NotImplementedError

    cdef int on_orphaned(self) except -1:
        """Close the socket, since the loop is closed."""
        raise NotImplementedError

    cdef int on_replaced(self) except -1:
        """Forget the socket, whose descriptor is another's now."""
        raise NotImplementedError


@cython.final
cdef class Poller:
    """The sockets of one event loop.

    Args:
        loop: the event loop; it must have `add_reader`.
    """

    def __cinit__(self, loop):
        self._loop = loop
        self._set = -1
        self._watched = []

    def __dealloc__(self):
        if self._set >= 0:
            tl_set_close(self._set)

    def __len__(self):
        """Return how many sockets are watched."""
        return self._count

    cdef int _open(self) except -1:
        """Make the set, and have the loop watch it."""
        if self._loop.is_closed():
            raise RuntimeError("Event loop is closed")
        self._set = check(tl_set_open())
        try:
            self._loop.add_reader(self._set, Callback(self))
        except BaseException:
            tl_set_close(self._set)
            self._set = -1
            raise
        return 0

    cdef int _shut(self) except -1:
        """Close the set: there is nothing to watch."""
        cdef int gone = self._set
        self._set = -1
        self._watched = []
        if gone >= 0:
            tl_set_close(gone)  # first: the child of a fork must not take it from the parent's loop, whose epoll it shares
            if not self._loop.is_closed():
                self._loop.remove_reader(gone)
        return 0

    cdef int enter(self, Watched one) except -1:
        """Take a socket in, which is watched for nothing yet."""
        cdef Watched other
        if one._fd < 0:
            raise ValueError("a closed socket cannot be watched")
        if self._set < 0:
            self._open()
        while len(self._watched) <= one._fd:
            self._watched.append(None)
        other = self._watched[one._fd]
        self._tag += 1
        one._tag = self._tag
        one._interest = 0
        self._watched[one._fd] = one
        if other is None:
            self._count += 1
        elif other is not one:
            other.on_replaced()
        return 0

    cdef int watch(self, Watched one, int wanted) except -1:
        """Watch a socket that was taken in for TL_READABLE, TL_WRITABLE, both or 0 for neither. Raise OSError."""
        cdef int result
        if self._set < 0 or wanted == one._interest:
            return 0
        result = tl_set_watch(self._set, one._fd, one._tag, one._interest, wanted)
        one._interest = wanted
        if wanted:  # whatever the kernel says, one that is watched for nothing will not be called
            check(result)
        return 0

    cdef int leave(self, Watched one) except -1:
        """Let a socket go, if it was taken in."""
        if one._fd < 0 or one._fd >= len(self._watched) or self._watched[one._fd] is not one:
            return 0
        if self._set >= 0 and one._interest:
            tl_set_watch(self._set, one._fd, one._tag, one._interest, 0)  # it fails if somebody has closed the socket
        one._interest = 0
        self._watched[one._fd] = None
        self._count -= 1
        if self._count == 0 and self._keepers == 0:
            self._shut()
        return 0

    def hold(self):
        """Keep a set, also while there are no sockets: whoever accepts must not want for a descriptor then. Raise
        OSError if there is none.
        """
        if self._set < 0:
            self._open()
        self._keepers += 1

    def let_go(self):
        """End what `hold` began."""
        self._keepers -= 1
        if self._count == 0 and self._keepers == 0:
            self._shut()

    cdef int report(self) except -1:
        """Call what is ready."""
        cdef tl_event events[TL_AT_ONCE]
        cdef Watched one
        cdef int i, what, n = 0 if self._set < 0 else check(tl_set_ready(self._set, events))
        for i in range(n):
            if events[i].fd >= len(self._watched):
                continue
            one = self._watched[events[i].fd]
            if one is None or one._tag != events[i].tag:  # it went while others were called
                continue
            what = events[i].what & one._interest
            if what:
                one.on_ready(what)
        return 0

    def close(self):
        """Close all sockets, since the loop is closed. Nobody is told."""
        cdef list watched = self._watched
        cdef Watched one
        if self._set >= 0:
            tl_set_close(self._set)
            self._set = -1
        self._watched = []
        self._count = 0
        for one in watched:
            if one is not None:
                one.on_orphaned()

    def forget(self):
        """Leave the set alone, in the child of a fork: it is the parent's. The sockets stay open, and are not watched any
        more; new ones get a new set.
        """
        if self._set >= 0:
            self._shut()
        self._watched = []
        self._count = 0


@cython.final
cdef class Callback:
    """What the loop calls when the set has something to report. The loop owns it, and nobody else."""

    cdef Poller _poller

    def __cinit__(self, Poller poller not None):
        self._poller = poller

    def __call__(self):
        self._poller.report()

    def __del__(self):
        if self._poller._loop.is_closed():
            self._poller.close()
