/* ledger.c: the committed log once more, entry by entry, on a state machine that never dies, takes no snapshot and
 * loads none. What it says of a command is the truth: every node's state after that command must be equal to its own,
 * an entry of a proposer counts once, and an answer to a client names a command that is there. The judge gives it every
 * entry when it is first seen committed. */
#include "quorum.h"

#include <stdlib.h>

#define U(v) ((unsigned long long)(v))
enum { ENTRY_KEYS = 2 * QUORUM_LOG };

struct command {
    uint8_t type;
    uint64_t key;
};

static struct {
    struct meta_mem mem;
    struct meta_state st;
    struct rc_buf *entry[QUORUM_LOG]; /* committed, and not yet in order */
    uint64_t term[QUORUM_LOG];
    bool have[QUORUM_LOG];
    uint64_t next;
    struct command commands[QUORUM_LOG]; /* by seq */
    struct meta_envelope applied[ENTRY_KEYS];
    bool taken[ENTRY_KEYS];
} l;

void ledger_begin(void)
{
    memset(&l, 0, sizeof l);
    meta_mem_init(&l.mem);
    meta_state_init(&l.st, &l.mem);
    l.next = 2; /* entry 1 is the group itself */
}

void ledger_end(void)
{
    for (int i = 0; i < QUORUM_LOG; i++)
        rc_buf_unref(l.entry[i]);
    meta_state_free(&l.st);
    const struct meta_image *i = atomic_load(&l.mem.current);
    if (i)
        meta_mem_drop(&l.mem, i, 0);
    meta_mem_free(&l.mem);
}

/* An entry of a proposer is applied once, whatever the state machine thinks of it. */
static void once(uint64_t index, const struct meta_envelope *e)
{
    uint64_t h = get_be64(e->incarnation.b) ^ get_be64(e->incarnation.b + 8) * 31 ^ e->number * 1099511628211u ^
                 (uint64_t)e->klass << 56;
    for (uint64_t i = h % ENTRY_KEYS;; i = (i + 1) % ENTRY_KEYS) {
        const struct meta_envelope *x = &l.applied[i];
        if (!l.taken[i]) {
            l.taken[i] = true;
            l.applied[i] = *e;
            return;
        }
        if (x->number == e->number && x->klass == e->klass && x->node == e->node &&
            meta_uuid_eq(&x->incarnation, &e->incarnation)) {
            quorum_break("entry %llu of the log is applied although node %d proposed it before, as number %llu: a "
                         "command counts twice",
                         U(index), e->node, U(e->number));
            return;
        }
    }
}

/* Registrations are ordered by boot numbers: whoever is not registered has no row of proposers (it is forgotten, or was
 * never kept), so that a copy of its registration is looked at once more, refused or the broker's own. */
static bool registers(const struct rc_buf *b)
{
    struct meta_rd rd = mr_of(b->bytes + 1, b->len - 1);
    struct meta_envelope e;
    bool found = false;
    CHECK(meta_envelope_decode(&rd, &e));
    for (uint32_t i = 0; i < e.n_commands; i++) {
        struct meta_command c;
        uint64_t type;
        uint8_t version;
        CHECK(meta_cmd_decode(&rd, &l.st.arena, &c, &type, &version) == 1);
        found |= c.type == META_CMD_BROKER_REGISTER;
    }
    return found;
}

static uint64_t key_of(const struct meta_command *c)
{
    return c->type == META_CMD_TOPIC_CREATE   ? get_be64(c->u.topic_create.id.b + 8)
           : c->type == META_CMD_TOPIC_DELETE ? get_be64(c->u.topic_delete.id.b + 8)
                                              : 0;
}

static void note_commands(const struct rc_buf *b, const struct meta_entry_result *r)
{
    struct meta_rd rd = mr_of(b->bytes + 1, b->len - 1);
    struct meta_envelope e;
    uint64_t seq = r->first_seq;
    CHECK(meta_envelope_decode(&rd, &e));
    for (uint32_t i = 0; i < e.n_commands && seq < QUORUM_LOG; i++, seq++) {
        struct meta_command c;
        uint64_t type;
        uint8_t version;
        CHECK(meta_cmd_decode(&rd, &l.st.arena, &c, &type, &version) == 1);
        l.commands[seq] = (struct command){(uint8_t)c.type, key_of(&c)};
    }
}

static void apply(uint64_t index, uint64_t term, const struct rc_buf *b)
{
    struct meta_entry_result r;
    enum meta_verdict v = meta_apply_entry(&l.st, b->bytes + 1, b->len - 1, &r);
    if (v == META_STOP)
        quorum_break("entry %llu of the log cannot be applied: %s", U(index), r.why);
    q.counts->repeats += v == META_REPEAT;
    q.counts->gaps += v == META_GAP;
    if (v != META_APPLIED) {
        arena_reset(&l.st.arena);
        return;
    }
    l.st.img.pos = (struct chronik_meta_pos){.epoch = term, .index = index};
    if (!registers(b))
        once(index, &r.env);
    note_commands(b, &r);
    judge_state("the log", &l.st.img);
    meta_state_publish(&l.st);
    meta_state_changes_clear(&l.st);
    arena_reset(&l.st.arena);
}

void ledger_entry(const struct rc_entry *e)
{
    if (e->index >= QUORUM_LOG || l.have[e->index])
        return;
    bool command = e->type == RC_ENTRY_NORMAL && e->data && e->data->bytes[0] == 0;
    l.have[e->index] = true;
    l.term[e->index] = e->term;
    l.entry[e->index] = command ? rc_buf_ref(e->data) : NULL;
    for (; l.next < QUORUM_LOG && l.have[l.next]; l.next++) {
        if (l.entry[l.next])
            apply(l.next, l.term[l.next], l.entry[l.next]);
        rc_buf_unref(l.entry[l.next]);
        l.entry[l.next] = NULL;
    }
}

void ledger_answer(const struct node *n, uint64_t seq, uint8_t type, uint64_t key)
{
    if (seq >= QUORUM_LOG)
        return;
    if (seq > l.st.img.seq)
        quorum_break("node %d answers with command %llu, and the committed log ends at %llu", n->id, U(seq),
                     U(l.st.img.seq));
    else if (l.commands[seq].type != type || l.commands[seq].key != key)
        quorum_break("node %d answers with command %llu, which is another one (type %u, key %llu, and not %u, %llu)",
                     n->id, U(seq), l.commands[seq].type, U(l.commands[seq].key), type, U(key));
}

const struct meta_image *ledger_image(void)
{
    return &l.st.img;
}
