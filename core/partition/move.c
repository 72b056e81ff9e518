/* move.c: moving a partition's data to another data directory of this node; the store does it, this file keeps what
 * clients may ask about it. It never waits. */
#include "partition/priv.h"

#include "wire/codes.h"

static void moved(void *arg, int32_t result)
{
    struct part_move *m = arg;
    struct part *p = m->part;
    os_mutex_lock(&p->mu);
    p->moving_to = -1;
    os_mutex_unlock(&p->mu);
    m->fn(m, result > 0 ? KAFKA_NONE : part_store_error(result));
    part_unref(p);
}

int16_t part_move(struct part *p, struct part_move *m)
{
    os_mutex_lock(&p->mu);
    bool busy = p->moving_to >= 0, gone = p->closed;
    if (!busy && !gone)
        p->moving_to = (int32_t)m->dir;
    os_mutex_unlock(&p->mu);
    if (gone)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (busy)
        return KAFKA_KAFKA_STORAGE_ERROR;
    m->part = p;
    part_ref(p);
    int32_t rc = p->set->cfg.ops->part_move(p->sp, m->dir, (struct chronik_done){moved, m});
    if (rc == CHRONIK_E_INVAL || rc == CHRONIK_E_UNSUPPORTED) {
        os_mutex_lock(&p->mu);
        p->moving_to = -1;
        os_mutex_unlock(&p->mu);
        part_unref(p);
        return rc == CHRONIK_E_INVAL ? KAFKA_LOG_DIR_NOT_FOUND : KAFKA_UNSUPPORTED_VERSION;
    }
    if (rc != CHRONIK_PENDING)
        moved(m, rc);
    return KAFKA_NONE;
}

void part_dirs(struct part *p, uint32_t *now, int32_t *moving_to)
{
    struct chronik_part_stat st = {.size = sizeof st};
    p->set->cfg.ops->stat(p->sp, &st);
    *now = st.dir;
    os_mutex_lock(&p->mu);
    *moving_to = p->moving_to;
    os_mutex_unlock(&p->mu);
}
