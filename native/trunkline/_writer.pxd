# Writing: from a batch to the socket.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter, tl_flag, tl_word
from trunkline._backlog cimport Backlog
from trunkline._batch cimport Batch, MaskingKeys
from trunkline._body_cache cimport BodyCache
from trunkline._poller cimport Poller

cdef extern from "thread.h":
    size_t tl_thread() noexcept

cdef enum:
    READ_BUFFER = 256 * 1024  # bytes of a loop's read buffer


cdef class LoopState:
    """What the connections of one event loop share. For its thread alone, except `runs_here`."""

    # The loop
    cdef readonly object loop
    cdef readonly object timers         # trunkline.net.timers.Timers
    cdef readonly bint wants_buffers    # the loop reads faster into a buffer of ours than into `bytes` of its own
    cdef readonly bint adapts           # it is fastest with `bytes` for small reads and a buffer for large ones
    cdef readonly Poller poller         # tells streams that they are ready; None: connections are on asyncio's transports
    cdef tl_word _thread                # the thread that ran the loop last, as tl_thread tells it

    # The end of the turn
    cdef list _dirty                    # writers with output
    cdef tl_flag _scheduled             # flush() is due in this turn
    cdef bint _running                  # flush() is under way

    # Shared memory
    cdef MaskingKeys _keys              # for all clients
    cdef readonly dict deflaters        # without context takeover: one for each set of parameters
    cdef BodyCache _body_cache          # where large messages are received
    cdef object _view                   # memoryview of the read buffer, which all connections use in turn
    cdef uint8_t *_read                 # its bytes; owned by the bytearray under _view
    cdef Batch _next                    # an empty batch, or None
    cdef Batch _large                   # an empty large batch, or None
    cdef list _spare                    # more empty batches
    cdef Backlog _idle                  # an empty backlog, or None

    cpdef bint runs_here(self) except -1

    # Lend
    cdef Batch borrow(self, Py_ssize_t size)
    cdef int give_back(self, Batch batch) except -1

    # Flush
    cdef int add(self, Writer writer) except -1


cdef class Writer:
    """The writing half of a link: from a batch to the socket."""

    cdef object __weakref__

    # The link's Lifecycle, which decides. The compiled classes call only these methods; `_link.pyi` declares them with
    # their types, as the Protocol `Upcalls`.
    #   What happened:
    #     on_opening(data)                bytes of the opening handshake were read
    #     on_pong(payload)                a pong was received
    #     on_close_frame(code, reason)    a close frame was received
    #     on_fault(fault)                 the peer broke the protocol
    #     on_broken(error)                a callback, or our own code, raised
    #     on_writable()                   fewer bytes wait than the low-water mark
    #   What it is asked to do:
    #     send_slowly(message, compress)  a coroutine that sends when there is room, or sends a message in fragments
    #     inflate(inflater)               call inflater.work() in a thread, then the link's `_inflated`
    #     resume_reading()                the inbox has drained
    #   Exceptions for
    #     refusal(), slow_consumer(pending), bad_text(error)   a message that cannot be sent
    #     conclusion(iterating), busy(), no_inbox()            one that will not be received
    #     wrong_thread()                                       a call from another thread
    cdef readonly object _life

    # The wire
    cdef object _transport           # asyncio's; None before connection_made and after connection_lost. See `transport`
    cdef dict _kept                  # extra information that outlives the transport, or None
    cdef LoopState _loop_state
    cdef int _fd                     # the socket of a plain TCP transport, not owned; -1: write to the transport
    cdef bint _is_open               # messages may be sent, and are still received
    cdef MaskingKeys _keys           # None for a server

    # Output that leaves at the end of the read or the turn
    cdef Batch _batch                # borrowed while there is output; else None
    cdef bytes _frame                # the only output, a frame that other connections share; there is no _batch then
    cdef tl_flag _corked             # a read is being processed
    cdef bint _listed                # the loop state will flush this at the end of the turn
    cdef tl_flag _overdue            # a task has sent FLUSH_AT bytes without letting the event loop run

    # Output that waits for the socket
    cdef bint _handed                # the transport holds bytes of ours; under TLS it may
    cdef Backlog _backlog            # what the socket has not taken yet, or None; behind what the transport holds
    cdef bint _draining              # something is being handed over: what is sent meanwhile must wait behind it
    cdef Py_ssize_t _high            # high-water mark in bytes: from here on `send` waits
    cdef Py_ssize_t _low             # low-water mark in bytes: from here on it goes on
    cdef tl_flag _full               # more than the high-water mark waits
    cdef double _full_since          # since when, in the loop's time

    # Counters
    cdef tl_counter _bytes_sent      # on the wire: handed to the socket or the transport
    cdef tl_counter _writes          # calls that handed them over

    # Check
    cdef int _check_here(self) except -1
    cdef Py_ssize_t _pending(self) except -1  # bytes that wait

    # Collect: output joins the batch
    cdef int _lend(self, Py_ssize_t size) except -1
    cdef int _mark(self) except -1
    cdef int _list(self) except -1

    # Write: the batch, and n bytes of payload that belong to owner behind it
    cdef int flush(self) except -1
    cdef int _write(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1
    cdef int _write_out(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1

    # Hand over to the transport
    cdef int _hand_over(self, Batch batch, const uint8_t *payload, Py_ssize_t n, owner) except -1
    cdef int _hand_piece(self) except -1
    cdef int _hand_rest(self) except -1

    # Wait for the socket
    cdef int _prepare(self) except -1
    cdef int _keep(self, Batch batch, Py_ssize_t sent, Py_ssize_t n, owner) except -1
    cdef int _drain(self, bint full) except -1
    cdef int _fill_up(self) except -1
    cdef int _make_room(self) except -1

    # End
    cdef int _give_up(self) except -1
    cdef int _keep_extra(self) except -1
