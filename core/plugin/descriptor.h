/* descriptor.h: is this descriptor one that we can work with? Pure: looks at memory only, so that tests and the
 * conformance kit can ask about descriptors that never were in a file. */
#ifndef CHRONIK_PLUGIN_DESCRIPTOR_H
#define CHRONIK_PLUGIN_DESCRIPTOR_H

#include <chronik/meta.h>
#include <chronik/plugin.h>
#include <chronik/store.h>

#include "base/err.h"

/* Bytes of the descriptor that keep their places in every later version. */
#define PLUGIN_FROZEN_PREFIX offsetof(struct chronik_plugin, config_keys)

/* Checks every field of `d`, the frozen prefix first. `kind` 0 takes any kind. `path` is for the sentence. DONE, or
 * E_VERSION (magic, majors, minors, sizes) or E_INVAL (the rest) with file, field, wanted and found in `e`. */
int32_t descriptor_check(const char *path, uint32_t kind, const struct chronik_plugin *d, struct err *e);

/* "meta", "store" or "unknown kind". */
const char *descriptor_kind_name(uint32_t kind);

/* The names of the bits in `caps`, separated by commas, into buf[n]; "none" for 0. Returns buf. */
const char *descriptor_capabilities(uint64_t caps, char *buf, size_t n);

/* Key number `i`, with fields that the module's version does not have as zero. */
struct chronik_config_key descriptor_config_key(const struct chronik_plugin *d, uint32_t i);

#endif
