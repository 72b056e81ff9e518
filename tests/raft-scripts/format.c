/* format: the text forms of the published scripts: entries, messages, readies, progress. It must never change what it
 * prints. Single-threaded test code. */
#include "env.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

static const char *const type_names[] = {
    [RC_MSG_PROPOSE] = "MsgProp",
    [RC_MSG_APPEND] = "MsgApp",
    [RC_MSG_APPEND_REPLY] = "MsgAppResp",
    [RC_MSG_VOTE] = "MsgVote",
    [RC_MSG_VOTE_REPLY] = "MsgVoteResp",
    [RC_MSG_SNAPSHOT] = "MsgSnap",
    [RC_MSG_HEARTBEAT] = "MsgHeartbeat",
    [RC_MSG_HEARTBEAT_REPLY] = "MsgHeartbeatResp",
    [RC_MSG_TRANSFER] = "MsgTransferLeader",
    [RC_MSG_TIMEOUT_NOW] = "MsgTimeoutNow",
    [RC_MSG_READ] = "MsgReadIndex",
    [RC_MSG_READ_REPLY] = "MsgReadIndexResp",
    [RC_MSG_PRE_VOTE] = "MsgPreVote",
    [RC_MSG_PRE_VOTE_REPLY] = "MsgPreVoteResp",
    [T_STORAGE_APPEND] = "MsgStorageAppend",
    [T_STORAGE_APPEND_RESP] = "MsgStorageAppendResp",
    [T_STORAGE_APPLY] = "MsgStorageApply",
    [T_STORAGE_APPLY_RESP] = "MsgStorageApplyResp",
    [T_UNUSED_FIRST] = "MsgHup",
    "MsgBeat",
    "MsgUnreachable",
    "MsgSnapStatus",
    "MsgCheckQuorum",
    "MsgForgetLeader",
};

int type_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (strcmp(type_names[i], name) == 0) {
            return (int)i;
        }
    }
    return T_ANY;
}

/* The length of a printable UTF-8 character at p; 0: escape the byte. */
static size_t utf8_length(const uint8_t *p, size_t left, uint32_t *rune)
{
    size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

    if (n == 0 || n > left) {
        return 0;
    }
    *rune = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        *rune = *rune << 6 | (p[i] & 0x3f);
    }
    return *rune < smallest[n] || *rune > 0x10ffff || (*rune >= 0xd800 && *rune < 0xe000) ? 0 : n;
}

static bool printable(uint32_t rune)
{
    return rune >= 0x20 && rune != 0x7f && !(rune >= 0x80 && rune <= 0xa0) && rune != 0xad && rune != 0xfeff &&
           !(rune >= 0x2000 && rune <= 0x200f) && !(rune >= 0x2028 && rune <= 0x202f) &&
           !(rune >= 0xe000 && rune < 0xf900);
}

static void format_quoted(struct text *t, const uint8_t *bytes, size_t n)
{
    static const char escapes[] = "\aa\bb\ff\nn\rr\tt\vv\"\"\\\\";

    text_put(t, "\"", 1);
    for (size_t i = 0; i < n;) {
        uint32_t rune = 0;
        size_t len = utf8_length(bytes + i, n - i, &rune);
        const char *escape = len == 1 && rune != 0 ? strchr(escapes, (int)rune) : NULL;

        if (escape != NULL && (escape - escapes) % 2 == 0) {
            text_printf(t, "\\%c", escape[1]);
        } else if (len == 0 || (len == 1 && !printable(rune))) {
            text_printf(t, "\\x%02x", bytes[i]);
        } else if (!printable(rune)) {
            text_printf(t, rune > 0xffff ? "\\U%08x" : "\\u%04x", rune);
        } else {
            text_put(t, (const char *)bytes + i, len);
        }
        i += len == 0 ? 1 : len;
    }
    text_put(t, "\"", 1);
}

static void format_change(struct text *t, const struct rc_buf *data)
{
    struct rc_conf_change change;

    if (rc_conf_decode(data, &change) != RC_OK) {
        text_printf(t, " malformed");
        return;
    }
    for (uint32_t i = 0; i < change.n; i++) {
        text_printf(t, " %c%llu", "vrul"[change.v[i].op], U(change.v[i].id));
    }
}

void format_entry(struct text *t, const struct rc_entry *e)
{
    static const char *const types[] = {"EntryNormal", "EntryConfChange", "EntryConfChangeV2"};

    text_printf(t, "%llu/%llu %s", U(e->term), U(e->index), types[e->type]);
    if (e->type != RC_ENTRY_NORMAL) {
        format_change(t, e->data);
        return;
    }
    text_put(t, " ", 1);
    format_quoted(t, e->data == NULL ? NULL : e->data->bytes, e->data == NULL ? 0 : e->data->len);
}

static void format_ids(struct text *t, const char *name, const struct rc_ids *ids)
{
    text_printf(t, "%s:[", name);
    for (uint32_t i = 0; i < ids->n; i++) {
        text_printf(t, "%s%llu", i > 0 ? " " : "", U(ids->v[i]));
    }
    text_put(t, "] ", 2);
}

void format_snapshot(struct text *t, const struct rc_snapshot *s)
{
    text_printf(t, "Index:%llu Term:%llu ConfState:", U(s->index), U(s->term));
    format_ids(t, "Voters", &s->conf.voters);
    format_ids(t, "VotersOutgoing", &s->conf.outgoing);
    format_ids(t, "Learners", &s->conf.learners);
    format_ids(t, "LearnersNext", &s->conf.learners_next);
    text_printf(t, "AutoLeave:%s", s->conf.auto_leave ? "true" : "false");
}

static void format_target(struct text *t, uint64_t id)
{
    if (id == APPEND_THREAD) {
        text_printf(t, "AppendThread");
    } else if (id == APPLY_THREAD) {
        text_printf(t, "ApplyThread");
    } else if (id == 0) {
        text_printf(t, "None");
    } else {
        text_printf(t, "%llx", U(id));
    }
}

static void format_message_entries(struct text *t, const struct rc_msg *m, const char *indent)
{
    if (m->n_entries == 0) {
        return;
    }
    text_printf(t, " Entries:[");
    for (uint32_t i = 0; i < m->n_entries; i++) {
        if (m->n_entries > 1) {
            text_printf(t, "\n%s  ", indent);
        }
        format_entry(t, &m->entries[i]);
    }
    if (m->n_entries > 1) {
        text_printf(t, "\n%s", indent);
    }
    text_put(t, "]", 1);
}

void format_message(struct text *t, const struct env_msg *em, const char *indent)
{
    const struct rc_msg *m = &em->m;

    text_printf(t, "%s", indent);
    format_target(t, m->from);
    text_printf(t, "->");
    format_target(t, m->to);
    text_printf(t, " %s Term:%llu Log:%llu/%llu", type_names[em->type], U(m->term), U(m->log_term), U(m->index));
    if (m->reject) {
        text_printf(t, " Rejected (Hint: %llu)", U(m->hint));
    }
    if (m->commit != 0) {
        text_printf(t, " Commit:%llu", U(m->commit));
    }
    if (em->vote != 0) {
        text_printf(t, " Vote:%llu", U(em->vote));
    }
    format_message_entries(t, m, indent);
    if (m->snapshot != NULL && m->snapshot->index != 0) {
        text_printf(t, "\n%s  Snapshot: ", indent);
        format_snapshot(t, m->snapshot);
    }
    if (em->n_responses > 0) {
        char deeper[32];

        snprintf(deeper, sizeof deeper, "%s  ", indent);
        text_printf(t, " Responses:[");
        for (size_t i = 0; i < em->n_responses; i++) {
            text_put(t, "\n", 1);
            format_message(t, &em->responses[i], deeper);
        }
        text_printf(t, "\n%s]", indent);
    }
}

const char *format_role(enum rc_role role)
{
    static const char *const names[] = {"StateFollower", "StateCandidate", "StateLeader", "StatePreCandidate"};

    return names[role];
}

static void format_entries(struct text *t, const char *title, const struct rc_entry *entries, uint32_t n)
{
    if (n > 0) {
        text_printf(t, "%s:\n", title);
    }
    for (uint32_t i = 0; i < n; i++) {
        format_entry(t, &entries[i]);
        text_put(t, "\n", 1);
    }
}

/* msgs are the ready's messages as they will travel, storage work included. */
void format_ready(struct text *t, const struct rc_ready *rd, const struct env_msg *msgs, size_t n_msgs)
{
    struct text body = {0};

    text_clear(&body);
    if (rd->has_soft) {
        text_printf(&body, "Lead:%llu State:%s\n", U(rd->lead), format_role(rd->role));
    }
    if (rd->has_hard) {
        text_printf(&body, "HardState Term:%llu", U(rd->hard.term));
        if (rd->hard.vote != 0) {
            text_printf(&body, " Vote:%llu", U(rd->hard.vote));
        }
        text_printf(&body, " Commit:%llu\n", U(rd->hard.commit));
    }
    if (rd->n_reads > 0) {
        text_printf(&body, "ReadStates [");
        for (uint32_t i = 0; i < rd->n_reads; i++) {
            text_printf(&body, "%s{%llu %llu}", i > 0 ? " " : "", U(rd->reads[i].index), U(rd->reads[i].context));
        }
        text_printf(&body, "]\n");
    }
    format_entries(&body, "Entries", rd->entries, rd->n_entries);
    if (rd->snapshot != NULL) {
        text_printf(&body, "Snapshot ");
        format_snapshot(&body, rd->snapshot);
        text_put(&body, "\n", 1);
    }
    format_entries(&body, "CommittedEntries", rd->committed, rd->n_committed);
    if (n_msgs > 0) {
        text_printf(&body, "Messages:\n");
    }
    for (size_t i = 0; i < n_msgs; i++) {
        format_message(&body, &msgs[i], "");
        text_put(&body, "\n", 1);
    }
    if (body.n > 0) {
        text_printf(t, "Ready MustSync=%s:\n%s", rd->must_sync ? "true" : "false", body.v);
    } else {
        text_printf(t, "<empty Ready>");
    }
    text_free(&body);
}

void format_tracker(struct text *t, const struct rc_tracker *tracker)
{
    char line[256];

    for (uint32_t i = 0; i < tracker->n; i++) {
        text_printf(t, "%llu: %s\n", U(tracker->members[i].id),
                    rc_progress_text(&tracker->members[i], &tracker->limits, line, sizeof line));
    }
}
