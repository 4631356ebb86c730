/* subscribe: clients of a broadcast, which count the messages they receive.
 *
 *   subscribe PORT CONNECTIONS BYTES SECONDS
 *
 * Every message must be a text of BYTES times 'x': all of it is checked during the warm-up, later only its header. It prints
 * "measuring", and after SECONDS one line of JSON: messages to all connections together, the seconds they took, and the fewest
 * that one connection got.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "shared/frames.h"

typedef struct {
    Follower in;
    uint64_t messages;
} State;

static size_t size;
static int measuring;

static void take(Connection *connection) {
    static uint8_t bytes[READ_SIZE];
    State *state = connection->own;
    const uint8_t *at = bytes, *payload;
    size_t n;
    int ended;
    ssize_t left = connection_read(connection, bytes, sizeof bytes);
    if (left < 0) fail("the server closed a connection");
    while (left > 0) {
        size_t taken = follow(&state->in, at, (size_t)left, &payload, &n, &ended);
        for (size_t i = 0; i < n && !measuring; i++)
            if (payload[i] != 'x') fail("a message holds other bytes");
        if (ended && (state->in.head[0] != FINAL_TEXT || state->in.length != size)) fail("a message has another header");
        state->messages += (uint64_t)ended;
        at += taken;
        left -= (ssize_t)taken;
    }
}

static void run_until(double end, int poll) {
    struct epoll_event events[EVENTS];
    while (now() < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) take(events[i].data.ptr);
    }
}

int main(int argc, char **argv) {
    if (argc != 5 || atoi(argv[2]) < 1) fail("usage: subscribe PORT CONNECTIONS BYTES SECONDS");
    int connections = atoi(argv[2]), poll = epoll_create1(0);
    size = strtoul(argv[3], NULL, 10);
    allow_many_files();
    State *states = calloc((size_t)connections, sizeof *states);
    for (int i = 0; i < connections; i++) dial(poll, atoi(argv[1]), NULL, NULL)->own = &states[i];
    run_until(now() + WARM_UP, poll);
    for (int i = 0; i < connections; i++) states[i].messages = 0;
    measuring = 1;
    puts("measuring");
    fflush(stdout);
    double start = now();
    run_until(start + strtod(argv[4], NULL), poll);
    double seconds = now() - start;
    uint64_t all = 0, fewest = UINT64_MAX;
    for (int i = 0; i < connections; i++) {
        all += states[i].messages;
        if (states[i].messages < fewest) fewest = states[i].messages;
    }
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"fewest\": %llu}\n", (unsigned long long)all, seconds,
           (unsigned long long)fewest);
    return 0;
}
