/* peer: what the C programs of the benchmarks share: time, buffers, sockets, TLS and both sides of the opening handshake.
 *
 * These are measures, no servers and no clients: they run on loopback, trust what they read as far as a benchmark may, and leave
 * the process with a word on standard error when something is not as it must be.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READ_SIZE (256 * 1024)
#define EVENTS 512
#define WARM_UP 0.33 /* seconds of work that no figure holds */

double now(void); /* seconds of the monotonic clock */
void fail(const char *what) __attribute__((noreturn));
void fail_call(const char *call) __attribute__((noreturn)); /* says errno */
void allow_many_files(void); /* raises the limit of open files as far as this process may */

typedef struct {
    uint8_t *bytes;
    size_t from, to, room; /* what is in use, and what is allocated */
} Buffer;

void reserve(Buffer *buffer, size_t more); /* makes sure that `more` bytes fit behind what the buffer holds */
void put(Buffer *buffer, const void *bytes, size_t count);

typedef struct {
    int fd, poll;
    int waits; /* for room in the socket's buffer */
    int open;  /* the opening handshake is done */
    SSL *tls;  /* NULL on plain TCP */
    Buffer in, out;
    void *own; /* the program's */
} Line;

/* Dials 127.0.0.1 and goes through the opening handshake, extensions NULL or what to offer; from there on the socket does not
 * block and is watched by `poll`. Every client sends the same key. */
Line *dial(int poll, int port, const char *extensions, SSL_CTX *tls);
SSL_CTX *client_tls(void); /* TLS that checks no certificate */
SSL_CTX *server_tls(const char *certificate);

int listen_on(int poll, int port); /* prints "ready PORT"; the event of the listener carries NULL */
Line *welcome(int listener, int poll, SSL_CTX *tls); /* NULL when nobody waits */
int answer(Line *line); /* answers an opening handshake that stands in `in`; 1 once the line is open */
void hang_up(Line *line);

/* Reads what is there into `to`, `room` bytes at most: how many, 0 for nothing now, -1 at the end of the connection. */
ssize_t line_read(Line *line, uint8_t *to, size_t room);
ssize_t line_fill(Line *line); /* the same, behind what `in` holds */
/* Writes of `count` bytes what the line takes: how many, -1 when the connection is gone. */
ssize_t line_write(Line *line, const uint8_t *bytes, size_t count);
int line_flush(Line *line); /* writes `out`; -1 when the connection is gone */
void line_wait(Line *line, int waits); /* whether to be told of room in the socket's buffer */

#endif
