/* confcodec: configuration changes as the payload of an entry, and configurations as text. Format of a payload:
 *
 *     byte 0      1 (format)
 *     byte 1      transition: 0 auto, 1 implicit, 2 explicit
 *     byte 2      number of operations, at most RC_MAX_CHANGES
 *     then each   byte operation (0 add voter, 1 remove, 2 update, 3 add learner), 8 bytes replica id, big endian
 *
 * An empty payload is the change that leaves a joint configuration. Anything else is malformed: the decoder must never
 * guess. Pure functions, any thread. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

enum { CONF_FORMAT = 1, CONF_HEADER = 3, CONF_OPERATION = 9 };

struct rc_buf *rc_conf_encode(const struct rc_alloc *alloc, const struct rc_conf_change *change)
{
    struct rc_buf *buf = rc_buf_new(alloc, CONF_HEADER + change->n * CONF_OPERATION);
    uint8_t *at;

    if (buf == NULL) {
        return NULL;
    }
    at = buf->bytes;
    *at++ = CONF_FORMAT;
    *at++ = (uint8_t)change->transition;
    *at++ = (uint8_t)change->n;
    for (uint32_t i = 0; i < change->n; i++) {
        *at++ = (uint8_t)change->v[i].op;
        for (int shift = 56; shift >= 0; shift -= 8) {
            *at++ = (uint8_t)(change->v[i].id >> shift);
        }
    }
    return buf;
}

int rc_conf_decode(const struct rc_buf *buf, struct rc_conf_change *out)
{
    const uint8_t *at;

    memset(out, 0, sizeof *out);
    if (buf == NULL || buf->len == 0) {
        return RC_OK;
    }
    at = buf->bytes;
    if (buf->len < CONF_HEADER || at[0] != CONF_FORMAT || at[1] > RC_EXPLICIT || at[2] > RC_MAX_CHANGES ||
        buf->len != CONF_HEADER + (uint32_t)at[2] * CONF_OPERATION) {
        return RC_INVALID;
    }
    out->transition = (enum rc_transition)at[1];
    out->n = at[2];
    at += CONF_HEADER;
    for (uint32_t i = 0; i < out->n; i++) {
        if (*at > RC_ADD_LEARNER) {
            return RC_INVALID;
        }
        out->v[i].op = (enum rc_conf_op) * at++;
        for (int b = 0; b < 8; b++) {
            out->v[i].id = out->v[i].id << 8 | *at++;
        }
    }
    return RC_OK;
}

static size_t put(char *out, size_t size, size_t at, const char *text)
{
    size_t len = strlen(text);

    if (at < size) {
        snprintf(out + at, size - at, "%s", text);
    }
    return at + len;
}

static size_t put_ids(char *out, size_t size, size_t at, const struct rc_ids *ids)
{
    char number[24];

    at = put(out, size, at, "(");
    for (uint32_t i = 0; i < ids->n; i++) {
        snprintf(number, sizeof number, "%s%llx", i > 0 ? " " : "", (unsigned long long)ids->v[i]);
        at = put(out, size, at, number);
    }
    return put(out, size, at, ")");
}

char *rc_conf_text(const struct rc_conf *conf, char *out, size_t size)
{
    size_t at = put(out, size, 0, "voters=");

    at = put_ids(out, size, at, &conf->voters);
    if (conf->outgoing.n > 0) {
        at = put_ids(out, size, put(out, size, at, "&&"), &conf->outgoing);
    }
    if (conf->learners.n > 0) {
        at = put_ids(out, size, put(out, size, at, " learners="), &conf->learners);
    }
    if (conf->learners_next.n > 0) {
        at = put_ids(out, size, put(out, size, at, " learners_next="), &conf->learners_next);
    }
    if (conf->auto_leave) {
        put(out, size, at, " autoleave");
    }
    return out;
}
