/* store.h: the inside of store-wal: an instance, its data directories, partitions, segments. Each .c file names the
 * part of this header that it owns.
 *
 * Locks, in the order in which one thread may take them, all leaves of the broker's order:
 *   part->wmu     one writer of a partition at a time (append, roll, truncate, capture for a checkpoint); the only lock
 *                 that is held across a call to the host, and then only for writes into the page cache
 *   part->mu      a partition's state, for a few instructions
 *   store->mu     the table of partitions, lists of doomed segments and jobs
 *   store->fmu    which segments have an open file (segment.c)
 *   store->imu    chunks of indexes that were read (index.c)
 *   (the record log's mutex)
 *   dir->qmu      who waits for which record (wal.c) */
#ifndef STORE_WAL_STORE_H
#define STORE_WAL_STORE_H

#include "plugins/common/mutant.h"
#include "plugins/common/reclog.h"
#include "plugins/common/snapfile.h"

#include <chronik/store.h>

#include <pthread.h>
#include <stdatomic.h>

enum {
    ST_MAX_DIRS = 64,
    ST_HASH = 4096,
    ST_HINTS = 4, /* of each kind */
    ST_PATH = 200,
    ST_IDX_ENTRY = 20,
    ST_IDX_CHUNK = 101,       /* entries */
    ST_IDX_EVERY = 64 * 1024, /* bytes of log per entry */
    ST_IDX_KEPT = 32,         /* chunks read last, of all segments together */
    ST_BATCH_HEAD = 61,       /* fixed part of a v2 record batch */
    ST_SEAL_HEAD = 21,        /* of it, what stands in front of the bytes that its checksum covers */
    ST_REAP_STEP = 8 << 20,   /* bytes truncated at a time before an unlink (D8) */
    ST_AHEAD = 2 << 20,       /* bytes of a segment that are written out ahead of the checkpoint */
};

struct st_dir;

/* Who remembered a place; neither drives the others' out. */
enum { HINT_APPEND, HINT_READ, HINT_KINDS };

/* Where a batch begins: remembered for sequential readers and high watermarks. */
struct st_hint {
    int64_t offset;
    uint64_t position;
    uint32_t serial;
    uint32_t reserved;
};

struct st_idx_entry {
    uint32_t rel_offset, position, rel_ts, flags;
    uint32_t crc; /* of the segment's bytes in front of it */
};

/* A place in a segment and the checksum of all bytes in front of it. */
struct st_anchor {
    uint64_t position;
    uint32_t crc, reserved;
};

/* A segment file and what is known of it. In the partition's list: one reference; each pin and each job: one more. */
struct st_seg {
    struct st_seg *next; /* doomed list */
    chronik_store *s;
    struct st_dir *dir;
    atomic_uint refs;
    uint32_t pn, serial;
    char folder[72]; /* of the partition, below data/ */

    /* Under part->mu while in a partition. */
    int64_t base, end; /* offsets; end exclusive */
    uint64_t bytes;
    int64_t max_ts, max_ts_offset, ts_base;
    int64_t created_ms;
    int32_t last_epoch;
    uint32_t sealed;
    uint32_t crc; /* seal.c: of all bytes, when crc_known (else the manifest is an older release's) */
    uint32_t crc_known;
    uint32_t shift;   /* seal.c's, for batches of shift_n bytes */
    uint32_t old_crc; /* of the first old_bytes */
    uint64_t shift_n;
    uint64_t old_bytes;       /* from before this process: proved before they are served */
    uint8_t *proved;          /* a bit for each 64 KiB of them; NULL: none yet */
    struct st_idx_entry *idx; /* not spilled yet */
    uint32_t n_idx;
    int32_t idx_chunks;   /* spilled; -1: unknown after a recovery */
    uint64_t idx_next;    /* position from which on the next entry is due */
    uint32_t cut_pending; /* the file may be longer than `bytes`: cut before the first append */

    /* Under store->fmu. */
    struct chronik_file *file;
    uint32_t uses;
    uint32_t on_lru;
    struct st_seg *lru_prev, *lru_next;

    atomic_uint dirty; /* written since its last sync: in dir->dirty, holding a reference; its file stays open */
    struct st_seg *dirty_next;
    uint64_t ahead; /* under wmu: writing out ahead of the checkpoint was asked for up to here */
    struct st_seg *ahead_next;
    uint32_t ahead_queued; /* under store->mu */
    atomic_uint doomed;    /* out of its partition */
    uint32_t folder_only;  /* no file: stands for the folder of a deleted partition */
    uint64_t known_size;   /* replay: size of the file, reap: what is left of it */
};

struct st_sidecar {
    int64_t offset;
    uint32_t kind, reserved;
};

struct chronik_store_part {
    chronik_store_part *next;    /* hash chain */
    chronik_store_part *pn_next; /* replay's map */
    chronik_store *s;
    _Atomic(struct st_dir *) dir; /* changes in move.c, with pn, under wmu, smu and mu */
    struct chronik_uuid topic;
    int32_t partition;
    uint32_t pn;          /* number of the partition in its directory, never used twice */
    uint32_t moves;       /* how often it changed its directory: of two copies the greater one is right */
    uint32_t frozen;      /* under wmu: a move is about to swap; appends and cuts answer E_BUSY */
    struct st_move *move; /* under wmu */
    atomic_uint refs;
    pthread_mutex_t wmu, mu, smu; /* smu: sidecars; after wmu, held across small files' I/O */
    void *cookie;
    uint32_t opened, deleted;
    atomic_uint offline; /* a negative code, negated */
    int64_t log_start, written;
    _Atomic int64_t durable;
    uint64_t applied; /* number of the last log record that this state includes */
    uint32_t gen;     /* raised by truncate_suffix: older entries of the queue are void */
    uint32_t next_serial;
    struct st_seg **segs; /* oldest first; the last one is active unless sealed */
    uint32_t n_segs, cap_segs;
    int32_t last_epoch;
    uint32_t clean;
    int64_t recovery_point, recovered_end;
    uint32_t made;        /* its folder exists */
    uint32_t entries_new; /* its folder has entries that were not synced */
    struct st_hint hints[HINT_KINDS * ST_HINTS];
    uint32_t next_hint[HINT_KINDS];
    struct st_sidecar *sidecars;
    uint32_t n_sidecars;
    int32_t sidecars_loaded;
    uint32_t folder_synced; /* under smu: the folder's own entry is durable */
    uint64_t announce_mark; /* commit executor: last announcement this partition is in */
    uint32_t announce_at;
    uint32_t replacing;
    uint64_t nowal_seq;       /* under wmu: appends that no log knows */
    atomic_ullong nowal_done; /* of these, synced */
    uint64_t nowal_captured;  /* the checkpoint's */
    int64_t told_sidecars;    /* the checkpoint's: the end that want_sidecars named last */
};

/* An append (or another record) that waits for its group; or a caller who waits for a number. */
struct st_wait {
    uint64_t number;
    chronik_store_part *part; /* NULL: only done */
    int64_t end;
    uint32_t gen;
    uint32_t reserved;
    struct chronik_done done; /* fn may be NULL */
};

struct st_dir {
    chronik_store *s;
    uint32_t no;
    uint32_t offline;
    const char *path; /* for messages */
    struct chronik_file *lock;
    struct reclog *wal;
    uint64_t wal_from; /* of the manifest: the first record a replay needs */
    atomic_uint next_pn;
    uint64_t generation;       /* of the manifest */
    uint64_t reserve;          /* bytes of the file reserve; start's, then the checkpoint executor's */
    uint32_t full_told;        /* the checkpoint executor's: it was said that the disk is full */
    atomic_llong refused_told; /* mono ns of the last line about appends that a full disk refused; 0 never */
    struct chronik_uuid id;
    uint32_t was_clean, same_boot;
    uint32_t os_mode;     /* segments may hold appends that the log does not know */
    uint32_t os_marked;   /* the file that says so exists */
    uint32_t suspect;     /* a sync had failed: pages may look clean that are not on disk */
    atomic_uint data_new; /* data/ has entries that were not synced */
    struct replay *replay;
    atomic_ullong wal_bytes;   /* appended since start */
    atomic_ullong wal_checked; /* of these, covered by the last checkpoint */
    pthread_mutex_t qmu;
    struct st_wait *queue; /* ring, in the order of numbers */
    uint32_t q_head, q_n, q_cap, q_reserved;
    uint64_t last_number, done_number; /* under qmu: last record appended; announced below this */
    struct st_wait *batch;             /* the commit executor's */
    struct chronik_durable *announce;  /* the commit executor's */
    uint32_t announce_cap;
    uint64_t announce_mark;
    pthread_mutex_t dmu;
    struct st_seg *dirty; /* under dmu */
    atomic_uint n_dirty;
    uint32_t parts; /* under store->mu */
    atomic_uint changed, interval_due;
};

struct st_settings {
    uint64_t segment_max, wal_max, wal_checkpoint, wal_file, wal_first;
    uint32_t max_open, most_open, checkpoint_ms, interval_ms;
    uint64_t scrub_bytes; /* a second; 0: never */
    int64_t scrub_pause_ms;
    uint32_t os_mode; /* chronik.flush is not group */
};

/* All directories together. */
struct st_metrics {
    struct chronik_metric *sync_ns, *groups, *group_records, *group_bytes, *unchecked, *checkpoints, *busy, *nospc,
        *open, *scrubbed, *scrub_rounds, *damaged;
};

struct chronik_store {
    struct chronik_host host;
    const struct chronik_host *h;
    struct chronik_store_config cfg;
    struct chronik_store_events ev;
    struct st_settings set;
    struct st_dir dirs[ST_MAX_DIRS];
    uint32_t n_dirs;
    uint32_t started;
    atomic_uint closing;
    struct chronik_uuid boot;
    struct chronik_exec *exec; /* checkpoints */
    struct chronik_exec *low;  /* deletion, scrub */

    pthread_mutex_t mu;
    chronik_store_part *table[ST_HASH];
    uint32_t n_parts;
    struct st_seg *doomed_new; /* out of every partition, still in a manifest */
    struct st_seg *doomed;     /* in no manifest: files may go once nobody pins them */
    struct st_flush *flushes;  /* waiting for the next checkpoint */
    struct st_seg *ahead;      /* to write out ahead of the checkpoint; each with a reference */

    pthread_mutex_t imu;
    struct st_idx_chunk *chunks; /* ST_IDX_KEPT of them; NULL before the first */
    uint32_t next_chunk;

    pthread_mutex_t fmu;
    struct st_seg lru; /* list head: unused open files, most recent first */
    uint32_t n_open;

    struct st_scrub *scrub; /* the low executor's: the round in work */
    struct chronik_task ckpt_task, ahead_task, timer_task, reap_task, close_task, scrub_task;
    struct st_ckpt *ckpt;  /* the checkpoint that runs; the checkpoint executor's */
    struct st_move *moves; /* that wait for its end; the checkpoint executor's */
    atomic_uint hold;      /* a move is between freeze and swap: no checkpoint */
    atomic_uint ckpt_wanted;
    int64_t last_ckpt_ns;
    void (*final_then)(void *arg);
    struct st_seg *reaping; /* the low executor's */
    struct chronik_done close_done;
    uint32_t close_at;
    struct st_metrics m;
};

struct st_flush {
    struct st_flush *next;
    struct chronik_done done;
};

/* ---- batch.c: the fixed head of a record batch ---- */
struct st_batch {
    int64_t base, last, max_ts;
    uint64_t bytes; /* whole batch */
    int32_t epoch;
    uint32_t crc;
    uint32_t flags;
};
/* 1 when p[ST_BATCH_HEAD] is the head of a v2 batch. */
int batch_parse(const uint8_t *p, struct st_batch *out);
/* Reads the head at `position`; E_CORRUPT when there is none, E_RANGE at the end of the file, E_AGAIN. */
int32_t batch_read(chronik_store *s, struct chronik_file *f, uint64_t position, uint32_t flags, struct st_batch *out);

/* ---- segment.c ---- */
struct st_seg *seg_new(chronik_store_part *p, uint32_t serial, int64_t base);
void seg_ref(struct st_seg *g);
void seg_unref(struct st_seg *g);
void seg_path(const struct st_seg *g, const char *suffix, char out[ST_PATH]);
/* Opens the file when needed and keeps it open until seg_put. `create` makes it. */
int32_t seg_get(struct st_seg *g, int create, struct chronik_file **out);
void seg_put(struct st_seg *g);
void seg_close_file(struct st_seg *g);
void seg_mark_dirty(struct st_seg *g);
struct st_seg *seg_take_dirty(struct st_dir *d);
/* Adds batch `b` that was written at g->bytes and begins with `head`; under part->mu. */
void seg_add(struct st_seg *g, const struct chronik_batch_info *b, const uint8_t head[ST_SEAL_HEAD]);
void lru_init(chronik_store *s);

/* ---- index.c ---- */
void idx_add(struct st_seg *g, const struct chronik_batch_info *b); /* under part->mu, before seg_add's update */
/* Writes full chunks out; called by the writer without part->mu. */
void idx_spill(chronik_store_part *p, struct st_seg *g);
/* The last entry at or before `offset` (or position, or the last whose earlier batches are all older than ts): where to
 * start walking. */
enum { IDX_OFFSET, IDX_POSITION, IDX_TIME };
void idx_find(chronik_store_part *p, struct st_seg *g, int by, int64_t key, uint64_t *position);
/* The last entry at or before `from` and the first at or behind `to`; what is not found stays as it is. */
void idx_anchors(chronik_store_part *p, struct st_seg *g, uint64_t from, uint64_t to, struct st_anchor *before,
                 struct st_anchor *behind);
/* Forgets entries of the file behind the end, which a cut of the segment left there. */
void idx_cut(struct st_seg *g);
void idx_drop(chronik_store_part *p, struct st_seg *g); /* all of it: it contradicts the segment */

/* ---- seal.c ---- */
/* The segment's checksum with the batch of `bytes` behind it whose first bytes are `head`; under part->mu. */
uint32_t seal_next(struct st_seg *g, const uint8_t head[ST_SEAL_HEAD], uint64_t bytes);
/* Sees that bytes [from, to), as far as they are older than this process, are what was acknowledged. E_AGAIN; E_CORRUPT
 * when the partition went offline. No lock held. */
int32_t seal_check(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t from, uint64_t to,
                   uint32_t flags);
/* The checksum of the bytes in front of a position. */
int32_t seal_prefix(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t position, uint32_t *crc);
void seal_old(struct st_seg *g); /* all that it holds now is from before this process */
/* Proves at least `most` bytes from `from` on, whoever wrote them; *upto says how far that went. */
int32_t seal_scrub(chronik_store_part *p, struct st_seg *g, uint64_t from, uint64_t most, uint64_t *upto);

/* ---- scrub.c ---- */
void scrub_init(chronik_store *s);
void scrub_free(chronik_store *s);

/* ---- wal.c ---- */
enum {
    WAL_CREATE = 1,
    WAL_APPEND = 2,
    WAL_TRUNCATE_SUFFIX = 3,
    WAL_TRUNCATE_PREFIX = 4,
    WAL_ROLL = 5,
    WAL_REPLACE = 6,
    WAL_DELETE = 7,
    WAL_SEGMENT_REF = 8,
    WAL_MOVE_BEGIN = 9,
    WAL_ADOPT = 10,
};
int32_t wal_open(struct st_dir *d, int32_t (*replay)(void *arg, const struct reclog_record *r), struct errtext *e);
/* May a record of so many bytes be appended? */
int32_t wal_admit(struct st_dir *d, uint64_t bytes, uint32_t flags);
/* Appends a record for part (may be NULL); when durable, `end` (>= 0) is announced and done is called. */
int32_t wal_append(struct st_dir *d, uint32_t type, const struct chronik_iov *iov, uint32_t n_iov,
                   chronik_store_part *p, int64_t end, struct chronik_done done, uint64_t *number);
/* Calls done once every record so far is durable: DONE when it is, else PENDING. */
int32_t wal_wait(struct st_dir *d, struct chronik_done done);
struct wal_append_head { /* as on disk, little endian */
    uint32_t pn, serial;
    uint64_t position;
    uint32_t n_batches, flags;
    int64_t base, created_ms; /* of the segment */
    int64_t first;            /* base offset of the first batch */
};
struct wal_batch {
    int64_t base, last, max_ts;
    int32_t epoch;
    uint32_t flags;
    uint64_t bytes;
};
struct wal_create {
    uint32_t pn;
    int32_t partition;
    uint8_t topic[16];
};
struct wal_suffix {
    uint32_t pn, serial; /* the segment that is cut, 0 none */
    int64_t offset;
    uint64_t bytes; /* what stays of it */
    uint32_t next_serial, nowal;
    uint32_t crc, crc_known; /* of what stays of it */
};
struct wal_prefix {
    uint32_t pn, nowal;
    int64_t offset;
    uint32_t next_serial, reserved;
};
struct wal_roll {
    uint32_t pn, serial;
    uint64_t bytes;
    int64_t end;
    uint32_t nowal, reserved; /* nowal: the partition has appends that the log does not know */
};
struct wal_replace {
    uint32_t pn, serial; /* of the new segment */
    int64_t from, end;
    uint64_t bytes;
    int64_t max_ts, max_ts_offset, ts_base, created_ms;
    int32_t last_epoch;
    uint32_t crc;
};

/* ---- append.c ---- */
int32_t st_append(chronik_store *s, struct chronik_append *a, uint32_t n, uint32_t stride);
int32_t part_roll(chronik_store_part *p); /* wmu held */
/* After a failed write or sync ("writing file manifest"): E_NOSPC stays; else the directory or the process ends. */
int32_t dir_fault(struct st_dir *d, int32_t code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int32_t seg_fault(const struct st_seg *g, int32_t code, const char *what); /* the same, of a segment */
/* Marks that bytes may stand in segments that the log knows nothing of: a recovery looks for them then. */
int32_t os_mode_mark(struct st_dir *d);
/* Leaves word for the next start that pages of this kernel are not to be believed. */
void dir_suspect(struct st_dir *d);
void part_fail(chronik_store_part *p, int32_t code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- read.c ---- */
int32_t st_read(chronik_store_part *p, struct chronik_read *r);
void st_release(chronik_store_pin *pin);
int32_t st_find_time(chronik_store_part *p, int64_t ts, int64_t *offset);
/* Position of the first batch of g whose last offset is >= offset (g->bytes when none); walks from the index. */
int32_t seg_locate(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, int64_t offset, uint64_t limit,
                   uint32_t flags, uint64_t *position, struct st_batch *batch);
/* Checksum of the batch that ends right below `offset`; 0 when none does. */
uint32_t part_crc_below(chronik_store_part *p, int64_t offset);
/* Takes the partition offline with file and position, unless the code says that it is not the bytes' fault. */
int32_t seg_damaged(chronik_store_part *p, const struct st_seg *g, uint64_t position, int32_t code);
void part_hint(chronik_store_part *p, uint32_t kind, uint32_t serial, int64_t offset, uint64_t position); /* mu held */

/* ---- part.c ---- */
chronik_store_part *part_new(chronik_store *s, struct st_dir *d, const struct chronik_uuid *topic, int32_t partition,
                             uint32_t pn);
void part_ref(chronik_store_part *p);
void part_unref(chronik_store_part *p);
chronik_store_part *part_find(chronik_store *s, const struct chronik_uuid *topic, int32_t partition); /* s->mu held */
/* The one of a directory: until a start has chosen, there may be two. */
chronik_store_part *part_find_in(const struct st_dir *d, const struct chronik_uuid *topic, int32_t partition);
void part_insert(chronik_store *s, chronik_store_part *p);     /* s->mu held */
void part_remove(chronik_store *s, chronik_store_part *p);     /* s->mu held */
int32_t part_add_seg(chronik_store_part *p, struct st_seg *g); /* mu held */
struct st_seg *part_active(chronik_store_part *p);             /* mu held: NULL when the next append begins a segment */
void part_folder(const struct chronik_uuid *topic, int32_t partition, uint32_t pn, char out[72]);
/* Takes segments [from, from + n) out of the list and dooms them; mu held. */
void part_doom(chronik_store_part *p, uint32_t from, uint32_t n);
void part_doom_folder(chronik_store_part *p); /* mu held: of a deleted partition */
int32_t st_list(chronik_store *s, void (*each)(void *arg, const struct chronik_part_id *id), void *arg);
int32_t st_open(chronik_store *s, const struct chronik_part_id *id, uint32_t flags, void *cookie,
                chronik_store_part **out);
int32_t st_part_close(chronik_store_part *p, struct chronik_done done);
int32_t st_part_delete(chronik_store_part *p, struct chronik_done done);
int32_t st_segments(chronik_store_part *p, void (*each)(void *arg, const struct chronik_segment_info *i), void *arg);
void st_stat(chronik_store_part *p, struct chronik_part_stat *out);

/* ---- truncate.c ---- */
int32_t st_truncate_prefix(chronik_store_part *p, int64_t offset, struct chronik_done done);
int32_t st_truncate_suffix(chronik_store_part *p, int64_t offset, struct chronik_done done);
int32_t st_roll(chronik_store_part *p);
/* State changes alone, shared with replay; mu held. */
void part_cut_prefix(chronik_store_part *p, int64_t offset);
void part_cut_suffix(chronik_store_part *p, const struct wal_suffix *w);

/* ---- checkpoint.c ---- */
void ckpt_kick(chronik_store *s);   /* soon */
void ckpt_resume(chronik_store *s); /* s->hold is over */
/* After an append in group mode: lets a segment that gathered ST_AHEAD bytes be written out early. wmu held. */
void ckpt_ahead(struct st_seg *g);
int32_t st_flush(chronik_store *s, struct chronik_done done);
void ckpt_init(chronik_store *s);
void metrics_refresh(chronik_store *s); /* store.c */
/* The last one, at close: writes clean marks, then `then` runs on the checkpoint executor. */
void ckpt_final(chronik_store *s, void (*then)(void *arg));

/* ---- manifest.c ---- */
struct st_image { /* a manifest in memory */
    uint8_t *p;
    uint64_t n, cap;
    int32_t failed;
};
void manifest_begin(struct st_image *m, const struct st_dir *d, uint64_t wal_from);
void manifest_part(struct st_image *m, const chronik_store_part *p); /* wmu and mu held */
void manifest_doomed(struct st_image *m, const struct st_seg *g);
/* The record ADOPT: the partition under another number, with these segments. */
void manifest_adopt(struct st_image *m, const chronik_store_part *p, uint32_t pn, struct st_seg *const *segs,
                    uint32_t n);
int32_t manifest_adopt_load(struct st_dir *d, const void *data, uint64_t n, chronik_store_part **out);
int32_t manifest_write(struct st_dir *d, struct st_image *m);
/* Sees that the reserve is there for a manifest of so many bytes; on a full disk it is not, for now. */
void reserve_keep(struct st_dir *d, uint64_t manifest_bytes);
int32_t manifest_load(struct st_dir *d, struct errtext *e);
int32_t clean_write(struct st_dir *d);
int32_t clean_check(struct st_dir *d); /* sets was_clean, same_boot; removes the mark */
int32_t meta_check(struct st_dir *d, struct errtext *e);

/* ---- recover.c ---- */
int32_t st_start(chronik_store *s, char *text, uint64_t n);

/* ---- move.c ---- */
int32_t st_part_move(chronik_store_part *p, uint32_t dir, struct chronik_done done);
int move_next(chronik_store *s); /* checkpoint executor, no checkpoint runs: 1 when a move holds it now */
/* wmu held: 1 when the partition is about to swap; it is deleted behind that. */
int move_delete_later(chronik_store_part *p, struct chronik_done done);

/* ---- reap.c ---- */
void reap_init(chronik_store *s);
void reap_kick(chronik_store *s);
void reap_folder(struct st_seg *g); /* all that it holds, at once */

/* ---- sidecar.c ---- */
int32_t st_sidecar_write(chronik_store_part *p, uint32_t kind, int64_t offset, const void *data, uint64_t n);
int32_t st_sidecar_latest(chronik_store_part *p, uint32_t kind, int64_t at_most, int64_t *offset,
                          struct chronik_buf **out);
int32_t st_sidecar_drop(chronik_store_part *p, uint32_t kind, int64_t above, int64_t below);
void sidecar_load(chronik_store_part *p); /* smu held: the list, when nobody has read it yet */
void sidecar_name(char out[40], uint32_t kind, int64_t offset);
void sidecar_forget(chronik_store_part *p, int64_t above); /* after a cut: drops those above, all kinds */

/* ---- replace.c ---- */
int32_t st_replace_begin(chronik_store_part *p, int64_t from, int64_t end, void **rw);
int32_t st_replace_write(void *rw, const struct chronik_batch_info *b, const struct chronik_iov *iov, uint32_t n_iov);
int32_t st_replace_end(void *rw, uint32_t commit);
void part_swap(chronik_store_part *p, uint32_t first, uint32_t n, struct st_seg *with); /* mu held */
int32_t replace_replay(chronik_store_part *p, const void *data, uint32_t bytes);

/* ---- store.c ---- */
void path_join(char out[ST_PATH], const char *a, const char *b);
int32_t st_create(const struct chronik_host *host, const struct chronik_store_config *cfg,
                  const struct chronik_store_events *ev, chronik_store **out);
int32_t st_close(chronik_store *s, struct chronik_done done);

#endif
