/* sim_file.c: the file calls of a virtual node: paths, handles, faults, the numbering of operations and the death that
 * a test asked for inside one of them. Plain calls take effect at once and keep their executor busy afterwards;
 * submitted ones take effect when their virtual time is over. */
#include <config.h>

#include "sim_disk.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_file {
    struct os_file base;
    struct sim_file *prev, *next;
    struct sim_inode *inode; /* NULL: its node died */
    uint32_t incarnation;
    unsigned flags;
};

static struct sim_disk *disk_of(struct os *os)
{
    CHECK(sim_up(os));
    return node_of(os)->disk;
}

static struct sim_file *file_of(struct os_file *f)
{
    return (struct sim_file *)f;
}

static struct sim_file *live(struct os_file *x)
{
    struct sim_file *f = file_of(x);
    sim_check_alive(node_of(x->os), f->incarnation, "a file");
    return f;
}

/* ---- the disk as a whole ---- */

struct sim_disk *sim_disk_new(struct sim_node *n)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    CHECK(d);
    d->node = n;
    d->budget = UINT64_MAX;
    d->write_ns = 50 * SIM_US;
    d->sync_ns = 2 * SIM_MS;
    d->root = inode_new(d, true);
    return d;
}

static void files_free(struct sim_file *f)
{
    for (struct sim_file *next; f; f = next) {
        next = f->next;
        free(f->base.path);
        free(f);
    }
}

void sim_disk_free(struct sim_disk *d)
{
    sim_disk_killed(d);
    files_free(d->dead_files);
    while (d->n_dirty) {
        struct sim_inode *i = d->dirty[0];
        if (i->is_dir) {
            dir_sync(i, d->seq);
        } else {
            inode_truncate(i, 0);
            for (size_t k = 0; k < i->n_dirty; k++)
                i->dirty[k]->lost = false;
            i->durable_size = 0;
            inode_sync(i, d->seq);
        }
    }
    inode_unref(d->root);
    CHECK(!d->all);
    free(d->dirty);
    free(d);
}

/* Handles end with their process; what they named stays. */
void sim_disk_killed(struct sim_disk *d)
{
    while (d->files) {
        struct sim_file *f = d->files;
        d->files = f->next;
        if (f->inode->locked_by == &f->base)
            f->inode->locked_by = NULL;
        inode_unref(f->inode);
        f->inode = NULL;
        f->next = d->dead_files;
        d->dead_files = f;
    }
}

/* ---- numbers, death, faults ---- */

/* What the death, if it is due in the next operation, is. */
enum { FILE_OWNER = 1000 };
enum fate { LIVES, KILLED, CUT };

static enum fate io_begin(struct sim_disk *d, const char *what, uint64_t a, uint64_t b)
{
    struct sim_world *w = d->node->w;
    d->io_count++;
    sim_mix_bytes(w, what, strlen(what));
    sim_mix(w, a, b);
    if (w->trace)
        fprintf(stderr, "%12.6f %s io %llu %s %llu %llu\n", (double)w->now / 1e9, d->node->name,
                (unsigned long long)d->io_count, what, (unsigned long long)a, (unsigned long long)b);
    return d->io_count == d->cut_at ? CUT : d->io_count == d->kill_at ? KILLED : LIVES;
}

static void io_die(struct sim_disk *d, enum fate fate)
{
    struct sim_frame *f = d->node->w->frame;
    if (!f || f->node != d->node) {
        fprintf(stderr, "sim: node %s dies in a file call made outside a task: enter it through sim_call\n",
                d->node->name);
        abort();
    }
    sim_die(d->node, fate == CUT, fate == CUT ? -1 : -9);
}

/* For operations that happen wholly or not at all. Gives true when the caller shall do it. */
static bool coin(struct sim_disk *d)
{
    return rng_below(&d->node->w->disk, 2);
}

static int32_t chance(struct sim_disk *d, int op)
{
    return rng_permille(&d->node->w->disk, d->fail[op].permille) ? d->fail[op].code : 0;
}

uint64_t sim_io_count(struct os *os)
{
    return node_of(os)->disk->io_count;
}

void sim_cut_at(struct os *os, uint64_t k)
{
    node_of(os)->disk->cut_at = k;
}

void sim_kill_at(struct os *os, uint64_t k)
{
    node_of(os)->disk->kill_at = k;
}

void sim_disk_fail(struct os *os, int op, unsigned permille, int32_t code)
{
    CHECK(op >= 0 && op < OS_FAULT_KINDS && (code < 0 || !permille));
    node_of(os)->disk->fail[op].permille = permille;
    node_of(os)->disk->fail[op].code = code;
}

void sim_disk_budget(struct os *os, uint64_t bytes)
{
    node_of(os)->disk->budget = bytes == UINT64_MAX ? UINT64_MAX : bytes / PAGE;
}

void sim_disk_tear(struct os *os, unsigned permille)
{
    node_of(os)->disk->tear_permille = permille;
}

void sim_disk_latency(struct os *os, int64_t write_ns, int64_t sync_ns)
{
    node_of(os)->disk->write_ns = write_ns;
    node_of(os)->disk->sync_ns = sync_ns;
}

void sim_mutant_sync_noop(struct os *os, bool on)
{
    node_of(os)->disk->sync_noop = on;
}

void sim_mutant_sync_dir_noop(struct os *os, bool on)
{
    node_of(os)->disk->sync_dir_noop = on;
}

void sim_file_limit(struct os *os, uint64_t n)
{
    node_of(os)->fd_limit = n;
}

/* ---- paths ---- */

/* Walks to the directory that holds the last name; `name` gets it (empty for the root itself). */
static int32_t walk(struct sim_disk *d, const char *path, struct sim_inode **dir, char name[256])
{
    *dir = d->root;
    name[0] = 0;
    for (;;) {
        path += strspn(path, "/");
        size_t n = strcspn(path, "/");
        if (n == 0)
            return CHRONIK_DONE;
        if (n > 255)
            return CHRONIK_E_TOOBIG;
        if (n != 1 || path[0] != '.') {
            if (name[0]) {
                *dir = dir_find(*dir, name);
                if (!*dir || !(*dir)->is_dir)
                    return CHRONIK_E_NOTFOUND;
            }
            memcpy(name, path, n);
            name[n] = 0;
        }
        path += n;
    }
}

static int32_t find(struct sim_disk *d, const char *path, struct sim_inode **out)
{
    char name[256];
    struct sim_inode *dir;
    int32_t r = walk(d, path, &dir, name);
    if (r < 0)
        return r;
    *out = name[0] ? dir_find(dir, name) : dir;
    return *out ? CHRONIK_DONE : CHRONIK_E_NOTFOUND;
}

/* One change of a directory, numbered; dies inside when it is time. */
static void change(struct sim_disk *d, const char *what, struct sim_inode *dir, const char *del, const char *set,
                   struct sim_inode *inode)
{
    enum fate fate = io_begin(d, what, del ? strlen(del) : 0, set ? strlen(set) : 0);
    if (fate == LIVES || coin(d))
        dir_change(dir, del, set, inode);
    if (fate != LIVES)
        io_die(d, fate);
}

/* ---- open and close ---- */

static int32_t create(struct sim_disk *d, struct sim_inode *dir, const char *name, bool is_dir, struct sim_inode **out)
{
    struct sim_inode *i = inode_new(d, is_dir);
    i->mtime_ms = os_wall_ms(&d->node->base);
    enum fate fate = io_begin(d, is_dir ? "mkdir" : "create", strlen(name), 0);
    if (fate == LIVES || coin(d))
        dir_change(dir, NULL, name, i);
    inode_unref(i);
    if (fate != LIVES)
        io_die(d, fate);
    *out = i;
    return CHRONIK_DONE;
}

static int32_t file_open(struct os *os, const char *path, unsigned flags, struct os_file **out)
{
    struct sim_disk *d = disk_of(os);
    char name[256];
    struct sim_inode *dir, *i;
    int32_t r = walk(d, path, &dir, name);
    if (r >= 0)
        r = chance(d, OS_FAULT_OPEN);
    if (r < 0)
        return r;
    if (d->node->fds >= d->node->fd_limit)
        return CHRONIK_E_BUSY;
    i = name[0] ? dir_find(dir, name) : dir;
    if (i && (flags & OS_CREATE) && (flags & OS_EXCL))
        return CHRONIK_E_EXISTS;
    if (i && i->is_dir)
        return CHRONIK_E_INVAL;
    if (!i && !(flags & OS_CREATE))
        return CHRONIK_E_NOTFOUND;
    if (!i)
        create(d, dir, name, false, &i);
    struct sim_file *f = calloc(1, sizeof *f);
    CHECK(f);
    f->base.os = os;
    f->inode = i;
    f->flags = flags;
    f->incarnation = d->node->incarnation;
    inode_ref(i);
    f->next = d->files;
    if (d->files)
        d->files->prev = f;
    d->files = f;
    d->node->fds++;
    *out = &f->base;
    return CHRONIK_DONE;
}

static void file_close(struct os_file *x)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    if (f->inode->locked_by == x)
        f->inode->locked_by = NULL;
    if (f->prev)
        f->prev->next = f->next;
    else
        d->files = f->next;
    if (f->next)
        f->next->prev = f->prev;
    inode_unref(f->inode);
    d->node->fds--;
    free(f);
}

/* ---- content ---- */

static int32_t file_size(struct os_file *f, uint64_t *out)
{
    *out = live(f)->inode->size;
    return CHRONIK_DONE;
}

/* Warms the page; says whether it was cold. */
static bool was_cold(struct sim_inode *i, uint64_t index, bool warm)
{
    struct sim_page *p = inode_page(i, index, false);
    bool cold = p && p->vol && !p->warm;
    if (p && warm)
        p->warm = true;
    return cold;
}

static int32_t file_pread(struct os_file *x, void *to, size_t n, uint64_t off, unsigned flags, size_t *got)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    int32_t r = chance(d, OS_FAULT_READ);
    if (r < 0)
        return r;
    uint64_t end = off >= f->inode->size ? off : f->inode->size - off < n ? f->inode->size : off + n;
    for (uint64_t k = off / PAGE; k * PAGE < end; k++) {
        if (!was_cold(f->inode, k, !(flags & OS_NOWAIT)))
            continue;
        if (flags & OS_NOWAIT) {
            end = max_i64((int64_t)(k * PAGE), (int64_t)off);
            r = CHRONIK_E_AGAIN;
            break;
        }
        sim_busy(d->node->w, rng_range(&d->node->w->disk, 50 * SIM_US, 500 * SIM_US));
    }
    *got = end - off;
    inode_read(f->inode, off, to, *got);
    return r < 0 ? r : CHRONIK_DONE;
}

static uint64_t iov_bytes(const struct chronik_iov *iov, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++)
        sum += iov[k].n;
    return sum;
}

/* Writes the first `limit` bytes of the vectors. */
static int32_t write_iov(struct sim_inode *i, const struct chronik_iov *iov, uint32_t n, uint64_t off, uint64_t limit)
{
    int32_t r = CHRONIK_DONE;
    for (uint32_t k = 0; k < n && limit > 0 && r >= 0; k++) {
        uint64_t step = iov[k].n < limit ? iov[k].n : limit;
        if (step == 0)
            continue;
        sim_mix_bytes(i->disk->node->w, iov[k].p, step);
        r = inode_write(i, off, iov[k].p, step);
        off += step;
        limit -= step;
    }
    i->mtime_ms = os_wall_ms(&i->disk->node->base);
    return r;
}

/* What a death inside a write leaves: a prefix in the page cache (a power cut then takes any sectors of it). In a write
 * of sectors these are whole (DESIGN 8) unless sim_disk_tear asks for torn ones: the kernel does not stop inside a
 * page. */
static void write_torn(struct sim_inode *i, const struct chronik_iov *iov, uint32_t n, uint64_t off, bool power)
{
    uint64_t all = iov_bytes(iov, n);
    bool whole = power && coin(i->disk);
    uint64_t limit = rng_below(&i->disk->node->w->disk, all + 1);
    uint64_t over = (off + limit) % SECTOR;
    if (limit < all && all >= SECTOR && !i->disk->tear_permille)
        limit = over < limit ? limit - over : 0;
    write_iov(i, iov, n, off, whole ? all : limit);
}

static int32_t file_pwritev(struct os_file *x, const struct chronik_iov *iov, uint32_t n, uint64_t off)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    uint64_t all = iov_bytes(iov, n);
    if (!(f->flags & OS_WRITE))
        return CHRONIK_E_INVAL;
    enum fate fate = io_begin(d, "write", off, all);
    if (fate != LIVES) {
        write_torn(f->inode, iov, n, off, fate == CUT);
        io_die(d, fate);
    }
    int32_t r = chance(d, OS_FAULT_WRITE);
    if (r < 0) {
        write_iov(f->inode, iov, n, off, rng_below(&d->node->w->disk, all + 1));
        return r;
    }
    sim_busy(d->node->w, rng_range(&d->node->w->disk, 1 * SIM_US, 10 * SIM_US));
    struct sim_inode *to = f->inode;
    if (d->misdirect && --d->misdirect == 0)
        to = sim_elsewhere(d, to, &off);
    return write_iov(to, iov, n, off, all);
}

static void file_sync_lost(struct os_file *x)
{
    inode_lose(live(x)->inode);
}

static int32_t sync_now(struct sim_disk *d, struct sim_inode *i, uint64_t started)
{
    int32_t r = chance(d, OS_FAULT_SYNC);
    if (r < 0)
        inode_lose(i);
    else if (!d->sync_noop)
        inode_sync(i, started);
    return r < 0 ? r : CHRONIK_DONE;
}

static int32_t file_sync(struct os_file *x)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    enum fate fate = io_begin(d, "sync", f->inode->size, 0);
    if (fate != LIVES) {
        if (coin(d) && !d->sync_noop)
            inode_sync(f->inode, d->seq);
        io_die(d, fate);
    }
    sim_busy(d->node->w, rng_range(&d->node->w->disk, d->sync_ns / 20, d->sync_ns));
    return sync_now(d, f->inode, d->seq);
}

static int32_t file_truncate(struct os_file *x, uint64_t size)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    int32_t r = chance(d, OS_FAULT_TRUNCATE);
    if (r < 0)
        return r;
    enum fate fate = io_begin(d, "truncate", f->inode->size, size);
    if (fate == LIVES || coin(d))
        inode_truncate(f->inode, size);
    if (fate != LIVES)
        io_die(d, fate);
    return CHRONIK_DONE;
}

static int32_t file_allocate(struct os_file *x, uint64_t off, uint64_t n)
{
    struct sim_file *f = live(x);
    struct sim_disk *d = f->inode->disk;
    int32_t r = chance(d, OS_FAULT_ALLOCATE);
    if (r < 0)
        return r;
    enum fate fate = io_begin(d, "allocate", off, n);
    if (fate == LIVES || coin(d))
        r = inode_allocate(f->inode, off + n);
    if (fate != LIVES)
        io_die(d, fate);
    return r < 0 ? r : CHRONIK_DONE;
}

static void file_advise(struct os_file *x, uint64_t off, uint64_t n, enum os_advice what)
{
    bool need = what == OS_ADVISE_NEED;
    if (what == OS_ADVISE_RANDOM || what == OS_ADVISE_WRITE)
        return;
    struct sim_inode *i = live(x)->inode;
    uint64_t end = i->size < off + n || n == 0 ? i->size : off + n;
    for (uint64_t k = off / PAGE; k * PAGE < end; k++) {
        struct sim_page *p = inode_page(i, k, false);
        if (p && (need || !p->split))
            p->warm = need;
    }
}

static int32_t file_lock(struct os_file *x)
{
    struct sim_file *f = live(x);
    if (f->inode->locked_by && f->inode->locked_by != x)
        return CHRONIK_E_LOCKED;
    f->inode->locked_by = x;
    return CHRONIK_DONE;
}

/* ---- names ---- */

static int32_t name_rename(struct os *os, const char *from, const char *to)
{
    struct sim_disk *d = disk_of(os);
    char a[256], b[256];
    struct sim_inode *da, *db;
    int32_t r = walk(d, from, &da, a);
    if (r >= 0)
        r = walk(d, to, &db, b);
    if (r >= 0)
        r = chance(d, OS_FAULT_RENAME);
    if (r < 0)
        return r;
    struct sim_inode *i = a[0] ? dir_find(da, a) : NULL, *old = b[0] ? dir_find(db, b) : NULL;
    if (!i)
        return CHRONIK_E_NOTFOUND;
    if (!b[0] || (old && old->is_dir))
        return CHRONIK_E_EXISTS;
    if (old == i)
        return CHRONIK_DONE;
    if (da == db) {
        change(d, "rename", da, a, b, i);
        return CHRONIK_DONE;
    }
    /* Two directories, two entries: at a cut the file may be in both, or in neither. */
    enum fate fate = io_begin(d, "rename", strlen(a), strlen(b));
    if (fate == LIVES || coin(d)) {
        dir_change(db, NULL, b, i);
        dir_change(da, a, NULL, NULL);
    }
    if (fate != LIVES)
        io_die(d, fate);
    return CHRONIK_DONE;
}

static int32_t name_remove(struct os *os, const char *path, bool is_dir)
{
    struct sim_disk *d = disk_of(os);
    char name[256];
    struct sim_inode *dir;
    int32_t r = walk(d, path, &dir, name);
    if (r < 0)
        return r;
    struct sim_inode *i = name[0] ? dir_find(dir, name) : NULL;
    if (!i || (is_dir && !i->is_dir))
        return CHRONIK_E_NOTFOUND;
    if (!is_dir && i->is_dir)
        return CHRONIK_E_INVAL;
    if (i->vol.n > 0)
        return CHRONIK_E_EXISTS;
    change(d, is_dir ? "rmdir" : "unlink", dir, name, NULL, NULL);
    return CHRONIK_DONE;
}

static int32_t name_unlink(struct os *os, const char *path)
{
    return name_remove(os, path, false);
}

static int32_t name_rmdir(struct os *os, const char *path)
{
    return name_remove(os, path, true);
}

static int32_t name_mkdir(struct os *os, const char *path)
{
    struct sim_disk *d = disk_of(os);
    char name[256];
    struct sim_inode *dir, *i;
    int32_t r = walk(d, path, &dir, name);
    if (r < 0)
        return r;
    if (!name[0] || dir_find(dir, name))
        return CHRONIK_E_EXISTS;
    return create(d, dir, name, true, &i);
}

static int32_t name_sync_dir(struct os *os, const char *path)
{
    struct sim_disk *d = disk_of(os);
    struct sim_inode *dir;
    int32_t r = find(d, path, &dir);
    if (r >= 0 && !dir->is_dir)
        r = CHRONIK_E_NOTFOUND;
    if (r >= 0)
        r = chance(d, OS_FAULT_SYNC_DIR);
    if (r < 0)
        return r;
    enum fate fate = io_begin(d, "sync_dir", dir->vol.n, 0);
    if ((fate == LIVES || coin(d)) && !d->sync_dir_noop)
        dir_sync(dir, d->seq);
    if (fate != LIVES)
        io_die(d, fate);
    sim_busy(d->node->w, rng_range(&d->node->w->disk, d->sync_ns / 20, d->sync_ns));
    return CHRONIK_DONE;
}

static int32_t name_lookup(struct os *os, const char *path, struct os_stat *out)
{
    struct sim_inode *i;
    int32_t r = find(disk_of(os), path, &i);
    if (r >= 0)
        *out = (struct os_stat){.size = i->size,
                                .mtime_ms = i->mtime_ms,
                                .is_dir = i->is_dir,
                                .uid = FILE_OWNER,
                                .mode = i->is_dir ? 0750 : 0640};
    return r;
}

/* The order of a listing is nobody's promise: it changes from call to call. */
static int32_t name_list(struct os *os, const char *path, void (*each)(void *arg, const char *name, bool is_dir),
                         void *arg)
{
    struct sim_disk *d = disk_of(os);
    struct sim_inode *dir;
    int32_t r = find(d, path, &dir);
    if (r < 0 || !dir->is_dir)
        return CHRONIK_E_NOTFOUND;
    size_t n = dir->vol.n;
    struct {
        char *name;
        bool is_dir;
    } *copy = calloc(n + 1, sizeof *copy);
    CHECK(copy);
    for (size_t k = 0; k < n; k++) {
        size_t at = (size_t)rng_below(&d->node->w->disk, k + 1);
        copy[k] = copy[at];
        copy[at].name = strdup(dir->vol.e[k].name);
        copy[at].is_dir = dir->vol.e[k].inode->is_dir;
    }
    for (size_t k = 0; k < n; k++) {
        each(arg, copy[k].name, copy[k].is_dir);
        free(copy[k].name);
    }
    free(copy);
    return CHRONIK_DONE;
}

static int32_t name_disk_free(struct os *os, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct sim_disk *d = disk_of(os);
    uint64_t total = d->budget == UINT64_MAX ? UINT64_C(1) << 28 : d->budget;
    *total_bytes = total * PAGE;
    *free_bytes = d->used < total ? (total - d->used) * PAGE : 0;
    return CHRONIK_DONE;
}

int32_t sim_disk_flip(struct os *os, const char *path, uint64_t bit)
{
    struct sim_disk *d = node_of(os)->disk;
    struct sim_inode *i;
    int32_t r = find(d, path, &i);
    if (r < 0 || i->is_dir)
        return CHRONIK_E_NOTFOUND;
    if (bit / 8 >= i->size)
        return CHRONIK_E_RANGE;
    inode_flip(i, bit);
    sim_note(d->node->w, "%s: bit %llu of %s flips", d->node->name, (unsigned long long)bit, path);
    return CHRONIK_DONE;
}

/* ---- submitted operations ---- */

static struct sim_disk *op_disk(struct os_file_op *op)
{
    return live(op->file)->inode->disk;
}

int64_t sim_op_write_begin(struct os_file_op *op)
{
    struct sim_disk *d = op_disk(op);
    uint64_t all = iov_bytes(op->iov, op->n_iov);
    enum fate fate = io_begin(d, "submit write", op->off, all);
    if (fate != LIVES)
        io_die(d, fate); /* sim_op_torn does its part */
    return rng_range(&d->node->w->disk, d->write_ns / 20, d->write_ns) + (int64_t)all;
}

int32_t sim_op_write_end(struct os_file_op *op)
{
    struct sim_disk *d = op_disk(op);
    struct sim_inode *i = file_of(op->file)->inode;
    uint64_t all = iov_bytes(op->iov, op->n_iov);
    if (!(file_of(op->file)->flags & OS_WRITE))
        return CHRONIK_E_INVAL;
    int32_t r = os_fault_hit(&d->node->base, OS_FAULT_WRITE, op->file->path);
    if (r >= 0)
        r = chance(d, OS_FAULT_WRITE);
    if (r >= 0)
        return write_iov(i, op->iov, op->n_iov, op->off, all);
    write_iov(i, op->iov, op->n_iov, op->off, rng_below(&d->node->w->disk, all + 1));
    return r;
}

int64_t sim_op_sync_begin(struct os_file_op *op, uint64_t *started)
{
    struct sim_disk *d = op_disk(op);
    *started = d->seq;
    enum fate fate = io_begin(d, "submit sync", file_of(op->file)->inode->size, 0);
    if (fate != LIVES)
        sim_die(d->node, fate == CUT, fate == CUT ? -1 : -9);
    return rng_range(&d->node->w->disk, d->sync_ns / 20, d->sync_ns);
}

int32_t sim_op_sync_end(struct os_file_op *op, uint64_t started)
{
    struct sim_disk *d = op_disk(op);
    struct sim_inode *i = file_of(op->file)->inode;
    int32_t r = os_fault_hit(&d->node->base, OS_FAULT_SYNC, op->file->path);
    if (r >= 0)
        return sync_now(d, i, started);
    inode_lose(i);
    return r;
}

void sim_op_torn(struct os_file_op *op, bool power, bool syncing, uint64_t started)
{
    struct sim_file *f = file_of(op->file);
    struct sim_disk *d = f->inode->disk;
    if (!syncing && op->write)
        write_torn(f->inode, op->iov, op->n_iov, op->off, power);
    else if (syncing && coin(d) && !d->sync_noop)
        inode_sync(f->inode, started);
}

struct sim_inode *sim_file_pin(struct os_file *f, uint64_t *size)
{
    struct sim_inode *i = live(f)->inode;
    inode_ref(i);
    *size = i->size;
    return i;
}

static uint32_t file_user(struct os *os)
{
    return FILE_OWNER;
}

const struct os_file_ops sim_file_ops = {
    .open = file_open,
    .close = file_close,
    .size = file_size,
    .pread = file_pread,
    .pwritev = file_pwritev,
    .sync = file_sync,
    .sync_lost = file_sync_lost,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .advise = file_advise,
    .lock = file_lock,
    .rename = name_rename,
    .unlink = name_unlink,
    .mkdir = name_mkdir,
    .rmdir = name_rmdir,
    .sync_dir = name_sync_dir,
    .lookup = name_lookup,
    .list = name_list,
    .disk_free = name_disk_free,
    .user = file_user,
};
