# What compressed messages were before they were compressed, found out within a bound (RFC 7692 7.2.2).

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._kernels cimport tl_utf8


cdef class InflateStream:
    """The payloads of one direction, back to what they were, a bounded piece at a time."""

    cdef object _make        # makes a decompressor
    cdef object _errors      # what it raises for bytes that are no DEFLATE
    cdef bint _keeps         # a message may refer to those before it (context takeover)
    cdef object _stream      # the decompressor, or None: made when it is needed
    cdef object _input       # what is not inflated yet; None if nothing is. b"" while the stream has more to give
    cdef Py_ssize_t _ends    # final blocks in this message
    cdef bytes _tail         # what ends a message: the four bytes that its sender left out, and more
    cdef tl_counter calls      # of decompressors so far; making one, or copying one, counts as well

    cdef int give(self, bytes data) except -1          # when all that was given before is taken
    cdef bytes take(self, Py_ssize_t most)             # one call; b"": ask again, None: all is taken
    cdef int finish(self) except -1                    # when all is taken: is this where a message can end?
    cdef bint _ends_cleanly(self) except -1


cdef class Inflater:
    """Compressed messages of one direction, assembled."""

    # Settings
    cdef InflateStream _stream
    cdef readonly Py_ssize_t max_size     # bytes of a message; -1: no limit
    cdef Py_ssize_t _off_thread           # bytes inflated of a message after which a thread should go on; -1: never

    # The message under way
    cdef int _opcode
    cdef PyObject *_body                  # owned: a bytes object being filled, or NULL; freed in __dealloc__
    cdef Py_ssize_t _filled               # bytes of it that are set
    cdef tl_utf8 _utf8                    # a text's state at its last byte
    cdef Py_ssize_t _on_loop              # bytes of it that were inflated here, and BARREN for each that gave nothing
    cdef bint _away                       # a thread works on it, or nothing more may stall
    cdef list _waiting                    # payload that came behind what is not inflated yet

    # What may be done in this turn of the loop
    cdef bint _bounded                    # there are bounds: those below, where the counters may not go past
    cdef uint64_t _last_call
    cdef uint64_t _last_given
    cdef uint64_t _last_made

    # Where it stands
    cdef readonly bint stalled            # nothing is inflated until `resume` is called
    cdef readonly bint for_thread         # `work` is to be called before; else it is the next turn that it waits for
    cdef readonly int code                # the close code of the fault that it died of, or 0
    cdef readonly str text                # its words

    # Counters
    cdef readonly tl_counter messages
    cdef readonly tl_counter deflated_bytes  # as they came
    cdef readonly tl_counter inflated_bytes  # what they became
    cdef readonly tl_counter given_bytes     # payload that decompressors were given
    cdef readonly tl_counter made_bytes      # what they made of it

    # Verbs
    cdef void begin_turn(self) noexcept
    cdef bint is_spent(self) noexcept
    cdef int begin(self, int opcode) except -1
    cdef unsigned give(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key, unsigned phase) except? 9
    cdef object whole(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key)
    cdef object end(self)                                # None after a fault
    cdef int resume(self) except -1
    cdef bytes _take(self)
    cdef int _put(self, bytes piece) except -1
    cdef int _drain(self) except -1
    cdef int _store(self, bytes piece) except -1
    cdef object _only(self, bytes piece)
    cdef object _message(self)
    cdef int _grow(self, Py_ssize_t extra) except -1
    cdef bint _finish(self) except -1
    cdef int _drop(self) except -1
    cdef int _fail(self, int code, str text) except -1
