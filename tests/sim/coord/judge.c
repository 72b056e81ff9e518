/* judge.c: what must hold whatever happens, by what clients were told. It outlives the broker. */
#include "tests/sim/coord/coord_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { JOIN_MOST_MS = 45000, SYNC_MOST_MS = 30000, DEAD = 512 };

/* Of a generation of a group. */
struct generation {
    uint32_t token;
    char owner[PARTITIONS][ID]; /* instance or member id */
    char leader[ID];
    int leader_life;
};

static struct generation (*book)[GENERATIONS];
static int32_t newest[GROUPS];                /* the last generation that somebody synced */
static int32_t committed[GROUPS][PARTITIONS]; /* generation of the last answered commit */
static uint32_t tokens;
static struct {
    char id[ID];
    int32_t generation;
    int life;
} dead[DEAD];
static int n_dead;
static struct chronik_uuid topic;

_Noreturn void judge_fail(const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "seed %llu, %lld ms, life %d: ", (unsigned long long)sim_seed(w), (long long)now_ms(), lives);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

void judge_reset(void)
{
    free(book);
    book = calloc(GROUPS, sizeof *book);
    memset(newest, 0, sizeof newest);
    memset(committed, 0, sizeof committed);
    tokens = 0;
    n_dead = 0;
    topic = rig_id(1);
}

uint32_t judge_token(void)
{
    return ++tokens;
}

static struct generation *page(const struct client *c)
{
    if (c->generation < 1 || c->generation >= GENERATIONS)
        judge_fail("generation %d was given out", c->generation);
    return &book[c->group][c->generation];
}

static const char *name_of(const struct client *c)
{
    return c->instance[0] ? c->instance : c->id;
}

/* ---- one leader, one assignment, one owner ---- */

void judge_leads(const struct client *c)
{
    struct generation *g = page(c);
    if (strcmp(c->leader, c->id) != 0)
        judge_fail("%s was sent the members, and that %s leads", c->id, c->leader);
    if (g->leader[0] && g->leader_life == lives && strcmp(g->leader, name_of(c)) != 0)
        judge_fail("%s and %s lead generation %d of %s", g->leader, name_of(c), c->generation, group_name(c->group));
    snprintf(g->leader, ID, "%s", name_of(c));
    g->leader_life = lives;
}

static int32_t row_generation(int group)
{
    struct meta_group row;
    const struct meta_image *i = meta_enter(rig.reader);
    const char *name = group_name(group);
    bool found = meta_group_get(i, name, strlen(name), NULL, &row);
    meta_leave(rig.reader);
    return found ? row.generation : -1;
}

void judge_synced(const struct client *c, uint32_t token, const uint8_t *partitions, int32_t n)
{
    struct generation *g = page(c);
    if (row_generation(c->group) < c->generation)
        judge_fail("%s was given its part of generation %d, the metadata has %d", name_of(c), c->generation,
                   row_generation(c->group));
    /* A member that joined after the leader asked has nothing. */
    if (token && g->token && g->token != token)
        judge_fail("generation %d of %s has two assignments", c->generation, group_name(c->group));
    if (token)
        g->token = token;
    for (int32_t i = 0; i < n; i++) {
        char *owner = g->owner[partitions[i]];
        if (owner[0] && strcmp(owner, name_of(c)) != 0)
            judge_fail("partition %d of generation %d of %s belongs to %s and %s", partitions[i], c->generation,
                       group_name(c->group), owner, name_of(c));
        snprintf(owner, ID, "%s", name_of(c));
    }
    if (c->generation > newest[c->group])
        newest[c->group] = c->generation;
}

/* ---- nobody is lost who behaves, nobody waits for ever ---- */

void judge_lost(const struct client *c, int16_t code, const char *by)
{
    if (c->good && c->synced)
        judge_fail("%s, which behaved and had synced, was told code %d by %s in generation %d", name_of(c), code, by,
                   c->generation);
    judge_gone(c);
}

void judge_gone(const struct client *c)
{
    if (!c->id[0])
        return;
    int at = n_dead++ % DEAD;
    snprintf(dead[at].id, ID, "%s", c->id);
    dead[at].generation = c->generation;
    dead[at].life = lives;
}

void judge_wait(const struct request *r)
{
    int64_t ms = now_ms() - r->sent_ms;
    if (ms > (r->is_join ? JOIN_MOST_MS : SYNC_MOST_MS))
        judge_fail("a %s of %s has waited for %lld ms", r->is_join ? "JoinGroup" : "SyncGroup", clients[r->client].id,
                   (long long)ms);
}

/* ---- commits ---- */

struct commit {
    char id[ID];
    int group, partition, life;
    int32_t generation, newest; /* newest when it was sent */
    bool gone;                  /* was it then */
};

static bool is_dead(const struct commit *c)
{
    for (int i = 0; i < n_dead && i < DEAD; i++) {
        if (strcmp(dead[i].id, c->id) != 0)
            continue;
        /* A restart knows only what was written: of the last generation nobody has left. */
        if (dead[i].life == c->life || newest[c->group] > c->generation)
            return true;
    }
    return false;
}

static void committed_ok(struct commit *c)
{
    struct meta_offset o;
    const char *name = group_name(c->group);
    if (c->generation < c->newest)
        judge_fail("%s committed for generation %d when %d was synced", c->id, c->generation, c->newest);
    if (c->gone)
        judge_fail("%s was gone and committed in generation %d", c->id, c->generation);
    /* A generation that nobody synced may be forgotten by a restart, as in Kafka: its members own nothing yet. */
    if (c->generation > committed[c->group][c->partition] && c->generation <= c->newest)
        committed[c->group][c->partition] = c->generation;
    const struct meta_image *i = meta_enter(rig.reader);
    bool found = meta_offset_get(i, name, strlen(name), &topic, c->partition, &o);
    if (!found || o.leader_epoch < committed[c->group][c->partition])
        judge_fail("partition %d of %s has an offset of generation %d, %d was answered", c->partition, name,
                   found ? o.leader_epoch : -1, committed[c->group][c->partition]);
    meta_leave(rig.reader);
}

static void on_commit(void *arg, const struct meta_result *r)
{
    struct commit *c = arg;
    if (r->code == KAFKA_NONE && (!r->codes || r->codes[0] == KAFKA_NONE))
        committed_ok(c);
    free(c);
}

void judge_commit(const struct client *c, const char *id, int32_t generation, int partition)
{
    struct coord_commit q = {.group = wire_str(group_name(c->group)),
                             .member_id = wire_str(id),
                             .instance_id = wire_str(c->instance[0] ? c->instance : NULL),
                             .generation = generation,
                             .version = 8};
    int64_t epoch;
    if (!id[0] || generation < 0 || coord_check_commit(coord, &q, &epoch) != KAFKA_NONE)
        return;
    struct commit *x = calloc(1, sizeof *x);
    *x = (struct commit){
        .group = c->group, .partition = partition, .life = lives, .generation = generation, .newest = newest[c->group]};
    snprintf(x->id, ID, "%s", id);
    x->gone = is_dead(x);
    struct meta_commit_partition p = {.partition = partition, .leader_epoch = generation, .offset = 1, .expire_ms = -1};
    struct meta_commit_topic t = {.id = topic, .name = {"t", 1}, .partitions = &p, .n_partitions = 1};
    struct meta_commit m = {.owner = {(int32_t)coord_slot_of(coord, q.group), epoch},
                            .group = {q.group.p, (uint32_t)q.group.n},
                            .generation = generation,
                            .topics = &t,
                            .n_topics = 1};
    struct meta_command cmd = {.type = META_CMD_OFFSETS_COMMIT};
    cmd.u.offsets_commit = (struct meta_offsets_commit){&m, 1};
    if (meta_propose(rig.m, META_COORDINATOR, &cmd, 0, on_commit, x) < 0)
        free(x);
}

/* ---- the end ---- */

static void check_group(int group)
{
    struct wire_describe_groups_response_described_group d;
    struct arena a;
    struct coord_call call = {.version = 6, .arena = &a};
    int members = 0, owned = 0, generation = -1;
    arena_init(&a, 0);
    for (int i = group * PER_GROUP; i < (group + 1) * PER_GROUP; i++) {
        const struct client *c = &clients[i];
        if (!c->good)
            continue;
        if (c->phase != STABLE)
            judge_fail("%s is not stable in the end but in phase %d", name_of(c), (int)c->phase);
        if (generation >= 0 && c->generation != generation)
            judge_fail("%s ends in generations %d and %d", group_name(group), generation, c->generation);
        generation = c->generation;
        owned += c->n_owned;
        members++;
    }
    coord_describe(coord, &call, wire_str(group_name(group)), &d);
    if (d.members.n != members || !wire_str_is(d.group_state, "Stable"))
        judge_fail("%s ends %.*s with %d members, not Stable with %d", group_name(group), d.group_state.n,
                   d.group_state.p, d.members.n, members);
    if (owned != PARTITIONS)
        judge_fail("%d partitions of %s are owned in the end", owned, group_name(group));
    arena_free(&a);
}

void judge_end(void)
{
    for (int g = 0; g < GROUPS; g++)
        check_group(g);
}
