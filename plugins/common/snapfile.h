/* snapfile.h: one file that appears whole or not at all: written under a temporary name in chunks, checksummed, synced,
 * renamed into place, its folder synced. A reader verifies everything before it hands out the first byte of trust: use
 * what snapfile_read gave only when it returned CHRONIK_DONE. Blocking; any thread, one writer a file.
 *
 * Used for snapshots, manifests and small files that a module replaces. The format is described in snapfile.c. */
#ifndef CHRONIK_COMMON_SNAPFILE_H
#define CHRONIK_COMMON_SNAPFILE_H

#include "util.h"

struct snapfile_writer;

/* What a file says of itself. `kind` and `version` are the owner's; `head` is a small owner's header (<= 256 bytes),
 * readable without reading the content. */
struct snapfile_info {
    uint32_t kind;    /* four letters, SNAPFILE_KIND */
    uint32_t version; /* of the owner's format */
    uint64_t bytes;   /* of the content */
    uint32_t crc32c;  /* of the content */
    uint32_t head_n;
    uint8_t head[256];
};

#define SNAPFILE_KIND(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* Begins `folder`/`name` (written as `name`.tmp until the end; an old .tmp is overwritten). info->bytes and crc32c are
 * ignored. */
int32_t snapfile_begin(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name,
                       const struct snapfile_info *info, struct snapfile_writer **out);
int32_t snapfile_chunk(struct snapfile_writer *w, const void *p, uint64_t n);
/* commit != 0: durable and visible when it returns CHRONIK_DONE; any earlier failure is returned here again and leaves
 * the old file. commit 0: drops the temporary file. The writer is gone either way. E_CORRUPT when `expect` (may be
 * NULL: not compared) has another size or checksum. */
int32_t snapfile_end(struct snapfile_writer *w, uint32_t commit, const struct snapfile_info *expect);

/* Reads and verifies the header only. E_NOTFOUND, E_VERSION, E_CORRUPT, with a sentence. */
int32_t snapfile_info(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, struct snapfile_info *out, struct errtext *e);

/* Reads the whole content in chunks of at most 256 KiB through `chunk` (negative result: stops and is returned). Each
 * chunk is verified before it is handed over; the end proves completeness. E_NOTFOUND, E_VERSION, E_CORRUPT with file,
 * offset and remedy. */
int32_t snapfile_read(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, struct snapfile_info *out,
                      int32_t (*chunk)(void *arg, const void *p, uint64_t n), void *arg, struct errtext *e);

/* The whole content in malloc'ed memory (the caller frees), at most `limit` bytes. */
int32_t snapfile_load(const struct chronik_host *h, uint32_t dir, const char *folder, const char *name, uint32_t kind,
                      uint32_t max_version, uint64_t limit, struct snapfile_info *out, void **data, struct errtext *e);

#endif
