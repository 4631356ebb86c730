/* marks: tells callgrind when to count; a shared library for ctypes. Outside of valgrind the calls do nothing. */
#include <valgrind/callgrind.h>

/* Returns whether callgrind is running. */
int marks_counting(void) { return RUNNING_ON_VALGRIND > 0; }

void marks_begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

/* Writes what was counted since the beginning to a file, under this name. */
void marks_end(const char *name) {
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
}
