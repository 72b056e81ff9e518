/* disk.h: a node of the virtual world with files that a fuzz target has written, and a store over them. One input, one
 * world; nothing outlives fuzz_disk_end. Used by the targets that read what stands on disks. */
#ifndef CHRONIK_FUZZ_DISK_H
#define CHRONIK_FUZZ_DISK_H

#include "tests/fuzz/fuzz.h"
#include "tests/sim/sim.h"
#include "tests/unit/store/storerig.h"

struct fuzz_disk {
    struct sim_world *w;
    struct os *os;
    struct rig rig;
};

/* Bytes that an input is eaten up by. */
struct fuzz_in {
    const uint8_t *p;
    size_t n;
};
static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}
static inline uint32_t fuzz_u16(struct fuzz_in *in)
{
    uint32_t lo = fuzz_u8(in);
    return lo | (uint32_t)fuzz_u8(in) << 8;
}
/* At most `n` bytes; *got says how many. */
static inline const uint8_t *fuzz_bytes(struct fuzz_in *in, size_t n, size_t *got)
{
    const uint8_t *p = in->p;
    *got = n < in->n ? n : in->n;
    in->p += *got;
    in->n -= *got;
    return p;
}

/* An empty directory "d" and the small settings of the tests. */
void fuzz_disk_begin(struct fuzz_disk *d);
void fuzz_disk_end(struct fuzz_disk *d);
/* Below "d"; folders are made. Blocking calls of the seam: inside fuzz_disk_call. */
void fuzz_disk_put(struct fuzz_disk *d, const char *path, const void *p, size_t n);
/* malloc'ed, NULL when there is no such file. */
uint8_t *fuzz_disk_get(struct fuzz_disk *d, const char *path, size_t *n);
/* Runs fn(arg) as the node's main thread; dying is a finding. */
void fuzz_disk_call(struct fuzz_disk *d, void (*fn)(void *arg), void *arg);

/* Starts the store; whatever is refused is refused with a sentence. What starts is read through: each partition gives
 * batches in order, each whole, or says that it is damaged. Then it stops, and starts again to the same ends. 1 when it
 * started. Inside fuzz_disk_call. */
int fuzz_store_check(struct fuzz_disk *d);

#endif
