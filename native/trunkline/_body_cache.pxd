# Memory of large messages, received into again.

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t


cdef enum:
    SHELVED = 32 * 1024  # bytes: so large a message is kept


cdef class BodyCache:
    """Large bytes objects that may be received into again."""

    cdef list _kept          # bytes objects; the application may still hold some of them
    cdef Py_ssize_t _size    # bytes of them all

    cdef PyObject *take(self, Py_ssize_t n) noexcept       # a new reference, or NULL if there is none
    cdef bytes new(self, Py_ssize_t n)
    cdef int keep(self, object body) except -1


cdef class Room:
    """Where a payload is received straight into its final bytes."""

    cdef object _body      # the bytes object that the memory belongs to
    cdef uint8_t *_start   # in _body
    cdef Py_ssize_t _size  # bytes that may be written


# NULL at first, owned by the caller; to need bytes or more, left: announced, most: to double up to; cache may be None
cdef int grow_body(PyObject **body, Py_ssize_t need, Py_ssize_t left, Py_ssize_t most, BodyCache cache) except -1
