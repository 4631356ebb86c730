"""Broadcast: one message to many connections.

Theory of operation. The caller encodes the message once. Its frame is copied into the batch of each connection, so that
all broadcasts of a turn leave in one write per connection, with whatever else it sends. A large frame is not copied but
sent from where it lies: what a socket does not take of it stays in the one `bytes` object that all connections share. A
compressed message is compressed once for all connections that share a deflater.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from trunkline._atomic cimport tl_count, tl_put
from trunkline._batch cimport Batch
from trunkline._cpython cimport PY_SSIZE_T_MAX
from trunkline._deflate cimport Deflater
from trunkline._kernels cimport TL_BINARY, TL_TEXT
from trunkline._outlet cimport UNCOPIED, Outlet
from trunkline._writer cimport LoopState

cdef enum:
    BURST = 16  # a connection is slow at once if this many times the limit waits


def fan_out(list connections not None, LoopState loop_state not None, bytes frame not None, message, slow):
    """Send one message to every open connection.

    Args:
        connections: the connections.
        loop_state: of the event loop that they all belong to.
        frame: the message as an unmasked frame.
        message: the message itself, for connections that mask or compress it.
        slow: (limit, patience), which define a slow connection; a limit of 0 stands for the `write_limit` of each. Slow
            connections, and those inside a fragmented message, count the message as dropped. None: those are slow for
            which `send` would wait, and they count nothing.

    Returns:
        How many it was sent to; then lists: slow connections, those inside a fragmented message, and those where it
        must wait behind a message that a thread is compressing.

    Raises:
        TypeError: if one is not a connection. Nothing is sent then.
        ValueError: if one belongs to another event loop. Nothing is sent then.
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
    """Send a broadcast that had to wait; return False if the connection is slow by now. See `fan_out` for `slow`."""
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
    """Return whether `send` would wait: more waits than the high-water mark, or than write_limit."""
    if outlet._full:
        return True
    return (outlet._handed or outlet._backlog is not None) and outlet._pending() > outlet._write_limit


cdef bint is_slow(Outlet outlet, Py_ssize_t limit, double patience, double now) except -1:
    """Return whether more than limit bytes wait and it has been behind for longer than patience, or far more wait."""
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
    """Send a message to one of many. `frame` may be None if it has a deflater."""
    # The caller has decided that there is room, by another limit than `send_nowait` has.
    cdef Py_ssize_t limit = outlet._write_limit
    outlet._write_limit = PY_SSIZE_T_MAX
    try:
        if outlet._deflater is not None:
            put_shared(outlet, message, payloads)
        elif frame is None or outlet._keys is not None:
            outlet._put(message)  # each client masks with its own keys (RFC 6455 5.3)
        elif PyBytes_GET_SIZE(frame) < UNCOPIED:
            put_encoded(outlet, frame)
        else:
            send_large(outlet, frame)
    finally:
        outlet._write_limit = limit
    return 0


cdef int put_shared(Outlet outlet, message, dict payloads) except -1:
    """Send a message that is compressed once for each deflater; `payloads` keeps what it became."""
    cdef Deflater deflater = outlet._deflater
    if deflater.keeps:
        return outlet._put_deflated(message, None)
    if deflater not in payloads:
        data = deflater.wanted(message, None)
        payloads[deflater] = (None, 0) if data is None else (deflater.payload(data), len(data))
    payload, n = payloads[deflater]
    if payload is None:
        return outlet._put(message)
    return outlet._put_payload(TL_TEXT if isinstance(message, str) else TL_BINARY, payload, n)


cdef int put_encoded(Outlet outlet, bytes frame) except -1:
    """Send a short frame, which is the whole message. If it is all there is to send, it is not even copied."""
    tl_count(&outlet._messages_sent, 1)
    tl_count(&outlet._frames_sent, 1)
    if outlet._batch is None and outlet._frame is None:
        outlet._frame = frame
        return outlet._list()
    outlet._lend(0)
    outlet._batch.put_bytes(<const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))
    return outlet._mark()


cdef int send_large(Outlet outlet, bytes frame) except -1:
    """Write the batch of the connection, and the frame behind it."""
    cdef Batch batch
    outlet._lend(0)
    batch, outlet._batch = outlet._batch, None
    tl_put(&outlet._overdue, not outlet._corked)
    tl_count(&outlet._messages_sent, 1)
    tl_count(&outlet._frames_sent, 1)
    return outlet._write(batch, <const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), frame)
