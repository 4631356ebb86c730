/* atomic: words that one thread writes while others read them. Knows the compiler, not Python's API. */
#ifndef TL_ATOMIC_H
#define TL_ATOMIC_H

#include <stddef.h>
#include <stdint.h>

/* A pointer to what never changes, which any thread may read while another sets it. */
#if defined(_MSC_VER) && !defined(__clang__)
#define TL_LOAD(pointer) (pointer) /* aligned, so it is read whole; nothing it points at is younger than the program */
#define TL_STORE(pointer, value) ((void)((pointer) = (value)))
#else
#define TL_LOAD(pointer) __atomic_load_n(&(pointer), __ATOMIC_RELAXED)
#define TL_STORE(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELAXED)
#endif

/* Each word here has one writer, the thread of the event loop that it belongs to; any thread may read it. A reader gets a value
 * that was there, if not the latest. Where the interpreter has a lock, that orders all, and a word is a plain one: so it costs
 * nothing. Without the lock it is atomic. A read needs no function in either case. Py_GIL_DISABLED is Python.h's, which every
 * compiled module has included before. */
#if !defined(Py_GIL_DISABLED)
typedef uint64_t tl_counter;
typedef int tl_flag;
typedef size_t tl_word;
static inline void tl_count(tl_counter *counter, uint64_t n) { *counter += n; }
static inline void tl_forget(tl_counter *counter) { *counter = 0; }
static inline void tl_put(tl_flag *flag, int value) { *flag = value; }
static inline void tl_put_word(tl_word *word, size_t value) { *word = value; }

#elif defined(_MSC_VER) && !defined(__clang__)
/* MSVC's C11 atomics are a switch of its own. An aligned volatile word is read and written whole; the barriers order what was
 * written before it. */
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

/* Counts n more. Not for two writers. */
static inline void tl_count(tl_counter *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void tl_forget(tl_counter *counter) { atomic_store_explicit(counter, 0, memory_order_relaxed); }

/* Sets it, behind all that was written before: whoever reads the new value sees that, too. */
static inline void tl_put(tl_flag *flag, int value) { atomic_store_explicit(flag, value, memory_order_release); }
static inline void tl_put_word(tl_word *word, size_t value) { atomic_store_explicit(word, value, memory_order_release); }
#endif

#endif
