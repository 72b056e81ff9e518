/* update_features.c: UpdateFeatures (57): raises or lowers finalised features (KIP-584). All updates of a request are
 * checked first; one that is refused refuses all of them. */
#include "api/rows.h"
#include "api/features.h"
#include "api/gather.h"

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

const struct feature features[] = {{"metadata.version", 7, 33, 33}};
const uint32_t n_features = ARRAY_LEN(features);

struct update_features {
    struct gather g;
    const struct wire_update_features_request *q;
    struct wire_update_features_response resp;
    struct gather_proposal *v;
};

static void end(struct gather *g)
{
    api_answer(g->r, &CONTAINER_OF(g, struct update_features, g)->resp);
}

static void fail(struct update_features *u, int16_t code, const char *why)
{
    u->resp.results.n = 0;
    u->resp.error_code = code;
    u->resp.error_message = wire_str(arena_printf(
        &u->g.r->arena, "The update failed for all features since the following feature had an error: %s", why));
}

static void applied(struct gather_proposal *p)
{
    struct update_features *u = CONTAINER_OF(p->g, struct update_features, g);
    if (p->result.code != KAFKA_NONE)
        fail(u, p->result.code, p->result.text);
}

static const struct feature *feature_of(struct wire_str name)
{
    for (uint32_t i = 0; i < n_features; i++)
        if (wire_str_is(name, features[i].name))
            return &features[i];
    return NULL;
}

static int8_t kind_of(const struct update_features *u, const struct wire_update_features_request_feature_update_key *f)
{
    return u->g.r->version >= 1 ? f->upgrade_type : f->allow_downgrade ? SAFE_DOWNGRADE : UPGRADE;
}

/* NULL, or why the update is refused. */
static const char *refused(struct update_features *u, const struct meta_image *image,
                           const struct wire_update_features_request_feature_update_key *f)
{
    struct arena *mem = &u->g.r->arena;
    const struct feature *known = feature_of(f->feature);
    const char *name = arena_strndup(mem, f->feature.p, (size_t)max_i64(f->feature.n, 0));
    int16_t now = name ? meta_feature_level(image, name) : 0;
    int8_t kind = kind_of(u, f);
    if (kind < UPGRADE || kind > UNSAFE_DOWNGRADE)
        return "The controller does not support the given upgrade type.";
    if (f->max_version_level < 0)
        return "A feature version cannot be less than 0.";
    if (!known)
        return arena_printf(mem, "Local controller %d does not support this feature.", u->g.r->api->c.node_id);
    if (f->max_version_level < known->min || f->max_version_level > known->max)
        return arena_printf(mem, "Local controller %d only supports versions %d-%d", u->g.r->api->c.node_id, known->min,
                            known->max);
    if (f->max_version_level < now && kind == UPGRADE)
        return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe "
               "downgrade.";
    if (f->max_version_level > now && kind != UPGRADE)
        return "Can't downgrade to a newer version.";
    return NULL;
}

static bool check_all(struct update_features *u)
{
    const struct meta_image *image = api_image(u->g.r);
    const char *why = NULL;
    for (int32_t i = 0; i < u->q->feature_updates.n && !why; i++) {
        const struct wire_update_features_request_feature_update_key *f = &u->q->feature_updates.v[i];
        why = refused(u, image, f);
        if (why)
            fail(u, KAFKA_INVALID_UPDATE_VERSION,
                 arena_printf(&u->g.r->arena, "Invalid update version %d for feature %.*s. %s", f->max_version_level,
                              f->feature.n, f->feature.p, why));
    }
    api_image_leave(u->g.r);
    return !why;
}

static void propose_all(struct update_features *u)
{
    for (int32_t i = 0; i < u->q->feature_updates.n; i++) {
        const struct wire_update_features_request_feature_update_key *f = &u->q->feature_updates.v[i];
        struct meta_command c = {.type = META_CMD_FEATURE_SET};
        c.u.feature_set.name = arena_strndup(&u->g.r->arena, f->feature.p, (size_t)f->feature.n);
        c.u.feature_set.level = f->max_version_level;
        c.u.feature_set.downgrade = kind_of(u, f) != UPGRADE;
        u->v[i].applied = applied;
        if (!c.u.feature_set.name || !gather_propose(&u->g, &u->v[i], &c, u->q->timeout_ms))
            fail(u, KAFKA_REQUEST_TIMED_OUT, "The metadata log takes no proposals at the moment; try again.");
    }
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_update_features_request *q = body;
    struct update_features *u = arena_calloc(&r->arena, 1, sizeof *u);
    int32_t n = (int32_t)max_i64(q->feature_updates.n, 0);
    if (u) {
        u->q = q;
        u->resp = wire_update_features_response_default;
        u->resp.error_message.n = -1;
        u->resp.results.v = api_array(r, struct wire_update_features_response_updatable_feature_result, n);
        u->v = api_array(r, struct gather_proposal, n);
    }
    if (!u || !u->resp.results.v || !u->v) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    u->g = (struct gather){.r = r, .pending = 1, .end = end};
    for (int32_t i = 0; i < n && r->version < 2; i++)
        u->resp.results.v[u->resp.results.n++] = (struct wire_update_features_response_updatable_feature_result){
            .feature = api_str_copy(r, q->feature_updates.v[i].feature), .error_message = {NULL, -1}};
    if (check_all(u) && !q->validate_only)
        propose_all(u);
    gather_less(&u->g);
}

const struct api_row api_update_features = {.key = WIRE_API_UPDATE_FEATURES, .handle = handle};
