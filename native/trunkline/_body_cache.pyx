"""Memory of large messages, used again.

Theory of operation. The memory of a large object is mapped page by page when it is first written to, and often unmapped
as soon as it is freed: a quarter of what a large message costs. So each loop keeps a reference to the `bytes` of its
latest large messages. Once that is the only reference, nobody can see the object any more; it is as good as a new one,
and the next message of its size is received into it.

Without the GIL, a reference count does not prove that. Nothing is kept there.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from trunkline._cpython cimport BODY_SIZE, PY_SSIZE_T_MAX, new_body, resize_body

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define TL_KEEPS 0
    #else
    #define TL_KEEPS 1
    #endif
    /* Forget the hash that a bytes object caches: it belongs to its old content. */
    static void tl_forget_hash(PyObject *body) {
    #if defined(__GNUC__)
    #pragma GCC diagnostic push
    #pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    #endif
        ((PyBytesObject *)body)->ob_shash = -1;
    #if defined(__GNUC__)
    #pragma GCC diagnostic pop
    #endif
    }
    """
    bint TL_KEEPS
    void tl_forget_hash(PyObject *body) noexcept

cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t i) noexcept
    Py_ssize_t Py_REFCNT(PyObject *item) noexcept
    void Py_INCREF(PyObject *item) noexcept
    void Py_DECREF(PyObject *item) noexcept

cdef enum:
    KEPT_BYTES = 4 * 1024 * 1024  # bytes that a loop keeps
    KEPT_BODIES = 16              # objects that a loop keeps: it searches all of them
    BODY_START = 4 * 1024 * 1024  # bytes of a new body at most, however much its frame announces


@cython.final
cdef class BodyCache:
    """The bytes objects of the latest large messages of one loop."""

    def __cinit__(self):
        self._kept = []

    cdef PyObject *take(self, Py_ssize_t n) noexcept:
        """Return a bytes object of n bytes that nobody else has, with its old content; NULL if there is none."""
        cdef Py_ssize_t i = len(self._kept) - 1
        cdef PyObject *body
        while i >= 0:  # the latest first: the CPU still has it in its cache
            body = PyList_GET_ITEM(self._kept, i)
            if Py_REFCNT(body) == 1 and PyBytes_GET_SIZE(<object>body) == n:
                Py_INCREF(body)
                del self._kept[i]
                self._size -= n
                tl_forget_hash(body)
                return body
            i -= 1
        return NULL

    cdef bytes new(self, Py_ssize_t n):
        """Return a bytes object of n bytes, to be filled."""
        cdef PyObject *body = self.take(n)
        cdef bytes made
        if body == NULL:
            return PyBytes_FromStringAndSize(NULL, n)
        made = <bytes>body
        Py_DECREF(body)
        return made

    cdef int keep(self, object body) except -1:
        """Keep a large bytes object while it is among the latest."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(body)
        if not TL_KEEPS or n > KEPT_BYTES:
            return 0
        self._kept.append(body)
        self._size += n
        while self._size > KEPT_BYTES or len(self._kept) > KEPT_BODIES:
            self._size -= PyBytes_GET_SIZE(self._kept[0])
            del self._kept[0]
        return 0


@cython.final
cdef class Room:
    """A buffer to write to: the free part of a message's body, which it keeps alive."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._start, self._size, 0, flags)


cdef Room new_room(object body, uint8_t *start, Py_ssize_t size):
    """Return a buffer over `size` bytes at `start` in the body."""
    cdef Room room = Room.__new__(Room)
    room._body, room._start, room._size = body, start, size
    return room


cdef int grow_body(PyObject **body, Py_ssize_t need, Py_ssize_t left, Py_ssize_t most, BodyCache cache) except -1:
    """Grow the body of a message to `need` bytes or more; raise MemoryError.

    If the frame announces little more (`left`), the body grows to hold all of it, else in step with what arrives. If
    more frames will follow, it doubles up to `most` bytes, or it would be copied for each of many small frames; for the
    last frame, `most` is 0. `body` is NULL at first; `cache` may be None.
    """
    cdef Py_ssize_t size = BODY_SIZE(body[0]) if body[0] != NULL else 0
    cdef Py_ssize_t doubled = 2 * size if size <= PY_SSIZE_T_MAX // 2 else PY_SSIZE_T_MAX
    size = max(need, min(need + left, max(doubled, BODY_START)), min(doubled, most))
    if body[0] == NULL and cache is not None and size >= SHELVED:
        body[0] = cache.take(size)
    if body[0] == NULL:
        body[0] = new_body(NULL, size)
    elif BODY_SIZE(body[0]) < size:
        resize_body(body, size)
    return 0
