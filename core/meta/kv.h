/* kv.h: a small ordered table of byte keys and values that is changed in transactions: where the checkpoint of the
 * metadata lives. Two implementations with one model test: LMDB, and an ordered map in memory for the simulator. One
 * thread at a time; no lock. A transaction is all or nothing for the life of the process, but durable only after
 * `sync`. */
#ifndef CHRONIK_META_KV_H
#define CHRONIK_META_KV_H

#include "base/base.h"
#include "base/err.h"

struct meta_kv_table {
    /* One transaction at a time. */
    int32_t (*begin)(struct meta_kv_table *t, struct err *e);
    int32_t (*put)(struct meta_kv_table *t, const void *k, size_t kn, const void *v, size_t vn, struct err *e);
    int32_t (*del)(struct meta_kv_table *t, const void *k, size_t kn, struct err *e); /* missing: fine */
    int32_t (*clear)(struct meta_kv_table *t, struct err *e);
    int32_t (*commit)(struct meta_kv_table *t, struct err *e); /* on failure nothing of it happened */
    void (*abort)(struct meta_kv_table *t);
    /* Everything committed, in key order; false from `each` stops. Outside a transaction. */
    int32_t (*each)(struct meta_kv_table *t, bool (*fn)(void *arg, const void *k, size_t kn, const void *v, size_t vn),
                    void *arg, struct err *e);
    int32_t (*sync)(struct meta_kv_table *t, struct err *e);
    /* Checksum of what is stored, as bytes: equal again only when nothing was changed or damaged since. */
    int32_t (*sum)(struct meta_kv_table *t, uint32_t *out, struct err *e);
    void (*close)(struct meta_kv_table *t);
};

struct os;

/* Checks nothing: call meta_kv_lmdb_sum first and compare, since LMDB trusts its file. At most 8 GiB. */
int32_t meta_kv_lmdb_open(struct os *os, const char *dir, struct meta_kv_table **out, struct err *e);
/* Checksum of the file without opening it as a database; 0 and DONE when there is none. */
int32_t meta_kv_lmdb_sum(struct os *os, const char *dir, uint32_t *out, struct err *e);
/* Removes the file. */
int32_t meta_kv_lmdb_drop(struct os *os, const char *dir);

struct meta_kv_table *meta_kv_mem_new(void);
/* For tests: turns stored bytes to garbage, as a power cut may. */
void meta_kv_mem_damage(struct meta_kv_table *t, uint64_t seed);

#endif
