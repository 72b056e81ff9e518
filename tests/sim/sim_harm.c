/* sim_harm.c: what a disk does behind the back of those who use it: bits that flip by themselves, a write that lands
 * elsewhere, a whole tree that is put back to an older copy. None of it is an operation of the node: it has no number,
 * and no call of the node fails by it. */
#include <config.h>

#include "sim_disk.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- places on the disk ---- */

static uint32_t files_of(struct sim_disk *d, struct sim_inode **out, uint32_t most)
{
    uint32_t n = 0;
    for (struct sim_inode *i = d->all; i && n < most; i = i->next)
        if (!i->is_dir && i->size >= SECTOR)
            out[n++] = i;
    return n;
}

enum { FILES_MOST = 256, TRIES = 50 };

bool sim_disk_rot(struct os *os)
{
    struct sim_disk *d = node_of(os)->disk;
    struct sim_inode *files[FILES_MOST];
    uint32_t n = files_of(d, files, FILES_MOST);
    for (int k = 0; n && k < TRIES; k++) {
        struct sim_inode *i = files[rng_below(&d->node->w->disk, n)];
        uint64_t bit = rng_below(&d->node->w->disk, i->size * 8);
        struct sim_page *p = inode_page(i, bit / 8 / PAGE, false);
        if (!p || !p->vol)
            continue; /* a hole has no bits */
        inode_flip(i, bit);
        sim_note(d->node->w, "%s: bit %llu of a file of %llu bytes flips", d->node->name, (unsigned long long)bit,
                 (unsigned long long)i->size);
        return true;
    }
    return false;
}

void sim_disk_misdirect(struct os *os, uint64_t nth)
{
    node_of(os)->disk->misdirect = nth;
}

uint64_t sim_disk_misdirected(struct os *os)
{
    return node_of(os)->disk->misdirected;
}

struct sim_inode *sim_elsewhere(struct sim_disk *d, struct sim_inode *meant, uint64_t *off)
{
    struct sim_inode *files[FILES_MOST];
    uint32_t n = files_of(d, files, FILES_MOST);
    for (int k = 0; n && k < TRIES; k++) {
        struct sim_inode *i = files[rng_below(&d->node->w->disk, n)];
        uint64_t at = rng_below(&d->node->w->disk, i->size / SECTOR) * SECTOR;
        if (i == meant && at / SECTOR == *off / SECTOR)
            continue;
        d->misdirected++;
        sim_note(d->node->w, "%s: a write at %llu lands at %llu of %s file", d->node->name, (unsigned long long)*off,
                 (unsigned long long)at, i == meant ? "the same" : "another");
        *off = at;
        return i;
    }
    return meant;
}

/* ---- copies ---- */

struct sim_copy {
    struct sim_copy *next;
    bool is_dir;
    uint64_t size;
    uint8_t *data;
    char path[256];
};

static void save(struct sim_inode *dir, const char *path, struct sim_copy ***tail)
{
    for (size_t k = 0; k < dir->vol.n; k++) {
        struct sim_inode *i = dir->vol.e[k].inode;
        struct sim_copy *c = calloc(1, sizeof *c);
        CHECK(c);
        c->is_dir = i->is_dir;
        c->size = i->is_dir ? 0 : i->size;
        int n = snprintf(c->path, sizeof c->path, "%s/%s", path, dir->vol.e[k].name);
        CHECK(n > 0 && (size_t)n < sizeof c->path);
        c->data = malloc(c->size + 1);
        CHECK(c->data);
        if (!i->is_dir)
            inode_read(i, 0, c->data, c->size);
        **tail = c;
        *tail = &c->next;
        if (i->is_dir)
            save(i, c->path, tail);
    }
}

struct sim_copy *sim_disk_save(struct os *os)
{
    struct sim_copy *all = NULL, **tail = &all;
    CHECK(!sim_up(os));
    save(node_of(os)->disk->root, "", &tail);
    return all;
}

void sim_copy_free(struct sim_copy *c)
{
    for (struct sim_copy *next; c; c = next) {
        next = c->next;
        free(c->data);
        free(c);
    }
}

static void clear(struct sim_inode *dir)
{
    while (dir->vol.n) {
        char name[256];
        struct sim_inode *i = dir->vol.e[0].inode;
        snprintf(name, sizeof name, "%s", dir->vol.e[0].name);
        if (i->is_dir)
            clear(i);
        dir_change(dir, name, NULL, NULL);
    }
}

void sim_disk_load(struct os *os, const struct sim_copy *c)
{
    struct sim_disk *d = node_of(os)->disk;
    CHECK(!sim_up(os));
    clear(d->root);
    for (; c; c = c->next) {
        struct sim_inode *dir = d->root, *i = inode_new(d, c->is_dir);
        const char *at = c->path + 1, *slash;
        char name[256];
        for (; (slash = strchr(at, '/')); at = slash + 1) {
            snprintf(name, sizeof name, "%.*s", (int)(slash - at), at);
            dir = dir_find(dir, name);
            CHECK(dir);
        }
        dir_change(dir, NULL, at, i);
        inode_unref(i);
        CHECK(c->is_dir || inode_write(i, 0, c->data, c->size) == CHRONIK_DONE);
    }
    sim_disk_settle(os);
    sim_note(d->node->w, "%s: its disk is an older copy", d->node->name);
}
