/* fill.c: random messages for the tests of core/wire; see fill.h. */
#include "fill.h"

#include "wire/internal.h"

uint64_t fill_next(struct fill *f)
{
    f->seed += 0x9e3779b97f4a7c15u;
    uint64_t z = f->seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void fill_struct(struct fill *f, const struct wire_struct *s, uint8_t *out);

/* Now and then a length that needs two bytes as a varint. */
static int32_t some_length(struct fill *f)
{
    uint64_t r = fill_next(f);
    return r % 50 == 0 ? 120 + (int32_t)((r >> 32) % 200) : (int32_t)((r >> 32) % (uint64_t)(f->most + 1));
}

static void fill_blob(struct fill *f, const struct wire_field *d, bool element, uint8_t *out)
{
    int32_t n = !element && wire_nullable(d, f->version) && fill_next(f) % 4 == 0 ? -1 : some_length(f);
    uint8_t *p = n < 0 ? NULL : arena_alloc(f->arena, (size_t)n);
    CHECK(n < 0 || p);
    for (int32_t i = 0; i < n; i++)
        p[i] = (uint8_t)(d->type == WIRE_STRING ? 'a' + fill_next(f) % 26 : fill_next(f));
    memcpy(out, &p, sizeof p);
    memcpy(out + sizeof p, &n, sizeof n);
}

static void fill_value(struct fill *f, const struct wire_field *d, bool element, uint8_t *out)
{
    size_t size = wire_scalar_size(d->type);
    if (d->sub) {
        fill_struct(f, d->sub, out);
    } else if (!size) {
        fill_blob(f, d, element, out);
    } else {
        for (size_t i = 0; i < size; i++)
            out[i] = (uint8_t)fill_next(f);
        if (d->type == WIRE_BOOL)
            out[0] &= 1;
    }
}

static void fill_field(struct fill *f, const struct wire_field *d, uint8_t *out)
{
    if (d->flags & WIRE_POINTER) {
        uint8_t *sub = NULL;
        if (!wire_nullable(d, f->version) || fill_next(f) % 3) {
            sub = arena_calloc(f->arena, 1, d->sub->size);
            CHECK(sub);
            fill_struct(f, d->sub, sub);
        }
        memcpy(out, &sub, sizeof sub);
    } else if (d->flags & WIRE_ARRAY) {
        int32_t n = wire_nullable(d, f->version) && fill_next(f) % 4 == 0
                        ? -1
                        : (int32_t)(fill_next(f) % (uint64_t)(f->most + 1));
        uint8_t *v = n < 0 ? NULL : arena_calloc(f->arena, (size_t)n, wire_c_size(d));
        CHECK(n < 0 || v);
        for (int32_t i = 0; i < n; i++)
            fill_value(f, d, true, v + (size_t)i * wire_c_size(d));
        memcpy(out, &v, sizeof v);
        memcpy(out + sizeof v, &n, sizeof n);
    } else {
        fill_value(f, d, false, out);
    }
}

static void fill_struct(struct fill *f, const struct wire_struct *s, uint8_t *out)
{
    memcpy(out, s->defaults, s->size);
    for (int i = 0; i < s->n_fields; i++) {
        const struct wire_field *d = &s->fields[i];
        if (wire_has(d, f->version) && (d->tag < 0 || fill_next(f) % 2))
            fill_field(f, d, out + d->offset);
    }
}

void fill_message(struct fill *f, const struct wire_msg *m, void *out)
{
    fill_struct(f, m->root, out);
}

static bool equal_struct(const struct wire_struct *s, int version, const uint8_t *a, const uint8_t *b);

static bool equal_value(const struct wire_field *d, int version, const uint8_t *a, const uint8_t *b)
{
    size_t size = wire_scalar_size(d->type);
    if (d->sub)
        return equal_struct(d->sub, version, a, b);
    if (size)
        return memcmp(a, b, size) == 0;
    struct wire_array x = wire_array_at(a), y = wire_array_at(b);
    return x.n == y.n && (x.n <= 0 || memcmp(x.v, y.v, (size_t)x.n) == 0);
}

static bool equal_field(const struct wire_field *d, int version, const uint8_t *a, const uint8_t *b)
{
    if (d->flags & WIRE_POINTER) {
        const uint8_t *x, *y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x && y ? equal_struct(d->sub, version, x, y) : !x && !y;
    }
    if (!(d->flags & WIRE_ARRAY))
        return equal_value(d, version, a, b);
    struct wire_array x = wire_array_at(a), y = wire_array_at(b);
    for (int32_t i = 0; i < x.n && x.n == y.n; i++)
        if (!equal_value(d, version, x.v + (size_t)i * wire_c_size(d), y.v + (size_t)i * wire_c_size(d)))
            return false;
    return x.n == y.n;
}

static bool equal_struct(const struct wire_struct *s, int version, const uint8_t *a, const uint8_t *b)
{
    for (int i = 0; i < s->n_fields; i++)
        if (!equal_field(&s->fields[i], version, a + s->fields[i].offset, b + s->fields[i].offset))
            return false;
    return true;
}

bool fill_equal(const struct wire_msg *m, int version, const void *a, const void *b)
{
    return equal_struct(m->root, version, a, b);
}
