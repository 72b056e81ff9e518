/* test_reclog.c: what a module may rely on in the record log: order, groups, replay, recycling, and the decision
 * between a torn tail and damage. Runs over the real world. */
#include <config.h>

#include "tests/unit/store/testhost.h"

#include "plugins/common/reclog.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct os *os;
static struct testhost th;

static void setup(void)
{
    testhost_mkdtemp(root);
    os = os_real_new(2);
    testhost_init(&th, os, root);
}

static void teardown(void)
{
    os_real_free(os);
    testhost_rmtree(root);
}

/* ---- a log under test and what it has told ---- */

struct rig {
    struct reclog *l;
    uint64_t durable, wanted; /* under mu */
    struct os_flag flag;
    pthread_mutex_t mu;
    int failed;
    uint64_t replayed, replay_bytes, replay_first, replay_last;
    int bad;
    struct errtext e;
};

static void on_durable(void *arg, uint64_t end)
{
    struct rig *r = arg;
    pthread_mutex_lock(&r->mu);
    ck_assert_uint_gt(end, r->durable);
    r->durable = end;
    bool wake = r->wanted && end >= r->wanted;
    pthread_mutex_unlock(&r->mu);
    if (wake)
        os_flag_set(os, &r->flag);
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    struct rig *r = arg;
    ck_assert_ptr_nonnull(strstr(text, "check the disk"));
    r->failed = code;
    os_flag_set(os, &r->flag);
}

static uint32_t body_size(uint64_t number)
{
    return (uint32_t)((number * 7919) % 1500);
}

static void body_fill(uint8_t *p, uint64_t number, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)(number * 31 + i);
}

static int32_t on_replay(void *arg, const struct reclog_record *rec)
{
    struct rig *r = arg;
    uint8_t want[2000];
    body_fill(want, rec->number, body_size(rec->number));
    if (rec->n != body_size(rec->number) || memcmp(want, rec->data, rec->n) || rec->type != 1 + rec->number % 5)
        r->bad++;
    if (r->replayed && rec->number != r->replay_last + 1)
        r->bad++;
    if (!r->replayed)
        r->replay_first = rec->number;
    r->replay_last = rec->number;
    r->replayed++;
    r->replay_bytes += rec->n;
    return CHRONIK_DONE;
}

static int32_t rig_open(struct rig *r, uint64_t from)
{
    struct reclog_config c = {.host = &th.table,
                              .path = "log",
                              .name = "test",
                              .from = from,
                              .first_file_bytes = 16 * 1024,
                              .file_bytes = 64 * 1024,
                              .group_bytes = 8 * 1024,
                              .idle_ms = 5,
                              .arg = r,
                              .durable = on_durable,
                              .failed = on_failed};
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->mu, NULL);
    return reclog_open(&c, on_replay, r, &r->e, &r->l);
}

static void rig_close(struct rig *r)
{
    struct testhost_wait w;
    reclog_close(r->l, testhost_done(&th, &w));
    ck_assert_int_gt(testhost_result(&w, CHRONIK_PENDING), 0);
}

static uint64_t rig_append(struct rig *r, uint64_t number)
{
    uint8_t body[2000];
    uint64_t got = 0;
    struct chronik_iov v[2] = {{body, body_size(number) / 2},
                               {body + body_size(number) / 2, body_size(number) - body_size(number) / 2}};
    body_fill(body, number, body_size(number));
    ck_assert_int_gt(reclog_append(r->l, 1 + number % 5, v, 2, NULL, NULL, &got), 0);
    return got;
}

static void rig_wait(struct rig *r, uint64_t end)
{
    pthread_mutex_lock(&r->mu);
    r->wanted = end;
    __atomic_store_n(&r->flag.set, 0, __ATOMIC_RELAXED);
    bool there = r->durable >= end;
    pthread_mutex_unlock(&r->mu);
    ck_assert(there || os_flag_wait(os, &r->flag, INT64_C(20000000000)));
}

static void rig_fill(struct rig *r, uint64_t from, uint64_t end, uint64_t wait_every)
{
    for (uint64_t i = from; i < end; i++) {
        ck_assert_uint_eq(rig_append(r, i), i);
        if (wait_every && i % wait_every == 0)
            rig_wait(r, i + 1);
    }
    rig_wait(r, end);
}

START_TEST(records_come_back_in_order_with_their_numbers_after_a_clean_close)
{
    struct rig r;
    ck_assert_msg(rig_open(&r, 0) > 0, "%s", r.e.text);
    rig_fill(&r, 1, 1000, 7);
    rig_close(&r);
    ck_assert_msg(rig_open(&r, 0) > 0, "%s", r.e.text);
    ck_assert_uint_eq(r.replayed, 999);
    ck_assert_uint_eq(r.replay_first, 1);
    ck_assert_int_eq(r.bad, 0);
    ck_assert_uint_eq(rig_append(&r, 1000), 1000);
    rig_close(&r);
    ck_assert_int_gt(rig_open(&r, 0), 0);
    ck_assert_uint_eq(r.replay_last, 1000);
    rig_close(&r);
}
END_TEST

START_TEST(trimmed_files_are_used_again_and_replay_starts_at_the_checkpoint)
{
    struct rig r;
    struct reclog_stat st;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    for (uint64_t at = 1; at < 3000; at += 100) {
        rig_fill(&r, at, at + 100, 10);
        reclog_trim(r.l, at + 50);
    }
    reclog_stat(r.l, &st);
    ck_assert_uint_eq(st.end, 3001);
    ck_assert_uint_gt(st.first, 2500);
    ck_assert_uint_lt(st.disk_bytes, 7 * 64 * 1024);
    rig_close(&r);
    ck_assert_msg(rig_open(&r, 2951) > 0, "%s", r.e.text);
    ck_assert_uint_eq(r.replay_first, 2951);
    ck_assert_uint_eq(r.replay_last, 3000);
    ck_assert_int_eq(r.bad, 0);
    rig_fill(&r, 3001, 3100, 3);
    rig_close(&r);
}
END_TEST

START_TEST(records_can_be_read_back_by_number_while_others_append)
{
    struct rig r;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 800, 9);
    for (uint64_t from = 1; from < 800; from += 61) {
        r.replayed = r.replay_bytes = 0;
        rig_append(&r, 800 + from / 61);
        ck_assert_int_gt(reclog_read(r.l, from, 20000, on_replay, &r, &r.e), 0);
        ck_assert_uint_eq(r.replay_first, from);
        ck_assert(r.replay_bytes >= 20000 || r.replay_last >= 799);
        ck_assert_int_eq(r.bad, 0);
    }
    ck_assert_int_gt(reclog_read(r.l, 100000, 1, on_replay, &r, &r.e), 0);
    reclog_trim(r.l, 700);
    rig_wait(&r, 800);
    rig_close(&r);
    ck_assert_int_gt(rig_open(&r, 700), 0);
    ck_assert_int_eq(reclog_read(r.l, 1, 1, on_replay, &r, &r.e), CHRONIK_E_RANGE);
    rig_close(&r);
}
END_TEST

START_TEST(missing_files_below_the_checkpoint_are_fine_and_above_it_refuse_the_start)
{
    struct rig r;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 500, 9);
    rig_close(&r);
    char path[128];
    snprintf(path, sizeof path, "%s/log/00000000.log", root);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rig_open(&r, 0), CHRONIK_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(r.e.text, "missing"));
    ck_assert_msg(rig_open(&r, 400) > 0, "%s", r.e.text);
    ck_assert_uint_eq(r.replay_last, 499);
    rig_close(&r);
    snprintf(path, sizeof path, "rm -r %s/log", root);
    ck_assert_int_eq(system(path), 0);
    ck_assert_int_eq(rig_open(&r, 400), CHRONIK_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(r.e.text, "restore"));
}
END_TEST

/* ---- files as bytes ---- */

static size_t slurp(const char *path, uint8_t **out)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fstat(fileno(f), &st), 0);
    *out = malloc((size_t)st.st_size);
    ck_assert_uint_eq(fread(*out, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    fclose(f);
    return (size_t)st.st_size;
}

static void spit(const char *path, const uint8_t *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    fclose(f);
}

START_TEST(d5_a_tail_torn_at_any_place_is_cut_and_everything_before_it_stays)
{
    struct rig r;
    char path[128];
    uint8_t *p;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 8, 1);
    rig_close(&r);
    snprintf(path, sizeof path, "%s/log/00000000.log", root);
    size_t n = slurp(path, &p);
    for (size_t cut = n; cut >= 512; cut -= 73) {
        memset(p + cut, 0, n - cut);
        spit(path, p, n);
        int32_t rc = rig_open(&r, 0);
        ck_assert_msg(rc > 0, "cut at %zu: %s", cut, r.e.text);
        ck_assert_int_eq(r.bad, 0);
        uint64_t end = r.replayed + 1;
        rig_fill(&r, end, end + 3, 1);
        rig_close(&r);
        ck_assert_msg(rig_open(&r, 0) > 0, "after the cut at %zu: %s", cut, r.e.text);
        ck_assert_uint_eq(r.replayed, end + 2);
        ck_assert_int_eq(r.bad, 0);
        rig_close(&r);
    }
    free(p);
}
END_TEST

START_TEST(d2_a_log_cut_between_groups_below_its_owners_checkpoint_refuses_the_start)
{
    struct rig r;
    char path[128];
    uint8_t *p;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 8, 1); /* a group each */
    rig_close(&r);
    snprintf(path, sizeof path, "%s/log/00000000.log", root);
    size_t n = slurp(path, &p), cut = 0;
    for (int groups = 0; groups < 4; groups += memcmp(p + cut, "CKGR", 4) == 0)
        cut += 512; /* at the beginning of the fourth */
    memset(p + cut, 0, n - cut);
    spit(path, p, n);
    ck_assert_int_eq(rig_open(&r, 7), CHRONIK_E_CORRUPT);
    ck_assert_msg(strstr(r.e.text, "/log: file 00000000.log, offset") && strstr(r.e.text, "up to 6 had been synced"),
                  "%s", r.e.text);
    ck_assert_msg(rig_open(&r, 4) > 0, "%s", r.e.text);
    rig_close(&r);
    free(p);
}
END_TEST

/* Where group number `n` of the only file begins. */
static size_t group_place(const uint8_t *p, size_t n_bytes, int n)
{
    size_t at = 512;
    for (; at < n_bytes; at += 512)
        if (memcmp(p + at, "CKGR", 4) == 0 && n-- == 0)
            break;
    return at;
}

START_TEST(d2_a_log_file_that_was_cut_short_refuses_the_start_wherever_a_group_may_have_stood)
{
    struct rig r;
    char path[128];
    uint8_t *p;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 8, 1); /* a group each, and marks, as many as there was time for */
    rig_close(&r);
    snprintf(path, sizeof path, "%s/log/00000000.log", root);
    size_t n = slurp(path, &p), fourth = group_place(p, n, 3), end = n;
    while (p[end - 1] == 0)
        end--;
    end = (end + 511) / 512 * 512;
    size_t cuts[] = {fourth, fourth + 30, fourth + 100, end};
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        spit(path, p, cuts[i]);
        ck_assert_msg(rig_open(&r, 0) == CHRONIK_E_CORRUPT, "cut at %zu of %zu", cuts[i], n);
        ck_assert_msg(strstr(r.e.text, "00000000.log, offset") && strstr(r.e.text, "it was cut") &&
                          strstr(r.e.text, "restore"),
                      "%s", r.e.text);
    }
    spit(path, p, end + 512); /* nothing stood behind the last group: that can be seen */
    ck_assert_msg(rig_open(&r, 0) > 0, "%s", r.e.text);
    ck_assert_uint_eq(r.replayed, 7);
    rig_close(&r);
    free(p);
}
END_TEST

START_TEST(d2_a_flipped_bit_in_what_was_acknowledged_refuses_the_start_and_names_the_place)
{
    struct rig r;
    char path[128];
    uint8_t *p;
    unsigned refused = 0, harmless = 0;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 12, 1);
    rig_close(&r);
    snprintf(path, sizeof path, "%s/log/00000000.log", root);
    size_t n = slurp(path, &p);
    size_t used = n;
    while (used && p[used - 1] == 0)
        used--;
    used -= used % 512; /* the last group is the mark, which may be lost */
    for (size_t bit = 0; bit < used * 8; bit += 131) {
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        spit(path, p, n);
        int32_t rc = rig_open(&r, 0);
        if (rc > 0) {
            ck_assert_int_eq(r.bad, 0);
            ck_assert_msg(r.replayed == 11, "bit %zu: %llu records", bit, (unsigned long long)r.replayed);
            rig_close(&r);
            harmless++; /* between groups, or in the reserved part */
        } else {
            ck_assert_int_eq(rc, CHRONIK_E_CORRUPT);
            ck_assert_ptr_nonnull(strstr(r.e.text, "00000000.log, offset"));
            refused++;
        }
        p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_uint_gt(refused, 300);
    ck_assert_uint_lt(harmless, refused);
    free(p);
}
END_TEST

START_TEST(d1_a_failed_sync_stops_the_log_for_good)
{
    struct rig r;
    os_fault_add(os,
                 &(struct os_fault){.op = OS_FAULT_SYNC, .code = CHRONIK_E_IO, .after = 3, .times = 1, .path = ".log"});
    ck_assert_int_gt(rig_open(&r, 0), 0);
    for (uint64_t i = 1; i < 100 && !r.failed; i++) {
        uint8_t b[1] = {0};
        struct chronik_iov v = {b, 1};
        uint64_t number = 0;
        int32_t rc = reclog_append(r.l, 1, &v, 1, NULL, NULL, &number);
        ck_assert(rc > 0 || rc == CHRONIK_E_CLOSED);
        usleep(2000);
    }
    ck_assert(os_flag_wait(os, &r.flag, INT64_C(5000000000)));
    ck_assert_int_eq(r.failed, CHRONIK_E_IO);
    uint64_t durable = r.durable;
    ck_assert_int_eq(reclog_append(r.l, 1, NULL, 0, NULL, NULL, NULL), CHRONIK_E_CLOSED);
    ck_assert_int_eq(reclog_admit(r.l, 1, 0), CHRONIK_E_CLOSED);
    rig_close(&r);
    ck_assert_uint_eq(r.durable, durable);
}
END_TEST

START_TEST(d1_a_log_whose_folder_was_removed_stops_at_its_next_file)
{
    struct rig r;
    char cmd[128];
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 3, 1);
    snprintf(cmd, sizeof cmd, "rm -r %s/log", root);
    ck_assert_int_eq(system(cmd), 0);
    uint64_t n = 0;
    for (; n < 5000 && !r.failed; n++) { /* of 16 KiB prewritten */
        uint8_t b[100] = {0};
        struct chronik_iov v = {b, sizeof b};
        if (reclog_append(r.l, 1, &v, 1, NULL, NULL, NULL) < 0)
            break;
        usleep(1000);
    }
    ck_assert(os_flag_wait(os, &r.flag, INT64_C(5000000000)));
    ck_assert_int_eq(r.failed, CHRONIK_E_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(th.last_log, "cannot be made: not found; check the folder"));
    rig_close(&r);
}
END_TEST

START_TEST(d4_a_full_disk_refuses_appends_keeps_what_was_accepted_and_heals)
{
    struct rig r;
    uint64_t refused = 0, i = 1;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    rig_fill(&r, 1, 4, 1);
    os_fault_add(
        os, &(struct os_fault){.op = OS_FAULT_OPEN, .code = CHRONIK_E_NOSPC, .after = 0, .times = 6, .path = "log/"});
    for (i = 4; i < 4000 && refused < 20; i++) {
        int32_t rc = reclog_admit(r.l, 2000, 0);
        if (rc == CHRONIK_E_NOSPC) {
            refused++;
            i--;
            usleep(1000);
            continue;
        }
        ck_assert_int_gt(rc, 0);
        ck_assert_uint_eq(rig_append(&r, i), i);
        if (i % 5 == 0)
            usleep(500);
    }
    ck_assert_uint_eq(refused, 20);
    rig_wait(&r, i); /* the disk has room again after six failures */
    for (int n = 0; n < 100 && reclog_admit(r.l, 2000, 0) < 0; n++)
        usleep(50000);
    ck_assert_int_gt(reclog_admit(r.l, 2000, 0), 0);
    rig_fill(&r, i, i + 100, 5);
    rig_close(&r);
    ck_assert_int_gt(rig_open(&r, 0), 0);
    ck_assert_uint_eq(r.replay_last, i + 99);
    ck_assert_int_eq(r.bad, 0);
    rig_close(&r);
}
END_TEST

static void *hammer(void *arg)
{
    struct rig *r = arg;
    uint8_t b[9000]; /* small ones are copied under the log's mutex, large ones beside each other */
    for (int i = 0; i < 4000; i++) {
        struct chronik_iov v = {b, i % 16 ? 64 : sizeof b};
        memset(b, i, sizeof b);
        ck_assert_int_gt(reclog_append(r->l, 1, &v, 1, NULL, NULL, NULL), 0);
    }
    return NULL;
}

static int32_t count_whole(void *arg, const struct reclog_record *rec)
{
    const uint8_t *p = rec->data;
    ck_assert(rec->n == 64 || rec->n == 9000);
    ck_assert_int_eq(memcmp(p, p + 1, rec->n - 1), 0);
    (*(uint64_t *)arg)++;
    return CHRONIK_DONE;
}

static int32_t count_only(void *arg, const struct reclog_record *rec)
{
    (*(uint64_t *)arg)++;
    return CHRONIK_DONE;
}

START_TEST(many_threads_share_groups_and_no_record_is_lost)
{
    struct rig r;
    pthread_t t[4];
    struct reclog_stat st;
    uint64_t n = 0;
    ck_assert_int_gt(rig_open(&r, 0), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, hammer, &r), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    rig_wait(&r, 16001);
    reclog_stat(r.l, &st);
    ck_assert_uint_lt(st.groups, 16000);
    ck_assert_int_gt(reclog_read(r.l, 1, UINT64_MAX, count_whole, &n, &r.e), 0);
    ck_assert_uint_eq(n, 16000);
    rig_close(&r);
}
END_TEST

START_TEST(a_record_bigger_than_a_file_gets_a_file_of_its_own)
{
    struct rig r;
    uint64_t n = 0;
    uint8_t *big = calloc(1, 300 * 1024);
    struct chronik_iov v = {big, 300 * 1024};
    ck_assert_int_gt(rig_open(&r, 0), 0);
    ck_assert_int_gt(reclog_append(r.l, 1, &v, 1, NULL, NULL, NULL), 0);
    v.n = 10;
    ck_assert_int_gt(reclog_append(r.l, 1, &v, 1, NULL, NULL, NULL), 0);
    rig_wait(&r, 3);
    ck_assert_int_gt(reclog_read(r.l, 1, UINT64_MAX, count_only, &n, &r.e), 0);
    ck_assert_uint_eq(n, 2);
    rig_close(&r);
    free(big);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record log");
    TCase *c = tcase_create("record log");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, records_come_back_in_order_with_their_numbers_after_a_clean_close);
    tcase_add_test(c, trimmed_files_are_used_again_and_replay_starts_at_the_checkpoint);
    tcase_add_test(c, records_can_be_read_back_by_number_while_others_append);
    tcase_add_test(c, missing_files_below_the_checkpoint_are_fine_and_above_it_refuse_the_start);
    tcase_add_test(c, d5_a_tail_torn_at_any_place_is_cut_and_everything_before_it_stays);
    tcase_add_test(c, d2_a_log_cut_between_groups_below_its_owners_checkpoint_refuses_the_start);
    tcase_add_test(c, d2_a_log_file_that_was_cut_short_refuses_the_start_wherever_a_group_may_have_stood);
    tcase_add_test(c, d2_a_flipped_bit_in_what_was_acknowledged_refuses_the_start_and_names_the_place);
    tcase_add_test(c, d1_a_failed_sync_stops_the_log_for_good);
    tcase_add_test(c, d1_a_log_whose_folder_was_removed_stops_at_its_next_file);
    tcase_add_test(c, d4_a_full_disk_refuses_appends_keeps_what_was_accepted_and_heals);
    tcase_add_test(c, many_threads_share_groups_and_no_record_is_lost);
    tcase_add_test(c, a_record_bigger_than_a_file_gets_a_file_of_its_own);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
