/* test_host.c: the services of the host over the real world: names stay inside their directory, tasks run in order,
 * submitted writes complete on their executor, buffers count their references. */
#include "world.h"

START_TEST(a_name_cannot_leave_its_directory)
{
    static const char *const bad[] = {"", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a/.", "../x"};
    struct chronik_file *f;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(table->file_open(table->ctx, 0, bad[i], CHRONIK_FILE_READ, &f) == CHRONIK_E_INVAL, "%s", bad[i]);
    ck_assert_int_eq(table->file_open(table->ctx, 1, "a", CHRONIK_FILE_READ, &f), CHRONIK_E_INVAL);
    ck_assert_int_eq(table->file_open(table->ctx, 0, "a", 64, &f), CHRONIK_E_UNSUPPORTED);
    ck_assert_int_eq(table->file_open(table->ctx, 0, "a", CHRONIK_FILE_READ, &f), CHRONIK_E_NOTFOUND);
}
END_TEST

START_TEST(a_file_gives_back_what_was_written)
{
    struct chronik_file *f;
    char buf[16] = {0};
    uint64_t got, size;
    char hello[] = "hello ", file[] = "file";
    struct chronik_iov iov[2] = {{hello, 6}, {file, 4}};
    ck_assert_int_eq(table->dir_make(table->ctx, 0, "d"), CHRONIK_DONE);
    ck_assert_int_eq(
        table->file_open(table->ctx, 0, "d/f", CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f),
        CHRONIK_DONE);
    ck_assert_int_eq(table->file_write(f, iov, 2, 0), CHRONIK_DONE);
    ck_assert_int_eq(table->file_sync(f), CHRONIK_DONE);
    ck_assert_int_eq(table->file_size(f, &size), CHRONIK_DONE);
    ck_assert_uint_eq(size, 10);
    ck_assert_int_gt(table->file_read(f, buf, sizeof buf, 0, 0, &got), 0);
    ck_assert_uint_eq(got, 10);
    ck_assert_str_eq(buf, "hello file");
    ck_assert_int_eq(table->file_read(f, buf, 1, 0, 64, &got), CHRONIK_E_UNSUPPORTED);
    table->file_close(f);
    ck_assert_int_eq(table->file_rename(table->ctx, 0, "d/f", "g"), CHRONIK_DONE);
    ck_assert_int_eq(table->dir_sync(table->ctx, 0, ""), CHRONIK_DONE);
    ck_assert_int_eq(table->dir_remove(table->ctx, 0, "d"), CHRONIK_DONE);
    ck_assert_int_eq(table->file_remove(table->ctx, 0, "g"), CHRONIK_DONE);
}
END_TEST

struct order {
    struct chronik_exec *exec;
    int at, seen[3], here;
};
struct numbered {
    struct chronik_task task;
    struct order *order;
    int number;
};

static void note(void *arg)
{
    struct numbered *n = arg;
    n->order->seen[n->order->at++] = n->number;
    n->order->here += table->exec_here(n->order->exec) != 0;
}

START_TEST(tasks_run_in_the_order_of_their_posts_and_closing_runs_what_is_queued)
{
    struct order o = {0};
    struct numbered n[3];
    struct waiting w;
    ck_assert_int_eq(table->exec_open(table->ctx, "test", 2, &o.exec), CHRONIK_E_UNSUPPORTED);
    ck_assert_int_eq(table->exec_open(table->ctx, "test", 0, &o.exec), CHRONIK_DONE);
    ck_assert_int_eq(table->exec_here(o.exec), 0);
    for (int i = 0; i < 3; i++) {
        n[i] = (struct numbered){.task = {.fn = note, .arg = &n[i]}, .order = &o, .number = i};
        table->exec_post(o.exec, &n[i].task);
    }
    ck_assert_int_eq(finish(&w, table->exec_close(o.exec, done_of(&w))), CHRONIK_DONE);
    ck_assert_int_eq(o.at, 3);
    ck_assert_int_eq(o.here, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(o.seen[i], i);
}
END_TEST

static struct chronik_exec *submit_exec;
static int on_exec;

static void submitted(void *arg, int32_t result)
{
    on_exec = table->exec_here(submit_exec);
    wake(arg, result);
}

START_TEST(a_submitted_write_completes_on_its_executor)
{
    struct chronik_file *f;
    struct waiting w, closing;
    char text[] = "durable";
    struct chronik_iov iov = {text, 7};
    ck_assert_int_eq(table->exec_open(table->ctx, "commit", 0, &submit_exec), CHRONIK_DONE);
    ck_assert_int_eq(table->file_open(table->ctx, 0, "f", CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE, &f), CHRONIK_DONE);
    struct chronik_file_op op = {
        .size = sizeof op,
        .flags = CHRONIK_OP_WRITE | CHRONIK_OP_SYNC,
        .file = f,
        .iov = &iov,
        .n_iov = 1,
        .done = done_of(&w),
    };
    op.done.fn = submitted;
    table->file_submit(submit_exec, &op);
    ck_assert_int_eq(finish(&w, CHRONIK_PENDING), CHRONIK_DONE);
    ck_assert_int_ne(on_exec, 0);
    uint64_t size;
    ck_assert_int_eq(table->file_size(f, &size), CHRONIK_DONE);
    ck_assert_uint_eq(size, 7);
    table->file_close(f);
    ck_assert_int_eq(finish(&closing, table->exec_close(submit_exec, done_of(&closing))), CHRONIK_DONE);
}
END_TEST

START_TEST(a_failed_directory_is_offline_and_told_once)
{
    struct chronik_dir_info info = {.size = sizeof info};
    struct chronik_file *f;
    ck_assert_int_eq(table->dir_info(table->ctx, 0, &info), CHRONIK_DONE);
    ck_assert_uint_eq(info.online, 1);
    ck_assert_uint_eq(info.id.b[0], 7);
    ck_assert_uint_gt(info.total_bytes, 0);
    ck_assert_str_eq(info.path, data_dir);
    table->dir_failed(table->ctx, 0, "broken");
    table->dir_failed(table->ctx, 0, "broken");
    ck_assert_int_eq(dirs_failed, 1);
    ck_assert_int_eq(table->file_open(table->ctx, 0, "a", CHRONIK_FILE_READ, &f), CHRONIK_E_OFFLINE);
    ck_assert_int_eq(table->dir_info(table->ctx, 0, &info), CHRONIK_DONE);
    ck_assert_uint_eq(info.online, 0);
}
END_TEST

START_TEST(an_answer_never_writes_beyond_the_size_the_caller_states)
{
    struct chronik_dir_info info;
    memset(&info, 0x5a, sizeof info);
    info.size = offsetof(struct chronik_dir_info, path);
    ck_assert_int_eq(table->dir_info(table->ctx, 0, &info), CHRONIK_DONE);
    ck_assert_uint_eq(info.total_bytes, UINT64_C(0x5a5a5a5a5a5a5a5a));
}
END_TEST

START_TEST(a_buffer_lives_as_long_as_its_last_reference)
{
    struct chronik_buf *b = table->buf_new(table->ctx, 100);
    ck_assert_ptr_nonnull(b);
    ck_assert_uint_eq(table->buf_size(b), 100);
    table->buf_ref(b);
    table->buf_unref(b);
    memset(table->buf_data(b), 1, 100);
    ck_assert_uint_eq((uintptr_t)table->buf_data(b) % 16, 0);
    table->buf_unref(b);
}
END_TEST

START_TEST(settings_metrics_and_checksums_reach_the_core)
{
    int64_t v = 0;
    const char *s = NULL;
    ck_assert_int_eq(table->config_i64(table->ctx, "any", &v), CHRONIK_DONE);
    ck_assert_int_eq(v, 1 << 20);
    ck_assert_int_eq(table->config_str(table->ctx, "any", &s), CHRONIK_E_NOTFOUND);
    ck_assert_uint_eq(table->crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(table->crc32c(table->crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    struct chronik_metric *m = table->metric_open(table->ctx, CHRONIK_METRIC_COUNTER, "test_total", "A test");
    ck_assert_ptr_nonnull(m);
    table->metric_add(m, 3);
    table->metric_add(NULL, 3);
    ck_assert_ptr_null(table->metric_open(table->ctx, 9, "test_total", "A test"));
    table->log(table->ctx, CHRONIK_LOG_INFO, "a line from a module");
    table->log(table->ctx, 99, "a line of an unknown level");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("host");
    TCase *t = tcase_create("host");
    tcase_add_checked_fixture(t, world_open, world_close);
    tcase_add_test(t, a_name_cannot_leave_its_directory);
    tcase_add_test(t, a_file_gives_back_what_was_written);
    tcase_add_test(t, tasks_run_in_the_order_of_their_posts_and_closing_runs_what_is_queued);
    tcase_add_test(t, a_submitted_write_completes_on_its_executor);
    tcase_add_test(t, a_failed_directory_is_offline_and_told_once);
    tcase_add_test(t, an_answer_never_writes_beyond_the_size_the_caller_states);
    tcase_add_test(t, a_buffer_lives_as_long_as_its_last_reference);
    tcase_add_test(t, settings_metrics_and_checksums_reach_the_core);
    suite_add_tcase(s, t);
    return run_suite(s);
}
