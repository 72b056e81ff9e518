/* arena.h: memory that lives as long as one request. Allocation is a pointer bump; everything is released at once.
 * An arena belongs to one thread at a time. */
#ifndef CHRONIK_ARENA_H
#define CHRONIK_ARENA_H

#include "base/base.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *next, *end;           /* the free part of the newest chunk */
    size_t held;                /* bytes taken from malloc */
    size_t limit;               /* refuse to hold more than this; 0 = no limit */
};

/* For tests: arenas find no memory for more than so many bytes at once. SIZE_MAX: the default. */
extern size_t arena_most_at_once;

/* An empty arena holds no memory. `limit` bounds the bytes it may take from malloc (0 = none). */
void arena_init(struct arena *a, size_t limit);

/* Gives everything back to malloc; the arena is empty and usable again. */
void arena_free(struct arena *a);

/* Forgets all allocations but keeps the oldest chunk for the next request. */
void arena_reset(struct arena *a);

/* `size` bytes aligned to 8, or NULL when memory or the limit is exhausted. `size` 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;

/* As arena_alloc, zeroed; NULL also when n * size overflows. */
void *arena_calloc(struct arena *a, size_t n, size_t size) MUST_CHECK;

/* A copy of `len` bytes with a NUL behind it. */
char *arena_strndup(struct arena *a, const char *s, size_t len) MUST_CHECK;

/* A formatted, NUL-terminated string; NULL when memory is exhausted. */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

#endif
