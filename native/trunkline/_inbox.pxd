# Where messages wait for the application.

from trunkline._writer cimport LoopState

cdef enum:  # what a Receipt takes
    MESSAGE
    NEXT_MESSAGE   # the same, for an iteration: a clean end of the connection ends it
    NEXT_BATCH     # all that are there


cdef class Inbox:
    """The messages of one connection that were received and not yet taken."""

    cdef object _life           # the link's Lifecycle: tells how receiving ends, and resumes reading
    cdef object _loop
    cdef LoopState _loop_state  # knows the loop's thread; None before the link is open
    cdef list _messages         # None in place of each that is taken
    cdef Py_ssize_t _taken      # how many are taken
    cdef Py_ssize_t _size       # bytes of the others, as they lie in memory
    cdef Py_ssize_t _high       # messages from which reading pauses; -1: no bound
    cdef Py_ssize_t _low        # messages from which it resumes
    cdef object _waiter         # future of the task that waits, or None
    cdef bint paused            # reading is paused, until the inbox has drained
    cdef bint ended             # no message will follow

    # Fill
    cdef int put(self, object message) except -1
    cdef int wake(self) except -1

    # Ask
    cdef Py_ssize_t count(self) noexcept
    cdef bint is_awaited(self) except -1
    cdef bint is_over(self) noexcept

    # Take
    cdef object take(self, int mode)         # None: there is no message
    cdef Receipt receipt(self, int mode)


cdef class Batches:
    """The asynchronous iterator behind `ws.batches()`."""

    cdef Inbox _inbox


cdef class Receipt:
    """What `recv` returns: a message, once this is awaited."""

    cdef Inbox _inbox
    cdef int _mode        # MESSAGE, NEXT_MESSAGE or NEXT_BATCH
    cdef object _future   # what the awaiting task waits for, or None; also the inbox's _waiter

    cdef object take(self)                   # None: wait for _future
    cdef int _let_go(self) except -1
