/* util.c: out-of-line part of util.h. Holds no state and never calls the system but for the last words of a failed
 * check. */
#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void util_check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "%s:%d: impossible state: %s does not hold\n", file, line, cond);
    abort();
}

int32_t errtext_set(struct errtext *e, int32_t code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
        e->code = code;
    }
    return code;
}

const char *util_code_text(int32_t code)
{
#define ERROR_TEXT(name, value, text)                                                                                  \
    case name:                                                                                                         \
        return text;
    switch (code) {
        CHRONIK_ERRORS(ERROR_TEXT)
    default:
        return code < 0 ? "failed" : "done";
    }
#undef ERROR_TEXT
}

void util_log(const struct chronik_host *h, int32_t level, const char *fmt, ...)
{
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    h->log(h->ctx, level, line);
}

void util_where(char *out, uint64_t n, const struct chronik_host *h, uint32_t dir, const char *path)
{
    struct chronik_dir_info info = {.size = sizeof info};
    h->dir_info(h->ctx, dir, &info);
    snprintf(out, n, "%s/%s", info.path ? info.path : "?", path);
}

int32_t util_write(const struct chronik_host *h, struct chronik_file *f, const void *p, uint64_t n, uint64_t offset)
{
    struct chronik_iov v = {(void *)(uintptr_t)p, n};
    return h->file_write(f, &v, 1, offset);
}

int32_t util_read(const struct chronik_host *h, struct chronik_file *f, void *p, uint64_t n, uint64_t offset)
{
    uint64_t got = 0;
    int32_t r = h->file_read(f, p, n, offset, 0, &got);
    if (r < 0)
        return r;
    return got == n ? CHRONIK_DONE : CHRONIK_E_RANGE;
}

int32_t util_touch_size(const struct chronik_host *h, struct chronik_file *f)
{
    uint64_t size = 0;
    int32_t r = h->file_size(f, &size);
    if (r > 0)
        r = h->file_truncate(f, size + 1);
    if (r > 0)
        r = h->file_truncate(f, size);
    return r;
}

int32_t util_folder(const struct chronik_host *h, uint32_t dir, const char *folder, struct errtext *e)
{
    int32_t rc = h->dir_make(h->ctx, dir, folder);
    if (rc == CHRONIK_E_EXISTS)
        return CHRONIK_DONE;
    if (rc > 0)
        rc = h->dir_sync(h->ctx, dir, "");
    return rc < 0 ? errtext_set(e, rc, "%s: the folder cannot be made in data directory %u: %s", folder, dir,
                                util_code_text(rc))
                  : rc;
}
