/* sim_world.c: the world: seed, virtual time, events, nodes, and the one loop that decides who goes next. A step either
 * fires one event that is due or runs one task of one runnable executor, chosen by the seed; with nothing to do, time
 * jumps to the next thing that can happen. */
#include <config.h>

#include "sim_impl.h"

#include "base/log.h"
#include "os/lock.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned deaths; /* in this process */

/* ---- chance and trace ---- */

uint64_t rng_next(struct sim_rng *r)
{
    uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rng_below(struct sim_rng *r, uint64_t n)
{
    CHECK(n > 0);
    return (uint64_t)(((unsigned __int128)rng_next(r) * n) >> 64);
}

bool rng_permille(struct sim_rng *r, unsigned permille)
{
    return permille > 0 && rng_below(r, 1000) < permille;
}

int64_t rng_range(struct sim_rng *r, int64_t lo, int64_t hi)
{
    return hi <= lo ? lo : lo + (int64_t)rng_below(r, (uint64_t)(hi - lo) + 1);
}

void sim_mix(struct sim_world *w, uint64_t a, uint64_t b)
{
    uint64_t h = w->hash;
    h = (h ^ a) * UINT64_C(0x9fb21c651e98df25);
    h ^= h >> 32;
    h = (h ^ b) * UINT64_C(0xd6e8feb86659fd93);
    w->hash = h ^ (h >> 29);
}

void sim_mix_bytes(struct sim_world *w, const void *p, size_t n)
{
    const unsigned char *b = p;
    uint64_t h = n, v;
    for (; n >= 8; n -= 8, b += 8) {
        memcpy(&v, b, 8);
        h = (h ^ v) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 31;
    }
    for (; n > 0; n--, b++)
        h = (h ^ *b) * UINT64_C(0x100000001b3);
    sim_mix(w, h, 0);
}

void sim_note(struct sim_world *w, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    sim_mix_bytes(w, line, strlen(line));
    if (w->trace)
        fprintf(stderr, "%12.6f %s\n", (double)w->now / 1e9, line);
}

static void log_sink(void *arg, enum log_level lvl, const char *line)
{
    struct sim_world *w = arg;
    sim_note(w, "[%s] %s", w->frame ? w->frame->node->name : "-", line);
}

static int64_t log_clock(void *arg)
{
    struct sim_world *w = arg;
    return w->frame ? os_wall_ms(&w->frame->node->base) : w->now / SIM_MS;
}

uint64_t sim_rand(struct sim_world *w, uint64_t n)
{
    return rng_below(&w->test, n);
}

void sim_rand_from(struct sim_world *w, uint64_t number)
{
    struct sim_rng r = {w->seed ^ number * UINT64_C(0xd1342543de82ef95)};
    w->test.s = rng_next(&r);
}

/* ---- the world ---- */

struct sim_world *sim_world_new(uint64_t seed)
{
    struct sim_world *w = calloc(1, sizeof *w);
    CHECK(w);
    /* A first touch of memory is dear: what one world frees, the next shall reuse. */
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    w->seed = seed;
    struct sim_rng r = {seed};
    w->sched.s = rng_next(&r);
    w->disk.s = rng_next(&r);
    w->net.s = rng_next(&r);
    w->test.s = rng_next(&r);
    w->hash = UINT64_C(0x6368726f6e696b21);
    w->stall_permille = 4;
    w->stall_ns = 5 * SIM_MS;
    w->net_min = 50 * SIM_US;
    w->net_max = 500 * SIM_US;
    w->net_chunk = 65536;
    w->next_port = 40000;
    w->trace = getenv("CHRONIK_SIM_TRACE") != NULL;
    log_set_sink(log_sink, w);
    log_set_clock(log_clock, w);
    return w;
}

static void user_event(struct sim_world *w, void *arg, uint64_t n)
{
    struct sim_user_event u = *(struct sim_user_event *)arg;
    free(arg);
    u.fn(u.arg);
}

void sim_world_free(struct sim_world *w)
{
    CHECK(!w->frame);
    if (w->trace)
        fprintf(stderr, "%12.6f the end: seed %llu, %llu steps, hash %016llx\n", (double)w->now / 1e9,
                (unsigned long long)w->seed, (unsigned long long)w->steps, (unsigned long long)w->hash);
    sim_net_free(w);
    for (unsigned i = 0; i < w->n_nodes; i++) {
        sim_execs_free(w->nodes[i]);
        sim_disk_free(w->nodes[i]->disk);
        free(w->nodes[i]);
    }
    log_set_sink(NULL, NULL);
    log_set_clock(NULL, NULL);
    for (size_t i = 0; i < w->n_events; i++)
        if (w->events[i].fn == user_event)
            free(w->events[i].arg);
    free(w->events);
    free(w);
}

static void boot(struct sim_node *n)
{
    uint64_t a = rng_next(&n->random), b = rng_next(&n->random);
    put_be64(n->boot_id.b, a);
    put_be64(n->boot_id.b + 8, b);
    n->mono_base = rng_range(&n->random, SIM_S, 100 * SIM_S);
    n->mono_from = n->w->now;
}

static void start(struct sim_node *n)
{
    struct sim_exec *e;
    n->state = SIM_NODE_UP;
    n->fds = 0;
    if (n->last_exec) {
        n->last_exec->next = n->dead_execs;
        n->dead_execs = n->execs;
        n->execs = n->last_exec = NULL;
    }
    for (int i = 0; i < SIM_WORKERS; i++)
        CHECK(sim_exec_new(n, "worker", 0, true, &e) == CHRONIK_DONE);
}

struct os *sim_node(struct sim_world *w, const char *name)
{
    struct sim_node *n = calloc(1, sizeof *n);
    CHECK(n && w->n_nodes < SIM_NODES_MAX);
    n->base.clock = &sim_clock_ops;
    n->base.exec = &sim_exec_ops;
    n->base.file = &sim_file_ops;
    n->base.net = &sim_net_ops;
    n->w = w;
    n->index = w->n_nodes;
    snprintf(n->name, sizeof n->name, "%s", name);
    n->random.s = w->seed * UINT64_C(0xd6e8feb86659fd93) + n->index + 1;
    n->wall_offset_ms = INT64_C(1700000000000) + rng_range(&n->random, -1000, 1000);
    n->fd_limit = 20000;
    n->disk = sim_disk_new(n);
    w->nodes[w->n_nodes++] = n;
    boot(n);
    start(n);
    return &n->base;
}

int64_t sim_now(struct sim_world *w)
{
    return w->now;
}

uint64_t sim_steps(struct sim_world *w)
{
    return w->steps;
}

uint64_t sim_seed(struct sim_world *w)
{
    return w->seed;
}

uint64_t sim_hash(struct sim_world *w)
{
    return w->hash;
}

void sim_stalls(struct sim_world *w, unsigned permille, int64_t max_ns)
{
    w->stall_permille = permille;
    w->stall_ns = max_ns;
}

void sim_pause(struct os *os, int64_t ns)
{
    struct sim_node *n = node_of(os);
    for (struct sim_exec *e = n->execs; e; e = e->next)
        e->busy_until = max_i64(e->busy_until, n->w->now + ns);
}

void sim_yield(struct sim_world *w, int64_t ns, bool (*look)(void *arg))
{
    static unsigned depth;
    const struct sim_frame *f = w->frame;
    if (!f || !f->exec || os_locks_held() || depth >= 3)
        return;
    uint32_t incarnation = f->incarnation;
    int64_t end = w->now + ns;
    depth++;
    while (w->now < end && f->node->incarnation == incarnation) {
        if (!sim_step(w, end))
            w->now = end;
        look(NULL);
    }
    depth--;
    sim_leave_if_dead(w);
}

struct os *sim_running(struct sim_world *w)
{
    return w->frame ? &w->frame->node->base : NULL;
}

/* ---- clocks ---- */

static int64_t scaled(int64_t ns, int32_t ppm)
{
    return (int64_t)((__int128)ns * (1000000 + ppm) / 1000000);
}

int64_t sim_node_mono(struct sim_node *n)
{
    return n->mono_base + scaled(n->w->now - n->mono_from, n->ppm);
}

static int64_t clock_mono(struct os *os)
{
    return sim_node_mono(node_of(os));
}

static int64_t clock_wall(struct os *os)
{
    return node_of(os)->wall_offset_ms + node_of(os)->w->now / SIM_MS;
}

static void clock_boot_id(struct os *os, struct chronik_uuid *out)
{
    *out = node_of(os)->boot_id;
}

static void clock_random(struct os *os, void *p, size_t n)
{
    unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        b[i] = (unsigned char)(rng_next(&node_of(os)->random) >> 32);
}

const struct os_clock_ops sim_clock_ops = {clock_mono, clock_wall, clock_boot_id, clock_random};

void sim_clock_drift(struct os *os, int32_t ppm)
{
    struct sim_node *n = node_of(os);
    CHECK(ppm > -1000000 && ppm < 1000000);
    n->mono_base = sim_node_mono(n);
    n->mono_from = n->w->now;
    n->ppm = ppm;
}

void sim_clock_jump(struct os *os, int64_t wall_ms)
{
    node_of(os)->wall_offset_ms += wall_ms;
}

/* ---- events: a binary heap by (time, order of adding) ---- */

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
    return a->when != b->when ? a->when < b->when : a->seq < b->seq;
}

void sim_event_add(struct sim_world *w, int64_t when, struct sim_node *node,
                   void (*fn)(struct sim_world *w, void *arg, uint64_t n), void *arg, uint64_t n)
{
    if (w->n_events == w->cap_events) {
        w->cap_events = w->cap_events ? w->cap_events * 2 : 256;
        w->events = realloc(w->events, w->cap_events * sizeof *w->events);
        CHECK(w->events);
    }
    struct sim_event e = {.when = max_i64(when, w->now),
                          .seq = w->event_seq++,
                          .fn = fn,
                          .arg = arg,
                          .n = n,
                          .node = node,
                          .incarnation = node ? node->incarnation : 0};
    size_t i = w->n_events++;
    for (; i > 0 && sooner(&e, &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        w->events[i] = w->events[(i - 1) / 2];
    w->events[i] = e;
}

static struct sim_event event_pop(struct sim_world *w)
{
    struct sim_event top = w->events[0], e = w->events[--w->n_events];
    size_t i = 0, n = w->n_events;
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && sooner(&w->events[c + 1], &w->events[c]))
            c++;
        if (!sooner(&w->events[c], &e))
            break;
        w->events[i] = w->events[c];
    }
    if (n > 0)
        w->events[i] = e;
    return top;
}

void sim_at(struct sim_world *w, int64_t when_ns, void (*fn)(void *arg), void *arg)
{
    struct sim_user_event *u = malloc(sizeof *u);
    CHECK(u);
    *u = (struct sim_user_event){fn, arg};
    sim_event_add(w, when_ns, NULL, user_event, u, 0);
}

/* ---- steps ---- */

static struct sim_exec *choose(struct sim_world *w)
{
    struct sim_exec *can[512];
    unsigned n = 0;
    for (unsigned i = 0; i < w->n_nodes; i++)
        for (struct sim_exec *e = w->nodes[i]->execs; e; e = e->next)
            if (sim_exec_runnable(e)) {
                CHECK(n < ARRAY_LEN(can));
                can[n++] = e;
            }
    return n ? can[n == 1 ? 0 : rng_below(&w->sched, n)] : NULL;
}

static int64_t next_time(struct sim_world *w)
{
    int64_t next = w->n_events ? w->events[0].when : INT64_MAX;
    for (unsigned i = 0; i < w->n_nodes; i++)
        for (struct sim_exec *e = w->nodes[i]->execs; e; e = e->next)
            next = min_i64(next, sim_exec_next(e));
    return next;
}

static void run_event(struct sim_world *w)
{
    struct sim_event e = event_pop(w);
    if (e.node && e.node->incarnation != e.incarnation)
        return;
    sim_mix(w, (uint64_t)e.when, e.seq);
    e.fn(w, e.arg, e.n);
}

bool sim_step(struct sim_world *w, int64_t until)
{
    for (;;) {
        if (w->n_events && w->events[0].when <= w->now) {
            w->steps++;
            run_event(w);
            return true;
        }
        struct sim_exec *e = choose(w);
        if (e) {
            w->steps++;
            sim_mix(w, (uint64_t)w->now, (uint64_t)e->node->index << 32 | e->index);
            w->now += rng_range(&w->sched, 200, 2000);
            if (rng_permille(&w->sched, w->stall_permille))
                e->busy_until = w->now + rng_range(&w->sched, 0, w->stall_ns);
            sim_exec_run(e);
            return true;
        }
        int64_t next = next_time(w);
        if (next == INT64_MAX || next > until)
            return false;
        w->now = max_i64(w->now, next);
    }
}

enum sim_end sim_run(struct sim_world *w, int64_t until_ns, uint64_t max_steps, bool (*pred)(void *arg), void *arg)
{
    uint64_t last = max_steps ? w->steps + max_steps : UINT64_MAX;
    for (;;) {
        if (pred && pred(arg))
            return SIM_TRUE;
        if (w->now >= until_ns)
            return SIM_TIME;
        if (w->steps >= last)
            return SIM_STEPS;
        if (!sim_step(w, until_ns)) {
            if (next_time(w) == INT64_MAX)
                return SIM_IDLE;
            w->now = max_i64(w->now, until_ns);
        }
    }
}

enum sim_end sim_run_for(struct sim_world *w, int64_t ns)
{
    return sim_run(w, w->now + ns, 0, NULL, NULL);
}

/* ---- frames and death ---- */

bool sim_enter(struct sim_node *n, struct sim_exec *e, void (*fn)(void *arg), void *arg)
{
    struct sim_world *w = n->w;
    struct sim_frame f = {
        .up = w->frame, .node = n, .exec = e, .incarnation = n->incarnation, .locks = os_locks_held()};
    w->frame = &f;
    if (e)
        e->occupied = true;
    bool lived = setjmp(f.env) == 0;
    if (lived) {
        fn(arg);
        CHECK(os_locks_held() == f.locks); /* a task must not leave with a lock */
    } else {
        os_locks_forget(f.locks);
    }
    if (e)
        e->occupied = false;
    w->frame = f.up;
    return lived && n->incarnation == f.incarnation;
}

bool sim_call(struct os *os, void (*fn)(void *arg), void *arg)
{
    struct sim_node *n = node_of(os);
    CHECK(n->state == SIM_NODE_UP);
    return sim_enter(n, NULL, fn, arg);
}

void sim_leave_if_dead(struct sim_world *w)
{
    struct sim_frame *f = w->frame;
    if (f && f->node->incarnation != f->incarnation)
        longjmp(f->env, 1);
}

void sim_check_alive(struct sim_node *n, uint32_t incarnation, const char *what)
{
    if (LIKELY(n->incarnation == incarnation && n->state == SIM_NODE_UP))
        return;
    fprintf(stderr, "sim: node %s used %s after its death (seed %llu): enter code that may die through sim_call\n",
            n->name, what, (unsigned long long)n->w->seed);
    abort();
}

void sim_busy(struct sim_world *w, int64_t ns)
{
    if (w->frame && w->frame->exec)
        w->frame->exec->busy_until = max_i64(w->frame->exec->busy_until, w->now) + ns;
}

/* Asked by the leak checker of ASan at the end: what dead nodes had allocated is not a leak of the code. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return deaths > 0;
}

void sim_die(struct sim_node *n, bool power, int code)
{
    deaths++;
    sim_note(n->w, "%s %s", n->name, power ? "loses power" : "dies");
    for (struct sim_exec *e = n->execs; e; e = e->next)
        if (sim_exec_alive(e) && e->op && !e->op_finished)
            sim_op_torn(e->op, power, e->op_syncing, e->op_seq);
    n->state = power ? SIM_NODE_OFF : SIM_NODE_DOWN;
    n->exit_code = code;
    n->incarnation++;
    n->work = (struct task_queue){0};
    sim_net_node_died(n, power);
    if (power)
        sim_disk_cut(n->disk);
    else
        sim_disk_killed(n->disk);
    sim_leave_if_dead(n->w);
}

bool sim_up(struct os *os)
{
    return node_of(os)->state == SIM_NODE_UP;
}

int sim_exit_code(struct os *os)
{
    return node_of(os)->exit_code;
}

void sim_kill(struct os *os)
{
    CHECK(sim_up(os));
    sim_die(node_of(os), false, -9);
}

void sim_power_cut(struct os *os)
{
    struct sim_node *n = node_of(os);
    CHECK(n->state != SIM_NODE_OFF);
    sim_die(n, true, -1);
}

void sim_restart(struct os *os)
{
    struct sim_node *n = node_of(os);
    CHECK(n->state != SIM_NODE_UP);
    if (n->state == SIM_NODE_OFF)
        boot(n);
    sim_note(n->w, "%s starts", n->name);
    start(n);
}
