# Which sockets of an event loop are ready.

from libc.stdint cimport uint32_t


cdef extern from "ready.h" nogil:
    enum: TL_READABLE
    enum: TL_WRITABLE


cdef class Watched:
    """Something with a socket that can become ready. A subclass owns the socket."""

    cdef int _fd         # -1: none
    cdef uint32_t _tag   # tells it from others that had the same descriptor
    cdef int _interest   # what the set watches the socket for

    cdef int on_ready(self, int what) except -1  # TL_READABLE, TL_WRITABLE or both
    cdef int on_orphaned(self) except -1         # the event loop is closed: close the socket
    cdef int on_replaced(self) except -1         # somebody has closed the socket, and its number is another's now


cdef class Poller:
    """The sockets of one event loop. For its thread alone."""

    cdef object _loop
    cdef int _set         # owned; -1 while there is no socket, and once the loop is closed
    cdef int _keepers     # calls of hold without their let_go
    cdef list _watched    # by descriptor: Watched or None
    cdef Py_ssize_t _count   # of those that are not None
    cdef uint32_t _tag    # the latest that was given

    # Watch
    cdef int enter(self, Watched one) except -1             # it is owned from now on
    cdef int watch(self, Watched one, int wanted) except -1
    cdef int leave(self, Watched one) except -1             # before its descriptor is closed
    cdef int _open(self) except -1
    cdef int _shut(self) except -1

    # Report
    cdef int report(self) except -1
