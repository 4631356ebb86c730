"""wsproto's way of sending: each call makes one frame.

Theory of operation. A frame is a bytes object, allocated once. The payload is copied into it once, and masked in the
same pass if there are keys. Enabled extensions get the payload before, the last of them first.
"""

import struct

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from trunkline._batch cimport MaskingKeys
from trunkline._cpython cimport PY_SSIZE_T_MAX, PyUnicode_AsUTF8AndSize
from trunkline._kernels cimport (
    TL_ABNORMAL, TL_BINARY, TL_CLOSE, TL_CONTINUATION, TL_CONTROL_MAX, TL_FIN, TL_HEADER_MAX, TL_NO_STATUS,
    TL_NORMAL, TL_OPCODE, TL_PING, TL_PONG, TL_REASON_MAX, TL_RSV_SHIFT, TL_TEXT, TL_TLS_FAILED, apply_mask,
    write_header,
)

from wsproto.frame_protocol import Opcode, RsvBits

cdef dict OPCODES = {int(opcode): opcode for opcode in Opcode}
cdef object NO_BITS = RsvBits(False, False, False)
# RFC 6455 7.4.1: these tell what happened here, and are never sent.
cdef frozenset LOCAL_ONLY = frozenset({TL_NO_STATUS, TL_ABNORMAL, TL_TLS_FAILED})

MAX_REASON = TL_REASON_MAX


def close_payload(code, reason=None):
    """Return the payload of a close frame (RFC 6455 5.5.1).

    Args:
        code: the close code. None or 1005: none. 1006 and 1015 may not be sent: 1000 is sent instead, as in wsproto.
        reason: the close reason, cut after the last character that fits into 123 bytes.

    Raises:
        TypeError: if there is a reason but no code.
    """
    cdef bytes encoded
    if code is None or code == TL_NO_STATUS:
        if reason:
            raise TypeError(f"a close reason ({len(reason)} characters) needs a close code (RFC 6455 5.5.1)")
        return b""
    encoded = (reason or "").encode()
    if len(encoded) > TL_REASON_MAX:
        encoded = encoded[:TL_REASON_MAX].decode(errors="ignore").encode()
    return struct.pack("!H", TL_NORMAL if code in LOCAL_ONLY else code) + encoded


cdef class FrameWriter:
    """The sending half of a `FrameProtocol`."""

    def __cinit__(self, *arguments, **named):
        self.extensions = []

    def send_data(self, payload=b"", fin=True):
        """Return the frame of a message, or of a part of one.

        Args:
            payload: str or bytes-like.
            fin: False for every part but the last.

        Raises:
            TypeError: if the payload is neither, or if it is text in a binary message, or the reverse.
        """
        return bytearray(self.message(payload, fin))

    def ping(self, payload=b""):
        """Return the frame of a ping; raise ValueError if the payload has more than 125 bytes."""
        return bytearray(self.frame(TL_PING, payload, True))

    def pong(self, payload=b""):
        """Return the frame of a pong; raise ValueError if the payload has more than 125 bytes."""
        return bytearray(self.frame(TL_PONG, payload, True))

    def close(self, code=None, reason=None):
        """Return a close frame. See `close_payload`."""
        return bytearray(self.frame(TL_CLOSE, close_payload(code, reason), True))

    cdef bytes message(self, data, bint finished):
        """Return the frame of a message, or of a part of one. See `send_data`."""
        cdef int opcode = TL_BINARY
        cdef const char *text = NULL
        cdef Py_ssize_t n = 0
        if isinstance(data, str):
            opcode = TL_TEXT
            text = PyUnicode_AsUTF8AndSize(data, &n)  # may raise, so before anything is changed
        elif not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"a message is str or bytes-like, not {type(data).__name__}")
        if self._sending and self._sending != opcode:
            raise TypeError("a message is text or binary throughout: its continuation has the other type "
                            "(RFC 6455 5.4)")
        cdef unsigned wire = TL_CONTINUATION if self._sending else opcode
        cdef bytes frame
        if text == NULL:
            frame = self.frame(wire, data, finished)
        elif PyList_GET_SIZE(self.extensions):
            frame = self.frame(wire, text[:n], finished)
        else:
            frame = self._write((TL_FIN if finished else 0) | wire, <const uint8_t *>text, n)
        self._sending = 0 if finished else opcode  # last: if something raised, no message has begun
        return frame

    cdef bytes frame(self, unsigned opcode, payload, bint finished):
        """Return a frame; raise ValueError for a control frame of more than 125 bytes."""
        cdef unsigned bits = 0
        if PyList_GET_SIZE(self.extensions):
            bits, payload = self._outbound(opcode, payload, finished)
        return self._write_any((TL_FIN if finished else 0) | bits | opcode, payload)

    cdef object _outbound(self, unsigned opcode, payload, bint finished):
        """Return what the extensions, the last one first, make of a payload: the reserved bits, as in the first byte,
        and the new payload.
        """
        rsv = NO_BITS
        payload = bytes(memoryview(payload))
        for extension in reversed(self.extensions):
            rsv, payload = extension.frame_outbound(self, OPCODES[opcode], rsv, bytes(payload), finished)
        return (4 * bool(rsv.rsv1) + 2 * bool(rsv.rsv2) + bool(rsv.rsv3)) << TL_RSV_SHIFT, payload

    cdef bytes _write_any(self, unsigned first, payload):
        """Make a frame of a bytes-like payload."""
        cdef Py_buffer view
        if PyBytes_CheckExact(payload):
            return self._write(first, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
        if isinstance(payload, memoryview) and not payload.c_contiguous:
            payload = payload.tobytes()
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            return self._write(first, <const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef bytes _write(self, unsigned first, const uint8_t *payload, Py_ssize_t n):
        """Make a frame of n bytes of payload."""
        cdef uint8_t header[TL_HEADER_MAX]
        cdef const uint8_t *key = NULL
        cdef uint8_t *out
        cdef bytes frame
        cdef Py_ssize_t used
        if (first & TL_OPCODE) >= TL_CLOSE and n > TL_CONTROL_MAX:
            raise ValueError(f"control frame of {n} bytes, limit {TL_CONTROL_MAX} (RFC 6455 5.5)")
        if n > PY_SSIZE_T_MAX // 2:
            raise MemoryError
        if self._keys is not None:
            key = self._keys.take()
        used = <Py_ssize_t>write_header(header, first, <uint64_t>n, key)
        frame = PyBytes_FromStringAndSize(NULL, used + n)
        out = <uint8_t *>PyBytes_AS_STRING(frame)
        memcpy(out, header, used)
        if key != NULL:
            apply_mask(out + used, payload, n, key, 0)
        elif n:
            memcpy(out + used, payload, n)
        return frame
