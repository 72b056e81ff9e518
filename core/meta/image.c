/* image.c: the readers' half of the image: lookups and walks. Nothing here changes anything. */
#include "meta/image.h"

#include "meta/state.h"

const struct meta_topic *meta_topic_by_name(const struct meta_image *i, const char *name, size_t n)
{
    return tree_find(&i->by_name, name, n);
}

const struct meta_topic *meta_topic_by_id(const struct meta_image *i, const struct chronik_uuid *id)
{
    return tree_find(&i->by_id, id->b, sizeof id->b);
}

bool meta_topic_name_internal(const char *name, size_t n)
{
    static const char *const names[] = {"__consumer_offsets", "__transaction_state", "__share_group_state"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        if (strlen(names[k]) == n && memcmp(names[k], name, n) == 0)
            return true;
    return false;
}

const struct meta_partition *meta_partition_of(const struct meta_topic *t, int32_t partition)
{
    return partition >= 0 && partition < t->n_partitions ? t->partitions[partition] : NULL;
}

const struct meta_broker *meta_broker_by_id(const struct meta_image *i, int32_t id)
{
    uint8_t key[4];
    put_be32(key, (uint32_t)id);
    return tree_find(&i->brokers, key, sizeof key);
}

bool meta_broker_alive(const struct meta_image *i, int32_t id)
{
    const struct meta_broker *b = meta_broker_by_id(i, id);
    return b && !b->fenced;
}

const struct meta_broker_endpoint *meta_broker_listener(const struct meta_broker *b, const char *listener)
{
    for (uint32_t k = 0; k < b->n_endpoints; k++)
        if (strcmp(b->endpoints[k].listener, listener) == 0)
            return &b->endpoints[k];
    return NULL;
}

const struct meta_configs *meta_configs_of(const struct meta_image *i, uint8_t type, const char *name, size_t n)
{
    if (type == META_RES_TOPIC) {
        const struct meta_topic *t = meta_topic_by_name(i, name, n);
        return t ? t->configs : NULL;
    }
    uint8_t key[512];
    if (n + 1 > sizeof key)
        return NULL;
    key[0] = type;
    memcpy(key + 1, name, n);
    return tree_find(&i->configs, key, n + 1);
}

const char *meta_config_get(const struct meta_configs *c, const char *key)
{
    uint32_t lo = 0, hi = c ? c->n : 0;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int d = strcmp(c->entries[mid].key, key);
        if (d == 0)
            return c->entries[mid].value;
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

bool meta_topic_was_deleted(const struct meta_image *i, const struct chronik_uuid *id)
{
    uint8_t key[17] = "D";
    memcpy(key + 1, id->b, 16);
    return meta_row_get(i, key, sizeof key) != NULL;
}

static int16_t feature_of(const struct meta_row *r)
{
    struct meta_rd rd = mr_of(meta_row_value(r), r->vlen);
    mr_u8(&rd);
    return (int16_t)mr_iv(&rd);
}

int16_t meta_feature_level(const struct meta_image *i, const char *name)
{
    uint8_t key[128] = "F";
    size_t n = strlen(name);
    if (n + 1 > sizeof key)
        return 0;
    memcpy(key + 1, name, n);
    const struct meta_row *r = meta_row_get(i, key, n + 1);
    return r ? feature_of(r) : 0;
}

uint32_t meta_features(const struct meta_image *i, struct meta_feature *out, uint32_t max)
{
    struct meta_cursor c;
    uint32_t n = 0;
    for (const struct meta_row *r = tree_seek(&i->rows, &c, "F", 1); r && r->data[0] == 'F'; r = tree_next(&c)) {
        if (n < max) {
            struct meta_rd rd = mr_of(meta_row_value(r), r->vlen);
            mr_u8(&rd);
            out[n].level = (int16_t)mr_iv(&rd);
            out[n].name = mr_str_some(&rd);
        }
        n++;
    }
    return n;
}

const struct meta_topic *meta_topics_from(const struct meta_image *i, struct meta_cursor *c, const char *from, size_t n)
{
    return tree_seek(&i->by_name, c, from ? from : "", from ? n : 0);
}

const struct meta_topic *meta_topics_next(struct meta_cursor *c)
{
    return tree_next(c);
}

const struct meta_broker *meta_brokers_first(const struct meta_image *i, struct meta_cursor *c)
{
    return tree_seek(&i->brokers, c, "", 0);
}

const struct meta_broker *meta_brokers_next(struct meta_cursor *c)
{
    return tree_next(c);
}

const struct meta_configs *meta_configs_first(const struct meta_image *i, struct meta_cursor *c)
{
    return tree_seek(&i->configs, c, "", 0);
}

const struct meta_configs *meta_configs_next(struct meta_cursor *c)
{
    return tree_next(c);
}

struct chronik_uuid meta_cluster_id(const struct meta_image *i)
{
    return i->cluster_id;
}

int32_t meta_controller_id(const struct meta_image *i)
{
    return i->controller;
}

uint64_t meta_image_seq(const struct meta_image *i)
{
    return i->seq;
}

int64_t meta_features_epoch(const struct meta_image *i)
{
    return i->features_epoch;
}

uint64_t meta_topic_count(const struct meta_image *i)
{
    return i->by_id.count;
}

uint64_t meta_partition_count(const struct meta_image *i)
{
    return i->n_partitions;
}

uint64_t meta_group_count(const struct meta_image *i)
{
    return i->n_groups;
}

uint64_t meta_offset_count(const struct meta_image *i)
{
    return i->n_offsets;
}

uint32_t meta_broker_count(const struct meta_image *i)
{
    return (uint32_t)i->brokers.count;
}
