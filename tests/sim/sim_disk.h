/* sim_disk.h: the virtual disk's two states and what lies between them; shared by sim_disk.c (content, names, cuts) and
 * sim_file.c (the calls).
 *
 * A file is pages of 4096 bytes; a page has its volatile bytes, and, while they differ from the durable ones, these and
 * the versions between: one for each write, in sectors of 512. A directory has volatile and durable entries and the
 * operations between. Everything that happens gets the next number of the disk (`seq`); a sync makes durable what has a
 * number up to the one at its start. */
#ifndef CHRONIK_SIM_DISK_H
#define CHRONIK_SIM_DISK_H

#include "sim_impl.h"

enum { SECTOR = 512, PAGE = 4096, SECTORS = PAGE / SECTOR, CHUNK = 256 };

struct sim_ver {
    struct sim_ver *next; /* newer */
    uint64_t seq;
    uint8_t first, n; /* sectors */
    bool zero;        /* no data follows: the sectors became zero */
    uint8_t data[];
};

struct sim_page {
    uint64_t index;
    uint8_t *vol; /* NULL: zeros */
    uint8_t *dur; /* while split; NULL: zeros */
    struct sim_ver *oldest, *newest;
    unsigned n_ver;
    bool split; /* durable may differ from volatile; the page is in its inode's dirty list */
    bool lost;  /* a failed sync marked it clean */
    bool warm;  /* in the page cache */
};

struct sim_size {
    uint64_t seq, size;
};

struct sim_entry {
    char *name;
    struct sim_inode *inode;
};

struct sim_entries {
    struct sim_entry *e; /* sorted by name */
    size_t n, cap;
};

struct sim_dirop {
    uint64_t seq;
    char *del, *set; /* NULL: none */
    struct sim_inode *inode;
};

struct sim_inode {
    struct sim_disk *disk;
    struct sim_inode *prev, *next; /* all of the disk */
    uint32_t refs;                 /* entries of both states, pending operations, open files, pins, the dirty list */
    bool is_dir, in_dirty;
    int64_t mtime_ms;
    struct os_file *locked_by;
    /* a file */
    uint64_t size, durable_size;
    struct sim_size *sizes; /* pending, oldest first */
    size_t n_sizes, cap_sizes;
    struct sim_page **(*chunks); /* [chunk][page in chunk] */
    size_t n_chunks;
    struct sim_page **dirty;
    size_t n_dirty, cap_dirty;
    uint64_t reserved, charged; /* pages */
    /* a directory */
    struct sim_entries vol, dur;
    struct sim_dirop *ops; /* pending, oldest first */
    size_t n_ops, cap_ops;
};

struct sim_disk {
    struct sim_node *node;
    struct sim_inode *root, *all;
    struct sim_inode **dirty; /* inodes with anything pending or lost */
    size_t n_dirty, cap_dirty;
    struct sim_file *files, *dead_files;
    uint64_t seq, io_count, cut_at, kill_at;
    uint64_t misdirect, misdirected; /* the write that will land elsewhere, counted down; how many have */
    uint64_t used, budget;           /* pages */
    unsigned tear_permille;
    int64_t write_ns, sync_ns;
    bool sync_noop, sync_dir_noop;
    struct {
        unsigned permille;
        int32_t code;
    } fail[OS_FAULT_KINDS];
};

struct sim_inode *inode_new(struct sim_disk *d, bool is_dir);
void inode_ref(struct sim_inode *i);
void inode_unref(struct sim_inode *i);

/* content */
int32_t inode_write(struct sim_inode *i, uint64_t off, const void *p, uint64_t n);
void inode_read(struct sim_inode *i, uint64_t off, void *p, uint64_t n);
void inode_truncate(struct sim_inode *i, uint64_t size);
int32_t inode_allocate(struct sim_inode *i, uint64_t end);
void inode_sync(struct sim_inode *i, uint64_t started); /* makes durable what has seq <= started */
void inode_lose(struct sim_inode *i);                   /* a failed sync */
void inode_flip(struct sim_inode *i, uint64_t bit);     /* in every state that the byte has */
struct sim_page *inode_page(struct sim_inode *i, uint64_t index, bool make);

/* Where a write that was meant for `meant` at *off lands (sim_harm.c). */
struct sim_inode *sim_elsewhere(struct sim_disk *d, struct sim_inode *meant, uint64_t *off);

/* names */
struct sim_inode *dir_find(struct sim_inode *dir, const char *name);
/* One volatile change: takes `del` away, points `set` to the inode; pending until the directory is synced. */
void dir_change(struct sim_inode *dir, const char *del, const char *set, struct sim_inode *inode);
void dir_sync(struct sim_inode *dir, uint64_t started);

#endif
