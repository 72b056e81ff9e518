/* wire.c: the frames between replicas: encoding and decoding. All numbers are little-endian.
 *
 *   frame     u32 bytes of the body; u32 CRC-32C of type and body; u32 type; body
 *   HELLO     u32 magic "CHRF"; u32 version; u32 lane (0: votes, heartbeats, replies; 1: appends, proposals, snapshots)
 *   WELCOME   u32 status; u32 formed; 16 bytes group id; u32 node id; u64 replica; u64 boot counter; u64 nonce;
 *             u64 expected replica; u32 hash of the voters named; u32 wants to join; u32 removed; u64 group_at;
 *             16 bytes directory id; u32 bytes, address
 *   FORM      16 bytes group id; the group as of entry 1 (group.c)
 *   MSG       u8 type; u8 flags (1 reject, 2 transfer); 6 zeros; u64 to, from, term, log_term, index, commit, hint,
 *             context; u32 entries, each: u64 term; u32 type; u32 bytes + 1 (0: no payload); payload. Indexes of
 *             entries are index + 1 and so on; a proposal of the core is never sent.
 *   PROPOSE   u64 number of the first; u32 n; each: u32 bytes; the command
 *   PROPOSED  u64 number of the first; u32 n; i32 result; u64 index of the first; u64 term
 *   SNAP      u64 term; u64 bytes of the file.  CHUNK: u64 offset; bytes.  SNAP_RESULT: u32 ok.  STILL_HERE: nothing
 *   ASK       u64 number; u32 op; u32 flags; u32 timeout in ms; i32 node; 16 bytes directory id; u32 bytes, address
 *   ASKED     u64 number; i32 result; u32 bytes, sentence; u32 rows, each: u64 replica; u64 match; i64 ns since it was
 *             heard; i64 ns since it had everything (-1: unknown)
 *   GROUP_AT  u64 index.  MEMBERS: the group (group.c)
 *
 * A connection carries frames of its dialer only; the accepting side sends one WELCOME, and MEMBERS to a dialer that
 * has no group. */
#include "wire.h"

#include <stdlib.h>

#define WIRE_MAGIC UINT32_C(0x46524843) /* "CHRF" */
enum { MSG_BYTES = 76, ENTRY_BYTES = 16 };

const char *wire_refusal_text(uint32_t status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        WIRE_REFUSALS(X)
#undef X
    };
    return status < WIRE_REFUSAL_END ? texts[status] : "for a reason that this build does not know";
}

/* ---- writing ---- */

static bool room(struct wbuf *w, size_t n)
{
    if (w->cap - w->n >= n)
        return true;
    size_t cap = w->cap ? w->cap : 1024;
    while (cap - w->n < n)
        cap *= 2;
    uint8_t *p = w->full ? NULL : realloc(w->p, cap);
    w->full |= !p;
    if (!p)
        return false;
    w->p = p;
    w->cap = cap;
    return true;
}

void wire_put(struct wbuf *w, const void *p, size_t n)
{
    if (!n || !room(w, n))
        return;
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

void wire_put32(struct wbuf *w, uint32_t v)
{
    uint8_t b[4];
    put_le32(b, v);
    wire_put(w, b, sizeof b);
}

void wire_put64(struct wbuf *w, uint64_t v)
{
    uint8_t b[8];
    put_le64(b, v);
    wire_put(w, b, sizeof b);
}

size_t wire_begin(struct wbuf *w, enum wire_type type)
{
    size_t at = w->n;
    wire_put64(w, 0);
    wire_put32(w, type);
    return at;
}

void wire_end(struct wbuf *w, size_t at, wire_crc crc)
{
    if (w->full) { /* half a frame is none */
        w->n = at < w->n ? at : w->n;
        return;
    }
    put_le32(w->p + at, (uint32_t)(w->n - at - WIRE_HEAD));
    put_le32(w->p + at + 4, crc(0, w->p + at + 8, w->n - at - 8));
}

/* ---- reading ---- */

int wire_frame(const uint8_t *p, size_t n, uint32_t limit, wire_crc crc, enum wire_type *type, const uint8_t **body,
               uint32_t *body_n, size_t *need)
{
    *need = WIRE_HEAD;
    if (n < WIRE_HEAD)
        return 0;
    uint32_t len = get_le32(p), t = get_le32(p + 8);
    if (len > limit || t < WIRE_HELLO || t >= WIRE_TYPE_END)
        return -1;
    *need = WIRE_HEAD + (size_t)len;
    if (n < *need)
        return 0;
    if (crc(0, p + 8, (uint64_t)len + 4) != get_le32(p + 4))
        return -1;
    *type = (enum wire_type)t;
    *body = p + WIRE_HEAD;
    *body_n = len;
    return 1;
}

const uint8_t *wire_get(struct wread *r, size_t n)
{
    const uint8_t *p = r->p;
    if (r->bad || r->left < n) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    r->left -= n;
    return p;
}

uint32_t wire_get32(struct wread *r)
{
    const uint8_t *p = wire_get(r, 4);
    return p ? get_le32(p) : 0;
}

uint64_t wire_get64(struct wread *r)
{
    const uint8_t *p = wire_get(r, 8);
    return p ? get_le64(p) : 0;
}

/* A text in front of which stands its length; room is that of the buffer, with its end. */
static void get_text(struct wread *r, char *out, size_t room)
{
    uint32_t n = wire_get32(r);
    const uint8_t *p = n < room ? wire_get(r, n) : NULL;
    if (!p || memchr(p, 0, n))
        r->bad = true;
    else
        memcpy(out, p, n);
}

static void put_text(struct wbuf *w, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    wire_put32(w, n);
    wire_put(w, text, n);
}

static void get_uuid(struct wread *r, struct chronik_uuid *id)
{
    const uint8_t *p = wire_get(r, sizeof id->b);
    if (p)
        memcpy(id->b, p, sizeof id->b);
}

/* ---- handshakes ---- */

#ifdef CHRONIK_MUTANTS
/* A test may say which version the replica speaks that runs. */
__attribute__((weak)) uint32_t wire_speaks(void)
{
    return WIRE_VERSION;
}
#else
#define wire_speaks() ((uint32_t)WIRE_VERSION)
#endif

/* Frames of another version mean other things: whoever speaks it is not listened to. */
static bool ours(uint32_t version)
{
    return version == wire_speaks() || MUTANT("raft_version_ignored");
}

void wire_hello(struct wbuf *w, enum wire_type type, const struct hello *h, wire_crc crc)
{
    size_t at = wire_begin(w, type);
    const uint32_t head[] = {WIRE_MAGIC, wire_speaks(), h->lane, h->status, h->formed};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        wire_put32(w, head[i]);
    wire_put(w, h->group_id.b, 16);
    wire_put32(w, h->node);
    wire_put64(w, h->replica);
    wire_put64(w, h->boot);
    wire_put64(w, h->nonce);
    wire_put64(w, h->want);
    wire_put32(w, h->voters_hash);
    wire_put32(w, h->wants_join);
    wire_put32(w, h->removed);
    wire_put64(w, h->group_at);
    wire_put(w, h->directory.b, sizeof h->directory.b);
    put_text(w, h->address);
    wire_end(w, at, crc);
}

bool wire_hello_decode(const uint8_t *p, uint32_t n, struct hello *h)
{
    struct wread r = {.p = p, .left = n};
    memset(h, 0, sizeof *h);
    if (wire_get32(&r) != WIRE_MAGIC || !ours(wire_get32(&r)))
        return false;
    h->lane = wire_get32(&r);
    h->status = wire_get32(&r);
    h->formed = wire_get32(&r);
    get_uuid(&r, &h->group_id);
    h->node = wire_get32(&r);
    h->replica = wire_get64(&r);
    h->boot = wire_get64(&r);
    h->nonce = wire_get64(&r);
    h->want = wire_get64(&r);
    h->voters_hash = wire_get32(&r);
    h->wants_join = wire_get32(&r);
    h->removed = wire_get32(&r);
    h->group_at = wire_get64(&r);
    get_uuid(&r, &h->directory);
    get_text(&r, h->address, sizeof h->address);
    return !r.bad && !r.left && h->replica && h->lane <= 1 && h->formed <= 1 && h->wants_join <= 1 && h->removed <= 1;
}

/* ---- what is asked of the leader ---- */

void wire_ask(struct wbuf *w, const struct ask *a, wire_crc crc)
{
    size_t at = wire_begin(w, WIRE_ASK);
    wire_put64(w, a->number);
    wire_put32(w, a->op);
    wire_put32(w, a->flags);
    wire_put32(w, a->timeout_ms);
    wire_put32(w, (uint32_t)a->node);
    wire_put(w, a->directory.b, sizeof a->directory.b);
    put_text(w, a->address);
    wire_end(w, at, crc);
}

bool wire_ask_decode(const uint8_t *p, uint32_t n, struct ask *a)
{
    struct wread r = {.p = p, .left = n};
    memset(a, 0, sizeof *a);
    a->number = wire_get64(&r);
    a->op = wire_get32(&r);
    a->flags = wire_get32(&r);
    a->timeout_ms = wire_get32(&r);
    a->node = (int32_t)wire_get32(&r);
    get_uuid(&r, &a->directory);
    get_text(&r, a->address, sizeof a->address);
    return !r.bad && !r.left;
}

void wire_asked(struct wbuf *w, const struct asked *a, wire_crc crc)
{
    size_t at = wire_begin(w, WIRE_ASKED);
    wire_put64(w, a->number);
    wire_put32(w, (uint32_t)a->result);
    put_text(w, a->why);
    wire_put32(w, a->n_rows);
    for (uint32_t i = 0; i < a->n_rows; i++) {
        wire_put64(w, a->rows[i].replica);
        wire_put64(w, a->rows[i].match);
        wire_put64(w, (uint64_t)a->rows[i].heard);
        wire_put64(w, (uint64_t)a->rows[i].caught);
    }
    wire_end(w, at, crc);
}

bool wire_asked_decode(const uint8_t *p, uint32_t n, struct asked *a)
{
    struct wread r = {.p = p, .left = n};
    memset(a, 0, sizeof *a);
    a->number = wire_get64(&r);
    a->result = (int32_t)wire_get32(&r);
    get_text(&r, a->why, sizeof a->why);
    uint32_t rows = wire_get32(&r);
    if (r.bad || rows > RAFT_PEERS)
        return false;
    for (; a->n_rows < rows; a->n_rows++) {
        struct row *x = &a->rows[a->n_rows];
        x->replica = wire_get64(&r);
        x->match = wire_get64(&r);
        x->heard = (int64_t)wire_get64(&r);
        x->caught = (int64_t)wire_get64(&r);
    }
    return !r.bad && !r.left;
}

/* ---- messages of the core ---- */

void wire_msg(struct wbuf *w, const struct rc_msg *m, wire_crc crc)
{
    size_t at = wire_begin(w, WIRE_MSG);
    uint8_t head[8] = {(uint8_t)m->type, (uint8_t)(m->reject | m->transfer << 1)};
    const uint64_t f[] = {m->to, m->from, m->term, m->log_term, m->index, m->commit, m->hint, m->context};
    wire_put(w, head, sizeof head);
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        wire_put64(w, f[i]);
    wire_put32(w, m->n_entries);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const struct rc_entry *e = &m->entries[i];
        wire_put64(w, e->term);
        wire_put32(w, e->type);
        wire_put32(w, e->data ? e->data->len + 1 : 0);
        if (e->data)
            wire_put(w, e->data->bytes, e->data->len);
    }
    wire_end(w, at, crc);
}

static bool entry_decode(struct wread *r, const struct rc_alloc *alloc, uint64_t index, struct rc_entry *e)
{
    *e = (struct rc_entry){.term = wire_get64(r), .index = index};
    uint32_t type = wire_get32(r), n = wire_get32(r);
    if (r->bad || type > RC_ENTRY_CONF)
        return false;
    e->type = (enum rc_entry_type)type;
    const uint8_t *p = n ? wire_get(r, n - 1) : NULL;
    /* The shell puts a byte in front of every payload of its own; nothing else may stand in the log. */
    if (n && (!p || (type == RC_ENTRY_NORMAL && (n == 1 || p[0] > PAYLOAD_MEMBER))))
        return false;
    if (n) {
        e->data = rc_buf_new(alloc, n - 1);
        if (!e->data)
            return false;
        memcpy(e->data->bytes, p, n - 1);
    }
    return true;
}

bool wire_msg_decode(const uint8_t *p, uint32_t n, const struct rc_alloc *alloc, struct rc_msg *m)
{
    struct wread r = {.p = p, .left = n};
    const uint8_t *head = wire_get(&r, 8);
    memset(m, 0, sizeof *m);
    static const uint8_t zeros[6];
    if (!head || n < MSG_BYTES || head[0] >= RC_MSG_TYPES || head[1] > 3 || memcmp(head + 2, zeros, 6) != 0 ||
        head[0] == RC_MSG_PROPOSE || head[0] == RC_MSG_SNAPSHOT)
        return false;
    m->type = (enum rc_msg_type)head[0];
    m->reject = head[1] & 1;
    m->transfer = head[1] & 2;
    uint64_t *const f[] = {&m->to, &m->from, &m->term, &m->log_term, &m->index, &m->commit, &m->hint, &m->context};
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        *f[i] = wire_get64(&r);
    uint32_t count = wire_get32(&r);
    if (r.bad || count > r.left / ENTRY_BYTES || (count && m->type != RC_MSG_APPEND))
        return false;
    m->entries = count ? alloc->resize(alloc->ctx, NULL, count * sizeof *m->entries) : NULL;
    if (count && !m->entries)
        return false;
    while (m->n_entries < count) {
        if (!entry_decode(&r, alloc, m->index + 1 + m->n_entries, &m->entries[m->n_entries]))
            return false;
        m->n_entries++;
    }
    return !r.bad && r.left == 0;
}

void wire_msg_clear(const struct rc_alloc *alloc, struct rc_msg *m)
{
    for (uint32_t i = 0; i < m->n_entries; i++)
        rc_buf_unref(m->entries[i].data);
    if (m->entries)
        alloc->resize(alloc->ctx, m->entries, 0);
    m->entries = NULL;
    m->n_entries = 0;
}
