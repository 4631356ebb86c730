/* nomemory: a Python module whose `starved` calls a function and has one allocation on the way fail. */
#include <Python.h>

static PyMemAllocatorEx real[3];
static _Thread_local long left; /* allocations of this thread up to and with the one that fails; 0: none fails */

static int fails(void) { return left > 0 && --left == 0; }

static void *on_malloc(void *domain, size_t n) {
    PyMemAllocatorEx *inner = domain;
    return fails() ? NULL : inner->malloc(inner->ctx, n);
}

static void *on_calloc(void *domain, size_t count, size_t n) {
    PyMemAllocatorEx *inner = domain;
    return fails() ? NULL : inner->calloc(inner->ctx, count, n);
}

static void *on_realloc(void *domain, void *memory, size_t n) {
    PyMemAllocatorEx *inner = domain;
    return fails() ? NULL : inner->realloc(inner->ctx, memory, n);
}

static void on_free(void *domain, void *memory) {
    PyMemAllocatorEx *inner = domain;
    inner->free(inner->ctx, memory);
}

/* starved(n, function, *arguments) -> (whether there were n allocations, what it gave); raises what it raised. */
static PyObject *starved(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    (void)module;
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "starved(n, function, *arguments)");
        return NULL;
    }
    const long n = PyLong_AsLong(arguments[0]);
    if (n < 1) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "n is less than 1");
        return NULL;
    }
    left = n;
    PyObject *result = PyObject_Vectorcall(arguments[1], arguments + 2, (size_t)count - 2, NULL);
    const int failed = left == 0;
    left = 0;
    return result ? Py_BuildValue("(NN)", PyBool_FromLong(failed), result) : NULL;
}

static PyMethodDef functions[] = {{"starved", (PyCFunction)(void (*)(void))starved, METH_FASTCALL, NULL}, {0}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "nomemory", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC PyInit_nomemory(void) {
    static const PyMemAllocatorDomain domains[3] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 3; i++) {
        PyMem_GetAllocator(domains[i], &real[i]);
        PyMemAllocatorEx hooked = {&real[i], on_malloc, on_calloc, on_realloc, on_free};
        PyMem_SetAllocator(domains[i], &hooked);
    }
    PyObject *made = PyModule_Create(&module);
#ifdef Py_GIL_DISABLED
    if (made)
        PyUnstable_Module_SetGIL(made, Py_MOD_GIL_NOT_USED); /* `left` is each thread's own, `real` is set once */
#endif
    return made;
}
