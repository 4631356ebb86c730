/* feed: a server that pushes binary messages of one size to every client, as fast as it reads them.
 *
 *   feed PORT BYTES
 *
 * It prints "ready PORT". A write holds about 128 KiB of whole messages, one at least: a feed that has fallen behind and catches up.
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

/* Writes until the socket takes no more; `own` is the position in the frames. */
static int pour(Line *line) {
    if (line->out.from < line->out.to && line_flush(line) < 0) return -1;
    while (line->out.from == line->out.to) {
        size_t at = (size_t)line->own;
        ssize_t sent = line_write(line, frames + at, length - at);
        if (sent < 0) return -1;
        if (sent == 0) break;
        line->own = (void *)((at + (size_t)sent) % length);
    }
    line_wait(line, 1);
    return 0;
}

static int serve_event(Line *line, uint32_t happened) {
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (line_fill(line) < 0) return -1;
        if (!line->open) answer(line);
        else line->in.from = line->in.to; /* what a client says is not listened to */
    }
    return line->open ? pour(line) : 0;
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
            Line *line = events[i].data.ptr;
            if (!line) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(line, events[i].events) < 0) hang_up(line);
        }
    }
}
