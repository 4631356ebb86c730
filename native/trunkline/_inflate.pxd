# From compressed payload to messages, within bounds (RFC 7692 7.2.2).

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from trunkline._atomic cimport tl_counter
from trunkline._kernels cimport tl_utf8


cdef class InflateStream:
    """Inflate the payloads of one direction, a bounded piece at a time."""

    cdef object _make        # returns a new decompressor
    cdef object _errors      # what it raises for corrupt data
    cdef bint _keeps         # context takeover: a message may refer to earlier ones
    cdef object _stream      # the decompressor, or None: made when it is needed
    cdef object _input       # payload to inflate; b"": none, but the decompressor has more to give; None: all done
    cdef Py_ssize_t _ends    # final blocks in this message
    cdef bytes _tail         # the end of a message that its sender left out, and a final block without context
    cdef tl_counter calls    # of decompressors; making or copying one counts

    cdef int give(self, bytes data) except -1          # only when all that was given is taken
    cdef bytes take(self, Py_ssize_t most)             # one call; b"": ask again; None: all is taken
    cdef int finish(self) except -1                    # end the message, when all is taken
    cdef bint _ends_cleanly(self) except -1


cdef class Inflater:
    """Assemble the compressed messages of one direction."""

    # Settings
    cdef InflateStream _stream
    cdef readonly Py_ssize_t max_size     # bytes of a message; -1: no limit
    cdef Py_ssize_t _off_thread           # bytes of a message to inflate before it stalls; -1: no limit

    # The message under way
    cdef int _opcode                      # TL_TEXT or TL_BINARY
    cdef PyObject *_body                  # owned: a bytes object that is being filled, or NULL; freed in __dealloc__
    cdef Py_ssize_t _filled               # bytes of _body that are set
    cdef tl_utf8 _utf8                    # of a text: state of the check at its last byte
    cdef Py_ssize_t _on_loop              # bytes inflated on this thread, towards _off_thread
    cdef bint _away                       # a thread is inflating: nothing stalls
    cdef list _waiting                    # slices of payload that came while it was stalled

    # The allowance of this turn: counters may not go past these
    cdef bint _bounded                    # there is one
    cdef uint64_t _last_call              # of _stream.calls
    cdef uint64_t _last_given             # of given_bytes
    cdef uint64_t _last_made              # of made_bytes

    # State
    cdef readonly bint stalled            # it keeps payload, until resume
    cdef readonly bint for_thread         # a thread must call work first; else it only waits for the next turn
    cdef readonly int code                # close code of the fault that it died of; 0: alive
    cdef readonly str text                # the fault in words

    # Counters
    cdef readonly tl_counter messages
    cdef readonly tl_counter deflated_bytes  # payload received
    cdef readonly tl_counter inflated_bytes  # of whole messages
    cdef readonly tl_counter given_bytes     # payload given to decompressors
    cdef readonly tl_counter made_bytes      # what they made of it

    # Receive. A key: the payload is masked with it
    cdef int begin(self, int opcode) except -1
    cdef unsigned give(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key, unsigned phase) except? 9
    cdef object whole(self, const uint8_t *data, Py_ssize_t n, const uint8_t *key)  # None: it failed or stalled
    cdef object end(self)                                                           # None: it failed

    # Ration: how much to do in a turn of the event loop
    cdef void begin_turn(self) noexcept
    cdef bint is_spent(self) noexcept
    cdef int resume(self) except -1

    # Inflate
    cdef int _put(self, bytes piece) except -1
    cdef bytes _take(self)               # None: no more input, or it failed
    cdef int _drain(self) except -1

    # Assemble
    cdef int _store(self, bytes piece) except -1
    cdef int _grow(self, Py_ssize_t extra) except -1
    cdef bint _finish(self) except -1
    cdef object _only(self, bytes piece)
    cdef object _message(self)

    # Give up
    cdef int _drop(self) except -1
    cdef int _fail(self, int code, str text) except -1
