/* append.c: the way of a produced batch: checked without a lock, then under the partition's lock sequence check,
 * offsets, the store's append and the notes of epochs and producers, all in one step, so that they cannot disagree
 * (K4). */
#include "partition/priv.h"

#include "wire/codes.h"

/* ---- checks that need no lock ---- */

struct checked {
    struct batch_head head;
    struct config_topic config; /* as it was when the check began */
};

static int16_t refuse(struct part_append *a, int16_t code, const char *why)
{
    a->message = why;
    return code;
}

static int16_t check_timestamps(struct part *p, struct part_append *a, const struct checked *c)
{
    if (c->config.log_append_time || c->head.max_timestamp < 0)
        return KAFKA_NONE;
    int64_t now = os_wall_ms(p->set->cfg.os);
    bool early = c->config.timestamp_before_max_ms != INT64_MAX &&
                 c->head.seen_min_timestamp < now - c->config.timestamp_before_max_ms;
    bool late = c->config.timestamp_after_max_ms != INT64_MAX &&
                c->head.seen_max_timestamp > now + c->config.timestamp_after_max_ms;
    if (!early && !late)
        return KAFKA_NONE;
    a->record_error_index = 0;
    return refuse(a, KAFKA_INVALID_TIMESTAMP,
                  early ? "The timestamp is older than message.timestamp.before.max.ms allows."
                        : "The timestamp is further in the future than message.timestamp.after.max.ms allows.");
}

static int16_t check_batch(struct part *p, struct part_append *a, struct checked *c)
{
    struct batch_problem problem = {.record = -1};
    if (a->n == 0)
        return refuse(a, KAFKA_INVALID_RECORD, "The produce request holds no record batch for this partition.");
    int16_t rc = batch_check(a->batches, a->n, &c->head, c->config.cleanup_compact ? BATCH_NEEDS_KEYS : 0, &problem);
    if (rc != KAFKA_NONE) {
        a->record_error_index = problem.record;
        return refuse(a, rc, problem.why);
    }
    if (c->head.bytes != a->n)
        return refuse(a, KAFKA_INVALID_RECORD,
                      "A produce request may hold exactly one record batch for each partition.");
    if (c->head.attributes & BATCH_CONTROL)
        return refuse(a, KAFKA_INVALID_RECORD, "Clients may not write control batches.");
    if (c->head.bytes > (uint64_t)c->config.max_message_bytes)
        return refuse(a, KAFKA_MESSAGE_TOO_LARGE, "The record batch is larger than max.message.bytes allows.");
    if (c->head.bytes > (uint64_t)c->config.segment_bytes)
        return refuse(a, KAFKA_RECORD_LIST_TOO_LARGE, "The record batch is larger than segment.bytes.");
    if ((c->head.attributes & BATCH_CODEC_MASK) == CODEC_ZSTD && a->api_version < 7)
        return refuse(a, KAFKA_UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7 or newer.");
    if (c->head.attributes & BATCH_TRANSACTIONAL)
        return refuse(a, KAFKA_INVALID_TXN_STATE, "This broker does not offer transactions yet.");
    if (c->head.producer_id >= 0 && (c->head.base_sequence < 0 || c->head.producer_epoch < 0))
        return refuse(a, KAFKA_INVALID_RECORD, "An idempotent batch needs a producer epoch and a sequence.");
    return check_timestamps(p, a, c);
}

/* ---- under the lock ---- */

static int16_t check_standing(struct part *p)
{
    if (p->removing)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (p->failed)
        return KAFKA_KAFKA_STORAGE_ERROR;
    return p->leading && !p->closed ? KAFKA_NONE : KAFKA_NOT_LEADER_OR_FOLLOWER;
}

/* Waits for the high watermark to reach `end`, unless it has or nobody waits. */
static void wait_for(struct part *p, struct part_append *a, int64_t end)
{
    a->waiting = a->wait && a->acks != 0 && p->high_watermark < end;
    if (!a->waiting)
        return;
    a->wait->offset = end;
    part_wait_queue(p, a->wait);
}

/* 0: go on; > 0: an error; -1: a repeat, answered as its first life was. */
static int check_sequence(struct part *p, struct part_append *a, const struct batch_head *h)
{
    if (h->producer_id < 0)
        return 0;
    const struct producer_batch *dup = NULL;
    int32_t last_seq = producer_seq_add(h->base_sequence, h->last_offset_delta);
    int rc = producers_check(&p->producers, h->producer_id, h->producer_epoch, h->base_sequence, last_seq, &dup);
    if (rc == 0 && !producers_reserve(&p->producers, h->producer_id))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    if (rc > 0)
        a->message = rc == KAFKA_INVALID_PRODUCER_EPOCH ? "A newer producer with the same id has fenced this one."
                                                        : "The sequence number does not follow the last one.";
    if (rc == -1) {
        a->base_offset = dup->base_offset;
        wait_for(p, a, dup->last_offset + 1);
    }
    return rc;
}

/* The active segment as the store has it; asked once, then kept by counting. */
static void learn_segment(void *arg, const struct chronik_segment_info *i)
{
    struct part *p = arg;
    p->segment_bytes = i->sealed ? 0 : (int64_t)i->bytes;
    p->segment_first_ms = i->sealed || i->bytes == 0 ? -1 : i->created_ms;
}

static void roll_if_due(struct part *p, const struct config_topic *c, uint64_t bytes, int64_t now_ms)
{
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    if (p->segment_bytes < 0) {
        p->segment_bytes = 0;
        ops->segments(p->sp, learn_segment, p);
    }
    bool full = p->segment_bytes > 0 && (uint64_t)p->segment_bytes + bytes > (uint64_t)c->segment_bytes;
    bool old = p->segment_first_ms >= 0 && now_ms - p->segment_first_ms > c->segment_ms - p->roll_jitter_ms;
    if (!full && !old)
        return;
    if (ops->roll(p->sp) < 0)
        return; /* a longer segment is no harm; the next append tries again */
    p->segment_bytes = 0;
    p->segment_first_ms = -1;
}

static uint32_t flush_class(const struct part *p, const struct config_topic *c)
{
    return c->flush_messages == 1 ? CHRONIK_FLUSH_GROUP : p->set->cfg.flush;
}

static int16_t store_append(struct part *p, struct part_append *a, struct batch_head *h, const struct config_topic *c,
                            int64_t now_ms)
{
    int64_t base = p->written;
    a->log_append_time = -1;
    batch_patch(a->batches, base, p->leader_epoch);
    if (c->log_append_time) {
        batch_patch_append_time(a->batches, a->n, now_ms);
        a->log_append_time = h->max_timestamp = now_ms;
    } else if (h->seen_max_timestamp != h->max_timestamp) {
        batch_patch_max_timestamp(a->batches, a->n, h->seen_max_timestamp);
        h->max_timestamp = h->seen_max_timestamp;
    }
    roll_if_due(p, c, h->bytes, now_ms);
    struct chronik_batch_info info = {
        .base_offset = base,
        .last_offset = base + h->last_offset_delta,
        .max_timestamp = h->max_timestamp,
        .leader_epoch = p->leader_epoch,
        .flags = h->attributes & BATCH_TRANSACTIONAL ? CHRONIK_BATCH_TRANSACTIONAL : 0,
        .bytes = h->bytes,
    };
    struct chronik_iov iov = {a->batches, a->n};
    struct chronik_append one = {
        .part = p->sp,
        .batches = &info,
        .n_batches = 1,
        .batch_stride = sizeof info,
        .iov = &iov,
        .n_iov = 1,
        .flush = flush_class(p, c),
    };
    int32_t rc = p->set->cfg.ops->append(p->set->cfg.store, &one, 1, sizeof one);
    if (rc < 0) {
        a->busy = rc == CHRONIK_E_BUSY;
        return refuse(a, part_store_error(rc),
                      rc == CHRONIK_E_NOSPC ? "The disk is full." : "The log directory refused the append.");
    }
    a->base_offset = base;
    p->written = info.last_offset + 1;
    p->written_bytes += h->bytes;
    p->segment_bytes += (int64_t)h->bytes;
    if (p->segment_first_ms < 0)
        p->segment_first_ms = now_ms;
    h->leader_epoch = p->leader_epoch;
    /* Room was reserved: only the epoch vector can grow, and adopt() has made room for the leader's epoch. */
    if (!part_note_batch(p, h, base))
        p->loaded = false;
    return KAFKA_NONE;
}

int16_t part_append_batches(struct part *p, struct part_append *a)
{
    struct checked c;
    struct part_fired fired = {0};
    a->record_error_index = -1;
    a->message = NULL;
    a->waiting = a->busy = false;
    a->base_offset = a->log_append_time = -1;
    os_mutex_lock(&p->mu);
    c.config = p->config;
    os_mutex_unlock(&p->mu);
    int16_t rc = check_batch(p, a, &c);
    if (rc != KAFKA_NONE)
        return rc;
    int64_t now_ms = os_wall_ms(p->set->cfg.os);

    os_mutex_lock(&p->mu);
    rc = check_standing(p);
    if (rc == KAFKA_NONE)
        rc = part_load(p);
    if (rc == KAFKA_NONE) {
        int seq = check_sequence(p, a, &c.head);
        if (seq == 0)
            rc = store_append(p, a, &c.head, &c.config, now_ms);
        else if (seq > 0)
            rc = (int16_t)seq;
        if (rc == KAFKA_NONE && seq == 0) {
            if (flush_class(p, &c.config) != CHRONIK_FLUSH_GROUP)
                part_raise_hw(p, p->written, &fired);
            wait_for(p, a, p->written);
        }
    }
    a->log_start = p->log_start;
    os_mutex_unlock(&p->mu);
    part_fire(&fired);
    return rc;
}
