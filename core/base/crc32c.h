/* crc32c.h: CRC-32C (Castagnoli, reflected), the checksum of record batches and of chronik's own files. Values are the
 * finished ones of RFC 3720: crc32c(0, "123456789", 9) is 0xe3069283. No lock, no allocation; any thread. */
#ifndef CHRONIK_CRC32C_H
#define CHRONIK_CRC32C_H

#include "base/base.h"

/* The checksum of what `crc` covers followed by `n` bytes at `p`. Begin with 0. Uses the fastest way this machine has.
 */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* The checksum of A followed by B, from those of A and B and B's length in bytes; O(log n_b). */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t n_b);

/* The checksum after a change near the front of a text of which `n_after` bytes follow the changed part: `crc` is the
 * checksum of the whole before, `old` and `new` are the `n` bytes before and after. O(n + log n_after). */
uint32_t crc32c_replace(uint32_t crc, const void *old, const void *new, size_t n, uint64_t n_after);

/* The ways to compute it, for tests and measurements. */
enum crc32c_way { CRC32C_SLICE8, CRC32C_SSE42, CRC32C_WAYS };
bool crc32c_has(enum crc32c_way way); /* this machine can */
const char *crc32c_name(enum crc32c_way way);
uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *p, size_t n); /* only when crc32c_has */

#endif
