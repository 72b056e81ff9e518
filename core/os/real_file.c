/* real_file.c: files and directories of the running kernel. Every call blocks its thread; short reads and writes and
 * EINTR are ended here, errno becomes a chronik code. It never retries a failed sync. Any thread. */
#include <config.h>

#include "os/real.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IOV_BATCH = 64, DIRECT_ALIGN = 512 };

struct real_file {
    struct os_file base;
    int fd;
    int direct; /* the same file, for writes past the page cache; -1: none */
};

_Static_assert(sizeof(struct chronik_iov) == sizeof(struct iovec), "the vectors are the kernel's");
_Static_assert(offsetof(struct chronik_iov, n) == offsetof(struct iovec, iov_len), "the vectors are the kernel's");

int real_file_fd(struct os_file *f)
{
    return ((struct real_file *)f)->fd;
}

static int32_t result(int r)
{
    return r == 0 ? CHRONIK_DONE : real_errno(errno);
}

/* ---- files ---- */

/* -1 where the file system cannot, or wants more than DIRECT_ALIGN; then all goes through the page cache. */
static int open_direct(const char *path)
{
    struct statx sx = {0};
    int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align && sx.stx_dio_offset_align <= DIRECT_ALIGN && sx.stx_dio_mem_align <= DIRECT_ALIGN)
        return fd;
    close(fd);
    return -1;
}

static int32_t real_open(struct os *os, const char *path, unsigned flags, struct os_file **out)
{
    int how = O_CLOEXEC | ((flags & OS_WRITE) ? O_RDWR : O_RDONLY);
    how |= (flags & OS_CREATE) ? O_CREAT : 0;
    how |= (flags & OS_EXCL) ? O_EXCL : 0;
    struct real_file *f = calloc(1, sizeof *f);
    if (!f)
        return CHRONIK_E_NOMEM;
    do
        f->fd = open(path, how, 0640);
    while (f->fd < 0 && errno == EINTR);
    if (f->fd < 0) {
        int32_t r = real_errno(errno);
        free(f);
        return r;
    }
    f->direct = flags & OS_DIRECT ? open_direct(path) : -1;
    f->base.os = os;
    *out = &f->base;
    return CHRONIK_DONE;
}

static void real_close(struct os_file *f)
{
    int direct = ((struct real_file *)f)->direct;
    if (direct >= 0)
        close(direct);
    close(real_file_fd(f));
    free(f);
}

static int32_t real_size(struct os_file *f, uint64_t *out)
{
    struct stat st;
    if (fstat(real_file_fd(f), &st) != 0)
        return real_errno(errno);
    *out = (uint64_t)st.st_size;
    return CHRONIK_DONE;
}

static ssize_t read_some(int fd, void *p, size_t n, uint64_t off, unsigned flags)
{
    if (flags & OS_NOWAIT) {
        struct iovec v = {p, n};
        ssize_t r = preadv2(fd, &v, 1, (off_t)off, RWF_NOWAIT);
        /* A file system without RWF_NOWAIT would answer "later" for ever: there the read may wait. */
        if (r >= 0 || errno != EOPNOTSUPP)
            return r;
    }
    return pread(fd, p, n, (off_t)off);
}

static int32_t real_pread(struct os_file *f, void *p, size_t n, uint64_t off, unsigned flags, size_t *got)
{
    while (*got < n) {
        ssize_t r = read_some(real_file_fd(f), (char *)p + *got, n - *got, off + *got, flags);
        if (r == 0)
            break;
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return real_errno(errno);
        *got += (size_t)r;
    }
    return CHRONIK_DONE;
}

static ssize_t write_some(int fd, const struct iovec *v, uint32_t n, uint64_t off)
{
    ssize_t r;
    do
        r = pwritev(fd, v, (int)n, (off_t)off);
    while (r < 0 && errno == EINTR);
    return r;
}

/* Writes at most IOV_BATCH vectors, all of them or an error; *off moves on. */
static int32_t write_batch(int fd, struct iovec *v, uint32_t n, uint64_t *off)
{
    for (uint32_t i = 0; i < n;) {
        if (v[i].iov_len == 0) {
            i++;
            continue;
        }
        ssize_t r = write_some(fd, v + i, n - i, *off);
        if (r < 0)
            return real_errno(errno);
        if (r == 0)
            return CHRONIK_E_IO;
        *off += (uint64_t)r;
        for (size_t left = (size_t)r; left > 0;) {
            size_t step = min_size(left, v[i].iov_len);
            v[i].iov_base = (char *)v[i].iov_base + step;
            v[i].iov_len -= step;
            left -= step;
            i += v[i].iov_len == 0;
        }
    }
    return CHRONIK_DONE;
}

static bool is_aligned(const struct chronik_iov *iov, uint32_t n, uint64_t off)
{
    uint64_t bits = off;
    for (uint32_t i = 0; i < n; i++)
        bits |= (uintptr_t)iov[i].p | iov[i].n;
    return bits % DIRECT_ALIGN == 0;
}

static int32_t real_pwritev(struct os_file *f, const struct chronik_iov *iov, uint32_t n, uint64_t off)
{
    int direct = ((struct real_file *)f)->direct;
    if (direct >= 0 && n <= IOV_BATCH && is_aligned(iov, n, off)) {
        struct iovec v[IOV_BATCH];
        uint64_t at = off;
        memcpy(v, iov, n * sizeof v[0]);
        int32_t r = write_batch(direct, v, n, &at);
        if (r != CHRONIK_E_INVAL)
            return r; /* else the file system has its own reasons */
    }
    while (n > 0) {
        struct iovec v[IOV_BATCH];
        uint32_t batch = n < IOV_BATCH ? n : IOV_BATCH;
        memcpy(v, iov, batch * sizeof v[0]);
        int32_t r = write_batch(real_file_fd(f), v, batch, &off);
        if (r < 0)
            return r;
        iov += batch;
        n -= batch;
    }
    return CHRONIK_DONE;
}

static int32_t real_sync(struct os_file *f)
{
    return result(fdatasync(real_file_fd(f)));
}

static int32_t real_truncate(struct os_file *f, uint64_t size)
{
    int r;
    do
        r = ftruncate(real_file_fd(f), (off_t)size);
    while (r != 0 && errno == EINTR);
    return result(r);
}

static int32_t real_allocate(struct os_file *f, uint64_t off, uint64_t n)
{
    int r;
    do
        r = fallocate(real_file_fd(f), 0, (off_t)off, (off_t)n);
    while (r != 0 && errno == EINTR);
    if (r == 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
        return result(r);
    /* No reservation here (some network and overlay file systems): the size at least is as promised. */
    uint64_t size;
    int32_t e = real_size(f, &size);
    return e < 0 || size >= off + n ? e : real_truncate(f, off + n);
}

static void real_advise(struct os_file *f, uint64_t off, uint64_t n, enum os_advice what)
{
    static const int advice[] = {[OS_ADVISE_NEED] = POSIX_FADV_WILLNEED,
                                 [OS_ADVISE_DROP] = POSIX_FADV_DONTNEED,
                                 [OS_ADVISE_RANDOM] = POSIX_FADV_RANDOM};
    if (what == OS_ADVISE_WRITE) {
        sync_file_range(real_file_fd(f), (off_t)off, (off_t)n, SYNC_FILE_RANGE_WRITE);
        return;
    }
    posix_fadvise(real_file_fd(f), (off_t)off, (off_t)n, advice[what]);
}

/* cachestat(2), Linux 6.5; older headers do not name it. */
static int32_t real_cached(struct os_file *f, uint64_t off, uint64_t n)
{
    enum { CACHESTAT = 451 };
    struct {
        uint64_t off, n;
    } range = {off, n};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } pages;
    if (n == 0 || syscall(CACHESTAT, real_file_fd(f), &range, &pages, 0) != 0)
        return CHRONIK_E_UNSUPPORTED;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return pages.cached > (off + n - 1) / page - off / page;
}

/* An open-file-description lock: it ends with the file or the process, also when the process is killed. */
static int32_t real_lock(struct os_file *f)
{
    struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(real_file_fd(f), F_OFD_SETLK, &lk) == 0)
        return CHRONIK_DONE;
    return errno == EAGAIN || errno == EACCES ? CHRONIK_E_LOCKED : real_errno(errno);
}

/* ---- names ---- */

static int32_t real_rename(struct os *os, const char *from, const char *to)
{
    return result(rename(from, to));
}

static int32_t real_unlink(struct os *os, const char *path)
{
    return result(unlink(path));
}

static int32_t real_mkdir(struct os *os, const char *path)
{
    return result(mkdir(path, 0750));
}

static int32_t real_rmdir(struct os *os, const char *path)
{
    return result(rmdir(path));
}

static int32_t real_sync_dir(struct os *os, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return real_errno(errno);
    int32_t r = result(fsync(fd));
    close(fd);
    return r;
}

static int32_t real_lookup(struct os *os, const char *path, struct os_stat *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return real_errno(errno);
    out->size = (uint64_t)st.st_size;
    out->mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    out->is_dir = S_ISDIR(st.st_mode);
    out->uid = st.st_uid;
    out->mode = st.st_mode;
    return CHRONIK_DONE;
}

static bool entry_is_dir(DIR *d, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
        return e->d_type == DT_DIR;
    return fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static int32_t real_list(struct os *os, const char *path, void (*each)(void *arg, const char *name, bool is_dir),
                         void *arg)
{
    DIR *d = opendir(path);
    if (!d)
        return real_errno(errno);
    struct dirent *e;
    while ((errno = 0, e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(arg, e->d_name, entry_is_dir(d, e));
    int32_t r = errno ? real_errno(errno) : CHRONIK_DONE;
    closedir(d);
    return r;
}

static int32_t real_disk_free(struct os *os, const char *path, uint64_t *free_bytes, uint64_t *total_bytes)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return real_errno(errno);
    *free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    *total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    return CHRONIK_DONE;
}

static uint32_t real_user(struct os *os)
{
    return geteuid();
}

const struct os_file_ops real_file_ops = {
    .open = real_open,
    .close = real_close,
    .size = real_size,
    .pread = real_pread,
    .pwritev = real_pwritev,
    .sync = real_sync,
    .truncate = real_truncate,
    .allocate = real_allocate,
    .advise = real_advise,
    .cached = real_cached,
    .lock = real_lock,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .rmdir = real_rmdir,
    .sync_dir = real_sync_dir,
    .lookup = real_lookup,
    .list = real_list,
    .disk_free = real_disk_free,
    .user = real_user,
};
