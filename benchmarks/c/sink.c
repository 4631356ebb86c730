/* sink: a server that receives messages and does not answer.
 *
 *   sink PORT
 *
 * It prints "ready PORT", and when a connection ends "took MESSAGES".
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "shared/frames.h"

/* `own` counts the messages. */
static int serve_event(Connection *connection) {
    Frame frame;
    size_t count = (size_t)connection->own;
    if (connection_fill(connection) < 0) return -1;
    if (!connection->open) answer(connection);
    while (connection->open && next_frame(&connection->in, &frame)) count += (frame.first & 0x0f) < 3;
    connection->own = (void *)count;
    return connection_flush(connection);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0), listener = listen_on(poll, argc > 1 ? atoi(argv[1]) : 0);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(connection) < 0) {
                if (connection->open) printf("took %zu\n", (size_t)connection->own);
                fflush(stdout);
                hang_up(connection);
            }
        }
    }
}
