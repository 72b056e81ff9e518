/* describe_cluster.c: DescribeCluster (60): cluster id, controller, brokers (KIP-700). */
#include "api/rows.h"
#include "api/api.h"
#include "api/authorized.h"
#include "base/uuid.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

static bool fill_brokers(struct api_req *r, const struct meta_image *image, bool fenced_too,
                         struct wire_describe_cluster_response *resp)
{
    struct meta_cursor c;
    resp->brokers.v = api_array(r, struct wire_describe_cluster_response_broker, meta_broker_count(image));
    if (!resp->brokers.v)
        return false;
    for (const struct meta_broker *b = meta_brokers_first(image, &c); b; b = meta_brokers_next(&c)) {
        const struct meta_broker_endpoint *e = meta_broker_listener(b, r->net->listener->name);
        if (!e || (b->fenced && !fenced_too))
            continue;
        resp->brokers.v[resp->brokers.n++] = (struct wire_describe_cluster_response_broker){.broker_id = b->id,
                                                                                            .host = wire_str(e->host),
                                                                                            .port = e->port,
                                                                                            .rack = wire_str(b->rack),
                                                                                            .is_fenced = b->fenced};
    }
    return true;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_describe_cluster_request *q = body;
    struct wire_describe_cluster_response resp = wire_describe_cluster_response_default;
    char text[UUID_TEXT];
    resp.error_message.n = -1;
    resp.endpoint_type = q->endpoint_type;
    if (r->version >= 1 && q->endpoint_type != ENDPOINT_BROKERS) {
        bool known = q->endpoint_type == ENDPOINT_CONTROLLERS;
        resp.error_code = known ? KAFKA_MISMATCHED_ENDPOINT_TYPE : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
        resp.error_message = wire_str(
            known ? "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                  : arena_printf(&r->arena, "Unsupported endpoint type %d", q->endpoint_type));
        resp.endpoint_type = wire_describe_cluster_response_default.endpoint_type;
        api_answer(r, &resp);
        return;
    }
    const struct meta_image *image = api_image(r);
    struct chronik_uuid id = meta_cluster_id(image);
    resp.cluster_id = wire_str(uuid_text(&id, text));
    resp.controller_id = meta_controller_id(image);
    if (q->include_cluster_authorized_operations)
        resp.cluster_authorized_operations = AUTHORIZED_CLUSTER;
    if (fill_brokers(r, image, q->include_fenced_brokers, &resp))
        api_answer(r, &resp);
    else
        api_no_memory(r, "out of memory for an answer");
    api_image_leave(r);
}

const struct api_row api_describe_cluster = {.key = WIRE_API_DESCRIBE_CLUSTER, .handle = handle};
