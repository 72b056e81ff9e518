/* dynamic.c: applies the dynamic settings of the cluster's default and of this broker. Values were checked when they
 * were proposed; one that this version refuses is logged and skipped. */
#include "main/dynamic.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

LOG_SUBSYSTEM("config");

static void set_one(struct dynamic *d, bool cluster, const char *key, const char *value)
{
    struct err e = {0};
    if (config_apply_dynamic(d->config, cluster, key, value, &e) < 0)
        log_warn("the dynamic setting %s is not applied: %s", key, e.text);
}

static void forget(struct dynamic_set *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->keys[i]);
    free(s->keys);
    *s = (struct dynamic_set){0};
}

/* The config's hook: one setting has another value now. */
static void changed(void *arg, const struct config_setting *s)
{
    struct dynamic *d = arg;
    switch (s->id) {
    case CFG_CHRONIK_LOG_LEVEL:
        if (!log_set_levels(config_str(d->config, CFG_CHRONIK_LOG_LEVEL)))
            log_warn("chronik.log.level=%s is not a list of levels; the levels stay as they are",
                     config_str(d->config, CFG_CHRONIK_LOG_LEVEL));
        break;
    case CFG_MAX_CONNECTIONS:
        net_set_max_connections(d->net, (uint32_t)min_i64(config_i64(d->config, CFG_MAX_CONNECTIONS), UINT32_MAX));
        break;
    case CFG_PRODUCER_ID_EXPIRATION_MS:
        part_set_producer_expiration(d->parts, config_i64(d->config, CFG_PRODUCER_ID_EXPIRATION_MS));
        break;
    default: /* a synonym of a topic's setting, or read where it is used */
        d->inherited = true;
    }
}

/* Removes what is gone, sets what is there, remembers the keys. */
static void adopt(struct dynamic *d, bool cluster, struct dynamic_set *s, const struct meta_configs *c)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!c || !meta_config_get(c, s->keys[i]))
            set_one(d, cluster, s->keys[i], NULL);
    forget(s);
    if (!c || c->n == 0)
        return;
    s->keys = calloc(c->n, sizeof *s->keys);
    for (uint32_t i = 0; i < c->n; i++) {
        set_one(d, cluster, c->entries[i].key, c->entries[i].value);
        if (s->keys && (s->keys[s->n] = strdup(c->entries[i].key)))
            s->n++;
    }
}

static void take(struct dynamic *d, const struct meta_image *image)
{
    char own[16];
    int len = snprintf(own, sizeof own, "%d", d->node_id);
    adopt(d, true, &d->cluster, meta_configs_of(image, META_RES_BROKER, "", 0));
    adopt(d, false, &d->own, meta_configs_of(image, META_RES_BROKER, own, (size_t)len));
}

static void published(void *arg, const struct meta_image *image, const struct meta_change *changes, uint32_t n)
{
    struct dynamic *d = arg;
    bool brokers = false;
    for (uint32_t i = 0; i < n; i++)
        brokers |= changes[i].kind == META_CHANGE_RESET ||
                   (changes[i].kind == META_CHANGE_CONFIG && changes[i].res_type == META_RES_BROKER);
    if (!brokers)
        return;
    take(d, image);
    if (d->inherited)
        meta_reconcile_settings(d->meta);
    d->inherited = false;
}

void dynamic_open(struct dynamic *d, struct meta *m, struct config *c, struct part_set *parts, struct net *net,
                  int32_t node_id)
{
    *d = (struct dynamic){
        .sub = {.fn = published, .arg = d}, .config = c, .meta = m, .parts = parts, .net = net, .node_id = node_id};
    CHECK(config_on_change(c, changed, d) > 0);
    meta_subscribe(m, &d->sub);
    /* What the checkpoint has is published already; nothing is open yet that would have to follow it. */
    struct meta_reader *r = meta_reader_open(m);
    take(d, meta_enter(r));
    meta_leave(r);
    meta_reader_close(r);
    d->inherited = false;
}

void dynamic_close(struct dynamic *d)
{
    forget(&d->cluster);
    forget(&d->own);
}
