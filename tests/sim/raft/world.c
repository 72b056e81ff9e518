/* world: the replicas' lives: readies to disk, disks to acknowledgements, committed entries to the state, packets
 * between them. A crash keeps a random beginning of what was written and not synced. It must never decide anything that
 * is Raft's to decide. Single-threaded test code. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

static void *resize(void *ctx, void *ptr, size_t size)
{
    void *p;

    if (size == 0) {
        free(ptr);
        return NULL;
    }
    p = realloc(ptr, size);
    if (p == NULL) {
        fputs("raft-sim: no memory\n", stderr);
        exit(2);
    }
    return p;
}

static const struct rc_alloc alloc = {.resize = resize};

uint64_t world_random(struct world *w, uint64_t below)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15u); /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below == 0 ? 0 : z % below;
}

bool world_chance(struct world *w, uint32_t percent)
{
    return world_random(w, 100) < percent;
}

void world_break(struct world *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
    longjmp(w->broken, 1);
}

static void on_fatal(void *ctx, const char *text)
{
    world_break(ctx, "a replica stopped: %s", text);
}

static void on_log(void *ctx, enum rc_level level, const char *text)
{
    struct world *w = ctx;

    char line[256];

    if (w->verbose) {
        snprintf(line, sizeof line, "%8llu   %s", U(w->counts.steps), text);
        w->trace(line);
    }
}

static uint32_t on_random(void *ctx, uint32_t below)
{
    return (uint32_t)world_random(ctx, below);
}

/* ---- messages ---- */

static struct rc_entry *copy_entries(const struct rc_entry *entries, uint32_t n)
{
    struct rc_entry *copy = n == 0 ? NULL : resize(NULL, NULL, n * sizeof *copy);

    for (uint32_t i = 0; i < n; i++) {
        copy[i] = entries[i];
        rc_buf_ref(copy[i].data);
    }
    return copy;
}

static void free_entries(struct rc_entry *entries, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rc_buf_unref(entries[i].data);
    }
    free(entries);
}

static void clear_msg(struct rc_msg *m)
{
    free_entries(m->entries, m->n_entries);
    rc_snapshot_unref(m->snapshot);
}

static void put_flight(struct world *w, const struct rc_msg *m)
{
    if (w->n_flight == w->flight_size) {
        w->flight_size = w->flight_size == 0 ? 64 : w->flight_size * 2;
        w->flight = resize(NULL, w->flight, w->flight_size * sizeof *w->flight);
    }
    w->flight[w->n_flight].msg = *m;
    w->flight[w->n_flight].due = w->counts.steps + (world_chance(w, 4) ? world_random(w, 3000) : 0);
    w->flight[w->n_flight].msg.entries = copy_entries(m->entries, m->n_entries);
    rc_snapshot_ref(m->snapshot);
    if (m->type == RC_MSG_APPEND_REPLY && m->reject && world_chance(w, w->coarse)) {
        w->flight[w->n_flight].msg.hint = world_random(w, m->hint + 1); /* lower than need be, and without a term */
        w->flight[w->n_flight].msg.log_term = 0;
    }
    w->n_flight++;
}

static void send(struct world *w, struct node *n, const struct rc_msg *m)
{
    judge_leaving(w, n, m);
    w->counts.snapshots_sent += m->type == RC_MSG_SNAPSHOT;
    put_flight(w, m);
    if (world_chance(w, w->repeat)) {
        w->counts.repeated++;
        put_flight(w, m);
    }
}

static struct rc_msg take_flight(struct world *w, uint32_t at)
{
    struct rc_msg m = w->flight[at].msg;

    w->flight[at] = w->flight[--w->n_flight];
    return m;
}

/* A stream to a dead or cut-off peer tells its sender; so does a finished or broken transfer of a snapshot. */
static void report(struct world *w, const struct rc_msg *m, bool arrived)
{
    struct node *from = world_node(w, m->from);

    if (from == NULL || !from->alive) {
        return;
    }
    if (m->type == RC_MSG_SNAPSHOT) {
        rc_report_snapshot(from->rc, m->to, arrived);
    } else if (!arrived && world_chance(w, 30)) {
        rc_report_unreachable(from->rc, m->to);
    }
    judge_step(w, from);
}

void world_drop(struct world *w, uint32_t at)
{
    struct rc_msg m = take_flight(w, at);

    w->counts.lost++;
    report(w, &m, false);
    clear_msg(&m);
}

void world_deliver(struct world *w, uint32_t at)
{
    struct rc_msg m = w->flight[at].msg;
    struct node *to = world_node(w, m.to);

    if (to == NULL || !to->alive || w->cut[m.from - 1][m.to - 1] || world_chance(w, w->loss)) {
        world_drop(w, at);
        return;
    }
    if (to->paused || (!w->healed && w->flight[at].due > w->counts.steps)) {
        return;
    }
    take_flight(w, at);
    to->alone = 0;
    rc_step(to->rc, &m);
    judge_step(w, to);
    report(w, &m, true);
    clear_msg(&m);
}

/* ---- disk ---- */

static void disk_cut(struct world *w, struct disk *d, uint64_t index)
{
    w->counts.truncations += d->base + d->n >= index;
    while (d->n > 0 && d->base + d->n >= index) {
        rc_buf_unref(d->entries[--d->n].data);
    }
}

static void disk_append(struct world *w, struct disk *d, const struct rc_entry *entries, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (entries[i].index <= d->base) { /* covered by a snapshot of our own meanwhile */
            continue;
        }
        disk_cut(w, d, entries[i].index);
        if (entries[i].index != d->base + d->n + 1) {
            world_break(w, "entry %llu leaves a gap on disk after %llu", U(entries[i].index), U(d->base + d->n));
        }
        if (d->n == d->size) {
            d->size = d->size == 0 ? 64 : d->size * 2;
            d->entries = resize(NULL, d->entries, d->size * sizeof *d->entries);
        }
        d->entries[d->n++] = entries[i];
        rc_buf_ref(entries[i].data);
    }
}

static void disk_snapshot(struct world *w, struct disk *d, struct rc_snapshot *s, bool whole)
{
    rc_snapshot_ref(s);
    rc_snapshot_unref(d->snapshot);
    d->snapshot = s;
    if (whole) {
        disk_cut(w, d, 0);
        d->base = s->index;
        d->base_term = s->term;
    }
}

/* One batch: term and vote, then entries (torn: some of them), then commit. A recovery never sees a commit beyond its
 * entries. */
static void disk_write(struct world *w, struct disk *d, const struct rc_ready *rd, uint32_t entries)
{
    bool torn = entries < rd->n_entries;

    if (rd->snapshot != NULL) {
        disk_snapshot(w, d, rd->snapshot, true);
    }
    if (rd->has_hard) {
        d->hard.term = rd->hard.term;
        d->hard.vote = rd->hard.vote;
    }
    disk_append(w, d, rd->entries, entries);
    if (rd->has_hard && !torn) {
        d->hard.commit = rd->hard.commit;
    }
}

static struct write pop_write(struct node *n)
{
    struct write out = n->writes[0];

    memmove(n->writes, n->writes + 1, --n->n_writes * sizeof *n->writes);
    return out;
}

static void restore_state(struct world *w, struct node *n, struct rc_snapshot *s)
{
    n->applied = s->index;
    n->conf = s->conf;
    n->digest = 0;
    if (s->data != NULL) {
        memcpy(&n->digest, s->data->bytes, sizeof n->digest);
    }
    for (uint32_t i = 0; i < n->n_jobs; i++) { /* older than the snapshot */
        free_entries(n->jobs[i].entries, n->jobs[i].n);
    }
    n->n_jobs = 0;
    w->counts.installed++;
    judge_installed(w, n);
}

void world_ack(struct world *w, struct node *n)
{
    if (n->n_acks > 0) {
        struct rc_ack ack = n->acks[0];

        memmove(n->acks, n->acks + 1, --n->n_acks * sizeof *n->acks);
        rc_persisted(n->rc, &ack);
        judge_step(w, n);
    }
}

/* Promises leave as soon as they are true; the core may hear of it much later. */
static void acknowledge(struct world *w, struct node *n, struct rc_ready *rd)
{
    bool own = rd->snapshot != NULL; /* what the core tells itself needs the acknowledgement at once */

    for (uint32_t i = 0; i < rd->n_after; i++) {
        if (rd->after[i].to == n->id) {
            own = true;
            judge_leaving(w, n, &rd->after[i]);
            rc_step(n->rc, &rd->after[i]);
        } else {
            send(w, n, &rd->after[i]);
        }
    }
    if (n->late && !own && n->n_acks < WORLD_ACKS) {
        n->acks[n->n_acks++] = rd->ack;
    } else {
        rc_persisted(n->rc, &rd->ack);
    }
    if (rd->snapshot != NULL && rd->snapshot->index > n->applied) {
        restore_state(w, n, rd->snapshot);
        rc_snap_done(n->rc, rd->snapshot->index);
    }
}

void world_disk(struct world *w, struct node *n)
{
    uint32_t at = 0;
    struct rc_ready rd;

    while (at < n->n_writes && n->writes[at].acknowledged) {
        at++;
    }
    if (at == n->n_writes) {
        return;
    }
    if (!n->writes[at].rd.must_sync && n->writes[at].rd.snapshot == NULL) {
        n->writes[at].acknowledged = true;
        acknowledge(w, n, &n->writes[at].rd);
        judge_step(w, n);
        return;
    }
    for (uint32_t i = 0; i <= at; i++) { /* one sync makes all before it durable */
        struct write one = pop_write(n);

        disk_write(w, &n->disk, &one.rd, one.rd.n_entries);
        if (i < at) {
            rc_ready_release(&one.rd);
        } else {
            rd = one.rd;
        }
    }
    acknowledge(w, n, &rd);
    rc_ready_release(&rd);
    judge_step(w, n);
}

void world_snapshot(struct world *w, struct node *n, uint64_t keep)
{
    struct rc_buf *data;
    struct rc_snapshot *s;
    uint64_t to = n->applied > keep ? n->applied - keep : 0;
    const struct rc_entry *last = rc_entry_at(n->rc, n->applied);

    if (last == NULL || (n->disk.snapshot != NULL && n->disk.snapshot->index >= n->applied)) {
        return;
    }
    data = rc_buf_new(&alloc, sizeof n->digest);
    memcpy(data->bytes, &n->digest, sizeof n->digest);
    s = rc_snapshot_new(&alloc, n->applied, last->term, &n->conf, data);
    if (rc_snapshot_taken(n->rc, s) == RC_OK) {
        w->counts.snapshots_taken++;
        disk_snapshot(w, &n->disk, s, false);
        if (to > n->disk.base && rc_compact(n->rc, to) == RC_OK) {
            uint32_t cut = (uint32_t)(to - n->disk.base);

            if (cut > n->disk.n) {
                world_break(w, "replica %llu compacts to %llu, its disk ends at %llu", U(n->id), U(to),
                            U(n->disk.base + n->disk.n));
            }
            n->disk.base_term = n->disk.entries[cut - 1].term;
            n->disk.base = to;
            for (uint32_t i = 0; i < cut; i++) {
                rc_buf_unref(n->disk.entries[i].data);
            }
            n->disk.n -= cut;
            memmove(n->disk.entries, n->disk.entries + cut, n->disk.n * sizeof *n->disk.entries);
        }
    }
    rc_snapshot_unref(s);
    judge_step(w, n);
}

/* ---- turns of a replica ---- */

void world_tick(struct world *w, struct node *n)
{
    n->alone++;
    rc_tick(n->rc);
    judge_step(w, n);
}

void world_ready(struct world *w, struct node *n)
{
    struct rc_ready rd;

    if (!rc_has_ready(n->rc)) {
        return;
    }
    rc_ready(n->rc, &rd);
    for (uint32_t i = 0; i < rd.n_msgs; i++) {
        send(w, n, &rd.msgs[i]);
    }
    for (uint32_t i = 0; i < rd.n_reads; i++) {
        uint64_t number = rd.reads[i].context;

        if (number == 0 || number > w->n_reads || w->reads[number - 1].node != n->id) {
            world_break(w, "replica %llu got an answer to read %llu, which it never asked", U(n->id), U(number));
        }
        if (w->reads[number - 1].open) {
            if (rd.reads[i].index < w->reads[number - 1].floor) {
                world_break(w, "stale read: replica %llu may answer at %llu, %llu was acknowledged before", U(n->id),
                            U(rd.reads[i].index), U(w->reads[number - 1].floor));
            }
            w->reads[number - 1].open = false;
            w->counts.reads++;
        }
    }
    if (rd.n_committed > 0) {
        n->jobs = resize(NULL, n->jobs, (n->n_jobs + 1) * sizeof *n->jobs);
        n->jobs[n->n_jobs].entries = copy_entries(rd.committed, rd.n_committed);
        n->jobs[n->n_jobs++].n = rd.n_committed;
    }
    n->writes = resize(NULL, n->writes, (n->n_writes + 1) * sizeof *n->writes);
    n->writes[n->n_writes++] = (struct write){.rd = rd};
    judge_step(w, n);
}

void world_apply(struct world *w, struct node *n)
{
    struct job job;

    if (n->n_jobs == 0) {
        return;
    }
    job = n->jobs[0];
    memmove(n->jobs, n->jobs + 1, --n->n_jobs * sizeof *n->jobs);
    for (uint32_t i = 0; i < job.n; i++) {
        struct rc_conf conf;

        if (job.entries[i].type != RC_ENTRY_NORMAL && rc_apply_conf(n->rc, &job.entries[i], &conf) == RC_OK) {
            n->conf = conf;
            n->alone = 0; /* new members have time to answer */
            w->counts.changes++;
            w->counts.joint += conf.outgoing.n > 0;
        }
        judge_applied(w, n, &job.entries[i]);
    }
    rc_applied(n->rc, job.entries[job.n - 1].index);
    free_entries(job.entries, job.n);
    judge_step(w, n);
}

void world_crash(struct world *w, struct node *n)
{
    uint32_t kept = (uint32_t)world_random(w, n->n_writes + 1);

    w->counts.crashes++;
    for (uint32_t i = 0; n->n_writes > 0; i++) {
        struct write one = pop_write(n);

        if (i < kept) {
            disk_write(w, &n->disk, &one.rd, one.rd.n_entries);
        } else if (i == kept && one.rd.n_entries > 0 && one.rd.snapshot == NULL && world_chance(w, 50)) {
            w->counts.torn++;
            disk_write(w, &n->disk, &one.rd, (uint32_t)world_random(w, one.rd.n_entries));
        }
        rc_ready_release(&one.rd);
    }
    for (uint32_t i = 0; i < n->n_jobs; i++) {
        free_entries(n->jobs[i].entries, n->jobs[i].n);
    }
    n->n_jobs = 0;
    rc_free(n->rc);
    n->rc = NULL;
    n->alive = false;
    n->paused = false;
}

void world_start(struct world *w, struct node *n)
{
    struct disk *d = &n->disk;
    struct rc_boot boot = {.hard = d->hard,
                           .base_index = d->base,
                           .base_term = d->base_term,
                           .entries = d->entries,
                           .n_entries = d->n,
                           .snapshot = d->snapshot};
    char why[256];

    n->applied = 0;
    n->digest = 0;
    if (d->snapshot != NULL) {
        boot.applied = d->snapshot->index;
        boot.conf = d->snapshot->conf;
        n->applied = d->snapshot->index;
        if (d->snapshot->data != NULL) {
            memcpy(&n->digest, d->snapshot->data->bytes, sizeof n->digest);
        }
    }
    n->conf = boot.conf;
    n->rc = rc_new(&n->cfg, &boot, why, sizeof why);
    if (n->rc == NULL) {
        world_break(w, "replica %llu does not start: %s", U(n->id), why);
    }
    n->alive = true;
    n->seen_commit = 0;
    n->n_acks = 0;
    n->alone = 0;
    n->was_leader = n->was_candidate = false;
    judge_step(w, n);
}

struct rc_config world_config(void)
{
    return (struct rc_config){
        .election_ticks = 10,
        .heartbeat_ticks = 2,
        .max_inflight_msgs = 8,
        .max_size_per_msg = 200,
        .max_committed_size = 400,
        .check_quorum = true,
        .pre_vote = true,
        .step_down_on_removal = true,
        .lead_to_rescue = true,
    };
}

struct node *world_node(struct world *w, uint64_t id)
{
    return id == 0 || id > WORLD_NODES || !w->nodes[id - 1].exists ? NULL : &w->nodes[id - 1];
}

struct node *world_add(struct world *w, const struct rc_config *cfg, const struct rc_conf *conf)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct node *n = &w->nodes[i];

        if (n->exists) {
            continue;
        }
        n->exists = true;
        n->id = i + 1;
        n->cfg = *cfg;
        n->cfg.id = n->id;
        n->cfg.alloc = alloc;
        n->cfg.random = on_random;
        n->cfg.log = on_log;
        n->cfg.fatal = on_fatal;
        n->cfg.ctx = w;
        if (conf != NULL) { /* as after a first formation: entry 1 is the configuration, and it is applied */
            n->disk.snapshot = rc_snapshot_new(&alloc, 1, 1, conf, NULL);
            n->disk.base = 1;
            n->disk.base_term = 1;
            n->disk.hard = (struct rc_hard){.term = 1, .commit = 1};
        }
        world_start(w, n);
        return n;
    }
    return NULL;
}

/* ---- clients ---- */

int world_propose(struct world *w, struct node *n, uint32_t bytes)
{
    struct rc_buf *buf = rc_buf_new(&alloc, bytes + 8);
    struct rc_entry entry = {.data = buf};
    uint64_t index, term, unique = world_random(w, 0) + w->random;
    int result;

    memset(buf->bytes, 0, buf->len);
    memcpy(buf->bytes, &unique, sizeof unique);
    result = rc_propose(n->rc, buf, &index, &term);
    w->counts.refused += result != RC_OK;
    if (result == RC_OK && w->n_proposals < WORLD_PROPOSALS) {
        w->proposals[w->n_proposals++] =
            (struct proposal){.node = n->id, .index = index, .term = term, .hash = judge_hash(&entry)};
        w->counts.proposals++;
    }
    rc_buf_unref(buf);
    judge_step(w, n);
    return result;
}

int world_change(struct world *w, struct node *n, const struct rc_conf_change *change)
{
    int result = rc_propose_conf(n->rc, change, false, NULL, NULL);

    judge_step(w, n);
    return result;
}

void world_read(struct world *w, struct node *n)
{
    if (w->n_reads == WORLD_PROPOSALS) {
        return;
    }
    w->reads[w->n_reads].node = n->id;
    w->reads[w->n_reads].floor = w->answered;
    w->reads[w->n_reads].open = true;
    w->n_reads++;
    rc_read_index(n->rc, w->n_reads);
    judge_step(w, n);
}

struct node *world_leader(struct world *w)
{
    struct node *best = NULL;
    uint64_t term = 0;

    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct rc_status st;

        if (!w->nodes[i].exists || !w->nodes[i].alive) {
            continue;
        }
        rc_status(w->nodes[i].rc, &st);
        if (st.role == RC_LEADER && st.term > term) {
            best = &w->nodes[i];
            term = st.term;
        }
    }
    return best;
}

static bool busy(const struct node *n)
{
    return n->n_jobs > 0 || n->n_acks > 0 || (n->n_writes > 0 && !n->writes[n->n_writes - 1].acknowledged) ||
           rc_has_ready(n->rc);
}

void world_settle(struct world *w)
{
    bool moved = true;

    for (int round = 0; moved; round++) {
        if (round > 10000) {
            world_break(w, "messages without end");
        }
        moved = false;
        for (uint32_t i = 0; i < WORLD_NODES; i++) {
            struct node *n = &w->nodes[i];

            if (n->exists && n->alive && !n->paused && busy(n)) {
                world_ready(w, n);
                world_disk(w, n);
                world_ack(w, n);
                world_apply(w, n);
                moved = true;
            }
        }
        for (uint32_t left = w->n_flight; left > 0 && w->n_flight > 0; left--) {
            struct node *to = world_node(w, w->flight[0].msg.to);

            if (w->flight[0].due > w->counts.steps && !w->healed) {
                w->flight[0].due = w->counts.steps;
            }
            if (to == NULL || !to->alive || !to->paused) {
                /* oldest first, so that what settles is what an orderly network gives */
                struct packet first = w->flight[0];

                memmove(w->flight, w->flight + 1, (w->n_flight - 1) * sizeof *w->flight);
                w->flight[w->n_flight - 1] = first;
                world_deliver(w, w->n_flight - 1);
                moved = true;
            }
        }
    }
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->random = seed * 0x2545f4914f6cdd1du + 1;
    w->log[1] = (struct known){.committed = true, .term = 1};
    w->committed = 1;
}

void world_free(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_NODES; i++) {
        struct node *n = &w->nodes[i];

        if (!n->exists) {
            continue;
        }
        while (n->n_writes > 0) {
            struct write one = pop_write(n);

            rc_ready_release(&one.rd);
        }
        for (uint32_t k = 0; k < n->n_jobs; k++) {
            free_entries(n->jobs[k].entries, n->jobs[k].n);
        }
        if (n->rc != NULL) {
            rc_free(n->rc);
        }
        free(n->writes);
        free(n->jobs);
        free_entries(n->disk.entries, n->disk.n);
        rc_snapshot_unref(n->disk.snapshot);
    }
    for (uint32_t i = 0; i < w->n_flight; i++) {
        clear_msg(&w->flight[i].msg);
    }
    free(w->flight);
}
