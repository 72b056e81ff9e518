/* repeats.c: see repeats.h. */
#include "api/repeats.h"

#include <stdlib.h>

static const struct chronik_uuid no_id;

static int by_key(const void *a, const void *b)
{
    const struct repeat_key *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    if (x->name.n != y->name.n)
        return x->name.n < y->name.n ? -1 : 1;
    int c = x->name.n > 0 ? memcmp(x->name.p, y->name.p, (size_t)x->name.n) : 0;
    return c ? c : memcmp(x->id ? x->id : &no_id, y->id ? y->id : &no_id, sizeof no_id);
}

static int by_key_and_place(const void *a, const void *b)
{
    const struct repeat_key *x = a, *y = b;
    int c = by_key(a, b);
    return c ? c : (x->at > y->at) - (x->at < y->at);
}

struct repeat_key *repeats_new(struct api_req *r, int32_t n)
{
    return api_array(r, struct repeat_key, n);
}

const int32_t *repeats_count(struct api_req *r, struct repeat_key *keys, int32_t n)
{
    int32_t *times = api_array(r, int32_t, n), first = 0;
    if (!keys || !times)
        return NULL;
    for (int32_t i = 0; i < n; i++)
        keys[i].at = i;
    qsort(keys, (size_t)n, sizeof *keys, by_key_and_place);
    for (int32_t i = 0; i < n; i++) {
        if (by_key(&keys[first], &keys[i]) != 0)
            first = i;
        times[keys[first].at]++;
    }
    return times;
}
