/* encode.c: the one encoder, and the buffer that it writes to. It walks a message's table and the C struct side by
 * side. Before each struct it makes room for all its scalars and lengths at once (wire_struct.slack), so that only
 * contents of unbounded size ask for more. A failed message leaves no trace in the buffer. */
#include "wire/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the buffer ---- */

void wire_out_init(struct wire_out *o, size_t limit)
{
    *o = (struct wire_out){.limit = limit};
}

void wire_out_free(struct wire_out *o)
{
    free(o->p);
    free(o->inserts);
    wire_out_init(o, o->limit);
}

void wire_out_reset(struct wire_out *o)
{
    o->n = 0;
    o->n_inserts = 0;
    o->inserted = 0;
}

void wire_out_trim(struct wire_out *o, size_t keep)
{
    CHECK(!o->n && !o->n_inserts);
    if (o->cap + o->cap_inserts * sizeof *o->inserts > keep)
        wire_out_free(o);
}

static bool grow(struct wire_out *o, size_t n)
{
    size_t want;
    if (__builtin_add_overflow(o->n, n, &want) || (o->limit && want > o->limit))
        return false;
    size_t cap = max_size(max_size(want, o->cap * 2), 256);
    if (o->limit)
        cap = min_size(cap, o->limit);
    uint8_t *p = realloc(o->p, cap);
    if (!p)
        return false;
    o->p = p;
    o->cap = cap;
    return true;
}

bool wire_out_reserve(struct wire_out *o, size_t n)
{
    return LIKELY(o->cap - o->n >= n) || grow(o, n);
}

static bool add_insert(struct wire_out *o, void *ref, int32_t n)
{
    if (o->n_inserts == o->cap_inserts) {
        uint32_t cap = o->cap_inserts ? 2 * o->cap_inserts : 8;
        struct wire_insert *v = realloc(o->inserts, cap * sizeof *v);
        if (!v)
            return false;
        o->inserts = v;
        o->cap_inserts = cap;
    }
    o->inserts[o->n_inserts++] = (struct wire_insert){o->n, ref, n};
    o->inserted += (uint64_t)n;
    return true;
}

/* ---- the walk ---- */

struct writer {
    struct wire_out *o;
    int version;
    bool compact;
    int32_t code;
    const char *why;
    const char *field; /* that failed */
};

static bool fail(struct writer *w, const struct wire_field *f, int32_t code, const char *why)
{
    w->code = code;
    w->why = why;
    w->field = f ? f->name : "-";
    return false;
}

static bool reserve(struct writer *w, const struct wire_field *f, size_t n)
{
    return LIKELY(wire_out_reserve(w->o, n)) || fail(w, f, CHRONIK_E_NOMEM, "the buffer cannot grow");
}

/* Room is there: the caller's struct reserved it. */
static inline void put_uvarint(struct wire_out *o, uint32_t v)
{
    while (v >= 0x80) {
        o->p[o->n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    o->p[o->n++] = (uint8_t)v;
}

static inline void put_length(struct wire_out *o, bool compact, bool two_bytes, int32_t n)
{
    if (compact) {
        put_uvarint(o, (uint32_t)n + 1);
    } else if (two_bytes) {
        put_be16(o->p + o->n, (uint16_t)n);
        o->n += 2;
    } else {
        put_be32(o->p + o->n, (uint32_t)n);
        o->n += 4;
    }
}

static inline void put_scalar(uint8_t *to, int type, const uint8_t *in)
{
    uint64_t v;
    uint32_t x;
    uint16_t h;
    switch (type) {
    case WIRE_BOOL:
    case WIRE_INT8:
        *to = *in;
        break;
    case WIRE_INT16:
    case WIRE_UINT16:
        memcpy(&h, in, sizeof h);
        put_be16(to, h);
        break;
    case WIRE_INT32:
        memcpy(&x, in, sizeof x);
        put_be32(to, x);
        break;
    case WIRE_INT64:
    case WIRE_FLOAT64:
        memcpy(&v, in, sizeof v);
        put_be64(to, v);
        break;
    default:
        memcpy(to, in, sizeof(struct chronik_uuid));
    }
}

static bool encode_struct(struct writer *w, const struct wire_struct *s, const uint8_t *in);

/* Strings, bytes, records. Afterwards `slack` bytes are free again. */
static bool encode_blob(struct writer *w, const struct wire_field *f, bool element, const uint8_t *in, size_t slack)
{
    bool string = f->type == WIRE_STRING;
    struct wire_records b = {0};
    if (f->type == WIRE_RECORDS) {
        b = *(const struct wire_records *)(const void *)in;
    } else {
        memcpy(&b.p, in, sizeof b.p);
        memcpy(&b.n, in + sizeof b.p, sizeof b.n);
    }
    if (b.n < 0 && (element || !wire_nullable(f, w->version)))
        return fail(w, f, CHRONIK_E_INVAL, "null where this version allows none");
    if (string && b.n > WIRE_STRING_MOST)
        return fail(w, f, CHRONIK_E_INVAL, "a string of more than 32767 bytes");
    put_length(w->o, w->compact && !(f->flags & WIRE_PLAIN), string, b.n < 0 ? -1 : b.n);
    if (b.n <= 0)
        return true;
    if (b.ref)
        return add_insert(w->o, b.ref, b.n) || fail(w, f, CHRONIK_E_NOMEM, "the list of inserts cannot grow");
    if (!reserve(w, f, (size_t)b.n + slack))
        return false;
    memcpy(w->o->p + w->o->n, b.p, (size_t)b.n);
    w->o->n += (size_t)b.n;
    return true;
}

static bool encode_array(struct writer *w, const struct wire_field *f, const uint8_t *in, size_t slack)
{
    struct wire_array a = wire_array_at(in);
    if (a.n < 0 && !wire_nullable(f, w->version))
        return fail(w, f, CHRONIK_E_INVAL, "null where this version allows none");
    put_length(w->o, w->compact, false, a.n < 0 ? -1 : a.n);
    if (a.n <= 0)
        return true;
    size_t size = wire_c_size(f), scalar = wire_scalar_size(f->type), n = (size_t)a.n;
    if (scalar) {
        if (!reserve(w, f, n * scalar + slack))
            return false;
        uint8_t *to = w->o->p + w->o->n;
        for (size_t i = 0; i < n; i++)
            put_scalar(to + i * scalar, f->type, a.v + i * size);
        w->o->n += n * scalar;
        return true;
    }
    for (size_t i = 0; i < n; i++, a.v += size)
        if (f->sub ? !encode_struct(w, f->sub, a.v)
                   : !reserve(w, f, slack + 10) || !encode_blob(w, f, true, a.v, slack))
            return false;
    return reserve(w, f, slack);
}

static bool encode_pointer(struct writer *w, const struct wire_field *f, const uint8_t *in, size_t slack)
{
    const uint8_t *sub;
    memcpy(&sub, in, sizeof sub);
    if (wire_nullable(f, w->version))
        w->o->p[w->o->n++] = sub ? 1 : 0xff;
    else if (!sub)
        return fail(w, f, CHRONIK_E_INVAL, "null where this version allows none");
    return !sub || (encode_struct(w, f->sub, sub) && reserve(w, f, slack));
}

static inline bool encode_field(struct writer *w, const struct wire_field *f, const uint8_t *in, size_t slack)
{
    if (f->flags & WIRE_ARRAY)
        return encode_array(w, f, in, slack);
    if (f->type == WIRE_STRUCT) {
        if (f->flags & WIRE_POINTER)
            return encode_pointer(w, f, in, slack);
        return encode_struct(w, f->sub, in) && reserve(w, f, slack);
    }
    size_t size = wire_scalar_size(f->type);
    if (!size)
        return encode_blob(w, f, false, in, slack);
    put_scalar(w->o->p + w->o->n, f->type, in);
    w->o->n += size;
    return true;
}

static bool all_default(const struct wire_struct *s, const uint8_t *in);

static inline bool same_scalar(const uint8_t *a, const uint8_t *b, size_t size)
{
    switch (size) { /* a constant size makes memcmp a load and a compare */
    case 1:
        return *a == *b;
    case 2:
        return memcmp(a, b, 2) == 0;
    case 4:
        return memcmp(a, b, 4) == 0;
    case 8:
        return memcmp(a, b, 8) == 0;
    default:
        return memcmp(a, b, 16) == 0;
    }
}

/* Whether the value is the default of its field: such tagged fields are left out. */
static bool is_default(const struct wire_field *f, const uint8_t *in, const uint8_t *image)
{
    if (f->flags & WIRE_ARRAY) {
        struct wire_array a = wire_array_at(in), b = wire_array_at(image);
        return a.n <= 0 && (a.n < 0) == (b.n < 0);
    }
    if (f->flags & WIRE_POINTER) {
        const void *sub;
        memcpy(&sub, in, sizeof sub);
        return !sub;
    }
    if (f->sub)
        return all_default(f->sub, in);
    size_t size = wire_scalar_size(f->type);
    if (size)
        return same_scalar(in, image, size);
    struct wire_array a = wire_array_at(in), b = wire_array_at(image); /* pointer and length lie alike */
    return a.n < 0 || b.n < 0 ? a.n < 0 && b.n < 0 : a.n == b.n && (!a.n || memcmp(a.v, b.v, (size_t)a.n) == 0);
}

static bool all_default(const struct wire_struct *s, const uint8_t *in)
{
    const uint8_t *image = s->defaults;
    for (int i = 0; i < s->n_fields; i++)
        if (!is_default(&s->fields[i], in + s->fields[i].offset, image + s->fields[i].offset))
            return false;
    return true;
}

/* The value first, with one byte left for its size; most values are shorter than 128 bytes, longer ones move. */
static bool encode_tagged(struct writer *w, const struct wire_field *f, const uint8_t *in, size_t slack)
{
    struct wire_out *o = w->o;
    put_uvarint(o, (uint32_t)f->tag);
    size_t at = o->n++;
    uint32_t inserts = o->n_inserts;
    if (!encode_field(w, f, in, slack) || !reserve(w, f, slack))
        return false;
    CHECK(o->n_inserts == inserts); /* gen.py lets no records into tags */
    size_t n = o->n - at - 1;
    if (n > INT32_MAX)
        return fail(w, f, CHRONIK_E_INVAL, "a tagged field of more than 2 GiB");
    o->n = at;
    uint8_t head[5];
    struct wire_out size = {.p = head, .cap = sizeof head};
    put_uvarint(&size, (uint32_t)n);
    if (size.n > 1)
        memmove(o->p + at + size.n, o->p + at + 1, n);
    memcpy(o->p + at, head, size.n);
    o->n = at + size.n + n;
    return true;
}

static bool encode_tags(struct writer *w, const struct wire_struct *s, const uint8_t *in)
{
    const uint8_t *image = s->defaults;
    uint64_t send = 0;
    for (int i = s->n_untagged; i < s->n_fields; i++) {
        const struct wire_field *f = &s->fields[i];
        if (wire_has(f, w->version) && !is_default(f, in + f->offset, image + f->offset))
            send |= UINT64_C(1) << (i - s->n_untagged);
    }
    put_uvarint(w->o, (uint32_t)__builtin_popcountll(send));
    for (; send; send &= send - 1) {
        const struct wire_field *f = &s->fields[s->n_untagged + __builtin_ctzll(send)];
        if (!encode_tagged(w, f, in + f->offset, s->slack))
            return false;
    }
    return true;
}

/* A field that the version lacks may be dropped, or must hold its default. */
static bool may_drop(struct writer *w, const struct wire_struct *s, const struct wire_field *f, const uint8_t *in)
{
    return (f->flags & WIRE_IGNORABLE) || is_default(f, in + f->offset, (const uint8_t *)s->defaults + f->offset) ||
           fail(w, f, CHRONIK_E_UNSUPPORTED, "the version cannot carry the value of this field");
}

static bool encode_struct(struct writer *w, const struct wire_struct *s, const uint8_t *in)
{
    if (!reserve(w, NULL, s->slack))
        return false;
    const struct wire_field *f = s->fields, *end = f + s->n_untagged;
    for (; f < end; f++)
        if (LIKELY(wire_has(f, w->version)) ? !encode_field(w, f, in + f->offset, s->slack) : !may_drop(w, s, f, in))
            return false;
    for (end = s->fields + s->n_fields; f < end; f++)
        if (!wire_has(f, w->version) && !may_drop(w, s, f, in))
            return false;
    return !w->compact || encode_tags(w, s, in);
}

int32_t wire_encode(const struct wire_msg *m, int version, const void *in, struct wire_out *o, struct err *e)
{
    if (version < m->min || version > m->max)
        return err_set(e, CHRONIK_E_VERSION, "%s version %d: versions %d to %d are known", m->name, version, m->min,
                       m->max);
    size_t n = o->n;
    uint32_t n_inserts = o->n_inserts;
    uint64_t inserted = o->inserted;
    struct writer w = {.o = o, .version = version, .compact = version >= m->flexible};
    if (encode_struct(&w, m->root, in))
        return CHRONIK_DONE;
    o->n = n;
    o->n_inserts = n_inserts;
    o->inserted = inserted;
    return err_set(e, w.code, "%s version %d, field %s: %s", m->name, version, w.field, w.why);
}

void wire_set_defaults(const struct wire_msg *m, void *out)
{
    memcpy(out, m->root->defaults, m->root->size);
}
