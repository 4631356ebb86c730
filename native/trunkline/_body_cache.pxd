# Memory of large messages, used again.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t


cdef enum:
    SHELVED = 32 * 1024  # bytes of a message from which it is kept


cdef class BodyCache:
    """The bytes objects of the latest large messages of one loop."""

    cdef list _kept          # bytes objects, the oldest first; the application may still hold some of them
    cdef Py_ssize_t _size    # bytes of them all

    # Take
    cdef PyObject *take(self, Py_ssize_t n) noexcept       # a new reference; NULL: there is none
    cdef bytes new(self, Py_ssize_t n)                     # made if there is none

    # Keep
    cdef int keep(self, object body) except -1


cdef class Room:
    """A buffer to write to: the free part of a message's body."""

    cdef object _body      # the bytes object that the memory belongs to
    cdef uint8_t *_start   # in _body
    cdef Py_ssize_t _size  # bytes that may be written


cdef Room new_room(object body, uint8_t *start, Py_ssize_t size)  # start: in the body

# body: owned by the caller, NULL at first. need: bytes in all. left: bytes announced. most: bytes to double up to
cdef int grow_body(PyObject **body, Py_ssize_t need, Py_ssize_t left, Py_ssize_t most, BodyCache cache) except -1
