"""Bytes that a socket has not taken yet: they wait where they lie, and leave in order.

Theory of operation. A socket takes what its buffer has room for. The rest stays in its owner, a batch, bytes or str,
which lives until its last byte has left: little is copied. Small writes that follow a batch join it, and unused memory
of a batch is given back, so that a slow peer costs the bytes that wait for it and little more.
"""

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from trunkline._cpython cimport PyUnicode_AsUTF8AndSize, PyUnicode_CheckExact, PyUnicode_IS_ASCII

cdef enum:
    PARTS = 16             # owners that one call sends from
    TAIL_SIZE = 64 * 1024  # bytes up to which a waiting batch grows


cdef const uint8_t *bytes_of(object owner, Py_ssize_t *n) except NULL:
    """Return the bytes of an owner, and set their number."""
    if type(owner) is Batch:
        n[0] = (<Batch>owner)._used
        return (<Batch>owner)._bytes
    if PyBytes_CheckExact(owner):
        n[0] = PyBytes_GET_SIZE(owner)
        return <const uint8_t *>PyBytes_AS_STRING(owner)
    return <const uint8_t *>PyUnicode_AsUTF8AndSize(owner, n)  # cached by the str, always at the same place


@cython.final
cdef class Backlog:
    """The bytes that wait for one socket."""

    def __cinit__(self):
        self._owners = deque()
        self.spent = []

    cdef bint put_batch(self, Batch batch, Py_ssize_t gone) except -1:
        """Add a batch, of which `gone` bytes have left (0 unless it is the first). Return whether the batch is kept; if
        not, its bytes were copied.
        """
        cdef Py_ssize_t used = batch._used
        cdef Batch tail = self._tail
        if tail is not None and tail._used + used <= TAIL_SIZE:
            if used > tail._size - tail._used:
                tail.grow(min(max(tail._used + used, 2 * tail._size), <Py_ssize_t>TAIL_SIZE))
            tail.put_bytes(batch._bytes, used)
            self.left += used
            return False
        self.put(batch, used, gone)
        batch.trim()  # its last owner may have grown it
        self._tail = batch
        return True

    cdef int put(self, object owner, Py_ssize_t n, Py_ssize_t gone) except -1:
        """Add the n bytes of an owner, of which `gone` have left (0 unless it is the first)."""
        if PyUnicode_CheckExact(owner) and not PyUnicode_IS_ASCII(owner):
            # A str keeps its characters beside its UTF-8: five times the memory, perhaps.
            owner = PyBytes_FromStringAndSize(<const char *>bytes_of(owner, &n) + gone, n - gone)
            n, gone = PyBytes_GET_SIZE(owner), 0
        self._owners.append(owner)
        if self._tail is not None:
            self._tail.trim()  # nothing more is added to it
            self._tail = None
        self._gone += gone
        self.left += n - gone
        return 0

    cdef int send(self, int fd) except -1:
        """Send until everything has left, or the socket takes no more. Return 0, or the errno that send(2) gave."""
        cdef iovec parts[PARTS]
        cdef Py_ssize_t n = 0, asked, sent
        cdef const uint8_t *data
        cdef int count, i
        while self.left:
            asked = 0
            count = <int>min(<Py_ssize_t>len(self._owners), <Py_ssize_t>PARTS)
            for i in range(count):  # without an iterator: making one may run a finalizer, which may send
                data = bytes_of(self._owners[i], &n)
                if i == 0:
                    data += self._gone
                    n -= self._gone
                parts[i].iov_base = <void *>data
                parts[i].iov_len = <size_t>n
                asked += n
            sent = tl_send_now(fd, parts, count)
            if sent < 0:
                return <int>-sent
            self._advance(sent)
            if sent < asked:
                break
        return 0

    cdef bytes take(self, Py_ssize_t most):
        """Remove the next bytes and return them: at least one, at most `most`, all of one owner."""
        cdef Py_ssize_t n = 0
        cdef const uint8_t *data = bytes_of(self._owners[0], &n)
        cdef bytes taken = PyBytes_FromStringAndSize(<const char *>data + self._gone, min(n - self._gone, most))
        self._advance(PyBytes_GET_SIZE(taken))
        return taken

    cdef int _advance(self, Py_ssize_t n) except -1:
        """Note that the next n bytes have left; release the owners that are empty."""
        cdef Py_ssize_t size = 0
        self.left -= n
        self._gone += n
        while self._owners:
            bytes_of(self._owners[0], &size)
            if self._gone < size:
                break
            owner = self._owners.popleft()
            self._gone -= size
            if type(owner) is Batch:
                self.spent.append(owner)
                if owner is self._tail:
                    self._tail = None
        return 0
