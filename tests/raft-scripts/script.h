/* script: one file of published data-driven cases in memory. Format: `command arg key=value key=(a, b)`, optional input
 * lines,
 * `----`, the expected output up to a blank line (or between doubled `----` lines, which may contain blank ones). It
 * must never interpret a command. Single-threaded test code. */
#ifndef CHRONIK_RAFT_SCRIPT_H
#define CHRONIK_RAFT_SCRIPT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_arg {
    char *key;
    char **vals; /* none: a plain word */
    size_t n_vals;
};

struct script_case {
    char *command;
    struct script_arg *args;
    size_t n_args;
    char *input;    /* trimmed, may be empty */
    char *expected; /* whole lines */
    unsigned line;  /* of the command */
    unsigned expected_line;
};

struct script {
    struct script_case *cases;
    size_t n;
};

/* False: error (of size error_size) names the line and what is wrong. */
bool script_parse(const char *text, struct script *out, char *error, size_t error_size);
void script_free(struct script *s);

/* The named argument, or NULL. */
const struct script_arg *script_find(const struct script_case *c, const char *key);
bool script_number(const char *text, uint64_t *out); /* decimal, all of it */
bool script_bool(const char *text, bool *out);

/* A string that grows; allocation failure ends the program. */
struct text {
    char *v;
    size_t n;
    size_t size;
};
void text_put(struct text *t, const char *bytes, size_t n);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void text_clear(struct text *t);
void text_free(struct text *t);
void *must_alloc(void *ptr, size_t size); /* realloc that ends the program */

#endif
