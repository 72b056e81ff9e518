/* cmd_partitions.c: leaders, in-sync replicas and reassignment: encode, apply and JSON of PARTITION_CHANGE, a
 * compare-and-set on the partition and leader epoch. */
#include "meta/cmd.h"

enum { HAS_ISR = 1, HAS_REPLICAS = 2, HAS_DIRS = 4 };

static void change_encode(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_partition_change *p = &c->u.partition_change;
    mb_uuid(b, &p->topic);
    mb_iv(b, p->partition);
    mb_iv(b, p->partition_epoch);
    mb_iv(b, p->leader_epoch);
    mb_iv(b, p->leader);
    mb_u8(b, (uint8_t)((p->isr ? HAS_ISR : 0) | (p->replicas ? HAS_REPLICAS : 0) | (p->dirs ? HAS_DIRS : 0)));
    if (p->isr)
        cmd_enc_ints(b, p->isr, p->n_isr);
    if (p->replicas)
        cmd_enc_ints(b, p->replicas, p->n_replicas);
    if (p->dirs)
        cmd_enc_ids(b, p->dirs, p->n_replicas);
}

static void change_decode(struct meta_rd *r, uint8_t version, struct arena *a, struct meta_command *c)
{
    struct meta_partition_change *p = &c->u.partition_change;
    p->topic = mr_uuid(r);
    p->partition = mr_iv32(r);
    p->partition_epoch = mr_iv32(r);
    p->leader_epoch = mr_iv32(r);
    p->leader = mr_iv32(r);
    uint8_t has = mr_u8(r);
    if (has & HAS_ISR)
        p->isr = cmd_dec_ints(r, a, &p->n_isr);
    if (has & HAS_REPLICAS)
        p->replicas = cmd_dec_ints(r, a, &p->n_replicas);
    if (has & HAS_DIRS) {
        uint32_t n;
        p->dirs = cmd_dec_ids(r, a, &n);
        if ((p->replicas && n != p->n_replicas) || n == 0)
            r->bad = true;
        p->n_replicas = n;
    }
    if (has > 7)
        r->bad = true;
}

static bool in(int32_t id, const int32_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (v[i] == id)
            return true;
    return false;
}

/* The wanted state from the present one and the command; false with an outcome when it is not allowed. */
static bool change_check(struct meta_state *st, const struct meta_topic *t, const struct meta_partition_change *p,
                         struct meta_partition_new *n, struct meta_outcome *out)
{
    const struct meta_partition *x = t->partitions[p->partition];
    n->leader = p->leader == META_LEADER_KEEP ? x->leader : p->leader;
    n->replicas = p->replicas ? p->replicas : x->replicas;
    n->n_replicas = p->replicas ? p->n_replicas : x->n_replicas;
    n->isr = p->isr ? p->isr : x->isr;
    n->n_isr = p->isr ? p->n_isr : x->n_isr;
    n->dirs = p->dirs ? p->dirs : p->replicas ? NULL : x->dirs;
    if (n->n_replicas == 0 || n->n_replicas > 1000 || n->n_isr == 0 || n->n_isr > n->n_replicas ||
        (p->dirs && p->n_replicas != n->n_replicas)) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "%s-%d: %u replicas, %u in sync: not a valid state.", t->name,
                    p->partition, n->n_replicas, n->n_isr);
        return false;
    }
    for (uint32_t i = 0; i < n->n_replicas; i++)
        if (in(n->replicas[i], n->replicas, i) || (p->replicas && !meta_broker_by_id(&st->img, n->replicas[i]))) {
            meta_refuse(st, out, KAFKA_INVALID_REPLICA_ASSIGNMENT, "%s-%d: replica %d is doubled or not registered.",
                        t->name, p->partition, n->replicas[i]);
            return false;
        }
    for (uint32_t i = 0; i < n->n_isr; i++)
        if (in(n->isr[i], n->isr, i) || !in(n->isr[i], n->replicas, n->n_replicas)) {
            meta_refuse(st, out, KAFKA_INVALID_REQUEST, "%s-%d: %d cannot be in sync: not a replica, or doubled.",
                        t->name, p->partition, n->isr[i]);
            return false;
        } else if (p->isr && !in(n->isr[i], x->isr, x->n_isr) && !meta_broker_alive(&st->img, n->isr[i])) {
            meta_refuse(st, out, KAFKA_INELIGIBLE_REPLICA, "%s-%d: broker %d is fenced and cannot join the ISR.",
                        t->name, p->partition, n->isr[i]);
            return false;
        }
    if (n->leader >= 0 && !in(n->leader, n->isr, n->n_isr)) {
        meta_refuse(st, out, KAFKA_INVALID_REQUEST, "%s-%d: leader %d is not in sync.", t->name, p->partition,
                    n->leader);
        return false;
    }
    return true;
}

static void change_apply(struct meta_state *st, const struct meta_command *c, struct meta_outcome *out)
{
    const struct meta_partition_change *p = &c->u.partition_change;
    const struct meta_topic *t = meta_topic_by_id(&st->img, &p->topic);
    const struct meta_partition *x = t ? meta_partition_of(t, p->partition) : NULL;
    if (!x) {
        meta_refuse(st, out, t ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_UNKNOWN_TOPIC_ID,
                    "There is no partition %d of this topic id.", p->partition);
        return;
    }
    if (p->leader_epoch >= 0 && p->leader_epoch != x->leader_epoch) {
        meta_refuse(st, out, KAFKA_FENCED_LEADER_EPOCH, "%s-%d is at leader epoch %d, not %d.", t->name, p->partition,
                    x->leader_epoch, p->leader_epoch);
        return;
    }
    if (p->partition_epoch >= 0 && p->partition_epoch != x->partition_epoch) {
        meta_refuse(st, out, KAFKA_INVALID_UPDATE_VERSION, "%s-%d is at partition epoch %d, not %d.", t->name,
                    p->partition, x->partition_epoch, p->partition_epoch);
        return;
    }
    struct meta_partition_new n = {0};
    if (!change_check(st, t, p, &n, out))
        return;
    n.leader_epoch = x->leader_epoch + (n.leader != x->leader);
    n.partition_epoch = x->partition_epoch + 1;
    meta_partition_set(st, meta_topic_own(st, t, t->n_partitions), p->partition, &n);
    out->values[0] = n.partition_epoch;
    out->values[1] = n.leader_epoch;
    out->n_values = 2;
}

static void change_json(const struct meta_command *c, struct meta_buf *b)
{
    const struct meta_partition_change *p = &c->u.partition_change;
    mj_id(b, "topicId", &p->topic);
    mj_int(b, "partition", p->partition);
    mj_int(b, "partitionEpoch", p->partition_epoch);
    mj_int(b, "leaderEpoch", p->leader_epoch);
    if (p->leader != META_LEADER_KEEP)
        mj_int(b, "leader", p->leader);
    if (p->isr)
        mj_ints(b, "isr", p->isr, p->n_isr);
    if (p->replicas)
        mj_ints(b, "replicas", p->replicas, p->n_replicas);
    if (p->dirs)
        mj_ids(b, "directories", p->dirs, p->n_replicas);
}

static void change_key(const struct meta_command *c, struct meta_buf *b)
{
    mj_id(b, "topicId", &c->u.partition_change.topic);
    mj_int(b, "partition", c->u.partition_change.partition);
}

const struct meta_cmd_def meta_cmd_partition_change = {META_CMD_PARTITION_CHANGE,
                                                       1,
                                                       0,
                                                       "partition-change",
                                                       change_encode,
                                                       change_decode,
                                                       change_apply,
                                                       change_json,
                                                       change_key};
