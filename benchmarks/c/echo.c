/* echo: an echo server with one read, one pass over the frames and one write: the limit that the kernel sets.
 *
 *   echo PORT [CERTIFICATE]
 *
 * With a certificate (a PEM file that also holds its key) it speaks TLS. It prints "ready PORT". It is only for
 * comparison with echo servers: it takes whole messages, each in a single masked frame, and checks nothing.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "shared/frames.h"

static void echo_frame(Connection *connection, const Frame *frame) {
    reserve(&connection->out, 14 + frame->length);
    uint8_t *to = connection->out.bytes + connection->out.to;
    size_t head = write_header(to, frame->first, frame->length, NULL);
    mask_into(to + head, frame->payload, frame->length, frame->key);
    connection->out.to += head + frame->length;
}

static int serve_event(Connection *connection, uint32_t happened) {
    Frame frame;
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (connection_fill(connection) < 0) return -1;
        if (!connection->open) answer(connection);
        while (connection->open && next_frame(&connection->in, &frame)) {
            if ((frame.first & 0x0f) == 8 || !frame.key) return -1;
            echo_frame(connection, &frame);
        }
    }
    return connection_flush(connection);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0);
    allow_many_files();
    SSL_CTX *tls = argc > 2 ? server_tls(argv[2]) : NULL;
    int listener = listen_on(poll, argc > 1 ? atoi(argv[1]) : 0);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) while (welcome(listener, poll, tls)) {}
            else if (serve_event(connection, events[i].events) < 0) hang_up(connection);
        }
    }
}
