/* acls.c: DescribeAcls (29), CreateAcls (30), DeleteAcls (31). There is no authorizer, and clients are told so in the
 * words that Kafka has for it: nothing is stored, nothing is pretended. */
#include "api/rows.h"
#include "api/api.h"

static const char no_authorizer[] = "No Authorizer is configured.";

static void describe(struct api_req *r, const void *body)
{
    struct wire_describe_acls_response resp = wire_describe_acls_response_default;
    resp.error_code = KAFKA_SECURITY_DISABLED;
    resp.error_message = wire_str("No Authorizer is configured on the broker");
    api_answer(r, &resp);
}

static void create(struct api_req *r, const void *body)
{
    const struct wire_create_acls_request *q = body;
    struct wire_create_acls_response resp = wire_create_acls_response_default;
    resp.results.v = api_array(r, struct wire_create_acls_response_acl_creation_result, q->creations.n);
    if (!resp.results.v) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    resp.results.n = (int32_t)max_i64(q->creations.n, 0);
    for (int32_t i = 0; i < resp.results.n; i++)
        resp.results.v[i] = (struct wire_create_acls_response_acl_creation_result){
            .error_code = KAFKA_SECURITY_DISABLED, .error_message = wire_str(no_authorizer)};
    api_answer(r, &resp);
}

static void delete (struct api_req *r, const void *body)
{
    const struct wire_delete_acls_request *q = body;
    struct wire_delete_acls_response resp = wire_delete_acls_response_default;
    resp.filter_results.v = api_array(r, struct wire_delete_acls_response_filter_result, q->filters.n);
    if (!resp.filter_results.v) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    resp.filter_results.n = (int32_t)max_i64(q->filters.n, 0);
    for (int32_t i = 0; i < resp.filter_results.n; i++)
        resp.filter_results.v[i] = (struct wire_delete_acls_response_filter_result){
            .error_code = KAFKA_SECURITY_DISABLED, .error_message = wire_str(no_authorizer)};
    api_answer(r, &resp);
}

const struct api_row api_describe_acls = {.key = WIRE_API_DESCRIBE_ACLS, .handle = describe};
const struct api_row api_create_acls = {.key = WIRE_API_CREATE_ACLS, .handle = create};
const struct api_row api_delete_acls = {.key = WIRE_API_DELETE_ACLS, .handle = delete};
