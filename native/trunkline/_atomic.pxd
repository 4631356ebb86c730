# Words that the loop's thread writes while any thread may read them. Counters and flags are written by these verbs alone.

from libc.stdint cimport uint64_t


cdef extern from "atomic.h" nogil:
    ctypedef uint64_t tl_counter
    ctypedef bint tl_flag
    ctypedef size_t tl_word
    void tl_count(tl_counter *counter, uint64_t n)         # n more
    void tl_forget(tl_counter *counter)                    # back to 0
    void tl_put(tl_flag *flag, bint value)
    void tl_put_word(tl_word *word, size_t value)
