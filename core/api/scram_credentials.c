/* scram_credentials.c: DescribeUserScramCredentials (50). There is no SASL, and no credentials can be stored
 * (AlterUserScramCredentials is not offered): nobody has any, and who is asked for by name is not found. */
#include "api/rows.h"
#include "api/api.h"

typedef struct wire_describe_user_scram_credentials_response_result result;

/* How often the user is named before (at = i) or in all (at = n). */
static int32_t named(const struct wire_describe_user_scram_credentials_request *q, struct wire_str user, int32_t at)
{
    int32_t times = 0;
    for (int32_t i = 0; i < at; i++)
        times += wire_str_eq(q->users.v[i].name, user);
    return times;
}

static result about(struct api_req *r, const struct wire_describe_user_scram_credentials_request *q,
                    struct wire_str user)
{
    result a = wire_describe_user_scram_credentials_response_result_default;
    bool twice = named(q, user, q->users.n) > 1;
    a.user = user;
    a.error_code = twice ? KAFKA_DUPLICATE_RESOURCE : KAFKA_RESOURCE_NOT_FOUND;
    a.error_message = wire_str(
        arena_printf(&r->arena,
                     twice ? "Cannot describe SCRAM credentials for the same user twice in a single request: %.*s"
                           : "Attempt to describe a user credential that does not exist: %.*s",
                     user.n, user.n > 0 ? user.p : ""));
    return a;
}

static void handle(struct api_req *r, const void *body)
{
    enum { MOST = 1000 }; /* users of a request: each is compared with all others */
    const struct wire_describe_user_scram_credentials_request *q = body;
    struct wire_describe_user_scram_credentials_response resp = wire_describe_user_scram_credentials_response_default;
    int32_t n = (int32_t)max_i64(q->users.n, 0);
    if (n > MOST) {
        resp.error_code = KAFKA_INVALID_REQUEST;
        resp.error_message = wire_str("At most 1000 users can be asked for at once; ask for all with none.");
        api_answer(r, &resp);
        return;
    }
    resp.results.v = api_array(r, result, n);
    if (!resp.results.v) {
        api_no_memory(r, "out of memory for an answer");
        return;
    }
    for (int32_t i = 0; i < n; i++)
        if (!named(q, q->users.v[i].name, i))
            resp.results.v[resp.results.n++] = about(r, q, q->users.v[i].name);
    api_answer(r, &resp);
}

const struct api_row api_describe_user_scram_credentials = {.key = WIRE_API_DESCRIBE_USER_SCRAM_CREDENTIALS,
                                                            .handle = handle};
