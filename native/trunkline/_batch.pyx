"""Frames joined for one write: a growing buffer, a pool of masking keys, and a standalone encoder.

Theory of operation. Frames that leave together lie one behind the other in a `Batch`. Each payload is copied once, and
masked in the same pass if there are keys. The owner of the batch writes its bytes and empties it. Masking keys come
from `os.urandom` in blocks, since a call for each frame would cost more than the frame itself.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memcpy

from trunkline._cpython cimport PY_SSIZE_T_MAX, PyUnicode_AsUTF8AndSize
from trunkline._kernels cimport (
    TL_BINARY, TL_CLOSE, TL_CONTROL_MAX, TL_FIN, TL_HEADER_MAX, TL_KEY_SIZE, TL_OPCODE, TL_TEXT, apply_mask,
    write_header,
)

cdef enum:
    FEW_KEYS = 256      # bytes of masking keys that a standalone encoder reads at a time
    BATCH_START = 4096  # bytes of a new batch
    SLACK = 1024        # unused bytes that a waiting batch may keep

cdef unsigned long family = 0  # rises in a child after a fork: no key may be used in two processes


def _forked():
    """Make all pools of the parent invalid."""
    global family
    family += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@cython.final
cdef class MaskingKeys:
    """Masking keys from os.urandom, each used once (RFC 6455 5.3). For one thread.

    Args:
        block: bytes to read at a time, at least 4.
    """

    def __cinit__(self, Py_ssize_t block=FEW_KEYS):
        if block < TL_KEY_SIZE:
            raise ValueError(f"block is {block} bytes, must be {TL_KEY_SIZE} or more")
        self._size = block // TL_KEY_SIZE * TL_KEY_SIZE
        self._next = self._size
        self._bytes = <uint8_t *>PyMem_Malloc(self._size)
        if self._bytes == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    cdef const uint8_t *take(self) except NULL:
        """Return the next key; raise what os.urandom raises."""
        cdef const uint8_t *key
        cdef bytes block
        if self._next >= self._size or self._family != family:
            block = os.urandom(self._size)
            if len(block) != self._size:
                raise RuntimeError(f"os.urandom returned {len(block)} bytes, {self._size} were asked for")
            memcpy(self._bytes, PyBytes_AS_STRING(block), self._size)
            self._family = family
            self._next = 0
        key = self._bytes + self._next
        self._next += TL_KEY_SIZE
        return key


@cython.final
cdef class Batch:
    """Frames that leave together."""

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    def __len__(self):
        return self._used

    cdef int reserve(self, Py_ssize_t extra) except -1:
        """Make room for extra more bytes; raise MemoryError."""
        if extra <= self._size - self._used:
            return 0
        if extra > PY_SSIZE_T_MAX // 4 - self._used:
            raise MemoryError
        return self.grow(max(self._used + extra, 2 * self._size, BATCH_START))

    cdef int grow(self, Py_ssize_t size) except -1:
        """Resize the buffer to `size` bytes. Raise MemoryError."""
        cdef uint8_t *grown = <uint8_t *>PyMem_Realloc(self._bytes, size)
        if grown == NULL:
            raise MemoryError
        self._bytes = grown
        self._size = size
        return 0

    cdef Py_ssize_t put_frame(self, unsigned first, const uint8_t *payload, Py_ssize_t n, MaskingKeys keys) except -1:
        """Add a frame, masked if there are keys; return n. Nothing is added if it raises."""
        cdef const uint8_t *key = NULL
        cdef uint8_t *out
        if n > PY_SSIZE_T_MAX - TL_HEADER_MAX:
            raise MemoryError
        if keys is not None:
            key = keys.take()  # may run code that sends: before room is made for this frame
        if n + TL_HEADER_MAX > self._size - self._used:
            self.reserve(n + TL_HEADER_MAX)
        out = self._bytes + self._used
        out += write_header(out, first, <uint64_t>n, key)
        if key != NULL:
            apply_mask(out, payload, n, key, 0)
        elif n:
            memcpy(out, payload, n)
        self._used = (out - self._bytes) + n
        return n

    cdef int put_header(self, unsigned first, Py_ssize_t n) except -1:
        """Add the header of an unmasked frame whose payload is sent from elsewhere."""
        self.reserve(TL_HEADER_MAX)
        self._used += <Py_ssize_t>write_header(self._bytes + self._used, first, <uint64_t>n, NULL)
        return 0

    cdef Py_ssize_t put_message(self, object message, MaskingKeys keys) except -1:
        """Add a message in one frame; return the bytes of its payload. Raise TypeError if it is neither text nor
        bytes-like, UnicodeEncodeError for lone surrogates.
        """
        cdef Py_buffer view
        cdef const char *text
        cdef Py_ssize_t n = 0
        if PyBytes_CheckExact(message):
            return self.put_frame(
                TL_FIN | TL_BINARY, <const uint8_t *>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), keys)
        if isinstance(message, str):
            text = PyUnicode_AsUTF8AndSize(message, &n)
            return self.put_frame(TL_FIN | TL_TEXT, <const uint8_t *>text, n, keys)
        if not PyObject_CheckBuffer(message):
            raise TypeError(f"a message is str or bytes-like, not {type(message).__name__}")
        PyObject_GetBuffer(message, &view, PyBUF_SIMPLE)
        try:
            return self.put_frame(TL_FIN | TL_BINARY, <const uint8_t *>view.buf, view.len, keys)
        finally:
            PyBuffer_Release(&view)

    cdef int put_bytes(self, const uint8_t *data, Py_ssize_t n) except -1:
        """Add bytes that are frames already."""
        if n:  # an empty batch may have no memory yet
            self.reserve(n)
            memcpy(self._bytes + self._used, data, n)
            self._used += n
        return 0

    cdef int trim(self) noexcept:
        """Give unused memory back, if there is much of it."""
        cdef uint8_t *trimmed
        if self._used and self._size - self._used > max(self._used // 8, <Py_ssize_t>SLACK):
            trimmed = <uint8_t *>PyMem_Realloc(self._bytes, self._used)
            if trimmed != NULL:
                self._bytes = trimmed
                self._size = self._used
        return 0

    cdef int shrink(self, Py_ssize_t size) noexcept:
        """Empty the batch, and free its buffer if that is larger than size."""
        self._used = 0
        if self._size > size:
            PyMem_Free(self._bytes)
            self._bytes = NULL
            self._size = 0
        return 0

    cdef bytes take_bytes(self):
        """Return the frames and empty the batch."""
        cdef Py_ssize_t used = self._used
        self._used = 0  # even if there is no memory for them
        return PyBytes_FromStringAndSize(<const char *>self._bytes, used)


@cython.final
cdef class Encoder:
    """Turn messages and control frames into the bytes of frames.

    Args:
        client: our role. A client masks its frames (RFC 6455 5.1).
    """

    def __cinit__(self, bint client):
        self.client = client
        self._keys = MaskingKeys() if client else None
        self._batch = Batch()

    def messages(self, messages):
        """Encode several messages (str or bytes-like); return their frames, joined.

        Raises:
            TypeError: if one is neither text nor bytes-like. No message is counted then.
            UnicodeEncodeError: if a text has lone surrogates. No message is counted then.
        """
        cdef Batch batch = Batch.__new__(Batch)  # its own: the iterable may use this encoder too
        cdef uint64_t count = 0
        for message in messages:
            batch.put_message(message, self._keys)
            count += 1
        self.frames_sent += count
        self.bytes_sent += <uint64_t>batch._used
        return batch.take_bytes()

    def frame(self, unsigned opcode, payload, bint fin=True):
        """Encode one frame; the caller sees to it that messages are whole.

        Args:
            opcode: 0 to 15.
            payload: bytes-like.
            fin: whether it is the last frame of a message.

        Raises:
            ValueError: if the opcode is larger, or a control frame has more than 125 bytes.
        """
        if opcode > TL_OPCODE:
            raise ValueError(f"opcode is {opcode}, limit {TL_OPCODE} (RFC 6455 5.2)")
        cdef Py_buffer view
        cdef bytes frame
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if opcode >= TL_CLOSE and view.len > TL_CONTROL_MAX:
                raise ValueError(f"control frame of {view.len} bytes, limit {TL_CONTROL_MAX} (RFC 6455 5.5)")
            self._batch.put_frame((TL_FIN if fin else 0) | opcode, <const uint8_t *>view.buf, view.len, self._keys)
            frame = self._batch.take_bytes()  # before the payload is released: it may use this encoder too
        finally:
            PyBuffer_Release(&view)
        self.frames_sent += 1
        self.bytes_sent += <uint64_t>PyBytes_GET_SIZE(frame)
        return frame
