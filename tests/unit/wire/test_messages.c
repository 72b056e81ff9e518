/* test_messages.c: every message in every version survives the way there and back, and no cut or damaged frame harms
 * the decoder. `CHRONIK_SEED` repeats a run. */
#include "fill.h"
#include "wire/messages.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed_of_run(void)
{
    const char *s = getenv("CHRONIK_SEED");
    return s ? strtoull(s, NULL, 0) : 1;
}

static void *new_struct(const struct wire_msg *m)
{
    void *p = calloc(1, m->size);
    CHECK(p);
    return p;
}

/* Calls `each` for `rounds` random instances of every message and version. */
static void every_message(int rounds, int most,
                          void (*each)(const struct wire_msg *m, int version, const void *in, const struct wire_out *o))
{
    struct fill f = {.seed = seed_of_run(), .most = most};
    struct arena a;
    struct wire_out o;
    struct err e = {0};
    arena_init(&a, 0);
    wire_out_init(&o, 0);
    f.arena = &a;
    for (const struct wire_msg *const *m = wire_messages; *m; m++) {
        void *in = new_struct(*m);
        for (f.version = (*m)->min; f.version <= (*m)->max; f.version++) {
            for (int i = 0; i < rounds; i++) {
                arena_reset(&a);
                wire_out_reset(&o);
                uint64_t seed = f.seed;
                fill_message(&f, *m, in);
                int32_t rc = wire_encode(*m, f.version, in, &o, &e);
                ck_assert_msg(rc > 0, "%s (seed %llu)", e.text, (unsigned long long)seed);
                each(*m, f.version, in, &o);
            }
        }
        free(in);
    }
    arena_free(&a);
    wire_out_free(&o);
}

static void comes_back(const struct wire_msg *m, int version, const void *in, const struct wire_out *o)
{
    struct arena a;
    struct err e = {0};
    struct wire_out again;
    void *out = new_struct(m);
    arena_init(&a, 0);
    wire_out_init(&again, 0);
    ck_assert_msg(wire_decode(m, version, o->p, o->n, &a, out, &e) > 0, "%s", e.text);
    ck_assert_msg(fill_equal(m, version, in, out), "%s version %d differs: CHRONIK_SEED=%llu repeats it", m->name,
                  version, (unsigned long long)seed_of_run());
    ck_assert_int_gt(wire_encode(m, version, out, &again, &e), 0);
    ck_assert_uint_eq(again.n, o->n);
    ck_assert(o->n == 0 || memcmp(again.p, o->p, o->n) == 0);
    ck_assert_ptr_nonnull(wire_dump(m, version, out, &a));
    wire_out_free(&again);
    arena_free(&a);
    free(out);
}

START_TEST(every_message_in_every_version_comes_back_as_it_was)
{
    every_message(20, 5, comes_back);
}
END_TEST

/* The frame is copied into an allocation of its exact size, so that a sanitizer sees a read beyond it. */
static int32_t decode_exact(const struct wire_msg *m, int version, const uint8_t *p, size_t n, void *out, struct err *e)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    uint8_t *copy = malloc(n ? n : 1);
    CHECK(copy);
    if (n)
        memcpy(copy, p, n);
    int32_t rc = wire_decode(m, version, copy, n, &a, out, e);
    free(copy);
    arena_free(&a);
    return rc;
}

static void is_refused_at_every_cut(const struct wire_msg *m, int version, const void *in, const struct wire_out *o)
{
    (void)in;
    void *out = new_struct(m);
    struct err e = {0};
    for (size_t n = 0; n < o->n; n++) {
        ck_assert_int_lt(decode_exact(m, version, o->p, n, out, &e), 0);
        ck_assert_ptr_nonnull(strstr(e.text, m->name));
    }
    free(out);
}

START_TEST(a_message_cut_at_any_byte_is_refused)
{
    every_message(1, 3, is_refused_at_every_cut);
}
END_TEST

static void survives_any_byte(const struct wire_msg *m, int version, const void *in, const struct wire_out *o)
{
    (void)in;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    void *out = new_struct(m);
    struct err e = {0};
    uint8_t *bytes = malloc(o->n + 1);
    CHECK(bytes);
    for (size_t i = 0; i < o->n; i += 1 + o->n / 64) {
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            memcpy(bytes, o->p, o->n);
            bytes[i] = values[k];
            (void)decode_exact(m, version, bytes, o->n, out, &e);
        }
    }
    free(bytes);
    free(out);
}

START_TEST(a_message_with_any_byte_changed_does_no_harm)
{
    every_message(1, 3, survives_any_byte);
}
END_TEST

/* The answer names every element of the request. */
static void names_all(const struct wire_msg *m, int version, const void *in, const struct wire_out *answer)
{
    struct arena a;
    struct err e = {0};
    const struct wire_msg *resp = wire_api(m->key)->response;
    void *out = new_struct(resp);
    arena_init(&a, 0);
    int32_t rc = wire_decode(resp, version, answer->p, answer->n, &a, out, &e);
    ck_assert_msg(rc > 0, "%s", e.text);
    if (m->key == WIRE_API_PRODUCE) {
        const struct wire_produce_request *q = in;
        const struct wire_produce_response *r = out;
        ck_assert_int_eq(r->responses.n, q->topic_data.n);
        for (int32_t i = 0; i < q->topic_data.n; i++) {
            ck_assert_int_eq(r->responses.v[i].partition_responses.n, q->topic_data.v[i].partition_data.n);
            for (int32_t k = 0; k < q->topic_data.v[i].partition_data.n; k++) {
                ck_assert_int_eq(r->responses.v[i].partition_responses.v[k].error_code, 77);
                ck_assert_int_eq(r->responses.v[i].partition_responses.v[k].index,
                                 q->topic_data.v[i].partition_data.v[k].index);
            }
        }
    } else {
        const struct wire_list_offsets_request *q = in;
        const struct wire_list_offsets_response *r = out;
        ck_assert_int_eq(r->topics.n, q->topics.n);
        for (int32_t i = 0; i < q->topics.n; i++) {
            ck_assert_int_eq(r->topics.v[i].partitions.n, q->topics.v[i].partitions.n);
            for (int32_t k = 0; k < q->topics.v[i].partitions.n; k++)
                ck_assert_int_eq(r->topics.v[i].partitions.v[k].error_code, 77);
        }
    }
    arena_free(&a);
    free(out);
}

static void refused(const struct wire_msg *m, int version, const void *in, const struct wire_out *o)
{
    struct wire_out answer;
    if (m->kind != WIRE_REQUEST || (m->key != WIRE_API_PRODUCE && m->key != WIRE_API_LIST_OFFSETS))
        return;
    wire_out_init(&answer, 0);
    ck_assert_int_gt(wire_refuse(wire_api(m->key), version, o->p, o->n, o->n, 77, &answer), 0);
    names_all(m, version, in, &answer);
    for (size_t cut = 0; cut < o->n; cut++) { /* never more than an answer, and never beyond the end */
        uint8_t *p = malloc(cut);
        memcpy(p, o->p, cut);
        wire_out_reset(&answer);
        ck_assert_int_lt(wire_refuse(wire_api(m->key), version, p, cut, cut, 77, &answer), 0);
        ck_assert_uint_eq(answer.n, 0);
        if (wire_refuse(wire_api(m->key), version, p, cut, o->n, 77, &answer) > 0) /* what it needs was here */
            names_all(m, version, in, &answer);
        free(p);
    }
    wire_out_free(&answer);
}

START_TEST(a_request_is_refused_with_an_error_for_each_of_its_elements)
{
    every_message(20, 5, refused);
}
END_TEST

START_TEST(defaults_are_what_a_decoder_gives_for_missing_fields)
{
    struct wire_fetch_request r;
    wire_set_defaults(&wire_fetch_request_msg, &r);
    ck_assert_int_eq(r.replica_id, -1);
    ck_assert_int_eq(r.replica_state.replica_epoch, -1);
    ck_assert_int_eq(r.max_bytes, INT32_MAX);
    ck_assert_int_eq(r.cluster_id.n, -1);
    ck_assert_int_eq(wire_fetch_request_partition_default.high_watermark, INT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wire messages");
    TCase *t = tcase_create("messages");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_message_in_every_version_comes_back_as_it_was);
    tcase_add_test(t, a_message_cut_at_any_byte_is_refused);
    tcase_add_test(t, a_message_with_any_byte_changed_does_no_harm);
    tcase_add_test(t, a_request_is_refused_with_an_error_for_each_of_its_elements);
    tcase_add_test(t, defaults_are_what_a_decoder_gives_for_missing_fields);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
