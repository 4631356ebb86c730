/* limit: an echo server in C, with one read, one pass over the frames and one write: what the kernel and the wire leave over.
 *
 *   limit PORT
 *
 * It prints "ready PORT". It is a measure for echo servers, no server: it answers every opening handshake with the accept value
 * of the one key that load.c sends, and takes whole binary messages, each a single masked frame, as load.c sends them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER                                                                             \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"    \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define READ_SIZE (256 * 1024)
#define EVENTS 256

typedef struct {
    uint8_t *bytes;
    size_t from, to, room; /* what is in use, and what is allocated */
} Buffer;

typedef struct {
    int fd, open, waits;
    Buffer in, out;
} Line;

/* Makes sure that `more` bytes fit behind what the buffer holds. */
static void reserve(Buffer *buffer, size_t more) {
    if (buffer->from == buffer->to) buffer->from = buffer->to = 0;
    if (buffer->to + more <= buffer->room) return;
    memmove(buffer->bytes, buffer->bytes + buffer->from, buffer->to - buffer->from);
    buffer->to -= buffer->from;
    buffer->from = 0;
    if (buffer->to + more > buffer->room) {
        buffer->room = 2 * (buffer->to + more);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
    }
}

static void put(Buffer *buffer, const void *bytes, size_t count) {
    reserve(buffer, count);
    memcpy(buffer->bytes + buffer->to, bytes, count);
    buffer->to += count;
}

static void put_unmasked(Buffer *buffer, const uint8_t *bytes, size_t count, const uint8_t *key) {
    uint64_t wide;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    reserve(buffer, count);
    uint8_t *to = buffer->bytes + buffer->to;
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < count; i++) to[i] = bytes[i] ^ key[i & 3];
    buffer->to += count;
}

/* Moves one whole frame from `in`, answered, to `out`; gives 0 when there is none. */
static int echo_frame(Line *line) {
    uint8_t *at = line->in.bytes + line->in.from;
    size_t have = line->in.to - line->in.from, head = 2;
    if (have < 2) return 0;
    uint64_t length = at[1] & 0x7f;
    int extra = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (have < head + (size_t)extra + 4) return 0;
    if (extra) length = 0;
    for (int i = 0; i < extra; i++) length = length << 8 | at[2 + i];
    head += (size_t)extra;
    if (have < head + 4 + length) return 0;
    uint8_t header[10];
    memcpy(header, at, head);
    header[1] &= 0x7f;
    put(&line->out, header, head);
    put_unmasked(&line->out, at + head + 4, length, at + head);
    line->in.from += head + 4 + length;
    return 1;
}

static void take_request(Line *line) {
    uint8_t *at = line->in.bytes + line->in.from;
    uint8_t *end = memmem(at, line->in.to - line->in.from, "\r\n\r\n", 4);
    if (!end) return;
    line->in.from += (size_t)(end + 4 - at);
    line->open = 1;
    put(&line->out, ANSWER, sizeof ANSWER - 1);
}

static void hang_up(Line *line) {
    close(line->fd);
    free(line->in.bytes);
    free(line->out.bytes);
    free(line);
}

/* Gives 0 when the connection is gone. */
static int flush(Line *line, int poll) {
    while (line->out.from < line->out.to) {
        ssize_t sent = send(line->fd, line->out.bytes + line->out.from, line->out.to - line->out.from, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) return 0;
        line->out.from += (size_t)sent;
    }
    int waits = line->out.from < line->out.to;
    if (waits != line->waits) {
        struct epoll_event wish = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = line};
        epoll_ctl(poll, EPOLL_CTL_MOD, line->fd, &wish);
        line->waits = waits;
    }
    return 1;
}

static int serve_event(struct epoll_event *event, int poll) {
    Line *line = event->data.ptr;
    if (event->events & ~(uint32_t)EPOLLOUT) {
        reserve(&line->in, READ_SIZE);
        ssize_t got = recv(line->fd, line->in.bytes + line->in.to, READ_SIZE, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return 0;
        if (got > 0) line->in.to += (size_t)got;
        if (!line->open) take_request(line);
        while (line->open && echo_frame(line)) {}
    }
    return flush(line, poll);
}

static void welcome(int listener, int poll) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Line *line = calloc(1, sizeof *line);
    line->fd = fd;
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = line};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wish);
}

int main(int argc, char **argv) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0))};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0) {
        perror("limit");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &length);
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wish);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (!events[i].data.ptr) welcome(listener, poll);
            else if (!serve_event(&events[i], poll)) hang_up(events[i].data.ptr);
        }
    }
}
