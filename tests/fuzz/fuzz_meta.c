/* fuzz_meta.c: bytes of the metadata log and of its snapshots. First byte: 0, the rest is one entry as it stands in the
 * log; 1, commands (length byte pairs) that are put into good envelopes, so that apply is reached; 2, rows of a
 * snapshot. Whatever comes, nothing breaks, and the digest kept is the digest of the rows. */
#include "tests/fuzz/fuzz.h"
#include "meta/cmd.h"

static const struct chronik_uuid me = {{3}};

static void check(struct meta_state *st)
{
    uint64_t d[2];
    meta_state_publish(st);
    meta_state_changes_clear(st);
    meta_image_digest(&st->img, d);
    CHECK(d[0] == st->img.digest[0] && d[1] == st->img.digest[1]);
    arena_reset(&st->arena);
}

static void render(const void *p, size_t n)
{
    struct meta_rd r = mr_of(p, n);
    struct meta_envelope env;
    struct arena a;
    arena_init(&a, 0);
    if (meta_envelope_decode(&r, &env))
        for (uint32_t i = 0; i < env.n_commands; i++) {
            struct meta_command c;
            uint64_t type;
            uint8_t version;
            if (meta_cmd_decode(&r, &a, &c, &type, &version) != 1)
                break;
            struct meta_buf b = {0};
            meta_cmd_def(type)->json(&c, &b);
            meta_cmd_def(type)->json_key(&c, &b);
            mb_free(&b);
        }
    arena_free(&a);
}

static void prepare(struct meta_state *st, uint64_t *number)
{
    static const int32_t one = 1;
    static const struct meta_endpoint ep = {"P", "h", 1, 0};
    struct meta_assignment a = {.replicas = &one, .n_replicas = 1};
    struct meta_command c[2] = {{.type = META_CMD_BROKER_REGISTER}, {.type = META_CMD_TOPIC_CREATE}};
    c[0].u.broker_register =
        (struct meta_broker_register){.id = 1, .incarnation = me, .boot = 1, .endpoints = &ep, .n_endpoints = 1};
    c[1].u.topic_create = (struct meta_topic_create){.id = {{1}}, .name = "t", .partitions = &a, .n_partitions = 1};
    struct meta_envelope env = {.node = 1, .incarnation = me, .n_commands = 2};
    struct meta_buf b = {0};
    meta_envelope_encode(&env, &b);
    meta_cmd_encode(&c[0], &b);
    meta_cmd_encode(&c[1], &b);
    struct meta_entry_result res;
    CHECK(meta_apply_entry(st, b.p, b.n, &res) == META_APPLIED);
    mb_free(&b);
    *number = 1;
    check(st);
}

static void one_entry(struct meta_state *st, const uint8_t *p, size_t n)
{
    struct meta_entry_result res;
    render(p, n);
    meta_apply_entry(st, p, n, &res);
    check(st);
}

static void commands(struct meta_state *st, const uint8_t *p, size_t n, uint64_t number)
{
    while (n > 2) {
        size_t len = min_size(get_be16(p), n - 2);
        struct meta_buf b = {0};
        struct meta_envelope env = {.node = 1, .incarnation = me, .number = number, .lowest = number, .n_commands = 1};
        meta_envelope_encode(&env, &b);
        mb_bytes(&b, p + 2, len);
        struct meta_entry_result res;
        render(b.p, b.n);
        if (meta_apply_entry(st, b.p, b.n, &res) == META_APPLIED)
            number++;
        mb_free(&b);
        check(st);
        p += 2 + len;
        n -= 2 + len;
    }
}

static void rows(struct meta_state *st, const uint8_t *p, size_t n)
{
    struct meta_rd r = mr_of(p, n);
    while (r.p < r.end && !r.bad) {
        size_t kn, vn;
        const uint8_t *k = mr_bytes(&r, &kn);
        const uint8_t *v = mr_bytes(&r, &vn);
        if (r.bad || !meta_restore_row(st, k, kn, v, vn))
            break;
    }
    if (meta_restore_end(st))
        check(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 1)
        return 0;
    struct meta_mem mem;
    struct meta_state st;
    uint64_t number = 0;
    meta_mem_init(&mem);
    meta_state_init(&st, &mem);
    if (p[0] % 3 < 2)
        prepare(&st, &number);
    if (p[0] % 3 == 0)
        one_entry(&st, p + 1, n - 1);
    else if (p[0] % 3 == 1)
        commands(&st, p + 1, n - 1, number);
    else
        rows(&st, p + 1, n - 1);
    meta_state_changes_clear(&st);
    meta_state_free(&st);
    const struct meta_image *i = atomic_load(&mem.current);
    if (i)
        meta_mem_drop(&mem, i, 0);
    meta_mem_free(&mem);
    return 0;
}
