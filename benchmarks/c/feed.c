/* feed: a server that pushes binary messages of one size to every client, as fast as it reads them.
 *
 *   feed PORT BYTES
 *
 * It prints "ready PORT". Each write has about 128 KiB of whole messages, at least one, like a feed that has fallen behind.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "shared/frames.h"

#define WRITE_SIZE (128 * 1024)

static uint8_t *frames;
static size_t length; /* of all of them */

static void make_frames(size_t size) {
    size_t count = WRITE_SIZE / (size + 10) + 1;
    frames = malloc(count * (size + 10));
    if (!frames) fail("out of memory");
    for (size_t i = 0; i < count; i++) {
        size_t head = write_header(frames + length, FINAL_BINARY, size, NULL);
        for (size_t j = 0; j < size; j++) frames[length + head + j] = (uint8_t)('a' + j % 26);
        length += head + size;
    }
}

/* Writes until the socket is full. `own` is the position in the frames. */
static int pour(Connection *connection) {
    if (connection->out.from < connection->out.to && connection_flush(connection) < 0) return -1;
    while (connection->out.from == connection->out.to) {
        size_t at = (size_t)connection->own;
        ssize_t sent = connection_write(connection, frames + at, length - at);
        if (sent < 0) return -1;
        if (sent == 0) break;
        connection->own = (void *)((at + (size_t)sent) % length);
    }
    connection_wait(connection, 1);
    return 0;
}

static int serve_event(Connection *connection, uint32_t happened) {
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (connection_fill(connection) < 0) return -1;
        if (!connection->open) answer(connection);
        else connection->in.from = connection->in.to; /* ignore what a client sends */
    }
    return connection->open ? pour(connection) : 0;
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0);
    if (argc != 3 || atoi(argv[2]) < 1) fail("usage: feed PORT BYTES");
    make_frames(strtoul(argv[2], NULL, 10));
    int listener = listen_on(poll, atoi(argv[1]));
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(connection, events[i].events) < 0) hang_up(connection);
        }
    }
}
