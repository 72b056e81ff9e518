/* test_frame.c: headers, inserts, limits, and what an error says: the rules around a message rather than in it. */
#include "wire/messages.h"

#include <check.h>
#include <stdlib.h>

static struct wire_out out;
static struct arena arena;

static void setup(void)
{
    wire_out_init(&out, 0);
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    wire_out_free(&out);
    arena_free(&arena);
}

START_TEST(a_request_header_is_read_in_every_version)
{
    struct err e = {0};
    struct wire_request_head h;
    struct wire_metadata_request body = wire_metadata_request_default;
    const struct wire_api *api = wire_api(WIRE_API_METADATA);
    for (int v = api->min; v <= api->max; v++) {
        wire_out_reset(&out);
        ck_assert_int_gt(wire_encode_request(api, v, 77, wire_str(v % 2 ? "me" : NULL), &body, &out, &e), 0);
        ck_assert_uint_eq(get_be32(out.p), out.n - 4);
        ck_assert_int_gt(wire_get_request_header(out.p + 4, out.n - 4, &h, &e), 0);
        ck_assert_ptr_eq(h.api, api);
        ck_assert_int_eq(h.key, WIRE_API_METADATA);
        ck_assert_int_eq(h.version, v);
        ck_assert_int_eq(h.correlation, 77);
        ck_assert(wire_str_is(h.client_id, v % 2 ? "me" : NULL));
        ck_assert_int_gt(wire_decode(api->request, v, h.body, h.body_n, &arena, &body, &e), 0);
    }
}
END_TEST

START_TEST(a_header_of_an_unknown_version_or_api_still_says_whom_to_answer)
{
    struct err e = {0};
    struct wire_request_head h;
    static const uint8_t versions[] = {0, 18, 0, 99, 0, 0, 0, 5, 0, 1, 'x', 0};
    static const uint8_t unknown[] = {3, 232, 0, 0, 0, 0, 0, 6, 0, 0};
    static const uint8_t retired[] = {0, 4, 0, 0, 0, 0, 0, 6, 0, 0};
    ck_assert_int_eq(wire_get_request_header(versions, sizeof versions, &h, &e), CHRONIK_E_VERSION);
    ck_assert_int_eq(h.correlation, 5);
    ck_assert_int_eq(h.version, 99);
    ck_assert(wire_str_is(h.client_id, "x"));
    ck_assert_int_eq(wire_get_request_header(unknown, sizeof unknown, &h, &e), CHRONIK_E_UNSUPPORTED);
    ck_assert_int_eq(h.correlation, 6);
    ck_assert_int_eq(h.key, 1000);
    ck_assert_int_eq(wire_get_request_header(retired, sizeof retired, &h, &e), CHRONIK_E_UNSUPPORTED);
    for (size_t n = 0; n < 8; n++)
        ck_assert_int_eq(wire_get_request_header(versions, n, &h, &e), CHRONIK_E_CORRUPT);
    ck_assert_int_eq(wire_get_request_header(versions, sizeof versions - 1, &h, &e), CHRONIK_E_CORRUPT);
    ck_assert_int_eq(h.correlation, 5);
}
END_TEST

START_TEST(produce_is_advertised_from_0_but_decoded_from_3)
{
    const struct wire_api *api = wire_api(WIRE_API_PRODUCE);
    ck_assert_int_eq(api->advertised, 0);
    ck_assert_int_eq(api->min, 3);
    ck_assert_ptr_null(wire_api(4));
    ck_assert_ptr_null(wire_api(-1));
    ck_assert_ptr_null(wire_api(wire_apis_end));
}
END_TEST

START_TEST(only_an_api_versions_response_keeps_the_plain_header)
{
    struct err e = {0};
    int32_t correlation;
    size_t body;
    for (int key = 0; key < wire_apis_end; key++) {
        const struct wire_api *api = wire_api(key);
        for (int v = api ? api->min : 1; v <= (api ? api->max : 0); v++) {
            wire_out_reset(&out);
            ck_assert_int_gt(wire_put_response_header(&out, api, v, 1234), 0);
            ck_assert_uint_eq(out.n, v >= api->flexible && key != WIRE_API_API_VERSIONS ? 5 : 4);
            ck_assert_int_gt(wire_get_response_header(api, v, out.p, out.n, &correlation, &body, &e), 0);
            ck_assert_int_eq(correlation, 1234);
            ck_assert_uint_eq(body, out.n);
        }
    }
}
END_TEST

/* A fetch response of two partitions, whose records lie elsewhere and in memory. */
START_TEST(records_with_a_reference_become_inserts)
{
    struct err e = {0};
    int file;
    uint8_t bytes[300];
    struct wire_fetch_response r = wire_fetch_response_default, back;
    struct wire_fetch_response_topic t = wire_fetch_response_topic_default;
    struct wire_fetch_response_partition p[2] = {wire_fetch_response_partition_default,
                                                 wire_fetch_response_partition_default};
    memset(bytes, 7, sizeof bytes);
    p[0].records = (struct wire_records){NULL, 300, &file};
    p[1].records = (struct wire_records){bytes, 300, NULL};
    t.partitions.v = p;
    t.partitions.n = 2;
    r.responses.v = &t;
    r.responses.n = 1;
    for (int v = wire_fetch_response_msg.min; v <= wire_fetch_response_msg.max; v++) {
        uint8_t whole[2048];
        wire_out_reset(&out);
        ck_assert_int_gt(wire_encode(&wire_fetch_response_msg, v, &r, &out, &e), 0);
        ck_assert_uint_eq(out.n_inserts, 1);
        ck_assert_ptr_eq(out.inserts[0].ref, &file);
        ck_assert_int_eq(out.inserts[0].n, 300);
        ck_assert_uint_eq(out.inserted, 300);
        size_t at = out.inserts[0].at;
        memcpy(whole, out.p, at);
        memcpy(whole + at, bytes, 300);
        memcpy(whole + at + 300, out.p + at, out.n - at);
        ck_assert_int_gt(wire_decode(&wire_fetch_response_msg, v, whole, out.n + 300, &arena, &back, &e), 0);
        ck_assert_int_eq(back.responses.v[0].partitions.v[0].records.n, 300);
        ck_assert_ptr_eq(back.responses.v[0].partitions.v[0].records.p, whole + at);
        ck_assert_int_eq(memcmp(back.responses.v[0].partitions.v[1].records.p, bytes, 300), 0);
    }
}
END_TEST

START_TEST(a_value_that_the_version_cannot_carry_is_refused_by_name)
{
    struct err e = {0};
    struct wire_fetch_request r = wire_fetch_request_default;
    r.session_id = 5; /* ignorable */
    wire_out_reset(&out);
    ck_assert_int_gt(wire_encode(&wire_fetch_request_msg, 6, &r, &out, &e), 0);
    size_t before = out.n;
    r.replica_state.replica_id = 3;
    ck_assert_int_eq(wire_encode(&wire_fetch_request_msg, 14, &r, &out, &e), CHRONIK_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(e.text, "FetchRequest version 14, field replica_state"));
    ck_assert_uint_eq(out.n, before);
    ck_assert_int_gt(wire_encode(&wire_fetch_request_msg, 15, &r, &out, &e), 0);
    r.rack_id = wire_str(NULL);
    ck_assert_int_eq(wire_encode(&wire_fetch_request_msg, 15, &r, &out, &e), CHRONIK_E_INVAL);
    ck_assert_ptr_nonnull(strstr(e.text, "rack_id"));
    ck_assert_int_eq(wire_encode(&wire_fetch_request_msg, 3, &r, &out, &e), CHRONIK_E_VERSION);
    ck_assert_int_eq(wire_encode(&wire_fetch_request_msg, 19, &r, &out, &e), CHRONIK_E_VERSION);
}
END_TEST

static void refused(const struct wire_msg *m, int version, const void *p, size_t n, int32_t code, const char *text)
{
    struct err e = {0};
    void *body = malloc(m->size);
    ck_assert_int_eq(wire_decode(m, version, p, n, &arena, body, &e), code);
    ck_assert_msg(strstr(e.text, text) != NULL, "'%s' lacks '%s'", e.text, text);
    free(body);
}

START_TEST(a_malformed_message_is_refused_with_field_and_position)
{
    /* Metadata request 9: topics, allow_auto_topic_creation, two authorized-operations flags, tags. */
    static const uint8_t many[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0};
    static const uint8_t overlong[] = {0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 0};
    static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    static const uint8_t more[] = {0, 1, 0, 0, 0, 9};
    static const uint8_t name_cut[] = {2, 9, 'a', 'b', 1, 0, 0, 0};
    static const uint8_t null_name[] = {2, 0, 0, 1, 0, 0, 0};
    static const uint8_t tag_cut[] = {0, 1, 0, 0, 1, 4, 90};
    static const uint8_t tag_skipped[] = {0, 1, 0, 0, 1, 4, 2, 'x', 'y'};
    static const uint8_t negative[] = {0xff, 0xff, 0xff, 0xfe};
    const struct wire_msg *m = &wire_metadata_request_msg;
    refused(m, 9, many, sizeof many, CHRONIK_E_CORRUPT, "field topics, byte 5 of 9: an array of more elements");
    refused(m, 9, overlong, sizeof overlong, CHRONIK_E_CORRUPT, "does not fit in 32 bits");
    refused(m, 9, endless, sizeof endless, CHRONIK_E_CORRUPT, "field topics");
    refused(m, 9, more, sizeof more, CHRONIK_E_CORRUPT, "byte 5 of 6: bytes are left over");
    refused(m, 9, name_cut, sizeof name_cut, CHRONIK_E_CORRUPT, "topics[0].name, byte 2 of 8: the length exceeds");
    refused(m, 9, null_name, sizeof null_name, CHRONIK_E_CORRUPT, "topics[0].name, byte 2 of 7: null");
    refused(m, 9, tag_cut, sizeof tag_cut, CHRONIK_E_CORRUPT, "tagged fields");
    refused(m, 1, negative, sizeof negative, CHRONIK_E_CORRUPT, "field topics, byte 0 of 4: a negative length");
    refused(m, 99, more, sizeof more, CHRONIK_E_VERSION, "versions 0 to 13 are known");
    struct wire_metadata_request r;
    struct err e = {0};
    ck_assert_int_gt(wire_decode(m, 9, tag_skipped, sizeof tag_skipped, &arena, &r, &e), 0);
    ck_assert_int_eq(r.topics.n, -1);
}
END_TEST

START_TEST(memory_is_bounded_by_arena_and_buffer)
{
    struct err e = {0};
    struct arena small;
    struct wire_out tight;
    struct wire_metadata_request r = wire_metadata_request_default;
    struct wire_metadata_request_topic t[600];
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        t[i] = wire_metadata_request_topic_default;
        t[i].name = wire_str("topic");
    }
    r.topics.v = t;
    r.topics.n = ARRAY_LEN(t);
    wire_out_init(&tight, 1000);
    ck_assert_int_eq(wire_encode(&wire_metadata_request_msg, 13, &r, &tight, &e), CHRONIK_E_NOMEM);
    ck_assert_uint_eq(tight.n, 0);
    ck_assert_int_gt(wire_encode(&wire_metadata_request_msg, 13, &r, &out, &e), 0);
    arena_init(&small, 4096);
    ck_assert_int_eq(wire_decode(&wire_metadata_request_msg, 13, out.p, out.n, &small, &r, &e), CHRONIK_E_NOMEM);
    ck_assert_uint_le(small.held, 4096);
    wire_out_reset(&out);
    wire_out_trim(&out, 64 * 1024);
    ck_assert_uint_gt(out.cap, 0);
    wire_out_trim(&out, 100);
    ck_assert_uint_eq(out.cap, 0);
    arena_free(&small);
    wire_out_free(&tight);
}
END_TEST

START_TEST(a_message_shows_as_json)
{
    struct wire_produce_response r = wire_produce_response_default;
    r.throttle_time_ms = 3;
    ck_assert_str_eq(wire_dump(&wire_produce_response_msg, 9, &r, &arena), "{\"responses\":[],\"throttle_time_ms\":3}");
    struct wire_request_header h = {.client_id = {"a\"\n", 3}};
    ck_assert_str_eq(
        wire_dump(&wire_request_header_msg, 2, &h, &arena),
        "{\"request_api_key\":0,\"request_api_version\":0,\"correlation_id\":0,\"client_id\":\"a\\\"\\u000a\"}");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire frame");
    TCase *t = tcase_create("frame");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_request_header_is_read_in_every_version);
    tcase_add_test(t, a_header_of_an_unknown_version_or_api_still_says_whom_to_answer);
    tcase_add_test(t, produce_is_advertised_from_0_but_decoded_from_3);
    tcase_add_test(t, only_an_api_versions_response_keeps_the_plain_header);
    tcase_add_test(t, records_with_a_reference_become_inserts);
    tcase_add_test(t, a_value_that_the_version_cannot_carry_is_refused_by_name);
    tcase_add_test(t, a_malformed_message_is_refused_with_field_and_position);
    tcase_add_test(t, memory_is_bounded_by_arena_and_buffer);
    tcase_add_test(t, a_message_shows_as_json);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
