/* options.h: the command line of chronikctl as data: commands, their options, help. Parsing opens nothing. */
#ifndef CHRONIK_CTL_OPTIONS_H
#define CHRONIK_CTL_OPTIONS_H

#include "base/err.h"

enum { OPT_CONFIGS = 64, OPT_NAMES = 256 };

/* What was asked for. Strings borrow from argv. */
struct options {
    const struct command *command; /* NULL: only help or version */
    bool help, version, json;
    const char *bootstrap, *admin, *token_file;
    int timeout_ms;
    bool internal, if_exists, if_not_exists, validate_only, force;
    int32_t partitions;               /* -1: the broker's default */
    int16_t replication_factor;       /* -1: the broker's default */
    int wait_s;                       /* -1: do not wait */
    const char *topic, *to;           /* of reset-offsets */
    const char *configs[OPT_CONFIGS]; /* KEY=VALUE */
    int n_configs;
    const char *names[OPT_NAMES];
    int n_names;
};

struct command {
    const char *object, *verb; /* "topic", "list"; "status", NULL */
    const char *arguments;     /* "NAME..." */
    const char *doc;
    unsigned options; /* OPT_ bits that it takes */
    int min_names, max_names;
    int (*run)(const struct options *o); /* exit status */
};

enum {
    OPT_INTERNAL = 1,
    OPT_IF_EXISTS = 2,
    OPT_IF_NOT_EXISTS = 4,
    OPT_VALIDATE_ONLY = 8,
    OPT_PARTITIONS = 16,
    OPT_REPLICATION = 32,
    OPT_CONFIG = 64,
    OPT_WAIT = 128,
    OPT_TOKEN = 256,
    OPT_TOPIC = 512,
    OPT_TO = 1024,
    OPT_FORCE = 2048,
};

/* The table, ending with an object of NULL. In commands.c. */
extern const struct command commands[];

/* E_INVAL with a sentence that ends in the remedy. */
int32_t options_parse(int argc, char *const *argv, struct options *o, struct err *e);
/* Of the command, or of the whole program when it is NULL. */
void options_help(const struct command *c);

#endif
