/* fuzz_reclog.c: any change to the files of a record log. A good log of three files is made; the input is edits {u8
 * what, u16 position, u8 bytes, data}: over a file's bytes, with or without making header and group checksums right
 * again, so that decoding is reached. What opens gives records without a gap, and the same ones when it opens again; a
 * log whose checksums were left alone never gives a record that was not written. */
#include <config.h>

#include "tests/fuzz/disk.h"

#include "base/crc32c.h"
#include "plugins/common/reclog.h"

#include <stdio.h>
#include <stdlib.h>

enum { SECTOR = 512, HEAD = 64, FILES = 3 };

struct run {
    struct fuzz_disk d;
    struct fuzz_in in;
    bool sealed; /* some checksum was made right: content may be anything */
    uint64_t first, last, n;
    uint32_t crc;
    struct reclog *l;
};

static struct image { /* of the good log, made once */
    uint8_t *p[FILES];
    size_t n[FILES];
    int made;
} good;

static uint32_t body_bytes(uint64_t number)
{
    return (uint32_t)(number * 131 % 700);
}

static void body_fill(uint8_t *p, uint64_t number, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)(number * 7 + i);
}

static int32_t on_record(void *arg, const struct reclog_record *rec)
{
    struct run *r = arg;
    CHECK(r->n == 0 || rec->number == r->last + 1);
    if (r->n++ == 0)
        r->first = rec->number;
    r->last = rec->number;
    r->crc = crc32c(r->crc, rec->data, rec->n);
    if (!r->sealed) {
        uint8_t want[700];
        body_fill(want, rec->number, body_bytes(rec->number));
        CHECK(rec->n == body_bytes(rec->number) && memcmp(want, rec->data, rec->n) == 0);
    }
    return CHRONIK_DONE;
}

static void on_durable(void *arg, uint64_t end)
{
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    CHECK(!"nothing fails here");
}

static int32_t log_open(struct run *r, struct errtext *e)
{
    struct reclog_config c = {.host = &r->d.rig.th.table,
                              .path = "log",
                              .name = "fuzz",
                              .first_file_bytes = 4096,
                              .file_bytes = 8192,
                              .idle_ms = 5,
                              .arg = r,
                              .durable = on_durable,
                              .failed = on_failed};
    r->n = r->crc = 0;
    return reclog_open(&c, on_record, r, e, &r->l);
}

static void log_close(struct run *r)
{
    struct testhost_wait w;
    struct chronik_done done = testhost_done(&r->d.rig.th, &w);
    reclog_close(r->l, done);
    testhost_result(&w, CHRONIK_PENDING);
}

static void log_append(struct run *r, uint64_t number)
{
    uint8_t body[700];
    uint64_t got;
    body_fill(body, number, body_bytes(number));
    struct chronik_iov v = {body, body_bytes(number)};
    CHECK(reclog_append(r->l, 1 + number % 3, &v, 1, NULL, NULL, &got) > 0 && got == number);
    struct os_flag f = {0};
    if (number % 3 == 0)
        os_flag_wait(r->d.os, &f, 3000000);
}

static void make_good(void *arg)
{
    struct run *r = arg;
    struct errtext e = {0};
    CHECK(log_open(r, &e) > 0);
    for (uint64_t i = 1; i <= 36; i++)
        log_append(r, i);
    log_close(r);
    for (int i = 0; i < FILES; i++) {
        char name[40];
        snprintf(name, sizeof name, "log/%08d.log", i);
        good.p[i] = fuzz_disk_get(&r->d, name, &good.n[i]);
        CHECK(good.p[i]);
    }
    good.made = 1;
}

/* Makes the checksums of the file's header and of the group header at or below `at` right. */
static void seal(uint8_t *p, size_t n, size_t at)
{
    if (n < 2 * SECTOR)
        return;
    uint64_t s[2] = {get_le64(p + 16), get_le64(p + 24)};
    put_le32(p + 12, crc32c(0, p + 16, SECTOR - 16));
    for (at -= at % SECTOR; at >= SECTOR; at -= SECTOR)
        if (at + HEAD <= n && memcmp(p + at, "CKGR", 4) == 0)
            break;
    if (at < SECTOR)
        return;
    uint8_t *g = p + at;
    uint64_t body = get_le32(g + 12);
    if (body <= n - at - HEAD)
        put_le32(g + 8, crc32c(crc32c(0, s, sizeof s), g + 12, HEAD - 12 + body));
    put_le32(g + 4, crc32c(crc32c(0, s, sizeof s), g + 8, HEAD - 8));
}

static void edits(struct run *r, uint8_t *p[FILES], size_t n[FILES])
{
    while (r->in.n >= 5) {
        uint8_t what = fuzz_u8(&r->in);
        size_t got, at = fuzz_u16(&r->in), len = fuzz_u8(&r->in);
        const uint8_t *bytes = fuzz_bytes(&r->in, len, &got);
        uint8_t *f = p[what % FILES];
        size_t size = n[what % FILES];
        if (what & 0x40) { /* a file cut short */
            if (at < size)
                n[what % FILES] = at;
            continue;
        }
        if (at + got > size)
            continue;
        memcpy(f + at, bytes, got);
        if (what & 0x80) {
            r->sealed = true;
            seal(f, size, at);
        }
    }
}

static void body(void *arg)
{
    struct run *r = arg;
    struct errtext e = {0};
    uint8_t *p[FILES];
    size_t n[FILES];
    for (int i = 0; i < FILES; i++) {
        n[i] = good.n[i];
        CHECK((p[i] = malloc(n[i])));
        memcpy(p[i], good.p[i], n[i]);
    }
    edits(r, p, n);
    for (int i = 0; i < FILES; i++) {
        char name[40];
        snprintf(name, sizeof name, "log/%08d.log", i);
        fuzz_disk_put(&r->d, name, p[i], n[i]);
        free(p[i]);
    }
    if (log_open(r, &e) < 0) {
        CHECK(e.code < 0 && strlen(e.text) > 10);
        return;
    }
    uint64_t had = r->n, last = r->last;
    uint32_t crc = r->crc;
    log_close(r);
    CHECK(log_open(r, &e) > 0 && r->n == had && r->crc == crc && (had == 0 || r->last == last));
    log_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct run r;
    if (n > 20000)
        return 0;
    if (!good.made) {
        fuzz_disk_begin(&r.d);
        fuzz_disk_call(&r.d, make_good, &r);
        fuzz_disk_end(&r.d);
    }
    fuzz_disk_begin(&r.d);
    r.sealed = false;
    r.in = (struct fuzz_in){data, n};
    fuzz_disk_call(&r.d, body, &r);
    fuzz_disk_end(&r.d);
    return 0;
}
