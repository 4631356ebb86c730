# Bytes that a socket has not taken yet.

from libc.stdint cimport uint8_t

from trunkline._batch cimport Batch


cdef extern from * nogil:
    """
    #ifndef TL_SEND_NOW
    #define TL_SEND_NOW
    #ifdef _WIN32
    #define TL_SENDS_NOW 0
    #include <stddef.h>
    struct iovec { void *iov_base; size_t iov_len; };
    /* A socket is not a file descriptor here: everything goes through the transport. */
    static inline Py_ssize_t tl_send_now(int fd, const struct iovec *parts, int count) { return 0; }
    #else
    #define TL_SENDS_NOW 1
    #include <errno.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
    #endif
    /* Send without waiting; return how many bytes of the `count` parts the socket took, 0 if it takes none now, or -errno.
     * Keeps no pointer. */
    static inline Py_ssize_t tl_send_now(int fd, const struct iovec *parts, int count) {
        const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
        ssize_t sent = count == 1 ? send(fd, parts[0].iov_base, parts[0].iov_len, flags) : sendmsg(fd, &message, flags);
        if (sent >= 0)
            return (Py_ssize_t)sent;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -(Py_ssize_t)errno;
    }
    #endif
    #endif
    """
    bint TL_SENDS_NOW  # whether we can send past the transport on this system
    struct iovec:
        void *iov_base
        size_t iov_len
    Py_ssize_t tl_send_now(int fd, const iovec *parts, int count) noexcept


cdef class Backlog:
    """Bytes that wait for a socket, where they lie."""

    cdef object _owners             # deque of what the bytes belong to, in their order: Batch, bytes or str
    cdef Batch _tail                # the last owner, if it is a batch that may grow; else None
    cdef Py_ssize_t _gone           # bytes of the first owner that have left
    cdef readonly Py_ssize_t left   # bytes that wait
    cdef list spent                 # empty batches, for the caller to give back

    # Put: n bytes, of which `gone` have left
    cdef bint put_batch(self, Batch batch, Py_ssize_t gone) except -1  # True: it keeps the batch
    cdef int put(self, object owner, Py_ssize_t n, Py_ssize_t gone) except -1

    # Send
    cdef int send(self, int fd) except -1                            # 0, or an errno
    cdef bytes take(self, Py_ssize_t most)
    cdef int _advance(self, Py_ssize_t n) except -1
