/* disk: a replica's memory disk in an interaction script: the entries after a snapshot. It must never hold what no
 * ready handed to it. Single-threaded test code. */
#include "env.h"

#include <string.h>

#define U(v) ((unsigned long long)(v))

void env_disk_drop(struct env_disk *d)
{
    for (size_t i = 0; i < d->n; i++) {
        rc_buf_unref(d->entries[i].data);
    }
    d->n = 0;
}

const char *env_disk_install(struct env_disk *d, const struct rc_snapshot *snap)
{
    if (d->snapshot != 0 && d->snapshot >= snap->index) {
        return "requested index is older than the existing snapshot";
    }
    env_disk_drop(d);
    d->base = d->snapshot = snap->index;
    d->base_term = snap->term;
    return NULL;
}

void env_disk_append(struct env *e, struct env_disk *d, const struct rc_entry *entries, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i].index <= d->base) {
            continue;
        }
        if (entries[i].index > d->base + d->n + 1) {
            env_break(e, "entry %llu leaves a gap on disk after %llu", U(entries[i].index), U(d->base + d->n));
        }
        while (d->base + d->n >= entries[i].index) {
            rc_buf_unref(d->entries[--d->n].data);
        }
        d->entries = must_alloc(d->entries, (d->n + 1) * sizeof *d->entries);
        d->entries[d->n] = entries[i];
        rc_buf_ref(entries[i].data);
        d->n++;
    }
}

const char *env_compact(struct env *e, struct env_node *n, uint64_t index)
{
    struct env_disk *d = &n->disk;
    size_t cut;

    if (index <= d->base) {
        return "requested index is unavailable due to compaction";
    }
    if (index > d->base + d->n) {
        env_break(e, "compact %llu is beyond the last entry %llu", U(index), U(d->base + d->n));
    }
    cut = (size_t)(index - d->base);
    d->base_term = d->entries[cut - 1].term;
    d->base = index;
    for (size_t i = 0; i < cut; i++) {
        rc_buf_unref(d->entries[i].data);
    }
    d->n -= cut;
    memmove(d->entries, d->entries + cut, d->n * sizeof *d->entries);
    if (rc_compact(n->rc, index) != RC_OK) {
        env_break(e, "the core refuses to compact to %llu", U(index));
    }
    env_raft_log(e, n);
    return NULL;
}

void env_raft_log(struct env *e, const struct env_node *n)
{
    struct text t = {0};

    if (n->disk.n == 0) {
        env_printf(e, "log is empty: first index=%llu, last index=%llu", U(n->disk.base + 1), U(n->disk.base));
        return;
    }
    for (size_t i = 0; i < n->disk.n; i++) {
        format_entry(&t, &n->disk.entries[i]);
        text_put(&t, "\n", 1);
    }
    env_printf(e, "%s", t.v);
    text_free(&t);
}
