"""One message to many connections.

Theory of operation. The message is encoded once, by the caller. Its frame is copied into the batch of each connection,
so that all broadcasts of one turn leave in one write a connection, with whatever else it sends; a large frame is not
copied but sent from where it lies, and what the sockets do not take of it refers to the one `bytes` that all share.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from trunkline._batch cimport Batch
from trunkline._outlet cimport Outlet
from trunkline._writer cimport OPEN, Flusher

cdef enum:
    UNCOPIED = 32 * 1024  # bytes: so large a frame is not copied


def fan_out(list connections not None, Flusher flusher not None, bytes frame not None, message, *, bint drops):
    """Sends one message to every open connection: `frame`, its unmasked frame, or for a client the message itself.

    Gives how many it was sent to; those that it was not since they are slow, more waiting to be sent than may; those
    that are in the middle of a fragmented message; and those where it must wait behind a message that a thread
    compresses. drops: the slow and the fragmented lose the message, and count it.
    Raises TypeError for what is no connection, ValueError for one of another loop than the flusher's: nothing is sent
    then.
    """
    cdef Outlet outlet
    cdef list slow = [], busy = [], late = []
    cdef dict payloads = {}
    cdef Py_ssize_t sent = 0
    for connection in connections:
        if not isinstance(connection, Outlet):
            raise TypeError(f"a connection is a WebSocket, not {type(connection).__name__}")
        if (<Outlet>connection)._flusher is not flusher:
            raise ValueError("a connection belongs to another event loop: broadcast to it from there")
    for outlet in connections:
        if outlet._wire_state != OPEN:
            continue
        if outlet._unfinished or is_slow(outlet):
            (busy if outlet._unfinished else slow).append(outlet)
            outlet.messages_dropped += drops
            continue
        if outlet._queueing:
            late.append(outlet)
            continue
        if outlet._deflater is not None:
            outlet._put_shared(message, payloads)
        elif outlet._keys is not None:
            outlet._put(message)  # each client's frames are masked with keys of its own (RFC 6455 5.3)
        elif PyBytes_GET_SIZE(frame) < UNCOPIED:
            outlet._put_encoded(frame)
        else:
            send_large(outlet, frame)
        sent += 1
    return sent, slow, busy, late


cdef bint is_slow(Outlet outlet) except -1:
    """Whether more waits to be sent than the high-water mark, or than write_limit."""
    if outlet._full:
        return True
    return (outlet._handed or outlet._backlog is not None) and outlet._pending() > outlet._write_limit


cdef int send_large(Outlet outlet, bytes frame) except -1:
    """Sends what the connection has in its batch, and the frame behind it."""
    cdef Batch batch
    outlet._lend(0)
    batch, outlet._batch = outlet._batch, None
    outlet._overdue = not outlet._corked
    outlet.messages_sent += 1
    outlet.frames_sent += 1
    return outlet._write(batch, <const uint8_t *>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), frame)
