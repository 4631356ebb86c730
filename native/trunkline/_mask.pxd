# Masking, for all that mask: one kernel, chosen once.

from libc.stdint cimport uint8_t


# As tl_mask: n bytes of src XOR key to dst, which is src itself or lies apart; gives the phase behind them.
cdef unsigned apply_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase) noexcept nogil
