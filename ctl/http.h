/* http.h: one request to the admin HTTP server. */
#ifndef CHRONIK_CTL_HTTP_H
#define CHRONIK_CTL_HTTP_H

#include "base/err.h"
#include "ctl/options.h"

/* `method` and `path` (with its query, encoded) at o->admin. Returns the HTTP status with *body (to be freed) behind
 * the headers; or a negative code. Sends the token of o->token_file, if there is one. */
int http_call(const struct options *o, const char *method, const char *path, char **body, struct err *e);

#endif
