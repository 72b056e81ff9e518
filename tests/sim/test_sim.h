/* test_sim.h: small helpers of the simulator's own tests. */
#ifndef CHRONIK_TEST_SIM_H
#define CHRONIK_TEST_SIM_H

#include "tests/sim/sim.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static inline struct os_file *test_open(struct os *os, const char *path)
{
    struct os_file *f;
    ck_assert_int_eq(os_open(os, path, OS_READ | OS_WRITE | OS_CREATE, &f), CHRONIK_DONE);
    return f;
}

static inline int32_t test_put(struct os_file *f, const char *text, uint64_t off)
{
    struct chronik_iov v = {(void *)(uintptr_t)text, strlen(text)};
    return os_pwritev(f, &v, 1, off);
}

/* The file's text, or NULL when it does not exist. */
static inline const char *test_get(struct os *os, const char *path)
{
    static char buf[8192];
    struct os_file *f;
    size_t got;
    if (os_open(os, path, OS_READ, &f) < 0)
        return NULL;
    ck_assert_int_eq(os_pread(f, buf, sizeof buf - 1, 0, 0, &got), CHRONIK_DONE);
    buf[got] = 0;
    os_close(f);
    return buf;
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
