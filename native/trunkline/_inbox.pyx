"""Where messages wait for the application, and the awaitables that give them.

Theory of operation. A read puts all its messages into the `Inbox` and wakes the task that waits, once. What that task
awaits is a
`Receipt`: no coroutine, and a future only where it has to wait. A receipt takes its message at the moment it gives it,
so that a task that is cancelled while it waits has taken nothing.
"""

from collections.abc import Coroutine

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from trunkline._awaitable cimport PYGEN_ERROR, PYGEN_NEXT, PYGEN_RETURN, PySendResult, tl_set_send
from trunkline._writer cimport tl_thread

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    bint PyUnicode_IS_ASCII(object text) noexcept
    int PyUnicode_KIND(object text) noexcept  # bytes a character

cdef enum:
    INBOX_BYTES = 2 * 1024 * 1024  # bytes of messages, as they lie in memory, at which reading pauses
    A_MESSAGE = 64                 # bytes that each of them counts for more: its object, its place in the list
    A_WIDE_MESSAGE = 104           # the same of text beyond ASCII


cdef Py_ssize_t size_of(object message) noexcept:
    if PyBytes_CheckExact(message):
        return A_MESSAGE + PyBytes_GET_SIZE(message)
    if PyUnicode_IS_ASCII(message):
        return A_MESSAGE + PyUnicode_GET_LENGTH(message)
    return A_WIDE_MESSAGE + PyUnicode_GET_LENGTH(message) * PyUnicode_KIND(message)


@cython.final
cdef class Inbox:
    """Messages of one connection in the order they came, and the one task that may wait for the next."""

    def __cinit__(self, life, loop, high, low):
        self._life = life
        self._loop = loop
        self._messages = []
        self._high = -1 if high is None else high
        self._low = -1 if low is None else low

    cdef int put(self, object message) except -1:
        self._messages.append(message)
        self._size += size_of(message)
        return 0

    cdef int wake(self) except -1:
        """Tells the task that waits, if there is one, to look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return 0

    cdef Py_ssize_t count(self) noexcept:
        return len(self._messages) - self._taken

    cdef bint is_awaited(self) except -1:
        """Whether a task waits for a message."""
        return self._waiter is not None and not self._waiter.done()

    cdef bint is_over(self) noexcept:
        """Whether it holds more than it should; more messages only if nobody is about to take from it."""
        return self._high >= 0 and (self._size > INBOX_BYTES or (self._waiter is None and self.count() > self._high))

    cdef object take(self, int mode):
        """A message, or the list of all there are; None if there is none."""
        cdef Py_ssize_t count = self.count()
        cdef object taken
        cdef list before, rest
        cdef Py_ssize_t at, size = self._size
        if count == 0:
            return None
        if self._taken >= 64 and 2 * self._taken >= len(self._messages):
            del self._messages[:self._taken]
            self._taken = 0
        before, at = self._messages, self._taken
        if mode == NEXT_BATCH or count == 1:
            rest = []  # before anything is taken: there may be no memory for it
            taken = self._messages[self._taken:] if self._taken else self._messages
            if mode != NEXT_BATCH:
                taken = taken[0]
            self._messages = rest
            self._taken = 0
            self._size = 0
        else:
            taken = self._messages[self._taken]
            self._messages[self._taken] = None
            self._taken += 1
            self._size -= size_of(taken)
        if self.paused and self.count() <= self._low and self._size <= INBOX_BYTES // 4:
            try:
                self._life.resume_reading()
            except BaseException:  # whoever wants what was taken has not got it: it is put back
                self._messages, self._taken, self._size = before, at, size
                if mode != NEXT_BATCH:
                    before[at] = taken
                raise
        return taken

    cdef Receipt receipt(self, int mode):
        cdef Receipt made = Receipt.__new__(Receipt)
        made._inbox = self
        made._mode = mode
        return made


@cython.final
cdef class Batches:
    """The asynchronous iterator behind `ws.batches()`."""

    def __init__(self, Inbox inbox not None):
        self._inbox = inbox

    def __aiter__(self):
        return self

    def __anext__(self):
        return self._inbox.receipt(NEXT_BATCH)


@cython.final
@cython.freelist(32)
cdef class Receipt:
    """The awaitable of a message. It takes nothing until it is awaited, and gives at once what is already there.

    It has a coroutine's methods, so that asyncio.create_task() and wait_for() take it.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef object taken = self.take()
        if taken is not None:
            raise StopIteration(taken)
        return self._future

    cdef object take(self):
        """What is awaited; None if it is not there yet, and _future will say when to look again."""
        cdef Inbox inbox = self._inbox
        cdef object taken
        if inbox._loop_state is not None and inbox._loop_state._thread != tl_thread() and not inbox._loop_state.runs_here():
            raise inbox._life.wrong_thread()
        if self._future is not None:
            self._let_go()
        taken = inbox.take(self._mode)
        if taken is not None:
            return taken
        if inbox.ended:
            raise inbox._life.conclusion(self._mode != MESSAGE)
        if inbox._waiter is not None and not inbox._waiter.done():
            raise inbox._life.busy()
        self._future = inbox._waiter = inbox._loop.create_future()
        self._future._asyncio_future_blocking = True  # what `yield from future` would set
        return None

    def send(self, value):
        """As a coroutine's send."""
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        """As a coroutine's throw: the message, if one came, stays in the inbox."""
        self._let_go()
        if value is None:
            raise kind
        raise value if isinstance(value, BaseException) else kind(value)

    def close(self):
        """As a coroutine's close."""
        self._let_go()

    cdef int _let_go(self) except -1:
        if self._future is not None:
            if self._inbox._waiter is self._future:
                self._inbox._waiter = None
            self._future = None
        return 0


# `await` asks through the slot am_send, which gives a value without raising StopIteration for it.

cdef PySendResult send_receipt(PyObject *receipt, PyObject *value, PyObject **result) except PYGEN_ERROR:
    cdef object taken
    cdef PySendResult how = PYGEN_RETURN
    result[0] = NULL  # what the slot gives if this raises
    taken = (<Receipt>receipt).take()
    if taken is None:
        taken = (<Receipt>receipt)._future
        how = PYGEN_NEXT
    Py_INCREF(taken)
    result[0] = <PyObject *>taken
    return how


tl_set_send(Receipt, send_receipt)
Coroutine.register(Receipt)
