/* priv.h: the inside of a partition, shared by the files of this folder only. */
#ifndef CHRONIK_PART_PRIV_H
#define CHRONIK_PART_PRIV_H

#include "partition/epochs.h"
#include "partition/part.h"
#include "partition/producers.h"

#include <pthread.h>

struct part {
    struct os_mutex mu;
    int32_t refs; /* atomic */
    int32_t index;
    struct part_set *set;
    struct chronik_uuid topic_id;
    char *topic;
    chronik_store_part *sp;
    struct part *chain; /* registry bucket */
    struct chronik_task reap;

    /* under mu */
    struct config_topic config;
    int32_t leader, leader_epoch;
    bool leading;  /* this node leads and may write */
    bool closed;   /* left the registry: everything answers NOT_LEADER_OR_FOLLOWER or UNKNOWN_TOPIC_OR_PARTITION */
    bool removing; /* closed because the topic was deleted */
    bool failed;   /* the store took it offline */
    bool loaded;   /* producers and epochs are complete up to `written` */
    int64_t log_start, written, high_watermark;
    uint64_t written_bytes, hw_bytes; /* bytes appended since open, up to written and up to high_watermark */
    int64_t segment_bytes; /* in the active segment, -1: not known yet; the next three say nothing of an empty one */
    int64_t segment_base;
    int64_t segment_time;       /* largest timestamp of its first batch, -1: none */
    int64_t segment_created_ms; /* wall clock */
    int64_t roll_jitter_ms;
    int64_t last_append_ms; /* wall clock; after opening the time of that: no record is younger */
    uint64_t flush_number;  /* flush.c: of the flush behind which `unflushed` records were written */
    int64_t unflushed;
    struct epochs epochs;
    struct producers producers;
    struct part_wait *waits, *waits_tail; /* by offset, ascending */
    struct part_fetch_node *fetches;
    int64_t sidecar_at; /* end of the newest state sidecar, -1 none */
    bool sidecar_wanted;
    int32_t moving_to;         /* directory, -1 none */
    struct part *sidecar_next; /* queue of the set */
};

struct part_set {
    struct part_set_config cfg;
    struct os_rwlock lock; /* the table below */
    struct part **buckets;
    uint32_t n_buckets, n;
    struct part_opening *openings; /* under lock, for writing */
    bool told_compact;             /* atomic */

    struct os_mutex side_mu; /* the queue of partitions that want a sidecar, and damage */
    char damage[400];        /* the newest sentence of a partition that went offline */
    struct part *side_head;
    bool sides_closed;
    struct chronik_task side_task;

    /* flush.c, under side_mu; the first two are atomic for readers */
    uint64_t flush_number;
    int64_t flush_at_ns; /* when flush_task runs, INT64_MAX: it does not */
    bool flushing, flush_again, closing;
    struct chronik_task flush_task; /* on the low executor */
};

/* What must be called once the partition's lock is free. */
struct part_fired {
    struct part_wait *waits;
    struct part_fetch *fetches;
    int16_t error;
};

/* Under mu: the high watermark rises to `hw` (never falls); collects who is to be told. */
void part_raise_hw(struct part *p, int64_t hw, struct part_fired *out);
/* Under mu: everything that waits leaves the lists. */
void part_fail_waiters(struct part *p, struct part_fired *out);
/* Under mu. */
void part_wait_queue(struct part *p, struct part_wait *w);
/* Without lock: calls them. */
void part_fire(struct part_fired *f);

/* Under mu: makes producers and epochs complete: sidecar, then the batches behind it. A Kafka error code. */
int16_t part_load(struct part *p);
/* Under mu: what a batch at `base_offset` says of epochs and producers. false: out of memory. */
bool part_note_batch(struct part *p, const struct batch_head *h, int64_t base_offset);

/* Low executor: writes the state sidecar. */
bool part_ref_alive(struct part *p); /* false: nobody holds it any more, it is about to go */
void part_sidecar_enqueue(struct part *p);
void part_sidecars_close(struct part_set *s); /* nothing is posted from here on */
void part_sidecars_run(void *set);

/* What flush.messages and flush.ms ask for after an append. */
struct part_flush {
    bool now;
    int64_t in_ms; /* INT64_MAX: never */
};
/* Under mu, after an append that waits for no log: counts its records. */
void part_flush_note(struct part *p, const struct config_topic *c, int64_t records, struct part_flush *ask);
/* Without lock. */
void part_flush_ask(struct part_set *s, const struct part_flush *ask);
void part_flush_due(void *set);
void part_flush_close(struct part_set *s); /* no flush begins any more */

/* Under mu: how much earlier than segment.ms the active segment is rolled, drawn anew for each (segment.jitter.ms). */
void part_draw_jitter(struct part *p);

/* store code -> Kafka code */
int16_t part_store_error(int32_t code);

/* Calls each for the headers of all batches in [from, end). Blocking reads. false from `each` stops. */
struct part_batch {
    uint8_t head[61]; /* the fixed part of a batch */
    struct chronik_file *file;
    const uint8_t *p; /* when in memory */
    uint64_t file_offset;
    int64_t base_offset, last_offset, max_timestamp;
    uint64_t bytes;
};
/* The first n bytes of a batch that a walk showed. */
int32_t part_batch_bytes(struct part *p, const struct part_batch *b, void *out, uint64_t n);
int16_t part_walk(struct part *p, int64_t from, int64_t end, bool (*each)(void *arg, const struct part_batch *b),
                  void *arg);

#endif
