/* subscription.c: what a member of protocol type "consumer" subscribes to, read from the bytes it sent: version (two
 * bytes), then topics as Kafka's version 0 has them, which is how all later versions begin. Pure. */
#include "coord/subscription.h"

bool subscription_topics(const uint8_t *p, size_t n, bool (*each)(void *arg, struct wire_str topic), void *arg)
{
    if (n < 6 || (int16_t)get_be16(p) < 0)
        return false;
    int32_t topics = (int32_t)get_be32(p + 2);
    size_t at = 6;
    /* Each takes two bytes at least. */
    if (topics < 0 || (size_t)topics > (n - at) / 2)
        return false;
    bool more = true;
    for (int32_t i = 0; i < topics; i++) {
        if (n - at < 2)
            return false;
        int16_t len = (int16_t)get_be16(p + at);
        at += 2;
        if (len < 0 || (size_t)len > n - at)
            return false;
        if (more)
            more = each(arg, (struct wire_str){(const char *)p + at, len});
        at += (size_t)len;
    }
    return true;
}
