/* describe_log_dirs.c: DescribeLogDirs (35): directories, their space, and the partitions in them. Sizes come from the
 * store on a worker, since a file system may take its time. */
#include "api/rows.h"
#include "api/api.h"

#include <stdlib.h>

struct listing {
    const struct wire_describe_log_dirs_request *q;
    struct wire_describe_log_dirs_response resp;
    bool failed;
};

static bool wanted(const struct wire_describe_log_dirs_request *q, struct part *p)
{
    if (q->topics.n < 0)
        return true;
    for (int32_t i = 0; i < q->topics.n; i++) {
        if (!wire_str_is(q->topics.v[i].topic, part_topic(p)))
            continue;
        for (int32_t k = 0; k < q->topics.v[i].partitions.n; k++)
            if (q->topics.v[i].partitions.v[k] == part_index(p))
                return true;
    }
    return false;
}

static int by_name(const void *a, const void *b)
{
    struct part *const *x = a, *const *y = b;
    int c = strcmp(part_topic(*x), part_topic(*y));
    return c ? c : (part_index(*x) > part_index(*y)) - (part_index(*x) < part_index(*y));
}

/* Adds a partition to a directory; partitions come sorted by topic. */
static void add(struct api_req *r, struct listing *l, struct part *p, uint32_t dir_no, bool future, uint64_t bytes)
{
    struct wire_describe_log_dirs_response_result *dir = &l->resp.results.v[dir_no];
    struct wire_describe_log_dirs_response_topic *t = dir->topics.n ? &dir->topics.v[dir->topics.n - 1] : NULL;
    if (!t || !wire_str_is(t->name, part_topic(p))) {
        t = &dir->topics.v[dir->topics.n++];
        t->name = api_str_copy(r, wire_str(part_topic(p)));
        t->partitions.v =
            t == dir->topics.v ? dir->topics.v[0].partitions.v : (t - 1)->partitions.v + (t - 1)->partitions.n;
    }
    t->partitions.v[t->partitions.n++] = (struct wire_describe_log_dirs_response_partition){
        .partition_index = part_index(p), .partition_size = (int64_t)bytes, .is_future_key = future};
}

static void fill_dir(struct api_req *r, struct wire_describe_log_dirs_response_result *dir, uint32_t i, size_t n_parts,
                     struct listing *l)
{
    uint64_t free_bytes = 0, total = 0;
    *dir = wire_describe_log_dirs_response_result_default;
    dir->log_dir = wire_str(r->api->c.log_dirs[i]);
    if (os_disk_free(r->api->c.os, r->api->c.log_dirs[i], &free_bytes, &total) < 0)
        dir->error_code = KAFKA_KAFKA_STORAGE_ERROR;
    dir->total_bytes = (int64_t)total;
    dir->usable_bytes = (int64_t)free_bytes;
    dir->topics.v = api_array(r, struct wire_describe_log_dirs_response_topic, (int64_t)n_parts);
    l->failed |= !dir->topics.v;
    if (dir->topics.v) {
        dir->topics.v[0].partitions.v =
            api_array(r, struct wire_describe_log_dirs_response_partition, (int64_t)n_parts);
        l->failed |= !dir->topics.v[0].partitions.v;
    }
}

/* On a worker. */
static void fill(struct api_req *r)
{
    struct listing *l = r->state;
    size_t n = 0;
    struct part **all = part_set_all(r->api->c.parts, &n);
    uint32_t dirs = r->api->c.n_log_dirs;
    l->resp.results.v = api_array(r, struct wire_describe_log_dirs_response_result, dirs);
    l->failed = !all || !l->resp.results.v;
    for (uint32_t i = 0; !l->failed && i < dirs; i++)
        fill_dir(r, &l->resp.results.v[l->resp.results.n++], i, n, l);
    if (all)
        qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; all && i < n; i++) {
        struct chronik_part_stat st;
        uint32_t now;
        int32_t next;
        if (!l->failed && wanted(l->q, all[i])) {
            part_stat(all[i], &st);
            part_dirs(all[i], &now, &next);
            if (now < dirs)
                add(r, l, all[i], now, false, st.bytes);
            if (next >= 0 && (uint32_t)next < dirs)
                add(r, l, all[i], (uint32_t)next, true, 0); /* the copy that is being made */
        }
        part_unref(all[i]);
    }
    free(all);
}

static void answer(struct api_req *r)
{
    struct listing *l = r->state;
    if (l->failed)
        api_no_memory(r, "out of memory for an answer");
    else
        api_answer(r, &l->resp);
}

static void handle(struct api_req *r, const void *body)
{
    struct listing *l = arena_calloc(&r->arena, 1, sizeof *l);
    if (!l) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    l->q = body;
    l->resp = wire_describe_log_dirs_response_default;
    r->state = l;
    api_on_worker(r, fill, answer);
}

const struct api_row api_describe_log_dirs = {.key = WIRE_API_DESCRIBE_LOG_DIRS, .handle = handle};
