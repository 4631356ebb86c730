"""Deflating: messages into the payload of compressed messages (RFC 7692 7.2.1).

Theory of operation. A `Deflater` with context takeover belongs to one connection, whose peer remembers what was sent
before. One without is shared by all connections of a loop that agreed on the same: after each message its compressor
forgets everything (a full flush), so that an idle connection holds none. Whenever a compressor cannot be trusted to
stand where the peer believes it does, since something was compressed and not sent, it is thrown away: a new one refers
to nothing, which every peer can read.

The compressor is an object with zlib's methods (`trunkline.protocol.backends`).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._kernels cimport TL_BINARY, TL_FIN, TL_RSV1, TL_TEXT

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL

cdef enum:
    SYNC_FLUSH = 2  # zlib's numbers
    FULL_FLUSH = 3

TAIL = b"\x00\x00\xff\xff"  # RFC 7692 7.2.1: the end of every message, which its sender leaves out


cdef bytes copy_of(object message):
    cdef Py_buffer view
    if not PyObject_CheckBuffer(message):
        raise TypeError(f"a message is str or bytes-like, not {type(message).__name__}")
    PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<const char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Deflater:
    """Compresses the messages of one direction.

    make: gives a compressor. keeps: messages may refer to those before them. threshold: bytes from which a message is
    compressed if its sender leaves it open. large: bytes from which a thread of its own should do it, None for never.
    """

    def __cinit__(self, make, bint keeps, *, Py_ssize_t threshold=0, large=None):
        self._make = make
        self.keeps = keeps
        self.threshold = threshold
        self.large = -1 if large is None else large

    def choose(self, message, compress=None):
        """What of the message is to be compressed, as bytes; None if it goes as it is.

        compress: True or False to decide, None to go by the threshold. An empty message always goes as it is.
        """
        return self.wanted(message, compress)

    def compress(self, bytes data not None):
        """The payload that the data becomes; None if it would be no smaller, and nothing later depends on it."""
        return self.payload(data)

    def part(self, bytes data not None):
        """As `compress`, for a part of a message whose other parts follow: ended with `FINAL`."""
        self._enter()
        try:
            return self._flushed(data)
        finally:
            self._busy = False

    def detach(self):
        """A deflater for one message, to be used elsewhere; with context takeover it takes the compressor along, which
        `attach` brings back.
        """
        cdef Deflater other = Deflater.__new__(Deflater, self._make, self.keeps)
        if self.keeps:
            self._away = True
            other._stream, self._stream = self._stream, None
        return other

    def attach(self, Deflater other):
        """What the other has compressed is sent: goes on where it stands. None: it is not, so that a new one begins."""
        self._away = False
        if self.keeps:
            self._stream = None if other is None else other._stream

    def reset(self):
        """Something that was compressed is not sent: begins anew."""
        self._stream = None

    cdef object wanted(self, object message, object compress):
        cdef const char *text
        cdef Py_ssize_t n = 0
        cdef Py_ssize_t least = 1
        cdef bytes data
        if compress is False or self._away or self._busy:
            return None  # a message that is not compressed may go at any time (RFC 7692 6)
        if compress is None:
            least = max(1, self.threshold)
        if PyBytes_CheckExact(message):
            return message if PyBytes_GET_SIZE(message) >= least else None
        if isinstance(message, str):
            text = PyUnicode_AsUTF8AndSize(message, &n)
            return PyBytes_FromStringAndSize(text, n) if n >= least else None
        data = copy_of(message)
        return data if PyBytes_GET_SIZE(data) >= least else None

    cdef bytes payload(self, bytes data):
        self._enter()
        try:
            return self._squeezed(data)
        finally:
            self._busy = False

    cdef bytes _squeezed(self, bytes data):
        cdef bytes out = self._flushed(data)
        out = out[:PyBytes_GET_SIZE(out) - 4]
        if not self.keeps and PyBytes_GET_SIZE(out) >= PyBytes_GET_SIZE(data):
            return None
        return out

    cdef uint64_t put_all(self, Batch batch, list messages, object compress, MaskingKeys keys,
                          uint64_t *deflated, uint64_t *inflated) except? 0:
        """Adds the frames of several messages; counts the bytes of what was compressed. If it raises: `reset`."""
        cdef list plain = []
        cdef list chosen = []
        cdef object data
        cdef bytes payload
        cdef bint busy
        # Whatever runs code of others comes first: nothing may be sent between two messages of this batch.
        for message in messages:
            chosen.append(self.wanted(message, compress))
            plain.append(message if PyBytes_CheckExact(message) or isinstance(message, str) else copy_of(message))
        busy, self._busy = self._busy, True  # if it was, all these go as they are
        try:
            for message, data in zip(plain, chosen):
                payload = None if data is None else self._squeezed(data)
                if payload is None:
                    batch.put_message(message, keys)
                    continue
                batch.put_frame(TL_FIN | TL_RSV1 | (TL_TEXT if isinstance(message, str) else TL_BINARY),
                                <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), keys)
                deflated[0] += <uint64_t>PyBytes_GET_SIZE(payload)
                inflated[0] += <uint64_t>PyBytes_GET_SIZE(data)
        finally:
            self._busy = busy
        return <uint64_t>len(plain)

    cdef int _enter(self) except -1:
        if self._busy:
            raise RuntimeError("a compressor cannot be used by what it calls itself")
        self._busy = True
        return 0

    cdef bytes _flushed(self, bytes data):
        """The data compressed, up to and with the tail."""
        cdef object stream = self._stream
        cdef bytes first, rest
        self._stream = None  # if it fails, it is not used again
        if stream is None:
            stream = self._make()
        first = stream.compress(data)
        rest = stream.flush(SYNC_FLUSH if self.keeps else FULL_FLUSH)
        if first:
            rest = first + rest
        if not rest.endswith(TAIL):
            raise RuntimeError("the compressor did not end with an empty block (RFC 7692 7.2.1)")
        self._stream = stream
        return rest


FINAL = b"\x00"  # RFC 7692 7.2.1: with the tail an empty block; ends a message whose parts were flushed
