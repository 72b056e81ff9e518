/* repeats.h: which elements of a request name the same. A request may have a million elements and runs on a loop that
 * others wait for, so they are sorted, not compared each with each. */
#ifndef CHRONIK_API_REPEATS_H
#define CHRONIK_API_REPEATS_H

#include "api/api.h"

/* What an element is named by; parts that do not count are left zero. */
struct repeat_key {
    struct wire_str name; /* null and empty are two names */
    const struct chronik_uuid *id;
    int32_t number;
    int32_t at; /* repeats_count's */
};

/* n zeroed keys in the request's arena; NULL when it is exhausted. */
struct repeat_key *repeats_new(struct api_req *r, int32_t n);
/* For each element how often it is named in all, told of the first one alone: 0 of those that repeat it. NULL: the
 * arena is exhausted, or keys was NULL. Sorts the keys. */
const int32_t *repeats_count(struct api_req *r, struct repeat_key *keys, int32_t n);

#endif
