/* Time, buffers, and reading and writing on a connection. */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

void fail_call(const char *call) {
    fprintf(stderr, "%s: ", program_invocation_short_name);
    perror(call);
    exit(1);
}

void allow_many_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void reserve(Buffer *buffer, size_t more) {
    if (buffer->from == buffer->to) buffer->from = buffer->to = 0;
    if (buffer->to + more <= buffer->room) return;
    if (buffer->from > 0) memmove(buffer->bytes, buffer->bytes + buffer->from, buffer->to - buffer->from);
    buffer->to -= buffer->from;
    buffer->from = 0;
    if (buffer->to + more <= buffer->room) return;
    buffer->room = 2 * (buffer->to + more);
    buffer->bytes = realloc(buffer->bytes, buffer->room);
    if (!buffer->bytes) fail("out of memory");
}

void put(Buffer *buffer, const void *bytes, size_t count) {
    reserve(buffer, count);
    memcpy(buffer->bytes + buffer->to, bytes, count);
    buffer->to += count;
}

static ssize_t read_tls(Connection *connection, uint8_t *to, size_t room) {
    size_t have = 0;
    while (have < room) { /* a record at a time: epoll does not report what OpenSSL has read ahead */
        int got = SSL_read(connection->tls, to + have, (int)(room - have));
        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        int error = SSL_get_error(connection->tls, got);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
        return have > 0 ? (ssize_t)have : -1;
    }
    return (ssize_t)have;
}

ssize_t connection_read(Connection *connection, uint8_t *to, size_t room) {
    if (connection->tls) return read_tls(connection, to, room);
    ssize_t got = recv(connection->fd, to, room, 0);
    if (got > 0) return got;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t connection_fill(Connection *connection) {
    reserve(&connection->in, READ_SIZE);
    ssize_t got = connection_read(connection, connection->in.bytes + connection->in.to, READ_SIZE);
    if (got > 0) connection->in.to += (size_t)got;
    return got;
}

static ssize_t write_tls(Connection *connection, const uint8_t *bytes, size_t count) {
    size_t done = 0;
    while (done < count) {
        int sent = SSL_write(connection->tls, bytes + done, (int)(count - done));
        if (sent <= 0) return SSL_get_error(connection->tls, sent) == SSL_ERROR_WANT_WRITE ? (ssize_t)done : -1;
        done += (size_t)sent;
    }
    return (ssize_t)done;
}

ssize_t connection_write(Connection *connection, const uint8_t *bytes, size_t count) {
    if (connection->tls) return write_tls(connection, bytes, count);
    ssize_t sent = send(connection->fd, bytes, count, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

int connection_flush(Connection *connection) {
    while (connection->out.from < connection->out.to) {
        ssize_t sent = connection_write(connection, connection->out.bytes + connection->out.from, connection->out.to - connection->out.from);
        if (sent < 0) return -1;
        if (sent == 0) break;
        connection->out.from += (size_t)sent;
    }
    connection_wait(connection, connection->out.from < connection->out.to);
    return 0;
}

void connection_wait(Connection *connection, int waits) {
    if (waits == connection->waits) return;
    struct epoll_event wish = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = connection};
    epoll_ctl(connection->poll, EPOLL_CTL_MOD, connection->fd, &wish);
    connection->waits = waits;
}

void hang_up(Connection *connection) {
    if (connection->tls) SSL_free(connection->tls);
    close(connection->fd);
    free(connection->in.bytes);
    free(connection->out.bytes);
    free(connection);
}
