"""Control frames (RFC 6455 5.5), and faults: what is wrong with what a peer sent, in words.

Theory of operation. Everything here works on values alone: the payload of a control frame, a refused header, a place in
a text. None of it knows the decoder or changes its state, so that both parsers, `_frames` and `_frame_protocol`, judge
by the same rules and in the same words.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from trunkline._cpython cimport PyUnicode_DecodeUTF8
from trunkline._kernels cimport (
    TL_CLOSE, TL_CODE_SIZE, TL_CONTROL_MAX, TL_FRAGMENTED_CONTROL, TL_HUGE_LENGTH, TL_INVALID_DATA, TL_LONG_CONTROL,
    TL_NO_STATUS, TL_PING, TL_PONG, TL_PROTOCOL_ERROR, TL_RESERVED_BITS, TL_RESERVED_OPCODE, TL_RSV_SHIFT,
    TL_WRONG_MASK, tl_is_close_code,
)


@cython.final
cdef class Control:
    """A control frame as it was received."""

    def __repr__(self):
        name = {TL_CLOSE: "close", TL_PING: "ping", TL_PONG: "pong"}[self.opcode]
        return f"<{name} {self.code} {self.reason!r}>" if self.opcode == TL_CLOSE else f"<{name} {self.payload!r}>"


@cython.final
cdef class Fault:
    """Why the connection fails: the close code to send, and the reason in words."""

    def __repr__(self):
        return f"<fault {self.code} {self.text!r}>"


cdef Control new_control(int opcode, const uint8_t *payload, Py_ssize_t n):
    """Make a control frame of n bytes of payload, which are copied. `read_close` parses that of a close frame."""
    cdef Control control = Control.__new__(Control)
    control.opcode = opcode
    control.payload = PyBytes_FromStringAndSize(<const char *>payload, n)
    control.reason = ""
    return control


cdef Fault read_close(Control control):
    """Set code and reason of a close frame; return the fault if a peer may not send them (5.5.1, 7.4), else None."""
    cdef const uint8_t *payload = <const uint8_t *>PyBytes_AS_STRING(control.payload)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(control.payload)
    if n == 1:
        return new_fault(TL_PROTOCOL_ERROR, "close frame with 1 byte of payload, a close code takes 2 (RFC 6455 5.5.1)")
    control.code = (payload[0] << 8 | payload[1]) if n else TL_NO_STATUS
    if n and not tl_is_close_code(control.code):
        return new_fault(TL_PROTOCOL_ERROR, f"close code {control.code} may not be sent (RFC 6455 7.4)")
    cdef Fault fault = None
    if n > TL_CODE_SIZE:
        try:
            control.reason = PyUnicode_DecodeUTF8(<const char *>payload + TL_CODE_SIZE, n - TL_CODE_SIZE, NULL)
        except UnicodeDecodeError as error:
            fault = new_fault(TL_INVALID_DATA, f"close reason is not UTF-8 at byte {error.start} (RFC 6455 5.5.1)")
    return fault


cdef Fault new_fault(int code, str text):
    """Make a fault."""
    cdef Fault fault = Fault.__new__(Fault)
    fault.code = code
    fault.text = text
    return fault


def may_be_sent(code):
    """Return whether a close frame may carry this close code; any int will do (RFC 6455 7.4)."""
    return 0 <= code <= 0xFFFF and tl_is_close_code(code)


cdef str refusal(int why, tl_header *frame, bint client):
    """Return the words for a header that `read_header` refused."""
    if why == TL_RESERVED_BITS:
        return f"reserved bits {frame.rsv >> TL_RSV_SHIFT:03b} set, no extension was granted them (RFC 6455 5.2)"
    if why == TL_RESERVED_OPCODE:
        return f"opcode {frame.opcode} is reserved (RFC 6455 5.2)"
    if why == TL_FRAGMENTED_CONTROL:
        return f"control frame with opcode {frame.opcode} without FIN, which all of them have (RFC 6455 5.5)"
    if why == TL_LONG_CONTROL:
        return f"control frame with opcode {frame.opcode} over {TL_CONTROL_MAX} bytes (RFC 6455 5.5)"
    if why == TL_WRONG_MASK:
        return "masked frame from a server (RFC 6455 5.1)" if client else "unmasked frame from a client (RFC 6455 5.1)"
    if why == TL_HUGE_LENGTH:
        return f"frame length {frame.length} has its most significant bit set (RFC 6455 5.2)"
    return f"frame length {frame.length} is not in its shortest form (RFC 6455 5.2)"


cdef str not_utf8(Py_ssize_t bad, Py_ssize_t n):
    """Return the words for a text whose byte `bad` is wrong; if bad is n, its length, it ends inside a character."""
    if bad < n:
        return f"text is not UTF-8 at byte {bad} (RFC 6455 8.1)"
    return f"text ends inside a character, after {n} bytes (RFC 6455 8.1)"
