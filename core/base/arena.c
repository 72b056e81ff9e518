/* arena.c: chunked bump allocation. The first chunk is small and kept across resets, later ones double up to 256 KiB.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_FIRST = 4096, ARENA_MOST = 256 * 1024, ARENA_ALIGN = 8 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* of the whole chunk, header included */
    char bytes[];
};

size_t arena_most_at_once = SIZE_MAX;

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_free(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks; c;) {
        struct arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    arena_init(a, a->limit);
}

void arena_reset(struct arena *a)
{
    while (a->chunks && a->chunks->older) {
        struct arena_chunk *c = a->chunks;
        a->chunks = c->older;
        a->held -= c->size;
        free(c);
    }
    if (a->chunks) {
        a->next = a->chunks->bytes;
        a->end = (char *)a->chunks + a->chunks->size;
    }
}

static bool arena_grow(struct arena *a, size_t need)
{
    size_t size = a->chunks ? min_size(a->chunks->size * 2, ARENA_MOST) : ARENA_FIRST;
    size_t least = need + sizeof(struct arena_chunk);
    if (size < least)
        size = least;
    if (a->limit && (size > a->limit || a->held > a->limit - size))
        return false;
    struct arena_chunk *c = size > arena_most_at_once ? NULL : malloc(size);
    if (!c)
        return false;
    c->older = a->chunks;
    c->size = size;
    a->chunks = c;
    a->held += size;
    a->next = c->bytes;
    a->end = (char *)c + size;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = round_up(size ? size : 1, ARENA_ALIGN);
    if (UNLIKELY((size_t)(a->end - a->next) < size) && !arena_grow(a, size))
        return NULL;
    void *p = a->next;
    a->next += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = arena_alloc(a, total);
    return p ? memset(p, 0, total) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *p = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;
    if (!p)
        return NULL;
    if (len > 0) /* s may be NULL then */
        memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return NULL;
    char *p = arena_alloc(a, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}
