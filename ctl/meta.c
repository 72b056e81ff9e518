#include <config.h>

/* meta.c: see meta.h. Each command is one request; the sentence of a refusal is the broker's, with its remedy. */
#include "ctl/meta.h"

#include <stdio.h>
#include <stdlib.h>

#include <chronik/base.h>

#include "ctl/http.h"
#include "ctl/print.h"

/* The answer as JSON when it is one of 200; else NULL, and the failure is told. */
static cJSON *ask(const struct options *o, const char *method, const char *path)
{
    struct err e = {0};
    char *body = NULL;
    int status = http_call(o, method, path, &body, &e);
    if (status < 0) {
        print_failure("%s", e.text);
        return NULL;
    }
    cJSON *json = cJSON_Parse(body);
    free(body);
    if (status == 200 && json)
        return json;
    const cJSON *why = cJSON_GetObjectItem(json, "error");
    if (cJSON_IsString(why))
        print_failure("%s: %s%s", o->admin, why->valuestring,
                      status == 403 ? "; from another machine give --token-file" : "");
    else
        print_failure("%s answers %d to %s %s; is it chronik of this release?", o->admin, status, method, path);
    cJSON_Delete(json);
    return NULL;
}

int meta_show_status(const struct options *o)
{
    cJSON *all = ask(o, "GET", "/status");
    if (!all)
        return 1;
    cJSON *meta = cJSON_DetachItemFromObject(all, "meta");
    cJSON_Delete(all);
    if (!meta)
        return print_failure("%s says nothing of its metadata in /status; is it chronik?", o->admin);
    if (o->json) {
        print_json(meta);
        return 0;
    }
    struct print_table t = {.columns = 2};
    print_flat(&t, meta, "");
    print_table(&t);
    cJSON_Delete(meta);
    return 0;
}

static const char *text_of(const cJSON *o, const char *name)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(o, name));
    return s && *s ? s : "-";
}

static void put_number(char *out, size_t n, const cJSON *o, const char *name)
{
    const cJSON *v = cJSON_GetObjectItem(o, name);
    if (cJSON_IsNumber(v) && v->valuedouble >= 0)
        snprintf(out, n, "%.0f", v->valuedouble);
    else
        snprintf(out, n, "-");
}

/* 0: only the leader knows how far the others are. */
static void put_match(char *out, size_t n, const cJSON *o)
{
    const cJSON *v = cJSON_GetObjectItem(o, "match");
    if (cJSON_IsNumber(v) && v->valuedouble == 0)
        snprintf(out, n, "-");
    else
        put_number(out, n, o, "match");
}

int meta_show_members(const struct options *o)
{
    cJSON *all = ask(o, "GET", "/meta/members");
    const cJSON *x;
    if (!all)
        return 1;
    if (o->json) {
        print_json(all);
        return 0;
    }
    struct print_table t = {.columns = 8};
    print_row(&t, "NODE", "KIND", "LEADER", "ADDRESS", "MATCH", "HEARD MS AGO", "REPLICA", "DIRECTORY");
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(all, "members"))
    {
        char node[24], match[24], heard[24];
        put_number(node, sizeof node, x, "node");
        put_match(match, sizeof match, x);
        put_number(heard, sizeof heard, x, "heard_ms");
        print_row(&t, node, text_of(x, "kind"), cJSON_IsTrue(cJSON_GetObjectItem(x, "leader")) ? "yes" : "no",
                  text_of(x, "address"), match, heard, text_of(x, "replica"), text_of(x, "directory"));
    }
    print_table(&t);
    cJSON_Delete(all);
    return 0;
}

/* ---- commands ---- */

static int command(const struct options *o, const char *path)
{
    cJSON *json = ask(o, "POST", path);
    if (!json)
        return 1;
    if (o->json)
        print_json(json);
    else
        printf("%s: done\n", text_of(json, "done"));
    if (!o->json)
        cJSON_Delete(json);
    return 0;
}

/* A name from the command line that may stand in a query as it is. */
static bool plain(const char *s)
{
    return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")] == 0;
}

/* The broker gives up a little before we do, so that we hear what it has to say. */
static int patience(const struct options *o)
{
    return o->timeout_ms > 2000 ? o->timeout_ms - 1000 : o->timeout_ms / 2;
}

static int node_command(const struct options *o, const char *verb)
{
    char path[512];
    const char *node = o->n_names > 0 ? o->names[0] : NULL, *address = o->n_names > 1 ? o->names[1] : NULL;
    if (node && (!*node || node[strspn(node, "0123456789")]))
        return print_failure("'%s' is no node id: give the node.id of a broker", node) + 1;
    if (address && (!plain(address) || !strrchr(address, ':')))
        return print_failure("'%s' is not HOST:PORT, the address where the node listens for the quorum", address) + 1;
    snprintf(path, sizeof path, "/meta/%s?timeout_ms=%d%s%s%s%.300s", verb, patience(o), node ? "&node=" : "",
             node ? node : "", address ? "&address=" : "", address ? address : "");
    return command(o, path);
}

int meta_add(const struct options *o)
{
    return node_command(o, "add");
}

int meta_promote(const struct options *o)
{
    return node_command(o, "promote");
}

int meta_demote(const struct options *o)
{
    return node_command(o, "demote");
}

/* Without --force the broker only says what would be lost. */
int meta_bootstrap(const struct options *o)
{
    char path[80];
    snprintf(path, sizeof path, "/meta/bootstrap?timeout_ms=%d%s", patience(o), o->force ? "&force=1" : "");
    return command(o, path);
}

int meta_remove(const struct options *o)
{
    return node_command(o, "remove");
}

int meta_hand_over(const struct options *o)
{
    return node_command(o, "transfer");
}

int meta_make_snapshot(const struct options *o)
{
    return command(o, "/meta/snapshot");
}
