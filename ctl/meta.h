/* meta.h: chronikctl meta ...: the quorum of the metadata, through the admin HTTP server. Exit statuses. */
#ifndef CHRONIK_CTL_META_H
#define CHRONIK_CTL_META_H

#include "ctl/options.h"

int meta_show_status(const struct options *o);
int meta_show_members(const struct options *o);
int meta_add(const struct options *o);
int meta_promote(const struct options *o);
int meta_demote(const struct options *o);
int meta_bootstrap(const struct options *o);
int meta_remove(const struct options *o);
int meta_hand_over(const struct options *o);
int meta_make_snapshot(const struct options *o);

#endif
