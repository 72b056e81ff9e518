/* identity.c: the small file that says who this replica is: `meta-raft/identity`, a snapshot file of plugins/common (it
 * appears whole or not at all), replaced when the replica is born, when its group is formed, and when the log may
 * forget its oldest records. It must be durable before the replica says its id to anybody. Blocking; workers and start.
 *
 * Kind "RFID", version 1. Content, little-endian: u64 replica id; u32 node id; u32 formed; 16 bytes group id;
 * u64 first record of the log that is needed; when formed is 2 (founded anew, here or by others): u32 superseded;
 * u32 n, then n former group ids, oldest first; u64 last entry and i64 wall clock (ms) of the last time; then, when
 * formed, the group as of index 1 (group.c). */
#include "raft.h"

#include <stdlib.h>

#define IDENTITY_KIND SNAPFILE_KIND('R', 'F', 'I', 'D')
enum { IDENTITY_VERSION = 1, IDENTITY_HEAD = 40, IDENTITY_MOST = 64 << 10 };
enum { FORMED = 1, FORMED_ANEW = 2, ANEW_BYTES = 24 };

/* Of the part that tells of foundings by force. */
static size_t anew_bytes(const struct identity *id)
{
    return id->n_former || id->superseded ? ANEW_BYTES + id->n_former * sizeof id->former[0] : 0;
}

static bool anew_decode(struct identity *id, const uint8_t *p, uint64_t n)
{
    if (n < ANEW_BYTES || get_le32(p) > 1 || get_le32(p + 4) > RAFT_FORMER)
        return false;
    id->superseded = get_le32(p);
    id->n_former = get_le32(p + 4);
    size_t ids = id->n_former * sizeof id->former[0];
    if (n < ANEW_BYTES + ids)
        return false;
    memcpy(id->former, p + 8, ids);
    id->forced_index = get_le64(p + 8 + ids);
    id->forced_ms = (int64_t)get_le64(p + 16 + ids);
    return true;
}

static void anew_encode(const struct identity *id, uint8_t *p)
{
    size_t ids = id->n_former * sizeof id->former[0];
    put_le32(p, id->superseded);
    put_le32(p + 4, id->n_former);
    memcpy(p + 8, id->former, ids);
    put_le64(p + 8 + ids, id->forced_index);
    put_le64(p + 16 + ids, (uint64_t)id->forced_ms);
}

static bool decode(chronik_meta *m, const uint8_t *p, uint64_t n, uint32_t *node)
{
    struct identity *id = &m->id;
    if (n < IDENTITY_HEAD)
        return false;
    id->replica = get_le64(p);
    *node = get_le32(p + 8);
    uint32_t formed = get_le32(p + 12);
    memcpy(id->group_id.b, p + 16, 16);
    id->log_from = get_le64(p + 32);
    if (!id->replica || formed > FORMED_ANEW)
        return false;
    id->formed = formed != 0;
    p += IDENTITY_HEAD;
    n -= IDENTITY_HEAD;
    if (formed == FORMED_ANEW) {
        if (!anew_decode(id, p, n))
            return false;
        p += anew_bytes(id);
        n -= anew_bytes(id);
    }
    return formed ? group_decode(&id->bootstrap, p, n) : n == 0;
}

int32_t identity_load(chronik_meta *m, struct errtext *e)
{
    struct snapfile_info f;
    void *data = NULL;
    uint32_t node = 0;
    int32_t rc = snapfile_load(&m->host, m->cfg.dir, RAFT_FOLDER, RAFT_IDENTITY, IDENTITY_KIND, IDENTITY_VERSION,
                               IDENTITY_MOST, &f, &data, e);
    if (rc == CHRONIK_E_NOTFOUND)
        *e = (struct errtext){0};
    if (rc < 0) {
        if (rc != CHRONIK_E_NOTFOUND && !e->code)
            errtext_set(e, rc, "%s/%s cannot be read: %s", RAFT_FOLDER, RAFT_IDENTITY, util_code_text(rc));
        return rc;
    }
    if (!decode(m, data, f.bytes, &node))
        rc = errtext_set(
            e, CHRONIK_E_CORRUPT,
            "%s/%s: its content makes no sense: damaged; remove the folders %s and checkpoint to come back as a new "
            "replica, and add it to the quorum",
            RAFT_FOLDER, RAFT_IDENTITY, RAFT_FOLDER);
    else if (node != m->cfg.node_id)
        rc = errtext_set(e, CHRONIK_E_INVAL,
                         "%s/%s belongs to node %u, but node.id is %u: set node.id back, or use another directory",
                         RAFT_FOLDER, RAFT_IDENTITY, node, m->cfg.node_id);
    else if (m->id.superseded)
        rc = errtext_set(e, CHRONIK_E_STALE, RAFT_SUPERSEDED, RAFT_FOLDER);
    free(data);
    return rc;
}

int32_t identity_save(chronik_meta *m, struct errtext *e)
{
    const struct identity *id = &m->id;
    size_t anew = id->formed ? anew_bytes(id) : 0;
    size_t n = IDENTITY_HEAD + anew + (id->formed ? group_encode(&id->bootstrap, NULL, 0) : 0);
    uint8_t *p = malloc(n);
    struct snapfile_info f = {.kind = IDENTITY_KIND, .version = IDENTITY_VERSION};
    struct snapfile_writer *w = NULL;
    if (!p)
        return errtext_set(e, CHRONIK_E_NOMEM, "%s/%s: out of memory", RAFT_FOLDER, RAFT_IDENTITY);
    put_le64(p, id->replica);
    put_le32(p + 8, m->cfg.node_id);
    put_le32(p + 12, !id->formed ? 0 : anew ? FORMED_ANEW : FORMED);
    memcpy(p + 16, id->group_id.b, 16);
    put_le64(p + 32, id->log_from);
    if (anew)
        anew_encode(id, p + IDENTITY_HEAD);
    if (id->formed)
        group_encode(&id->bootstrap, p + IDENTITY_HEAD + anew, n - IDENTITY_HEAD - anew);
    int32_t rc = snapfile_begin(&m->host, m->cfg.dir, RAFT_FOLDER, RAFT_IDENTITY, &f, &w);
    if (rc > 0) {
        int32_t wrote = snapfile_chunk(w, p, n);
        rc = snapfile_end(w, wrote > 0, NULL);
        rc = wrote < 0 ? wrote : rc;
    }
    free(p);
    return rc < 0 ? errtext_set(e, rc, "%s/%s cannot be written: %s; check the disk and its owner", RAFT_FOLDER,
                                RAFT_IDENTITY, util_code_text(rc))
                  : CHRONIK_DONE;
}
