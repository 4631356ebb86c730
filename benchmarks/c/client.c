/* client: one connection at the speed of the kernel, to compare clients with.
 *
 *   client feed PORT BYTES SECONDS       reads what a server pushes and parses the headers
 *   client push PORT BYTES SECONDS       sends masked messages, a hundred in each write
 *   client wait PORT BYTES SECONDS       sends a message when the echo of the previous one has come
 *
 * After a warm-up it measures for SECONDS and prints one line of JSON: messages, seconds, and its seconds of CPU time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "shared/frames.h"

#define BURST 100

static size_t size;
static uint8_t *payload;
static uint64_t messages; /* so far */
static Connection *connection;

static void put_message(void) {
    static uint32_t key = 1;
    key = key * 1664525u + 1013904223u;
    reserve(&connection->out, size + 14);
    uint8_t *to = connection->out.bytes + connection->out.to;
    size_t head = write_header(to, FINAL_BINARY, size, (uint8_t *)&key);
    mask_into(to + head, payload, size, (uint8_t *)&key);
    connection->out.to += head + size;
}

static void take_messages(void) {
    static uint8_t bytes[READ_SIZE];
    static Follower in;
    const uint8_t *at = bytes, *part;
    size_t n;
    int ended;
    ssize_t left = connection_read(connection, bytes, sizeof bytes);
    if (left < 0) fail("the server is gone");
    while (left > 0) {
        size_t taken = follow(&in, at, (size_t)left, &part, &n, &ended);
        at += taken;
        left -= (ssize_t)taken;
        if (ended && in.length != size) fail("a message of another size came");
        messages += (uint64_t)ended;
    }
}

static void push(void) {
    while (connection->out.from == connection->out.to) {
        for (int i = 0; i < BURST; i++) put_message();
        messages += BURST;
        if (connection_flush(connection) < 0) fail("the server is gone");
    }
}

static void run_until(double end, const char *mode) {
    struct epoll_event event;
    while (now() < end) {
        if (epoll_wait(connection->poll, &event, 1, 100) < 1) continue;
        uint64_t before = messages;
        if (event.events & ~(uint32_t)EPOLLOUT) take_messages();
        if (!strcmp(mode, "wait") && messages > before) put_message();
        if (connection_flush(connection) < 0) fail("the server is gone");
        if (!strcmp(mode, "push")) {
            push();
            connection_wait(connection, 1);
        }
    }
}

static double cpu(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    if (argc != 5 || atoi(argv[3]) < 1) fail("usage: client feed|push|wait PORT BYTES SECONDS");
    size = strtoul(argv[3], NULL, 10);
    payload = malloc(size);
    memset(payload, 'x', size);
    connection = dial(epoll_create1(0), atoi(argv[2]), NULL, NULL);
    if (!strcmp(argv[1], "wait")) put_message();
    if (connection_flush(connection) < 0) fail("the server is gone");
    connection_wait(connection, !strcmp(argv[1], "push"));
    run_until(now() + WARM_UP, argv[1]);
    uint64_t before = messages;
    double start = now(), used = cpu();
    run_until(start + strtod(argv[4], NULL), argv[1]);
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"cpu\": %.6f, \"sent\": %llu}\n",
           (unsigned long long)(messages - before), now() - start, cpu() - used, (unsigned long long)messages);
    return 0;
}
