# Control frames and faults: what a parser yields beside messages.

from libc.stdint cimport uint8_t

from trunkline._kernels cimport tl_header


cdef class Control:
    """A control frame as it was received."""

    cdef readonly int opcode      # TL_CLOSE, TL_PING or TL_PONG
    cdef readonly bytes payload   # unmasked; at most TL_CONTROL_MAX bytes
    cdef readonly int code        # of a close frame: the close code, TL_NO_STATUS if it has none; else 0
    cdef readonly str reason      # of a close frame: the close reason; else ""


cdef class Fault:
    """Why a parser failed the connection."""

    cdef readonly int code   # the close code to send
    cdef readonly str text   # what was seen, the limit, its parameter, the section of the RFC


# Make
cdef Control new_control(int opcode, const uint8_t *payload, Py_ssize_t n)  # copies the payload
cdef Fault new_fault(int code, str text)

# Judge
cdef Fault read_close(Control control)                      # sets code and reason; None if they may be sent

# Say
cdef str refusal(int why, tl_header *frame, bint client)    # of a header
cdef str not_utf8(Py_ssize_t bad, Py_ssize_t n)             # of a text of n bytes so far
