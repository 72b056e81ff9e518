#include <config.h>

/* input.c: see input.h. A large frame gets a buffer of its own and then exactly its rest is asked for; small ones share
 * an ordinary buffer. Must never read past `end` and never trust a length before it was compared with the cap. */
#include <stdlib.h>

#include "net/input.h"

static bool looks_like(const uint8_t *p, const char *word)
{
    return memcmp(p, word, 4) == 0;
}

static const char *garbage(const uint8_t *p)
{
    if (looks_like(p, "GET ") || looks_like(p, "POST") || looks_like(p, "HEAD") || looks_like(p, "PUT ") ||
        looks_like(p, "OPTI") || looks_like(p, "PRI "))
        return "it speaks HTTP; this port speaks Kafka's protocol, HTTP is at chronik.admin.listener";
    if (p[0] == 0x16 && p[1] == 3)
        return "it speaks TLS; this listener is plain text: set security.protocol=PLAINTEXT in the client";
    if (looks_like(p, "SSH-"))
        return "it speaks SSH";
    return NULL;
}

int32_t net_frame_look(const uint8_t *p, size_t have, uint32_t max, bool first, uint32_t *len, const char **why)
{
    *len = 0;
    if (have < 4)
        return CHRONIK_E_AGAIN;
    if (first && (*why = garbage(p)))
        return CHRONIK_E_INVAL;
    uint32_t n = get_be32(p);
    if (n > max || n < NET_FRAME_MIN) {
        *why = n > INT32_MAX ? "the length of a request is negative"
               : n > max     ? "a request is larger than socket.request.max.bytes"
                             : "a request is shorter than its header";
        return CHRONIK_E_INVAL;
    }
    *len = n;
    return have - 4 >= n ? CHRONIK_DONE : CHRONIK_E_AGAIN;
}

size_t net_input_have(const struct net_input *in)
{
    return in->buf ? in->end - in->at : in->n_stash;
}

/* The whole size of the frame in progress with its length, 0 while unknown. It was checked by net_input_next. */
static size_t frame_total(const uint8_t *p, size_t have)
{
    return have < 4 ? 0 : 4 + (size_t)get_be32(p);
}

/* Bytes, counted from the start of the frame in progress, that its buffer must offer. */
static size_t room_wanted(const uint8_t *p, size_t have)
{
    size_t total = frame_total(p, have);
    size_t ordinary = NET_BUF_TOTAL - sizeof(struct net_buf);
    if (total > NET_RESERVE_EARLY && have < ordinary / 2)
        return ordinary;
    return max_size(total, NET_STASH_MAX); /* less is not worth a call; a rest is never larger while total is unknown */
}

int32_t net_input_space(struct net_input *in, struct net_pool *pool, uint8_t **p, size_t *n)
{
    size_t have = net_input_have(in);
    struct net_buf *b = in->buf;
    const uint8_t *rest = b ? b->data + in->at : in->stash;
    if (in->cut) {
        *p = b->data + in->end;
        *n = min_size(b->cap - in->end, in->to_drop);
        return CHRONIK_DONE;
    }
    size_t want = room_wanted(rest, have);
    size_t total = frame_total(rest, have);
    if (b && in->at + want > b->cap && b->refs == 1 && want <= b->cap) {
        memmove(b->data, rest, have);
        in->at = 0;
        in->end = have;
    } else if (!b || in->at + want > b->cap) {
        struct net_buf *fresh;
        int32_t r =
            net_buf_take(pool, want, in->big ? NET_BUF_BIG : NET_BUF_TOTAL, b && b->refs == 1 ? b->total : 0, &fresh);
        if (r < 0)
            return r;
        if (have > 0)
            memcpy(fresh->data, rest, have);
        net_input_clear(in);
        in->buf = fresh;
        in->end = have;
    }
    *p = in->buf->data + in->end;
    *n = in->buf->cap - in->end;
    if (total >= NET_BUF_TOTAL)
        *n = min_size(*n, total - have);
    *n = min_size(*n, NET_RECV_MAX);
    CHECK(*n > 0);
    return CHRONIK_DONE;
}

bool net_input_drop(struct net_input *in)
{
    enum { KEEP = 16 * 1024 };
    struct net_buf *b = in->buf;
    size_t have = net_input_have(in);
    if (!b || have < NET_STASH_MAX || b->cap - in->at < 2 * NET_STASH_MAX)
        return false;
    size_t total = frame_total(b->data + in->at, have);
    size_t keep = min_size(min_size(have, KEEP), b->cap - in->at - NET_STASH_MAX);
    in->end = in->at + keep;
    in->cut = true;
    in->dropped = (uint32_t)(total - keep);
    in->to_drop = (uint32_t)(total - have);
    return true;
}

void net_input_filled(struct net_input *in, size_t got, size_t offered)
{
    if (in->cut) {
        CHECK(got <= offered && got <= in->to_drop);
        in->to_drop -= (uint32_t)got;
        in->partial = in->to_drop > 0;
        return;
    }
    CHECK(got <= offered && in->end + got <= in->buf->cap);
    in->end += got;
    in->partial = in->end == in->at;
    if (got == offered && offered >= NET_BUF_TOTAL / 2)
        in->big = true;
    else if (got < NET_BUF_TOTAL / 4)
        in->big = false;
}

/* A stash that may hold complete frames goes back into a buffer, so that they can be handed out. */
static int32_t load_stash(struct net_input *in, struct net_pool *pool)
{
    struct net_buf *b;
    int32_t r = net_buf_take(pool, in->n_stash, NET_BUF_TOTAL, true, &b);
    if (r < 0)
        return r;
    size_t have = in->n_stash;
    memcpy(b->data, in->stash, have);
    net_input_clear(in);
    in->buf = b;
    in->end = have;
    return CHRONIK_DONE;
}

int32_t net_input_next(struct net_input *in, struct net_pool *pool, uint32_t max, struct net_frame *f, const char **why)
{
    uint32_t len;
    int32_t r = CHRONIK_E_AGAIN;
    if (in->partial || net_input_have(in) == 0)
        return CHRONIK_E_AGAIN;
    if (!in->buf && (r = load_stash(in, pool)) < 0)
        return r;
    if (in->cut) {
        *f = (struct net_frame){in->buf->data + in->at + 4, (uint32_t)(in->end - in->at - 4), in->dropped};
        in->at = in->end;
        in->cut = false;
        return CHRONIK_DONE;
    }
    r = net_frame_look(in->buf->data + in->at, in->end - in->at, max, !in->seen, &len, why);
    in->partial = r == CHRONIK_E_AGAIN;
    if (r != CHRONIK_DONE)
        return r;
    in->seen = true;
    f->p = in->buf->data + in->at + 4;
    f->n = len;
    f->dropped = 0;
    in->at += 4 + (size_t)len;
    return CHRONIK_DONE;
}

void net_input_rest(struct net_input *in)
{
    size_t have = net_input_have(in);
    if (!in->buf || in->cut || have >= NET_STASH_MAX)
        return;
    if (have > 0) {
        uint8_t *stash = malloc(have);
        if (!stash)
            return; /* the buffer itself keeps the bytes */
        memcpy(stash, in->buf->data + in->at, have);
        in->stash = stash;
        in->n_stash = (uint32_t)have;
    }
    net_buf_unref(in->buf);
    in->buf = NULL;
    in->at = in->end = 0;
}

void net_input_clear(struct net_input *in)
{
    if (in->buf)
        net_buf_unref(in->buf);
    free(in->stash);
    in->buf = NULL;
    in->stash = NULL;
    in->n_stash = 0;
    in->at = in->end = 0;
    in->cut = false;
}
