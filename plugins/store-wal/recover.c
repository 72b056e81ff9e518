/* recover.c: start: lock the directories, load the manifests, replay the write-ahead logs, and in os and interval modes
 * look for what stands behind the known ends. Runs once, in the thread that calls start. It writes only at positions
 * that the log states, and cuts only what was never announced. */
#include "recover.h"

#include <stdio.h>
#include <stdlib.h>

static int32_t bad_record(struct replay *y, const struct reclog_record *rec, const char *why)
{
    return errtext_set(
        y->e, CHRONIK_E_CORRUPT,
        "store %s: folder wal, record %llu (type %u): %s; restore the directory from a backup or a replica", y->d->path,
        (unsigned long long)rec->number, rec->type, why);
}

static void map_put(struct replay *y, chronik_store_part *p)
{
    chronik_store_part **at = &y->by_pn[p->pn % REPLAY_MAP];
    p->pn_next = *at;
    *at = p;
}

static chronik_store_part *map_get(const struct replay *y, uint32_t pn)
{
    chronik_store_part *p = y->by_pn[pn % REPLAY_MAP];
    while (p && p->pn != pn)
        p = p->pn_next;
    return p;
}

static void map_take(struct replay *y, chronik_store_part *p)
{
    chronik_store_part **at = &y->by_pn[p->pn % REPLAY_MAP];
    while (*at != p)
        at = &(*at)->pn_next;
    *at = p->pn_next;
}

/* Files stay open while they are dirty: when too many are, sync them now. */
static int32_t sync_some(struct st_dir *d, int all)
{
    chronik_store *s = d->s;
    int32_t r = CHRONIK_DONE;
    if (!all && s->n_open < s->set.max_open)
        return r;
    struct st_seg *next;
    for (struct st_seg *g = seg_take_dirty(d); g; g = next) {
        struct chronik_file *f;
        next = g->dirty_next;
        atomic_store(&g->dirty, 0);
        if (r > 0)
            r = seg_get(g, 1, &f);
        if (r > 0) {
            r = s->h->file_sync(f);
            seg_put(g);
        }
        seg_unref(g);
    }
    return r;
}

/* ---- records ---- */

static int32_t do_create(struct replay *y, const struct reclog_record *rec)
{
    struct wal_create w;
    struct chronik_uuid topic;
    if (rec->n != sizeof w)
        return bad_record(y, rec, "wrong size");
    memcpy(&w, rec->data, sizeof w);
    memcpy(topic.b, w.topic, 16);
    if (map_get(y, w.pn) || part_find_in(y->d, &topic, w.partition))
        return CHRONIK_DONE;
    if (w.pn == UINT32_MAX)
        return bad_record(y, rec, "its partition number makes no sense");
    chronik_store_part *p = part_new(y->d->s, y->d, &topic, w.partition, w.pn);
    if (!p)
        return CHRONIK_E_NOMEM;
    map_put(y, p);
    part_insert(y->d->s, p);
    p->applied = rec->number;
    if (w.pn >= atomic_load(&y->d->next_pn))
        atomic_store(&y->d->next_pn, w.pn + 1);
    return CHRONIK_DONE;
}

static int32_t append_target(struct replay *y, const struct reclog_record *rec, chronik_store_part *p,
                             const struct wal_append_head *h, struct st_seg **out)
{
    for (uint32_t i = p->n_segs; i > 0; i--)
        if (p->segs[i - 1]->serial == h->serial) {
            *out = p->segs[i - 1];
            return CHRONIK_DONE;
        }
    if (y->d->os_mode) { /* segments between, taken up by an earlier recovery, are in files alone */
        int32_t r = part_extend(y, p, h->serial);
        if (r < 0)
            return r;
    }
    if (h->serial < p->next_serial || h->base < p->written)
        return bad_record(y, rec, "its segment does not exist");
    struct st_seg *g = seg_new(p, h->serial, h->base), *active = part_active(p);
    if (!g || part_add_seg(p, g) < 0) {
        if (g)
            seg_unref(g);
        return CHRONIK_E_NOMEM;
    }
    if (active)
        active->sealed = 1;
    g->created_ms = h->created_ms;
    g->cut_pending = 1;
    p->next_serial = h->serial + 1;
    p->entries_new = 1;
    *out = g;
    return CHRONIK_DONE;
}

/* The folder and file of a segment that replay writes to. */
static int32_t replay_file(struct replay *y, chronik_store_part *p, struct st_seg *g, struct chronik_file **f)
{
    char path[ST_PATH];
    const struct chronik_host *h = p->s->h;
    int32_t r = sync_some(y->d, 0);
    if (r < 0)
        return r;
    path_join(path, "data", g->folder);
    if (g->bytes == 0) { /* the folder may have been lost with the power */
        r = h->dir_make(h->ctx, y->d->no, path);
        if (r < 0 && r != CHRONIK_E_EXISTS)
            return r;
        p->made = 1;
        p->entries_new = 1;
        atomic_store(&y->d->data_new, 1);
    }
    return seg_get(g, 1, f);
}

static int32_t append_bytes(struct replay *y, chronik_store_part *p, struct st_seg *g,
                            const struct wal_append_head *head, const void *data, uint64_t n)
{
    struct chronik_file *f;
    int32_t r = replay_file(y, p, g, &f);
    if (r < 0)
        return r;
    if (!g->known_size) {
        r = y->d->suspect ? util_touch_size(p->s->h, f) : CHRONIK_DONE;
        if (r > 0)
            r = p->s->h->file_size(f, &g->known_size);
    }
    uint64_t at = MUTANT("replay-by-size") ? g->known_size : head->position;
    int there = y->d->same_boot && g->known_size >= at + n; /* the page cache has outlived the process */
    if (r > 0 && !there) {
        seg_mark_dirty(g);
        r = util_write(p->s->h, f, data, n, at);
        g->known_size = max_u64(g->known_size, at + n);
    } else if (r > 0) {
        seg_mark_dirty(g);
    }
    seg_put(g);
    return r;
}

/* Forgets what a look behind the known end had taken up from `h` on. */
static int32_t rewind_to(chronik_store_part *p, struct st_seg *g, const struct wal_append_head *h)
{
    struct chronik_file *f;
    int32_t r = seg_get(g, 0, &f);
    if (r > 0) {
        r = seal_prefix(p, g, f, h->position, &g->crc);
        seg_put(g);
    }

    while (p->n_segs && p->segs[p->n_segs - 1] != g)
        seg_unref(p->segs[--p->n_segs]);
    p->next_serial = g->serial + 1;
    g->sealed = 0;
    g->bytes = h->position;
    g->end = h->first;
    while (g->n_idx && g->idx[g->n_idx - 1].position >= g->bytes)
        g->n_idx--;
    g->idx_next = g->bytes;
    g->idx_chunks = -1;
    idx_cut(g);
    return r;
}

/* Whether the record's batches follow one another and are as long as they say. */
static int batches_fit(const struct wal_append_head *h, const uint8_t *at, uint64_t bytes)
{
    int64_t end = h->first;
    uint64_t sum = 0;
    if (h->n_batches == 0 || h->first < 0 || h->base < 0 || h->serial == UINT32_MAX)
        return 0;
    for (uint32_t i = 0; i < h->n_batches; i++, at += sizeof(struct wal_batch)) {
        struct wal_batch b;
        memcpy(&b, at, sizeof b);
        if (b.base < end || b.last < b.base || b.last == INT64_MAX || b.bytes < ST_BATCH_HEAD || b.bytes > bytes - sum)
            return 0;
        end = b.last + 1;
        sum += b.bytes;
    }
    return sum == bytes;
}

static int32_t do_append(struct replay *y, const struct reclog_record *rec, chronik_store_part *p)
{
    struct wal_append_head h;
    const uint8_t *at = (const uint8_t *)rec->data + sizeof h;
    struct st_seg *g = NULL;
    if (rec->n < sizeof h)
        return bad_record(y, rec, "wrong size");
    memcpy(&h, rec->data, sizeof h);
    uint64_t left = rec->n - sizeof h;
    if (h.n_batches > left / sizeof(struct wal_batch))
        return bad_record(y, rec, "wrong number of batches");
    left -= h.n_batches * sizeof(struct wal_batch);
    const uint8_t *bytes = at + h.n_batches * sizeof(struct wal_batch);
    if (!batches_fit(&h, at, left))
        return bad_record(y, rec, "its batches do not fit it");
    int32_t r = append_target(y, rec, p, &h, &g);
    if (r < 0)
        return r;
    if (h.position < g->bytes && y->d->os_mode)
        r = rewind_to(p, g, &h);          /* taken up from the file before; the log tells it again */
    if (r > 0 && h.position > g->bytes) { /* appends that the log does not know stand between */
        struct chronik_file *f;
        int grew;
        r = replay_file(y, p, g, &f);
        if (r > 0) {
            seg_mark_dirty(g);
            r = seg_extend(p, g, f, h.position, &grew);
            seg_put(g);
        }
    }
    if (r > 0 && (h.position != g->bytes || h.first < g->end))
        return bad_record(y, rec, "its position is not the end of its segment");
    if (r > 0)
        r = append_bytes(y, p, g, &h, bytes, left);
    for (uint32_t i = 0; r > 0 && i < h.n_batches; i++, at += sizeof(struct wal_batch)) {
        struct wal_batch b;
        memcpy(&b, at, sizeof b);
        struct chronik_batch_info info = {b.base, b.last, b.max_ts, b.epoch, b.flags, b.bytes};
        seg_add(g, &info, bytes);
        bytes += b.bytes;
        if (g->n_idx == ST_IDX_CHUNK)
            idx_spill(p, g);
    }
    p->written = g->end;
    p->last_epoch = g->last_epoch;
    y->bytes += left;
    return r;
}

static struct st_seg *seg_by_serial(const chronik_store_part *p, uint32_t serial)
{
    for (uint32_t i = p->n_segs; i > 0; i--)
        if (p->segs[i - 1]->serial == serial)
            return p->segs[i - 1];
    return NULL;
}

static int32_t do_roll(struct replay *y, const struct reclog_record *rec, chronik_store_part *p)
{
    struct wal_roll w;
    int32_t r = CHRONIK_DONE;
    if (rec->n != sizeof w)
        return bad_record(y, rec, "wrong size");
    memcpy(&w, rec->data, sizeof w);
    struct st_seg *g = seg_by_serial(p, w.serial);
    y->d->os_mode |= w.nowal; /* the mark itself may have been lost with the power */
    if (y->d->os_mode && (!g || g->bytes < w.bytes)) {
        r = part_extend(y, p, w.serial + 1); /* appends that the log does not know */
        g = seg_by_serial(p, w.serial);
        if (r > 0 && !g) { /* lost with the power: the log ends before it */
            if (p->next_serial <= w.serial)
                p->next_serial = w.serial + 1;
            return r;
        }
    }
    if (r > 0 && !g)
        return bad_record(y, rec, "its segment does not exist");
    if (r > 0)
        g->sealed = 1;
    return r;
}

static int32_t do_truncate_prefix(struct replay *y, const struct reclog_record *rec, chronik_store_part *p)
{
    struct wal_prefix w;
    int32_t r = CHRONIK_DONE;
    if (rec->n != sizeof w)
        return bad_record(y, rec, "wrong size");
    memcpy(&w, rec->data, sizeof w);
    if (w.offset < 0)
        return bad_record(y, rec, "its offset makes no sense");
    y->d->os_mode |= w.nowal;
    if (y->d->os_mode && w.offset > p->written)
        r = part_extend(y, p, w.next_serial);
    if (r > 0)
        part_cut_prefix(p, w.offset);
    return r;
}

static int32_t do_truncate_suffix(struct replay *y, const struct reclog_record *rec, chronik_store_part *p)
{
    struct wal_suffix w;
    int32_t r = CHRONIK_DONE;
    if (rec->n != sizeof w)
        return bad_record(y, rec, "wrong size");
    memcpy(&w, rec->data, sizeof w);
    const struct st_seg *g = NULL; /* the one that is cut */
    for (uint32_t i = 0; i < p->n_segs && p->segs[i]->base < w.offset; i++)
        g = p->segs[i];
    if (w.offset < 0 || (g && g->end > w.offset && (g->serial != w.serial || w.bytes > g->bytes)))
        return bad_record(y, rec, "its place makes no sense");
    y->d->os_mode |= w.nowal;
    if (y->d->os_mode && w.offset > p->written)
        r = part_extend(y, p, w.next_serial);
    if (r > 0 && w.offset > p->written) { /* what would have stayed was lost with the power */
        w.offset = p->written;
        w.serial = 0;
    }
    if (r > 0)
        part_cut_suffix(p, &w);
    return r;
}

static int32_t do_delete(struct replay *y, chronik_store_part *p)
{
    part_remove(y->d->s, p);
    map_take(y, p);
    p->deleted = 1;
    part_doom_folder(p);
    part_doom(p, 0, p->n_segs);
    part_unref(p);
    return CHRONIK_DONE;
}

/* A partition that another directory gave away: its files were synced before the record. */
static int32_t do_adopt(struct replay *y, const struct reclog_record *rec)
{
    chronik_store_part *p = NULL;
    uint32_t pn;
    memcpy(&pn, (const uint8_t *)rec->data + 4, sizeof pn); /* behind the item's tag */
    if (map_get(y, pn))
        return CHRONIK_DONE;
    int32_t r = manifest_adopt_load(y->d, rec->data, rec->n, &p);
    if (r == CHRONIK_E_NOMEM)
        return r;
    if (r < 0)
        return bad_record(y, rec, "its partition makes no sense");
    p->applied = rec->number;
    p->clean = 0;
    map_put(y, p);
    return CHRONIK_DONE;
}

static int32_t do_change(struct replay *y, const struct reclog_record *rec, chronik_store_part *p)
{
    switch (rec->type) {
    case WAL_APPEND:
        return do_append(y, rec, p);
    case WAL_ROLL:
        return do_roll(y, rec, p);
    case WAL_TRUNCATE_PREFIX:
        return do_truncate_prefix(y, rec, p);
    case WAL_TRUNCATE_SUFFIX:
        return do_truncate_suffix(y, rec, p);
    case WAL_REPLACE:
        return replace_replay(p, rec->data, rec->n) < 0 ? bad_record(y, rec, "it does not fit its partition")
                                                        : CHRONIK_DONE;
    default:
        return bad_record(y, rec, "unknown type; start the newer release that wrote it");
    }
}

static int32_t on_record(void *arg, const struct reclog_record *rec)
{
    struct replay *y = ((struct st_dir *)arg)->replay;
    uint32_t pn;
    y->records++;
    if (rec->type == WAL_CREATE)
        return do_create(y, rec);
    if (rec->n < sizeof pn)
        return bad_record(y, rec, "wrong size");
    memcpy(&pn, rec->data, sizeof pn);
    if (rec->type == WAL_ADOPT)
        return rec->n < 2 * sizeof pn ? bad_record(y, rec, "wrong size") : do_adopt(y, rec);
    if (rec->type == WAL_MOVE_BEGIN) {
        if (pn != UINT32_MAX && pn >= atomic_load(&y->d->next_pn))
            atomic_store(&y->d->next_pn, pn + 1);
        return CHRONIK_DONE;
    }
    chronik_store_part *p = map_get(y, pn);
    if (!p || rec->number <= p->applied) /* deleted, or in the manifest's state already */
        return CHRONIK_DONE;
    if (rec->type == WAL_DELETE)
        return do_delete(y, p);
    int32_t r = do_change(y, rec, p);
    if (r > 0)
        p->applied = rec->number;
    else if (!y->e->code)
        errtext_set(y->e, r, "store %s: replay of record %llu into partition %d: %s; check the disk", y->d->path,
                    (unsigned long long)rec->number, p->partition, util_code_text(r));
    return r;
}

/* ---- a directory ---- */

static int32_t dir_lock(struct st_dir *d, struct errtext *e)
{
    const struct chronik_host *h = d->s->h;
    int32_t r =
        h->file_open(h->ctx, d->no, "lock",
                     CHRONIK_FILE_READ | CHRONIK_FILE_WRITE | CHRONIK_FILE_CREATE | CHRONIK_FILE_LOCK, &d->lock);
    if (r == CHRONIK_E_LOCKED)
        return errtext_set(
            e, r, "store %s: the directory is in use by another process; stop it or choose other log.dirs", d->path);
    if (r < 0)
        return errtext_set(e, r,
                           "store %s: file lock cannot be opened: %s; check that the directory is writable and "
                           "whose it is",
                           d->path, util_code_text(r));
    r = h->dir_make(h->ctx, d->no, "data");
    if (r < 0 && r != CHRONIK_E_EXISTS)
        return errtext_set(e, r, "store %s: folder data cannot be made: %s; check the directory", d->path,
                           util_code_text(r));
    /* The process before may have died between renaming a manifest and syncing the folder. Only what a power cut cannot
     * take back may stand for the log in front of it, whose files are used again from here on. */
    r = MUTANT("start-not-synced") ? CHRONIK_DONE : h->dir_sync(h->ctx, d->no, "");
    if (r < 0)
        return errtext_set(e, r, "store %s: the directory cannot be synced: %s; check the disk", d->path,
                           util_code_text(r));
    return CHRONIK_DONE;
}

struct weigh {
    struct st_dir *d;
    char folder[ST_PATH];
    uint64_t bytes;
};

static void weigh_each(void *arg, const struct chronik_dirent *e)
{
    struct weigh *g = arg;
    const struct chronik_host *h = g->d->s->h;
    char path[ST_PATH + 90];
    struct chronik_file *f;
    uint64_t size = 0;
    size_t n = strlen(e->name);
    if (e->is_dir || n < 4 || n > 80 || strcmp(e->name + n - 4, ".log"))
        return;
    snprintf(path, sizeof path, "%s/%s", g->folder, e->name);
    if (h->file_open(h->ctx, g->d->no, path, CHRONIK_FILE_READ, &f) < 0) {
        g->bytes++;
        return;
    }
    g->bytes += h->file_size(f, &size) > 0 ? size : 1;
    h->file_close(f);
}

/* The bytes of a folder's segments; what cannot be read counts as not empty. */
static uint64_t folder_bytes(struct st_dir *d, const char *name)
{
    struct weigh g = {.d = d};
    path_join(g.folder, "data", name);
    int32_t r = d->s->h->dir_list(d->s->h->ctx, d->no, g.folder, weigh_each, &g);
    return r < 0 ? 1 : g.bytes;
}

/* A folder that stayed would be taken up by a later start in another flush mode, so the start fails with the rename. */
static void put_aside(struct replay *y, const char *name)
{
    const struct chronik_host *h = y->d->s->h;
    char from[ST_PATH], to[ST_PATH + 8];
    path_join(from, "data", name);
    snprintf(to, sizeof to, "%s.lost", from);
    int32_t r = h->file_rename(h->ctx, y->d->no, from, to);
    if (r > 0)
        util_log(h, CHRONIK_LOG_WARN,
                 "store %s: folder %s is put aside as %s: the log does not know it, so nobody was told of anything in "
                 "it; it may be removed",
                 y->d->path, from, to);
    else if (!y->e->code)
        errtext_set(y->e, r,
                    "store %s: folder %s, unknown to the log, cannot be put aside as %s: %s; move or remove it",
                    y->d->path, from, to, util_code_text(r));
}

/* A folder with a number that the log knows and that is nobody's: what a move had copied when it ended. */
static void rest_doom(struct replay *y, const char *name, uint32_t pn)
{
    chronik_store *s = y->d->s;
    const struct st_seg *lists[] = {s->doomed, s->doomed_new};
    if (map_get(y, pn))
        return;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (const struct st_seg *g = lists[i]; g; g = g->next)
            if (g->dir == y->d && strcmp(g->folder, name) == 0)
                return;
    struct st_seg *g = calloc(1, sizeof *g);
    if (!g)
        return; /* for the next start */
    g->s = s;
    g->dir = y->d;
    g->folder_only = 1;
    snprintf(g->folder, sizeof g->folder, "%s", name);
    atomic_init(&g->refs, 1);
    atomic_init(&g->doomed, 1);
    g->next = s->doomed;
    s->doomed = g;
}

/* Folders of partitions whose creation died in memory while appends had been acknowledged: their numbers are higher
 * than any that the log knows. */
static void adopt_each(void *arg, const struct chronik_dirent *e)
{
    struct replay *y = arg;
    struct chronik_uuid topic;
    int32_t partition;
    uint32_t pn;
    char again[72];
    if (!e->is_dir || strlen(e->name) < 36 || sscanf(e->name + 32, "-%d.%u", &partition, &pn) != 2 || partition < 0)
        return;
    for (int i = 0; i < 16; i++) {
        unsigned b;
        if (sscanf(e->name + i * 2, "%2x", &b) != 1)
            return;
        topic.b[i] = (uint8_t)b;
    }
    part_folder(&topic, partition, pn, again);
    if (strcmp(again, e->name))
        return;
    if (pn < y->first_unknown_pn) {
        rest_doom(y, e->name, pn);
        return;
    }
    if (part_find_in(y->d, &topic, partition))
        return;
    if (pn >= atomic_load(&y->d->next_pn))
        atomic_store(&y->d->next_pn, pn + 1);
    /* Nobody was told of a folder without a byte, nor, where every acknowledgement went through the log, of one that
     * the log does not know. It is put aside, so that no later start takes it up. */
    if (!y->d->os_mode || folder_bytes(y->d, e->name) == 0) {
        put_aside(y, e->name);
        return;
    }
    chronik_store_part *p = part_new(y->d->s, y->d, &topic, partition, pn);
    struct wal_create w = {.pn = pn, .partition = partition};
    struct chronik_iov v = {&w, sizeof w};
    memcpy(w.topic, topic.b, 16);
    int32_t r =
        p ? wal_append(y->d, WAL_CREATE, &v, 1, NULL, -1, (struct chronik_done){0}, &p->applied) : CHRONIK_E_NOMEM;
    if (r < 0) {
        if (p)
            part_unref(p);
        errtext_set(y->e, r, "store %s: folder data/%s cannot be taken up: %s; start again", y->d->path, e->name,
                    util_code_text(r));
        return;
    }
    p->made = p->entries_new = 1;
    part_insert(y->d->s, p);
}

static int32_t parts_settle(struct replay *y)
{
    chronik_store *s = y->d->s;
    int32_t r = CHRONIK_DONE;
    if (!y->d->was_clean) {
        y->first_unknown_pn = atomic_load(&y->d->next_pn);
        r = s->h->dir_list(s->h->ctx, y->d->no, "data", adopt_each, y);
        if (r > 0 && y->e->code < 0)
            r = y->e->code;
        if (r > 0)
            r = s->h->dir_sync(s->h->ctx, y->d->no, "data");
    }
    for (uint32_t i = 0; i < ST_HASH; i++)
        for (chronik_store_part *p = s->table[i]; p && r > 0; p = p->next) {
            if (p->dir != y->d)
                continue;
            if (y->d->os_mode && !y->d->was_clean)
                r = part_extend(y, p, UINT32_MAX);
            if (r > 0 && y->d->os_mode && !y->d->was_clean)
                r = strays_remove(y, p);
            if (r > 0 && !y->d->os_mode && !y->d->was_clean)
                r = part_cut(y, p);
            for (uint32_t k = 0; k < p->n_segs; k++)
                seal_old(p->segs[k]);
            p->recovered_end = p->written;
            p->clean = y->d->was_clean;
            if (p->clean)
                p->recovery_point = p->written;
            else if (p->recovery_point > p->written)
                p->recovery_point = p->written;
            atomic_store(&p->durable, p->written);
        }
    return r;
}

/* What a manifest must say of a partition (load_part in manifest.c): records that pass their checksums and do not fit
 * each other must not become a manifest that the next start refuses. */
static int part_fits(const chronik_store_part *p)
{
    int64_t end = 0;
    int fits = p->log_start >= 0 && p->written >= p->log_start;
    for (uint32_t i = 0; fits && i < p->n_segs; i++) {
        const struct st_seg *g = p->segs[i];
        fits = g->base >= 0 && g->end >= g->base && g->end <= p->written && g->bytes <= UINT32_MAX &&
               g->serial < p->next_serial && (i == 0 || g->base >= end);
        end = g->end;
    }
    return fits;
}

static int32_t parts_fit(struct st_dir *d, struct errtext *e)
{
    const chronik_store *s = d->s;
    for (uint32_t i = 0; i < ST_HASH; i++)
        for (const chronik_store_part *p = s->table[i]; p; p = p->next)
            if (p->dir == d && !part_fits(p))
                return errtext_set(e, CHRONIK_E_CORRUPT,
                                   "store %s: folder wal: its records do not fit each other for partition number %u; "
                                   "restore the directory from a backup or a replica",
                                   d->path, p->pn);
    return CHRONIK_DONE;
}

static int32_t dir_recover(struct st_dir *d, struct errtext *e)
{
    chronik_store *s = d->s;
    struct replay y = {.d = d, .e = e};
    struct chronik_file *mark = NULL;
    int32_t r = CHRONIK_DONE;
    d->replay = &y;
    y.by_pn = calloc(REPLAY_MAP, sizeof *y.by_pn);
    if (!y.by_pn)
        r = CHRONIK_E_NOMEM;
    for (uint32_t i = 0; i < ST_HASH && r > 0; i++)
        for (chronik_store_part *p = s->table[i]; p; p = p->next)
            if (p->dir == d)
                map_put(&y, p);
    if (r > 0 && s->h->file_open(s->h->ctx, d->no, "os-mode", CHRONIK_FILE_READ, &mark) > 0) {
        s->h->file_close(mark);
        d->os_mode = d->os_marked = 1;
    }
    if (r > 0 && s->h->file_open(s->h->ctx, d->no, "suspect", CHRONIK_FILE_READ, &mark) > 0) {
        s->h->file_close(mark);
        d->suspect = 1;
        d->same_boot = 0;
    }
    if (r > 0)
        r = clean_check(d);
    if (r > 0)
        r = wal_open(d, on_record, e);
    if (r > 0 && (d->os_mode || s->set.os_mode)) { /* what is found behind the log's end must be found next time, too */
        d->os_marked = 0;
        r = os_mode_mark(d);
    }
    if (r > 0)
        r = parts_settle(&y);
    if (r > 0)
        r = parts_fit(d, e);
    if (r > 0 && d->suspect)
        r = s->h->file_remove(s->h->ctx, d->no, "suspect"); /* all that was in doubt is written again */
    if (r == CHRONIK_E_IO)
        dir_suspect(d);
    free(y.by_pn);
    d->replay = NULL;
    if (r < 0 && !e->code)
        errtext_set(e, r, "store %s: recovery failed: %s; check the disk", d->path, util_code_text(r));
    if (r > 0 && y.records) {
        atomic_store(&d->changed, 1);
        struct reclog_stat st;
        reclog_stat(d->wal, &st);
        atomic_store(&d->wal_bytes, st.bytes);
        util_log(s->h, CHRONIK_LOG_INFO, "store %s: replayed %llu records, %llu bytes of batches%s", d->path,
                 (unsigned long long)y.records, (unsigned long long)y.bytes,
                 st.torn_bytes ? "; a torn tail was cut" : "");
    }
    if (r > 0 && y.n_cut &&
        !d->os_mode) /* after kill -9 under load this is usual; after a change to wal/ it is a trace */
        util_log(
            s->h, CHRONIK_LOG_INFO,
            "store %s: %llu bytes of %u segments lay behind the end of the log, so that nobody was told of them; they "
            "are cut",
            d->path, (unsigned long long)y.cut, y.n_cut);
    return r;
}

/* Power went between the two records of a swap: the copy that was moved last is right, the other one goes now. */
static int32_t twins_settle(chronik_store *s, struct errtext *e)
{
    for (uint32_t i = 0; i < ST_HASH; i++)
        for (chronik_store_part *p = s->table[i], *next; p; p = next) {
            next = p->next;
            chronik_store_part *q = next;
            while (q && (q->partition != p->partition || memcmp(&q->topic, &p->topic, sizeof q->topic)))
                q = q->next;
            if (!q)
                continue;
            if (p->moves == q->moves)
                return errtext_set(e, CHRONIK_E_EXISTS,
                                   "store %s: partition folder data/%s stands in %s, too, and neither is newer; remove "
                                   "the copy",
                                   p->dir->path, p->n_segs ? p->segs[0]->folder : "", q->dir->path);
            chronik_store_part *old = p->moves < q->moves ? p : q;
            struct chronik_iov v = {&old->pn, sizeof old->pn};
            if (old == next)
                next = old->next;
            int32_t r = wal_append(old->dir, WAL_DELETE, &v, 1, NULL, -1, (struct chronik_done){0}, NULL);
            if (r < 0)
                return r;
            part_remove(s, old);
            part_doom_folder(old);
            part_doom(old, 0, old->n_segs);
            part_unref(old);
            if (old == p)
                continue;
        }
    return CHRONIK_DONE;
}

int32_t st_start(chronik_store *s, char *text, uint64_t n)
{
    struct errtext e = {0};
    int32_t r = CHRONIK_DONE;
    if (s->h->dir_count(s->h->ctx) > ST_MAX_DIRS)
        r = errtext_set(&e, CHRONIK_E_TOOBIG, "%u data directories are more than %d; name fewer in log.dirs",
                        s->h->dir_count(s->h->ctx), ST_MAX_DIRS);
    for (uint32_t i = 0; i < s->n_dirs && r > 0; i++) {
        struct st_dir *d = &s->dirs[i];
        if (d->offline)
            continue;
        r = dir_lock(d, &e);
        if (r > 0)
            r = meta_check(d, &e);
        if (r > 0)
            r = manifest_load(d, &e);
        if (r > 0)
            r = dir_recover(d, &e);
        if (r > 0)
            reserve_keep(d, 0);
    }
    if (r > 0)
        r = twins_settle(s, &e);
    if (r < 0) {
        snprintf(text, n, "%s", e.code ? e.text : util_code_text(r));
        return r;
    }
    s->started = 1;
    ckpt_init(s);
    scrub_init(s);
    reap_kick(s);
    for (uint32_t i = 0; i < s->n_dirs; i++)
        if (atomic_load(&s->dirs[i].changed))
            ckpt_kick(s);
    return CHRONIK_DONE;
}
