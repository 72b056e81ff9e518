/* kit.h: what the checks of the conformance kit stand on: a world (the real one or the simulator's), a host for the
 * module under test, calls that know whether they completed once, and arguments that vanish when they were due back.
 * A check runs alone in a child process; it ends by returning (passed) or by EXPECT (failed, with a sentence). */
#ifndef CHRONIK_CONFORMANCE_KIT_H
#define CHRONIK_CONFORMANCE_KIT_H

#include "os/os.h"
#include "plugin/host.h"
#include "plugin/loader.h"

#include <stdatomic.h>

#define KIT_SECOND INT64_C(1000000000)
#define KIT_WAIT   (20 * KIT_SECOND) /* longer than anything a healthy module does here */
#define KIT_DIRS   2

struct sim_world;

/* "KEY=VALUE" of --set. */
struct kit_options {
    const char *const *set;
    unsigned n_set;
    unsigned cuts;  /* power cuts to try; 0: the default */
    bool sync_noop; /* syncs of the virtual disk do nothing: the power cuts must notice */
};

struct kit_call;

struct kit {
    const struct plugin_module *module;
    const struct kit_options *options;
    struct os *os;
    struct sim_world *sim; /* NULL in the real world */
    struct plugin_host *host;
    const struct chronik_host *table;
    const char *root; /* empty directory of this check */
    char dirs[KIT_DIRS][256];
    struct kit_call *calls; /* all that were made; nobody else's */
    atomic_int dirs_failed;
};

/* ---- failing ---- */

#define EXPECT(cond, ...)                                                                                              \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            kit_fail(__VA_ARGS__);                                                                                     \
    } while (0)
_Noreturn void kit_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
void kit_report_to(int fd); /* where the sentence of kit_fail goes */
/* What the check is at, to be named by kit_fail; "" for nothing. */
void kit_where(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The name of a result for sentences: "CHRONIK_E_BUSY (-9)". A few calls' answers stay valid. */
const char *kit_code(int32_t rc);

/* ---- the world ---- */

/* A host over `os` with KIT_DIRS empty directories below `root`. */
void kit_open(struct kit *k, struct os *os, const char *root);
/* Makes a new host over the directories that are there: the process was restarted. */
void kit_reopen(struct kit *k, struct os *os);
/* Every call must have completed, once; then the host goes. */
void kit_close(struct kit *k);

/* ---- calls ---- */

/* One call under the call rule. Lives until the check ends, so that a second completion is seen. */
struct kit_call {
    struct kit *kit;
    struct kit_call *next;
    const char *what;
    struct os_flag flag;
    atomic_int completions;
    int32_t result;
    bool pending;               /* the call said that a completion would follow */
    struct chronik_exec *where; /* the executor it must come on; NULL: any thread of the host */
    void (*then)(void *arg, int32_t result);
    void *arg;
    void (*also)(void *arg, int32_t result); /* behind `then` */
    void *also_arg;
};

struct kit_call *kit_call_new(struct kit *k, const char *what, struct chronik_exec *where);
struct chronik_done kit_done(struct kit_call *c);
/* Around every op: a completion or an event on this thread meanwhile is a failure. */
void kit_enter(void);
void kit_leave(void);
bool kit_inside(void);
void kit_forget_inside(void); /* the node died inside a call */
#define CALL(expr)                                                                                                     \
    __extension__({                                                                                                    \
        kit_enter();                                                                                                   \
        int32_t call_rc_ = (expr);                                                                                     \
        kit_leave();                                                                                                   \
        call_rc_;                                                                                                      \
    })
/* The outcome of a call that returned `rc`; waits for the completion when there is to be one. */
int32_t kit_finish(struct kit_call *c, int32_t rc);
/* As kit_finish without waiting: `rc` is what the call returned, the completion is awaited by kit_close. */
void kit_started(struct kit_call *c, int32_t rc);
/* Waits until *flag is set, else fails with "what did not happen within 20 s". */
void kit_wait(struct kit *k, struct os_flag *flag, const char *what);
/* Waits until fn(arg), looking again and again; for what nothing announces. */
void kit_until(struct kit *k, bool (*fn)(void *arg), void *arg, const char *what);

/* ---- arguments ---- */

/* n bytes that end at an unmapped page. */
void *kit_lend(size_t n);
/* The callee must only read from now on. */
void kit_lend_readonly(void *p, size_t n);
/* The loan is over: touching the bytes ends the check. */
void kit_take_back(void *p, size_t n);

/* Bytes that tell by themselves whether they are whole: filled from `id`. */
void kit_fill(void *p, size_t n, uint64_t id);
bool kit_filled(const void *p, size_t n, uint64_t id);

/* ---- the checks ---- */

struct kit_check {
    const char *name;
    uint64_t needs; /* capabilities without which the check is left out */
    void (*run)(struct kit *k);
    bool sim; /* wants the simulator: opens its own worlds */
};

extern const struct kit_check kit_meta_checks[], kit_store_checks[]; /* end with a NULL name */

#endif
