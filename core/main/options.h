/* options.h: the command line of the broker. Parsing only: it opens no file and knows no setting's meaning. */
#ifndef CHRONIK_MAIN_OPTIONS_H
#define CHRONIK_MAIN_OPTIONS_H

#include "base/err.h"

enum option_command {
    OPTION_SERVE,
    OPTION_CHECK_CONFIG, /* --check-config */
    OPTION_SHOW_CONFIG,  /* config show [--all] */
    OPTION_PLUGINS,      /* plugins */
    OPTION_VERSION,
    OPTION_HELP,
};

/* A setting given by a flag: --override KEY=VALUE, --meta=NAME, --store=NAME. */
struct option_setting {
    const char *flag, *key, *value;
};

struct options {
    enum option_command command;
    const char *file; /* server.properties; NULL: none */
    bool allow_unknown, all;
    struct option_setting *settings; /* in order */
    size_t n_settings;
    char *keys; /* owned: the texts of --override */
};

/* Strings borrow from argv and from `out`. E_INVAL with a sentence that ends in the remedy; E_NOMEM. */
int32_t options_parse(int argc, char *const *argv, struct options *out, struct err *e);
void options_free(struct options *o);

/* What --help prints. */
extern const char options_help[];

#endif
