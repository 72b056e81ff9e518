/* api_versions.c: ApiVersions (18): exactly what this broker serves, and the finalised features. Answers before
 * authentication; its response header is always version 0. */
#include "api/rows.h"
#include "api/api.h"
#include "api/features.h"
#include "base/uuid.h"

enum { MAX_FEATURES = 32 };

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What may be a client's name or version (KIP-511): letters, digits, '-' and '.', with no sign at the ends. */
static bool speakable(struct wire_str s)
{
    if (s.n <= 0 || !alphanumeric(s.p[0]) || !alphanumeric(s.p[s.n - 1]))
        return false;
    for (int32_t i = 0; i < s.n; i++)
        if (!alphanumeric(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

static bool tell_features(struct api_req *r, struct wire_api_versions_response *resp)
{
    resp->supported_features.v = api_array(r, struct wire_api_versions_response_supported_feature_key, n_features);
    for (uint32_t i = 0; resp->supported_features.v && i < n_features; i++)
        resp->supported_features.v[resp->supported_features.n++] =
            (struct wire_api_versions_response_supported_feature_key){
                .name = wire_str(features[i].name), .min_version = features[i].min, .max_version = features[i].max};
    return resp->supported_features.v;
}

/* Whether the client speaks with the broker that it believes to speak with (KIP-1242): cluster and node, or neither. */
static int16_t check_address(struct api_req *r, const struct wire_api_versions_request *q,
                             const struct meta_image *image)
{
    char own[UUID_TEXT];
    struct chronik_uuid id = meta_cluster_id(image);
    if ((q->cluster_id.n >= 0) != (q->node_id >= 0))
        return KAFKA_INVALID_REQUEST;
    if (q->cluster_id.n < 0)
        return KAFKA_NONE;
    bool here = q->node_id == r->api->c.node_id && wire_str_is(q->cluster_id, uuid_text(&id, own));
    return here ? KAFKA_NONE : KAFKA_REBOOTSTRAP_REQUIRED;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_api_versions_request *q = body;
    struct wire_api_versions_response resp = wire_api_versions_response_default;
    if (r->version >= 3 && (!speakable(q->client_software_name) || !speakable(q->client_software_version))) {
        resp.error_code = KAFKA_INVALID_REQUEST;
        api_answer(r, &resp);
        return;
    }
    struct wire_api_versions_response_api_version *v =
        api_array(r, struct wire_api_versions_response_api_version, ARRAY_LEN(r->api->rows));
    struct meta_feature f[MAX_FEATURES];
    /* While the broker starts there is no image yet: then no feature is finalised. */
    const struct meta_image *image = r->loop->open ? api_image(r) : NULL;
    if (image && r->version >= 5)
        resp.error_code = check_address(r, q, image);
    if (resp.error_code != KAFKA_NONE) {
        api_answer(r, &resp);
        api_image_leave(r);
        return;
    }
    uint32_t n = image ? meta_features(image, f, MAX_FEATURES) : 0;
    struct wire_api_versions_response_finalized_feature_key *final =
        api_array(r, struct wire_api_versions_response_finalized_feature_key, n);
    if (!v || !final || !tell_features(r, &resp)) {
        if (image)
            api_image_leave(r);
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    for (int key = 0; key < (int)ARRAY_LEN(r->api->rows); key++) {
        const struct api_row *row = r->api->rows[key];
        if (!row)
            continue;
        struct wire_api_versions_response_api_version *one = &v[resp.api_keys.n++];
        one->api_key = (int16_t)key;
        api_range(row, &one->min_version, &one->max_version);
        one->min_version = min_i64(one->min_version, wire_api(key)->advertised);
    }
    resp.api_keys.v = v;
    for (uint32_t i = 0; i < min_i64(n, MAX_FEATURES); i++)
        final[i] = (struct wire_api_versions_response_finalized_feature_key){
            .name = wire_str(f[i].name), .min_version_level = f[i].level, .max_version_level = f[i].level};
    resp.finalized_features.v = final;
    resp.finalized_features.n = (int32_t)min_i64(n, MAX_FEATURES);
    resp.finalized_features_epoch = image ? meta_features_epoch(image) : -1;
    api_answer(r, &resp);
    if (image)
        api_image_leave(r);
}

const struct api_row api_api_versions = {.key = WIRE_API_API_VERSIONS, .handle = handle};
