# Words that the thread of an event loop writes while any thread may read them. Write them with these verbs alone; read
# them as they are.

from libc.stdint cimport uint64_t


cdef extern from "atomic.h" nogil:
    ctypedef uint64_t tl_counter
    ctypedef bint tl_flag
    ctypedef size_t tl_word
    void tl_count(tl_counter *counter, uint64_t n)  # adds n
    void tl_forget(tl_counter *counter)             # sets it to 0
    void tl_put(tl_flag *flag, bint value)          # a thread that reads the new value sees all earlier writes
    void tl_put_word(tl_word *word, size_t value)   # likewise
