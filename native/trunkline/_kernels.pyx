"""The C kernels, for every module that needs them: frame headers, masking, UTF-8.

Theory of operation. A kernel that is linked into two modules exists twice: choosing a masking variant in one would
leave the other as it is. So the kernels are linked into this module alone. It hands each on as a `cdef` function, which
other modules call through a pointer that Cython fetches when they are imported. None of them can fail.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "header.h" nogil:
    int tl_header_read(const uint8_t *data, size_t n, unsigned masked, unsigned rsv, tl_header *out)
    size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key)

cdef extern from "mask.h" nogil:
    unsigned tl_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase)
    int tl_mask_choose(const char *name)
    const char *tl_mask_variant()

cdef extern from "utf8.h" nogil:
    size_t tl_utf8_feed(tl_utf8 *state, const uint8_t *data, size_t n)
    size_t tl_ascii_span(const uint8_t *data, size_t n)


cdef int read_header(const uint8_t *data, size_t n, unsigned masked, unsigned rsv, tl_header *out) noexcept nogil:
    return tl_header_read(data, n, masked, rsv, out)


cdef size_t write_header(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key) noexcept nogil:
    return tl_header_write(out, first, length, key)


cdef unsigned apply_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase) noexcept nogil:
    return tl_mask(dst, src, n, key, phase)


cdef size_t feed_utf8(tl_utf8 *state, const uint8_t *data, size_t n) noexcept nogil:
    return tl_utf8_feed(state, data, n)


cdef size_t ascii_span(const uint8_t *data, size_t n) noexcept nogil:
    return tl_ascii_span(data, n)


def mask_variant():
    """Return the name of the masking kernel in use: "avx2", "sse2", "neon" or "scalar"."""
    return tl_mask_variant().decode()


def use_mask_variant(name):
    """Choose the masking kernel by name. For tests.

    Args:
        name: as `mask_variant` gives it; None for the widest that this CPU has.

    Raises:
        ValueError: if this CPU or this build has no such kernel.
    """
    cdef bytes wanted = b"" if name is None else name.encode()
    if tl_mask_choose(NULL if name is None else PyBytes_AS_STRING(wanted)) < 0:
        raise ValueError(f"no masking kernel {name!r} on this CPU or in this build")


def mask(data, bytes key, unsigned phase=0):
    """Return `data` XOR `key`, beginning at position `phase` of the key (RFC 6455 5.3).

    Raises:
        ValueError: unless the key has four bytes.
    """
    if len(key) != TL_KEY_SIZE:
        raise ValueError(f"masking key has {len(key)} bytes, must have {TL_KEY_SIZE} (RFC 6455 5.3)")
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t n = view.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        tl_mask(<uint8_t *>PyBytes_AS_STRING(out), &view[0], n, <const uint8_t *>PyBytes_AS_STRING(key), phase & 3)
    return out


def utf8_fault(data):
    """Return the index of the first byte that cannot stand where it does in UTF-8; None if there is none.

    A character cut off at the end is a fault too, at index len(data) (RFC 3629 4).
    """
    cdef const uint8_t[::1] view = data
    cdef size_t n = view.shape[0]
    cdef tl_utf8 state = 0
    cdef size_t good = tl_utf8_feed(&state, &view[0], n) if n else 0
    return good if good < n or state else None


tl_mask_choose(NULL)
