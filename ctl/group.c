#include <config.h>

/* group.c: list, describe and delete consumer groups, and set their offsets, by Kafka's own requests at the group's
 * coordinator. Ends of partitions are asked of the same broker: of a partition that it does not lead the lag is
 * unknown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/group.h"
#include "ctl/print.h"
#include "ctl/session.h"
#include "wire/codes.h"

/* Newest versions that name topics. */
enum { OFFSET_FETCH = 9, OFFSET_COMMIT = 8 };
enum { LATEST = -1, EARLIEST = -2 };

static bool failed(const char *group, int code, struct wire_str message)
{
    char object[PRINT_CELL];
    if (code == 0)
        return false;
    snprintf(object, sizeof object, "group '%s'", group);
    print_kafka_failure(object, code, message.p, message.n);
    return true;
}

static void print_answer(const struct options *o, struct print_table *table, cJSON *list)
{
    if (o->json) {
        print_json(list);
        free(table->cells);
    } else {
        print_table(table);
        cJSON_Delete(list);
    }
}

static void add_text(cJSON *o, const char *key, struct wire_str s)
{
    char text[PRINT_CELL];
    text_of(s, text, sizeof text);
    cJSON_AddStringToObject(o, key, text);
}

/* ---- list ---- */

int group_list(const struct options *o)
{
    struct session s;
    struct wire_list_groups_request q = wire_list_groups_request_default;
    struct wire_list_groups_response r;
    int version = -1;
    if (!session_open(&s, o))
        return 1;
    bool ok = session_call(&s, WIRE_API_LIST_GROUPS, &q, &r, &version);
    if (ok && r.error_code) {
        print_kafka_failure("the list of groups", r.error_code, NULL, 0);
        ok = false;
    }
    if (ok) {
        struct print_table table = {.columns = 4};
        cJSON *list = cJSON_CreateArray();
        print_row(&table, "GROUP", "STATE", "TYPE", "PROTOCOL TYPE");
        for (int32_t i = 0; i < r.groups.n; i++) {
            char cells[4][PRINT_CELL];
            cJSON *one = cJSON_CreateObject();
            text_of(r.groups.v[i].group_id, cells[0], PRINT_CELL);
            text_of(r.groups.v[i].group_state, cells[1], PRINT_CELL);
            text_of(r.groups.v[i].group_type, cells[2], PRINT_CELL);
            text_of(r.groups.v[i].protocol_type, cells[3], PRINT_CELL);
            print_row(&table, cells[0], cells[1], cells[2], cells[3]);
            cJSON_AddStringToObject(one, "group", cells[0]);
            cJSON_AddStringToObject(one, "state", cells[1]);
            cJSON_AddStringToObject(one, "type", cells[2]);
            cJSON_AddStringToObject(one, "protocol_type", cells[3]);
            cJSON_AddItemToArray(list, one);
        }
        print_answer(o, &table, list);
    }
    session_close(&s);
    return ok ? 0 : 1;
}

/* ---- offsets ---- */

/* All offsets of the group; its part of the answer or NULL. */
static const struct wire_offset_fetch_response_group *fetch_offsets(struct session *s, const char *group,
                                                                    struct wire_offset_fetch_response *r)
{
    struct wire_offset_fetch_request q = wire_offset_fetch_request_default;
    struct wire_offset_fetch_request_group g = wire_offset_fetch_request_group_default;
    int version = OFFSET_FETCH;
    g.group_id = wire_str(group);
    g.topics.n = -1;
    q.groups.v = &g;
    q.groups.n = 1;
    if (!session_call(s, WIRE_API_OFFSET_FETCH, &q, r, &version) || r->groups.n != 1 ||
        failed(group, r->groups.v[0].error_code, (struct wire_str){NULL, 0}))
        return NULL;
    return &r->groups.v[0];
}

/* The offset at LATEST, EARLIEST or a time in ms; -1 unknown. */
static int64_t list_offset(struct session *s, struct wire_str topic, int32_t partition, int64_t when)
{
    struct wire_list_offsets_request q = wire_list_offsets_request_default;
    struct wire_list_offsets_request_topic t = wire_list_offsets_request_topic_default;
    struct wire_list_offsets_request_partition p = wire_list_offsets_request_partition_default;
    struct wire_list_offsets_response r;
    int version = -1;
    p.partition_index = partition;
    p.timestamp = when;
    t.name = topic;
    t.partitions.v = &p;
    t.partitions.n = 1;
    q.replica_id = -1;
    q.topics.v = &t;
    q.topics.n = 1;
    if (!session_call(s, WIRE_API_LIST_OFFSETS, &q, &r, &version) || r.topics.n != 1 ||
        r.topics.v[0].partitions.n != 1 || r.topics.v[0].partitions.v[0].error_code)
        return -1;
    return r.topics.v[0].partitions.v[0].offset;
}

static void number_text(char *buf, size_t n, int64_t v)
{
    if (v < 0)
        snprintf(buf, n, "-");
    else
        snprintf(buf, n, "%" PRId64, v);
}

/* ---- describe ---- */

static cJSON *offset_json(struct print_table *table, struct wire_str topic,
                          const struct wire_offset_fetch_response_group_partition *p, int64_t end)
{
    char name[PRINT_CELL], partition[16], offset[24], last[24], lag[24], text[PRINT_CELL];
    int64_t behind = end < 0 || p->committed_offset < 0 ? -1
                     : end > p->committed_offset        ? end - p->committed_offset
                                                        : 0;
    text_of(topic, name, sizeof name);
    text_of(p->metadata, text, sizeof text);
    snprintf(partition, sizeof partition, "%d", p->partition_index);
    number_text(offset, sizeof offset, p->committed_offset);
    number_text(last, sizeof last, end);
    number_text(lag, sizeof lag, behind);
    print_row(table, name, partition, offset, last, lag, text);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "topic", name);
    cJSON_AddNumberToObject(o, "partition", p->partition_index);
    cJSON_AddNumberToObject(o, "offset", (double)p->committed_offset);
    cJSON_AddNumberToObject(o, "end", (double)end);
    cJSON_AddNumberToObject(o, "lag", (double)behind);
    cJSON_AddStringToObject(o, "metadata", text);
    return o;
}

static cJSON *describe_offsets(struct session *s, const char *group, struct print_table *table, bool *ok)
{
    struct wire_offset_fetch_response r;
    cJSON *list = cJSON_CreateArray();
    const struct wire_offset_fetch_response_group *g = fetch_offsets(s, group, &r);
    *ok = g != NULL;
    print_row(table, "TOPIC", "PARTITION", "OFFSET", "END", "LAG", "METADATA");
    for (int32_t i = 0; g && i < g->topics.n; i++) {
        struct wire_str topic = g->topics.v[i].name;
        char *name = arena_strndup(&s->arena, topic.p, (size_t)topic.n); /* the next answer takes the old one's place */
        CHECK(name);
        g->topics.v[i].name.p = name;
        for (int32_t k = 0; k < g->topics.v[i].partitions.n; k++) {
            struct wire_str *text = &g->topics.v[i].partitions.v[k].metadata;
            text->p = text->n > 0 ? arena_strndup(&s->arena, text->p, (size_t)text->n) : "";
            CHECK(text->p);
        }
    }
    for (int32_t i = 0; g && i < g->topics.n; i++)
        for (int32_t k = 0; k < g->topics.v[i].partitions.n; k++) {
            const struct wire_offset_fetch_response_group_partition *p = &g->topics.v[i].partitions.v[k];
            int64_t end = list_offset(s, g->topics.v[i].name, p->partition_index, LATEST);
            cJSON_AddItemToArray(list, offset_json(table, g->topics.v[i].name, p, end));
        }
    return list;
}

static cJSON *describe_members(const struct wire_describe_groups_response_described_group *g, struct print_table *table)
{
    cJSON *list = cJSON_CreateArray();
    print_row(table, "MEMBER", "INSTANCE", "CLIENT", "HOST");
    for (int32_t i = 0; i < g->members.n; i++) {
        const struct wire_describe_groups_response_described_group_member *m = &g->members.v[i];
        char cells[4][PRINT_CELL];
        cJSON *o = cJSON_CreateObject();
        text_of(m->member_id, cells[0], PRINT_CELL);
        text_of(m->group_instance_id.n > 0 ? m->group_instance_id : wire_str("-"), cells[1], PRINT_CELL);
        text_of(m->client_id, cells[2], PRINT_CELL);
        text_of(m->client_host, cells[3], PRINT_CELL);
        print_row(table, cells[0], cells[1], cells[2], cells[3]);
        add_text(o, "member", m->member_id);
        if (m->group_instance_id.n > 0)
            add_text(o, "instance", m->group_instance_id);
        add_text(o, "client", m->client_id);
        add_text(o, "host", m->client_host);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

/* Fills `out`; false: it is printed why not. */
static bool describe_one(struct session *s, const struct options *o, const char *group, cJSON *out)
{
    struct wire_describe_groups_request q = wire_describe_groups_request_default;
    struct wire_describe_groups_response r;
    struct wire_str name = wire_str(group);
    int version = -1;
    q.groups.v = &name;
    q.groups.n = 1;
    if (!session_call(s, WIRE_API_DESCRIBE_GROUPS, &q, &r, &version) || r.groups.n != 1)
        return false;
    const struct wire_describe_groups_response_described_group *g = &r.groups.v[0];
    if (failed(group, g->error_code, g->error_message))
        return false;
    struct print_table members = {.columns = 4}, offsets = {.columns = 6};
    char state[PRINT_CELL], protocol[PRINT_CELL];
    text_of(g->group_state, state, sizeof state);
    text_of(g->protocol_data, protocol, sizeof protocol);
    if (strcmp(state, "Dead") == 0) {
        free(members.cells);
        return !failed(group, KAFKA_GROUP_ID_NOT_FOUND, (struct wire_str){NULL, 0});
    }
    cJSON_AddStringToObject(out, "group", group);
    cJSON_AddStringToObject(out, "state", state);
    add_text(out, "protocol_type", g->protocol_type);
    cJSON_AddStringToObject(out, "protocol", protocol);
    cJSON_AddItemToObject(out, "members", describe_members(g, &members));
    bool ok;
    cJSON_AddItemToObject(out, "offsets", describe_offsets(s, group, &offsets, &ok));
    if (o->json) {
        free(members.cells);
        free(offsets.cells);
        return ok;
    }
    char shown[2][PRINT_CELL];
    printf("group %s: %s, coordinator %s%s%s\n", print_escaped(group, shown[0], PRINT_CELL), state,
           client_peer(s->client), protocol[0] ? ", protocol " : "", print_escaped(protocol, shown[1], PRINT_CELL));
    print_table(&members);
    print_table(&offsets);
    return ok;
}

int group_describe(const struct options *o)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = true;
    for (int i = 0; i < o->n_names; i++) {
        struct session s;
        if (!session_open_group(&s, o, o->names[i])) {
            ok = false;
            continue;
        }
        cJSON *one = cJSON_CreateObject();
        if (describe_one(&s, o, o->names[i], one)) {
            cJSON_AddItemToArray(list, one);
        } else {
            cJSON_Delete(one);
            ok = false;
        }
        session_close(&s);
    }
    if (o->json)
        print_json(list);
    else
        cJSON_Delete(list);
    return ok ? 0 : 1;
}

/* ---- delete ---- */

static bool delete_one(const struct options *o, const char *group)
{
    struct session s;
    struct wire_delete_groups_request q = wire_delete_groups_request_default;
    struct wire_delete_groups_response r;
    struct wire_str name = wire_str(group);
    int version = -1;
    if (!session_open_group(&s, o, group))
        return false;
    q.groups_names.v = &name;
    q.groups_names.n = 1;
    bool ok = session_call(&s, WIRE_API_DELETE_GROUPS, &q, &r, &version) && r.results.n == 1 &&
              !failed(group, r.results.v[0].error_code, r.results.v[0].error_message);
    session_close(&s);
    return ok;
}

int group_delete(const struct options *o)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = true;
    for (int i = 0; i < o->n_names; i++) {
        if (!delete_one(o, o->names[i])) {
            ok = false;
            continue;
        }
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "group", o->names[i]);
        cJSON_AddStringToObject(one, "result", "deleted");
        cJSON_AddItemToArray(list, one);
        if (!o->json)
            printf("deleted group '%s'\n", o->names[i]);
    }
    if (o->json)
        print_json(list);
    else
        cJSON_Delete(list);
    return ok ? 0 : 1;
}

/* ---- reset-offsets ---- */

/* How many partitions the topic has; -1: it is printed why that is not known. */
static int32_t count_partitions(struct session *s, const char *topic)
{
    struct wire_metadata_request q = wire_metadata_request_default;
    struct wire_metadata_request_topic t = wire_metadata_request_topic_default;
    struct wire_metadata_response r;
    char object[PRINT_CELL];
    int version = -1;
    q.allow_auto_topic_creation = false;
    t.name = wire_str(topic);
    q.topics.v = &t;
    q.topics.n = 1;
    if (!session_call(s, WIRE_API_METADATA, &q, &r, &version) || r.topics.n != 1)
        return -1;
    if (r.topics.v[0].error_code == 0)
        return r.topics.v[0].partitions.n;
    snprintf(object, sizeof object, "topic '%s'", topic);
    print_kafka_failure(object, r.topics.v[0].error_code, NULL, 0);
    return -1;
}

/* Where a partition is to stand: "earliest", "latest" or a number that it holds; -1: it is printed why not. */
static int64_t target(struct session *s, const struct options *o, int32_t partition)
{
    bool earliest = strcmp(o->to, "earliest") == 0, latest = strcmp(o->to, "latest") == 0;
    int64_t start = latest ? 0 : list_offset(s, wire_str(o->topic), partition, EARLIEST);
    int64_t end = earliest ? 0 : list_offset(s, wire_str(o->topic), partition, LATEST);
    if (start < 0 || end < 0) {
        print_failure("partition %d of topic '%s' has no leader here that knows its offsets; nothing was changed",
                      partition, o->topic);
        return -1;
    }
    if (earliest || latest)
        return earliest ? start : end;
    int64_t to = strtoll(o->to, NULL, 10);
    if (to >= start && to <= end)
        return to;
    print_failure("partition %d of topic '%s' goes from offset %" PRId64 " to %" PRId64
                  ", %s lies outside; choose another --to; nothing was changed",
                  partition, o->topic, start, end, o->to);
    return -1;
}

/* Commits the partitions that `v` names; false: it is printed why not. */
static bool commit(struct session *s, const struct options *o, struct wire_offset_commit_request_partition *v,
                   int32_t n)
{
    struct wire_offset_commit_request q = wire_offset_commit_request_default;
    struct wire_offset_commit_request_topic t = wire_offset_commit_request_topic_default;
    struct wire_offset_commit_response r;
    int version = OFFSET_COMMIT;
    t.name = wire_str(o->topic);
    t.partitions.v = v;
    t.partitions.n = n;
    q.group_id = wire_str(o->names[0]);
    q.topics.v = &t;
    q.topics.n = 1;
    if (!session_call(s, WIRE_API_OFFSET_COMMIT, &q, &r, &version) || r.topics.n != 1)
        return false;
    for (int32_t i = 0; i < r.topics.v[0].partitions.n; i++) {
        int16_t code = r.topics.v[0].partitions.v[i].error_code;
        if (code == KAFKA_UNKNOWN_MEMBER_ID) /* the protocol's word for it */
            code = KAFKA_NON_EMPTY_GROUP;
        if (failed(o->names[0], code, (struct wire_str){NULL, 0}))
            return false;
    }
    return true;
}

static bool reset(struct session *s, const struct options *o, struct print_table *table, cJSON *list)
{
    int32_t n = count_partitions(s, o->topic);
    struct wire_offset_commit_request_partition *v = n < 0 ? NULL : arena_calloc(&s->arena, (size_t)n + 1, sizeof *v);
    if (!v)
        return false;
    print_row(table, "TOPIC", "PARTITION", "OFFSET");
    for (int32_t i = 0; i < n; i++) {
        char partition[16], offset[24];
        v[i] = wire_offset_commit_request_partition_default;
        v[i].partition_index = i;
        v[i].committed_offset = target(s, o, i);
        v[i].committed_metadata = wire_str("");
        if (v[i].committed_offset < 0)
            return false;
        snprintf(partition, sizeof partition, "%d", i);
        number_text(offset, sizeof offset, v[i].committed_offset);
        print_row(table, o->topic, partition, offset);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "topic", o->topic);
        cJSON_AddNumberToObject(one, "partition", i);
        cJSON_AddNumberToObject(one, "offset", (double)v[i].committed_offset);
        cJSON_AddItemToArray(list, one);
    }
    return o->validate_only || commit(s, o, v, n);
}

int group_reset_offsets(const struct options *o)
{
    char *end = NULL;
    bool word = o->to && (strcmp(o->to, "earliest") == 0 || strcmp(o->to, "latest") == 0);
    if (!o->topic || !o->to || (!word && (strtoll(o->to, &end, 10) < 0 || end == o->to || *end))) {
        print_failure("say which topic and where to: --topic NAME --to earliest|latest|OFFSET");
        return 2;
    }
    struct session s;
    if (!session_open_group(&s, o, o->names[0]))
        return 1;
    struct print_table table = {.columns = 3};
    cJSON *list = cJSON_CreateArray();
    bool ok = reset(&s, o, &table, list);
    if (ok) {
        print_answer(o, &table, list);
    } else {
        free(table.cells);
        cJSON_Delete(list);
    }
    session_close(&s);
    return ok ? 0 : 1;
}
