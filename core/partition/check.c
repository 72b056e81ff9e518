/* check.c: whether a produced batch may be appended, and what becomes of it on the way: batches that a topic keeps in
 * another codec are packed anew, compressed ones are looked into as plain ones are. No lock; the codes and sentences
 * are Kafka's. Nothing is allocated a record; unpacking uses the caller's scratch, which is bounded. */
#include "partition/check.h"

#include "wire/codes.h"

enum { KEEP_SCRATCH = 1 << 20 };

struct checked {
    const struct config_topic *config;
    int64_t now_ms;
    const uint8_t *payload; /* the plain records */
    size_t payload_n;
};

void part_scratch_free(struct part_scratch *s)
{
    codec_buf_free(&s->plain);
    batch_build_free(&s->build);
}

/* One large batch must not hold its memory for ever. */
static void trim(struct codec_buf *b)
{
    if (b->cap > KEEP_SCRATCH)
        codec_buf_free(b);
}

static void part_scratch_trim(struct part_scratch *s)
{
    trim(&s->plain);
    trim(&s->build.out);
    trim(&s->build.pack);
}

static int16_t refuse(struct part_append *a, int16_t code, const char *why)
{
    a->message = why;
    return code;
}

/* What does not fit the arena, or has none, is said in general. */
#define SAY(a, general, ...) ((a)->arena ? arena_printf((a)->arena, __VA_ARGS__) : (general))

/* ---- records that are refused one by one ---- */

static bool early(const struct checked *c, int64_t ts, int64_t now)
{
    return c->config->timestamp_before_max_ms != INT64_MAX && ts < now - c->config->timestamp_before_max_ms;
}

static bool late(const struct checked *c, int64_t ts, int64_t now)
{
    return c->config->timestamp_after_max_ms != INT64_MAX && ts > now + c->config->timestamp_after_max_ms;
}

/* In Java's arithmetic, which Kafka's sentence shows. */
static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static void add_record_error(struct part_append *a, int32_t index, const char *why)
{
    a->record_errors[a->n_record_errors++] = (struct part_record_error){index, why};
}

static const char *first_three(const struct part_append *a)
{
    const char *list = "";
    for (int32_t i = 0; a->arena && i < a->n_record_errors && i < 3; i++)
        list = arena_printf(a->arena, "%s%sRecordError(batchIndex=%d, message='%s')", list, i ? ", " : "",
                            a->record_errors[i].index, a->record_errors[i].message);
    return list ? list : "";
}

/* Looks again, to name every record that is refused. A Kafka code; NONE when all are fine after all. */
static int16_t name_records(struct part *p, struct part_append *a, const struct checked *c, int64_t now)
{
    struct batch_iter it;
    struct batch_record r;
    bool keys = c->config->cleanup_compact, times = !c->config->log_append_time, only_times = true;
    int32_t n = 0;
    if (a->arena)
        a->record_errors = arena_calloc(a->arena, (size_t)a->head.n_records, sizeof *a->record_errors);
    batch_iter_init(&it, &a->head, c->payload, c->payload_n);
    for (int32_t i = 0; batch_iter_next(&it, &r) > 0; i++) {
        bool keyless = keys && r.key_n < 0;
        bool mistimed =
            !keyless && times && r.timestamp != -1 && (early(c, r.timestamp, now) || late(c, r.timestamp, now));
        if (!keyless && !mistimed)
            continue;
        n++;
        only_times &= mistimed;
        if (!a->record_errors)
            continue;
        add_record_error(
            a, i,
            keyless ? SAY(a, NULL, "Compacted topic cannot accept message without key in topic partition %s-%d",
                          p->topic, p->index)
                    : SAY(a, NULL,
                          "Timestamp %lld of message with offset %lld is out of range. The timestamp should be within "
                          "[%lld, %lld]",
                          (long long)r.timestamp, (long long)r.offset,
                          (long long)wrap_add(now, -c->config->timestamp_before_max_ms),
                          (long long)wrap_add(now, c->config->timestamp_after_max_ms)));
    }
    if (!n)
        return KAFKA_NONE;
    if (only_times)
        return refuse(a, KAFKA_INVALID_TIMESTAMP, "One or more records have been rejected due to invalid timestamp");
    return refuse(a, KAFKA_INVALID_RECORD,
                  SAY(a, "Records have been rejected: their topic is compacted, and they have no key.",
                      "One or more records have been rejected due to %d record errors in total, and only showing the "
                      "first three errors at most: [%s]",
                      n, first_three(a)));
}

/* ---- the batch as a whole ---- */

/* The bytes of the batch at p, prefix included; 0: no whole one; -1: its length is impossible. Format and length lie at
 * the same places in every format. */
static int64_t frame_at(const uint8_t *p, size_t n)
{
    enum { TO_MAGIC = 17, LEAST = 14 };
    if (n < TO_MAGIC)
        return 0;
    int32_t length = (int32_t)get_be32(p + 8);
    if (length < LEAST)
        return -1;
    return (uint64_t)length + BATCH_PREFIX <= n ? (int64_t)length + BATCH_PREFIX : 0;
}

/* Exactly one batch of the one format; what is cut off behind it does not count. */
static int16_t check_frame(struct part_append *a)
{
    int64_t bytes = frame_at(a->batches, a->n);
    int64_t second = bytes > 0 ? frame_at(a->batches + bytes, a->n - (size_t)bytes) : 0;
    if (bytes < 0 || second < 0)
        return refuse(a, KAFKA_CORRUPT_MESSAGE, "The length of a record batch is less than the least possible.");
    if (bytes == 0)
        return refuse(a, KAFKA_INVALID_RECORD,
                      SAY(a, "A produce request needs a record batch for each partition.",
                          "Produce requests with version %d must have at least one record batch per partition",
                          a->api_version));
    int8_t magic = (int8_t)a->batches[16];
    if (magic < 0 || magic > BATCH_MAGIC)
        return refuse(a, KAFKA_CORRUPT_MESSAGE,
                      SAY(a, "There is no such format.", "Invalid magic found in record: %d", magic));
    if (magic < BATCH_MAGIC)
        return refuse(
            a, KAFKA_INVALID_RECORD,
            SAY(a, "Only record batches of magic version 2 are accepted.",
                "Produce requests with version %d are only allowed to contain record batches with magic version 2",
                a->api_version));
    if (second > 0)
        return refuse(a, KAFKA_INVALID_RECORD,
                      SAY(a, "A produce request may hold exactly one record batch for each partition.",
                          "Produce requests with version %d are only allowed to contain exactly one record batch per "
                          "partition",
                          a->api_version));
    a->n = (size_t)bytes;
    return KAFKA_NONE;
}

static int16_t check_head(struct part *p, struct part_append *a, struct checked *c)
{
    const struct batch_head *h = &a->head;
    if ((h->attributes & BATCH_CODEC_MASK) == CODEC_ZSTD && a->api_version < 7)
        return refuse(a, KAFKA_UNSUPPORTED_COMPRESSION_TYPE,
                      SAY(a, "zstd needs Produce version 7 or newer.",
                          "Produce requests with version %d are not allowed to use ZStandard compression",
                          a->api_version));
    if (h->base_offset != 0)
        return refuse(a, KAFKA_INVALID_RECORD,
                      SAY(a, "The base offset of a produced batch must be 0.",
                          "The baseOffset of the record batch in the append to %s-%d should be 0, but it is %lld",
                          p->topic, p->index, (long long)h->base_offset));
    if (h->bytes > (uint64_t)c->config->max_message_bytes)
        return refuse(a, KAFKA_MESSAGE_TOO_LARGE,
                      SAY(a, "The record batch is larger than max.message.bytes allows.",
                          "The record batch size in the append to %s-%d is %llu bytes which exceeds the maximum "
                          "configured value of %d.",
                          p->topic, p->index, (unsigned long long)h->bytes, c->config->max_message_bytes));
    return KAFKA_NONE;
}

static int16_t check_rules(struct part *p, struct part_append *a, const struct checked *c)
{
    const struct batch_head *h = &a->head;
    if (h->attributes & BATCH_CONTROL)
        return refuse(a, KAFKA_INVALID_RECORD,
                      SAY(a, "Clients are not allowed to write control records.",
                          "Clients are not allowed to write control records in topic partition %s-%d.", p->topic,
                          p->index));
    if (h->producer_id >= 0 && h->base_sequence < 0)
        return refuse(a, KAFKA_INVALID_RECORD,
                      SAY(a, "An idempotent batch needs a sequence.",
                          "Invalid sequence number %d in record batch with producerId %lld in topic partition %s-%d.",
                          h->base_sequence, (long long)h->producer_id, p->topic, p->index));
    if (h->attributes & BATCH_TRANSACTIONAL) /* a request with a transactional id was refused before */
        return refuse(a, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                      "A transactional batch needs a request with a transactional id.");
    if (h->producer_id >= 0 && h->producer_epoch < 0)
        return refuse(a, KAFKA_INVALID_PRODUCER_EPOCH, "An idempotent batch needs a producer epoch.");
    if (h->bytes > (uint64_t)c->config->segment_bytes)
        return refuse(a, KAFKA_RECORD_LIST_TOO_LARGE,
                      SAY(a, "The record batch is larger than segment.bytes.",
                          "Message batch size is %llu bytes in append to partition %s-%d, which exceeds the maximum "
                          "configured segment size of %d.",
                          (unsigned long long)h->bytes, p->topic, p->index, c->config->segment_bytes));
    return KAFKA_NONE;
}

/* ---- packing anew ---- */

static int level_of(const struct config_topic *c, int codec)
{
    return codec == CODEC_GZIP   ? (c->gzip_level < 0 ? INT32_MIN : c->gzip_level)
           : codec == CODEC_LZ4  ? c->lz4_level
           : codec == CODEC_ZSTD ? c->zstd_level
                                 : INT32_MIN;
}

/* In the request's memory: several appends are on their way at once. */
static int16_t repack(struct part *p, struct part_append *a, struct checked *c, int codec)
{
    struct batch_build *b = &a->scratch->build;
    const uint8_t *bytes;
    size_t n;
    int32_t rc = batch_repack(b, &a->head, c->payload, c->payload_n, codec, level_of(c->config, codec), &bytes, &n);
    uint8_t *own = rc > 0 && a->arena ? arena_alloc(a->arena, n) : NULL;
    if (!own)
        return refuse(a, KAFKA_UNKNOWN_SERVER_ERROR, "The batch could not be compressed anew: out of memory.");
    memcpy(own, bytes, n);
    a->batches = own;
    a->n = n;
    int64_t least = a->head.seen_min_timestamp, most = a->head.seen_max_timestamp;
    batch_head_read(own, &a->head);
    a->head.seen_min_timestamp = least;
    a->head.seen_max_timestamp = most;
    /* Kafka's order: what has grown by packing is judged by its new size. */
    return a->head.bytes <= (uint64_t)c->config->max_message_bytes
               ? KAFKA_NONE
               : refuse(a, KAFKA_MESSAGE_TOO_LARGE,
                        SAY(a, "The record batch is larger than max.message.bytes allows.",
                            "Message batch size is %llu bytes in append to partition %s-%d which exceeds the maximum "
                            "configured size of %d.",
                            (unsigned long long)a->head.bytes, p->topic, p->index, c->config->max_message_bytes));
}

/* The codec that the topic keeps; a batch whose offsets have gaps is made anew in any case. */
static int16_t convert(struct part *p, struct part_append *a, struct checked *c, bool gaps)
{
    int codec = a->head.attributes & BATCH_CODEC_MASK;
    int keep = c->config->compression == CONFIG_CODEC_PRODUCER ? codec : c->config->compression;
    return keep == codec && !gaps ? KAFKA_NONE : repack(p, a, c, keep);
}

static int16_t check_all(struct part *p, struct part_append *a, struct checked *c)
{
    struct batch_problem problem = {.record = -1};
    struct batch_unpacking u = {
        .buf = &a->scratch->plain,
        .limit = (size_t)min_i64(c->config->max_decompressed_message_bytes, BATCH_UNPACKED_MOST),
    };
    int16_t rc = batch_check_head(a->batches, a->n, &a->head, 0, &problem);
    a->was_timed = a->head.attributes & BATCH_LOG_APPEND_TIME;
    a->head.attributes &= ~BATCH_LOG_APPEND_TIME; /* not a producer's to say */
    if (rc == KAFKA_NONE && (rc = check_head(p, a, c)) != KAFKA_NONE)
        return rc;
    if (rc == KAFKA_NONE)
        rc = batch_check_body(a->batches, &a->head, 0, &u, &problem);
    if (rc != KAFKA_NONE)
        return refuse(a, rc, problem.why);
    c->payload = u.payload;
    c->payload_n = u.payload_n;
    if ((rc = check_rules(p, a, c)) != KAFKA_NONE)
        return rc;
    bool mistimed = !c->config->log_append_time &&
                    (early(c, a->head.seen_min_timestamp, c->now_ms) || late(c, a->head.seen_max_timestamp, c->now_ms));
    if ((mistimed || (c->config->cleanup_compact && u.keyless)) &&
        (rc = name_records(p, a, c, c->now_ms)) != KAFKA_NONE)
        return rc;
    return convert(p, a, c, u.gaps);
}

void part_check_batch(struct part *p, struct part_append *a, const struct config_topic *config, int64_t now_ms)
{
    struct checked c = {.config = config, .now_ms = now_ms};
    struct part_scratch own = {0}, *given = a->scratch;
    a->record_errors = NULL;
    a->n_record_errors = 0;
    if (!given)
        a->scratch = &own;
    a->error = check_frame(a);
    if (a->error == KAFKA_NONE)
        a->error = check_all(p, a, &c);
    /* Kafka tells the log start with refusals of records, and not with others. */
    bool of_records = a->error == KAFKA_INVALID_RECORD || a->error == KAFKA_INVALID_TIMESTAMP ||
                      a->error == KAFKA_INVALID_PRODUCER_EPOCH;
    a->early = a->error != KAFKA_NONE && (!of_records || a->head.bytes == 0); /* or of the frame */
    part_scratch_trim(a->scratch);
    part_scratch_free(&own);
    a->scratch = given;
}
