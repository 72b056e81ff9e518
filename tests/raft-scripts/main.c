/* raft-scripts: runs published data-driven scripts against the Raft core and prints one line a file: PASS, or FAIL with
 * the first line that differs. Log lines (DEBUG, INFO, WARN, ERROR) are left out on both sides, they are no interface.
 * It must never change a script. Exit code: 0 all passed, 1 a file failed, 2 nothing could be run. Single-threaded. */
#include "env.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct totals {
    unsigned passed, failed, cases;
};

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct text t = {0};
    char chunk[8192];
    size_t n;

    if (f == NULL) {
        return NULL;
    }
    text_clear(&t);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        text_put(&t, chunk, n);
    }
    if (ferror(f)) {
        text_free(&t);
    }
    fclose(f);
    return t.v;
}

static bool is_log_line(const char *line)
{
    static const char *const levels[] = {"DEBUG ", "INFO ", "WARN ", "ERROR "};

    line += strspn(line, " \t");
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strncmp(line, levels[i], strlen(levels[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The next line that counts, without its newline; number counts all. False: no more. */
static bool next_line(const char **at, char *out, size_t size, unsigned *number)
{
    while (**at != '\0') {
        size_t n = strcspn(*at, "\n");

        snprintf(out, size, "%.*s", (int)n, *at);
        *at += n + ((*at)[n] == '\n');
        ++*number;
        if (!is_log_line(out)) {
            return true;
        }
    }
    return false;
}

static bool only_ok(const char *output)
{
    char line[8192];
    unsigned number = 0;
    bool first = next_line(&output, line, sizeof line, &number);

    return !first || (strcmp(line, "ok") == 0 && !next_line(&output, line, sizeof line, &number));
}

/* Without log lines an output of nothing else is as good as "ok". False: prints the difference. */
static bool compare(const char *path, const struct script_case *c, const char *actual)
{
    const char *want_at = c->expected, *got_at = actual;
    char want[8192], got[8192];
    unsigned line = c->expected_line - 1, ignored = 0;

    if (only_ok(want_at) && only_ok(got_at)) {
        return true;
    }
    for (;;) {
        bool more_want = next_line(&want_at, want, sizeof want, &line);
        bool more_got = next_line(&got_at, got, sizeof got, &ignored);

        if (!more_want && !more_got) {
            return true;
        }
        if (!more_want || !more_got || strcmp(want, got) != 0) {
            printf("FAIL %s:%u: %s: expected %s%s%s, got %s%s%s\n", path, line + (more_want ? 0 : 1), c->command,
                   more_want ? "\"" : "", more_want ? want : "nothing more", more_want ? "\"" : "",
                   more_got ? "\"" : "", more_got ? got : "nothing more", more_got ? "\"" : "");
            return false;
        }
    }
}

/* False: the command could not be carried out; e->why says so. A function of its own, because locals do not survive the
 * jump. */
static bool run_guarded(struct env *e, const struct script_case *c)
{
    if (setjmp(e->broken) != 0) {
        return false;
    }
    command_run(e, c);
    return true;
}

static bool run_cases(const char *path, const struct script *s, struct env *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct script_case *c = &s->cases[i];

        if (strcmp(c->command, "subtest") == 0) {
            continue;
        }
        if (!run_guarded(e, c)) {
            printf("FAIL %s:%u: %s: %s\n", path, c->line, c->command, e->why);
            return false;
        }
        if (!compare(path, c, e->out.v)) {
            return false;
        }
    }
    return true;
}

static void run_text(const char *path, const char *text, struct totals *totals)
{
    struct script s;
    struct env e;
    char error[256];

    if (!script_parse(text, &s, error, sizeof error)) {
        printf("FAIL %s:%s\n", path, error);
        totals->failed++;
        return;
    }
    env_init(&e);
    if (run_cases(path, &s, &e)) {
        printf("PASS %s (%zu cases)\n", path, s.n);
        totals->passed++;
    } else {
        totals->failed++;
    }
    totals->cases += (unsigned)s.n;
    env_free(&e);
    script_free(&s);
}

/* A script is a file with a separator line; texts beside it (a README, a licence) have none. */
static bool looks_like_script(const char *text)
{
    return strncmp(text, "----\n", 5) == 0 || strstr(text, "\n----\n") != NULL;
}

static bool run_path(const char *path, bool named, struct totals *totals);

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static bool run_folder(const char *path, struct totals *totals)
{
    struct dirent **names;
    int n = scandir(path, &names, visible, by_name);
    bool ok = n >= 0;

    for (int i = 0; i < n; i++) {
        struct text child = {0};

        text_printf(&child, "%s/%s", path, names[i]->d_name);
        ok = run_path(child.v, false, totals) && ok;
        text_free(&child);
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    return ok;
}

static bool run_path(const char *path, bool named, struct totals *totals)
{
    struct stat st;
    size_t n = strlen(path);
    char *text;

    if (stat(path, &st) != 0) {
        fprintf(stderr, "raft-scripts: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        return run_folder(path, totals);
    }
    if (!S_ISREG(st.st_mode) || (!named && n > 3 && strcmp(path + n - 3, ".md") == 0)) {
        return true;
    }
    text = read_file(path);
    if (text == NULL) {
        fprintf(stderr, "raft-scripts: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (named || looks_like_script(text)) {
        run_text(path, text, totals);
    }
    free(text);
    return true;
}

int main(int argc, char **argv)
{
    struct totals totals = {0};
    bool ok = argc > 1;

    if (argc < 2) {
        fputs("usage: raft-scripts FOLDER_OR_FILE...\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        ok = run_path(argv[i], true, &totals) && ok;
    }
    if (totals.passed + totals.failed == 0) {
        fputs("raft-scripts: no script found there\n", stderr);
        return 2;
    }
    printf("%u files: %u passed, %u failed; %u cases\n", totals.passed + totals.failed, totals.passed, totals.failed,
           totals.cases);
    return !ok ? 2 : totals.failed > 0 ? 1 : 0;
}
