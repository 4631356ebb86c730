"""Where messages wait for the application, and what it awaits to get them.

Theory of operation. A read puts all its messages into the `Inbox` and wakes the waiting task once. That task awaits a
`Receipt`, which is not a coroutine and makes a future only if it has to wait. A receipt takes a message at the moment
it returns it: so a task that is cancelled while it waits has taken nothing.
"""

from collections.abc import Coroutine

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from trunkline._awaitable cimport (
    PYGEN_ERROR, PYGEN_NEXT, PYGEN_RETURN, PySendResult, tl_inherit_anext, tl_set_send,
)
from trunkline._cpython cimport PyUnicode_GET_LENGTH, PyUnicode_IS_ASCII, PyUnicode_KIND
from trunkline._writer cimport tl_thread

cdef enum:
    INBOX_BYTES = 2 * 1024 * 1024  # bytes of messages, as they lie in memory, from which reading pauses
    A_MESSAGE = 64                 # bytes that a message takes besides: its object, its place in the list
    A_WIDE_MESSAGE = 104           # the same for text beyond ASCII


cdef Py_ssize_t size_of(object message) noexcept:
    """Return the bytes that a message takes in memory."""
    if PyBytes_CheckExact(message):
        return A_MESSAGE + PyBytes_GET_SIZE(message)
    if PyUnicode_IS_ASCII(message):
        return A_MESSAGE + PyUnicode_GET_LENGTH(message)
    return A_WIDE_MESSAGE + PyUnicode_GET_LENGTH(message) * PyUnicode_KIND(message)


@cython.final
cdef class Inbox:
    """The messages of one connection, in order, and the one task that may wait for the next."""

    def __cinit__(self, life, loop, high, low):
        self._life = life
        self._loop = loop
        self._messages = []
        self._high = -1 if high is None else high
        self._low = -1 if low is None else low

    cdef int put(self, object message) except -1:
        """Add a message; `wake` tells the task that waits."""
        self._messages.append(message)
        self._size += size_of(message)
        return 0

    cdef int wake(self) except -1:
        """Tell the task that waits, if any, to look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return 0

    cdef Py_ssize_t count(self) noexcept:
        """Return the number of messages that wait."""
        return len(self._messages) - self._taken

    cdef bint is_awaited(self) except -1:
        """Return whether a task waits for a message."""
        return self._waiter is not None and not self._waiter.done()

    cdef bint is_over(self) noexcept:
        """Return whether reading should pause: too many bytes, or too many messages and no task about to take one."""
        return self._high >= 0 and (self._size > INBOX_BYTES or (self._waiter is None and self.count() > self._high))

    cdef object take(self, int mode):
        """Take a message, or the list of all; return None if there is none."""
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
            rest = []  # first: if there is no memory for it, nothing is taken
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
            except BaseException:  # put back what was taken: the caller does not get it
                self._messages, self._taken, self._size = before, at, size
                if mode != NEXT_BATCH:
                    before[at] = taken
                raise
        return taken

    cdef Receipt receipt(self, int mode):
        """Make what a task awaits."""
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
    """What `recv` returns. It takes nothing until it is awaited, and does not wait if a message is there.

    It has the methods of a coroutine, so asyncio.create_task() and wait_for() take it.
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
        """Take what is awaited. Return None if it is not there yet: _future tells when to look again."""
        cdef Inbox inbox = self._inbox
        cdef object taken
        if inbox._loop_state is not None and (
                inbox._loop_state._thread != tl_thread() and not inbox._loop_state.runs_here()):
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
        self._future._asyncio_future_blocking = True  # as `yield from future` does
        return None

    def send(self, value):
        """Do what the send method of a coroutine does."""
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        """Do what the throw method of a coroutine does. If a message came, it stays in the inbox."""
        self._let_go()
        if value is None:
            raise kind
        raise value if isinstance(value, BaseException) else kind(value)

    def close(self):
        """Do what the close method of a coroutine does."""
        self._let_go()

    cdef int _let_go(self) except -1:
        """Wait no longer."""
        if self._future is not None:
            if self._inbox._waiter is self._future:
                self._inbox._waiter = None
            self._future = None
        return 0


cdef PySendResult send_receipt(PyObject *receipt, PyObject *value, PyObject **result) except PYGEN_ERROR:
    """Fill the slot am_send, through which `await` drives a Receipt without a StopIteration."""
    cdef object taken
    cdef PySendResult how = PYGEN_RETURN
    result[0] = NULL  # the result if this raises
    taken = (<Receipt>receipt).take()
    if taken is None:
        taken = (<Receipt>receipt)._future
        how = PYGEN_NEXT
    Py_INCREF(taken)
    result[0] = <PyObject *>taken
    return how


tl_set_send(Receipt, send_receipt)
Coroutine.register(Receipt)


def inherit_anext(type kind not None, type base not None):
    """Have `async for` call the `__anext__` of a compiled base directly, unless the subclass has one of its own."""
    if issubclass(kind, base) and kind.__anext__ is base.__anext__:
        tl_inherit_anext(kind, base)
