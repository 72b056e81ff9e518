/* mem.c: epoch-based reclamation. The order that makes it right: a reader stores its slot, then loads the image; the
 * writer stores the image, then raises the epoch, then looks at the slots. All of these are sequentially consistent, so
 * either the writer sees the slot or the reader sees the new image. */
#include "meta/mem.h"

#include <malloc.h>
#include <stdlib.h>

#include "meta/meta.h"

void *meta_xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    CHECK(p != NULL);
    return p;
}

void *meta_xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    CHECK(q != NULL);
    return q;
}

char *meta_xstrdup(const char *s)
{
    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    return memcpy(meta_xmalloc(n), s, n);
}

void meta_mem_init(struct meta_mem *m)
{
    memset(m, 0, sizeof *m);
    atomic_store(&m->epoch, 1);
    m->batch = 1;
    os_mutex_init(&m->lock, LOCK_META);
}

static void mem_release(struct meta_mem *m, void *p)
{
    atomic_fetch_sub_explicit(&m->bytes, malloc_usable_size(p), memory_order_relaxed);
    free(p);
}

void meta_mem_free(struct meta_mem *m)
{
    for (size_t i = m->head; i < m->n; i++)
        mem_release(m, m->retired[i].p);
    free(m->retired);
    struct meta_reader *next;
    for (struct meta_reader *r = atomic_load(&m->readers); r; r = next) {
        CHECK(atomic_load(&r->epoch) == 0);
        next = atomic_load(&r->next);
        free(r);
    }
    os_mutex_destroy(&m->lock);
    memset(m, 0, sizeof *m);
}

void *meta_mem_new(struct meta_mem *m, size_t size)
{
    void *p = calloc(1, size);
    CHECK(p != NULL);
    atomic_fetch_add_explicit(&m->bytes, malloc_usable_size(p), memory_order_relaxed);
    return p;
}

void meta_mem_drop(struct meta_mem *m, const void *p, uint64_t born)
{
    if (!p)
        return;
    if (born == m->batch) {
        mem_release(m, (void *)(uintptr_t)p);
        return;
    }
    if (m->n == m->cap) {
        if (m->head > m->n / 2) {
            memmove(m->retired, m->retired + m->head, (m->n - m->head) * sizeof *m->retired);
            m->n -= m->head;
            m->head = 0;
        } else {
            m->cap = m->cap ? m->cap * 2 : 256;
            m->retired = meta_xrealloc(m->retired, m->cap * sizeof *m->retired);
        }
    }
    m->retired[m->n++] = (struct meta_retired){.p = (void *)(uintptr_t)p,
                                               .epoch = atomic_load_explicit(&m->epoch, memory_order_relaxed)};
}

size_t meta_mem_reclaim(struct meta_mem *m)
{
    if (m->head == m->n)
        return 0;
    uint64_t oldest = UINT64_MAX;
    for (struct meta_reader *r = atomic_load(&m->readers); r; r = atomic_load(&r->next)) {
        uint64_t e = atomic_load(&r->epoch);
        if (e && e < oldest)
            oldest = e;
    }
    /* Retired in epoch e: visible to readers that entered in e or before. */
    while (m->head < m->n && m->retired[m->head].epoch < oldest &&
           m->retired[m->head].epoch < atomic_load_explicit(&m->epoch, memory_order_relaxed))
        mem_release(m, m->retired[m->head++].p);
    if (m->head == m->n) {
        m->head = m->n = 0;
        if (m->cap > 4096) {
            free(m->retired);
            m->retired = NULL;
            m->cap = 0;
        }
    }
    return m->n - m->head;
}

void meta_mem_publish(struct meta_mem *m, const struct meta_image *image)
{
    const struct meta_image *old = atomic_load(&m->current);
    if (old)
        meta_mem_drop(m, old, 0);
    atomic_store(&m->current, image);
    atomic_fetch_add(&m->epoch, 1);
    m->batch++;
    meta_mem_reclaim(m);
}

struct meta_reader *meta_mem_reader(struct meta_mem *m)
{
    os_mutex_lock(&m->lock);
    struct meta_reader *r;
    for (r = atomic_load(&m->readers); r; r = atomic_load(&r->next))
        if (!r->open)
            break;
    if (!r) {
        r = aligned_alloc(64, round_up(sizeof *r, 64));
        CHECK(r != NULL);
        memset(r, 0, sizeof *r);
        r->mem = m;
        atomic_store(&r->next, atomic_load(&m->readers));
        atomic_store(&m->readers, r);
    }
    r->open = true;
    os_mutex_unlock(&m->lock);
    return r;
}

void meta_reader_close(struct meta_reader *r)
{
    if (!r)
        return;
    CHECK(r->depth == 0);
    struct meta_mem *m = r->mem;
    os_mutex_lock(&m->lock);
    r->open = false;
    os_mutex_unlock(&m->lock);
}

const struct meta_image *meta_enter(struct meta_reader *r)
{
    if (r->depth++ == 0)
        atomic_store(&r->epoch, atomic_load(&r->mem->epoch));
    return atomic_load(&r->mem->current);
}

void meta_leave(struct meta_reader *r)
{
    CHECK(r->depth > 0);
    if (--r->depth == 0)
        atomic_store_explicit(&r->epoch, 0, memory_order_release);
}
