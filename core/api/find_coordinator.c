/* find_coordinator.c: FindCoordinator (10): which broker owns the slot that a group hashes to, from the image alone. */
#include "api/rows.h"
#include "api/api.h"

#include "coord/coord.h"

enum { KEY_GROUP = 0, KEY_TRANSACTION = 1, KEY_SHARE = 2 };

struct found {
    int16_t code;
    const char *text; /* NULL: Kafka's name of the code says it */
    const struct meta_broker_endpoint *at;
    int32_t node;
};

static struct found find_group(struct api_req *r, const struct meta_image *image, struct wire_str group)
{
    struct meta_slot slot = meta_slot_of(image, (int32_t)coord_slot_of(r->api->c.coord, group));
    const struct meta_broker *b = slot.broker < 0 ? NULL : meta_broker_by_id(image, slot.broker);
    const struct meta_broker_endpoint *e = b && !b->fenced ? meta_broker_listener(b, r->net->listener->name) : NULL;
    if (!e)
        return (struct found){.code = KAFKA_COORDINATOR_NOT_AVAILABLE,
                              .text = "No broker that is alive owns this group's slot yet: try again."};
    return (struct found){.at = e, .node = b->id};
}

static struct found find(struct api_req *r, const struct meta_image *image, int8_t type, struct wire_str key)
{
    switch (type) {
    case KEY_GROUP:
        return find_group(r, image, key);
    case KEY_TRANSACTION:
        return (struct found){.code = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                              .text = "This broker has no transactions."};
    case KEY_SHARE:
        return (struct found){.code = KAFKA_INVALID_REQUEST, .text = "This broker has no share groups."};
    default:
        return (struct found){.code = KAFKA_INVALID_REQUEST,
                              .text = "This most likely occurs because of a request being malformed by the client "
                                      "library or the message was sent to an incompatible broker. See the broker logs "
                                      "for more details."};
    }
}

static void fill_one(const struct found *f, struct wire_find_coordinator_response *out)
{
    out->error_code = f->code;
    out->error_message = wire_str(f->code ? f->text : "NONE"); /* as Kafka says it */
    out->node_id = f->at ? f->node : -1;
    out->host = wire_str(f->at ? f->at->host : "");
    out->port = f->at ? f->at->port : -1;
}

static void handle(struct api_req *r, const void *body)
{
    const struct wire_find_coordinator_request *q = body;
    struct wire_find_coordinator_response resp = wire_find_coordinator_response_default;
    int32_t n = q->coordinator_keys.n;
    resp.coordinators.v = api_array(r, struct wire_find_coordinator_response_coordinator, n);
    if (!resp.coordinators.v) {
        api_no_memory(r, "out of memory for a request");
        return;
    }
    const struct meta_image *image = api_image(r);
    if (r->version < 4) {
        struct found f = find(r, image, q->key_type, q->key);
        fill_one(&f, &resp);
    }
    for (int32_t i = 0; r->version >= 4 && i < n; i++) {
        struct found f = find(r, image, q->key_type, q->coordinator_keys.v[i]);
        struct wire_find_coordinator_response_coordinator *c = &resp.coordinators.v[resp.coordinators.n++];
        *c = wire_find_coordinator_response_coordinator_default;
        c->key = q->coordinator_keys.v[i];
        c->error_code = f.code;
        c->error_message = f.code ? wire_str(f.text) : c->error_message;
        c->node_id = f.at ? f.node : -1;
        c->host = wire_str(f.at ? f.at->host : "");
        c->port = f.at ? f.at->port : -1;
    }
    api_answer(r, &resp);
    api_image_leave(r);
}

const struct api_row api_find_coordinator = {.key = WIRE_API_FIND_COORDINATOR, .handle = handle};
