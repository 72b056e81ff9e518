/* fuzz_wire_decode.c: any bytes as any message. The first three bytes choose the message and version, or a whole
 * request frame, whose own header chooses. What decodes must be shown, encode again, and decode to the same. */
#include "tests/fuzz/fuzz.h"

#include "wire/messages.h"

#include "tests/unit/wire/fill.h"

#include <stdlib.h>

enum { MEMORY = 16 << 20 };

static int count_messages(void)
{
    int n = 0;
    while (wire_messages[n])
        n++;
    return n;
}

static void there_and_back(const struct wire_msg *m, int version, const uint8_t *p, size_t n)
{
    struct arena a;
    struct wire_out o;
    struct err e = {0};
    void *first = malloc(m->size), *second = malloc(m->size);
    CHECK(first && second);
    arena_init(&a, MEMORY);
    wire_out_init(&o, 0);
    int32_t rc = wire_decode(m, version, p, n, &a, first, &e);
    CHECK(rc > 0 || e.text[0]);
    if (rc > 0) {
        CHECK(wire_encode(m, version, first, &o, &e) > 0);
        CHECK(o.n <= n); /* padded varints shrink, tagged defaults and unknown tags vanish */
        a.limit = 0;
        CHECK(wire_dump(m, version, first, &a));
        CHECK(wire_decode(m, version, o.p, o.n, &a, second, &e) > 0);
        CHECK(fill_equal(m, version, first, second));
    }
    wire_out_free(&o);
    arena_free(&a);
    free(first);
    free(second);
}

/* Any bytes are refused with an answer that decodes, or not at all; what decodes always is. */
static void refuse(const struct wire_request_head *h)
{
    struct arena a;
    struct wire_out o;
    struct err e = {0};
    const struct wire_api *api = h->api;
    if (h->key != WIRE_API_PRODUCE && h->key != WIRE_API_LIST_OFFSETS)
        return;
    void *body = malloc(max_size(api->request->size, api->response->size));
    CHECK(body);
    arena_init(&a, 0);
    wire_out_init(&o, 0);
    size_t used;
    bool whole = wire_decode_prefix(api->request, h->version, h->body, h->body_n, &a, body, &used, &e) > 0;
    int32_t rc = wire_refuse(api, h->version, h->body, h->body_n, h->body_n, -1, &o);
    CHECK(rc > 0 ? wire_decode(api->response, h->version, o.p, o.n, &a, body, &e) > 0 || !whole : !whole);
    for (size_t here = 0; whole && here < h->body_n; here += 1 + here / 2) { /* the beginning alone */
        wire_out_reset(&o);
        rc = wire_refuse(api, h->version, h->body, here, h->body_n, -1, &o);
        CHECK(rc < 0 || wire_decode(api->response, h->version, o.p, o.n, &a, body, &e) > 0);
    }
    wire_out_free(&o);
    arena_free(&a);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    int messages = count_messages(), which = get_be16(data) % (messages + 1);
    if (which < messages) {
        const struct wire_msg *m = wire_messages[which];
        there_and_back(m, m->min + data[2] % (m->max - m->min + 1), data + 3, n - 3);
        return 0;
    }
    struct wire_request_head h;
    struct err e = {0};
    int32_t rc = wire_get_request_header(data + 3, n - 3, &h, &e);
    CHECK(rc > 0 || e.text[0]);
    if (rc > 0)
        refuse(&h);
    if (rc > 0)
        there_and_back(h.api->request, h.version, h.body, h.body_n);
    return 0;
}
