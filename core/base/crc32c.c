/* crc32c.c: CRC-32C two ways: eight table look-ups per eight bytes, and the SSE4.2 instruction on three lanes at once,
 * whose results are joined by a carry-less multiplication. The instruction takes three cycles but starts every cycle,
 * so three independent lanes keep it busy. The tables are filled in before main runs and never change afterwards. */
#include "base/crc32c.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { POLY = 0x82f63b78 };                  /* x^32 + x^28 + x^27 + ..., bit-reversed */
enum { LANE_LONG = 1024, LANE_SHORT = 128 }; /* bytes of one lane */

static struct {
    uint32_t slice[8][256];
    uint32_t power[64];                   /* x^(8 * 2^i) mod P */
    uint64_t join_long[2], join_short[2]; /* shift by two lanes, by one lane */
    uint32_t (*best)(uint32_t crc, const uint8_t *p, size_t n);
} t;

/* a * b mod P; bit 31 is the coefficient of x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) {
        if (a & 0x80000000u)
            r ^= b;
        a <<= 1;
        b = b & 1 ? (b >> 1) ^ (uint32_t)POLY : b >> 1;
    }
    return r;
}

/* crc * x^(8n) mod P: the raw register after n zero bytes. */
static uint32_t shift_bytes(uint32_t crc, uint64_t n)
{
    for (int i = 0; n; i++, n >>= 1)
        if (n & 1)
            crc = multiply(t.power[i], crc);
    return crc;
}

static uint32_t raw_slice8(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n && (uintptr_t)p % 8; n--)
        crc = t.slice[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t lo, hi;
        memcpy(&lo, p, 4);
        memcpy(&hi, p + 4, 4);
        lo ^= crc;
        crc = t.slice[7][lo & 0xff] ^ t.slice[6][(lo >> 8) & 0xff] ^ t.slice[5][(lo >> 16) & 0xff] ^
              t.slice[4][lo >> 24] ^ t.slice[3][hi & 0xff] ^ t.slice[2][(hi >> 8) & 0xff] ^
              t.slice[1][(hi >> 16) & 0xff] ^ t.slice[0][hi >> 24];
    }
    for (; n; n--)
        crc = t.slice[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
#define SSE42 __attribute__((target("sse4.2,pclmul")))

SSE42 static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* crc * x^(8n) mod P, where k = x^(8n - 33) mod P: the product of two reflected 32-bit polynomials sits one bit low in
 * 64 bits, and the instruction itself multiplies by x^32. */
SSE42 static inline uint64_t join(uint64_t crc, uint64_t k)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128((long long)k), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

SSE42 static inline uint64_t three_lanes(uint64_t crc, const uint8_t *p, size_t lane, const uint64_t k[2])
{
    uint64_t a = crc, b = 0, c = 0;
    for (const uint8_t *end = p + lane; p < end; p += 8) {
        a = _mm_crc32_u64(a, load64(p));
        b = _mm_crc32_u64(b, load64(p + lane));
        c = _mm_crc32_u64(c, load64(p + 2 * lane));
    }
    return join(a, k[0]) ^ join(b, k[1]) ^ c;
}

SSE42 static uint32_t raw_sse42(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t r = crc;
    for (; n && (uintptr_t)p % 8; n--)
        r = _mm_crc32_u8((uint32_t)r, *p++);
    for (; n >= 3 * LANE_LONG; n -= 3 * LANE_LONG, p += 3 * LANE_LONG)
        r = three_lanes(r, p, LANE_LONG, t.join_long);
    for (; n >= 3 * LANE_SHORT; n -= 3 * LANE_SHORT, p += 3 * LANE_SHORT)
        r = three_lanes(r, p, LANE_SHORT, t.join_short);
    for (; n >= 8; n -= 8, p += 8)
        r = _mm_crc32_u64(r, load64(p));
    for (; n; n--)
        r = _mm_crc32_u8((uint32_t)r, *p++);
    return (uint32_t)r;
}
#endif

/* x^e mod P */
static uint32_t power_of_x(unsigned e)
{
    uint32_t r = 0x80000000u;
    while (e--)
        r = r & 1 ? (r >> 1) ^ (uint32_t)POLY : r >> 1;
    return r;
}

__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? (c >> 1) ^ (uint32_t)POLY : c >> 1;
        t.slice[0][i] = c;
    }
    for (int s = 1; s < 8; s++)
        for (int i = 0; i < 256; i++)
            t.slice[s][i] = t.slice[0][t.slice[s - 1][i] & 0xff] ^ (t.slice[s - 1][i] >> 8);
    t.power[0] = power_of_x(8);
    for (int i = 1; i < 64; i++)
        t.power[i] = multiply(t.power[i - 1], t.power[i - 1]);
    t.join_long[0] = power_of_x(8 * 2 * LANE_LONG - 33);
    t.join_long[1] = power_of_x(8 * LANE_LONG - 33);
    t.join_short[0] = power_of_x(8 * 2 * LANE_SHORT - 33);
    t.join_short[1] = power_of_x(8 * LANE_SHORT - 33);
    t.best = raw_slice8;
#if defined(__x86_64__)
    if (crc32c_has(CRC32C_SSE42))
        t.best = raw_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    return ~t.best(~crc, p, n);
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t n_b)
{
    return shift_bytes(crc_a, n_b) ^ crc_b;
}

uint32_t crc32c_replace(uint32_t crc, const void *old, const void *new, size_t n, uint64_t n_after)
{
    /* The initial and final complements cancel out: the checksum is linear in the difference. */
    return crc ^ shift_bytes(t.best(0, old, n) ^ t.best(0, new, n), n_after);
}

bool crc32c_has(enum crc32c_way way)
{
#if defined(__x86_64__)
    if (way == CRC32C_SSE42) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
    }
#endif
    return way == CRC32C_SLICE8;
}

const char *crc32c_name(enum crc32c_way way)
{
    return way == CRC32C_SSE42 ? "sse4.2, three lanes" : "slice-by-8";
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *p, size_t n)
{
    CHECK(crc32c_has(way));
#if defined(__x86_64__)
    if (way == CRC32C_SSE42)
        return ~raw_sse42(~crc, p, n);
#endif
    return ~raw_slice8(~crc, p, n);
}
