/* allocator: a malloc for counting instructions, to be preloaded in a process with one thread.
 *
 * What the C library's malloc does depends on earlier allocations: whether a block grows in place or is copied, where in a cache
 * line it begins, whether the heap grows. This one always does the same: each size has a class, each class a list of blocks, every
 * block begins at a cache line, and a block that outgrows its class is always copied.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define LINE 64                /* bytes: the alignment, and the header before a block */
#define SMALLEST 6             /* log2 of the bytes of the first class */
#define CLASSES 42
#define CHUNK (64u << 20)      /* bytes mapped at a time; larger blocks are mapped on their own */

typedef struct Block {
    size_t class;
    struct Block *next; /* if it is free */
    char pad[LINE - sizeof(size_t) - sizeof(void *)];
} Block;

static Block *spare[CLASSES];
static char *at, *end;

static void *map(size_t size) {
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

static Block *carve(size_t size) {
    if (size > CHUNK / 4) return map(size);
    if (!at || (size_t)(end - at) < size) {
        at = map(CHUNK);
        if (!at) return NULL;
        end = at + CHUNK;
    }
    Block *block = (Block *)at;
    at += size;
    return block;
}

void *malloc(size_t size) {
    size_t class = size <= (1u << SMALLEST) ? 0 : (size_t)(64 - SMALLEST - __builtin_clzll(size - 1));
    if (size > PTRDIFF_MAX || class >= CLASSES) {
        errno = ENOMEM;
        return NULL;
    }
    Block *block = spare[class];
    if (block) {
        spare[class] = block->next;
    } else {
        block = carve(LINE + ((size_t)1 << (class + SMALLEST)));
        if (!block) {
            errno = ENOMEM;
            return NULL;
        }
        block->class = class;
    }
    return block + 1;
}

void free(void *bytes) {
    if (!bytes) return;
    Block *block = (Block *)bytes - 1;
    block->next = spare[block->class];
    spare[block->class] = block;
}

void *calloc(size_t count, size_t size) {
    size_t all;
    if (__builtin_mul_overflow(count, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    void *bytes = malloc(all);
    return bytes ? memset(bytes, 0, all) : NULL;
}

void *realloc(void *bytes, size_t size) {
    if (!bytes) return malloc(size);
    size_t room = (size_t)1 << (((Block *)bytes - 1)->class + SMALLEST);
    if (size <= room) return bytes;
    void *larger = malloc(size);
    if (!larger) return NULL;
    memcpy(larger, bytes, room);
    free(bytes);
    return larger;
}

/* Every block is aligned to a cache line; no caller needs more. */
void *aligned_alloc(size_t alignment, size_t size) {
    if (alignment > LINE) return NULL;
    return malloc(size);
}

void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

int posix_memalign(void **bytes, size_t alignment, size_t size) {
    *bytes = aligned_alloc(alignment, size);
    return *bytes ? 0 : ENOMEM;
}

size_t malloc_usable_size(void *bytes) { return bytes ? (size_t)1 << (((Block *)bytes - 1)->class + SMALLEST) : 0; }
