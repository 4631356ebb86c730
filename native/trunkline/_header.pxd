# The kernel that reads and writes headers of frames, with the opcodes (RFC 6455 5.2).

from libc.stdint cimport uint8_t, uint64_t


cdef extern from "header.h" nogil:
    enum: TL_HEADER_MAX
    enum: TL_CONTROL_MAX
    enum: TL_CONTINUATION
    enum: TL_TEXT
    enum: TL_BINARY
    enum: TL_CLOSE
    enum: TL_PING
    enum: TL_PONG
    enum: TL_RESERVED_BITS
    enum: TL_RESERVED_OPCODE
    enum: TL_FRAGMENTED_CONTROL
    enum: TL_LONG_CONTROL
    enum: TL_WRONG_MASK
    enum: TL_LONG_FORM
    enum: TL_HUGE_LENGTH
    ctypedef struct tl_header:
        uint64_t length
        uint8_t key[4]
        uint8_t opcode
        uint8_t fin
        uint8_t rsv
        uint8_t masked
    int tl_header_read(const uint8_t *data, size_t n, unsigned masked, unsigned rsv, tl_header *out)
    size_t tl_header_write(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key)
