/* store_mem.c: a storage module that keeps everything in memory: the reference for authors of storage modules. This
 * file holds the instance, the table of partitions, the executor's work and the descriptor; nothing here looks at
 * batches. Durability is announced from the executor, never from inside append, just as a store does that waits for a
 * disk. */
#include "store_mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- small services for the other files ---- */

/* The bytes of a vector in one new buffer; NULL when memory is short. */
struct chronik_buf *gather(chronik_store *s, const struct chronik_iov *iov, uint32_t n_iov, uint64_t n)
{
    struct chronik_buf *buf = s->host.buf_new(s->host.ctx, n);
    if (buf == NULL)
        return NULL;
    char *to = s->host.buf_data(buf);
    for (uint32_t i = 0; i < n_iov; i++) {
        if (iov[i].n != 0)
            memcpy(to, iov[i].p, iov[i].n);
        to += iov[i].n;
    }
    return buf;
}

int32_t store_reserve(chronik_store *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    int32_t rc = bytes > (uint64_t)s->max_bytes - s->bytes ? CHRONIK_E_NOSPC : CHRONIK_DONE;
    if (rc > 0)
        s->bytes += bytes;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void store_unreserve(chronik_store *s, uint64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->bytes -= bytes;
    pthread_mutex_unlock(&s->lock);
}

void store_mark_dirty(chronik_store_part *p)
{
    chronik_store *s = p->store;
    pthread_mutex_lock(&s->lock);
    if (!p->dirty) {
        p->dirty = 1;
        p->next_dirty = s->dirty;
        s->dirty = p;
    }
    s->host.exec_post(s->exec, &s->commit);
    pthread_mutex_unlock(&s->lock);
}

int32_t store_later(chronik_store *s, struct chronik_done done, chronik_store_part *close, chronik_store_part *destroy)
{
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return CHRONIK_E_NOMEM;
    *j = (struct job){.done = done, .result = CHRONIK_DONE, .close = close, .destroy = destroy};
    pthread_mutex_lock(&s->lock);
    *s->jobs_tail = j;
    s->jobs_tail = &j->next;
    s->host.exec_post(s->exec, &s->commit);
    pthread_mutex_unlock(&s->lock);
    return CHRONIK_PENDING;
}

/* ---- the executor ---- */

/* What one partition has to tell: its new durable end and whether a segment was sealed. */
static void announce(chronik_store *s, chronik_store_part *p)
{
    struct chronik_durable d;
    pthread_mutex_lock(&p->lock);
    uint32_t rose = p->durable < p->written;
    p->durable = p->written;
    d = (struct chronik_durable){.cookie = p->cookie, .end = p->durable};
    int64_t sealed_at = p->sealed_at;
    p->sealed_at = -1;
    pthread_mutex_unlock(&p->lock);
    if (rose)
        s->ev.durable(s->ev.arg, &d, 1, sizeof d);
    if (sealed_at >= 0)
        s->ev.want_sidecars(s->ev.arg, d.cookie, sealed_at);
}

/* The one task of the store: first everything that became durable, then the completions that waited for it. */
static void commit(void *arg)
{
    chronik_store *s = arg;
    pthread_mutex_lock(&s->lock);
    struct job *jobs = s->jobs;
    s->jobs = NULL;
    s->jobs_tail = &s->jobs;
    chronik_store_part *dirty = s->dirty;
    s->dirty = NULL;
    pthread_mutex_unlock(&s->lock);

    while (dirty != NULL) {
        chronik_store_part *p = dirty;
        pthread_mutex_lock(&s->lock);
        dirty = p->next_dirty;
        p->dirty = 0;
        pthread_mutex_unlock(&s->lock);
        announce(s, p);
    }
    while (jobs != NULL) {
        struct job *j = jobs;
        jobs = j->next;
        if (j->close != NULL) {
            pthread_mutex_lock(&j->close->lock);
            j->close->open = 0;
            j->close->cookie = NULL;
            pthread_mutex_unlock(&j->close->lock);
        }
        if (j->destroy != NULL)
            part_free(j->destroy);
        struct chronik_done done = j->done;
        int32_t result = j->result;
        free(j);
        done.fn(done.arg, result);
    }
}

/* ---- the table of partitions (under the store's lock) ---- */

static uint32_t bucket_of(const chronik_store *s, const struct chronik_part_id *id)
{
    uint32_t h = (uint32_t)id->partition * UINT32_C(2654435761);
    for (uint32_t i = 0; i < sizeof id->topic.b; i++)
        h = (h ^ id->topic.b[i]) * UINT32_C(16777619);
    return h & (s->n_buckets - 1);
}

static chronik_store_part **table_find(chronik_store *s, const struct chronik_part_id *id)
{
    chronik_store_part **at = &s->buckets[bucket_of(s, id)];
    while (*at != NULL &&
           ((*at)->id.partition != id->partition || memcmp((*at)->id.topic.b, id->topic.b, sizeof id->topic.b) != 0))
        at = &(*at)->next_in_bucket;
    return at;
}

/* Doubles the buckets when they are full; without memory the chains just grow longer. */
static void table_grow(chronik_store *s)
{
    if (s->n_parts < s->n_buckets)
        return;
    chronik_store_part **old = s->buckets, **grown = calloc(s->n_buckets * 2, sizeof(chronik_store_part *));
    if (grown == NULL)
        return;
    uint32_t n_old = s->n_buckets;
    s->buckets = grown;
    s->n_buckets *= 2;
    for (uint32_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            chronik_store_part *p = old[i];
            old[i] = p->next_in_bucket;
            chronik_store_part **to = &s->buckets[bucket_of(s, &p->id)];
            p->next_in_bucket = *to;
            *to = p;
        }
    }
    free(old);
}

/* ---- ops ---- */

static int32_t read_settings(chronik_store *s)
{
    int32_t rc = s->host.config_i64(s->host.ctx, "chronik.store-mem.max.bytes", &s->max_bytes);
    if (rc > 0)
        rc = s->host.config_i64(s->host.ctx, "chronik.store-mem.segment.bytes", &s->segment_bytes);
    if (rc < 0)
        s->host.log(s->host.ctx, CHRONIK_LOG_ERROR, "the settings chronik.store-mem.* cannot be read");
    return rc;
}

static int32_t op_create(const struct chronik_host *host, const struct chronik_store_config *cfg,
                         const struct chronik_store_events *ev, chronik_store **out)
{
    (void)cfg;
    if (!CHRONIK_HAS(struct chronik_host, host, buf_unref) ||
        !CHRONIK_HAS(struct chronik_store_events, ev, part_failed))
        return CHRONIK_E_VERSION;
    chronik_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHRONIK_E_NOMEM;
    memcpy(&s->host, host, host->size < sizeof s->host ? host->size : sizeof s->host);
    memcpy(&s->ev, ev, ev->size < sizeof s->ev ? ev->size : sizeof s->ev);
    s->n_buckets = 64;
    s->buckets = calloc(s->n_buckets, sizeof(chronik_store_part *));
    int32_t rc = s->buckets == NULL ? CHRONIK_E_NOMEM : read_settings(s);
    if (rc > 0)
        rc = s->host.exec_open(s->host.ctx, "store-mem", 0, &s->exec);
    if (rc < 0) {
        free(s->buckets);
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->commit.fn = commit;
    s->commit.arg = s;
    s->jobs_tail = &s->jobs;
    *out = s;
    return CHRONIK_DONE;
}

/* Nothing to lock, nothing to replay: the store is always empty at start. */
static int32_t op_start(chronik_store *s, char *text, uint64_t n)
{
    if (n > 0)
        text[0] = 0;
    pthread_mutex_lock(&s->lock);
    int32_t rc = s->started ? CHRONIK_E_INVAL : CHRONIK_DONE;
    s->started = 1;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int32_t op_list(chronik_store *s, void (*each)(void *arg, const struct chronik_part_id *id), void *arg)
{
    pthread_mutex_lock(&s->lock);
    uint32_t n = 0;
    struct chronik_part_id *ids = calloc((size_t)s->n_parts + 1, sizeof *ids);
    for (uint32_t i = 0; ids != NULL && i < s->n_buckets; i++)
        for (chronik_store_part *p = s->buckets[i]; p != NULL; p = p->next_in_bucket)
            ids[n++] = p->id;
    pthread_mutex_unlock(&s->lock);
    if (ids == NULL)
        return CHRONIK_E_NOMEM;
    for (uint32_t i = 0; i < n; i++)
        each(arg, &ids[i]);
    free(ids);
    return CHRONIK_DONE;
}

/* Opens what the table has. A partition that was closed before is known to be clean. */
static int32_t reopen(chronik_store_part *p, void *cookie)
{
    pthread_mutex_lock(&p->lock);
    int32_t rc = p->open ? CHRONIK_E_EXISTS : CHRONIK_DONE;
    if (rc > 0) {
        p->open = p->clean = 1;
        p->cookie = cookie;
        p->recovery_point = p->written;
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static int32_t op_open(chronik_store *s, const struct chronik_part_id *id, uint32_t flags, void *cookie,
                       chronik_store_part **out)
{
    if (flags & ~CHRONIK_STORE_CREATE)
        return CHRONIK_E_UNSUPPORTED;
    struct chronik_part_id placed = *id;
    if (placed.dir == UINT32_MAX)
        placed.dir = 0;
    if (placed.dir >= s->host.dir_count(s->host.ctx))
        return CHRONIK_E_INVAL;

    pthread_mutex_lock(&s->lock);
    int32_t rc = !s->started ? CHRONIK_E_INVAL : s->closing ? CHRONIK_E_CLOSED : CHRONIK_DONE;
    chronik_store_part **at = table_find(s, id), *p = *at;
    if (rc > 0 && p != NULL) {
        /* The order of locks is partition, then store; the table keeps p alive, and only this caller may delete it. */
        pthread_mutex_unlock(&s->lock);
        rc = reopen(p, cookie);
        *out = rc > 0 ? p : NULL;
        return rc;
    }
    if (rc > 0 && !(flags & CHRONIK_STORE_CREATE))
        rc = CHRONIK_E_NOTFOUND;
    if (rc > 0 && (p = part_new(s, &placed)) == NULL)
        rc = CHRONIK_E_NOMEM;
    if (rc > 0) {
        p->open = 1;
        p->cookie = cookie;
        *at = p;
        s->n_parts++;
        table_grow(s);
        *out = p;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int32_t op_part_close(chronik_store_part *p, struct chronik_done done)
{
    return store_later(p->store, done, p, NULL);
}

static int32_t op_part_delete(chronik_store_part *p, struct chronik_done done)
{
    chronik_store *s = p->store;
    pthread_mutex_lock(&s->lock);
    chronik_store_part **at = table_find(s, &p->id);
    *at = p->next_in_bucket;
    s->n_parts--;
    pthread_mutex_unlock(&s->lock);

    int32_t rc = store_later(s, done, NULL, p);
    if (rc < 0) {
        pthread_mutex_lock(&s->lock);
        at = &s->buckets[bucket_of(s, &p->id)];
        p->next_in_bucket = *at;
        *at = p;
        s->n_parts++;
        pthread_mutex_unlock(&s->lock);
    }
    return rc;
}

/* In memory a move is a new label. */
static int32_t op_part_move(chronik_store_part *p, uint32_t dir, struct chronik_done done)
{
    (void)done;
    if (dir >= p->store->host.dir_count(p->store->host.ctx))
        return CHRONIK_E_INVAL;
    pthread_mutex_lock(&p->lock);
    p->id.dir = dir;
    pthread_mutex_unlock(&p->lock);
    return CHRONIK_DONE;
}

static int32_t op_flush(chronik_store *s, struct chronik_done done)
{
    return store_later(s, done, NULL, NULL);
}

/* The executor has run everything that was queued and is gone. */
static void closed(void *arg, int32_t result)
{
    chronik_store *s = arg;
    struct chronik_done done = s->close_done;
    for (uint32_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i] != NULL) {
            chronik_store_part *p = s->buckets[i];
            s->buckets[i] = p->next_in_bucket;
            part_free(p);
        }
    }
    free(s->buckets);
    pthread_mutex_destroy(&s->lock);
    free(s);
    done.fn(done.arg, result);
}

/* What is pending completes first, and better than canceled: in memory its outcome is known. */
static int32_t op_close(chronik_store *s, struct chronik_done done)
{
    pthread_mutex_lock(&s->lock);
    int32_t rc = s->closing ? CHRONIK_E_CLOSED : CHRONIK_PENDING;
    s->closing = 1;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return rc;
    s->close_done = done;
    return s->host.exec_close(s->exec, (struct chronik_done){.fn = closed, .arg = s});
}

/* ---- the descriptor ---- */

static const struct chronik_store_ops ops = {
    .size = sizeof ops,
    .create = op_create,
    .start = op_start,
    .list = op_list,
    .open = op_open,
    .part_close = op_part_close,
    .part_delete = op_part_delete,
    .part_move = op_part_move,
    .append = op_append,
    .read = op_read,
    .release = op_release,
    .truncate_prefix = op_truncate_prefix,
    .truncate_suffix = op_truncate_suffix,
    .roll = op_roll,
    .segments = op_segments,
    .find_time = op_find_time,
    .replace_begin = op_replace_begin,
    .replace_write = op_replace_write,
    .replace_end = op_replace_end,
    .sidecar_write = op_sidecar_write,
    .sidecar_latest = op_sidecar_latest,
    .sidecar_drop = op_sidecar_drop,
    .stat = op_stat,
    .flush = op_flush,
    .close = op_close,
};

static const struct chronik_config_key config_keys[] = {
    {
        .name = "chronik.store-mem.max.bytes",
        .type = CHRONIK_CONFIG_INT,
        .dflt = "1073741824",
        .min = 1,
        .max = INT64_MAX,
        .doc = "Bytes of batches that are kept in memory; appends beyond are refused.",
    },
    {
        .name = "chronik.store-mem.segment.bytes",
        .type = CHRONIK_CONFIG_INT,
        .dflt = "67108864",
        .min = 1,
        .max = INT64_MAX,
        .doc = "Bytes after which a segment is sealed and a new one begins.",
    },
};

static const struct chronik_plugin plugin = {
    .magic = CHRONIK_PLUGIN_MAGIC,
    .size = sizeof plugin,
    .kind = CHRONIK_KIND_STORE,
    .abi_major = CHRONIK_STORE_MAJOR,
    .abi_minor = CHRONIK_STORE_MINOR,
    .host_major = CHRONIK_HOST_MAJOR,
    .host_minor = CHRONIK_HOST_MINOR,
    .capabilities = CHRONIK_CAP_TRUNCATE_SUFFIX | CHRONIK_CAP_REPLACE | CHRONIK_CAP_SIDECAR | CHRONIK_CAP_MOVE,
    .name = "store-mem",
    .version = "1.0",
    .ops = &ops,
    .ops_size = sizeof ops,
    .config_keys = config_keys,
    .n_config_keys = sizeof config_keys / sizeof config_keys[0],
    .config_key_stride = sizeof config_keys[0],
    .summary = "record batches in memory; gone with the process",
};

CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void);

CHRONIK_EXPORT const struct chronik_plugin *chronik_plugin_v1(void)
{
    return &plugin;
}
