/* open: opens connections, up to PENDING handshakes at a time, and holds them until standard input ends.
 *
 *   open PORT CONNECTIONS
 *
 * It prints "measuring" before the first one, and when all are open one line of JSON: messages (handshakes) and seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/peer.h"

#define PENDING 64
#define REQUEST                                                                             \
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"    \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

typedef struct {
    int fd, asked, open;
    size_t have;
    char answer[1024];
} Call;

static int done;

static void begin(Call *call, int poll, const struct sockaddr_in *address) {
    struct epoll_event wish = {.events = EPOLLOUT, .data.ptr = call};
    call->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (call->fd < 0) fail_call("socket (ulimit -n must be higher)");
    if (connect(call->fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno != EINPROGRESS) fail_call("connect");
    epoll_ctl(poll, EPOLL_CTL_ADD, call->fd, &wish);
}

static void go_on(Call *call, int poll) {
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = call};
    if (!call->asked) {
        if (send(call->fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) != sizeof REQUEST - 1) fail_call("send");
        call->asked = 1;
        epoll_ctl(poll, EPOLL_CTL_MOD, call->fd, &wish);
        return;
    }
    ssize_t got = recv(call->fd, call->answer + call->have, sizeof call->answer - 1 - call->have, 0);
    if (got <= 0) fail("the server closed a connection");
    call->have += (size_t)got;
    if (call->open || !memmem(call->answer, call->have, "\r\n\r\n", 4)) return;
    if (strncmp(call->answer, "HTTP/1.1 101", 12) || !strstr(call->answer, ACCEPT)) fail("the server did not upgrade");
    call->open = 1;
    done++;
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    if (argc != 3 || atoi(argv[2]) < 1) fail("usage: open PORT CONNECTIONS");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int connections = atoi(argv[2]), begun = 0, poll = epoll_create1(0);
    Call *calls = calloc((size_t)connections, sizeof *calls);
    allow_many_files();
    puts("measuring");
    fflush(stdout);
    double start = now();
    while (done < connections) {
        while (begun < connections && begun - done < PENDING) begin(&calls[begun++], poll, &address);
        int ready = epoll_wait(poll, events, EVENTS, 5000);
        if (ready == 0) fail("the server does not answer");
        for (int i = 0; i < ready; i++) go_on(events[i].data.ptr, poll);
    }
    printf("{\"messages\": %d, \"seconds\": %.6f}\n", done, now() - start);
    fflush(stdout);
    for (char byte; read(0, &byte, 1) > 0;) {}
    return 0;
}
