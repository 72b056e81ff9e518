/* load_one.c: asks the loader about one file and says what it said: for test_loader.sh, which wants each question in a
 * process of its own. Exit status: 0 loaded, 1 refused. */
#include "plugin/loader.h"

#include <stdio.h>

static void show(void *arg, const char *path, const struct plugin_module *m, const struct err *why)
{
    char caps[256];
    (void)arg;
    if (m != NULL)
        printf("%s %s %s %s\n", path, m->desc.name, descriptor_kind_name(m->desc.kind),
               descriptor_capabilities(m->desc.capabilities, caps, sizeof caps));
    else
        printf("%s\n", why->text);
}

int main(int argc, char **argv)
{
    struct plugin_module *m;
    struct err e = {0};
    int32_t rc;
    if (argc == 3 && strcmp(argv[1], "--list") == 0) {
        rc = plugin_list(argv[2], show, NULL, &e);
        printf("%s\n", rc > 0 ? "listed" : e.text);
        return rc < 0;
    }
    if (argc != 4) {
        fprintf(stderr, "usage: load_one DIRECTORY meta|store NAME-OR-PATH | load_one --list DIRECTORY\n");
        return 2;
    }
    rc = plugin_load(argv[1], strcmp(argv[2], "meta") == 0 ? CHRONIK_KIND_META : CHRONIK_KIND_STORE, argv[3], &m, &e);
    printf("%s\n", rc > 0 ? m->desc.name : e.text);
    if (rc > 0)
        plugin_unload(m);
    return rc < 0;
}
