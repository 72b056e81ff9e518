/* reconcile_ops.c: the callbacks that make open partitions what the metadata image says. All run on the reconciler's
 * executor, one after another, and may block. */
#include "main/reconcile_ops.h"

#include <stdlib.h>

struct listing {
    void (*each)(void *arg, const struct chronik_uuid *topic, int32_t partition);
    void *arg;
};

static void list_one(void *arg, const struct chronik_part_id *id)
{
    struct listing *l = arg;
    l->each(l->arg, &id->topic, id->partition);
}

static int32_t list_store(void *arg, void (*each)(void *each_arg, const struct chronik_uuid *topic, int32_t partition),
                          void *each_arg, struct err *e)
{
    struct reconcile_ops *r = arg;
    struct listing l = {each, each_arg};
    int32_t rc = r->store_ops->list(r->store, list_one, &l);
    return rc < 0 ? err_set(e, rc, "the store cannot list its partitions (code %d)", rc) : rc;
}

static void fill_config(struct reconcile_ops *r, const struct meta_topic *t, struct config_topic *out)
{
    const struct meta_configs *c = t->configs;
    struct config_kv few[16], *kv = c->n <= ARRAY_LEN(few) ? few : malloc(c->n * sizeof *kv);
    uint32_t n = kv ? c->n : 0;
    for (uint32_t i = 0; i < n; i++)
        kv[i] = (struct config_kv){c->entries[i].key, c->entries[i].value};
    config_topic_fill(r->config, kv, n, out);
    if (kv != few)
        free(kv);
}

/* Opens, or adopts: part_open does both. */
static int32_t open_part(void *arg, const struct meta_image *i, const struct meta_topic *t, int32_t partition,
                         struct err *e)
{
    struct reconcile_ops *r = arg;
    const struct meta_partition *p = meta_partition_of(t, partition);
    struct config_topic config;
    fill_config(r, t, &config);
    struct part_spec spec = {
        .topic_id = t->id,
        .topic = t->name,
        .index = partition,
        .leader = p->leader,
        .leader_epoch = p->leader_epoch,
        .config = &config,
    };
    return part_open(r->parts, &spec, true, e);
}

static int32_t close_part(void *arg, const struct chronik_uuid *topic, int32_t partition, struct err *e)
{
    struct reconcile_ops *r = arg;
    return part_close(r->parts, topic, partition, false, e);
}

/* The topic's deletion is committed: also data that was never opened since the start goes. */
static int32_t delete_part(void *arg, const struct chronik_uuid *topic, int32_t partition, struct err *e)
{
    struct reconcile_ops *r = arg;
    if (part_close(r->parts, topic, partition, true, e) > 0)
        return CHRONIK_DONE;
    struct config_topic config;
    config_topic_fill(r->config, NULL, 0, &config);
    struct part_spec spec = {
        .topic_id = *topic, .topic = "(deleted)", .index = partition, .leader = -1, .config = &config};
    int32_t rc = part_open(r->parts, &spec, false, e);
    if (rc == CHRONIK_E_NOTFOUND)
        return CHRONIK_DONE;
    return rc < 0 ? rc : part_close(r->parts, topic, partition, true, e);
}

void reconcile_ops_init(struct reconcile_ops *r, struct part_set *parts, const struct chronik_store_ops *ops,
                        chronik_store *store, struct config *config)
{
    *r = (struct reconcile_ops){
        .ops = {.arg = r,
                .list_store = list_store,
                .open = open_part,
                .reconfigure = open_part,
                .close = close_part,
                .delete_ = delete_part},
        .parts = parts,
        .store_ops = ops,
        .store = store,
        .config = config,
    };
}
