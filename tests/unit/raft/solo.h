/* solo: one instance of the Raft core on a table, with everything around it played by the test. Single-threaded test
 * code. */
#ifndef CHRONIK_RAFT_SOLO_H
#define CHRONIK_RAFT_SOLO_H

#include "plugins/meta-raft/core/internal.h"

#include <check.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct solo {
    struct rc *r;
    jmp_buf stopped;
    bool expect_stop;
    char why[512];
};

static int solo_allowed = -1; /* allocations until one fails; -1: never */

static inline void *solo_resize(void *ctx, void *ptr, size_t size)
{
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if (solo_allowed == 0) {
        return NULL;
    }
    solo_allowed -= solo_allowed > 0;
    return realloc(ptr, size);
}

static const struct rc_alloc solo_alloc = {.resize = solo_resize};

static inline uint32_t solo_random(void *ctx, uint32_t below)
{
    return 0; /* the shortest timeout */
}

static inline void solo_fatal(void *ctx, const char *text)
{
    struct solo *s = ctx;

    snprintf(s->why, sizeof s->why, "%s", text);
    if (!s->expect_stop) {
        ck_abort_msg("the core stopped: %s", text);
    }
    longjmp(s->stopped, 1);
}

static inline struct rc_config solo_config(struct solo *s, uint64_t id)
{
    return (struct rc_config){
        .id = id,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .max_inflight_msgs = 4,
        .max_size_per_msg = RC_NO_LIMIT,
        .alloc = solo_alloc,
        .random = solo_random,
        .fatal = solo_fatal,
        .ctx = s,
    };
}

static inline struct rc_conf solo_voters(uint64_t n)
{
    struct rc_conf conf = {0};

    for (uint64_t i = 1; i <= n; i++) {
        rc_ids_add(&conf.voters, i);
    }
    return conf;
}

/* A replica of voters 1..n at term 1 whose log holds n_entries entries of the given terms after index 1. */
static inline void solo_start(struct solo *s, const struct rc_config *cfg, uint64_t n, const uint64_t *terms,
                              uint32_t n_entries)
{
    struct rc_entry entries[32];
    struct rc_boot boot = {
        .conf = solo_voters(n), .base_index = 1, .base_term = 1, .entries = entries, .n_entries = n_entries};
    char why[256] = "";

    boot.hard = (struct rc_hard){.term = 1, .commit = 1};
    for (uint32_t i = 0; i < n_entries; i++) {
        entries[i] = (struct rc_entry){.term = terms[i], .index = 2 + i};
        boot.hard.term = terms[i] > boot.hard.term ? terms[i] : boot.hard.term;
    }
    s->r = rc_new(cfg, &boot, why, sizeof why);
    ck_assert_msg(s->r != NULL, "%s", why);
}

static inline struct rc_status solo_status(const struct solo *s)
{
    struct rc_status st;
    char why[400] = "";

    rc_status(s->r, &st);
    ck_assert_msg(rc_check(s->r, why, sizeof why), "%s", why);
    return st;
}

/* Take a ready and drop it: what was in it is on its way to nowhere. Returns its ticket. */
static inline struct rc_ack solo_swallow(struct solo *s)
{
    struct rc_ready rd;
    struct rc_ack ack;

    rc_ready(s->r, &rd);
    ack = rd.ack;
    rc_ready_release(&rd);
    return ack;
}

/* Carry out readies with a perfect disk until there are none. */
static inline void solo_settle(struct solo *s)
{
    while (rc_has_ready(s->r)) {
        struct rc_ready rd;

        rc_ready(s->r, &rd);
        for (uint32_t i = 0; i < rd.n_after; i++) {
            if (rd.after[i].to == s->r->cfg.id) {
                rc_step(s->r, &rd.after[i]);
            }
        }
        rc_persisted(s->r, &rd.ack);
        if (rd.snapshot != NULL) {
            rc_snap_done(s->r, rd.snapshot->index);
        }
        for (uint32_t i = 0; i < rd.n_committed; i++) {
            if (rd.committed[i].type != RC_ENTRY_NORMAL) {
                rc_apply_conf(s->r, &rd.committed[i], NULL);
            }
        }
        if (rd.n_committed > 0) {
            rc_applied(s->r, rd.committed[rd.n_committed - 1].index);
        }
        rc_ready_release(&rd);
    }
}

/* How many messages of a type the next ready carries to a peer; the ready is consumed. */
static inline uint32_t solo_count(struct solo *s, enum rc_msg_type type, uint64_t to)
{
    struct rc_ready rd;
    uint32_t n = 0;

    rc_ready(s->r, &rd);
    for (uint32_t i = 0; i < rd.n_msgs; i++) {
        n += rd.msgs[i].type == type && (to == 0 || rd.msgs[i].to == to);
    }
    rc_ready_release(&rd);
    return n;
}

static inline int solo_step(struct solo *s, struct rc_msg msg)
{
    msg.to = s->r->cfg.id;
    return rc_step(s->r, &msg);
}

/* Win the election for the next term with the votes of 2 and 3. */
static inline void solo_lead(struct solo *s)
{
    rc_campaign(s->r);
    solo_settle(s);
    solo_step(s, (struct rc_msg){.type = RC_MSG_VOTE_REPLY, .from = 2, .term = s->r->term});
    ck_assert_int_eq(solo_status(s).role, RC_LEADER);
}

static inline void solo_ack(struct solo *s, uint64_t from, uint64_t index)
{
    solo_step(s, (struct rc_msg){.type = RC_MSG_APPEND_REPLY, .from = from, .term = s->r->term, .index = index});
}

static inline int solo_propose(struct solo *s, uint32_t bytes)
{
    struct rc_buf *buf = rc_buf_new(&solo_alloc, bytes);
    int result;

    memset(buf->bytes, 7, bytes);
    result = rc_propose(s->r, buf, NULL, NULL);
    rc_buf_unref(buf);
    return result;
}

#endif
