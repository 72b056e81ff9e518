/* util.h: the few helpers that the modules share and that the public headers do not have: checks, little-endian
 * fields, a text for errors. Pure functions only; safe on any thread. */
#ifndef CHRONIK_COMMON_UTIL_H
#define CHRONIK_COMMON_UTIL_H

#include <chronik/base.h>
#include <chronik/host.h>

#include <stdbool.h>
#include <string.h>

#ifndef CHECK /* tests include the core's base.h before this */
/* An impossible state: says where, then aborts. Stays on in release builds. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(cond), 0))                                                                              \
            util_check_failed(__FILE__, __LINE__, #cond);                                                              \
    } while (0)
#endif
_Noreturn void util_check_failed(const char *file, int line, const char *cond);

#ifndef ARRAY_LEN
#define ARRAY_LEN(a)          (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, T, m) ((T *)(void *)((char *)(p)-offsetof(T, m)))
#endif

/* A result that carries its story: object first, remedy last. */
struct errtext {
    int32_t code;
    char text[496];
};

/* Fills `e` (may be NULL) and returns `code`; the text is cut when it is longer than the field. */
int32_t errtext_set(struct errtext *e, int32_t code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "no space left", from the public list of codes. */
const char *util_code_text(int32_t code);

/* One formatted line through host->log. */
void util_log(const struct chronik_host *h, int32_t level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The full name of a path in a data directory, for messages: each directory has one of that name. */
void util_where(char *out, uint64_t n, const struct chronik_host *h, uint32_t dir, const char *path);

/* The folder of a module in a data directory: made, durably, when it is missing. */
int32_t util_folder(const struct chronik_host *h, uint32_t dir, const char *folder, struct errtext *e);

/* Writes `n` bytes at `offset`. */
int32_t util_write(const struct chronik_host *h, struct chronik_file *f, const void *p, uint64_t n, uint64_t offset);

/* Reads exactly `n` bytes or answers E_RANGE when the file ends before. */
int32_t util_read(const struct chronik_host *h, struct chronik_file *f, void *p, uint64_t n, uint64_t offset);

/* Makes the file's size dirty again, so that the next sync covers it even if an earlier one had failed. */
int32_t util_touch_size(const struct chronik_host *h, struct chronik_file *f);

/* Little-endian fields of file formats. */
static inline void put_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void put_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void put_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline uint16_t get_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t get_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t get_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file formats are written by little-endian machines only so far"
#endif

static inline uint64_t round_up64(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}
static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
