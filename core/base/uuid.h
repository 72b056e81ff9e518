/* uuid.h: ids as Kafka shows them: 16 bytes in URL-safe base64 without padding, 22 characters. Pure. */
#ifndef CHRONIK_UUID_H
#define CHRONIK_UUID_H

#include <chronik/base.h>

#include "base/base.h"

enum { UUID_TEXT = 23 };

/* Fills and returns `out`, NUL-terminated. */
const char *uuid_text(const struct chronik_uuid *id, char out[UUID_TEXT]);
/* Parses 22 characters; false: malformed. */
bool uuid_parse(const char *text, size_t n, struct chronik_uuid *out);

#endif
