# The hot path between a transport and a WebSocket.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport Batch, MaskingKeys
from trunkline._frames cimport Control, Decoder
from trunkline._inbox cimport Inbox


cdef class Flusher:
    """What all links of one event loop share. Used by that loop's thread alone."""

    cdef readonly object loop
    cdef MaskingKeys _keys        # for the links that are clients
    cdef list _dirty              # links with output, flushed together at the end of the turn
    cdef bint _scheduled          # flush() is due in this turn
    cdef list _spare              # empty batches, kept for the next link that sends
    cdef object _view             # memoryview of the read buffer that every BufferedProtocol here is read into
    cdef uint8_t *_read           # its bytes, owned by the bytearray under _view

    cdef Batch borrow(self)
    cdef int give_back(self, Batch batch) except -1
    cdef int add(self, Link link) except -1


cdef class Link:
    """One open WebSocket on its transport."""

    cdef object __weakref__
    # The wire
    cdef readonly object transport   # asyncio's transport; None before connection_made and after connection_lost
    cdef Flusher _flusher
    cdef int _fd                     # plain TCP: the socket, for send(2); -1 otherwise. Not owned
    cdef int _wire_state             # CONNECTING, OPEN, ... (wsproto's values)
    cdef Decoder _decoder            # None until the opening handshake is done
    cdef MaskingKeys _keys           # None for a server

    # The way out
    cdef Batch _batch                # borrowed while there is output; else None
    cdef bint _corked                # a read is being processed: its output leaves at its end
    cdef bint _listed                # in the flusher's list
    cdef bint _handed                # the transport may still hold bytes of ours
    cdef bint _full                  # the transport is over its high-water mark
    cdef bint _overdue               # a task has sent FLUSH_AT bytes without letting the loop run
    cdef bytes _pong                 # the payload of the one pong that waits while it is
    cdef Py_ssize_t _write_limit     # bytes that may wait to be sent

    # The way in
    cdef object _on_message          # a listener's callbacks; both None: messages go to the inbox
    cdef object _on_batch
    cdef Inbox _inbox                # None where a listener takes the messages
    cdef bint _ended                 # no message will follow

    # Counters
    cdef readonly uint64_t messages_sent
    cdef readonly uint64_t frames_sent
    cdef readonly uint64_t bytes_sent          # on the wire: handed to the socket or the transport
    cdef readonly uint64_t pings_sent
    cdef readonly uint64_t pongs_sent
    cdef readonly uint64_t writes              # calls that handed bytes on
    cdef readonly uint64_t messages_discarded  # received after we had closed

    # Verbs: out
    cdef int _put(self, object message) except -1
    cdef int _put_control(self, unsigned opcode, bytes payload) except -1
    cdef int _put_frame(self, unsigned first, bytes payload) except -1
    cdef int _lend(self) except -1
    cdef int _put_pong(self, bytes payload) except -1
    cdef int _check_limit(self) except -1
    cdef int _mark(self) except -1
    cpdef int _flush(self) except -1
    # Verbs: in
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _fault(self, fault) except -1
    cdef int _deliver(self, list items, Py_ssize_t controls) except -1
    cdef int _deliver_batch(self, list items) except -1
    cdef int _store(self, list items, Py_ssize_t controls) except -1
    cdef int _handle(self, Control control) except -1
    cdef int _pause_reading(self) except -1
    cdef Inbox _box(self)
