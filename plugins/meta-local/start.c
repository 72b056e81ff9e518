/* start.c: opening the log and reading what the host has not applied. Runs on worker threads, one task at a time; hands
 * over to the step. It must never guess: a log that ends before what the host has applied, or begins after it without a
 * snapshot, is refused with a sentence. */
#include "local.h"

#include <stdlib.h>

enum { PIECE = 1 << 20 };

/* Only the epochs matter at this reading: the next one must be above all. */
static int32_t scan(void *arg, const struct reclog_record *r)
{
    chronik_meta *m = arg;
    if (r->type != LOCAL_COMMAND || r->n < LOCAL_HEAD)
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: record %llu has type %u and %u bytes: written by a newer version, or damaged",
                           LOCAL_LOG, (unsigned long long)r->number, r->type, r->n);
    m->epoch = max_u64(m->epoch, get_le64(r->data));
    return 0;
}

/* Which of checkpoint, snapshot and log leads to the present state. */
static int32_t choose(chronik_meta *m)
{
    uint64_t has = m->host_pos.index, snap = m->have_snapshot ? m->snapshot.pos.index : 0;
    struct reclog_stat s;
    reclog_stat(m->log, &s);
    m->durable = m->proposed = m->replay_end = s.durable - 1;
    m->install = snap > has && !MUTANT("local_snapshot_ignored");
    uint64_t from = m->install ? snap : has;
    m->delivered = m->applied = from;
    if (snap > m->replay_end)
        return errtext_set(
            &m->error, CHRONIK_E_CORRUPT,
            "%s: the log ends at %llu, the snapshot beside it is of %llu: files are missing; restore the "
            "folder from a backup",
            LOCAL_LOG, (unsigned long long)m->replay_end, (unsigned long long)snap);
    if (has > m->replay_end)
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: the log ends at %llu, but %llu had been applied: files are missing; restore the folder "
                           "from a backup, or remove the metadata checkpoint to go back to what the log has",
                           LOCAL_LOG, (unsigned long long)m->replay_end, (unsigned long long)has);
    if (from + 1 < s.first && !MUTANT("local_snapshot_ignored"))
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: the log begins at %llu and there is no snapshot up to there: restore the folder from a "
                           "backup",
                           LOCAL_LOG, (unsigned long long)s.first);
    if (!m->have_snapshot && s.first > 1)
        m->ask_at = 0; /* somebody removed it: the checkpoint alone cannot be built again from the log */
    return CHRONIK_DONE;
}

static void open_log(chronik_meta *m)
{
    if (util_folder(&m->host, m->cfg.dir, LOCAL_FOLDER, &m->error) < 0 || local_snapshot_load(m, &m->error) < 0)
        return;
    uint64_t snap = m->have_snapshot ? m->snapshot.pos.index : 0;
    struct reclog_config cfg = {.host = &m->host,
                                .dir = m->cfg.dir,
                                .path = LOCAL_LOG,
                                .name = "meta-local",
                                /* what a rebuild would need, though the checkpoint may be further */
                                .from = snap + 1,
                                .flags = m->have_snapshot || m->host_pos.index == 0 ? 0 : RECLOG_LATER,
                                .file_bytes = (uint64_t)m->file_bytes,
                                .first_file_bytes = min_u64((uint64_t)m->file_bytes, 1 << 20),
                                .arg = m,
                                .durable = local_durable,
                                .failed = local_log_failed};
    m->epoch = max_u64(m->host_pos.epoch, m->have_snapshot ? m->snapshot.pos.epoch : 0);
    struct errtext e = {0};
    struct reclog *log = NULL;
    int32_t rc = reclog_open(&cfg, scan, m, &e, &log);
    /* Its executor runs already, and may call before the log is known here. */
    pthread_mutex_lock(&m->lock);
    m->log = log;
    pthread_mutex_unlock(&m->lock);
    if (rc < 0) {
        if (!m->error.code)
            errtext_set(&m->error, rc, "%s", e.code ? e.text : "the metadata log cannot be opened");
        return;
    }
    m->epoch++;
    /* The last resort of a start whose checkpoint is gone: if it is damaged, that is told while there is another. */
    if (choose(m) > 0 && m->have_snapshot && !m->install)
        local_snapshot_prove(m, &m->error);
}

static void hand_over(chronik_meta *m, enum stage next)
{
    pthread_mutex_lock(&m->lock);
    m->stage = next;
    m->busy = 0;
    pthread_mutex_unlock(&m->lock);
    local_post(m);
}

void local_start_work(void *arg)
{
    chronik_meta *m = arg;
    open_log(m);
    hand_over(m, STAGE_OPENED);
}

static int32_t replay_one(void *arg, const struct reclog_record *r)
{
    chronik_meta *m = arg;
    if (r->number > m->replay_end)
        return CHRONIK_DONE;
    struct chronik_iov iov = {(uint8_t *)(uintptr_t)r->data + LOCAL_HEAD, r->n - LOCAL_HEAD};
    struct waiter *w = waiter_new(&iov, 1, iov.n);
    if (!w)
        return CHRONIK_E_NOMEM;
    w->pos = (struct chronik_meta_pos){.epoch = get_le64(r->data), .index = r->number};
    pthread_mutex_lock(&m->lock);
    queue_push(&m->replayed, w);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

void local_replay_work(void *arg)
{
    chronik_meta *m = arg;
    struct errtext e = {0};
    if (m->delivered < m->replay_end) {
        int32_t rc = reclog_read(m->log, m->delivered + 1, PIECE, replay_one, m, &e);
        if (rc < 0)
            errtext_set(&m->error, rc, "%s", e.code ? e.text : "the metadata log cannot be read");
    }
    hand_over(m, STAGE_REPLAY);
}
