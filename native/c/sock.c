#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* accept4 */
#endif
#include "sock.h"

#include <errno.h>
#include <string.h>

#ifndef _WIN32
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_BROKEN = 64 }; /* broken connections to pass over before the event loop runs again */

static int is_empty(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

static int is_shortage(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

ptrdiff_t tl_receive(int fd, void *bytes, size_t n) {
    ssize_t got = recv(fd, bytes, n, MSG_DONTWAIT);
    if (got >= 0)
        return got;
    return is_empty(errno) ? TL_NOT_NOW : -errno;
}

static void read_place(const struct sockaddr_storage *address, tl_place *place) {
    memset(place, 0, sizeof *place);
    place->family = address->ss_family;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        place->port = ntohs(in->sin_port);
        memcpy(place->host, &in->sin_addr, sizeof in->sin_addr);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        place->port = ntohs(in->sin6_port);
        place->flow = ntohl(in->sin6_flowinfo);
        place->scope = in->sin6_scope_id;
        memcpy(place->host, &in->sin6_addr, sizeof in->sin6_addr);
    }
}

void tl_send_at_once(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* it fails on a unix socket, and on one that was reset */
}

static int accept_one(int listening, struct sockaddr_storage *address) {
    socklen_t size = sizeof *address;
    memset(address, 0, sizeof *address);
#ifdef SOCK_CLOEXEC
    return accept4(listening, (struct sockaddr *)address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int fd = accept(listening, (struct sockaddr *)address, &size), kept = 0;
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)) {
        kept = errno;
        close(fd);
        errno = kept;
        return -1;
    }
    return fd;
#endif
}

int tl_accept(int listening, tl_place *peer) {
    struct sockaddr_storage address;
    for (int tries = 0; tries < MOST_BROKEN; tries++) {
        int fd = accept_one(listening, &address);
        if (fd >= 0) {
            read_place(&address, peer);
            return fd;
        }
        if (is_shortage(errno))
            return -errno;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EBADF || errno == EINVAL || errno == ENOTSOCK ||
            errno == EOPNOTSUPP || errno == EFAULT)
            break; /* the queue is empty, or nothing listens here any more */
    }
    return TL_NOT_NOW;
}

int tl_name(int fd, int of_peer, tl_place *place) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    struct sockaddr *out = (struct sockaddr *)&address;
    if ((of_peer ? getpeername(fd, out, &size) : getsockname(fd, out, &size)) < 0)
        return -errno;
    read_place(&address, place);
    return 0;
}

int tl_version(const tl_place *place) { return place->family == AF_INET ? 4 : place->family == AF_INET6 ? 6 : 0; }

int tl_host(const tl_place *place, char text[TL_HOST_MAX]) {
    return inet_ntop(place->family, place->host, text, TL_HOST_MAX) != NULL;
}

int tl_end_writing(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }

void tl_close(int fd) { close(fd); }

#else /* there are no streams on Windows: these are never called */

ptrdiff_t tl_receive(int fd, void *bytes, size_t n) { return -ENOSYS; }
void tl_send_at_once(int fd) { (void)fd; }
int tl_accept(int listening, tl_place *peer) { return -ENOSYS; }
int tl_name(int fd, int of_peer, tl_place *place) { return -ENOSYS; }
int tl_version(const tl_place *place) { return 0; }
int tl_host(const tl_place *place, char text[TL_HOST_MAX]) { return 0; }
int tl_end_writing(int fd) { return -ENOSYS; }
void tl_close(int fd) { (void)fd; }

#endif
