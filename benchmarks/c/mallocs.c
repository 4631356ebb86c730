/* mallocs: counts allocated blocks; to be preloaded where only one thread allocates. glibc's functions do the work. */
#include <stddef.h>

unsigned long tl_mallocs;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void *malloc(size_t size) {
    tl_mallocs++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    tl_mallocs++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    tl_mallocs++;
    return __libc_realloc(block, size);
}
