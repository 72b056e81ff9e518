/* datadir.c: preparing data directories. Files: `.lock`, held for the life of the process, and `meta.properties`,
 * lines `version=1`, `cluster.id=`, `node.id=`, `directory.id=`, `chronik.meta=` (the durable module that keeps the
 * metadata), `chronik.directories=` with ids in URL-safe base64; a cluster id of zeroes: not known yet. The file is
 * written again, once, when it is. chronik.directories names all directories of this broker, so that one which is not
 * mounted is missed; written again when the set grows. */
#include "main/datadir.h"

#include "base/log.h"
#include "base/uuid.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("main");

enum { PROPERTIES_MOST = 4096 + DATADIRS_MOST * UUID_TEXT };

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

/* E_NOTFOUND: the directory is a fresh one, or not there. */
static int32_t read_text(struct os *os, const struct datadir *d, char text[PROPERTIES_MOST])
{
    char path[4200];
    struct os_file *f;
    size_t got = 0;
    snprintf(path, sizeof path, "%s/meta.properties", d->path);
    text[0] = '\0';
    int32_t rc = os_open(os, path, OS_READ, &f);
    if (rc < 0)
        return rc;
    rc = os_pread(f, text, PROPERTIES_MOST - 1, 0, 0, &got);
    os_close(f);
    text[rc < 0 ? 0 : got] = '\0';
    return rc;
}

static int32_t read_properties(struct os *os, struct datadirs *all, struct datadir *d, struct err *e)
{
    char text[PROPERTIES_MOST];
    int32_t rc = read_text(os, d, text);
    d->fresh = rc == CHRONIK_E_NOTFOUND;
    if (d->fresh)
        return CHRONIK_DONE;
    if (rc < 0)
        return err_set(e, rc, "%s/meta.properties cannot be read; check its owner and the disk", d->path);
    size_t n = 0;
    const char *engine = value_of(text, "chronik.meta", &n);
    snprintf(d->engine, sizeof d->engine, "%.*s", (int)min_size(n, sizeof d->engine), engine ? engine : "");
    return check_properties(text, all, d, e);
}

/* ---- the directories that must be there ---- */

static bool is_present(const struct datadirs *all, const struct chronik_uuid *id)
{
    for (uint32_t i = 0; i < all->n; i++)
        if (memcmp(all->v[i].id.b, id->b, sizeof id->b) == 0)
            return true;
    return false;
}

/* Counts in d->named what the file of `d` names; all of it must be present. */
static int32_t check_named(const struct datadirs *all, struct datadir *d, const char *text, struct err *e)
{
    size_t n = 0;
    const char *v = value_of(text, "chronik.directories", &n);
    d->named = 0;
    const char *end = v ? v + n : NULL;
    for (; v < end; d->named++) {
        struct chronik_uuid id;
        size_t len = strcspn(v, ",\r\n");
        if (!uuid_parse(v, len, &id))
            return err_set(e, CHRONIK_E_CORRUPT,
                           "%s/meta.properties: chronik.directories is no list of ids; restore the file or remove the "
                           "line",
                           d->path);
        if (!is_present(all, &id))
            return err_set(
                e, CHRONIK_E_NOTFOUND,
                "the data directory with directory.id=%.*s is missing, which %s/meta.properties names: mount "
                "it and put it back into log.dirs; or, to give up what it held, remove the line "
                "chronik.directories from the meta.properties of the others",
                (int)len, v, d->path);
        v += len + (v + len < end);
    }
    return CHRONIK_DONE;
}

/* ---- whose it is ---- */

/* Root may write everywhere, and would leave files that the owner can neither read nor remove. Of everybody else the
 * system asks whether they may. */
static int32_t check_owner(struct os *os, const struct datadir *d, struct err *e)
{
    char path[4200];
    struct os_stat st;
    const char *const names[] = {"", "/meta.properties", "/.lock"};
    for (size_t i = 0; i < ARRAY_LEN(names) && os_user(os) == 0; i++) {
        snprintf(path, sizeof path, "%s%s", d->path, names[i]);
        if (os_lookup(os, path, &st) > 0 && st.uid != 0)
            return err_set(e, CHRONIK_E_PERM,
                           "data directory %s: %s belongs to user %u, but this is root: start as that user, give the "
                           "directory to root (chown -R root %s) or set log.dirs",
                           d->path, path, st.uid, d->path);
    }
    return CHRONIK_DONE;
}

/* What Kafka itself keeps in a log directory: it is no empty one, and nothing in it can be read. */
static int32_t check_foreign(struct os *os, const struct datadir *d, struct err *e)
{
    char path[4200];
    struct os_stat st;
    const char *const names[] = {"__cluster_metadata-0", "bootstrap.checkpoint", "recovery-point-offset-checkpoint"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%s", d->path, names[i]);
        if (os_lookup(os, path, &st) > 0)
            return err_set(e, CHRONIK_E_STALE,
                           "data directory %s belongs to Apache Kafka (%s), whose files chronik does not read; set "
                           "log.dirs to another one",
                           d->path, names[i]);
    }
    return CHRONIK_DONE;
}

/* An empty directory may be the place of a disk that is not mounted: who wants that told apart from a first start says
 * so, once every directory has been prepared. */
static int32_t check_formatted(struct os *os, const struct datadir *d, struct err *e)
{
    if (is_formatted(os, d->path))
        return CHRONIK_DONE;
    return err_set(
        e, CHRONIK_E_NOTFOUND,
        "data directory %s holds no meta.properties, and chronik.format.directories=false: mount its disk or "
        "correct log.dirs; for a first start on it set chronik.format.directories=true",
        d->path);
}

/* Makes and writes nothing, and leaves a file that cannot be judged to those who read it under the lock. */
static int32_t check_present(struct os *os, struct datadirs *all, struct err *e)
{
    char text[PROPERTIES_MOST];
    for (uint32_t i = 0; i < all->n; i++) {
        size_t n;
        int32_t rc = read_text(os, &all->v[i], text);
        const char *id = value_of(text, "directory.id", &n);
        if (rc != CHRONIK_E_NOTFOUND && (rc < 0 || !id || !uuid_parse(id, n, &all->v[i].id)))
            return CHRONIK_DONE;
    }
    for (uint32_t i = 0; i < all->n; i++) {
        read_text(os, &all->v[i], text);
        int32_t rc = check_named(all, &all->v[i], text, e);
        if (rc < 0)
            return rc;
    }
    return CHRONIK_DONE;
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
        return err_set(e, rc,
                       "data directory %s is in use by another process, or named twice in log.dirs; stop that one or "
                       "correct log.dirs",
                       d->path);
    return CHRONIK_DONE;
}

int32_t datadirs_open(struct os *os, const char *const *paths, uint32_t n, int32_t node_id, bool format,
                      const struct chronik_uuid *cluster_id, struct datadirs *out, struct err *e)
{
    *out = (struct datadirs){.v = calloc(n, sizeof *out->v), .n = n, .cluster_id = *cluster_id, .node_id = node_id};
    if (!out->v)
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for %u data directories", n);
    if (n > DATADIRS_MOST)
        return err_set(e, CHRONIK_E_INVAL, "%u data directories are more than %d; name fewer in log.dirs", n,
                       DATADIRS_MOST);
    for (uint32_t i = 0; i < n; i++)
        if (!(out->v[i].path = strdup(paths[i])))
            return err_set(e, CHRONIK_E_NOMEM, "out of memory for %u data directories", n);
    int32_t rc = check_present(os, out, e);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        struct datadir *d = &out->v[i];
        rc = check_owner(os, d, e);
        if (rc > 0)
            rc = check_foreign(os, d, e);
        if (rc > 0 && !format)
            rc = check_formatted(os, d, e);
        if (rc > 0)
            rc = datadir_make(os, d->path, e);
        if (rc > 0)
            rc = lock_dir(os, d, e);
        if (rc > 0)
            rc = read_properties(os, out, d, e);
        if (rc < 0)
            return rc;
    }
    return check_present(os, out, e); /* now nobody else writes them */
}

static bool holds_meta(struct os *os, const struct datadir *d, const char *engine)
{
    const char *const folders[] = {"checkpoint", "meta-local", "meta-raft", engine};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char path[4300];
        struct os_stat st;
        snprintf(path, sizeof path, "%s/%s", d->path, folders[i]);
        if (os_lookup(os, path, &st) > 0)
            return true;
    }
    return false;
}

/* The module that has metadata in this directory, other than `engine`; NULL: none has. Directories of before
 * chronik.meta was written are known by the module's folder. */
static const char *other_engine(struct os *os, const struct datadir *d, const char *engine)
{
    static const char *const known[] = {"meta-local", "meta-raft"};
    char path[4300];
    struct os_stat st;
    if (d->engine[0])
        return strcmp(d->engine, engine) == 0 ? NULL : d->engine;
    snprintf(path, sizeof path, "%s/%s", d->path, engine);
    if (os_lookup(os, path, &st) > 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        snprintf(path, sizeof path, "%s/%s", d->path, known[i]);
        if (os_lookup(os, path, &st) > 0)
            return known[i];
    }
    return NULL;
}

static int32_t check_engine(struct os *os, const struct datadirs *all, const char *engine, struct err *e)
{
    for (uint32_t i = 0; i < all->n; i++) {
        const char *other = other_engine(os, &all->v[i], engine);
        if (!other)
            continue;
        const char *name = strncmp(other, "meta-", 5) == 0 ? other + 5 : other;
        return err_set(
            e, CHRONIK_E_STALE,
            "data directory %s: its metadata are kept by %s (%s), and %s would begin without them; start with "
            "--meta=%s (chronik.meta=%s), or give %s another log.dirs; metadata cannot be moved between "
            "modules yet",
            all->v[i].path, other, all->v[i].engine[0] ? "says meta.properties" : "its folder is there", engine, name,
            name, engine);
    }
    return CHRONIK_DONE;
}

int32_t datadirs_find_meta(struct os *os, struct datadirs *all, const char *engine, bool durable, struct err *e)
{
    int32_t rc = check_engine(os, all, engine, e);
    if (rc < 0)
        return rc;
    snprintf(all->engine, sizeof all->engine, "%s", durable ? engine : "");
    const struct datadir *found = NULL;
    for (uint32_t i = 0; i < all->n; i++) {
        if (!holds_meta(os, &all->v[i], engine))
            continue;
        if (found)
            return err_set(
                e, CHRONIK_E_STALE,
                "data directories %s and %s both hold metadata (checkpoint, meta-local, meta-raft); move these "
                "folders away from the one that does not belong to this cluster",
                found->path, all->v[i].path);
        found = &all->v[i];
        all->meta = i;
    }
    return CHRONIK_DONE;
}

static void draw_id(struct os *os, struct chronik_uuid *id)
{
    os_random(os, id->b, sizeof id->b);
    id->b[6] = (uint8_t)((id->b[6] & 0x0f) | 0x40);
    id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
}

/* "id,id": every directory whose id is on disk, and d's. Returns how many. */
static uint32_t list_ids(const struct datadirs *all, const struct datadir *d, char out[DATADIRS_MOST * UUID_TEXT])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        if (all->v[i].fresh && &all->v[i] != d)
            continue;
        if (n > 0)
            out[n * UUID_TEXT - 1] = ',';
        uuid_text(&all->v[i].id, out + n++ * UUID_TEXT);
    }
    return n;
}

static int32_t write_properties(struct os *os, const struct datadirs *all, struct datadir *d, struct err *e)
{
    char tmp[4200], path[4200], text[PROPERTIES_MOST], ids[DATADIRS_MOST * UUID_TEXT], cluster[UUID_TEXT],
        dir[UUID_TEXT];
    struct os_file *f;
    snprintf(tmp, sizeof tmp, "%s/meta.properties.tmp", d->path);
    snprintf(path, sizeof path, "%s/meta.properties", d->path);
    uint32_t named = list_ids(all, d, ids);
    bool kept = all->engine[0];
    int n = snprintf(text, sizeof text,
                     "#\nversion=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n%s%s%schronik.directories=%s\n",
                     uuid_text(&all->cluster_id, cluster), all->node_id, uuid_text(&d->id, dir),
                     kept ? "chronik.meta=" : "", all->engine, kept ? "\n" : "", ids);
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
    if (rc > 0) {
        d->fresh = false;
        d->named = named;
        memcpy(d->engine, all->engine, sizeof d->engine);
    }
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
        if (d->fresh) {
            draw_id(os, &d->id);
            log_info("data directory %s is new: it is prepared", d->path);
        }
        d->learns = is_zero(&all->cluster_id);
        int32_t rc = write_properties(os, all, d, e);
        if (rc < 0)
            return rc;
    }
    /* Only now: an id that a crash kept from the disk must be named nowhere. */
    for (uint32_t i = 0; i < all->n; i++) {
        bool whole = all->v[i].named == all->n && (!all->engine[0] || all->v[i].engine[0]);
        int32_t rc = whole ? CHRONIK_DONE : write_properties(os, all, &all->v[i], e);
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
