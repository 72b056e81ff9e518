/* delete_groups.c: DeleteGroups (42). */
#include "api/rows.h"
#include "api/group_call.h"
#include "api/repeats.h"

/* Each group once. The answer names the groups: their ids outlive the frame. false: out of memory. */
static bool copy_names(struct api_req *r, const struct wire_delete_groups_request *q,
                       struct wire_delete_groups_request *out)
{
    int32_t n = (int32_t)max_i64(q->groups_names.n, 0);
    struct repeat_key *keys = repeats_new(r, n);
    for (int32_t i = 0; keys && i < n; i++)
        keys[i].name = q->groups_names.v[i];
    const int32_t *times = repeats_count(r, keys, n);
    struct wire_str *names = api_array(r, struct wire_str, n);
    if (!times || !names)
        return false;
    *out = *q;
    out->groups_names.v = names;
    out->groups_names.n = 0;
    for (int32_t i = 0; i < n; i++)
        if (times[i])
            names[out->groups_names.n++] = api_str_copy(r, q->groups_names.v[i]);
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    struct group_call *g = group_call_new(r, sizeof(struct wire_delete_groups_response));
    if (!g)
        return;
    struct wire_delete_groups_request copy;
    if (!copy_names(r, body, &copy)) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    group_call_wait(g, coord_delete(r->api->c.coord, &g->call, &copy, g->out));
}

const struct api_row api_delete_groups = {.key = WIRE_API_DELETE_GROUPS, .handle = handle};
