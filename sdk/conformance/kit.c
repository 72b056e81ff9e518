/* kit.c: the ground of the conformance kit. Completions come on the module's threads, the check itself runs on one
 * thread; what they share is atomic or handed over by os_flag. It must never let a broken module hang it: every wait is
 * bounded and every failure ends the child process at once. */
#include "kit.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- failing ---- */

static int report_fd = STDERR_FILENO;
static char stage[200];

void kit_report_to(int fd)
{
    report_fd = fd;
}

void kit_where(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(stage, sizeof stage, fmt, ap);
    va_end(ap);
}

void kit_fail(const char *fmt, ...)
{
    char text[1000], what[750];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    int n = snprintf(text, sizeof text, "%s%s%s", stage, stage[0] != 0 ? ": " : "", what);
    size_t len = n < 0 ? 0 : min_size((size_t)n, sizeof text - 1);
    ssize_t ignored = write(report_fd, text, len);
    (void)ignored;
    _exit(1);
}

#define NAME_OF(name, code, text)                                                                                      \
    case code:                                                                                                         \
        return #name;
static const char *code_name(int32_t rc)
{
    switch (rc) {
        CHRONIK_ERRORS(NAME_OF)
    case CHRONIK_PENDING:
        return "CHRONIK_PENDING";
    default:
        return rc > 0 ? "CHRONIK_DONE" : "an unknown error";
    }
}

const char *kit_code(int32_t rc)
{
    static _Thread_local char text[4][64];
    static _Thread_local unsigned at;
    char *to = text[at++ % 4];
    snprintf(to, sizeof text[0], "%s (%d)", code_name(rc), rc);
    return to;
}

/* ---- settings: the module's schema, the user's --set, and the broker's own keys ---- */

static const char *broker_key(const char *key)
{
    static const struct {
        const char *name, *value;
    } keys[] = {
        {"node.id", "1"},
        {"chronik.flush", "group"},
        {"log.segment.bytes", "1048576"},
        {"log.flush.interval.ms", "1000"},
        {"log.flush.interval.messages", "9223372036854775807"},
        {"flush.ms", "1000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].name, key) == 0)
            return keys[i].value;
    return NULL;
}

static int32_t setting_str(void *arg, const char *key, const char **out)
{
    const struct kit *k = arg;
    size_t n = strlen(key);
    *out = NULL;
    for (unsigned i = 0; i < k->options->n_set; i++)
        if (strncmp(k->options->set[i], key, n) == 0 && k->options->set[i][n] == '=')
            *out = k->options->set[i] + n + 1;
    for (uint32_t i = 0; *out == NULL && i < k->module->desc.n_config_keys; i++) {
        struct chronik_config_key c = descriptor_config_key(&k->module->desc, i);
        if (strcmp(c.name, key) == 0)
            *out = c.dflt;
    }
    if (*out == NULL)
        *out = broker_key(key);
    return *out != NULL ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

static int32_t setting_i64(void *arg, const char *key, int64_t *out)
{
    const char *text;
    char *end;
    int32_t rc = setting_str(arg, key, &text);
    if (rc < 0)
        return rc;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *out = text[0] == 't';
        return CHRONIK_DONE;
    }
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno != 0 || *end != 0 || end == text ? CHRONIK_E_INVAL : CHRONIK_DONE;
}

/* ---- the world ---- */

static void on_dir_failed(void *arg, uint32_t dir, const char *text)
{
    struct kit *k = arg;
    (void)dir, (void)text;
    atomic_fetch_add(&k->dirs_failed, 1);
}

static void on_fatal(void *arg, int32_t code, const char *text)
{
    (void)arg;
    kit_fail("the module ended the process with status %d: %s", code, text);
}

void kit_reopen(struct kit *k, struct os *os)
{
    struct plugin_dir_config dirs[KIT_DIRS];
    for (unsigned i = 0; i < KIT_DIRS; i++) {
        snprintf(k->dirs[i], sizeof k->dirs[i], "%s/%u", k->root, i);
        dirs[i] = (struct plugin_dir_config){.path = k->dirs[i], .id = {.b = {0xd1, (uint8_t)(i + 1)}}, .online = true};
    }
    struct plugin_host_config cfg = {
        .os = os,
        .module = k->module->desc.name,
        .settings = {.arg = k, .i64 = setting_i64, .str = setting_str},
        .dirs = dirs,
        .n_dirs = KIT_DIRS,
        .arg = k,
        .dir_failed = on_dir_failed,
        .fatal = on_fatal,
    };
    k->os = os;
    EXPECT(plugin_host_new(&cfg, &k->host) > 0, "the kit has no memory for a host");
    k->table = plugin_host_table(k->host);
}

void kit_open(struct kit *k, struct os *os, const char *root)
{
    char path[300];
    k->root = root;
    for (unsigned i = 0; i < KIT_DIRS; i++) {
        snprintf(path, sizeof path, "%s/%u", root, i);
        int32_t rc = os_mkdir(os, path);
        EXPECT(rc > 0, "the kit cannot make %s: %s", path, kit_code(rc));
    }
    kit_reopen(k, os);
}

void kit_close(struct kit *k)
{
    for (struct kit_call *c = k->calls; c != NULL; c = c->next) {
        if (c->pending)
            kit_wait(k, &c->flag, c->what);
        int n = atomic_load(&c->completions);
        EXPECT(n == (c->pending ? 1 : 0), "%s: %d completions, wanted %d", c->what, n, c->pending ? 1 : 0);
    }
    k->calls = NULL;
    plugin_host_free(k->host);
    k->host = NULL;
}

/* ---- calls ---- */

static _Thread_local int inside;

void kit_enter(void)
{
    inside++;
}

void kit_leave(void)
{
    inside--;
}

void kit_forget_inside(void)
{
    inside = 0;
}

bool kit_inside(void)
{
    return inside > 0;
}

struct kit_call *kit_call_new(struct kit *k, const char *what, struct chronik_exec *where)
{
    struct kit_call *c = calloc(1, sizeof *c);
    EXPECT(c != NULL, "the kit has no memory");
    c->kit = k;
    c->what = what;
    c->where = where;
    c->next = k->calls;
    k->calls = c;
    return c;
}

static void completed(void *arg, int32_t result)
{
    struct kit_call *c = arg;
    int before = atomic_fetch_add(&c->completions, 1);
    EXPECT(before == 0, "%s completed more than once (now with %s)", c->what, kit_code(result));
    EXPECT(!kit_inside(), "%s completed inside a call into the module", c->what);
    EXPECT(result != CHRONIK_PENDING, "%s completed with CHRONIK_PENDING", c->what);
    EXPECT(c->where == NULL || c->kit->table->exec_here(c->where), "%s completed on another thread than its executor",
           c->what);
    c->result = result;
    if (c->then != NULL)
        c->then(c->arg, result);
    if (c->also != NULL)
        c->also(c->also_arg, result);
    os_flag_set(c->kit->os, &c->flag);
}

struct chronik_done kit_done(struct kit_call *c)
{
    return (struct chronik_done){.fn = completed, .arg = c};
}

void kit_started(struct kit_call *c, int32_t rc)
{
    c->pending = rc == CHRONIK_PENDING;
    EXPECT(c->pending || atomic_load(&c->completions) == 0, "%s answered %s and completed as well", c->what,
           kit_code(rc));
}

int32_t kit_finish(struct kit_call *c, int32_t rc)
{
    kit_started(c, rc);
    if (!c->pending)
        return rc;
    kit_wait(c->kit, &c->flag, c->what);
    return c->result;
}

void kit_wait(struct kit *k, struct os_flag *flag, const char *what)
{
    EXPECT(os_flag_wait(k->os, flag, KIT_WAIT), "%s: not within 20 s", what);
}

void kit_until(struct kit *k, bool (*fn)(void *arg), void *arg, const char *what)
{
    struct os_flag never = {0};
    for (int i = 0; i < 2000 && !fn(arg); i++)
        os_flag_wait(k->os, &never, KIT_SECOND / 100);
    EXPECT(fn(arg), "%s: not within 20 s", what);
}

/* ---- arguments ---- */

/* Bytes of whole pages that hold a loan of n. */
static size_t loan_pages(size_t n)
{
    return round_up(max_size(n, 16), (size_t)sysconf(_SC_PAGESIZE));
}

/* Where they begin: a loan starts in their first page and ends at the end of the last. */
static char *loan_map(void *p)
{
    return (char *)((uintptr_t)p & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));
}

void *kit_lend(size_t n)
{
    size_t room = max_size(round_up(n, 16), 16), size = loan_pages(n), guard = loan_pages(1);
    char *map = mmap(NULL, size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(map != MAP_FAILED, "the kit cannot map %zu bytes: %s", size, strerror(errno));
    EXPECT(mprotect(map + size, guard, PROT_NONE) == 0, "the kit cannot guard a page");
    return map + size - room;
}

void kit_lend_readonly(void *p, size_t n)
{
    EXPECT(mprotect(loan_map(p), loan_pages(n), PROT_READ) == 0, "the kit cannot protect a page");
}

/* A loan that is back stays unreadable for a while, then its addresses go: a process has only so many mappings. */
void kit_take_back(void *p, size_t n)
{
    enum { KEPT = 1024 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        char *map;
        size_t size;
    } kept[KEPT];
    static unsigned at;
    char *map = loan_map(p);
    size_t size = loan_pages(n);
    EXPECT(mprotect(map, size, PROT_NONE) == 0, "the kit cannot protect a page");
    pthread_mutex_lock(&lock);
    if (kept[at].map != NULL)
        munmap(kept[at].map, kept[at].size);
    kept[at].map = map;
    kept[at].size = size + loan_pages(1); /* the guard too */
    at = (at + 1) % KEPT;
    pthread_mutex_unlock(&lock);
}

static uint64_t next(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *x >> 33;
}

void kit_fill(void *p, size_t n, uint64_t id)
{
    uint64_t x = id;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)next(&x);
}

bool kit_filled(const void *p, size_t n, uint64_t id)
{
    uint64_t x = id;
    for (size_t i = 0; i < n; i++)
        if (((const uint8_t *)p)[i] != (uint8_t)next(&x))
            return false;
    return true;
}
