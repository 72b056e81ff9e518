/* rig.c: see rig.h. */
#include "tests/unit/api/rig.h"

#include <stdlib.h>

/* Also for programs without check. */
#define MUST(cond, text)                                                                                               \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "%s: %s\n", #cond, text);                                                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- the broker ---- */

static void load(struct plugin_module *m, rig_module entry)
{
    const struct chronik_plugin *p = entry();
    m->desc = *p;
    if (p->kind == CHRONIK_KIND_META)
        memcpy(&m->meta, p->ops, min_size(p->ops_size, sizeof m->meta));
    else
        memcpy(&m->store, p->ops, min_size(p->ops_size, sizeof m->store));
}

static void report(void *arg, enum config_report_level level, const char *sentence)
{
    CHECK(level != CONFIG_REPORT_ERROR);
}

static void make_config(struct rig *r)
{
    static const char *const flags[][2] = {{"log.dirs", "/data"},
                                           {"listeners", "PLAINTEXT://b:0"},
                                           {"advertised.listeners", "PLAINTEXT://b:9092"},
                                           {"chronik.admin.listener", ""},
                                           {"chronik.loops", "2"}};
    struct err e = {0};
    const struct plugin_module *m[] = {&r->meta, &r->store};
    r->config = config_new();
    for (int i = 0; i < 2; i++)
        CHECK(config_register_keys(r->config, m[i]->desc.name, m[i]->desc.config_keys, m[i]->desc.n_config_keys,
                                   m[i]->desc.config_key_stride, &e) > 0);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        CHECK(config_read_flag(r->config, "--override", flags[i][0], flags[i][1], &e) > 0);
    for (uint32_t i = 0; i < r->n_settings; i++)
        CHECK(config_read_flag(r->config, "--override", r->settings[i][0], r->settings[i][1], &e) > 0);
    struct config_finish_options o = {.hostname = "b"};
    CHECK(config_finish(r->config, &o, report, NULL) == 0);
}

void rig_world(struct rig *r, uint64_t seed, rig_module meta, rig_module store)
{
    memset(r, 0, sizeof *r);
    r->w = sim_world_new(seed);
    r->server = sim_node(r->w, "b");
    r->machine = sim_node(r->w, "c");
    load(&r->meta, meta);
    load(&r->store, store);
    if (r->meta.desc.capabilities & CHRONIK_CAP_DURABLE)
        r->kv = meta_kv_mem_new();
    make_config(r);
}

void rig_set(struct rig *r, const char *key, const char *value)
{
    CHECK(r->n_settings < ARRAY_LEN(r->settings));
    r->settings[r->n_settings][0] = key;
    r->settings[r->n_settings++][1] = value;
    config_free(r->config);
    make_config(r);
}

void rig_free(struct rig *r)
{
    if (r->kv)
        r->kv->close(r->kv);
    config_free(r->config);
    sim_world_free(r->w);
}

static void on_ready(void *arg)
{
    ((struct rig *)arg)->ready = true;
}

static void on_fatal(void *arg, int32_t code, const char *text)
{
    os_exit(((struct rig *)arg)->server, code);
}

static void start(void *arg)
{
    struct rig *r = arg;
    struct err e = {0};
    struct broker_options o = {.os = r->server,
                               .config = r->config,
                               .meta = &r->meta,
                               .store = &r->store,
                               .kv = r->kv,
                               .arg = r,
                               .ready = on_ready,
                               .fatal = on_fatal};
    MUST(broker_start(&o, &r->broker, &e) > 0, e.text);
    struct broker_facts f;
    broker_facts(r->broker, &f);
    r->port = f.ports[0];
}

bool rig_start(struct rig *r)
{
    r->ready = false;
    r->broker = NULL;
    return sim_call(r->server, start, r);
}

static bool is_ready(void *arg)
{
    struct rig *r = arg;
    return r->ready || !sim_up(r->server);
}

bool rig_ready(struct rig *r)
{
    return sim_run(r->w, sim_now(r->w) + 30 * SIM_S, 0, is_ready, r) == SIM_TRUE && r->ready;
}

struct stopping {
    struct rig *r;
    int64_t grace_ns;
};

static void stop(void *arg)
{
    struct stopping *s = arg;
    broker_stop(s->r->broker, s->grace_ns);
    broker_free(s->r->broker);
    s->r->broker = NULL;
}

bool rig_stop(struct rig *r, int64_t grace_ns)
{
    struct stopping s = {r, grace_ns};
    return sim_call(r->server, stop, &s);
}

/* ---- the client: its loop only moves bytes ---- */

static void end(struct cli *c)
{
    os_sock_abort(c->sock);
    c->sock = NULL;
    c->over = true;
}

static void event(void *arg, unsigned what);

static void watch(struct cli *c)
{
    bool more = !c->connected || c->out_at < c->out.n;
    os_watch(c->sock, c->loop, (c->paused ? 0u : OS_CAN_READ) | (more ? OS_CAN_WRITE : 0u), event, c);
}

static bool take_bytes(struct cli *c)
{
    if (c->in_cap - c->in_n < 65536) {
        c->in_cap = c->in_cap * 2 + 131072;
        c->in = realloc(c->in, c->in_cap);
    }
    int64_t n = os_recv(c->sock, c->in + c->in_n, c->in_cap - c->in_n);
    if (n > 0)
        c->in_n += (size_t)n;
    return n > 0 || n == CHRONIK_E_AGAIN;
}

static bool give_bytes(struct cli *c)
{
    if (c->out_at == c->out.n)
        return true;
    struct chronik_iov v = {c->out.p + c->out_at, c->out.n - c->out_at};
    int64_t n = os_send(c->sock, &v, 1, false);
    if (n > 0)
        c->out_at += (size_t)n;
    return n > 0 || n == CHRONIK_E_AGAIN;
}

static void event(void *arg, unsigned what)
{
    struct cli *c = arg;
    if (!c->connected && os_connect_result(c->sock) < 0) {
        end(c);
        return;
    }
    c->connected = true;
    if (((what & OS_CAN_READ) && !take_bytes(c)) || !give_bytes(c))
        end(c);
    else
        watch(c);
}

static void pump(void *arg)
{
    struct cli *c = arg;
    if (c->sock)
        watch(c);
}

static void connect_it(void *arg)
{
    struct cli *c = arg;
    char address[32];
    struct err e = {0};
    snprintf(address, sizeof address, "b:%u", c->rig->port);
    if (os_connect(c->rig->machine, address, &c->sock, &e) < 0)
        c->over = true;
    else
        watch(c);
}

static void drop_it(void *arg)
{
    struct cli *c = arg;
    if (c->sock)
        end(c);
}

static void open_it(void *arg)
{
    struct cli *c = arg;
    CHECK(os_exec_open(c->rig->machine, "client", OS_EXEC_LOOP, &c->loop) > 0);
    os_exec_post(c->loop, &c->connect);
}

static bool is_connected(void *arg)
{
    struct cli *c = arg;
    return c->connected || c->over;
}

void cli_open(struct cli *c, struct rig *r)
{
    *c = (struct cli){.rig = r, .next = 1};
    c->connect = (struct chronik_task){.fn = connect_it, .arg = c};
    c->pump = (struct chronik_task){.fn = pump, .arg = c};
    c->drop = (struct chronik_task){.fn = drop_it, .arg = c};
    arena_init(&c->arena, 0);
    wire_out_init(&c->out, 0);
    CHECK(sim_call(r->machine, open_it, c));
    sim_run(r->w, sim_now(r->w) + 30 * SIM_S, 0, is_connected, c);
}

static void close_it(void *arg)
{
    struct cli *c = arg;
    os_exec_post(c->loop, &c->drop);
    os_exec_close(c->loop);
}

void cli_close(struct cli *c)
{
    CHECK(sim_call(c->rig->machine, close_it, c));
    arena_free(&c->arena);
    wire_out_free(&c->out);
    free(c->in);
    free(c->frame);
    *c = (struct cli){0};
}

static void wake(void *arg)
{
    struct cli *c = arg;
    os_exec_post(c->loop, &c->pump);
}

void cli_wake(struct cli *c)
{
    CHECK(sim_call(c->rig->machine, wake, c));
}

int32_t cli_send(struct cli *c, int16_t key, int16_t version, const void *body)
{
    struct err e = {0};
    if (c->out_at == c->out.n) {
        wire_out_reset(&c->out);
        c->out_at = 0;
    }
    MUST(wire_encode_request(wire_api(key), version, c->next, wire_str("test"), body, &c->out, &e) > 0, e.text);
    CHECK(sim_call(c->rig->machine, wake, c));
    return c->next++;
}

static bool has_answer(void *arg)
{
    const struct cli *c = arg;
    return c->over || (c->in_n >= 4 && c->in_n >= 4 + (size_t)get_be32(c->in));
}

int32_t cli_recv(struct cli *c, int16_t key, int16_t version, void *out, int64_t most_ns)
{
    struct err e = {0};
    sim_run(c->rig->w, sim_now(c->rig->w) + most_ns, 0, has_answer, c);
    if (c->in_n < 4 || c->in_n < 4 + (size_t)get_be32(c->in))
        return -1;
    uint32_t n = get_be32(c->in);
    free(c->frame);
    c->frame = malloc(n + 1);
    memcpy(c->frame, c->in + 4, n);
    c->in_n -= 4 + (size_t)n;
    memmove(c->in, c->in + 4 + n, c->in_n);
    int32_t correlation;
    size_t at;
    arena_reset(&c->arena);
    MUST(wire_get_response_header(wire_api(key), version, c->frame, n, &correlation, &at, &e) > 0, e.text);
    MUST(wire_decode(wire_api(key)->response, version, c->frame + at, n - at, &c->arena, out, &e) > 0, e.text);
    return correlation;
}

void cli_call(struct cli *c, int16_t key, int16_t version, const void *body, void *out)
{
    int32_t sent = cli_send(c, key, version, body);
    MUST(cli_recv(c, key, version, out, 60 * SIM_S) == sent, "no answer");
}

bool cli_is_over(struct cli *c, int64_t most_ns)
{
    sim_run(c->rig->w, sim_now(c->rig->w) + most_ns, 0, has_answer, c);
    return c->over;
}

/* ---- requests ---- */

int16_t cli_create(struct cli *c, const char *topic, int32_t partitions)
{
    struct wire_create_topics_request_creatable_topic t = wire_create_topics_request_creatable_topic_default;
    t.name = wire_str(topic);
    t.num_partitions = partitions;
    t.replication_factor = 1;
    struct wire_create_topics_request q = wire_create_topics_request_default;
    struct wire_create_topics_response a;
    q.topics.v = &t;
    q.topics.n = 1;
    q.timeout_ms = 20000;
    int32_t sent = cli_send(c, WIRE_API_CREATE_TOPICS, 7, &q);
    if (cli_recv(c, WIRE_API_CREATE_TOPICS, 7, &a, 60 * SIM_S) != sent)
        return KAFKA_NETWORK_EXCEPTION;
    return a.topics.v[0].error_code;
}

int32_t cli_produce_send(struct cli *c, const char *topic, int32_t partition, uint32_t v, uint32_t n, int32_t timeout)
{
    struct batch_build b = {0};
    struct batch_head h = batch_build_plain(0, CODEC_NONE);
    const uint8_t *p;
    size_t size;
    batch_begin(&b, &h);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t value[4];
        put_be32(value, v + i);
        batch_add(&b, os_wall_ms(c->rig->machine), NULL, 0, value, sizeof value, NULL, 0);
    }
    CHECK(batch_finish(&b, &p, &size) > 0);
    struct wire_produce_request_partition_data d = wire_produce_request_partition_data_default;
    d.index = partition;
    d.records = (struct wire_records){.p = (uint8_t *)(uintptr_t)p, .n = (int32_t)size};
    struct wire_produce_request_topic_data t = wire_produce_request_topic_data_default;
    t.name = wire_str(topic);
    t.partition_data.v = &d;
    t.partition_data.n = 1;
    struct wire_produce_request q = wire_produce_request_default;
    q.transactional_id = wire_str(NULL);
    q.acks = -1;
    q.timeout_ms = timeout;
    q.topic_data.v = &t;
    q.topic_data.n = 1;
    int32_t sent = cli_send(c, WIRE_API_PRODUCE, 9, &q);
    batch_build_free(&b);
    return sent;
}

int64_t cli_produce(struct cli *c, const char *topic, int32_t partition, uint32_t v, uint32_t n)
{
    struct wire_produce_response a;
    int32_t sent = cli_produce_send(c, topic, partition, v, n, 20000);
    if (cli_recv(c, WIRE_API_PRODUCE, 9, &a, 60 * SIM_S) != sent)
        return -KAFKA_NETWORK_EXCEPTION;
    const struct wire_produce_response_partition *p = &a.responses.v[0].partition_responses.v[0];
    return p->error_code ? -p->error_code : p->base_offset;
}

int32_t cli_fetch_send(struct cli *c, const char *topic, int32_t partition, int64_t offset, int32_t epoch,
                       int32_t wait_ms)
{
    struct wire_fetch_request_partition p = wire_fetch_request_partition_default;
    p.partition = partition;
    p.fetch_offset = offset;
    p.current_leader_epoch = epoch;
    p.partition_max_bytes = 1 << 20;
    struct wire_fetch_request_topic t = wire_fetch_request_topic_default;
    t.topic = wire_str(topic);
    t.partitions.v = &p;
    t.partitions.n = 1;
    struct wire_fetch_request q = wire_fetch_request_default;
    q.max_wait_ms = wait_ms;
    q.min_bytes = 1;
    q.max_bytes = 10 << 20;
    q.session_epoch = -1;
    q.topics.v = &t;
    q.topics.n = 1;
    return cli_send(c, WIRE_API_FETCH, 12, &q);
}
