/* load: asks an echo server on 127.0.0.1 for messages as fast as it gives them, and measures.
 *
 *   load PORT CONNECTIONS BYTES DEPTH SECONDS
 *
 * Each of CONNECTIONS keeps DEPTH binary messages of BYTES bytes in flight: what one read brings back is sent again in one
 * write, so the server's own batching decides how many messages travel together. While it warms up (a third of a second) every
 * byte of every echo is compared with what was sent. Then it prints "measuring", and after SECONDS one line of JSON: messages,
 * the seconds they took, and percentiles of the time from queueing a message to having the whole of its echo.
 *
 * One thread, epoll, level-triggered. One masking key and one handshake key serve all connections: this is a load, no client.
 * What makes it small is that both streams repeat: after the handshake a connection writes the same frame over and over and must
 * read the same frame over and over, so a position in each is all there is to remember.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST                                                                             \
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* the answer to that key, RFC 6455 1.3 */
#define WARM_UP 0.33                          /* seconds */
#define BINS 2000000                          /* of a microsecond each; what takes longer is counted in the last */
#define READ_SIZE (256 * 1024)
#define EVENTS 256

typedef struct {
    int fd;
    int waits;      /* for room in the socket's buffer */
    size_t unsent;  /* bytes that may be written now */
    size_t out_at;  /* position in the frame that the next byte written belongs to */
    size_t in_at;   /* position in the echo that the next byte read belongs to */
    double *queued; /* ring of DEPTH: when each message in flight was queued, in seconds */
    int oldest;     /* slot of the ring whose echo comes next */
} Line;

static int port, connections, depth;
static size_t size;
static uint8_t *frames; /* DEPTH + 1 frames end to end: from anywhere in the first, DEPTH whole frames follow */
static size_t frame_length;
static uint8_t *echo; /* what the server must answer to each of them */
static size_t echo_length, echo_header;
static uint32_t bins[BINS];
static uint64_t messages;
static int measuring;

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void fail_call(const char *call) {
    perror(call);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Writes the header of a final binary frame, its mask bit as given (0 or 0x80), and gives the header's length without the key. */
static size_t write_header(uint8_t *to, uint8_t mask) {
    to[0] = 0x82;
    if (size < 126) {
        to[1] = (uint8_t)(mask | size);
        return 2;
    }
    int bytes = size < 65536 ? 2 : 8;
    to[1] = (uint8_t)(mask | (bytes == 2 ? 126 : 127));
    for (int i = 0; i < bytes; i++) to[2 + i] = (uint8_t)((uint64_t)size >> (8 * (bytes - 1 - i)));
    return (size_t)(2 + bytes);
}

static void make_frames(void) {
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t header[14];
    echo = malloc(size + 10);
    echo_header = write_header(echo, 0);
    echo_length = echo_header + size;
    uint8_t *payload = echo + echo_header;
    for (size_t i = 0; i < size; i++) payload[i] = (uint8_t)(i * 31 + i / 251);

    size_t head = write_header(header, 0x80);
    memcpy(header + head, key, 4);
    head += 4;
    frame_length = head + size;
    frames = malloc(frame_length * (size_t)(depth + 1));
    for (int copy = 0; copy <= depth; copy++) {
        uint8_t *frame = frames + frame_length * (size_t)copy;
        memcpy(frame, header, head);
        for (size_t i = 0; i < size; i++) frame[head + i] = payload[i] ^ key[i & 3];
    }
}

/* Connects and goes through the opening handshake; from there on the socket does not block. */
static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail_call("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    char request[512], answer[4096];
    ssize_t length = snprintf(request, sizeof request, REQUEST, port);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) fail("the request did not go out");
    size_t have = 0;
    do {
        ssize_t got = recv(fd, answer + have, sizeof answer - 1 - have, 0);
        if (got <= 0) fail("the server closed during the handshake");
        have += (size_t)got;
        answer[have] = 0;
    } while (!strstr(answer, "\r\n\r\n"));
    if (strncmp(answer, "HTTP/1.1 101", 12) || !strstr(answer, ACCEPT)) fail("the server did not upgrade");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Writes what may be written, and asks epoll to say when there is room for the rest. */
static void flush(Line *line, int poll) {
    while (line->unsent > 0) {
        ssize_t sent = send(line->fd, frames + line->out_at, line->unsent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) fail_call("send");
        line->unsent -= (size_t)sent;
        line->out_at = (line->out_at + (size_t)sent) % frame_length;
    }
    int waits = line->unsent > 0;
    if (waits != line->waits) {
        struct epoll_event wish = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = line};
        epoll_ctl(poll, EPOLL_CTL_MOD, line->fd, &wish);
        line->waits = waits;
    }
}

static void record(double latency) {
    double microseconds = latency * 1e6;
    bins[microseconds < BINS - 1 ? (size_t)microseconds : BINS - 1]++;
    messages++;
}

/* Follows the echoes through `count` bytes just read, and queues a message for each that is complete. */
static void follow(Line *line, const uint8_t *bytes, size_t count, double time) {
    while (count > 0) {
        size_t step = echo_length - line->in_at;
        if (step > count) step = count;
        /* Headers are always looked at, so that an unexpected frame cannot pass as payload. */
        size_t check = !measuring ? step : line->in_at < echo_header ? echo_header - line->in_at : 0;
        if (check > step) check = step;
        if (memcmp(bytes, echo + line->in_at, check)) fail("an echo differs from what was sent");
        bytes += step;
        count -= step;
        line->in_at += step;
        if (line->in_at < echo_length) return;
        line->in_at = 0;
        if (measuring) record(time - line->queued[line->oldest]);
        line->queued[line->oldest] = time;
        line->oldest = (line->oldest + 1) % depth;
        line->unsent += frame_length;
    }
}

static void serve_event(struct epoll_event *event, int poll) {
    static uint8_t bytes[READ_SIZE];
    Line *line = event->data.ptr;
    if (event->events & ~(uint32_t)EPOLLOUT) {
        ssize_t got = recv(line->fd, bytes, sizeof bytes, 0);
        if (got == 0) fail("the server closed a connection");
        if (got < 0 && errno != EAGAIN) fail_call("recv");
        if (got > 0) follow(line, bytes, (size_t)got, now());
    }
    flush(line, poll);
}

static void run_until(double end, int poll) {
    struct epoll_event events[EVENTS];
    while (now() < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) serve_event(&events[i], poll);
    }
}

/* The latency, in microseconds, that `share` of the messages stayed within. */
static size_t percentile(double share) {
    uint64_t wanted = (uint64_t)(share * (double)messages), seen = 0;
    for (size_t bin = 0; bin < BINS; bin++) {
        seen += bins[bin];
        if (seen > wanted) return bin;
    }
    return BINS - 1;
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: load PORT CONNECTIONS BYTES DEPTH SECONDS");
    port = atoi(argv[1]);
    connections = atoi(argv[2]);
    size = strtoul(argv[3], NULL, 10);
    depth = atoi(argv[4]);
    double seconds = strtod(argv[5], NULL);
    if (connections < 1 || size < 1 || depth < 1 || seconds <= 0) fail("connections, bytes, depth and seconds start at 1, 1, 1 and 0");
    make_frames();

    int poll = epoll_create1(0);
    Line *lines = calloc((size_t)connections, sizeof *lines);
    for (int i = 0; i < connections; i++) {
        Line *line = &lines[i];
        line->fd = dial();
        line->queued = calloc((size_t)depth, sizeof *line->queued);
        line->unsent = frame_length * (size_t)depth;
        struct epoll_event wish = {.events = EPOLLIN, .data.ptr = line};
        epoll_ctl(poll, EPOLL_CTL_ADD, line->fd, &wish);
    }
    for (int i = 0; i < connections; i++) flush(&lines[i], poll);

    run_until(now() + WARM_UP, poll);
    measuring = 1;
    puts("measuring");
    fflush(stdout);
    double start = now();
    run_until(start + seconds, poll);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"p50_us\": %zu, \"p99_us\": %zu}\n", (unsigned long long)messages,
           now() - start, percentile(0.50), percentile(0.99));
    return 0;
}
