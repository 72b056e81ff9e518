/* refuse.c: the answer that refuses a request element by element: for a request that is too large for the memory there
 * is, and whose answer has no error of the whole (Produce, ListOffsets). It is made straight from the frame: what a
 * struct of the answer shares by name with its struct of the request is copied, error_code is set, the rest has its
 * default. It trusts nothing in the frame and allocates nothing but the answer. Of a frame that did not fit the memory
 * only the beginning is there: what lies behind it may be passed over when its length is known, and is never read. */
#include "wire/internal.h"

enum { SPOTS = 24 };

struct mirror {
    const uint8_t *p, *end;
    const uint8_t *real; /* bytes behind it are not here */
    struct wire_out *out;
    int version;
    bool compact;
    int16_t code;
};

/* Where a field of the request stands. */
struct spot {
    const struct wire_field *f;
    const uint8_t *p;
    size_t n;
};

/* ---- reading ---- */

static bool pass(struct mirror *m, uint64_t n)
{
    if (n > (uint64_t)(m->end - m->p))
        return false;
    m->p += n;
    return true;
}

static bool is_here(const struct mirror *m, const uint8_t *p, size_t n)
{
    return p <= m->real && n <= (size_t)(m->real - p);
}

static bool uvarint(struct mirror *m, uint32_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 35; shift += 7) {
        if (!is_here(m, m->p, 1))
            return false;
        uint8_t b = *m->p++;
        *out |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return true;
    }
    return false;
}

/* -1 is null. */
static bool length(struct mirror *m, bool compact, bool two_bytes, int64_t *out)
{
    if (compact) {
        uint32_t v;
        if (!uvarint(m, &v))
            return false;
        *out = (int64_t)v - 1;
        return true;
    }
    const uint8_t *at = m->p;
    if (!is_here(m, at, two_bytes ? 2 : 4) || !pass(m, two_bytes ? 2 : 4))
        return false;
    *out = two_bytes ? (int16_t)get_be16(at) : (int32_t)get_be32(at);
    return *out >= -1;
}

static bool pass_struct(struct mirror *m, const struct wire_struct *s);

static bool pass_value(struct mirror *m, const struct wire_field *f, bool element)
{
    int64_t n;
    if (f->type == WIRE_STRUCT) {
        bool may_be_null = (f->flags & WIRE_POINTER) && !element && wire_nullable(f, m->version);
        if (may_be_null && is_here(m, m->p, 1) && (int8_t)*m->p < 0)
            return pass(m, 1);
        return pass(m, may_be_null) && pass_struct(m, f->sub);
    }
    size_t size = wire_scalar_size(f->type);
    if (size)
        return pass(m, size);
    return length(m, m->compact && !(f->flags & WIRE_PLAIN), f->type == WIRE_STRING, &n) &&
           (n <= 0 || pass(m, (uint64_t)n));
}

static bool pass_field(struct mirror *m, const struct wire_field *f)
{
    int64_t n;
    if (!(f->flags & WIRE_ARRAY))
        return pass_value(m, f, false);
    if (!length(m, m->compact, false, &n))
        return false;
    for (; n > 0; n--) /* an element takes a byte at least, but for structs of nothing, which no request has */
        if (!is_here(m, m->p, 1) || !pass_value(m, f, true))
            return false;
    return true;
}

static bool pass_tags(struct mirror *m)
{
    uint32_t count = 0, tag, size;
    if (m->p >= m->real &&
        m->real < m->end) /* behind the last element that is here: whatever tags there are say nothing to the answer */
        return true;
    bool ok = !m->compact || uvarint(m, &count);
    for (; ok && count > 0; count--)
        ok = uvarint(m, &tag) && uvarint(m, &size) && pass(m, size);
    return ok;
}

static bool pass_struct(struct mirror *m, const struct wire_struct *s)
{
    for (int i = 0; i < s->n_untagged; i++)
        if (wire_has(&s->fields[i], m->version) && !pass_field(m, &s->fields[i]))
            return false;
    return pass_tags(m);
}

/* ---- writing ---- */

static bool put(struct mirror *m, const void *p, size_t n)
{
    if (!wire_out_reserve(m->out, n))
        return false;
    memcpy(m->out->p + m->out->n, p, n);
    m->out->n += n;
    return true;
}

/* The length of a string, blob or array, null when negative. */
static bool put_length(struct mirror *m, bool compact, bool two_bytes, int64_t n)
{
    uint8_t b[5];
    size_t at = 0;
    if (compact) {
        uint32_t v = (uint32_t)(n + 1);
        for (; v >= 0x80; v >>= 7)
            b[at++] = (uint8_t)(v | 0x80);
        b[at++] = (uint8_t)v;
    } else if (two_bytes) {
        put_be16(b, (uint16_t)n);
        at = 2;
    } else {
        put_be32(b, (uint32_t)n);
        at = 4;
    }
    return put(m, b, at);
}

/* Scalars are the same in memory and on the wire but for the order of their bytes. */
static bool put_default(struct mirror *m, const struct wire_field *f, const void *defaults)
{
    uint8_t b[16];
    const uint8_t *v = (const uint8_t *)defaults + f->offset;
    size_t size = wire_scalar_size(f->type);
    bool null = wire_nullable(f, m->version);
    if (f->flags & WIRE_ARRAY)
        return put_length(m, m->compact, false, 0);
    if (f->type == WIRE_STRUCT)
        return null && put(m, "\xff", 1); /* the answers that come here have no other */
    if (!size)
        return put_length(m, m->compact && !(f->flags & WIRE_PLAIN), f->type == WIRE_STRING, null ? -1 : 0);
    for (size_t i = 0; i < size; i++)
        b[i] = v[f->type == WIRE_UUID ? i : size - 1 - i];
    return put(m, b, size);
}

static bool is_structs(const struct wire_field *f)
{
    return (f->flags & WIRE_ARRAY) && f->type == WIRE_STRUCT;
}

static const struct spot *find_spot(const struct spot *v, int n, const struct wire_field *f)
{
    for (int i = 0; i < n; i++) {
        bool same = !(v[i].f->flags & WIRE_ARRAY) && v[i].f->type == f->type && strcmp(v[i].f->name, f->name) == 0;
        if (is_structs(f) ? is_structs(v[i].f) : same)
            return &v[i];
    }
    return NULL;
}

static bool mirror_struct(struct mirror *m, const struct wire_struct *from, const struct wire_struct *to);

static bool mirror_array(struct mirror *m, const struct spot *s, const struct wire_field *to)
{
    const uint8_t *behind = m->p;
    int64_t n;
    m->p = s->p;
    if (!length(m, m->compact, false, &n) || !put_length(m, m->compact, false, max_i64(n, 0)))
        return false;
    for (; n > 0; n--)
        if (!mirror_struct(m, s->f->sub, to->sub))
            return false;
    m->p = behind;
    return true;
}

static bool mirror_struct(struct mirror *m, const struct wire_struct *from, const struct wire_struct *to)
{
    struct spot v[SPOTS];
    int n = 0;
    for (int i = 0; i < from->n_untagged; i++) {
        const struct wire_field *f = &from->fields[i];
        const uint8_t *at = m->p;
        if (!wire_has(f, m->version))
            continue;
        if (n == SPOTS || !pass_field(m, f))
            return false;
        v[n++] = (struct spot){f, at, (size_t)(m->p - at)};
    }
    if (!pass_tags(m))
        return false;
    for (int i = 0; i < to->n_untagged; i++) {
        const struct wire_field *f = &to->fields[i];
        if (!wire_has(f, m->version))
            continue;
        const struct spot *s = find_spot(v, n, f);
        uint8_t code[2];
        put_be16(code, (uint16_t)m->code);
        bool ok = s && is_structs(f)                   ? mirror_array(m, s, f)
                  : s                                  ? is_here(m, s->p, s->n) && put(m, s->p, s->n)
                  : strcmp(f->name, "error_code") == 0 ? put(m, code, sizeof code)
                                                       : put_default(m, f, to->defaults);
        if (!ok)
            return false;
    }
    return !m->compact || put(m, "", 1); /* no tagged field */
}

int32_t wire_refuse(const struct wire_api *api, int version, const void *body, size_t n, size_t whole, int16_t code,
                    struct wire_out *o)
{
    struct mirror m = {.p = body,
                       .end = (const uint8_t *)body + whole,
                       .real = (const uint8_t *)body + n,
                       .out = o,
                       .version = version,
                       .compact = version >= api->response->flexible,
                       .code = code};
    size_t before = o->n;
    CHECK((version >= api->request->flexible) == m.compact && whole >= n);
    if (mirror_struct(&m, api->request->root, api->response->root))
        return CHRONIK_DONE;
    o->n = before;
    return CHRONIK_E_FAILED;
}
