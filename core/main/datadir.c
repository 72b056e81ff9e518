/* datadir.c: preparing data directories. Files: `.lock`, held for the life of the process, and `meta.properties`,
 * written once: lines `version=1`, `cluster.id=`, `node.id=`, `directory.id=` with ids in URL-safe base64;
 * a cluster id of zeroes: not known yet. The file is written again, once, when it is. */
#include "main/datadir.h"

#include "base/uuid.h"

#include <stdio.h>
#include <stdlib.h>

enum { PROPERTIES_MOST = 4096 };

static bool is_zero(const struct chronik_uuid *id)
{
    static const struct chronik_uuid none;
    return memcmp(id->b, none.b, sizeof none.b) == 0;
}

/* Until the directory is formatted its entry, and those above it, may not be on disk yet: a power cut would take away
 * everything in it. An entry that stood there before may lie in a directory that we cannot open; its owner saw to it.
 */
static int32_t keep_entry(struct os *os, const char *path, bool made, struct err *e)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", !slash ? 1 : slash == path ? 1 : (int)(slash - path), slash ? path : ".");
    int32_t rc = os_sync_dir(os, parent);
    if (rc >= 0 || !made)
        return CHRONIK_DONE;
    return err_set(e, rc, "data directory %s: %s cannot be synced (code %d); check the disk and log.dirs", path, parent,
                   rc);
}

static bool is_formatted(struct os *os, const char *path)
{
    char file[4200];
    struct os_stat st;
    snprintf(file, sizeof file, "%s/meta.properties", path);
    return os_lookup(os, file, &st) > 0;
}

int32_t datadir_make(struct os *os, const char *path, struct err *e)
{
    char part[4096];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return err_set(e, CHRONIK_E_INVAL, "data directory %.64s...: the path is too long", path);
    bool formatted = is_formatted(os, path);
    for (size_t i = 1; i <= n && !formatted; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        int32_t rc = os_mkdir(os, part);
        struct os_stat st;
        if (rc >= 0 || rc == CHRONIK_E_EXISTS || (os_lookup(os, part, &st) > 0 && st.is_dir)) {
            int32_t kept = keep_entry(os, part, rc >= 0, e);
            if (kept < 0)
                return kept;
            continue;
        }
        return err_set(e, rc, "data directory %s: %s cannot be made (%s); check log.dirs and the owner of its parent",
                       path, part,
                       rc == CHRONIK_E_PERM    ? "not permitted"
                       : rc == CHRONIK_E_NOSPC ? "disk full"
                                               : "failed");
    }
    struct os_stat st;
    if (os_lookup(os, path, &st) < 0 || !st.is_dir)
        return err_set(e, CHRONIK_E_INVAL, "data directory %s: it is not a directory; check log.dirs", path);
    return CHRONIK_DONE;
}

/* ---- meta.properties ---- */

/* The value of `key=` in a line of text, or NULL. */
static const char *value_of(const char *text, const char *key, size_t *n)
{
    size_t k = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, k) == 0 && line[k] == '=') {
            *n = strcspn(line + k + 1, "\r\n");
            return line + k + 1;
        }
    }
    return NULL;
}

static int32_t parse_id(const char *path, const char *text, const char *key, struct chronik_uuid *out, struct err *e)
{
    size_t n;
    const char *v = value_of(text, key, &n);
    if (!v || !uuid_parse(v, n, out))
        return err_set(e, CHRONIK_E_CORRUPT,
                       "%s/meta.properties: %s is missing or no id; restore the file or start with "
                       "another log.dirs",
                       path, key);
    return CHRONIK_DONE;
}

static int32_t check_properties(const char *text, struct datadirs *all, struct datadir *d, struct err *e)
{
    struct chronik_uuid cluster;
    size_t n;
    char have[UUID_TEXT], want[UUID_TEXT];
    const char *node = value_of(text, "node.id", &n);
    if (!node || atoi(node) != all->node_id)
        return err_set(e, CHRONIK_E_STALE,
                       "data directory %s belongs to node %.*s, but node.id is %d; set node.id or use "
                       "another log.dirs",
                       d->path, node ? (int)n : 1, node ? node : "?", all->node_id);
    if (parse_id(d->path, text, "cluster.id", &cluster, e) < 0 ||
        parse_id(d->path, text, "directory.id", &d->id, e) < 0)
        return e->code;
    d->learns = is_zero(&cluster);
    if (d->learns)
        return CHRONIK_DONE;
    if (is_zero(&all->cluster_id))
        all->cluster_id = cluster;
    if (memcmp(cluster.b, all->cluster_id.b, sizeof cluster.b) != 0)
        return err_set(e, CHRONIK_E_STALE,
                       "data directory %s belongs to cluster %s, not to %s; use its own directory or "
                       "set chronik.cluster.id",
                       d->path, uuid_text(&cluster, have), uuid_text(&all->cluster_id, want));
    return CHRONIK_DONE;
}

static int32_t read_properties(struct os *os, struct datadirs *all, struct datadir *d, struct err *e)
{
    char path[4200], text[PROPERTIES_MOST];
    struct os_file *f;
    size_t got = 0;
    snprintf(path, sizeof path, "%s/meta.properties", d->path);
    int32_t rc = os_open(os, path, OS_READ, &f);
    d->fresh = rc == CHRONIK_E_NOTFOUND;
    if (d->fresh)
        return CHRONIK_DONE;
    if (rc > 0) {
        rc = os_pread(f, text, sizeof text - 1, 0, 0, &got);
        os_close(f);
    }
    if (rc < 0)
        return err_set(e, rc, "%s cannot be read; check its owner and the disk", path);
    text[got] = '\0';
    return check_properties(text, all, d, e);
}

static int32_t lock_dir(struct os *os, struct datadir *d, struct err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/.lock", d->path);
    int32_t rc = os_open(os, path, OS_READ | OS_WRITE | OS_CREATE, &d->lock);
    if (rc < 0)
        return err_set(e, rc, "data directory %s cannot be written (%s); start as its owner or set log.dirs", d->path,
                       rc == CHRONIK_E_PERM ? "it belongs to another user or is read-only"
                                            : "the lock file cannot be made");
    rc = os_lock(d->lock);
    if (rc < 0)
        return err_set(e, rc, "data directory %s is in use by another process; stop that one or set log.dirs", d->path);
    return CHRONIK_DONE;
}

int32_t datadirs_open(struct os *os, const char *const *paths, uint32_t n, int32_t node_id,
                      const struct chronik_uuid *cluster_id, struct datadirs *out, struct err *e)
{
    *out = (struct datadirs){.v = calloc(n, sizeof *out->v), .n = n, .cluster_id = *cluster_id, .node_id = node_id};
    if (!out->v)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for %u data directories", n);
    for (uint32_t i = 0; i < n; i++) {
        struct datadir *d = &out->v[i];
        d->path = strdup(paths[i]);
        if (!d->path)
            return err_set(e, CHRONIK_E_NOMEM, "out of memory for %u data directories", n);
        int32_t rc = datadir_make(os, d->path, e);
        if (rc > 0)
            rc = lock_dir(os, d, e);
        if (rc > 0)
            rc = read_properties(os, out, d, e);
        if (rc < 0)
            return rc;
    }
    return CHRONIK_DONE;
}

static void draw_id(struct os *os, struct chronik_uuid *id)
{
    os_random(os, id->b, sizeof id->b);
    id->b[6] = (uint8_t)((id->b[6] & 0x0f) | 0x40);
    id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
}

static int32_t write_properties(struct os *os, const struct datadirs *all, const struct datadir *d, struct err *e)
{
    char tmp[4200], path[4200], text[PROPERTIES_MOST], cluster[UUID_TEXT], dir[UUID_TEXT];
    struct os_file *f;
    snprintf(tmp, sizeof tmp, "%s/meta.properties.tmp", d->path);
    snprintf(path, sizeof path, "%s/meta.properties", d->path);
    int n = snprintf(text, sizeof text, "#\nversion=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
                     uuid_text(&all->cluster_id, cluster), all->node_id, uuid_text(&d->id, dir));
    struct chronik_iov iov = {text, (uint64_t)n};
    int32_t rc = os_open(os, tmp, OS_READ | OS_WRITE | OS_CREATE, &f);
    if (rc > 0) {
        rc = os_truncate(f, 0);
        if (rc > 0)
            rc = os_pwritev(f, &iov, 1, 0);
        if (rc > 0)
            rc = os_sync(f);
        os_close(f);
    }
    if (rc > 0)
        rc = os_rename(os, tmp, path);
    if (rc > 0)
        rc = os_sync_dir(os, d->path);
    return rc > 0 ? rc : err_set(e, rc, "%s cannot be written (code %d); check the owner and the free space", path, rc);
}

int32_t datadirs_format(struct os *os, struct datadirs *all, bool learns, struct err *e)
{
    if (is_zero(&all->cluster_id) && !learns)
        draw_id(os, &all->cluster_id);
    all->known = !is_zero(&all->cluster_id);
    for (uint32_t i = 0; i < all->n; i++) {
        struct datadir *d = &all->v[i];
        if (!d->fresh && (!d->learns || is_zero(&all->cluster_id)))
            continue;
        if (d->fresh)
            draw_id(os, &d->id);
        d->learns = is_zero(&all->cluster_id);
        int32_t rc = write_properties(os, all, d, e);
        if (rc < 0)
            return rc;
    }
    return CHRONIK_DONE;
}

bool datadirs_cluster(const struct datadirs *d, struct chronik_uuid *out)
{
    if (!__atomic_load_n(&d->known, __ATOMIC_ACQUIRE))
        return false;
    *out = d->cluster_id;
    return true;
}

int32_t datadirs_learn(struct os *os, struct datadirs *all, const struct chronik_uuid *cluster_id, struct err *e)
{
    if (!__atomic_load_n(&all->known, __ATOMIC_ACQUIRE)) {
        all->cluster_id = *cluster_id;
        __atomic_store_n(&all->known, true, __ATOMIC_RELEASE);
    }
    for (uint32_t i = 0; i < all->n; i++) {
        if (!all->v[i].learns)
            continue;
        int32_t rc = write_properties(os, all, &all->v[i], e);
        if (rc < 0)
            return rc;
        all->v[i].learns = false;
    }
    return CHRONIK_DONE;
}

void datadirs_close(struct datadirs *d)
{
    for (uint32_t i = 0; d->v && i < d->n; i++) {
        if (d->v[i].lock)
            os_close(d->v[i].lock);
        free(d->v[i].path);
    }
    free(d->v);
    *d = (struct datadirs){0};
}
