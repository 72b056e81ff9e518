/* testhost.c: host services for tests, over core/os. Not the broker's host: it checks nothing and keeps no metrics. */
#include <config.h>

#include "tests/unit/store/testhost.h"

#include "base/crc32c.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void th_log(void *ctx, int32_t level, const char *text)
{
    struct testhost *t = ctx;
    snprintf(t->last_log, sizeof t->last_log, "%s", text);
    if (level >= CHRONIK_LOG_WARN)
        snprintf(t->last_warning, sizeof t->last_warning, "%s", text);
    if (getenv("CHRONIK_SIM_TRACE") || (!t->quiet && level >= CHRONIK_LOG_WARN))
        fprintf(stderr, "# %s\n", text);
}

static void th_fatal(void *ctx, int32_t code, const char *text)
{
    struct testhost *t = ctx;
    if (t->on_fatal)
        t->on_fatal(t->fatal_arg, code, text);
    os_exit(t->os, code);
}

static struct chronik_metric *th_metric_open(void *ctx, uint32_t kind, const char *name, const char *help)
{
    return NULL;
}
static void th_metric(struct chronik_metric *m, int64_t v)
{
}

static struct testhost_setting *setting(struct testhost *t, const char *key)
{
    for (uint32_t i = 0; i < t->n_settings; i++)
        if (strcmp(t->settings[i].key, key) == 0)
            return &t->settings[i];
    return NULL;
}

static int32_t th_config_i64(void *ctx, const char *key, int64_t *out)
{
    struct testhost_setting *s = setting(ctx, key);
    if (!s)
        return CHRONIK_E_NOTFOUND;
    *out = s->number;
    return CHRONIK_DONE;
}

static int32_t th_config_str(void *ctx, const char *key, const char **out)
{
    struct testhost_setting *s = setting(ctx, key);
    if (!s || !s->text)
        return CHRONIK_E_NOTFOUND;
    *out = s->text;
    return CHRONIK_DONE;
}

static int64_t th_mono_ns(void *ctx)
{
    return os_mono_ns(((struct testhost *)ctx)->os);
}
static int64_t th_wall_ms(void *ctx)
{
    return os_wall_ms(((struct testhost *)ctx)->os);
}
static void th_boot_id(void *ctx, struct chronik_uuid *out)
{
    struct testhost *t = ctx;
    if (t->own_boot)
        *out = t->boot;
    else
        os_boot_id(t->os, out);
}
static void th_random(void *ctx, void *p, uint64_t n)
{
    os_random(((struct testhost *)ctx)->os, p, n);
}
static uint32_t th_crc32c(uint32_t crc, const void *p, uint64_t n)
{
    return crc32c(crc, p, n);
}

/* ---- executors: a chronik_exec is an os_exec with its world beside it ---- */

struct chronik_exec {
    struct os_exec *e;
    struct os *os;
    struct chronik_task reap;
    struct chronik_done done;
};

static int32_t th_exec_open(void *ctx, const char *name, uint32_t flags, struct chronik_exec **out)
{
    struct testhost *t = ctx;
    struct chronik_exec *x = calloc(1, sizeof *x);
    x->os = t->os;
    int32_t r = os_exec_open(t->os, name, flags & CHRONIK_EXEC_LOW ? OS_EXEC_LOW : 0, &x->e);
    if (r < 0)
        free(x);
    else
        *out = x;
    return r;
}
static void th_exec_post(struct chronik_exec *e, struct chronik_task *t)
{
    os_exec_post(e->e, t);
}
static void th_exec_post_at(struct chronik_exec *e, struct chronik_task *t, int64_t ns)
{
    os_exec_post_at(e->e, t, ns);
}
static int32_t th_exec_cancel(struct chronik_exec *e, struct chronik_task *t)
{
    return os_exec_cancel(e->e, t);
}
static int32_t th_exec_here(struct chronik_exec *e)
{
    return os_exec_here(e->e);
}
static void exec_reap(void *arg)
{
    struct chronik_exec *x = arg;
    struct chronik_done done = x->done;
    os_exec_close(x->e);
    free(x);
    if (done.fn)
        done.fn(done.arg, CHRONIK_DONE);
}
static int32_t th_exec_close(struct chronik_exec *e, struct chronik_done done)
{
    e->done = done;
    e->reap = (struct chronik_task){.fn = exec_reap, .arg = e};
    os_worker_post(e->os, &e->reap);
    return CHRONIK_PENDING;
}
static void th_worker_post(void *ctx, struct chronik_task *t)
{
    os_worker_post(((struct testhost *)ctx)->os, t);
}

/* ---- buffers ---- */

struct chronik_buf {
    uint64_t size;
    int refs;
    _Alignas(16) char data[];
};

static struct chronik_buf *th_buf_new(void *ctx, uint64_t size)
{
    struct chronik_buf *b = malloc(sizeof *b + size);
    if (b) {
        b->size = size;
        b->refs = 1;
    }
    return b;
}
static void *th_buf_data(struct chronik_buf *b)
{
    return b->data;
}
static uint64_t th_buf_size(struct chronik_buf *b)
{
    return b->size;
}
static void th_buf_ref(struct chronik_buf *b)
{
    __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
}
static void th_buf_unref(struct chronik_buf *b)
{
    if (__atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(b);
}

/* ---- directories and files: a chronik_file is an os_file ---- */

static const char *full(void *ctx, uint32_t dir, const char *path, char out[512])
{
    struct testhost *t = ctx;
    CHECK(dir < t->n_dirs);
    snprintf(out, 512, "%s%s%s", t->roots[dir], *path ? "/" : "", path);
    return out;
}
static struct os *world(void *ctx)
{
    return ((struct testhost *)ctx)->os;
}
static uint32_t th_dir_count(void *ctx)
{
    return ((struct testhost *)ctx)->n_dirs;
}
static int32_t th_dir_info(void *ctx, uint32_t dir, struct chronik_dir_info *out)
{
    struct testhost *t = ctx;
    CHECK(dir < t->n_dirs && out->size >= sizeof *out);
    *out = (struct chronik_dir_info){.size = sizeof *out, .online = !(t->offline & 1u << dir), .path = t->roots[dir]};
    out->id.b[0] = (uint8_t)(dir + 1);
    return os_disk_free(t->os, t->roots[dir], &out->free_bytes, &out->total_bytes);
}
static void th_dir_failed(void *ctx, uint32_t dir, const char *text)
{
    struct testhost *t = ctx;
    t->offline |= 1u << dir;
    th_log(ctx, CHRONIK_LOG_ERROR, text);
}
static int32_t th_dir_make(void *ctx, uint32_t dir, const char *path)
{
    char f[512];
    return os_mkdir(world(ctx), full(ctx, dir, path, f));
}
static int32_t th_dir_remove(void *ctx, uint32_t dir, const char *path)
{
    char f[512];
    return os_rmdir(world(ctx), full(ctx, dir, path, f));
}

struct list {
    void (*each)(void *arg, const struct chronik_dirent *e);
    void *arg;
};
static void list_each(void *arg, const char *name, bool is_dir)
{
    struct list *l = arg;
    struct chronik_dirent e = {.name = name, .is_dir = is_dir};
    l->each(l->arg, &e);
}
static int32_t th_dir_list(void *ctx, uint32_t dir, const char *path,
                           void (*each)(void *arg, const struct chronik_dirent *e), void *arg)
{
    char f[512];
    struct list l = {each, arg};
    return os_list(world(ctx), full(ctx, dir, path, f), list_each, &l);
}
static int32_t th_dir_sync(void *ctx, uint32_t dir, const char *path)
{
    char f[512];
    return os_sync_dir(world(ctx), full(ctx, dir, path, f));
}
static int32_t th_file_open(void *ctx, uint32_t dir, const char *path, uint32_t flags, struct chronik_file **out)
{
    char f[512];
    struct os_file *file = NULL;
    int32_t r = os_open(world(ctx), full(ctx, dir, path, f), flags & ~CHRONIK_FILE_LOCK, &file);
    if (r > 0 && (flags & CHRONIK_FILE_LOCK)) {
        r = os_lock(file);
        if (r < 0)
            os_close(file);
    }
    if (r > 0)
        *out = (struct chronik_file *)file;
    return r;
}
static int32_t th_file_rename(void *ctx, uint32_t dir, const char *from, const char *to)
{
    char f[512], g[512];
    return os_rename(world(ctx), full(ctx, dir, from, f), full(ctx, dir, to, g));
}
static int32_t th_file_remove(void *ctx, uint32_t dir, const char *path)
{
    char f[512];
    return os_unlink(world(ctx), full(ctx, dir, path, f));
}
static struct os_file *osf(struct chronik_file *f)
{
    return (struct os_file *)f;
}
static void th_file_close(struct chronik_file *f)
{
    os_close(osf(f));
}
static int32_t th_file_size(struct chronik_file *f, uint64_t *out)
{
    return os_size(osf(f), out);
}
static int32_t th_file_read(struct chronik_file *f, void *p, uint64_t n, uint64_t offset, uint32_t flags, uint64_t *got)
{
    size_t g = 0;
    int32_t r = os_pread(osf(f), p, n, offset, flags & CHRONIK_READ_NOWAIT ? OS_NOWAIT : 0, &g);
    *got = g;
    return r;
}
static int32_t th_file_write(struct chronik_file *f, const struct chronik_iov *iov, uint32_t n, uint64_t offset)
{
    return os_pwritev(osf(f), iov, n, offset);
}
static int32_t th_file_sync(struct chronik_file *f)
{
    return os_sync(osf(f));
}
static int32_t th_file_truncate(struct chronik_file *f, uint64_t size)
{
    return os_truncate(osf(f), size);
}
static int32_t th_file_allocate(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    return os_allocate(osf(f), offset, n);
}
static void th_file_start_write(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    os_start_write((struct os_file *)f, offset, n);
}
static void th_file_advise_drop(struct chronik_file *f, uint64_t offset, uint64_t n)
{
    os_advise_drop(osf(f), offset, n);
}

struct op_box {
    struct os_file_op op;
    struct chronik_done done;
};
static void op_done(struct os_file_op *op)
{
    struct op_box *b = CONTAINER_OF(op, struct op_box, op);
    struct chronik_done done = b->done;
    int32_t result = op->result;
    free(b);
    done.fn(done.arg, result);
}
static void th_file_submit(struct chronik_exec *e, struct chronik_file_op *op)
{
    struct op_box *b = calloc(1, sizeof *b);
    b->done = op->done;
    b->op = (struct os_file_op){.file = osf(op->file),
                                .iov = op->iov,
                                .n_iov = op->n_iov,
                                .off = op->offset,
                                .write = op->flags & CHRONIK_OP_WRITE,
                                .sync = op->flags & CHRONIK_OP_SYNC,
                                .done = op_done};
    os_file_submit(e->e, &b->op);
}

void testhost_init(struct testhost *t, struct os *os, const char *root)
{
    memset(t, 0, sizeof *t);
    t->os = os;
    t->table = (struct chronik_host){
        .size = sizeof t->table,
        .major = 0,
        .minor = 1,
        .ctx = t,
        .log = th_log,
        .fatal = th_fatal,
        .metric_open = th_metric_open,
        .metric_add = th_metric,
        .metric_set = th_metric,
        .metric_observe = th_metric,
        .config_i64 = th_config_i64,
        .config_str = th_config_str,
        .mono_ns = th_mono_ns,
        .wall_ms = th_wall_ms,
        .boot_id = th_boot_id,
        .random = th_random,
        .crc32c = th_crc32c,
        .exec_open = th_exec_open,
        .exec_post = th_exec_post,
        .exec_post_at = th_exec_post_at,
        .exec_cancel = th_exec_cancel,
        .exec_here = th_exec_here,
        .exec_close = th_exec_close,
        .worker_post = th_worker_post,
        .buf_new = th_buf_new,
        .buf_data = th_buf_data,
        .buf_size = th_buf_size,
        .buf_ref = th_buf_ref,
        .buf_unref = th_buf_unref,
        .dir_count = th_dir_count,
        .dir_info = th_dir_info,
        .dir_failed = th_dir_failed,
        .dir_make = th_dir_make,
        .dir_remove = th_dir_remove,
        .dir_list = th_dir_list,
        .dir_sync = th_dir_sync,
        .file_open = th_file_open,
        .file_rename = th_file_rename,
        .file_remove = th_file_remove,
        .file_close = th_file_close,
        .file_size = th_file_size,
        .file_read = th_file_read,
        .file_write = th_file_write,
        .file_sync = th_file_sync,
        .file_truncate = th_file_truncate,
        .file_allocate = th_file_allocate,
        .file_advise_drop = th_file_advise_drop,
        .file_start_write = th_file_start_write,
        .file_submit = th_file_submit,
    };
    testhost_dir(t, root);
}

void testhost_dir(struct testhost *t, const char *root)
{
    CHECK(t->n_dirs < ARRAY_LEN(t->roots));
    snprintf(t->roots[t->n_dirs++], sizeof t->roots[0], "%s", root);
    os_mkdir(t->os, root);
}

void testhost_set(struct testhost *t, const char *key, int64_t number, const char *text)
{
    struct testhost_setting *s = setting(t, key);
    if (!s) {
        CHECK(t->n_settings < ARRAY_LEN(t->settings));
        s = &t->settings[t->n_settings++];
    }
    *s = (struct testhost_setting){key, text, number};
}

static void wait_done(void *arg, int32_t result)
{
    struct testhost_wait *w = arg;
    w->result = result;
    os_flag_set(w->os, &w->flag);
}

struct chronik_done testhost_done(struct testhost *t, struct testhost_wait *w)
{
    *w = (struct testhost_wait){.os = t->os};
    return (struct chronik_done){wait_done, w};
}

int32_t testhost_result(struct testhost_wait *w, int32_t started)
{
    if (started != CHRONIK_PENDING)
        return started;
    CHECK(os_flag_wait(w->os, &w->flag, INT64_C(30000000000)));
    return w->result;
}

void testhost_mkdtemp(char out[64])
{
    snprintf(out, 64, "/tmp/chronik-store-XXXXXX");
    CHECK(mkdtemp(out) != NULL);
}

static int rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void testhost_rmtree(const char *path)
{
    if (strncmp(path, "/tmp/chronik-store-", 19) == 0)
        nftw(path, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}
