/* check_meta.c: the checks of a metadata module in the real world: instance, proposals, order, barrier, reading back,
 * snapshots, closing, restarting. Each function is one line of the kit's report. */
#include "meta_kit.h"
#include "power.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- instances ---- */

static void refuses_a_host_table_that_is_too_short(struct kit *k)
{
    struct meta t;
    struct chronik_host *host = kit_lend(offsetof(struct chronik_host, log));
    memcpy(host, k->table, offsetof(struct chronik_host, log));
    host->size = offsetof(struct chronik_host, log);
    int32_t rc = meta_create(&t, k, host);
    EXPECT(rc < 0, "create accepted a host table of %u bytes, which has not one function", host->size);
    meta_drop(&t);
}

static void accepts_a_host_table_that_is_longer(struct kit *k)
{
    struct meta t;
    size_t n = sizeof(struct chronik_host) + 64;
    char *host = calloc(1, n);
    memset(host, 0xa5, n);
    memcpy(host, k->table, sizeof(struct chronik_host));
    ((struct chronik_host *)(void *)host)->size = (uint32_t)n;
    int32_t rc = meta_create(&t, k, (const struct chronik_host *)(const void *)host);
    EXPECT(rc > 0, "create answered %s to a host table with 64 more bytes", kit_code(rc));
    meta_start(&t, (struct chronik_meta_pos){0, 0}, 0);
    meta_commit(&t, 1, 100);
    meta_close(&t);
    free(host);
}

static void an_instance_that_was_never_started_closes(struct kit *k)
{
    struct meta t;
    int32_t rc = meta_create(&t, k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    EXPECT(CALL(t.ops->propose(t.m, CHRONIK_META_CLIENT, &(struct chronik_iov){&t, 8}, 1, (struct chronik_done){0})) <
               0,
           "propose before start was not refused");
    meta_close(&t);
}

static void starts_leads_and_catches_up(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    struct chronik_meta_status s = meta_status(&t);
    EXPECT(s.role == CHRONIK_META_ROLE_LEADER && s.leader == 1, "status: role %u, leader %d on a single node", s.role,
           s.leader);
    EXPECT(s.voters == 1, "status: %u voters on a single node", s.voters);
    EXPECT(meta_n(&t) == 0, "an empty log delivered %llu commands", (unsigned long long)meta_n(&t));
    meta_close(&t);
}

static void a_second_start_is_refused(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    int32_t rc = CALL(t.ops->start(t.m, (struct chronik_meta_pos){0, 0}, 0, (struct chronik_done){0}));
    EXPECT(rc < 0, "a second start answered %s", kit_code(rc));
    meta_close(&t);
}

/* ---- proposals and order ---- */

static void every_command_is_applied_once_in_order_with_its_content(struct kit *k)
{
    enum { N = 600 };
    static bool seen[N];
    struct meta t;
    struct kit_call *calls[N];
    meta_open(&t, k);
    memset(seen, 0, sizeof seen);
    for (uint64_t i = 0; i < N; i++) {
        int32_t rc = meta_propose(&t, (uint32_t)(i % CHRONIK_META_CLASSES), i, 16 + i * 7, &calls[i]);
        for (int again = 0; rc == CHRONIK_E_BUSY && again < 1000; again++) {
            struct os_flag never = {0};
            os_flag_wait(k->os, &never, KIT_SECOND / 1000);
            rc = meta_propose(&t, (uint32_t)(i % CHRONIK_META_CLASSES), i, 16 + i * 7, &calls[i]);
        }
        EXPECT(rc >= 0, "propose answered %s", kit_code(rc));
    }
    for (uint64_t i = 0; i < N; i++) {
        if (calls[i]->pending)
            kit_wait(k, &calls[i]->flag, "propose");
        EXPECT(!calls[i]->pending || calls[i]->result > 0, "propose completed with %s", kit_code(calls[i]->result));
    }
    meta_await(&t, N);
    EXPECT(meta_n(&t) == N, "%llu commands applied of %d", (unsigned long long)meta_n(&t), N);
    uint64_t last[CHRONIK_META_CLASSES] = {0};
    for (uint64_t i = 0; i < N; i++) {
        uint64_t id = meta_at(&t, i).id;
        EXPECT(id < N && !seen[id], "command %llu was applied twice or never proposed", (unsigned long long)id);
        seen[id] = true;
        EXPECT(id >= last[id % CHRONIK_META_CLASSES], "two commands of one class changed places: %llu came after %llu",
               (unsigned long long)id, (unsigned long long)last[id % CHRONIK_META_CLASSES]);
        last[id % CHRONIK_META_CLASSES] = id;
    }
    meta_close(&t);
}

struct proposer {
    struct meta *t;
    struct chronik_exec *on;
    struct chronik_task task;
    uint64_t from, n, left;
    struct os_flag finished;
    struct kit kit; /* its own list of calls: the threads do not share one */
};

static void propose_many(void *arg)
{
    struct proposer *p = arg;
    struct meta mine = {.k = &p->kit, .ops = p->t->ops, .m = p->t->m, .exec = p->t->exec};
    while (p->left > 0) {
        int32_t rc = meta_propose(&mine, CHRONIK_META_CLIENT, p->from + p->n - p->left, 64, NULL);
        EXPECT(rc >= 0 || rc == CHRONIK_E_BUSY, "propose answered %s", kit_code(rc));
        if (rc == CHRONIK_E_BUSY) {
            const struct chronik_host *host = p->kit.table;
            host->exec_post_at(p->on, &p->task, host->mono_ns(host->ctx) + KIT_SECOND / 1000);
            return;
        }
        p->left--;
    }
    os_flag_set(p->t->k->os, &p->finished);
}

static void several_threads_propose_at_once(struct kit *k)
{
    enum { THREADS = 4, EACH = 500 };
    struct meta t;
    struct os_exec *exec[THREADS];
    struct chronik_exec *on[THREADS];
    static struct proposer p[THREADS];
    meta_open(&t, k);
    for (unsigned i = 0; i < THREADS; i++) {
        EXPECT(os_exec_open(k->os, "proposer", 0, &exec[i]) > 0, "the kit cannot open an executor");
        on[i] = plugin_host_exec(k->host, exec[i]);
        p[i] = (struct proposer){.t = &t, .on = on[i], .from = i * EACH, .n = EACH, .left = EACH, .kit = *k};
        p[i].kit.calls = NULL;
        p[i].task = (struct chronik_task){.fn = propose_many, .arg = &p[i]};
        k->table->exec_post(on[i], &p[i].task);
    }
    for (unsigned i = 0; i < THREADS; i++)
        kit_wait(k, &p[i].finished, "proposals of a thread");
    meta_await(&t, THREADS * EACH);
    uint64_t last[THREADS] = {0};
    for (uint64_t i = 0; i < THREADS * EACH; i++) {
        uint64_t id = meta_at(&t, i).id, who = id / EACH;
        EXPECT(who < THREADS && id >= last[who], "command %llu was applied after %llu of the same thread",
               (unsigned long long)id, (unsigned long long)last[who]);
        last[who] = id;
    }
    EXPECT(meta_n(&t) == THREADS * EACH, "%llu commands were applied, %d proposed", (unsigned long long)meta_n(&t),
           THREADS * EACH);
    meta_close(&t);
    for (unsigned i = 0; i < THREADS; i++) {
        os_exec_close(exec[i]);
        for (struct kit_call *c = p[i].kit.calls; c != NULL; c = c->next)
            EXPECT(atomic_load(&c->completions) == (c->pending ? 1 : 0), "a proposal completed %d times",
                   atomic_load(&c->completions));
    }
}

static void chain(struct meta *t, uint64_t id)
{
    if (id < 50) {
        int32_t rc = meta_propose(t, CHRONIK_META_CONTROLLER, id + 1, 32, NULL);
        EXPECT(rc >= 0, "propose from inside apply answered %s", kit_code(rc));
    }
}

static void apply_may_propose(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    t.on_apply = chain;
    meta_commit(&t, 0, 32);
    meta_await(&t, 51);
    t.on_apply = NULL;
    meta_close(&t);
}

static void a_command_of_the_largest_size_passes_and_a_larger_one_does_not(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    meta_commit(&t, 1, CHRONIK_META_MAX_COMMAND);
    int32_t rc = meta_propose(&t, CHRONIK_META_CLIENT, 2, CHRONIK_META_MAX_COMMAND + 1, NULL);
    EXPECT(rc == CHRONIK_E_TOOBIG, "a command of the largest size and one byte: wanted CHRONIK_E_TOOBIG, found %s",
           kit_code(rc));
    rc = meta_propose(&t, CHRONIK_META_CLASSES, 3, 32, NULL);
    EXPECT(rc < 0, "a proposal of an unknown class answered %s", kit_code(rc));
    meta_commit(&t, 4, 32);
    meta_await(&t, 2);
    EXPECT(meta_at(&t, 0).id == 1 && meta_at(&t, 1).id == 4, "a refused command was applied");
    meta_close(&t);
}

static void a_read_barrier_completes_after_all_that_was_committed(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    for (uint64_t round = 1; round <= 20; round++) {
        for (uint64_t i = 0; i < 5; i++)
            meta_commit(&t, round * 5 + i, 64);
        struct kit_call *c = kit_call_new(k, "read_barrier", t.exec);
        int32_t rc = kit_finish(c, CALL(t.ops->read_barrier(t.m, kit_done(c))));
        EXPECT(rc > 0, "read_barrier answered %s", kit_code(rc));
        EXPECT(meta_n(&t) >= round * 5, "read_barrier completed with %llu of %llu committed commands applied",
               (unsigned long long)meta_n(&t), (unsigned long long)round * 5);
    }
    meta_close(&t);
}

/* ---- reading back ---- */

struct reading {
    struct meta *t;
    uint64_t first, n, bytes;
};

static void read_one(void *arg, const struct chronik_meta_entry *e)
{
    struct reading *r = arg;
    struct meta_applied want = meta_at(r->t, r->first + r->n);
    uint64_t id;
    EXPECT(e->n >= 16, "read_log gave an entry of %llu bytes", (unsigned long long)e->n);
    memcpy(&id, e->data, sizeof id);
    EXPECT(e->pos.index == want.pos.index && e->pos.epoch == want.pos.epoch && id == want.id,
           "read_log gave command %llu at index %llu, applied was command %llu at index %llu", (unsigned long long)id,
           (unsigned long long)e->pos.index, (unsigned long long)want.id, (unsigned long long)want.pos.index);
    EXPECT(kit_filled((const char *)e->data + 16, e->n - 16, id), "read_log gave command %llu with another content",
           (unsigned long long)id);
    r->n++;
    r->bytes += e->n;
}

static struct reading read_from(struct meta *t, uint64_t i, uint64_t max_bytes)
{
    struct reading r = {.t = t, .first = i};
    int32_t rc = CALL(t->ops->read_log(t->m, meta_at(t, i).pos.index, max_bytes, read_one, &r));
    EXPECT(rc > 0, "read_log answered %s", kit_code(rc));
    return r;
}

static bool all_acknowledged(void *arg)
{
    struct meta *t = arg;
    return meta_status(t).applied >= meta_at(t, meta_n(t) - 1).pos.index;
}

static void read_log_gives_what_was_applied(struct kit *k)
{
    enum { N = 100, SIZE = 1000 };
    struct meta t;
    meta_open(&t, k);
    for (uint64_t i = 0; i < N; i++)
        meta_commit(&t, i, SIZE);
    meta_await(&t, N);
    kit_until(k, all_acknowledged, &t, "status.applied at the last applied command");
    struct reading r = read_from(&t, 0, UINT64_MAX);
    EXPECT(r.n == N, "read_log from the start gave %llu of %d commands", (unsigned long long)r.n, N);
    r = read_from(&t, 40, UINT64_MAX);
    EXPECT(r.n == N - 40, "read_log from command 40 gave %llu of %d", (unsigned long long)r.n, N - 40);
    r = read_from(&t, 40, 10 * SIZE);
    EXPECT(r.n >= 1 && r.bytes <= 10 * SIZE, "read_log with max_bytes %d gave %llu bytes", 10 * SIZE,
           (unsigned long long)r.bytes);
    r = read_from(&t, 40, 1);
    EXPECT(r.n == 1, "read_log with max_bytes 1 gave %llu commands, wanted the one at least", (unsigned long long)r.n);
    meta_close(&t);
}

static void status_counters_never_overtake_each_other(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    for (uint64_t i = 0; i < 500; i++) {
        int32_t rc = meta_propose(&t, CHRONIK_META_CLIENT, i, 64, NULL);
        EXPECT(rc >= 0 || rc == CHRONIK_E_BUSY, "propose answered %s", kit_code(rc));
        struct chronik_meta_status s = meta_status(&t);
        EXPECT(s.proposed >= s.persisted && s.persisted >= s.committed && s.committed >= s.applied,
               "status: proposed %llu, persisted %llu, committed %llu, applied %llu", (unsigned long long)s.proposed,
               (unsigned long long)s.persisted, (unsigned long long)s.committed, (unsigned long long)s.applied);
    }
    struct chronik_meta_status s;
    memset(&s, 0x5a, sizeof s);
    s.size = offsetof(struct chronik_meta_status, first_index);
    t.ops->status(t.m, &s);
    EXPECT(s.first_index == UINT64_C(0x5a5a5a5a5a5a5a5a), "status wrote beyond the size that the caller stated");
    meta_close(&t);
}

static void count_members(void *arg, const struct chronik_meta_member *x)
{
    uint32_t *seen = arg;
    EXPECT(x->size == sizeof *x && x->address && (x->kind == CHRONIK_META_VOTER || x->kind == CHRONIK_META_LEARNER),
           "a member of size %u, kind %u", x->size, x->kind);
    seen[0]++;
    seen[1] += x->kind == CHRONIK_META_VOTER;
}

static void members_are_those_that_status_counts(struct kit *k)
{
    struct meta t;
    uint32_t seen[2] = {0, 0};
    struct chronik_meta_status s = {.size = sizeof s};
    meta_open(&t, k);
    int32_t n = CALL(t.ops->members(t.m, count_members, seen));
    t.ops->status(t.m, &s);
    EXPECT(n > 0 && (uint32_t)n == seen[0] && seen[1] == s.voters && seen[0] == s.voters + s.learners,
           "members told of %u (%u voters) and answered %d; status counts %u voters and %u learners", seen[0], seen[1],
           n, s.voters, s.learners);
    meta_close(&t);
}

static void membership_is_refused_when_it_is_not_declared(struct kit *k)
{
    struct meta t;
    if (k->module->desc.capabilities & CHRONIK_CAP_MEMBERSHIP)
        return;
    meta_open(&t, k);
    for (uint32_t op = CHRONIK_META_ADD_LEARNER; op <= CHRONIK_META_FOUND; op++) {
        struct chronik_meta_change c = {.size = sizeof c, .op = op, .node_id = 2, .address = "127.0.0.1:1"};
        int32_t rc = CALL(t.ops->member_change(t.m, &c, (struct chronik_done){0}));
        EXPECT(rc == CHRONIK_E_UNSUPPORTED, "member_change %u: wanted CHRONIK_E_UNSUPPORTED, found %s", op,
               kit_code(rc));
    }
    meta_close(&t);
}

/* ---- snapshots ---- */

static int32_t store_snapshot(struct meta *t, uint64_t i, uint64_t bytes, bool damaged, bool ok)
{
    uint8_t *content = malloc(bytes);
    for (uint64_t b = 0; b < bytes; b++)
        content[b] = (uint8_t)(b * 31);
    struct chronik_meta_snapshot s = {
        .size = sizeof s,
        .pos = meta_at(t, i).pos,
        .seq = i + 1,
        .bytes = bytes,
        .crc32c = t->k->table->crc32c(0, content, bytes),
        .id = {.b = {0x5e, (uint8_t)i}},
    };
    void *w = NULL;
    int32_t rc = CALL(t->ops->snapshot_begin(t->m, &s, &w));
    EXPECT(rc > 0 && w != NULL, "snapshot_begin answered %s", kit_code(rc));
    if (damaged)
        content[bytes / 2] ^= 1;
    rc = CALL(t->ops->snapshot_chunk(w, content, bytes / 3));
    EXPECT(rc > 0, "snapshot_chunk answered %s", kit_code(rc));
    rc = CALL(t->ops->snapshot_chunk(w, content + bytes / 3, bytes - bytes / 3));
    EXPECT(rc > 0, "snapshot_chunk answered %s", kit_code(rc));
    memset(content, 0xee, bytes);
    rc = CALL(t->ops->snapshot_end(w, ok));
    free(content);
    return rc;
}

static void a_snapshot_counts_only_when_its_checksum_is_right(struct kit *k)
{
    struct meta t;
    meta_open(&t, k);
    for (uint64_t i = 0; i < 20; i++)
        meta_commit(&t, i, 500);
    meta_await(&t, 20);
    kit_until(k, all_acknowledged, &t, "status.applied at the last applied command");
    int32_t rc = store_snapshot(&t, 9, 10000, true, true);
    EXPECT(rc < 0, "snapshot_end accepted a content that does not match its checksum");
    EXPECT(meta_status(&t).snapshot.index == 0, "a damaged snapshot counts");
    store_snapshot(&t, 9, 10000, false, false);
    EXPECT(meta_status(&t).snapshot.index == 0, "a snapshot that was broken off counts");
    rc = CALL(t.ops->trim(t.m, meta_at(&t, 5).pos.index));
    EXPECT(rc < 0, "trim without a snapshot answered %s", kit_code(rc));
    rc = store_snapshot(&t, 9, 10000, false, true);
    EXPECT(rc > 0, "snapshot_end answered %s", kit_code(rc));
    EXPECT(meta_status(&t).snapshot.index == meta_at(&t, 9).pos.index, "status.snapshot is at index %llu, wanted %llu",
           (unsigned long long)meta_status(&t).snapshot.index, (unsigned long long)meta_at(&t, 9).pos.index);
    rc = CALL(t.ops->trim(t.m, meta_at(&t, 9).pos.index));
    EXPECT(rc > 0, "trim up to the snapshot answered %s", kit_code(rc));
    struct chronik_meta_status s = meta_status(&t);
    EXPECT(s.first_index <= meta_at(&t, 10).pos.index, "trim forgot entries behind the snapshot");
    if (s.first_index > meta_at(&t, 0).pos.index) {
        struct reading r = {.t = &t};
        rc = CALL(t.ops->read_log(t.m, s.first_index - 1, UINT64_MAX, read_one, &r));
        EXPECT(rc == CHRONIK_E_RANGE, "read_log below first_index: wanted CHRONIK_E_RANGE, found %s", kit_code(rc));
    }
    struct reading r = read_from(&t, 10, UINT64_MAX);
    EXPECT(r.n == 10, "read_log behind the snapshot gave %llu of 10 commands", (unsigned long long)r.n);
    meta_close(&t);
}

/* ---- closing and restarting ---- */

static void closing_completes_all_that_is_pending_first(struct kit *k)
{
    enum { N = 300 };
    struct meta t;
    struct kit_call *calls[N], *barrier;
    meta_open(&t, k);
    for (uint64_t i = 0; i < N; i++)
        meta_propose(&t, (uint32_t)(i % CHRONIK_META_CLASSES), i, 100, &calls[i]);
    barrier = kit_call_new(k, "read_barrier", t.exec);
    kit_started(barrier, CALL(t.ops->read_barrier(t.m, kit_done(barrier))));
    meta_close(&t);
    for (unsigned i = 0; i < N; i++)
        EXPECT(!calls[i]->pending || calls[i]->result > 0 || calls[i]->result == CHRONIK_E_CANCELED,
               "a proposal that was pending at close completed with %s", kit_code(calls[i]->result));
}

static void two_instances_live_side_by_side(struct kit *k)
{
    struct kit other = {.module = k->module, .options = k->options};
    struct meta a, b;
    char root[300];
    snprintf(root, sizeof root, "%s/other", k->root);
    EXPECT(os_mkdir(k->os, root) > 0, "the kit cannot make %s", root);
    kit_open(&other, k->os, root);
    meta_open(&a, k);
    meta_open(&b, &other);
    for (uint64_t i = 0; i < 50; i++) {
        meta_commit(&a, i, 64);
        meta_commit(&b, 1000 + i, 64);
    }
    meta_await(&a, 50);
    meta_await(&b, 50);
    for (uint64_t i = 0; i < 50; i++)
        EXPECT(meta_at(&a, i).id == i && meta_at(&b, i).id == 1000 + i, "two instances share a log");
    meta_close(&a);
    meta_commit(&b, 2000, 64);
    meta_close(&b);
    kit_close(&other);
}

static void a_restart_delivers_the_same_log_again(struct kit *k)
{
    enum { N = 200 };
    struct meta t, again;
    meta_open(&t, k);
    for (uint64_t i = 0; i < N; i++)
        meta_commit(&t, i, 300);
    meta_await(&t, N);
    struct meta_applied first[N];
    for (unsigned i = 0; i < N; i++)
        first[i] = meta_at(&t, i);
    meta_close(&t);

    meta_open(&again, k);
    EXPECT(meta_n(&again) == N, "after a restart %llu of %d commands were delivered before caught_up",
           (unsigned long long)meta_n(&again), N);
    for (unsigned i = 0; i < N; i++) {
        struct meta_applied a = meta_at(&again, i);
        EXPECT(a.id == first[i].id && a.pos.index == first[i].pos.index && a.pos.epoch == first[i].pos.epoch,
               "after a restart command %llu came at index %llu, before it was command %llu at index %llu",
               (unsigned long long)a.id, (unsigned long long)a.pos.index, (unsigned long long)first[i].id,
               (unsigned long long)first[i].pos.index);
    }
    meta_commit(&again, N, 300);
    meta_close(&again);

    int32_t rc = meta_create(&again, k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    meta_start(&again, first[149].pos, 150);
    EXPECT(meta_n(&again) == N - 150 + 1 && meta_at(&again, 0).id == 150,
           "a start behind command 149 delivered %llu commands, wanted %d", (unsigned long long)meta_n(&again),
           N - 150 + 1);
    meta_close(&again);
}

static void a_restart_installs_a_snapshot_when_the_log_begins_later(struct kit *k)
{
    enum { N = 60 };
    struct meta t, again;
    meta_open(&t, k);
    for (uint64_t i = 0; i < N; i++)
        meta_commit(&t, i, 2000);
    meta_await(&t, N);
    kit_until(k, all_acknowledged, &t, "status.applied at the last applied command");
    EXPECT(store_snapshot(&t, 39, 50000, false, true) > 0, "the snapshot was refused");
    EXPECT(CALL(t.ops->trim(t.m, meta_at(&t, 39).pos.index)) > 0, "trim up to the snapshot was refused");
    meta_close(&t);

    meta_open(&again, k);
    if (again.base > 0) {
        EXPECT(again.base == 40 && again.install_bytes == 50000,
               "installed seq %llu with %llu bytes, stored 40 and 50000", (unsigned long long)again.base,
               (unsigned long long)again.install_bytes);
        EXPECT(meta_n(&again) == N - 40 && meta_at(&again, 0).id == 40,
               "behind the snapshot came %llu commands, wanted %d", (unsigned long long)meta_n(&again), N - 40);
    } else {
        EXPECT(meta_n(&again) == N, "without a snapshot %llu of %d commands were delivered",
               (unsigned long long)meta_n(&again), N);
    }
    meta_close(&again);
}

const struct kit_check kit_meta_checks[] = {
    {"refuses a host table that is too short", 0, refuses_a_host_table_that_is_too_short, false},
    {"accepts a host table that is longer", 0, accepts_a_host_table_that_is_longer, false},
    {"an instance that was never started closes", 0, an_instance_that_was_never_started_closes, false},
    {"starts, leads and catches up", 0, starts_leads_and_catches_up, false},
    {"a second start is refused", 0, a_second_start_is_refused, false},
    {"every command is applied once, in order, with its content", 0,
     every_command_is_applied_once_in_order_with_its_content, false},
    {"several threads propose at once", 0, several_threads_propose_at_once, false},
    {"apply may propose", 0, apply_may_propose, false},
    {"a command of the largest size passes, a larger one does not", 0,
     a_command_of_the_largest_size_passes_and_a_larger_one_does_not, false},
    {"a read barrier completes after all that was committed", CHRONIK_CAP_LINEARIZABLE,
     a_read_barrier_completes_after_all_that_was_committed, false},
    {"read_log gives what was applied", 0, read_log_gives_what_was_applied, false},
    {"status counters never overtake each other", 0, status_counters_never_overtake_each_other, false},
    {"members are those that status counts", 0, members_are_those_that_status_counts, false},
    {"membership is refused when it is not declared", 0, membership_is_refused_when_it_is_not_declared, false},
    {"a snapshot counts only when its checksum is right", CHRONIK_CAP_SNAPSHOT,
     a_snapshot_counts_only_when_its_checksum_is_right, false},
    {"closing completes all that is pending first", 0, closing_completes_all_that_is_pending_first, false},
    {"two instances live side by side", 0, two_instances_live_side_by_side, false},
    {"a restart delivers the same log again", CHRONIK_CAP_DURABLE, a_restart_delivers_the_same_log_again, false},
    {"a restart installs a snapshot when the log begins later", CHRONIK_CAP_DURABLE | CHRONIK_CAP_SNAPSHOT,
     a_restart_installs_a_snapshot_when_the_log_begins_later, false},
    {"power cuts lose nothing that was acknowledged", CHRONIK_CAP_POWER_SAFE, meta_power_cuts, true},
    {NULL, 0, NULL, false},
};
