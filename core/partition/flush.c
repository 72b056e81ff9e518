/* flush.c: flush.messages and flush.ms, where chronik.flush leaves durability to the system or to an interval: after so
 * many records, or so long after the first of them, the store is told to make what is written durable. One flush covers
 * all partitions, and one is under way at a time. With chronik.flush=group nothing is ever left to do here.
 *
 * A flush that begins has a number. A partition counts the records behind the newest number that it has seen: it looks
 * after its append, so a flush with a higher number has begun later and covers what was counted. */
#include "partition/priv.h"

#include "base/log.h"

LOG_SUBSYSTEM("partition");

static void flush_begin(struct part_set *s);

static void flush_done(void *arg, int32_t result)
{
    struct part_set *s = arg;
    os_mutex_lock(&s->side_mu);
    bool again = s->flush_again, closing = s->closing;
    s->flushing = s->flush_again = false;
    os_mutex_unlock(&s->side_mu);
    if (result < 0 && !closing)
        log_error(
            "the flush that flush.messages or flush.ms asks for failed (code %d): what was written since the last one "
            "may not survive a power cut; it is tried again with the next records",
            result);
    if (again)
        flush_begin(s);
}

/* Any thread, without locks. */
static void flush_begin(struct part_set *s)
{
    os_mutex_lock(&s->side_mu);
    bool begin = !s->flushing && !s->closing;
    s->flush_again = s->flushing;
    if (begin) {
        s->flushing = true;
        __atomic_store_n(&s->flush_at_ns, INT64_MAX, __ATOMIC_RELEASE);
        __atomic_add_fetch(&s->flush_number, 1, __ATOMIC_ACQ_REL);
    }
    os_mutex_unlock(&s->side_mu);
    if (!begin)
        return;
    int32_t rc = s->cfg.ops->flush(s->cfg.store, (struct chronik_done){flush_done, s});
    if (rc != CHRONIK_PENDING)
        flush_done(s, rc);
}

void part_flush_due(void *set)
{
    struct part_set *s = set;
    /* Another flush may have begun since it was armed. */
    if (__atomic_load_n(&s->flush_at_ns, __ATOMIC_ACQUIRE) <= os_mono_ns(s->cfg.os))
        flush_begin(s);
}

void part_flush_close(struct part_set *s)
{
    os_mutex_lock(&s->side_mu);
    s->closing = true;
    os_mutex_unlock(&s->side_mu);
}

void part_flush_note(struct part *p, const struct config_topic *c, int64_t records, struct part_flush *ask)
{
    uint64_t number = __atomic_load_n(&p->set->flush_number, __ATOMIC_ACQUIRE);
    if (p->flush_number != number || p->unflushed == 0) {
        p->flush_number = number;
        p->unflushed = 0;
        ask->in_ms = min_i64(ask->in_ms, c->flush_ms);
    }
    p->unflushed += records;
    ask->now |= p->unflushed >= c->flush_messages;
}

static void arm(struct part_set *s, int64_t in_ms)
{
    int64_t now = os_mono_ns(s->cfg.os);
    int64_t at = in_ms < (INT64_MAX - now) / 1000000 ? now + in_ms * 1000000 : INT64_MAX;
    if (at >= __atomic_load_n(&s->flush_at_ns, __ATOMIC_ACQUIRE))
        return;
    os_mutex_lock(&s->side_mu);
    if (at < s->flush_at_ns && !s->closing) {
        __atomic_store_n(&s->flush_at_ns, at, __ATOMIC_RELEASE);
        os_exec_post_at(s->cfg.low, &s->flush_task, at);
    }
    os_mutex_unlock(&s->side_mu);
}

void part_flush_ask(struct part_set *s, const struct part_flush *ask)
{
    if (ask->now)
        flush_begin(s);
    else if (ask->in_ms < INT64_MAX)
        arm(s, ask->in_ms);
}
