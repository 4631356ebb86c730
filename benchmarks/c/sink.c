/* sink: a server that takes messages and answers none.
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
static int serve_event(Line *line) {
    Frame frame;
    size_t count = (size_t)line->own;
    if (line_fill(line) < 0) return -1;
    if (!line->open) answer(line);
    while (line->open && next_frame(&line->in, &frame)) count += (frame.first & 0x0f) < 3;
    line->own = (void *)count;
    return line_flush(line);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];
    int poll = epoll_create1(0), listener = listen_on(poll, argc > 1 ? atoi(argv[1]) : 0);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            Line *line = events[i].data.ptr;
            if (!line) while (welcome(listener, poll, NULL)) {}
            else if (serve_event(line) < 0) {
                if (line->open) printf("took %zu\n", (size_t)line->own);
                fflush(stdout);
                hang_up(line);
            }
        }
    }
}
