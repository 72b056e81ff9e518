/* settings.h: the config of this process, from the command line, the environment, the file and the installed modules;
 * and the commands that only talk about settings and modules. Start-up thread; problems go to standard error. */
#ifndef CHRONIK_MAIN_SETTINGS_H
#define CHRONIK_MAIN_SETTINGS_H

#include "config/config.h"
#include "main/options.h"

struct os;

/* Where modules are found by name: chronik.plugin.dir as read so far, else the directory beside the program. */
int32_t settings_plugin_dir(const struct config *c, char *buf, size_t n, struct err *e);

/* Environment, file and flags, unchecked. */
int32_t settings_read(struct config *c, struct os *os, const struct options *o, char *const *envp, struct err *e);

/* Reads everything, registers the keys of all installed modules, checks. Prints each problem on standard error as
 * "chronik: sentence". NULL when there was one; the caller then exits with status 1. */
struct config *settings_load(struct os *os, const struct options *o, char *const *envp);

/* The commands: each returns the exit status of the process. */
int cmd_check_config(struct os *os, const struct options *o, char *const *envp);
int cmd_show_config(struct os *os, const struct options *o, char *const *envp);
int cmd_plugins(struct os *os, const struct options *o, char *const *envp);

#endif
