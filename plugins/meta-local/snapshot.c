/* snapshot.c: the one snapshot of the state beside the log, replaced as a whole by rename. The log is trimmed only when
 * the host asks for it, and never beyond the snapshot that is durable (D4). Blocking; the caller's thread, one writer
 * at a time; installing runs on the apply executor at start. */
#include "local.h"

#include <stdlib.h>

struct writer {
    chronik_meta *meta;
    struct snapfile_writer *file;
    struct chronik_meta_snapshot info;
    uint64_t grown; /* when it was begun */
};

/* Head of the file: pos epoch, pos index, seq (8 bytes each, little-endian), id (16). */
enum { HEAD_BYTES = 40 };

int32_t local_snapshot_begin(chronik_meta *m, const struct chronik_meta_snapshot *s, void **out)
{
    struct writer *w = calloc(1, sizeof *w);
    if (!w)
        return CHRONIK_E_NOMEM;
    w->meta = m;
    memcpy(&w->info, s, min_u64(s->size, sizeof w->info));
    pthread_mutex_lock(&m->lock);
    w->grown = m->grown;
    pthread_mutex_unlock(&m->lock);
    struct snapfile_info f = {.kind = LOCAL_KIND, .version = LOCAL_SNAP_VERSION, .head_n = HEAD_BYTES};
    put_le64(f.head, w->info.pos.epoch);
    put_le64(f.head + 8, w->info.pos.index);
    put_le64(f.head + 16, w->info.seq);
    memcpy(f.head + 24, w->info.id.b, 16);
    int32_t rc = snapfile_begin(&m->host, m->cfg.dir, LOCAL_FOLDER, LOCAL_SNAPSHOT, &f, &w->file);
    if (rc < 0) {
        free(w);
        return rc;
    }
    *out = w;
    return CHRONIK_DONE;
}

int32_t local_snapshot_chunk(void *writer, const void *p, uint64_t n)
{
    return snapfile_chunk(((struct writer *)writer)->file, p, n);
}

int32_t local_snapshot_end(void *writer, uint32_t ok)
{
    struct writer *w = writer;
    chronik_meta *m = w->meta;
    struct snapfile_info expect = {.bytes = w->info.bytes, .crc32c = w->info.crc32c};
    int32_t rc = snapfile_end(w->file, ok, ok ? &expect : NULL);
    pthread_mutex_lock(&m->lock);
    m->asked = 0;
    if (ok && rc > 0) {
        m->snapshot = w->info;
        m->have_snapshot = 1;
        m->grown -= w->grown;
        m->ask_at = (uint64_t)m->snapshot_bytes;
    } else {
        m->ask_at = m->grown + (uint64_t)m->snapshot_bytes / 2; /* it failed: not again at once */
    }
    pthread_mutex_unlock(&m->lock);
    free(w);
    return rc;
}

int32_t local_snapshot_load(chronik_meta *m, struct errtext *e)
{
    struct snapfile_info f;
    int32_t rc =
        snapfile_info(&m->host, m->cfg.dir, LOCAL_FOLDER, LOCAL_SNAPSHOT, LOCAL_KIND, LOCAL_SNAP_VERSION, &f, e);
    if (rc == CHRONIK_E_NOTFOUND) {
        *e = (struct errtext){0};
        return CHRONIK_DONE;
    }
    if (rc < 0) {
        if (!e->code)
            errtext_set(e, rc, "%s/%s cannot be read", LOCAL_FOLDER, LOCAL_SNAPSHOT);
        return rc;
    }
    /* The process may have died between renaming it and syncing the folder. Only what a power cut cannot take back may
     * stand for the log in front of it, whose files are used again from here on. */
    rc = m->host.dir_sync(m->host.ctx, m->cfg.dir, LOCAL_FOLDER);
    if (rc < 0)
        return errtext_set(e, rc, "%s: the folder cannot be synced: %s; check the disk", LOCAL_FOLDER,
                           util_code_text(rc));
    if (f.head_n != HEAD_BYTES)
        return errtext_set(e, CHRONIK_E_CORRUPT,
                           "%s/%s: a head of %u bytes, wanted %d: damaged; restore it from a backup", LOCAL_FOLDER,
                           LOCAL_SNAPSHOT, f.head_n, HEAD_BYTES);
    m->snapshot = (struct chronik_meta_snapshot){.size = sizeof m->snapshot,
                                                 .pos = {get_le64(f.head), get_le64(f.head + 8)},
                                                 .seq = get_le64(f.head + 16),
                                                 .bytes = f.bytes,
                                                 .crc32c = f.crc32c};
    memcpy(m->snapshot.id.b, f.head + 24, 16);
    m->have_snapshot = 1;
    return CHRONIK_DONE;
}

static int32_t pass_over(void *arg, const void *p, uint64_t n)
{
    return CHRONIK_DONE;
}

int32_t local_snapshot_prove(chronik_meta *m, struct errtext *e)
{
    struct snapfile_info f;
    struct errtext why = {0};
    int32_t rc = snapfile_read(&m->host, m->cfg.dir, LOCAL_FOLDER, LOCAL_SNAPSHOT, LOCAL_KIND, LOCAL_SNAP_VERSION, &f,
                               pass_over, NULL, &why);
    if (rc >= 0)
        return rc;
    return errtext_set(e, rc, "%s%s", why.code ? why.text : "the snapshot of the metadata cannot be read",
                       rc == CHRONIK_E_CORRUPT ? "; or remove it: the checkpoint has what it held" : "");
}

static int32_t install_chunk(void *arg, const void *p, uint64_t n)
{
    chronik_meta *m = arg;
    return m->ev.install_chunk(m->ev.arg, p, n);
}

int32_t local_install(chronik_meta *m, struct errtext *e)
{
    int32_t rc = m->ev.install_begin(m->ev.arg, &m->snapshot);
    if (rc < 0)
        return errtext_set(e, rc, "the host refused the snapshot in %s", LOCAL_FOLDER);
    struct snapfile_info f;
    rc = snapfile_read(&m->host, m->cfg.dir, LOCAL_FOLDER, LOCAL_SNAPSHOT, LOCAL_KIND, LOCAL_SNAP_VERSION, &f,
                       install_chunk, m, e);
    int32_t end = m->ev.install_end(m->ev.arg, rc > 0);
    if (rc < 0)
        return e->code ? rc : errtext_set(e, rc, "%s/%s cannot be read", LOCAL_FOLDER, LOCAL_SNAPSHOT);
    if (end < 0)
        return errtext_set(e, end, "%s/%s: its content is not a state that this build understands", LOCAL_FOLDER,
                           LOCAL_SNAPSHOT);
    return CHRONIK_DONE;
}
