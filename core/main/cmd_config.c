/* cmd_config.c: `chronik config show` and `chronik --check-config`. They print and change nothing. */
#include "main/settings.h"

#include "plugin/loader.h"

#include <stdio.h>

struct showing {
    const struct config *c;
    bool all;
};

static void show(void *arg, const struct config_entry *entry)
{
    const struct showing *s = arg;
    bool given = entry->source != CONFIG_FROM_DEFAULT;
    if (!s->all && !given && entry->setting->acts != CONFIG_ACTS)
        return;
    printf("%s = %s  # %s%s\n", entry->setting->name,
           entry->setting->sensitive ? "[hidden]"
           : entry->value            ? entry->value
                                     : "(none)",
           config_origin(s->c, entry->setting), entry->setting->acts == CONFIG_IGNORED ? ", without effect here" : "");
}

int cmd_show_config(struct os *os, const struct options *o, char *const *envp)
{
    struct config *c = settings_load(os, o, envp);
    if (!c)
        return 1;
    struct showing s = {.c = c, .all = o->all};
    config_describe(c, CONFIG_BROKER, NULL, 0, show, &s);
    config_free(c);
    return 0;
}

/* Whether the module that a setting names could be loaded; says why not. */
static bool check_module(const struct config *c, uint32_t kind, enum config_id id)
{
    char dir[4096];
    struct err e = {0};
    struct plugin_module *m;
    int32_t r = settings_plugin_dir(c, dir, sizeof dir, &e);
    if (r >= 0)
        r = plugin_load(dir, kind, config_str(c, id), &m, &e);
    if (r < 0) {
        const struct config_setting *s =
            config_find(c, CONFIG_BROKER, id == CFG_CHRONIK_META ? "chronik.meta" : "chronik.store");
        fprintf(stderr, "chronik: %s: %s=%s: %s\n", config_origin(c, s), s->name, config_str(c, id), e.text);
        return false;
    }
    plugin_unload(m);
    return true;
}

int cmd_check_config(struct os *os, const struct options *o, char *const *envp)
{
    struct config *c = settings_load(os, o, envp);
    if (!c)
        return 1;
    bool meta = check_module(c, CHRONIK_KIND_META, CFG_CHRONIK_META);
    bool store = check_module(c, CHRONIK_KIND_STORE, CFG_CHRONIK_STORE);
    config_free(c);
    if (!meta || !store)
        return 1;
    printf("%s: no problem found\n", o->file ? o->file : "settings");
    return 0;
}
