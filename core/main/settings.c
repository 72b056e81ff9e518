/* settings.c: builds the config of this process. It prints problems and never decides to go on in spite of one. */
#include "main/settings.h"

#include "os/os.h"
#include "plugin/loader.h"

#include <stdio.h>

int32_t settings_plugin_dir(const struct config *c, char *buf, size_t n, struct err *e)
{
    const char *given = config_raw(c, "chronik.plugin.dir");
    if (!given)
        return plugin_dir(buf, n, e);
    if ((size_t)snprintf(buf, n, "%s", given) >= n)
        return err_set(e, CHRONIK_E_TOOBIG, "chronik.plugin.dir: the path is too long");
    return CHRONIK_DONE;
}

struct registering {
    struct config *c;
    struct err *e;
    int32_t result;
};

static void register_module(void *arg, const char *path, const struct plugin_module *m, const struct err *why)
{
    struct registering *r = arg;
    if (!m || r->result < 0)
        return; /* a module that does not load has no keys; it is refused where it is asked for */
    r->result = config_register_keys(r->c, m->desc.name, m->desc.config_keys, m->desc.n_config_keys,
                                     m->desc.config_key_stride, r->e);
}

/* A module that is named by its path lies elsewhere: its keys count too. */
static int32_t register_by_path(struct registering *r, uint32_t kind, const char *what)
{
    struct plugin_module *m;
    if (!what || !strchr(what, '/'))
        return CHRONIK_DONE;
    int32_t got = plugin_load(NULL, kind, what, &m, r->e);
    if (got < 0)
        return got;
    register_module(r, what, m, NULL);
    plugin_unload(m);
    return r->result == CHRONIK_E_EXISTS ? CHRONIK_DONE : r->result; /* the same module, installed as well */
}

static int32_t register_modules(struct config *c, struct err *e)
{
    char dir[4096];
    struct registering r = {.c = c, .e = e, .result = CHRONIK_DONE};
    int32_t got = settings_plugin_dir(c, dir, sizeof dir, e);
    if (got < 0)
        return got;
    got = plugin_list(dir, register_module, &r, e);
    if (got < 0 && got != CHRONIK_E_NOTFOUND)
        return got;
    if (r.result < 0)
        return r.result;
    got = register_by_path(&r, CHRONIK_KIND_META, config_raw(c, "chronik.meta"));
    return got < 0 ? got : register_by_path(&r, CHRONIK_KIND_STORE, config_raw(c, "chronik.store"));
}

int32_t settings_read(struct config *c, struct os *os, const struct options *o, char *const *envp, struct err *e)
{
    int32_t r = config_read_env(c, envp, e);
    if (r >= 0 && o->file)
        r = config_read_file(c, os, o->file, e);
    for (size_t i = 0; i < o->n_settings && r >= 0; i++)
        r = config_read_flag(c, o->settings[i].flag, o->settings[i].key, o->settings[i].value, e);
    return r;
}

static void print_problem(void *arg, enum config_report_level level, const char *sentence)
{
    fprintf(stderr, "chronik: %s%s\n", level == CONFIG_REPORT_WARNING ? "warning: " : "", sentence);
}

/* The name of this machine, as the kernel has it. */
static const char *read_hostname(struct os *os, char *buf, size_t n)
{
    struct os_file *f;
    size_t got = 0;
    if (os_open(os, "/proc/sys/kernel/hostname", OS_READ, &f) < 0)
        return NULL;
    if (os_pread(f, buf, n - 1, 0, 0, &got) < 0)
        got = 0;
    os_close(f);
    buf[got] = 0;
    buf[strcspn(buf, "\n")] = 0;
    return *buf ? buf : NULL;
}

struct config *settings_load(struct os *os, const struct options *o, char *const *envp)
{
    struct err e = {0};
    char host[256];
    struct config *c = config_new();
    int32_t r = c ? settings_read(c, os, o, envp, &e) : err_set(&e, CHRONIK_E_NOMEM, "out of memory for the settings");
    if (r >= 0)
        r = register_modules(c, &e);
    if (r < 0) {
        print_problem(NULL, CONFIG_REPORT_ERROR, e.text);
    } else {
        struct config_finish_options fo = {.hostname = read_hostname(os, host, sizeof host),
                                           .allow_unknown = o->allow_unknown};
        if (config_finish(c, &fo, print_problem, NULL) == 0)
            return c;
    }
    config_free(c);
    return NULL;
}
