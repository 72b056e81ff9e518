/* test_wire.c: frames between replicas: what is written is read back; whatever is cut, changed or nonsense is refused.
 */
#include "base/base.h"
#include "base/crc32c.h"
#include "plugins/meta-raft/wire.h"

#include <check.h>
#include <stdlib.h>

static void *resize(void *ctx, void *p, size_t n)
{
    if (n)
        return realloc(p, n);
    free(p);
    return NULL;
}

static const struct rc_alloc mem = {.resize = resize};

static uint32_t crc(uint32_t c, const void *p, uint64_t n)
{
    return crc32c(c, p, n);
}

static struct wbuf message(void)
{
    struct wbuf w = {0};
    struct rc_buf *b = rc_buf_new(&mem, 5);
    memcpy(b->bytes, "\0four", 5);
    struct rc_entry e[3] = {
        {.term = 2, .index = 8, .data = b}, {.term = 2, .index = 9}, {.term = 3, .index = 10, .type = RC_ENTRY_CONF}};
    struct rc_msg m = {.type = RC_MSG_APPEND,
                       .to = 1,
                       .from = 2,
                       .term = 3,
                       .log_term = 2,
                       .index = 7,
                       .commit = 6,
                       .reject = true,
                       .n_entries = 3,
                       .entries = e};
    wire_msg(&w, &m, crc);
    rc_buf_unref(b);
    return w;
}

START_TEST(a_message_comes_out_as_it_went_in)
{
    struct wbuf w = message();
    enum wire_type type;
    const uint8_t *body;
    uint32_t n;
    size_t need;
    ck_assert_int_eq(wire_frame(w.p, w.n, WIRE_LARGE, crc, &type, &body, &n, &need), 1);
    ck_assert_int_eq(type, WIRE_MSG);
    ck_assert_uint_eq(need, w.n);
    struct rc_msg m;
    ck_assert(wire_msg_decode(body, n, &mem, &m));
    ck_assert_uint_eq(m.n_entries, 3);
    ck_assert_uint_eq(m.entries[0].index, 8);
    ck_assert_uint_eq(m.entries[0].data->len, 5);
    ck_assert_ptr_null(m.entries[1].data);
    ck_assert_int_eq(m.entries[2].type, RC_ENTRY_CONF);
    ck_assert(m.reject && !m.transfer);
    wire_msg_clear(&mem, &m);
    free(w.p);
}
END_TEST

START_TEST(a_frame_that_is_cut_waits_and_one_that_is_changed_is_refused)
{
    struct wbuf w = message();
    enum wire_type type;
    const uint8_t *body;
    uint32_t n;
    size_t need;
    for (size_t k = 0; k < w.n; k++)
        ck_assert_int_eq(wire_frame(w.p, k, WIRE_LARGE, crc, &type, &body, &n, &need), 0);
    for (size_t k = 4; k < w.n; k++) {
        w.p[k] ^= 0x10;
        ck_assert_int_eq(wire_frame(w.p, w.n, WIRE_LARGE, crc, &type, &body, &n, &need), -1);
        w.p[k] ^= 0x10;
    }
    ck_assert_int_eq(wire_frame(w.p, w.n, 10, crc, &type, &body, &n, &need), -1);
    free(w.p);
}
END_TEST

START_TEST(a_body_that_is_cut_anywhere_is_refused)
{
    struct wbuf w = message(), h = {0};
    struct rc_msg m;
    struct hello x = {.replica = 7, .node = 3, .boot = 2, .address = "host:9093"}, y;
    wire_hello(&h, WIRE_HELLO, &x, crc);
    for (uint32_t k = 0; k < w.n - WIRE_HEAD; k++) {
        ck_assert(!wire_msg_decode(w.p + WIRE_HEAD, k, &mem, &m));
        wire_msg_clear(&mem, &m);
    }
    ck_assert(wire_hello_decode(h.p + WIRE_HEAD, (uint32_t)h.n - WIRE_HEAD, &y));
    ck_assert_str_eq(y.address, "host:9093");
    for (uint32_t k = 0; k < h.n - WIRE_HEAD; k++)
        ck_assert(!wire_hello_decode(h.p + WIRE_HEAD, k, &y));
    free(w.p);
    free(h.p);
}
END_TEST

START_TEST(what_a_browser_or_a_kafka_client_says_is_no_frame)
{
    static const char *const said[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\0\0\x1f\0\x12\0\x04\0\0\0\x01\0\x04"
                                                                            "test\0\x07"
                                                                            "chronik\x02"
                                                                            "1\0"};
    static const size_t n[] = {27, 31};
    for (int i = 0; i < 2; i++) {
        enum wire_type type;
        const uint8_t *body;
        uint32_t len;
        size_t need;
        ck_assert_int_eq(wire_frame((const uint8_t *)said[i], n[i], WIRE_SMALL, crc, &type, &body, &len, &need), -1);
    }
}
END_TEST

START_TEST(a_request_to_the_leader_and_its_answer_come_out_as_they_went_in)
{
    struct wbuf w = {0}, v = {0};
    struct ask a = {.number = 7, .op = 5, .flags = 2, .timeout_ms = 900, .node = -1, .address = "[::1]:9093"}, b;
    struct asked x = {.number = 7, .result = -7, .why = "not there", .n_rows = 2}, *y = calloc(1, sizeof *y);
    a.directory.b[3] = 9;
    x.rows[0] = (struct row){.replica = 1, .match = 12, .heard = 5, .caught = -1};
    x.rows[1] = (struct row){.replica = 2, .match = 3, .heard = -1, .caught = 4};
    wire_ask(&w, &a, crc);
    ck_assert(wire_ask_decode(w.p + WIRE_HEAD, (uint32_t)w.n - WIRE_HEAD, &b));
    ck_assert(b.number == 7 && b.op == 5 && b.flags == 2 && b.timeout_ms == 900 && b.node == -1);
    ck_assert(b.directory.b[3] == 9);
    ck_assert_str_eq(b.address, "[::1]:9093");
    wire_asked(&v, &x, crc);
    ck_assert(wire_asked_decode(v.p + WIRE_HEAD, (uint32_t)v.n - WIRE_HEAD, y));
    ck_assert(y->number == 7 && y->result == -7 && y->n_rows == 2 && y->rows[0].match == 12 && y->rows[0].caught == -1);
    ck_assert(y->rows[1].replica == 2 && y->rows[1].heard == -1 && y->rows[1].caught == 4);
    ck_assert_str_eq(y->why, "not there");
    for (uint32_t k = 0; k < w.n - WIRE_HEAD; k++)
        ck_assert(!wire_ask_decode(w.p + WIRE_HEAD, k, &b));
    for (uint32_t k = 0; k < v.n - WIRE_HEAD; k++)
        ck_assert(!wire_asked_decode(v.p + WIRE_HEAD, k, y));
    free(w.p);
    free(v.p);
    free(y);
}
END_TEST

static const struct chronik_uuid directory = {{1, 2, 3}};

/* What a build of before directory ids has written is read; they are unknown then. */
START_TEST(members_of_before_directory_ids_are_read)
{
    struct group *g = calloc(2, sizeof *g);
    uint8_t bytes[500];
    g->conf.voters = (struct rc_ids){1, {7}};
    g->book = (struct book){.n = 1, .v = {{.replica = 7, .node = 3, .directory = directory, .address = "h:1"}}};
    size_t n = group_encode(g, bytes, sizeof bytes);
    ck_assert(group_decode(&g[1], bytes, n) && uuid_same(&g[1].book.v[0].directory, &directory));
    put_le32(bytes, 1);
    ck_assert(!group_decode(&g[1], bytes, n));
    ck_assert(group_decode(&g[1], bytes, n - sizeof directory));
    ck_assert_str_eq(g[1].book.v[0].address, "h:1");
    ck_assert(uuid_zero(&g[1].book.v[0].directory));
    free(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("frames of a quorum");
    TCase *t = tcase_create("frames");
    tcase_add_test(t, a_message_comes_out_as_it_went_in);
    tcase_add_test(t, a_frame_that_is_cut_waits_and_one_that_is_changed_is_refused);
    tcase_add_test(t, a_body_that_is_cut_anywhere_is_refused);
    tcase_add_test(t, what_a_browser_or_a_kafka_client_says_is_no_frame);
    tcase_add_test(t, a_request_to_the_leader_and_its_answer_come_out_as_they_went_in);
    tcase_add_test(t, members_of_before_directory_ids_are_read);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
