#include "ready.h"

#include <errno.h>
#include <string.h>

int tl_watches(void) { return TL_WATCHES; }

#if defined(__linux__) && !defined(TL_LIBKQUEUE)
#include <sys/epoll.h>
#include <unistd.h>

int tl_set_open(void) {
    int set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

int tl_set_watch(int set, int fd, uint32_t tag, int was, int wanted) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = (wanted & TL_READABLE ? (uint32_t)EPOLLIN : 0) | (wanted & TL_WRITABLE ? (uint32_t)EPOLLOUT : 0);
    event.data.u64 = (uint64_t)tag << 32 | (uint32_t)fd;
    if (was == wanted)
        return 0;
    int how = !was ? EPOLL_CTL_ADD : !wanted ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    return epoll_ctl(set, how, fd, &event) < 0 ? -errno : 0;
}

int tl_set_ready(int set, tl_event events[TL_AT_ONCE]) {
    struct epoll_event ready[TL_AT_ONCE];
    int n = epoll_wait(set, ready, TL_AT_ONCE, 0);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t what = ready[i].events;
        events[i].fd = (int)(uint32_t)ready[i].data.u64;
        events[i].tag = (uint32_t)(ready[i].data.u64 >> 32);
        events[i].what = (what & EPOLLIN ? TL_READABLE : 0) | (what & EPOLLOUT ? TL_WRITABLE : 0);
        if (what & (EPOLLHUP | EPOLLERR))
            events[i].what = TL_READABLE | TL_WRITABLE;
    }
    return n;
}

#elif TL_WATCHES
#include <sys/types.h>
/* The types come first. */
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#ifdef __NetBSD__
typedef intptr_t tl_udata;
#else
typedef void *tl_udata;
#endif

int tl_set_open(void) {
    int set = kqueue(); /* a child of fork(2) does not inherit it, nor does what exec(2) runs */
    return set < 0 ? -errno : set;
}

int tl_set_watch(int set, int fd, uint32_t tag, int was, int wanted) {
    struct kevent changes[2];
    int n = 0, changed = was ^ wanted;
    if (changed & TL_READABLE)
        EV_SET(&changes[n++], (uintptr_t)fd, EVFILT_READ, wanted & TL_READABLE ? EV_ADD : EV_DELETE, 0, 0,
               (tl_udata)(uintptr_t)tag);
    if (changed & TL_WRITABLE)
        EV_SET(&changes[n++], (uintptr_t)fd, EVFILT_WRITE, wanted & TL_WRITABLE ? EV_ADD : EV_DELETE, 0, 0,
               (tl_udata)(uintptr_t)tag);
    return n && kevent(set, changes, n, NULL, 0, NULL) < 0 ? -errno : 0;
}

int tl_set_ready(int set, tl_event events[TL_AT_ONCE]) {
    struct kevent ready[TL_AT_ONCE];
    const struct timespec now = {0, 0};
    int n = kevent(set, NULL, 0, ready, TL_AT_ONCE, &now);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) { /* a socket that is ready for both is two events */
        events[i].fd = (int)ready[i].ident;
        events[i].tag = (uint32_t)(uintptr_t)ready[i].udata;
        events[i].what = ready[i].filter == EVFILT_READ ? TL_READABLE : TL_WRITABLE;
    }
    return n;
}

#else

int tl_set_open(void) { return -ENOSYS; }
int tl_set_watch(int set, int fd, uint32_t tag, int was, int wanted) {
    (void)set, (void)fd, (void)tag, (void)was, (void)wanted;
    return -ENOSYS;
}
int tl_set_ready(int set, tl_event events[TL_AT_ONCE]) {
    (void)set, (void)events;
    return -ENOSYS;
}

#endif

void tl_set_close(int set) {
#if TL_WATCHES
    close(set);
#else
    (void)set;
#endif
}
