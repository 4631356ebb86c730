# wsproto's way of sending: one frame a call.

from libc.stdint cimport uint8_t, uint64_t

from trunkline._batch cimport MaskingKeys


cdef class FrameWriter:
    """The sending half of a FrameProtocol."""

    cdef readonly bint client              # our role: a client masks its frames
    cdef readonly list extensions          # the enabled ones, in the order of the handshake
    cdef MaskingKeys _keys                 # None for a server
    cdef int _sending                      # TL_TEXT or TL_BINARY while a message is unfinished, else 0

    # Return frames
    cdef bytes message(self, data, bint finished)
    cdef bytes frame(self, unsigned opcode, payload, bint finished)

    # Make them
    cdef object _outbound(self, unsigned opcode, payload, bint finished)    # (reserved bits, payload)
    cdef bytes _write_any(self, unsigned first, payload)
    cdef bytes _write(self, unsigned first, const uint8_t *payload, Py_ssize_t n)
