"""One message to many connections.

Theory of operation. The message is encoded once, by the caller. Its frame is copied into the batch of each connection,
so that all broadcasts of one turn leave in one write a connection, with whatever else it sends; a large frame is not
copied but sent from where it lies, and what the sockets do not take of it refers to the one `bytes` that all share.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from trunkline._atomic cimport tl_count, tl_put
from trunkline._batch cimport Batch
from trunkline._outlet cimport UNCOPIED, Outlet
from trunkline._writer cimport LoopState

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    BURST = 16            # times the limit that may wait before a connection has had time to be slow


def fan_out(list connections not None, LoopState loop_state not None, bytes frame not None, message, slow):
    """Sends one message to every open connection: `frame`, its unmasked frame, or for a client the message itself.

    slow: (limit, patience), which say what a slow connection is; limit 0 for the `write_limit` of each. The slow, and
    those in the middle of a fragmented message, count the message as dropped then. None: slow are those for which `send`
    would wait, and they count nothing.

    Gives how many it was sent to; those that it was not since they are slow; those in the middle of a fragmented
    message; and those where it must wait behind a message that a thread compresses.
    Raises TypeError for what is no connection, ValueError for one of another loop than the loop_state's: nothing is sent
    then.
    """
    cdef Outlet outlet
    cdef list behind = [], busy = [], late = []
    cdef dict payloads = {}
    cdef Py_ssize_t sent = 0, limit = 0
    cdef double patience = 0, now = 0
    cdef bint waits = slow is None
    cdef bint drops = slow is not None
    if not waits:
        limit, patience = slow
        now = loop_state.loop.time()
    for connection in connections:
        if not isinstance(connection, Outlet):
            raise TypeError(f"a connection is a WebSocket, not {type(connection).__name__}")
        if (<Outlet>connection)._loop_state is not loop_state:
            raise ValueError("a connection belongs to another event loop: broadcast to it from there")
    for outlet in connections:
        if not outlet._is_open:
            continue
        if outlet._unfinished or (would_wait(outlet) if waits else is_slow(outlet, limit, patience, now)):
            (busy if outlet._unfinished else behind).append(outlet)
            tl_count(&outlet._messages_dropped, drops)
        elif outlet._queueing:
            late.append(outlet)
        else:
            put(outlet, frame, message, payloads)
            sent += 1
    return sent, behind, busy, late


def put_late(Outlet outlet not None, message, slow not None):
    """Sends a broadcast that had to wait; False if the connection is slow by now. slow: as of `fan_out`."""
    cdef Py_ssize_t limit
    cdef double patience
    limit, patience = slow
    if not outlet._is_open:
        return True
    if outlet._unfinished or is_slow(outlet, limit, patience, outlet._loop_state.loop.time()):
        return False
    put(outlet, None, message, {})
    return True


cdef bint would_wait(Outlet outlet) except -1:
    """Whether more waits to be sent than the high-water mark, or than write_limit."""
    if outlet._full:
        return True
    return (outlet._handed or outlet._backlog is not None) and outlet._pending() > outlet._write_limit


cdef bint is_slow(Outlet outlet, Py_ssize_t limit, double patience, double now) except -1:
    """Whether more than limit bytes wait, and it has been behind for longer than patience allows; or far too many."""
    cdef Py_ssize_t pending
    if not outlet._full and not outlet._handed and outlet._backlog is None:
        return False
    pending = outlet._pending()
    limit = limit or outlet._write_limit
    if pending <= limit:
        return False
    if pending // BURST > limit:
        return True
    return patience <= 0 or (outlet._full and now - outlet._full_since >= patience)


cdef int put(Outlet outlet, bytes frame, message, dict payloads) except -1:
    """Sends a message to one of many. frame: None for one that has a deflater."""
    # It has been decided already that there is room, by another limit than that of `send_nowait`.
    cdef Py_ssize_t limit = outlet._write_limit
    outlet._write_limit = PY_SSIZE_T_MAX
    try:
        if outlet._deflater is not None:
            outlet._put_shared(message, payloads)
        elif frame is None or outlet._keys is not None:
            outlet._put(message)  # each client's frames are masked with keys of its own (RFC 6455 5.3)
        elif PyBytes_GET_SIZE(frame) < UNCOPIED:
            outlet._put_encoded(frame)
        else:
            send_large(outlet, frame)
    finally:
        outlet._write_limit = limit
    return 0


cdef int send_large(Outlet outlet, bytes frame) except -1:
    """Sends what the connection has in its batch, and the frame behind it."""
    cdef Batch batch
    outlet._lend(0)
    batch, outlet._batch = outlet._batch, None
    tl_put(&outlet._overdue, not outlet._corked)
    tl_count(&outlet._messages_sent, 1)
    tl_count(&outlet._frames_sent, 1)
    return outlet._write(batch, <const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), frame)
