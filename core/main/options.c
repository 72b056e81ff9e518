/* options.c: from argv to a struct options. Flags may stand before or behind the words; `--flag value` and
 * `--flag=value` are the same. Pure but for two allocations. */
#include "main/options.h"

#include <chronik/base.h>

#include <stdio.h>
#include <stdlib.h>

const char options_help[] =
    "usage: chronik [server.properties] [FLAG...]       serve\n"
    "       chronik plugins                             list the modules that are installed\n"
    "       chronik config show [server.properties] [FLAG...] [--all]\n"
    "                                                   each setting, its value and where it came from\n"
    "\n"
    "  --override KEY=VALUE     a setting, stronger than environment and file; may be repeated\n"
    "  --meta=NAME|PATH         the metadata module (chronik.meta): local, raft, mem, ...\n"
    "  --store=NAME|PATH        the storage module (chronik.store): wal, mem, ...\n"
    "  --check-config           check all settings, say what is wrong and where, and end\n"
    "  --allow-unknown-config   warn of unknown keys instead of refusing them\n"
    "  --version  --help\n"
    "\n"
    "A value comes from a flag, else from the environment (CHRONIK_LOG_RETENTION_MS is log.retention.ms), else from "
    "the\n"
    "file, else it is the default. The names are Kafka's; our own begin with chronik.\n";

struct parser {
    int argc, at;
    char *const *argv;
    struct options *out;
    size_t used; /* bytes of out->keys */
    const char *words[3];
    size_t n_words;
    struct err *e;
};

static int32_t refuse(struct parser *p, const char *what, const char *arg)
{
    return err_set(p->e, CHRONIK_E_INVAL, "%s '%s'; chronik --help lists what there is", what, arg);
}

/* "--override KEY=VALUE": the key is copied because it lacks a NUL of its own. */
static int32_t take_override(struct parser *p, const char *text)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return err_set(p->e, CHRONIK_E_INVAL, "--override takes KEY=VALUE, not '%.200s'", text);
    size_t len = (size_t)(eq - text);
    char *key = p->out->keys + p->used;
    memcpy(key, text, len);
    key[len] = 0;
    p->used += len + 1;
    p->out->settings[p->out->n_settings++] = (struct option_setting){.flag = "--override", .key = key, .value = eq + 1};
    return CHRONIK_DONE;
}

static int32_t take_setting(struct parser *p, const char *flag, const char *key, const char *value)
{
    if (!*value)
        return err_set(p->e, CHRONIK_E_INVAL, "%s takes the name or the path of a module", flag);
    p->out->settings[p->out->n_settings++] = (struct option_setting){.flag = flag, .key = key, .value = value};
    return CHRONIK_DONE;
}

/* Whether the argument is `flag`; *value is what stands behind "=", or NULL. */
static bool is_flag(const char *arg, const char *flag, const char **value)
{
    size_t len = strlen(flag);
    if (strncmp(arg, flag, len) != 0 || (arg[len] && arg[len] != '='))
        return false;
    *value = arg[len] ? arg + len + 1 : NULL;
    return true;
}

static int32_t take_flag_with_value(struct parser *p, const char *arg, bool *taken)
{
    static const char *const flags[] = {"--override", "--meta", "--store"};
    static const char *const keys[] = {NULL, "chronik.meta", "chronik.store"};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const char *value;
        if (!is_flag(arg, flags[i], &value))
            continue;
        *taken = true;
        if (!value && p->at < p->argc)
            value = p->argv[p->at++];
        if (!value)
            return err_set(p->e, CHRONIK_E_INVAL, "%s wants a value behind it", flags[i]);
        return keys[i] ? take_setting(p, flags[i], keys[i], value) : take_override(p, value);
    }
    return CHRONIK_DONE;
}

static int32_t take_flag(struct parser *p, const char *arg)
{
    static const struct {
        const char *flag;
        enum option_command command;
    } commands[] = {{"--check-config", OPTION_CHECK_CONFIG},
                    {"--version", OPTION_VERSION},
                    {"--help", OPTION_HELP},
                    {"-h", OPTION_HELP}};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(arg, commands[i].flag) == 0) {
            p->out->command = commands[i].command;
            return CHRONIK_DONE;
        }
    }
    if (strcmp(arg, "--allow-unknown-config") == 0) {
        p->out->allow_unknown = true;
        return CHRONIK_DONE;
    }
    if (strcmp(arg, "--all") == 0) {
        p->out->all = true;
        return CHRONIK_DONE;
    }
    bool taken = false;
    int32_t r = take_flag_with_value(p, arg, &taken);
    return taken ? r : refuse(p, "unknown flag", arg);
}

/* "plugins", "config show [FILE]" or "[FILE]". A file of such a name is meant with a slash: ./plugins. */
static int32_t take_words(struct parser *p)
{
    struct options *o = p->out;
    size_t at = 0;
    bool serves = o->command == OPTION_SERVE;
    if (p->n_words && strcmp(p->words[0], "plugins") == 0) {
        o->command = serves ? OPTION_PLUGINS : o->command;
        at = 1;
    } else if (p->n_words && strcmp(p->words[0], "config") == 0) {
        if (p->n_words < 2 || strcmp(p->words[1], "show") != 0)
            return err_set(p->e, CHRONIK_E_INVAL, "write: chronik config show");
        o->command = serves ? OPTION_SHOW_CONFIG : o->command;
        at = 2;
    }
    if (at < p->n_words)
        o->file = p->words[at++];
    return at < p->n_words ? refuse(p, "one word too many:", p->words[at]) : CHRONIK_DONE;
}

int32_t options_parse(int argc, char *const *argv, struct options *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    size_t bytes = 1;
    for (int i = 1; i < argc; i++)
        bytes += strlen(argv[i]) + 1;
    out->keys = malloc(bytes);
    out->settings = calloc((size_t)(argc > 0 ? argc : 1), sizeof *out->settings);
    if (!out->keys || !out->settings) {
        options_free(out);
        return err_set(e, CHRONIK_E_NOMEM, "out of memory for the command line");
    }
    struct parser p = {.argc = argc, .at = 1, .argv = argv, .out = out, .e = e};
    int32_t r = CHRONIK_DONE;
    while (p.at < argc && r >= 0) {
        const char *arg = argv[p.at++];
        if (arg[0] == '-' && arg[1])
            r = take_flag(&p, arg);
        else if (p.n_words < ARRAY_LEN(p.words))
            p.words[p.n_words++] = arg;
        else
            r = refuse(&p, "one word too many:", arg);
    }
    if (r >= 0)
        r = take_words(&p);
    if (r < 0)
        options_free(out);
    return r;
}

void options_free(struct options *o)
{
    free(o->keys);
    free(o->settings);
    memset(o, 0, sizeof *o);
}
