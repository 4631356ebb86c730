/* hooks: a Python module with `Hooked`, a buffer that calls back whenever it is asked for its bytes, and when they are let
 * go of. Python classes can do so from 3.12 on (PEP 688), types in C in every version. */
#include <Python.h>

typedef struct {
    PyObject_HEAD
    PyObject *bytes;   /* owned */
    PyObject *get;     /* owned: called before the bytes are given */
    PyObject *release; /* owned: called when they are let go of */
} Hooked;

static int hooked_init(PyObject *object, PyObject *arguments, PyObject *named) {
    Hooked *self = (Hooked *)object;
    static char *names[] = {"bytes", "get", "release", NULL};
    PyObject *bytes, *get, *release;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "SOO", names, &bytes, &get, &release))
        return -1;
    Py_INCREF(bytes);
    Py_INCREF(get);
    Py_INCREF(release);
    Py_XDECREF(self->bytes);
    Py_XDECREF(self->get);
    Py_XDECREF(self->release);
    self->bytes = bytes;
    self->get = get;
    self->release = release;
    return 0;
}

static void hooked_dealloc(PyObject *object) {
    Hooked *self = (Hooked *)object;
    Py_XDECREF(self->bytes);
    Py_XDECREF(self->get);
    Py_XDECREF(self->release);
    Py_TYPE(object)->tp_free(object);
}

static int hooked_getbuffer(PyObject *object, Py_buffer *view, int flags) {
    Hooked *self = (Hooked *)object;
    PyObject *told = PyObject_CallNoArgs(self->get);
    if (told == NULL) {
        view->obj = NULL;
        return -1;
    }
    Py_DECREF(told);
    return PyBuffer_FillInfo(view, object, PyBytes_AS_STRING(self->bytes), PyBytes_GET_SIZE(self->bytes), 1, flags);
}

static void hooked_releasebuffer(PyObject *object, Py_buffer *view) {
    (void)view;
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback); /* bytes are let go of on the way out of an error, too */
    PyObject *told = PyObject_CallNoArgs(((Hooked *)object)->release);
    if (told == NULL)
        PyErr_WriteUnraisable(object);
    Py_XDECREF(told);
    PyErr_Restore(kind, value, traceback);
}

static PyBufferProcs hooked_buffer = {hooked_getbuffer, hooked_releasebuffer};

static PyTypeObject hooked_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "hooks.Hooked",
    .tp_basicsize = sizeof(Hooked),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = hooked_init,
    .tp_dealloc = hooked_dealloc,
    .tp_as_buffer = &hooked_buffer,
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "hooks", .m_size = -1};

PyMODINIT_FUNC PyInit_hooks(void) {
    if (PyType_Ready(&hooked_type) < 0)
        return NULL;
    PyObject *made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED); /* an object is its test's alone */
#endif
    Py_INCREF(&hooked_type);
    if (made && PyModule_AddObject(made, "Hooked", (PyObject *)&hooked_type) < 0) {
        Py_DECREF(&hooked_type);
        Py_CLEAR(made);
    }
    return made;
}
