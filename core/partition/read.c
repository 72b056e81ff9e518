/* read.c: reading a partition: for fetch requests (ranges, nothing copied) and for the broker's own walks over batch
 * headers. */
#include "partition/priv.h"

#include "wire/codes.h"

enum { HEAD_BYTES = sizeof(((struct part_batch *)0)->head), WALK_BYTES = 4 << 20 };

static int16_t check_position(struct part *p, struct part_read *r)
{
    if (p->removing)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (p->failed)
        return KAFKA_KAFKA_STORAGE_ERROR;
    if (r->leader_epoch >= 0 && r->leader_epoch < p->leader_epoch)
        return KAFKA_FENCED_LEADER_EPOCH;
    if (r->leader_epoch >= 0 && r->leader_epoch > p->leader_epoch)
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    if (!p->leading || p->closed)
        return KAFKA_NOT_LEADER_OR_FOLLOWER;
    if (r->last_fetched_epoch >= 0) {
        int16_t rc = part_load(p);
        if (rc != KAFKA_NONE)
            return rc;
        int32_t epoch;
        int64_t end;
        epochs_end(&p->epochs, r->last_fetched_epoch, p->written, &epoch, &end);
        if (epoch < 0)
            return KAFKA_OFFSET_OUT_OF_RANGE;
        if (epoch < r->last_fetched_epoch || end < r->offset) {
            r->diverging_epoch = epoch;
            r->diverging_end = end;
            return KAFKA_NONE;
        }
    }
    return r->offset < p->log_start || r->offset > p->written ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_NONE;
}

int16_t part_read(struct part *p, struct part_read *r)
{
    r->n_ranges = 0;
    r->bytes = 0;
    r->pin = NULL;
    r->cold = false;
    r->diverging_epoch = -1;
    r->diverging_end = -1;
    os_mutex_lock(&p->mu);
    r->view = (struct part_view){
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .leading = p->leading && !p->failed,
        .log_start = p->log_start,
        .high_watermark = p->high_watermark,
        .log_end = p->written,
        .last_stable = p->high_watermark,
    };
    int16_t rc = check_position(p, r);
    os_mutex_unlock(&p->mu);
    if (rc != KAFKA_NONE || r->diverging_epoch >= 0)
        return rc;
    int64_t end = r->read_committed ? r->view.last_stable : r->view.high_watermark;
    if (r->offset >= end || (r->max_bytes == 0 && !r->min_one))
        return KAFKA_NONE;
    struct chronik_read q = {
        .size = sizeof q,
        .flags = (r->min_one ? CHRONIK_STORE_MIN_ONE : 0) | (r->may_wait ? 0 : CHRONIK_STORE_NOWAIT),
        .from = r->offset,
        .end = end,
        .max_bytes = r->max_bytes,
        .ranges = r->ranges,
        .max_ranges = ARRAY_LEN(r->ranges),
    };
    int32_t got = p->set->cfg.ops->read(p->sp, &q);
    r->cold = got == CHRONIK_E_AGAIN && !r->may_wait;
    if (r->cold)
        return KAFKA_NONE;
    if (got < 0) /* a consumer gives up at a code that it does not know of a fetch */
        return got == CHRONIK_E_BUSY ? KAFKA_KAFKA_STORAGE_ERROR : part_store_error(got);
    r->n_ranges = q.n_ranges;
    r->bytes = q.bytes;
    r->pin = q.pin;
    return KAFKA_NONE;
}

void part_release(struct part *p, chronik_store_pin *pin)
{
    if (pin)
        p->set->cfg.ops->release(pin);
}

/* ---- walking over batch headers ---- */

static int32_t read_range(struct part *p, const struct chronik_range *g, uint64_t at, void *out, uint64_t n)
{
    if (!g->file) {
        memcpy(out, (const char *)g->p + at, n);
        return CHRONIK_DONE;
    }
    uint64_t got = 0;
    int32_t rc = p->set->cfg.host->file_read(g->file, out, n, g->offset + at, 0, &got);
    return rc < 0 ? rc : got == n ? CHRONIK_DONE : CHRONIK_E_CORRUPT;
}

int32_t part_batch_bytes(struct part *p, const struct part_batch *b, void *out, uint64_t n)
{
    struct chronik_range g = {.file = b->file, .p = b->p, .offset = b->file_offset, .n = b->bytes};
    return n > b->bytes ? CHRONIK_E_RANGE : read_range(p, &g, 0, out, n);
}

/* One batch at `at` in the range. false from each: *stop. */
static int16_t walk_one(struct part *p, const struct chronik_range *g, uint64_t *at, int64_t *next,
                        bool (*each)(void *, const struct part_batch *), void *arg, bool *stop)
{
    struct part_batch b;
    struct batch_head h;
    if (g->n - *at < HEAD_BYTES || read_range(p, g, *at, b.head, HEAD_BYTES) < 0)
        return KAFKA_KAFKA_STORAGE_ERROR;
    batch_head_read(b.head, &h);
    if (h.bytes < HEAD_BYTES || h.bytes > g->n - *at || h.magic != 2)
        return KAFKA_CORRUPT_MESSAGE;
    b.file = g->file;
    b.p = g->file ? NULL : (const uint8_t *)g->p + *at;
    b.file_offset = g->offset + *at;
    b.base_offset = h.base_offset;
    b.last_offset = h.base_offset + h.last_offset_delta;
    b.max_timestamp = h.max_timestamp;
    b.bytes = h.bytes;
    *at += h.bytes;
    *next = b.last_offset + 1;
    *stop = !each(arg, &b);
    return KAFKA_NONE;
}

int16_t part_walk(struct part *p, int64_t from, int64_t end, bool (*each)(void *, const struct part_batch *), void *arg)
{
    const struct chronik_store_ops *ops = p->set->cfg.ops;
    bool stop = false;
    while (from < end && !stop) {
        struct chronik_range ranges[8];
        struct chronik_read q = {
            .size = sizeof q,
            .flags = CHRONIK_STORE_MIN_ONE,
            .from = from,
            .end = end,
            .max_bytes = WALK_BYTES,
            .ranges = ranges,
            .max_ranges = ARRAY_LEN(ranges),
        };
        int32_t got = ops->read(p->sp, &q);
        if (got < 0)
            return part_store_error(got);
        int16_t rc = KAFKA_NONE;
        int64_t was = from;
        for (uint32_t i = 0; i < q.n_ranges && !stop && rc == KAFKA_NONE; i++)
            for (uint64_t at = 0; at < ranges[i].n && !stop && rc == KAFKA_NONE;)
                rc = walk_one(p, &ranges[i], &at, &from, each, arg, &stop);
        if (q.pin)
            ops->release(q.pin);
        if (rc != KAFKA_NONE)
            return rc;
        if (from == was)
            break; /* nothing there: a hole at the end */
    }
    return KAFKA_NONE;
}
