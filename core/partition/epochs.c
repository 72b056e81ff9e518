/* epochs.c: a sorted vector of epoch starts. Pure; the caller holds the partition's lock. */
#include "partition/epochs.h"

#include <stdlib.h>

void epochs_free(struct epochs *es)
{
    free(es->v);
    *es = (struct epochs){0};
}

int32_t epochs_latest(const struct epochs *es)
{
    return es->n ? es->v[es->n - 1].epoch : -1;
}

bool epochs_note(struct epochs *es, int32_t epoch, int64_t offset)
{
    if (epoch <= epochs_latest(es))
        return true;
    epochs_truncate_suffix(es, offset); /* epochs that wrote nothing leave no trace */
    if (es->n == es->cap) {
        uint32_t cap = es->cap ? es->cap * 2 : 2;
        struct epoch_start *v = realloc(es->v, cap * sizeof *v);
        if (!v)
            return false;
        es->v = v;
        es->cap = cap;
    }
    es->v[es->n++] = (struct epoch_start){epoch, offset};
    return true;
}

/* The number of entries whose epoch is at or below `epoch`. */
static uint32_t count_upto(const struct epochs *es, int32_t epoch)
{
    uint32_t lo = 0, hi = es->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (es->v[mid].epoch <= epoch)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void epochs_end(const struct epochs *es, int32_t epoch, int64_t log_end, int32_t *found, int64_t *end)
{
    *found = -1;
    *end = -1;
    if (es->n == 0 || epoch > epochs_latest(es))
        return;
    uint32_t i = count_upto(es, epoch);
    *end = i < es->n ? es->v[i].offset : log_end;
    /* Nothing at or below: the asked epoch itself, ending where the first known one begins. */
    *found = i ? es->v[i - 1].epoch : epoch;
}

int32_t epochs_at(const struct epochs *es, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < es->n && es->v[i].offset <= offset; i++)
        epoch = es->v[i].epoch;
    return epoch;
}

void epochs_truncate_suffix(struct epochs *es, int64_t end)
{
    while (es->n && es->v[es->n - 1].offset >= end)
        es->n--;
}

void epochs_truncate_prefix(struct epochs *es, int64_t start)
{
    uint32_t drop = 0;
    while (drop + 1 < es->n && es->v[drop + 1].offset <= start)
        drop++;
    if (drop) {
        memmove(es->v, es->v + drop, (es->n - drop) * sizeof *es->v);
        es->n -= drop;
    }
    if (es->n && es->v[0].offset < start)
        es->v[0].offset = start;
}
