/* meta_kit.c: the host's side of a metadata module, as a suspicious host would play it. Events run on the apply
 * executor and write under one short mutex; the check reads under it. */
#include "meta_kit.h"

#include <stdlib.h>

/* ---- commands: {id, bytes, pattern of id} ---- */

void *meta_command(uint64_t id, size_t n)
{
    uint64_t head[2] = {id, n};
    CHECK(n >= sizeof head);
    char *p = kit_lend(n);
    memcpy(p, head, sizeof head);
    kit_fill(p + sizeof head, n - sizeof head, id);
    return p;
}

static uint64_t command_id(const struct chronik_meta_entry *e)
{
    uint64_t head[2];
    EXPECT(e->n >= sizeof head, "a command of %llu bytes was delivered that nobody proposed", (unsigned long long)e->n);
    memcpy(head, e->data, sizeof head);
    EXPECT(head[1] == e->n, "command %llu has %llu bytes, proposed were %llu", (unsigned long long)head[0],
           (unsigned long long)e->n, (unsigned long long)head[1]);
    EXPECT(kit_filled((const char *)e->data + sizeof head, e->n - sizeof head, head[0]),
           "command %llu was delivered with another content", (unsigned long long)head[0]);
    return head[0];
}

/* ---- events ---- */

static void expect_exec(struct meta *t, const char *what)
{
    EXPECT(!t->closed, "%s came after close had completed", what);
    EXPECT(!kit_inside(), "%s came inside a call into the module", what);
    EXPECT(t->k->table->exec_here(t->exec), "%s came on another thread than apply_exec", what);
}

static void remember(struct meta *t, const struct chronik_meta_entry *e)
{
    uint64_t id = command_id(e);
    pthread_mutex_lock(&t->lock);
    EXPECT(e->pos.index > t->last.index, "apply: index %llu after %llu", (unsigned long long)e->pos.index,
           (unsigned long long)t->last.index);
    EXPECT(e->pos.epoch >= t->last.epoch, "apply: epoch %llu after %llu", (unsigned long long)e->pos.epoch,
           (unsigned long long)t->last.epoch);
    if (t->n == t->room) {
        t->room = t->room != 0 ? t->room * 2 : 1024;
        t->log = realloc(t->log, t->room * sizeof *t->log);
        EXPECT(t->log != NULL, "the kit has no memory");
    }
    t->log[t->n++] = (struct meta_applied){.pos = e->pos, .id = id};
    t->last = e->pos;
    pthread_mutex_unlock(&t->lock);
    if (t->on_apply != NULL)
        t->on_apply(t, id);
}

static void on_apply(void *arg, uint64_t epoch, const struct chronik_meta_entry *e, uint32_t n, uint32_t stride)
{
    struct meta *t = arg;
    expect_exec(t, "apply");
    EXPECT(n > 0, "apply was called without a command");
    EXPECT(stride >= sizeof *e, "apply: stride %u is below the size of an entry", stride);
    for (uint32_t i = 0; i < n; i++) {
        const struct chronik_meta_entry *one = (const void *)((const char *)e + (size_t)i * stride);
        EXPECT(one->pos.epoch <= epoch, "apply: an entry of epoch %llu under the engine's epoch %llu",
               (unsigned long long)one->pos.epoch, (unsigned long long)epoch);
        remember(t, one);
    }
    if (!t->hold)
        t->ops->applied(t->m, t->last);
}

static int32_t on_install_begin(void *arg, const struct chronik_meta_snapshot *s)
{
    struct meta *t = arg;
    expect_exec(t, "install_begin");
    EXPECT(s->pos.index >= t->last.index, "a snapshot at index %llu was installed over state %llu",
           (unsigned long long)s->pos.index, (unsigned long long)t->last.index);
    t->install_bytes = 0;
    t->installed_seq = s->seq;
    t->last = s->pos;
    return CHRONIK_DONE;
}

static int32_t on_install_chunk(void *arg, const void *p, uint64_t n)
{
    struct meta *t = arg;
    expect_exec(t, "install_chunk");
    for (uint64_t i = 0; i < n; i++)
        EXPECT(((const uint8_t *)p)[i] == (uint8_t)((t->install_bytes + i) * 31),
               "byte %llu of an installed snapshot differs from the one that was stored",
               (unsigned long long)(t->install_bytes + i));
    t->install_bytes += n;
    return CHRONIK_DONE;
}

static int32_t on_install_end(void *arg, uint32_t ok)
{
    struct meta *t = arg;
    expect_exec(t, "install_end");
    EXPECT(ok, "the engine broke the installation of its own snapshot off");
    t->base = t->installed_seq;
    return CHRONIK_DONE;
}

static void on_role(void *arg, uint32_t role, uint64_t epoch, int32_t leader)
{
    struct meta *t = arg;
    expect_exec(t, "role");
    EXPECT(role <= CHRONIK_META_ROLE_LEADER, "role: unknown role %u", role);
    EXPECT(role != CHRONIK_META_ROLE_LEADER || leader == 1, "role: leads as node %d, the kit's node id is 1", leader);
    EXPECT(epoch >= t->epoch, "role: epoch %llu after %llu", (unsigned long long)epoch, (unsigned long long)t->epoch);
    t->role = role;
    t->epoch = epoch;
    t->roles++;
    if (role == CHRONIK_META_ROLE_LEADER)
        os_flag_set(t->k->os, &t->leads);
}

static void on_caught_up(void *arg)
{
    struct meta *t = arg;
    expect_exec(t, "caught_up");
    os_flag_set(t->k->os, &t->caught_up);
}

static void on_want_snapshot(void *arg, uint64_t log_bytes)
{
    struct meta *t = arg;
    (void)log_bytes;
    expect_exec(t, "want_snapshot");
    t->asked_snapshot++;
}

static void on_failed(void *arg, int32_t code, const char *text)
{
    struct meta *t = arg;
    expect_exec(t, "failed");
    kit_fail("the module gave up with %s: %s", kit_code(code), text);
}

/* ---- the instance ---- */

int32_t meta_create(struct meta *t, struct kit *k, const struct chronik_host *host)
{
    *t = (struct meta){.k = k, .ops = &k->module->meta};
    pthread_mutex_init(&t->lock, NULL);
    EXPECT(os_exec_open(k->os, "apply", 0, &t->os_exec) > 0, "the kit cannot open an executor");
    t->exec = plugin_host_exec(k->host, t->os_exec);
    EXPECT(t->exec != NULL, "the kit has no memory");

    struct chronik_meta_config *cfg = kit_lend(sizeof *cfg);
    struct chronik_meta_events *ev = kit_lend(sizeof *ev);
    *cfg = (struct chronik_meta_config){
        .size = sizeof *cfg,
        .node_id = 1,
        .cluster_id = {.b = {0xc1, 0x05, 0x7e, 0x12}},
        .apply_exec = t->exec,
    };
    *ev = (struct chronik_meta_events){
        .size = sizeof *ev,
        .arg = t,
        .apply = on_apply,
        .install_begin = on_install_begin,
        .install_chunk = on_install_chunk,
        .install_end = on_install_end,
        .role = on_role,
        .caught_up = on_caught_up,
        .want_snapshot = on_want_snapshot,
        .failed = on_failed,
    };
    kit_lend_readonly(cfg, sizeof *cfg);
    kit_lend_readonly(ev, sizeof *ev);
    int32_t rc = CALL(t->ops->create(host != NULL ? host : k->table, cfg, ev, &t->m));
    kit_take_back(cfg, sizeof *cfg);
    kit_take_back(ev, sizeof *ev);
    EXPECT(rc < 0 || t->m != NULL, "create answered %s and gave no instance", kit_code(rc));
    return rc;
}

void meta_start(struct meta *t, struct chronik_meta_pos applied, uint64_t seq)
{
    struct kit_call *c = kit_call_new(t->k, "start", t->exec);
    t->last = t->from = applied;
    t->base = seq;
    int32_t rc = kit_finish(c, CALL(t->ops->start(t->m, applied, seq, kit_done(c))));
    EXPECT(rc > 0, "start answered %s", kit_code(rc));
    kit_wait(t->k, &t->leads, "role(leader) of a single node");
    kit_wait(t->k, &t->caught_up, "caught_up of a single node");
}

void meta_open(struct meta *t, struct kit *k)
{
    int32_t rc = meta_create(t, k, NULL);
    EXPECT(rc > 0, "create answered %s", kit_code(rc));
    meta_start(t, (struct chronik_meta_pos){0, 0}, 0);
}

void meta_drop(struct meta *t)
{
    os_exec_close(t->os_exec);
    free(t->log);
    pthread_mutex_destroy(&t->lock);
}

static void mark_closed(void *arg, int32_t result)
{
    struct meta *t = arg;
    EXPECT(result > 0, "close completed with %s", kit_code(result));
    t->closed = true;
}

void meta_close(struct meta *t)
{
    struct kit_call *c = kit_call_new(t->k, "close", t->exec);
    c->then = mark_closed;
    c->arg = t;
    int32_t rc = kit_finish(c, CALL(t->ops->close(t->m, kit_done(c))));
    EXPECT(rc > 0, "close answered %s", kit_code(rc));
    for (struct kit_call *other = t->k->calls; other != NULL; other = other->next)
        EXPECT(!other->pending || atomic_load(&other->completions) == 1, "%s: close completed before it", other->what);
    meta_drop(t);
}

/* ---- proposals ---- */

struct loan {
    void *data;
    size_t n;
    struct chronik_iov *iov;
};

static void end_loan(void *arg, int32_t result)
{
    struct loan *l = arg;
    (void)result;
    kit_take_back(l->data, l->n);
    kit_take_back(l->iov, 2 * sizeof *l->iov);
    free(l);
}

int32_t meta_propose(struct meta *t, uint32_t klass, uint64_t id, size_t n, struct kit_call **out)
{
    struct loan *l = calloc(1, sizeof *l);
    struct kit_call *c = kit_call_new(t->k, "propose", t->exec);
    l->n = n;
    l->data = meta_command(id, n);
    l->iov = kit_lend(2 * sizeof *l->iov);
    l->iov[0] = (struct chronik_iov){.p = l->data, .n = n / 3};
    l->iov[1] = (struct chronik_iov){.p = (char *)l->data + n / 3, .n = n - n / 3};
    kit_lend_readonly(l->data, n);
    kit_lend_readonly(l->iov, 2 * sizeof *l->iov);
    c->then = end_loan;
    c->arg = l;
    int32_t rc = CALL(t->ops->propose(t->m, klass, l->iov, 2, kit_done(c)));
    kit_started(c, rc);
    if (rc != CHRONIK_PENDING)
        end_loan(l, rc);
    if (out != NULL)
        *out = c;
    return rc;
}

void meta_commit(struct meta *t, uint64_t id, size_t n)
{
    struct kit_call *c;
    struct os_flag never = {0};
    int32_t rc = meta_propose(t, CHRONIK_META_CLIENT, id, n, &c);
    for (int i = 0; rc == CHRONIK_E_BUSY && i < 1000; i++) {
        os_flag_wait(t->k->os, &never, KIT_SECOND / 1000);
        rc = meta_propose(t, CHRONIK_META_CLIENT, id, n, &c);
    }
    if (rc == CHRONIK_PENDING) {
        kit_wait(t->k, &c->flag, "propose");
        rc = c->result;
    }
    EXPECT(rc > 0, "propose of command %llu answered %s", (unsigned long long)id, kit_code(rc));
}

uint64_t meta_n(struct meta *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t n = t->n;
    pthread_mutex_unlock(&t->lock);
    return n;
}

struct meta_applied meta_at(struct meta *t, uint64_t i)
{
    pthread_mutex_lock(&t->lock);
    CHECK(i < t->n);
    struct meta_applied a = t->log[i];
    pthread_mutex_unlock(&t->lock);
    return a;
}

struct goal {
    struct meta *t;
    uint64_t n;
};

static bool reached(void *arg)
{
    const struct goal *g = arg;
    return meta_n(g->t) >= g->n;
}

void meta_await(struct meta *t, uint64_t n)
{
    struct goal g = {.t = t, .n = n};
    kit_until(t->k, reached, &g, "apply of every committed command");
}

struct chronik_meta_status meta_status(struct meta *t)
{
    struct chronik_meta_status s;
    memset(&s, 0x5a, sizeof s);
    s.size = sizeof s;
    kit_enter();
    t->ops->status(t->m, &s);
    kit_leave();
    return s;
}
