/* main.c: chronik-plugin-test MODULE.so: runs every check of the module's kind, each in a child process of its own, so
 * that a crash or a hang is one failed line and not the end. Prints one line a check and a closing count. */
#include <config.h>

#include "kit.h"

#include "base/log.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_SECONDS 120

struct run {
    const struct plugin_module *module;
    struct kit_options options;
    const char *only; /* run the checks whose name contains it */
    bool verbose, list;
    unsigned passed, failed, left_out;
};

static const char usage[] =
    "usage: chronik-plugin-test [--only TEXT] [--set KEY=VALUE]... [--cuts N] [--sync-noop] [--list] [--verbose] "
    "MODULE.so\n"
    "Checks that a metadata or storage module of chronik keeps its contract.\n"
    "  --only TEXT      run only the checks whose name contains TEXT\n"
    "  --set KEY=VALUE  a setting of the module, instead of its default\n"
    "  --cuts N         how many power cuts to try when the module declares POWER_SAFE (default 200)\n"
    "  --sync-noop      syncs do nothing during the power cuts: every durable module must fail them\n"
    "  --list           print the names of the checks\n"
    "  --verbose        show what the module logs\n"
    "Exit status: 0 all passed, 1 some failed, 2 the module or the arguments are no good.\n";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    remove(path);
    return 0;
}

static void discard(void *arg, enum log_level lvl, const char *line)
{
    (void)arg, (void)lvl, (void)line;
}

/* In the child: the check, in the real world unless it brings its own. */
static void run_here(const struct run *r, const struct kit_check *c, const char *root)
{
    struct kit k = {.module = r->module, .options = &r->options, .root = root};
    alarm(CHECK_SECONDS);
    if (!r->verbose)
        log_set_sink(discard, NULL);
    if (c->sim) {
        c->run(&k);
        return;
    }
    struct os *os = os_real_new(2);
    EXPECT(os != NULL, "the kit cannot make a world");
    kit_open(&k, os, root);
    c->run(&k);
    kit_close(&k);
    os_real_free(os);
}

/* The child's sentence in text[n]; true when the check passed. */
static bool verdict(pid_t pid, int fd, char *text, size_t n)
{
    size_t len = 0;
    ssize_t got;
    while (len + 1 < n && ((got = read(fd, text + len, n - 1 - len)) > 0 || (got < 0 && errno == EINTR)))
        len += got > 0 ? (size_t)got : 0;
    text[len] = 0;
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && len == 0)
        return true;
    if (len == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(text, n, "not finished within %d s", CHECK_SECONDS);
    else if (len == 0 && WIFSIGNALED(status))
        snprintf(text, n, "died by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (len == 0)
        snprintf(text, n, "ended with status %d", WEXITSTATUS(status));
    return false;
}

static bool run_check(const struct run *r, const struct kit_check *c, char *text, size_t n)
{
    const char *tmp = getenv("TMPDIR");
    char root[200];
    int fds[2];
    snprintf(root, sizeof root, "%s/chronik-plugin-test-XXXXXX", tmp != NULL && tmp[0] != 0 ? tmp : "/tmp");
    if (mkdtemp(root) == NULL || pipe(fds) != 0) {
        snprintf(text, n, "the kit cannot make %s: %s", root, strerror(errno));
        return false;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        kit_report_to(fds[1]);
        run_here(r, c, root);
        exit(0);
    }
    close(fds[1]);
    bool passed = false;
    if (pid < 0)
        snprintf(text, n, "the kit cannot start a process: %s", strerror(errno));
    else
        passed = verdict(pid, fds[0], text, n);
    close(fds[0]);
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return passed;
}

static void run_all(struct run *r)
{
    const struct kit_check *c = r->module->desc.kind == CHRONIK_KIND_META ? kit_meta_checks : kit_store_checks;
    char text[1100];
    for (; c->name != NULL; c++) {
        if (r->only != NULL && strstr(c->name, r->only) == NULL)
            continue;
        if (r->list) {
            printf("%s\n", c->name);
        } else if (c->needs & ~r->module->desc.capabilities) {
            descriptor_capabilities(c->needs & ~r->module->desc.capabilities, text, sizeof text);
            printf("SKIP %s (not declared: %s)\n", c->name, text);
            r->left_out++;
        } else if (run_check(r, c, text, sizeof text)) {
            printf("PASS %s\n", c->name);
            r->passed++;
        } else {
            printf("FAIL %s: %s\n", c->name, text);
            r->failed++;
        }
    }
}

/* The value of an option that takes one; ends the program when there is none. */
static const char *value_of(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc) {
        fprintf(stderr, "chronik-plugin-test: %s wants a value\n%s", argv[*i], usage);
        exit(2);
    }
    return argv[++*i];
}

static const char *parse(struct run *r, int argc, char **argv)
{
    static const char *set[64];
    const char *module = NULL;
    r->options.set = set;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--only") == 0) {
            r->only = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--set") == 0 && r->options.n_set < ARRAY_LEN(set)) {
            set[r->options.n_set++] = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--cuts") == 0) {
            r->options.cuts = (unsigned)strtoul(value_of(argc, argv, &i), NULL, 10);
        } else if (strcmp(argv[i], "--sync-noop") == 0) {
            r->options.sync_noop = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            r->list = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            r->verbose = true;
        } else if (argv[i][0] != '-' && module == NULL) {
            module = argv[i];
        } else {
            fputs(usage, strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
        }
    }
    return module;
}

int main(int argc, char **argv)
{
    struct run r = {0};
    struct plugin_module *m;
    struct err e = {0};
    char path[4096], caps[256];
    const char *module = parse(&r, argc, argv);
    if (module == NULL) {
        fputs(usage, stderr);
        return 2;
    }
    /* A plain file name means a file here, not a name in the plugin directory. */
    snprintf(path, sizeof path, "%s%s", strchr(module, '/') != NULL ? "" : "./", module);
    if (plugin_load("", 0, path, &m, &e) < 0) {
        fprintf(stderr, "chronik-plugin-test: %s\n", e.text);
        return 2;
    }
    r.module = m;
    if (!r.list)
        printf("%s %s: %s module, ABI %u.%u, host %u.%u, capabilities %s\n", m->desc.name, m->desc.version,
               descriptor_kind_name(m->desc.kind), m->desc.abi_major, m->desc.abi_minor, m->desc.host_major,
               m->desc.host_minor, descriptor_capabilities(m->desc.capabilities, caps, sizeof caps));
    run_all(&r);
    if (!r.list)
        printf("%u passed, %u failed, %u left out\n", r.passed, r.failed, r.left_out);
    return r.failed > 0 ? 1 : 0;
}
