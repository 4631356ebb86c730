# Payloads to frames, one at a time.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport MaskingKeys


cdef class FrameWriter:
    """The way out of one connection."""

    cdef readonly bint client              # we are the client: frames go masked and come unmasked
    cdef readonly list extensions          # those that are enabled, as they were agreed on
    cdef MaskingKeys _keys                 # None for a server
    cdef int _sending                      # the message under way: TEXT or BINARY; 0 between two

    cdef bytes message(self, data, bint finished)
    cdef bytes frame(self, unsigned opcode, payload, bint finished)
    cdef bytes _write(self, unsigned first, const uint8_t *payload, Py_ssize_t n)
    cdef bytes _write_any(self, unsigned first, payload)
    cdef object _outbound(self, unsigned opcode, payload, bint finished)    # (bits, payload)
