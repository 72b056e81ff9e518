/* delete_records.c: DeleteRecords (21): the log of a partition begins later from now on. Answered when durable. */
#include "api/rows.h"
#include "api/gather.h"

struct prefix {
    struct part_delete d;
    struct delete_records *all;
    struct wire_delete_records_response_partition_result *answer;
    int16_t error;
    struct chronik_task task;
};

struct delete_records {
    struct gather g;
    struct wire_delete_records_response resp;
    struct prefix *v;
    int32_t n;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct delete_records, g)->resp);
}

/* On the loop. */
static void settled(void *arg)
{
    struct prefix *p = arg;
    p->answer->error_code = p->error;
    p->answer->low_watermark = p->error ? -1 : p->d.low_watermark;
    gather_less(&p->all->g);
}

/* Any thread. */
static void gone(struct part_delete *d, int16_t error)
{
    struct prefix *p = CONTAINER_OF(d, struct prefix, d);
    p->error = error;
    p->task = (struct chronik_task){.fn = settled, .arg = p};
    os_exec_post(p->all->g.r->loop->exec, &p->task);
}

static void begin_one(struct delete_records *all, struct wire_str topic,
                      const struct wire_delete_records_request_partition *q,
                      struct wire_delete_records_response_partition_result *a)
{
    struct part *part;
    a->partition_index = q->partition_index;
    a->low_watermark = -1;
    a->error_code = api_part(all->g.r, &topic, NULL, q->partition_index, &part);
    if (a->error_code != KAFKA_NONE)
        return;
    if (part_is_compacted(part)) {
        a->error_code = KAFKA_POLICY_VIOLATION;
        part_unref(part);
        return;
    }
    struct prefix *p = &all->v[all->n++];
    *p = (struct prefix){.d = {.offset = q->offset, .fn = gone}, .all = all, .answer = a};
    gather_more(&all->g);
    a->error_code = part_delete_records(part, &p->d);
    if (a->error_code != KAFKA_NONE)
        all->g.pending--;
    part_unref(part);
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_delete_records_request *q = body;
    struct delete_records *d = arena_calloc(&r->arena, 1, sizeof *d);
    int32_t total = 0;
    for (int32_t i = 0; i < q->topics.n; i++)
        total += q->topics.v[i].partitions.n;
    if (d) {
        d->resp = wire_delete_records_response_default;
        d->resp.topics.v = api_array(r, struct wire_delete_records_response_topic_result, q->topics.n);
        d->v = api_array(r, struct prefix, total);
    }
    struct wire_delete_records_response_partition_result *parts =
        api_array(r, struct wire_delete_records_response_partition_result, total);
    if (!d || !d->resp.topics.v || !d->v || !parts) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    d->g = (struct gather){.r = r, .pending = 1, .end = end};
    for (int32_t i = 0; i < q->topics.n; i++) {
        const struct wire_delete_records_request_topic *t = &q->topics.v[i];
        struct wire_delete_records_response_topic_result *a = &d->resp.topics.v[d->resp.topics.n++];
        if (t->partitions.n <= 0) {
            d->resp.topics.n--;
            continue;
        }
        a->name = t->name;
        a->partitions.v = parts;
        a->partitions.n = t->partitions.n;
        for (int32_t k = 0; k < t->partitions.n; k++)
            begin_one(d, t->name, &t->partitions.v[k], parts++);
    }
    gather_less(&d->g);
}

const struct api_row api_delete_records = {.key = WIRE_API_DELETE_RECORDS, .handle = handle};
