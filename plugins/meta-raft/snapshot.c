/* snapshot.c: the one snapshot of the state beside the log: written by the host, or received from the leader (stream.c)
 * and put in its place as a whole by rename. The log is trimmed only when the host asks for it, and never beyond the
 * snapshot that is durable (D4). Blocking; the caller's thread, one writer at a time; installing runs on the apply
 * executor.
 *
 * Kind "RSNP", version 1. Head, little-endian: pos epoch, pos index, seq (u64 each), id (16 bytes), bytes of the host's
 * state (u64), its CRC-32C (u32), bytes of the group (u32). Content: the group as of that index (group.c), then the
 * host's state. */
#include "raft.h"

#include <stdlib.h>

#define SNAP_KIND SNAPFILE_KIND('R', 'S', 'N', 'P')
enum { HEAD_BYTES = 56, GROUP_MOST = 64 << 10 };

struct writer {
    chronik_meta *meta;
    struct snapfile_writer *file;
    struct chronik_meta_snapshot info;
    uint64_t grown; /* when it was begun */
    uint64_t bytes;
    uint32_t crc;
};

int32_t snapshot_begin(chronik_meta *m, const struct chronik_meta_snapshot *s, void **out)
{
    struct writer *w = calloc(1, sizeof *w);
    struct group *g = calloc(1, sizeof *g);
    uint8_t *bytes = malloc(GROUP_MOST);
    bool writing = false;
    int32_t rc = w && g && bytes ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    if (rc > 0) {
        w->meta = m;
        memcpy(&w->info, s, min_u64(s->size, sizeof w->info));
        pthread_mutex_lock(&m->lock);
        w->grown = m->grown;
        pthread_mutex_unlock(&m->lock);
        rc = group_at(m, MUTANT("raft_group_applied_twice") ? UINT64_MAX : w->info.pos.index, g) ? CHRONIK_DONE
                                                                                                 : CHRONIK_E_STALE;
        pthread_mutex_lock(&m->lock);
        if (rc > 0 && (m->installing_file || m->installing))
            rc = CHRONIK_E_BUSY; /* the leader's is further */
        /* After a start the state may be ahead of what is known to be committed: its group is not known before. */
        if (rc > 0 && w->info.pos.index > m->pub.handed)
            rc = CHRONIK_E_BUSY;
        if (rc < 0)
            m->asked = false;
        else
            m->writing_snapshot = writing = true;
        pthread_mutex_unlock(&m->lock);
    }
    if (rc > 0) {
        uint32_t n = (uint32_t)group_encode(g, bytes, GROUP_MOST);
        struct snapfile_info f = {.kind = SNAP_KIND, .version = RAFT_SNAP_VERSION, .head_n = HEAD_BYTES};
        CHECK(n <= GROUP_MOST);
        put_le64(f.head, w->info.pos.epoch);
        put_le64(f.head + 8, w->info.pos.index);
        put_le64(f.head + 16, w->info.seq);
        memcpy(f.head + 24, w->info.id.b, 16);
        put_le64(f.head + 40, w->info.bytes);
        put_le32(f.head + 48, w->info.crc32c);
        put_le32(f.head + 52, n);
        rc = snapfile_begin(&m->host, m->cfg.dir, RAFT_FOLDER, RAFT_SNAPSHOT, &f, &w->file);
        if (rc > 0)
            snapfile_chunk(w->file, bytes, n); /* a failure comes back at the end */
    }
    free(bytes);
    free(g);
    if (rc > 0) {
        *out = w;
        return rc;
    }
    if (writing) {
        pthread_mutex_lock(&m->lock);
        m->writing_snapshot = m->asked = false;
        pthread_mutex_unlock(&m->lock);
    }
    free(w);
    return rc;
}

int32_t snapshot_chunk(void *writer, const void *p, uint64_t n)
{
    struct writer *w = writer;
    w->bytes += n;
    w->crc = w->meta->host.crc32c(w->crc, p, n);
    return snapfile_chunk(w->file, p, n);
}

int32_t snapshot_end(void *writer, uint32_t ok)
{
    struct writer *w = writer;
    chronik_meta *m = w->meta;
    bool right = w->bytes == w->info.bytes && w->crc == w->info.crc32c;
    pthread_mutex_lock(&m->lock);
    /* One that came from the leader meanwhile may be further: it stays. */
    bool newer = w->info.pos.index > m->snapshot.pos.index;
    pthread_mutex_unlock(&m->lock);
    int32_t rc = snapfile_end(w->file, ok && right && newer, NULL);
    if (ok && rc > 0)
        rc = !right ? CHRONIK_E_CORRUPT : !newer ? CHRONIK_E_STALE : rc;
    pthread_mutex_lock(&m->lock);
    m->asked = m->writing_snapshot = false;
    if (ok && rc > 0) {
        m->snapshot = w->info;
        m->grown -= min_u64(w->grown, m->grown);
        m->ask_at = 0;
        m->snapshot_new = true;
    } else {
        m->ask_at = m->grown + (uint64_t)m->snapshot_bytes / 2; /* it failed: not again at once */
    }
    pthread_mutex_unlock(&m->lock);
    free(w);
    raft_post(m);
    return rc;
}

/* ---- reading ---- */

static bool head_decode(const struct snapfile_info *f, struct chronik_meta_snapshot *s, uint32_t *group_n)
{
    if (f->head_n != HEAD_BYTES)
        return false;
    *s = (struct chronik_meta_snapshot){.size = sizeof *s,
                                        .pos = {get_le64(f->head), get_le64(f->head + 8)},
                                        .seq = get_le64(f->head + 16),
                                        .bytes = get_le64(f->head + 40),
                                        .crc32c = get_le32(f->head + 48)};
    memcpy(s->id.b, f->head + 24, 16);
    *group_n = get_le32(f->head + 52);
    return *group_n <= GROUP_MOST && s->pos.index && f->bytes == *group_n + s->bytes;
}

/* Splits the content into the group and the host's state. */
struct reading {
    chronik_meta *m;
    uint8_t *group; /* GROUP_MOST */
    uint32_t have, want;
    uint64_t bytes;
    uint32_t crc;
    int32_t (*chunk)(void *arg, const void *p, uint64_t n); /* NULL: only check */
    bool only_group;
};

static int32_t reading_chunk(void *arg, const void *p, uint64_t n)
{
    struct reading *x = arg;
    const uint8_t *at = p;
    uint64_t k = min_u64(x->want - x->have, n);
    memcpy(x->group + x->have, at, k);
    x->have += (uint32_t)k;
    if (x->only_group && x->have == x->want)
        return CHRONIK_E_CANCELED;
    at += k;
    n -= k;
    x->bytes += n;
    x->crc = x->m->host.crc32c(x->crc, at, n);
    return n && x->chunk ? x->chunk(x->m->ev.arg, at, n) : CHRONIK_DONE;
}

static int32_t nonsense(const char *name, struct errtext *e)
{
    return errtext_set(e, CHRONIK_E_CORRUPT,
                       "%s/%s: its content makes no sense: damaged; remove the folders %s and checkpoint to come back "
                       "as a new replica, "
                       "then add it to the quorum",
                       RAFT_FOLDER, name, RAFT_FOLDER);
}

/* Reads the file, as a whole unless only the group is asked for; `chunk` gets the host's part. */
static int32_t read_file(chronik_meta *m, const char *name, bool only_group, struct chronik_meta_snapshot *s,
                         struct group *g, int32_t (*chunk)(void *arg, const void *p, uint64_t n), struct errtext *e)
{
    struct snapfile_info f;
    struct reading x = {.m = m, .chunk = chunk, .only_group = only_group, .group = malloc(GROUP_MOST)};
    if (!x.group)
        return errtext_set(e, CHRONIK_E_NOMEM, "%s/%s: out of memory", RAFT_FOLDER, name);
    int32_t rc = snapfile_info(&m->host, m->cfg.dir, RAFT_FOLDER, name, SNAP_KIND, RAFT_SNAP_VERSION, &f, e);
    if (rc > 0)
        rc = head_decode(&f, s, &x.want) ? rc : nonsense(name, e);
    if (rc > 0)
        rc = snapfile_read(&m->host, m->cfg.dir, RAFT_FOLDER, name, SNAP_KIND, RAFT_SNAP_VERSION, &f, reading_chunk, &x,
                           e);
    bool seen = only_group && rc == CHRONIK_E_CANCELED && x.have == x.want;
    if (seen)
        rc = CHRONIK_DONE;
    if (rc > 0 && (!group_decode(g, x.group, x.want) || (!seen && (x.bytes != s->bytes || x.crc != s->crc32c))))
        rc = nonsense(name, e);
    free(x.group);
    if (rc < 0 && rc != CHRONIK_E_NOTFOUND && !e->code)
        errtext_set(e, rc, "%s/%s cannot be read: %s", RAFT_FOLDER, name, util_code_text(rc));
    /* The group was stored as of an older index when nothing had changed since. */
    g->index = s->pos.index;
    g->term = s->pos.epoch;
    return rc;
}

int32_t snapshot_load(chronik_meta *m, const char *name, bool whole, struct chronik_meta_snapshot *s, struct group *g,
                      struct errtext *e)
{
    int32_t rc = read_file(m, name, !whole, s, g, NULL, e);
    if (rc == CHRONIK_E_NOTFOUND)
        *e = (struct errtext){0};
    if (rc < 0)
        return rc;
    /* The process may have died between renaming it and syncing the folder. Only what a power cut cannot take back may
     * stand for the log in front of it, whose files are used again from here on. */
    rc = m->host.dir_sync(m->host.ctx, m->cfg.dir, RAFT_FOLDER);
    return rc < 0 ? errtext_set(e, rc, "%s: the folder cannot be synced: %s; check the disk", RAFT_FOLDER,
                                util_code_text(rc))
                  : rc;
}

int32_t snapshot_install(chronik_meta *m, uint64_t *index, struct errtext *e)
{
    struct group *g = calloc(1, sizeof *g);
    struct chronik_meta_snapshot s;
    if (!g)
        return errtext_set(e, CHRONIK_E_NOMEM, "%s/%s: out of memory", RAFT_FOLDER, RAFT_SNAPSHOT);
    int32_t rc = read_file(m, RAFT_SNAPSHOT, true, &s, g, NULL, e); /* whose it is, as the file says */
    *index = s.pos.index;
    if (MUTANT("raft_snapshot_as_asked"))
        s = m->snapshot;
    if (rc > 0 && m->ev.install_begin(m->ev.arg, &s) < 0) {
        free(g);
        return errtext_set(e, CHRONIK_E_INVAL, "the host refused the snapshot in %s", RAFT_FOLDER);
    }
    if (rc < 0) {
        free(g);
        return e->code ? rc : errtext_set(e, rc, "%s/%s cannot be read", RAFT_FOLDER, RAFT_SNAPSHOT);
    }
    rc = read_file(m, RAFT_SNAPSHOT, false, &s, g, m->ev.install_chunk, e);
    free(g);
    if (rc > 0 && s.pos.index != *index && !MUTANT("raft_snapshot_as_asked"))
        rc = errtext_set(e, CHRONIK_E_STALE, "%s/%s was replaced while it was read", RAFT_FOLDER, RAFT_SNAPSHOT);
    int32_t end = m->ev.install_end(m->ev.arg, rc > 0);
    if (rc < 0)
        return e->code ? rc : errtext_set(e, rc, "%s/%s cannot be read", RAFT_FOLDER, RAFT_SNAPSHOT);
    if (end < 0)
        return errtext_set(e, end, "%s/%s: its content is not a state that this build understands", RAFT_FOLDER,
                           RAFT_SNAPSHOT);
    return CHRONIK_DONE;
}
