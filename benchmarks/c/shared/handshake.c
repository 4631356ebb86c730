/* Both sides of the opening handshake (RFC 6455 4), over TCP or TLS. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "peer.h"

#define REQUEST                                                                             \
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n"
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" /* the answer to that key, RFC 6455 1.3 */
#define ANSWER                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: %s\r\n\r\n"
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static SSL_CTX *make_tls(const SSL_METHOD *method) {
    SSL_CTX *tls = SSL_CTX_new(method);
    if (!tls) fail("no TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    return tls;
}

SSL_CTX *client_tls(void) { return make_tls(TLS_client_method()); }

SSL_CTX *server_tls(const char *certificate) {
    SSL_CTX *tls = make_tls(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, certificate, SSL_FILETYPE_PEM) != 1)
        fail("the certificate does not load");
    return tls;
}

static Connection *new_line(int fd, int poll, SSL_CTX *tls) {
    int on = 1;
    Connection *connection = calloc(1, sizeof *connection);
    if (!connection) fail("out of memory");
    connection->fd = fd;
    connection->poll = poll;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (tls) {
        connection->tls = SSL_new(tls);
        SSL_set_fd(connection->tls, fd);
    }
    return connection;
}

static void watch(int poll, int fd, Connection *connection) {
    struct epoll_event wish = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wish) < 0) fail_call("epoll_ctl");
}

/* Sends the request and reads the answer, byte by byte, so that it reads no byte of a frame. */
static void shake_hands(Connection *connection, int port, const char *extensions) {
    char request[512], answer[4096];
    int length = snprintf(request, sizeof request, REQUEST, port, extensions ? "Sec-WebSocket-Extensions: " : "",
                          extensions ? extensions : "", extensions ? "\r\n" : "");
    if (connection_write(connection, (uint8_t *)request, (size_t)length) != length) fail("the request did not go out");
    size_t have = 0;
    do {
        if (have == sizeof answer - 1) fail("the answer to the handshake is too long");
        int got = connection->tls ? SSL_read(connection->tls, answer + have, 1) : (int)recv(connection->fd, answer + have, 1, 0);
        if (got != 1) fail("the server closed during the handshake");
        answer[++have] = 0;
    } while (have < 4 || strcmp(answer + have - 4, "\r\n\r\n"));
    if (strncmp(answer, "HTTP/1.1 101", 12) || !strstr(answer, ACCEPT)) fail("the server did not upgrade");
    if (extensions && !strcasestr(answer, "permessage-deflate")) fail("the server declined to compress");
    if (!extensions && strcasestr(answer, "Sec-WebSocket-Extensions")) fail("the server took an extension unasked");
}

Connection *dial(int poll, int port, const char *extensions, SSL_CTX *tls) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail_call("connect");
    Connection *connection = new_line(fd, poll, tls);
    if (tls && SSL_connect(connection->tls) != 1) fail("no TLS handshake");
    shake_hands(connection, port, extensions);
    connection->open = 1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(poll, fd, connection);
    return connection;
}

int listen_on(int poll, int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0) fail_call("bind");
    getsockname(listener, (struct sockaddr *)&address, &length);
    watch(poll, listener, NULL);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

Connection *welcome(int listener, int poll, SSL_CTX *tls) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return NULL;
    Connection *connection = new_line(fd, poll, tls);
    if (tls) SSL_set_accept_state(connection->tls); /* the first read does the handshake */
    watch(poll, fd, connection);
    return connection;
}

int answer(Connection *connection) {
    char *at = (char *)connection->in.bytes + connection->in.from, text[256];
    char *end = memmem(at, connection->in.to - connection->in.from, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    char *key = strcasestr(at, "\r\nSec-WebSocket-Key: ");
    if (!key || strlen(key) < 45) fail("a request without a key");
    char proof[24 + sizeof GUID], accept[32];
    unsigned char digest[SHA_DIGEST_LENGTH];
    memcpy(proof, key + 21, 24);
    memcpy(proof + 24, GUID, sizeof GUID);
    SHA1((unsigned char *)proof, strlen(proof), digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    put(&connection->out, text, (size_t)snprintf(text, sizeof text, ANSWER, accept));
    connection->in.from += (size_t)(end + 4 - at);
    return connection->open = 1;
}
