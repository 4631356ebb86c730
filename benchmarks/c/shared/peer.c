/* Time, buffers, and reading and writing on a line. */
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

static ssize_t read_tls(Line *line, uint8_t *to, size_t room) {
    size_t have = 0;
    while (have < room) { /* a record at a time; what OpenSSL has read ahead, epoll would not tell of */
        int got = SSL_read(line->tls, to + have, (int)(room - have));
        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        int error = SSL_get_error(line->tls, got);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
        return have > 0 ? (ssize_t)have : -1;
    }
    return (ssize_t)have;
}

ssize_t line_read(Line *line, uint8_t *to, size_t room) {
    if (line->tls) return read_tls(line, to, room);
    ssize_t got = recv(line->fd, to, room, 0);
    if (got > 0) return got;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t line_fill(Line *line) {
    reserve(&line->in, READ_SIZE);
    ssize_t got = line_read(line, line->in.bytes + line->in.to, READ_SIZE);
    if (got > 0) line->in.to += (size_t)got;
    return got;
}

static ssize_t write_tls(Line *line, const uint8_t *bytes, size_t count) {
    size_t done = 0;
    while (done < count) {
        int sent = SSL_write(line->tls, bytes + done, (int)(count - done));
        if (sent <= 0) return SSL_get_error(line->tls, sent) == SSL_ERROR_WANT_WRITE ? (ssize_t)done : -1;
        done += (size_t)sent;
    }
    return (ssize_t)done;
}

ssize_t line_write(Line *line, const uint8_t *bytes, size_t count) {
    if (line->tls) return write_tls(line, bytes, count);
    ssize_t sent = send(line->fd, bytes, count, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

int line_flush(Line *line) {
    while (line->out.from < line->out.to) {
        ssize_t sent = line_write(line, line->out.bytes + line->out.from, line->out.to - line->out.from);
        if (sent < 0) return -1;
        if (sent == 0) break;
        line->out.from += (size_t)sent;
    }
    line_wait(line, line->out.from < line->out.to);
    return 0;
}

void line_wait(Line *line, int waits) {
    if (waits == line->waits) return;
    struct epoll_event wish = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = line};
    epoll_ctl(line->poll, EPOLL_CTL_MOD, line->fd, &wish);
    line->waits = waits;
}

void hang_up(Line *line) {
    if (line->tls) SSL_free(line->tls);
    close(line->fd);
    free(line->in.bytes);
    free(line->out.bytes);
    free(line);
}
