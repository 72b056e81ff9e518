/* form.c: the first formation of a quorum, and how a replica learns which group it belongs to (DESIGN: first formation
 * needs all named voters, each empty). One node decides, the named voter with the lowest id: when it sees all others
 * connected, empty and naming the same voters, it writes the group of entry 1 into its identity file, and only then
 * tells anybody. So two formations would need two majorities of replicas that each joined one group alone. A replica
 * that has no group yet has no core: it cannot vote. Raft executor; the file is written on a worker. */
#include "net.h"

#include <stdlib.h>

static void save(chronik_meta *m)
{
    m->net->forming = true;
    start_save(m);
}

/* The identity file is there: the replica is born. */
static void born(chronik_meta *m)
{
    struct net *n = m->net;
    pthread_mutex_lock(&m->lock);
    int32_t rc = m->formed_rc;
    bool busy = m->worker_busy;
    pthread_mutex_unlock(&m->lock);
    if (busy || !rc)
        return;
    if (rc < 0 && !n->decided) { /* nobody tells us twice on the same connection */
        if (!n->form_again) {
            n->form_again = net_now(m) + 1000 * RAFT_MS;
        } else if (net_now(m) >= n->form_again) {
            n->form_again = 0;
            save(m);
        }
        return;
    }
    n->forming = false;
    if (rc < 0) {
        m->id.formed = 0;
        n->form_again = net_now(m) + 1000 * RAFT_MS;
        return;
    }
    const struct group *g = &m->id.bootstrap;
    group_set(m, &g->conf, &g->book, g->index, g->term);
    uint64_t boot = m->hard.boot;
    if (start_born(m) < 0)
        raft_fatal(m, 70, m->error.text);
    m->hard.boot = boot;
    disk_state(m);
    peers_update(m);
    util_log(&m->host, CHRONIK_LOG_INFO, "this replica, %016llx, belongs to a quorum of %u voters now",
             (unsigned long long)m->id.replica, g->conf.voters.n);
    for (struct peer *p = n->peers; p; p = p->next)
        form_tell(m, p);
    if (raft_self_voter(m))
        clock_campaign_in(m, n->decided ? 0 : (100 + (int64_t)raft_random(m, 100)) * RAFT_MS);
    raft_post(m);
}

static bool decides(const chronik_meta *m)
{
    const struct book *v = &m->quorum.voters;
    for (uint32_t i = 0; i < v->n; i++)
        if (v->v[i].node < m->cfg.node_id)
            return false;
    return v->n > 1;
}

static bool all_here(chronik_meta *m, struct book *book)
{
    const struct quorum *q = &m->quorum;
    *book = (struct book){.n = 1, .v = {{.replica = m->id.replica, .node = m->cfg.node_id, .directory = q->directory}}};
    memcpy(book->v[0].address, q->address, RAFT_ADDRESS);
    for (const struct peer *p = m->net->peers; p; p = p->next) {
        if (!peer_ready(p, LANE_TALK) || p->info.formed || p->info.voters_hash != q->voters_hash ||
            p->info.node != p->node) {
            if (MUTANT("raft_forms_with_majority"))
                continue;
            return false;
        }
        struct member x = {.replica = p->info.replica, .node = p->node, .directory = p->info.directory};
        memcpy(x.address, p->address, RAFT_ADDRESS);
        book_put(book, &x);
    }
    return book->n == q->voters.n || (MUTANT("raft_forms_with_majority") && book->n > q->voters.n / 2);
}

void form_turn(chronik_meta *m, int64_t now)
{
    struct book book;
    if (m->net->forming) {
        born(m);
        return;
    }
    if (m->id.formed || now < m->net->form_again || !decides(m) || !all_here(m, &book))
        return;
    start_bootstrap(m, &book);
    m->net->decided = true;
    util_log(&m->host, CHRONIK_LOG_INFO, "all %u named voters are here, and new: a quorum is formed", book.n);
    save(m);
}

/* A member that does not know its group yet is told before anything else. */
void form_tell(chronik_meta *m, struct peer *p)
{
    if (!m->rc || p->told_form || !peer_ready(p, LANE_TALK) || p->info.formed || p->info.replica != p->replica ||
        !conf_has(&m->group_now->conf, p->replica))
        return;
    uint8_t bytes[16 << 10];
    size_t n = group_encode(&m->id.bootstrap, bytes, sizeof bytes);
    struct wbuf *w = &p->lane[LANE_TALK].conn->out;
    CHECK(n <= sizeof bytes);
    size_t at = wire_begin(w, WIRE_FORM);
    wire_put(w, m->id.group_id.b, 16);
    wire_put(w, bytes, n);
    wire_end(w, at, m->host.crc32c);
    p->told_form = true;
}

bool form_told(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct group *g = raft_alloc(m, sizeof *g);
    bool good = n > 16 && group_decode(g, p + 16, n - 16) && g->index == 1 && g->term == 1;
    if (good && !m->rc && !m->id.formed && !m->net->forming) {
        memcpy(m->id.group_id.b, p, 16);
        m->id.bootstrap = *g;
        m->id.bootstrap.next = NULL;
        m->id.formed = 1;
        util_log(&m->host, CHRONIK_LOG_INFO, "node %u at %s takes this replica into its quorum", from->node,
                 from->address);
        save(m);
    }
    free(g);
    return good;
}

/* Whoever seeks a group hears who is in ours, now and after each change: the leader, which alone can add it, may be
 * none of those that its settings name. */
void members_tell(chronik_meta *m, struct inbound *in)
{
    if (!m->rc || !in->welcome || in->from.formed || in->from.lane != LANE_TALK)
        return;
    uint8_t bytes[16 << 10];
    size_t n = group_encode(m->group_now, bytes, sizeof bytes);
    CHECK(n <= sizeof bytes);
    size_t at = wire_begin(&in->conn->out, WIRE_MEMBERS);
    wire_put(&in->conn->out, bytes, n);
    wire_end(&in->conn->out, at, m->host.crc32c);
}

bool members_told(chronik_meta *m, const uint8_t *p, uint32_t n)
{
    struct group *g = raft_alloc(m, sizeof *g);
    bool good = group_decode(g, p, n);
    if (good && !m->rc) {
        book_keep(&g->book, &g->conf);
        m->net->known = g->book;
        peers_look(m);
    }
    free(g);
    return good;
}
