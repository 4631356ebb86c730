# Parts of Python's C API that Cython does not declare, or declares with other types.

from cpython.object cimport PyObject

from trunkline._awaitable cimport PYGEN_ERROR, PySendResult


cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

    # await
    PySendResult PyIter_Send(PyObject *iterator, PyObject *value, PyObject **result) except PYGEN_ERROR

    # str: read
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyUnicode_IS_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept  # characters
    int PyUnicode_KIND(object text) noexcept               # bytes of a character
    void *PyUnicode_DATA(object text) noexcept
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL  # the str keeps these bytes

    # str: make
    object PyUnicode_New(Py_ssize_t n, Py_UCS4 maximum)  # n characters, to be set before anybody sees them
    object PyUnicode_DecodeUTF8(const char *data, Py_ssize_t n, const char *errors)
    object PyUnicode_DecodeUTF8Stateful(const char *data, Py_ssize_t n, const char *errors, Py_ssize_t *used)

    # A bytes object that is being filled: as a pointer, since Cython would share it
    PyObject *new_body "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t n) except NULL
    int resize_body "_PyBytes_Resize"(PyObject **body, Py_ssize_t size) except -1  # on failure *body is freed, and NULL
    char *BODY "PyBytes_AS_STRING"(PyObject *body) noexcept
    Py_ssize_t BODY_SIZE "PyBytes_GET_SIZE"(PyObject *body) noexcept
