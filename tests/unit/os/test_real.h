/* test_real.h: what the tests of the real world share: one world a test, a directory of its own, a suite's end. */
#ifndef CHRONIK_TEST_REAL_H
#define CHRONIK_TEST_REAL_H

#include "os/os.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

static struct os *os;
static char dir[64];

static inline void world_open(void)
{
    os = os_real_new(2);
    ck_assert_ptr_nonnull(os);
    snprintf(dir, sizeof dir, "/tmp/chronik-os-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static inline void world_close(void)
{
    char cmd[128];
    os_real_free(os);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(cmd), 0);
}

static inline const char *in_dir(const char *name)
{
    static char path[4][256];
    static int n;
    n = (n + 1) % 4;
    snprintf(path[n], sizeof path[n], "%s/%s", dir, name);
    return path[n];
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
