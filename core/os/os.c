/* os.c: the seam itself: every function of os.h hands over to the world it was called with, after asking whether a test
 * wants the call to fail. It holds no state and knows no world. */
#include <config.h>

#include "os/os_impl.h"

#include <stdlib.h>

/* ---- time, identity, chance ---- */

int64_t os_mono_ns(struct os *os)
{
    return os->clock->mono_ns(os);
}

int64_t os_wall_ms(struct os *os)
{
    return os->clock->wall_ms(os);
}

void os_boot_id(struct os *os, struct chronik_uuid *out)
{
    os->clock->boot_id(os, out);
}

void os_random(struct os *os, void *p, size_t n)
{
    os->clock->random(os, p, n);
}

/* ---- executors ---- */

int32_t os_exec_open(struct os *os, const char *name, unsigned flags, struct os_exec **out)
{
    return os->exec->open(os, name, flags, out);
}

void os_exec_post(struct os_exec *e, struct chronik_task *t)
{
    e->os->exec->post(e, t);
}

void os_exec_post_at(struct os_exec *e, struct chronik_task *t, int64_t mono_ns)
{
    e->os->exec->post_at(e, t, mono_ns);
}

bool os_exec_cancel(struct os_exec *e, struct chronik_task *t)
{
    return e->os->exec->cancel(e, t);
}

bool os_exec_here(struct os_exec *e)
{
    return e->os->exec->here(e);
}

void os_exec_close(struct os_exec *e)
{
    e->os->exec->close(e);
}

void os_posts_begin(struct os *os)
{
    if (os->exec->posts)
        os->exec->posts(os, true);
}

void os_posts_end(struct os *os)
{
    if (os->exec->posts)
        os->exec->posts(os, false);
}

void os_worker_post(struct os *os, struct chronik_task *t)
{
    os->exec->worker_post(os, t);
}

bool os_flag_wait(struct os *os, struct os_flag *f, int64_t timeout_ns)
{
    return os->exec->flag_wait(os, f, timeout_ns);
}

void os_flag_set(struct os *os, struct os_flag *f)
{
    os->exec->flag_set(os, f);
}

void os_file_submit(struct os_exec *e, struct os_file_op *op)
{
    e->os->exec->file_submit(e, op);
}

_Noreturn void os_exit(struct os *os, int code)
{
    os->exec->exit(os, code);
    abort();
}

/* ---- files ---- */

static int32_t fault(struct os *os, int op, const char *path)
{
    return LIKELY(os->n_faults == 0) ? 0 : os_fault_hit(os, op, path);
}

int32_t os_open(struct os *os, const char *path, unsigned flags, struct os_file **out)
{
    int32_t r = fault(os, OS_FAULT_OPEN, path);
    if (r < 0)
        return r;
    r = os->file->open(os, path, flags, out);
    if (r < 0)
        return r;
    (*out)->path = os->n_faults ? strdup(path) : NULL;
    return r;
}

void os_close(struct os_file *f)
{
    free(f->path);
    f->os->file->close(f);
}

int32_t os_size(struct os_file *f, uint64_t *out)
{
    return f->os->file->size(f, out);
}

int32_t os_pread(struct os_file *f, void *p, size_t n, uint64_t off, unsigned flags, size_t *got)
{
    *got = 0;
    int32_t r = fault(f->os, OS_FAULT_READ, f->path);
    return r < 0 ? r : f->os->file->pread(f, p, n, off, flags, got);
}

int32_t os_pwritev(struct os_file *f, const struct chronik_iov *iov, uint32_t n, uint64_t off)
{
    int32_t r = fault(f->os, OS_FAULT_WRITE, f->path);
    if (r >= 0)
        return f->os->file->pwritev(f, iov, n, off);
    /* As a real device may: a part of the bytes arrives all the same. */
    if (n > 0 && iov[0].n > 1) {
        struct chronik_iov half = {iov[0].p, iov[0].n / 2};
        int32_t ignored = f->os->file->pwritev(f, &half, 1, off);
        (void)ignored;
    }
    return r;
}

int32_t os_sync(struct os_file *f)
{
    int32_t r = fault(f->os, OS_FAULT_SYNC, f->path);
    if (r >= 0)
        return f->os->file->sync(f);
    if (f->os->file->sync_lost)
        f->os->file->sync_lost(f);
    return r;
}

int32_t os_truncate(struct os_file *f, uint64_t size)
{
    int32_t r = fault(f->os, OS_FAULT_TRUNCATE, f->path);
    return r < 0 ? r : f->os->file->truncate(f, size);
}

int32_t os_allocate(struct os_file *f, uint64_t off, uint64_t n)
{
    int32_t r = fault(f->os, OS_FAULT_ALLOCATE, f->path);
    return r < 0 ? r : f->os->file->allocate(f, off, n);
}

void os_advise_need(struct os_file *f, uint64_t off, uint64_t n)
{
    f->os->file->advise(f, off, n, OS_ADVISE_NEED);
}

void os_advise_random(struct os_file *f)
{
    f->os->file->advise(f, 0, 0, OS_ADVISE_RANDOM);
}

bool os_cached(struct os_file *f, uint64_t off, uint64_t n)
{
    int32_t r = f->os->file->cached ? f->os->file->cached(f, off, n) : CHRONIK_E_UNSUPPORTED;
    uint8_t byte;
    size_t got;
    if (r >= 0)
        return r > 0;
    return os_pread(f, &byte, 1, off, OS_NOWAIT, &got) != CHRONIK_E_AGAIN &&
           (n == 1 || os_pread(f, &byte, 1, off + n - 1, OS_NOWAIT, &got) != CHRONIK_E_AGAIN);
}

void os_start_write(struct os_file *f, uint64_t off, uint64_t n)
{
    f->os->file->advise(f, off, n, OS_ADVISE_WRITE);
}

void os_advise_drop(struct os_file *f, uint64_t off, uint64_t n)
{
    f->os->file->advise(f, off, n, OS_ADVISE_DROP);
}

int32_t os_lock(struct os_file *f)
{
    return f->os->file->lock(f);
}

int32_t os_rename(struct os *os, const char *from, const char *to)
{
    int32_t r = fault(os, OS_FAULT_RENAME, to);
    return r < 0 ? r : os->file->rename(os, from, to);
}

int32_t os_unlink(struct os *os, const char *path)
{
    return os->file->unlink(os, path);
}

int32_t os_mkdir(struct os *os, const char *path)
{
    return os->file->mkdir(os, path);
}

int32_t os_rmdir(struct os *os, const char *path)
{
    return os->file->rmdir(os, path);
}

int32_t os_sync_dir(struct os *os, const char *path)
{
    int32_t r = fault(os, OS_FAULT_SYNC_DIR, path);
    return r < 0 ? r : os->file->sync_dir(os, path);
}

int32_t os_lookup(struct os *os, const char *path, struct os_stat *out)
{
    return os->file->lookup(os, path, out);
}

int32_t os_list(struct os *os, const char *path, void (*each)(void *arg, const char *name, bool is_dir), void *arg)
{
    return os->file->list(os, path, each, arg);
}

int32_t os_disk_free(struct os *os, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    return os->file->disk_free(os, path, free_bytes, total_bytes);
}

uint32_t os_user(struct os *os)
{
    return os->file->user(os);
}

/* ---- sockets ---- */

int32_t os_listen(struct os *os, const char *address, int backlog, struct os_sock **out, uint16_t *port, struct err *e)
{
    return os->net->listen(os, address, backlog, out, port, e);
}

int32_t os_accept(struct os_sock *l, struct os_sock **out)
{
    return l->os->net->accept(l, out);
}

int32_t os_connect(struct os *os, const char *address, struct os_sock **out, struct err *e)
{
    return os->net->connect(os, address, out, e);
}

int32_t os_connect_result(struct os_sock *s)
{
    return s->os->net->connect_result(s);
}

int32_t os_watch(struct os_sock *s, struct os_exec *loop, unsigned what, os_sock_fn fn, void *arg)
{
    return s->os->net->watch(s, loop, what, fn, arg);
}

int64_t os_recv(struct os_sock *s, void *p, size_t n)
{
    return s->os->net->recv(s, p, n);
}

int64_t os_send(struct os_sock *s, const struct chronik_iov *iov, uint32_t n, bool more)
{
    return s->os->net->send(s, iov, n, more);
}

int64_t os_sendfile(struct os_sock *s, struct os_file *f, uint64_t off, uint64_t n)
{
    int32_t r = fault(f->os, OS_FAULT_READ, f->path);
    return r < 0 ? r : s->os->net->sendfile(s, f, off, n);
}

void os_sock_close(struct os_sock *s)
{
    s->os->net->close(s, false);
}

void os_sock_abort(struct os_sock *s)
{
    s->os->net->close(s, true);
}

void os_peer_name(struct os_sock *s, char *buf, size_t n)
{
    s->os->net->peer_name(s, buf, n);
}

uint32_t os_processors(struct os *os)
{
    return os->exec->processors ? os->exec->processors(os) : 1;
}

uint64_t os_file_limit(struct os *os)
{
    return os->net->file_limit(os);
}
