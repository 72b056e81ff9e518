/* sidecar.c: small opaque notes beside a partition's log, named by kind and offset. A short unsorted list: a partition
 * has a handful. Any thread, under the partition's lock. */
#include "store_mem.h"

#include <stdlib.h>
#include <string.h>

#define KINDS 16

/* Unlinks and frees every sidecar of `kind` outside [from, to]. */
static void drop_outside(chronik_store_part *p, uint32_t kind, int64_t from, int64_t to)
{
    struct sidecar **at = &p->sidecars;
    while (*at != NULL) {
        struct sidecar *s = *at;
        if (s->kind == kind && (s->offset < from || s->offset > to)) {
            *at = s->next;
            free(s);
        } else {
            at = &s->next;
        }
    }
}

int32_t op_sidecar_write(chronik_store_part *p, uint32_t kind, int64_t offset, const void *data, uint64_t n)
{
    if (kind >= KINDS || offset < 0)
        return CHRONIK_E_INVAL;
    struct sidecar *s = malloc(sizeof *s + n);
    if (s == NULL)
        return CHRONIK_E_NOMEM;
    s->kind = kind;
    s->offset = offset;
    s->n = n;
    if (n != 0)
        memcpy(s->data, data, n);

    pthread_mutex_lock(&p->lock);
    struct sidecar **at = &p->sidecars;
    while (*at != NULL && ((*at)->kind != kind || (*at)->offset != offset))
        at = &(*at)->next;
    struct sidecar *old = *at;
    s->next = old != NULL ? old->next : NULL;
    *at = s;
    pthread_mutex_unlock(&p->lock);
    free(old);
    return CHRONIK_DONE;
}

int32_t op_sidecar_latest(chronik_store_part *p, uint32_t kind, int64_t at_most, int64_t *offset,
                          struct chronik_buf **out)
{
    const struct chronik_host *host = &p->store->host;
    if (kind >= KINDS)
        return CHRONIK_E_INVAL;
    int32_t rc = CHRONIK_E_NOTFOUND;
    pthread_mutex_lock(&p->lock);
    const struct sidecar *best = NULL;
    for (const struct sidecar *s = p->sidecars; s != NULL; s = s->next)
        if (s->kind == kind && s->offset <= at_most && (best == NULL || s->offset > best->offset))
            best = s;
    if (best != NULL) {
        *out = host->buf_new(host->ctx, best->n);
        rc = *out != NULL ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    }
    if (rc > 0) {
        memcpy(host->buf_data(*out), best->data, best->n);
        *offset = best->offset;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int32_t op_sidecar_drop(chronik_store_part *p, uint32_t kind, int64_t above, int64_t below)
{
    if (kind >= KINDS)
        return CHRONIK_E_INVAL;
    pthread_mutex_lock(&p->lock);
    drop_outside(p, kind, below, above);
    pthread_mutex_unlock(&p->lock);
    return CHRONIK_DONE;
}
