#include <config.h>

/* main.c: chronikctl, the operator's command line: one command a run, talking to a broker as any client would. */
#include <stdio.h>

#include "base/log.h"
#include "ctl/options.h"

int main(int argc, char **argv)
{
    struct options o;
    struct err e = {0};
    if (options_parse(argc, argv, &o, &e) < 0) {
        fprintf(stderr, "chronikctl: %s\n", e.text);
        return 2;
    }
    if (o.help) {
        options_help(o.command);
        return 0;
    }
    if (o.version) {
        printf("chronikctl %s (%s)\n", chronik_version(), chronik_build_id());
        return 0;
    }
    int status = o.command->run(&o);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "chronikctl: the answer could not be written to standard output\n");
        return 1;
    }
    return status;
}
