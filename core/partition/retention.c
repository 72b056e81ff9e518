/* retention.c: which old segments may go, by time and by size, and which producers are forgotten. Policy only: the
 * store removes. One pass over all partitions, on the low executor. */
#include "partition/priv.h"

#include "base/log.h"
#include "wire/codes.h"

#include <stdlib.h>

LOG_SUBSYSTEM("retention");

struct segments {
    struct chronik_segment_info *v;
    size_t n, cap;
    bool failed;
};

static void gather(void *arg, const struct chronik_segment_info *i)
{
    struct segments *g = arg;
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        struct chronik_segment_info *v = realloc(g->v, cap * sizeof *v);
        if (!v) {
            g->failed = true;
            return;
        }
        g->v = v;
        g->cap = cap;
    }
    g->v[g->n++] = *i;
}

/* The time that segment i is judged by: of its newest record, or when none has one, until when it was written to. The
 * next segment was made by the append behind it. */
static int64_t newest_of(const struct segments *g, size_t i, int64_t last_append_ms)
{
    if (g->v[i].max_timestamp >= 0)
        return g->v[i].max_timestamp;
    return i + 1 < g->n ? g->v[i + 1].created_ms : last_append_ms;
}

/* The offset up to which segments are due: whole ones from the front, all below the high watermark. */
static int64_t due_end(const struct segments *g, const struct config_topic *c, int64_t hw, int64_t last_append_ms,
                       int64_t now_ms, const char **why)
{
    int64_t end = -1;
    uint64_t total = 0;
    for (size_t i = 0; i < g->n; i++)
        total += g->v[i].bytes;
    for (size_t i = 0; i < g->n; i++) {
        const struct chronik_segment_info *s = &g->v[i];
        int64_t newest = newest_of(g, i, last_append_ms);
        bool old = c->retention_ms >= 0 && now_ms - newest > c->retention_ms;
        bool big = c->retention_bytes >= 0 && total - s->bytes >= (uint64_t)c->retention_bytes;
        if (s->end_offset > hw || s->bytes == 0 || !(old || big))
            break;
        *why = old ? "retention.ms" : "retention.bytes";
        end = s->end_offset;
        total -= s->bytes;
    }
    return end;
}

static void removed(struct part_delete *d, int16_t error)
{
    if (error)
        log_warn("partition %s-%d: retention up to offset %lld failed: %s", d->part->topic, d->part->index,
                 (long long)d->offset, kafka_code_name(error));
    free(d);
}

static void remove_upto(struct part *p, int64_t end, const char *why)
{
    struct part_delete *d = calloc(1, sizeof *d);
    if (!d)
        return; /* the next pass tries again */
    d->offset = end;
    d->fn = removed;
    log_info("partition %s-%d: removing segments below offset %lld by %s", p->topic, p->index, (long long)end, why);
    int16_t rc = part_delete_records(p, d);
    if (rc != KAFKA_NONE)
        free(d);
}

static void retain(struct part *p, int64_t now_ms)
{
    struct segments g = {0};
    os_mutex_lock(&p->mu);
    struct config_topic c = p->config;
    int64_t hw = p->high_watermark, last_append_ms = p->last_append_ms;
    bool mine = p->leading && !p->closed && !p->failed;
    if (p->loaded)
        producers_expire(&p->producers,
                         now_ms - __atomic_load_n(&p->set->cfg.producer_expiration_ms, __ATOMIC_RELAXED));
    os_mutex_unlock(&p->mu);
    if (!mine || !c.cleanup_delete || (c.retention_ms < 0 && c.retention_bytes < 0))
        return;
    p->set->cfg.ops->segments(p->sp, gather, &g);
    const char *why = NULL;
    int64_t end = g.failed ? -1 : due_end(&g, &c, hw, last_append_ms, now_ms, &why);
    if (end > 0 && end == g.v[g.n - 1].end_offset && !g.v[g.n - 1].sealed) {
        /* The active segment is due too: seal it, so that whole segments go. */
        os_mutex_lock(&p->mu);
        if (p->written == end && p->set->cfg.ops->roll(p->sp) > 0)
            p->segment_bytes = -1;
        else if (p->written != end)
            end = g.n > 1 ? g.v[g.n - 1].base_offset : -1;
        os_mutex_unlock(&p->mu);
    }
    if (end > 0)
        remove_upto(p, end, why);
    free(g.v);
}

void part_retention_pass(struct part_set *s)
{
    size_t n = 0;
    struct part **all = part_set_all(s, &n);
    if (!all)
        return;
    int64_t now_ms = os_wall_ms(s->cfg.os);
    for (size_t i = 0; i < n; i++) {
        retain(all[i], now_ms);
        part_unref(all[i]);
    }
    free(all);
}
