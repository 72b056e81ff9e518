/* cmd_common.c: the table of commands and the pieces that several families share. Pure; apply executor for what changes
 * the state. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta/cmd.h"

static const struct meta_cmd_def *const defs[] = {
    &meta_cmd_cluster_form,
    &meta_cmd_feature_set,
    &meta_cmd_broker_register,
    &meta_cmd_broker_update,
    &meta_cmd_broker_unregister,
    &meta_cmd_topic_create,
    &meta_cmd_topic_delete,
    &meta_cmd_partitions_add,
    &meta_cmd_topics_removed,
    &meta_cmd_partition_change,
    &meta_cmd_config_set,
    &meta_cmd_producer_ids,
    &meta_cmd_fence,
    &meta_cmd_open,
    &meta_cmd_unfence,
    &meta_cmd_group_set,
    &meta_cmd_group_delete,
    &meta_cmd_offsets_commit,
    &meta_cmd_offsets_delete,
    &meta_cmd_coord_slot,
};

const struct meta_cmd_def *meta_cmd_def(uint64_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(defs); i++)
        if (defs[i]->type == type)
            return defs[i];
    return NULL;
}

void meta_refuse(struct meta_state *st, struct meta_outcome *out, int16_t code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    out->code = code;
    out->text = arena_strndup(&st->arena, text, strlen(text));
    CHECK(out->text != NULL);
}

void cmd_enc_ints(struct meta_buf *b, const int32_t *v, uint32_t n)
{
    mb_uv(b, n);
    for (uint32_t i = 0; i < n; i++)
        mb_iv(b, v[i]);
}

int32_t *cmd_dec_ints(struct meta_rd *r, struct arena *a, uint32_t *n)
{
    *n = mr_count(r, 1);
    int32_t *v = mr_array(r, a, *n, sizeof *v);
    for (uint32_t i = 0; i < *n && !r->bad; i++)
        v[i] = mr_iv32(r);
    return v;
}

void cmd_enc_ids(struct meta_buf *b, const struct chronik_uuid *v, uint32_t n)
{
    mb_uv(b, n);
    for (uint32_t i = 0; i < n; i++)
        mb_uuid(b, &v[i]);
}

struct chronik_uuid *cmd_dec_ids(struct meta_rd *r, struct arena *a, uint32_t *n)
{
    *n = mr_count(r, sizeof(struct chronik_uuid));
    struct chronik_uuid *v = mr_array(r, a, *n, sizeof *v);
    for (uint32_t i = 0; i < *n; i++)
        v[i] = mr_uuid(r);
    return v;
}

/* ---- settings ---- */

void cmd_enc_kvs(struct meta_buf *b, const struct meta_kv *e, uint32_t n)
{
    mb_uv(b, n);
    for (uint32_t i = 0; i < n; i++) {
        mb_str(b, e[i].key);
        mb_str(b, e[i].value);
        mb_u8(b, e[i].secret);
    }
}

struct meta_kv *cmd_dec_kvs(struct meta_rd *r, struct arena *a, uint32_t *n)
{
    *n = mr_count(r, 3);
    struct meta_kv *e = mr_array(r, a, *n, sizeof *e);
    for (uint32_t i = 0; i < *n && !r->bad; i++) {
        e[i].key = mr_str_some(r);
        e[i].value = mr_str(r);
        e[i].secret = mr_u8(r) != 0;
    }
    return e;
}

void cmd_json_kvs(struct meta_buf *b, const struct meta_kv *e, uint32_t n)
{
    mj_key(b, "configs");
    mj_raw(b, "{");
    for (uint32_t i = 0; i < n; i++)
        mj_text(b, e[i].key, e[i].secret && e[i].value ? "[redacted]" : e[i].value);
    mj_raw(b, "}");
}

static int kv_cmp(const void *a, const void *b)
{
    return strcmp(((const struct meta_kv *)a)->key, ((const struct meta_kv *)b)->key);
}

struct meta_kv *cmd_sorted_kvs(struct meta_state *st, const struct meta_kv *e, uint32_t n, bool may_delete,
                               struct meta_outcome *out)
{
    struct meta_kv *s = arena_calloc(&st->arena, n, sizeof *s);
    CHECK(s != NULL);
    if (n)
        memcpy(s, e, n * sizeof *s);
    qsort(s, n, sizeof *s, kv_cmp);
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].key[0] == 0 || (i && strcmp(s[i - 1].key, s[i].key) == 0)) {
            meta_refuse(st, out, KAFKA_INVALID_REQUEST, "The setting '%s' is named twice or has no name.", s[i].key);
            return NULL;
        }
        if (!s[i].value && !may_delete) {
            meta_refuse(st, out, KAFKA_INVALID_CONFIG, "The setting '%s' has no value.", s[i].key);
            return NULL;
        }
    }
    return s;
}

/* ---- assignments: per partition the replicas, then whether directories follow ---- */

void cmd_enc_assignments(struct meta_buf *b, const struct meta_assignment *a, uint32_t n)
{
    mb_uv(b, n);
    for (uint32_t i = 0; i < n; i++) {
        mb_uv(b, (uint64_t)a[i].n_replicas << 1 | (a[i].dirs != NULL));
        for (uint32_t k = 0; k < a[i].n_replicas; k++)
            mb_iv(b, a[i].replicas[k]);
        for (uint32_t k = 0; a[i].dirs && k < a[i].n_replicas; k++)
            mb_uuid(b, &a[i].dirs[k]);
    }
}

struct meta_assignment *cmd_dec_assignments(struct meta_rd *r, struct arena *a, uint32_t *n)
{
    *n = mr_count(r, 1);
    struct meta_assignment *v = mr_array(r, a, *n, sizeof *v);
    for (uint32_t i = 0; i < *n && !r->bad; i++) {
        uint64_t head = mr_uv(r);
        if (head >> 1 > mr_left(r)) {
            r->bad = true;
            break;
        }
        v[i].n_replicas = (uint32_t)(head >> 1);
        int32_t *ids = mr_array(r, a, v[i].n_replicas, sizeof *ids);
        for (uint32_t k = 0; k < v[i].n_replicas; k++)
            ids[k] = mr_iv32(r);
        v[i].replicas = ids;
        if (head & 1) {
            if (v[i].n_replicas > mr_left(r) / 16) {
                r->bad = true;
                break;
            }
            struct chronik_uuid *dirs = mr_array(r, a, v[i].n_replicas, sizeof *dirs);
            for (uint32_t k = 0; k < v[i].n_replicas; k++)
                dirs[k] = mr_uuid(r);
            v[i].dirs = dirs;
        }
    }
    return v;
}

void cmd_json_assignments(struct meta_buf *b, const struct meta_assignment *a, uint32_t n)
{
    mj_key(b, "assignments");
    mj_raw(b, "[");
    for (uint32_t i = 0; i < n; i++) {
        mj_comma(b);
        mj_raw(b, "{");
        mj_ints(b, "replicas", a[i].replicas, a[i].n_replicas);
        if (a[i].dirs)
            mj_ids(b, "directories", a[i].dirs, a[i].n_replicas);
        mj_raw(b, "}");
    }
    mj_raw(b, "]");
}

bool cmd_assign_check(struct meta_state *st, const struct meta_assignment *a, uint32_t n, struct meta_outcome *out)
{
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].n_replicas == 0 || a[i].n_replicas > 1000) {
            meta_refuse(st, out, KAFKA_INVALID_REPLICATION_FACTOR, "Partition %u of the request has %u replicas.", i,
                        a[i].n_replicas);
            return false;
        }
        if (a[i].n_replicas != a[0].n_replicas) {
            meta_refuse(st, out, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                        "The partitions of a request must have equally many replicas: %u and %u.", a[0].n_replicas,
                        a[i].n_replicas);
            return false;
        }
        for (uint32_t k = 0; k < a[i].n_replicas; k++) {
            bool twice = false;
            for (uint32_t j = 0; j < k; j++)
                twice |= a[i].replicas[j] == a[i].replicas[k];
            if (twice || !meta_broker_by_id(&st->img, a[i].replicas[k])) {
                meta_refuse(st, out, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                            twice ? "Broker %d is named twice for one partition."
                                  : "Broker %d is not registered: name registered brokers only.",
                            a[i].replicas[k]);
                return false;
            }
        }
    }
    return true;
}

void cmd_assign_apply(struct meta_state *st, struct meta_topic *t, int32_t first, const struct meta_assignment *a,
                      uint32_t n)
{
    int32_t isr[1000];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_isr = 0;
        for (uint32_t k = 0; k < a[i].n_replicas; k++)
            if (meta_broker_alive(&st->img, a[i].replicas[k]))
                isr[n_isr++] = a[i].replicas[k];
        struct meta_partition_new p = {.leader = n_isr ? isr[0] : -1,
                                       .leader_epoch = 0,
                                       .partition_epoch = 0,
                                       .replicas = a[i].replicas,
                                       .n_replicas = a[i].n_replicas,
                                       .dirs = a[i].dirs,
                                       .isr = n_isr ? isr : a[i].replicas,
                                       .n_isr = n_isr ? n_isr : 1};
        meta_partition_set(st, t, first + (int32_t)i, &p);
    }
}

bool cmd_partition_leave(struct meta_state *st, const struct meta_topic **t, int32_t p, int32_t id)
{
    const struct meta_partition *x = (*t)->partitions[p];
    int32_t *isr = arena_calloc(&st->arena, x->n_isr, sizeof *isr);
    CHECK(isr != NULL);
    uint32_t n = 0;
    bool was = false;
    for (unsigned i = 0; i < x->n_isr; i++) {
        if (x->isr[i] == id)
            was = true;
        else
            isr[n++] = x->isr[i];
    }
    if (!was && x->leader != id)
        return false;
    if (n == 0) /* the last in sync stays so: only it has everything */
        isr[n++] = id;
    int32_t leader = x->leader;
    if (leader == id || leader < 0) {
        leader = -1;
        for (unsigned i = 0; i < x->n_replicas && leader < 0; i++)
            for (uint32_t k = 0; k < n && leader < 0; k++)
                if (isr[k] == x->replicas[i] && isr[k] != id && meta_broker_alive(&st->img, isr[k]))
                    leader = isr[k];
    }
    if (leader == x->leader && n == x->n_isr)
        return false;
    struct meta_partition_new c = {.leader = leader,
                                   .leader_epoch = x->leader_epoch + (leader != x->leader),
                                   .partition_epoch = x->partition_epoch + 1,
                                   .replicas = x->replicas,
                                   .n_replicas = x->n_replicas,
                                   .isr = isr,
                                   .n_isr = n,
                                   .dirs = x->dirs};
    struct meta_topic *own = meta_topic_own(st, *t, (*t)->n_partitions);
    *t = own;
    meta_partition_set(st, own, p, &c);
    return true;
}
