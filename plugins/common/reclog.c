/* reclog.c: the record log: gathering on the callers' threads, committing on one executor. Appenders take only the leaf
 * mutex; only the commit executor writes groups. It must never announce what a completed sync did not cover.
 *
 * The format
 * ----------
 * The log is a chain of files, `NNNNNNNN.log` in one folder. The name is only a slot; the header says which generation
 * (place in the chain) a file holds, from which position and record on, and a random salt. Files are prewritten with
 * zeros, 1 MiB for the first, doubling up to 64 MiB, and used again once the owner has said that it needs nothing in
 * them (reclog_trim), under a new generation and salt. A group is one write: a header and whole records, at a multiple
 * of 512 bytes so that no sector with durable bytes is written again, past the page cache where the system can: a log
 * is read after a crash alone, and no page of it waits for others. It never spans files. `position` counts the
 * bytes of groups since the log began and does not include file headers. The field tables stand at the top of
 * reclog_file.c (file header) and reclog_scan.c (group, record).
 *
 * Torn or damaged
 * ---------------
 * Checksums start from the file's generation and salt, so bytes that a file held under an earlier generation never
 * look right; each group repeats the checksum of the one before, and a random number of the process that wrote it, so
 * that what was left behind a cut tail is never taken up again. Each group's header carries `durable_through`: the
 * position up to which syncs had completed before it was written. Reading stops at the first group that is not whole.
 * If anything behind it (a later group's header in this file, or a later file) says that syncs had covered this place,
 * acknowledged records are damaged: refuse. Otherwise the tail is torn: it was never acknowledged, and is cut, even
 * when valid groups stand behind it. A log that ends below cfg.from, which the owner wrote down after a sync, is
 * damaged even when it ends between two groups; so is one whose last file is shorter than it was before its first
 * group, which its header says, and ends where the next group would stand. When the log goes idle a mark (a group
 * without records) is written, so that the last acknowledged group, too, is covered by a later durable_through.
 *
 * Rolling, recycling
 * ------------------
 * A file's header and first group are one write and one sync; everything before had been synced. A file leaves the
 * chain only when the owner's checkpoint, which is durable before reclog_trim is called, lies behind all its records:
 * replay starts at the file that holds cfg.from, and whatever is older is free.
 *
 * A full disk: writing ahead needs blocks before records need them. When there is none, reclog_admit refuses with
 * E_NOSPC once the prewritten room (less a reserve for RECLOG_URGENT) is used up; what was accepted waits and is tried
 * again. A failed sync is final (D1): nothing is tried again on pages of unknown state. */
#include "reclog_int.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RETRY_MS = 200,
    MAX_RECORD = 1 << 30,
    COPY_LOCKED = 4096, /* a larger record is copied without the mutex */
};

static uint64_t chunk_bytes(const struct reclog *l)
{
    return max_u64(4096, min_u64(l->cfg.group_bytes, l->cfg.file_bytes / 8));
}

static void chunks_free(struct rl_chunk *c)
{
    while (c) {
        struct rl_chunk *next = c->next;
        free(c);
        c = next;
    }
}

/* ---- appending ---- */

static struct rl_chunk *chunk_new(uint64_t cap)
{
    uint64_t whole = RL_CHUNK_FRONT + round_up64(RL_GROUP_HEAD + cap, RL_SECTOR);
    struct rl_chunk *c = aligned_alloc(RL_SECTOR, whole);
    if (c)
        *c = (struct rl_chunk){.cap = cap};
    return c;
}

static struct rl_chunk *chunk_get(struct reclog *l, uint64_t need)
{
    struct rl_chunk *c = l->pool;
    if (c && need <= c->cap)
        l->pool = c->next;
    else if (!(c = chunk_new(max_u64(chunk_bytes(l), need))))
        return NULL;
    *c = (struct rl_chunk){.cap = c->cap};
    if (l->gather_tail)
        l->gather_tail->next = c;
    else
        l->gather_head = c;
    l->gather_tail = c;
    return c;
}

static void record_copy(uint8_t *p, uint32_t type, uint64_t n, const struct chronik_iov *iov, uint32_t n_iov)
{
    put_le32(p, (uint32_t)n);
    put_le16(p + 4, (uint16_t)type);
    put_le16(p + 6, 0);
    p += RL_RECORD_HEAD;
    for (uint32_t i = 0; i < n_iov; i++) {
        memcpy(p, iov[i].p, iov[i].n);
        p += iov[i].n;
    }
    memset(p, 0, round_up64(n, 8) - n);
}

/* The copy into `c` is done. true: the commit executor waited for it and is to be posted. */
static int copied(struct reclog *l, struct rl_chunk *c)
{
    pthread_mutex_lock(&l->mu);
    int post = --c->writers == 0 && l->cut_waits == c;
    if (post)
        l->cut_waits = NULL;
    pthread_mutex_unlock(&l->mu);
    return post;
}

int32_t reclog_append(struct reclog *l, uint32_t type, const struct chronik_iov *iov, uint32_t n_iov,
                      void (*note)(void *arg, uint64_t number), void *arg, uint64_t *number)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_iov; i++)
        n += iov[i].n;
    if (n >= MAX_RECORD)
        return CHRONIK_E_TOOBIG;
    uint64_t whole = RL_RECORD_HEAD + round_up64(n, 8);
    int post = 0, large = whole > COPY_LOCKED;
    uint8_t *at = NULL;
    int32_t r = CHRONIK_DONE;
    pthread_mutex_lock(&l->mu);
    struct rl_chunk *c = l->gather_tail;
    if (l->failed || l->closing)
        r = CHRONIK_E_CLOSED;
    else if ((!c || c->sealed || c->cap - c->used < whole) && !(c = chunk_get(l, whole)))
        r = CHRONIK_E_NOMEM;
    if (r > 0) {
        at = rl_chunk_data(c) + c->used;
        c->used += whole;
        c->n_records++;
        c->writers += (uint32_t)large;
        if (!large)
            record_copy(at, type, n, iov, n_iov);
        l->gathered += whole;
        uint64_t mine = l->next_number++;
        if (number)
            *number = mine;
        if (note)
            note(arg, mine);
        post = !l->busy;
        l->busy = 1;
    }
    pthread_mutex_unlock(&l->mu);
    if (r > 0 && large) {
        record_copy(at, type, n, iov, n_iov);
        post |= copied(l, c);
    }
    if (post)
        l->h->exec_post(l->exec, &l->commit_task);
    return r;
}

/* Bytes that can still be written without asking the file system for blocks. Under mu. */
static uint64_t room(const struct reclog *l)
{
    uint64_t n = 0;
    if (l->active && l->active->size >= l->active->capacity)
        n = l->active->base + l->active->capacity - RL_SECTOR - l->durable_pos;
    for (const struct rl_file *f = l->free_files; f; f = f->next)
        n += f->capacity - RL_SECTOR;
    uint64_t pending = l->gathered + l->gathered / 8 + RL_SECTOR;
    return n > pending ? n - pending : 0;
}

/* In a while, try again to get room. A timer that runs already is left alone. */
static void retry_arm(struct reclog *l)
{
    pthread_mutex_lock(&l->mu);
    int arm = !l->retry_armed;
    l->retry_armed = 1;
    pthread_mutex_unlock(&l->mu);
    if (arm)
        l->h->exec_post_at(l->exec, &l->retry_task, l->h->mono_ns(l->h->ctx) + (int64_t)RETRY_MS * 1000000);
}

int32_t reclog_admit(struct reclog *l, uint64_t bytes, uint32_t flags)
{
    int32_t r = CHRONIK_DONE;
    int urgent = (flags & RECLOG_URGENT) != 0;
    pthread_mutex_lock(&l->mu);
    if (l->failed || l->closing)
        r = CHRONIK_E_CLOSED;
    else if (!urgent && l->gathered && l->gathered + bytes > l->cfg.gather_bytes)
        r = CHRONIK_E_BUSY;
    else if (l->nospc && room(l) < bytes + 2 * RL_SECTOR + (urgent ? 0 : l->cfg.reserve_bytes))
        r = CHRONIK_E_NOSPC;
    pthread_mutex_unlock(&l->mu);
    if (r == CHRONIK_E_NOSPC)
        retry_arm(l);
    return r;
}

/* ---- committing ---- */

static void log_fail(struct reclog *l, int32_t code, const char *what, uint32_t slot)
{
    char text[400];
    snprintf(text, sizeof text,
             "record log %s: %s file %08u.log failed: %s; what was not acknowledged is in doubt: check the disk, then "
             "start again",
             l->where, what, slot, util_code_text(code));
    pthread_mutex_lock(&l->mu);
    l->failed = 1;
    l->busy = 0;
    int closing = l->closing;
    pthread_mutex_unlock(&l->mu);
    if (l->cfg.failed)
        l->cfg.failed(l->cfg.arg, code, text);
    if (closing)
        l->h->exec_post(l->exec, &l->trim_task);
}

/* Takes the oldest chunk for the next group. While a record is being copied into it, it takes no more, and the copier
 * is asked to post the commit task. Under mu. */
static void group_cut(struct reclog *l)
{
    struct rl_chunk *c = l->gather_head;
    l->group_bytes = 0;
    if (!c)
        return;
    if (c->writers) {
        c->sealed = 1;
        l->cut_waits = c;
        return;
    }
    l->gather_head = c->next;
    if (!l->gather_head)
        l->gather_tail = NULL;
    c->next = NULL;
    l->group = c;
    l->group_bytes = c->used;
}

/* Makes sure that the active file has `need` bytes left; rolls to the next generation when not. */
static int32_t group_place(struct reclog *l, uint64_t need, uint64_t first, int *rolled)
{
    struct rl_file *f = NULL;
    *rolled = 0;
    if (l->active && l->durable_pos + need <= l->active->base + l->active->capacity - RL_SECTOR)
        return CHRONIK_DONE;
    int32_t r = rl_file_take(l, need + RL_SECTOR, &f);
    if (r < 0)
        return r;
    f->generation = l->active ? l->active->generation + 1 : 1;
    l->h->random(l->h->ctx, &f->salt, sizeof f->salt);
    f->base = l->durable_pos;
    f->first = first;
    f->chain = l->chain;
    f->next = NULL;
    pthread_mutex_lock(&l->mu);
    if (l->active)
        l->active->next = f;
    else
        l->files = f;
    l->active = f;
    l->n_files++;
    pthread_mutex_unlock(&l->mu);
    *rolled = 1;
    return CHRONIK_DONE;
}

static void group_done(void *arg, int32_t result);

/* Writes the group (a mark when there is none) and submits the sync. */
static int32_t group_write(struct reclog *l)
{
    struct rl_chunk *c = l->group ? l->group : l->mark;
    struct rl_group g = {.body_n = (uint32_t)c->used, .n_records = c->n_records, .prev = l->chain, .first = l->durable};
    uint64_t whole = RL_GROUP_HEAD + c->used, need = round_up64(whole, RL_SECTOR);
    int rolled = 0;
    pthread_mutex_lock(&l->mu);
    int gone = l->gone;
    pthread_mutex_unlock(&l->mu);
    int32_t r = gone ? CHRONIK_E_NOTFOUND : group_place(l, need, g.first, &rolled);
    if (r < 0)
        return r;
    struct rl_file *f = l->active;
    g.position = l->durable_pos;
    g.durable_through = MUTANT("durable-through-too-high") ? l->durable_pos + need : l->durable_pos;
    struct chronik_iov body = {rl_chunk_data(c), c->used}, v = {rl_chunk_group(c), need};
    rl_group_seal(l, f, &g, &body, 1, rl_chunk_group(c));
    memset(rl_chunk_group(c) + whole, 0, need - whole);
    uint64_t at = RL_SECTOR + g.position - f->base;
    if (at == RL_SECTOR) { /* the file's header goes with its first group */
        v = (struct chronik_iov){rl_chunk_group(c) - RL_SECTOR, RL_SECTOR + need};
        rl_head_encode(l, f, v.p);
        at = 0;
    }
    r = l->h->file_write(f->f, &v, 1, at);
    if (r < 0)
        return r;
    l->group_end_number = l->durable + g.n_records;
    l->group_bytes = need;
    l->marked = g.n_records == 0;
    l->chain = g.crc;
    pthread_mutex_lock(&l->mu);
    rl_file_index(f, g.first, g.position);
    pthread_mutex_unlock(&l->mu);
    l->op = (struct chronik_file_op){
        .size = sizeof l->op, .flags = MUTANT("no-sync") ? 0 : CHRONIK_OP_SYNC, .file = f->f, .done = {group_done, l}};
    if (MUTANT("ack-before-sync"))
        l->cfg.durable(l->cfg.arg, l->group_end_number);
    l->inflight = 1;
    l->sync_began = l->h->mono_ns(l->h->ctx);
    l->h->file_submit(l->exec, &l->op);
    return CHRONIK_DONE;
}

static void group_try(struct reclog *l)
{
    uint64_t bytes = l->group_bytes;
    int32_t r = group_write(l);
    if (r > 0)
        return;
    l->group_bytes = bytes;
    if (r != CHRONIK_E_NOSPC) {
        log_fail(l, r, "writing", l->active ? l->active->slot : 0);
        return;
    }
    pthread_mutex_lock(&l->mu);
    int was = l->nospc;
    l->nospc = 1;
    pthread_mutex_unlock(&l->mu);
    if (!was)
        util_log(l->h, CHRONIK_LOG_WARN, "record log %s: the disk is full; what was accepted waits: free some space",
                 l->where);
    retry_arm(l);
}

static void close_step(struct reclog *l);

/* After a group: take the next one, or go idle. */
static void commit_next(struct reclog *l)
{
    pthread_mutex_lock(&l->mu);
    int more = l->gather_head != NULL;
    int closing = l->closing;
    l->busy = more;
    pthread_mutex_unlock(&l->mu);
    if (more) {
        l->h->exec_post(l->exec, &l->commit_task);
    } else if (closing) {
        close_step(l);
    } else if (!l->idle_armed && !l->marked) {
        l->idle_armed = 1;
        l->h->exec_post_at(l->exec, &l->idle_task, l->last_group + (int64_t)l->cfg.idle_ms * 1000000);
    }
}

static void group_done(void *arg, int32_t result)
{
    struct reclog *l = arg;
    l->inflight = 0;
    if (result < 0) {
        log_fail(l, result, "syncing", l->active->slot);
        return;
    }
    struct rl_chunk *c = l->group;
    l->group = NULL;
    l->last_group = l->h->mono_ns(l->h->ctx);
    pthread_mutex_lock(&l->mu);
    uint32_t news = (uint32_t)(l->group_end_number - l->durable);
    l->durable = l->group_end_number;
    l->durable_pos += l->group_bytes;
    l->groups++;
    l->syncs++;
    if (c) {
        l->gathered -= c->used;
        if (c->cap == chunk_bytes(l)) {
            c->next = l->pool;
            l->pool = c;
            c = NULL;
        }
    }
    pthread_mutex_unlock(&l->mu);
    free(c);
    rl_keeper_kick(l);
    if (l->cfg.synced)
        l->cfg.synced(l->cfg.arg, news, l->group_bytes, l->last_group - l->sync_began);
    if (news && !MUTANT("ack-before-sync"))
        l->cfg.durable(l->cfg.arg, l->group_end_number);
    commit_next(l);
}

static void commit_run(void *arg)
{
    struct reclog *l = arg;
    if (l->group || l->inflight || l->failed)
        return; /* a group waits for room, or nothing goes on */
    pthread_mutex_lock(&l->mu);
    group_cut(l);
    int waits = l->cut_waits != NULL;
    pthread_mutex_unlock(&l->mu);
    if (l->group)
        group_try(l);
    else if (!waits)
        commit_next(l);
}

static void retry_run(void *arg)
{
    struct reclog *l = arg;
    pthread_mutex_lock(&l->mu);
    int closing = l->closing;
    l->retry_armed = 0;
    pthread_mutex_unlock(&l->mu);
    rl_keeper_kick(l);
    if (!l->group || l->failed || l->inflight)
        return;
    if (closing)
        log_fail(l, CHRONIK_E_NOSPC, "at close, writing", l->active ? l->active->slot : 0);
    else
        group_try(l);
}

/* Nothing was written for idle_ms: the mark, and memory goes back. */
static void idle_run(void *arg)
{
    struct reclog *l = arg;
    int64_t due = l->last_group + (int64_t)l->cfg.idle_ms * 1000000;
    l->idle_armed = 0;
    pthread_mutex_lock(&l->mu);
    int busy = l->busy || l->failed || l->closing;
    struct rl_chunk *pool = NULL;
    if (!busy && l->h->mono_ns(l->h->ctx) >= due) {
        pool = l->pool;
        l->pool = NULL;
        l->busy = 1;
    }
    pthread_mutex_unlock(&l->mu);
    chunks_free(pool);
    if (busy)
        return; /* the pass that runs arms the timer again */
    if (l->h->mono_ns(l->h->ctx) < due) {
        l->idle_armed = 1;
        l->h->exec_post_at(l->exec, &l->idle_task, due);
        return;
    }
    l->group_bytes = 0;
    int32_t r = group_write(l);
    if (r < 0) {
        l->marked = 1; /* a full disk: go without the mark */
        if (r == CHRONIK_E_NOSPC)
            commit_next(l);
        else
            log_fail(l, r, "writing", l->active ? l->active->slot : 0);
    }
}

/* ---- opening, trimming, closing ---- */

static void config_defaults(struct reclog_config *c)
{
    struct {
        uint64_t *at, value;
    } u64s[] = {{&c->from, 1},
                {&c->first_file_bytes, 1 << 20},
                {&c->file_bytes, 64 << 20},
                {&c->group_bytes, 2 << 20},
                {&c->gather_bytes, 64 << 20},
                {&c->reserve_bytes, 64 << 10}};
    for (size_t i = 0; i < ARRAY_LEN(u64s); i++)
        if (!*u64s[i].at)
            *u64s[i].at = u64s[i].value;
    c->max_free_files = c->max_free_files ? c->max_free_files : 4;
    c->idle_ms = c->idle_ms ? c->idle_ms : 50;
    c->first_file_bytes = max_u64(4096, round_up64(c->first_file_bytes, RL_SECTOR));
    c->file_bytes = max_u64(c->first_file_bytes, round_up64(c->file_bytes, RL_SECTOR));
}

static int32_t folder_make(struct reclog *l, struct errtext *e)
{
    char parent[200];
    snprintf(parent, sizeof parent, "%s", l->path);
    char *slash = strrchr(parent, '/');
    *(slash ? slash : parent) = '\0';
    int32_t r = l->h->dir_make(l->h->ctx, l->cfg.dir, l->path);
    if (r > 0)
        r = l->h->dir_sync(l->h->ctx, l->cfg.dir, parent);
    if (r == CHRONIK_E_EXISTS)
        r = CHRONIK_DONE;
    return r > 0 ? r
                 : errtext_set(e, r,
                               "record log %s: the folder cannot be made: %s; check the owner of the data directory",
                               l->where, util_code_text(r));
}

static void reclog_free(struct reclog *l)
{
    struct rl_file **lists[] = {&l->files, &l->free_files, &l->keeper.doom_list, &l->keeper.doomed, &l->keeper.making};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (*lists[i]) {
            struct rl_file *f = *lists[i];
            *lists[i] = f->next;
            rl_file_free(l, f);
        }
    chunks_free(l->gather_head);
    chunks_free(l->group);
    chunks_free(l->pool);
    free(l->mark);
    pthread_mutex_destroy(&l->mu);
    free(l);
}

/* What was replayed is made durable, and a mark says so; a new log gets its first file. */
static int32_t open_settle(struct reclog *l, struct errtext *e)
{
    int32_t r = CHRONIK_DONE;
    if (l->active) {
        r = l->h->file_sync(l->active->f);
    } else {
        l->next_number = l->durable = l->cfg.from;
        l->h->random(l->h->ctx, &l->chain, sizeof l->chain);
        struct rl_file *f = NULL;
        if (!l->free_files)
            r = rl_file_new(l, l->cfg.first_file_bytes, &f);
        if (f)
            r = rl_file_prewrite(l, f, 0, f->capacity);
        if (f) {
            f->next = l->free_files;
            l->free_files = f;
            l->n_free++;
        }
        if (r == CHRONIK_E_NOSPC) {
            l->nospc = 1;
            r = CHRONIK_DONE;
        }
    }
    if (r < 0)
        errtext_set(e, r, "record log %s: cannot be synced after replay: %s; check the disk", l->where,
                    util_code_text(r));
    return r;
}

static void trim_run(void *arg)
{
    struct reclog *l = arg;
    pthread_mutex_lock(&l->mu);
    int closing = l->closing, busy = l->busy;
    if (l->keeper.running == RL_KEEPER_LEAVING)
        l->keeper.running = 0;
    pthread_mutex_unlock(&l->mu);
    if (!closing)
        rl_files_trim(l);
    else if (!busy)
        close_step(l);
}

int32_t reclog_open(const struct reclog_config *cfg, int32_t (*replay)(void *arg, const struct reclog_record *r),
                    void *arg, struct errtext *e, struct reclog **out)
{
    struct reclog *l = calloc(1, sizeof *l);
    if (!l)
        return errtext_set(e, CHRONIK_E_NOMEM, "record log %s: out of memory", cfg->path);
    l->cfg = *cfg;
    l->h = cfg->host;
    config_defaults(&l->cfg);
    snprintf(l->path, sizeof l->path, "%s", cfg->path);
    util_where(l->where, sizeof l->where, l->h, cfg->dir, cfg->path);
    pthread_mutex_init(&l->mu, NULL);
    l->h->random(l->h->ctx, &l->incarnation, sizeof l->incarnation);
    l->commit_task = (struct chronik_task){.fn = commit_run, .arg = l};
    l->idle_task = (struct chronik_task){.fn = idle_run, .arg = l};
    l->trim_task = (struct chronik_task){.fn = trim_run, .arg = l};
    l->retry_task = (struct chronik_task){.fn = retry_run, .arg = l};
    if (e)
        e->code = 0;
    int32_t r = folder_make(l, e);
    if (r > 0 && !(l->mark = chunk_new(0)))
        r = CHRONIK_E_NOMEM;
    if (r > 0)
        r = rl_files_load(l, e);
    if (r > 0)
        r = rl_replay(l, replay, arg, e);
    if (r > 0)
        r = open_settle(l, e);
    if (r > 0) {
        r = l->h->exec_open(l->h->ctx, l->cfg.name, 0, &l->exec);
        if (r < 0)
            errtext_set(e, r, "record log %s: no thread for commits: %s", l->where, util_code_text(r));
    }
    if (r < 0) {
        if (e && !e->code)
            errtext_set(e, r, "record log %s: %s", l->where, util_code_text(r));
        reclog_free(l);
        return r;
    }
    l->trim_from = l->cfg.from;
    if (l->durable > l->cfg.from || l->torn_bytes) { /* what was found is durable now: a mark says so when idle */
        l->idle_armed = 1;
        l->h->exec_post_at(l->exec, &l->idle_task, l->h->mono_ns(l->h->ctx));
    }
    *out = l;
    return CHRONIK_DONE;
}

void reclog_trim(struct reclog *l, uint64_t from)
{
    pthread_mutex_lock(&l->mu);
    l->trim_from = max_u64(l->trim_from, from);
    int closing = l->closing;
    pthread_mutex_unlock(&l->mu);
    if (!closing)
        l->h->exec_post(l->exec, &l->trim_task);
}

void reclog_stat(struct reclog *l, struct reclog_stat *out)
{
    *out = (struct reclog_stat){0};
    pthread_mutex_lock(&l->mu);
    out->first = l->files ? l->files->first : l->durable;
    out->end = l->next_number;
    out->durable = l->durable;
    out->bytes = l->files ? l->durable_pos - l->files->base : 0;
    out->position = l->durable_pos;
    out->gathered = l->gathered;
    for (const struct rl_file *f = l->files; f; f = f->next)
        out->disk_bytes += f->capacity;
    for (const struct rl_file *f = l->free_files; f; f = f->next)
        out->disk_bytes += f->capacity;
    out->groups = l->groups;
    out->syncs = l->syncs;
    out->torn_bytes = l->torn_bytes;
    out->files = l->n_files;
    out->free_files = l->n_free;
    pthread_mutex_unlock(&l->mu);
}

struct chronik_exec *reclog_exec(struct reclog *l)
{
    return l->exec;
}

static void closed(void *arg, int32_t result)
{
    struct reclog *l = arg;
    struct chronik_done done = l->close_done;
    reclog_free(l);
    done.fn(done.arg, CHRONIK_DONE);
}

static void reap_run(void *arg)
{
    struct reclog *l = arg;
    struct chronik_done done = {closed, l};
    l->h->exec_close(l->exec, done);
}

/* On the commit executor, nothing gathered: the final mark, the keeper's end, then the executor's. */
static void close_step(struct reclog *l)
{
    if (!l->marked && !l->failed && l->durable_pos > 0) {
        l->group_bytes = 0;
        pthread_mutex_lock(&l->mu);
        l->busy = 1;
        pthread_mutex_unlock(&l->mu);
        if (group_write(l) > 0)
            return;
        pthread_mutex_lock(&l->mu);
        l->busy = 0;
        pthread_mutex_unlock(&l->mu);
        l->marked = 1;
    }
    pthread_mutex_lock(&l->mu);
    int wait = l->keeper.running || l->reap_task.fn;
    pthread_mutex_unlock(&l->mu);
    if (wait)
        return; /* the keeper posts trim_task at its end */
    l->h->exec_cancel(l->exec, &l->idle_task);
    l->h->exec_cancel(l->exec, &l->retry_task);
    l->reap_task = (struct chronik_task){.fn = reap_run, .arg = l};
    l->h->worker_post(l->h->ctx, &l->reap_task);
}

void reclog_close(struct reclog *l, struct chronik_done done)
{
    pthread_mutex_lock(&l->mu);
    CHECK(!l->closing);
    l->close_done = done;
    l->closing = 1;
    int busy = l->busy;
    l->busy = 1;
    int failed = l->failed;
    if (failed)
        l->busy = 0;
    pthread_mutex_unlock(&l->mu);
    if (failed)
        l->h->exec_post(l->exec, &l->trim_task);
    else if (!busy)
        l->h->exec_post(l->exec, &l->commit_task);
}
