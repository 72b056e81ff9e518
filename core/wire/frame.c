/* frame.c: headers and whole frames. Which header a message has follows from its API and version alone: flexible
 * messages have flexible headers, but ApiVersions answers always carry the plain one, since the client may not know the
 * version. */
#include "wire/internal.h"
#include "wire/messages.h"

const struct wire_api *wire_api(int key)
{
    return key >= 0 && key < wire_apis_end && wire_apis[key].name ? &wire_apis[key] : NULL;
}

static int request_header_version(const struct wire_api *api, int version)
{
    return version >= api->flexible ? 2 : 1;
}

static int response_header_version(const struct wire_api *api, int version)
{
    return version >= api->flexible && api->key != WIRE_API_API_VERSIONS ? 1 : 0;
}

int32_t wire_get_request_header(const void *p, size_t n, struct wire_request_head *out, struct err *e)
{
    *out = (struct wire_request_head){.client_id = wire_str(NULL)};
    if (n < 8)
        return err_set(e, CHRONIK_E_CORRUPT, "a request of %zu bytes: a header has at least 8", n);
    out->key = (int16_t)get_be16(p);
    out->version = (int16_t)get_be16((const char *)p + 2);
    out->correlation = (int32_t)get_be32((const char *)p + 4);
    const struct wire_api *api = wire_api(out->key);
    if (!api)
        return err_set(e, CHRONIK_E_UNSUPPORTED, "API key %d is unknown", out->key);
    struct wire_request_header h;
    size_t used = 0;
    struct arena none = {.limit = 1}; /* a header has nothing to allocate */
    int32_t rc = wire_decode_prefix(&wire_request_header_msg, request_header_version(api, out->version), p, n, &none,
                                    &h, &used, e);
    if (rc < 0)
        return rc;
    out->api = api;
    out->client_id = h.client_id;
    out->body = (const uint8_t *)p + used;
    out->body_n = n - used;
    if (out->version < api->min || out->version > api->max)
        return err_set(e, CHRONIK_E_VERSION, "%s version %d: versions %d to %d are known", api->name, out->version,
                       api->min, api->max);
    return CHRONIK_DONE;
}

int32_t wire_put_response_header(struct wire_out *o, const struct wire_api *api, int version, int32_t correlation)
{
    struct wire_response_header h = {.correlation_id = correlation};
    return wire_encode(&wire_response_header_msg, response_header_version(api, version), &h, o, NULL);
}

int32_t wire_get_response_header(const struct wire_api *api, int version, const void *p, size_t n, int32_t *correlation,
                                 size_t *body, struct err *e)
{
    struct wire_response_header h;
    struct arena none = {.limit = 1};
    int32_t rc =
        wire_decode_prefix(&wire_response_header_msg, response_header_version(api, version), p, n, &none, &h, body, e);
    if (rc > 0)
        *correlation = h.correlation_id;
    return rc;
}

int32_t wire_encode_request(const struct wire_api *api, int version, int32_t correlation, struct wire_str client_id,
                            const void *body, struct wire_out *o, struct err *e)
{
    struct wire_request_header h = {.request_api_key = api->key,
                                    .request_api_version = (int16_t)version,
                                    .correlation_id = correlation,
                                    .client_id = client_id};
    size_t start = o->n;
    uint32_t n_inserts = o->n_inserts;
    uint64_t inserted = o->inserted;
    if (!wire_out_reserve(o, 4))
        return err_set(e, CHRONIK_E_NOMEM, "%s version %d: the buffer cannot grow", api->name, version);
    o->n += 4;
    int32_t rc = wire_encode(&wire_request_header_msg, request_header_version(api, version), &h, o, e);
    if (rc > 0)
        rc = wire_encode(api->request, version, body, o, e);
    uint64_t size = o->n - start - 4 + (o->inserted - inserted);
    if (rc > 0 && size > INT32_MAX)
        rc = err_set(e, CHRONIK_E_TOOBIG, "%s version %d: a frame of %llu bytes", api->name, version,
                     (unsigned long long)size);
    if (rc > 0) {
        put_be32(o->p + start, (uint32_t)size);
        return rc;
    }
    o->n = start;
    o->n_inserts = n_inserts;
    o->inserted = inserted;
    return rc;
}
