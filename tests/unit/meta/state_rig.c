/* state_rig.c: the state machine without threads or engine, for the tests of its families. */
#include "state_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct meta_mem mem;
struct meta_state st;
uint64_t number;
const struct chronik_uuid me = {{9}};

void up(void)
{
    meta_mem_init(&mem);
    meta_state_init(&st, &mem);
    meta_state_publish(&st);
    number = 0;
}

void down(void)
{
    meta_state_free(&st);
    meta_mem_drop(&mem, atomic_load(&mem.current), 0);
    meta_mem_free(&mem);
}

struct chronik_uuid id_of(uint64_t n)
{
    struct chronik_uuid u = {{7}};
    put_be64(u.b + 8, n);
    return u;
}

/* ---- entries ---- */

struct meta_entry_result last;

enum meta_verdict apply_as(struct meta_envelope env, const struct meta_command *c, uint32_t n)
{
    struct meta_buf b = {0};
    env.n_commands = n;
    meta_envelope_encode(&env, &b);
    for (uint32_t i = 0; i < n; i++)
        meta_cmd_encode(&c[i], &b);
    enum meta_verdict v = meta_apply_entry(&st, b.p, b.n, &last);
    mb_free(&b);
    meta_state_publish(&st);
    meta_state_changes_clear(&st);
    return v;
}

struct meta_envelope envelope(void)
{
    return (struct meta_envelope){
        .klass = META_CLIENT, .node = 1, .incarnation = me, .number = number, .lowest = number};
}

/* Applies one command; its code. Digest and restore are checked every time. */
int16_t apply(const struct meta_command *c)
{
    ck_assert_int_eq(apply_as(envelope(), c, 1), META_APPLIED);
    number++;
    uint64_t d[2];
    meta_image_digest(&st.img, d);
    ck_assert_uint_eq(d[0], st.img.digest[0]);
    ck_assert_uint_eq(d[1], st.img.digest[1]);
    return last.outs[0].code;
}

int16_t reg(int32_t id, uint64_t boot, uint8_t incarnation, bool unclean)
{
    static const struct meta_endpoint ep = {"PLAINTEXT", "h", 1, 0};
    struct meta_command c = {.type = META_CMD_BROKER_REGISTER, .timestamp_ms = 5};
    c.u.broker_register = (struct meta_broker_register){.id = id,
                                                        .boot = boot,
                                                        .incarnation = {{incarnation}},
                                                        .rack = "r",
                                                        .endpoints = &ep,
                                                        .n_endpoints = 1,
                                                        .unclean = unclean};
    return apply(&c);
}

int16_t create(const char *name, uint64_t id, uint32_t parts, const int32_t *replicas, uint32_t rf)
{
    struct meta_assignment a[64];
    for (uint32_t i = 0; i < parts; i++)
        a[i] = (struct meta_assignment){.replicas = replicas, .n_replicas = rf};
    struct meta_kv e = {"cleanup.policy", "compact", false};
    struct meta_command c = {.type = META_CMD_TOPIC_CREATE, .timestamp_ms = 77};
    c.u.topic_create = (struct meta_topic_create){
        .id = id_of(id), .name = name, .partitions = a, .n_partitions = parts, .configs = &e, .n_configs = 1};
    return apply(&c);
}

const struct meta_topic *topic(const char *name)
{
    return meta_topic_by_name(&st.img, name, strlen(name));
}

int16_t drop_topic(uint64_t id)
{
    struct meta_command c = {.type = META_CMD_TOPIC_DELETE, .timestamp_ms = 78};
    c.u.topic_delete.id = id_of(id);
    return apply(&c);
}

/* ---- rows ---- */

struct copy {
    struct meta_state *to;
    bool ok;
};

static void copy_row(void *arg, const void *k, size_t kn, const void *v, size_t vn)
{
    struct copy *c = arg;
    c->ok &= meta_restore_row(c->to, k, kn, v, vn);
}

void restore_into(struct meta_state *copy)
{
    struct copy c = {.to = copy, .ok = true};
    meta_state_init(copy, &mem);
    meta_image_rows(&st.img, copy_row, &c);
    ck_assert(c.ok && meta_restore_end(copy));
    ck_assert_uint_eq(copy->img.digest[0], st.img.digest[0]);
    ck_assert_uint_eq(copy->img.digest[1], st.img.digest[1]);
    ck_assert_uint_eq(copy->img.n_rows, st.img.n_rows);
    ck_assert_uint_eq(copy->img.n_partitions, st.img.n_partitions);
    ck_assert_uint_eq(copy->img.n_deleted, st.img.n_deleted);
    ck_assert_uint_eq(copy->img.n_groups, st.img.n_groups);
    ck_assert_uint_eq(copy->img.n_offsets, st.img.n_offsets);
    ck_assert_uint_eq(copy->img.users.count, st.img.users.count);
    copy->img.seq = st.img.seq;
}

/* ---- the corpus ---- */

/* corpus/NAME.log: lines "HEX-OF-ENTRY SEQ DIGEST0 DIGEST1": after the entry the state is exactly this, for ever. */
static void corpus_path(char *out, size_t n, const char *name)
{
    snprintf(out, n, "%s/tests/unit/meta/corpus/%s", CHRONIK_SOURCE_DIR, name);
}

void corpus_check(const char *name)
{
    char path[600];
    static char line[1 << 20];
    corpus_path(path, sizeof path, name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s is missing", path);
    int lines = 0;
    while (fgets(line, sizeof line, f)) {
        size_t n = strcspn(line, " ") / 2;
        uint8_t *b = meta_xmalloc(n);
        for (size_t i = 0; i < n; i++)
            sscanf(line + 2 * i, "%2hhx", &b[i]);
        unsigned long long seq, d0, d1;
        ck_assert_int_eq(sscanf(line + 2 * n, "%llu %llx %llx", &seq, &d0, &d1), 3);
        ck_assert_int_ne(meta_apply_entry(&st, b, n, &last), META_STOP);
        meta_state_publish(&st);
        meta_state_changes_clear(&st);
        ck_assert_msg(st.img.seq == seq && st.img.digest[0] == d0 && st.img.digest[1] == d1,
                      "%s line %d: another state than when it was recorded", name, lines + 1);
        free(b);
        lines++;
    }
    fclose(f);
    ck_assert_int_gt(lines, 10);
}

void corpus_record(const struct meta_command *c, uint32_t n)
{
    struct meta_envelope env = envelope();
    env.n_commands = n;
    struct meta_buf b = {0};
    meta_envelope_encode(&env, &b);
    for (uint32_t i = 0; i < n; i++)
        meta_cmd_encode(&c[i], &b);
    CHECK(meta_apply_entry(&st, b.p, b.n, &last) == META_APPLIED);
    number++;
    meta_state_publish(&st);
    meta_state_changes_clear(&st);
    for (size_t i = 0; i < b.n; i++)
        printf("%02x", b.p[i]);
    printf(" %llu %016llx %016llx\n", (unsigned long long)st.img.seq, (unsigned long long)st.img.digest[0],
           (unsigned long long)st.img.digest[1]);
    mb_free(&b);
}
