/* host_exec.c: the executors of a module: a thin shell around those of core/os, so that closing one can wait on a
 * worker and its end can be told by a completion. The list of a host's executors is under the host's lock; tasks go to
 * core/os directly. */
#include "plugin/host_internal.h"

#include <stdio.h>
#include <stdlib.h>

static struct chronik_exec *shell_new(struct plugin_host *h, struct os_exec *os, const char *name)
{
    struct chronik_exec *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->os = os;
    e->host = h;
    atomic_init(&e->refs, 1);
    snprintf(e->name, sizeof e->name, "%s", name);
    return e;
}

static void list_add(struct chronik_exec *e)
{
    os_mutex_lock(&e->host->lock);
    e->next = e->host->execs;
    e->host->execs = e;
    os_mutex_unlock(&e->host->lock);
}

static void list_remove(struct chronik_exec *e)
{
    os_mutex_lock(&e->host->lock);
    struct chronik_exec **at = &e->host->execs;
    while (*at != NULL && *at != e)
        at = &(*at)->next;
    CHECK(*at == e);
    *at = e->next;
    os_mutex_unlock(&e->host->lock);
}

struct chronik_exec *plugin_host_exec(struct plugin_host *h, struct os_exec *os)
{
    struct chronik_exec *e = shell_new(h, os, "host");
    if (e != NULL)
        list_add(e);
    return e;
}

static int32_t exec_open(void *ctx, const char *name, uint32_t flags, struct chronik_exec **out)
{
    struct plugin_host *h = host_of(ctx);
    *out = NULL;
    if (flags & ~CHRONIK_EXEC_LOW)
        return CHRONIK_E_UNSUPPORTED;
    struct chronik_exec *e = shell_new(h, NULL, name);
    if (e == NULL)
        return CHRONIK_E_NOMEM;
    e->own = true;
    int32_t rc = os_exec_open(h->os, name, flags & CHRONIK_EXEC_LOW ? OS_EXEC_LOW : 0, &e->os);
    if (rc < 0) {
        free(e);
        return rc;
    }
    list_add(e);
    *out = e;
    return CHRONIK_DONE;
}

static void exec_post(struct chronik_exec *e, struct chronik_task *t)
{
    os_exec_post(e->os, t);
}

static void exec_post_at(struct chronik_exec *e, struct chronik_task *t, int64_t mono_ns)
{
    os_exec_post_at(e->os, t, mono_ns);
}

static int32_t exec_cancel(struct chronik_exec *e, struct chronik_task *t)
{
    return os_exec_cancel(e->os, t);
}

static int32_t exec_here(struct chronik_exec *e)
{
    return os_exec_here(e->os);
}

/* On a worker: the executor's thread may be in the middle of a task. */
static void close_on_worker(void *arg)
{
    struct chronik_exec *e = arg;
    struct chronik_done closed = e->closed;
    os_exec_close(e->os);
    list_remove(e);
    free(e);
    closed.fn(closed.arg, CHRONIK_DONE);
}

void exec_ref(struct chronik_exec *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

void exec_unref(struct chronik_exec *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        os_worker_post(e->host->os, &e->close);
}

static int32_t exec_close(struct chronik_exec *e, struct chronik_done done)
{
    if (!e->own)
        return CHRONIK_E_INVAL;
    e->closed = done;
    e->close = (struct chronik_task){.fn = close_on_worker, .arg = e};
    exec_unref(e);
    return CHRONIK_PENDING;
}

static void worker_post(void *ctx, struct chronik_task *t)
{
    os_worker_post(host_of(ctx)->os, t);
}

void host_exec_fill(struct chronik_host *t)
{
    t->exec_open = exec_open;
    t->exec_post = exec_post;
    t->exec_post_at = exec_post_at;
    t->exec_cancel = exec_cancel;
    t->exec_here = exec_here;
    t->exec_close = exec_close;
    t->worker_post = worker_post;
}
