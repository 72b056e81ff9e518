/* reclog_int.h: what the three files of the record log share: reclog.c (gathering and committing), reclog_file.c (the
 * chain of files, prewriting, recycling) and reclog_scan.c (reading groups back). Nobody else includes it. */
#ifndef CHRONIK_COMMON_RECLOG_INT_H
#define CHRONIK_COMMON_RECLOG_INT_H

#include "mutant.h"
#include "reclog.h"

#include <pthread.h>

enum {
    RL_SECTOR = 512,
    RL_GROUP_HEAD = 64,
    RL_RECORD_HEAD = 8,
    RL_CHUNK_FRONT = 2 * RL_SECTOR, /* of a chunk's memory: itself, and room for a file's header */
    RL_IDX_EVERY = 64 * 1024,
    RL_KEEPER_LEAVING = 2,
};

/* A group's place in the log and what seals it. */
struct rl_group {
    uint64_t position; /* of its header; counts bytes of groups since the log began */
    uint64_t durable_through;
    uint64_t first; /* number of its first record */
    uint32_t n_records;
    uint32_t body_n;
    uint32_t crc;  /* of the whole group: the next one's `prev` */
    uint32_t prev; /* crc of the group before */
    const uint8_t *body;
};

struct rl_idx {
    uint64_t number, position;
};

/* One file of the chain, or a free one. Linked by `next` in generation order. */
struct rl_file {
    struct rl_file *next;
    struct chronik_file *f;
    uint64_t capacity; /* groups are written up to here */
    uint64_t size;     /* as prewritten */
    uint64_t generation, salt;
    uint64_t base;  /* position of its first group */
    uint64_t first; /* number of its first record */
    uint32_t chain; /* crc of the group before its first */
    uint32_t readers;
    struct rl_idx *idx; /* sparse: a group at least every 64 KiB */
    uint32_t n_idx, cap_idx;
    uint32_t slot; /* its name: %08u.log */
    int whole;     /* it had its capacity, synced, before the first group of its generation: shorter, it was cut */
};

/* Records gathered for one group, laid out as it is written, at a multiple of 512 bytes of memory: this, room for a
 * file's header at RL_SECTOR, the group's header at RL_CHUNK_FRONT, the records, room to pad them to a sector. */
struct rl_chunk {
    struct rl_chunk *next;
    uint64_t used, cap; /* of the records */
    uint32_t n_records;
    uint32_t writers; /* records that are being copied in */
    int sealed;       /* takes no more: a group waits for it */
};

static inline uint8_t *rl_chunk_group(struct rl_chunk *c)
{
    return (uint8_t *)c + RL_CHUNK_FRONT;
}

static inline uint8_t *rl_chunk_data(struct rl_chunk *c)
{
    return rl_chunk_group(c) + RL_GROUP_HEAD;
}

struct rl_keeper { /* background work on a worker thread: one at a time */
    struct chronik_task task;
    struct rl_file *making; /* being prewritten */
    uint64_t made;          /* bytes so far */
    struct rl_file *doomed; /* being removed, 8 MiB a step */
    struct rl_file *doom_list;
    int running; /* RL_KEEPER_LEAVING: its last act was to post trim_task */
    int want;    /* bytes are wanted: make a file */
    uint64_t want_bytes;
    int32_t told; /* result of the last step: a failure is told once */
};

struct reclog {
    struct reclog_config cfg;
    const struct chronik_host *h;
    struct chronik_exec *exec;
    pthread_mutex_t mu;
    char path[200];
    char where[280]; /* of the folder, for messages */
    struct chronik_uuid id;
    uint32_t incarnation;

    /* Under mu. */
    struct rl_chunk *gather_head, *gather_tail, *pool;
    struct rl_chunk *cut_waits; /* the commit executor is to be posted when the copies into this one are done */
    struct rl_chunk *mark;      /* a group without records */
    uint64_t gathered;          /* bytes of records in gather and in the group being written */
    uint64_t next_number;       /* of the next append */
    uint64_t durable;           /* records below are durable */
    uint64_t durable_pos;       /* groups below are durable; also where the next group goes */
    uint64_t trim_from;         /* as the owner said */
    uint64_t trim_pos;          /* position of a group at or before it */
    struct rl_file *files;      /* live, oldest first */
    struct rl_file *active;
    struct rl_file *free_files;
    uint32_t n_files, n_free, next_slot;
    int retry_armed; /* retry_task is queued */
    int busy;        /* a commit pass is posted or running */
    int nospc;       /* the last try to get room failed */
    int gone;        /* the folder is not there any more: what is written now cannot be found by the next start */
    int failed;      /* stopped for good */
    int closing;     /* reclog_close was called */
    uint64_t groups, syncs, torn_bytes;
    struct rl_keeper keeper;

    /* The commit executor's own. */
    struct chronik_task commit_task, idle_task, trim_task, retry_task, reap_task;
    struct chronik_file_op op;
    struct rl_chunk *group; /* being written; NULL: none, or the mark */
    uint64_t group_end_number, group_bytes;
    uint32_t chain;     /* crc of the last group */
    int inflight;       /* op is submitted */
    int marked;         /* the last group is a mark that covers all before */
    int idle_armed;     /* idle_task is queued */
    int64_t last_group; /* mono ns */
    int64_t sync_began; /* mono ns */
    struct chronik_done close_done;
};

/* reclog_file.c */
int32_t rl_file_name(const struct reclog *l, uint32_t slot, char *out, size_t n);
void rl_head_encode(const struct reclog *l, const struct rl_file *f, uint8_t out[RL_SECTOR]);
int32_t rl_files_load(struct reclog *l, struct errtext *e);
/* A file for the next group of `need` bytes, header included: a free one or a new one that grows as it is written. */
int32_t rl_file_take(struct reclog *l, uint64_t need, struct rl_file **out);
int32_t rl_file_new(struct reclog *l, uint64_t capacity, struct rl_file **out);
int32_t rl_file_prewrite(struct reclog *l, struct rl_file *f, uint64_t from, uint64_t to);
void rl_file_free(struct reclog *l, struct rl_file *f);
void rl_file_index(struct rl_file *f, uint64_t number, uint64_t position);
void rl_files_trim(struct reclog *l);
uint64_t rl_file_wanted(const struct reclog *l);
/* Starts the background work that is due: prewriting the next file, removing surplus ones. */
void rl_keeper_kick(struct reclog *l);

/* reclog_scan.c */
void rl_group_seal(const struct reclog *l, const struct rl_file *f, struct rl_group *g, const struct chronik_iov *body,
                   uint32_t n_body, uint8_t out[RL_GROUP_HEAD]);
int32_t rl_replay(struct reclog *l, int32_t (*replay)(void *arg, const struct reclog_record *r), void *arg,
                  struct errtext *e);

#endif
