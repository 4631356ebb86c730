"""Frames joined for one write: a buffer that grows, masking keys from a pool, and an encoder for those who want bytes.

Theory of operation. All frames that go out together are laid one behind the other in a `Batch`, header and payload,
each payload copied once and masked on the way if there are keys. Whoever owns the batch writes its bytes and empties
it. Masking keys are read from `os.urandom` in blocks, since a call for each frame would cost more than the frame.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.string cimport memcpy

from trunkline._kernels cimport (
    TL_BINARY,
    TL_CLOSE,
    TL_CONTROL_MAX,
    TL_FIN,
    TL_HEADER_MAX,
    TL_KEY_SIZE,
    TL_OPCODE,
    TL_TEXT,
    apply_mask,
    write_header,
)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    FEW_KEYS = 256      # bytes of a standalone encoder's key pool
    BATCH_START = 4096  # bytes of a new batch
    SLACK = 1024        # bytes that a batch that waits may have over

cdef unsigned long family = 0  # rises in a child after a fork, so that no key is used in two processes


def _forked():
    global family
    family += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@cython.final
cdef class MaskingKeys:
    """Masking keys from os.urandom, read in blocks, each used once (RFC 6455 5.3). Not shared between threads."""

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
        cdef const uint8_t *key
        cdef bytes block
        if self._next >= self._size or self._family != family:
            block = os.urandom(self._size)
            if len(block) != self._size:
                raise RuntimeError(f"os.urandom gave {len(block)} bytes, {self._size} were asked")
            memcpy(self._bytes, PyBytes_AS_STRING(block), self._size)
            self._family = family
            self._next = 0
        key = self._bytes + self._next
        self._next += TL_KEY_SIZE
        return key


@cython.final
cdef class Batch:
    """A growing buffer of frames that leave together."""

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    def __len__(self):
        return self._used

    cdef int reserve(self, Py_ssize_t extra) except -1:
        """Makes room for extra more bytes."""
        if extra <= self._size - self._used:
            return 0
        if extra > PY_SSIZE_T_MAX // 4 - self._used:
            raise MemoryError
        return self.grow(max(self._used + extra, 2 * self._size, BATCH_START))

    cdef int grow(self, Py_ssize_t size) except -1:
        """Makes room for so many bytes in all."""
        cdef uint8_t *grown = <uint8_t *>PyMem_Realloc(self._bytes, size)
        if grown == NULL:
            raise MemoryError
        self._bytes = grown
        self._size = size
        return 0

    cdef Py_ssize_t put_frame(self, unsigned first, const uint8_t *payload, Py_ssize_t n, MaskingKeys keys) except -1:
        """Adds a frame; masked if there are keys. Nothing is added if it raises."""
        cdef const uint8_t *key = NULL
        cdef uint8_t *out
        if n > PY_SSIZE_T_MAX - TL_HEADER_MAX:
            raise MemoryError
        if keys is not None:
            key = keys.take()  # may run code that sends, so before there is room for this frame
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
        """Adds the header of an unmasked frame whose payload goes its own way."""
        self.reserve(TL_HEADER_MAX)
        self._used += <Py_ssize_t>write_header(self._bytes + self._used, first, <uint64_t>n, NULL)
        return 0

    cdef Py_ssize_t put_message(self, object message, MaskingKeys keys) except -1:
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
        """Adds what is encoded already."""
        if n:  # an empty batch may have no memory yet
            self.reserve(n)
            memcpy(self._bytes + self._used, data, n)
            self._used += n
        return 0

    cdef int trim(self) noexcept:
        """Gives back the memory that is not filled, if it is much."""
        cdef uint8_t *trimmed
        if self._used and self._size - self._used > max(self._used // 8, <Py_ssize_t>SLACK):
            trimmed = <uint8_t *>PyMem_Realloc(self._bytes, self._used)
            if trimmed != NULL:
                self._bytes = trimmed
                self._size = self._used
        return 0

    cdef int shrink(self, Py_ssize_t size) noexcept:
        """Empties the batch and gives memory back if it had grown past size."""
        self._used = 0
        if self._size > size:
            PyMem_Free(self._bytes)
            self._bytes = NULL
            self._size = 0
        return 0

    cdef bytes take_bytes(self):
        cdef Py_ssize_t used = self._used
        self._used = 0  # also if there is no memory for them
        return PyBytes_FromStringAndSize(<const char *>self._bytes, used)


@cython.final
cdef class Encoder:
    """Turns messages and control frames into the bytes of frames; masked if `client` (RFC 6455 5.1)."""

    def __cinit__(self, bint client):
        self.client = client
        self._keys = MaskingKeys() if client else None
        self._batch = Batch()

    def messages(self, messages):
        """The frames of several messages (str or bytes-like), joined. TypeError or UnicodeEncodeError: none of them was
        encoded.
        """
        cdef Batch batch = Batch.__new__(Batch)  # apart: what the iterable runs may encode here too
        cdef uint64_t count = 0
        for message in messages:
            batch.put_message(message, self._keys)
            count += 1
        self.frames_sent += count
        self.bytes_sent += <uint64_t>batch._used
        return batch.take_bytes()

    def frame(self, unsigned opcode, payload, bint fin=True):
        """One frame with this opcode and payload (bytes-like), as it is: the rules of messages are the caller's."""
        if opcode > TL_OPCODE:
            raise ValueError(f"opcode is {opcode}, limit {TL_OPCODE} (RFC 6455 5.2)")
        cdef Py_buffer view
        cdef bytes frame
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if opcode >= TL_CLOSE and view.len > TL_CONTROL_MAX:
                raise ValueError(f"control frame of {view.len} bytes, limit {TL_CONTROL_MAX} (RFC 6455 5.5)")
            self._batch.put_frame((TL_FIN if fin else 0) | opcode, <const uint8_t *>view.buf, view.len, self._keys)
            frame = self._batch.take_bytes()  # before the payload is told: it may encode here too
        finally:
            PyBuffer_Release(&view)
        self.frames_sent += 1
        self.bytes_sent += <uint64_t>PyBytes_GET_SIZE(frame)
        return frame
