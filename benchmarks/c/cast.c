/* cast: a server that sends the same text to all its clients, turn after turn, with one write a client and a turn.
 *
 *   cast PORT CLIENTS BYTES BURST
 *
 * BURST messages a turn, once all CLIENTS are there. It prints "ready PORT". A client whose socket is full is waited for, by all.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "shared/frames.h"

static Line **clients;
static int wanted, count, full; /* clients; those whose socket holds bytes back */
static uint8_t *frames;
static size_t length;

static int serve_event(Line *line, uint32_t happened) {
    int was_full = line->waits;
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (line_fill(line) < 0) return -1;
        if (!line->open && answer(line)) {
            if (count == wanted) fail("too many clients");
            clients[count++] = line;
        }
    }
    int told = line_flush(line);
    full += line->waits - was_full;
    return told;
}

static void cast(void) {
    for (int i = 0; i < count; i++) {
        ssize_t sent = line_write(clients[i], frames, length);
        if (sent < 0) exit(0); /* the measurement has ended */
        if ((size_t)sent == length) continue;
        put(&clients[i]->out, frames + sent, length - (size_t)sent);
        line_wait(clients[i], 1);
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
            Line *line = events[i].data.ptr;
            if (!line) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(line, events[i].events) < 0) exit(0);
        }
        if (count == wanted && !full) cast();
    }
}
