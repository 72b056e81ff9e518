/* script: reads the published data-driven format (script.h). It must never interpret a command. Single-threaded test
 * code. */
#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must_alloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size == 0 ? 1 : size);

    if (p == NULL) {
        fputs("raft-scripts: no memory\n", stderr);
        exit(2);
    }
    return p;
}

void text_put(struct text *t, const char *bytes, size_t n)
{
    if (t->n + n + 1 > t->size) {
        t->size = (t->n + n + 1) * 2;
        t->v = must_alloc(t->v, t->size);
    }
    if (n > 0) {
        memcpy(t->v + t->n, bytes, n);
    }
    t->n += n;
    t->v[t->n] = '\0';
}

void text_vprintf(struct text *t, const char *format, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (t->n + (size_t)n + 1 > t->size) {
        t->size = (t->n + (size_t)n + 1) * 2;
        t->v = must_alloc(t->v, t->size);
    }
    vsnprintf(t->v + t->n, (size_t)n + 1, format, args);
    t->n += (size_t)n;
}

void text_printf(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vprintf(t, format, args);
    va_end(args);
}

void text_clear(struct text *t)
{
    t->n = 0;
    text_put(t, "", 0);
}

void text_free(struct text *t)
{
    free(t->v);
    memset(t, 0, sizeof *t);
}

static char *slice(const char *from, const char *to)
{
    size_t n = (size_t)(to - from);
    char *copy = must_alloc(NULL, n + 1);

    memcpy(copy, from, n);
    copy[n] = '\0';
    return copy;
}

static char *trimmed(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from)) {
        from++;
    }
    while (to > from && isspace((unsigned char)to[-1])) {
        to--;
    }
    return slice(from, to);
}

/* ---- the command line ---- */

static void add_value(struct script_arg *arg, const char *from, const char *to)
{
    arg->vals = must_alloc(arg->vals, (arg->n_vals + 1) * sizeof *arg->vals);
    arg->vals[arg->n_vals++] = slice(from, to);
}

/* "(a, (b, c), d)" from behind the first parenthesis; NULL: it does not end. */
static const char *parse_list(struct script_arg *arg, const char *at)
{
    const char *start = at;

    for (int depth = 1; depth > 0; at++) {
        if (*at == '\0') {
            return NULL;
        }
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        if (*at == ',' && depth == 1) {
            add_value(arg, start, at);
            while (at[1] == ' ') {
                at++;
            }
            start = at + 1;
        }
    }
    add_value(arg, start, at - 1);
    return at;
}

static const char *skip_blanks(const char *at)
{
    while (isspace((unsigned char)*at)) {
        at++;
    }
    return at;
}

static bool parse_command(const char *line, struct script_case *c)
{
    const char *at = skip_blanks(line);
    size_t n = strcspn(at, " ");

    c->command = slice(at, at + n);
    at = skip_blanks(at + n);
    while (*at != '\0') {
        struct script_arg *arg;

        c->args = must_alloc(c->args, (c->n_args + 1) * sizeof *c->args);
        arg = &c->args[c->n_args++];
        memset(arg, 0, sizeof *arg);
        n = strcspn(at, " =");
        arg->key = slice(at, at + n);
        at += n;
        if (n == 0) {
            return false;
        }
        if (*at == '=') {
            at++;
            if (*at == '(') {
                at = parse_list(arg, at + 1);
                if (at == NULL) {
                    return false;
                }
            } else {
                n = strcspn(at, " ");
                add_value(arg, at, at + n);
                at += n;
            }
        }
        at = skip_blanks(at);
    }
    return true;
}

/* ---- the file ---- */

struct lines {
    const char *at;
    const char *line;
    const char *end; /* of line */
    unsigned number;
};

static bool next_line(struct lines *l)
{
    const char *end;

    if (*l->at == '\0') {
        return false;
    }
    end = strchr(l->at, '\n');
    l->line = l->at;
    l->end = end == NULL ? l->at + strlen(l->at) : end;
    l->at = end == NULL ? l->end : end + 1;
    l->number++;
    if (l->end > l->line && l->end[-1] == '\r') {
        l->end--;
    }
    return true;
}

static bool is_separator(const struct lines *l)
{
    return l->end - l->line == 4 && memcmp(l->line, "----", 4) == 0;
}

static bool is_blank(const struct lines *l)
{
    const char *at = l->line;

    while (at < l->end && isspace((unsigned char)*at)) {
        at++;
    }
    return at == l->end;
}

static void put_line(struct text *t, const struct lines *l)
{
    text_put(t, l->line, (size_t)(l->end - l->line));
    text_put(t, "\n", 1);
}

static void read_doubled(struct lines *l, struct text *expected)
{
    while (next_line(l)) {
        if (is_separator(l)) {
            struct lines second = *l;

            if (next_line(&second) && is_separator(&second)) {
                *l = second;
                return;
            }
        }
        put_line(expected, l);
    }
}

static void read_expected(struct lines *l, struct script_case *c)
{
    struct text expected = {0};

    text_clear(&expected);
    c->expected_line = l->number + 1;
    if (next_line(l)) {
        if (is_separator(l)) {
            c->expected_line++;
            read_doubled(l, &expected);
        } else {
            while (!is_blank(l)) {
                put_line(&expected, l);
                if (!next_line(l)) {
                    break;
                }
            }
        }
    }
    c->expected = expected.v;
}

static bool read_case(struct lines *l, struct script_case *c)
{
    struct text command = {0}, input = {0};
    bool ok, subtest;

    memset(c, 0, sizeof *c);
    c->line = l->number;
    text_put(&command, l->line, (size_t)(l->end - l->line));
    while (command.n > 0 && command.v[command.n - 1] == '\\' && next_line(l)) { /* a wrapped command */
        command.v[command.n - 1] = ' ';
        text_put(&command, l->line, (size_t)(l->end - l->line));
    }
    ok = parse_command(command.v, c);
    text_free(&command);
    text_clear(&input);
    subtest = strcmp(c->command, "subtest") == 0;
    while (!subtest && next_line(l)) {
        if (is_separator(l)) {
            read_expected(l, c);
            break;
        }
        put_line(&input, l);
    }
    c->input = trimmed(input.v, input.v + input.n);
    text_free(&input);
    if (c->expected == NULL) {
        c->expected = slice("", "");
    }
    return ok;
}

bool script_parse(const char *text, struct script *out, char *error, size_t error_size)
{
    struct lines l = {.at = text};

    memset(out, 0, sizeof *out);
    while (next_line(&l)) {
        const char *first = l.line;

        while (first < l.end && isspace((unsigned char)*first)) {
            first++;
        }
        if (first == l.end || *first == '#') {
            continue;
        }
        out->cases = must_alloc(out->cases, (out->n + 1) * sizeof *out->cases);
        if (!read_case(&l, &out->cases[out->n++])) {
            snprintf(error, error_size, "%u: the command cannot be parsed", out->cases[out->n - 1].line);
            script_free(out);
            return false;
        }
    }
    return true;
}

void script_free(struct script *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct script_case *c = &s->cases[i];

        for (size_t a = 0; a < c->n_args; a++) {
            for (size_t v = 0; v < c->args[a].n_vals; v++) {
                free(c->args[a].vals[v]);
            }
            free(c->args[a].vals);
            free(c->args[a].key);
        }
        free(c->args);
        free(c->command);
        free(c->input);
        free(c->expected);
    }
    free(s->cases);
    memset(s, 0, sizeof *s);
}

const struct script_arg *script_find(const struct script_case *c, const char *key)
{
    for (size_t i = 0; i < c->n_args; i++) {
        if (strcmp(c->args[i].key, key) == 0) {
            return &c->args[i];
        }
    }
    return NULL;
}

bool script_number(const char *text, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

bool script_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
