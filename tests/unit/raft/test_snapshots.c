/* test_snapshots.c: a snapshot that is cut: as a file beside the log and as it comes in from a leader, a small one at
 * every byte, a large one at every boundary of a chunk. What is not whole is never read as if it were, never takes the
 * place of what is there, and leaves nothing behind that stands in the way of the next one. On a single voter in the
 * virtual world; the way over real streams is played in tests/sim/quorum (scenes). */
#include "plugin/host.h"
#include "plugins/meta-raft/core/mutants.h"
#include "plugins/meta-raft/net.h"
#include "tests/sim/sim.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

const struct chronik_plugin *meta_raft_plugin(void);
const char *chronik_mutant = "";
enum rc_mutant rc_mutant;

#define SNAPSHOT "/" RAFT_FOLDER "/" RAFT_SNAPSHOT
enum { REPLICA = 77, SNAPFILE_HEAD = 512, SNAPFILE_CHUNK = (256 << 10) + 8 }; /* as snapfile.c says */

static struct sim_world *w;
static struct os *os;
static struct plugin_host *host;
static chronik_meta *m;
static uint32_t role;
static uint64_t last_index;
static int32_t snapshot_rc;

static const struct chronik_meta_ops *ops(void)
{
    return meta_raft_plugin()->ops;
}

/* ---- the node ---- */

static int32_t get_i64(void *arg, const char *key, int64_t *out)
{
    *out = 1 << 26; /* no snapshot but those of the test */
    return strncmp(key, "chronik.", 8) == 0 ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static int32_t get_str(void *arg, const char *key, const char **out)
{
    return CHRONIK_E_NOTFOUND;
}

static void on_dir_failed(void *arg, uint32_t dir, const char *text)
{
}

static void on_fatal(void *arg, int32_t code, const char *text)
{
    ck_abort_msg("%s", text);
}

static void on_apply(void *arg, uint64_t epoch, const struct chronik_meta_entry *e, uint32_t n, uint32_t stride)
{
    last_index = e[n - 1].pos.index;
    ops()->applied(m, e[n - 1].pos);
}

static int32_t on_install(void *arg, const struct chronik_meta_snapshot *s)
{
    return CHRONIK_DONE;
}

static int32_t on_chunk(void *arg, const void *p, uint64_t n)
{
    return CHRONIK_DONE;
}

static int32_t on_install_end(void *arg, uint32_t ok)
{
    return CHRONIK_DONE;
}

static void on_role(void *arg, uint32_t r, uint64_t epoch, int32_t leader)
{
    role = r;
}

static void on_caught_up(void *arg)
{
}

static void on_want_snapshot(void *arg, uint64_t bytes)
{
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    ck_abort_msg("%s", text);
}

static void nothing(void *arg, int32_t rc)
{
}

static void start_node(void *arg)
{
    static struct plugin_dir_config dir = {.path = "/", .id = {{1}}, .online = true};
    struct plugin_host_config cfg = {.os = os,
                                     .module = "meta-raft",
                                     .settings = {NULL, get_i64, get_str},
                                     .dirs = &dir,
                                     .n_dirs = 1,
                                     .dir_failed = on_dir_failed,
                                     .fatal = on_fatal};
    struct os_exec *apply;
    ck_assert_int_gt(plugin_host_new(&cfg, &host), 0);
    ck_assert_int_gt(os_exec_open(os, "apply", 0, &apply), 0);
    struct chronik_meta_config mc = {.size = sizeof mc, .node_id = 1, .apply_exec = plugin_host_exec(host, apply)};
    struct chronik_meta_events ev = {.size = sizeof ev,
                                     .apply = on_apply,
                                     .install_begin = on_install,
                                     .install_chunk = on_chunk,
                                     .install_end = on_install_end,
                                     .role = on_role,
                                     .caught_up = on_caught_up,
                                     .want_snapshot = on_want_snapshot,
                                     .failed = on_failed};
    ck_assert_int_gt(ops()->create(plugin_host_table(host), &mc, &ev, &m), 0);
    ck_assert_int_eq(ops()->start(m, (struct chronik_meta_pos){0, 0}, 0, (struct chronik_done){nothing, NULL}), 0);
}

static bool leads(void *arg)
{
    return role == CHRONIK_META_ROLE_LEADER;
}

static bool applied(void *arg)
{
    return last_index > 0;
}

static void propose(void *arg)
{
    struct chronik_iov iov = {(char *)(uintptr_t) "command", 7};
    ck_assert_int_eq(ops()->propose(m, CHRONIK_META_CLIENT, &iov, 1, (struct chronik_done){nothing, NULL}), 0);
}

static void begin(uint64_t seed)
{
    w = sim_world_new(seed);
    os = sim_node(w, "n1");
    role = 0;
    last_index = 0;
    ck_assert(sim_call(os, start_node, NULL));
    ck_assert_int_eq(sim_run(w, 10 * SIM_S, 0, leads, NULL), SIM_TRUE);
    ck_assert(sim_call(os, propose, NULL));
    ck_assert_int_eq(sim_run(w, 20 * SIM_S, 0, applied, NULL), SIM_TRUE);
    sim_run_for(w, SIM_S);
}

/* ---- the snapshot's file ---- */

static uint8_t *content; /* of the whole file */
static size_t content_n;

/* The host's state has so many bytes. */
static void make(void *arg)
{
    size_t n = *(size_t *)arg;
    uint8_t *state = malloc(n);
    struct chronik_meta_snapshot s = {.size = sizeof s, .pos = {m->hard.term, last_index}, .seq = 1, .bytes = n};
    void *writer;
    for (size_t i = 0; i < n; i++)
        state[i] = (uint8_t)(i * 7919 >> 3);
    s.crc32c = m->host.crc32c(0, state, n);
    ck_assert_int_gt(ops()->snapshot_begin(m, &s, &writer), 0);
    ck_assert_int_gt(ops()->snapshot_chunk(writer, state, n), 0);
    snapshot_rc = ops()->snapshot_end(writer, 1);
    ck_assert_int_gt(snapshot_rc, 0);
    free(state);
    struct os_file *f;
    uint64_t size, got;
    ck_assert_int_gt(os_open(os, SNAPSHOT, OS_READ, &f), 0);
    ck_assert_int_gt(os_size(f, &size), 0);
    content_n = size;
    content = malloc(size);
    ck_assert_int_gt(os_pread(f, content, size, 0, 0, &got), 0);
    ck_assert_uint_eq(got, size);
    os_close(f);
}

/* This node has none: what is received is not older than its own. */
static void forget(void *arg)
{
    m->snapshot = (struct chronik_meta_snapshot){.size = sizeof m->snapshot};
    os_unlink(os, SNAPSHOT);
}

static void put_file(const uint8_t *p, size_t n)
{
    struct os_file *f;
    struct chronik_iov iov = {(void *)(uintptr_t)p, n};
    ck_assert_int_gt(os_open(os, SNAPSHOT, OS_WRITE | OS_CREATE, &f), 0);
    ck_assert_int_gt(os_truncate(f, 0), 0);
    if (n)
        ck_assert_int_gt(os_pwritev(f, &iov, 1, 0), 0);
    os_close(f);
}

static void load_cut(void *arg)
{
    uint64_t index;
    size_t cut = *(size_t *)arg;
    struct chronik_meta_snapshot s;
    struct group g;
    struct errtext e = {0};
    put_file(content, cut);
    int32_t rc = snapshot_load(m, RAFT_SNAPSHOT, true, &s, &g, &e);
    ck_assert_msg(rc < 0 && strstr(e.text, RAFT_FOLDER) != NULL, "cut at %zu of %zu: %d: %s", cut, content_n, rc,
                  e.text);
    struct errtext why = {0};
    rc = snapshot_install(m, &index, &why);
    ck_assert_msg(rc < 0 && why.text[0], "cut at %zu of %zu and installed: %d", cut, content_n, rc);
}

static void load_whole(void *arg)
{
    struct chronik_meta_snapshot s;
    struct group g;
    struct errtext e = {0};
    put_file(content, content_n);
    int32_t rc = snapshot_load(m, RAFT_SNAPSHOT, true, &s, &g, &e);
    ck_assert_msg(rc > 0, "the whole file: %d: %s", rc, e.text);
    ck_assert_uint_eq(s.pos.index, last_index);
    content[content_n / 2] ^= 1;
    put_file(content, content_n);
    ck_assert_int_lt(snapshot_load(m, RAFT_SNAPSHOT, true, &s, &g, &e), 0);
    content[content_n / 2] ^= 1;
}

/* ---- as it comes in ---- */

static struct inbound in;
static struct conn from;

static void offer(uint64_t size)
{
    uint8_t b[16];
    in = (struct inbound){.conn = &from, .from = {.replica = REPLICA}};
    put_le64(b, m->hard.term);
    put_le64(b + 8, size);
    ck_assert(stream_begin(m, &in, b, sizeof b));
    ck_assert_ptr_nonnull(m->net->receiving);
}

static bool chunk(uint64_t at, uint64_t n)
{
    uint8_t *b = malloc(n + 8);
    put_le64(b, at);
    memcpy(b + 8, content + at, n);
    bool good = stream_chunk(m, &in, b, (uint32_t)n + 8);
    free(b);
    return good;
}

/* Chunks as a leader sends them, up to byte `n`. */
static void chunks(uint64_t n)
{
    uint64_t at = 0;
    do {
        uint64_t k = min_u64(n - at, WIRE_CHUNK_BYTES);
        ck_assert(chunk(at, k));
        at += k;
    } while (at < n);
}

static void nothing_in_place(size_t cut, const char *what)
{
    struct os_stat st;
    ck_assert_msg(m->snapshot.pos.index == 0, "%s at %zu of %zu: it counts as a snapshot", what, cut, content_n);
    ck_assert_msg(os_lookup(os, SNAPSHOT, &st) == CHRONIK_E_NOTFOUND, "%s at %zu of %zu: it took its place", what, cut,
                  content_n);
}

static void break_off(void *arg)
{
    size_t cut = *(size_t *)arg;
    offer(content_n);
    chunks(cut);
    stream_lost(m, &from);
    ck_assert_ptr_null(m->net->receiving);
    nothing_in_place(cut, "broken off");
}

static void claim_whole(void *arg)
{
    size_t cut = *(size_t *)arg;
    offer(cut);
    chunks(cut);
}

static void claimed(void *arg)
{
    ck_assert_ptr_null(m->net->receiving);
    nothing_in_place(*(size_t *)arg, "cut");
}

static bool idle(void *arg)
{
    return !m->net->receiving;
}

static void out_of_place(void *arg)
{
    offer(content_n);
    ck_assert(chunk(0, 10));
    ck_assert(!chunk(11, 5)); /* a gap: the connection is closed */
    stream_lost(m, &from);
    offer(20);
    ck_assert(!chunk(0, 21)); /* more than was announced */
    stream_lost(m, &from);
    nothing_in_place(0, "out of place");
}

static void whole(void *arg)
{
    offer(content_n);
    chunks(content_n);
}

static bool in_place(void *arg)
{
    return m->snapshot.pos.index == last_index;
}

/* Cuts at each of the places, then the whole one. */
static void cut_at(const size_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = places[i];
        ck_assert(sim_call(os, break_off, &at));
        ck_assert(sim_call(os, claim_whole, &at));
        ck_assert_int_eq(sim_run(w, sim_now(w) + 10 * SIM_S, 0, idle, NULL), SIM_TRUE);
        ck_assert(sim_call(os, claimed, &at));
    }
    ck_assert(sim_call(os, out_of_place, NULL));
    ck_assert(sim_call(os, whole, NULL));
    ck_assert_int_eq(sim_run(w, sim_now(w) + 10 * SIM_S, 0, in_place, NULL), SIM_TRUE);
    ck_assert(sim_call(os, load_whole, NULL));
    for (size_t i = 0; i < n; i++) {
        size_t at = places[i];
        ck_assert(sim_call(os, load_cut, &at));
    }
}

static void prepare(uint64_t seed, size_t state)
{
    begin(seed);
    ck_assert(sim_call(os, make, &state));
    ck_assert(sim_call(os, forget, NULL));
}

static void small(uint64_t seed)
{
    prepare(seed, 4096);
    size_t *places = calloc(content_n, sizeof *places);
    for (size_t i = 0; i < content_n; i++)
        places[i] = i;
    cut_at(places, content_n);
    free(places);
}

static void large(uint64_t seed)
{
    prepare(seed, 3 << 20);
    size_t places[1024], n = 0;
    for (size_t at = WIRE_CHUNK_BYTES; at < content_n; at += WIRE_CHUNK_BYTES)
        for (size_t d = 0; d < 3 && at + d - 1 < content_n; d++)
            places[n++] = at + d - 1;
    for (size_t at = SNAPFILE_HEAD; at < content_n; at += SNAPFILE_CHUNK)
        places[n++] = at;
    places[n++] = content_n - 1;
    cut_at(places, n);
}

START_TEST(d4_a_snapshot_of_4_kib_cut_at_any_byte_is_not_taken_for_one)
{
    ck_assert_uint_eq(sim_seeds("small", 1, 1, small), 0);
}
END_TEST

START_TEST(d4_a_large_snapshot_cut_at_a_boundary_of_a_chunk_is_not_taken_for_one)
{
    ck_assert_uint_eq(sim_seeds("large", 1, 1, large), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("snapshots of meta-raft");
    TCase *t = tcase_create("cuts");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, d4_a_snapshot_of_4_kib_cut_at_any_byte_is_not_taken_for_one);
    tcase_add_test(t, d4_a_large_snapshot_cut_at_a_boundary_of_a_chunk_is_not_taken_for_one);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
