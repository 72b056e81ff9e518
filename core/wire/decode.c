/* decode.c: the one decoder: walks a message's table and the frame side by side. It trusts nothing in the frame: every
 * length is checked against what is left before it is used or anything is allocated. It never copies field contents. */
#include "wire/internal.h"

#include <stdio.h>

struct reader {
    const uint8_t *p, *end, *begin;
    struct arena *arena;
    int version;
    bool compact;
    int32_t code;
    const char *why; /* set by the first failure */
    size_t at;       /* where */
    int32_t index;   /* of the element that failed, until its array's name is noted; else -1 */
    char path[160];  /* of the field, outermost first; grows while failing */
};

/* ---- failure ---- */

static bool fail_code(struct reader *r, int32_t code, const char *why)
{
    r->code = code;
    r->why = why;
    r->at = (size_t)(r->p - r->begin);
    return false;
}

static bool fail(struct reader *r, const char *why)
{
    return fail_code(r, CHRONIK_E_CORRUPT, why);
}

/* Puts the field's name, and the index when an element failed, before the path; returns false. */
static bool failed_in(struct reader *r, const char *name)
{
    char tail[sizeof r->path];
    memcpy(tail, r->path, sizeof tail);
    const char *dot = tail[0] ? "." : "";
    if (r->index >= 0)
        snprintf(r->path, sizeof r->path, "%.60s[%d]%s%.80s", name, r->index, dot, tail);
    else
        snprintf(r->path, sizeof r->path, "%.60s%s%.80s", name, dot, tail);
    r->index = -1;
    return false;
}

/* ---- primitives ---- */

static inline size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

static bool uvarint_slow(struct reader *r, uint32_t *out)
{
    uint32_t v = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        if (r->p == r->end)
            return fail(r, "the frame ends inside a varint");
        uint8_t b = *r->p++;
        if (shift == 28 && b > 0x0f)
            return fail(r, "a varint does not fit in 32 bits");
        v |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80)
            break;
    }
    *out = v;
    return true;
}

static inline bool uvarint(struct reader *r, uint32_t *out)
{
    if (LIKELY(r->p < r->end && *r->p < 0x80)) {
        *out = *r->p++;
        return true;
    }
    return uvarint_slow(r, out);
}

static const char cut_off[] = "the frame ends inside the field";

/* A length or count: compact ones are said as n + 1. -1 is null; anything below is refused. */
static inline bool length(struct reader *r, bool compact, bool two_bytes, int64_t *out)
{
    if (compact) {
        uint32_t v;
        if (!uvarint(r, &v))
            return false;
        *out = (int64_t)v - 1;
        return true;
    }
    if (left(r) < (two_bytes ? 2 : 4))
        return fail(r, cut_off);
    *out = two_bytes ? (int16_t)get_be16(r->p) : (int32_t)get_be32(r->p);
    if (*out < -1)
        return fail(r, "a negative length");
    r->p += two_bytes ? 2 : 4;
    return true;
}

static const char no_null[] = "null where this version allows none";

/* Strings, bytes and records: borrowed. */
static bool decode_blob(struct reader *r, const struct wire_field *f, bool element, uint8_t *out)
{
    int64_t n;
    bool string = f->type == WIRE_STRING;
    if (!length(r, r->compact && !(f->flags & WIRE_PLAIN), string, &n))
        return false;
    if (n < 0 && (element || !wire_nullable(f, r->version)))
        return fail(r, no_null);
    if (n > (int64_t)left(r))
        return fail(r, "the length exceeds what is left of the frame");
    if (string && n > WIRE_STRING_MOST)
        return fail(r, "a string of more than 32767 bytes");
    const uint8_t *p = n < 0 ? NULL : r->p;
    r->p += n < 0 ? 0 : n;
    int32_t size = (int32_t)n;
    if (string) {
        *(struct wire_str *)(void *)out = (struct wire_str){(const char *)p, size};
    } else if (f->type == WIRE_BYTES) {
        *(struct wire_bytes *)(void *)out = (struct wire_bytes){p, size};
    } else {
        uint8_t *writable;
        memcpy(&writable, &p, sizeof p); /* the frame is the caller's to patch */
        *(struct wire_records *)(void *)out = (struct wire_records){writable, size, NULL};
    }
    return true;
}

/* One scalar that is known to be there. */
static inline void take_scalar(const uint8_t *p, int type, uint8_t *out)
{
    uint64_t v;
    uint32_t w;
    uint16_t h;
    switch (type) {
    case WIRE_BOOL:
        *out = *p != 0;
        break;
    case WIRE_INT8:
        *out = *p;
        break;
    case WIRE_INT16:
    case WIRE_UINT16:
        h = get_be16(p);
        memcpy(out, &h, sizeof h);
        break;
    case WIRE_INT32:
        w = get_be32(p);
        memcpy(out, &w, sizeof w);
        break;
    case WIRE_INT64:
    case WIRE_FLOAT64:
        v = get_be64(p);
        memcpy(out, &v, sizeof v);
        break;
    default:
        memcpy(out, p, sizeof(struct chronik_uuid));
    }
}

/* ---- composites ---- */

static bool decode_struct(struct reader *r, const struct wire_struct *s, uint8_t *out);

/* The fewest bytes of an element that is no scalar. */
static inline size_t least_bytes(const struct reader *r, const struct wire_field *f)
{
    if (f->sub)
        return f->sub->least[r->version - f->sub->min];
    return r->compact ? 1 : f->type == WIRE_STRING ? 2 : 4;
}

static bool decode_scalars(struct reader *r, int type, size_t size, uint8_t *v, size_t n)
{
    const uint8_t *p = r->p;
    r->p += n * size;
    if (type == WIRE_INT32) {
        for (size_t i = 0; i < n; i++, p += 4)
            take_scalar(p, WIRE_INT32, v + 4 * i);
        return true;
    }
    for (size_t i = 0; i < n; i++, p += size)
        take_scalar(p, type, v + size * i);
    return true;
}

static bool decode_array(struct reader *r, const struct wire_field *f, uint8_t *out)
{
    int64_t n;
    if (!length(r, r->compact, false, &n))
        return false;
    if (n < 0 && !wire_nullable(f, r->version))
        return fail(r, no_null);
    size_t scalar = wire_scalar_size(f->type);
    size_t least = scalar ? scalar : least_bytes(r, f);
    size_t size = wire_c_size(f);
    if (n > 0 && (uint64_t)n > left(r) / least)
        return fail(r, "an array of more elements than the frame could hold");
    uint8_t *v = NULL;
    if (n > 0 && !(v = arena_alloc(r->arena, (size_t)n * size)))
        return fail_code(r, CHRONIK_E_NOMEM, "the request needs more memory than it may have");
    int32_t count = (int32_t)n;
    memcpy(out, &v, sizeof v);
    memcpy(out + sizeof v, &count, sizeof count);
    if (scalar)
        return n <= 0 || decode_scalars(r, f->type, scalar, v, (size_t)n);
    for (int32_t i = 0; i < count; i++, v += size) {
        if (UNLIKELY(!(f->sub ? decode_struct(r, f->sub, v) : decode_blob(r, f, true, v)))) {
            r->index = i;
            return false;
        }
    }
    return true;
}

static bool decode_pointer(struct reader *r, const struct wire_field *f, uint8_t *out)
{
    uint8_t *v = NULL;
    bool present = true;
    if (wire_nullable(f, r->version)) {
        if (!left(r))
            return fail(r, cut_off);
        present = (int8_t)*r->p++ >= 0;
    }
    if (present && !(v = arena_alloc(r->arena, f->sub->size)))
        return fail_code(r, CHRONIK_E_NOMEM, "the request needs more memory than it may have");
    memcpy(out, &v, sizeof v);
    return !present || decode_struct(r, f->sub, v);
}

static inline bool decode_field(struct reader *r, const struct wire_field *f, uint8_t *out)
{
    if (f->flags & WIRE_ARRAY)
        return decode_array(r, f, out);
    if (f->type == WIRE_STRUCT)
        return f->flags & WIRE_POINTER ? decode_pointer(r, f, out) : decode_struct(r, f->sub, out);
    size_t size = wire_scalar_size(f->type);
    if (!size)
        return decode_blob(r, f, false, out);
    if (UNLIKELY(left(r) < size))
        return fail(r, cut_off);
    take_scalar(r->p, f->type, out);
    r->p += size;
    return true;
}

static const struct wire_field *find_tag(const struct reader *r, const struct wire_struct *s, uint32_t tag)
{
    for (int i = s->n_untagged; i < s->n_fields; i++)
        if ((uint32_t)s->fields[i].tag == tag && wire_has(&s->fields[i], r->version))
            return &s->fields[i];
    return NULL;
}

/* One tagged field: tag, size, value. A known one must fill its size; an unknown one is skipped. */
static bool decode_tagged(struct reader *r, const struct wire_struct *s, uint8_t *out)
{
    uint32_t tag, size;
    if (!uvarint(r, &tag) || !uvarint(r, &size))
        return failed_in(r, "tagged fields");
    if (size > left(r)) {
        fail(r, "a tagged field reaches beyond the frame");
        return failed_in(r, "tagged fields");
    }
    const struct wire_field *f = find_tag(r, s, tag);
    const uint8_t *frame_end = r->end;
    r->end = r->p + size;
    if (!f)
        r->p = r->end;
    else if (!decode_field(r, f, out + f->offset) || (r->p != r->end && !fail(r, "the value is shorter than its size")))
        return failed_in(r, f->name);
    r->end = frame_end;
    return true;
}

static bool decode_tags(struct reader *r, const struct wire_struct *s, uint8_t *out)
{
    uint32_t count;
    if (!uvarint(r, &count))
        return failed_in(r, "tagged fields");
    while (count--)
        if (!decode_tagged(r, s, out))
            return false;
    return true;
}

static bool decode_struct(struct reader *r, const struct wire_struct *s, uint8_t *out)
{
    memcpy(out, s->defaults, s->size);
    const struct wire_field *f = s->fields, *end = f + s->n_untagged;
    for (; f < end; f++)
        if (wire_has(f, r->version) && UNLIKELY(!decode_field(r, f, out + f->offset)))
            return failed_in(r, f->name);
    return !r->compact || decode_tags(r, s, out);
}

int32_t wire_decode_prefix(const struct wire_msg *m, int version, const void *p, size_t n, struct arena *a, void *out,
                           size_t *used, struct err *e)
{
    if (version < m->min || version > m->max)
        return err_set(e, CHRONIK_E_VERSION, "%s version %d: versions %d to %d are known", m->name, version, m->min,
                       m->max);
    const uint8_t *begin = p ? p : (const uint8_t *)""; /* nothing at all has an address too */
    struct reader r = {.p = begin,
                       .begin = begin,
                       .end = begin + n,
                       .arena = a,
                       .version = version,
                       .compact = version >= m->flexible,
                       .index = -1};
    if (!decode_struct(&r, m->root, out))
        return err_set(e, r.code, "%s version %d, field %s, byte %zu of %zu: %s", m->name, version, r.path, r.at, n,
                       r.why);
    *used = (size_t)(r.p - r.begin);
    return CHRONIK_DONE;
}

int32_t wire_decode(const struct wire_msg *m, int version, const void *p, size_t n, struct arena *a, void *out,
                    struct err *e)
{
    size_t used = 0;
    int32_t rc = wire_decode_prefix(m, version, p, n, a, out, &used, e);
    if (rc > 0 && used != n)
        return err_set(e, CHRONIK_E_CORRUPT, "%s version %d, byte %zu of %zu: bytes are left over behind the message",
                       m->name, version, used, n);
    return rc;
}
