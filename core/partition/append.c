/* append.c: the way of produced batches: checked without a lock (check.c), then under the partition's lock sequence
 * check, offsets, the store's append and the notes of epochs and producers, all in one step, so that they cannot
 * disagree (K4). Batches that came together go to the store in runs, with one write each: a run is in the log as a
 * whole or not at all, and its batches are noted once it is. */
#include "partition/check.h"

#include "base/log.h"
#include "wire/codes.h"

LOG_SUBSYSTEM("partition");

enum { RUN_MOST = 30 }; /* batches that go to the store at once */

static void refuse(struct part_append *a, int16_t code, const char *why)
{
    a->error = code;
    a->message = why;
}

static void check_all(struct part *p, struct part_append *a, const struct config_topic *c, int64_t now_ms)
{
    for (; a; a = a->next) {
        a->error = KAFKA_NONE;
        a->message = NULL;
        a->waiting = a->busy = a->early = false;
        a->base_offset = a->log_append_time = -1;
        if (!a->checked)
            part_check_batch(p, a, c, now_ms);
        a->checked = a->error == KAFKA_NONE;
    }
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
static int check_sequence(struct part *p, struct part_append *a)
{
    const struct batch_head *h = &a->head;
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
    p->segment_base = i->base_offset;
    p->segment_created_ms = i->created_ms;
}

static bool take_time(void *arg, const struct part_batch *b)
{
    *(int64_t *)arg = b->max_timestamp;
    return false;
}

static void learn_active(struct part *p)
{
    p->segment_bytes = 0;
    p->segment_time = -1;
    p->set->cfg.ops->segments(p->sp, learn_segment, p);
    if (p->segment_bytes == 0)
        return;
    int16_t rc = part_walk(p, max_i64(p->segment_base, p->log_start), p->written, take_time, &p->segment_time);
    if (rc != KAFKA_NONE)
        log_warn(
            "partition %s-%d: the first batch of the active segment cannot be read (%s): it is rolled by the age of "
            "its file",
            p->topic, p->index, kafka_code_name(rc));
}

static int64_t newest_of(const struct config_topic *c, const struct batch_head *h, int64_t now_ms)
{
    return c->log_append_time ? now_ms : h->seen_max_timestamp;
}

/* Kafka's rule: the age of a segment is what the times of records say, from its first batch to the one that comes now;
 * when its first batch has no time, the wall clock since it was made. */
static bool is_old(const struct part *p, const struct config_topic *c, const struct batch_head *h, int64_t now_ms)
{
    int64_t age = p->segment_time >= 0 ? newest_of(c, h, now_ms) - p->segment_time : now_ms - p->segment_created_ms;
    return age > c->segment_ms - p->roll_jitter_ms;
}

static void roll_if_due(struct part *p, const struct config_topic *c, const struct batch_head *h, int64_t now_ms)
{
    if (p->segment_bytes < 0)
        learn_active(p);
    if (p->segment_bytes == 0)
        return;
    bool full = (uint64_t)p->segment_bytes + h->bytes > (uint64_t)c->segment_bytes;
    if (!full && !is_old(p, c, h, now_ms))
        return;
    if (p->set->cfg.ops->roll(p->sp) < 0)
        return; /* a longer segment is no harm; the next append tries again */
    p->segment_bytes = 0;
    part_draw_jitter(p);
}

static uint32_t flush_class(const struct part *p, const struct config_topic *c)
{
    return c->flush_messages == 1 ? CHRONIK_FLUSH_GROUP : p->set->cfg.flush;
}

/* Batches with their offsets, on their way to the store. */
struct run {
    const struct config_topic *config;
    int64_t now_ms;
    uint32_t n;
    uint64_t bytes;
    int64_t end; /* offset behind the last one */
    bool busy;   /* the store had no room for one before */
    struct part_flush flush;
    struct part_append *of[RUN_MOST];
    struct chronik_batch_info info[RUN_MOST];
    struct chronik_iov iov[RUN_MOST];
};

/* The last batch of the same producer in the run; NULL: none. */
static const struct batch_head *run_producer(const struct run *r, int64_t id)
{
    for (uint32_t i = r->n; id >= 0 && i-- > 0;)
        if (r->of[i]->head.producer_id == id)
            return &r->of[i]->head;
    return NULL;
}

/* Whether the batch may join what the run holds: the segment has room for both and does not grow too old by it, and the
 * producer's batches follow upon each other, which can be seen before those of the run are noted. */
static bool run_takes(const struct part *p, const struct run *r, const struct part_append *a)
{
    const struct batch_head *h = &a->head, *last = run_producer(r, h->producer_id);
    if (r->n == RUN_MOST || (uint64_t)p->segment_bytes + r->bytes + h->bytes > (uint64_t)r->config->segment_bytes ||
        is_old(p, r->config, h, r->now_ms))
        return false;
    return !last || (last->producer_epoch == h->producer_epoch &&
                     producer_seq_add(last->base_sequence, last->last_offset_delta + 1) == h->base_sequence);
}

static void run_add(struct part *p, struct run *r, struct part_append *a)
{
    const struct config_topic *c = r->config;
    struct batch_head *h = &a->head;
    if (r->n == 0) {
        roll_if_due(p, c, h, r->now_ms);
        r->end = p->written;
        r->bytes = 0;
        if (p->segment_bytes == 0) {
            p->segment_time = newest_of(c, h, r->now_ms);
            p->segment_created_ms = r->now_ms;
        }
    }
    h->base_offset = r->end;
    h->leader_epoch = p->leader_epoch;
    batch_patch(a->batches, h->base_offset, h->leader_epoch);
    if (c->log_append_time) {
        batch_patch_append_time(a->batches, a->n, r->now_ms);
        a->log_append_time = h->max_timestamp = r->now_ms;
    } else if (h->seen_max_timestamp != h->max_timestamp || a->was_timed) {
        batch_patch_max_timestamp(a->batches, a->n, h->seen_max_timestamp);
        h->max_timestamp = h->seen_max_timestamp;
    }
    r->of[r->n] = a;
    r->iov[r->n] = (struct chronik_iov){a->batches, a->n};
    r->info[r->n++] = (struct chronik_batch_info){
        .base_offset = h->base_offset,
        .last_offset = h->base_offset + h->last_offset_delta,
        .max_timestamp = h->max_timestamp,
        .leader_epoch = h->leader_epoch,
        .flags = h->attributes & BATCH_TRANSACTIONAL ? CHRONIK_BATCH_TRANSACTIONAL : 0,
        .bytes = h->bytes,
    };
    r->bytes += h->bytes;
    r->end = h->base_offset + h->last_offset_delta + 1;
}

static void run_refused(struct run *r, int32_t code)
{
    r->busy |= code == CHRONIK_E_BUSY;
    for (uint32_t i = 0; i < r->n; i++) {
        r->of[i]->busy = code == CHRONIK_E_BUSY;
        refuse(r->of[i], part_store_error(code),
               code == CHRONIK_E_NOSPC ? "The disk is full." : "The log directory refused the append.");
    }
}

/* Room was reserved: only the epoch vector can grow, and adopt() has made room for the leader's epoch. */
static void run_note(struct part *p, const struct run *r)
{
    p->written = r->end;
    p->last_append_ms = r->now_ms;
    p->written_bytes += r->bytes;
    p->segment_bytes += (int64_t)r->bytes;
    for (uint32_t i = 0; i < r->n; i++) {
        r->of[i]->base_offset = r->info[i].base_offset;
        if (!part_note_batch(p, &r->of[i]->head, r->info[i].base_offset))
            p->loaded = false;
    }
}

/* Appends what the run holds; it is empty afterwards. */
static void run_write(struct part *p, struct run *r, struct part_fired *fired)
{
    if (r->n == 0)
        return;
    struct chronik_append one = {
        .part = p->sp,
        .batches = r->info,
        .n_batches = r->n,
        .batch_stride = sizeof r->info[0],
        .iov = r->iov,
        .n_iov = r->n,
        .flush = flush_class(p, r->config),
    };
    int64_t from = p->written;
    int32_t rc = p->set->cfg.ops->append(p->set->cfg.store, &one, 1, sizeof one);
    if (rc < 0) {
        run_refused(r, rc);
    } else {
        run_note(p, r);
        if (one.flush != CHRONIK_FLUSH_GROUP) {
            part_raise_hw(p, p->written, fired);
            part_flush_note(p, r->config, r->end - from, &r->flush);
        }
        for (uint32_t i = 0; i < r->n; i++)
            wait_for(p, r->of[i], r->info[i].last_offset + 1);
    }
    r->n = 0;
}

static void append_one(struct part *p, struct run *r, struct part_append *a, struct part_fired *fired)
{
    if (r->n && !run_takes(p, r, a))
        run_write(p, r, fired);
    if (r->busy) {
        a->busy = true;
        refuse(a, part_store_error(CHRONIK_E_BUSY), "The log directory refused the append.");
        return;
    }
    int16_t rc = check_standing(p);
    if (rc == KAFKA_NONE)
        rc = part_load(p);
    int seq = rc == KAFKA_NONE && !run_producer(r, a->head.producer_id) ? check_sequence(p, a) : 0;
    if (rc != KAFKA_NONE || seq > 0)
        a->error = rc != KAFKA_NONE ? rc : (int16_t)seq;
    else if (seq == 0)
        run_add(p, r, a);
}

void part_append_batches(struct part *p, struct part_append *list)
{
    struct part_fired fired = {0};
    struct config_topic config;
    os_mutex_lock(&p->mu);
    config = p->config;
    os_mutex_unlock(&p->mu);
    struct run r; /* its arrays need no values */
    r.config = &config;
    r.now_ms = os_wall_ms(p->set->cfg.os);
    r.n = 0;
    r.busy = false;
    r.flush = (struct part_flush){.in_ms = INT64_MAX};
    check_all(p, list, &config, r.now_ms);

    os_mutex_lock(&p->mu);
    for (struct part_append *a = list; a; a = a->next)
        if (a->error == KAFKA_NONE)
            append_one(p, &r, a, &fired);
    run_write(p, &r, &fired);
    for (struct part_append *a = list; a; a = a->next)
        a->log_start = p->log_start;
    os_mutex_unlock(&p->mu);
    part_flush_ask(p->set, &r.flush);
    part_fire(&fired);
}
