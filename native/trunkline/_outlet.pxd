# The way out of a connection.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport Batch, MaskingKeys
from trunkline._deflate cimport Deflater

cdef enum:
    READ_BUFFER = 262144  # bytes of a loop's read buffer

cdef enum:  # wsproto.connection.ConnectionState
    OPEN = 1


cdef class Flusher:
    """What all connections of one event loop share. Used by that loop's thread alone."""

    cdef readonly object loop
    cdef MaskingKeys _keys        # for the connections that are clients
    cdef list _dirty              # connections with output, flushed together at the end of the turn
    cdef bint _scheduled          # flush() is due in this turn
    cdef Batch _large             # an empty large batch, or None
    cdef list _spare              # empty batches, kept for the next one that sends
    cdef readonly dict deflaters  # without context takeover: one for all connections that agreed on the same
    cdef object _view             # memoryview of the read buffer that every BufferedProtocol here is read into
    cdef uint8_t *_read           # its bytes, owned by the bytearray under _view

    cdef Batch borrow(self, Py_ssize_t size)
    cdef int give_back(self, Batch batch) except -1
    cdef int add(self, Outlet outlet) except -1


cdef class Outlet:
    """What of a link sends."""

    cdef object __weakref__
    # The wire
    cdef readonly object transport   # asyncio's transport; None before connection_made and after connection_lost
    cdef Flusher _flusher
    cdef int _fd                     # plain TCP: the socket, for send(2); -1 otherwise. Not owned
    cdef int _wire_state             # CONNECTING, OPEN, ... (wsproto's values)
    cdef MaskingKeys _keys           # None for a server

    # Output
    cdef Batch _batch                # borrowed while there is output; else None
    cdef bint _corked                # a read is being processed: its output leaves at its end
    cdef bint _listed                # in the flusher's list
    cdef bint _handed                # the transport may still hold bytes of ours
    cdef bint _full                  # the transport is over its high-water mark
    cdef bint _unfinished            # a fragmented message is under way
    cdef bint _overdue               # a task has sent FLUSH_AT bytes without letting the loop run
    cdef bytes _pong                 # the payload of the one pong that waits while it is
    cdef Py_ssize_t _write_limit     # bytes that may wait to be sent
    cdef readonly Deflater _deflater  # None: messages go as they are
    cdef bint _queueing              # `send` waits in line behind a message that a thread compresses

    # Counters
    cdef readonly uint64_t messages_sent
    cdef readonly uint64_t frames_sent
    cdef readonly uint64_t bytes_sent          # on the wire: handed to the socket or the transport
    cdef readonly uint64_t pings_sent
    cdef readonly uint64_t pongs_sent
    cdef readonly uint64_t deflated_bytes      # payload of compressed messages, as it was sent
    cdef readonly uint64_t inflated_bytes      # what it was before
    cdef readonly uint64_t writes              # calls that handed bytes on

    # Verbs
    cdef int _put(self, object message) except -1
    cdef int _put_deflated(self, object message, object compress) except -1
    cdef int _put_payload(self, unsigned opcode, bytes payload, Py_ssize_t n) except -1
    cdef object _send_deflated(self, object message, object compress)
    cdef int _put_control(self, unsigned opcode, bytes payload) except -1
    cdef int _put_frame(self, unsigned first, bytes payload) except -1
    cdef int _put_encoded(self, bytes frame) except -1
    cdef int _lend(self, Py_ssize_t size) except -1
    cdef bint _put_uncopied(self, object message) except -1
    cdef int _put_pong(self, bytes payload) except -1
    cdef Batch _encode(self, messages, object compress)
    cdef int _check_open(self) except -1
    cdef int _check_limit(self) except -1
    cdef int _mark(self) except -1
    cdef int _write(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1
    cpdef int _flush(self) except -1
