/* snapfile.c: a file that appears whole or not at all. It must never rename what it has not synced, nor report success
 * before the folder is synced.
 *
 * The format: a header of 512 bytes,
 *   0 "CKSNAPFL"   8 u32 version = 1   12 u32 crc32c of bytes 16..511   16 u32 kind   20 u32 owner's version
 *  24 u32 bytes of the owner's head   28 u32 0   32 the owner's head (<= 256 bytes), zeros
 * then chunks {u32 bytes (1..262144), u32 crc32c over header crc, chunk number (u64) and data, data},
 * then the end {u32 0, u32 crc32c of the next 24 bytes, u64 bytes of content, u64 chunks, u32 crc32c of the content,
 * u32 header crc}. Nothing may follow. A file cut at any byte, or with any bit changed, does not verify. */
#include "snapfile.h"

#include "mutant.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD = 512, CHUNK = 256 * 1024, END = 32, FORMAT = 1 };
static const char magic[8] = "CKSNAPFL";

struct snapfile_writer {
    const struct chronik_host *h;
    struct chronik_file *f;
    uint32_t dir;
    int32_t failed;
    char folder[160], name[80];
    uint32_t head_crc, crc;
    uint64_t at, bytes, chunks;
    uint64_t fill;
    uint8_t buf[8 + CHUNK];
};

static int32_t file_path(char *out, size_t n, const char *folder, const char *name, const char *suffix)
{
    int len = snprintf(out, n, "%s%s%s%s", folder, *folder ? "/" : "", name, suffix);
    return len > 0 && (size_t)len < n ? CHRONIK_DONE : CHRONIK_E_TOOBIG;
}

static uint32_t chunk_crc(const struct chronik_host *h, uint32_t head_crc, uint64_t number, const void *p, uint64_t n)
{
    return h->crc32c(h->crc32c(head_crc, &number, 8), p, n);
}

int32_t snapfile_begin(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name,
                       const struct snapfile_info *info, struct snapfile_writer **out)
{
    char path[256];
    uint8_t head[HEAD] = {0};
    if (info->head_n > sizeof info->head || strlen(folder) >= sizeof(*out)->folder ||
        strlen(name) >= sizeof(*out)->name)
        return CHRONIK_E_INVAL;
    struct snapfile_writer *w = calloc(1, sizeof *w);
    if (!w)
        return CHRONIK_E_NOMEM;
    w->h = h;
    w->dir = dir;
    strcpy(w->folder, folder);
    strcpy(w->name, name);
    memcpy(head, magic, 8);
    put_le32(head + 8, FORMAT);
    put_le32(head + 16, info->kind);
    put_le32(head + 20, info->version);
    put_le32(head + 24, info->head_n);
    memcpy(head + 32, info->head, info->head_n);
    w->head_crc = h->crc32c(0, head + 16, HEAD - 16);
    put_le32(head + 12, w->head_crc);
    int32_t r = file_path(path, sizeof path, folder, name, ".tmp");
    if (r > 0)
        r = h->file_open(h->ctx, dir, path, CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &w->f);
    if (r > 0)
        r = h->file_truncate(w->f, 0);
    if (r > 0)
        r = util_write(h, w->f, head, HEAD, 0);
    if (r < 0) {
        if (w->f)
            h->file_close(w->f);
        free(w);
        return r;
    }
    w->at = HEAD;
    *out = w;
    return CHRONIK_DONE;
}

static int32_t flush(struct snapfile_writer *w)
{
    if (!w->fill)
        return CHRONIK_DONE;
    put_le32(w->buf, (uint32_t)w->fill);
    put_le32(w->buf + 4, chunk_crc(w->h, w->head_crc, w->chunks, w->buf + 8, w->fill));
    int32_t r = util_write(w->h, w->f, w->buf, 8 + w->fill, w->at);
    w->at += 8 + w->fill;
    w->chunks++;
    w->fill = 0;
    return r;
}

int32_t snapfile_chunk(struct snapfile_writer *w, const void *p, uint64_t n)
{
    const uint8_t *from = p;
    if (w->failed < 0)
        return w->failed;
    w->crc = w->h->crc32c(w->crc, p, n);
    w->bytes += n;
    while (n) {
        uint64_t take = min_u64(n, CHUNK - w->fill);
        memcpy(w->buf + 8 + w->fill, from, take);
        w->fill += take;
        from += take;
        n -= take;
        if (w->fill == CHUNK) {
            int32_t r = flush(w);
            if (r < 0)
                return w->failed = r;
        }
    }
    return CHRONIK_DONE;
}

static int32_t finish(struct snapfile_writer *w)
{
    uint8_t end[END] = {0};
    int32_t r = flush(w);
    put_le64(end + 8, w->bytes);
    put_le64(end + 16, w->chunks);
    put_le32(end + 24, w->crc);
    put_le32(end + 28, w->head_crc);
    put_le32(end + 4, w->h->crc32c(0, end + 8, 24));
    if (r > 0)
        r = util_write(w->h, w->f, end, END, w->at);
    if (r > 0 && !MUTANT("rename-without-sync"))
        r = w->h->file_sync(w->f);
    return r;
}

int32_t snapfile_end(struct snapfile_writer *w, uint32_t commit, const struct snapfile_info *expect)
{
    const struct chronik_host *h = w->h;
    char from[256], to[256];
    int32_t r = w->failed < 0 ? w->failed : CHRONIK_DONE;
    if (r > 0 && commit && expect && (expect->bytes != w->bytes || expect->crc32c != w->crc))
        r = CHRONIK_E_CORRUPT;
    if (r > 0 && commit)
        r = finish(w);
    h->file_close(w->f);
    if (file_path(from, sizeof from, w->folder, w->name, ".tmp") < 0 ||
        file_path(to, sizeof to, w->folder, w->name, "") < 0)
        r = r > 0 ? CHRONIK_E_TOOBIG : r;
    if (r > 0 && commit)
        r = h->file_rename(h->ctx, w->dir, from, to);
    if (r > 0 && commit && !MUTANT("rename-dir-not-synced"))
        r = h->dir_sync(h->ctx, w->dir, w->folder);
    if (r < 0 || !commit)
        h->file_remove(h->ctx, w->dir, from); /* a leftover is harmless: the next writer empties it */
    free(w);
    return r;
}

/* ---- reading ---- */

struct reader {
    const struct chronik_host *h;
    struct chronik_file *f;
    const char *folder, *name;
    char where[320]; /* of the file, for messages */
    struct errtext *e;
    uint32_t head_crc;
};

static int32_t damaged(const struct reader *r, uint64_t at, const char *what)
{
    return errtext_set(r->e, CHRONIK_E_CORRUPT,
                       "file %s, offset %llu: damaged (%s); restore it from a backup or a replica", r->where,
                       (unsigned long long)at, what);
}

static int32_t unreadable(const struct reader *r, int32_t code)
{
    if (code == CHRONIK_E_NOTFOUND)
        return errtext_set(r->e, code, "file %s does not exist", r->where);
    return errtext_set(r->e, code, "file %s cannot be read: %s; check the disk and the file's owner", r->where,
                       util_code_text(code));
}

static int32_t reader_open(struct reader *r, uint32_t dir, uint32_t kind, uint32_t max_version,
                           struct snapfile_info *out)
{
    char path[256];
    uint8_t head[HEAD];
    int32_t rc = file_path(path, sizeof path, r->folder, r->name, "");
    util_where(r->where, sizeof r->where, r->h, dir, path);
    r->f = NULL;
    if (rc > 0)
        rc = r->h->file_open(r->h->ctx, dir, path, CHRONIK_FILE_READ, &r->f);
    if (rc < 0)
        return unreadable(r, rc);
    rc = util_read(r->h, r->f, head, HEAD, 0);
    if (rc == CHRONIK_E_RANGE)
        return damaged(r, 0, "shorter than its header");
    if (rc < 0)
        return unreadable(r, rc);
    r->head_crc = r->h->crc32c(0, head + 16, HEAD - 16);
    if (memcmp(head, magic, 8) || get_le32(head + 12) != r->head_crc || get_le32(head + 24) > sizeof out->head)
        return damaged(r, 0, "the header's checksum is wrong");
    if (get_le32(head + 8) != FORMAT)
        return errtext_set(r->e, CHRONIK_E_VERSION,
                           "file %s, offset 8: container version %u, this build reads %d; start the release that wrote "
                           "it; if none did, it is damaged: restore it from a backup or a replica",
                           r->where, get_le32(head + 8), FORMAT);
    if (get_le32(head + 16) != kind)
        return damaged(r, 16, "it is another kind of file");
    *out = (struct snapfile_info){.kind = kind, .version = get_le32(head + 20), .head_n = get_le32(head + 24)};
    if (out->version > max_version || out->version == 0)
        return errtext_set(r->e, CHRONIK_E_VERSION,
                           "file %s has format version %u, this build reads up to %u; start the newer release that "
                           "wrote it",
                           r->where, out->version, max_version);
    memcpy(out->head, head + 32, out->head_n);
    return CHRONIK_DONE;
}

int32_t snapfile_info(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, struct snapfile_info *out, struct errtext *e)
{
    struct reader r = {.h = h, .folder = folder, .name = name, .e = e};
    int32_t rc = reader_open(&r, dir, kind, max_version, out);
    uint64_t size = 0;
    uint8_t end[END];
    if (rc > 0)
        rc = h->file_size(r.f, &size);
    if (rc > 0 && size >= HEAD + END)
        rc = util_read(h, r.f, end, END, size - END);
    if (rc > 0 && (size < HEAD + END || get_le32(end) != 0 || get_le32(end + 4) != h->crc32c(0, end + 8, 24) ||
                   get_le32(end + 28) != r.head_crc))
        rc = damaged(&r, size, "its end is missing");
    if (rc > 0) {
        out->bytes = get_le64(end + 8);
        out->crc32c = get_le32(end + 24);
    }
    if (r.f)
        h->file_close(r.f);
    return rc;
}

static int32_t read_end(struct reader *r, const uint8_t *first8, uint64_t at, uint64_t chunks,
                        struct snapfile_info *got)
{
    uint8_t end[END], beyond;
    uint64_t n = 0;
    int32_t rc = util_read(r->h, r->f, end + 8, END - 8, at + 8);
    if (rc == CHRONIK_E_RANGE)
        return damaged(r, at, "its end is missing");
    if (rc < 0)
        return unreadable(r, rc);
    if (get_le32(first8 + 4) != r->h->crc32c(0, end + 8, 24) || get_le64(end + 8) != got->bytes ||
        get_le64(end + 16) != chunks || get_le32(end + 24) != got->crc32c || get_le32(end + 28) != r->head_crc)
        return damaged(r, at, "its end does not match its content");
    rc = r->h->file_read(r->f, &beyond, 1, at + END, 0, &n);
    if (rc < 0)
        return unreadable(r, rc);
    return n == 0 ? CHRONIK_DONE : damaged(r, at + END, "bytes stand behind its end");
}

static int32_t read_chunks(struct reader *r, uint8_t *buf, struct snapfile_info *got,
                           int32_t (*chunk)(void *arg, const void *p, uint64_t n), void *arg)
{
    uint64_t at = HEAD;
    for (uint64_t number = 0;; number++) {
        uint8_t head[8];
        int32_t rc = util_read(r->h, r->f, head, 8, at);
        if (rc == CHRONIK_E_RANGE)
            return damaged(r, at, "its end is missing");
        if (rc < 0)
            return unreadable(r, rc);
        uint64_t n = get_le32(head);
        if (n == 0)
            return read_end(r, head, at, number, got);
        if (n > CHUNK)
            return damaged(r, at, "a chunk is too long");
        rc = util_read(r->h, r->f, buf, n, at + 8);
        if (rc == CHRONIK_E_RANGE)
            return damaged(r, at, "a chunk is cut short");
        if (rc < 0)
            return unreadable(r, rc);
        if (get_le32(head + 4) != chunk_crc(r->h, r->head_crc, number, buf, n))
            return damaged(r, at, "a chunk's checksum is wrong");
        got->bytes += n;
        got->crc32c = r->h->crc32c(got->crc32c, buf, n);
        rc = chunk(arg, buf, n);
        if (rc < 0)
            return rc;
        at += 8 + n;
    }
}

int32_t snapfile_read(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, struct snapfile_info *out,
                      int32_t (*chunk)(void *arg, const void *p, uint64_t n), void *arg, struct errtext *e)
{
    struct reader r = {.h = h, .folder = folder, .name = name, .e = e};
    struct snapfile_info got;
    uint8_t *buf = NULL;
    if (e)
        e->code = 0;
    int32_t rc = reader_open(&r, dir, kind, max_version, &got);
    if (rc > 0 && !(buf = malloc(CHUNK)))
        rc = errtext_set(e, CHRONIK_E_NOMEM, "file %s: out of memory", r.where);
    if (rc > 0)
        rc = read_chunks(&r, buf, &got, chunk, arg);
    if (rc > 0 && out)
        *out = got;
    free(buf);
    if (r.f)
        h->file_close(r.f);
    return rc;
}

struct load {
    uint8_t *p;
    uint64_t n, cap, limit;
};

static int32_t load_chunk(void *arg, const void *p, uint64_t n)
{
    struct load *ld = arg;
    if (n > ld->limit - ld->n)
        return CHRONIK_E_TOOBIG;
    if (ld->n + n > ld->cap) {
        uint64_t cap = max_u64(ld->n + n, ld->cap * 2);
        uint8_t *q = realloc(ld->p, cap);
        if (!q)
            return CHRONIK_E_NOMEM;
        ld->p = q;
        ld->cap = cap;
    }
    memcpy(ld->p + ld->n, p, n);
    ld->n += n;
    return CHRONIK_DONE;
}

int32_t snapfile_load(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, uint64_t limit, struct snapfile_info *out, void **data, struct errtext *e)
{
    struct load ld = {.limit = limit};
    int32_t rc = snapfile_read(h, dir, folder, name, kind, max_version, out, load_chunk, &ld, e);
    if (rc < 0) {
        char path[256] = "", where[320];
        free(ld.p);
        file_path(path, sizeof path, folder, name, "");
        util_where(where, sizeof where, h, dir, path);
        if (e && !e->code)
            errtext_set(e, rc, "file %s: %s", where, util_code_text(rc));
        return rc;
    }
    *data = ld.p;
    return rc;
}
