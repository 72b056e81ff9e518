/* loader.c: finds a module's file, lets elf.c look at it, maps it, lets descriptor.c look at what it says, and copies
 * the tables. It must never call a function of a module other than the entry. Reads the real file system directly:
 * modules and the dynamic loader are outside every node's virtual world. No state but what callers hold. */
#include "plugin/loader.h"

#include "plugin/elf.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int32_t plugin_dir(char *buf, size_t n, struct err *e)
{
    char exe[4096];
    ssize_t got = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (got < 0)
        return err_set(e, CHRONIK_E_IO, "/proc/self/exe: cannot be read: %s; is /proc mounted?", strerror(errno));
    exe[got] = 0;
    for (int up = 0; up < 2; up++) { /* <prefix>/bin/chronik -> <prefix> */
        char *slash = strrchr(exe, '/');
        if (slash != NULL)
            *slash = 0;
    }
    int len = snprintf(buf, n, "%s/lib/chronik", exe);
    if (len < 0 || (size_t)len >= n)
        return err_set(e, CHRONIK_E_TOOBIG, "%s: the path of the executable is too long", exe);
    return CHRONIK_DONE;
}

/* ---- one file ---- */

/* The dynamic loader's last complaint without the path that it begins with. */
static const char *dl_reason(const char *path)
{
    const char *text = dlerror();
    size_t n = strlen(path);
    if (text == NULL)
        return "unknown reason";
    return strncmp(text, path, n) == 0 && text[n] == ':' ? text + n + 2 : text;
}

static int32_t read_descriptor(struct plugin_module *m, uint32_t kind, struct err *e)
{
    union {
        void *object;
        chronik_plugin_entry fn;
    } entry = {.object = dlsym(m->handle, CHRONIK_PLUGIN_ENTRY)};
    if (entry.object == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: wanted an exported function %s, found none: not a chronik module",
                       m->path, CHRONIK_PLUGIN_ENTRY);
    const struct chronik_plugin *d = entry.fn();
    if (d == NULL)
        return err_set(e, CHRONIK_E_INVAL, "%s: %s(): wanted a descriptor, found NULL", m->path, CHRONIK_PLUGIN_ENTRY);
    int32_t rc = descriptor_check(m->path, kind, d, e);
    if (rc < 0)
        return rc;
    memcpy(&m->desc, d, min_size(d->size, sizeof m->desc));
    if (d->kind == CHRONIK_KIND_META)
        memcpy(&m->meta, d->ops, min_size(d->ops_size, sizeof m->meta));
    else
        memcpy(&m->store, d->ops, min_size(d->ops_size, sizeof m->store));
    return CHRONIK_DONE;
}

static int32_t load_file(const char *path, uint32_t kind, struct plugin_module **out, struct err *e)
{
    int32_t rc = elf_check(path, e);
    if (rc < 0)
        return rc;
    struct plugin_module *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(e, CHRONIK_E_NOMEM, "%s: no memory to load it", path);
    if (realpath(path, m->path) == NULL) {
        rc = err_set(e, CHRONIK_E_IO, "%s: cannot be resolved: %s", path, strerror(errno));
        free(m);
        return rc;
    }
    m->handle = dlopen(m->path, RTLD_NOW | RTLD_LOCAL);
    if (m->handle == NULL)
        rc = err_set(e, CHRONIK_E_INVAL, "%s: refused by the dynamic loader: %s", path, dl_reason(m->path));
    else
        rc = read_descriptor(m, kind, e);
    if (rc < 0)
        plugin_unload(m);
    else
        *out = m;
    return rc;
}

void plugin_unload(struct plugin_module *m)
{
    if (m->handle != NULL)
        dlclose(m->handle);
    free(m);
}

void plugin_forget(struct plugin_module *m)
{
    free(m);
}

/* ---- by name ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all *.so in `dir`, sorted; free each and the array. */
static int32_t scan(const char *dir, char ***names, size_t *n, struct err *e)
{
    size_t room = 0;
    *names = NULL;
    *n = 0;
    DIR *d = opendir(dir);
    if (d == NULL)
        return err_set(e, errno == ENOENT ? CHRONIK_E_NOTFOUND : CHRONIK_E_IO,
                       "%s: the plugin directory cannot be read: %s", dir, strerror(errno));
    int32_t rc = CHRONIK_DONE;
    for (struct dirent *entry; rc > 0 && (entry = readdir(d)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len <= 3 || strcmp(entry->d_name + len - 3, ".so") != 0)
            continue;
        if (*n == room) {
            room = room != 0 ? room * 2 : 16;
            char **more = realloc(*names, room * sizeof(char *));
            if (more == NULL) {
                rc = err_set(e, CHRONIK_E_NOMEM, "%s: no memory to list it", dir);
                break;
            }
            *names = more;
        }
        (*names)[*n] = strdup(entry->d_name);
        if ((*names)[*n] == NULL)
            rc = err_set(e, CHRONIK_E_NOMEM, "%s: no memory to list it", dir);
        else
            (*n)++;
    }
    closedir(d);
    if (*n > 0)
        qsort(*names, *n, sizeof(char *), by_name);
    return rc;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* "no module meta-x in DIR; installed: a, b": the remedy is to choose one of those. */
static int32_t not_installed(const char *dir, uint32_t kind, const char *name, struct err *e)
{
    char **names, list[256] = "none";
    size_t n, at = 0;
    const char *prefix = descriptor_kind_name(kind);
    struct err ignored;
    scan(dir, &names, &n, &ignored);
    for (size_t i = 0; i < n && at < sizeof list; i++) {
        size_t len = strlen(names[i]) - 3;
        if (strncmp(names[i], prefix, strlen(prefix)) == 0)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.*s", at > 0 ? ", " : "", (int)len, names[i]);
    }
    free_names(names, n);
    return err_set(e, CHRONIK_E_NOTFOUND, "%s: wanted the module %s, found no file %s.so; %s modules there: %s", dir,
                   name, name, prefix, list);
}

static int32_t load_named(const char *dir, uint32_t kind, const char *what, struct plugin_module **out, struct err *e)
{
    char name[80], path[4096];
    const char *prefix = descriptor_kind_name(kind);
    size_t n = strlen(prefix);
    if (what[strspn(what, "abcdefghijklmnopqrstuvwxyz0123456789-")] != 0 || what[0] == 0 || strlen(what) > 57)
        return err_set(e, CHRONIK_E_INVAL,
                       "--%s=%.60s: wanted a module's name of a-z, 0-9 and '-', or a path with a '/' such as ./%.60s",
                       prefix, what, what[0] != 0 ? what : "module.so");
    if (strncmp(what, prefix, n) == 0 && what[n] == '-')
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "%s-%s", prefix, what);
    int len = snprintf(path, sizeof path, "%s/%s.so", dir, name);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(e, CHRONIK_E_TOOBIG, "%.200s: the path of the plugin directory is too long", dir);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return not_installed(dir, kind, name, e);
    int32_t rc = load_file(path, kind, out, e);
    if (rc > 0 && strcmp((*out)->desc.name, name) != 0) {
        rc = err_set(e, CHRONIK_E_INVAL, "%s: field name: wanted '%s', as the file is called, found '%s'", path, name,
                     (*out)->desc.name);
        plugin_unload(*out);
        *out = NULL;
    }
    return rc;
}

int32_t plugin_load(const char *dir, uint32_t kind, const char *what, struct plugin_module **out, struct err *e)
{
    *out = NULL;
    return strchr(what, '/') != NULL ? load_file(what, kind, out, e) : load_named(dir, kind, what, out, e);
}

int32_t plugin_list(const char *dir,
                    void (*each)(void *arg, const char *path, const struct plugin_module *m, const struct err *why),
                    void *arg, struct err *e)
{
    char **names;
    size_t n;
    int32_t rc = scan(dir, &names, &n, e);
    for (size_t i = 0; rc > 0 && i < n; i++) {
        char path[4096];
        struct plugin_module *m = NULL;
        struct err why = {0};
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        load_file(path, 0, &m, &why);
        each(arg, path, m, &why);
        if (m != NULL)
            plugin_unload(m);
    }
    free_names(names, n);
    return rc;
}
