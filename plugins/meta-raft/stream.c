/* stream.c: a snapshot on its way from the leader to a replica whose log is too short: the file goes over the bulk lane
 * in chunks, each read on a worker when the one before has left; at the other end it is written beside the snapshot,
 * synced, checked as a whole, and put in its place by one rename (D4: before any record refers to it). Only then does
 * the core hear of it; the host's state is replaced when the log says so durably. Raft executor and workers. */
#include "net.h"

#include <stdlib.h>

/* ---- sending ---- */

static void sending_free(struct sending *s)
{
    s->m->host.file_close(s->file);
    s->m->net->workers--;
    free(s);
}

static void read_chunk(void *arg)
{
    struct sending *s = arg;
    chronik_meta *m = s->m;
    uint64_t n = min_u64(sizeof s->buf, s->size - s->at);
    int32_t rc = m->host.file_read(s->file, s->buf, n, s->at, 0, &s->got);
    pthread_mutex_lock(&m->lock);
    s->rc = rc < 0 ? rc : s->got == n ? CHRONIK_DONE : CHRONIK_E_IO;
    s->ready = true;
    raft_post(m);
    pthread_mutex_unlock(&m->lock);
}

static void read_next(struct sending *s)
{
    s->reading = true;
    s->ready = false;
    s->task = (struct chronik_task){.fn = read_chunk, .arg = s};
    s->m->host.worker_post(s->m->host.ctx, &s->task);
}

/* Another task may still have it: then stream_turn frees it. */
static void sending_end(struct sending *s, bool failed)
{
    struct peer *p = s->peer;
    s->peer = NULL;
    if (p) {
        p->sending = NULL;
        if (failed && s->m->rc && p->replica)
            rc_report_snapshot(s->m->rc, p->replica, false);
    }
}

void stream_drop(struct peer *p)
{
    sending_end(p->sending, true);
}

void stream_send(chronik_meta *m, struct peer *p)
{
    if (p->sending)
        return;
    struct sending *s = raft_alloc(m, sizeof *s);
    int32_t rc = m->host.file_open(m->host.ctx, m->cfg.dir, RAFT_FOLDER "/" RAFT_SNAPSHOT, CHRONIK_FILE_READ, &s->file);
    s->m = m;
    if (rc > 0 && m->host.file_size(s->file, &s->size) < 0) {
        m->host.file_close(s->file);
        rc = CHRONIK_E_IO;
    }
    if (rc < 0) {
        util_log(&m->host, CHRONIK_LOG_ERROR, "%s/%s cannot be sent to %s: %s", RAFT_FOLDER, RAFT_SNAPSHOT, p->address,
                 util_code_text(rc));
        free(s);
        rc_report_snapshot(m->rc, p->replica, false);
        return;
    }
    util_log(&m->host, CHRONIK_LOG_INFO, "%s lacks entries that are forgotten here: a snapshot of %llu bytes is sent",
             p->address, (unsigned long long)s->size);
    m->net->workers++;
    s->next = m->net->sendings;
    m->net->sendings = s;
    s->peer = p;
    p->sending = s;
    struct wbuf *w = &p->lane[LANE_BULK].conn->out;
    size_t at = wire_begin(w, WIRE_SNAP);
    wire_put64(w, m->hard.term);
    wire_put64(w, s->size);
    wire_end(w, at, m->host.crc32c);
    read_next(s);
}

static void sending_turn(chronik_meta *m, struct sending *s)
{
    struct conn *c = s->peer ? s->peer->lane[LANE_BULK].conn : NULL;
    pthread_mutex_lock(&m->lock);
    bool ready = s->ready;
    pthread_mutex_unlock(&m->lock);
    if (!ready || !c || c->out.n > WIRE_CHUNK_BYTES)
        return;
    if (s->rc < 0) {
        util_log(&m->host, CHRONIK_LOG_ERROR, "%s/%s cannot be read: %s", RAFT_FOLDER, RAFT_SNAPSHOT,
                 util_code_text(s->rc));
        s->reading = false;
        sending_end(s, true);
        return;
    }
    size_t at = wire_begin(&c->out, WIRE_CHUNK);
    wire_put64(&c->out, s->at);
    wire_put(&c->out, s->buf, s->got);
    wire_end(&c->out, at, m->host.crc32c);
    s->at += s->got;
    s->reading = false;
    s->ready = false;
    if (s->at < s->size)
        read_next(s);
    else if (!s->done) /* the receiver says how it went */
        s->done = true;
}

bool stream_result(chronik_meta *m, const struct hello *from, const uint8_t *b, uint32_t n)
{
    struct peer *p = peer_of(m, from->replica);
    if (n != 4)
        return false;
    if (m->rc && p && p->sending) {
        uint32_t ok = get_le32(b);
        sending_end(p->sending, false);
        rc_report_snapshot(m->rc, p->replica, ok == 1);
    }
    return true;
}

/* ---- receiving ---- */

static void receiving_free(chronik_meta *m, struct receiving *r)
{
    if (r->file)
        m->host.file_close(r->file);
    m->net->receiving = NULL;
    free(r);
}

bool stream_busy(chronik_meta *m)
{
    return (m->net->receiving && m->net->receiving->verifying) || m->net->workers;
}

void stream_lost(chronik_meta *m, struct conn *c)
{
    struct receiving *r = m->net->receiving;
    if (!r || r->from != c)
        return;
    r->from = NULL;
    if (!r->verifying)
        receiving_free(m, r);
}

static void answer(chronik_meta *m, uint64_t replica, bool ok)
{
    struct peer *p = peer_of(m, replica);
    if (!p || !peer_ready(p, LANE_TALK))
        return;
    struct wbuf *w = &p->lane[LANE_TALK].conn->out;
    size_t at = wire_begin(w, WIRE_SNAP_RESULT);
    wire_put32(w, ok);
    wire_end(w, at, m->host.crc32c);
}

bool stream_begin(chronik_meta *m, struct inbound *in, const uint8_t *p, uint32_t n)
{
    if (n != 16)
        return false;
    struct receiving *r = m->net->receiving;
    uint64_t term = get_le64(p);
    /* A leader that lost its office leaves its own half sent, and the connection open. */
    if (r && !r->verifying && (r->from == in->conn || term >= r->term) && !MUTANT("raft_half_a_snapshot_stays"))
        receiving_free(m, r);
    /* The host may be reading the one in its place, at a start too: it would find another one under its hands. */
    pthread_mutex_lock(&m->lock);
    bool installing = m->installing || m->installing_now;
    pthread_mutex_unlock(&m->lock);
    if (MUTANT("raft_install_interrupted") || MUTANT("raft_snapshot_as_asked"))
        installing = false;
    if (!m->rc || m->net->receiving || installing || net_disk_full(m)) {
        answer(m, in->from.replica, false);
        return true;
    }
    r = raft_alloc(m, sizeof *r);
    *r = (struct receiving){.from = in->conn, .replica = in->from.replica, .term = term, .size = get_le64(p + 8)};
    int32_t rc = m->host.file_open(m->host.ctx, m->cfg.dir, RAFT_FOLDER "/" RAFT_INCOMING,
                                   CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &r->file);
    if (rc > 0)
        rc = m->host.file_truncate(r->file, 0);
    m->net->receiving = r;
    if (rc < 0) {
        receiving_free(m, r);
        answer(m, in->from.replica, false);
    }
    return true;
}

/* Worker: everything is there. Checked as a whole, then it takes the place of the old one. */
static void verify(void *arg)
{
    chronik_meta *m = arg;
    struct receiving *r = m->net->receiving;
    int32_t rc = MUTANT("raft_snapshot_not_synced") ? CHRONIK_DONE : m->host.file_sync(r->file);
    if (rc < 0) /* D1: what is on that file is unknown; it is not used */
        errtext_set(&r->error, rc, "%s/%s cannot be synced: %s", RAFT_FOLDER, RAFT_INCOMING, util_code_text(rc));
    if (rc > 0)
        rc = snapshot_load(m, RAFT_INCOMING, true, &r->s, &r->group, &r->error);
    pthread_mutex_lock(&m->lock);
    bool older = r->s.pos.index <= m->snapshot.pos.index, writing = m->writing_snapshot;
    m->installing_file = rc > 0 && !older && !writing;
    r->older = rc > 0 && older && !MUTANT("raft_older_snapshot_unanswered");
    bool go = m->installing_file;
    pthread_mutex_unlock(&m->lock);
    if (rc > 0 && !go)
        rc = errtext_set(&r->error, CHRONIK_E_STALE, "the received snapshot of entry %llu is not wanted now",
                         (unsigned long long)r->s.pos.index);
    if (go)
        rc = m->host.file_rename(m->host.ctx, m->cfg.dir, RAFT_FOLDER "/" RAFT_INCOMING, RAFT_FOLDER "/" RAFT_SNAPSHOT);
    if (go && rc > 0)
        rc = m->host.dir_sync(m->host.ctx, m->cfg.dir, RAFT_FOLDER);
    pthread_mutex_lock(&m->lock);
    m->installing_file = false;
    if (rc > 0)
        m->snapshot = r->s;
    r->rc = rc;
    r->verified = true;
    raft_post(m);
    pthread_mutex_unlock(&m->lock);
}

bool stream_chunk(chronik_meta *m, struct inbound *in, const uint8_t *p, uint32_t n)
{
    struct receiving *r = m->net->receiving;
    if (n < 8)
        return false;
    if (!r || r->from != in->conn || r->verifying)
        return true; /* of one that was given up */
    uint64_t at = get_le64(p), len = n - 8;
    if (at != r->at || len > r->size - r->at)
        return false;
    struct chronik_iov iov = {(void *)(uintptr_t)(p + 8), len};
    int32_t rc = m->host.file_write(r->file, &iov, 1, at);
    if (rc < 0) {
        util_log(&m->host, CHRONIK_LOG_WARN, "%s/%s cannot be written: %s", RAFT_FOLDER, RAFT_INCOMING,
                 util_code_text(rc));
        receiving_free(m, r);
        answer(m, in->from.replica, false);
        return true;
    }
    r->at += len;
    if (r->at == r->size) {
        r->verifying = true;
        r->task = (struct chronik_task){.fn = verify, .arg = m};
        m->host.worker_post(m->host.ctx, &r->task);
    }
    return true;
}

/* The file is in its place: the core decides what it means. */
static void received(chronik_meta *m, struct receiving *r)
{
    bool ok = r->rc > 0;
    if (!ok && r->rc != CHRONIK_E_STALE)
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, r->error.text);
    if ((ok || r->older) && m->rc) { /* an older one is answered by the core, which says what we have */
        struct rc_snapshot *snap = rc_snapshot_new(&m->alloc, r->s.pos.index, r->s.pos.epoch, &r->group.conf, NULL);
        if (!snap)
            raft_fatal(m, 70, "meta-raft: out of memory for a snapshot");
        struct rc_msg msg = {
            .type = RC_MSG_SNAPSHOT, .to = m->id.replica, .from = r->replica, .term = r->term, .snapshot = snap};
        if (ok)
            m->net->book = r->group.book;
        rc_step(m->rc, &msg);
        rc_snapshot_unref(snap);
    }
    answer(m, r->replica, ok || r->older);
    receiving_free(m, r);
}

void stream_turn(chronik_meta *m)
{
    struct receiving *r = m->net->receiving;
    pthread_mutex_lock(&m->lock);
    bool verified = r && r->verified;
    pthread_mutex_unlock(&m->lock);
    if (verified)
        received(m, r);
    for (struct sending **at = &m->net->sendings; *at;) {
        struct sending *s = *at;
        sending_turn(m, s);
        pthread_mutex_lock(&m->lock);
        bool idle = !s->peer && (!s->reading || s->ready);
        pthread_mutex_unlock(&m->lock);
        if (idle) {
            *at = s->next;
            sending_free(s);
        } else {
            at = &s->next;
        }
    }
}

/* ---- installing: the core took it ---- */

void net_install(chronik_meta *m, const struct rc_snapshot *snap)
{
    group_set(m, &snap->conf, &m->net->book, snap->index, snap->term);
    pthread_mutex_lock(&m->lock);
    m->runs.n = 0;
    m->runs.end = 0;
    m->first_index = snap->index + 1;
    m->grown = 0;
    m->asked = false;
    pthread_mutex_unlock(&m->lock);
    m->installing_now = true;
    m->install_index = snap->index;
    raft_answer(m, &m->waiting, CHRONIK_E_CANCELED);
    net_group_changed(m);
}

/* The log says so durably: the host's state is replaced, unless it is further already: this replica is new, the state
 * beside it was not, and what follows is compared with it (start_same_history). */
void net_installed(chronik_meta *m, uint64_t index)
{
    pthread_mutex_lock(&m->lock);
    bool behind = m->host_applied < index;
    m->installing = behind;
    pthread_mutex_unlock(&m->lock);
    if (behind) {
        struct event *ev = raft_alloc(m, sizeof *ev);
        ev->kind = EV_INSTALL;
        deliver_emit(m, ev);
    }
    disk_state(m);
    raft_post(m);
}

/* The host has it: what follows may be handed out. */
void net_install_done(chronik_meta *m)
{
    pthread_mutex_lock(&m->lock);
    bool done = m->installing_now && !m->installing && m->host_applied >= m->install_index;
    pthread_mutex_unlock(&m->lock);
    if (!done)
        return;
    m->installing_now = false;
    m->handed = m->applied = m->install_index;
    m->host_last = m->install_index;
    rc_snap_done(m->rc, m->install_index);
}
