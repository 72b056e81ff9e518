/* main.c: the entrance: which command is meant. */
#include <config.h>

#include "base/log.h"
#include "main/options.h"
#include "main/serve.h"
#include "main/settings.h"
#include "os/os.h"

#include <stdio.h>

extern char **environ;

static int run(struct os *os, const struct options *o)
{
    switch (o->command) {
    case OPTION_VERSION:
        printf("chronik %s (build %s)\n", chronik_version(), chronik_build_id());
        return 0;
    case OPTION_HELP:
        fputs(options_help, stdout);
        return 0;
    case OPTION_CHECK_CONFIG:
        return cmd_check_config(os, o, environ);
    case OPTION_SHOW_CONFIG:
        return cmd_show_config(os, o, environ);
    case OPTION_PLUGINS:
        return cmd_plugins(os, o, environ);
    case OPTION_SERVE:
        return cmd_serve(os, o, environ);
    }
    return 2;
}

int main(int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    if (options_parse(argc, argv, &o, &e) < 0) {
        fprintf(stderr, "chronik: %s\n", e.text);
        return 2;
    }
    struct os *os = os_real_new(2);
    int status = 1;
    if (!os)
        fprintf(stderr, "chronik: no memory or no threads left to start with\n");
    else if (os_fault_from_env(os, &e) < 0)
        fprintf(stderr, "chronik: CHRONIK_TEST_FAULTS: %s\n", e.text);
    else
        status = run(os, &o);
    if (os)
        os_real_free(os);
    options_free(&o);
    return status;
}
