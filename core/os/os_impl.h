/* os_impl.h: what a world must implement. os.h's functions dispatch through these tables; the real world fills them in
 * core/os/real_*.c, the virtual one in tests/sim. Only those two include this header. */
#ifndef CHRONIK_OS_IMPL_H
#define CHRONIK_OS_IMPL_H

#include <stdatomic.h>

#include "os/os.h"

struct os_clock_ops {
    int64_t (*mono_ns)(struct os *os);
    int64_t (*wall_ms)(struct os *os);
    void (*boot_id)(struct os *os, struct chronik_uuid *out);
    void (*random)(struct os *os, void *p, size_t n);
};

struct os_exec_ops {
    int32_t (*open)(struct os *os, const char *name, unsigned flags, struct os_exec **out);
    void (*post)(struct os_exec *e, struct chronik_task *t);
    void (*post_at)(struct os_exec *e, struct chronik_task *t, int64_t mono_ns);
    bool (*cancel)(struct os_exec *e, struct chronik_task *t);
    bool (*here)(struct os_exec *e);
    void (*close)(struct os_exec *e);
    void (*posts)(struct os *os, bool begin); /* may be NULL */
    void (*worker_post)(struct os *os, struct chronik_task *t);
    bool (*flag_wait)(struct os *os, struct os_flag *f, int64_t timeout_ns);
    void (*flag_set)(struct os *os, struct os_flag *f);
    void (*file_submit)(struct os_exec *e, struct os_file_op *op);
    void (*exit)(struct os *os, int code); /* does not return */
    uint32_t (*processors)(struct os *os); /* NULL: one */
};

enum os_advice { OS_ADVISE_NEED, OS_ADVISE_DROP, OS_ADVISE_RANDOM, OS_ADVISE_WRITE };

struct os_file_ops {
    int32_t (*open)(struct os *os, const char *path, unsigned flags, struct os_file **out);
    void (*close)(struct os_file *f);
    int32_t (*size)(struct os_file *f, uint64_t *out);
    int32_t (*pread)(struct os_file *f, void *p, size_t n, uint64_t off, unsigned flags, size_t *got);
    int32_t (*pwritev)(struct os_file *f, const struct chronik_iov *iov, uint32_t n, uint64_t off);
    int32_t (*sync)(struct os_file *f);
    void (*sync_lost)(struct os_file *f); /* a fault failed the sync: what that does to the pages; may be NULL */
    int32_t (*truncate)(struct os_file *f, uint64_t size);
    int32_t (*allocate)(struct os_file *f, uint64_t off, uint64_t n);
    void (*advise)(struct os_file *f, uint64_t off, uint64_t n, enum os_advice what);
    int32_t (*cached)(struct os_file *f, uint64_t off, uint64_t n); /* 1, 0, E_UNSUPPORTED: unknown; may be NULL */
    int32_t (*lock)(struct os_file *f);
    int32_t (*rename)(struct os *os, const char *from, const char *to);
    int32_t (*unlink)(struct os *os, const char *path);
    int32_t (*mkdir)(struct os *os, const char *path);
    int32_t (*rmdir)(struct os *os, const char *path);
    int32_t (*sync_dir)(struct os *os, const char *path);
    int32_t (*lookup)(struct os *os, const char *path, struct os_stat *out);
    int32_t (*list)(struct os *os, const char *path, void (*each)(void *arg, const char *name, bool is_dir), void *arg);
    int32_t (*disk_free)(struct os *os, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
    uint32_t (*user)(struct os *os);
};

struct os_net_ops {
    int32_t (*listen)(struct os *os, const char *address, int backlog, struct os_sock **out, uint16_t *port,
                      struct err *e);
    int32_t (*accept)(struct os_sock *l, struct os_sock **out);
    int32_t (*connect)(struct os *os, const char *address, struct os_sock **out, struct err *e);
    int32_t (*connect_result)(struct os_sock *s);
    int32_t (*watch)(struct os_sock *s, struct os_exec *loop, unsigned what, os_sock_fn fn, void *arg);
    int64_t (*recv)(struct os_sock *s, void *p, size_t n);
    int64_t (*send)(struct os_sock *s, const struct chronik_iov *iov, uint32_t n, bool more);
    int64_t (*sendfile)(struct os_sock *s, struct os_file *f, uint64_t off, uint64_t n);
    void (*close)(struct os_sock *s, bool reset);
    void (*peer_name)(struct os_sock *s, char *buf, size_t n);
    uint64_t (*file_limit)(struct os *os);
};

enum { OS_FAULTS_MAX = 16 };

struct os_fault_slot {
    struct os_fault f;
    char path[64];
    _Atomic int64_t seen; /* matching calls so far */
};

/* A world embeds this as its first member; so do its handles with the three below. */
struct os {
    const struct os_clock_ops *clock;
    const struct os_exec_ops *exec;
    const struct os_file_ops *file;
    const struct os_net_ops *net;
    int n_faults;
    struct os_fault_slot faults[OS_FAULTS_MAX];
};

struct os_exec {
    struct os *os;
};

struct os_file {
    struct os *os;
    char *path; /* kept by os_open only while faults are set; NULL otherwise */
};

struct os_sock {
    struct os *os;
};

/* 0, or the code that this call shall fail with. `path` may be NULL. */
int32_t os_fault_hit(struct os *os, int op, const char *path);

#endif
