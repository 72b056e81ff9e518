/* part.c: the life of a partition: the registry, opening, adopting epochs and settings, closing, and what the store
 * announces. Opening and closing run on the reconciler's executor; look-ups on any thread. */
#include "partition/priv.h"

#include "base/log.h"
#include "wire/codes.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("partition");

/* ---- the registry ---- */

static uint32_t bucket_of(const struct part_set *s, const struct chronik_uuid *id, int32_t index)
{
    uint64_t a, b;
    memcpy(&a, id->b, 8);
    memcpy(&b, id->b + 8, 8);
    uint64_t h = (a ^ (b * UINT64_C(0x9e3779b97f4a7c15)) ^ (uint32_t)index) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(h >> 32) & (s->n_buckets - 1);
}

struct part_set *part_set_new(const struct part_set_config *cfg)
{
    struct part_set *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cfg = *cfg;
    s->n_buckets = 64;
    s->buckets = calloc(s->n_buckets, sizeof *s->buckets);
    if (!s->buckets) {
        free(s);
        return NULL;
    }
    os_rwlock_init(&s->lock, LOCK_REGISTRY);
    os_mutex_init(&s->side_mu, LOCK_REGISTRY);
    s->side_task = (struct chronik_task){.fn = part_sidecars_run, .arg = s};
    s->flush_task = (struct chronik_task){.fn = part_flush_due, .arg = s};
    s->flush_at_ns = INT64_MAX;
    return s;
}

void part_set_store(struct part_set *s, chronik_store *store)
{
    s->cfg.store = store;
}

void part_set_producer_expiration(struct part_set *s, int64_t ms)
{
    __atomic_store_n(&s->cfg.producer_expiration_ms, ms, __ATOMIC_RELAXED);
}

void part_set_free(struct part_set *s)
{
    if (!s)
        return;
    CHECK(s->n == 0);
    os_rwlock_destroy(&s->lock);
    os_mutex_destroy(&s->side_mu);
    free(s->buckets);
    free(s);
}

static void grow(struct part_set *s)
{
    struct part **was = s->buckets;
    uint32_t n_was = s->n_buckets;
    struct part **wider = calloc((size_t)n_was * 2, sizeof *wider);
    if (!wider)
        return; /* longer chains, nothing worse */
    s->buckets = wider;
    s->n_buckets = n_was * 2;
    for (uint32_t i = 0; i < n_was; i++)
        for (struct part *p = was[i], *next; p; p = next) {
            next = p->chain;
            struct part **b = &wider[bucket_of(s, &p->topic_id, p->index)];
            p->chain = *b;
            *b = p;
        }
    free(was);
}

static struct part **chain_slot(struct part_set *s, const struct chronik_uuid *id, int32_t index)
{
    struct part **at = &s->buckets[bucket_of(s, id, index)];
    while (*at && !((*at)->index == index && memcmp((*at)->topic_id.b, id->b, sizeof id->b) == 0))
        at = &(*at)->chain;
    return at;
}

struct part *part_find(struct part_set *s, const struct chronik_uuid *topic_id, int32_t index)
{
    os_rwlock_read(&s->lock);
    struct part *p = *chain_slot(s, topic_id, index);
    if (p)
        part_ref(p);
    os_rwlock_unlock(&s->lock);
    return p;
}

bool part_wait_open(struct part_set *s, struct part_opening *o)
{
    os_rwlock_write(&s->lock);
    o->missing = o->n;
    for (int32_t i = 0; i < o->end; i++)
        o->missing -= *chain_slot(s, &o->topic_id, i) != NULL;
    bool wait = o->missing > 0;
    if (wait) {
        o->next = s->openings;
        s->openings = o;
    }
    os_rwlock_unlock(&s->lock);
    return wait;
}

bool part_wait_open_cancel(struct part_set *s, struct part_opening *o)
{
    os_rwlock_write(&s->lock);
    struct part_opening **at = &s->openings;
    while (*at && *at != o)
        at = &(*at)->next;
    bool was = *at != NULL;
    if (was)
        *at = o->next;
    os_rwlock_unlock(&s->lock);
    return was;
}

/* Under the lock: a partition of this topic was opened. */
static void tell_openings(struct part_set *s, const struct chronik_uuid *topic_id)
{
    for (struct part_opening **at = &s->openings; *at;) {
        struct part_opening *o = *at;
        if (memcmp(o->topic_id.b, topic_id->b, sizeof topic_id->b) != 0 || --o->missing > 0) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        os_exec_post(o->exec, &o->task);
    }
}

uint64_t part_set_count(struct part_set *s)
{
    os_rwlock_read(&s->lock);
    uint64_t n = s->n;
    os_rwlock_unlock(&s->lock);
    return n;
}

uint64_t part_set_offline(struct part_set *s, char *text, size_t n)
{
    uint64_t offline = 0;
    os_rwlock_read(&s->lock);
    for (uint32_t i = 0; i < s->n_buckets; i++)
        for (struct part *p = s->buckets[i]; p; p = p->chain)
            offline += __atomic_load_n(&p->failed, __ATOMIC_RELAXED);
    os_rwlock_unlock(&s->lock);
    os_mutex_lock(&s->side_mu);
    snprintf(text, n, "%s", s->damage);
    os_mutex_unlock(&s->side_mu);
    return offline;
}

struct part **part_set_all(struct part_set *s, size_t *n)
{
    os_rwlock_read(&s->lock);
    struct part **all = malloc((s->n + 1) * sizeof *all);
    *n = 0;
    for (uint32_t i = 0; all && i < s->n_buckets; i++)
        for (struct part *p = s->buckets[i]; p; p = p->chain) {
            part_ref(p);
            all[(*n)++] = p;
        }
    os_rwlock_unlock(&s->lock);
    return all;
}

/* ---- references ---- */

static void part_free(struct part *p)
{
    epochs_free(&p->epochs);
    producers_free(&p->producers);
    os_mutex_destroy(&p->mu);
    free(p->topic);
    free(p);
}

static void store_side_gone(void *arg, int32_t result)
{
    struct part *p = arg;
    if (result < 0)
        log_warn("partition %s-%d: the store could not %s it: code %d", p->topic, p->index,
                 p->removing ? "remove" : "close", result);
    part_free(p);
}

/* Nobody holds it any more: the store's side goes, then the memory. */
static void reap(void *arg)
{
    struct part *p = arg;
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    struct chronik_done done = {store_side_gone, p};
    int32_t rc = p->removing ? ops->part_delete(p->sp, done) : ops->part_close(p->sp, done);
    if (rc != CHRONIK_PENDING)
        store_side_gone(p, rc);
}

void part_ref(struct part *p)
{
    __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
}

bool part_ref_alive(struct part *p)
{
    int32_t n = __atomic_load_n(&p->refs, __ATOMIC_RELAXED);
    while (n > 0 && !__atomic_compare_exchange_n(&p->refs, &n, n + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return n > 0;
}

void part_unref(struct part *p)
{
    if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
        return;
    p->reap = (struct chronik_task){.fn = reap, .arg = p};
    os_exec_post(p->set->cfg.low, &p->reap);
}

/* ---- opening and closing ---- */

void part_draw_jitter(struct part *p)
{
    uint64_t r, most = (uint64_t)min_i64(p->config.segment_jitter_ms, p->config.segment_ms);
    os_random(p->set->cfg.os, &r, sizeof r);
    p->roll_jitter_ms = most ? (int64_t)(r % most) : 0;
}

/* Under mu: this node leads under `epoch` from the present end on. */
static void adopt(struct part *p, const struct part_spec *spec)
{
    bool jitter = p->config.segment_jitter_ms != spec->config->segment_jitter_ms ||
                  p->config.segment_ms != spec->config->segment_ms;
    p->config = *spec->config;
    if (jitter)
        part_draw_jitter(p);
    if (p->config.cleanup_compact && !__atomic_exchange_n(&p->set->told_compact, true, __ATOMIC_RELAXED))
        log_warn("topic %s has cleanup.policy=compact: its records need keys, but nothing is compacted yet (said once)",
                 p->topic);
    if (spec->leader_epoch < p->leader_epoch)
        return;
    bool rises = spec->leader_epoch > p->leader_epoch;
    p->leader = spec->leader;
    p->leader_epoch = spec->leader_epoch;
    p->leading = spec->leader == p->set->cfg.node_id;
    if (p->leading && rises && p->loaded && !epochs_note(&p->epochs, p->leader_epoch, p->written))
        p->loaded = false;
}

static int32_t open_store_side(struct part *p, bool create, struct err *e)
{
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    struct chronik_part_id id = {.topic = p->topic_id, .partition = p->index, .dir = UINT32_MAX};
    int32_t rc = ops->open(p->set->cfg.store, &id, create ? CHRONIK_STORE_CREATE : 0, p, &p->sp);
    if (rc < 0)
        return err_set(e, rc, "partition %s-%d: the store could not open it (code %d)", p->topic, p->index, rc);
    struct chronik_part_stat st = {.size = sizeof st};
    ops->stat(p->sp, &st);
    p->log_start = st.log_start;
    p->written = st.written;
    p->high_watermark = st.durable;
    p->failed = st.offline != 0;
    p->segment_bytes = -1; /* asked at the first append */
    p->last_append_ms = os_wall_ms(p->set->cfg.os);
    p->loaded = st.written == 0 && st.log_start == 0;
    return CHRONIK_DONE;
}

int32_t part_open(struct part_set *s, const struct part_spec *spec, bool create, struct err *e)
{
    struct part *p = part_find(s, &spec->topic_id, spec->index);
    if (p) {
        os_mutex_lock(&p->mu);
        bool was_leading = p->leading;
        adopt(p, spec);
        struct part_fired fired = {.error = KAFKA_NOT_LEADER_OR_FOLLOWER};
        if (was_leading && !p->leading)
            part_fail_waiters(p, &fired);
        os_mutex_unlock(&p->mu);
        part_fire(&fired);
        part_unref(p);
        return CHRONIK_DONE;
    }
    p = calloc(1, sizeof *p);
    char *topic = strdup(spec->topic);
    if (!p || !topic) {
        free(p);
        free(topic);
        return err_set(e, CHRONIK_E_NOMEM, "partition %s-%d: out of memory", spec->topic, spec->index);
    }
    os_mutex_init(&p->mu, LOCK_PARTITION);
    p->refs = 1;
    p->set = s;
    p->topic_id = spec->topic_id;
    p->index = spec->index;
    p->topic = topic;
    p->leader_epoch = -1;
    p->sidecar_at = -1;
    p->moving_to = -1;
    int32_t rc = open_store_side(p, create, e);
    if (rc < 0) {
        part_free(p);
        return rc;
    }
    os_mutex_lock(&p->mu);
    adopt(p, spec);
    os_mutex_unlock(&p->mu);
    os_rwlock_write(&s->lock);
    if (s->n >= s->n_buckets * 2)
        grow(s);
    struct part **slot = chain_slot(s, &p->topic_id, p->index);
    CHECK(!*slot);
    *slot = p;
    s->n++;
    tell_openings(s, &p->topic_id);
    os_rwlock_unlock(&s->lock);
    return CHRONIK_DONE;
}

/* Fails what waits, marks it closed, drops the registry's reference. */
static void retire(struct part *p, bool remove)
{
    struct part_fired fired = {.error = remove ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_NOT_LEADER_OR_FOLLOWER};
    os_mutex_lock(&p->mu);
    p->closed = true;
    p->removing = remove;
    p->leading = false;
    part_fail_waiters(p, &fired);
    os_mutex_unlock(&p->mu);
    if (!remove)
        part_sidecar_enqueue(p);
    part_fire(&fired);
    part_unref(p);
}

int32_t part_close(struct part_set *s, const struct chronik_uuid *topic_id, int32_t index, bool remove, struct err *e)
{
    os_rwlock_write(&s->lock);
    struct part **slot = chain_slot(s, topic_id, index);
    struct part *p = *slot;
    if (p) {
        *slot = p->chain;
        s->n--;
    }
    os_rwlock_unlock(&s->lock);
    if (!p)
        return err_set(e, CHRONIK_E_NOTFOUND, "partition %d of an unknown topic id is not open here", index);
    retire(p, remove);
    return CHRONIK_DONE;
}

void part_close_all(struct part_set *s)
{
    part_flush_close(s);
    os_rwlock_write(&s->lock);
    struct part *all = NULL;
    for (uint32_t i = 0; i < s->n_buckets; i++)
        while (s->buckets[i]) {
            struct part *p = s->buckets[i];
            s->buckets[i] = p->chain;
            p->chain = all;
            all = p;
        }
    s->n = 0;
    os_rwlock_unlock(&s->lock);
    while (all) {
        struct part *p = all;
        all = p->chain;
        retire(p, false);
    }
    part_sidecars_close(s); /* theirs are queued */
}

/* ---- what the store announces ---- */

static void on_durable(void *arg, const struct chronik_durable *d, uint32_t n, uint32_t stride)
{
    struct part_set *set = arg;
    os_posts_begin(set->cfg.os); /* a group's requests wake their loops once */
    for (uint32_t i = 0; i < n; i++) {
        const struct chronik_durable *one = (const void *)((const char *)d + (size_t)i * stride);
        struct part *p = one->cookie;
        struct part_fired fired = {0};
        os_mutex_lock(&p->mu);
        part_raise_hw(p, one->end, &fired);
        os_mutex_unlock(&p->mu);
        part_fire(&fired);
    }
    os_posts_end(set->cfg.os);
}

static void on_append_failed(void *arg, void *cookie, int64_t end, int32_t code)
{
    struct part *p = cookie;
    struct part_fired fired = {.error = part_store_error(code)};
    os_mutex_lock(&p->mu);
    log_error("partition %s-%d: batches from offset %lld on could not be made durable (code %d): they are taken back",
              p->topic, p->index, (long long)end, code);
    p->written = end;
    p->segment_bytes = -1;
    producers_truncate(&p->producers, end);
    epochs_truncate_suffix(&p->epochs, end);
    p->loaded = false; /* older batches of a producer may have been pushed out: read them again */
    producers_free(&p->producers);
    part_fail_waiters(p, &fired);
    os_mutex_unlock(&p->mu);
    part_fire(&fired);
}

static void on_want_sidecars(void *arg, void *cookie, int64_t end)
{
    part_sidecar_enqueue(cookie);
}

static void on_part_failed(void *arg, void *cookie, int32_t code, const char *text)
{
    struct part *p = cookie;
    struct part_fired fired = {.error = KAFKA_KAFKA_STORAGE_ERROR};
    log_error("partition %s-%d is offline: %s", p->topic, p->index, text);
    os_mutex_lock(&p->set->side_mu);
    snprintf(p->set->damage, sizeof p->set->damage, "%s-%d: %s", p->topic, p->index, text);
    os_mutex_unlock(&p->set->side_mu);
    os_mutex_lock(&p->mu);
    __atomic_store_n(&p->failed, true, __ATOMIC_RELAXED);
    part_fail_waiters(p, &fired);
    os_mutex_unlock(&p->mu);
    part_fire(&fired);
}

void part_set_events(struct part_set *s, struct chronik_store_events *out)
{
    *out = (struct chronik_store_events){
        .size = sizeof *out,
        .arg = s,
        .durable = on_durable,
        .append_failed = on_append_failed,
        .want_sidecars = on_want_sidecars,
        .part_failed = on_part_failed,
    };
}

/* ---- looking ---- */

const char *part_topic(const struct part *p)
{
    return p->topic;
}

int32_t part_index(const struct part *p)
{
    return p->index;
}

const struct chronik_uuid *part_topic_id(const struct part *p)
{
    return &p->topic_id;
}

void part_look(struct part *p, struct part_view *out)
{
    os_mutex_lock(&p->mu);
    *out = (struct part_view){
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .leading = p->leading && !p->failed,
        .log_start = p->log_start,
        .high_watermark = p->high_watermark,
        .log_end = p->written,
        .last_stable = p->high_watermark,
    };
    os_mutex_unlock(&p->mu);
}

void part_stat(struct part *p, struct chronik_part_stat *out)
{
    out->size = sizeof *out;
    p->set->cfg.ops->stat(p->sp, out);
}

int16_t part_check_leader(struct part *p, int32_t current)
{
    os_mutex_lock(&p->mu);
    int16_t rc = p->removing                                 ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
                 : p->failed                                 ? KAFKA_KAFKA_STORAGE_ERROR
                 : current >= 0 && current < p->leader_epoch ? KAFKA_FENCED_LEADER_EPOCH
                 : current >= 0 && current > p->leader_epoch ? KAFKA_UNKNOWN_LEADER_EPOCH
                 : !p->leading || p->closed                  ? KAFKA_NOT_LEADER_OR_FOLLOWER
                                                             : KAFKA_NONE;
    os_mutex_unlock(&p->mu);
    return rc;
}

int16_t part_store_error(int32_t code)
{
    switch (code) {
    case CHRONIK_E_RANGE:
        return KAFKA_OFFSET_OUT_OF_RANGE;
    case CHRONIK_E_BUSY:
    case CHRONIK_E_TIMEDOUT:
    case CHRONIK_E_CANCELED:
        return KAFKA_REQUEST_TIMED_OUT;
    case CHRONIK_E_TOOBIG:
        return KAFKA_RECORD_LIST_TOO_LARGE;
    case CHRONIK_E_NOMEM:
    case CHRONIK_E_FAILED:
        return KAFKA_UNKNOWN_SERVER_ERROR;
    default:
        return KAFKA_KAFKA_STORAGE_ERROR;
    }
}
