/* forward.c: proposals of a follower on their way to the leader. They are numbered; the leader answers where in its log
 * they are, or why not; then they wait for that place to be committed here, like the leader's own. When the stream or
 * the leader is lost, what has no answer ends with CANCELED: nobody knows, and the proposer asks again (the state
 * refuses a repeat). Raft executor. */
#include "net.h"

#include <stdlib.h>

enum { FRAME_BYTES = 1 << 20, FORWARD_MS = 5000, FORWARD_MOST = 32 << 20 };

void net_forward(chronik_meta *m, struct plist *q)
{
    struct peer *p = m->rc && m->lead ? peer_of(m, m->lead) : NULL;
    if (!p || !peer_ready(p, LANE_BULK)) {
        raft_answer(m, q, CHRONIK_E_NOT_LEADER);
        return;
    }
    struct wbuf *w = &p->lane[LANE_BULK].conn->out;
    m->net->forward_to = p->replica;
    while (q->n) {
        if (w->n > FORWARD_MOST) {
            raft_answer(m, q, CHRONIK_E_BUSY);
            return;
        }
        size_t at = wire_begin(w, WIRE_PROPOSE), count_at;
        uint32_t n = 0;
        uint64_t bytes = 0;
        wire_put64(w, m->net->forward_number + 1);
        count_at = w->n;
        wire_put32(w, 0);
        while (q->n && n < RAFT_BATCH && (!n || bytes + q->head->n <= FRAME_BYTES)) {
            struct proposal *x = plist_pop(q);
            wire_put32(w, x->n);
            wire_put(w, x->buf->bytes + 1, x->n);
            bytes += x->n;
            n++;
            x->number = ++m->net->forward_number;
            rc_buf_unref(x->buf);
            x->buf = NULL;
            plist_push(&m->net->forwarded, x);
        }
        if (!w->full)
            put_le32(w->p + count_at, n);
        wire_end(w, at, m->host.crc32c);
    }
}

/* The bug: what the new leader is asked again is told of twice. */
static void cancel_twice(chronik_meta *m)
{
    struct plist copies;
    plist_init(&copies);
    for (const struct proposal *p = m->net->forwarded.head; p; p = p->next) {
        struct proposal *copy = raft_alloc(m, sizeof *copy);
        copy->done = p->done;
        plist_push(&copies, copy);
    }
    raft_answer(m, &copies, CHRONIK_E_CANCELED);
}

void forward_cancel(chronik_meta *m)
{
    if (MUTANT("raft_completed_twice"))
        cancel_twice(m);
    raft_answer(m, &m->net->forwarded, CHRONIK_E_CANCELED);
}

/* Without an answer for long: the leader may have lost them. */
void forward_turn(chronik_meta *m, int64_t now)
{
    struct plist late;
    plist_init(&late);
    while (m->net->forwarded.head && now - m->net->forwarded.head->at > FORWARD_MS * RAFT_MS)
        plist_push(&late, plist_pop(&m->net->forwarded));
    raft_answer(m, &late, CHRONIK_E_TIMEDOUT);
}

/* ---- at the leader ---- */

static int32_t propose(chronik_meta *m, struct rc_entry *e, uint32_t n, uint64_t bytes, uint64_t *index, uint64_t *term)
{
    struct rc_msg msg = {
        .type = RC_MSG_PROPOSE, .from = m->id.replica, .to = m->id.replica, .entries = e, .n_entries = n};
    if (!m->rc || !m->leads)
        return CHRONIK_E_NOT_LEADER;
    int32_t admitted = reclog_admit(m->log, bytes, 0);
    if (admitted < 0)
        return admitted == CHRONIK_E_NOSPC ? admitted : CHRONIK_E_BUSY;
    int rc = rc_step(m->rc, &msg);
    if (rc != RC_OK)
        return rc == RC_BUSY || rc == RC_TRANSFERRING ? CHRONIK_E_BUSY : CHRONIK_E_NOT_LEADER;
    struct rc_status s;
    rc_status(m->rc, &s);
    *index = s.last - n + 1;
    *term = s.term;
    return CHRONIK_DONE;
}

bool forward_propose(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct wread r = {.p = p, .left = n};
    struct rc_entry e[RAFT_BATCH];
    uint64_t first = wire_get64(&r), index = 0, term = 0;
    uint32_t count = wire_get32(&r), i = 0;
    int32_t rc = CHRONIK_E_NOMEM;
    bool good = !r.bad && count > 0 && count <= RAFT_BATCH;
    for (; good && i < count; i++) {
        uint32_t len = wire_get32(&r);
        const uint8_t *data = len && len <= CHRONIK_META_MAX_COMMAND ? wire_get(&r, len) : NULL;
        struct rc_buf *b = data ? rc_buf_new(&m->alloc, len + 1) : NULL;
        if (!data)
            good = false;
        if (!b)
            break;
        b->bytes[0] = PAYLOAD_COMMAND;
        memcpy(b->bytes + 1, data, len);
        e[i] = (struct rc_entry){.type = RC_ENTRY_NORMAL, .data = b};
    }
    if (good && i == count && r.left == 0)
        rc = propose(m, e, count, n, &index, &term);
    else if (r.left)
        good = false;
    while (i > 0)
        rc_buf_unref(e[--i].data);
    struct peer *back = good ? peer_of(m, from->replica) : NULL;
    if (back && peer_ready(back, LANE_TALK)) {
        struct wbuf *w = &back->lane[LANE_TALK].conn->out;
        size_t at = wire_begin(w, WIRE_PROPOSED);
        wire_put64(w, first);
        wire_put32(w, count);
        wire_put32(w, (uint32_t)rc);
        wire_put64(w, index);
        wire_put64(w, term);
        wire_end(w, at, m->host.crc32c);
    }
    return good;
}

/* ---- back at the proposer ---- */

/* It is in the leader's log; what of it is committed here already? */
static void placed(chronik_meta *m, struct proposal *x)
{
    struct plist one;
    plist_init(&one);
    if (x->index > m->handed) {
        plist_push(&m->waiting, x);
        return;
    }
    const struct rc_entry *e = rc_entry_at(m->rc, x->index);
    plist_push(&one, x);
    raft_answer(m, &one, !e ? CHRONIK_E_TIMEDOUT : e->term == x->term ? CHRONIK_DONE : CHRONIK_E_CANCELED);
}

bool forward_proposed(chronik_meta *m, const struct hello *from, const uint8_t *p, uint32_t n)
{
    struct wread r = {.p = p, .left = n};
    uint64_t first = wire_get64(&r);
    uint32_t count = wire_get32(&r);
    int32_t rc = (int32_t)wire_get32(&r);
    uint64_t index = wire_get64(&r), term = wire_get64(&r);
    struct plist refused;
    if (r.bad || r.left)
        return false;
    plist_init(&refused);
    if (!m->rc || from->replica != m->net->forward_to)
        return true;
    while (m->net->forwarded.head && m->net->forwarded.head->number < first + count) {
        struct proposal *x = plist_pop(&m->net->forwarded);
        x->index = index + (x->number - first);
        x->term = term;
        if (x->number < first || rc < 0)
            plist_push(&refused, x);
        else
            placed(m, x);
    }
    raft_answer(m, &refused, rc < 0 ? rc : CHRONIK_E_TIMEDOUT);
    return true;
}
