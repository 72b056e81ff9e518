/* status.h: what the broker says of itself, from its admin HTTP server. */
#ifndef CHRONIK_CTL_STATUS_H
#define CHRONIK_CTL_STATUS_H

#include "ctl/options.h"

int status_show(const struct options *o);

#endif
