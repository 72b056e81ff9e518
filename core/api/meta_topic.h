/* meta_topic.h: the read-only topic __meta: the commands that the metadata has applied, rendered as JSON records when a
 * client fetches them. Nothing of it is stored: offset = seq of the command, partition 0 alone, leader epoch 0, led by
 * every broker for itself. Whoever waits for its end is woken by a publication of the metadata, never by polling. */
#ifndef CHRONIK_API_META_TOPIC_H
#define CHRONIK_API_META_TOPIC_H

#include "meta/meta.h"
#include "partition/part.h"
#include "wire/batch.h"
#include "wire/wire.h"

struct meta_log; /* one a broker */

/* NULL: memory is exhausted. */
struct meta_log *meta_log_new(int32_t node_id);
/* Subscribes; between meta_new and meta_start. Before it the topic is empty. */
void meta_log_attach(struct meta_log *l, struct meta *m);
void meta_log_free(struct meta_log *l); /* after meta_free */

/* The topic as the image would hold it, when `name` (or, with name NULL, `id`) is its; else NULL. Lives as long as l.
 * Any thread. */
const struct meta_topic *meta_log_topic(const struct meta_log *l, const struct wire_str *name,
                                        const struct chronik_uuid *id);
/* Why it cannot be created, altered, deleted or written. */
#define META_LOG_READ_ONLY "__meta is the log of the metadata: it can only be read."

/* Ends and, in *seen, the publication they belong to. A Kafka code: the partition and the client's leader epoch (-1:
 * none) are checked. Any thread. */
int16_t meta_log_look(struct meta_log *l, int32_t partition, int32_t leader_epoch, struct part_view *out,
                      uint64_t *seen);
/* One batch of the commands from `offset` on, about max_bytes of JSON, at least one record; *p lives in `b`, which the
 * caller frees. A Kafka code. Blocking: on a worker. */
int16_t meta_log_read(struct meta_log *l, int64_t offset, uint64_t max_bytes, struct batch_build *b, const uint8_t **p,
                      size_t *n);
/* ListOffsets' timestamps, as part_list_offset. Blocking unless part_list_offset_is_cheap. */
int16_t meta_log_list_offset(struct meta_log *l, int64_t timestamp, int64_t *offset, int64_t *found_ts);

/* A fetch request that waits. Zero at first; the memory is the request's while it is queued. */
struct meta_log_wait {
    struct part_fetch *fetch; /* NULL: not queued */
    struct meta_log_wait *prev, *next;
};
/* Queues it until the next publication; false when there was one after `seen`. */
bool meta_log_wait(struct meta_log *l, struct meta_log_wait *w, struct part_fetch *f, uint64_t seen);
void meta_log_unwait(struct meta_log *l, struct meta_log_wait *w); /* also when it is not queued */

#endif
