#include <config.h>

/* cold.c: file ranges that are not in the page cache. One executor of low priority reads for all connections, a chunk
 * at a time in the order of asking, so that neither loops nor workers wait for old log. While other connections are
 * served the chunks are small and the disk rests between them: who reads the past must not make those wait who write
 * the present. A connection that waits here holds a reference and sends nothing. */
#include "net/internal.h"

enum {
    TOUCH = 64 * 1024,
    REST = 3, /* times the length of a read, while others are served */
};

bool net_pressed(const struct net *n, int64_t now)
{
    return now - atomic_load_explicit(&n->pressed_at, memory_order_relaxed) < NET_PRESSED;
}

void net_cold_note(struct net_conn *c, int64_t now)
{
    struct net *n = c->loop->net;
    if (c->cold_at && now - c->cold_at < NET_SECOND)
        return;
    if (now - atomic_load_explicit(&n->pressed_at, memory_order_relaxed) > NET_PRESSED / 8)
        atomic_store_explicit(&n->pressed_at, now, memory_order_relaxed); /* seldom: the loops share the line */
}

/* On the loop again. */
static void cold_done(void *conn)
{
    struct net_conn *c = conn;
    c->cold = false;
    if (c->closed) {
        net_outq_clear(&c->out, &c->loop->outs);
    } else {
        c->out.warm = c->cold_n;
        net_loop_dirty(c);
    }
    net_conn_unref(c);
}

/* Brings a chunk into the page cache, nothing behind it. What goes wrong here shows when it is sent. */
static void read_chunk(struct net_conn *c, uint64_t most)
{
    uint8_t byte;
    size_t got = 1;
    uint64_t n = c->cold_n < most ? c->cold_n : most;
    os_advise_random(c->cold_file);
    os_advise_need(c->cold_file, c->cold_off, n);
    for (uint64_t at = 0; at < n && got == 1; at += TOUCH)
        if (got = 0, os_pread(c->cold_file, &byte, 1, c->cold_off + at, 0, &got) < 0)
            break;
    os_pread(c->cold_file, &byte, 1, c->cold_off + n - 1, 0, &got);
    c->cold_n = n;
}

static void pump(void *net)
{
    struct net *n = net;
    struct net_cold *k = &n->cold;
    int64_t now = os_mono_ns(n->os);
    bool pressed = net_pressed(n, now);
    struct net_conn *c = k->waiting.first;
    if (!c)
        return;
    if (pressed && now < k->rest_until) {
        os_exec_post_at(k->exec, &k->pump_task, k->rest_until);
        return;
    }
    k->waiting.first = c->cold_next;
    if (!k->waiting.first)
        k->waiting.last = NULL;
    read_chunk(c, pressed ? NET_COLD_PRESSED : NET_COLD_CHUNK);
    int64_t end = os_mono_ns(n->os);
    k->rest_until = end + min_i64((end - now) * REST, NET_COLD_WAIT);
    c->cold_task.fn = cold_done;
    os_exec_post(c->loop->exec, &c->cold_task);
    if (k->waiting.first)
        os_exec_post(k->exec, &k->pump_task);
}

static void asked(void *conn)
{
    struct net_conn *c = conn;
    struct net_cold *k = &c->loop->net->cold;
    c->cold_next = NULL;
    if (k->waiting.last)
        k->waiting.last->cold_next = c;
    else
        k->waiting.first = c;
    k->waiting.last = c;
    os_exec_post(k->exec, &k->pump_task); /* stays where it is when it waits for a time */
}

void net_cold_start(struct net_conn *c)
{
    struct net *n = c->loop->net;
    const struct net_seg *s = net_outq_head(&c->out);
    c->cold = true;
    c->cold_at = os_mono_ns(n->os);
    c->cold_file = s->file;
    c->cold_off = s->off;
    c->cold_n = s->n;
    c->cold_task = (struct chronik_task){.fn = asked, .arg = c};
    c->refs++;
    metric_add(n->m.cold, 1);
    os_exec_post(n->cold.exec, &c->cold_task);
}

int32_t net_cold_open(struct net *n, struct err *e)
{
    n->cold.pump_task = (struct chronik_task){.fn = pump, .arg = n};
    int32_t r = os_exec_open(n->os, "cold", OS_EXEC_LOW, &n->cold.exec);
    return r < 0 ? err_set(e, r, "the thread that reads old log cannot be started: raise the limit of threads") : r;
}
