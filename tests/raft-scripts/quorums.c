/* quorums: the commands of the quorum scripts (committed, vote) on the pure functions, with the published cross-checks:
 * symmetry, a joint quorum with nothing or with itself, and lowering what is above the result. It must never share code
 * with the functions under test. Single-threaded test code. */
#include "env.h"

#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

struct quorum_case {
    struct rc_ids a, b;
    bool joint;
    uint64_t values[2 * RC_MAX_MEMBERS]; /* in the order of the voters; 0: no information */
    size_t n_values;
    struct {
        uint64_t id, value;
    } known[2 * RC_MAX_MEMBERS];
    size_t n_known;
};

static uint64_t value_of(const void *ctx, uint64_t id)
{
    const struct quorum_case *q = ctx;

    for (size_t i = 0; i < q->n_known; i++) {
        if (q->known[i].id == id) {
            return q->known[i].value;
        }
    }
    return 0;
}

static enum rc_ballot ballot_of(const void *ctx, uint64_t id)
{
    uint64_t value = value_of(ctx, id);

    return value == 0 ? RC_BALLOT_NONE : value == 1 ? RC_BALLOT_NO : RC_BALLOT_YES;
}

static uint64_t parse_value(struct env *e, const char *key, const char *text)
{
    uint64_t n;

    if (strcmp(text, "_") == 0) {
        return 0;
    }
    if (strcmp(key, "votes") == 0) {
        if (strcmp(text, "y") != 0 && strcmp(text, "n") != 0) {
            env_break(e, "unknown vote: %s", text);
        }
        return *text == 'y' ? 2 : 1;
    }
    if (!script_number(text, &n) || n == 0) {
        env_break(e, "cannot use %s as idx", text);
    }
    return n;
}

/* Voters in the order in which the scripts give their values: those of the first half, then the new ones of the second.
 */
static void parse(struct env *e, const struct script_case *c, struct quorum_case *q)
{
    uint64_t order[2 * RC_MAX_MEMBERS];
    size_t n_order = 0, used = 0;

    for (size_t i = 0; i < c->n_args; i++) {
        const struct script_arg *arg = &c->args[i];
        bool cfg = strcmp(arg->key, "cfg") == 0, cfgj = strcmp(arg->key, "cfgj") == 0;

        q->joint = q->joint || cfgj;
        for (size_t v = 0; v < arg->n_vals; v++) {
            uint64_t id;

            if (!cfg && !cfgj) {
                if ((strcmp(arg->key, "idx") != 0 && strcmp(arg->key, "votes") != 0) ||
                    q->n_values == 2 * RC_MAX_MEMBERS) {
                    env_break(e, "unknown arg %s", arg->key);
                }
                q->values[q->n_values++] = parse_value(e, arg->key, arg->vals[v]);
                continue;
            }
            if (cfgj && strcmp(arg->vals[v], "zero") == 0) {
                continue;
            }
            if (!script_number(arg->vals[v], &id) || !rc_ids_add(cfg ? &q->a : &q->b, id) ||
                n_order == 2 * RC_MAX_MEMBERS) {
                env_break(e, "not a voter: %s", arg->vals[v]);
            }
            order[n_order++] = id;
        }
    }
    for (size_t i = 0; i < n_order; i++) {
        bool seen = false;

        for (size_t k = 0; k < q->n_known; k++) {
            seen = seen || q->known[k].id == order[i];
        }
        if (!seen) {
            q->known[q->n_known].id = order[i];
            q->known[q->n_known++].value = used < q->n_values ? q->values[used] : 0;
            used++;
        }
    }
}

static void put_index(struct env *e, uint64_t index, const char *note)
{
    if (index == UINT64_MAX) {
        text_printf(&e->out, "\u221e%s\n", note);
    } else {
        text_printf(&e->out, "%llu%s\n", U(index), note);
    }
}

static int by_id(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* One row a voter: a bar as long as the number of voters that have less. */
static void describe(struct env *e, const struct quorum_case *q)
{
    uint64_t ids[2 * RC_MAX_MEMBERS];
    int n = (int)q->n_known;

    if (n == 0) {
        text_printf(&e->out, "<empty majority quorum>");
        return;
    }
    for (int i = 0; i < n; i++) {
        ids[i] = q->known[i].id;
    }
    qsort(ids, (size_t)n, sizeof ids[0], by_id);
    text_printf(&e->out, "%*s    idx\n", n, "");
    for (int i = 0; i < n; i++) {
        uint64_t value = value_of(q, ids[i]);
        int bar = 0;

        for (int k = 0; k < n; k++) {
            bar += value_of(q, ids[k]) < value;
        }
        if (value == 0) {
            text_printf(&e->out, "?%*s", n, "");
        } else {
            for (int k = 0; k < bar; k++) {
                text_put(&e->out, "x", 1);
            }
            text_printf(&e->out, ">%*s", n - bar, "");
        }
        text_printf(&e->out, " %5llu    (id=%llx)\n", U(value), U(ids[i]));
    }
}

/* By trying every acknowledged index: the highest that more than half have. */
static uint64_t by_counting(const struct quorum_case *q)
{
    uint64_t best = q->a.n == 0 ? UINT64_MAX : 0;

    for (uint32_t i = 0; i < q->a.n; i++) {
        uint64_t candidate = value_of(q, q->a.v[i]);
        uint32_t have = 0;

        for (uint32_t k = 0; k < q->a.n; k++) {
            have += value_of(q, q->a.v[k]) >= candidate;
        }
        if (have > q->a.n / 2 && candidate > best) {
            best = candidate;
        }
    }
    return best;
}

static void check_lowered(struct env *e, struct quorum_case *q, uint64_t index)
{
    for (size_t i = 0; i < q->n_known; i++) {
        uint64_t was = q->known[i].value;
        uint64_t lower[] = {was - 1, 0};

        for (size_t k = 0; was > 0 && index > was && k < 2; k++) {
            q->known[i].value = lower[k];
            if (rc_majority_index(&q->a, value_of, q) != index) {
                put_index(e, rc_majority_index(&q->a, value_of, q), " <-- overlaying");
            }
        }
        q->known[i].value = was;
    }
}

static void committed(struct env *e, struct quorum_case *q)
{
    static const struct rc_ids none = {0};
    uint64_t index = rc_joint_index(&q->a, &q->b, value_of, q);

    describe(e, q);
    if (q->joint) {
        if (rc_joint_index(&q->b, &q->a, value_of, q) != index) {
            put_index(e, rc_joint_index(&q->b, &q->a, value_of, q), " <-- via symmetry");
        }
    } else {
        uint64_t plain = rc_majority_index(&q->a, value_of, q);

        if (by_counting(q) != plain) {
            put_index(e, by_counting(q), " <-- via alternative computation");
        }
        if (rc_joint_index(&q->a, &none, value_of, q) != plain) {
            put_index(e, rc_joint_index(&q->a, &none, value_of, q), " <-- via zero-joint quorum");
        }
        if (rc_joint_index(&q->a, &q->a, value_of, q) != plain) {
            put_index(e, rc_joint_index(&q->a, &q->a, value_of, q), " <-- via self-joint quorum");
        }
        check_lowered(e, q, plain);
        index = plain;
    }
    put_index(e, index, "");
}

static void vote(struct env *e, struct quorum_case *q)
{
    static const char *const names[] = {"VotePending", "VoteLost", "VoteWon"};
    enum rc_verdict verdict =
        q->joint ? rc_joint_vote(&q->a, &q->b, ballot_of, q) : rc_majority_vote(&q->a, ballot_of, q);

    if (q->joint && rc_joint_vote(&q->b, &q->a, ballot_of, q) != verdict) {
        text_printf(&e->out, "%s <-- via symmetry\n", names[rc_joint_vote(&q->b, &q->a, ballot_of, q)]);
    }
    text_printf(&e->out, "%s\n", names[verdict]);
}

bool quorum_command(struct env *e, const struct script_case *c)
{
    bool is_vote = strcmp(c->command, "vote") == 0;
    struct quorum_case q = {0};

    if (!is_vote && strcmp(c->command, "committed") != 0) {
        return false;
    }
    parse(e, c, &q);
    if (q.n_known != q.n_values) {
        struct rc_ids all = q.a;

        for (uint32_t i = 0; i < q.b.n; i++) {
            rc_ids_add(&all, q.b.v[i]);
        }
        text_printf(&e->out, "error: mismatched input (explicit or _) for voters map[");
        for (uint32_t i = 0; i < all.n; i++) {
            text_printf(&e->out, "%s%llu:{}", i > 0 ? " " : "", U(all.v[i]));
        }
        text_printf(&e->out, "]: [");
        for (size_t i = 0; i < q.n_values; i++) {
            text_printf(&e->out, "%s%llu", i > 0 ? " " : "", U(q.values[i]));
        }
        text_printf(&e->out, "]\n");
    } else if (is_vote) {
        vote(e, &q);
    } else {
        committed(e, &q);
    }
    return true;
}
