/* fill.h: fills any message with random values that its version can carry, by walking its table. The same seed gives
 * the same message. */
#ifndef CHRONIK_TEST_WIRE_FILL_H
#define CHRONIK_TEST_WIRE_FILL_H

#include "wire/wire.h"

struct fill {
    uint64_t seed;
    int version;
    struct arena *arena;
    int most; /* elements of an array, bytes of a string */
};

uint64_t fill_next(struct fill *f);
void fill_message(struct fill *f, const struct wire_msg *m, void *out);

/* Whether two instances say the same in `version`; records compare by content. */
bool fill_equal(const struct wire_msg *m, int version, const void *a, const void *b);

#endif
