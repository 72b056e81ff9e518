/* test_manifest.c: partition numbers across checkpoints. A number that was given out twice would let the log's records
 * of one partition be replayed into another, so whatever races with a checkpoint must count in its manifest. Uses the
 * inside of store-wal: the race is played step by step. */
#include <config.h>

#include "tests/unit/store/storerig.h"

#include "plugins/store-wal/store.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_NEXT = 16 }; /* of u32 next partition number in the content (plugins/store-wal/manifest.c) */

static char root[64];
static struct os *os;
static struct rig rig;

static void setup(void)
{
    testhost_mkdtemp(root);
    os = os_real_new(2);
    rig_init(&rig, os, root);
}

static void teardown(void)
{
    os_real_free(os);
    testhost_rmtree(root);
}

static void must_open(int32_t part)
{
    ck_assert_int_gt(rig_open(&rig, part, CHRONIK_STORE_CREATE), 0);
    ck_assert_int_gt(rig_append(&rig, part, 500, 2, 0, CHRONIK_FLUSH_GROUP), 0);
    rig_wait_durable(&rig, part);
}

/* A checkpoint begins with parts 0 and 1; part 2 is opened while it goes on, and is written down by it. */
static void image_with_a_latecomer(struct st_image *m)
{
    struct reclog_stat st;
    ck_assert_msg(rig_start(&rig) > 0, "%s", rig.text);
    struct st_dir *d = &rig.s->dirs[0];
    must_open(0);
    must_open(1);
    reclog_stat(d->wal, &st);
    manifest_begin(m, d, st.end + 1); /* behind part 2's CREATE: the manifest alone will know its number */
    must_open(2);
    for (int i = 0; i < 3; i++)
        manifest_part(m, rig.parts[i].p);
}

START_TEST(a_partition_opened_during_a_checkpoint_counts_in_its_manifest)
{
    struct st_image m = {0};
    uint32_t next;
    image_with_a_latecomer(&m);
    ck_assert_uint_eq(m.failed, 0);
    memcpy(&next, m.p + AT_NEXT, sizeof next);
    ck_assert_uint_gt(next, rig.parts[2].p->pn);
    free(m.p);
    rig_stop(&rig);
}
END_TEST

/* Earlier builds wrote such manifests: in a child that then dies without another checkpoint. */
static void write_a_head_that_is_too_low(void)
{
    struct st_image m = {0};
    uint32_t low = 1;
    image_with_a_latecomer(&m);
    memcpy(m.p + AT_NEXT, &low, sizeof low);
    ck_assert_int_gt(rig.s->h->dir_sync(rig.s->h->ctx, 0, ""), 0);
    ck_assert_int_gt(manifest_write(&rig.s->dirs[0], &m), 0);
}

START_TEST(a_manifest_whose_next_number_is_taken_gives_it_to_nobody)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        os = os_real_new(2);
        rig_init(&rig, os, root);
        write_a_head_that_is_too_low();
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_msg(rig_start(&rig) > 0, "%s", rig.text);
    for (int i = 0; i < 3; i++)
        ck_assert_int_gt(rig_open(&rig, i, 0), 0);
    must_open(3);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_ne(rig.parts[3].p->pn, rig.parts[i].p->pn);
    rig_stop(&rig);
    ck_assert_msg(rig_start(&rig) > 0, "%s", rig.text);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_gt(rig_open(&rig, i, 0), 0);
        ck_assert_msg(rig_verify(&rig, i) == 2, "part %d: %s", i, rig.text);
    }
    rig_stop(&rig);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("manifest");
    TCase *c = tcase_create("manifest");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_partition_opened_during_a_checkpoint_counts_in_its_manifest);
    tcase_add_test(c, a_manifest_whose_next_number_is_taken_gives_it_to_nobody);
    suite_add_tcase(s, c);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
