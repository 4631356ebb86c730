# The C kernels of native/c, and the numbers of the wire. The kernels are linked into this module alone; the others call
# them through it. Each one's header says what it takes and returns.

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "header.h" nogil:
    # The first byte of a frame
    enum: TL_FIN
    enum: TL_RSV1         # the message is compressed (RFC 7692 6)
    enum: TL_RSV          # all three reserved bits
    enum: TL_RSV_SHIFT
    enum: TL_OPCODE
    enum: TL_CONTINUATION
    enum: TL_TEXT
    enum: TL_BINARY
    enum: TL_CLOSE        # this and greater ones are control frames
    enum: TL_PING
    enum: TL_PONG

    # The second
    enum: TL_MASKED
    enum: TL_LENGTH
    enum: TL_SHORT_MAX    # bytes: the longest payload whose length is here
    enum: TL_LENGTH_16
    enum: TL_LENGTH_64

    # Sizes, in bytes
    enum: TL_KEY_SIZE
    enum: TL_HEADER_MAX
    enum: TL_CONTROL_MAX
    enum: TL_CODE_SIZE
    enum: TL_REASON_MAX

    # Close codes
    enum: TL_NORMAL
    enum: TL_PROTOCOL_ERROR
    enum: TL_NO_STATUS
    enum: TL_ABNORMAL
    enum: TL_INVALID_DATA
    enum: TL_POLICY_VIOLATION
    enum: TL_TOO_BIG
    enum: TL_TLS_FAILED

    bint tl_is_close_code(int code)  # whether a close frame may carry it

    # Why a header is refused
    enum: TL_RESERVED_BITS
    enum: TL_RESERVED_OPCODE
    enum: TL_FRAGMENTED_CONTROL
    enum: TL_LONG_CONTROL
    enum: TL_WRONG_MASK
    enum: TL_LONG_FORM
    enum: TL_HUGE_LENGTH

    ctypedef struct tl_header:
        uint64_t length   # bytes of payload
        uint8_t key[4]    # masking key; set only if masked
        uint8_t opcode
        uint8_t fin       # 0 or 1
        uint8_t rsv       # the reserved bits, where they stand in the first byte
        uint8_t masked    # 0 or 1


cdef extern from "utf8.h" nogil:
    ctypedef uint32_t tl_utf8  # where a check of UTF-8 stands; 0 between two characters


# Headers: tl_header_read, tl_header_write
cdef int read_header(const uint8_t *data, size_t n, unsigned masked, unsigned rsv, tl_header *out) noexcept nogil
cdef size_t write_header(uint8_t *out, unsigned first, uint64_t length, const uint8_t *key) noexcept nogil

# Masking: tl_mask. src and dst are the same, or lie apart
cdef unsigned apply_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *key, unsigned phase) noexcept nogil

# Text: tl_utf8_feed, tl_ascii_span
cdef size_t feed_utf8(tl_utf8 *state, const uint8_t *data, size_t n) noexcept nogil
cdef size_t ascii_span(const uint8_t *data, size_t n) noexcept nogil
