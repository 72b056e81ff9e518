/* replay.c: the main of a fuzz target in builds without libFuzzer: runs the target once on each file of the folders and
 * files named on the command line, or of CORPUS. So the kept inputs are tests for every compiler. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static unsigned long inputs;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    CHECK(f && fseek(f, 0, SEEK_END) == 0);
    long n = ftell(f);
    CHECK(n >= 0);
    rewind(f);
    uint8_t *data = malloc((size_t)n ? (size_t)n : 1); /* of the exact size, for sanitizers */
    CHECK(data && fread(data, 1, (size_t)n, f) == (size_t)n);
    fclose(f);
    if (getenv("CHRONIK_REPLAY_VERBOSE"))
        fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, (size_t)n);
    free(data);
    inputs++;
}

static void run_path(const char *path)
{
    struct stat st;
    CHECK(stat(path, &st) == 0);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        char inner[4096];
        if (e->d_name[0] != '.' && (size_t)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < sizeof inner)
            run_path(inner);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    if (argc < 2)
        run_path(CORPUS);
    printf("%lu inputs replayed\n", inputs);
    return inputs ? 0 : 1;
}
