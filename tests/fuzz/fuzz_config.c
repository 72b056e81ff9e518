/* fuzz_config.c: any text as server.properties, and any pair as a flag or an altered value. What parses is written out
 * again, escaped, and parses to the same pairs; what is refused is refused with a sentence; a config without errors
 * answers every getter. */
#include "tests/fuzz/fuzz.h"

#include "config/config.h"
#include "config/properties.h"

#include <stdio.h>
#include <stdlib.h>

struct text {
    char *p;
    size_t n, cap;
};

static void put(struct text *t, const char *p, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        t->cap = (t->n + n + 1) * 2;
        CHECK((t->p = realloc(t->p, t->cap)));
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
}

static void put_escaped(struct text *t, const char *s)
{
    for (; *s; s++) {
        if (strchr(" \t\f\\=:#!", *s)) {
            put(t, "\\", 1);
            put(t, s, 1);
        } else if (*s == '\n' || *s == '\r') {
            put(t, *s == '\n' ? "\\n" : "\\r", 2);
        } else {
            put(t, s, 1);
        }
    }
}

/* "key=value\n" of each pair, escaped: a file that means the same. */
static int32_t rewrite(void *arg, int line, const char *key, const char *value, struct err *e)
{
    struct text *t = arg;
    CHECK(line > 0);
    put_escaped(t, key);
    put(t, "=", 1);
    put_escaped(t, value);
    put(t, "\n", 1);
    return CHRONIK_DONE;
}

static void report(void *arg, enum config_report_level level, const char *sentence)
{
    CHECK(strlen(sentence) > 10);
    *(int *)arg += level == CONFIG_REPORT_ERROR;
}

static int32_t alter(void *arg, int line, const char *key, const char *value, struct err *e)
{
    struct config *c = arg;
    struct err why = {0};
    const char *near = config_nearest(c, CONFIG_BROKER, key);
    CHECK(!near || config_find(c, CONFIG_BROKER, near));
    if (config_check(c, CONFIG_TOPIC, key, value, &why) < 0)
        CHECK(strlen(why.text) > 5);
    why = (struct err){0};
    if (config_apply_dynamic(c, false, key, value, &why) < 0)
        CHECK(strlen(why.text) > 5);
    struct config_kv kv = {key, value};
    struct config_topic t;
    config_topic_fill(c, &kv, 1, &t);
    free(config_list_alter(value, key, true));
    free(config_list_alter(value, key, false));
    return CHRONIK_DONE;
}

static void entry(void *arg, const struct config_entry *x)
{
    CHECK(x->setting && x->n_synonyms <= 16);
}

static void whole(const char *p, size_t n)
{
    static char home[] = "HOME=/h", *env[] = {home, NULL};
    struct config_finish_options o = {.hostname = "h", .allow_unknown = true};
    struct config *c = config_new();
    struct err e = {0};
    int errors = 0;
    CHECK(c && config_read_env(c, env, &e) > 0);
    if (config_read_text(c, "f", p, n, &e) < 0)
        CHECK(strlen(e.text) > 5);
    CHECK(config_finish(c, &o, report, &errors) == errors);
    if (errors == 0) {
        config_describe(c, CONFIG_BROKER, NULL, 0, entry, NULL);
        config_describe(c, CONFIG_TOPIC, NULL, 0, entry, NULL);
        (void)!properties_parse("f", p, n, alter, c, &e);
        config_describe(c, CONFIG_BROKER, NULL, 0, entry, NULL);
    }
    config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct text once = {0}, twice = {0};
    struct err e = {0};
    const char *p = (const char *)data;
    if (n > 4000)
        return 0;
    put(&once, "", 0);
    put(&twice, "", 0);
    int32_t r = properties_parse("f", p, n, rewrite, &once, &e);
    if (r < 0)
        CHECK(strlen(e.text) > 5);
    else
        CHECK(properties_parse("f", once.p, once.n, rewrite, &twice, &e) > 0 && twice.n == once.n &&
              memcmp(once.p, twice.p, once.n) == 0);
    whole(p, n);
    free(once.p);
    free(twice.p);
    return 0;
}
