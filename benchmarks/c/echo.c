/* echo: an echo server with one read, one pass over the frames and one write: what the kernel and the wire leave over.
 *
 *   echo PORT [CERTIFICATE]
 *
 * With a certificate (a PEM file that also holds its key) it speaks TLS. It prints "ready PORT". It is a measure for echo
 * servers, no server: it takes whole messages, each a single masked frame, and checks nothing.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "shared/frames.h"

static void echo_frame(Line *line, const Frame *frame) {
    reserve(&line->out, 14 + frame->length);
    uint8_t *to = line->out.bytes + line->out.to;
    size_t head = write_header(to, frame->first, frame->length, NULL);
    mask_into(to + head, frame->payload, frame->length, frame->key);
    line->out.to += head + frame->length;
}

static int serve_event(Line *line, uint32_t happened) {
    Frame frame;
    if (happened & ~(uint32_t)EPOLLOUT) {
        if (line_fill(line) < 0) return -1;
        if (!line->open) answer(line);
        while (line->open && next_frame(&line->in, &frame)) {
            if ((frame.first & 0x0f) == 8 || !frame.key) return -1;
            echo_frame(line, &frame);
        }
    }
    return line_flush(line);
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
            Line *line = events[i].data.ptr;
            if (!line) while (welcome(listener, poll, tls)) {}
            else if (serve_event(line, events[i].events) < 0) hang_up(line);
        }
    }
}
