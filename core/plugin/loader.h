/* loader.h: from the name of a module to its table of functions. Loading runs nothing of the module but its entry
 * function. One module may serve many instances; after a successful `create` it stays loaded for good. */
#ifndef CHRONIK_PLUGIN_LOADER_H
#define CHRONIK_PLUGIN_LOADER_H

#include "base/err.h"
#include "plugin/descriptor.h"

/* A loaded module. The tables are copies of our own shape: fields that the module's version lacks are zero. */
struct plugin_module {
    struct chronik_plugin desc;
    struct chronik_meta_ops meta;   /* filled when desc.kind is CHRONIK_KIND_META */
    struct chronik_store_ops store; /* filled when desc.kind is CHRONIK_KIND_STORE */
    void *handle;
    char path[4096];
};

/* Where modules are installed: ../lib/chronik beside the directory of the running executable. DONE or E_TOOBIG, E_IO.
 */
int32_t plugin_dir(char *buf, size_t n, struct err *e);

/* Loads a module of `kind`: by path when `what` contains a '/', else by name from `dir`: "local", "meta-local" for
 * meta-local.so. *out is to be released with plugin_unload, or kept for good once an instance was created. DONE, or a
 * negative code and one sentence: file, field, wanted, found. Blocking; any thread. */
int32_t plugin_load(const char *dir, uint32_t kind, const char *what, struct plugin_module **out, struct err *e);

/* Gives back a module of which no instance was ever created. */
void plugin_unload(struct plugin_module *m);
/* Gives back the description of a module whose instances are closed; its code stays loaded for good. NULL is fine. */
void plugin_forget(struct plugin_module *m);

/* Calls `each` for every *.so in `dir`, sorted by file name: with the module, or with NULL and the sentence why it does
 * not load. The module is borrowed for the call. DONE, or E_NOTFOUND, E_IO when `dir` can not be read. */
int32_t plugin_list(const char *dir,
                    void (*each)(void *arg, const char *path, const struct plugin_module *m, const struct err *why),
                    void *arg, struct err *e);

#endif
