/* checkpoint.c: the state's checkpoint: rows in a kv table, behind the state by a bounded time, and a small file, the
 * mark, that says when the table can be believed. It must never be believed otherwise, and its failure must never stop
 * the state: a full disk stops checkpoints only. Low executor, but for opening and handing over.
 *
 * The mark (64 bytes): "CHMK", format 1 (u32 le), clean (u32 le), checksum of the table's bytes (u32 le), boot id (16),
 * seq (u64 le), pos epoch and index (u64 le each), zero, CRC-32C of all before (u32 le at 60).
 *
 * Order. Before the first change of a process the mark is removed durably. After each transaction a mark with the
 * running kernel's boot id and the table's checksum is written, not synced: it serves after the death of the process,
 * and a power cut changes the boot id. At a clean close the table is synced, then a clean mark is written and synced.
 * At start the table is used if the mark is whole, is clean or carries the present boot id, its checksum is the
 * table's, and the digest recomputed from the rows is the one in the table's head. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

enum { MARK_BYTES = 64, DELTA_LIMIT = 64 << 20, HEAD_FORMAT = 1 };
static const uint8_t head_key[2] = {0, 'H'};

/* ---- the mark ---- */

struct mark {
    bool clean;
    uint32_t sum;
    struct chronik_uuid boot;
    uint64_t seq;
};

static void le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t rd_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void mark_path(const struct meta *m, char *path, size_t n)
{
    snprintf(path, n, "%s/mark", m->cp.dir);
}

static int32_t mark_write(struct meta *m, const struct mark *k, bool sync)
{
    uint8_t b[MARK_BYTES] = "CHMK";
    char path[4096];
    mark_path(m, path, sizeof path);
    le32(b + 4, 1);
    le32(b + 8, k->clean);
    le32(b + 12, k->sum);
    memcpy(b + 16, k->boot.b, 16);
    le32(b + 32, (uint32_t)k->seq);
    le32(b + 36, (uint32_t)(k->seq >> 32));
    le32(b + 60, crc32c(0, b, 60));
    struct os_file *f;
    int32_t rc = os_open(m->os, path, OS_WRITE | OS_CREATE, &f);
    if (rc < 0)
        return rc;
    struct chronik_iov iov = {b, sizeof b};
    rc = os_pwritev(f, &iov, 1, 0);
    if (rc >= 0 && sync)
        rc = os_sync(f);
    os_close(f);
    if (rc >= 0 && sync)
        rc = os_sync_dir(m->os, m->cp.dir);
    return rc;
}

static bool mark_read(struct meta *m, struct mark *k)
{
    uint8_t b[MARK_BYTES];
    char path[4096];
    mark_path(m, path, sizeof path);
    struct os_file *f;
    if (os_open(m->os, path, OS_READ, &f) < 0)
        return false;
    size_t got = 0;
    int32_t rc = os_pread(f, b, sizeof b, 0, 0, &got);
    os_close(f);
    if (rc < 0 || got != sizeof b || memcmp(b, "CHMK", 4) != 0 || rd_le32(b + 4) != 1 ||
        rd_le32(b + 60) != crc32c(0, b, 60))
        return false;
    k->clean = rd_le32(b + 8) == 1;
    k->sum = rd_le32(b + 12);
    memcpy(k->boot.b, b + 16, 16);
    k->seq = rd_le32(b + 32) | (uint64_t)rd_le32(b + 36) << 32;
    return true;
}

/* Removes the mark, durably: from here on a power cut finds none. */
static int32_t mark_remove(struct meta *m)
{
    char path[4096];
    mark_path(m, path, sizeof path);
    int32_t rc = os_unlink(m->os, path);
    if (rc < 0 && rc != CHRONIK_E_NOTFOUND)
        return rc;
    return os_sync_dir(m->os, m->cp.dir);
}

/* ---- loading ---- */

struct load {
    struct meta *m;
    bool head, bad;
    uint64_t seq, n_rows, digest[2];
    struct chronik_meta_pos pos;
    char why[200];
};

static bool load_head(struct load *l, const uint8_t *v, size_t vn)
{
    struct meta_rd r = mr_of(v, vn);
    if (mr_u8(&r) != HEAD_FORMAT)
        return false;
    l->seq = mr_be64(&r);
    l->pos.epoch = mr_be64(&r);
    l->pos.index = mr_be64(&r);
    l->digest[0] = mr_be64(&r);
    l->digest[1] = mr_be64(&r);
    l->n_rows = mr_be64(&r);
    l->head = true;
    return !r.bad && r.p == r.end;
}

static bool load_row(void *arg, const void *k, size_t kn, const void *v, size_t vn)
{
    struct load *l = arg;
    const uint8_t *key = k;
    bool ok;
    if (kn == sizeof head_key && memcmp(k, head_key, kn) == 0)
        ok = load_head(l, v, vn);
    else if (kn && key[0] == 0)
        ok = logmap_load(&l->m->map, k, kn, v, vn);
    else
        ok = meta_restore_row(&l->m->st, k, kn, v, vn);
    if (!ok) {
        l->bad = true;
        snprintf(l->why, sizeof l->why, "a row of family '%c' with a key of %zu bytes makes no sense",
                 kn && key[0] > 32 && key[0] < 127 ? key[0] : '?', kn);
    }
    return ok || MUTANT("meta_checkpoint_trusted");
}

static bool load_state(struct meta *m, char *why, size_t n)
{
    struct load l = {.m = m};
    struct err e = {0};
    if (m->cp.kv->each(m->cp.kv, load_row, &l, &e) < 0) {
        snprintf(why, n, "%.200s", e.text);
        return false;
    }
    if (l.bad && !MUTANT("meta_checkpoint_trusted")) {
        snprintf(why, n, "%s", l.why);
        return false;
    }
    if (!l.head) {
        snprintf(why, n, "it is empty");
        return false;
    }
    struct meta_image *i = &m->st.img;
    if (!meta_restore_end(&m->st) || i->n_rows != l.n_rows ||
        (!MUTANT("meta_checkpoint_trusted") && (i->digest[0] != l.digest[0] || i->digest[1] != l.digest[1]))) {
        snprintf(why, n, "the digest of its %" PRIu64 " rows is not the one in its head", i->n_rows);
        return false;
    }
    i->seq = l.seq;
    i->pos = l.pos;
    return true;
}

/* Whether the table's bytes are the ones that the mark was written for. The table must not be opened before. */
static bool table_trusted(struct meta *m, char *why, size_t n)
{
    struct mark k;
    struct err e = {0};
    if (MUTANT("meta_checkpoint_trusted"))
        return true;
    if (!mark_read(m, &k)) {
        snprintf(why, n, "there is no whole mark");
        return false;
    }
    struct chronik_uuid boot;
    os_boot_id(m->os, &boot);
    if (!k.clean && !meta_uuid_eq(&boot, &k.boot)) {
        snprintf(why, n, "the machine has started anew since, and the broker had not stopped cleanly");
        return false;
    }
    uint32_t sum;
    int32_t rc = m->cp.own_kv ? meta_kv_lmdb_sum(m->os, m->cp.dir, &sum, &e) : m->cp.kv->sum(m->cp.kv, &sum, &e);
    if (rc < 0) {
        snprintf(why, n, "%.200s", e.text);
        return false;
    }
    if (sum != k.sum) {
        snprintf(why, n, "its checksum is %08x, the mark says %08x", sum, k.sum);
        return false;
    }
    return true;
}

int32_t checkpoint_open(struct meta *m, struct err *e)
{
    struct checkpoint *c = &m->cp;
    if (!m->opt.checkpoint)
        return CHRONIK_DONE;
    snprintf(c->dir, sizeof c->dir, "%s", m->opt.checkpoint);
    int32_t rc = os_mkdir(m->os, c->dir);
    if (rc < 0 && rc != CHRONIK_E_EXISTS)
        return err_set(e, rc, "metadata checkpoint %s: the directory cannot be made: check its parent and owner",
                       c->dir);
    bool fresh = rc > 0;
    c->kv = m->opt.kv;
    c->own_kv = !m->opt.kv;
    char why[256] = "";
    bool trusted = table_trusted(m, why, sizeof why);
    if (c->own_kv) {
        if (!trusted)
            meta_kv_lmdb_drop(m->os, c->dir);
        rc = meta_kv_lmdb_open(m->os, c->dir, &c->kv, e);
        if (rc < 0) {
            c->kv = NULL;
            snprintf(c->why, sizeof c->why, "no checkpoints: %.200s", e ? e->text : "");
            log_warn("%s", c->why);
            return CHRONIK_DONE;
        }
    }
    m->st.want_delta = true;
    if (trusted && !load_state(m, why, sizeof why)) {
        trusted = false;
        meta_state_clear(&m->st);
        meta_state_changes_clear(&m->st);
        logmap_reset(m);
    }
    m->st.delta.n = 0;
    c->full = !trusted;
    c->done_seq = trusted ? m->st.img.seq : 0;
    if (!trusted && !fresh) {
        snprintf(c->why, sizeof c->why, "rebuilding from the log: the checkpoint was not used: %.180s", why);
        log_info("%s: %s", c->dir, c->why);
    }
    return CHRONIK_DONE;
}

/* ---- writing ---- */

static int32_t put_head(struct checkpoint *c, const struct checkpoint_head *h, struct err *e)
{
    struct meta_buf v = {0};
    mb_u8(&v, HEAD_FORMAT);
    mb_be64(&v, h->seq);
    mb_be64(&v, h->pos.epoch);
    mb_be64(&v, h->pos.index);
    mb_be64(&v, h->digest[0]);
    mb_be64(&v, h->digest[1]);
    mb_be64(&v, h->n_rows);
    int32_t rc = c->kv->put(c->kv, head_key, sizeof head_key, v.p, v.n, e);
    mb_free(&v);
    return rc;
}

static int32_t put_delta(struct checkpoint *c, const struct meta_buf *delta, struct err *e)
{
    struct meta_rd r = mr_of(delta->p, delta->n);
    while (r.p < r.end) {
        size_t kn;
        const uint8_t *k = mr_bytes(&r, &kn);
        uint64_t vn = mr_uv(&r);
        CHECK(!r.bad && vn <= mr_left(&r) + 1);
        int32_t rc = vn ? c->kv->put(c->kv, k, kn, r.p, (size_t)vn - 1, e) : c->kv->del(c->kv, k, kn, e);
        if (rc < 0)
            return rc;
        if (vn)
            r.p += vn - 1;
    }
    return CHRONIK_DONE;
}

struct rewrite {
    struct checkpoint *c;
    int32_t rc;
    struct err *e;
};

static void rewrite_row(void *arg, const void *k, size_t kn, const void *v, size_t vn)
{
    struct rewrite *w = arg;
    if (w->rc >= 0)
        w->rc = w->c->kv->put(w->c->kv, k, kn, v, vn, w->e);
}

static struct checkpoint_head head_of(const struct meta_image *i)
{
    return (struct checkpoint_head){
        .seq = i->seq, .pos = i->pos, .digest = {i->digest[0], i->digest[1]}, .n_rows = i->n_rows};
}

/* Everything, from the present image, which is at least as new as what was handed over. */
static int32_t write_full(struct meta *m, struct checkpoint_head *h, struct err *e)
{
    struct checkpoint *c = &m->cp;
    const struct meta_image *i = meta_enter(m->low_reader);
    struct rewrite w = {.c = c, .e = e, .rc = c->kv->clear(c->kv, e)};
    if (w.rc >= 0)
        meta_image_rows(i, rewrite_row, &w);
    *h = head_of(i);
    meta_leave(m->low_reader);
    return w.rc;
}

/* One transaction: the rows and the head together (D3). */
static int32_t write_txn(struct meta *m, bool full, struct checkpoint_head *h, struct err *e)
{
    struct checkpoint *c = &m->cp;
    int32_t rc = c->kv->begin(c->kv, e);
    if (rc < 0)
        return rc;
    if (full)
        rc = write_full(m, h, e);
    if (rc >= 0)
        rc = put_delta(c, &c->taking, e);
    if (rc >= 0)
        rc = put_head(c, h, e);
    if (rc < 0) {
        c->kv->abort(c->kv);
        return rc;
    }
    return c->kv->commit(c->kv, e);
}

/* Takes what was handed over; for a full rewrite only the log map of it matters. false: nothing to do. */
static bool take(struct meta *m, bool *full, struct checkpoint_head *h)
{
    struct checkpoint *c = &m->cp;
    os_mutex_lock(&m->lock);
    c->scheduled = false;
    *full = c->full;
    bool any = c->delta.n > 0 || c->full;
    struct meta_buf was = c->taking;
    c->taking = c->delta;
    c->delta = was;
    c->delta.n = 0;
    if (c->full) {
        c->taking.n = 0;
        logmap_rows(&m->map, &c->taking);
    }
    *h = c->head;
    c->full = false;
    os_mutex_unlock(&m->lock);
    return any;
}

static int32_t write_mark(struct meta *m, uint64_t seq, bool clean, struct err *e)
{
    struct mark k = {.clean = clean, .seq = seq};
    int32_t rc = m->cp.kv->sum(m->cp.kv, &k.sum, e);
    if (rc < 0)
        return rc;
    os_boot_id(m->os, &k.boot);
    rc = mark_write(m, &k, clean);
    if (rc < 0)
        err_set(e, rc,
                "metadata checkpoint %s: its mark cannot be written (code %d); check the disk's space and the limit of "
                "open files",
                m->cp.dir, rc);
    return rc;
}

static int32_t checkpoint_write(struct meta *m, struct err *e)
{
    struct checkpoint *c = &m->cp;
    static const int64_t retry_ns = INT64_C(10) * 1000 * 1000 * 1000;
    bool full;
    struct checkpoint_head h;
    if (!take(m, &full, &h))
        return CHRONIK_DONE;
    int64_t t0 = os_mono_ns(m->os);
    int32_t rc = CHRONIK_DONE;
    if (!c->marked) {
        rc = mark_remove(m);
        if (rc < 0)
            err_set(e, rc, "metadata checkpoint %s: the mark cannot be removed", c->dir);
    }
    if (rc >= 0) {
        c->marked = true;
        rc = write_txn(m, full, &h, e);
    }
    if (rc >= 0)
        rc = write_mark(m, h.seq, false, e);
    os_mutex_lock(&m->lock);
    if (rc >= 0) {
        c->done_seq = h.seq;
        c->why[0] = 0;
    } else {
        c->full = true; /* the taken rows are lost: write all of them next time */
        snprintf(c->why, sizeof c->why, "checkpoints stand still: %.220s", e->text);
    }
    c->last_cost_ns = os_mono_ns(m->os) - t0;
    os_mutex_unlock(&m->lock);
    if (rc < 0) {
        log_warn("%s", c->why);
        m->host.exec_post_at(m->low, &m->checkpoint_task, os_mono_ns(m->os) + retry_ns);
    }
    return rc;
}

static void checkpoint_run(void *arg)
{
    struct meta *m = arg;
    struct err e = {0};
    checkpoint_write(m, &e);
}

/* Under m->lock: how long to wait for the next checkpoint, or -1 when it is arranged already. */
static int64_t wait_ns(struct meta *m)
{
    if (m->cp.scheduled)
        return -1;
    m->cp.scheduled = true;
    return max_i64((m->opt.checkpoint_ms ? m->opt.checkpoint_ms : 500) * INT64_C(1000000), 20 * m->cp.last_cost_ns);
}

static void schedule(struct meta *m, int64_t wait)
{
    if (wait < 0)
        return;
    m->checkpoint_task.fn = checkpoint_run;
    m->checkpoint_task.arg = m;
    m->host.exec_post_at(m->low, &m->checkpoint_task, os_mono_ns(m->os) + wait);
}

void checkpoint_hand_over(struct meta *m)
{
    struct checkpoint *c = &m->cp;
    if (!c->kv) {
        m->st.delta.n = 0;
        return;
    }
    os_mutex_lock(&m->lock);
    if (c->delta.n + m->st.delta.n > DELTA_LIMIT) {
        c->full = true;
        mb_free(&c->delta);
    }
    if (!c->full)
        mb_put(&c->delta, m->st.delta.p, m->st.delta.n);
    c->head = head_of(&m->st.img);
    int64_t wait = wait_ns(m);
    os_mutex_unlock(&m->lock);
    schedule(m, wait);
    m->st.delta.n = 0;
    if (m->st.delta.cap > 1 << 20)
        mb_free(&m->st.delta);
}

void checkpoint_rewrite(struct meta *m)
{
    if (!m->cp.kv)
        return;
    os_mutex_lock(&m->lock);
    m->cp.full = true;
    m->cp.delta.n = 0;
    int64_t wait = wait_ns(m);
    os_mutex_unlock(&m->lock);
    schedule(m, wait);
}

void checkpoint_final(struct meta *m)
{
    struct checkpoint *c = &m->cp;
    struct err e = {0};
    if (!c->kv)
        return;
    if (checkpoint_write(m, &e) < 0 || !c->marked)
        return; /* an unchanged table keeps the mark it had */
    int32_t rc = c->kv->sync(c->kv, &e);
    if (rc >= 0)
        rc = write_mark(m, c->done_seq, true, &e);
    if (rc < 0)
        log_warn("%s: the checkpoint was not closed cleanly; the next start replays the log: %s", c->dir, e.text);
}

void checkpoint_close(struct meta *m)
{
    if (m->cp.kv && m->cp.own_kv)
        m->cp.kv->close(m->cp.kv);
    mb_free(&m->cp.delta);
    mb_free(&m->cp.taking);
}
