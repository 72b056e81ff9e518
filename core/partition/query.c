/* query.c: questions about a partition's offsets: by time, by leader epoch, its producers; and DeleteRecords. These may
 * wait for a disk: call them on a worker when the answer is not in memory. */
#include "partition/priv.h"

#include "wire/codes.h"

#include <stdlib.h>

/* ListOffsets' special timestamps (KIP-79, KIP-734, KIP-1005). */
enum { LATEST = -1, EARLIEST = -2, MAX_TIMESTAMP = -3, EARLIEST_LOCAL = -4, LATEST_TIERED = -5, EARLIEST_PENDING = -6 };

bool part_list_offset_is_cheap(int64_t timestamp)
{
    return timestamp == LATEST || timestamp == EARLIEST || timestamp == EARLIEST_LOCAL || timestamp == LATEST_TIERED ||
           timestamp == EARLIEST_PENDING;
}

/* ---- by time ---- */

struct by_time {
    struct part *part;
    int64_t ts, from, end;
    int64_t offset, found_ts; /* out; offset -1 none */
    int16_t error;
};

static bool match_record(void *arg, const struct batch_record *r)
{
    struct by_time *q = arg;
    if (r->timestamp < q->ts || r->offset < q->from || r->offset >= q->end)
        return true;
    q->offset = r->offset;
    q->found_ts = r->timestamp;
    return false;
}

static bool match_batch(void *arg, const struct part_batch *b)
{
    struct by_time *q = arg;
    if (b->max_timestamp < q->ts)
        return true;
    uint8_t *bytes = malloc(b->bytes);
    if (!bytes) {
        q->error = KAFKA_UNKNOWN_SERVER_ERROR;
        return false;
    }
    if (part_batch_bytes(q->part, b, bytes, b->bytes) < 0)
        q->error = KAFKA_KAFKA_STORAGE_ERROR;
    else if (batch_each_record(bytes, b->bytes, match_record, q) < 0)
        q->error = KAFKA_CORRUPT_MESSAGE;
    free(bytes);
    return q->error == KAFKA_NONE && q->offset < 0;
}

static int16_t find_time(struct part *p, int64_t from, int64_t end, int64_t ts, int64_t *offset, int64_t *found_ts)
{
    struct by_time q = {.part = p, .ts = ts, .from = from, .end = end, .offset = -1, .found_ts = -1};
    int16_t rc = part_walk(p, from, end, match_batch, &q);
    *offset = q.offset;
    *found_ts = q.found_ts;
    return rc != KAFKA_NONE ? rc : q.error;
}

struct newest {
    int64_t ts, base;
};

static bool note_newest(void *arg, const struct part_batch *b)
{
    struct newest *n = arg;
    if (b->max_timestamp > n->ts)
        *n = (struct newest){b->max_timestamp, b->base_offset};
    return true;
}

/* The first record with the largest timestamp below `end`. */
static int16_t find_newest(struct part *p, int64_t log_start, int64_t end, int64_t *offset, int64_t *found_ts)
{
    struct chronik_part_stat st;
    part_stat(p, &st);
    struct newest n = {st.max_timestamp, st.max_timestamp_offset};
    *offset = *found_ts = -1;
    if (n.ts >= 0 && (n.base >= end || n.base < log_start)) {
        n.ts = -1; /* the store's answer lies outside of what may be seen: look at all of it */
        int16_t rc = part_walk(p, log_start, end, note_newest, &n);
        if (rc != KAFKA_NONE)
            return rc;
    }
    return n.ts < 0 ? KAFKA_NONE : find_time(p, max_i64(n.base, log_start), end, n.ts, offset, found_ts);
}

int16_t part_list_offset(struct part *p, int64_t timestamp, bool read_committed, int64_t *offset, int64_t *found_ts,
                         int32_t *epoch)
{
    int16_t rc = KAFKA_NONE;
    *offset = *found_ts = -1;
    *epoch = -1;
    os_mutex_lock(&p->mu);
    int64_t start = p->log_start, end = p->high_watermark;
    os_mutex_unlock(&p->mu);
    switch (timestamp) {
    case LATEST:
        *offset = end;
        break;
    case EARLIEST:
    case EARLIEST_LOCAL:
        *offset = start;
        break;
    case LATEST_TIERED:
    case EARLIEST_PENDING: /* nothing is tiered here */
        return KAFKA_NONE;
    case MAX_TIMESTAMP:
        rc = find_newest(p, start, end, offset, found_ts);
        break;
    default: {
        if (timestamp < 0)
            return KAFKA_UNSUPPORTED_VERSION;
        int64_t from = start;
        int32_t got = p->set->cfg.ops->find_time(p->sp, timestamp, &from);
        if (got == CHRONIK_E_NOTFOUND)
            return KAFKA_NONE;
        rc = got < 0 ? part_store_error(got) : find_time(p, max_i64(from, start), end, timestamp, offset, found_ts);
    }
    }
    if (rc != KAFKA_NONE || *offset < 0)
        return rc;
    os_mutex_lock(&p->mu);
    rc = part_load(p);
    if (rc == KAFKA_NONE)
        *epoch = *offset == p->written ? p->leader_epoch : epochs_at(&p->epochs, *offset);
    os_mutex_unlock(&p->mu);
    return rc;
}

int16_t part_epoch_end(struct part *p, int32_t epoch, int32_t *found_epoch, int64_t *end)
{
    os_mutex_lock(&p->mu);
    int16_t rc = part_load(p);
    if (rc == KAFKA_NONE && epoch < 0) {
        *found_epoch = -1;
        *end = -1;
    } else if (rc == KAFKA_NONE && epoch == p->leader_epoch) {
        *found_epoch = epoch;
        *end = p->written;
    } else if (rc == KAFKA_NONE) {
        epochs_end(&p->epochs, epoch, p->written, found_epoch, end);
    }
    os_mutex_unlock(&p->mu);
    return rc;
}

int16_t part_producers_list(struct part *p, struct arena *a, struct part_producer_info **out, int32_t *n)
{
    *n = 0;
    os_mutex_lock(&p->mu);
    int16_t rc = part_load(p);
    *out = rc == KAFKA_NONE ? arena_calloc(a, p->producers.n + 1, sizeof **out) : NULL;
    if (rc == KAFKA_NONE && !*out)
        rc = KAFKA_UNKNOWN_SERVER_ERROR;
    for (uint32_t i = 0; rc == KAFKA_NONE && i < p->producers.n_slots; i++) {
        const struct producer *r = p->producers.slots[i];
        if (!r || r->epoch < 0)
            continue;
        (*out)[(*n)++] = (struct part_producer_info){
            .producer_id = r->id,
            .epoch = r->epoch,
            .last_sequence = r->n ? r->batches[r->n - 1].last_seq : -1,
            .last_timestamp = r->last_timestamp,
            .txn_start_offset = r->txn_start_offset,
            .coordinator_epoch = r->coordinator_epoch,
        };
    }
    os_mutex_unlock(&p->mu);
    return rc;
}

/* ---- DeleteRecords ---- */

static void prefix_gone(void *arg, int32_t result)
{
    struct part_delete *d = arg;
    struct part *p = d->part;
    if (result > 0) {
        os_mutex_lock(&p->mu);
        p->log_start = max_i64(p->log_start, d->offset);
        epochs_truncate_prefix(&p->epochs, p->log_start);
        d->low_watermark = p->log_start;
        os_mutex_unlock(&p->mu);
    }
    d->fn(d, result > 0 ? KAFKA_NONE : part_store_error(result));
    part_unref(p);
}

bool part_is_compacted(struct part *p)
{
    os_mutex_lock(&p->mu);
    bool is = p->config.cleanup_compact && !p->config.cleanup_delete;
    os_mutex_unlock(&p->mu);
    return is;
}

int16_t part_delete_records(struct part *p, struct part_delete *d)
{
    os_mutex_lock(&p->mu);
    bool leads = p->leading && !p->closed;
    int64_t start = p->log_start, hw = p->high_watermark;
    os_mutex_unlock(&p->mu);
    if (!leads)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (d->offset == -1)
        d->offset = hw;
    if (d->offset < 0 || d->offset > hw)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    d->part = p;
    d->low_watermark = start;
    part_ref(p);
    if (d->offset <= start) {
        prefix_gone(d, CHRONIK_DONE);
        return KAFKA_NONE;
    }
    int32_t rc = p->set->cfg.ops->truncate_prefix(p->sp, d->offset, (struct chronik_done){prefix_gone, d});
    if (rc != CHRONIK_PENDING)
        prefix_gone(d, rc);
    return KAFKA_NONE;
}
