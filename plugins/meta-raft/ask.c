/* ask.c: what is asked of the group (members, the lead), from the call to its completion. Whoever leads does it
 * (member.c); a node that does not passes it on over its stream to the leader, and waits for the one answer. A leader
 * that has lost the lead says so, which means that nothing was done: the request goes to its successor. Only a stream
 * that breaks, or an answer that does not come, leaves an outcome unknown, and the sentence says that. Calls come from
 * any thread into the inbox; the rest is the raft executor's. */
#include "net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEEK_MS = 3000, AGAIN_MS = 100, CHANGE_MS = 30000, GRACE_MS = 1000, QUEUE_MOST = 64 };

/* ---- lists ---- */

void requests_push(struct requests *q, struct request *r)
{
    struct request **at = &q->head;
    while (*at)
        at = &(*at)->next;
    r->next = NULL;
    *at = r;
    q->n++;
}

struct request *requests_pop(struct requests *q)
{
    struct request *r = q->head;
    if (r) {
        q->head = r->next;
        q->n--;
    }
    return r;
}

static void unlink_request(struct requests *q, struct request *r)
{
    struct request **at = &q->head;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    q->n--;
}

/* ---- the way in ---- */

static bool makes_sense(const struct chronik_meta_change *c)
{
    uint32_t flags = c->op == CHRONIK_META_FOUND       ? CHRONIK_META_FORCE
                     : c->op == CHRONIK_META_ADD_VOTER ? CHRONIK_META_EARLY
                                                       : 0;
    bool nobody = c->op == CHRONIK_META_TRANSFER || c->op == CHRONIK_META_REFRESH || c->op == CHRONIK_META_FOUND;
    if (c->op < CHRONIK_META_ADD_LEARNER || c->op > CHRONIK_META_FOUND || (c->flags & ~flags) != 0)
        return false;
    return (c->node_id >= 0 || nobody) && (!c->address || !c->address[0] || settings_good_address(c->address));
}

int32_t member_change(chronik_meta *m, const struct chronik_meta_change *c, struct chronik_done done)
{
    if (!CHRONIK_HAS(struct chronik_meta_change, c, why_n) || !makes_sense(c))
        return CHRONIK_E_INVAL;
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return CHRONIK_E_NOMEM;
    int64_t ms = c->timeout_ms > 0 && c->timeout_ms < CHANGE_MS ? c->timeout_ms : CHANGE_MS;
    *r = (struct request){.ask = {.op = c->op,
                                  .flags = c->flags,
                                  .timeout_ms = (uint32_t)ms,
                                  .node = c->node_id,
                                  .directory = c->directory},
                          .done = done,
                          .why = c->why,
                          .why_n = c->why_n,
                          .until = m->host.mono_ns(m->host.ctx) + ms * RAFT_MS};
    snprintf(r->ask.address, sizeof r->ask.address, "%s", c->address ? c->address : "");
    pthread_mutex_lock(&m->lock);
    bool open = m->stage == STAGE_RUNNING && m->group_now;
    int32_t rc = m->closing                      ? CHRONIK_E_CLOSED
                 : !open                         ? CHRONIK_E_NOT_LEADER
                 : m->net->inbox.n >= QUEUE_MOST ? CHRONIK_E_BUSY
                                                 : CHRONIK_PENDING;
    if (rc == CHRONIK_PENDING) {
        requests_push(&m->net->inbox, r);
        raft_post(m);
    }
    pthread_mutex_unlock(&m->lock);
    if (rc < 0)
        free(r);
    return rc;
}

/* ---- the way out ---- */

/* The sentence of a result; returns it. */
int32_t request_say(struct request *r, int32_t result, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
    return result;
}

static void put_rows(chronik_meta *m, struct asked *a)
{
    int64_t now = net_now(m);
    a->n_rows = m->n_rows;
    for (uint32_t i = 0; i < m->n_rows; i++) {
        const struct row *x = &m->rows[i];
        a->rows[i] = (struct row){.replica = x->replica,
                                  .match = x->match,
                                  .heard = x->heard ? now - x->heard : -1,
                                  .caught = x->caught ? now - x->caught : -1};
    }
}

static void answer_far(chronik_meta *m, struct request *r, int32_t result)
{
    struct peer *p = peer_of(m, r->from);
    struct asked *a = raft_alloc(m, sizeof *a);
    *a = (struct asked){.number = r->ask.number, .result = result};
    memcpy(a->why, r->text, sizeof a->why);
    if (r->ask.op == CHRONIK_META_REFRESH && result > 0)
        put_rows(m, a);
    if (p && peer_ready(p, LANE_TALK)) /* else it has seen the stream break, and knows that it does not know */
        wire_asked(&p->lane[LANE_TALK].conn->out, a, m->host.crc32c);
    free(a);
}

static void answer_here(chronik_meta *m, struct request *r, int32_t result)
{
    struct proposal *p = raft_alloc(m, sizeof *p);
    struct plist one;
    plist_init(&one);
    p->done = r->done;
    plist_push(&one, p);
    if (r->why && r->why_n)
        snprintf(r->why, r->why_n, "%s", r->text);
    raft_answer(m, &one, result);
}

/* It is in no list any more. */
void request_finish(chronik_meta *m, struct request *r, int32_t result)
{
    if (r->from)
        answer_far(m, r, result);
    else
        answer_here(m, r, result);
    free(r);
}

/* ---- asking the leader ---- */

static void send_on(chronik_meta *m, struct request *r, struct peer *p)
{
    r->stage = REQUEST_SENT;
    r->sent_to = p->replica;
    r->ask.number = ++m->net->ask_number;
    wire_ask(&p->lane[LANE_TALK].conn->out, &r->ask, m->host.crc32c);
}

static void seek(chronik_meta *m, struct request *r, int64_t now)
{
    struct peer *p = m->lead && !m->leads ? peer_of(m, m->lead) : NULL;
    if (m->leads) {
        unlink_request(&m->net->asking, r);
        requests_push(&m->net->queue, r);
    } else if (p && peer_ready(p, LANE_TALK) && now >= r->again_at) {
        send_on(m, r, p);
    } else if (now >= r->until || now >= r->until - ((int64_t)r->ask.timeout_ms - SEEK_MS) * RAFT_MS) {
        char lack[300];
        net_lack(m, lack, sizeof lack);
        unlink_request(&m->net->asking, r);
        request_finish(m, r,
                       request_say(r, CHRONIK_E_NOT_LEADER, "nothing was changed: no leader was found; %s", lack));
    }
}

static void ask_one(chronik_meta *m, struct request *r, int64_t now)
{
    if (r->stage != REQUEST_SENT) {
        seek(m, r, now);
    } else if (now >= r->until + GRACE_MS * RAFT_MS) {
        unlink_request(&m->net->asking, r);
        request_finish(m, r,
                       request_say(r, CHRONIK_E_TIMEDOUT,
                                   "the leader has not answered: the outcome is unknown; see chronikctl meta members"));
    }
}

void ask_turn(chronik_meta *m, int64_t now)
{
    struct request *r, *next;
    for (;;) {
        pthread_mutex_lock(&m->lock);
        r = requests_pop(&m->net->inbox);
        pthread_mutex_unlock(&m->lock);
        if (!r)
            break;
        if (r->ask.op == CHRONIK_META_FOUND)
            force_begin(m, r, now);
        else
            requests_push(&m->net->asking, r);
    }
    for (r = m->net->asking.head; r; r = next) {
        next = r->next;
        ask_one(m, r, now);
    }
}

int64_t ask_due(chronik_meta *m)
{
    return m->net->asking.head ? net_now(m) + AGAIN_MS * RAFT_MS : 0;
}

void ask_lost(chronik_meta *m, uint64_t replica)
{
    struct request *r, *next;
    for (r = m->net->asking.head; r; r = next) {
        next = r->next;
        if (r->stage != REQUEST_SENT || r->sent_to != replica)
            continue;
        r->stage = REQUEST_NEW;
        if (r->ask.op == CHRONIK_META_REFRESH)
            continue; /* it changes nothing: asked again */
        unlink_request(&m->net->asking, r);
        request_finish(
            m, r,
            MUTANT("raft_lost_request_is_done")
                ? CHRONIK_DONE
                : request_say(r, CHRONIK_E_CANCELED,
                              "the connection to the leader broke: the outcome is unknown; see chronikctl meta "
                              "members, then ask again"));
    }
}

void ask_cancel(chronik_meta *m)
{
    struct request *r;
    struct requests *const all[] = {&m->net->asking, &m->net->queue};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        while ((r = requests_pop(all[i])))
            request_finish(m, r,
                           r->stage == REQUEST_SENT
                               ? request_say(r, CHRONIK_E_CANCELED, "this node stops: the outcome is unknown")
                               : request_say(r, CHRONIK_E_CLOSED, "nothing was changed: this node stops"));
    for (;;) {
        pthread_mutex_lock(&m->lock);
        r = requests_pop(&m->net->inbox);
        pthread_mutex_unlock(&m->lock);
        if (!r)
            return;
        request_finish(m, r, request_say(r, CHRONIK_E_CLOSED, "nothing was changed: this node stops"));
    }
}

/* ---- frames ---- */

bool ask_received(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct request *r = raft_alloc(m, sizeof *r);
    struct chronik_meta_change c = {.size = sizeof c};
    bool good = wire_ask_decode(p, n, &r->ask);
    c.op = r->ask.op;
    c.flags = r->ask.flags;
    c.node_id = r->ask.node;
    c.address = r->ask.address;
    if (!good || !makes_sense(&c) || c.op == CHRONIK_META_FOUND || r->ask.timeout_ms > CHANGE_MS) {
        free(r);
        return false;
    }
    r->from = from->replica;
    r->until = net_now(m) + (int64_t)r->ask.timeout_ms * RAFT_MS;
    if (!m->rc || !m->leads)
        request_finish(m, r, request_say(r, CHRONIK_E_NOT_LEADER, "nothing was changed: that node does not lead"));
    else if (m->net->queue.n >= QUEUE_MOST)
        request_finish(m, r, request_say(r, CHRONIK_E_BUSY, "nothing was changed: too many requests wait; try again"));
    else
        requests_push(&m->net->queue, r);
    return true;
}

static void take_rows(chronik_meta *m, const struct asked *a)
{
    int64_t now = net_now(m);
    pthread_mutex_lock(&m->lock);
    m->n_rows = a->n_rows;
    m->rows_at = now;
    for (uint32_t i = 0; i < a->n_rows; i++)
        m->rows[i] = (struct row){.replica = a->rows[i].replica,
                                  .match = a->rows[i].match,
                                  .heard = a->rows[i].heard < 0 ? 0 : now - a->rows[i].heard,
                                  .caught = a->rows[i].caught < 0 ? 0 : now - a->rows[i].caught};
    pthread_mutex_unlock(&m->lock);
}

bool ask_answered(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct asked *a = raft_alloc(m, sizeof *a);
    bool good = wire_asked_decode(p, n, a);
    struct request *r = good ? m->net->asking.head : NULL;
    while (r && (r->stage != REQUEST_SENT || r->ask.number != a->number || r->sent_to != from->replica))
        r = r->next;
    if (r && a->result == CHRONIK_E_NOT_LEADER) {
        r->stage = REQUEST_NEW; /* nothing was done: whoever leads now is asked */
        r->again_at = net_now(m) + AGAIN_MS * RAFT_MS;
    } else if (r) {
        if (r->ask.op == CHRONIK_META_REFRESH && a->result > 0 && !m->leads)
            take_rows(m, a);
        unlink_request(&m->net->asking, r);
        memcpy(r->text, a->why, sizeof r->text);
        request_finish(m, r, a->result);
    }
    free(a);
    return good;
}
