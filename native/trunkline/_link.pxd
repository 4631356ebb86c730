# The way in, and the protocol object that the event loop calls.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._control cimport Control
from trunkline._frames cimport Decoder
from trunkline._inbox cimport Inbox
from trunkline._outlet cimport Outlet


cdef class Link(Outlet):
    """One open WebSocket on its transport."""

    cdef Decoder _decoder            # None until the opening handshake is done
    cdef object _on_message          # a listener's callbacks; both None: messages go to the inbox
    cdef object _on_batch
    cdef Inbox _inbox                # None where a listener takes the messages
    cdef bint _adapts                # a twin may take our place at the transport while large payloads come in
    cdef object _make_twin           # gives the twin, or None
    cdef bint _twinned               # it does
    cdef Py_ssize_t _lent            # bytes lent to the loop by get_buffer: of a body, SHARED, or 0 for none
    cdef bint _reading               # a read is processed: what it calls cannot have another one processed
    cdef bint _again                 # the loop may read again in this turn
    cdef int _last_turns             # turns' worth that is still inflated of what was read, once the transport is gone
    cdef bint _ended                 # no message will follow
    cdef bint _heard                 # bytes came that were thrown away, or were the opening handshake's
    cdef bint _inflating             # a thread inflates; reading is paused meanwhile
    cdef object _held                # handle of the loop that will call _read_on: nothing is read before; or None
    cdef double _rate                # control frames a second that the peer may send; 0: no bound
    cdef double _allowed             # how many it may send now; up to a second's worth
    cdef double _metered             # when they were last counted anew, in the loop's time: when there were none left
    cdef tl_counter _messages_discarded  # received after we had closed
    cdef tl_counter _throttles           # how often reading was put off for the rate of control frames
    cdef tl_counter _holds               # how often the rest of what was read waited for the next turn

    # Verbs
    cdef int _read_opening(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _process(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _meter(self, Py_ssize_t controls) except -1
    cdef int _hold(self) except -1
    cdef int _halt(self) except -1
    cdef bint _is_behind(self) noexcept
    cdef int _go_on(self) except -1
    cdef int _take(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef int _stall(self) except -1
    cdef int _fault(self, fault) except -1
    cdef int _deliver(self, list items, Py_ssize_t controls) except -1
    cdef int _deliver_one(self, object message) except -1
    cdef int _deliver_batch(self, list items) except -1
    cdef int _store(self, list items, Py_ssize_t controls) except -1
    cdef int _handle(self, Control control) except -1
    cdef int _pause_reading(self) except -1
    cdef Inbox _box(self)
