/* dump.c: shows any message as one line of JSON, for tests, logs and tools. It follows the table, so that a new field
 * shows up by itself; contents of bytes and records are never shown, they may be secrets or large. */
#include "wire/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    struct arena *arena;
    char *p;
    size_t n, cap;
    bool failed;
    int version;
};

static void put(struct text *t, const char *p, size_t n)
{
    if (t->cap - t->n <= n && !t->failed) {
        size_t cap = max_size(2 * t->cap, t->n + n + 256);
        char *bigger = arena_alloc(t->arena, cap);
        if (bigger && t->n)
            memcpy(bigger, t->p, t->n);
        t->failed = !bigger;
        t->p = bigger;
        t->cap = cap;
    }
    if (t->failed)
        return;
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = '\0';
}

PRINTF_LIKE(2, 3) static void putf(struct text *t, const char *fmt, ...)
{
    char b[160];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof b, fmt, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < sizeof b);
    put(t, b, (size_t)n);
}

static void show_string(struct text *t, struct wire_str s)
{
    if (s.n < 0) {
        put(t, "null", 4);
        return;
    }
    put(t, "\"", 1);
    for (int32_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            putf(t, "\\%c", c);
        else if (c < 0x20)
            putf(t, "\\u%04x", c);
        else
            put(t, &s.p[i], 1);
    }
    put(t, "\"", 1);
}

static void show_uuid(struct text *t, const uint8_t *b)
{
    put(t, "\"", 1);
    for (int i = 0; i < 16; i++)
        putf(t, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
    put(t, "\"", 1);
}

static void show_scalar(struct text *t, int type, const uint8_t *in)
{
    union {
        int16_t h;
        uint16_t u;
        int32_t w;
        int64_t v;
        double d;
    } x = {0};
    size_t size = wire_scalar_size(type);
    if (size <= sizeof x)
        memcpy(&x, in, size);
    if (type == WIRE_BOOL)
        putf(t, "%s", *in ? "true" : "false");
    else if (type == WIRE_INT8)
        putf(t, "%d", (int8_t)*in);
    else if (type == WIRE_INT16)
        putf(t, "%d", x.h);
    else if (type == WIRE_UINT16)
        putf(t, "%u", x.u);
    else if (type == WIRE_INT32)
        putf(t, "%" PRId32, x.w);
    else if (type == WIRE_INT64)
        putf(t, "%" PRId64, x.v);
    else if (type == WIRE_FLOAT64)
        putf(t, "%.17g", x.d);
    else
        show_uuid(t, in);
}

static void show_struct(struct text *t, const struct wire_struct *s, const uint8_t *in);

static void show_value(struct text *t, const struct wire_field *f, const uint8_t *in)
{
    if (f->sub) {
        show_struct(t, f->sub, in);
    } else if (wire_scalar_size(f->type)) {
        show_scalar(t, f->type, in);
    } else {
        struct wire_array a = wire_array_at(in);
        if (f->type == WIRE_STRING)
            show_string(t, (struct wire_str){(const char *)a.v, a.n});
        else if (a.n < 0)
            put(t, "null", 4);
        else
            putf(t, "\"%d bytes\"", a.n);
    }
}

static void show_field(struct text *t, const struct wire_field *f, const uint8_t *in)
{
    if (f->flags & WIRE_POINTER) {
        const uint8_t *sub;
        memcpy(&sub, in, sizeof sub);
        if (sub)
            show_struct(t, f->sub, sub);
        else
            put(t, "null", 4);
        return;
    }
    if (!(f->flags & WIRE_ARRAY)) {
        show_value(t, f, in);
        return;
    }
    struct wire_array a = wire_array_at(in);
    put(t, a.n < 0 ? "null" : "[", a.n < 0 ? 4 : 1);
    for (int32_t i = 0; i < a.n; i++, a.v += wire_c_size(f)) {
        if (i)
            put(t, ",", 1);
        show_value(t, f, a.v);
    }
    if (a.n >= 0)
        put(t, "]", 1);
}

static void show_struct(struct text *t, const struct wire_struct *s, const uint8_t *in)
{
    const char *before = "{";
    for (int i = 0; i < s->n_fields; i++) {
        const struct wire_field *f = &s->fields[i];
        if (!wire_has(f, t->version))
            continue;
        putf(t, "%s\"%s\":", before, f->name);
        show_field(t, f, in + f->offset);
        before = ",";
    }
    put(t, *before == '{' ? "{}" : "}", *before == '{' ? 2 : 1);
}

char *wire_dump(const struct wire_msg *m, int version, const void *in, struct arena *a)
{
    struct text t = {.arena = a, .version = version};
    show_struct(&t, m->root, in);
    return t.failed ? NULL : t.p;
}
