"""Deflating: from messages to the payload of compressed messages (RFC 7692 7.2.1).

Theory of operation. With context takeover a `Deflater` belongs to one connection, whose peer remembers what was sent
before. Without it, all connections of a loop that agreed on the same parameters share one: its compressor forgets
everything after each message (a full flush), so that an idle connection costs no memory. If something was compressed
and then not sent, the peer's memory and the compressor's differ: the compressor is thrown away. A new one refers to
nothing, so every peer can follow it.

The compressor is an object with zlib's methods (`trunkline.protocol.backends`).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from trunkline._cpython cimport PyUnicode_AsUTF8AndSize
from trunkline._kernels cimport TL_BINARY, TL_FIN, TL_RSV1, TL_TEXT

cdef enum:
    SYNC_FLUSH = 2  # zlib's constants
    FULL_FLUSH = 3

TAIL = b"\x00\x00\xff\xff"  # the end of every compressed message, which its sender leaves out (RFC 7692 7.2.1)
FINAL = b"\x00"               # the last part of a message in parts: with TAIL, an empty block


cdef bytes copy_of(object message):
    """Copy a bytes-like message; raise TypeError if it is not one."""
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
    """Compress the messages of one direction.

    Args:
        make: returns a new compressor.
        keeps: whether a message may refer to earlier ones (context takeover).
        threshold: bytes from which a message is compressed, unless its sender decides.
        large: bytes from which a thread should compress it; None for never.
    """

    def __cinit__(self, make, bint keeps, *, Py_ssize_t threshold=0, large=None):
        self._make = make
        self.keeps = keeps
        self.threshold = threshold
        self.large = -1 if large is None else large

    def choose(self, message, compress=None):
        """Return the bytes to compress of a message; None if it goes uncompressed, as empty messages do.

        Args:
            message: str or bytes-like.
            compress: True or False to decide; None to let the threshold decide.
        """
        return self.wanted(message, compress)

    def compress(self, bytes data not None):
        """Compress a message; return its payload. None if that is no smaller, and no later message depends on it."""
        return self.payload(data)

    def part(self, bytes data not None):
        """Compress a part of a message. More parts follow, or `FINAL`, which ends the message."""
        self._enter()
        try:
            return self._flushed(data)
        finally:
            self._busy = False

    def detach(self):
        """Return a deflater for one message, which another thread may use. With context takeover it takes the
        compressor along; `attach` brings it back.
        """
        cdef Deflater other = Deflater.__new__(Deflater, self._make, self.keeps)
        if self.keeps:
            self._away = True
            other._stream, self._stream = self._stream, None
        return other

    def attach(self, Deflater other):
        """Take the compressor back from a detached deflater. None: its message was not sent, so start anew."""
        self._away = False
        if self.keeps:
            self._stream = None if other is None else other._stream

    def reset(self):
        """Start anew, since something that was compressed is not sent."""
        self._stream = None

    cdef object wanted(self, object message, object compress):
        """Return the bytes to compress of a message; None if it goes uncompressed. See `choose`."""
        cdef const char *text
        cdef Py_ssize_t n = 0
        cdef Py_ssize_t least = 1
        cdef bytes data
        if compress is False or self._away or self._busy:
            return None  # an uncompressed message may be sent at any time (RFC 7692 6)
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
        """Compress a message. See `compress`."""
        self._enter()
        try:
            return self._squeezed(data)
        finally:
            self._busy = False

    cdef bytes _squeezed(self, bytes data):
        """Compress a message; return its payload, or None if that is no smaller and may be left out."""
        cdef bytes out = self._flushed(data)
        out = out[:PyBytes_GET_SIZE(out) - 4]
        if not self.keeps and PyBytes_GET_SIZE(out) >= PyBytes_GET_SIZE(data):
            return None
        return out

    cdef uint64_t put_all(self, Batch batch, list messages, object compress, MaskingKeys keys,
                          uint64_t *deflated, uint64_t *inflated) except? 0:
        """Add the frames of several messages to a batch. Call `reset` if it raises."""
        cdef list plain = []
        cdef list chosen = []
        cdef object data
        cdef bytes payload
        cdef bint busy
        # Code of others runs here, and not below: nothing may be sent between two messages of this batch.
        for message in messages:
            chosen.append(self.wanted(message, compress))
            plain.append(message if PyBytes_CheckExact(message) or isinstance(message, str) else copy_of(message))
        busy, self._busy = self._busy, True  # if it was busy before, all these go uncompressed
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
        """Mark it busy; raise RuntimeError if it is."""
        if self._busy:
            raise RuntimeError("a compressor cannot be used by something that it calls")
        self._busy = True
        return 0

    cdef bytes _flushed(self, bytes data):
        """Compress data and flush; the result ends with the tail. Without context, the compressor forgets it."""
        cdef object stream = self._stream
        cdef bytes first, rest
        self._stream = None  # not used again if it raises
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
