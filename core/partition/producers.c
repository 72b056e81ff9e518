/* producers.c: the table of idempotent producers: a small open-addressed hash by producer id, entries allocated once a
 * producer. Never called without the partition's lock. Rules: KIP-98, with the last five batches of KIP-360. */
#include "partition/producers.h"

#include "wire/codes.h"

#include <stdlib.h>

int32_t producer_seq_add(int32_t seq, int32_t n)
{
    int64_t sum = (int64_t)seq + n;
    return (int32_t)(sum > INT32_MAX ? sum - INT32_MAX - 1 : sum);
}

static uint32_t home_slot(int64_t id, uint32_t n_slots)
{
    uint64_t h = (uint64_t)id * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (n_slots - 1);
}

void producers_free(struct producers *ps)
{
    for (uint32_t i = 0; i < ps->n_slots; i++)
        free(ps->slots[i]);
    free(ps->slots);
    *ps = (struct producers){0};
}

static struct producer **slot_of(const struct producers *ps, int64_t id)
{
    uint32_t i = home_slot(id, ps->n_slots);
    while (ps->slots[i] && ps->slots[i]->id != id)
        i = (i + 1) & (ps->n_slots - 1);
    return &ps->slots[i];
}

struct producer *producers_find(const struct producers *ps, int64_t id)
{
    return ps->n_slots ? *slot_of(ps, id) : NULL;
}

static bool rehash(struct producers *ps, uint32_t n_slots)
{
    struct producers wider = {.slots = calloc(n_slots, sizeof(struct producer *)), .n_slots = n_slots, .n = ps->n};
    if (!wider.slots)
        return false;
    for (uint32_t i = 0; i < ps->n_slots; i++)
        if (ps->slots[i])
            *slot_of(&wider, ps->slots[i]->id) = ps->slots[i];
    free(ps->slots);
    *ps = wider;
    return true;
}

bool producers_reserve(struct producers *ps, int64_t id)
{
    if (producers_find(ps, id))
        return true;
    if ((ps->n + 1) * 4 > ps->n_slots * 3 && !rehash(ps, ps->n_slots ? ps->n_slots * 2 : 4))
        return false;
    struct producer *p = calloc(1, sizeof *p);
    if (!p)
        return false;
    *p =
        (struct producer){.id = id, .epoch = -1, .coordinator_epoch = -1, .last_timestamp = -1, .txn_start_offset = -1};
    *slot_of(ps, id) = p;
    ps->n++;
    return true;
}

int producers_check(const struct producers *ps, int64_t id, int16_t epoch, int32_t first_seq, int32_t last_seq,
                    const struct producer_batch **dup)
{
    const struct producer *p = producers_find(ps, id);
    if (!p || p->epoch < 0)
        return 0;
    if (epoch < p->epoch)
        return KAFKA_INVALID_PRODUCER_EPOCH;
    if (epoch > p->epoch)
        return first_seq == 0 ? 0 : KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
    for (int i = 0; i < p->n; i++)
        if (p->batches[i].first_seq == first_seq && p->batches[i].last_seq == last_seq) {
            *dup = &p->batches[i];
            return -1;
        }
    if (p->n == 0 || first_seq == producer_seq_add(p->batches[p->n - 1].last_seq, 1))
        return 0;
    return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

bool producers_note(struct producers *ps, int64_t id, int16_t epoch, const struct producer_batch *b, int64_t timestamp)
{
    if (!producers_reserve(ps, id))
        return false;
    struct producer *p = producers_find(ps, id);
    if (p->epoch != epoch) {
        p->epoch = epoch;
        p->n = 0;
    }
    if (p->n == PRODUCER_BATCHES)
        memmove(p->batches, p->batches + 1, sizeof p->batches[0] * --p->n);
    p->batches[p->n++] = *b;
    p->last_timestamp = timestamp;
    return true;
}

void producers_truncate(struct producers *ps, int64_t end)
{
    for (uint32_t i = 0; i < ps->n_slots; i++) {
        struct producer *p = ps->slots[i];
        if (!p)
            continue;
        while (p->n && p->batches[p->n - 1].last_offset >= end)
            p->n--;
        if (p->txn_start_offset >= end)
            p->txn_start_offset = -1;
    }
}

void producers_expire(struct producers *ps, int64_t before)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < ps->n_slots; i++) {
        struct producer *p = ps->slots[i];
        if (!p || p->txn_start_offset >= 0 || p->last_timestamp >= before)
            continue;
        free(p);
        ps->slots[i] = NULL;
        gone++;
    }
    ps->n -= gone;
    /* Holes break probe chains: lay the rest out anew. A failed allocation only means to rebuild in place. */
    if (gone && !rehash(ps, ps->n_slots)) {
        for (bool moved = true; moved;) {
            moved = false;
            for (uint32_t i = 0; i < ps->n_slots; i++) {
                struct producer *p = ps->slots[i];
                if (!p)
                    continue;
                ps->slots[i] = NULL;
                struct producer **to = slot_of(ps, p->id);
                moved |= to != &ps->slots[i];
                *to = p;
            }
        }
    }
}
