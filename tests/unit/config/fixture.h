/* fixture.h: a config made of texts, with its complaints collected. Header-only; one thread. */
#ifndef CHRONIK_TEST_CONFIG_FIXTURE_H
#define CHRONIK_TEST_CONFIG_FIXTURE_H

#include "config/config.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct config *c;
    char errors[8192], warnings[8192];
    int n_errors;
};

static void fixture_report(void *arg, enum config_report_level level, const char *sentence)
{
    struct fixture *f = arg;
    char *to = level == CONFIG_REPORT_ERROR ? f->errors : f->warnings;
    snprintf(to + strlen(to), sizeof f->errors - strlen(to), "%s\n", sentence);
}

static char *const fixture_home[] = {(char *)"HOME=/home/ada", NULL};

/* Reads `file` (may be NULL) and `envp` (NULL: HOME alone), then flags "key", "value", ..., NULL. Does not finish. */
__attribute__((sentinel)) static inline void fixture_read(struct fixture *f, const char *file, char *const *envp, ...)
{
    struct err e = {0};
    memset(f, 0, sizeof *f);
    f->c = config_new();
    ck_assert_ptr_nonnull(f->c);
    ck_assert_int_eq(config_read_env(f->c, envp ? envp : fixture_home, &e), CHRONIK_DONE);
    if (file)
        ck_assert_msg(config_read_text(f->c, "server.properties", file, strlen(file), &e) == CHRONIK_DONE, "%s",
                      e.text);
    va_list ap;
    va_start(ap, envp);
    for (const char *key; (key = va_arg(ap, const char *));)
        ck_assert_int_eq(config_read_flag(f->c, "--override", key, va_arg(ap, const char *), &e), CHRONIK_DONE);
    va_end(ap);
}

static inline int fixture_finish(struct fixture *f)
{
    struct config_finish_options o = {.hostname = "ada.example.org"};
    f->n_errors = config_finish(f->c, &o, fixture_report, f);
    return f->n_errors;
}

/* A file that must be accepted. */
static inline void fixture_good(struct fixture *f, const char *file)
{
    fixture_read(f, file, NULL, NULL);
    ck_assert_msg(fixture_finish(f) == 0, "%s", f->errors);
}

/* A file that must be refused with `text` in the complaint. */
static inline void fixture_refused(const char *file, const char *text)
{
    struct fixture f;
    fixture_read(&f, file, NULL, NULL);
    ck_assert_int_gt(fixture_finish(&f), 0);
    ck_assert_msg(strstr(f.errors, text) != NULL, "wanted '%s' in: %s", text, f.errors);
    config_free(f.c);
}

static inline int fixture_run(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
