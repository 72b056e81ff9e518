/* snapshot.c: the whole state as a stream of bytes: made from a pinned image on the low executor while commands go on,
 * and installed when the engine has a state that replaces ours. The log is trimmed only after the engine said that the
 * snapshot is durable (D4); an installed snapshot counts only as a whole.
 *
 * The stream: "CHMS", format 1 (u8), seq, pos epoch, pos index, digest (2), number of rows: be64 each; then the rows:
 * key length, key, value length, value (lengths as varints). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "meta/meta_int.h"

LOG_SUBSYSTEM("meta");

enum { STREAM_FORMAT = 1, STREAM_HEAD = 5 + 6 * 8, CHUNK = 128 * 1024, MAX_ROW = 64 << 20 };

/* ---- making one ---- */

struct sink {
    struct meta_buf b;
    uint64_t bytes;
    uint32_t crc;
    void *writer; /* NULL: only count */
    const struct chronik_meta_ops *ops;
    int32_t rc;
};

static void sink_flush(struct sink *s)
{
    if (s->b.n == 0)
        return;
    s->bytes += s->b.n;
    s->crc = crc32c(s->crc, s->b.p, s->b.n);
    if (s->writer && s->rc >= 0)
        s->rc = s->ops->snapshot_chunk(s->writer, s->b.p, s->b.n);
    s->b.n = 0;
}

static void sink_row(void *arg, const void *k, size_t kn, const void *v, size_t vn)
{
    struct sink *s = arg;
    mb_bytes(&s->b, k, kn);
    mb_bytes(&s->b, v, vn);
    if (s->b.n >= CHUNK)
        sink_flush(s);
}

static void sink_image(struct sink *s, const struct meta_image *i)
{
    mb_put(&s->b, "CHMS", 4);
    mb_u8(&s->b, STREAM_FORMAT);
    mb_be64(&s->b, i->seq);
    mb_be64(&s->b, i->pos.epoch);
    mb_be64(&s->b, i->pos.index);
    mb_be64(&s->b, i->digest[0]);
    mb_be64(&s->b, i->digest[1]);
    mb_be64(&s->b, i->n_rows);
    meta_image_rows(i, sink_row, s);
    sink_flush(s);
}

/* Two passes over one pinned image: the engine wants size and checksum first. */
static int32_t snapshot_write(struct meta *m, const struct meta_image *i, struct chronik_meta_snapshot *snap)
{
    struct sink count = {0};
    sink_image(&count, i);
    *snap = (struct chronik_meta_snapshot){
        .size = sizeof *snap, .pos = i->pos, .seq = i->seq, .bytes = count.bytes, .crc32c = count.crc};
    mb_free(&count.b);
    os_random(m->os, snap->id.b, sizeof snap->id.b);
    struct sink out = {.ops = m->ops};
    int32_t rc = m->ops->snapshot_begin(m->engine, snap, &out.writer);
    if (rc < 0)
        return rc;
    sink_image(&out, i);
    mb_free(&out.b);
    rc = m->ops->snapshot_end(out.writer, out.rc >= 0);
    return out.rc < 0 ? out.rc : rc;
}

#ifdef CHRONIK_MUTANTS
/* The mutant trims at once and writes a while later. */
static bool trimmed_early(struct meta *m)
{
    static bool second;
    second = !second;
    if (!second)
        return true;
    m->ops->trim(m->engine, m->applied_index);
    m->host.exec_post_at(m->low, &m->snapshot_task, os_mono_ns(m->os) + 50000000);
    return false;
}
#else
#define trimmed_early(m) true
#endif

static int32_t snapshot_now(struct meta *m)
{
    struct chronik_meta_snapshot snap;
    const struct meta_image *i = meta_enter(m->low_reader);
    int32_t rc = i->pos.index ? snapshot_write(m, i, &snap) : CHRONIK_E_NOTFOUND;
    meta_leave(m->low_reader);
    if (rc < 0) {
        log_warn("a snapshot of the metadata failed (%d); the log grows until one succeeds", rc);
        return rc;
    }
    log_info("metadata snapshot at command %" PRIu64 ", %" PRIu64 " bytes", snap.seq, snap.bytes);
    m->ops->trim(m->engine, snap.pos.index);
    struct chronik_meta_status s = {.size = sizeof s};
    m->ops->status(m->engine, &s);
    os_mutex_lock(&m->lock);
    m->snapshot_seq = snap.seq;
    logmap_trim(&m->map, s.first_index);
    os_mutex_unlock(&m->lock);
    return CHRONIK_DONE;
}

static bool closing(struct meta *m)
{
    os_mutex_lock(&m->lock);
    bool yes = m->closing;
    os_mutex_unlock(&m->lock);
    return yes;
}

void snapshot_make(void *arg)
{
    struct meta *m = arg;
    if (closing(m))
        return;
    if (MUTANT("meta_trim_before_snapshot") && !trimmed_early(m))
        return;
    (void)snapshot_now(m); /* it has told the log; the engine asks again */
}

struct request {
    struct chronik_task task;
    struct meta *meta;
    struct chronik_done done;
};

static void snapshot_asked(void *arg)
{
    struct request *r = arg;
    int32_t rc = closing(r->meta) ? CHRONIK_E_CLOSED : snapshot_now(r->meta);
    r->done.fn(r->done.arg, rc);
    free(r);
}

int32_t meta_snapshot(struct meta *m, struct chronik_done done)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return CHRONIK_E_NOMEM;
    *r = (struct request){.task = {.fn = snapshot_asked, .arg = r}, .meta = m, .done = done};
    os_mutex_lock(&m->lock); /* so that the task stands before the close's on the executor */
    bool late = m->closing;
    if (!late)
        m->host.exec_post(m->low, &r->task);
    os_mutex_unlock(&m->lock);
    if (!late)
        return CHRONIK_PENDING;
    free(r);
    return CHRONIK_E_CLOSED;
}

/* ---- installing one ---- */

struct install {
    struct chronik_meta_snapshot info;
    struct meta_state st;
    struct meta_buf rest; /* bytes of a row that has not come whole */
    uint64_t bytes, n_rows, want_rows, digest[2], seq;
    struct chronik_meta_pos pos;
    uint32_t crc;
    bool head, bad;
};

static void install_drop(struct meta *m)
{
    struct install *in = m->install;
    if (!in)
        return;
    meta_state_free(&in->st);
    mb_free(&in->rest);
    free(in);
    m->install = NULL;
}

int32_t snapshot_install_begin(struct meta *m, const struct chronik_meta_snapshot *s)
{
    install_drop(m);
    struct install *in = meta_xmalloc(sizeof *in);
    memset(in, 0, sizeof *in);
    memcpy(&in->info, s, min_size(s->size, sizeof in->info));
    meta_state_init(&in->st, &m->mem);
    m->install = in;
    return CHRONIK_DONE;
}

static bool install_head(struct install *in, struct meta_rd *r)
{
    if (memcmp(r->p, "CHMS", 4) != 0 || r->p[4] != STREAM_FORMAT)
        return false;
    r->p += 5;
    in->seq = mr_be64(r);
    in->pos.epoch = mr_be64(r);
    in->pos.index = mr_be64(r);
    in->digest[0] = mr_be64(r);
    in->digest[1] = mr_be64(r);
    in->want_rows = mr_be64(r);
    in->head = true;
    return in->seq == in->info.seq;
}

/* One row, if it is there whole: 1; 0 not yet; -1 nonsense. */
static int install_row(struct install *in, struct meta_rd *r)
{
    struct meta_rd t = *r;
    size_t kn, vn;
    const uint8_t *k = mr_bytes(&t, &kn);
    const uint8_t *v = mr_bytes(&t, &vn);
    if (t.bad)
        return mr_left(r) > MAX_ROW ? -1 : 0;
    *r = t;
    in->n_rows++;
    return meta_restore_row(&in->st, k, kn, v, vn) ? 1 : -1;
}

int32_t snapshot_install_chunk(struct meta *m, const void *p, uint64_t n)
{
    struct install *in = m->install;
    if (!in || in->bad)
        return CHRONIK_E_CORRUPT;
    in->crc = crc32c(in->crc, p, n);
    in->bytes += n;
    mb_put(&in->rest, p, n);
    struct meta_rd r = mr_of(in->rest.p, in->rest.n);
    int rc = 1;
    if (!in->head && in->rest.n >= STREAM_HEAD)
        rc = install_head(in, &r) ? 1 : -1;
    while (in->head && rc == 1 && r.p < r.end)
        rc = install_row(in, &r);
    if (rc < 0) {
        in->bad = true;
        return CHRONIK_E_CORRUPT;
    }
    size_t left = mr_left(&r);
    memmove(in->rest.p, r.p, left);
    in->rest.n = left;
    return CHRONIK_DONE;
}

static bool install_whole(struct install *in)
{
    struct meta_image *i = &in->st.img;
    return in->head && !in->bad && in->rest.n == 0 && in->bytes == in->info.bytes && in->crc == in->info.crc32c &&
           meta_restore_end(&in->st) && i->n_rows == in->want_rows && i->digest[0] == in->digest[0] &&
           i->digest[1] == in->digest[1];
}

/* The one switch: the new state takes the place of the old one, as a batch of its own. */
static void install_switch(struct meta *m, struct install *in)
{
    int32_t controller = m->st.img.controller;
    bool want_delta = m->st.want_delta;
    meta_state_free(&m->st);
    m->st = in->st;
    memset(&in->st, 0, sizeof in->st);
    arena_init(&in->st.arena, 0);
    in->st.mem = &m->mem;
    m->st.want_delta = want_delta;
    m->st.img.controller = controller;
    m->st.img.seq = in->seq;
    m->st.img.pos = in->pos;
    meta_state_changes_clear(&m->st);
    meta_state_note(&m->st, META_CHANGE_RESET, NULL, NULL, 0, 0);
    os_mutex_lock(&m->lock);
    logmap_reset(m);
    m->snapshot_seq = in->seq;
    os_mutex_unlock(&m->lock);
    engine_publish(m);
    checkpoint_rewrite(m);
    propose_all_again(m);
}

int32_t snapshot_install_end(struct meta *m, bool ok)
{
    struct install *in = m->install;
    if (!in)
        return CHRONIK_E_INVAL;
    int32_t rc = CHRONIK_DONE;
    if (ok) {
        if (install_whole(in)) {
            log_info("metadata snapshot installed: command %" PRIu64 ", %" PRIu64 " bytes", in->seq, in->bytes);
            install_switch(m, in);
        } else {
            log_error("a metadata snapshot of %" PRIu64 " bytes is damaged or incomplete: not installed", in->bytes);
            rc = CHRONIK_E_CORRUPT;
        }
    }
    install_drop(m);
    return rc;
}
