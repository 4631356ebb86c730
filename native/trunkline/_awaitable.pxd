# What a type of ours needs to be awaited without raising StopIteration for its value.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR

cdef extern from *:
    """
    /* Cython has no name for this slot. Nothing caches it, and the types are final. */
    CYTHON_UNUSED static int tl_set_send(PyObject *type, sendfunc send) {
        PyTypeObject *slots = (PyTypeObject *)type;
        if (slots->tp_as_async == NULL) {
            PyErr_SetString(PyExc_SystemError, "an awaitable type without asynchronous slots");
            return -1;
        }
        slots->tp_as_async->am_send = send;
        return 0;
    }

    /* A subclass written in Python finds __anext__ by its name, at each step of an iteration, though it has none of its own. */
    CYTHON_UNUSED static void tl_inherit_anext(PyObject *type, PyObject *base) {
        PyTypeObject *slots = (PyTypeObject *)type;
        if (slots->tp_as_async != NULL)
            slots->tp_as_async->am_anext = ((PyTypeObject *)base)->tp_as_async->am_anext;
    }
    """
    int tl_set_send(object kind, sendfunc send) except -1
    void tl_inherit_anext(object kind, object base) noexcept
