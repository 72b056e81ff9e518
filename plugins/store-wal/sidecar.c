/* sidecar.c: small opaque files beside a log, by kind and offset: `<offset>.<kind>.side` in the partition's folder,
 * each a snapshot file (kind SIDE, version 1). The list is read from the folder when it is first needed; those beyond
 * what a recovery found are dropped then: they describe a log that is gone. Callers of one partition do not overlap. */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_KIND = 15, MAX_BYTES = 64 << 20, VERSION_1 = 1 };
#define KIND_SIDE SNAPFILE_KIND('S', 'I', 'D', 'E')

void sidecar_name(char out[40], uint32_t kind, int64_t offset)
{
    snprintf(out, 40, "%020lld.%u.side", (long long)offset, kind);
}

static void side_folder(const chronik_store_part *p, char out[ST_PATH])
{
    char folder[72];
    part_folder(&p->topic, p->partition, p->pn, folder);
    path_join(out, "data", folder);
}

static void side_remove(chronik_store_part *p, const struct st_sidecar *x)
{
    char folder[ST_PATH], name[40], path[ST_PATH + 44];
    side_folder(p, folder);
    sidecar_name(name, x->kind, x->offset);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    p->s->h->file_remove(p->s->h->ctx, p->dir->no, path); /* left behind it is dropped at the next start */
}

/* mu held */
static int32_t side_insert(chronik_store_part *p, uint32_t kind, int64_t offset)
{
    for (uint32_t i = 0; i < p->n_sidecars; i++)
        if (p->sidecars[i].kind == kind && p->sidecars[i].offset == offset)
            return CHRONIK_DONE;
    struct st_sidecar *v = realloc(p->sidecars, (p->n_sidecars + 1) * sizeof *v);
    if (!v)
        return CHRONIK_E_NOMEM;
    p->sidecars = v;
    v[p->n_sidecars++] = (struct st_sidecar){.offset = offset, .kind = kind};
    return CHRONIK_DONE;
}

static void load_each(void *arg, const struct chronik_dirent *e)
{
    chronik_store_part *p = arg;
    long long offset;
    unsigned kind;
    char tail[8] = "";
    if (e->is_dir || sscanf(e->name, "%20lld.%2u.%5s", &offset, &kind, tail) != 3 || strcmp(tail, "side") ||
        kind > MAX_KIND)
        return;
    struct st_sidecar x = {.offset = offset, .kind = kind};
    if (offset > p->recovered_end && !MUTANT("sidecar-kept")) {
        side_remove(p, &x);
        p->sidecars_loaded = 2;
    } else
        side_insert(p, kind, offset);
}

/* What was dropped because its log is gone must not come back with the next power cut. */
static void side_sync(chronik_store_part *p)
{
    char folder[ST_PATH];
    side_folder(p, folder);
    p->s->h->dir_sync(p->s->h->ctx, p->dir->no, folder); /* if it fails, the checksum of the batch below still tells */
}

/* mu not held; the callers of a partition are serial. */
void sidecar_load(chronik_store_part *p)
{
    char folder[ST_PATH];
    if (p->sidecars_loaded)
        return;
    p->sidecars_loaded = 1;
    side_folder(p, folder);
    p->s->h->dir_list(p->s->h->ctx, p->dir->no, folder, load_each, p);
    if (p->sidecars_loaded == 2)
        side_sync(p);
}

int32_t st_sidecar_write(chronik_store_part *p, uint32_t kind, int64_t offset, const void *data, uint64_t n)
{
    const struct chronik_host *h = p->s->h;
    struct snapfile_info info = {.kind = KIND_SIDE, .version = VERSION_1, .head_n = 4};
    struct snapfile_writer *w;
    char folder[ST_PATH], name[40];
    if (kind > MAX_KIND || offset < 0 || n > MAX_BYTES)
        return CHRONIK_E_INVAL;
    if (p->deleted || p->dir->offline)
        return p->deleted ? CHRONIK_E_CLOSED : CHRONIK_E_OFFLINE;
    put_le32(info.head, part_crc_below(p, offset));
    pthread_mutex_lock(&p->smu);
    sidecar_load(p);
    side_folder(p, folder);
    sidecar_name(name, kind, offset);
    int32_t r = h->dir_make(h->ctx, p->dir->no, folder);
    if (r == CHRONIK_E_EXISTS)
        r = CHRONIK_DONE;
    if (r > 0 && !p->folder_synced)
        r = h->dir_sync(h->ctx, p->dir->no, "data");
    p->folder_synced |= r > 0;
    if (r > 0)
        r = snapfile_begin(h, p->dir->no, folder, name, &info, &w);
    if (r > 0) {
        snapfile_chunk(w, data, n);
        r = snapfile_end(w, 1, NULL);
    }
    if (r > 0)
        r = side_insert(p, kind, offset);
    pthread_mutex_unlock(&p->smu);
    return r;
}

/* The greatest offset <= at_most of `kind`. */
static int side_find(const chronik_store_part *p, uint32_t kind, int64_t at_most, struct st_sidecar *out)
{
    int found = 0;
    for (uint32_t i = 0; i < p->n_sidecars; i++) {
        const struct st_sidecar *x = &p->sidecars[i];
        if (x->kind == kind && x->offset <= at_most && (!found || x->offset > out->offset)) {
            *out = *x;
            found = 1;
        }
    }
    return found;
}

static void side_forget(chronik_store_part *p, const struct st_sidecar *x)
{
    for (uint32_t i = 0; i < p->n_sidecars; i++)
        if (p->sidecars[i].kind == x->kind && p->sidecars[i].offset == x->offset) {
            p->sidecars[i] = p->sidecars[--p->n_sidecars];
            return;
        }
}

int32_t st_sidecar_latest(chronik_store_part *p, uint32_t kind, int64_t at_most, int64_t *offset,
                          struct chronik_buf **out)
{
    const struct chronik_host *h = p->s->h;
    struct st_sidecar x = {0};
    int32_t r = CHRONIK_E_NOTFOUND;
    pthread_mutex_lock(&p->smu);
    sidecar_load(p);
    while (r < 0 && side_find(p, kind, at_most, &x)) {
        struct snapfile_info info;
        struct errtext e = {0};
        void *data = NULL;
        char folder[ST_PATH], name[40];
        side_folder(p, folder);
        sidecar_name(name, kind, x.offset);
        r = snapfile_load(h, p->dir->no, folder, name, KIND_SIDE, VERSION_1, MAX_BYTES, &info, &data, &e);
        uint32_t below = part_crc_below(p, x.offset);
        if (r > 0 && info.head_n == 4 && below && get_le32(info.head) != below && !MUTANT("sidecar-kept")) {
            r = errtext_set(&e, CHRONIK_E_STALE, "file %s/%s speaks of a log that is gone", folder, name);
            free(data);
        }
        if (r < 0) { /* a sidecar can be made again from the log: an older one will do */
            util_log(h, CHRONIK_LOG_WARN, "store %s: sidecar dropped: %s", p->dir->path, e.text);
            side_forget(p, &x);
            if (r == CHRONIK_E_STALE || r == CHRONIK_E_CORRUPT) {
                side_remove(p, &x);
                side_sync(p);
            }
            r = CHRONIK_E_NOTFOUND;
            continue;
        }
        *out = h->buf_new(h->ctx, info.bytes);
        if (!*out) {
            free(data);
            r = CHRONIK_E_NOMEM;
            break;
        }
        if (info.bytes)
            memcpy(h->buf_data(*out), data, info.bytes);
        *offset = x.offset;
        free(data);
    }
    pthread_mutex_unlock(&p->smu);
    return r;
}

static void side_drop(chronik_store_part *p, int any, uint32_t kind, int64_t above, int64_t below)
{
    sidecar_load(p);
    for (uint32_t i = 0; i < p->n_sidecars;) {
        struct st_sidecar x = p->sidecars[i];
        if ((any || x.kind == kind) && (x.offset > above || x.offset < below)) {
            side_remove(p, &x);
            p->sidecars[i] = p->sidecars[--p->n_sidecars];
        } else {
            i++;
        }
    }
}

int32_t st_sidecar_drop(chronik_store_part *p, uint32_t kind, int64_t above, int64_t below)
{
    if (kind > MAX_KIND)
        return CHRONIK_E_INVAL;
    pthread_mutex_lock(&p->smu);
    side_drop(p, 0, kind, above, below);
    pthread_mutex_unlock(&p->smu);
    return CHRONIK_DONE;
}

void sidecar_forget(chronik_store_part *p, int64_t above)
{
    pthread_mutex_lock(&p->smu);
    side_drop(p, 1, 0, above, INT64_MIN);
    pthread_mutex_unlock(&p->smu);
}
