/* util.c: what several handlers need: strings, the image, looking up partitions, workers, proposals. On the request's
 * loop unless a function says otherwise. */
#include "api/api.h"
#include "api/meta_topic.h"

#include <stdio.h>

struct wire_str api_str_copy(struct api_req *r, struct wire_str s)
{
    if (s.n < 0)
        return s;
    const char *p = arena_strndup(&r->arena, s.p, (size_t)s.n);
    return (struct wire_str){p, p ? s.n : -1};
}

const struct meta_image *api_image(struct api_req *r)
{
    return meta_enter(r->loop->reader);
}

void api_image_leave(struct api_req *r)
{
    meta_leave(r->loop->reader);
}

int16_t api_part(struct api_req *r, const struct wire_str *name, const struct chronik_uuid *id, int32_t index,
                 struct part **out)
{
    *out = NULL;
    if (meta_log_topic(r->api->meta_log, name, id))
        return index == 0 ? KAFKA_INVALID_TOPIC_EXCEPTION : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    const struct meta_image *i = api_image(r);
    const struct meta_topic *t =
        name ? meta_topic_by_name(i, name->p, name->n < 0 ? 0 : (size_t)name->n) : meta_topic_by_id(i, id);
    int16_t rc = KAFKA_NONE;
    if (!t)
        rc = name ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_UNKNOWN_TOPIC_ID;
    else if (index < 0 || index >= t->n_partitions)
        rc = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    else if (!(*out = part_find(r->api->c.parts, &t->id, index)))
        rc = KAFKA_NOT_LEADER_OR_FOLLOWER; /* not here, or not open yet */
    api_image_leave(r);
    return rc;
}

const char *api_bad_topic_name(struct arena *a, struct wire_str name)
{
    if (name.n <= 0)
        return "Topic name is invalid: the empty string is not allowed";
    if (wire_str_is(name, "."))
        return "Topic name is invalid: '.' is not allowed";
    if (wire_str_is(name, ".."))
        return "Topic name is invalid: '..' is not allowed";
    if (name.n > 249)
        return arena_printf(a, "Topic name is invalid: the length of '%.*s' is longer than the max allowed length 249",
                            name.n, name.p);
    for (int32_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '_' || c == '-';
        if (!fine)
            return arena_printf(a,
                                "Topic name is invalid: '%.*s' contains one or more characters other than ASCII "
                                "alphanumerics, '.', '_' and '-'",
                                name.n, name.p);
    }
    return NULL;
}

bool api_bad_group_id(struct wire_str group)
{
    return group.n < 0 || group.n > META_GROUP_ID_MAX || (group.n && memchr(group.p, 0, (size_t)group.n));
}

/* ---- workers ---- */

struct work {
    struct api_req *r;
    void (*fn)(struct api_req *r);
    void (*done)(struct api_req *r);
    struct chronik_task task;
};

static void work_back(void *arg)
{
    struct work *w = arg;
    w->done(w->r);
}

static void work_run(void *arg)
{
    struct work *w = arg;
    w->fn(w->r);
    w->task.fn = work_back;
    os_exec_post(w->r->loop->exec, &w->task);
}

void api_on_worker(struct api_req *r, void (*fn)(struct api_req *r), void (*done)(struct api_req *r))
{
    struct work *w = arena_calloc(&r->arena, 1, sizeof *w);
    if (!w) {
        fn(r);
        done(r);
        return;
    }
    *w = (struct work){.r = r, .fn = fn, .done = done, .task = {.fn = work_run}};
    w->task.arg = w;
    os_worker_post(r->api->c.os, &w->task);
}

/* ---- proposals ---- */

struct proposal {
    struct api_req *r;
    struct api_result *out;
    void (*done)(struct api_req *r, void *arg);
    void *arg;
    struct chronik_task task;
};

static void proposal_back(void *arg)
{
    struct proposal *p = arg;
    p->done(p->r, p->arg);
}

/* On the apply executor. */
static void proposal_applied(void *arg, const struct meta_result *result)
{
    struct proposal *p = arg;
    p->out->code = result->code;
    memcpy(p->out->values, result->values, sizeof p->out->values);
    snprintf(p->out->text, sizeof p->out->text, "%s", result->text);
    os_exec_post(p->r->loop->exec, &p->task);
}

int32_t api_propose(struct api_req *r, const struct meta_command *c, int64_t timeout_ms, struct api_result *out,
                    void (*done)(struct api_req *r, void *arg), void *arg)
{
    struct proposal *p = arena_calloc(&r->arena, 1, sizeof *p);
    if (!p)
        return CHRONIK_E_NOMEM;
    *p = (struct proposal){.r = r, .out = out, .done = done, .arg = arg, .task = {.fn = proposal_back, .arg = p}};
    return meta_propose(r->api->c.meta, META_CLIENT, c, timeout_ms, proposal_applied, p);
}
