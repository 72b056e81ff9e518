/* api_versions.c: ApiVersions (18): exactly what this broker serves, and the finalised features. Answers before
 * authentication; its response header is always version 0. */
#include "api/rows.h"
#include "api/api.h"

enum { MAX_FEATURES = 32 };

static void handle(struct api_req *r, const void *body)
{
    struct wire_api_versions_response resp = wire_api_versions_response_default;
    struct wire_api_versions_response_api_version *v =
        api_array(r, struct wire_api_versions_response_api_version, ARRAY_LEN(r->api->rows));
    struct meta_feature f[MAX_FEATURES];
    /* While the broker starts there is no image yet: then no feature is finalised. */
    const struct meta_image *image = r->loop->open ? api_image(r) : NULL;
    uint32_t n = image ? meta_features(image, f, MAX_FEATURES) : 0;
    struct wire_api_versions_response_finalized_feature_key *final =
        api_array(r, struct wire_api_versions_response_finalized_feature_key, n);
    if (!v || !final) {
        if (image)
            api_image_leave(r);
        api_drop(r, "out of memory for an answer");
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
