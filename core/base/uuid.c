/* uuid.c: base64 of exactly 16 bytes. Pure. */
#include "base/uuid.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const char *uuid_text(const struct chronik_uuid *id, char out[UUID_TEXT])
{
    uint32_t bits = 0, have = 0;
    size_t n = 0;
    for (size_t i = 0; i < sizeof id->b; i++) {
        bits = bits << 8 | id->b[i];
        for (have += 8; have >= 6; have -= 6)
            out[n++] = digits[bits >> (have - 6) & 63];
    }
    out[n++] = digits[bits << (6 - have) & 63];
    out[n] = '\0';
    return out;
}

bool uuid_parse(const char *text, size_t n, struct chronik_uuid *out)
{
    uint32_t bits = 0, have = 0;
    size_t at = 0;
    if (n != UUID_TEXT - 1)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return false;
        bits = bits << 6 | (uint32_t)(d - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out->b[at++] = (uint8_t)(bits >> have);
        }
    }
    return (bits & 15) == 0; /* 22 digits hold 132 bits */
}
