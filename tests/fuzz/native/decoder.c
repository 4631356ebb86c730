/* decoder: libFuzzer's input through the compiled decoders.
 *
 * Python is embedded, since libFuzzer has the main program: `fuzz.counters` finds the modules that were compiled with
 * coverage, whose counters find libFuzzer's functions in this program; `fuzz.guided` judges what they make of an input. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *one_input;

const char *__asan_default_options(void);

/* Leaks are not looked for: CPython keeps much to its end. */
const char *__asan_default_options(void) {
    return "detect_leaks=0:detect_stack_use_after_return=1:allocator_may_return_null=1";
}

static void must(PyStatus status) {
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
}

static PyObject *must_have(PyObject *object) {
    if (!object) {
        PyErr_Print();
        abort();
    }
    return object;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    PyPreConfig before;
    PyConfig config;
    (void)argc, (void)argv;
    PyPreConfig_InitPythonConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC; /* so that each object has redzones */
    must(Py_PreInitialize(&before));
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0; /* libFuzzer has its own */
    must(PyConfig_SetBytesString(&config, &config.program_name, PYTHON)); /* that of the virtual environment */
    must(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    Py_DECREF(must_have(PyImport_ImportModule("fuzz.counters")));
    PyObject *module = must_have(PyImport_ImportModule("fuzz.guided"));
    one_input = must_have(PyObject_GetAttrString(module, "one_input"));
    Py_DECREF(module);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    Py_DECREF(must_have(PyObject_CallFunction(one_input, "y#", bytes, (Py_ssize_t)n)));
    return 0;
}
