/* fuzz_raft_wire.c: bytes on the quorum's port, and what the quorum keeps in bytes. First byte: 0, the rest is a stream
 * of frames as they come; else a body whose frame is right: 1 HELLO, 2 MSG, 3 a group, 4 a member entry, 5 ASK, 6
 * ASKED. What decodes must encode to the very same bytes; what an older build has written, to those of today. */
#include "tests/fuzz/fuzz.h"

#include "base/crc32c.h"
#include "plugins/meta-raft/wire.h"

#include <stdlib.h>

static void *resize(void *ctx, void *p, size_t n)
{
    if (n)
        return realloc(p, n);
    free(p);
    return NULL;
}

static const struct rc_alloc mem = {.resize = resize};

void *raft_alloc(chronik_meta *m, size_t n)
{
    void *p = calloc(1, n);
    CHECK(p != NULL);
    return p;
}

static uint32_t crc(uint32_t c, const void *p, uint64_t n)
{
    return crc32c(c, p, n);
}

static void same(const struct wbuf *w, const uint8_t *p, size_t n)
{
    CHECK(!w->full && w->n == WIRE_HEAD + n && (n == 0 || memcmp(w->p + WIRE_HEAD, p, n) == 0));
}

static void body(uint32_t type, const uint8_t *p, uint32_t n)
{
    struct wbuf w = {0};
    struct hello h;
    struct rc_msg m;
    struct ask ask;
    static struct asked asked;
    if ((type == WIRE_HELLO || type == WIRE_WELCOME) && wire_hello_decode(p, n, &h)) {
        wire_hello(&w, (enum wire_type)type, &h, crc);
        same(&w, p, n);
    }
    if (type == WIRE_ASK && wire_ask_decode(p, n, &ask)) {
        wire_ask(&w, &ask, crc);
        same(&w, p, n);
    }
    if (type == WIRE_ASKED && wire_asked_decode(p, n, &asked)) {
        wire_asked(&w, &asked, crc);
        same(&w, p, n);
    }
    if (type == WIRE_MSG) {
        if (wire_msg_decode(p, n, &mem, &m)) {
            wire_msg(&w, &m, crc);
            same(&w, p, n);
        }
        wire_msg_clear(&mem, &m);
    }
    free(w.p);
}

static void frames(const uint8_t *p, size_t n)
{
    for (size_t need; n > 0; p += need, n -= need) {
        enum wire_type type;
        const uint8_t *b;
        uint32_t len;
        if (wire_frame(p, n, WIRE_LARGE, crc, &type, &b, &len, &need) <= 0)
            return;
        CHECK(need <= n && len == need - WIRE_HEAD);
        body(type, b, len);
    }
}

static void group(const uint8_t *p, size_t n)
{
    static struct group g;
    if (!group_decode(&g, p, n))
        return;
    size_t now = group_encode(&g, NULL, 0);
    uint8_t *out = malloc(now);
    CHECK(out && group_encode(&g, out, now) == now);
    CHECK(get_le32(p) == get_le32(out) ? now == n && memcmp(out, p, n) == 0 : now > n || g.book.n == 0);
    free(out);
}

static void member(const uint8_t *p, size_t n)
{
    static chronik_meta m = {.alloc = {.resize = resize}};
    struct member x;
    struct rc_buf *b = rc_buf_new(&mem, (uint32_t)n + 1);
    CHECK(b != NULL);
    b->bytes[0] = PAYLOAD_MEMBER;
    memcpy(b->bytes + 1, p, n);
    if (member_decode(b, &x)) {
        struct rc_buf *again = member_encode(&m, &x);
        bool today = again && again->len == b->len && memcmp(again->bytes, b->bytes, b->len) == 0;
        CHECK(today || (again && again->len == b->len + sizeof x.directory && uuid_zero(&x.directory)));
        rc_buf_unref(again);
    }
    rc_buf_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0 || n > 1 << 20)
        return 0;
    switch (*data) {
    case 0:
        frames(data + 1, n - 1);
        break;
    case 1:
        body(WIRE_HELLO, data + 1, (uint32_t)n - 1);
        break;
    case 2:
        body(WIRE_MSG, data + 1, (uint32_t)n - 1);
        break;
    case 3:
        group(data + 1, n - 1);
        break;
    case 4:
        member(data + 1, n - 1);
        break;
    case 5:
        body(WIRE_ASK, data + 1, (uint32_t)n - 1);
        break;
    case 6:
        body(WIRE_ASKED, data + 1, (uint32_t)n - 1);
        break;
    default:
        break;
    }
    return 0;
}
