/* meta_routes.h: the quorum of the metadata at the admin door: who belongs to it, and the operator's commands. */
#ifndef CHRONIK_MAIN_META_ROUTES_H
#define CHRONIK_MAIN_META_ROUTES_H

#include "admin/admin.h"
#include "meta/meta.h"

struct meta_routes;

/* Before serving starts. NULL: no memory. */
struct meta_routes *meta_routes_open(struct os *os, struct admin *a, struct meta *meta);
/* Answers what waits with 503; later completions find nobody. Before the door closes. */
void meta_routes_stop(struct meta_routes *r);
/* After the metadata are closed: nothing completes any more. */
void meta_routes_free(struct meta_routes *r);

#endif
