/* cmd_plugins.c: `chronik plugins`: every module in the plugin directory, also those that do not load, with the reason.
 * It loads and unloads; it creates no instance. */
#include "main/settings.h"

#include "plugin/loader.h"

#include <stdio.h>

static void print_module(void *arg, const char *path, const struct plugin_module *m, const struct err *why)
{
    char caps[256];
    if (!m) {
        printf("%-12s %s\n", "(refused)", why->text);
        return;
    }
    const struct chronik_plugin *d = &m->desc;
    printf("%-12s %-8s %-6s ABI %u.%u  host %u.%u  %s\n", d->name, d->version ? d->version : "-",
           descriptor_kind_name(d->kind), d->abi_major, d->abi_minor, d->host_major, d->host_minor, path);
    printf("%-12s %s\n", "", descriptor_capabilities(d->capabilities, caps, sizeof caps));
    if (d->summary)
        printf("%-12s %s\n", "", d->summary);
}

int cmd_plugins(struct os *os, const struct options *o, char *const *envp)
{
    char dir[4096];
    struct err e = {0};
    struct config *c = config_new();
    int32_t r = c ? settings_read(c, os, o, envp, &e) : err_set(&e, CHRONIK_E_NOMEM, "out of memory for the settings");
    if (r >= 0)
        r = settings_plugin_dir(c, dir, sizeof dir, &e);
    if (r >= 0)
        r = plugin_list(dir, print_module, NULL, &e);
    config_free(c);
    if (r < 0)
        fprintf(stderr, "chronik: %s\n", e.text);
    return r < 0;
}
