# A transport of our own, for TCP and unix sockets.

from libc.stdint cimport uint8_t, uint32_t

from trunkline._backlog cimport Backlog
from trunkline._link cimport Link
from trunkline._poller cimport Watched
from trunkline._writer cimport LoopState


cdef extern from "sock.h" nogil:
    ctypedef struct tl_place:
        int family
        unsigned port
        uint32_t flow
        uint32_t scope
        uint8_t host[16]


cdef class Stream(Watched):
    """One connected socket, which it owns. For the loop's thread alone, except `get_extra_info`."""

    cdef object __weakref__
    cdef LoopState _loop_state
    cdef Link _link           # gets what is read; None before `start` and once it was told of the end
    cdef object _context      # the contextvars.Context in which the link is called

    # The socket
    cdef object _sock         # what owns the descriptor, or None
    cdef bint _owns           # this object owns it. Not "no _sock": the collector may have cleared that already
    cdef object _public       # the TransportSocket that get_extra_info returns, or None
    cdef tl_place _peer       # family 0: not asked for
    cdef tl_place _local
    cdef dict _names          # the addresses of another family than IPv4 and IPv6; else None

    # Reading
    cdef bint _reads          # bytes may come
    cdef bint _paused         # none are wanted now

    # Writing
    cdef Backlog _backlog     # bytes that the socket has not taken, or None
    cdef Py_ssize_t _high     # the water marks, in bytes
    cdef Py_ssize_t _low
    cdef bint _is_full        # the link was told to pause
    cdef bint _ended          # nothing more may be written: write_eof

    # The end
    cdef bint _closing        # by whoever uses the stream, or by the peer
    cdef bint _lost           # connection_lost is about to be called, or was
    cdef bint _salvages       # read what has come before that

    # Read
    cdef int _watch(self) except -1
    cdef int _read(self) except -1  # 1: something came
    cdef int _end_reading(self) except -1

    # Write
    cdef int _put(self, bytes data) except -1
    cdef int _write_on(self) except -1
    cdef int _check_high(self) except -1

    # End
    cdef int _lose(self, error, bint salvages) except -1
    cdef int _release(self) except -1

    # Tell
    cdef object _ask_socket(self)
    cdef int _learn_names(self) except -1
    cdef object _name(self, bint of_peer)
