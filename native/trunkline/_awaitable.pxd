# Type slots that Cython has no name for. With am_send, `await` gets its value without raising StopIteration.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR

cdef extern from *:
    """
    /* Set am_send. Nothing caches the slot, and the types are final. */
    CYTHON_UNUSED static int tl_set_send(PyObject *type, sendfunc send) {
        PyTypeObject *slots = (PyTypeObject *)type;
        if (slots->tp_as_async == NULL) {
            PyErr_SetString(PyExc_SystemError, "an awaitable type without asynchronous slots");
            return -1;
        }
        slots->tp_as_async->am_send = send;
        return 0;
    }

    /* Give a subclass written in Python its base's am_anext. Its own would look __anext__ up by name, at each step. */
    CYTHON_UNUSED static void tl_inherit_anext(PyObject *type, PyObject *base) {
        PyTypeObject *slots = (PyTypeObject *)type;
        if (slots->tp_as_async != NULL)
            slots->tp_as_async->am_anext = ((PyTypeObject *)base)->tp_as_async->am_anext;
    }
    """
    int tl_set_send(object kind, sendfunc send) except -1
    void tl_inherit_anext(object kind, object base) noexcept
