/* state.c: what a partition knows beside its bytes: leader epochs and producers. Kept in a sidecar of the store now and
 * then, and completed from the batches behind it when it is needed first.
 *
 * Sidecar of kind PART_STATE, all integers little-endian:
 *   "CHPS", u16 version = 1, u16 0, u32 epochs, u32 producers, i64 end (the log end it describes)
 *   epochs times    { i32 epoch, i64 first offset }
 *   producers times { i64 id, i16 epoch, u8 batches, u8 0, i32 coordinator epoch, i64 last timestamp, i64 txn start,
 *                     batches times { i32 first seq, i32 last seq, i64 base offset, i64 last offset } }
 *   u32 CRC-32C of all before
 * A sidecar that does not check out is ignored with a log line: the batches say the same, only slower. */
#include "partition/priv.h"

#include "base/crc32c.h"
#include "base/log.h"
#include "wire/codes.h"

#include <stdlib.h>

LOG_SUBSYSTEM("partition");

enum { PART_STATE = 0, STATE_VERSION = 1, SIDECARS_A_RUN = 64 };
static const char state_magic[4] = {'C', 'H', 'P', 'S'};

/* ---- encoding ---- */

static size_t state_size(const struct part *p)
{
    size_t n = 4 + 2 + 2 + 4 + 4 + 8 + (size_t)p->epochs.n * 12 + 4;
    for (uint32_t i = 0; i < p->producers.n_slots; i++)
        if (p->producers.slots[i])
            n += 32 + (size_t)p->producers.slots[i]->n * 24;
    return n;
}

static uint8_t *put(uint8_t *at, const void *v, size_t n)
{
    memcpy(at, v, n);
    return at + n;
}

#define PUT(at, T, value) ((at) = put((at), &(T){(value)}, sizeof(T)))

static uint8_t *put_producer(uint8_t *at, const struct producer *r)
{
    PUT(at, int64_t, r->id);
    PUT(at, int16_t, r->epoch);
    PUT(at, uint8_t, r->n);
    PUT(at, uint8_t, 0);
    PUT(at, int32_t, r->coordinator_epoch);
    PUT(at, int64_t, r->last_timestamp);
    PUT(at, int64_t, r->txn_start_offset);
    for (int i = 0; i < r->n; i++) {
        PUT(at, int32_t, r->batches[i].first_seq);
        PUT(at, int32_t, r->batches[i].last_seq);
        PUT(at, int64_t, r->batches[i].base_offset);
        PUT(at, int64_t, r->batches[i].last_offset);
    }
    return at;
}

/* Under mu. malloc'ed; NULL when memory is exhausted. */
static uint8_t *encode_state(const struct part *p, size_t *n)
{
    *n = state_size(p);
    uint8_t *buf = malloc(*n), *at = buf;
    if (!buf)
        return NULL;
    at = put(at, state_magic, sizeof state_magic);
    PUT(at, uint16_t, STATE_VERSION);
    PUT(at, uint16_t, 0);
    PUT(at, uint32_t, p->epochs.n);
    PUT(at, uint32_t, p->producers.n);
    PUT(at, int64_t, p->written);
    for (uint32_t i = 0; i < p->epochs.n; i++) {
        PUT(at, int32_t, p->epochs.v[i].epoch);
        PUT(at, int64_t, p->epochs.v[i].offset);
    }
    for (uint32_t i = 0; i < p->producers.n_slots; i++)
        if (p->producers.slots[i])
            at = put_producer(at, p->producers.slots[i]);
    PUT(at, uint32_t, crc32c(0, buf, (size_t)(at - buf)));
    CHECK((size_t)(at - buf) == *n);
    return buf;
}

/* ---- decoding ---- */

struct reader {
    const uint8_t *at, *end;
    bool ok;
};

static void take(struct reader *r, void *out, size_t n)
{
    r->ok = r->ok && (size_t)(r->end - r->at) >= n;
    if (!r->ok) {
        memset(out, 0, n);
        return;
    }
    memcpy(out, r->at, n);
    r->at += n;
}

#define TAKE(r, T)                                                                                                     \
    ({                                                                                                                 \
        T v_;                                                                                                          \
        take((r), &v_, sizeof v_);                                                                                     \
        v_;                                                                                                            \
    })

static bool take_producer(struct part *p, struct reader *r)
{
    struct producer v = {.id = TAKE(r, int64_t)};
    v.epoch = TAKE(r, int16_t);
    v.n = TAKE(r, uint8_t);
    (void)TAKE(r, uint8_t);
    v.coordinator_epoch = TAKE(r, int32_t);
    v.last_timestamp = TAKE(r, int64_t);
    v.txn_start_offset = TAKE(r, int64_t);
    if (!r->ok || v.n > PRODUCER_BATCHES)
        return false;
    for (int i = 0; i < v.n; i++) {
        v.batches[i].first_seq = TAKE(r, int32_t);
        v.batches[i].last_seq = TAKE(r, int32_t);
        v.batches[i].base_offset = TAKE(r, int64_t);
        v.batches[i].last_offset = TAKE(r, int64_t);
    }
    if (!r->ok || !producers_reserve(&p->producers, v.id))
        return false;
    *producers_find(&p->producers, v.id) = v;
    return true;
}

/* The log end that the state describes, or -1. */
static int64_t decode_state(struct part *p, const uint8_t *data, size_t n)
{
    uint32_t crc;
    if (n < 28 || memcmp(data, state_magic, 4) != 0)
        return -1;
    memcpy(&crc, data + n - 4, 4);
    if (crc != crc32c(0, data, n - 4))
        return -1;
    struct reader r = {data + 4, data + n - 4, true};
    if (TAKE(&r, uint16_t) != STATE_VERSION)
        return -1;
    (void)TAKE(&r, uint16_t);
    uint32_t n_epochs = TAKE(&r, uint32_t), n_producers = TAKE(&r, uint32_t);
    int64_t end = TAKE(&r, int64_t);
    bool fine = true;
    for (uint32_t i = 0; fine && r.ok && i < n_epochs; i++) {
        int32_t epoch = TAKE(&r, int32_t);
        fine = epochs_note(&p->epochs, epoch, TAKE(&r, int64_t));
    }
    for (uint32_t i = 0; fine && r.ok && i < n_producers; i++)
        fine = take_producer(p, &r);
    return fine && r.ok ? end : -1;
}

/* ---- loading ---- */

static void forget(struct part *p)
{
    epochs_free(&p->epochs);
    producers_free(&p->producers);
}

/* Under mu: takes over the newest usable sidecar; answers where the batches go on. */
static int64_t load_sidecar(struct part *p, int64_t at_most)
{
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    const struct chronik_host *host = p->set->cfg.host;
    struct chronik_buf *buf = NULL;
    int64_t offset = -1;
    if (ops->sidecar_latest(p->sp, PART_STATE, at_most, &offset, &buf) < 0)
        return p->log_start;
    int64_t end = decode_state(p, host->buf_data(buf), host->buf_size(buf));
    host->buf_unref(buf);
    if (end < 0 || end > at_most) {
        log_warn("partition %s-%d: the state sidecar at offset %lld is damaged; reading the batches instead", p->topic,
                 p->index, (long long)offset);
        forget(p);
        return p->log_start;
    }
    p->sidecar_at = end;
    epochs_truncate_prefix(&p->epochs, p->log_start);
    return max_i64(end, p->log_start);
}

struct replay {
    struct part *part;
    bool failed;
};

static bool replay_batch(void *arg, const struct part_batch *b)
{
    struct replay *r = arg;
    struct batch_head h;
    batch_head_read(b->head, &h);
    r->failed = !part_note_batch(r->part, &h, b->base_offset);
    return !r->failed;
}

bool part_note_batch(struct part *p, const struct batch_head *h, int64_t base_offset)
{
    if (!epochs_note(&p->epochs, h->leader_epoch, base_offset))
        return false;
    if (h->producer_id < 0 || (h->attributes & BATCH_CONTROL))
        return true;
    struct producer_batch b = {
        .first_seq = h->base_sequence,
        .last_seq = producer_seq_add(h->base_sequence, h->last_offset_delta),
        .base_offset = base_offset,
        .last_offset = base_offset + h->last_offset_delta,
    };
    return producers_note(&p->producers, h->producer_id, h->producer_epoch, &b, h->max_timestamp);
}

int16_t part_load(struct part *p)
{
    if (p->loaded)
        return KAFKA_NONE;
    forget(p);
    struct replay r = {.part = p};
    int64_t from = load_sidecar(p, p->written);
    int16_t rc = from < p->written ? part_walk(p, from, p->written, replay_batch, &r) : KAFKA_NONE;
    if (rc == KAFKA_NONE && r.failed)
        rc = KAFKA_UNKNOWN_SERVER_ERROR;
    if (rc == KAFKA_NONE && p->leading && !epochs_note(&p->epochs, p->leader_epoch, p->written))
        rc = KAFKA_UNKNOWN_SERVER_ERROR;
    p->loaded = rc == KAFKA_NONE;
    if (!p->loaded)
        forget(p);
    return rc;
}

/* ---- writing sidecars: the low executor ---- */

void part_sidecar_enqueue(struct part *p)
{
    struct part_set *s = p->set;
    os_mutex_lock(&s->side_mu);
    /* The store wishes until it has closed its side: of a partition that nobody holds any more, and of a set whose
     * executor is about to end. */
    if (!s->sides_closed && !p->sidecar_wanted && part_ref_alive(p)) {
        p->sidecar_wanted = true;
        p->sidecar_next = s->side_head;
        s->side_head = p;
        os_exec_post(s->cfg.low, &s->side_task); /* under the lock: not after part_sidecars_close */
    }
    os_mutex_unlock(&s->side_mu);
}

void part_sidecars_close(struct part_set *s)
{
    os_mutex_lock(&s->side_mu);
    s->sides_closed = true;
    os_mutex_unlock(&s->side_mu);
}

static void write_sidecar(struct part *p)
{
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    size_t n = 0;
    uint8_t *data = NULL;
    os_mutex_lock(&p->mu);
    int64_t end = p->written, last = p->sidecar_at;
    if (p->loaded && !p->failed && !p->removing && end != last && end > 0)
        data = encode_state(p, &n);
    os_mutex_unlock(&p->mu);
    if (!data)
        return;
    int32_t rc = ops->sidecar_write(p->sp, PART_STATE, end, data, n);
    free(data);
    if (rc < 0) {
        log_warn("partition %s-%d: the state sidecar could not be written (code %d); a restart will read more batches",
                 p->topic, p->index, rc);
        return;
    }
    os_mutex_lock(&p->mu);
    p->sidecar_at = end;
    os_mutex_unlock(&p->mu);
    if (last > 0) /* the one before stays as a spare */
        ops->sidecar_drop(p->sp, PART_STATE, INT64_MAX, last);
}

void part_sidecars_run(void *arg)
{
    struct part_set *s = arg;
    for (int i = 0; i < SIDECARS_A_RUN; i++) {
        os_mutex_lock(&s->side_mu);
        struct part *p = s->side_head;
        if (p) {
            s->side_head = p->sidecar_next;
            p->sidecar_wanted = false;
        }
        os_mutex_unlock(&s->side_mu);
        if (!p)
            return;
        write_sidecar(p);
        part_unref(p);
    }
    os_exec_post(s->cfg.low, &s->side_task);
}
