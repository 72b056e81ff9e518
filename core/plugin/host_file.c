/* host_file.c: directories and files of a module: relative names below the data directories, over core/os. It must
 * never let a name leave its directory, and gives nothing of a directory that is offline. No lock; a handle is
 * core/os's own.
 */
#include "plugin/host_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_ROOM 4096

_Static_assert(sizeof(struct os_file_op) <= sizeof((struct chronik_file_op *)0)->host,
               "the host's part of a file operation holds the system's");
_Static_assert(CHRONIK_FILE_READ == OS_READ && CHRONIK_FILE_WRITE == OS_WRITE && CHRONIK_FILE_CREATE == OS_CREATE &&
                   CHRONIK_FILE_EXCL == OS_EXCL && CHRONIK_FILE_DIRECT == OS_DIRECT && CHRONIK_READ_NOWAIT == OS_NOWAIT,
               "flags mean the same on both sides");

static struct os_file *os_of(struct chronik_file *f)
{
    return (struct os_file *)f;
}

/* Components separated by single '/', none of them empty, "." or "..". "" is the directory itself. */
static bool path_ok(const char *path)
{
    while (*path != 0) {
        size_t n = strcspn(path, "/");
        if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        path += n;
        if (*path == '/' && *++path == 0)
            return false;
    }
    return true;
}

/* The full name in out[PATH_ROOM], or E_INVAL, E_OFFLINE, E_TOOBIG. */
static int32_t full_path(struct plugin_host *h, uint32_t dir, const char *path, bool empty_ok, char *out)
{
    if (dir >= h->cfg.n_dirs || !path_ok(path) || (path[0] == 0 && !empty_ok))
        return CHRONIK_E_INVAL;
    const struct host_dir *d = &h->dirs[dir];
    if (!atomic_load(&d->online))
        return CHRONIK_E_OFFLINE;
    int n = snprintf(out, PATH_ROOM, path[0] != 0 ? "%s/%s" : "%s%s", d->path, path);
    return n < 0 || n >= PATH_ROOM ? CHRONIK_E_TOOBIG : CHRONIK_DONE;
}

/* ---- directories ---- */

static uint32_t dir_count(void *ctx)
{
    return host_of(ctx)->cfg.n_dirs;
}

static int32_t dir_info(void *ctx, uint32_t dir, struct chronik_dir_info *out)
{
    struct plugin_host *h = host_of(ctx);
    if (dir >= h->cfg.n_dirs)
        return CHRONIK_E_INVAL;
    struct host_dir *d = &h->dirs[dir];
    struct chronik_dir_info info = {.size = out->size, .online = atomic_load(&d->online), .id = d->id, .path = d->path};
    int32_t rc = CHRONIK_DONE;
    if (info.online)
        rc = os_disk_free(h->os, d->path, &info.free_bytes, &info.total_bytes);
    memcpy(out, &info, min_size(info.size, sizeof info));
    return rc;
}

static void dir_failed(void *ctx, uint32_t dir, const char *text)
{
    struct plugin_host *h = host_of(ctx);
    if (dir >= h->cfg.n_dirs)
        return;
    atomic_store(&h->dirs[dir].online, false);
    if (!atomic_exchange(&h->dirs[dir].told, true))
        h->cfg.dir_failed(h->cfg.arg, dir, text);
}

static int32_t dir_make(void *ctx, uint32_t dir, const char *path)
{
    char full[PATH_ROOM];
    int32_t rc = full_path(host_of(ctx), dir, path, false, full);
    return rc < 0 ? rc : os_mkdir(host_of(ctx)->os, full);
}

static int32_t dir_remove(void *ctx, uint32_t dir, const char *path)
{
    char full[PATH_ROOM];
    int32_t rc = full_path(host_of(ctx), dir, path, false, full);
    return rc < 0 ? rc : os_rmdir(host_of(ctx)->os, full);
}

struct listing {
    void (*each)(void *arg, const struct chronik_dirent *e);
    void *arg;
};

static void list_one(void *arg, const char *name, bool is_dir)
{
    const struct listing *l = arg;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    struct chronik_dirent e = {.name = name, .is_dir = is_dir};
    l->each(l->arg, &e);
}

static int32_t dir_list(void *ctx, uint32_t dir, const char *path,
                        void (*each)(void *arg, const struct chronik_dirent *e), void *arg)
{
    char full[PATH_ROOM];
    struct listing l = {.each = each, .arg = arg};
    int32_t rc = full_path(host_of(ctx), dir, path, true, full);
    return rc < 0 ? rc : os_list(host_of(ctx)->os, full, list_one, &l);
}

static int32_t dir_sync(void *ctx, uint32_t dir, const char *path)
{
    char full[PATH_ROOM];
    int32_t rc = full_path(host_of(ctx), dir, path, true, full);
    return rc < 0 ? rc : os_sync_dir(host_of(ctx)->os, full);
}

/* ---- names of files ---- */

static int32_t file_open(void *ctx, uint32_t dir, const char *path, uint32_t flags, struct chronik_file **out)
{
    char full[PATH_ROOM];
    struct os_file *f = NULL;
    *out = NULL;
    if (flags & ~(CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE | CHRONIK_FILE_EXCL | CHRONIK_FILE_LOCK |
                  CHRONIK_FILE_DIRECT))
        return CHRONIK_E_UNSUPPORTED;
    int32_t rc = full_path(host_of(ctx), dir, path, false, full);
    if (rc > 0)
        rc = os_open(host_of(ctx)->os, full, flags & ~CHRONIK_FILE_LOCK, &f);
    if (rc > 0 && (flags & CHRONIK_FILE_LOCK)) {
        rc = os_lock(f);
        if (rc < 0)
            os_close(f);
    }
    if (rc > 0)
        *out = (struct chronik_file *)f;
    return rc;
}

static int32_t file_rename(void *ctx, uint32_t dir, const char *from, const char *to)
{
    char full_from[PATH_ROOM], full_to[PATH_ROOM];
    int32_t rc = full_path(host_of(ctx), dir, from, false, full_from);
    if (rc > 0)
        rc = full_path(host_of(ctx), dir, to, false, full_to);
    return rc < 0 ? rc : os_rename(host_of(ctx)->os, full_from, full_to);
}

static int32_t file_remove(void *ctx, uint32_t dir, const char *path)
{
    char full[PATH_ROOM];
    int32_t rc = full_path(host_of(ctx), dir, path, false, full);
    return rc < 0 ? rc : os_unlink(host_of(ctx)->os, full);
}

/* ---- open files ---- */

static void file_close(struct chronik_file *f)
{
    os_close(os_of(f));
}

static int32_t file_size(struct chronik_file *f, uint64_t *out)
{
    return os_size(os_of(f), out);
}

static int32_t file_read(struct chronik_file *f, void *p, uint64_t n, uint64_t offset, uint32_t flags, uint64_t *got)
{
    size_t bytes = 0;
    if (flags & ~CHRONIK_READ_NOWAIT)
        return CHRONIK_E_UNSUPPORTED;
    int32_t rc = os_pread(os_of(f), p, n, offset, flags, &bytes);
    *got = bytes;
    return rc;
}

static int32_t file_write(struct chronik_file *f, const struct chronik_iov *iov, uint32_t n_iov, uint64_t offset)
{
    return os_pwritev(os_of(f), iov, n_iov, offset);
}

static int32_t file_sync(struct chronik_file *f)
{
    return os_sync(os_of(f));
}

static int32_t file_truncate(struct chronik_file *f, uint64_t size)
{
    return os_truncate(os_of(f), size);
}

static int32_t file_allocate(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    return os_allocate(os_of(f), offset, n);
}

static void file_advise_drop(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    os_advise_drop(os_of(f), offset, n);
}

static void file_start_write(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    os_start_write(os_of(f), offset, n);
}

/* ---- submitted operations: the system's half lives in op->host ---- */

static void file_done(struct os_file_op *half)
{
    struct chronik_file_op *op = (struct chronik_file_op *)((char *)half - offsetof(struct chronik_file_op, host));
    struct chronik_done done = op->done;
    done.fn(done.arg, half->result);
}

static void file_submit(struct chronik_exec *e, struct chronik_file_op *op)
{
    struct os_file_op *half = (struct os_file_op *)(void *)op->host;
    CHECK((op->flags & ~(CHRONIK_OP_WRITE | CHRONIK_OP_SYNC)) == 0);
    *half = (struct os_file_op){
        .file = os_of(op->file),
        .iov = op->iov,
        .n_iov = op->n_iov,
        .off = op->offset,
        .write = op->flags & CHRONIK_OP_WRITE,
        .sync = op->flags & CHRONIK_OP_SYNC,
        .done = file_done,
    };
    os_file_submit(e->os, half);
}

void host_file_fill(struct chronik_host *t)
{
    t->dir_count = dir_count;
    t->dir_info = dir_info;
    t->dir_failed = dir_failed;
    t->dir_make = dir_make;
    t->dir_remove = dir_remove;
    t->dir_list = dir_list;
    t->dir_sync = dir_sync;
    t->file_open = file_open;
    t->file_rename = file_rename;
    t->file_remove = file_remove;
    t->file_close = file_close;
    t->file_size = file_size;
    t->file_read = file_read;
    t->file_write = file_write;
    t->file_sync = file_sync;
    t->file_truncate = file_truncate;
    t->file_allocate = file_allocate;
    t->file_advise_drop = file_advise_drop;
    t->file_submit = file_submit;
    t->file_start_write = file_start_write;
}
