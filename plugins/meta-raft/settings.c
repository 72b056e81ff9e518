/* settings.c: what the broker's settings say of the quorum: Kafka's controller.quorum.voters, .bootstrap.servers,
 * .election.timeout.ms, .auto.join.enable, controller.listener.names and listeners. Read once, in create. A refusal is
 * one line with key, value and remedy. */
#include "raft.h"

#include <stdio.h>
#include <stdlib.h>

static const char *text_of(chronik_meta *m, const char *key)
{
    const char *v = NULL;
    return m->host.config_str(m->host.ctx, key, &v) > 0 && v ? v : "";
}

static int32_t refuse(chronik_meta *m, const char *key, const char *value, const char *why)
{
    util_log(&m->host, CHRONIK_LOG_ERROR, "%s=%s: %s", key, value, why);
    return CHRONIK_E_INVAL;
}

/* The next element of a list, without blanks around it; false at its end. */
static bool next_item(const char **at, char *out, size_t n)
{
    const char *p = *at;
    while (*p == ' ' || *p == ',' || *p == '\t')
        p++;
    size_t len = strcspn(p, ",");
    *at = p + len;
    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    if (!len || len >= n)
        return false;
    memcpy(out, p, len);
    out[len] = 0;
    return true;
}

bool settings_good_address(const char *a)
{
    const char *colon = strrchr(a, ':');
    if (!colon || colon == a || strlen(a) >= RAFT_ADDRESS)
        return false;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return end != colon + 1 && !*end && port > 0 && port < 65536;
}

static int32_t read_voters(chronik_meta *m)
{
    const char *key = "controller.quorum.voters", *text = text_of(m, key), *at = text;
    char item[RAFT_ADDRESS + 16];
    struct book *b = &m->quorum.voters;
    while (next_item(&at, item, sizeof item)) {
        char *end;
        unsigned long id = strtoul(item, &end, 10);
        if (*end != '@' || end == item || id > INT32_MAX || !settings_good_address(end + 1))
            return refuse(m, key, text, "each voter is id@host:port, separated by commas");
        if (b->n == RAFT_PEERS)
            return refuse(m, key, text, "more voters than a quorum can have");
        for (uint32_t i = 0; i < b->n; i++)
            if (b->v[i].node == id || strcmp(b->v[i].address, end + 1) == 0)
                return refuse(m, key, text, "a node id or an address is there twice");
        struct member *x = &b->v[b->n++];
        x->node = (uint32_t)id;
        memcpy(x->address, end + 1, strlen(end + 1) + 1);
        if (x->node == m->cfg.node_id)
            memcpy(m->quorum.address, x->address, sizeof x->address);
    }
    for (uint32_t i = 0; i < b->n; i++) { /* the order in the list means nothing */
        uint32_t h = m->host.crc32c(b->v[i].node, b->v[i].address, strlen(b->v[i].address));
        m->quorum.voters_hash += h ? h : 1;
    }
    if (b->n && !m->quorum.address[0])
        return refuse(m, key, text,
                      "this node's node.id is not among them: add it, or name the quorum's addresses in "
                      "controller.quorum.bootstrap.servers");
    return CHRONIK_DONE;
}

/* The address of the listener that controller.listener.names has, as in listeners: NAME://host:port. */
static void read_listener(chronik_meta *m)
{
    const char *names = text_of(m, "controller.listener.names"), *all = text_of(m, "listeners");
    char name[64], item[RAFT_ADDRESS + 64];
    while (!m->quorum.listen[0] && next_item(&names, name, sizeof name)) {
        const char *at = all;
        size_t n = strlen(name);
        while (next_item(&at, item, sizeof item))
            if (strncmp(item, name, n) == 0 && strncmp(item + n, "://", 3) == 0) {
                const char *a = item + n + 3;
                if (a[0] == ':') /* every address of this machine */
                    snprintf(m->quorum.listen, RAFT_ADDRESS, "0.0.0.0%s", a);
                else if (strlen(a) < RAFT_ADDRESS)
                    memcpy(m->quorum.listen, a, strlen(a) + 1);
            }
    }
    if (!m->quorum.listen[0])
        memcpy(m->quorum.listen, m->quorum.address, sizeof m->quorum.listen);
    if (!m->quorum.address[0] && strncmp(m->quorum.listen, "0.0.0.0:", 8) != 0)
        memcpy(m->quorum.address, m->quorum.listen, sizeof m->quorum.address);
}

/* "localhost:9093" where we listen on every address at 9093, and the like. */
static bool is_self(const chronik_meta *m, const char *server)
{
    const char *port = strrchr(server, ':'), *mine = strrchr(m->quorum.listen, ':');
    bool local =
        strncmp(server, "localhost:", 10) == 0 || strncmp(server, "127.", 4) == 0 || strncmp(server, "[::1]:", 6) == 0;
    if (strcmp(server, m->quorum.address) == 0 || strcmp(server, m->quorum.listen) == 0)
        return true;
    return port && mine && strcmp(port, mine) == 0 && local &&
           (strncmp(m->quorum.listen, "0.0.0.0:", 8) == 0 || strncmp(m->quorum.listen, "[::]:", 5) == 0 ||
            strncmp(m->quorum.listen, "localhost:", 10) == 0);
}

static int32_t read_servers(chronik_meta *m)
{
    const char *key = "controller.quorum.bootstrap.servers", *text = text_of(m, key), *at = text;
    char item[RAFT_ADDRESS];
    bool any = false;
    while (next_item(&at, item, sizeof item)) {
        any = true;
        if (!settings_good_address(item))
            return refuse(m, key, text, "each server is host:port, separated by commas");
        if (is_self(m, item))
            continue;
        if (m->quorum.n_servers < RAFT_PEERS)
            memcpy(m->quorum.server[m->quorum.n_servers++], item, strlen(item) + 1);
    }
    if (any && !m->quorum.listen[0])
        return refuse(m, key, text,
                      "the quorum must be able to reach this node: add a listener that "
                      "controller.listener.names names");
    return CHRONIK_DONE;
}

int32_t settings_load(chronik_meta *m)
{
    struct quorum *q = &m->quorum;
    int64_t join = 0;
    struct chronik_dir_info dir = {.size = sizeof dir};
    if (m->host.dir_info(m->host.ctx, m->cfg.dir, &dir) > 0)
        q->directory = dir.id;
    if (m->host.config_i64(m->host.ctx, "controller.quorum.election.timeout.ms", &q->election_ms) < 0)
        q->election_ms = 1000;
    if (q->election_ms < 50)
        q->election_ms = 50;
    m->host.config_i64(m->host.ctx, "controller.quorum.auto.join.enable", &join);
    q->auto_join = join != 0;
    int32_t rc = read_voters(m);
    if (rc > 0) {
        read_listener(m);
        rc = read_servers(m);
    }
    q->single = q->voters.n == 1 || (q->voters.n == 0 && q->n_servers == 0);
    if (rc > 0)
        rc = m->host.config_i64(m->host.ctx, "chronik.meta-raft.snapshot.bytes", &m->snapshot_bytes);
    if (rc > 0)
        rc = m->host.config_i64(m->host.ctx, "chronik.meta-raft.file.bytes", &m->file_bytes);
    return rc;
}
