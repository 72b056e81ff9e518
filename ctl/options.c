#include <config.h>

/* options.c: see options.h. Options may stand anywhere, as `--name value` or `--name=value`. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <chronik/base.h>

#include "ctl/options.h"

struct option {
    const char *name, *value, *doc; /* value NULL: a switch */
    unsigned bit;                   /* 0: every command takes it */
};

static const struct option table[] = {
    {"bootstrap", "HOST:PORT", "broker to talk to, several with commas; $CHRONIK_BOOTSTRAP, else localhost:9092", 0},
    {"admin", "HOST:PORT", "its admin HTTP address; $CHRONIK_ADMIN, else 127.0.0.1:9644", 0},
    {"format", "json|table", "shape of the answer (table)", 0},
    {"timeout", "SECONDS", "longest wait for an answer (10)", 0},
    {"help", NULL, "this text", 0},
    {"version", NULL, "version of this program", 0},
    {"internal", NULL, "internal topics too", OPT_INTERNAL},
    {"partitions", "N", "number of partitions (the broker's num.partitions)", OPT_PARTITIONS},
    {"replication-factor", "N", "replicas of each partition (the broker's default.replication.factor)",
     OPT_REPLICATION},
    {"config", "KEY=VALUE", "a setting of the topic; may be repeated", OPT_CONFIG},
    {"if-not-exists", NULL, "a topic that exists is no error", OPT_IF_NOT_EXISTS},
    {"if-exists", NULL, "a topic that does not exist is no error", OPT_IF_EXISTS},
    {"validate-only", NULL, "check, but change nothing", OPT_VALIDATE_ONLY},
    {"topic", "NAME", "whose offsets", OPT_TOPIC},
    {"to", "WHERE", "earliest, latest or an offset", OPT_TO},
    {"force", NULL, "do it, although acknowledged changes may be lost", OPT_FORCE},
    {"wait", "SECONDS", "wait until the broker is ready", OPT_WAIT},
    {"token-file", "FILE", "bearer token of the admin server, needed from another machine; $CHRONIK_ADMIN_TOKEN_FILE",
     OPT_TOKEN},
};

static const struct option *find_option(const char *name, size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strlen(table[i].name) == n && strncmp(table[i].name, name, n) == 0)
            return &table[i];
    return NULL;
}

static int32_t number(const char *name, const char *value, long min, long max, long *out, struct err *e)
{
    char *end;
    long v = strtol(value, &end, 10);
    if (end == value || *end || v < min || v > max)
        return err_set(e, CHRONIK_E_INVAL, "--%s takes a number from %ld to %ld, not '%s'", name, min, max, value);
    *out = v;
    return CHRONIK_DONE;
}

static int32_t set_switch(const struct option *t, struct options *o)
{
    switch (t->bit) {
    case OPT_INTERNAL:
        o->internal = true;
        break;
    case OPT_IF_EXISTS:
        o->if_exists = true;
        break;
    case OPT_IF_NOT_EXISTS:
        o->if_not_exists = true;
        break;
    case OPT_VALIDATE_ONLY:
        o->validate_only = true;
        break;
    case OPT_FORCE:
        o->force = true;
        break;
    default:
        if (strcmp(t->name, "help") == 0)
            o->help = true;
        else
            o->version = true;
    }
    return CHRONIK_DONE;
}

static int32_t set_number(const struct option *t, const char *value, struct options *o, struct err *e)
{
    long v = 0;
    bool partitions = t->bit == OPT_PARTITIONS, replicas = t->bit == OPT_REPLICATION;
    int32_t r = number(t->name, value, t->bit == OPT_WAIT ? 0 : 1,
                       partitions ? 1000000
                       : replicas ? INT16_MAX
                                  : 86400,
                       &v, e);
    if (r < 0)
        return r;
    if (partitions)
        o->partitions = (int32_t)v;
    else if (replicas)
        o->replication_factor = (int16_t)v;
    else if (t->bit == OPT_WAIT)
        o->wait_s = (int)v;
    else
        o->timeout_ms = (int)v * 1000;
    return r;
}

static int32_t set_value(const struct option *t, const char *value, struct options *o, struct err *e)
{
    if (strcmp(t->name, "bootstrap") == 0) {
        o->bootstrap = value;
    } else if (strcmp(t->name, "admin") == 0) {
        o->admin = value;
    } else if (strcmp(t->name, "format") == 0) {
        o->json = strcmp(value, "json") == 0;
        if (!o->json && strcmp(value, "table") != 0)
            return err_set(e, CHRONIK_E_INVAL, "--format is json or table, not '%s'", value);
    } else if (t->bit == OPT_TOKEN) {
        o->token_file = value;
    } else if (t->bit == OPT_TOPIC) {
        o->topic = value;
    } else if (t->bit == OPT_TO) {
        o->to = value;
    } else if (t->bit == OPT_CONFIG) {
        const char *eq = strchr(value, '=');
        if (!eq || eq == value)
            return err_set(e, CHRONIK_E_INVAL, "--config takes KEY=VALUE, not '%s'", value);
        if (o->n_configs == OPT_CONFIGS)
            return err_set(e, CHRONIK_E_INVAL, "more than %d settings; split the command", OPT_CONFIGS);
        o->configs[o->n_configs++] = value;
    } else {
        return set_number(t, value, o, e);
    }
    return CHRONIK_DONE;
}

static int32_t take_option(int argc, char *const *argv, int *i, struct options *o, unsigned *seen, struct err *e)
{
    const char *name = argv[*i] + 2;
    size_t n = strcspn(name, "=");
    const struct option *t = find_option(name, n);
    if (!t)
        return err_set(e, CHRONIK_E_INVAL, "there is no option --%.*s; chronikctl --help lists them", (int)n, name);
    *seen |= t->bit;
    if (!t->value)
        return name[n] ? err_set(e, CHRONIK_E_INVAL, "--%s takes no value", t->name) : set_switch(t, o);
    const char *value = name[n] ? name + n + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    if (!value)
        return err_set(e, CHRONIK_E_INVAL, "--%s needs a value: --%s %s", t->name, t->name, t->value);
    return set_value(t, value, o, e);
}

/* The command whose words are at the beginning of `words`; *used is how many. */
static const struct command *find_command(const char *const *words, int n, int *used)
{
    for (const struct command *c = commands; c->object; c++) {
        *used = c->verb ? 2 : 1;
        if (n >= *used && strcmp(words[0], c->object) == 0 && (!c->verb || strcmp(words[1], c->verb) == 0))
            return c;
    }
    return NULL;
}

static const char *option_of(unsigned bits)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].bit & bits)
            return table[i].name;
    return "?";
}

static int32_t check(struct options *o, const char *const *words, int n, unsigned seen, struct err *e)
{
    int used = 0;
    if (n == 0 && (o->help || o->version))
        return CHRONIK_DONE;
    if (n == 0)
        return err_set(e, CHRONIK_E_INVAL, "no command is given; chronikctl --help lists them");
    o->command = find_command(words, n, &used);
    if (!o->command && o->help)
        return CHRONIK_DONE;
    if (!o->command)
        return err_set(e, CHRONIK_E_INVAL, "there is no command '%s%s%s'; chronikctl --help lists them", words[0],
                       n > 1 ? " " : "", n > 1 ? words[1] : "");
    const struct command *c = o->command;
    if (o->help)
        return CHRONIK_DONE;
    if (seen & ~c->options)
        return err_set(e, CHRONIK_E_INVAL, "'%s%s%s' has no option --%s; its --help lists them", c->object,
                       c->verb ? " " : "", c->verb ? c->verb : "", option_of(seen & ~c->options));
    if (n - used < c->min_names || n - used > c->max_names)
        return err_set(e, CHRONIK_E_INVAL, "usage: chronikctl %s%s%s %s", c->object, c->verb ? " " : "",
                       c->verb ? c->verb : "", c->arguments);
    for (int i = used; i < n; i++)
        o->names[o->n_names++] = words[i];
    return CHRONIK_DONE;
}

int32_t options_parse(int argc, char *const *argv, struct options *o, struct err *e)
{
    const char *words[OPT_NAMES];
    int n = 0;
    unsigned seen = 0;
    bool only_words = false;
    const char *bootstrap = getenv("CHRONIK_BOOTSTRAP"), *admin = getenv("CHRONIK_ADMIN"),
               *token = getenv("CHRONIK_ADMIN_TOKEN_FILE");
    *o = (struct options){.partitions = -1, .replication_factor = -1, .wait_s = -1, .timeout_ms = 10000};
    o->bootstrap = bootstrap && *bootstrap ? bootstrap : "localhost:9092";
    o->admin = admin && *admin ? admin : "127.0.0.1:9644";
    o->token_file = token && *token ? token : NULL;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && strcmp(argv[i], "-h") == 0) {
            o->help = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] == '-') {
            int32_t r = take_option(argc, argv, &i, o, &seen, e);
            if (r < 0)
                return r;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            return err_set(e, CHRONIK_E_INVAL, "there is no option %s; chronikctl --help lists them", argv[i]);
        } else if (n == OPT_NAMES) {
            return err_set(e, CHRONIK_E_INVAL, "more than %d names; split the command", OPT_NAMES);
        } else {
            words[n++] = argv[i];
        }
    }
    return check(o, words, n, seen, e);
}

static void print_options(unsigned bits)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char left[64];
        if (table[i].bit != bits && !(table[i].bit & bits))
            continue;
        snprintf(left, sizeof left, "--%s %s", table[i].name, table[i].value ? table[i].value : "");
        printf("  %-26s %s\n", left, table[i].doc);
    }
}

void options_help(const struct command *c)
{
    if (c) {
        printf("usage: chronikctl %s %s %s\n%s\n", c->object, c->verb ? c->verb : "", c->arguments, c->doc);
        if (c->options) {
            printf("\noptions:\n");
            print_options(c->options);
        }
    } else {
        printf("usage: chronikctl [OPTION...] COMMAND [ARGUMENT...]\n\ncommands:\n");
        for (c = commands; c->object; c++) {
            char left[64];
            snprintf(left, sizeof left, "%s %s %s", c->object, c->verb ? c->verb : "", c->arguments);
            printf("  %-26s %s\n", left, c->doc);
        }
    }
    printf("\nfor all commands:\n");
    print_options(0);
    printf("\nexit status: 0 done, 1 failed, 2 wrong usage\n");
}
