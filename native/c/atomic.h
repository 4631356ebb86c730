/* atomic: words that one thread writes and others read. Knows the compiler, not Python's API. */
#ifndef TL_ATOMIC_H
#define TL_ATOMIC_H

#include <stddef.h>
#include <stdint.h>

/* A pointer to data that never changes. Any thread may read it while another sets it. */
#if defined(_MSC_VER) && !defined(__clang__)
#define TL_LOAD(pointer) (pointer) /* aligned, so it is read whole; what it points at is as old as the program */
#define TL_STORE(pointer, value) ((void)((pointer) = (value)))
#else
#define TL_LOAD(pointer) __atomic_load_n(&(pointer), __ATOMIC_RELAXED)
#define TL_STORE(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELAXED)
#endif

/* Each word has one writer, the thread of the event loop that it belongs to; any thread may read it, and gets the latest value or
 * an older one. With the GIL a word is a plain variable and costs nothing; without it, it is atomic. Reading takes no function.
 * Py_GIL_DISABLED comes from Python.h, which every compiled module includes first. */
#if !defined(Py_GIL_DISABLED)
typedef uint64_t tl_counter;
typedef int tl_flag;
typedef size_t tl_word;
static inline void tl_count(tl_counter *counter, uint64_t n) { *counter += n; }
static inline void tl_forget(tl_counter *counter) { *counter = 0; }
static inline void tl_put(tl_flag *flag, int value) { *flag = value; }
static inline void tl_put_word(tl_word *word, size_t value) { *word = value; }

#elif defined(_MSC_VER) && !defined(__clang__)
/* MSVC has C11 atomics only behind a switch. An aligned volatile word is read and written whole; the barriers order the writes
 * before it. */
#include <intrin.h>
#if defined(_M_ARM64)
#define TL_BARRIER() __dmb(0xB) /* ISH */
#else
#define TL_BARRIER() _ReadWriteBarrier()
#endif
typedef volatile uint64_t tl_counter;
typedef volatile int tl_flag;
typedef volatile size_t tl_word;
static inline void tl_count(tl_counter *counter, uint64_t n) { *counter = *counter + n; }
static inline void tl_forget(tl_counter *counter) { *counter = 0; }
static inline void tl_put(tl_flag *flag, int value) { TL_BARRIER(); *flag = value; }
static inline void tl_put_word(tl_word *word, size_t value) { TL_BARRIER(); *word = value; }

#else
#include <stdatomic.h>
typedef _Atomic(uint64_t) tl_counter;
typedef _Atomic(int) tl_flag;
typedef _Atomic(size_t) tl_word;

/* Add n. There must be one writer only. */
static inline void tl_count(tl_counter *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void tl_forget(tl_counter *counter) { atomic_store_explicit(counter, 0, memory_order_relaxed); }

/* Set it after all earlier writes: a thread that reads the new value sees those as well. */
static inline void tl_put(tl_flag *flag, int value) { atomic_store_explicit(flag, value, memory_order_release); }
static inline void tl_put_word(tl_word *word, size_t value) { atomic_store_explicit(word, value, memory_order_release); }
#endif

#endif
