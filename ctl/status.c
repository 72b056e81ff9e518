#include <config.h>

/* status.c: GET /status and /readyz of the admin HTTP server. Knows just enough HTTP for that: one request a
 * connection, an answer of bounded size until the end of the stream. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <chronik/base.h>

#include "ctl/client.h"
#include "ctl/print.h"
#include "ctl/status.h"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

/* The HTTP status, with *body (to be freed) behind the headers; or a negative code. */
static int http_get(const struct options *o, const char *path, char **body, struct err *e)
{
    char request[512], *answer = NULL;
    size_t n = 0, cap = 0;
    int status;
    int fd = client_dial(o->admin, "9644", o->timeout_ms, e);
    if (fd < 0)
        return fd;
    snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    int64_t k = client_write(fd, request, strlen(request), o->timeout_ms, e);
    while (k > 0) {
        if (n + 4096 >= cap) {
            cap = cap ? cap * 2 : 16384;
            answer = cap > ANSWER_MAX ? NULL : realloc(answer, cap);
            CHECK(answer);
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

/* One line a value, named by its path. */
static void print_flat(struct print_table *t, const cJSON *o, const char *prefix)
{
    for (const cJSON *i = o->child; i; i = i->next) {
        char name[PRINT_CELL], value[PRINT_CELL];
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", i->string ? i->string : "-");
        if (cJSON_IsObject(i) || cJSON_IsArray(i)) {
            print_flat(t, i, name);
            continue;
        }
        if (cJSON_IsString(i))
            snprintf(value, sizeof value, "%s", i->valuestring);
        else if (cJSON_IsNumber(i))
            snprintf(value, sizeof value, "%.15g", i->valuedouble);
        else
            snprintf(value, sizeof value, "%s", cJSON_IsTrue(i) ? "yes" : cJSON_IsFalse(i) ? "no" : "-");
        print_row(t, name, value);
    }
}

/* Polls until ready or the time is over; prints what is missing then. */
static bool wait_ready(const struct options *o)
{
    struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    time_t end = time(NULL) + o->wait_s;
    for (;;) {
        struct err e = {0};
        char *body = NULL;
        int status = http_get(o, "/readyz", &body, &e);
        bool over = time(NULL) >= end;
        if (status != 200 && over)
            print_failure("not ready after %d s: %s", o->wait_s, body ? body : e.text);
        free(body);
        if (status == 200 || over)
            return status == 200;
        nanosleep(&pause, NULL);
    }
}

int status_show(const struct options *o)
{
    struct err e = {0};
    char *body = NULL;
    if (o->wait_s >= 0 && !wait_ready(o))
        return 1;
    int status = http_get(o, "/status", &body, &e);
    if (status < 0)
        return print_failure("%s; is the broker running, and is --admin its chronik.admin.listener?", e.text);
    cJSON *json = cJSON_Parse(body);
    free(body);
    if (status != 200 || !json) {
        cJSON_Delete(json);
        return print_failure("%s answers %d to GET /status; is it chronik?", o->admin, status);
    }
    if (o->json) {
        print_json(json);
    } else {
        struct print_table t = {.columns = 2};
        print_flat(&t, json, "");
        print_table(&t);
        cJSON_Delete(json);
    }
    return 0;
}
