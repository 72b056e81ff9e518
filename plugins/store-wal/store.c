/* store.c: an instance from create to close: settings, executors, directories. It opens nothing in create; start
 * (recover.c) does. Close flushes, writes clean marks, then frees on a host thread. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

void path_join(char out[ST_PATH], const char *a, const char *b)
{
    snprintf(out, ST_PATH, "%s/%s", a, b);
}

static int64_t setting(const chronik_store *s, const char *key, int64_t dflt)
{
    int64_t v;
    return s->h->config_i64(s->h->ctx, key, &v) > 0 ? v : dflt;
}

static void settings_read(chronik_store *s)
{
    s->set = (struct st_settings){
        .segment_max = (uint64_t)setting(s, "chronik.store-wal.segment.max.bytes", 1 << 30),
        .wal_max = (uint64_t)setting(s, "chronik.store-wal.wal.max.bytes", 512 << 20),
        .wal_checkpoint = (uint64_t)setting(s, "chronik.store-wal.checkpoint.bytes", 256 << 20),
        .wal_file = (uint64_t)setting(s, "chronik.store-wal.wal.file.bytes", 64 << 20),
        .wal_first = (uint64_t)setting(s, "chronik.store-wal.wal.first.file.bytes", 1 << 20),
        .max_open = (uint32_t)setting(s, "chronik.store-wal.open.files", 4000),
        .checkpoint_ms = (uint32_t)setting(s, "chronik.store-wal.checkpoint.ms", 60000),
        .interval_ms = (uint32_t)setting(s, "chronik.store-wal.interval.ms", 1000),
        .scrub_bytes = (uint64_t)setting(s, "chronik.store-wal.scrub.bytes.per.second", 8 << 20),
        .scrub_pause_ms = setting(s, "chronik.store-wal.scrub.pause.ms", 86400000),
    };
    /* Some more than that stay open while they hold bytes that no sync has covered. */
    s->set.most_open = (uint32_t)min_u64(
        3 * (uint64_t)s->set.max_open, (uint64_t)setting(s, "chronik.descriptors.data", 3 * (int64_t)s->set.max_open));
    s->set.max_open = (uint32_t)min_u64(s->set.max_open, s->set.most_open / 2);
    const char *flush = NULL;
    s->set.os_mode = s->h->config_str(s->h->ctx, "chronik.flush", &flush) > 0 && strcmp(flush, "group") != 0;
}

static void metrics_open(chronik_store *s)
{
    struct {
        struct chronik_metric **at;
        uint32_t kind;
        const char *name, *help;
    } v[] = {
        {&s->m.sync_ns, CHRONIK_METRIC_HISTOGRAM, "wal_sync_seconds", "Time of a sync of the write-ahead log."},
        {&s->m.groups, CHRONIK_METRIC_COUNTER, "wal_groups_total", "Groups synced in the write-ahead log."},
        {&s->m.group_records, CHRONIK_METRIC_COUNTER, "wal_group_records_total",
         "Records in these groups; over wal_groups_total: the size of a group."},
        {&s->m.group_bytes, CHRONIK_METRIC_COUNTER, "wal_group_bytes_total", "Bytes of these groups."},
        {&s->m.unchecked, CHRONIK_METRIC_GAUGE, "wal_unchecked_bytes",
         "Bytes in the write-ahead log that no checkpoint covers: what a start would replay."},
        {&s->m.checkpoints, CHRONIK_METRIC_COUNTER, "store_checkpoints_total", "Manifests written."},
        {&s->m.busy, CHRONIK_METRIC_COUNTER, "store_appends_busy_total", "Appends refused for back-pressure."},
        {&s->m.nospc, CHRONIK_METRIC_COUNTER, "store_appends_nospace_total", "Appends refused on a full disk."},
        {&s->m.scrubbed, CHRONIK_METRIC_COUNTER, "store_scrubbed_bytes_total",
         "Bytes read and proved in the background."},
        {&s->m.scrub_rounds, CHRONIK_METRIC_COUNTER, "store_scrub_rounds_total",
         "Times that all segments were proved."},
        {&s->m.damaged, CHRONIK_METRIC_COUNTER, "store_damage_found_total",
         "Segments found damaged; the log and /status name file and offset."},
        {&s->m.open, CHRONIK_METRIC_GAUGE, "store_segments_open", "Segment files held open."},
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        *v[i].at = s->h->metric_open(s->h->ctx, v[i].kind, v[i].name, v[i].help);
}

/* Gauges: on the checkpoint executor, with its timer. */
void metrics_refresh(chronik_store *s)
{
    uint64_t unchecked = 0;
    for (uint32_t i = 0; i < s->n_dirs; i++)
        unchecked += atomic_load(&s->dirs[i].wal_bytes) - atomic_load(&s->dirs[i].wal_checked);
    pthread_mutex_lock(&s->fmu);
    uint32_t open = s->n_open;
    pthread_mutex_unlock(&s->fmu);
    s->h->metric_set(s->m.unchecked, (int64_t)unchecked);
    s->h->metric_set(s->m.open, open);
}

static void exec_gone(void *arg, int32_t result)
{
}

static void store_free(chronik_store *s)
{
    struct st_seg **lists[] = {&s->doomed, &s->doomed_new};
    scrub_free(s);
    if (s->reaping)
        seg_unref(s->reaping);
    for (uint32_t i = 0; i < s->n_dirs; i++)
        for (struct st_seg *g = seg_take_dirty(&s->dirs[i]), *next; g; g = next) {
            next = g->dirty_next;
            atomic_store(&g->dirty, 0);
            seg_unref(g);
        }
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (*lists[i]) {
            struct st_seg *g = *lists[i];
            *lists[i] = g->next;
            seg_unref(g);
        }
    for (uint32_t i = 0; i < ST_HASH; i++)
        while (s->table[i]) {
            chronik_store_part *p = s->table[i];
            s->table[i] = p->next;
            if (p->opened)
                part_unref(p); /* a handle that nobody gave back: it goes with the instance */
            part_unref(p);
        }
    for (uint32_t i = 0; i < s->n_dirs; i++) {
        struct st_dir *d = &s->dirs[i];
        if (d->lock)
            s->h->file_close(d->lock);
        free(d->queue);
        free(d->batch);
        free(d->announce);
        pthread_mutex_destroy(&d->qmu);
        pthread_mutex_destroy(&d->dmu);
    }
    pthread_mutex_destroy(&s->mu);
    pthread_mutex_destroy(&s->fmu);
    pthread_mutex_destroy(&s->imu);
    free(s->chunks);
    free(s);
}

static void dirs_init(chronik_store *s)
{
    s->n_dirs = (uint32_t)min_u64(s->h->dir_count(s->h->ctx), ST_MAX_DIRS); /* more are refused at start */
    for (uint32_t i = 0; i < s->n_dirs; i++) {
        struct st_dir *d = &s->dirs[i];
        struct chronik_dir_info info = {.size = sizeof info};
        d->s = s;
        d->no = i;
        d->path = "?";
        pthread_mutex_init(&d->qmu, NULL);
        pthread_mutex_init(&d->dmu, NULL);
        d->offline = s->h->dir_info(s->h->ctx, i, &info) < 0 || !info.online;
        if (info.path)
            d->path = info.path;
        d->id = info.id;
    }
}

int32_t st_create(const struct chronik_host *host, const struct chronik_store_config *cfg,
                  const struct chronik_store_events *ev, chronik_store **out)
{
    if (!CHRONIK_HAS(struct chronik_host, host, file_start_write) ||
        !CHRONIK_HAS(struct chronik_store_events, ev, part_failed))
        return CHRONIK_E_VERSION;
    chronik_store *s = calloc(1, sizeof *s);
    if (!s)
        return CHRONIK_E_NOMEM;
    memcpy(&s->host, host, min_u64(host->size, sizeof s->host));
    s->h = &s->host;
    memcpy(&s->cfg, cfg, min_u64(cfg->size, sizeof s->cfg));
    memcpy(&s->ev, ev, min_u64(ev->size, sizeof s->ev));
    pthread_mutex_init(&s->mu, NULL);
    pthread_mutex_init(&s->fmu, NULL);
    pthread_mutex_init(&s->imu, NULL);
    lru_init(s);
    settings_read(s);
    metrics_open(s);
    s->h->boot_id(s->h->ctx, &s->boot);
    dirs_init(s);
    reap_init(s);
    int32_t r = s->h->exec_open(s->h->ctx, "store-ckpt", 0, &s->exec);
    if (r > 0)
        r = s->h->exec_open(s->h->ctx, "store-low", CHRONIK_EXEC_LOW, &s->low);
    if (r < 0) {
        struct chronik_done none = {exec_gone, NULL};
        if (s->exec)
            s->h->exec_close(s->exec, none);
        store_free(s);
        return r;
    }
    *out = s;
    return CHRONIK_DONE;
}

/* ---- close: what has been started ends one after the other, each step's completion starts the next ---- */

static void close_next(void *arg, int32_t result)
{
    chronik_store *s = arg;
    while (s->close_at < s->n_dirs) {
        struct reclog *l = s->dirs[s->close_at++].wal;
        if (l) {
            reclog_close(l, (struct chronik_done){close_next, s});
            return;
        }
    }
    struct chronik_exec *execs[] = {s->low, s->exec};
    uint32_t step = s->close_at++ - s->n_dirs;
    if (step < ARRAY_LEN(execs)) {
        s->h->exec_close(execs[step], (struct chronik_done){close_next, s});
        return;
    }
    struct chronik_done done = s->close_done;
    store_free(s);
    done.fn(done.arg, CHRONIK_DONE);
}

static void close_work(void *arg)
{
    close_next(arg, CHRONIK_DONE);
}

/* On the checkpoint executor, the last checkpoint written: the rest must not run on an executor that it closes. */
static void close_written(void *arg)
{
    chronik_store *s = arg;
    s->close_task = (struct chronik_task){.fn = close_work, .arg = s};
    s->h->worker_post(s->h->ctx, &s->close_task);
}

static void close_run(void *arg)
{
    chronik_store *s = arg;
    if (s->started)
        ckpt_final(s, close_written);
    else
        close_written(s);
}

int32_t st_close(chronik_store *s, struct chronik_done done)
{
    if (atomic_exchange(&s->closing, 1))
        return CHRONIK_E_CLOSED;
    s->close_done = done;
    s->close_task = (struct chronik_task){.fn = close_run, .arg = s};
    s->h->exec_post(s->exec, &s->close_task);
    return CHRONIK_PENDING;
}
