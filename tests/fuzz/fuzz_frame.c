#include <config.h>

/* fuzz_frame.c: any bytes in any pieces into the cutting of frames. The first two bytes of an input choose the cap and
 * the sizes of the pieces; the frames that come out are compared with a plain walk over the same bytes. */
#include <stdlib.h>

#include "net/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct walk {
    const uint8_t *p;
    size_t n, at;
    uint32_t max;
    bool first;
};

/* What the frame at the walk's position must be: DONE, E_AGAIN or E_INVAL. */
static int32_t plain(struct walk *w, const uint8_t **p, uint32_t *len)
{
    const char *why;
    int32_t r = net_frame_look(w->p + w->at, w->n - w->at, w->max, w->first, len, &why);
    *p = w->p + w->at + 4;
    if (r == CHRONIK_DONE) {
        w->at += 4 + (size_t)*len;
        w->first = false;
    }
    return r;
}

/* Takes all frames that are there; false when the connection would be closed. */
static bool take(struct net_input *in, struct net_pool *pool, struct walk *w)
{
    for (;;) {
        struct net_frame f;
        const uint8_t *p;
        const char *why;
        uint32_t len;
        int32_t r = net_input_next(in, pool, w->max, &f, &why);
        if (r == CHRONIK_E_BUSY)
            return false;
        CHECK(r == plain(w, &p, &len));
        if (r == CHRONIK_E_INVAL)
            CHECK(why && *why);
        if (r != CHRONIK_DONE)
            return r == CHRONIK_E_AGAIN;
        CHECK(f.n == len && memcmp(f.p, p, len) == 0);
        f.p[0] ^= 0; /* writable */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct net_budget budget = {.max = 64 << 20};
    struct net_pool pool;
    struct net_input in = {0};
    if (n < 2)
        return 0;
    struct walk w = {.p = data + 2, .max = UINT32_C(1) << (3 + data[0] % 24), .first = true};
    uint32_t step = data[1] + 1u;
    net_pool_init(&pool, &budget);
    for (size_t at = 2; at < n;) {
        uint8_t *room;
        size_t size;
        if (net_input_space(&in, &pool, &room, &size) < 0)
            break;
        size_t part = min_size(min_size(size, step), n - at);
        memcpy(room, data + at, part);
        at += part;
        w.n = at - 2;
        net_input_filled(&in, part, size);
        if (!take(&in, &pool, &w))
            break;
        net_input_rest(&in);
        step = step * 7 % 4001 + 1;
    }
    net_input_clear(&in);
    CHECK(atomic_load(&budget.used) == 0);
    net_pool_free(&pool);
    return 0;
}
