#include <config.h>

/* status.c: GET /status and /readyz of the admin HTTP server. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <chronik/base.h>

#include "ctl/http.h"
#include "ctl/print.h"
#include "ctl/status.h"

/* Polls until ready or the time is over; prints what is missing then. */
static bool wait_ready(const struct options *o)
{
    struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    time_t end = time(NULL) + o->wait_s;
    for (;;) {
        struct err e = {0};
        char *body = NULL;
        int status = http_call(o, "GET", "/readyz", &body, &e);
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
    int status = http_call(o, "GET", "/status", &body, &e);
    if (status < 0)
        return print_failure("%s", e.text);
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
