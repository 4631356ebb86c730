# The way in, and the protocol object that the event loop calls.

from libc.stdint cimport uint8_t, uint64_t

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
    cdef bint _twinned               # it does
    cdef Py_ssize_t _lent            # bytes of a body lent to the loop by get_buffer; 0: the shared buffer
    cdef bint _ended                 # no message will follow
    cdef bint _inflating             # a thread inflates; reading is paused meanwhile
    cdef object _held                # handle of the loop that will call _read_on: nothing is read before; or None
    cdef double _rate                # control frames a second that the peer may send; 0: no bound
    cdef double _allowed             # how many it may send now; up to a second's worth
    cdef double _metered             # when they were last counted anew, in the loop's time: when there were none left
    cdef readonly uint64_t messages_discarded  # received after we had closed
    cdef readonly uint64_t throttles           # how often reading was put off for the rate of control frames

    # Verbs
    cdef int _read_chunk(self, const uint8_t *data, Py_ssize_t n) except -1
    cdef bint _is_much(self, Py_ssize_t n, uint64_t frames) noexcept
    cdef int _meter(self, Py_ssize_t controls) except -1
    cdef int _hold(self) except -1
    cdef int _halt(self) except -1
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
