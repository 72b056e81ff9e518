#include <config.h>

/* http.c: see http.h. Knows just enough HTTP: one request a connection, an answer of bounded size until the end of the
 * stream. */
#include "ctl/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <chronik/base.h>

#include "ctl/client.h"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

/* The header with the token, or nothing. */
static int32_t token_header(const struct options *o, char *out, size_t n, struct err *e)
{
    char token[512];
    *out = 0;
    if (!o->token_file)
        return CHRONIK_DONE;
    FILE *f = fopen(o->token_file, "r");
    if (!f)
        return err_set(e, CHRONIK_E_NOTFOUND, "--token-file %s: %s", o->token_file, strerror(errno));
    size_t k = fread(token, 1, sizeof token - 1, f);
    fclose(f);
    token[k] = 0;
    token[strcspn(token, "\r\n")] = 0;
    if (!*token)
        return err_set(e, CHRONIK_E_INVAL, "--token-file %s has no token in its first line", o->token_file);
    snprintf(out, n, "Authorization: Bearer %s\r\n", token);
    return CHRONIK_DONE;
}

int http_call(const struct options *o, const char *method, const char *path, char **body, struct err *e)
{
    char request[2048], token[600], *answer = NULL;
    size_t n = 0, cap = 0;
    int status;
    if (token_header(o, token, sizeof token, e) < 0)
        return e->code;
    int fd = client_dial(o->admin, "9644", o->timeout_ms, e);
    if (fd < 0) {
        struct err why = *e;
        return why.code == CHRONIK_E_INVAL
                   ? why.code
                   : err_set(e, why.code, "%s; is the broker running, and is --admin its chronik.admin.listener?",
                             why.text);
    }
    snprintf(request, sizeof request,
             "%s %s HTTP/1.0\r\nHost: localhost\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, path,
             token);
    int64_t k = client_write(fd, request, strlen(request), o->timeout_ms, e);
    while (k > 0) {
        if (n + 4096 >= cap) {
            cap = cap ? cap * 2 : 16384;
            char *bigger = cap > ANSWER_MAX ? NULL : realloc(answer, cap);
            if (!bigger) {
                k = err_set(e, CHRONIK_E_TOOBIG,
                            "the answer has more than %d bytes; is --admin chronik.admin.listener?", ANSWER_MAX);
                break;
            }
            answer = bigger;
        }
        k = client_read(fd, answer + n, cap - n - 1, o->timeout_ms, e);
        n += k > 0 ? (size_t)k : 0;
    }
    close(fd);
    if (answer)
        answer[n] = 0;
    char *end = answer ? strstr(answer, "\r\n\r\n") : NULL;
    if (k < 0) {
        status = err_prefix(e, "%s", o->admin);
    } else if (!end || sscanf(answer, "HTTP/1.%*d %d", &status) != 1) {
        status =
            err_set(e, CHRONIK_E_CORRUPT, "%s does not answer in HTTP; is --admin chronik.admin.listener?", o->admin);
    } else {
        *body = strdup(end + 4);
        CHECK(*body);
    }
    free(answer);
    return status;
}
