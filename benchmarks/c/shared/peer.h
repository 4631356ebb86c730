/* peer: what the benchmarks' C programs share: time, buffers, sockets, TLS and both sides of the opening handshake.
 *
 * They are for measuring, not for use: they run on loopback, trust what they read, and exit with a message on standard error
 * when something is wrong.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READ_SIZE (256 * 1024)
#define EVENTS 512
#define WARM_UP 0.33 /* seconds of work before the measurement */

double now(void); /* seconds of the monotonic clock */
void fail(const char *what) __attribute__((noreturn));
void fail_call(const char *call) __attribute__((noreturn)); /* prints errno's message */
void allow_many_files(void); /* raises the limit of open files as far as allowed */

typedef struct {
    uint8_t *bytes;
    size_t from, to, room; /* the range in use, and the bytes allocated */
} Buffer;

void reserve(Buffer *buffer, size_t more); /* makes room for `more` bytes after those that the buffer holds */
void put(Buffer *buffer, const void *bytes, size_t count);

typedef struct {
    int fd, poll;
    int waits; /* whether it waits for room in the socket's buffer */
    int open;  /* whether the opening handshake is done */
    SSL *tls;  /* NULL on plain TCP */
    Buffer in, out;
    void *own; /* for the program's use */
} Connection;

/* Connects to 127.0.0.1 and does the opening handshake. extensions: what to offer, or NULL. After that, the socket does not
 * block and `poll` watches it. Every client sends the same key. */
Connection *dial(int poll, int port, const char *extensions, SSL_CTX *tls);
SSL_CTX *client_tls(void); /* does not verify certificates */
SSL_CTX *server_tls(const char *certificate);

int listen_on(int poll, int port); /* prints "ready PORT"; the listener's event has NULL as data */
Connection *welcome(int listener, int poll, SSL_CTX *tls); /* accepts a connection; NULL if none is waiting */
int answer(Connection *connection); /* answers the opening handshake in `in`; returns 1 once the connection is open */
void hang_up(Connection *connection);

/* Reads at most `room` bytes into `to`. Returns how many, 0 if there is nothing now, -1 at the end of the connection. */
ssize_t connection_read(Connection *connection, uint8_t *to, size_t room);
ssize_t connection_fill(Connection *connection); /* the same, after what `in` holds */
/* Writes as many of `count` bytes as the socket takes. Returns how many, -1 if the connection is gone. */
ssize_t connection_write(Connection *connection, const uint8_t *bytes, size_t count);
int connection_flush(Connection *connection); /* writes `out`; returns -1 if the connection is gone */
void connection_wait(Connection *connection, int waits); /* sets whether to wait for room in the socket's buffer */

#endif
