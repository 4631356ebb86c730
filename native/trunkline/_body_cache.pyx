"""Memory of large messages, received into again.

Theory of operation. An allocator maps the memory of a large object page by page when it is first written to, and often
gives it back as soon as it is freed: a quarter of what a large message costs. So a loop keeps the `bytes` of its latest
large messages, by a reference of its own. When that is the only one left, nobody can see the object any more, and it is
as good as one that was just made: the next message of its size is received into it.

Without the GIL nobody may draw this from a reference count, so nothing is kept there.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define TL_KEEPS 0
    #else
    #define TL_KEEPS 1
    #endif
    /* The hash that a bytes object remembers goes with what it held. */
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
    int _PyBytes_Resize(PyObject **string, Py_ssize_t size) except -1
    PyObject *PyBytes_New "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t n) except NULL
    Py_ssize_t BODY_SIZE "PyBytes_GET_SIZE"(PyObject *string) noexcept
    Py_ssize_t PY_SSIZE_T_MAX
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t i) noexcept
    Py_ssize_t Py_REFCNT(PyObject *item) noexcept
    void Py_INCREF(PyObject *item) noexcept
    void Py_DECREF(PyObject *item) noexcept

cdef enum:
    KEPT_BYTES = 4 * 1024 * 1024  # bytes that a loop keeps
    KEPT_BODIES = 16              # objects: all of them are looked at
    BODY_START = 4 * 1024 * 1024  # bytes: a body begins with what its frame announces, but with no more than this


@cython.final
cdef class BodyCache:
    """The latest large messages of one loop."""

    def __cinit__(self):
        self._kept = []

    cdef PyObject *take(self, Py_ssize_t n) noexcept:
        """A bytes object of n bytes that is nobody else's, with whatever it last held; NULL if there is none."""
        cdef Py_ssize_t i = len(self._kept) - 1
        cdef PyObject *body
        while i >= 0:  # the latest first: it is still in the cache
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
        """A bytes object of n bytes to be filled."""
        cdef PyObject *body = self.take(n)
        cdef bytes made
        if body == NULL:
            return PyBytes_FromStringAndSize(NULL, n)
        made = <bytes>body
        Py_DECREF(body)
        return made

    cdef int keep(self, object body) except -1:
        """Keeps a large bytes object, as long as it is among the latest."""
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
    """The part of a message's body that is still to be received, as a buffer to write to. It keeps the body alive."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self._start, self._size, 0, flags)


cdef int grow_body(PyObject **body, Py_ssize_t need, Py_ssize_t left, Py_ssize_t most, BodyCache cache) except -1:
    """Grows the body of a message, NULL at first, to `need` bytes or more: to the `left` more that its frame announces
    if that is little, else in step with what has arrived. Where more frames are to follow it doubles, up to `most`
    bytes, so that many small ones do not each have it copied; after the last frame `most` is 0. `cache` may be None.
    """
    cdef Py_ssize_t size = BODY_SIZE(body[0]) if body[0] != NULL else 0
    cdef Py_ssize_t doubled = 2 * size if size <= PY_SSIZE_T_MAX // 2 else PY_SSIZE_T_MAX
    size = max(need, min(need + left, max(doubled, BODY_START)), min(doubled, most))
    if body[0] == NULL and cache is not None and size >= SHELVED:
        body[0] = cache.take(size)
    if body[0] == NULL:
        body[0] = PyBytes_New(NULL, size)
    elif BODY_SIZE(body[0]) < size:
        _PyBytes_Resize(body, size)  # on failure it frees the body and sets it to NULL
    return 0
