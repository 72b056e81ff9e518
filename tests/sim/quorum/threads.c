/* threads.c: between the module and its host: a thread may lose the processor inside any call that blocks on a file,
 * and then everything else goes on. Without this a task of the world runs to its end, and what one thread does to
 * another would never be seen. */
#include "quorum.h"

static struct chronik_host real;

static void maybe(void)
{
    if (q.switches && sim_rand(q.w, 1000) < q.switches) {
        q.counts->switches++;
        sim_yield(q.w, (int64_t)sim_rand(q.w, 20000) * SIM_US, judge_look);
    }
}

static int32_t file_read(struct chronik_file *f, void *p, uint64_t n, uint64_t offset, uint32_t flags, uint64_t *got)
{
    maybe();
    int32_t rc = real.file_read(f, p, n, offset, flags, got);
    maybe();
    return rc;
}

static int32_t file_rename(void *ctx, uint32_t dir, const char *from, const char *to)
{
    maybe();
    int32_t rc = real.file_rename(ctx, dir, from, to);
    maybe();
    return rc;
}

static int32_t file_sync(struct chronik_file *f)
{
    maybe();
    int32_t rc = real.file_sync(f);
    maybe();
    return rc;
}

static int32_t dir_sync(void *ctx, uint32_t dir, const char *path)
{
    maybe();
    int32_t rc = real.dir_sync(ctx, dir, path);
    maybe();
    return rc;
}

void threads_wrap(struct chronik_host *table)
{
    real = *table;
    table->file_read = file_read;
    table->file_rename = file_rename;
    table->file_sync = file_sync;
    table->dir_sync = dir_sync;
}
