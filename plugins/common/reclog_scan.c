/* reclog_scan.c: sealing groups and reading them back: replay at open, reading by number later, and the decision
 * between a torn tail and damage. It never changes a file. Replay runs in the opening thread, reads on any. */
#include "reclog_int.h"

#include <stdlib.h>

/* Group header, 64 bytes at a multiple of 512 bytes:
 *   0 "CKGR"   4 u32 crc32c of bytes 8..63   8 u32 crc32c of bytes 12..63 and of the body   12 u32 bytes of the body
 *  16 u64 position   24 u64 durable_through   32 u64 first record number   40 u32 records   44 u32 incarnation
 *  48 u64 generation   56 u32 crc (the field at 8) of the group before   60 u32 0
 * Both checksums start from one over the file's generation and salt. The body is records, each {u32 bytes, u16 type,
 * u16 0, data, zeros to a multiple of 8}. */
static const char group_magic[4] = "CKGR";

static uint32_t crc_seed(const struct reclog *l, const struct rl_file *f)
{
    uint64_t s[2] = {f->generation, f->salt};
    return l->h->crc32c(0, s, sizeof s);
}

void rl_group_seal(const struct reclog *l, const struct rl_file *f, struct rl_group *g, const struct chronik_iov *body,
                   uint32_t n_body, uint8_t out[RL_GROUP_HEAD])
{
    memset(out, 0, RL_GROUP_HEAD);
    memcpy(out, group_magic, 4);
    put_le32(out + 12, g->body_n);
    put_le64(out + 16, g->position);
    put_le64(out + 24, g->durable_through);
    put_le64(out + 32, g->first);
    put_le32(out + 40, g->n_records);
    put_le32(out + 44, l->incarnation);
    put_le64(out + 48, f->generation);
    put_le32(out + 56, g->prev);
    uint32_t crc = l->h->crc32c(crc_seed(l, f), out + 12, RL_GROUP_HEAD - 12);
    for (uint32_t i = 0; i < n_body; i++)
        crc = l->h->crc32c(crc, body[i].p, body[i].n);
    put_le32(out + 8, crc);
    g->crc = crc;
    put_le32(out + 4, l->h->crc32c(crc_seed(l, f), out + 8, RL_GROUP_HEAD - 8));
}

/* Whether the 64 bytes are a group's header of this file at this position. */
static int head_valid(const struct reclog *l, const struct rl_file *f, const uint8_t *in, uint64_t position)
{
    return memcmp(in, group_magic, 4) == 0 && get_le64(in + 48) == f->generation && get_le64(in + 16) == position &&
           get_le32(in + 4) == l->h->crc32c(crc_seed(l, f), in + 8, RL_GROUP_HEAD - 8);
}

struct scan {
    const struct reclog *l;
    struct rl_file *f;
    uint64_t at;     /* offset in the file of the next group */
    uint64_t number; /* of the next record */
    uint32_t chain;
    uint32_t torn; /* bytes of a group of this file that begins where the scan ended but is not whole */
    uint8_t *buf;  /* a window of the file: */
    uint64_t cap, win_at, win_n;
    uint64_t last_at; /* where the last whole group begins, 0 none in this file */
};

static void scan_begin(struct scan *s, struct rl_file *f, uint64_t at, uint64_t number, uint32_t chain)
{
    s->f = f;
    s->at = at;
    s->number = number;
    s->chain = chain;
    s->win_n = 0;
    s->last_at = 0;
}

/* Makes the bytes from s->at on stand in the window, `n` of them or up to the end of the file. */
static int32_t scan_fill(struct scan *s, uint64_t n, uint64_t *got)
{
    enum { WINDOW = 256 * 1024 };
    if (s->at >= s->win_at && s->at + n <= s->win_at + s->win_n) {
        *got = s->win_at + s->win_n - s->at;
        return CHRONIK_DONE;
    }
    uint64_t want = max_u64(n, WINDOW);
    if (want > s->cap) {
        uint8_t *p = realloc(s->buf, want);
        if (!p)
            return CHRONIK_E_NOMEM;
        s->buf = p;
        s->cap = want;
    }
    s->win_at = s->at;
    s->win_n = 0;
    int32_t r = s->l->h->file_read(s->f->f, s->buf, want, s->at, 0, &s->win_n);
    *got = s->win_n;
    return r < 0 ? r : CHRONIK_DONE;
}

/* DONE: a whole group in *g, its body in the window. 0: no valid group here. Negative: cannot be read. */
static int32_t scan_group(struct scan *s, struct rl_group *g)
{
    const struct reclog *l = s->l;
    uint64_t position = s->f->base + s->at - RL_SECTOR, got = 0;
    s->torn = 0;
    if (s->at + RL_GROUP_HEAD > s->f->capacity)
        return 0;
    int32_t r = scan_fill(s, RL_GROUP_HEAD, &got);
    if (r < 0)
        return r;
    const uint8_t *h = s->buf + (s->at - s->win_at);
    if (got < RL_GROUP_HEAD || !head_valid(l, s->f, h, position))
        return 0;
    *g = (struct rl_group){.position = position,
                           .durable_through = get_le64(h + 24),
                           .first = get_le64(h + 32),
                           .n_records = get_le32(h + 40),
                           .body_n = get_le32(h + 12),
                           .crc = get_le32(h + 8),
                           .prev = get_le32(h + 56)};
    uint64_t whole = RL_GROUP_HEAD + (uint64_t)g->body_n;
    s->torn = (uint32_t)whole;
    if (s->at + whole > s->f->capacity || g->first != s->number || g->prev != s->chain)
        return 0;
    r = scan_fill(s, whole, &got);
    if (r < 0)
        return r;
    h = s->buf + (s->at - s->win_at);
    if (got < whole || (g->crc != l->h->crc32c(crc_seed(l, s->f), h + 12, whole - 12) && !MUTANT("torn-tail-kept")))
        return 0;
    g->body = h + RL_GROUP_HEAD;
    return CHRONIK_DONE;
}

static void scan_pass(struct scan *s, const struct rl_group *g)
{
    s->at += round_up64(RL_GROUP_HEAD + (uint64_t)g->body_n, RL_SECTOR);
    s->number += g->n_records;
    s->chain = g->crc;
}

/* Gives the group's records with number >= from: DONE after the last, else what `each` said. */
static int32_t group_records(const struct rl_group *g, uint64_t from,
                             int32_t (*each)(void *arg, const struct reclog_record *r), void *arg, uint64_t *bytes)
{
    uint64_t at = 0, number = g->first;
    for (uint32_t i = 0; i < g->n_records; i++, number++) {
        if (at + RL_RECORD_HEAD > g->body_n)
            return CHRONIK_E_CORRUPT;
        struct reclog_record rec = {.number = number,
                                    .n = get_le32(g->body + at),
                                    .type = get_le16(g->body + at + 4),
                                    .data = g->body + at + RL_RECORD_HEAD};
        at += RL_RECORD_HEAD;
        if (rec.n > g->body_n - at)
            return CHRONIK_E_CORRUPT;
        at += round_up64(rec.n, 8);
        if (number < from)
            continue;
        *bytes += rec.n;
        int32_t r = each(arg, &rec);
        if (r <= 0)
            return r;
    }
    return CHRONIK_DONE;
}

static int32_t damaged(const struct scan *s, struct errtext *e, const char *why)
{
    return errtext_set(e, CHRONIK_E_CORRUPT,
                       "record log %s: file %08u.log, offset %llu: damaged in the middle (%s, record %llu): what was "
                       "acknowledged behind it would be lost; restore the file from a backup or a replica",
                       s->l->where, s->f->slot, (unsigned long long)s->at, why, (unsigned long long)s->number);
}

/* A file that had all its bytes before its first group and ends where the next group would stand was cut, by nobody who
 * writes it: what it held from there on may have been acknowledged. */
static int32_t cut_short(const struct scan *s, struct errtext *e)
{
    uint64_t next = s->torn ? s->torn : RL_GROUP_HEAD;
    if (!s->f->whole || s->f->size >= s->f->capacity || s->at + next <= s->f->size || s->at + next > s->f->capacity)
        return CHRONIK_DONE;
    return errtext_set(
        e, CHRONIK_E_CORRUPT,
        "record log %s: file %08u.log, offset %llu: damaged (it ends there, but had %llu bytes: it was cut "
        "from record %llu on); restore the file from a backup or a replica",
        s->l->where, s->f->slot, (unsigned long long)s->f->size, (unsigned long long)s->f->capacity,
        (unsigned long long)s->number);
}

/* Looks from the end of the scan on for a group that says it was written after a sync had covered this place. */
static int32_t look_behind(struct scan *s, struct errtext *e)
{
    uint64_t end = s->at, end_position = s->f->base + s->at - RL_SECTOR;
    int32_t r = CHRONIK_DONE;
    for (; r > 0 && s->at + RL_GROUP_HEAD <= s->f->capacity; s->at += RL_SECTOR) {
        uint64_t got = 0;
        r = scan_fill(s, RL_SECTOR, &got);
        if (r > 0 && got < RL_GROUP_HEAD)
            break;
        const uint8_t *h = s->buf + (s->at - s->win_at);
        if (r > 0 && head_valid(s->l, s->f, h, s->f->base + s->at - RL_SECTOR) && get_le64(h + 24) > end_position) {
            s->at = end;
            return damaged(s, e, "a later group says that it had been synced");
        }
    }
    s->at = end;
    return r;
}

/* The chain must go on in `next` exactly where the scan ended. */
static int32_t chain_continues(const struct scan *s, const struct rl_file *next, struct errtext *e)
{
    if (next->base != s->f->base + s->at - RL_SECTOR || next->first != s->number || next->chain != s->chain)
        return damaged(s, e, "the next file begins elsewhere");
    return CHRONIK_DONE;
}

static int32_t replay_file(struct scan *s, int32_t (*replay)(void *arg, const struct reclog_record *r), void *arg,
                           uint32_t *torn, int *marked, struct errtext *e)
{
    struct rl_group g;
    int32_t r;
    while ((r = scan_group(s, &g)) > 0) {
        uint64_t bytes = 0;
        rl_file_index(s->f, g.first, g.position);
        r = group_records(&g, s->l->cfg.from, replay, arg, &bytes);
        if (r == CHRONIK_E_CORRUPT && e && !e->code)
            return damaged(s, e, "a record does not fit its group");
        if (r < 0)
            return r;
        s->last_at = s->at;
        scan_pass(s, &g);
        *marked = g.n_records == 0;
    }
    if (r < 0)
        return errtext_set(e, r, "record log %s: file %08u.log, offset %llu: cannot be read: %s; check the disk",
                           s->l->where, s->f->slot, (unsigned long long)s->at, util_code_text(r));
    *torn = s->torn;
    if (s->f->next)
        return chain_continues(s, s->f->next, e);
    r = cut_short(s, e);
    return r > 0 ? look_behind(s, e) : r;
}

/* The last group may never have been synced, or its sync may have failed under the process that wrote it, which leaves
 * pages that look clean and are not on disk: only written again are they covered by the sync that follows (D1). */
static int32_t tail_rewrite(struct scan *s, struct errtext *e)
{
    uint64_t from = s->last_at == RL_SECTOR ? 0 : s->last_at, n = s->at - from, got = 0;
    if (s->last_at == 0)
        return CHRONIK_DONE;
    uint8_t *p = malloc(n);
    if (!p)
        return errtext_set(e, CHRONIK_E_NOMEM, "record log %s: out of memory", s->l->where);
    int32_t r = s->l->h->file_read(s->f->f, p, n, from, 0, &got); /* the file may end within the last padding */
    if (r > 0)
        r = util_write(s->l->h, s->f->f, p, got, from);
    if (r > 0)
        r = util_touch_size(s->l->h, s->f->f);
    free(p);
    if (r < 0)
        errtext_set(e, r,
                    "record log %s: file %08u.log, offset %llu: the tail cannot be written again: %s; check the disk",
                    s->l->where, s->f->slot, (unsigned long long)from, util_code_text(r));
    return r;
}

/* The owner's checkpoint was written after its records had been synced: a log that ends before it has lost some, and
 * would give their numbers away a second time. */
static int32_t reaches_checkpoint(const struct scan *s, struct errtext *e)
{
    const struct reclog *l = s->l;
    if (s->number >= l->cfg.from || (l->cfg.flags & RECLOG_FRESH))
        return CHRONIK_DONE;
    return errtext_set(
        e, CHRONIK_E_CORRUPT,
        "record log %s: file %08u.log, offset %llu: damaged (it ends with record %llu, but records up to "
        "%llu had been synced); restore the folder from a backup or a replica",
        l->where, s->f->slot, (unsigned long long)s->at, (unsigned long long)s->number - 1,
        (unsigned long long)l->cfg.from - 1);
}

int32_t rl_replay(struct reclog *l, int32_t (*replay)(void *arg, const struct reclog_record *r), void *arg,
                  struct errtext *e)
{
    struct scan s = {.l = l};
    uint32_t torn = 0;
    int marked = 0;
    int32_t r = CHRONIK_DONE;
    for (struct rl_file *f = l->files; f && r > 0; f = f->next) {
        scan_begin(&s, f, RL_SECTOR, f->first, f->chain);
        r = replay_file(&s, replay, arg, &torn, &marked, e);
        if (r > 0 && !f->next)
            r = reaches_checkpoint(&s, e);
        if (r > 0 && !f->next) {
            l->next_number = l->durable = s.number;
            l->durable_pos = f->base + s.at - RL_SECTOR;
            l->chain = s.chain;
            l->torn_bytes = torn;
            r = tail_rewrite(&s, e);
            l->marked = marked;
        }
    }
    free(s.buf);
    return r;
}

/* ---- reading by number ---- */

/* The file that holds `from`, kept from recycling; and where in it to begin. */
static struct rl_file *read_begin(struct reclog *l, struct rl_file *after, uint64_t from, uint64_t *position,
                                  uint64_t *number)
{
    struct rl_file *f = after ? after->next : l->files;
    while (!after && f && f->next && f->next->first <= from)
        f = f->next;
    if (!f || f->base >= l->durable_pos)
        return NULL;
    f->readers++;
    *position = f->base;
    *number = f->first;
    for (uint32_t lo = 0, hi = f->n_idx; lo < hi;) {
        uint32_t mid = (lo + hi) / 2;
        if (f->idx[mid].number <= from) {
            *position = f->idx[mid].position;
            *number = f->idx[mid].number;
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return f;
}

/* DONE: enough was given; 0: the file ended. */
static int32_t read_file(struct scan *s, uint64_t from, uint64_t end, uint64_t max_bytes, uint64_t *bytes,
                         int32_t (*each)(void *arg, const struct reclog_record *r), void *arg, struct errtext *e)
{
    struct rl_group g;
    uint64_t got = 0;
    int32_t r = scan_fill(s, RL_GROUP_HEAD, &got);
    if (r > 0 && got >= RL_GROUP_HEAD) /* the chain can be checked from the second group on */
        s->chain = get_le32(s->buf + (s->at - s->win_at) + 56);
    while (r >= 0 && s->number < end && *bytes < max_bytes) {
        r = scan_group(s, &g);
        if (r <= 0)
            return r;
        r = group_records(&g, from, each, arg, bytes);
        if (r == CHRONIK_E_CORRUPT)
            return damaged(s, e, "a record does not fit its group");
        if (r <= 0) /* an error, or enough */
            return r < 0 ? r : CHRONIK_DONE;
        scan_pass(s, &g);
    }
    return r < 0 ? r : CHRONIK_DONE;
}

int32_t reclog_read(struct reclog *l, uint64_t from, uint64_t max_bytes,
                    int32_t (*each)(void *arg, const struct reclog_record *r), void *arg, struct errtext *e)
{
    struct scan s = {.l = l};
    struct rl_file *f = NULL;
    uint64_t position = 0, number = 0, bytes = 0;
    int32_t r = CHRONIK_PENDING;
    while (r == CHRONIK_PENDING) {
        struct rl_file *before = f;
        pthread_mutex_lock(&l->mu);
        uint64_t end = l->durable;
        int lost = !before && from < end && (!l->files || from < l->files->first);
        f = from < end && !lost ? read_begin(l, before, from, &position, &number) : NULL;
        if (before)
            before->readers--;
        pthread_mutex_unlock(&l->mu);
        if (lost)
            r = errtext_set(e, CHRONIK_E_RANGE, "record log %s: record %llu is not kept any more", l->where,
                            (unsigned long long)from);
        else if (!f)
            r = before ? damaged(&s, e, "found while reading") : CHRONIK_DONE;
        if (r)
            break;
        scan_begin(&s, f, position - f->base + RL_SECTOR, number, f->chain);
        r = read_file(&s, from, end, max_bytes, &bytes, each, arg, e);
    }
    if (f) {
        pthread_mutex_lock(&l->mu);
        f->readers--;
        pthread_mutex_unlock(&l->mu);
    }
    free(s.buf);
    return r < 0 ? r : CHRONIK_DONE;
}
