/* load: sends messages to an echo server on 127.0.0.1 as fast as it echoes them, and measures.
 *
 *   load PORT CONNECTIONS BYTES DEPTH SECONDS [tls | deflate]
 *
 * Each of CONNECTIONS keeps DEPTH messages of BYTES bytes in flight: what one read brings back is sent again in one write, so
 * the server's own batching decides how many messages travel together. During the warm-up every byte of every echo is compared
 * with what was sent; later only the headers. Then it prints "measuring", and after SECONDS one line of JSON: messages, the
 * seconds they took, and percentiles of the time from queueing a message to having the whole of its echo.
 *
 * One thread, epoll, level-triggered. One masking key and one handshake key serve all connections: this is only a load.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "shared/messages.h"

#define BINS 2000000 /* of a microsecond each; the last also counts all longer times */

typedef struct {
    Follower in;
    uint64_t so_far; /* bytes of the current message, in frames that have ended */
    Check *check;
    int next;       /* index of the next frame to queue */
    size_t out_at;  /* position in the cycle of the next byte to write */
    size_t unsent;  /* bytes that may be written now */
    double *queued; /* ring of DEPTH: when each message in flight was queued, in seconds */
    int oldest;     /* slot of the ring whose echo comes next */
} State;

static Cycle *cycle;
static int depth, measuring;
static uint32_t bins[BINS];
static uint64_t messages;

static void record(double latency) {
    double microseconds = latency * 1e6;
    bins[microseconds < BINS - 1 ? (size_t)microseconds : BINS - 1]++;
    messages++;
}

static void queue(State *state) {
    state->unsent += cycle->starts[state->next + 1] - cycle->starts[state->next];
    state->next = (state->next + 1) % cycle->count;
}

/* Writes what may be written, and waits for room for the rest. */
static void flush(Connection *connection) {
    State *state = connection->own;
    size_t end = cycle->starts[cycle->count];
    while (state->unsent > 0) {
        ssize_t sent = connection_write(connection, cycle->frames + state->out_at, state->unsent);
        if (sent < 0) fail("the server is gone");
        if (sent == 0) break;
        state->unsent -= (size_t)sent;
        state->out_at = (state->out_at + (size_t)sent) % end;
    }
    connection_wait(connection, state->unsent > 0);
}

static void take(Connection *connection, double time) {
    static uint8_t bytes[READ_SIZE];
    State *state = connection->own;
    const uint8_t *payload, *at = bytes;
    ssize_t left = connection_read(connection, bytes, sizeof bytes);
    if (left < 0) fail("the server closed a connection");
    while (left > 0) {
        size_t n;
        int ended;
        size_t taken = follow(&state->in, at, (size_t)left, &payload, &n, &ended);
        at += taken;
        left -= (ssize_t)taken;
        int whole = ended && check_header(cycle, &state->in, state->so_far);
        if (ended) state->so_far = whole ? 0 : state->so_far + state->in.length;
        if (!measuring && (n || ended)) check_payload(state->check, payload, n, whole);
        if (!whole) continue;
        if (measuring) record(time - state->queued[state->oldest]);
        state->queued[state->oldest] = time;
        state->oldest = (state->oldest + 1) % depth;
        queue(state);
    }
}

static void run_until(double end, int poll) {
    struct epoll_event events[EVENTS];
    while (now() < end) {
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            if (events[i].events & ~(uint32_t)EPOLLOUT) take(events[i].data.ptr, now());
            flush(events[i].data.ptr);
        }
    }
}

/* Returns the latency, in microseconds, that `share` of the messages did not exceed. */
static size_t percentile(double share) {
    uint64_t wanted = (uint64_t)(share * (double)messages), seen = 0;
    for (size_t bin = 0; bin < BINS; bin++) {
        seen += bins[bin];
        if (seen > wanted) return bin;
    }
    return BINS - 1;
}

static Connection *open_connection(int poll, int port, SSL_CTX *tls) {
    Connection *connection = dial(poll, port, cycle->deflate ? "permessage-deflate; client_max_window_bits" : NULL, tls);
    State *state = calloc(1, sizeof *state);
    state->check = new_check(cycle);
    state->queued = calloc((size_t)depth, sizeof *state->queued);
    connection->own = state;
    for (int i = 0; i < depth; i++) queue(state);
    return connection;
}

int main(int argc, char **argv) {
    const char *mode = argc == 7 ? argv[6] : "";
    if (argc < 6 || argc > 7) fail("usage: load PORT CONNECTIONS BYTES DEPTH SECONDS [tls | deflate]");
    int port = atoi(argv[1]), connections = atoi(argv[2]), poll = epoll_create1(0);
    size_t size = strtoul(argv[3], NULL, 10);
    depth = atoi(argv[4]);
    double seconds = strtod(argv[5], NULL);
    if (connections < 1 || size < 1 || depth < 1 || seconds <= 0) fail("connections, bytes, depth and seconds are at least 1, 1, 1 and 0");
    allow_many_files();
    cycle = make_cycle(size, depth, !strcmp(mode, "deflate"));
    SSL_CTX *tls = strcmp(mode, "tls") ? NULL : client_tls();

    Connection **opened = calloc((size_t)connections, sizeof *opened);
    for (int i = 0; i < connections; i++) opened[i] = open_connection(poll, port, tls);
    for (int i = 0; i < connections; i++) flush(opened[i]);
    run_until(now() + WARM_UP, poll);
    measuring = 1;
    puts("measuring");
    fflush(stdout);
    double start = now();
    run_until(start + seconds, poll);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"p50_us\": %zu, \"p99_us\": %zu}\n", (unsigned long long)messages,
           now() - start, percentile(0.50), percentile(0.99));
    return 0;
}
