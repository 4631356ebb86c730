/* cast: a server that sends the same text to all its clients, turn after turn, with one write for each client and turn.
 *
 *   cast PORT CLIENTS BYTES BURST
 *
 * It prints "ready PORT", and once all CLIENTS are connected sends BURST messages in each turn. If a client's socket is full, all
 * wait for it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "shared/frames.h"

static Connection **clients;
static int wanted, count, full; /* clients wanted and connected; those whose socket is full */
static uint8_t *frames;
static size_t length;

static int serve_event(Connection *connection, uint32_t happened) {
    int was_full = connection->waits;
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (connection_fill(connection) < 0) return -1;
        if (!connection->open && answer(connection)) {
            if (count == wanted) fail("too many clients");
            clients[count++] = connection;
        }
    }
    int told = connection_flush(connection);
    full += connection->waits - was_full;
    return told;
}

static void cast(void) {
    for (int i = 0; i < count; i++) {
        ssize_t sent = connection_write(clients[i], frames, length);
        if (sent < 0) exit(0); /* the measurement has ended */
        if ((size_t)sent == length) continue;
        put(&clients[i]->out, frames + sent, length - (size_t)sent);
        connection_wait(clients[i], 1);
        full++;
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0);
    if (argc != 5) fail("usage: cast PORT CLIENTS BYTES BURST");
    wanted = atoi(argv[2]);
    clients = calloc((size_t)wanted, sizeof *clients);
    size_t size = strtoul(argv[3], NULL, 10);
    int burst = atoi(argv[4]);
    allow_many_files();
    frames = malloc((size + 10) * (size_t)burst);
    for (int i = 0; i < burst; i++) {
        length += write_header(frames + length, FINAL_TEXT, size, NULL);
        memset(frames + length, 'x', size);
        length += size;
    }
    int listener = listen_on(poll, atoi(argv[1]));
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, count == wanted && !full ? 0 : -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(connection, events[i].events) < 0) exit(0);
        }
        if (count == wanted && !full) cast();
    }
}
