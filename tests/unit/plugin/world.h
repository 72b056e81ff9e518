/* world.h: what the tests of core/plugin share: one real world, a data directory, a host over it, and waiting for a
 * completion. One of each a test process. */
#ifndef CHRONIK_TEST_PLUGIN_WORLD_H
#define CHRONIK_TEST_PLUGIN_WORLD_H

#include "plugin/host.h"
#include "plugin/loader.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

static struct os *os;
static struct plugin_host *host;
static const struct chronik_host *table;
static char data_dir[64];
static int dirs_failed;

struct waiting {
    struct os_flag flag;
    int32_t result;
    int calls;
};

static inline void wake(void *arg, int32_t result)
{
    struct waiting *w = arg;
    w->result = result;
    w->calls++;
    os_flag_set(os, &w->flag);
}

static inline struct chronik_done done_of(struct waiting *w)
{
    *w = (struct waiting){0};
    return (struct chronik_done){.fn = wake, .arg = w};
}

/* The result of a call that follows the call rule, whichever way it answers. */
static inline int32_t finish(struct waiting *w, int32_t rc)
{
    if (rc != CHRONIK_PENDING)
        return rc;
    ck_assert_msg(os_flag_wait(os, &w->flag, 10 * SECOND), "no completion within 10 s");
    ck_assert_int_eq(w->calls, 1);
    return w->result;
}

static inline int32_t setting_i64(void *arg, const char *key, int64_t *out)
{
    (void)arg, (void)key;
    *out = 1 << 20;
    return CHRONIK_DONE;
}

static inline int32_t setting_str(void *arg, const char *key, const char **out)
{
    (void)arg;
    *out = "word";
    return strcmp(key, "node.rack") == 0 ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static inline void on_dir_failed(void *arg, uint32_t dir, const char *text)
{
    (void)arg, (void)dir, (void)text;
    dirs_failed++;
}

static inline void on_fatal(void *arg, int32_t code, const char *text)
{
    (void)arg;
    fprintf(stderr, "fatal %d: %s\n", code, text);
    exit(code);
}

static inline void world_open(void)
{
    os = os_real_new(2);
    ck_assert_ptr_nonnull(os);
    dirs_failed = 0;
    snprintf(data_dir, sizeof data_dir, "/tmp/chronik-plugin-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(data_dir));
    struct plugin_dir_config dir = {.path = data_dir, .id = {.b = {7}}, .online = true};
    struct plugin_host_config cfg = {
        .os = os,
        .module = "test-module",
        .settings = {.i64 = setting_i64, .str = setting_str},
        .dirs = &dir,
        .n_dirs = 1,
        .dir_failed = on_dir_failed,
        .fatal = on_fatal,
    };
    ck_assert_int_eq(plugin_host_new(&cfg, &host), CHRONIK_DONE);
    table = plugin_host_table(host);
}

static inline void world_close(void)
{
    char cmd[128];
    plugin_host_free(host);
    os_real_free(os);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", data_dir);
    ck_assert_int_eq(system(cmd), 0);
}

static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
