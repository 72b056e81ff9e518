/* partrig.c: a partition over store-mem in the virtual world, for the tests beside it; see partrig.h. */
#include "tests/unit/partition/partrig.h"

#include "plugin/host.h"

#include <check.h>
#include <stdlib.h>

const struct chronik_plugin *store_mem_plugin(void); /* sdk/store-mem, linked in */

struct sim_world *w;
struct os *os;
struct part_set *set;
struct config *config;
struct config_topic topic;
struct chronik_uuid id = {{7}};
static struct plugin_host *host;
static const struct chronik_store_ops *ops;
static struct os_exec *low;
static chronik_store *store;

static int32_t get_i64(void *arg, const char *key, int64_t *out)
{
    return config_get_i64(config, key, out);
}

static int32_t get_str(void *arg, const char *key, const char **out)
{
    return config_get_str(config, key, out);
}

static void dir_failed(void *arg, uint32_t dir, const char *text)
{
    ck_abort_msg("directory %u: %s", dir, text);
}

static void fatal(void *arg, int32_t code, const char *text)
{
    ck_abort_msg("fatal %d: %s", code, text);
}

/* The store's append, counted; `refuse_appends` of them are refused as busy. */
static struct chronik_store_ops counted;
int appends, refuse_appends, flushes;
static uint32_t flush_mode = CHRONIK_FLUSH_GROUP;

static int32_t counted_append(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride)
{
    appends++;
    return refuse_appends > 0 && refuse_appends-- ? CHRONIK_E_BUSY : ops->append(s, a, n, stride);
}

static int32_t counted_flush(chronik_store *s, struct chronik_done done)
{
    flushes++;
    return ops->flush(s, done);
}

/* The store wishes for a sidecar until it has closed its side. */
static struct chronik_store_events events;
void *wish_at_close;
int closes;

static int32_t counted_close(chronik_store_part *p, struct chronik_done done)
{
    closes++;
    if (wish_at_close)
        events.want_sidecars(events.arg, wish_at_close, 1);
    return ops->part_close(p, done);
}

void spec_open(int32_t epoch)
{
    struct err e = {0};
    struct part_spec spec = {.topic_id = id, .topic = "t", .leader = 1, .leader_epoch = epoch, .config = &topic};
    ck_assert_msg(part_open(set, &spec, true, &e) > 0, "%s", e.text);
}

void setup(void)
{
    struct err e = {0};
    const struct chronik_plugin *p = store_mem_plugin();
    w = sim_world_new(3);
    sim_stalls(w, 0, 0);
    os = sim_node(w, "n1");
    config = config_new();
    ck_assert_int_gt(config_register_keys(config, p->name, p->config_keys, p->n_config_keys, p->config_key_stride, &e),
                     0);
    ck_assert_int_gt(config_read_flag(config, "--override", "log.dirs", "/data", &e), 0);
    ck_assert_int_eq(config_finish(config, &(struct config_finish_options){0}, NULL, NULL), 0);
    config_topic_fill(config, NULL, 0, &topic);
    struct plugin_dir_config dir = {.path = "/data", .online = true};
    struct plugin_host_config hc = {.os = os,
                                    .module = "store-mem",
                                    .settings = {NULL, get_i64, get_str},
                                    .dirs = &dir,
                                    .n_dirs = 1,
                                    .dir_failed = dir_failed,
                                    .fatal = fatal};
    ck_assert_int_gt(os_mkdir(os, "/data"), 0);
    ck_assert_int_gt(plugin_host_new(&hc, &host), 0);
    ck_assert_int_gt(os_exec_open(os, "low", 0, &low), 0);
    ops = p->ops;
    counted = *ops;
    counted.append = counted_append;
    counted.flush = counted_flush;
    counted.part_close = counted_close;
    wish_at_close = NULL;
    closes = 0;
    appends = refuse_appends = flushes = 0;
    struct part_set_config pc = {.os = os,
                                 .ops = &counted,
                                 .flush = flush_mode,
                                 .node_id = 1,
                                 .producer_expiration_ms = 86400000,
                                 .low = low,
                                 .host = plugin_host_table(host)};
    set = part_set_new(&pc);
    part_set_events(set, &events);
    struct chronik_store_config sc = {.size = sizeof sc, .node_id = 1};
    char text[256];
    ck_assert_int_gt(ops->create(plugin_host_table(host), &sc, &events, &store), 0);
    ck_assert_int_gt(ops->start(store, text, sizeof text), 0);
    part_set_store(set, store);
    spec_open(0);
}

static void closed(void *arg, int32_t result)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

void setup_without_log(void)
{
    flush_mode = CHRONIK_FLUSH_OS;
    setup();
}

void teardown(void)
{
    bool done = false;
    flush_mode = CHRONIK_FLUSH_GROUP;
    part_close_all(set);
    os_exec_close(low);
    if (ops->close(store, (struct chronik_done){closed, &done}) == CHRONIK_PENDING)
        sim_run(w, INT64_MAX, 100000, is_true, &done);
    part_set_free(set);
    plugin_host_free(host);
    config_free(config);
    sim_world_free(w);
}

/* ---- sending and reading ---- */

void reached(struct part_wait *wait, int16_t error)
{
    struct sent *s = wait->arg;
    s->fired++;
    s->error = error;
}

struct batch_build build;

void make_batch(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq)
{
    struct batch_head h = batch_build_plain(0, CODEC_NONE);
    const uint8_t *bytes;
    h.producer_id = producer;
    h.producer_epoch = producer < 0 ? -1 : epoch;
    h.base_sequence = producer < 0 ? -1 : seq;
    batch_begin(&build, &h);
    for (int i = 0; i < n; i++)
        batch_add(&build, ts + i, "k", 1, "value", 5, NULL, 0);
    *s = (struct sent){.wait = {.fn = reached, .arg = s}};
    ck_assert_int_gt(batch_finish(&build, &bytes, &s->a.n), 0);
    s->a.batches = (uint8_t *)bytes;
    s->a.acks = -1;
    s->a.api_version = 9;
    s->a.wait = &s->wait;
}

int16_t send_batch(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq)
{
    struct part *p = part_find(set, &id, 0);
    make_batch(s, n, ts, producer, epoch, seq);
    part_append_batches(p, &s->a);
    part_unref(p);
    return s->a.error;
}

void send_together(struct sent *s, uint8_t bytes[][256], int n, const int32_t *seq)
{
    struct part *p = part_find(set, &id, 0);
    for (int i = 0; i < n; i++) {
        make_batch(&s[i], 1, 1000, 77, 0, seq[i]);
        ck_assert_uint_le(s[i].a.n, 256);
        s[i].a.batches = memcpy(bytes[i], s[i].a.batches, s[i].a.n);
        if (i > 0)
            s[i - 1].a.next = &s[i].a;
    }
    part_append_batches(p, &s[0].a);
    part_unref(p);
}

void settle(void)
{
    sim_run_for(w, SIM_S);
}

int16_t send_and_settle(struct sent *s, int n, int64_t ts, int64_t producer, int16_t epoch, int32_t seq)
{
    int16_t rc = send_batch(s, n, ts, producer, epoch, seq);
    settle();
    return rc;
}

struct part_read read_from(int64_t offset)
{
    struct part *p = part_find(set, &id, 0);
    struct part_read r = {
        .offset = offset, .leader_epoch = -1, .last_fetched_epoch = -1, .max_bytes = 1 << 20, .min_one = true};
    int16_t rc = part_read(p, &r);
    ck_assert_int_eq(rc, KAFKA_NONE);
    part_release(p, r.pin);
    part_unref(p);
    return r;
}

int64_t list(int64_t ts, int64_t *found_ts)
{
    struct part *p = part_find(set, &id, 0);
    int64_t offset;
    int32_t epoch;
    ck_assert_int_eq(part_list_offset(p, ts, false, &offset, found_ts, &epoch), KAFKA_NONE);
    part_unref(p);
    return offset;
}
