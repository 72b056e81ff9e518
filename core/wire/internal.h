/* internal.h: what the files of core/wire share and nobody else needs. */
#ifndef CHRONIK_WIRE_INTERNAL_H
#define CHRONIK_WIRE_INTERNAL_H

#include "wire/batch.h"
#include "wire/wire.h"

enum { WIRE_STRING_MOST = 32767 }; /* bytes of a string, compact ones too, as Kafka has it */

/* Notes what is wrong and returns `code`. */
int16_t batch_refuse(struct batch_problem *problem, int16_t code, int32_t record, const char *why);

struct batch_unpacking;

/* The part of batch_check that walks the plain records; sets the seen timestamps and what `u` tells of the records. */
int16_t batch_check_records(struct batch_head *h, const uint8_t *payload, size_t n, unsigned flags,
                            struct batch_unpacking *u, struct batch_problem *problem);

/* Bytes of a scalar on the wire and in C; 0 for all that is no scalar. */
static inline size_t wire_scalar_size(int type)
{
    static const uint8_t sizes[] = {[WIRE_BOOL] = 1,   [WIRE_INT8] = 1,  [WIRE_INT16] = 2,   [WIRE_UINT16] = 2,
                                    [WIRE_INT32] = 4,  [WIRE_INT64] = 8, [WIRE_FLOAT64] = 8, [WIRE_UUID] = 16,
                                    [WIRE_STRING] = 0, [WIRE_BYTES] = 0, [WIRE_RECORDS] = 0, [WIRE_STRUCT] = 0};
    return sizes[type];
}

/* Bytes of one element of an array, or of a field that is no array, in C. */
static inline size_t wire_c_size(const struct wire_field *f)
{
    switch (f->type) {
    case WIRE_STRUCT:
        return f->sub->size;
    case WIRE_STRING:
        return sizeof(struct wire_str);
    case WIRE_BYTES:
        return sizeof(struct wire_bytes);
    case WIRE_RECORDS:
        return sizeof(struct wire_records);
    default:
        return wire_scalar_size(f->type);
    }
}

static inline bool wire_has(const struct wire_field *f, int version)
{
    return version >= f->min && version <= f->max;
}

static inline bool wire_nullable(const struct wire_field *f, int version)
{
    return version >= f->null_min && version <= f->null_max;
}

/* An array field, whatever its elements. */
struct wire_array {
    const uint8_t *v;
    int32_t n;
};

static inline struct wire_array wire_array_at(const uint8_t *field)
{
    struct wire_array a;
    memcpy(&a.v, field, sizeof a.v);
    memcpy(&a.n, field + sizeof a.v, sizeof a.n);
    return a;
}

#endif
