/* expiry.c: the sweep of old offsets and unused groups. A pass walks the image's groups in steps, so that it never
 * holds an image for long; a step proposes the deletions of a few groups and goes on when they are applied. Whether a
 * group is empty, and since when, is asked of the coordinator; what it proposes is conditional on the commits that it
 * saw, so that a newer commit stays. Everything runs on one background executor; completions only post to it. */
#include "coord/expiry.h"

#include "base/log.h"
#include "base/metrics.h"

#include <stdlib.h>

LOG_SUBSYSTEM("coord");

enum { STEP_GROUPS = 64, STEP_LOOKS = 4096, COMMAND_KEYS = 4096, TIMEOUT_MS = 30000 };
static const int64_t ms_in_ns = 1000000, longest_interval_ms = INT64_C(366) * 24 * 3600 * 1000;

/* One group with something to do. */
struct deletion {
    struct expiry *x;
    const char *group;
    struct meta_owner owner;
    struct meta_offset_key *keys;
    uint32_t n, cap;
    bool whole; /* nothing is left: the group may go, too */
    bool failed;
    int64_t gone;
    struct chronik_task task;
};

struct expiry {
    struct expiry_options o;
    struct meta_reader *reader;
    struct chronik_task task;
    struct arena arena; /* of the step */
    char from[META_GROUP_ID_MAX + 2];
    size_t from_n;
    bool last; /* the walk has reached the end */
    struct deletion todo[STEP_GROUPS];
    uint32_t n_todo, pending;
    uint32_t looks; /* rows of this step */
    int64_t now_ms;
    uint64_t offsets, groups; /* of this pass */
    bool started, stopped;    /* atomic */
    struct metric *n_expired;
};

struct expiry *expiry_new(const struct expiry_options *o)
{
    struct expiry *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->o = *o;
    x->reader = meta_reader_open(o->meta);
    if (!x->reader) {
        free(x);
        return NULL;
    }
    arena_init(&x->arena, 0);
    x->n_expired = metric_get(METRIC_COUNTER, "offsets_expired_total", "", "Committed offsets that were forgotten");
    return x;
}

void expiry_free(struct expiry *x)
{
    if (!x)
        return;
    meta_reader_close(x->reader);
    arena_free(&x->arena);
    free(x);
}

void expiry_stop(struct expiry *x)
{
    __atomic_store_n(&x->stopped, true, __ATOMIC_RELEASE);
}

/* ---- what is old ---- */

/* When the offset's time began; -1: it does not run while the group is as it is. */
static int64_t age_base(const struct coord_group_view *v, const struct meta_offset *o)
{
    if (!v->known || v->simple)
        return o->commit_ms;
    if (v->empty)
        return v->state_since_ms >= 0 ? v->state_since_ms : o->commit_ms;
    return v->subscriptions_known ? o->commit_ms : -1;
}

static bool is_old(const struct expiry *x, const struct coord_group_view *v, const struct meta_offset *o)
{
    int64_t base = age_base(v, o);
    if (base < 0)
        return false;
    return o->expire_ms >= 0 ? x->now_ms >= o->expire_ms : x->now_ms - base >= x->o.retention_ms;
}

static bool is_read(struct expiry *x, const struct coord_group_view *v, struct wire_str group,
                    const struct meta_topic *t)
{
    return v->known && !v->empty && !v->simple && t &&
           coord_has_live_subscription(x->o.coord, group, (struct wire_str){t->name, t->name_len});
}

static void add_key(struct expiry *x, struct deletion *d, const struct meta_offset *o, const struct meta_topic *t)
{
    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 16;
        struct meta_offset_key *v = arena_alloc(&x->arena, d->cap * sizeof *v);
        CHECK(v != NULL);
        if (d->n)
            memcpy(v, d->keys, d->n * sizeof *v);
        d->keys = v;
    }
    const char *name = t ? arena_strndup(&x->arena, t->name, t->name_len) : "";
    CHECK(name != NULL);
    d->keys[d->n++] = (struct meta_offset_key){
        .topic = o->topic, .name = {name, t ? t->name_len : 0}, .partition = o->partition, .commit_ms = o->commit_ms};
}

/* Fills x->todo with what is old of this group. */
static void look_at(struct expiry *x, const struct meta_image *image, const struct meta_group *g)
{
    struct coord_group_view v;
    struct wire_str group = wire_str(g->id);
    x->looks++;
    if (coord_view(x->o.coord, group, &v) != KAFKA_NONE || v.dead)
        return;
    struct deletion *d = &x->todo[x->n_todo];
    *d = (struct deletion){.x = x, .whole = !v.known || v.empty};
    struct meta_cursor c;
    struct meta_offset o;
    const struct meta_topic *t = NULL;
    bool read = false;
    for (bool more = meta_offsets_first(image, &c, group.p, (size_t)group.n, &o); more;
         more = meta_offsets_next(&c, group.p, (size_t)group.n, &o)) {
        if (!t || !meta_uuid_eq(&t->id, &o.topic)) {
            t = meta_topic_by_id(image, &o.topic);
            read = is_read(x, &v, group, t);
        }
        x->looks++;
        if (d->n < COMMAND_KEYS && !read && is_old(x, &v, &o))
            add_key(x, d, &o, t);
        else
            d->whole = false;
    }
    if (d->n == 0 && !d->whole)
        return;
    d->group = arena_strndup(&x->arena, group.p, (size_t)group.n);
    CHECK(d->group != NULL);
    d->owner = (struct meta_owner){.slot = (int32_t)coord_slot_of(x->o.coord, group), .epoch = v.slot_epoch};
    x->n_todo++;
}

/* ---- steps ---- */

static void wait_interval(struct expiry *x)
{
    int64_t ms = min_i64(max_i64(x->o.interval_ms, 1), longest_interval_ms);
    os_exec_post_at(x->o.exec, &x->task, os_mono_ns(x->o.os) + ms * ms_in_ns);
}

static void end_pass(struct expiry *x)
{
    if (x->offsets || x->groups)
        log_info("offsets that expired: %llu; groups without members and offsets: %llu", (unsigned long long)x->offsets,
                 (unsigned long long)x->groups);
    x->offsets = x->groups = 0;
    x->from_n = 0;
    x->last = false;
    wait_interval(x);
}

/* On x's executor: one group's offsets are gone, or could not be removed now. */
static void settled(void *arg)
{
    struct deletion *d = arg;
    struct expiry *x = d->x;
    x->offsets += (uint64_t)d->gone;
    metric_add(x->n_expired, (uint64_t)d->gone);
    if (d->whole && !d->failed && !__atomic_load_n(&x->stopped, __ATOMIC_ACQUIRE)) {
        x->groups++;
        coord_offsets_gone(x->o.coord, wire_str(d->group));
    }
    if (--x->pending == 0)
        os_exec_post(x->o.exec, &x->task);
}

/* On the apply executor. */
static void applied(void *arg, const struct meta_result *r)
{
    struct deletion *d = arg;
    d->failed = r->code != KAFKA_NONE;
    d->gone = d->failed ? 0 : r->values[0];
    os_exec_post(d->x->o.exec, &d->task);
}

static void propose(struct deletion *d)
{
    struct expiry *x = d->x;
    d->task = (struct chronik_task){.fn = settled, .arg = d};
    if (d->n) {
        struct meta_command c = {.type = META_CMD_OFFSETS_DELETE};
        c.u.offsets_delete = (struct meta_offsets_delete){
            .owner = d->owner, .group = {d->group, (uint32_t)strlen(d->group)}, .keys = d->keys, .n_keys = d->n};
        if (meta_propose(x->o.meta, META_COORDINATOR, &c, TIMEOUT_MS, applied, d) >= 0)
            return;
        d->failed = true; /* the next pass will see it again */
    }
    os_exec_post(x->o.exec, &d->task);
}

/* Walks on from x->from until there is enough for one step; false: that was the last group. */
static bool walk(struct expiry *x)
{
    const struct meta_image *image = meta_enter(x->reader);
    struct meta_cursor c;
    struct meta_group g;
    bool more = meta_groups_from(image, &c, x->from, x->from_n, NULL, &g);
    while (more && x->n_todo < STEP_GROUPS && x->looks < STEP_LOOKS) {
        look_at(x, image, &g);
        more = meta_groups_next(&c, NULL, &g);
    }
    if (more) {
        x->from_n = strlen(g.id);
        memcpy(x->from, g.id, x->from_n);
    }
    meta_leave(x->reader);
    return more;
}

static void next_step(void *arg)
{
    struct expiry *x = arg;
    if (__atomic_load_n(&x->stopped, __ATOMIC_ACQUIRE))
        return;
    if (x->last) {
        end_pass(x);
        return;
    }
    arena_reset(&x->arena);
    x->n_todo = x->looks = 0;
    x->now_ms = os_wall_ms(x->o.os);
    x->last = !walk(x);
    x->pending = x->n_todo;
    for (uint32_t i = 0; i < x->n_todo; i++)
        propose(&x->todo[i]);
    if (x->n_todo == 0)
        os_exec_post(x->o.exec, &x->task);
}

void expiry_start(struct expiry *x)
{
    if (__atomic_exchange_n(&x->started, true, __ATOMIC_ACQ_REL))
        return;
    x->task = (struct chronik_task){.fn = next_step, .arg = x};
    wait_interval(x);
}
