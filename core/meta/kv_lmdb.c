/* kv_lmdb.c: the table in LMDB, without syncs of its own and without its lock file: one thread at a time, one process
 * (the data directory is locked). LMDB believes its pages, so the file is checksummed before it is opened; that is the
 * caller's duty. The only file input and output of the broker outside core/os, by decision. */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "meta/kv.h"
#include "meta/mem.h"
#include "os/os.h"

#define LMDB_MAP_BYTES (UINT64_C(8) << 30)
#define LMDB_FILE      "state.mdb"

struct kv_lmdb {
    struct meta_kv_table pub;
    struct os *os;
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    char path[4096];
};

static struct kv_lmdb *kv_of(struct meta_kv_table *t)
{
    return CONTAINER_OF(t, struct kv_lmdb, pub);
}

static int32_t fail(struct kv_lmdb *m, int rc, const char *what, struct err *e)
{
    int32_t code = rc == ENOSPC || rc == MDB_MAP_FULL ? CHRONIK_E_NOSPC : rc == ENOMEM ? CHRONIK_E_NOMEM : CHRONIK_E_IO;
    return err_set(e, code, "metadata checkpoint %s: %s failed: %s", m->path, what, mdb_strerror(rc));
}

static int32_t lmdb_begin(struct meta_kv_table *t, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    CHECK(!m->txn);
    int rc = mdb_txn_begin(m->env, NULL, 0, &m->txn);
    if (rc == 0 && m->dbi == 0)
        rc = mdb_dbi_open(m->txn, NULL, 0, &m->dbi);
    if (rc == 0)
        return CHRONIK_DONE;
    if (m->txn)
        mdb_txn_abort(m->txn);
    m->txn = NULL;
    return fail(m, rc, "beginning a transaction", e);
}

static int32_t lmdb_put(struct meta_kv_table *t, const void *k, size_t kn, const void *v, size_t vn, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    MDB_val key = {kn, (void *)(uintptr_t)k}, val = {vn, (void *)(uintptr_t)v};
    int rc = mdb_put(m->txn, m->dbi, &key, &val, 0);
    return rc ? fail(m, rc, "writing", e) : CHRONIK_DONE;
}

static int32_t lmdb_del(struct meta_kv_table *t, const void *k, size_t kn, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    MDB_val key = {kn, (void *)(uintptr_t)k};
    int rc = mdb_del(m->txn, m->dbi, &key, NULL);
    return rc && rc != MDB_NOTFOUND ? fail(m, rc, "deleting", e) : CHRONIK_DONE;
}

static int32_t lmdb_clear(struct meta_kv_table *t, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    int rc = mdb_drop(m->txn, m->dbi, 0);
    return rc ? fail(m, rc, "emptying", e) : CHRONIK_DONE;
}

static int32_t lmdb_commit(struct meta_kv_table *t, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    int rc = mdb_txn_commit(m->txn);
    m->txn = NULL;
    return rc ? fail(m, rc, "committing", e) : CHRONIK_DONE;
}

static void lmdb_abort(struct meta_kv_table *t)
{
    struct kv_lmdb *m = kv_of(t);
    CHECK(m->txn);
    mdb_txn_abort(m->txn);
    m->txn = NULL;
}

static int32_t lmdb_each(struct meta_kv_table *t, bool (*fn)(void *, const void *, size_t, const void *, size_t),
                         void *arg, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    MDB_txn *txn = NULL;
    MDB_cursor *cur = NULL;
    MDB_val k, v;
    int rc = mdb_txn_begin(m->env, NULL, m->dbi ? MDB_RDONLY : 0, &txn);
    MDB_dbi dbi = m->dbi;
    if (rc == 0 && !dbi)
        rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc == 0)
        rc = mdb_cursor_open(txn, dbi, &cur);
    for (MDB_cursor_op op = MDB_FIRST; rc == 0; op = MDB_NEXT) {
        rc = mdb_cursor_get(cur, &k, &v, op);
        if (rc == 0 && !fn(arg, k.mv_data, k.mv_size, v.mv_data, v.mv_size))
            break;
    }
    if (cur)
        mdb_cursor_close(cur);
    if (txn)
        mdb_txn_abort(txn);
    return rc && rc != MDB_NOTFOUND ? fail(m, rc, "reading", e) : CHRONIK_DONE;
}

static int32_t lmdb_sync(struct meta_kv_table *t, struct err *e)
{
    struct kv_lmdb *m = kv_of(t);
    int rc = mdb_env_sync(m->env, 1);
    return rc ? fail(m, rc, "syncing", e) : CHRONIK_DONE;
}

/* All bytes of the file: LMDB uses any page that a meta page leads it to. */
static int32_t file_sum(struct os *os, const char *path, uint32_t *out, struct err *e)
{
    *out = 0;
    struct os_file *f;
    int32_t rc = os_open(os, path, OS_READ, &f);
    if (rc == CHRONIK_E_NOTFOUND)
        return CHRONIK_DONE;
    if (rc < 0)
        return err_set(e, rc, "metadata checkpoint %s: cannot be opened for its checksum", path);
    enum { PIECE = 256 * 1024 };
    uint8_t *p = meta_xmalloc(PIECE);
    uint64_t off = 0;
    size_t got = 0;
    do {
        rc = os_pread(f, p, PIECE, off, 0, &got);
        if (rc >= 0)
            *out = crc32c(*out, p, got);
        off += got;
    } while (rc >= 0 && got == PIECE);
    free(p);
    os_close(f);
    return rc < 0 ? err_set(e, rc, "metadata checkpoint %s: reading at %llu failed", path, (unsigned long long)off)
                  : CHRONIK_DONE;
}

static int32_t lmdb_sum(struct meta_kv_table *t, uint32_t *out, struct err *e)
{
    return file_sum(kv_of(t)->os, kv_of(t)->path, out, e);
}

static void lmdb_close(struct meta_kv_table *t)
{
    struct kv_lmdb *m = kv_of(t);
    if (m->txn)
        mdb_txn_abort(m->txn);
    mdb_env_close(m->env);
    free(m);
}

static void path_of(const char *dir, char *path, size_t n)
{
    snprintf(path, n, "%s/%s", dir, LMDB_FILE);
}

int32_t meta_kv_lmdb_sum(struct os *os, const char *dir, uint32_t *out, struct err *e)
{
    char path[4096];
    path_of(dir, path, sizeof path);
    return file_sum(os, path, out, e);
}

int32_t meta_kv_lmdb_drop(struct os *os, const char *dir)
{
    char path[4096];
    path_of(dir, path, sizeof path);
    int32_t rc = os_unlink(os, path);
    return rc == CHRONIK_E_NOTFOUND ? CHRONIK_DONE : rc;
}

int32_t meta_kv_lmdb_open(struct os *os, const char *dir, struct meta_kv_table **out, struct err *e)
{
    struct kv_lmdb *m = meta_xmalloc(sizeof *m);
    *m = (struct kv_lmdb){.pub = {lmdb_begin, lmdb_put, lmdb_del, lmdb_clear, lmdb_commit, lmdb_abort, lmdb_each,
                                  lmdb_sync, lmdb_sum, lmdb_close},
                          .os = os};
    path_of(dir, m->path, sizeof m->path);
    int rc = mdb_env_create(&m->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(m->env, LMDB_MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_open(m->env, m->path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0640);
    if (rc) {
        fail(m, rc, "opening", e);
        if (m->env)
            mdb_env_close(m->env);
        free(m);
        return e ? e->code : CHRONIK_E_IO;
    }
    *out = &m->pub;
    return CHRONIK_DONE;
}
