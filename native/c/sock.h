/* sock: TCP and unix sockets that never wait. Knows the kernel, not Python. */
#ifndef TL_SOCK_H
#define TL_SOCK_H

#include <stddef.h>
#include <stdint.h>

/* In place of a number of bytes or of a descriptor */
enum {
    TL_NOT_NOW = -100000 /* there is nothing yet; any other negative number is -errno */
};

/* The address of an IPv4 or IPv6 socket; of any other, its family alone. */
typedef struct {
    int family;       /* 0: not known */
    unsigned port;    /* this and the next two in the order of this machine */
    uint32_t flow;    /* of IPv6 */
    uint32_t scope;   /* of IPv6 */
    uint8_t host[16]; /* the first 4 bytes for IPv4 */
} tl_place;

/* Characters of an address in words, and the 0 behind them. */
enum { TL_HOST_MAX = 64 };

/* Receive up to n bytes: return their number, 0 at the end, TL_NOT_NOW or -errno. */
ptrdiff_t tl_receive(int fd, void *bytes, size_t n);

/* Have small segments leave without waiting for an acknowledgement (TCP_NODELAY). On any other socket this does nothing. */
void tl_send_at_once(int fd);

/* Accept a connection whose descriptor does not block and is not inherited by exec(2). Return it, and its peer's address;
 * TL_NOT_NOW; or -errno if the system lacks what a connection needs (descriptors, memory). Connections that are broken already
 * are passed over. */
int tl_accept(int listening, tl_place *peer);

/* Ask for the address of the socket, or of its peer. Return 0 or -errno. */
int tl_name(int fd, int of_peer, tl_place *place);

/* Write the host of an IPv4 or IPv6 address to `text`; return whether that worked. */
int tl_host(const tl_place *place, char text[TL_HOST_MAX]);

/* Return 4, 6, or 0 for any other family. */
int tl_version(const tl_place *place);

/* Send nothing more (TCP: FIN): return 0 or -errno. */
int tl_end_writing(int fd);

/* Close a descriptor. What close(2) reports is nothing that could be mended: the descriptor is gone. */
void tl_close(int fd);

#endif
