/* mem.h: memory of the image. One writer (the apply executor) builds new objects and retires old ones; readers on any
 * thread hold back what they may still see by an epoch in a slot of their own. No reader ever waits or writes to memory
 * that another reader writes to. Objects are single malloc blocks. */
#ifndef CHRONIK_META_MEM_H
#define CHRONIK_META_MEM_H

#include <stdatomic.h>

#include "base/base.h"
#include "os/lock.h"

struct meta_image;

struct meta_mem;

/* A reader's slot: 0 outside, else the epoch it entered in. */
struct meta_reader {
    _Alignas(64) _Atomic uint64_t epoch;
    struct meta_mem *mem;
    unsigned depth; /* the reader's own */
    bool open;      /* under the registry's lock */
    struct meta_reader *_Atomic next;
};

struct meta_retired {
    void *p;
    uint64_t epoch;
};

struct meta_mem {
    _Atomic uint64_t epoch; /* rises with each publication; starts at 1 */
    const struct meta_image *_Atomic current;
    struct meta_reader *_Atomic readers;
    struct os_mutex lock; /* only for opening and closing readers */
    /* the writer's */
    uint64_t batch;               /* objects born in this batch are not visible to anybody yet */
    struct meta_retired *retired; /* oldest first; [head, n) wait */
    size_t head, n, cap;
    _Atomic uint64_t bytes; /* of all objects, retired ones included */
};

void meta_mem_init(struct meta_mem *m);
/* All readers must be outside. Frees retired objects and the readers, not what is still part of an image. */
void meta_mem_free(struct meta_mem *m);
struct meta_reader *meta_mem_reader(struct meta_mem *m); /* any thread */

/* ---- writer ---- */
void *meta_mem_new(struct meta_mem *m, size_t size); /* zeroed; never NULL: the process ends without memory */
/* `born` is the batch that made it: frees at once what nobody can have seen, else after the readers have left. */
void meta_mem_drop(struct meta_mem *m, const void *p, uint64_t born);
/* Makes `image` current, ends the batch, frees what nobody sees any more. The former image struct is retired. */
void meta_mem_publish(struct meta_mem *m, const struct meta_image *image);
/* Frees what can be freed now; the number of objects still waiting. */
size_t meta_mem_reclaim(struct meta_mem *m);

/* ---- plain memory that ends the process rather than returning NULL ---- */
void *meta_xmalloc(size_t n);
void *meta_xrealloc(void *p, size_t n);
char *meta_xstrdup(const char *s); /* NULL gives NULL */

#endif
