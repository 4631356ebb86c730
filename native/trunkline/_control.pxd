# What a decoder gives that is no message: control frames and faults.

from libc.stdint cimport uint8_t

from trunkline._kernels cimport tl_header


cdef class Control:
    """A control frame as it was received."""

    cdef readonly int opcode      # CLOSE, PING or PONG
    cdef readonly bytes payload   # as it came, unmasked
    cdef readonly int code        # close: the close code, 1005 if there was none; otherwise 0
    cdef readonly str reason      # close: the close reason; otherwise ""


cdef class Fault:
    """Why a decoder failed the connection."""

    cdef readonly int code   # the close code to send: 1002, 1007, 1008 or 1009
    cdef readonly str text   # what was seen, the limit, its parameter, the section


cdef Control new_control(int opcode, const uint8_t *payload, Py_ssize_t n)
cdef Fault read_close(Control control)                      # its code and reason; None if they may be sent
cdef Fault new_fault(int code, str text)
cdef bint is_close_code(int code) noexcept                  # whether a peer may send it
cdef str refusal(int why, tl_header *frame, bint client)    # the words for a refused header
cdef str not_utf8(Py_ssize_t bad, Py_ssize_t n)             # the words for a text of n bytes so far
