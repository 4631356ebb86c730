# Where messages wait for the application.

from trunkline._writer cimport LoopState

cdef enum:  # what a Receipt gives
    MESSAGE
    NEXT_MESSAGE   # as MESSAGE, but a clean end ends an iteration
    NEXT_BATCH


cdef class Inbox:
    """Messages received and not yet taken."""

    cdef object _life           # the link's Lifecycle: says how receiving ends, and resumes reading
    cdef object _loop
    cdef LoopState _loop_state       # the loop's: knows its thread; None before the link is open
    cdef list _messages
    cdef Py_ssize_t _taken      # how many of them are taken; their places are None
    cdef Py_ssize_t _size       # bytes of the others as they lie in memory
    cdef Py_ssize_t _high       # messages at which reading pauses; -1: no bound
    cdef Py_ssize_t _low        # messages at which it resumes
    cdef object _waiter         # future of the task that waits, or None
    cdef bint paused            # reading is paused until it has drained
    cdef bint ended             # nothing will follow

    cdef int put(self, object message) except -1
    cdef int wake(self) except -1
    cdef Py_ssize_t count(self) noexcept
    cdef bint is_awaited(self) except -1
    cdef bint is_over(self) noexcept
    cdef object take(self, int mode)
    cdef Receipt receipt(self, int mode)


cdef class Batches:
    cdef Inbox _inbox


cdef class Receipt:
    cdef Inbox _inbox
    cdef int _mode
    cdef object _future   # what the awaiting task waits for; the inbox's _waiter

    cdef object take(self)
    cdef int _let_go(self) except -1
