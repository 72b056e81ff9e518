/* scrub.c: the slow reading of everything that the disk holds, so that damage is reported before somebody needs the
 * bytes. One piece a tick on the low executor, at most `scrub.bytes.per.second`; a pause between two rounds. It changes
 * nothing: damage takes the partition offline (seal.c). */
#include "store.h"

#include <stdlib.h>

enum { TICK_MS = 250, FIRST_MS = 600000 };

struct st_scrub {
    uint32_t slot;              /* of the table: the next to collect */
    chronik_store_part **parts; /* of one slot, each with a reference */
    uint32_t n_parts, at;
    uint32_t serial; /* of the segment in work; earlier ones are done */
    uint64_t position;
};

static void slot_collect(chronik_store *s, struct st_scrub *c)
{
    uint32_t n = 0;
    pthread_mutex_lock(&s->mu);
    for (chronik_store_part *p = s->table[c->slot]; p; p = p->next)
        n++;
    c->parts = n ? calloc(n, sizeof(chronik_store_part *)) : NULL;
    c->n_parts = c->at = 0;
    for (chronik_store_part *p = s->table[c->slot]; p && c->parts; p = p->next) {
        part_ref(p);
        c->parts[c->n_parts++] = p;
    }
    pthread_mutex_unlock(&s->mu);
    c->slot++;
}

/* The oldest segment with a serial of at least `serial`; with a reference. Replaced ones come later in the round. */
static struct st_seg *seg_from(chronik_store_part *p, uint32_t serial)
{
    struct st_seg *g = NULL;
    pthread_mutex_lock(&p->mu);
    for (uint32_t i = 0; i < p->n_segs; i++)
        if (p->segs[i]->serial >= serial && (!g || p->segs[i]->serial < g->serial))
            g = p->segs[i];
    if (g)
        seg_ref(g);
    pthread_mutex_unlock(&p->mu);
    return g;
}

/* One piece of the partition in work: the bytes it read; *more is 0 when the partition is done. */
static uint64_t piece(struct st_scrub *c, chronik_store_part *p, uint64_t most, int *more)
{
    uint64_t upto = 0, from = c->position;
    struct st_seg *g = atomic_load(&p->offline) || p->dir->offline || p->deleted ? NULL : seg_from(p, c->serial);
    *more = g != NULL;
    if (!g)
        return 0;
    if (g->serial != c->serial)
        from = 0;
    c->serial = g->serial;
    int32_t r = seal_scrub(p, g, from, most, &upto);
    c->position = upto;
    if (r < 0 || upto >= g->bytes) {
        c->serial = g->serial + 1;
        c->position = 0;
    }
    seg_unref(g);
    return upto > from ? upto - from : 0;
}

static void parts_drop(struct st_scrub *c)
{
    for (uint32_t i = 0; i < c->n_parts; i++)
        part_unref(c->parts[i]);
    free(c->parts);
    c->parts = NULL;
    c->n_parts = 0;
}

/* Up to `most` bytes; 1 when the round is over. */
static int round_go_on(chronik_store *s, struct st_scrub *c, uint64_t most)
{
    while (most) {
        if (c->at == c->n_parts) {
            parts_drop(c);
            c->serial = 0;
            c->position = 0;
            if (c->slot == ST_HASH)
                return 1;
            slot_collect(s, c);
            continue;
        }
        int more;
        uint64_t n = piece(c, c->parts[c->at], most, &more);
        if (!more) {
            c->at++;
            c->serial = 0;
            c->position = 0;
        }
        s->h->metric_add(s->m.scrubbed, (int64_t)n);
        most -= min_u64(n, most);
    }
    return 0;
}

static void scrub_run(void *arg)
{
    chronik_store *s = arg;
    int64_t now = s->h->mono_ns(s->h->ctx), wait = TICK_MS;
    if (atomic_load(&s->closing))
        return;
    if (!s->scrub && !(s->scrub = calloc(1, sizeof *s->scrub)))
        wait = s->set.scrub_pause_ms;
    else if (round_go_on(s, s->scrub, max_u64(1, s->set.scrub_bytes * TICK_MS / 1000))) {
        s->h->metric_add(s->m.scrub_rounds, 1);
        scrub_free(s);
        wait = s->set.scrub_pause_ms;
    }
    s->h->exec_post_at(s->low, &s->scrub_task, now + wait * 1000000);
}

void scrub_free(chronik_store *s)
{
    if (!s->scrub)
        return;
    parts_drop(s->scrub);
    free(s->scrub);
    s->scrub = NULL;
}

void scrub_init(chronik_store *s)
{
    int64_t first = (int64_t)min_u64(FIRST_MS, (uint64_t)s->set.scrub_pause_ms);
    s->scrub_task = (struct chronik_task){.fn = scrub_run, .arg = s};
    if (s->set.scrub_bytes)
        s->h->exec_post_at(s->low, &s->scrub_task, s->h->mono_ns(s->h->ctx) + first * 1000000);
}
