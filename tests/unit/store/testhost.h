/* testhost.h: a host services table over core/os for the tests of record log, snapshot file and store-wal: the same in
 * the real world and in the simulator. One thread makes and frees it; the table may then be used from any. */
#ifndef CHRONIK_TEST_HOST_H
#define CHRONIK_TEST_HOST_H

#include <chronik/host.h>

#include "os/os.h"

struct testhost;

struct testhost_setting {
    const char *key, *text;
    int64_t number;
};

struct testhost {
    struct chronik_host table;
    struct os *os;
    char roots[4][200];
    uint32_t n_dirs;
    bool quiet;                                              /* log lines are dropped */
    void (*on_fatal)(void *arg, int code, const char *text); /* before os_exit */
    void *fatal_arg;
    struct testhost_setting settings[24];
    uint32_t n_settings;
    uint32_t offline; /* bits of directories reported by dir_failed */
    char last_log[600], last_warning[600];
    struct chronik_uuid boot;
    bool own_boot; /* answer `boot` instead of the kernel's */
};

/* `root` is made when missing. Further data directories: testhost_dir. */
void testhost_init(struct testhost *t, struct os *os, const char *root);
void testhost_dir(struct testhost *t, const char *root);
void testhost_set(struct testhost *t, const char *key, int64_t number, const char *text);

/* A place to wait for a completion: pass testhost_done(&w), then testhost_wait. */
struct testhost_wait {
    struct os *os;
    struct os_flag flag;
    int32_t result;
};
struct chronik_done testhost_done(struct testhost *t, struct testhost_wait *w);
/* Waits up to 30 s when `started` is pending; the result either way. */
int32_t testhost_result(struct testhost_wait *w, int32_t started);

/* A new folder below /tmp, removed with everything in it by testhost_rmtree. */
void testhost_mkdtemp(char out[64]);
void testhost_rmtree(const char *path);

#endif
