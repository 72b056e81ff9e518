/* fault.c: faults that a test asks for, by kind of call, path and count. Slots are added while nobody uses the world;
 * the counting is atomic, so any thread may hit one. It must cost nothing when no fault is set (see fault() in os.c).
 */
#include <config.h>

#include "os/os_impl.h"

#include <stdio.h>
#include <stdlib.h>

int32_t os_fault_hit(struct os *os, int op, const char *path)
{
    int32_t code = 0;
    for (int i = 0; i < os->n_faults; i++) {
        struct os_fault_slot *s = &os->faults[i];
        if (s->f.op != op || (s->path[0] && (!path || !strstr(path, s->path))))
            continue;
        int64_t nth = atomic_fetch_add_explicit(&s->seen, 1, memory_order_relaxed);
        if (code == 0 && nth >= s->f.after && (s->f.times < 0 || nth - s->f.after < s->f.times))
            code = s->f.code;
    }
    return code;
}

int32_t os_fault_add(struct os *os, const struct os_fault *f)
{
    CHECK(f->op >= 0 && f->op < OS_FAULT_KINDS && f->code < 0);
    if (os->n_faults == OS_FAULTS_MAX || (f->path && strlen(f->path) >= sizeof os->faults[0].path))
        return CHRONIK_E_BUSY;
    struct os_fault_slot *s = &os->faults[os->n_faults];
    memset(s, 0, sizeof *s);
    s->f = *f;
    s->f.path = NULL;
    snprintf(s->path, sizeof s->path, "%s", f->path ? f->path : "");
    os->n_faults++;
    return CHRONIK_DONE;
}

void os_fault_set(struct os *os, int op, int64_t after_n, int32_t code)
{
    int32_t r = os_fault_add(os, &(struct os_fault){.op = op, .code = code, .after = after_n, .times = 1});
    CHECK(r == CHRONIK_DONE);
}

void os_fault_clear(struct os *os)
{
    os->n_faults = 0;
}

/* ---- the textual form ---- */

static const char *const op_names[OS_FAULT_KINDS] = {"open",     "read",   "write",    "sync",
                                                     "sync_dir", "rename", "truncate", "allocate"};
static const struct {
    const char *name;
    int32_t code;
} codes[] = {
    {"EIO", CHRONIK_E_IO}, {"ENOSPC", CHRONIK_E_NOSPC}, {"EACCES", CHRONIK_E_PERM}, {"ENOENT", CHRONIK_E_NOTFOUND}};

static bool number(const char *s, int64_t *out)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    *out = strtoll(s, &end, 10);
    return *end == 0 && *out >= 0;
}

/* Parses "OP[@PATH]:AFTER:CODE[:TIMES]"; `item` is written to. */
static bool item_parse(char *item, struct os_fault *f)
{
    char *op = strsep(&item, ":"), *after = strsep(&item, ":"), *code = strsep(&item, ":"), *times = item;
    if (!after || !code || !number(after, &f->after))
        return false;
    f->path = NULL;
    char *at = strchr(op, '@');
    if (at) {
        *at = 0;
        f->path = at + 1;
    }
    f->op = -1;
    for (int i = 0; i < OS_FAULT_KINDS; i++)
        if (strcmp(op, op_names[i]) == 0)
            f->op = i;
    f->code = 0;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strcmp(code, codes[i].name) == 0)
            f->code = codes[i].code;
    f->times = 1;
    if (times && strcmp(times, "*") == 0)
        f->times = -1;
    else if (times && !number(times, &f->times))
        return false;
    return f->op >= 0 && f->code < 0;
}

int32_t os_fault_parse(struct os *os, const char *spec, struct err *e)
{
    while (*spec) {
        size_t n = strcspn(spec, ",");
        char item[256];
        struct os_fault f;
        snprintf(item, sizeof item, "%.*s", (int)n, spec);
        if (n >= sizeof item || !item_parse(item, &f))
            return err_set(e, CHRONIK_E_INVAL,
                           "fault '%.*s' is not OP[@PATH]:AFTER:CODE[:TIMES], see core/os/README.md",
                           (int)min_size(n, 200), spec);
        if (os_fault_add(os, &f) < 0)
            return err_set(e, CHRONIK_E_INVAL, "fault '%.*s' is one too many (%d at most) or its path is too long",
                           (int)n, spec, OS_FAULTS_MAX);
        spec += n;
        spec += *spec == ',';
    }
    return CHRONIK_DONE;
}

int32_t os_fault_from_env(struct os *os, struct err *e)
{
    const char *spec = getenv("CHRONIK_TEST_FAULTS");
    return spec ? os_fault_parse(os, spec, e) : CHRONIK_DONE;
}
