"""Masking (RFC 6455 5.3): payload XOR key, by the widest kernel that this CPU has."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

cdef extern from "mask.h" nogil:
    unsigned tl_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase)
    int tl_mask_choose(const char *name)
    const char *tl_mask_variant()


def mask_variant():
    """The name of the masking kernel in use: "avx2", "sse2", "neon" or "scalar"."""
    return tl_mask_variant().decode()


def use_mask_variant(name):
    """Chooses the masking kernel by name (None: the widest this CPU has); ValueError if this CPU or build lacks it. For
    tests.
    """
    cdef bytes wanted = b"" if name is None else name.encode()
    if tl_mask_choose(NULL if name is None else PyBytes_AS_STRING(wanted)) < 0:
        raise ValueError(f"no masking kernel {name!r} on this CPU or in this build")


cdef unsigned apply_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase) noexcept nogil:
    return tl_mask(dst, src, n, key, phase)


def mask(data, bytes key, unsigned phase=0):
    """`data` XOR `key` (four bytes), beginning at position `phase` of the key (RFC 6455 5.3)."""
    if len(key) != 4:
        raise ValueError(f"masking key has {len(key)} bytes, must have 4 (RFC 6455 5.3)")
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t n = view.shape[0]
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    if n:
        tl_mask(<uint8_t *>PyBytes_AS_STRING(out), &view[0], n, <const uint8_t *>PyBytes_AS_STRING(key), phase & 3)
    return out


tl_mask_choose(NULL)
