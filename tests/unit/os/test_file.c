/* test_file.c: files and directories of the real world, and the faults that a test may ask for. */
#include "test_real.h"

#include <unistd.h>

static struct os_file *file_new(const char *name)
{
    struct os_file *f;
    ck_assert_int_eq(os_open(os, in_dir(name), OS_READ | OS_WRITE | OS_CREATE, &f), CHRONIK_DONE);
    return f;
}

static int32_t put(struct os_file *f, const char *text, uint64_t off)
{
    struct chronik_iov v = {(void *)(uintptr_t)text, strlen(text)};
    return os_pwritev(f, &v, 1, off);
}

START_TEST(what_was_written_in_many_pieces_is_read_back)
{
    enum { N = 300 };
    static char piece[N][97];
    struct chronik_iov v[N];
    for (int i = 0; i < N; i++) {
        memset(piece[i], 'a' + i % 26, sizeof piece[i]);
        v[i] = (struct chronik_iov){piece[i], i % 7 ? (uint64_t)(i % 97) : 0};
    }
    struct os_file *f = file_new("pieces");
    ck_assert_int_eq(os_pwritev(f, v, N, 5), CHRONIK_DONE);
    static char all[N * 97 + 100];
    size_t got, at = 5;
    ck_assert_int_eq(os_pread(f, all, sizeof all, 0, 0, &got), CHRONIK_DONE);
    for (int i = 0; i < N; i++) {
        ck_assert_mem_eq(all + at, v[i].p, v[i].n);
        at += v[i].n;
    }
    ck_assert_uint_eq(got, at);
    ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
    ck_assert_int_eq(os_truncate(f, 10), CHRONIK_DONE);
    uint64_t size;
    ck_assert_int_eq(os_size(f, &size), CHRONIK_DONE);
    ck_assert_uint_eq(size, 10);
    ck_assert_int_eq(os_allocate(f, 0, 65536), CHRONIK_DONE);
    ck_assert_int_eq(os_size(f, &size), CHRONIK_DONE);
    ck_assert_uint_eq(size, 65536);
    os_advise_need(f, 0, 4096);
    os_advise_drop(f, 0, 4096);
    os_close(f);
}
END_TEST

START_TEST(what_was_dropped_is_not_cached_until_it_is_read)
{
    enum { N = 256 * 1024 };
    static char bytes[N];
    struct os_file *f = file_new("dropped");
    size_t got;
    memset(bytes, 'x', N);
    struct chronik_iov v = {bytes, N};
    ck_assert_int_eq(os_pwritev(f, &v, 1, 0), CHRONIK_DONE);
    ck_assert(os_cached(f, 0, N));
    ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
    os_advise_random(f);
    os_advise_drop(f, 0, N);
    /* A file system without a cache of its own for these pages keeps them: then there is nothing to see here. */
    bool dropped = !os_cached(f, 0, N);
    ck_assert_int_eq(os_pread(f, bytes, 4096, 0, 0, &got), CHRONIK_DONE);
    ck_assert(os_cached(f, 100, 3996));
    ck_assert(!dropped || !os_cached(f, 0, N));
    ck_assert_int_eq(os_pread(f, bytes, N, 0, 0, &got), CHRONIK_DONE);
    ck_assert(os_cached(f, 0, N));
    os_close(f);
}
END_TEST

START_TEST(a_cached_range_is_read_without_waiting)
{
    struct os_file *f = file_new("cached");
    char buf[16];
    size_t got;
    ck_assert_int_eq(put(f, "warm", 0), CHRONIK_DONE);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, OS_NOWAIT, &got), CHRONIK_DONE);
    ck_assert_uint_eq(got, 4);
    ck_assert_int_eq(os_pread(f, buf, 16, 4, OS_NOWAIT, &got), CHRONIK_DONE);
    ck_assert_uint_eq(got, 0);
    os_close(f);
}
END_TEST

START_TEST(what_passes_the_page_cache_by_and_what_does_not_are_one_file)
{
    enum { N = 8192, SECTOR = 512 };
    static _Alignas(SECTOR) char wrote[N], read[N];
    struct os_file *f;
    ck_assert_int_eq(os_open(os, in_dir("direct"), OS_READ | OS_WRITE | OS_CREATE | OS_DIRECT, &f), CHRONIK_DONE);
    memset(wrote, '0', N);
    struct chronik_iov whole = {wrote, N};
    ck_assert_int_eq(os_pwritev(f, &whole, 1, 0), CHRONIK_DONE);
    uint64_t at = 0;
    for (int i = 0; at < N; i++) { /* sectors between pieces of odd places and lengths, and reads between both */
        uint64_t n = i % 2 ? SECTOR : 1 + (uint64_t)i * 37 % SECTOR, from = i % 2 ? at - at % SECTOR : at;
        n = min_size(n, N - from);
        memset(wrote + from, 'a' + i % 26, n);
        struct chronik_iov v = {wrote + from, n};
        ck_assert_int_eq(os_pwritev(f, &v, 1, from), CHRONIK_DONE);
        size_t got;
        ck_assert_int_eq(os_pread(f, read, N, 0, 0, &got), CHRONIK_DONE);
        ck_assert_uint_eq(got, N);
        ck_assert_mem_eq(read, wrote, N);
        os_start_write(f, 0, 0);
        at = from + n;
    }
    ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
    os_close(f);
}
END_TEST

START_TEST(names_are_made_found_listed_renamed_and_removed)
{
    struct os_stat st;
    struct os_file *f;
    ck_assert_int_eq(os_mkdir(os, in_dir("d")), CHRONIK_DONE);
    ck_assert_int_eq(os_mkdir(os, in_dir("d")), CHRONIK_E_EXISTS);
    ck_assert_int_eq(os_open(os, in_dir("d/none"), OS_READ, &f), CHRONIK_E_NOTFOUND);
    f = file_new("d/a");
    ck_assert_int_eq(put(f, "hello", 0), CHRONIK_DONE);
    os_close(f);
    ck_assert_int_eq(os_open(os, in_dir("d/a"), OS_WRITE | OS_CREATE | OS_EXCL, &f), CHRONIK_E_EXISTS);
    ck_assert_int_eq(os_rename(os, in_dir("d/a"), in_dir("d/b")), CHRONIK_DONE);
    ck_assert_int_eq(os_lookup(os, in_dir("d/a"), &st), CHRONIK_E_NOTFOUND);
    ck_assert_int_eq(os_lookup(os, in_dir("d/b"), &st), CHRONIK_DONE);
    ck_assert_uint_eq(st.size, 5);
    ck_assert(!st.is_dir);
    ck_assert_uint_eq(st.uid, geteuid());
    ck_assert_int_gt(st.mtime_ms, INT64_C(1600000000000));
    ck_assert_int_eq(os_sync_dir(os, in_dir("d")), CHRONIK_DONE);
    ck_assert_int_eq(os_rmdir(os, in_dir("d")), CHRONIK_E_EXISTS);
    ck_assert_int_eq(os_unlink(os, in_dir("d/b")), CHRONIK_DONE);
    ck_assert_int_eq(os_rmdir(os, in_dir("d")), CHRONIK_DONE);
    ck_assert_int_eq(os_rmdir(os, in_dir("d")), CHRONIK_E_NOTFOUND);
}
END_TEST

static int files, dirs;

static void entry(void *arg, const char *name, bool is_dir)
{
    if (is_dir)
        dirs++;
    else
        files++;
}

START_TEST(a_listing_tells_files_from_directories)
{
    os_close(file_new("x"));
    os_close(file_new("y"));
    ck_assert_int_eq(os_mkdir(os, in_dir("z")), CHRONIK_DONE);
    ck_assert_int_eq(os_list(os, dir, entry, NULL), CHRONIK_DONE);
    ck_assert_int_eq(files, 2);
    ck_assert_int_eq(dirs, 1);
    ck_assert_int_eq(os_list(os, in_dir("none"), entry, NULL), CHRONIK_E_NOTFOUND);
    uint64_t left, total;
    ck_assert_int_eq(os_disk_free(os, dir, &left, &total), CHRONIK_DONE);
    ck_assert_uint_gt(total, 0);
    ck_assert_uint_le(left, total);
}
END_TEST

START_TEST(a_locked_file_refuses_a_second_lock_until_closed)
{
    struct os_file *a = file_new("lock"), *b = file_new("lock");
    ck_assert_int_eq(os_lock(a), CHRONIK_DONE);
    ck_assert_int_eq(os_lock(b), CHRONIK_E_LOCKED);
    os_close(a);
    ck_assert_int_eq(os_lock(b), CHRONIK_DONE);
    os_close(b);
}
END_TEST

START_TEST(a_full_disk_is_told_from_a_broken_one)
{
    struct os_file *f;
    ck_assert_int_eq(os_open(os, "/dev/full", OS_WRITE, &f), CHRONIK_DONE);
    ck_assert_int_eq(put(f, "x", 0), CHRONIK_E_NOSPC);
    os_close(f);
}
END_TEST

/* ---- submitted operations ---- */

static struct os_flag done;
static int order;

static void op_done(struct os_file_op *op)
{
    ck_assert(os_exec_here(op->exec));
    ck_assert_int_eq(op->result, CHRONIK_DONE);
    order = order * 10 + 1;
}

static void after(void *arg)
{
    order = order * 10 + 2;
    os_flag_set(os, &done);
}

START_TEST(a_submitted_write_and_sync_runs_in_the_order_of_its_executor)
{
    struct os_exec *e;
    struct os_file *f = file_new("op");
    ck_assert_int_eq(os_exec_open(os, "ops", 0, &e), CHRONIK_DONE);
    struct chronik_iov v = {(void *)(uintptr_t) "abc", 3};
    struct os_file_op op = {.file = f, .iov = &v, .n_iov = 1, .write = true, .sync = true, .done = op_done};
    struct chronik_task t = {.fn = after};
    os_file_submit(e, &op);
    os_exec_post(e, &t);
    ck_assert(os_flag_wait(os, &done, 20 * SECOND));
    ck_assert_int_eq(order, 12);
    uint64_t size;
    ck_assert_int_eq(os_size(f, &size), CHRONIK_DONE);
    ck_assert_uint_eq(size, 3);
    os_close(f);
    os_exec_close(e);
}
END_TEST

/* ---- faults ---- */

START_TEST(a_fault_fails_the_nth_call_of_its_kind_once)
{
    struct os_file *f = file_new("faulty");
    char buf[4];
    size_t got;
    os_fault_set(os, OS_FAULT_WRITE, 2, CHRONIK_E_NOSPC);
    os_fault_set(os, OS_FAULT_SYNC, 0, CHRONIK_E_IO);
    os_fault_set(os, OS_FAULT_READ, 1, CHRONIK_E_IO);
    ck_assert_int_eq(put(f, "1", 0), CHRONIK_DONE);
    ck_assert_int_eq(put(f, "2", 1), CHRONIK_DONE);
    ck_assert_int_eq(put(f, "3456", 2), CHRONIK_E_NOSPC);
    ck_assert_int_eq(put(f, "3", 2), CHRONIK_DONE);
    ck_assert_int_eq(os_sync(f), CHRONIK_E_IO);
    ck_assert_int_eq(os_sync(f), CHRONIK_DONE);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, 0, &got), CHRONIK_DONE);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, 0, &got), CHRONIK_E_IO);
    os_fault_clear(os);
    ck_assert_int_eq(os_pread(f, buf, 4, 0, 0, &got), CHRONIK_DONE);
    os_close(f);
}
END_TEST

START_TEST(faults_are_read_from_text_and_may_name_a_path)
{
    struct err e = {0};
    ck_assert_int_eq(os_fault_parse(os, "write@/wal/:1:ENOSPC:2,open@secret:0:EACCES:*", &e), CHRONIK_DONE);
    ck_assert_int_eq(os_mkdir(os, in_dir("wal")), CHRONIK_DONE);
    struct os_file *wal = file_new("wal/0"), *other = file_new("other"), *f;
    ck_assert_int_eq(put(wal, "1", 0), CHRONIK_DONE);
    ck_assert_int_eq(put(other, "1", 0), CHRONIK_DONE);
    ck_assert_int_eq(put(wal, "2", 0), CHRONIK_E_NOSPC);
    ck_assert_int_eq(put(wal, "3", 0), CHRONIK_E_NOSPC);
    ck_assert_int_eq(put(wal, "4", 0), CHRONIK_DONE);
    ck_assert_int_eq(os_open(os, in_dir("secret"), OS_READ, &f), CHRONIK_E_PERM);
    ck_assert_int_eq(os_open(os, in_dir("secret"), OS_READ, &f), CHRONIK_E_PERM);
    os_close(wal);
    os_close(other);
}
END_TEST

START_TEST(a_malformed_fault_is_refused_with_a_sentence)
{
    static const char *const bad[] = {"write", "write:x:EIO", "burn:1:EIO", "write:1:EWHAT", "write:1:EIO:-2", ","};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        ck_assert_int_eq(os_fault_parse(os, bad[i], &e), CHRONIK_E_INVAL);
        ck_assert_ptr_nonnull(strstr(e.text, "OP[@PATH]"));
    }
    struct err e = {0};
    setenv("CHRONIK_TEST_FAULTS", "sync:0:EIO", 1);
    ck_assert_int_eq(os_fault_from_env(os, &e), CHRONIK_DONE);
    unsetenv("CHRONIK_TEST_FAULTS");
    struct os_file *f = file_new("env");
    ck_assert_int_eq(os_sync(f), CHRONIK_E_IO);
    os_close(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file");
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, world_open, world_close);
    tcase_add_test(t, what_was_written_in_many_pieces_is_read_back);
    tcase_add_test(t, what_was_dropped_is_not_cached_until_it_is_read);
    tcase_add_test(t, a_cached_range_is_read_without_waiting);
    tcase_add_test(t, what_passes_the_page_cache_by_and_what_does_not_are_one_file);
    tcase_add_test(t, names_are_made_found_listed_renamed_and_removed);
    tcase_add_test(t, a_listing_tells_files_from_directories);
    tcase_add_test(t, a_locked_file_refuses_a_second_lock_until_closed);
    tcase_add_test(t, a_full_disk_is_told_from_a_broken_one);
    tcase_add_test(t, a_submitted_write_and_sync_runs_in_the_order_of_its_executor);
    tcase_add_test(t, a_fault_fails_the_nth_call_of_its_kind_once);
    tcase_add_test(t, faults_are_read_from_text_and_may_name_a_path);
    tcase_add_test(t, a_malformed_fault_is_refused_with_a_sentence);
    suite_add_tcase(s, t);
    return run_suite(s);
}
