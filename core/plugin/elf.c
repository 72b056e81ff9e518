/* elf.c: checks that a file is a regular, readable, complete ELF shared object of this machine's class and byte order:
 * every header and every range that a header names lies inside the file. It must never trust a number from the file
 * before it is bounded. Reads the real file system, as dlopen does: modules are not part of a node's virtual world. */
#include "plugin/elf.h"

#include <chronik/base.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__s390x__)
#define OUR_MACHINE EM_S390
#elif defined(__i386__)
#define OUR_MACHINE EM_386
#elif defined(__arm__)
#define OUR_MACHINE EM_ARM
#else
#error "name this machine's e_machine here"
#endif

#define OUR_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define OUR_DATA  (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

struct elf {
    int fd;
    uint64_t size;
    const char *path;
    struct err *e;
    ElfW(Ehdr) h;
};

/* Whether [off, off + n) lies inside the file. */
static bool inside(const struct elf *f, uint64_t off, uint64_t n)
{
    return off <= f->size && n <= f->size - off;
}

static int32_t read_at(const struct elf *f, void *p, size_t n, uint64_t off)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(f->fd, (char *)p + got, n - got, (off_t)(off + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return err_set(f->e, CHRONIK_E_IO, "%s: cannot be read at byte %llu: %s", f->path,
                           (unsigned long long)(off + got), r < 0 ? strerror(errno) : "the file ends there");
        got += (size_t)r;
    }
    return CHRONIK_DONE;
}

static int32_t truncated(const struct elf *f, const char *what, uint64_t off, uint64_t n)
{
    return err_set(f->e, CHRONIK_E_CORRUPT,
                   "%s: truncated: %s needs bytes %llu to %llu, found a file of %llu bytes; install it again", f->path,
                   what, (unsigned long long)off, (unsigned long long)(off + n), (unsigned long long)f->size);
}

static int32_t wrong(const struct elf *f, const char *field, unsigned wanted, unsigned found)
{
    return err_set(f->e, CHRONIK_E_VERSION, "%s: ELF field %s: wanted %u, found %u: not a module for this machine",
                   f->path, field, wanted, found);
}

static int32_t open_file(struct elf *f)
{
    struct stat st;
    /* Non-blocking: a FIFO without a writer must not hold up the start. */
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return err_set(f->e,
                       errno == ENOENT   ? CHRONIK_E_NOTFOUND
                       : errno == EACCES ? CHRONIK_E_PERM
                                         : CHRONIK_E_IO,
                       "%s: cannot be opened: %s", f->path, strerror(errno));
    if (fstat(f->fd, &st) != 0)
        return err_set(f->e, CHRONIK_E_IO, "%s: cannot be examined: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(f->e, CHRONIK_E_INVAL, "%s: wanted a regular file, found %s", f->path,
                       S_ISDIR(st.st_mode) ? "a directory" : "a special file");
    f->size = (uint64_t)st.st_size;
    return CHRONIK_DONE;
}

static int32_t check_header(struct elf *f)
{
    unsigned char magic[SELFMAG] = {0};
    if (f->size < SELFMAG)
        return err_set(f->e, CHRONIK_E_INVAL,
                       "%s: ELF field magic: wanted 7f 45 4c 46, found a file of %llu bytes: not a shared object",
                       f->path, (unsigned long long)f->size);
    int32_t rc = read_at(f, magic, sizeof magic, 0);
    if (rc < 0)
        return rc;
    if (memcmp(magic, ELFMAG, SELFMAG) != 0)
        return err_set(f->e, CHRONIK_E_INVAL,
                       "%s: ELF field magic: wanted 7f 45 4c 46, found %02x %02x %02x %02x: not a shared object",
                       f->path, magic[0], magic[1], magic[2], magic[3]);
    if (!inside(f, 0, sizeof f->h))
        return truncated(f, "the ELF header", 0, sizeof f->h);
    rc = read_at(f, &f->h, sizeof f->h, 0);
    if (rc < 0)
        return rc;
    if (f->h.e_ident[EI_CLASS] != OUR_CLASS)
        return wrong(f, "class", OUR_CLASS, f->h.e_ident[EI_CLASS]);
    if (f->h.e_ident[EI_DATA] != OUR_DATA)
        return wrong(f, "data", OUR_DATA, f->h.e_ident[EI_DATA]);
    if (f->h.e_machine != OUR_MACHINE)
        return wrong(f, "machine", OUR_MACHINE, f->h.e_machine);
    if (f->h.e_type != ET_DYN)
        return wrong(f, "type", ET_DYN, f->h.e_type);
    if (f->h.e_phentsize != sizeof(ElfW(Phdr)))
        return wrong(f, "phentsize", sizeof(ElfW(Phdr)), f->h.e_phentsize);
    if (f->h.e_shoff != 0 && f->h.e_shentsize != sizeof(ElfW(Shdr)))
        return wrong(f, "shentsize", sizeof(ElfW(Shdr)), f->h.e_shentsize);
    return CHRONIK_DONE;
}

/* Every mapped segment lies in the file; there is a dynamic section. */
static int32_t check_segments(struct elf *f)
{
    bool dynamic = false;
    uint64_t table = (uint64_t)f->h.e_phnum * sizeof(ElfW(Phdr));
    if (!inside(f, f->h.e_phoff, table))
        return truncated(f, "the table of program headers", f->h.e_phoff, table);
    for (unsigned i = 0; i < f->h.e_phnum; i++) {
        ElfW(Phdr) p;
        int32_t rc = read_at(f, &p, sizeof p, f->h.e_phoff + i * sizeof p);
        if (rc < 0)
            return rc;
        if (!inside(f, p.p_offset, p.p_filesz))
            return truncated(f, "a program segment", p.p_offset, p.p_filesz);
        if (p.p_type == PT_LOAD && p.p_filesz > p.p_memsz)
            return err_set(f->e, CHRONIK_E_CORRUPT,
                           "%s: ELF field p_filesz of segment %u: wanted at most %llu, found %llu", f->path, i,
                           (unsigned long long)p.p_memsz, (unsigned long long)p.p_filesz);
        dynamic |= p.p_type == PT_DYNAMIC;
    }
    if (!dynamic)
        return err_set(f->e, CHRONIK_E_INVAL, "%s: wanted a dynamic section, found none: not a shared object", f->path);
    return CHRONIK_DONE;
}

/* The section headers are not needed to load, but they end most files: they tell that the file is whole. */
static int32_t check_sections(struct elf *f)
{
    uint64_t table = (uint64_t)f->h.e_shnum * sizeof(ElfW(Shdr));
    if (f->h.e_shoff == 0)
        return CHRONIK_DONE;
    if (!inside(f, f->h.e_shoff, table))
        return truncated(f, "the table of section headers", f->h.e_shoff, table);
    for (unsigned i = 0; i < f->h.e_shnum; i++) {
        ElfW(Shdr) s;
        int32_t rc = read_at(f, &s, sizeof s, f->h.e_shoff + i * sizeof s);
        if (rc < 0)
            return rc;
        if (s.sh_type != SHT_NOBITS && s.sh_type != SHT_NULL && !inside(f, s.sh_offset, s.sh_size))
            return truncated(f, "a section", s.sh_offset, s.sh_size);
    }
    return CHRONIK_DONE;
}

int32_t elf_check(const char *path, struct err *e)
{
    struct elf f = {.fd = -1, .path = path, .e = e};
    int32_t rc = open_file(&f);
    if (rc > 0)
        rc = check_header(&f);
    if (rc > 0)
        rc = check_segments(&f);
    if (rc > 0)
        rc = check_sections(&f);
    if (f.fd >= 0)
        close(f.fd);
    return rc;
}
