/* rewrite.c: replacing a range of sealed segments by other batches, as compaction does. The new content is built beside
 * the log, on one thread at a time, and takes its place in one step under the partition's lock; a truncation that
 * touches the range meanwhile spoils it. Readers keep what they had pinned. */
#include "store_mem.h"

#include <stdlib.h>
#include <string.h>

struct rewrite {
    chronik_store_part *part;
    int64_t from, end;
    uint32_t stale; /* the partition's lock */
    struct segment *content;
};

void rewrite_spoil(chronik_store_part *p, int64_t from, int64_t end)
{
    struct rewrite *rw = p->rewrite;
    if (rw != NULL && from < rw->end && end > rw->from)
        rw->stale = 1;
}

/* The number of the sealed segment that begins at `from`, and how many reach exactly up to `end`; 0 none. */
static uint32_t find_range(const chronik_store_part *p, int64_t from, int64_t end, uint32_t *first)
{
    uint32_t sealed = p->n_segments - 1, i = 0;
    while (i < sealed && p->segments[i]->base != from)
        i++;
    *first = i;
    while (i < sealed && p->segments[i]->end < end)
        i++;
    return i < sealed && p->segments[i]->end == end ? i - *first + 1 : 0;
}

int32_t op_replace_begin(chronik_store_part *p, int64_t from, int64_t end, void **out)
{
    struct rewrite *rw = calloc(1, sizeof *rw);
    struct segment *content = calloc(1, sizeof *content);
    if (rw == NULL || content == NULL) {
        free(rw);
        free(content);
        return CHRONIK_E_NOMEM;
    }
    content->base = content->end = from;
    content->max_timestamp = -1;
    *rw = (struct rewrite){.part = p, .from = from, .end = end, .content = content};

    uint32_t first;
    pthread_mutex_lock(&p->lock);
    int32_t rc = find_range(p, from, end, &first) == 0 ? CHRONIK_E_RANGE
                 : p->rewrite != NULL                  ? CHRONIK_E_BUSY
                                                       : CHRONIK_DONE;
    if (rc > 0) {
        content->created_ms = p->segments[first]->created_ms;
        p->rewrite = rw;
        *out = rw;
    }
    pthread_mutex_unlock(&p->lock);
    if (rc < 0) {
        free(content);
        free(rw);
    }
    return rc;
}

int32_t op_replace_write(void *writer, const struct chronik_batch_info *b, const struct chronik_iov *iov,
                         uint32_t n_iov)
{
    struct rewrite *rw = writer;
    chronik_store *s = rw->part->store;
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_iov; i++)
        n += iov[i].n;
    if (n == 0 || n != b->bytes || b->base_offset < rw->content->end || b->last_offset < b->base_offset ||
        b->last_offset >= rw->end)
        return CHRONIK_E_INVAL;
    int32_t rc = store_reserve(s, n);
    if (rc < 0)
        return rc;
    struct batch add = {.info = *b, .buf = gather(s, iov, n_iov, n)};
    rc = add.buf != NULL ? segment_add(rw->content, &add) : CHRONIK_E_NOMEM;
    if (rc < 0) {
        if (add.buf != NULL)
            s->host.buf_unref(add.buf);
        store_unreserve(s, n);
    }
    return rc;
}

/* Puts the new segment where the old ones were; they are left in content's place for the caller to free. */
static void swap_in(chronik_store_part *p, struct rewrite *rw, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        segment_free(p->store, p->segments[first + i]);
    rw->content->end = rw->end;
    p->segments[first] = rw->content;
    memmove(p->segments + first + 1, p->segments + first + n, (p->n_segments - first - n) * sizeof(struct segment *));
    p->n_segments -= n - 1;
    rw->content = NULL;
}

int32_t op_replace_end(void *writer, uint32_t commit)
{
    struct rewrite *rw = writer;
    chronik_store_part *p = rw->part;
    int32_t rc = CHRONIK_DONE;
    pthread_mutex_lock(&p->lock);
    p->rewrite = NULL;
    if (commit) {
        uint32_t first, n = find_range(p, rw->from, rw->end, &first);
        if (rw->stale || n == 0)
            rc = CHRONIK_E_STALE;
        else
            swap_in(p, rw, first, n);
    }
    pthread_mutex_unlock(&p->lock);
    if (rw->content != NULL)
        segment_free(p->store, rw->content);
    free(rw);
    return rc;
}
