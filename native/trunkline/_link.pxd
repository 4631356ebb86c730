# Receiving: the protocol object that the event loop calls.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._control cimport Control
from trunkline._frames cimport Decoder
from trunkline._inbox cimport Inbox
from trunkline._outlet cimport Outlet


cdef class Link(Outlet):
    """One open WebSocket on its transport."""

    # Where messages come from, and go to
    cdef Decoder _decoder            # None before the opening handshake is done
    cdef Inbox _inbox                # None if a listener takes the messages
    cdef object _on_message          # the listener's callbacks, or None
    cdef object _on_batch

    # How bytes come in
    cdef Py_ssize_t _lent            # bytes lent by get_buffer: of a body, SHARED, or 0 for none
    cdef bint _adapts                # a twin may stand in for this protocol while large payloads come in
    cdef object _make_twin           # returns the twin, or None
    cdef bint _twinned               # it does stand in

    # State of reading
    cdef bint _reading               # a read is being processed: what it calls may not feed another one
    cdef bint _again                 # the loop may read again in this turn
    cdef bint _inflating             # a thread is inflating: nothing is read
    cdef object _held                # handle of the loop that will call _read_on: nothing is read before; or None
    cdef bint _heard                 # bytes came that were thrown away, or were the opening handshake's
    cdef bint _ended                 # no message will follow
    cdef int _last_turns             # turns' worth that may still be inflated once the transport is gone

    # The token bucket of control frames
    cdef double _rate                # tokens a second, and its size; 0: no bound
    cdef double _allowed             # tokens in it
    cdef double _metered             # when it was last filled, in the loop's time

    # Counters
    cdef tl_counter _messages_discarded  # received after we had closed
    cdef tl_counter _throttles           # pauses for the rate of control frames
    cdef tl_counter _holds               # pauses until the next turn

    # Read: where to. The result is borrowed until the next call
    cdef uint8_t *_room(self, Py_ssize_t *n) noexcept

    # Read: n bytes at data; NULL: n bytes in the body, or RESUMED
    cdef int _read_opening(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _process(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _take(self, const uint8_t *data, Py_ssize_t n) except -1

    # Pause, and go on
    cdef int _meter(self, Py_ssize_t controls) except -1
    cdef int _hold(self) except -1
    cdef int _stall(self) except -1
    cdef int _pause_reading(self) except -1
    cdef int _halt(self) except -1
    cdef bint _is_behind(self) noexcept
    cdef int _go_on(self) except -1

    # Deliver
    cdef int _deliver(self, list items, Py_ssize_t controls) except -1
    cdef int _deliver_one(self, object message) except -1
    cdef int _deliver_batch(self, list items) except -1
    cdef int _store(self, list items, Py_ssize_t controls) except -1
    cdef int _handle(self, Control control) except -1
    cdef int _fault(self, fault) except -1
    cdef Inbox _box(self)            # or raise
