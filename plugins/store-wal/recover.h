/* recover.h: what the two files of the recovery share: recover.c (start, replay) and recover_tail.c (what stands in
 * files behind the log's knowledge). */
#ifndef STORE_WAL_RECOVER_H
#define STORE_WAL_RECOVER_H

#include "store.h"

enum { REPLAY_MAP = 1 << 14 };

struct replay {
    struct st_dir *d;
    struct errtext *e;
    chronik_store_part **by_pn; /* REPLAY_MAP chains over pn_next */
    uint32_t first_unknown_pn;
    uint32_t n_cut; /* segments that held more than the log knows */
    uint64_t records, bytes, cut;
};

/* Takes up whole, valid batches from the segment's end on, up to `limit`. *grew says whether there were any. */
int32_t seg_extend(chronik_store_part *p, struct st_seg *g, struct chronik_file *f, uint64_t limit, int *grew);
/* All that files hold behind the partition's known end, in segments with serials below `limit`: later ones were begun
 * after the record that is being replayed. */
int32_t part_extend(struct replay *y, chronik_store_part *p, uint32_t limit);
/* Group mode: what stands in files behind the log's knowledge was never announced. It goes for good, lest a later start
 * that looks behind known ends takes it up. */
int32_t part_cut(struct replay *y, chronik_store_part *p);
/* Files of segments that lie behind a cut: they are removed for good before anything is appended, or the log would run
 * into them some day and take them up. */
int32_t strays_remove(struct replay *y, chronik_store_part *p);

#endif
