/* sources.c: collects pairs from flags, environment and file, then decides at config_finish what each setting is: flag
 * before environment before file before default. Every problem found is reported as one sentence that begins with its
 * place. Runs on one thread, before anyone reads. */
#include "config/config_impl.h"
#include "config/properties.h"

#include "os/os.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_FILE_BYTES (1u << 20)

/* ---- reading ---- */

static int32_t add_pair(struct config *c, enum config_source source, const char *origin, const char *key,
                        const char *value, struct err *e)
{
    CHECK(!c->finished);
    struct config_pair *p = calloc(1, sizeof *p);
    if (p) {
        p->key = config_text_n(c, key, strlen(key));
        p->value = config_text_n(c, value, strlen(value));
        p->origin = origin;
        p->source = source;
    }
    if (!p || !p->key || !p->value || !origin) {
        free(p);
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the setting %s", key);
    }
    *c->last_pair = p;
    c->last_pair = &p->next;
    return CHRONIK_DONE;
}

struct reading {
    struct config *c;
    const char *path;
};

static int32_t take_file_pair(void *arg, int line, const char *key, const char *value, struct err *e)
{
    struct reading *r = arg;
    return add_pair(r->c, CONFIG_FROM_FILE, config_text_printf(r->c, "%s:%d", r->path, line), key, value, e);
}

int32_t config_read_text(struct config *c, const char *path, const char *text, size_t len, struct err *e)
{
    if (len > MAX_FILE_BYTES)
        return err_set(e, CHRONIK_E_TOOBIG, "%s: %zu bytes; a file of settings has at most %u", path, len,
                       MAX_FILE_BYTES);
    struct reading r = {.c = c, .path = path};
    return properties_parse(path, text, len, take_file_pair, &r, e);
}

static int32_t read_all(struct os_file *f, const char *path, char **text, size_t *len, struct err *e)
{
    uint64_t size;
    int32_t r = os_size(f, &size);
    if (r < 0)
        return err_set(e, r, "%s: cannot read the file of settings; is it a regular file?", path);
    if (size > MAX_FILE_BYTES)
        return err_set(e, CHRONIK_E_TOOBIG, "%s: %llu bytes; a file of settings has at most %u", path,
                       (unsigned long long)size, MAX_FILE_BYTES);
    *text = malloc(size + 1);
    if (!*text)
        return err_set(e, CHRONIK_E_NOMEM, "%s: out of memory", path);
    r = os_pread(f, *text, size, 0, 0, len);
    if (r < 0) {
        free(*text);
        return err_set(e, r, "%s: cannot read the file of settings; is it a regular file?", path);
    }
    return CHRONIK_DONE;
}

/* A pipe has no size to read, and opening one may wait for ever. A world without types of files has regular ones. */
static bool is_regular(struct os *os, const char *path)
{
    enum { TYPE = 0170000, REGULAR = 0100000 };
    struct os_stat st;
    return os_lookup(os, path, &st) < 0 || (st.mode & TYPE) == 0 || (st.mode & TYPE) == REGULAR;
}

int32_t config_read_file(struct config *c, struct os *os, const char *path, struct err *e)
{
    struct os_file *f;
    if (!is_regular(os, path))
        return err_set(e, CHRONIK_E_INVAL, "%s: it is no regular file; name the server.properties to read", path);
    int32_t r = os_open(os, path, OS_READ, &f);
    if (r < 0)
        return err_set(e, r, "%s: %s", path,
                       r == CHRONIK_E_NOTFOUND ? "there is no such file; name the server.properties to read, or none"
                       : r == CHRONIK_E_PERM   ? "not readable by this user; see its permissions"
                                               : "cannot be opened");
    char *text = NULL;
    size_t len = 0;
    r = read_all(f, path, &text, &len, e);
    os_close(f);
    if (r < 0)
        return r;
    r = config_read_text(c, path, text, len, e);
    free(text);
    return r;
}

int32_t config_read_env(struct config *c, char *const *envp, struct err *e)
{
    int32_t r = CHRONIK_DONE;
    for (; *envp && r >= 0; envp++) {
        const char *eq = strchr(*envp, '=');
        if (!eq)
            continue;
        if (strncmp(*envp, "HOME=", 5) == 0)
            c->home = config_text_n(c, eq + 1, strlen(eq + 1));
        else if (strncmp(*envp, "XDG_STATE_HOME=", 15) == 0)
            c->state_home = config_text_n(c, eq + 1, strlen(eq + 1));
        if (strncmp(*envp, "CHRONIK_", 8) != 0)
            continue;
        const char *name = config_text_n(c, *envp + 8, (size_t)(eq - *envp) - 8);
        if (!name)
            return err_set(e, CHRONIK_E_NOMEM, "out of memory for the environment");
        r = add_pair(c, CONFIG_FROM_ENV, config_text_printf(c, "environment CHRONIK_%s", name), name, eq + 1, e);
    }
    return r;
}

int32_t config_read_flag(struct config *c, const char *flag, const char *key, const char *value, struct err *e)
{
    return add_pair(c, CONFIG_FROM_FLAG, config_text_n(c, flag, strlen(flag)), key, value, e);
}

static bool pair_names(const struct config_pair *p, const char *key)
{
    return p->source == CONFIG_FROM_ENV ? config_env_names(p->key, key) : strcmp(p->key, key) == 0;
}

const char *config_raw(const struct config *c, const char *key)
{
    const struct config_pair *best = NULL;
    for (const struct config_pair *p = c->pairs; p; p = p->next)
        if (pair_names(p, key) && (!best || p->source >= best->source))
            best = p;
    return best ? best->value : NULL;
}

/* ---- finishing ---- */

struct finish {
    struct config *c;
    const struct config_finish_options *o;
    config_report_fn report;
    void *arg;
    int errors;
    char ignored[2048]; /* names, separated by ", " */
    size_t ignored_len;
};

static void problem(struct finish *f, enum config_report_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void problem(struct finish *f, enum config_report_level level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    f->errors += level == CONFIG_REPORT_ERROR;
    if (f->report)
        f->report(f->arg, level, text);
}

static bool same_as_default(const struct config_def *d, const char *value)
{
    return *value == 0 || (d->s.dflt && strcmp(d->s.dflt, value) == 0);
}

static void refuse_security(struct finish *f, const struct config_pair *p)
{
    problem(f, CONFIG_REPORT_ERROR,
            "%s: %s asks for security that chronik does not have yet (no SASL, no TLS, no authorizer); remove it and "
            "let only networks that you trust reach the broker",
            p->origin, p->key);
}

static void note_ignored(struct finish *f, const char *name)
{
    int n = snprintf(f->ignored + f->ignored_len, sizeof f->ignored - f->ignored_len, "%s%s",
                     f->ignored_len ? ", " : "", name);
    f->ignored_len = min_size(f->ignored_len + (size_t)n, sizeof f->ignored - 1);
}

/* "listener.name.<listener>.<key>": Kafka's settings of a single listener. */
static bool take_listener_key(struct finish *f, const struct config_pair *p)
{
    if (strncmp(p->key, "listener.name.", 14) != 0)
        return false;
    for (const char *rest = strchr(p->key + 14, '.'); rest; rest = strchr(rest + 1, '.')) {
        const struct config_def *d = config_def_find(CONFIG_BROKER, rest + 1);
        if (strncmp(rest + 1, "sasl.", 5) == 0 || strncmp(rest + 1, "ssl.", 4) == 0 || strstr(rest, ".sasl.") ||
            (d && d->s.acts == CONFIG_FATAL)) {
            refuse_security(f, p);
            return true;
        }
        if (d) {
            note_ignored(f, p->key);
            return true;
        }
    }
    return false;
}

static void report_unknown(struct finish *f, const struct config_pair *p)
{
    enum config_report_level level = f->o->allow_unknown ? CONFIG_REPORT_WARNING : CONFIG_REPORT_ERROR;
    const char *go_on = f->o->allow_unknown ? "" : " (--allow-unknown-config starts all the same)";
    const struct config_def *topic = config_def_find(CONFIG_TOPIC, p->key);
    if (topic && topic->n_synonyms) {
        problem(f, level, "%s: %s is a setting of topics; for all topics of the broker set %s%s", p->origin, p->key,
                config_defs[topic->synonyms[0]].s.name, go_on);
        return;
    }
    const char *near = config_nearest(f->c, CONFIG_BROKER, p->key);
    if (near)
        problem(f, level, "%s: unknown key '%.200s'; the nearest valid key is %s%s", p->origin, p->key, near, go_on);
    else
        problem(f, level, "%s: unknown key '%.200s', and no valid key is near%s", p->origin, p->key, go_on);
}

/* A variable that names no setting belongs to someone else, unless it nearly names one. */
static void look_at_stray_variable(struct finish *f, const struct config_pair *p)
{
    char key[128];
    size_t n = strlen(p->key);
    if (n >= sizeof key || !strchr(p->key, '_'))
        return;
    for (size_t i = 0; i <= n; i++)
        key[i] = p->key[i] == '_' ? '.' : (char)(p->key[i] | (p->key[i] >= 'A' && p->key[i] <= 'Z' ? 0x20 : 0));
    const char *near = config_nearest(f->c, CONFIG_BROKER, key);
    if (near)
        problem(f, CONFIG_REPORT_WARNING, "%s names no setting; the nearest is %s", p->origin, near);
}

static struct config_slot *slot_of_pair(struct config *c, const struct config_pair *p)
{
    if (p->source != CONFIG_FROM_ENV)
        return config_slot_find(c, p->key);
    for (int i = 0; i < CONFIG_FIRST_TOPIC; i++)
        if (config_env_names(p->key, c->slots[i].def->s.name))
            return &c->slots[i];
    for (size_t i = 0; i < c->n_module_slots; i++)
        if (config_env_names(p->key, c->module_slots[i].def->s.name))
            return &c->module_slots[i];
    return NULL;
}

static void take_pair(struct finish *f, struct config_pair *p)
{
    struct config_slot *s = slot_of_pair(f->c, p);
    if (!s) {
        if (p->source == CONFIG_FROM_ENV)
            look_at_stray_variable(f, p);
        else if (!take_listener_key(f, p))
            report_unknown(f, p);
        return;
    }
    const struct config_cell *cell;
    struct err e;
    if (config_cell_make(f->c, s, p->value, p->source, p->origin, &cell, &e) < 0) {
        problem(f, CONFIG_REPORT_ERROR, "%s: %s", p->origin, e.text);
        return;
    }
    if (s->def->s.acts == CONFIG_FATAL && !same_as_default(s->def, p->value))
        refuse_security(f, p);
    if (s->fixed && s->fixed->source == CONFIG_FROM_FILE && p->source == CONFIG_FROM_FILE)
        problem(f, CONFIG_REPORT_WARNING, "%s: %s was given before, at %s; the last one counts", p->origin, p->key,
                s->fixed->origin);
    if (!s->fixed && s->def->s.acts == CONFIG_IGNORED && !same_as_default(s->def, p->value))
        note_ignored(f, s->def->s.name);
    if (!s->fixed || p->source >= s->fixed->source)
        s->fixed = cell;
}

static void set_default(struct finish *f, struct config_slot *s, const char *text)
{
    struct err e;
    if (config_cell_make(f->c, s, text, CONFIG_FROM_DEFAULT, "default", &s->dflt, &e) < 0)
        problem(f, CONFIG_REPORT_ERROR, "default of %s: %s", s->def->s.name, e.text);
}

static const char *default_log_dirs(struct config *c)
{
    if (c->state_home && *c->state_home == '/')
        return config_text_printf(c, "%s/chronik", c->state_home);
    return c->home && *c->home ? config_text_printf(c, "%s/.local/state/chronik", c->home) : NULL;
}

static void make_module_slots(struct finish *f)
{
    size_t n = 0;
    for (struct config_module *m = f->c->modules; m; m = m->next)
        n += m->n;
    f->c->module_slots = calloc(n ? n : 1, sizeof *f->c->module_slots);
    if (!f->c->module_slots) {
        problem(f, CONFIG_REPORT_ERROR, "out of memory for the settings of modules");
        return;
    }
    for (struct config_module *m = f->c->modules; m; m = m->next)
        for (uint32_t i = 0; i < m->n; i++)
            f->c->module_slots[f->c->n_module_slots++].def = &m->defs[i];
}

/* log.dir and broker.id are older names: their value counts where the newer name has none. */
static void adopt_older_name(struct finish *f, enum config_id newer, enum config_id older)
{
    struct config_slot *s = &f->c->slots[newer];
    const struct config_cell *old = f->c->slots[older].fixed;
    struct err e;
    if (s->fixed || !old)
        return;
    if (config_cell_make(f->c, s, old->v.text, old->source, old->origin, &s->fixed, &e) < 0)
        problem(f, CONFIG_REPORT_ERROR, "%s: %s", old->origin, e.text);
}

static void check_roles(struct finish *f)
{
    const struct config_cell *roles = config_now(&f->c->slots[CFG_PROCESS_ROLES]);
    if (!config_list_has(roles->list, "broker"))
        problem(f, CONFIG_REPORT_ERROR,
                "%s: process.roles=%s: a chronik node is broker and controller in one; write broker,controller",
                roles->origin, roles->v.text);
    const struct config_cell *id = config_now(&f->c->slots[CFG_NODE_ID]);
    const struct config_cell *old = f->c->slots[CFG_BROKER_ID].fixed;
    if (old && old->v.i != id->v.i)
        problem(f, CONFIG_REPORT_ERROR, "%s: broker.id=%s differs from node.id=%s; keep node.id alone", old->origin,
                old->v.text, id->v.text);
}

static void check_dirs(struct finish *f)
{
    const struct config_cell *dirs = config_now(&f->c->slots[CFG_LOG_DIRS]);
    if (!dirs->list->n) {
        problem(f, CONFIG_REPORT_ERROR,
                "log.dirs has no default because neither XDG_STATE_HOME nor HOME is set; name a data directory with "
                "--override log.dirs=DIRECTORY");
        return;
    }
    for (size_t i = 0; i < dirs->list->n; i++)
        for (size_t j = 0; j <= i; j++)
            if (!dirs->list->item[i][0] || (j < i && strcmp(dirs->list->item[i], dirs->list->item[j]) == 0))
                problem(f, CONFIG_REPORT_ERROR, "%s: log.dirs=%.300s: %s", dirs->origin, dirs->v.text,
                        dirs->list->item[i][0] ? "a directory is named twice" : "a name is empty");
}

int config_finish(struct config *c, const struct config_finish_options *o, config_report_fn report, void *arg)
{
    CHECK(!c->finished);
    struct finish f = {.c = c, .o = o, .report = report, .arg = arg};
    make_module_slots(&f);
    for (int i = 0; i < CONFIG_FIRST_TOPIC; i++)
        set_default(&f, &c->slots[i], i == CFG_LOG_DIRS ? default_log_dirs(c) : c->slots[i].def->s.dflt);
    for (size_t i = 0; i < c->n_module_slots; i++)
        set_default(&f, &c->module_slots[i], c->module_slots[i].def->s.dflt);
    if (f.errors)
        return f.errors; /* out of memory: nothing below would hold */
    for (struct config_pair *p = c->pairs; p; p = p->next)
        take_pair(&f, p);
    adopt_older_name(&f, CFG_LOG_DIRS, CFG_LOG_DIR);
    adopt_older_name(&f, CFG_NODE_ID, CFG_BROKER_ID);
    c->finished = true;
    check_roles(&f);
    check_dirs(&f);
    f.errors += config_listeners_finish(c, o, report, arg);
    if (f.ignored_len) {
        char text[sizeof f.ignored + 64];
        snprintf(text, sizeof text, "valid in Kafka, without effect here: %s", f.ignored);
        if (report)
            report(arg, CONFIG_REPORT_WARNING, text);
    }
    return f.errors;
}
