/* reclog_file.c: the chain of files of a record log: names and headers, the free list, prewriting and removal in the
 * background. It never touches a byte that the owner may still need. File lists are under the log's mutex; files are
 * made and removed on worker threads, one job at a time. */
#include "reclog_int.h"

#include <stdio.h>
#include <stdlib.h>

/* File header, 512 bytes, one sector, written together with the file's first group:
 *   0 "CKRECLOG"   8 u32 version = 1   12 u32 crc32c of bytes 16..511   16 u64 generation   24 u64 salt
 *  32 u64 base position   40 u64 first record number   48 u64 capacity   56 u32 crc of the group before
 *  60 u32 bit 0: it had its whole capacity, synced, before its first group   64 16 bytes id of the log   80 zeros */
enum { HEAD_VERSION = 1, HEAD_WHOLE = 1 };
#define LIVE (CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_DIRECT)
static const char head_magic[8] = "CKRECLOG";

int32_t rl_file_name(const struct reclog *l, uint32_t slot, char *out, size_t n)
{
    return snprintf(out, n, "%s/%08u.log", l->path, slot) < (int)n ? CHRONIK_DONE : CHRONIK_E_TOOBIG;
}

void rl_head_encode(const struct reclog *l, const struct rl_file *f, uint8_t out[RL_SECTOR])
{
    memset(out, 0, RL_SECTOR);
    memcpy(out, head_magic, 8);
    put_le32(out + 8, HEAD_VERSION);
    put_le64(out + 16, f->generation);
    put_le64(out + 24, f->salt);
    put_le64(out + 32, f->base);
    put_le64(out + 40, f->first);
    put_le64(out + 48, f->capacity);
    put_le32(out + 56, f->chain);
    put_le32(out + 60, f->whole && f->size >= f->capacity ? HEAD_WHOLE : 0);
    memcpy(out + 64, l->id.b, 16);
    put_le32(out + 12, l->h->crc32c(0, out + 16, RL_SECTOR - 16));
}

static int all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return 0;
    return 1;
}

/* DONE: a header; 0: zeros, a file that was never used; E_CORRUPT: neither; E_VERSION. */
static int32_t head_decode(struct reclog *l, struct rl_file *f, const uint8_t in[RL_SECTOR], const char *name,
                           struct chronik_uuid *id, struct errtext *e)
{
    if (all_zero(in, RL_SECTOR))
        return 0;
    if (memcmp(in, head_magic, 8) || get_le32(in + 12) != l->h->crc32c(0, in + 16, RL_SECTOR - 16))
        return CHRONIK_E_CORRUPT;
    if (get_le32(in + 8) != HEAD_VERSION)
        return errtext_set(e, CHRONIK_E_VERSION,
                           "record log %s: file %s has format version %u, this build reads %d; start the newer release "
                           "that wrote it; if there was none the file is damaged: restore it from a backup or a "
                           "replica",
                           l->where, name, get_le32(in + 8), HEAD_VERSION);
    f->generation = get_le64(in + 16);
    f->salt = get_le64(in + 24);
    f->base = get_le64(in + 32);
    f->first = get_le64(in + 40);
    f->capacity = get_le64(in + 48);
    f->chain = get_le32(in + 56);
    f->whole = (get_le32(in + 60) & HEAD_WHOLE) != 0;
    memcpy(id->b, in + 64, 16);
    return CHRONIK_DONE;
}

void rl_file_free(struct reclog *l, struct rl_file *f)
{
    if (!f)
        return;
    if (f->f)
        l->h->file_close(f->f);
    free(f->idx);
    free(f);
}

void rl_file_index(struct rl_file *f, uint64_t number, uint64_t position)
{
    if (f->n_idx && position - f->idx[f->n_idx - 1].position < RL_IDX_EVERY)
        return;
    if (f->n_idx == f->cap_idx) {
        uint32_t cap = f->cap_idx ? f->cap_idx * 2 : 16;
        struct rl_idx *p = realloc(f->idx, cap * sizeof *p);
        if (!p)
            return; /* a sparser index only makes reads longer */
        f->idx = p;
        f->cap_idx = cap;
    }
    f->idx[f->n_idx++] = (struct rl_idx){number, position};
}

struct load {
    struct reclog *l;
    struct errtext *e;
    struct rl_file *found;    /* with a header, by generation */
    struct rl_file *doubtful; /* with a damaged header */
    int32_t result;
    int have_id;
};

static void found_insert(struct rl_file **at, struct rl_file *f)
{
    while (*at && (*at)->generation < f->generation)
        at = &(*at)->next;
    f->next = *at;
    *at = f;
}

static int32_t load_one(struct load *ld, uint32_t slot, const char *name)
{
    struct reclog *l = ld->l;
    struct rl_file *f = calloc(1, sizeof *f);
    if (!f)
        return CHRONIK_E_NOMEM;
    char full[256];
    uint8_t head[RL_SECTOR];
    struct chronik_uuid id;
    f->slot = slot;
    int32_t r = rl_file_name(l, slot, full, sizeof full);
    if (r > 0)
        r = l->h->file_open(l->h->ctx, l->cfg.dir, full, LIVE, &f->f);
    if (r > 0)
        r = l->h->file_size(f->f, &f->size);
    if (r > 0 && f->size >= RL_SECTOR) {
        r = util_read(l->h, f->f, head, RL_SECTOR, 0);
        if (r > 0)
            r = head_decode(l, f, head, name, &id, ld->e);
    } else if (r > 0) {
        r = 0;
    }
    if (r == CHRONIK_E_CORRUPT) {
        f->capacity = f->size - f->size % RL_SECTOR;
        f->next = ld->doubtful;
        ld->doubtful = f;
        return CHRONIK_DONE;
    }
    if (r == 0) { /* a file whose making was cut short is made anew; a whole one waits for use */
        if (f->size < l->cfg.first_file_bytes || f->size % RL_SECTOR) {
            rl_file_free(l, f);
            return l->h->file_remove(l->h->ctx, l->cfg.dir, full);
        }
        f->capacity = f->size;
        f->whole = l->h->file_sync(f->f) > 0; /* its maker may have died before the last sync */
        f->next = l->free_files;
        l->free_files = f;
        l->n_free++;
        return CHRONIK_DONE;
    }
    if (r < 0) {
        if (ld->e && !ld->e->code)
            errtext_set(ld->e, r, "record log %s: file %s cannot be read: %s; check the disk and the file's owner",
                        l->where, name, util_code_text(r));
        rl_file_free(l, f);
        return r;
    }
    if (ld->have_id && memcmp(id.b, l->id.b, 16)) {
        rl_file_free(l, f);
        return errtext_set(ld->e, CHRONIK_E_CORRUPT,
                           "record log %s: file %s belongs to another log; remove the files that were copied in",
                           l->where, name);
    }
    ld->have_id = 1;
    l->id = id;
    found_insert(&ld->found, f);
    return CHRONIK_DONE;
}

static void load_each(void *arg, const struct chronik_dirent *d)
{
    struct load *ld = arg;
    unsigned slot;
    char tail[8] = "";
    if (ld->result < 0 || d->is_dir || strlen(d->name) != 12 || sscanf(d->name, "%8u.%3s", &slot, tail) != 2 ||
        strcmp(tail, "log"))
        return;
    if (slot >= ld->l->next_slot)
        ld->l->next_slot = slot + 1;
    ld->result = load_one(ld, slot, d->name);
}

/* Sorts what is there into free files and the live chain that begins with the file that holds cfg.from. */
static int32_t chain_build(struct load *ld)
{
    struct reclog *l = ld->l;
    struct rl_file *f = ld->found;
    ld->found = NULL;
    while (f && f->next && f->next->first <= l->cfg.from) {
        struct rl_file *next = f->next;
        f->next = l->free_files;
        l->free_files = f;
        l->n_free++;
        f = next;
    }
    l->files = f;
    if (!f) {
        if (l->cfg.from > 1 && !(l->cfg.flags & RECLOG_FRESH))
            return errtext_set(ld->e, CHRONIK_E_CORRUPT,
                               "record log %s: the files with record %llu and later are missing; restore the folder",
                               l->where, (unsigned long long)l->cfg.from);
        return CHRONIK_DONE;
    }
    if (f->first > l->cfg.from && !(l->cfg.flags & RECLOG_LATER))
        return errtext_set(ld->e, CHRONIK_E_CORRUPT,
                           "record log %s: records %llu to %llu are missing (the oldest file is %08u.log); restore the "
                           "folder",
                           l->where, (unsigned long long)l->cfg.from, (unsigned long long)f->first - 1, f->slot);
    for (; f; f = f->next) {
        l->n_files++;
        l->active = f;
        if (f->next && f->next->generation != f->generation + 1)
            return errtext_set(ld->e, CHRONIK_E_CORRUPT,
                               "record log %s: generation %llu is missing between %08u.log and %08u.log; restore the "
                               "file",
                               l->where, (unsigned long long)f->generation + 1, f->slot, f->next->slot);
    }
    return CHRONIK_DONE;
}

/* A damaged header is that of a roll that the power cut short, which nobody was told of, unless a second group of the
 * generation that is due was written behind it: then the first one had been synced. */
static int32_t doubtful_decide(struct load *ld)
{
    struct reclog *l = ld->l;
    uint64_t due = l->active ? l->active->generation + 1 : 1;
    enum { STEP = 64 * 1024 };
    uint8_t *buf = malloc(STEP);
    int32_t r = buf ? CHRONIK_DONE : CHRONIK_E_NOMEM;
    while (ld->doubtful && r > 0) {
        struct rl_file *f = ld->doubtful;
        int evidence = 0;
        for (uint64_t at = 0, got; r > 0 && at < f->size; at += STEP) {
            r = l->h->file_read(f->f, buf, STEP, at, 0, &got);
            for (uint64_t i = at ? 0 : 2 * RL_SECTOR; r > 0 && i + RL_GROUP_HEAD <= got; i += RL_SECTOR)
                evidence |= memcmp(buf + i, "CKGR", 4) == 0 && get_le64(buf + i + 48) == due;
        }
        if (r > 0 && evidence)
            r = errtext_set(ld->e, CHRONIK_E_CORRUPT,
                            "record log %s: file %08u.log, offset 0: the header is damaged; restore the file from a "
                            "backup or a replica",
                            l->where, f->slot);
        if (r < 0)
            break;
        ld->doubtful = f->next;
        f->next = l->free_files;
        l->free_files = f;
        l->n_free++;
    }
    free(buf);
    return r;
}

int32_t rl_files_load(struct reclog *l, struct errtext *e)
{
    struct load ld = {.l = l, .e = e, .result = CHRONIK_DONE};
    int32_t r = l->h->dir_list(l->h->ctx, l->cfg.dir, l->path, load_each, &ld);
    if (r >= 0)
        r = ld.result;
    if (r >= 0)
        r = chain_build(&ld);
    if (r >= 0 && ld.doubtful)
        r = doubtful_decide(&ld);
    struct rl_file **left[] = {&ld.found, &ld.doubtful}; /* only after a failure */
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        while (*left[i]) {
            struct rl_file *f = *left[i];
            *left[i] = f->next;
            rl_file_free(l, f);
        }
    if (r >= 0 && !ld.have_id)
        l->h->random(l->h->ctx, l->id.b, 16);
    return r;
}

int32_t rl_file_new(struct reclog *l, uint64_t capacity, struct rl_file **out)
{
    struct rl_file *f = calloc(1, sizeof *f);
    if (!f)
        return CHRONIK_E_NOMEM;
    char full[256];
    pthread_mutex_lock(&l->mu);
    f->slot = l->next_slot++;
    pthread_mutex_unlock(&l->mu);
    f->capacity = capacity;
    int32_t r = rl_file_name(l, f->slot, full, sizeof full);
    if (r > 0)
        r = l->h->file_open(l->h->ctx, l->cfg.dir, full, LIVE | CHRONIK_FILE_CREATE | CHRONIK_FILE_EXCL, &f->f);
    if (r > 0 && !MUTANT("dir-not-synced"))
        r = l->h->dir_sync(l->h->ctx, l->cfg.dir, l->path);
    if (r < 0) {
        if (f->f)
            l->h->file_remove(l->h->ctx, l->cfg.dir, full);
        rl_file_free(l, f);
        return r;
    }
    *out = f;
    return CHRONIK_DONE;
}

int32_t rl_file_prewrite(struct reclog *l, struct rl_file *f, uint64_t from, uint64_t to)
{
    static const _Alignas(RL_SECTOR) uint8_t zeros[64 * 1024];
    struct chronik_iov v[16];
    int32_t r = CHRONIK_DONE;
    for (uint64_t at = from; r > 0 && at < to;) {
        uint32_t n = 0;
        uint64_t start = at;
        for (; n < ARRAY_LEN(v) && at < to; n++) {
            v[n] = (struct chronik_iov){(void *)(uintptr_t)zeros, min_u64(sizeof zeros, to - at)};
            at += v[n].n;
        }
        r = l->h->file_write(f->f, v, n, start);
    }
    if (r > 0)
        r = l->h->file_sync(f->f);
    if (r > 0)
        f->size = to;
    f->whole = r > 0 && to >= f->capacity;
    return r;
}

uint64_t rl_file_wanted(const struct reclog *l)
{
    if (!l->active)
        return l->cfg.first_file_bytes;
    return min_u64(l->cfg.file_bytes, l->active->capacity * 2);
}

int32_t rl_file_take(struct reclog *l, uint64_t need, struct rl_file **out)
{
    pthread_mutex_lock(&l->mu);
    struct rl_file **at = &l->free_files;
    while (*at && (*at)->capacity < need)
        at = &(*at)->next;
    struct rl_file *f = *at;
    if (f) {
        *at = f->next;
        l->n_free--;
    }
    uint64_t wanted = rl_file_wanted(l);
    pthread_mutex_unlock(&l->mu);
    if (f) {
        f->next = NULL;
        f->n_idx = 0;
        *out = f;
        return CHRONIK_DONE;
    }
    return rl_file_new(l, max_u64(wanted, round_up64(need, RL_SECTOR)), out);
}

/* ---- background ---- */

static void doom_step(struct reclog *l)
{
    struct rl_file *f = l->keeper.doomed;
    enum { STEP = 8 << 20 };
    if (f->size > STEP) { /* unlinking a big file at once stalls every sync (D8) */
        f->size -= STEP;
        if (l->h->file_truncate(f->f, f->size) > 0)
            return;
    }
    char full[256];
    if (rl_file_name(l, f->slot, full, sizeof full) > 0)
        l->h->file_remove(l->h->ctx, l->cfg.dir, full); /* a file left behind is found free at the next start */
    rl_file_free(l, f);
    l->keeper.doomed = NULL;
}

static void make_step(struct reclog *l)
{
    struct rl_keeper *k = &l->keeper;
    enum { STEP = 1 << 20 }; /* a group's sync waits for what is handed over before it: little at a time */
    int32_t r = CHRONIK_DONE;
    if (!k->making) {
        k->made = 0;
        r = rl_file_new(l, k->want_bytes, &k->making);
    }
    if (r > 0) {
        uint64_t to = min_u64(k->made + STEP, k->making->capacity);
        r = rl_file_prewrite(l, k->making, k->made, to);
        k->made = to;
    }
    pthread_mutex_lock(&l->mu);
    if (r < 0) {
        l->nospc = r == CHRONIK_E_NOSPC;
        l->gone |= r == CHRONIK_E_NOTFOUND;
        if (k->making) {
            k->making->next = k->doom_list;
            k->doom_list = k->making;
        }
        k->making = NULL;
        k->want = 0;
    } else if (k->made == k->making->capacity) {
        k->making->next = l->free_files;
        l->free_files = k->making;
        l->n_free++;
        l->nospc = 0;
        k->making = NULL;
        k->want = 0;
    }
    pthread_mutex_unlock(&l->mu);
    if (r < 0 && r != k->told)
        util_log(l->h, CHRONIK_LOG_WARN, "record log %s: the next file of %llu bytes cannot be made: %s; %s", l->where,
                 (unsigned long long)k->want_bytes, util_code_text(r),
                 r == CHRONIK_E_NOSPC ? "free some space" : "check the folder and the disk");
    k->told = r;
}

static void keeper_run(void *arg)
{
    struct reclog *l = arg;
    struct rl_keeper *k = &l->keeper;
    if (k->doomed)
        doom_step(l);
    else if (k->want || k->making)
        make_step(l);
    pthread_mutex_lock(&l->mu);
    if (!k->doomed && k->doom_list) {
        k->doomed = k->doom_list;
        k->doom_list = k->doomed->next;
    }
    int more = k->doomed || (!l->closing && (k->want || k->making));
    int finish = !more && l->closing;
    k->running = more ? 1 : finish ? RL_KEEPER_LEAVING : 0;
    pthread_mutex_unlock(&l->mu);
    if (more)
        l->h->worker_post(l->h->ctx, &k->task);
    else if (finish)
        l->h->exec_post(l->exec, &l->trim_task);
}

void rl_keeper_kick(struct reclog *l)
{
    struct rl_keeper *k = &l->keeper;
    pthread_mutex_lock(&l->mu);
    uint64_t wanted = rl_file_wanted(l);
    int have = 0;
    for (struct rl_file *f = l->free_files; f; f = f->next)
        have |= f->capacity >= wanted;
    if (have)
        l->nospc = 0; /* the next file is written ahead: nobody has to wait for room */
    uint64_t used = l->active ? l->durable_pos - l->active->base : 0;
    if (!have && !k->want && !k->making && !l->closing && !l->failed &&
        (l->nospc || (l->active && used >= l->active->capacity / 2))) {
        k->want = 1;
        k->want_bytes = wanted;
    }
    int start = !k->running && (k->want || k->doom_list || k->doomed);
    if (start) {
        k->running = 1;
        if (!k->doomed && k->doom_list) {
            k->doomed = k->doom_list;
            k->doom_list = k->doomed->next;
        }
    }
    pthread_mutex_unlock(&l->mu);
    if (start) {
        k->task.fn = keeper_run;
        k->task.arg = l;
        l->h->worker_post(l->h->ctx, &k->task);
    }
}

/* The oldest file holds nothing that is wanted, and the next one is on disk for sure: before its first group is synced
 * its header may be torn or missing after a power cut, and then the log ends in this one. Under mu. */
static int oldest_is_over(const struct reclog *l)
{
    const struct rl_file *f = l->files;
    return f && f != l->active && f->next->first <= l->trim_from && !f->readers &&
           (f->next != l->active || l->durable_pos > l->active->base);
}

/* On the commit executor: files wholly below trim_from leave the chain. */
void rl_files_trim(struct reclog *l)
{
    pthread_mutex_lock(&l->mu);
    while (oldest_is_over(l)) {
        struct rl_file *f = l->files;
        l->files = f->next;
        l->n_files--;
        if (l->n_free < l->cfg.max_free_files && f->capacity >= min_u64(l->active->capacity, l->cfg.file_bytes)) {
            f->next = l->free_files;
            l->free_files = f;
            l->n_free++;
        } else {
            f->size = max_u64(f->size, f->capacity);
            f->next = l->keeper.doom_list;
            l->keeper.doom_list = f;
        }
    }
    pthread_mutex_unlock(&l->mu);
    rl_keeper_kick(l);
}
