/* mem: buffers, snapshots, growing arrays, the log line and the end of an instance. Memory that cannot be had in the
 * middle of a step ends the instance (a consensus core that carried out half a step must not go on); what a caller asks
 * for outside a step fails softly. Reference counts are atomic, all else lives on the instance's thread. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

struct rc_buf *rc_buf_new(const struct rc_alloc *alloc, uint32_t len)
{
    struct rc_buf *buf = alloc->resize(alloc->ctx, NULL, sizeof *buf + len);

    if (buf != NULL) {
        buf->alloc = *alloc;
        buf->refs = 1;
        buf->len = len;
    }
    return buf;
}

struct rc_buf *rc_buf_ref(struct rc_buf *buf)
{
    if (buf != NULL) {
        buf->refs++;
    }
    return buf;
}

void rc_buf_unref(struct rc_buf *buf)
{
    if (buf != NULL && --buf->refs == 0) {
        struct rc_alloc alloc = buf->alloc;

        alloc.resize(alloc.ctx, buf, 0);
    }
}

struct rc_snapshot *rc_snapshot_new(const struct rc_alloc *alloc, uint64_t index, uint64_t term,
                                    const struct rc_conf *conf, struct rc_buf *data)
{
    struct rc_snapshot *snap = alloc->resize(alloc->ctx, NULL, sizeof *snap);

    if (snap == NULL) {
        rc_buf_unref(data);
        return NULL;
    }
    snap->alloc = *alloc;
    snap->refs = 1;
    snap->index = index;
    snap->term = term;
    snap->conf = *conf;
    snap->data = data;
    return snap;
}

struct rc_snapshot *rc_snapshot_ref(struct rc_snapshot *snap)
{
    if (snap != NULL) {
        snap->refs++;
    }
    return snap;
}

void rc_snapshot_unref(struct rc_snapshot *snap)
{
    if (snap != NULL && --snap->refs == 0) {
        struct rc_alloc alloc = snap->alloc;

        rc_buf_unref(snap->data);
        alloc.resize(alloc.ctx, snap, 0);
    }
}

void rc_panic(const struct rc *r, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->cfg.fatal(r->cfg.ctx, text);
    __builtin_trap(); /* fatal returned */
}

void rc_log_line(const struct rc *r, enum rc_level level, const char *format, ...)
{
    char text[512];
    va_list args;

    if (r->cfg.log == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->cfg.log(r->cfg.ctx, level, text);
}

void *rc_grow(const struct rc *r, void *array, uint32_t *size, uint32_t need, size_t element)
{
    uint32_t wanted = *size < 8 ? 8 : *size;

    if (need <= *size) {
        return array;
    }
    while (wanted < need) {
        RC_CHECK(r, wanted <= UINT32_MAX / 2, "replica %llx: an array of %u elements is beyond any use",
                 (unsigned long long)r->cfg.id, need);
        wanted *= 2;
    }
    array = r->cfg.alloc.resize(r->cfg.alloc.ctx, array, wanted * element);
    RC_CHECK(r, array != NULL, "replica %llx: no memory for %u elements of %zu bytes", (unsigned long long)r->cfg.id,
             wanted, element);
    *size = wanted;
    return array;
}

void rc_drop(const struct rc *r, void *array)
{
    if (array != NULL) {
        r->cfg.alloc.resize(r->cfg.alloc.ctx, array, 0);
    }
}

struct rc_entry *rc_entries_copy(const struct rc *r, const struct rc_entry *entries, uint32_t n)
{
    uint32_t size = 0;
    struct rc_entry *copy;

    if (n == 0) {
        return NULL;
    }
    copy = rc_grow(r, NULL, &size, n, sizeof *copy);
    memcpy(copy, entries, n * sizeof *copy);
    for (uint32_t i = 0; i < n; i++) {
        rc_buf_ref(copy[i].data);
    }
    return copy;
}

static void entries_release(const struct rc_alloc *alloc, struct rc_entry *entries, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rc_buf_unref(entries[i].data);
    }
    if (entries != NULL) {
        alloc->resize(alloc->ctx, entries, 0);
    }
}

void rc_msg_clear(const struct rc_alloc *alloc, struct rc_msg *msg)
{
    entries_release(alloc, msg->entries, msg->n_entries);
    rc_snapshot_unref(msg->snapshot);
    msg->entries = NULL;
    msg->n_entries = 0;
    msg->snapshot = NULL;
}

void rc_msgs_push(const struct rc *r, struct rc_msgs *list, const struct rc_msg *msg)
{
    list->v = rc_grow(r, list->v, &list->size, list->n + 1, sizeof *list->v);
    list->v[list->n++] = *msg;
}

void rc_msgs_release(const struct rc_alloc *alloc, struct rc_msgs *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        rc_msg_clear(alloc, &list->v[i]);
    }
    if (list->v != NULL) {
        alloc->resize(alloc->ctx, list->v, 0);
    }
    memset(list, 0, sizeof *list);
}

void rc_ready_release(struct rc_ready *rd)
{
    struct rc_msgs now = {.v = rd->msgs, .n = rd->n_msgs};
    struct rc_msgs after = {.v = rd->after, .n = rd->n_after};

    entries_release(&rd->alloc, rd->entries, rd->n_entries);
    entries_release(&rd->alloc, rd->committed, rd->n_committed);
    rc_snapshot_unref(rd->snapshot);
    rc_msgs_release(&rd->alloc, &now);
    rc_msgs_release(&rd->alloc, &after);
    if (rd->reads != NULL) {
        rd->alloc.resize(rd->alloc.ctx, rd->reads, 0);
    }
    memset(rd, 0, sizeof *rd);
}

static uint64_t varint_size(uint64_t v)
{
    uint64_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

uint64_t rc_entry_size(const struct rc_entry *e)
{
    uint64_t size = 1 + varint_size(e->term) + 1 + varint_size(e->index);

    if (e->type != RC_ENTRY_NORMAL) {
        size += 2;
    }
    if (e->data != NULL) {
        size += 1 + varint_size(e->data->len) + e->data->len;
    }
    return size;
}
