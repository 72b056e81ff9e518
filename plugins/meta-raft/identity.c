/* identity.c: the small file that says who this replica is: `meta-raft/identity`, a snapshot file of plugins/common (it
 * appears whole or not at all), replaced when the replica is born, when its group is formed, and when the log may
 * forget its oldest records. It must be durable before the replica says its id to anybody. Blocking; workers and start.
 *
 * Kind "RFID", version 1. Content, little-endian: u64 replica id; u32 node id; u32 formed; 16 bytes group id;
 * u64 first record of the log that is needed; then, when formed, the group as of index 1 (group.c). */
#include "raft.h"

#include <stdlib.h>

#define IDENTITY_KIND SNAPFILE_KIND('R', 'F', 'I', 'D')
enum { IDENTITY_VERSION = 1, IDENTITY_HEAD = 40, IDENTITY_MOST = 64 << 10 };

static bool decode(chronik_meta *m, const uint8_t *p, uint64_t n, uint32_t *node)
{
    struct identity *id = &m->id;
    if (n < IDENTITY_HEAD)
        return false;
    id->replica = get_le64(p);
    *node = get_le32(p + 8);
    id->formed = get_le32(p + 12);
    memcpy(id->group_id.b, p + 16, 16);
    id->log_from = get_le64(p + 32);
    if (!id->replica || id->formed > 1)
        return false;
    return id->formed ? group_decode(&id->bootstrap, p + IDENTITY_HEAD, n - IDENTITY_HEAD) : n == IDENTITY_HEAD;
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
        rc = errtext_set(e, CHRONIK_E_CORRUPT,
                         "%s/%s: its content makes no sense: damaged; remove the folder %s to come back as a new "
                         "replica, and add it to the quorum",
                         RAFT_FOLDER, RAFT_IDENTITY, RAFT_FOLDER);
    else if (node != m->cfg.node_id)
        rc = errtext_set(e, CHRONIK_E_INVAL,
                         "%s/%s belongs to node %u, but node.id is %u: set node.id back, or use another directory",
                         RAFT_FOLDER, RAFT_IDENTITY, node, m->cfg.node_id);
    free(data);
    return rc;
}

int32_t identity_save(chronik_meta *m, struct errtext *e)
{
    const struct identity *id = &m->id;
    size_t n = IDENTITY_HEAD + (id->formed ? group_encode(&id->bootstrap, NULL, 0) : 0);
    uint8_t *p = malloc(n);
    struct snapfile_info f = {.kind = IDENTITY_KIND, .version = IDENTITY_VERSION};
    struct snapfile_writer *w = NULL;
    if (!p)
        return errtext_set(e, CHRONIK_E_NOMEM, "%s/%s: out of memory", RAFT_FOLDER, RAFT_IDENTITY);
    put_le64(p, id->replica);
    put_le32(p + 8, m->cfg.node_id);
    put_le32(p + 12, id->formed);
    memcpy(p + 16, id->group_id.b, 16);
    put_le64(p + 32, id->log_from);
    if (id->formed)
        group_encode(&id->bootstrap, p + IDENTITY_HEAD, n - IDENTITY_HEAD);
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
