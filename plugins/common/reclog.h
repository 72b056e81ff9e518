/* reclog.h: the record log that every module shares: typed records appended to a chain of prewritten, recycled files,
 * made durable in groups, replayed in order after a crash. It knows nothing of what a record means.
 *
 * Numbers: records are numbered densely, 1, 2, 3 … for the life of the log, across files and restarts; a number is the
 * only position a user of this interface sees. "from" is inclusive, "end" exclusive.
 *
 * Threads: reclog_append, reclog_admit and the reading functions may be called from any thread. One executor, opened by
 * the log, writes: each pass takes everything gathered since the last one, writes it as one group and syncs; meanwhile
 * the next group gathers. There is no timer in that path. Callbacks run on that executor without any lock held.
 *
 * Locks: one leaf mutex, held for the place of a record in the gathering group and the copy of a small one, never
 * across a call to the host. The file format and the rule that tells a torn tail from damage are described at the top
 * of reclog.c. */
#ifndef CHRONIK_COMMON_RECLOG_H
#define CHRONIK_COMMON_RECLOG_H

#include "util.h"

#include <chronik/host.h>

struct reclog;

struct reclog_record {
    uint64_t number;
    uint32_t type; /* 1..65535, the owner's */
    uint32_t n;    /* bytes of data */
    const void *data;
};

enum {
    RECLOG_FRESH = 1, /* an empty directory is right although `from` > 1: the log begins at `from` */
    RECLOG_LATER = 2, /* so is a log that begins behind `from`: the owner judges by reclog_stat.first */
};

/* reclog_admit and reclog_append flags */
enum {
    RECLOG_URGENT = 1, /* small record that frees space or keeps the state whole: may use the reserve, never E_BUSY */
};

/* Zero means the default for sizes. Strings and the host table are borrowed for the life of the log. */
struct reclog_config {
    const struct chronik_host *host;
    uint32_t dir;              /* data directory number */
    uint32_t flags;            /* RECLOG_FRESH, RECLOG_LATER */
    const char *path;          /* folder of the log's files inside it; made when missing (its parent must exist) */
    const char *name;          /* of the commit executor and in messages, "store-wal" */
    uint64_t from;             /* first record wanted at replay (the owner's checkpoint + 1); 0 and 1: all */
    uint64_t first_file_bytes; /* 1 MiB: size of the first file; each next one is twice as big up to … */
    uint64_t file_bytes;       /* 64 MiB */
    uint64_t group_bytes;      /* 2 MiB: records of a group (a single one may be bigger) */
    uint64_t gather_bytes;     /* 64 MiB: reclog_admit answers E_BUSY above */
    uint64_t reserve_bytes;    /* 64 KiB: kept for RECLOG_URGENT when the disk is full */
    uint32_t max_free_files;   /* 4: recycled files kept for reuse, more are removed */
    uint32_t idle_ms;          /* 50: the idle mark is written after this time without a group */
    void *arg;
    /* All records with number < `end` are durable. On the commit executor, rising, once a group. */
    void (*durable)(void *arg, uint64_t end);
    /* Writing or syncing failed: the log has stopped for good, nothing gathered since the last `durable` is known to
     * be on disk or not. One sentence with file and remedy. The owner ends the process (status 74) or its engine. */
    void (*failed)(void *arg, int32_t code, const char *text);
    /* May be NULL: a group of so many records and bytes (padding included) was synced in `ns`. Like `durable`, before
     * it. */
    void (*synced)(void *arg, uint32_t records, uint64_t bytes, int64_t ns);
};

/* Opens or creates the log and replays it: `replay` gets every record with number >= cfg->from, in order, in the
 * calling thread, and answers CHRONIK_DONE; a negative result ends the replay and is returned (replay fills `e`).
 * Blocking: call it on a worker. A torn tail is cut (e->text is left alone; see reclog_stat). Damage: E_CORRUPT and a
 * sentence with file, offset and remedy. Everything replayed is durable when this returns. */
int32_t reclog_open(const struct reclog_config *cfg, int32_t (*replay)(void *arg, const struct reclog_record *r),
                    void *arg, struct errtext *e, struct reclog **out);

/* Whether a record of `bytes` may be appended now: CHRONIK_DONE, E_BUSY (too much is gathered already), E_NOSPC (the
 * disk is full and the prewritten room is used up), E_CLOSED (failed or closing). */
int32_t reclog_admit(struct reclog *l, uint64_t bytes, uint32_t flags);

/* Gathers one record (the bytes of iov, copied) and returns its number in *number. It does not ask reclog_admit: a
 * caller that wants back-pressure asks first. E_NOMEM, E_CLOSED, E_TOOBIG (>= 1 GiB). Records of one thread keep their
 * order; the order of numbers is the order of calls. `note`, if not NULL, runs under the log's mutex with the number:
 * the place to link the caller's own waiting list in the same order; it must only touch memory. */
int32_t reclog_append(struct reclog *l, uint32_t type, const struct chronik_iov *iov, uint32_t n_iov,
                      void (*note)(void *arg, uint64_t number), void *arg, uint64_t *number);

/* Reads durable records from number `from` on, oldest first, until `max_bytes` of data were given (at least one record)
 * or the durable end. `each` answers CHRONIK_DONE to go on, 0 to stop. E_RANGE below the first record kept, E_CORRUPT
 * with a sentence in `e`. Blocking: call it on a worker. */
int32_t reclog_read(struct reclog *l, uint64_t from, uint64_t max_bytes,
                    int32_t (*each)(void *arg, const struct reclog_record *r), void *arg, struct errtext *e);

/* The owner needs no record below `from` any more, and that fact is durable. Whole files below are recycled. Any
 * thread; the work is done on the commit executor. */
void reclog_trim(struct reclog *l, uint64_t from);

struct reclog_stat {
    uint64_t first;         /* oldest record kept */
    uint64_t end;           /* behind the last record gathered */
    uint64_t durable;       /* behind the last durable record */
    uint64_t bytes;         /* of the records kept, from `first` to the durable end, overhead included */
    uint64_t position;      /* bytes of groups ever written: differences measure what a replay would read */
    uint64_t gathered;      /* bytes waiting for their group */
    uint64_t disk_bytes;    /* of all files, free ones included */
    uint64_t groups, syncs; /* since open */
    uint64_t torn_bytes;    /* of the torn group that was cut at open, 0 none */
    uint32_t files, free_files;
};
void reclog_stat(struct reclog *l, struct reclog_stat *out);

/* The commit executor: for work of the owner that must be serial with the groups. */
struct chronik_exec *reclog_exec(struct reclog *l);

/* Commits what is gathered, writes the final mark, closes, then `done` on a host thread; the log is gone. Nothing may
 * be appended once this was called. Always pending. */
void reclog_close(struct reclog *l, struct chronik_done done);

#endif
