/* start.c: from a folder to a running replica: a worker reads identity, snapshot and log; the raft executor makes the
 * core of what was found. Also the other jobs of the worker: saving the identity file, forgetting old records. It must
 * never guess: a log that ends before what the host has applied, or begins after it without a snapshot, is refused with
 * a sentence (R6). Nothing here waits for another node (S1). */
#include "peer.h"
#include "raft.h"

#include <stdio.h>
#include <stdlib.h>

enum { FULL_MS = 1000 };

/* ---- the worker ---- */

void start_draw(chronik_meta *m, struct chronik_uuid *id)
{
    m->host.random(m->host.ctx, id->b, sizeof id->b);
    id->b[6] = (uint8_t)((id->b[6] & 0x0f) | 0x40);
    id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
}

/* The group of entry 1: all these are voters. */
void start_bootstrap(chronik_meta *m, const struct book *book)
{
    struct group *g = &m->id.bootstrap;
    *g = (struct group){.index = 1, .term = 1, .book = *book};
    for (uint32_t i = 0; i < book->n; i++) { /* sorted by id, as the core wants it */
        uint32_t at = g->conf.voters.n++;
        while (at > 0 && g->conf.voters.v[at - 1] > book->v[i].replica) {
            g->conf.voters.v[at] = g->conf.voters.v[at - 1];
            at--;
        }
        g->conf.voters.v[at] = book->v[i].replica;
    }
    m->id.formed = 1;
    m->id.group_id = m->cfg.cluster_id;
    if (uuid_zero(&m->id.group_id))
        start_draw(m, &m->id.group_id);
}

/* An empty folder: a new replica, which forms a quorum alone or waits for the others. */
static int32_t be_born(chronik_meta *m)
{
    struct book self = {.n = 1, .v = {{.node = m->cfg.node_id}}};
    do
        m->host.random(m->host.ctx, &m->id.replica, sizeof m->id.replica);
    while (!m->id.replica);
    m->id.log_from = 1;
    self.v[0].replica = m->id.replica;
    self.v[0].directory = m->quorum.directory;
    memcpy(self.v[0].address, m->quorum.address, sizeof self.v[0].address);
    if (m->quorum.single)
        start_bootstrap(m, &self);
    return identity_save(m, &m->error);
}

static int32_t load_group(chronik_meta *m)
{
    struct group *g = calloc(1, sizeof *g);
    if (!g)
        return errtext_set(&m->error, CHRONIK_E_NOMEM, "%s: out of memory", RAFT_FOLDER);
    int32_t rc = snapshot_load(m, RAFT_SNAPSHOT, false, &m->snapshot, g, &m->error);
    if (rc == CHRONIK_E_NOTFOUND) {
        m->snapshot = (struct chronik_meta_snapshot){.size = sizeof m->snapshot};
        *g = m->id.bootstrap;
        rc = CHRONIK_DONE;
    }
    if (rc > 0)
        group_set(m, &g->conf, &g->book, g->index, g->term);
    free(g);
    return rc;
}

/* Whether checkpoint, snapshot and log together lead to the present state. */
static int32_t check(chronik_meta *m)
{
    uint64_t base = m->group_now->index, last = base + m->found.n, has = m->host_pos.index;
    if (has > last)
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: the log ends at %llu, but %llu had been applied: files are missing; remove the folders "
                           "%s and checkpoint "
                           "to come back as a new replica (a single voter: restore it from a backup, or remove the "
                           "metadata checkpoint to go back to what the log has)",
                           RAFT_LOG, (unsigned long long)last, (unsigned long long)has, RAFT_FOLDER);
    if (m->found.hard.commit > last)
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: the log ends at %llu, but %llu was committed: entries are lost; remove the folders %s "
                           "and checkpoint to "
                           "come back as a new replica, then add it to the quorum",
                           RAFT_LOG, (unsigned long long)last, (unsigned long long)m->found.hard.commit, RAFT_FOLDER);
    return CHRONIK_DONE;
}

static int32_t open_all(chronik_meta *m)
{
    if (util_folder(&m->host, m->cfg.dir, RAFT_FOLDER, &m->error) < 0)
        return m->error.code;
    int32_t rc = identity_load(m, &m->error);
    if (rc == CHRONIK_E_NOTFOUND)
        rc = be_born(m);
    if (rc > 0 && m->id.formed)
        rc = load_group(m);
    if (rc > 0)
        rc = disk_open(m, &m->error);
    if (rc > 0 && m->id.formed)
        rc = check(m);
    return rc;
}

static void hand_over(chronik_meta *m, enum stage next)
{
    pthread_mutex_lock(&m->lock);
    m->stage = next;
    raft_post(m); /* under the lock: once the stage is another, the executor may be closed */
    pthread_mutex_unlock(&m->lock);
}

void start_work(void *arg)
{
    chronik_meta *m = arg;
    int32_t rc = open_all(m);
    if (rc < 0 && !m->error.code)
        errtext_set(&m->error, rc, "%s cannot be opened: %s", RAFT_FOLDER, util_code_text(rc));
    hand_over(m, rc == CHRONIK_E_NOSPC && !m->log ? STAGE_FULL : STAGE_OPENED);
}

/* ---- the raft executor ---- */

static void *resize(void *ctx, void *p, size_t n)
{
    if (n)
        return realloc(p, n);
    free(p);
    return NULL;
}

struct rc_alloc start_alloc(void)
{
    return (struct rc_alloc){.resize = resize};
}

static uint32_t core_random(void *ctx, uint32_t below)
{
    return (uint32_t)raft_random(ctx, below);
}

static void core_log(void *ctx, enum rc_level level, const char *text)
{
    chronik_meta *m = ctx;
    /* What the core calls information is its every step; the shell says what people need. */
    m->host.log(m->host.ctx, level >= RC_WARN ? CHRONIK_LOG_INFO + (int32_t)(level - RC_INFO) : CHRONIK_LOG_DEBUG,
                text);
}

static void core_fatal(void *ctx, const char *text)
{
    char line[600];
    snprintf(line, sizeof line,
             "%s: %.300s; if its disk was damaged or restored, remove the folders %s and checkpoint to come back as a "
             "new replica, then add it to the quorum",
             RAFT_FOLDER, text, RAFT_FOLDER);
    raft_fatal(ctx, 70, line);
}

static struct rc_config core_config(chronik_meta *m)
{
    return (struct rc_config){.id = m->id.replica,
                              .election_ticks = RAFT_TICKS,
                              .heartbeat_ticks = RAFT_TICKS / 5,
                              .max_inflight_msgs = 64,
                              .max_inflight_bytes = 16 << 20,
                              .max_size_per_msg = 1 << 20,
                              .max_committed_size = 4 << 20,
                              .max_uncommitted_size = 64 << 20,
                              .check_quorum = true,
                              .pre_vote = true,
                              .step_down_on_removal = true,
                              .lead_to_rescue = true,
                              .alloc = m->alloc,
                              .random = core_random,
                              .log = core_log,
                              .fatal = core_fatal,
                              .ctx = m};
}

/* Makes the core. It begins at the snapshot (or entry 1): what the host has beyond is handed out again, so that the
 * configuration is rebuilt, and not delivered. A new replica beside the state of an earlier one has no entries yet:
 * they come from the leader, and are compared at the place that the host had reached (start_same_history). */
int32_t start_born(chronik_meta *m)
{
    struct group *g = m->group_now;
    uint64_t base = g->index, has = m->host_pos.index;
    struct found *f = &m->found;
    struct rc_config cfg = core_config(m);
    m->hard = f->hard;
    m->hard.term = max_u64(f->hard.term, g->term);
    m->hard.commit = max_u64(max_u64(f->hard.commit, base), has <= base + f->n ? has : 0);
    m->commit_written = f->hard.commit;
    struct rc_boot boot = {.hard = {.term = m->hard.term, .vote = m->hard.vote, .commit = m->hard.commit},
                           .conf = g->conf,
                           .base_index = base,
                           .base_term = g->term,
                           .entries = f->v,
                           .n_entries = f->n};
    char why[200] = "";
    if (m->snapshot.pos.index)
        boot.snapshot = rc_snapshot_new(&m->alloc, base, g->term, &g->conf, NULL);
    m->rc = rc_new(&cfg, &boot, why, sizeof why);
    rc_snapshot_unref(boot.snapshot);
    for (uint32_t i = 0; i < f->n; i++)
        rc_buf_unref(f->v[i].data);
    free(f->v);
    f->v = NULL;
    f->cap = 0;
    if (!m->rc)
        return errtext_set(&m->error, CHRONIK_E_CORRUPT,
                           "%s: %s; remove the folders %s and checkpoint to come back as a new replica", RAFT_LOG, why,
                           RAFT_FOLDER);
    m->handed = m->applied = base;
    m->skip_to = MUTANT("raft_entries_delivered_again") ? 0 : max_u64(base, has);
    m->catch_up = raft_self_voter(m) && g->conf.voters.n == 1 ? base + f->n : m->hard.commit;
    pthread_mutex_lock(&m->lock);
    m->first_index = m->runs.n && m->runs.v[0].index <= base + 1 ? m->runs.v[0].index : base + 1;
    m->host_applied = max_u64(has, base);
    pthread_mutex_unlock(&m->lock);
    return CHRONIK_DONE;
}

static void open_again(void *arg)
{
    chronik_meta *m = arg;
    pthread_mutex_lock(&m->lock);
    bool go = !m->closing && m->stage == STAGE_FULL;
    m->stage = go ? STAGE_OPENING : m->stage;
    pthread_mutex_unlock(&m->lock);
    m->armed_at = 0;
    if (!go)
        return;
    m->error = (struct errtext){0};
    m->worker_task = (struct chronik_task){.fn = start_work, .arg = m};
    m->host.worker_post(m->host.ctx, &m->worker_task);
}

/* The start goes on when there is space; until then status says what it waits for. */
void start_full(chronik_meta *m)
{
    if (m->armed_at)
        return;
    pthread_mutex_lock(&m->lock);
    bool news = !m->lack[0];
    snprintf(m->lack, sizeof m->lack, "the metadata log cannot be opened: %.250s", m->error.text);
    pthread_mutex_unlock(&m->lock);
    if (news)
        util_log(&m->host, CHRONIK_LOG_ERROR, "%s; it goes on when there is some", m->error.text);
    m->armed_at = m->host.mono_ns(m->host.ctx) + FULL_MS * RAFT_MS;
    m->tick_task = (struct chronik_task){.fn = open_again, .arg = m};
    m->host.exec_post_at(m->exec, &m->tick_task, m->armed_at);
}

void start_same_history(chronik_meta *m, const struct rc_entry *e)
{
    if (e->index == m->host_pos.index && e->term != m->host_pos.epoch)
        raft_fatal(m, 70,
                   "the checkpoint in the data directory is of another history of the metadata than the quorum's: move "
                   "it and the folder meta-raft out of the data directory, start again, and add this node: chronikctl "
                   "meta add");
}

void start_opened(chronik_meta *m)
{
    struct event *ev = raft_alloc(m, sizeof *ev);
    ev->kind = EV_STARTED;
    ev->code = m->error.code ? m->error.code : CHRONIK_DONE;
    if (!m->error.code && m->id.formed && start_born(m) < 0)
        ev->code = m->error.code;
    pthread_mutex_lock(&m->lock);
    m->stage = ev->code < 0 ? STAGE_FAILED : STAGE_RUNNING;
    if (ev->code > 0 && m->rc && m->host_pos.index < m->group_now->index && m->snapshot.pos.index)
        m->installing = true;
    bool install = m->installing, failed = ev->code < 0;
    pthread_mutex_unlock(&m->lock);
    if (install) {
        struct event *in = raft_alloc(m, sizeof *in);
        in->kind = EV_INSTALL;
        deliver_emit(m, in);
    }
    deliver_emit(m, ev);
    if (failed)
        return;
    m->hard.boot = m->found.hard.boot + 1;
    disk_state(m); /* others hear this boot counter only once it is durable */
    m->boot_record = m->appended;
    net_start(m);
    if (m->rc && raft_self_voter(m))
        clock_campaign_in(m, m->group_now->conf.voters.n == 1 ? 0 : RAFT_FIRST_MS * RAFT_MS);
    if (!m->rc) {
        struct event *caught = raft_alloc(m, sizeof *caught);
        caught->kind = EV_CAUGHT_UP;
        m->caught_up = true;
        deliver_emit(m, caught);
    }
}

/* ---- other work for the worker, one at a time ---- */

static void save_and_forget(void *arg)
{
    chronik_meta *m = arg;
    struct errtext e = {0};
    if (identity_save(m, &e) > 0)
        reclog_trim(m->log, m->id.log_from);
    else
        m->host.log(m->host.ctx, CHRONIK_LOG_WARN, e.text); /* the log grows until it succeeds */
    pthread_mutex_lock(&m->lock);
    m->worker_busy = false;
    raft_post(m);
    pthread_mutex_unlock(&m->lock);
}

static void save_identity(void *arg)
{
    chronik_meta *m = arg;
    struct errtext e = {0};
    int32_t rc = identity_save(m, &e);
    if (rc < 0)
        m->host.log(m->host.ctx, CHRONIK_LOG_ERROR, e.text);
    pthread_mutex_lock(&m->lock);
    m->formed_rc = rc;
    m->worker_busy = false;
    raft_post(m);
    pthread_mutex_unlock(&m->lock);
}

void start_save(chronik_meta *m)
{
    m->formed_rc = 0;
    start_worker(m, save_identity);
}

/* Records below `from` may go once the identity file says so. Raft executor, the worker free. */
void start_forget(chronik_meta *m, uint64_t from)
{
    m->id.log_from = from;
    start_worker(m, save_and_forget);
}

void start_worker(chronik_meta *m, void (*fn)(void *arg))
{
    pthread_mutex_lock(&m->lock);
    CHECK(!m->worker_busy);
    m->worker_busy = true;
    pthread_mutex_unlock(&m->lock);
    m->worker_task = (struct chronik_task){.fn = fn, .arg = m};
    m->host.worker_post(m->host.ctx, &m->worker_task);
}
