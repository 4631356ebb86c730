/* ready: which of many sockets can be read or written (epoll, kqueue). Knows the kernel, not Python. */
#ifndef TL_READY_H
#define TL_READY_H

#include <stdint.h>

#if defined(__linux__) || defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__) || defined(TL_LIBKQUEUE)
#define TL_WATCHES 1 /* this system has epoll or kqueue */
#else
#define TL_WATCHES 0
#endif

enum { TL_AT_ONCE = 256 }; /* sockets that one call reports at most */

/* What a socket is watched for. Level-triggered: what is ready is reported again until it was dealt with. */
enum { TL_READABLE = 1, TL_WRITABLE = 2 };

/* A socket that is ready. An error or a hang-up makes it both readable and writable, whatever it is watched for. */
typedef struct {
    int fd;
    uint32_t tag; /* given when it was first watched: it tells two sockets apart that had one number in turn */
    int what;
} tl_event;

/* Return whether this system tells which of many sockets are ready. If not, all that follows fails. */
int tl_watches(void);

/* Open a set of sockets: return its descriptor, which is closed by close(2) and not inherited by exec(2), or -errno. */
int tl_set_open(void);

/* Close a set, or a copy of it after a fork. */
void tl_set_close(int set);

/* Watch a socket for `wanted` in place of `was`; each may be 0, which is not in the set: there a hang-up cannot be ignored.
 * Return 0 or -errno. A socket leaves all sets when its last descriptor is closed. */
int tl_set_watch(int set, int fd, uint32_t tag, int was, int wanted);

/* Write the sockets that are ready to `events`, and return their number or -errno. Does not wait. */
int tl_set_ready(int set, tl_event events[TL_AT_ONCE]);

#endif
