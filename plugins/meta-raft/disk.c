/* disk.c: what a replica must not forget, as records of one record log (plugins/common/reclog.h): term, vote and
 * entries of a pass go into one group and one sync. Records are appended by the raft executor alone; reading back
 * happens at start on a worker, and for __meta in the reader's thread. It must never call durable what the log did not
 * announce.
 *
 * Records, little-endian; every record below `log_from` of the identity file is forgotten:
 *   1 ENTRY  u64 term; u64 index; u32 index - commit at that time (UINT32_MAX: unknown); u8 type of the core;
 *            3 zeros; then the payload. On replay it replaces everything from that index on (recovery keeps no stale
 *            suffix, R6).
 *   2 STATE  u64 term; u64 vote; u64 commit; u64 replica; u64 boot counter. The last one counts.
 *   3 PEER   u64 replica; u64 highest boot counter seen; u64 nonce of that start. The last one of a replica counts.
 *            All ones as the counter: two disks claim to be it, neither is believed again. Our own replica: we were
 *            told that this disk is an older copy.
 *   4 SNAP   u64 index; u64 term: the snapshot beside the log replaced all entries before this record.
 * A complete state group is a STATE with all PEERs behind it: the log may forget what lies before a durable one. */
#include "peer.h"
#include "raft.h"

#include <stdlib.h>

enum { REC_ENTRY = 1, REC_STATE = 2, REC_PEER = 3, REC_SNAP = 4 };
enum { ENTRY_HEAD = 24, STATE_BYTES = 40, PEER_BYTES = 24, SNAP_BYTES = 16 };

/* ---- which record holds which entry ---- */

void runs_put(struct runs *r, uint64_t index, uint64_t number)
{
    while (r->n && r->v[r->n - 1].index >= index)
        r->n--;
    const struct run *last = r->n ? &r->v[r->n - 1] : NULL;
    r->end = index + 1;
    if (last && number - last->number == index - last->index)
        return;
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        struct run *v = realloc(r->v, cap * sizeof *v);
        CHECK(v != NULL);
        r->v = v;
        r->cap = cap;
    }
    r->v[r->n++] = (struct run){index, number};
}

uint64_t runs_number(const struct runs *r, uint64_t index)
{
    size_t lo = 0, hi = r->n;
    if (index >= r->end)
        return 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (r->v[mid].index <= index)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? r->v[lo - 1].number + (index - r->v[lo - 1].index) : 0;
}

/* Forgets indexes below `below`. */
void runs_trim(struct runs *r, uint64_t below)
{
    size_t k = 0;
    while (k + 1 < r->n && r->v[k + 1].index <= below)
        k++;
    if (k) {
        r->n -= k;
        memmove(r->v, r->v + k, r->n * sizeof *r->v);
    }
    if (r->n && r->v[0].index < below && below < r->end) {
        r->v[0].number += below - r->v[0].index;
        r->v[0].index = below;
    }
}

/* ---- reading back, at start ---- */

static void found_cut(struct found *f, uint64_t base, uint64_t from)
{
    uint32_t keep = from > base + 1 ? (uint32_t)(from - base - 1) : 0;
    while (f->n > keep)
        rc_buf_unref(f->v[--f->n].data);
}

static int32_t found_add(chronik_meta *m, const struct rc_entry *e, const uint8_t *data, uint32_t n)
{
    struct found *f = &m->found;
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 1024;
        struct rc_entry *v = realloc(f->v, cap * sizeof *v);
        if (!v)
            return errtext_set(&m->error, CHRONIK_E_NOMEM, "%s: out of memory for %u entries", RAFT_LOG, cap);
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n] = *e;
    if (n) {
        struct rc_buf *b = rc_buf_new(&m->alloc, n);
        if (!b)
            return errtext_set(&m->error, CHRONIK_E_NOMEM, "%s: out of memory for an entry of %u bytes", RAFT_LOG, n);
        memcpy(b->bytes, data, n);
        f->v[f->n].data = b;
    }
    f->n++;
    return CHRONIK_DONE;
}

static int32_t read_entry(chronik_meta *m, const struct reclog_record *r, const uint8_t *p)
{
    struct found *f = &m->found;
    uint64_t base = m->group_now->index, base_term = m->group_now->term;
    struct rc_entry e = {.term = get_le64(p), .index = get_le64(p + 8), .type = (enum rc_entry_type)p[20]};
    uint32_t lag = get_le32(p + 16);
    if (lag != UINT32_MAX && e.index > lag)
        f->hard.commit = max_u64(f->hard.commit, e.index - lag);
    runs_put(&m->runs, e.index, r->number);
    found_cut(f, base, e.index);
    if (e.index <= base) {
        f->stray = e.index == base && e.term != base_term;
        f->gap = false;
    } else if (e.index > base + 1 && e.index > f->last + 1) {
        f->gap = true;
    }
    f->last = e.index;
    if (e.index <= base || f->stray || f->gap)
        return CHRONIK_DONE;
    return found_add(m, &e, p + ENTRY_HEAD, r->n - ENTRY_HEAD);
}

static int32_t bad_record(chronik_meta *m, const struct reclog_record *r)
{
    return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                       "%s: record %llu has type %u and %u bytes: written by a newer version, or damaged; to come back "
                       "as a new replica remove the folders %s and checkpoint, then add it to the quorum",
                       RAFT_LOG, (unsigned long long)r->number, r->type, r->n, RAFT_FOLDER);
}

static int32_t read_state(chronik_meta *m, const struct reclog_record *r, const uint8_t *p)
{
    struct found *f = &m->found;
    if (get_le64(p + 24) != m->id.replica)
        return errtext_set(
            &m->error, CHRONIK_E_CORRUPT,
            "%s: record %llu is of replica %016llx, the identity file beside it of %016llx: files of two "
            "replicas are mixed; restore the folder %s as a whole, or remove it and the folder checkpoint to come back "
            "as a new one",
            RAFT_LOG, (unsigned long long)r->number, (unsigned long long)get_le64(p + 24),
            (unsigned long long)m->id.replica, RAFT_FOLDER);
    f->hard.term = get_le64(p);
    f->hard.vote = get_le64(p + 8);
    f->hard.commit = max_u64(f->hard.commit, get_le64(p + 16));
    f->hard.boot = max_u64(f->hard.boot, get_le64(p + 32));
    f->any_state = true;
    return CHRONIK_DONE;
}

static int32_t replay(void *arg, const struct reclog_record *r)
{
    chronik_meta *m = arg;
    const uint8_t *p = r->data;
    if (r->type == REC_ENTRY && r->n >= ENTRY_HEAD && p[20] <= RC_ENTRY_CONF)
        return read_entry(m, r, p);
    if (r->type == REC_STATE && r->n == STATE_BYTES)
        return read_state(m, r, p);
    if (r->type == REC_PEER && r->n == PEER_BYTES) {
        net_boot_seen(m, get_le64(p), get_le64(p + 8), get_le64(p + 16));
        return CHRONIK_DONE;
    }
    if (r->type != REC_SNAP || r->n != SNAP_BYTES)
        return bad_record(m, r);
    if (get_le64(p) > m->group_now->index)
        return errtext_set(
            &m->error, CHRONIK_E_CORRUPT,
            "%s: record %llu refers to a snapshot of entry %llu, the one beside the log is of %llu: files "
            "are missing; remove the folders %s and checkpoint to come back as a new replica",
            RAFT_LOG, (unsigned long long)r->number, (unsigned long long)get_le64(p),
            (unsigned long long)m->group_now->index, RAFT_FOLDER);
    found_cut(&m->found, m->group_now->index, 0);
    m->runs.n = 0;
    m->found.last = get_le64(p);
    m->found.gap = m->found.stray = false;
    return CHRONIK_DONE;
}

static void log_durable(void *arg, uint64_t end)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    m->durable = max_u64(m->durable, end - 1);
    pthread_mutex_unlock(&m->lock);
    raft_post(m);
}

/* D1: nothing is known of what was not yet announced; the process ends. */
static void log_failed(void *arg, int32_t code, const char *text)
{
    raft_fatal(arg, 74, text);
}

int32_t disk_open(chronik_meta *m, struct errtext *e)
{
    struct reclog_config cfg = {.host = &m->host,
                                .dir = m->cfg.dir,
                                .path = RAFT_LOG,
                                .name = "meta-raft-log",
                                .from = m->id.log_from,
                                .file_bytes = (uint64_t)m->file_bytes,
                                .first_file_bytes = min_u64((uint64_t)m->file_bytes, 1 << 20),
                                .arg = m,
                                .durable = log_durable,
                                .failed = log_failed};
    struct reclog *log = NULL;
    struct reclog_stat s;
    m->found.last = m->group_now ? m->group_now->index : 0;
    int32_t rc = reclog_open(&cfg, replay, m, e, &log);
    /* Its executor runs already, and may call before the log is known here. */
    pthread_mutex_lock(&m->lock);
    m->log = log;
    pthread_mutex_unlock(&m->lock);
    if (rc < 0) {
        if (m->error.code)
            *e = m->error;
        else if (!e->code)
            errtext_set(e, rc, "%s: the log cannot be opened: %s", RAFT_LOG, util_code_text(rc));
        return rc;
    }
    reclog_stat(log, &s);
    pthread_mutex_lock(&m->lock);
    m->appended = m->durable = max_u64(m->durable, s.durable - 1);
    pthread_mutex_unlock(&m->lock);
    if (m->found.gap)
        return errtext_set(
            e, CHRONIK_E_CORRUPT,
            "%s: the log begins behind entry %llu, and no snapshot reaches there: files are missing; "
            "remove the folders %s and checkpoint to come back as a new replica, then add it to the quorum",
            RAFT_LOG, (unsigned long long)m->group_now->index, RAFT_FOLDER);
    return CHRONIK_DONE;
}

/* ---- writing ---- */

static uint64_t append(chronik_meta *m, uint32_t type, const struct chronik_iov *iov, uint32_t n)
{
    uint64_t number = 0;
    int32_t rc = reclog_append(m->log, type, iov, n, NULL, NULL, &number);
    if (rc == CHRONIK_E_CLOSED)
        return m->appended; /* the log has failed and says so itself */
    if (rc < 0)
        raft_fatal(m, 74, "meta-raft: a record could not be added to the log: out of memory");
    m->appended = number;
    return number;
}

static void append_state(chronik_meta *m)
{
    uint8_t b[STATE_BYTES];
    put_le64(b, m->hard.term);
    put_le64(b + 8, m->hard.vote);
    put_le64(b + 16, m->hard.commit);
    put_le64(b + 24, m->id.replica);
    put_le64(b + 32, m->hard.boot);
    append(m, REC_STATE, &(struct chronik_iov){b, sizeof b}, 1);
    m->commit_written = m->hard.commit;
}

static void append_peer(void *arg, uint64_t replica, uint64_t boot, uint64_t nonce)
{
    uint8_t b[PEER_BYTES];
    put_le64(b, replica);
    put_le64(b + 8, boot);
    put_le64(b + 16, nonce);
    append(arg, REC_PEER, &(struct chronik_iov){b, sizeof b}, 1);
}

void disk_peer(chronik_meta *m, uint64_t replica, uint64_t boot, uint64_t nonce)
{
    append_peer(m, replica, boot, nonce);
}

void disk_state(chronik_meta *m)
{
    append_state(m);
    uint64_t first = m->appended;
    net_boots(m, append_peer, m);
    if (!m->state_wait) {
        m->state_wait = m->appended;
        m->state_next = first;
    }
}

/* Commit without entries to carry it: what a start without a quorum will know. */
void disk_commit_mark(chronik_meta *m)
{
    if (m->hard.commit > m->commit_written)
        append_state(m);
}

static void append_entry(chronik_meta *m, const struct rc_entry *e)
{
    uint8_t head[ENTRY_HEAD] = {0};
    uint64_t lag = e->index > m->hard.commit ? e->index - m->hard.commit : 0;
    put_le64(head, e->term);
    put_le64(head + 8, e->index);
    put_le32(head + 16, lag < UINT32_MAX ? (uint32_t)lag : UINT32_MAX);
    head[20] = (uint8_t)e->type;
    struct chronik_iov iov[2] = {{head, sizeof head}, {e->data ? e->data->bytes : NULL, e->data ? e->data->len : 0}};
    uint64_t number = append(m, REC_ENTRY, iov, e->data ? 2 : 1);
    pthread_mutex_lock(&m->lock);
    runs_put(&m->runs, e->index, number);
    pthread_mutex_unlock(&m->lock);
    m->commit_written = max_u64(m->commit_written, m->hard.commit);
}

/* The writes of a ready; answers the record that must be durable before its promises may leave. The state goes first:
 * the ready may end up in two groups of which only the first survives, and then an entry of a term that the state does
 * not know, or a commit beyond the log, would look like damage. */
uint64_t disk_write(chronik_meta *m, const struct rc_ready *rd)
{
    bool changed = rd->has_hard && (rd->hard.term != m->hard.term || rd->hard.vote != m->hard.vote);
    if (changed) {
        m->hard.term = rd->hard.term;
        m->hard.vote = rd->hard.vote;
    }
    if (changed && !MUTANT("raft_state_not_written"))
        append_state(m);
    if (rd->has_hard)
        m->hard.commit = rd->hard.commit;
    if (rd->snapshot) {
        uint8_t b[SNAP_BYTES];
        put_le64(b, rd->snapshot->index);
        put_le64(b + 8, rd->snapshot->term);
        append(m, REC_SNAP, &(struct chronik_iov){b, sizeof b}, 1);
    }
    for (uint32_t i = 0; i < rd->n_entries; i++)
        append_entry(m, &rd->entries[i]);
    return m->appended;
}

/* ---- trimming and reading ---- */

/* Entries up to trim_to are forgotten: first by the core, then, once the identity file says from where to read, by the
 * log. Raft executor. */
void disk_trim(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    bool beyond = MUTANT("raft_trimmed_beyond_snapshot") && m->trim_to;
    uint64_t to = beyond ? m->applied : min_u64(m->trim_to, m->snapshot.pos.index), first = m->first_index;
    bool busy = m->worker_busy;
    uint64_t need = runs_number(&m->runs, to + 1);
    pthread_mutex_unlock(&m->lock);
    if (!m->rc || busy || to < first || !m->state_at)
        return;
    need = !need ? m->state_at : beyond ? need : min_u64(need, m->state_at);
    if (rc_compact(m->rc, to) != RC_OK && !beyond)
        return; /* not applied here yet: at the next pass */
    pthread_mutex_lock(&m->lock);
    m->first_index = to + 1;
    runs_trim(&m->runs, to + 1);
    pthread_mutex_unlock(&m->lock);
    if (need > m->id.log_from)
        start_forget(m, need);
}

struct reading {
    chronik_meta *m;
    void (*each)(void *arg, const struct chronik_meta_entry *e);
    void *arg;
    uint64_t next, end; /* indexes; end is exclusive */
    uint64_t bytes, max_bytes;
};

static int32_t read_one(void *arg, const struct reclog_record *r)
{
    struct reading *x = arg;
    const uint8_t *p = r->data;
    if (r->type != REC_ENTRY)
        return CHRONIK_DONE;
    if (r->n < ENTRY_HEAD)
        return CHRONIK_E_CORRUPT;
    uint64_t index = get_le64(p + 8);
    pthread_mutex_lock(&x->m->lock);
    bool current = runs_number(&x->m->runs, index) == r->number; /* else it was replaced later */
    pthread_mutex_unlock(&x->m->lock);
    if (index >= x->end && current)
        return 0;
    if (!current || index < x->next || p[20] != RC_ENTRY_NORMAL || r->n == ENTRY_HEAD ||
        p[ENTRY_HEAD] != PAYLOAD_COMMAND)
        return CHRONIK_DONE;
    struct chronik_meta_entry e = {
        .pos = {.epoch = get_le64(p), .index = index}, .data = p + ENTRY_HEAD + 1, .n = r->n - ENTRY_HEAD - 1};
    if (x->bytes > 0 && (x->bytes >= x->max_bytes || e.n > x->max_bytes - x->bytes))
        return 0;
    x->each(x->arg, &e);
    x->bytes += e.n;
    x->next = index + 1;
    return CHRONIK_DONE;
}

int32_t disk_read_log(chronik_meta *m, uint64_t index, uint64_t max_bytes,
                      void (*each)(void *arg, const struct chronik_meta_entry *e), void *arg)
{
    struct errtext e = {0};
    pthread_mutex_lock(&m->lock);
    struct reading x = {
        .m = m, .each = each, .arg = arg, .next = index, .end = m->host_applied + 1, .max_bytes = max_bytes};
    int32_t rc = m->stage != STAGE_RUNNING || index < m->first_index ? CHRONIK_E_RANGE : CHRONIK_DONE;
    uint64_t from = runs_number(&m->runs, index);
    pthread_mutex_unlock(&m->lock);
    if (rc < 0 || index >= x.end || !from)
        return rc;
    rc = reclog_read(m->log, from, UINT64_MAX, read_one, &x, &e);
    if (rc < 0 && e.code)
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, e.text);
    return rc < 0 ? rc : CHRONIK_DONE;
}
