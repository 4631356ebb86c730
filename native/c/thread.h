/* thread: which thread is running. Knows the CPU, not Python. */
#ifndef TL_THREAD_H
#define TL_THREAD_H

#include <stdint.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN /* without winsock.h, and without macros of common names */
#define NOMINMAX
#include <windows.h>
#else
#include <pthread.h>
#endif

/* Return a number that is never 0 and that no other thread has while this one lives. On x86-64 and AArch64 it is the thread
 * pointer, which takes one instruction to read. */
static inline uintptr_t tl_thread(void)
{
#if defined(_WIN32)
    return (uintptr_t)GetCurrentThreadId();
#elif defined(__x86_64__) && defined(__linux__)
    uintptr_t self;
    __asm__("movq %%fs:0, %0" : "=r"(self)); /* System V ABI: the first word of the thread's block is its own address */
    return self;
#elif defined(__aarch64__) && defined(__linux__)
    uintptr_t self;
    __asm__("mrs %0, tpidr_el0" : "=r"(self));
    return self;
#else
    return (uintptr_t)pthread_self();
#endif
}

#endif
